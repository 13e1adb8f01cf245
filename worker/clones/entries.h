/*
 * The Wukongs that the controller knows, by name, by UID and by source. An entry holds what this
 * process keeps of one Wukong between two reconciles (call log, timer, the object as our own last
 * write returned it) and a summary of its record, so that other Wukongs of the same source can be
 * asked without parsing anything.
 */
#ifndef CLONES_ENTRIES_H
#define CLONES_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>

#include <uthash.h>

#include "clones/announce.h"
#include "clones/metrics.h"
#include "clones/sharing.h"
#include "clones/usage.h"
#include "kube/object.h"
#include "observe/call_log.h"
#include "observe/permit.h"

/* What others of the same source must know of one Wukong to share snapshots with it (sharing.h). */
struct entry_share {
    /* From the object. */
    char *key; /* share_write_key; NULL: it shares with nobody, or not any more */
    char round[SHARE_ROUND_TEXT];
    int64_t created_ms, attempt;
    int64_t until_ms; /* wall: sharedUntil */
    bool begun, cut, aborted, deleted, has_finalizer;
    char *taker_uid; /* cloneStatus.shared; NULL: its own */
    int64_t taker_attempt;
    struct share_member *members; /* one block with their strings */
    size_t member_count;
    /* What this process found out, in monotonic milliseconds; forgotten when the round changes. */
    enum share_state state;
    char *ready_key;
    int64_t ready_until_ms, lead_since_ms, tried_ms;
    char *bound_by;  /* UID of the leader whose closing write lists it; meant while that is open */
    bool released;   /* needs the snapshots of its attempt no more */
    bool waits_turn; /* to restore from a shared snapshot */
    int64_t seen_ms; /* the Wukong appeared */
    int64_t cut_seen_ms; /* its cut was in its record */
};

struct entry {
    char *key;             /* "namespace/name" */
    char *ns, *name, *uid; /* in the entry's own block, as key */
    struct call_log call_log;
    struct permit_memo permit;
    unsigned flights; /* calls under way; the entry stays until they are back */
    bool dead;        /* the Wukong is gone */
    /* What our last status write returned. While the watch has not caught up with it, it is the
       truth: watch events before its resourceVersion are older (the stream is in order). */
    struct kube_object *written;
    int64_t written_until_ms; /* the watch is believed again then, whatever it showed */
    int64_t logged;           /* phase and attempt of the last log line */
    struct step_clock step;
    int64_t status_ms; /* wall clock of the last status write */
    /* While it is open it counts as stored: two clones of one source must not announce at once. */
    struct announcement announced;
    /* Summary. */
    char *source; /* "namespace/name" */
    /* started: an attempt has begun, or the source was started for it. */
    bool is_clone, final, started, linked, succeeded;
    size_t policies_broken;
    size_t disk_count; /* as the status says; 0: not known */
    struct usage_holder holder;
    bool owes_thaw;
    bool freezing;              /* among entries.freezers */
    struct entry *next_freezer; /* and its place there */
    int64_t freeze_ms;          /* its guest's own timer, as announced */
    int64_t slot_until_ms;      /* monotonic; 0: nobody has asked since it froze */
    char *freeze_vmi_uid;
    int64_t thawed_ms;
    /* Its VirtualMachineSnapshot freezes the guest, or will, or has in an attempt that failed. */
    bool vm_snapshot;
    int64_t vm_snapshot_end_ms; /* wall clock: when that was over; 0: not in this process */
    struct entry *same_source_next;
    struct entry_share share;
    char *group; /* share.taker_uid while its snapshots are needed */
    struct entry *same_group_next;
    UT_hash_handle by_key, by_uid;
};

struct entries {
    struct entry *by_key, *by_uid;
    struct entry_bucket *by_source, *by_group;
    struct entry *dead;     /* gone, their calls are not back yet; linked by same_source_next */
    struct usage usage;     /* of those that have begun, or may */
    struct entry *freezers; /* those that have a guest frozen, or have announced it */
};

struct entry *entries_by_key(const struct entries *all, const char *ns, const char *name);
struct entry *entries_by_uid(const struct entries *all, const char *uid);
static inline struct entry *entry_of_holder(struct usage_holder *h)
{
    return (struct entry *)((char *)h - offsetof(struct entry, holder));
}
static inline struct usage_holder *holder_by_uid(const struct entries *all, const char *uid)
{
    struct entry *e = entries_by_uid(all, uid);
    return e ? &e->holder : NULL;
}
/* The first entry whose source is that object; go on with same_source_next. */
struct entry *entries_of_source(const struct entries *all, const char *ns, const char *name);
/* The first of those of the same source, itself included. */
struct entry *entries_beside(const struct entries *all, const struct entry *e);
/* The first entry that took over a snapshot of the Wukong with that UID; same_group_next. */
struct entry *entries_of_group(const struct entries *all, const char *uid);
/* Makes one. */
struct entry *entries_add(struct entries *all, const char *ns, const char *name, const char *uid);
/* Takes it out of all maps; frees it unless calls are under way (entry_landed does then). */
void entries_remove(struct entries *all, struct entry *e);
/* Whether the outcomes of its calls can be forgotten: it is final, and nothing is under way or
   wanted. A status that could not be written (a retry that was asked for) is: it keeps its turn, or
   nobody would look at the Wukong again. */
bool entry_needs_no_calls(const struct entry *e, bool final, size_t intents);
/* To be called when a call of a dead entry is back. */
void entry_landed(struct entries *all, struct entry *e);
/* Takes the summary from the Wukong as the cache or a write shows it. True when those that wait to
   share its snapshot should look again. */
bool entries_summarise(struct entries *all, struct entry *e, const struct kube_object *o);
/* Counts e among those that freeze, or no more: to be called when its announcement has changed. */
void entries_count_freeze(struct entries *all, struct entry *e);
/* How many guests of others may be frozen still. A debt outlives its slot: a guest whose agent is
   dead, or that refuses, holds up nobody for longer than its own timer. */
size_t entries_frozen(struct entries *all, const struct entry *self, int64_t now_ms);
/* Adds a storage class to those of one clone, once; NULL adds nothing. */
void entries_add_class(const char **classes, size_t *count, const char *name);
/* Frees everything, and wakes nobody. */
void entries_release(struct entries *all);

#endif
