/*
 * Questions about the state of a clone, each answered by the state alone: what steps, teardown and
 * decide have in common. None sends, waits or changes anything.
 */
#ifndef OBSERVE_QUERIES_H
#define OBSERVE_QUERIES_H

#include "observe/state.h"
#include "observe/times.h"

/* vmi.status.guestOSInfo.id */
#define WINDOWS_GUEST_OS "mswindows"
/* In record.started.vmi_uid: the source was started by somebody else, so it is not ours to stop. */
#define STARTED_BY_OTHERS "-"

/* How long a clone that is held up before its source is touched waits until its next look: as long
   as it has waited already, within both limits, and up to a quarter longer. */
int64_t clone_wait_ms(const struct clone_state *v);
/* The same of a look at that time; wall. */
int64_t clone_wait_at(const struct clone_state *v, int64_t at_ms);
enum cut_mode clone_cut_mode(const struct clone_state *v);
/* What is being cleaned up, for call_log_note_cleaning; 0: nothing. */
int64_t clone_cleans_up(const struct clone_state *v);
/* For how much longer the clean-up goes on before it is given up; <= 0: it is late. */
int64_t clone_cleaning_left_ms(const struct clone_state *v);
/* The number of the present attempt, from 1. */
int64_t clone_attempt(const struct clone_state *v);
/* Of the plan of its disks: an attempt has a second one where it goes from groups to single
   snapshots before it begins. What was tried of one says nothing of the other. */
int64_t clone_plan_number(const struct clone_state *v);
/* True once all snapshots are cut and the record says so: the source is not needed any more. */
static inline bool clone_past_cut(const struct clone_state *v)
{
    return v->record.attempt.cut_ms != 0;
}
/* Another one's freeze and cut are this one's, too: it is on the list. What would hold back its own
   beginning does not any more, or its application would be released before the last cut. */
static inline bool clone_cut_by_other(const struct clone_state *v)
{
    return v->share.role == SHARE_BOUND || v->share.role == SHARE_TAKE_OVER;
}
/* True when the capture has disks and all of them are cut. */
bool clone_all_cut(const struct clone_state *v);
/* The method needs one; else the source's claim itself is copied. */
bool clone_disk_has_snapshot(const struct disk_state *d);
/* Its point in time is fixed. */
bool clone_disk_is_cut(const struct disk_state *d);
bool clone_takes_snapshots(const struct clone_state *v);
bool clone_uses_vm_snapshot(const struct clone_state *v);
/* It is cut together with the others of its driver. */
bool clone_disk_in_group(const struct disk_state *d);
/* Of how many moments the snapshots are, if nothing stands still meanwhile: a group counts once
   where its driver keeps the order of writes. */
size_t clone_moments(const struct clone_state *v);
/* By snapshotMethod Auto some disks are cut in a group, and single snapshots may follow. */
bool clone_may_leave_groups(const struct clone_state *v);
/* The creation of a VirtualMachineSnapshot is announced in the record: nobody else begins now. */
bool vm_snapshot_begun(const struct clone_state *v);
const struct call *clone_freeze_call(const struct clone_state *v);
const struct call *clone_thaw_call(const struct clone_state *v);
/* The node's launcher says itself that the guest did not freeze. That its agent does not answer in
   time says nothing: the guest may freeze a while later. */
bool freeze_was_refused(const struct call *freeze);
/* The guest is frozen by us for certain: acknowledged, no thaw sent, its own timer far enough. */
bool clone_freeze_holds(const struct clone_state *v);
/* After so long the guest thaws by itself: by KubeVirt's timer or, on Windows, by its own. */
int64_t clone_unfreeze_ms(const struct clone_state *v);
/* The worker thaws the guest by then, before it thaws by itself; wall. */
int64_t clone_thaw_by_ms(const struct clone_state *v);
/* The answer to our thaw says that the guest had thawed by itself before. */
bool clone_thawed_by_itself(const struct clone_state *v);
/* Every target has all of its claims Bound: the snapshots are not needed any more. */
bool clone_targets_complete(const struct clone_state *v);
/* Its claim may be Pending when the clone is done: it depends on a snapshot, never on a live claim.
 */
bool clone_waits_for_consumer(const struct clone_state *v, size_t disk);
/* The first snapshot, claim or VM whose name is somebody else's; NULL: none. */
const char *clone_name_taken(const struct clone_state *v, const char **ret_kind);
/* Policies, windows and limits may still hold this attempt back: nothing of it is cut yet. */
bool clone_may_be_held(const struct clone_state *v);
bool clone_has_cut_rule(const struct clone_state *v, enum cut_rule rule);
/* Without a freeze that lasts until the cut this attempt is worth nothing. */
bool clone_must_be_frozen(const struct clone_state *v);
/* Where v->least is met by a freeze alone, quiesce IfAvailable counts as Required. */
void clone_raise_quiesce(struct clone_state *v);
/* Who says so, when quiesce is Required: the spec, or policies. */
const char *clone_who_requires(const struct clone_state *v);
/* Some disk is made of the source's claim itself, and not of a snapshot. */
bool clone_copies_claims(const struct clone_state *v);
/* The look at the source after the cut, of this attempt; NULL until all snapshots were seen cut. */
const struct call *clone_look_after(const struct clone_state *v);
/* The dry run of that object in this attempt: those of an earlier one tried claims that hang on
   other snapshots, or on claims that the source has no more, and prove nothing. */
struct call_key clone_dry_key(const struct clone_state *v, enum call_kind kind, const char *name);
/* The read of an object that the cache does not show. */
struct call_key clone_live_key(enum worker_kind kind, const char *name);
/* What this process can prove of the freeze that the record announces; NULL: nothing of that. */
const struct proven *clone_proven(const struct clone_state *v, enum proof_kind kind);
/* The limit of frozen guests is reached, and this clone wants to freeze its own. */
bool clone_waits_for_turn(const struct clone_state *v);
/* A machine or a claim of ours is there. */
bool clone_has_children(const struct clone_state *v);
/* One that does not stay. */
bool clone_has_children_to_go(const struct clone_state *v);
/* True when claims of ours are Pending: their snapshots must stay. */
bool clone_claims_pending(const struct clone_state *v);
/* The object that the spec names as the source is being deleted. */
bool clone_source_deleting(const struct clone_state *v);
/* The worker started the source, shall stop it again, and it still runs. */
bool clone_source_to_stop(const struct clone_state *v);

#endif
