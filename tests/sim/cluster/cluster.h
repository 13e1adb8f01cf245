/*
 * struct sim_cluster: everything around the API server that is not a worker: guests, KubeVirt's
 * controllers, snapshot-controller, CSI driver and provisioner. Each controller is a function that
 * looks at one object and brings it one move forward, called some drawn time after the object or
 * what it depends on has changed, as behind a watch and a work queue. What they do is what
 * KubeVirt v1.9 and external-snapshotter 8.6 / external-provisioner 6.3 were seen to do.
 *
 * Data is modelled by numbers: a guest writes one record per millisecond while it runs and is not
 * frozen, so the records of a machine are its writing time, and a physical snapshot holds the
 * number that had been written when it was cut.
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "apiserver/apiserver.h"

/* On contents: snapshot-controller keeps them while their VolumeSnapshot is there. */
#define CONTENT_PROTECTION "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"

/* The annotation of what somebody made who copied labels. */
#define SIM_STRANGER "sim/stranger"

#define THAWED_BY_OTHERS "somebody else" /* backup software and the like */

/* Windows lets go of what froze after that, and answers the next thaw with an error
 * (qga/vss-win32).
 */
#define VSS_MS 10000

/* A VirtualMachine with this preference has a persistent TPM, which its own spec does not show. */
#define CLUSTER_TPM_PREFERENCE "with-tpm"

enum freezer { FREEZER_NONE, FREEZER_OURS, FREEZER_FOREIGN };

/* A VM or a stand-alone VMI: what lasts over restarts, and its guest while it runs. */
struct machine {
    struct machine *next;
    struct sim_cluster *cluster;
    char *ns, *name;
    bool has_agent; /* its image has one */
    bool refuses;   /* whose configuration blocks the commands */
    bool dies;      /* whose node dies with the first freeze */
    bool source;    /* made by the scenario, to be cloned */
    bool windows;   /* VSS holds its writes for 10 s at most */
    bool os_hidden; /* the agent does not say which system it is */
    int64_t records, since_ms;
    /* The guest; vmi_uid NULL: none runs. */
    char *vmi_uid;
    bool agent, paused, migrating;
    int64_t started_ms;
    bool settled; /* its agent has been connected since, or it was paused */
    /* Its claims are being exchanged, [{volumeName, source, destination}]; NULL: they are not. */
    cJSON *pairs;
    unsigned exchanges;
    bool tool;            /* a Pod that is no machine writes to its claims */
    bool moving, overlay; /* by a volume migration; overlays lie over its disks */
    char *moving_uid;
    enum freezer frozen_by;
    int64_t frozen_ms, frozen_for_ms;
    int64_t ours_ms; /* how long our freezes have held it, all that are over */
    bool joined;     /* our freeze found somebody else's, was answered 200 and set no timer; or was
                        thawed by somebody else */
    bool gone_on;    /* by itself, and has not said so yet */
    struct timer safety; /* the guest's own unfreezeTimeout */
    struct timer poll;   /* virt-launcher's poll of the freeze state */
};

struct volume {
    struct volume *next;
    char *handle, *ns, *claim; /* the claim that it belongs to */
    struct machine *machine;   /* whose guest writes it; NULL: none ever did */
    int64_t records;           /* what it was made with */
    bool cut_frozen;           /* made from a snapshot that was cut while frozen */
    bool cut_running;
    bool cut_joined;           /* see physical.joined */
    const struct physical *of; /* the snapshot that it was restored from; NULL: none */
    bool stale;     /* it does not hold what the guest wrote: half copied, or left behind */
    bool cut_stale; /* made from such a one */
};

struct physical {
    struct physical *next;
    char *handle, *volume;
    char *content_uid;
    bool alive, frozen, running, stale;
    bool joined;    /* cut while our freeze rested on somebody else's, who may thaw at any time */
    bool kubevirts; /* of a VirtualMachineSnapshot that has not succeeded: nobody else knows it */
    enum freezer frozen_by;
    bool pending; /* the driver has said OK, or begun to copy, and has not cut yet */
    bool torn;    /* copied while the guest wrote */
    bool grouped; /* together with the others of its content */
    int64_t begun_records;
    int64_t records, cut_ms, bytes;
    int64_t told_ms;  /* its creationTime */
    int64_t again_ms; /* its deletion is not tried before */
    char *vmi_uid;
};

