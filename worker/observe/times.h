/*
 * The times that the worker goes by, in milliseconds, each with its reason. What belongs to one
 * file alone stands there.
 */
#ifndef OBSERVE_TIMES_H
#define OBSERVE_TIMES_H

/* A live read of the source older than this is read again before the freeze. */
#define READ_FRESH_MS 10000
/* How long a live look at an object is good that the cache does not show, or may show too late. */
#define LOOK_FRESH_MS 5000
/* A dry-run older than this is made again before the freeze. */
#define DRY_RUN_FRESH_MS 60000
/* KubeVirt learns the freeze state by a poll every 5 s (virt-launcher
   --qemu-fsfreeze-status-interval), so neither frozen nor thawed can be concluded sooner. */
#define FREEZE_POLL_MS 6000
/* Who waits until fewer guests are frozen looks again this often. */
#define FREEZE_TURN_MS 500
/* Who stands further behind tells its place this often at least. */
#define FREEZE_PLACE_MS 30000
/* So many that freeze next keep what they have read fresh. */
#define FREEZE_WARM 3
/* Before the guest's own timer thaws it, we do. */
#define THAW_MARGIN_MS 2000
/* Windows holds its writes for so long, and goes on by itself (VSS; KubeVirt
   pkg/storage/snapshot/snapshot.go reads so in the answer to the thaw). */
#define WINDOWS_FREEZE_MS 10000
/* A VirtualMachineSnapshot's failureDeadline, and with it the timer of KubeVirt's own freeze:
   KubeVirt's default (api snapshot/v1beta1 types.go, DefaultFailureDeadline). Less would fail every
   cut that takes a minute. */
#define VM_SNAPSHOT_DEADLINE_S 300
/* An error of a cut that may clear is waited out for so long while the guest stands still. */
#define CUT_ERROR_MS 15000
/* A freeze whose answer is not known has reached the guest by then, or never will. */
#define FREEZE_LATE_MS 30000
/* How long after its guest began to run an agent may take to connect. */
#define AGENT_WAIT_MS 120000
/* A clean-up that cannot be done in this time is given up: an Event names what is left. */
#define CLEANUP_LIMIT_MS 600000
/* A claim whose every try comes to nothing for this long ends the attempt; its provisioner retries
   for ever. */
#define RESTORE_STUCK_MS 120000
/* Of several claims of one snapshot the next follows after this, or when the one before is bound.
 */
#define CLAIM_HEAD_START_MS 5000
/* A freeze is sent this soon after its announcement or not at all: its end is reckoned from there.
 */
#define FREEZE_SEND_MS 10000
/* What a create made may take this long to appear in the caches. */
#define CREATE_SEEN_MS 5000
/* Waits that no event ends are looked at again this often. */
#define WAIT_POLL_MS 10000
/* One that waits for a person waits for hours, and a thousand may. */
#define WAIT_POLL_MAX_MS 600000
/* Whom a policy holds back is woken when that changes; this is for what nobody tells. */
#define HELD_POLL_MS 60000

#endif
