/*
 * The steps of a clone and what they share. steps_source.c: policy, source, gates, pre-flight;
 * steps_after.c: the look at the source after the cut; steps_snapshot.c: freeze, cut, thaw,
 * snapshots; steps_target.c: disks, VM, ready. All pure: observe says how far a step is,
 * apply adds intents or changes the record.
 */
#ifndef WORKER_STEPS_H
#define WORKER_STEPS_H

#include "worker/decide.h"
#include "worker/kinds.h"
#include "wukong/access.h"

/* A live read of the source older than this is read again before the freeze. */
#define READ_FRESH_MS 10000
/* A dry-run older than this is made again before the freeze. */
#define DRY_RUN_FRESH_MS 60000
/* KubeVirt learns the freeze state by a poll every 5 s (virt-launcher
   --qemu-fsfreeze-status-interval), so neither frozen nor thawed can be concluded sooner. */
#define FREEZE_POLL_MS 6000
/* Who waits until fewer guests are frozen looks again this often. */
#define FREEZE_TURN_MS 500
/* Before the guest's own timer thaws it, we do. */
#define THAW_MARGIN_MS 2000
/* Windows holds its writes for so long, and goes on by itself (VSS; KubeVirt
   pkg/storage/snapshot/snapshot.go reads so in the answer to the thaw). */
#define WINDOWS_FREEZE_MS 10000
#define WINDOWS_GUEST_OS "mswindows" /* vmi.status.guestOSInfo.id */
/* A freeze whose answer is not known has reached the guest by then, or never will. */
#define FREEZE_LATE_MS 30000
/* How long after its guest began to run an agent may take to connect. */
#define AGENT_WAIT_MS 120000
/* A claim that only fails for this long ends the attempt; its provisioner retries for ever. */
#define RESTORE_STUCK_MS 120000
/* Of several claims of one snapshot the next follows after this, or when the one before is bound.
 */
#define CLAIM_HEAD_START_MS 5000
/* A freeze is sent this soon after its announcement or not at all: its end is reckoned from there.
 */
#define FREEZE_SEND_MS 10000
/* What a create made may take this long to appear in the caches. */
#define CREATE_SEEN_MS 5000
/* In record.started.vmi_uid: the source was started by somebody else, so it is not ours to stop. */
#define STARTED_BY_OTHERS "-"
/* Waits that no event ends are looked at again this often. */
#define WAIT_POLL_MS 10000
/* One that waits for a person waits for hours, and a thousand may: each look costs some eight
   requests. */
#define WAIT_POLL_MAX_MS 600000
/* How long a clone that is held up before its source is touched waits until its next look: as long
   as it has waited already, within both limits, and up to a quarter longer. */
int64_t view_wait_ms(const struct clone_view *v);
/* Whom a policy holds back is woken when that changes; this is for what nobody tells. */
#define HELD_POLL_MS 60000

