/*
 * struct request_budget: how many requests the clones may send of which nobody knows yet whether
 * they can run, or of which it is known that they cannot. Thousands may wait for a person, and
 * together they must not be what the API server works for.
 *
 * Two lanes: one for what a clone asks and tries before it begins, one for what it tells of its
 * waiting. Each has tokens, one for each request; both are refilled from one stream. Who finds none
 * waits in the lane's line, where the namespaces take turns, so that nobody waits behind another
 * tenant's thousand. What a clone has taken comes back as soon as it is known to be able to run: as
 * long as clones pass, the next ones try at once.
 *
 * Pure: no clock, no network. All times are monotonic milliseconds.
 */
#ifndef CLONES_REQUEST_BUDGET_H
#define CLONES_REQUEST_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clones/usage.h"

/* 667 a minute for both lanes; with what they hold beforehand, and with the lists, watches and the
   lease of the process, that makes less than 1,000 in the first. */
#define BUDGET_APART_MS 90
#define BUDGET_TRIES 100
#define BUDGET_TELLS 60

enum budget_lane_id { LANE_TRIES, LANE_TELLS, BUDGET_LANES };

/* One clone's part in one lane, embedded in what its owner keeps of it. */
struct budget_waiter {
    const struct clone_usage *whose; /* its namespace */
    uint64_t turn;                   /* its place in the line: the lowest goes first */
    unsigned spent;                  /* tokens that come back when it can run */
    bool waits;                      /* it stands in the line */
    bool granted;                    /* its turn came, and a token is kept for it */
    int64_t open_ms;                 /* what goes along with that one may until then */
    bool wants;                      /* it has asked for one within the look that goes on */
};

struct budget_namespace;

struct budget_lane {
    int64_t tokens;               /* negative: more were taken along than there were */
    struct budget_waiter **items; /* by turn */
    size_t count, room;
    struct budget_namespace *namespaces; /* their last places; empty while nobody waits */
    uint64_t turn;                       /* the last that came */
};

struct request_budget {
    struct budget_lane lanes[BUDGET_LANES];
    int64_t refilled_ms; /* 0: not yet */
    enum budget_lane_id next;
};

void request_budget_release(struct request_budget *b);
/* What a clone asks, and asks again when it is answered, goes along with the request whose turn
   has come. */
#define BUDGET_ALONG_MS 2000

/* Takes a token for one request; false: the clone waits in the line. along: within BUDGET_ALONG_MS
   of its turn it needs no other, and those who follow wait the longer. */
bool request_budget_take(struct request_budget *b, enum budget_lane_id lane,
                         struct budget_waiter *w, bool along, int64_t now_ms);
/* A look at the clone is over: who has not asked waits no longer. */
void request_budget_settle(struct request_budget *b, enum budget_lane_id lane,
                           struct budget_waiter *w);
/* It can run: what it has taken comes back. */
void request_budget_return(struct request_budget *b, enum budget_lane_id lane,
                           struct budget_waiter *w);
/* It is gone, or is no clone any more. */
void request_budget_leave(struct request_budget *b, enum budget_lane_id lane,
                          struct budget_waiter *w);
/* The next whose turn has come; it is to be looked at. NULL: nobody's. */
struct budget_waiter *request_budget_next(struct request_budget *b, enum budget_lane_id lane,
                                          int64_t now_ms);
/* When request_budget_next may have one; INT64_MAX: not before somebody waits. */
int64_t request_budget_next_ms(const struct request_budget *b);

#endif