/* Per mille, drawn per object or call. */
struct cluster_faults {
    unsigned freeze_slow, freeze_late, freeze_error, freeze_error_but_frozen;
    unsigned thaw_error, thaw_error_but_thawed;
    unsigned snapshot_slow, snapshot_errors, snapshot_lost_reply, status_lag;
    unsigned provision_slow, provision_errors;
    unsigned vm_slow;
    unsigned probe_fails;       /* of a guest that runs, for minutes or for good */
    unsigned backup_meets;      /* a backup begins just when a clone has frozen the guest */
    unsigned admission_refuses; /* quota and the like, per create */
};

struct task;
struct landing;
struct sim_cluster {
    struct apiserver *api;
    const struct clock *clock;
    struct timers *timers;
    struct rng *rng;
    struct cluster_faults faults;
    bool no_volume_clones;    /* the CSI driver has no CLONE_VOLUME */
    bool cuts_late;           /* it answers CreateSnapshot before it cuts */
    bool copies_files;        /* its snapshots are copies, which take their time */
    int64_t cut_ms;           /* how long it takes to cut; 0: drawn */
    unsigned hopeless_claims; /* per mille: no room for that one, however often it is tried */
    enum group_answers {
        GROUPS_WHOLE,
        GROUPS_SHORT,
        GROUPS_EMPTY_FIRST,
        GROUPS_REFUSED,       /* the driver has no such service */
        GROUPS_NO_SIDECAR,    /* csi-snapshotter without the feature gate */
        GROUPS_NO_CONTROLLER, /* snapshot-controller without it */
    } groups;
    bool groups_go_late; /* the driver is asked again and again before it removes one */
    bool clones_hold;    /* and deletes no snapshot while volumes depend on it */
    enum storage_clock { CLOCK_RIGHT, CLOCK_BEHIND, CLOCK_AHEAD, CLOCK_ZERO, CLOCK_BIRTH } told;
    struct machine *machines;
    struct volume *volumes;
    struct physical *physicals;
    struct task *tasks;
    struct landing *landings; /* freezes and thaws on their way to a guest */
    uint64_t handles;
    bool wait_for_consumer; /* the binding mode of class "late" */
    /* For the checker: a guest's freeze state changed, by whom. */
    void (*froze)(void *arg, const struct machine *m, enum freezer by);
    void (*thawed)(void *arg, const struct machine *m, enum freezer was, const char *by);
    void (*note)(void *arg, const char *text);
    void *arg;
};

typedef void (*sync_fn)(struct sim_cluster *w, const char *ns, const char *name);

void sim_cluster_init(struct sim_cluster *w, struct apiserver *api);
void sim_cluster_release(struct sim_cluster *w);
/* To be called from the API server's hook. */
void sim_cluster_changed(struct sim_cluster *w, enum api_change_type type,
                         const struct api_object *o, const cJSON *before);
/* Calls sync after a time, unless that very call waits already. */
void sim_cluster_later(struct sim_cluster *w, int64_t delay_ms, sync_fn sync, const char *ns,
                       const char *name);
