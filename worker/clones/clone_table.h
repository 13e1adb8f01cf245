/*
 * The Wukongs that the controller knows, by name, by UID and by source. A clone holds what this
 * process keeps of one Wukong between two reconciles: the call log, the timer, and the object as
 * our last write returned it. It also holds a summary of the record, so that other Wukongs of the
 * same source read it without parsing.
 */
#ifndef CLONES_CLONE_TABLE_H
#define CLONES_CLONE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <uthash.h>

#include "clones/freeze_limit.h"
#include "clones/freeze_queue.h"
#include "clones/indoubt.h"
#include "clones/metrics.h"
#include "clones/request_budget.h"
#include "clones/share_rules.h"
#include "clones/usage.h"
#include "kube/object.h"
#include "observe/call_log.h"
#include "observe/stamp_check.h"

/* What other Wukongs of the same source must know to share this one's snapshots (share_rules.h). */
struct clone_sharing {
    /* From the object. */
    char *key; /* share_write_key; NULL: it shares with nobody, or not any more */
    char attempt_id[ATTEMPT_ID_TEXT];
    int64_t created_ms, attempt;
    int64_t until_ms; /* wall: sharedUntil */
    bool begun, cut, aborted, deleted, has_finalizer;
    char *owner_uid; /* cloneStatus.shared; NULL: its own */
    int64_t owner_attempt;
    struct share_member *members; /* one block with their strings */
    size_t member_count;
    /* What this process found out, in monotonic milliseconds; forgotten when the attempt changes.
     */
    enum share_state state;
    char *ready_key;
    int64_t ready_until_ms, lead_since_ms, tried_ms;
    char *bound_by;  /* UID of the leader whose closing write lists it; meant while that is open */
    bool released;   /* needs the snapshots of its attempt no more */
    bool waits_turn; /* to restore from a shared snapshot */
    int64_t seen_ms; /* the Wukong appeared */
    int64_t cut_seen_ms; /* its cut was in its record */
};

struct clone {
    char *key;             /* "namespace/name" */
    char *ns, *name, *uid; /* in the clone's own block, as key */
    struct call_log call_log;
    struct stamp_check_memory permit;
    unsigned flights; /* calls under way; the clone stays until they are back */
    bool dead;        /* the Wukong is gone */
    /* The Wukong as our last status write returned it. Until the watch has caught up, use this one:
       watch events before its resourceVersion are older (the stream is in order). */
    struct kube_object *written;
    int64_t written_until_ms; /* from then on use what the watch shows */
    int64_t logged;           /* phase and attempt of the last log line */
    struct step_clock step;
    int64_t status_ms; /* wall clock of the last status write */
    /* A status write in doubt counts as stored, or two clones of one source could announce a freeze
       at once. */
    struct indoubt announced;
    /* Summary. */
    char *source; /* "namespace/name" */
    /* started: an attempt has begun, or the source was started for it. */
    bool is_clone, final, started, linked, succeeded;
    size_t policies_broken;
    size_t disk_count; /* as the status says; 0: not known */
    struct clone_usage usage;
    struct freeze_waiter freeze_waiter;
    /* Its requests while nobody knows whether it can run. */
    struct budget_waiter budget[BUDGET_LANES];
    bool can_run;     /* it has passed the pre-flight, and nothing has held it up since */
    bool taken_along; /* holds its slot because an equal one that goes on has one */
    bool counted;     /* what the look that goes on sends is taken from the budget */
    bool owes_thaw;
    bool freezing;              /* among clone_table.freezers */
    struct clone *next_freezer; /* and its place there */
    int64_t freeze_asked_ms;    /* which freeze: its requested_ms */
    int64_t freeze_ms;          /* its guest's own timer, as announced */
    bool freeze_refused;        /* by the node: the guest goes on */
    unsigned freeze_beside;     /* guests of others frozen at the same time, at most */
    int64_t slot_until_ms; /* of a freeze that this process has not sent: monotonic; 0: nobody has
                              asked since it was seen */
    char *freeze_vmi_uid;
    int64_t thawed_ms;
    /* Its VirtualMachineSnapshot freezes the guest, or will, or has in an attempt that failed. */
    bool vm_snapshot;
    int64_t vm_snapshot_end_ms; /* wall clock: when that was over; 0: not in this process */
    struct clone *same_source_next;
    struct clone_sharing share;
    char *group; /* share.owner_uid while its snapshots are needed */
    struct clone *same_group_next;
    UT_hash_handle by_key, by_uid;
};

