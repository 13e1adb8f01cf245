/*
 * struct clone_state: everything observed about one Wukong at one moment, from the caches and the
 * call log. decide() reads nothing else. Plain data; every pointer is borrowed from the state's
 * arena or from the caches and lives until the reconcile ends.
 *
 * Two kinds of facts of the source, kept apart on purpose: `source` is what the caches say now
 * (state, agent, freeze), `capture` is what the clone is made from: the source's spec and the plan
 * of its disks, read live once per attempt. With the snapshots the capture is stored on the first
 * of them, so that a clone outlives its source's deletion and its worker's restart.
 */
#ifndef OBSERVE_STATE_H
#define OBSERVE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "observe/call_log.h"
#include "observe/record.h"
#include "observe/resources.h"
#include "observe/stamp_check.h"
#include "wukong/api/reasons.h"
#include "wukong/api/spec.h"
#include "wukong/source/cut.h"
#include "wukong/source/disks.h"
#include "wukong/source/machine.h"

struct now {
    int64_t wall_ms, mono_ms;
};

struct snapshot_state {
    const char *name, *ns, *uid;
    bool exists, ours, deleting, ready;
    bool lost;          /* bound to no content any more, or its content is going */
    const char *error;  /* the driver's, or snapshot-controller's; some clear by themselves */
    bool being_created; /* the driver may be at it: csi-snapshotter does not know its outcome */
    enum cut_rule rule; /* what is taken for its cut */
    bool cut;           /* the point in time is fixed, by that rule */
    int64_t cut_ms;     /* what the storage says of when; any value may be there */
    int64_t restore_bytes;
    const char *content, *content_uid, *handle, *driver, *source_mode, *content_class;
    bool content_exists, content_retains, content_deleting;
};

struct claim_state {
    const char *name, *uid;
    bool exists, ours, deleting, bound;
    bool earlier; /* made by an earlier attempt, from another point in time */
    int64_t created_ms;
    bool owned;        /* by its machine, as far as we care; CDI's DataVolume is none, but has an
                          owner itself */
    bool sourced;      /* it has a data source: the API server drops one it does not support */
    const char *error; /* the newest ProvisioningFailed Event of this claim, or CDI's own word */
    /* Since when nothing but what comes to nothing was answered (wall); 0: it may go on. */
    int64_t settled_ms;
    int64_t bytes;
    bool data_volume;                 /* CDI makes it, from a DataVolume of the same name */
    const struct kube_object *object; /* as cached: the DataVolume, or the claim */
    const char *owner_target; /* UID of what the machine is to own: the claim or its DataVolume;
                                 NULL: that DataVolume is yet to be seen */
    unsigned done_percent;    /* of its data; CDI counts those that it copies, otherwise 0 or 100 */
    bool host_copied;         /* CDI copies byte by byte, through a Pod of its own */
    const char *fallback;     /* and why, in CDI's words; NULL: it was no fallback */
};

struct vm_state {
    const char *name, *uid, *printable, *failure;
    bool exists, ours, deleting;
    bool up;    /* it was started: its instance runs, or has run to its end */
    bool ready; /* and its guest says so, by its readiness probe if it has one */
    bool owned; /* by the Wukong: it goes with it */
    bool owned_by_other;
};

/* The same physical snapshot, handed to the target's namespace. */
struct copy_state {
    const char *content_name, *content_ref_uid, *content_handle, *content_driver;
    bool content_exists, content_ours, content_deleting, content_retains;
    const char *changed; /* how it is not what was asked for; NULL: it is */
    struct snapshot_state snapshot;
    bool bound; /* ready, both ends point at one another, and the handle is the source's */
};

/* One cut for all disks of a driver, and the VolumeSnapshots that come of it. */
struct clone_group {
    const char *driver, *class;
    size_t first, disk_count; /* disks[first] is the first of its disks, and names it */
    const char *name, *ns, *uid;
    bool exists, ours, deleting, ready;
    enum cut_rule rule;
    const char *content; /* NULL: not seen */
    bool content_ready;
    int64_t created_ms;
    bool being_created;   /* the driver may be at work on it */
    bool answered;        /* the driver has: it has a handle */
    const cJSON *members; /* what the driver has cut: volumeHandle, snapshotHandle, … */
    bool complete;        /* of each volume, and of no other */
    const char *unfit;    /* how it can never be what was asked for; NULL */
    bool cut;             /* the point in time is fixed, by that rule */
    int64_t cut_ms;       /* what the storage says of when; 0: nothing */
    int64_t restore_bytes;
    const char *error;
};

