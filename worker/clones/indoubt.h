/*
 * struct indoubt: a status write whose reply we have not seen ("in doubt"). Other clones must act
 * as if the API server had stored it. Otherwise a second clone could freeze a guest that this one
 * has just announced to freeze, or take a slot or a snapshot that this one uses. The clone itself
 * must not forget that all is cut, or that it has ended. Pure.
 *
 * The reply may be lost, and the watch may hang for minutes, so waiting alone never ends the doubt.
 * A newer object does: the write carried the old resourceVersion as its precondition, so it is in
 * the newer object or was refused. The newer object comes with a reply, by the watch, or by a read
 * that we send when the reply is lost. If the read shows nothing newer for longer than a request
 * can be under way, the write has failed.
 *
 * Times are monotonic milliseconds.
 */
#ifndef CLONES_INDOUBT_H
#define CLONES_INDOUBT_H

#include <stdbool.h>
#include <stdint.h>

#include "actions/intents.h"
#include "kube/object.h"
#include "observe/call_log.h"

/* The API server finishes a request within its own limit even when the client is gone
   (kube-apiserver --request-timeout, 1 m by default). Our client gives up before that. */
#define INDOUBT_LANDS_MS 90000
/* The worker asks the API server again this often. */
#define INDOUBT_READ_MS 2000

enum announced {
    ANNOUNCED_FREEZE = 1, /* the source's guest is not free */
    ANNOUNCED_SEAL = 2,   /* all is cut, or the clone has ended */
};

struct indoubt {
    char *base;      /* resourceVersion that it was made from; NULL: none is open */
    unsigned what;   /* enum announced: of all writes that were made from base */
    bool unanswered; /* a write made from base ended without an answer */
    int64_t sent_ms; /* the last of those writes */
    int64_t read_ms; /* the API server was asked last; 0: not since the last write */
};

/* A write made from base has been sent; what: bits of enum announced. */
void indoubt_open(struct indoubt *a, const char *base, unsigned what, int64_t now_ms);
/* True when the intent would recreate what a user has deleted, while the status that says "all cut"
   or "ended" may be stored already. A new snapshot would be of another moment, a new machine one
   that the user does not want. */
bool indoubt_forbids(const struct indoubt *a, const struct intent *i);
/* Both return true when that ends the doubt. status: the call log's slot of the write. */
bool indoubt_answered(struct indoubt *a, const struct call *status);
bool indoubt_seen(struct indoubt *a, const struct kube_object *o);
/* read: the slot of CALL_READ_OWN, when its answer has come; o: what it showed, NULL: nothing.
 */
bool indoubt_read(struct indoubt *a, const struct call *read, const struct kube_object *o);
/* True when the worker should read the Wukong from the API server now. */
bool indoubt_wants_read(const struct indoubt *a, const struct call *status, int64_t now_ms);
void indoubt_close(struct indoubt *a);

#endif
