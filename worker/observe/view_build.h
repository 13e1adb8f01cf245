/*
 * From the caches to a view of one Wukong. Reads nothing but caches and memo; writes nothing but
 * the memo (the finished capture, and that a foreign snapshot was seen).
 */
#ifndef OBSERVE_VIEW_BUILD_H
#define OBSERVE_VIEW_BUILD_H

#include "observe/caches.h"
#include "observe/ours.h"
#include "observe/permit.h"
#include "observe/view.h"

struct view_settings {
    int64_t unfreeze_timeout_ms;
    struct permit permit;       /* of a clone from another namespace; may_start of any */
    bool freeze_elsewhere;      /* another Wukong owes a thaw on this source */
    unsigned freezes_max;       /* guests that may be frozen at once; 0: no limit */
    bool freezes_full;          /* other Wukongs have as many frozen */
    bool vm_snapshot_elsewhere; /* another Wukong's VirtualMachineSnapshot of it is under way */
    int64_t last_thaw_ms;       /* wall; of this source, by any Wukong; 0: none known */
    /* Policy's verdict: see view.h. */
    const char *permitted_why;
    enum reason permitted_reason;
    int64_t permitted_ms, permitted_until_ms;
    const struct share_group *held; /* see view.h */
    size_t held_group_count;
    /* Raises in v->classes what the policies demand, before the disks are planned, and says in
       v->least what they demand of the cut; NULL: nobody. */
    void (*raise_cuts)(const void *arg, const struct kube_object *object, struct clone_view *v);
    const void *raise_arg;
};

/* object: the Wukong as cached. ret is zeroed by the caller but for `arena`, or holds what
   view_read_wukong has read of this very object, which is not done again then. -1 when the object
   cannot be decoded (an Event cannot help there: the API server stored it so). */
WUKONG_CHECK int view_build(struct clone_view *ret, const struct caches *caches,
                            const struct kube_object *object, struct memo *memo, struct now now,
                            const struct view_settings *settings, struct err *err);
/* Frees what the view owns beside its arena. */
void view_release(struct clone_view *v);

/* A cached field parsed; it lives as long as the view. NULL when absent. */
const cJSON *view_field_tree(struct clone_view *v, const struct kube_object *o, const char *path);

/* The parts of view_build. c: through which the view notes what cannot be read. */
/* view_source.c */
void view_read_source(struct clone_view *v, const struct caches *c);
void view_note_others(const struct clone_view *v, struct memo *memo);
/* To be called once the snapshots were read: KubeVirt thaws when all are cut, not before. */
void view_note_kubevirts_freeze(const struct clone_view *v, struct memo *memo);
void view_note_source(const struct clone_view *v, struct memo *memo);
/* view_classes.c */
void view_read_classes(struct clone_view *v, const struct caches *c);
/* view_snapshots.c; view_find_carrier: a visitor of caches.each, arg is the view. */
bool view_find_carrier(void *arg, const struct kube_object *o);
void view_see_snapshots(struct clone_view *v, const struct caches *c);
/* view_targets.c */
void view_see_targets(struct clone_view *v, const struct caches *c);
/* The newest failure of each claim that is not bound. */
void view_see_events(struct clone_view *v, const struct caches *c);

/* Fills v->ours and v->strangers (view_ours.c). */
void view_see_ours(struct clone_view *v, const struct caches *c);
/* Whose the snapshots of this attempt are, and in which of its attempts they were taken: the
   clone itself, or the one whose it shares. */
struct ours_clone view_taker(const struct clone_view *v);
int64_t view_taken_in(const struct clone_view *v);
/* The object is this clone's own (ours.h), by what its record holds as well. */
bool view_is_ours(const struct clone_view *v, enum worker_kind kind, const struct kube_object *o);

/* Fills disks[].copy (view_copy.c). */
void view_see_copies(struct clone_view *v, const struct caches *c);

/* Fills v->invalid, once per generation (view_spec.c). */
void view_judge_spec(struct clone_view *v, struct memo *memo, const struct kube_object *object);

/* What keeps a VolumeSnapshot of ours from being deleted now (view_left.c). */
struct view_leftover;
void view_see_left_content(const struct clone_view *v, const struct caches *c,
                           const struct kube_object *o, struct view_leftover *left);
void view_see_left_snapshot(struct clone_view *v, const struct caches *c,
                            const struct kube_object *o, struct view_leftover *left);

/* What the API server said itself a moment ago of an object that the cache does not show. NULL: it
   is not there, or *ret_unread: it must be read, under view_live_key. */
const struct kube_object *view_live(struct clone_view *v, enum worker_kind kind, const char *name,
                                    bool *ret_unread);

/* The first half alone: the decoded Wukong and its record, without looking at anything else. */
WUKONG_CHECK int view_read_wukong(struct clone_view *ret, const struct kube_object *object,
                                  struct err *err);

#endif
