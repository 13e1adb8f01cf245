/*
 * The connections of one listener: which state each is in and since when, how long it may stay
 * there, and which one ends when a newcomer needs room. Only server.c uses this.
 */
#ifndef HTTP_CONNECTIONS_H
#define HTTP_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "base/timer.h"

/* An API server writes a request in one go. What has been in the making for longer than this is
   given up before a connection that waits for its next request. */
#define SLOW_REQUEST_MS 2000

enum connection_state {
    CONNECTION_FRESH,   /* no request has been completed yet */
    CONNECTION_READING, /* kept alive, and the next request has begun */
    CONNECTION_WAITING, /* handed to handle(), not answered */
    CONNECTION_WRITING, /* the answer is on its way */
    CONNECTION_IDLE     /* kept alive */
};

struct connection {
    struct connections *all;
    struct MHD_Connection *mhd;
    struct connection *prev, *next; /* oldest state first */
    struct timer timer;
    enum connection_state state;
    struct request *request; /* server.c's: begun and not completed */
    int fd;
    bool ended;
    int64_t began_ms;
    unsigned char peer[16]; /* its address; IPv4 in the first four bytes */
};

struct connections {
    const struct clock *clock;
    struct timers *timers;
    struct timer *pump; /* armed when MHD is to notice that a connection has ended */
    unsigned max;
    struct connection *first, *last;
    unsigned count, busy; /* open; of them with a request begun and not yet answered */
    uint64_t timed_out, evicted;
};

/* Makes room for it first, when there are `max` already. */
struct connection *connection_open(struct connections *all, struct MHD_Connection *mhd);
/* MHD has closed it. */
void connection_close(struct connection *c);
/* Moves it to the end of the list, so that the head has been in its state for longest. */
void connection_enter(struct connection *c, enum connection_state state);
/* Ends it after so long, unless it is told another limit or is released before. */
void connection_limit(struct connection *c, int64_t ms);
void connection_release_limit(struct connection *c);
bool connections_crowded(const struct connections *all);

#endif
