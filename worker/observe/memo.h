/*
 * struct memo: what this process remembers of one Wukong between two reconciles: the outcome of
 * each call, by its intent's key. It is an optimisation and a proof, never the truth: decide() is
 * right without it, only slower (it looks again) and more careful (a freeze whose answer it does
 * not know is one that may have happened). It dies with the process and with the clone.
 */
#ifndef OBSERVE_MEMO_H
#define OBSERVE_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

/* call.reason of a read that was answered with what cannot be read or copied. */
#define CALL_UNREADABLE "Unreadable"

enum call_state { CALL_NONE, CALL_FLYING, CALL_OK, CALL_FAILED };

struct call {
    struct call *next;
    enum call_state state;
    int64_t sent_ms, done_ms; /* wall clock */
    int64_t sent_mono_ms;     /* and by the one that nobody sets */
    int64_t done_mono_ms;
    int64_t retry_ms;       /* wall clock; not sent again before */
    int64_t retry_mono_ms;  /* and this is what counts */
    unsigned failures;      /* in a row */
    enum err_kind kind;     /* of the last failure */
    int code;               /* HTTP status of the last answer; 0: none came */
    char *reason, *message; /* of the last failure; NULL on success */
    char *body;             /* of a READ that succeeded */
    size_t body_len;
    char key[];
};

struct memo {
    struct call *calls;
    size_t count;
    int64_t foreign_snapshot_ms; /* a KubeVirt snapshot or backup was seen while we held a freeze */
    int64_t freeze_shown_ms;     /* the VMI's status showed it frozen while we held a freeze */
    int64_t foreign_thaw_ms;     /* and then no longer, though we had not thawed it yet */
    int64_t source_changed_ms;   /* the source was not what the attempt under way had begun with */
    int64_t agentless_ms;        /* the source was first seen running without its agent, */
    uint64_t agentless;          /* and which instance of it: a hash of its UID */
    int64_t held_ms;             /* something held the source that changes what its claims hold, */
    int64_t spoiled_ms;          /* and did so within an attempt that was under way; */
    int spoiled_by;              /* enum hold: that */
    int64_t thawed_wall_ms;      /* the last thaw this process knows to have worked */
};

void memo_release(struct memo *m);
/* NULL when the call was never made. Borrowed until the next change of the memo. */
const struct call *memo_find(const struct memo *m, const char *key);
const struct call *memo_findf(const struct memo *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Makes the slot when it is absent. */
struct call *memo_slot(struct memo *m, const char *key);
/* Forgets every call whose key starts with the prefix and which is not under way. */
void memo_forget(struct memo *m, const char *prefix);
static inline bool call_ok(const struct call *c)
{
    return c && c->state == CALL_OK;
}
static inline bool call_failed(const struct call *c)
{
    return c && c->state == CALL_FAILED;
}

static inline bool call_unreadable(const struct call *c)
{
    return call_failed(c) && c->reason && strcmp(c->reason, CALL_UNREADABLE) == 0;
}

#endif
