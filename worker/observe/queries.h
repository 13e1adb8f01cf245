/*
 * Questions about the state of a clone, each answered by the view alone: what steps, teardown and
 * decide have in common. None sends, waits or changes anything.
 */
#ifndef OBSERVE_QUERIES_H
#define OBSERVE_QUERIES_H

#include "observe/times.h"
#include "observe/view.h"

/* vmi.status.guestOSInfo.id */
#define WINDOWS_GUEST_OS "mswindows"
/* In record.started.vmi_uid: the source was started by somebody else, so it is not ours to stop. */
#define STARTED_BY_OTHERS "-"

/* How long a clone that is held up before its source is touched waits until its next look: as long
   as it has waited already, within both limits, and up to a quarter longer. */
int64_t view_wait_ms(const struct clone_view *v);
/* The same of a look at that time; wall. */
int64_t view_wait_at(const struct clone_view *v, int64_t at_ms);
enum cut_mode view_cut_mode(const struct clone_view *v);
/* The number of the present attempt, from 1. */
int64_t view_attempt(const struct clone_view *v);
/* True once all snapshots are cut and the record says so: the source is not needed any more. */
static inline bool view_past_cut(const struct clone_view *v)
{
    return v->record.attempt.cut_ms != 0;
}
/* Another one's freeze and cut are this one's, too: it is on the list. What would hold back its own
   beginning does not any more, or its application would be released before the last cut. */
static inline bool view_cut_by_other(const struct clone_view *v)
{
    return v->share.role == SHARE_BOUND || v->share.role == SHARE_TAKE_OVER;
}
/* True when the capture has disks and all of them are cut. */
bool view_all_cut(const struct clone_view *v);
/* The method needs one; else the source's claim itself is copied. */
bool view_disk_has_snapshot(const struct view_disk *d);
/* Its point in time is fixed. */
bool view_disk_is_cut(const struct view_disk *d);
bool view_takes_snapshots(const struct clone_view *v);
bool view_uses_vm_snapshot(const struct clone_view *v);
/* The creation of a VirtualMachineSnapshot is announced in the record: nobody else begins now. */
bool vm_snapshot_begun(const struct clone_view *v);
const struct call *view_freeze_call(const struct clone_view *v);
const struct call *view_thaw_call(const struct clone_view *v);
/* The guest is frozen by us for certain: acknowledged, no thaw sent, its own timer far enough. */
bool view_freeze_holds(const struct clone_view *v);
/* After so long the guest goes on by itself: KubeVirt's timer or, of Windows, its own. */
int64_t view_unfreeze_ms(const struct clone_view *v);
/* Then at the latest it is thawed by us, that it has not gone on by itself; wall. */
int64_t view_thaw_by_ms(const struct clone_view *v);
/* Its answer to the thaw says that it had gone on by itself before. */
bool view_thawed_by_itself(const struct clone_view *v);
/* Every target has all of its claims Bound: the snapshots are not needed any more. */
bool view_targets_complete(const struct clone_view *v);
/* It may be Pending when the clone is done: what it hangs on is a snapshot, never a live claim. */
bool view_waits_for_consumer(const struct clone_view *v, size_t disk);
/* The first snapshot, claim or VM whose name is somebody else's; NULL: none. */
const char *view_name_taken(const struct clone_view *v, const char **ret_kind);
/* Policies, windows and limits may still hold this attempt back: nothing of it is cut yet. */
bool view_may_be_held(const struct clone_view *v);
bool view_has_cut_rule(const struct clone_view *v, enum cut_rule rule);
/* Without a freeze that lasts until the cut this attempt is worth nothing. */
bool view_must_be_frozen(const struct clone_view *v);
/* Where v->least is met by a freeze alone, quiesce IfAvailable counts as Required. */
void view_raise_quiesce(struct clone_view *v);
/* Who says so, when quiesce is Required: the spec, or policies. */
const char *view_who_requires(const struct clone_view *v);
/* Some disk is made of the source's claim itself, and not of a snapshot. */
bool view_copies_claims(const struct clone_view *v);
/* The look at the source after the cut, of this attempt; NULL until all snapshots were seen cut. */
const struct call *view_look_after(const struct clone_view *v);
/* The dry run of that object in this attempt: those of an earlier one tried claims that hang on
   other snapshots, and prove nothing. */
struct call_key view_dry_key(const struct clone_view *v, enum call_kind kind, const char *name);
/* The read of an object that the cache does not show. */
struct call_key view_live_key(enum worker_kind kind, const char *name);
/* What this process can prove of the freeze that the record announces; NULL: nothing of that. */
const struct proven *view_proven(const struct clone_view *v, enum proof_kind kind);
/* As many guests of other clones are frozen as may be, and this one is to be. */
bool view_waits_for_turn(const struct clone_view *v);
/* A machine or a claim of ours is there. */
bool view_has_children(const struct clone_view *v);
/* One that does not stay. */
bool view_has_children_to_go(const struct clone_view *v);
/* True when claims of ours are Pending: their snapshots must stay. */
bool view_claims_pending(const struct clone_view *v);
/* The source that we started, and that shall not go on, runs still. */
bool view_source_to_stop(const struct clone_view *v);

#endif
