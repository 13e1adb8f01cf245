/*
 * From the caches to a state of one Wukong. Reads nothing but caches and call log; writes nothing
 * but the call log (the finished capture, and that a foreign snapshot was seen).
 */
#ifndef OBSERVE_OBSERVE_H
#define OBSERVE_OBSERVE_H

#include "observe/cache_reader.h"
#include "observe/ours.h"
#include "observe/stamp_check.h"
#include "observe/state.h"

struct observe_settings {
    int64_t unfreeze_timeout_ms;
    int64_t clock_ahead_ms;    /* of the API server's clock, as far as it is known */
    struct stamp_check permit; /* of a clone from another namespace; may_start of any */
    struct other_clones others;
    const char *group_version; /* in which VolumeGroupSnapshots are served; NULL: the newest */
    /* Policy's verdict: see state.h. */
    const char *permitted_why;
    enum reason permitted_reason;
    int64_t permitted_ms, permitted_until_ms;
    const struct snapshot_set *held; /* see state.h */
    size_t held_group_count;
    /* Raises in v->classes what the policies demand, before the disks are planned, and says in
       v->least what they demand of the cut; NULL: nobody. */
    void (*raise_cuts)(const void *arg, const struct kube_object *object, struct clone_state *v);
    const void *raise_arg;
};

/* object: the Wukong as cached. ret is zeroed by the caller but for `arena`, or holds what
   observe_wukong has read of this very object, which is not done again then. -1 when the object
   cannot be decoded (an Event cannot help there: the API server stored it so). */
WUKONG_CHECK int observe_clone(struct clone_state *ret, const struct cache_reader *caches,
                               const struct kube_object *object, struct call_log *call_log,
                               struct now now, const struct observe_settings *settings,
                               struct err *err);
/* Frees what the state owns beside its arena. */
void clone_state_release(struct clone_state *v);

/* A cached field parsed; it lives as long as the state. NULL when absent. */
const cJSON *clone_field_tree(struct clone_state *v, const struct kube_object *o, const char *path);

/* The parts of observe_clone. c: through which the state notes what cannot be read. */
/* observe.c: whether the namespaces of the clone and of its source are being deleted. */
void observe_namespaces(struct clone_state *v, const struct cache_reader *c);
/* source.c */
void observe_source(struct clone_state *v, const struct cache_reader *c);
void observe_note_others(const struct clone_state *v, struct call_log *call_log);
/* To be called once the snapshots were read: KubeVirt thaws when all are cut, not before. */
void observe_note_kubevirts_freeze(const struct clone_state *v, struct call_log *call_log);
void observe_note_source(const struct clone_state *v, struct call_log *call_log);
/* classes.c */
void observe_classes(struct clone_state *v, const struct cache_reader *c);
/* snapshots.c; the first finds what carries the capture. */
void observe_carrier(struct clone_state *v, const struct cache_reader *c);
void observe_snapshots(struct clone_state *v, const struct cache_reader *c);
/* groups.c: v->groups and whose the disks are; the VolumeSnapshot of a disk in a group, NULL: it is
   not there yet. */
void observe_groups(struct clone_state *v, const struct cache_reader *c);
const char *clone_group_member(const struct cache_reader *c, const struct disk_state *d);
/* targets.c */
void observe_targets(struct clone_state *v, const struct cache_reader *c);
/* The newest failure of each claim that is not bound. */
void observe_events(struct clone_state *v, const struct cache_reader *c);

/* Fills v->ours and v->strangers (leftovers.c). */
void observe_ours(struct clone_state *v, const struct cache_reader *c);
/* Whose the snapshots of this attempt are, and in which of its attempts they were taken: the
   clone itself, or the one whose it shares. */
struct ours_clone clone_snapshot_owner(const struct clone_state *v);
int64_t clone_snapshot_attempt(const struct clone_state *v);
/* The object is this clone's own (ours.h), by what its record holds as well. */
bool clone_owns(const struct clone_state *v, enum worker_kind kind, const struct kube_object *o);

/* Fills disks[].copy (copies.c). */
void observe_copies(struct clone_state *v, const struct cache_reader *c);

/* Fills v->invalid, once per generation (spec_findings.c). */
void observe_spec_findings(struct clone_state *v, struct call_log *call_log,
                           const struct kube_object *object);

/* What keeps a VolumeSnapshot of ours from being deleted now (leftover_content.c). */
struct leftover;
void observe_left_content(const struct clone_state *v, const struct cache_reader *c,
                          const struct kube_object *o, struct leftover *left);
void observe_left_snapshot(struct clone_state *v, const struct cache_reader *c,
                           const struct kube_object *o, struct leftover *left);
/* A content that we hold ourselves: whether its policy lets its physical snapshot go with it. */
void observe_held_content(const struct clone_state *v, const struct kube_object *o,
                          struct leftover *left);
/* The finalizer of the provisioner, and whether it may be taken off in its place. */
void observe_release(struct clone_state *v, const struct kube_object *o, struct leftover *left);
/* leftover_group.c: the same of a VolumeGroupSnapshot, of its members, of its content. */
void observe_left_group(struct clone_state *v, const struct cache_reader *c,
                        const struct kube_object *o, struct leftover *left);
void observe_left_member(struct clone_state *v, const struct cache_reader *c,
                         const struct leftover *group, const struct kube_object *o,
                         struct leftover *left);
void observe_left_group_content(const struct clone_state *v, const struct cache_reader *c,
                                const struct kube_object *o, struct leftover *left);

/* What the API server said itself a moment ago of an object that the cache does not show. NULL: it
   is not there, or *ret_unread: it must be read, under clone_live_key. */
const struct kube_object *observe_live(struct clone_state *v, enum worker_kind kind,
                                       const char *name, bool *ret_unread);
/* A merge patch of the version that was seen, which takes the finalizer off the object's list;
   NULL: the list does not hold it. For one that another field manager owns, too: an apply takes off
   only what its own manager has put on. */
const char *observe_drop_finalizer(struct arena *a, const struct kube_object *o,
                                   const char *finalizer);
/* As the API server itself showed it a moment ago, where that is newer than the cache: a watch may
   hang for minutes, and for what a cache does not show no machine is taken away (the last look,
   decide/last_look.h) and no guest stays frozen (cut_look_live). NULL: neither shows it. */
const struct kube_object *observe_newest(struct clone_state *v, const struct cache_reader *c,
                                         enum worker_kind kind, const char *ns, const char *name);

/* The first half alone: the decoded Wukong and its record, without looking at anything else. */
WUKONG_CHECK int observe_wukong(struct clone_state *ret, const struct kube_object *object,
                                struct err *err);

#endif