struct disk_state {
    const struct disk_plan *plan;
    struct clone_group *group;      /* NULL: it is cut by itself */
    struct snapshot_state snapshot; /* of this attempt; unused when the method takes none */
    struct copy_state copy;         /* only with method DISK_HANDLE_COPY */
};

struct target_state {
    int64_t index;
    bool ready; /* it has been, of a batch; it counts as it was then */
    struct vm_state vm;
    struct claim_state *claims; /* one per disk of the capture */
};

/* What the other clones of this process mean for this one's freeze. */
struct other_clones {
    bool freeze_elsewhere;      /* another Wukong owes a thaw on this source */
    bool vm_snapshot_elsewhere; /* another Wukong's VirtualMachineSnapshot of it is under way */
    int64_t last_thaw_ms;       /* of this source, by any Wukong (wall); 0: none known */
    unsigned freezes_max;       /* guests that may be frozen at once; 0: no limit */
    bool freezes_full;          /* as many are frozen, whatever their source, or others go first */
    size_t freeze_ahead;        /* clones that freeze their guest before this one */
    int64_t freeze_expected_ms; /* in how long its turn is expected; 0: not known */
    int64_t freeze_queued_ms;   /* for how long it has waited for its turn; 0: it does not */
};

struct capture_read; /* create.h */

/* The outcome of reading the source and planning its disks. */
struct capture_state {
    bool present;        /* tree, disks and the rest are meant */
    bool sealed;         /* it is stored with the snapshots of this attempt */
    const cJSON *tree;   /* {"source": …, "disks": […]} */
    const char *text;    /* the same as compact JSON */
    enum reason refusal; /* REASON_NONE, or why no capture can be made from what was read */
    const char *api_error_text;
    const char *warnings;             /* one text, NULL: none */
    const struct capture_read *reads; /* as capture_reads found them; NULL: not yet */
    size_t read_count;
    bool current; /* the caches show the very versions that were read */
};

/* Something of ours in the cluster that this attempt does not want any more. */
struct leftover {
    int kind; /* enum worker_kind */
    const char *ns, *name, *uid;
    bool deleting, blocks_namespace;
    bool stays;           /* of a machine that has been ready: no failure removes it */
    bool content_retains; /* snapshots: the content must be set to Delete first */
    bool policy_ours;     /* and may be: we, or our snapshot's class, have set Retain */
    const char *content;
    const char *content_version; /* as it was judged; its policy is set at no other */
    bool pending_claim; /* a claim that is not bound, or a DataVolume that has not filled its own */
    bool in_use;        /* snapshots: the provisioner has not let go of it yet */
    bool orphaned;      /* and will not before its sweep, minutes from now */
    const char *release;  /* the patch that lets go of it in the provisioner's place */
    bool content_awaited; /* its content is about to appear, and would outlive it */
    bool being_cut;       /* the CSI driver is at work on it, and has not answered */
    const char *look;     /* the content that must be read live before; NULL: known well enough */
    struct call_key look_key; /* the call log slot of that look */
    const char
        *deletion_missed;  /* a content, marked for deletion, that its sidecar has overlooked */
    bool unlabelled;       /* a VolumeSnapshot that KubeVirt made for us */
    const char *backup_of; /* UID of the VirtualMachineSnapshot that KubeVirt made it for */
    bool unread;           /* the cache does not show it, and the API server has not been asked */
    bool kubevirt_still_holds; /* a VirtualMachineSnapshot under way: KubeVirt holds the guest for
                                  it */
    int64_t created_ms;        /* snapshots */
    bool copy;             /* of a handle that is another content's: its policy is never touched */
    const char *member_of; /* UID of the VolumeGroupSnapshot that it goes with; NULL: of none */
    bool attached; /* a content that we hold, whose VolumeSnapshot is there: it goes with that */
};

/* A snapshot of the source, or a group of them, that a linked clone's disks hang on. A member of a
   group goes with that. */
static inline bool leftover_is_parent(const struct leftover *o)
{
    return o->kind == KIND_GROUP || (o->kind == KIND_SNAPSHOT && !o->copy && !o->member_of);
}

/* Something that bears the clone's label and is not its own. */
struct stranger {
    int kind; /* enum worker_kind */
    const char *ns, *name;
};
#define STRANGERS_MAX 5
/* What the API server's own list of labelled objects says. */
enum left_listed {
    LEFT_UNKNOWN,
    LEFT_OURS,    /* one of ours is there */
    LEFT_NOTHING, /* none is */
    LEFT_MORE,    /* none so far, and the list goes on */
};

/* How far a clone is that has not begun its attempt. */
enum share_state {
    SHARE_BLOCKED,   /* something outside holds it back */
    SHARE_COMING,    /* it has not been looked at, or is about to be ready */
    SHARE_REREADING, /* it was ready and makes sure that it still is */
    SHARE_READY,     /* nothing but the freeze is left to do */
};