enum cut_mode view_cut_mode(const struct clone_view *v);
/* The number of the present attempt, from 1. */
int64_t view_attempt(const struct clone_view *v);
/* True once all snapshots are cut and the record says so: the source is not needed any more. */
static inline bool view_past_cut(const struct clone_view *v)
{
    return v->record.cut_ms != 0;
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
bool view_takes_snapshots(const struct clone_view *v);
bool view_uses_vm_snapshot(const struct clone_view *v);
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
/* The first snapshot, claim or VM whose name is somebody else's; NULL: none. */
const char *view_name_taken(const struct clone_view *v, const char **ret_kind);

/* steps_source.c */
/* Policies, windows and limits may still hold this attempt back: nothing of it is cut yet. */
bool view_may_be_held(const struct clone_view *v);
/* STEP_WAIT while others hold the source, as long as nothing has begun (wukong/holds.h). */
enum observed view_free_of_others(const struct clone_view *v, struct why *why);
enum observed observe_policy(const struct clone_view *v, struct why *why);
void apply_policy(const struct clone_view *v, struct decision *d);
/* The requester of a clone from another namespace was not found to have lost the right
   (steps_access.c). */
enum observed access_kept(const struct clone_view *v, struct why *why);
/* He has been found to have it, a moment ago. */
enum observed access_state(const struct clone_view *v, enum access_right right, struct why *why);
void access_ask(const struct clone_view *v, enum access_right right, struct decision *d);
enum observed observe_source(const struct clone_view *v, struct why *why);
void apply_source(const struct clone_view *v, struct decision *d);
/* --- cut rules (steps_cut.c) --- */

/* A disk's cut is known to outlast a freeze. */
bool view_cut_is_slow(const struct clone_view *v);
bool view_has_cut_rule(const struct clone_view *v, enum cut_rule rule);
/* Without a freeze that lasts until the cut this attempt is worth nothing. */
bool view_must_be_frozen(const struct clone_view *v);
/* Where v->least is met by a freeze alone, quiesce IfAvailable counts as Required. */
void view_raise_quiesce(struct clone_view *v);
/* Who says so, when quiesce is Required: the spec, or policies. */
const char *view_who_requires(const struct clone_view *v);
/* STEP_WAIT: as things are, the cut cannot be what is asked for. */
enum observed view_cut_fits(const struct clone_view *v, struct why *why);

/* steps_after.c */
/* Some disk is made of the source's claim itself, and not of a snapshot. */
bool view_copies_claims(const struct clone_view *v);
/* Of a clone that claims to be Offline and copies claims: looked up when its disks are there. */
enum observed observe_stayed_stopped(const struct clone_view *v, struct why *why);
void apply_stayed_stopped(const struct clone_view *v, struct decision *d);
/* By a look of its own, after the last snapshot was seen cut: the source does not run. */
enum observed view_stayed_stopped(const struct clone_view *v, struct why *why);
/* By the same look, after the last cut: the source runs still, and is the instance that the attempt
   began with. */
enum observed view_stayed_the_same(const struct clone_view *v, struct why *why);
void apply_look_after(const struct clone_view *v, struct decision *d);
/* That look of this attempt; NULL until all snapshots were seen cut. */
const struct call *view_look_after(const struct clone_view *v);
/* The source is not what the attempt began with: says so and fails it. */
enum observed view_source_changed(struct why *why);
/* Something was seen in this attempt that changes what the claims of the source hold. */
enum observed view_source_spoiled(const struct clone_view *v, struct why *why);
/* By the look after the cut: a VirtualMachineBackup came in between, which thaws whoever froze. */
bool view_thawed_by_backup(const struct clone_view *v);
/* True when the call read a VMI that has not ended. */
bool call_read_running_vmi(const struct call *c);
/* steps_source.c */
enum observed observe_gates(const struct clone_view *v, struct why *why);
void apply_gates(const struct clone_view *v, struct decision *d);
/* What the keys of this attempt's dry runs begin with: those of an earlier one tried claims that
   hang on other snapshots, and prove nothing. */
const char *view_dry_slot(const struct clone_view *v);
enum observed observe_preflight(const struct clone_view *v, struct why *why);
void apply_preflight(const struct clone_view *v, struct decision *d);
/* steps_share.c */
enum observed observe_share(const struct clone_view *v, struct why *why);
void apply_share(const struct clone_view *v, struct decision *d);
/* The record that begins the attempt names who shares it. */
void share_close(const struct clone_view *v, struct decision *d);
/* steps_snapshot.c */
/* STEP_TODO when nobody else freezes the guest, or has a moment ago; else STEP_WAIT. */
/* As many guests of other clones are frozen as may be, and this one is to be. */
bool view_waits_for_turn(const struct clone_view *v);
enum observed observe_free_guest(const struct clone_view *v, struct why *why);
enum observed observe_freeze(const struct clone_view *v, struct why *why);
void apply_freeze(const struct clone_view *v, struct decision *d);
enum observed observe_cut(const struct clone_view *v, struct why *why);
void apply_cut(const struct clone_view *v, struct decision *d);
/* steps_vmsnapshot.c: the cut by method VirtualMachineSnapshot. */
/* Its creation is announced in the record: nobody else begins now. */
bool vm_snapshot_begun(const struct clone_view *v);
enum observed observe_vm_snapshot(const struct clone_view *v, struct why *why);
enum consistency vm_snapshot_consistency(const struct clone_view *v);
enum observed observe_thaw(const struct clone_view *v, struct why *why);
enum observed observe_snapshots(const struct clone_view *v, struct why *why);
/* steps_copy.c */
enum observed observe_copies(const struct clone_view *v, struct why *why);
void apply_copies(const struct clone_view *v, struct decision *d);
/* steps_target.c */
enum observed observe_disks(const struct clone_view *v, struct why *why);
void apply_disks(const struct clone_view *v, struct decision *d);
enum observed observe_vm(const struct clone_view *v, struct why *why);
void apply_vm(const struct clone_view *v, struct decision *d);
enum observed observe_ready(const struct clone_view *v, struct why *why);
void apply_ready(const struct clone_view *v, struct decision *d);
/* This machine is there with its disks, started if it is to be, whatever the others do. */
bool view_target_there(const struct clone_view *v, const struct view_target *t);
/* And owns its disks: nothing is left to be done for it. */
bool view_target_done(const struct clone_view *v, const struct view_target *t);

/* --- Obligations (obligations.c): looked at before the steps. --- */

/* Sends the thaw that is owed and records it when it is known to have happened. */
void oblige_thaw(const struct clone_view *v, struct decision *d, bool wanted);
/* Removes everything of ours but the machines that have been ready, and what their disks need; true
   when nothing else is left. */
bool oblige_remove_all(const struct clone_view *v, struct decision *d);
/* Removes one machine and its disks; true when they are gone. */
bool oblige_remove_target(const struct clone_view *v, struct decision *d,
                          const struct view_target *t);
/* Removes the copies in the target's namespace alone; true when none is left. */
bool oblige_remove_copies(const struct clone_view *v, struct decision *d);
/* Removes the snapshots of ours; true when none is left. */
bool oblige_remove_snapshots(const struct clone_view *v, struct decision *d);
/* Waits for creates under way, or just answered, whose object the caches do not show yet: what is
   not seen cannot be removed. True when none is. */
bool oblige_await_creates(const struct clone_view *v, struct decision *d);
/* Asks the API server itself whether anything of ours is left: snapshots, or with `all` machines
   and claims too. A cache that lags does not know what was made a moment ago. True when nothing is.
 */
bool oblige_nothing_left(const struct clone_view *v, struct decision *d, bool all);
/* Sets the contents of our snapshots to Retain: they are a linked clone's parents. True when all of
   them are. */
bool oblige_hold_parents(const struct clone_view *v, struct decision *d);
/* A machine or a claim of ours is there. */
bool view_has_children(const struct clone_view *v);
/* One that does not stay. */
bool view_has_children_to_go(const struct clone_view *v);
/* True when claims of ours are Pending: their snapshots must stay. */
bool view_claims_pending(const struct clone_view *v);
/* The source that we started, and that shall not go on, runs still. */
bool view_source_to_stop(const struct clone_view *v);
/* Stops it; true when nothing is owed. */
bool oblige_stop_source(const struct clone_view *v, struct decision *d);

/* Lowers d->again_ms to at_ms when that is sooner; 0 does nothing. */
void decision_again(struct decision *d, int64_t at_ms);

#endif
