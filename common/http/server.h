/*
 * struct server: an HTTP/1.1 listener over libmicrohttpd that hands whole requests to one function,
 * with or without TLS. It knows nothing of admission. It runs inside the caller's event loop: one
 * file descriptor to watch (server_fd), everything else through the caller's timers.
 *
 * What it promises whatever clients do: a request is complete within request_ms of its connection
 * (or of its first line, when the connection was kept alive) or the connection is shut; an answer
 * is taken within request_ms; an idle connection is kept for idle_ms; never more than
 * max_connections (the oldest one that has not yet delivered a request makes room, else the one
 * whose next request is late, else the one idle for longest; of the newcomer's own address, when
 * that holds more than half), max_requests unanswered requests, body_max bytes in one body and
 * body_total_max bytes in all unfinished bodies. Beyond: 413, 411 or 429 with Retry-After: 1.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/timer.h"

struct server;

/* A complete request; valid until it is answered, which may happen later: its connection sleeps
   until then. Exactly one server_answer per request. */
struct server_request {
    const char *method, *path, *query; /* query: value of config.query, or NULL */
    const char *body;                  /* NUL-terminated */
    size_t body_len;
    const char *content_type; /* NULL: none */
    bool client_verified;     /* presented a certificate that passed client_ca and client_names */
    int64_t began_ms;         /* monotonic: since when the caller waits, handshake included */
};

struct server_answer {
    int code;
    const char *content_type; /* static; NULL: text/plain */
    char *body;               /* taken over; NULL: empty */
    size_t len;
    unsigned retry_after_s; /* 0: no header */
};

#define SERVER_ANY "*"

struct server_config {
    const char *address; /* SERVER_ANY: all of the machine, IPv6 and IPv4 */
    uint16_t port;
    bool tls, tls13_only;
    const char *client_ca;    /* PEM; NULL: no client certificate is asked for */
    const char *client_names; /* comma-separated common names or DNS names; NULL: any */
    unsigned max_connections, max_requests;
    size_t body_max, body_total_max;
    const char *query; /* the one argument of a request's query that is looked at; NULL: none */
    int64_t request_ms, idle_ms;
    void (*handle)(void *arg, struct server_request *request);
    /* Called at the start of each TLS handshake, so that a certificate that expired while the
       machine slept is replaced (server_use_certificate) before it is shown. May be NULL. */
    void (*before_handshake)(void *arg);
    void *arg;
};

/* config's strings are borrowed for the life of the server; clock and timers too. */
WUKONG_CHECK int server_open(const struct server_config *config, const struct clock *clock,
                             struct timers *timers, struct server **ret, struct err *err);
/* Ends all connections. NULL does nothing. */
void server_close(struct server *s);
/* To be watched for reading; call server_ready when it is. */
int server_fd(const struct server *s);
void server_ready(struct server *s);
uint16_t server_port(const struct server *s);

/* The certificate (chain) and key shown from now on, both PEM; copied. On error the former stays.
 */
WUKONG_CHECK int server_use_certificate(struct server *s, const char *cert, const char *key,
                                        struct err *err);
/* May be called from handle() or any time later. */
void server_answer(struct server_request *request, struct server_answer answer);

/* From now on every answer says `Connection: close`. */
void server_drain(struct server *s);
/* Accepts no more connections. */
void server_stop_listening(struct server *s);

struct server_counts {
    unsigned connections; /* open */
    unsigned busy;        /* of them with a request begun and not yet answered */
    unsigned waiting;     /* requests handed to handle() and not answered yet */
    uint64_t timed_out, evicted, shed, refused;
};
struct server_counts server_counts(const struct server *s);

#endif