/* So long after it is recorded a cut is taken over, and no longer. */
#define SHARE_TAKE_OVER_MS 60000
/* What this clone is in a group that shares one snapshot: worker/clones/share_rules.h. */
enum share_role {
    SHARE_NONE,      /* it takes its own, has begun already, or is not ready */
    SHARE_LEAD,      /* it begins, and members share what it takes */
    SHARE_LINGER,    /* it would lead, others are about to come */
    SHARE_FOLLOW,    /* leader is about to begin */
    SHARE_BOUND,     /* leader has begun and lists it */
    SHARE_TAKE_OVER, /* leader's cut is recorded in `taken` */
    SHARE_FAILED,    /* leader's attempt failed before the cut: `taken` says why */
};
struct share_status {
    enum share_role role;
    const char *leader, *leader_uid;
    struct clone_record taken;
    int64_t again_ms;                   /* wall; 0: an event will come */
    const struct share_member *members; /* SHARE_LEAD */
    size_t member_count;
    bool taking_over; /* our cut is about to be taken over by others */
    bool *busy;       /* per disk: others of the group restore from its snapshot; NULL: none */
    bool waits_turn;  /* a claim of ours is not made because of that */
};
/* One attempt's snapshots, by the Wukong that took them. */
struct snapshot_set {
    const char *uid;
    int64_t attempt;
};

struct clone_state {
    struct arena *arena;
    struct now now;
    const struct wukong *wukong;
    struct wukong_effective effective;
    struct clone_record record;
    const cJSON *status; /* as the cache has it; NULL: none */
    const char *labels;  /* the Wukong's own, compact JSON; NULL */
    const char *retry;   /* annotation; NULL */
    const struct call_log *call_log;
    struct source_machine source;
    bool kubevirt_starts; /* the source runs by its own runStrategy, or soon will */
    struct other_clones others;
    bool source_ns_terminating; /* and it is not the Wukong's own */
    bool own_ns_terminating;
    struct class_facts classes;
    struct capture_state capture;
    const char *snapshot_carrier;  /* the snapshot of this attempt that carries the capture */
    enum worker_kind carrier_kind; /* of that one */
    struct disk_state *disks;
    size_t disk_count;
    struct clone_group *groups;
    size_t group_count;
    const char *group_version; /* in which the API serves them; NULL: the newest */
    struct target_state *targets;
    size_t target_count;
    bool looked_live;                  /* the API server was asked for some of them itself */
    struct snapshot_state vm_snapshot; /* method VirtualMachineSnapshot: the object itself */
    const char *vm_snapshot_phase, *vm_snapshot_indications;
    struct leftover *ours; /* every labelled object of ours, wanted or not */
    size_t ours_count;
    struct stranger strangers[STRANGERS_MAX]; /* the first of them */
    size_t stranger_count;                    /* all of them */
    const char
        *invalid; /* the static rules' findings in a spec that no webhook has seen; NULL: none */
    const struct snapshot_set *held; /* groups of ours whose snapshots somebody else needs */
    size_t held_group_count;
    size_t held_count; /* snapshots of those groups: not among `ours` */
    struct share_status share;
    const char *unreadable;    /* an object that this clone needs, and why; NULL: none */
    struct stamp_check permit; /* its refusal NULL: permitted, as far as the stamp says */
    /* What the ClonePolicies say, limits included; REASON_NONE: permitted. Looked at again then. */
    struct {
        enum reason reason;
        const char *why;
        int64_t until_ms;
        bool taken_along; /* for the snapshot that another clone is about to take, and no other */
    } policy;
    const char *unguard; /* the patch that takes our finalizer off where an apply of ours has not */
    int64_t clock_ahead_ms; /* our clock of the API server's, as far as it is known */
    enum consistency least; /* that the policies demand; UNKNOWN: none */
    int64_t permitted_ms;   /* wall: not before this; 0: now */
    const char *permitted_why;
    enum reason permitted_reason;
    int64_t permitted_until_ms;  /* wall; 0: no end */
    int64_t unfreeze_timeout_ms; /* configuration */
    cJSON **trees;               /* parsed trees that live as long as the state */
    size_t tree_count, tree_cap;
};

/* ret_next: with LEFT_MORE, from where the list goes on (leftovers.c). */
enum left_listed clone_left_listed(const struct clone_state *v, enum worker_kind kind,
                                   const struct call *list, const char **ret_next);

/* The state frees the tree with itself. */
void clone_keep_tree(struct clone_state *v, cJSON *tree);

#endif
