/*
 * struct call log: what this process remembers of one Wukong between two reconciles: the outcome of
 * each call, by its key, and the proofs of a freeze. It saves requests and proves order, and is
 * never the truth. Without it decide() is right but slower, because it reads again, and more
 * careful: it must assume that an unanswered freeze has happened. It ends with the process and with
 * the clone.
 */
#ifndef OBSERVE_CALL_LOG_H
#define OBSERVE_CALL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "observe/call_key.h"

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
    bool quota;             /* and it was a ResourceQuota that refused it */
    char *reason, *message; /* of the last failure; NULL on success */
    char *body;             /* of a READ that succeeded; set by the two functions below */
    size_t body_len;
    char *version;              /* of the object that a READ of one read; NULL: it has none */
    struct shared_text *shared; /* that body is held there; NULL: by this call */
    struct call_key key;
    char texts[]; /* of the key */
};

/* What one freeze has come to, as far as this process has sent it: each proves that something came
   before something else. */
enum proof_kind {
    PROOF_NONE,
    PROOF_ARMED,             /* the record that announces it was sent */
    PROOF_HELD,              /* the thaw was sent, with all seen cut, before Windows gives up */
    PROOF_HELD_LONG,         /* the same, but later than Windows holds a freeze */
    PROOF_THAW_SENT,         /* the thaw was sent, and not all was seen cut while it held */
    PROOF_THAW_WORKED,       /* the first thaw has worked */
    PROOF_THAW_WORKED_LATER, /* a repeated one did, after one that had not */
    PROOF_THAWED,            /* the record that the thaw is no longer owed was sent */
};
struct freeze_proof {
    enum proof_kind kind;
    int64_t freeze_ms; /* which freeze: its record.attempt.freeze.requested_ms */
};
/* The times are those of the call that the proof came with; 0: not known when it was given. */
struct proven {
    struct proven *next;
    struct freeze_proof proof;
    int64_t sent_mono_ms, done_mono_ms;
};

struct call_log {
    struct call *calls;
    struct proven *proofs;
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
    int64_t cleaning_what;       /* what is being cleaned up (call_log_note_cleaning); 0: nothing */
    int64_t cleaning_mono_ms;    /* and since when this process could have done so */
    int64_t thawed_wall_ms;      /* the last thaw this process knows to have worked */
};

/* The whole clone is being removed, or an attempt by its number. */
#define CLEANING_ALL (-1)
/* Call it at each reconcile. The time of a clean-up counts from this process's first reconcile of
   it, and starts again after each call that the API server did not answer. So a worker that was
   down or cut off never gives a clean-up up too early. */
void call_log_note_cleaning(struct call_log *m, int64_t what, int64_t now_mono_ms);
void call_log_release(struct call_log *m);
/* NULL when the call was never made. Borrowed until the next change of the call log. */
const struct call *call_log_find(const struct call_log *m, struct call_key key);
/* Makes the slot when it is absent. */
struct call *call_log_get(struct call_log *m, struct call_key key);
/* NULL: not proven. */
const struct proven *call_log_proven(const struct call_log *m, enum proof_kind kind,
                                     int64_t freeze_ms);
/* Proves it, if it is not; the caller fills in the times. */
struct proven *call_log_prove(struct call_log *m, struct freeze_proof proof);
/* Takes ownership of body, which may be NULL. */
void call_set_body(struct call *c, char *body, size_t len);
/* Takes a reference of its own; NULL: no body. */
void call_share_body(struct call *c, struct shared_text *body);
/* A call of that kind was made for an object of that resource. */
bool call_log_has(const struct call_log *m, enum call_kind kind, const char *resource);
/* Forgets every call of that kind which is not under way. */
void call_log_forget(struct call_log *m, enum call_kind kind);
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