void sim_cluster_note(struct sim_cluster *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline int64_t sim_cluster_now(const struct sim_cluster *w)
{
    return clock_mono(w->clock);
}

/* --- machines (machine.c) --- */

struct machine *machine_get(struct sim_cluster *w, const char *ns, const char *name);
struct machine *machine_find(struct sim_cluster *w, const char *ns, const char *name);
int64_t machine_records(const struct machine *m);
/* How long our freezes have held it, one that holds it now included. */
int64_t machine_held_ms(const struct machine *m);
/* Somebody writes to its disks, the guest or another. */
bool machine_runs(const struct machine *m);
/* A Pod begins to write to its disks, or ends. */
void machine_tool(struct machine *m, bool writes);
void machine_start(struct machine *m, const char *vmi_uid);
void machine_stop(struct machine *m);
void machine_pause(struct machine *m, bool paused);
void machine_agent(struct machine *m, bool connected);
/* virtctl pause and unpause; a live migration, to another node and with the same instance. */
void vmi_pause(struct sim_cluster *w, const char *ns, const char *name);
void vmi_unpause(struct sim_cluster *w, const char *ns, const char *name);
void vmi_migrate(struct sim_cluster *w, const char *ns, const char *name);
/* What others do to it (holds.c). */
void vmi_move_volumes(struct sim_cluster *w, const char *ns, const char *name);
void vm_restore(struct sim_cluster *w, const char *ns, const char *name);
void vmi_overlay(struct sim_cluster *w, const char *ns, const char *name);
void vm_use_claims(struct sim_cluster *w, const char *ns, const char *name);
void vmi_backup(struct sim_cluster *w, const char *ns, const char *name);
/* A freeze while frozen succeeds and arms nothing. */
void machine_freeze(struct machine *m, enum freezer by, int64_t timeout_ms);
/* Thaws whoever froze. */
void machine_thaw(struct machine *m, const char *by);
void machines_release(struct sim_cluster *w);
void landings_release(struct sim_cluster *w);
/* A freeze is under way to this guest, and will reach it. */
bool freeze_is_coming(const struct sim_cluster *w, const struct machine *m);

/* --- KubeVirt (kubevirt.c, calls.c) --- */

/* A function of virt-api and no object: what is PUT comes back without its preference. */
#define CLUSTER_EXPAND "expand-vm-spec"
void sync_vm(struct sim_cluster *w, const char *ns, const char *name);
void sync_vmi(struct sim_cluster *w, const char *ns, const char *name);
void kubevirt_call(struct sim_cluster *w, const char *who, enum api_kind kind, const char *ns,
                   const char *name, const char *verb, const cJSON *body, struct api_reply *reply);
/* The claims that a VM's or VMI's spec names: calls visit for each. */
void each_claim(const cJSON *instance_spec,
                void (*visit)(void *arg, const char *volume, const char *claim), void *arg);
/* Is there a VMI that uses the claim? running: one that runs. */
bool claim_in_use(struct sim_cluster *w, const char *ns, const char *claim);
/* What the preference of a VirtualMachine makes of its instance's spec. */
void vm_apply_preference(const cJSON *vm, cJSON *instance_spec);
/* KubeVirt's part of admission: true when it refuses. */
bool kubevirt_admit(struct sim_cluster *w, enum api_kind kind, cJSON *tree,
                    struct api_reply *reply);

/* --- VirtualMachineSnapshots (vmsnapshot.c) --- */

void sync_vm_snapshot(struct sim_cluster *w, const char *ns, const char *name);

/* --- CDI (cdi.c) --- */

void sync_data_volume(struct sim_cluster *w, const char *ns, const char *name);
/* There is one of that name, and it has not Succeeded: its claim is not filled. */
bool data_volume_pending(struct sim_cluster *w, const char *ns, const char *name);

/* --- storage (snapshot.c, claim.c) --- */

/* On a content of a member of a group, whose. */
#define WORLD_OF_GROUP                                                                             \
    "metadata.annotations[groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle]"
void sync_group(struct sim_cluster *w, const char *ns, const char *name);
void sync_group_content(struct sim_cluster *w, const char *ns, const char *name);
bool snapshot_is_member(const struct api_object *snapshot);
/* Its group is there: it goes with that. */
bool member_is_held(struct sim_cluster *w, const struct api_object *snapshot);
/* A claim is being made from it. */
bool snapshot_is_restored(struct sim_cluster *w, const struct api_object *s);
/* Cuts the volume now, for the content with that UID. */
void physical_cut(struct sim_cluster *w, const char *content_uid, const struct volume *v);
void sync_snapshot(struct sim_cluster *w, const char *ns, const char *name);
void sync_content(struct sim_cluster *w, const char *ns, const char *name);
void sync_claim(struct sim_cluster *w, const char *ns, const char *name);
void claim_bind(struct sim_cluster *w, struct api_object *claim, const struct volume *v);
/* It binds with its first consumer, and has none. */
bool claim_waits(struct sim_cluster *w, const struct api_object *claim);
struct volume *volume_find(struct sim_cluster *w, const char *handle);
struct volume *volume_of_claim(struct sim_cluster *w, const char *ns, const char *claim);
struct volume *volume_new(struct sim_cluster *w, const char *ns, const char *claim);
void volume_free(struct sim_cluster *w, struct volume *v);
int64_t volume_records(const struct volume *v);
/* What it holds now is not what its guest wrote. */
bool volume_stale(const struct volume *v);
struct physical *physical_find(struct sim_cluster *w, const char *handle);
/* What a content stands for: what was cut for it, or whose handle it was made with. */
struct physical *physical_of_content(struct sim_cluster *w, const struct api_object *content);

#endif
