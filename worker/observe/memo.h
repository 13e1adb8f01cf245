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

/* A text that several calls hold: what was read once for all clones of a source. */
struct shared_text {
    unsigned refs;
    size_t len;
    char text[];
};
/* A copy, with one reference, which the caller gives back. */
struct shared_text *shared_text_new(const char *text, size_t len);
/* NULL is left alone. */
void shared_text_drop(struct shared_text *t);

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
    char *body;             /* of a READ that succeeded; set by the two functions below */
    size_t body_len;
    char *version;              /* of the object that a READ of one read; NULL: it has none */
    struct shared_text *shared; /* that body is held there; NULL: by this call */
    char key[];
};

struct memo {
    struct call *calls;
    size_t count;
    int64_t moved_mono_ms; /* the Wukong, its source or a class was last seen to change: what was
                              asked before may have another answer by now */
    int64_t foreign_snapshot_ms; /* a KubeVirt snapshot or backup was seen while we held a freeze */
    int64_t freeze_shown_ms;     /* the VMI's status showed it frozen while we held a freeze, or
                                    KubeVirt did for our VirtualMachineSnapshot */
    int64_t foreign_thaw_ms;     /* and then no longer, though we had not thawed it yet, or though
                                    KubeVirt had not cut all */
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
/* Takes ownership of body, which may be NULL. */
void call_set_body(struct call *c, char *body, size_t len);
/* Takes a reference of its own; NULL: no body. */
void call_share_body(struct call *c, struct shared_text *body);
/* A call whose key starts with the prefix was made. */
bool memo_has(const struct memo *m, const char *prefix);
/* Forgets every call whose key starts with the prefix and which is not under way. */
void memo_forget(struct memo *m, const char *prefix);
static inline bool call_ok(const struct call *c)
{
    return c && c->state == CALL_OK;
}
/* The last answer was good; it may be asked for again right now. */
static inline bool call_was_ok(const struct call *c)
{
    return call_ok(c) || (c && c->state == CALL_FLYING && !c->failures && c->body);
}
static inline bool call_failed(const struct call *c)
{
    return c && c->state == CALL_FAILED;
}

/* The last answer was none, or bad; it may be asked for again right now. */
static inline bool call_had_failed(const struct call *c)
{
    return call_failed(c) || (c && c->state == CALL_FLYING && c->failures);
}
/* The last answer was that it is not there. */
static inline bool call_was_absent(const struct call *c)
{
    return call_had_failed(c) && c->code == 404;
}

static inline bool call_unreadable(const struct call *c)
{
    return call_failed(c) && c->reason && strcmp(c->reason, CALL_UNREADABLE) == 0;
}

#endif
