/*
 * Which Pods use the claims that are to be cut. A stopped machine's disks are at rest only while
 * nobody else writes to them: an importer, virtctl guestfs, another machine's virt-launcher, or the
 * source's own that is still ending. KubeVirt asks the same before an offline snapshot
 * (pkg/storage/snapshot/source.go: "source is offline but %d pods using PVCs"). Asked live, by
 * pages, before the first cut and after the last; no cache holds Pods. One that comes after the
 * first list and goes before the second is not seen (docs/user/troubleshooting.md).
 */
#ifndef STEPS_PODS_H
#define STEPS_PODS_H

#include "actions/decision.h"
#include "steps/steps.h"

/* A Pod that uses one of the claims; pod NULL: none. */
struct pod_user {
    const char *pod, *disk;
};

/* Before the first cut; STEP_TODO: pods_ask_before. STEP_WAIT: one uses what is to be at rest. */
enum step_status pods_before(const struct clone_state *v, struct why *why);
void pods_ask_before(const struct clone_state *v, struct decision *d);
/* Once in the attempt, after the last cut (CALL_PODS_AFTER) or when all claims are copied
   (CALL_PODS_COPIED). STEP_FAILED: one uses what was said to be at rest. */
enum step_status pods_after(const struct clone_state *v, enum call_kind list, struct why *why);
void pods_ask_after(const struct clone_state *v, enum call_kind list, struct decision *d);
/* A running Pod that is not the source's own uses a disk that others may write (shareable, lun):
   no freeze of the source holds it back. As far as it was asked. */
struct pod_user pods_sharing(const struct clone_state *v);

#endif
