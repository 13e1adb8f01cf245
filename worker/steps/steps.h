/*
 * The steps of a clone and what they share. source.c: policy, source, gates; preflight.c: reading
 * and trying; after.c: the look at the source after the cut; snapshot.c: freeze, cut, thaw,
 * snapshots; target.c: disks, VM, ready. All pure: observe says how far a step is,
 * apply adds intents or changes the record.
 */
#ifndef STEPS_STEPS_H
#define STEPS_STEPS_H

#include "actions/decision.h"
#include "observe/queries.h"
#include "observe/resources.h"
#include "wukong/api/access.h"

/* source.c */
/* STEP_WAIT while others hold the source, as long as nothing has begun (wukong/source/holds.h). */
enum step_status check_free_of_others(const struct clone_state *v, struct why *why);
enum step_status step_policy_check(const struct clone_state *v, struct why *why);
void step_policy_run(const struct clone_state *v, struct decision *d);
/* The requester of a clone from another namespace was not found to have lost the right
   (access.c). */
enum step_status check_access_kept(const struct clone_state *v, struct why *why);
/* He has been found to have it, a moment ago. */
enum step_status check_access(const struct clone_state *v, enum access_right right,
                              struct why *why);
void access_ask(const struct clone_state *v, enum access_right right, struct decision *d);
enum step_status step_source_check(const struct clone_state *v, struct why *why);
void step_source_run(const struct clone_state *v, struct decision *d);
/* --- cut rules (cut.c) --- */

/* STEP_WAIT: as things are, the cut cannot be what is asked for. */
enum step_status check_cut_fits(const struct clone_state *v, struct why *why);
/* While a guest is frozen, asks the API server itself for what the caches have not shown cut for
   two seconds: a watch may hang, and the guest must not stand still for that. */
void cut_look_live(const struct clone_state *v, struct decision *d);

/* after.c */
/* Of a clone that claims to be Offline and copies claims: looked up when its disks are there. */
enum step_status step_stayed_stopped_check(const struct clone_state *v, struct why *why);
void step_stayed_stopped_run(const struct clone_state *v, struct decision *d);
/* By a look of its own, after the last snapshot was seen cut: the source does not run. */
enum step_status check_stayed_stopped(const struct clone_state *v, struct why *why);
/* By the same look, after the last cut: the source runs still, and is the instance that the attempt
   began with. */
enum step_status check_stayed_the_same(const struct clone_state *v, struct why *why);
void run_look_after(const struct clone_state *v, struct decision *d);
/* The source is not what the attempt began with: says so and fails it. */
enum step_status fail_source_changed(struct why *why);
/* Something was seen in this attempt that changes what the claims of the source hold. */
enum step_status check_source_spoiled(const struct clone_state *v, struct why *why);
/* By the look after the cut: a VirtualMachineBackup came in between, which thaws whoever froze. */
bool clone_thawed_by_backup(const struct clone_state *v);
/* True when the call read a VMI that has not ended. */
bool call_read_running_vmi(const struct call *c);
/* source.c */
enum step_status step_gates_check(const struct clone_state *v, struct why *why);
void step_gates_run(const struct clone_state *v, struct decision *d);
/* preflight.c */
enum step_status step_preflight_check(const struct clone_state *v, struct why *why);
void step_preflight_run(const struct clone_state *v, struct decision *d);
/* share.c */
enum step_status step_share_check(const struct clone_state *v, struct why *why);
void step_share_run(const struct clone_state *v, struct decision *d);
/* The record that begins the attempt names who shares it. */
void share_close(const struct clone_state *v, struct decision *d);
/* snapshot.c */
/* STEP_TODO when nobody else freezes the guest, or has a moment ago; else STEP_WAIT. */
/* Announces the attempt in the record, with the freeze if there is to be one. */
void begin_attempt(const struct clone_state *v, struct decision *d);
enum step_status check_free_guest(const struct clone_state *v, struct why *why);
enum step_status step_freeze_check(const struct clone_state *v, struct why *why);
void step_freeze_run(const struct clone_state *v, struct decision *d);
enum step_status step_cut_check(const struct clone_state *v, struct why *why);
void step_cut_run(const struct clone_state *v, struct decision *d);
/* vmsnapshot.c: the cut by method VirtualMachineSnapshot. */
enum step_status check_vm_snapshot(const struct clone_state *v, struct why *why);
enum consistency vm_snapshot_consistency(const struct clone_state *v);
/* group.c: the cut by method VolumeGroupSnapshot. */
/* Each claim whose group is yet to be made has its label. */
bool group_labels_are_on(const struct clone_state *v);
void group_put_labels(const struct clone_state *v, struct decision *d);
/* were_cut: all were seen cut in this attempt. STEP_FAILED: it cannot be what is asked for. */
enum step_status group_errors(const struct clone_state *v, bool were_cut, struct why *why);
/* The answer that refused the group of this disk; NULL. */
const struct call *group_refused(const struct clone_state *v, const struct disk_state *d);
/* The dry run of a group was answered with 404 for longer than a change of the API's version takes.
 */
bool group_is_unserved(const struct call *trial);
void group_create(const struct clone_state *v, struct decision *d);
/* By snapshotMethod Auto. STEP_FAILED: a group does not come to its cut, where single snapshots
   might. */
enum step_status group_gives_way(const struct clone_state *v, struct why *why);
/* The earlier of at_ms and the time at which a group that nobody works on gives way. */
int64_t group_look_again_ms(const struct clone_state *v, int64_t at_ms);
/* Some group is not cut. */
bool group_is_awaited(const struct clone_state *v);
/* An attempt that ends so is repeated with single snapshots, and does not count. */
bool group_fails_alone(const struct clone_state *v, const struct why *why);
/* From now on the clone takes single snapshots. attempt: the one that this has cost; 0: none. */
void group_leave(const struct clone_state *v, struct decision *d, const char *message,
                 int64_t attempt);
/* Of a disk whose VolumeSnapshot is not there. */
enum step_status group_member_state(const struct clone_state *v, const struct disk_state *d,
                                    struct why *why);
enum step_status step_thaw_check(const struct clone_state *v, struct why *why);
enum step_status step_snapshots_check(const struct clone_state *v, struct why *why);
/* copy.c */
enum step_status step_copies_check(const struct clone_state *v, struct why *why);
void step_copies_run(const struct clone_state *v, struct decision *d);
/* target.c */
enum step_status step_disks_check(const struct clone_state *v, struct why *why);
void step_disks_run(const struct clone_state *v, struct decision *d);
enum step_status step_vm_check(const struct clone_state *v, struct why *why);
void step_vm_run(const struct clone_state *v, struct decision *d);
enum step_status step_ready_check(const struct clone_state *v, struct why *why);
void step_ready_run(const struct clone_state *v, struct decision *d);
/* This machine is there with its disks, started if it is to be, whatever the others do. */
bool clone_target_there(const struct clone_state *v, const struct target_state *t);
/* And owns its disks: nothing is left to be done for it. */
bool clone_target_done(const struct clone_state *v, const struct target_state *t);

#endif
