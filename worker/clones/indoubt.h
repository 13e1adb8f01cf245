/*
 * struct indoubt: a status write that other clones must know of before any cache shows it, and
 * whose outcome is not known: that a guest is about to be frozen (by us, or by KubeVirt for a
 * VirtualMachineSnapshot), who shares the coming snapshot, whose cut is taken over, that a clone is
 * under way and takes a slot. And one that this clone itself must know of: that all is cut, or that
 * it has ended. Pure.
 *
 * Its answer may be lost, and the watch that would show it may hang for minutes, so no time settles
 * it. What does is an object that is newer than the one which it was made from: the write carried
 * that one's resourceVersion as its precondition, and is in the newer object or nowhere. Such an
 * object comes with an answer, with the watch, or from the API server itself, which is asked when
 * an answer is lost. If that shows nothing newer for longer than a request can be on its way, the
 * write has come to nothing.
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

/* What a request that nobody waits for may still do, it does within the API server's own limit
   (kube-apiserver --request-timeout, 1 m by default), and our client gives up before. */
#define INDOUBT_LANDS_MS 90000
/* The API server is asked again this often. */
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
/* What a user deletes is not made anew while it may be stored that all is cut, or that the clone
   has ended: a snapshot would be of another moment, a machine one that the user does not want. */
bool indoubt_forbids(const struct indoubt *a, const struct intent *i);
/* These return true when that settles it. status: the call log's slot of the write. */
bool indoubt_answered(struct indoubt *a, const struct call *status);
bool indoubt_seen(struct indoubt *a, const struct kube_object *o);
/* read: the slot of CALL_READ_OWN, when its answer has come; o: what it showed, NULL: nothing.
 */
bool indoubt_read(struct indoubt *a, const struct call *read, const struct kube_object *o);
/* Is the API server to be asked now? */
bool indoubt_wants_read(const struct indoubt *a, const struct call *status, int64_t now_ms);
void indoubt_close(struct indoubt *a);

#endif