struct clone_table {
    struct clone *by_key, *by_uid;
    struct clone_bucket *by_source, *by_group;
    struct clone *dead;     /* gone, their calls are not back yet; linked by same_source_next */
    struct usage usage;     /* of those that have begun, or may */
    struct clone *freezers; /* those that have a guest frozen, or have announced it */
    struct freeze_queue freeze_queue; /* and those that wait for them */
    struct freeze_limit freeze_limit; /* how many may be frozen, */
    unsigned max_frozen;              /* of so many at most, as configured; 0: no limit */
    struct request_budget budget;     /* of those that have not begun */
};

struct clone *clone_table_by_key(const struct clone_table *all, const char *ns, const char *name);
struct clone *clone_table_by_uid(const struct clone_table *all, const char *uid);
static inline struct clone *clone_of_usage(struct clone_usage *h)
{
    return (struct clone *)((char *)h - offsetof(struct clone, usage));
}
static inline struct clone_usage *usage_by_uid(const struct clone_table *all, const char *uid)
{
    struct clone *e = clone_table_by_uid(all, uid);
    return e ? &e->usage : NULL;
}
static inline struct clone *clone_of_budget(struct budget_waiter *w, enum budget_lane_id lane)
{
    return (struct clone *)((char *)(w - lane) - offsetof(struct clone, budget));
}
/* The first entry whose source is that object; go on with same_source_next. */
struct clone *clone_table_of_source(const struct clone_table *all, const char *ns,
                                    const char *name);
/* The first of those of the same source, itself included. */
struct clone *clone_table_beside(const struct clone_table *all, const struct clone *e);
/* The first entry that took over a snapshot of the Wukong with that UID; same_group_next. */
struct clone *clone_table_of_group(const struct clone_table *all, const char *uid);
/* Makes one. */
struct clone *clone_table_add(struct clone_table *all, const char *ns, const char *name,
                              const char *uid);
/* Takes it out of all maps; frees it unless calls are under way (clone_landed does then). */
void clone_table_remove(struct clone_table *all, struct clone *e);
/* Nobody waits behind one that is not looked at. */
void clone_table_leave_lines(struct clone_table *all, struct clone *e);
/* Whether the outcomes of its calls can be forgotten: it is final, and nothing is under way or
   wanted. A status that could not be written (a retry that was asked for) is: it keeps its turn, or
   nobody would look at the Wukong again. */
bool clone_needs_no_calls(const struct clone *e, bool final, size_t intents);
/* Call it when a call of a dead clone has returned. */
void clone_landed(struct clone_table *all, struct clone *e);
/* Takes the summary from the Wukong as the cache or a write shows it. True when the clones that
   wait to share its snapshot should be reconciled. */
bool clone_table_summarise(struct clone_table *all, struct clone *e, const struct kube_object *o);
/* Counts e among those that freeze, or no more: to be called when its announcement has changed. */
void clone_table_count_freeze(struct clone_table *all, struct clone *e);
/* How many guests of others may be frozen still. A debt outlives its slot: a guest whose agent or
   node is dead holds up nobody for longer than its own timer, and one that refuses nobody at all.
 */
size_t clone_table_frozen(struct clone_table *all, const struct clone *self, int64_t now_ms);
/* Adds a storage class to those of one clone, once; NULL adds nothing. */
void clone_table_add_class(const char **classes, size_t *count, const char *name);
/* Frees everything, and wakes nobody. */
void clone_table_release(struct clone_table *all);

#endif
