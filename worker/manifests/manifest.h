/*
 * The bodies of everything that a clone creates: VirtualMachine, claims, snapshots. Pure: parsed
 * trees and a decoded Wukong in, JSON text out; nothing is sent, read or remembered. Trees must be
 * parsed lossless (json/json.h), so that what is carried over is carried byte for byte. The same
 * input gives the same bytes, so that a retry finds what the last try made.
 *
 * Errors carry a message for the user: field, value, remedy. ERR_REFUSED: this source or this spec
 * cannot be cloned so. ERR_INVALID: an object that was read lacks what it must have.
 *
 * The invariant behind it all: no claim of the source stands anywhere in a VirtualMachine built
 * here. manifest_vm_body() walks its own result at the end and refuses when one is left.
 *
 * Semantics follow KubeVirt v1.9; the files are cited where a rule comes from one.
 */
#ifndef MANIFESTS_MANIFEST_H
#define MANIFESTS_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "json/json.h"
#include "wukong/api/child_names.h"
#include "wukong/api/spec.h"

/* On every child, beside WUKONG_UID_LABEL: name of the Wukong (shortened with a hash past 63),
   index of the clone in its batch, disk, and (on claims, and outside its namespace) the Wukong's
   namespace. */
#define MANIFEST_NAME_LABEL "vm.novasphere.dev/wukong"
#define MANIFEST_INDEX_LABEL "vm.novasphere.dev/clone"
#define MANIFEST_DISK_LABEL "vm.novasphere.dev/disk"
#define MANIFEST_NS_LABEL "vm.novasphere.dev/wukong-namespace"
/* On one VolumeSnapshot of a cut: the source spec, so that the source may go after it. */
#define MANIFEST_SPEC_ANNOTATION "vm.novasphere.dev/source-spec"
/* Member of a source spec: the template's annotations that a clone has not by itself; null: too
   long to be carried. Workers before it wrote their names alone, in the second. */
#define MANIFEST_ANNOTATIONS "templateAnnotations"
#define MANIFEST_MISSED "missedAnnotations"
/* Another one: the run strategy of the source, unless it is Halted. */
#define MANIFEST_RUN_STRATEGY "runStrategy"
/* All annotations of an object together may hold 256 KiB (apimachinery
   pkg/api/validation/objectmeta.go: TotalAnnotationSizeLimitB). */
#define MANIFEST_SPEC_ANNOTATION_MAX (200u * KIB)
#define MANIFEST_BODY_MAX LIMIT_OBJECT_BYTES

/* --- The source: one normal form for whatever ran. --- */

/*
 * Exactly one of three shapes:
 *   a VM that runs:        revision_data (ControllerRevision .data named by
 *                          vmi.status.virtualMachineRevisionName) and vmi; vm too where at hand
 *   a stand-alone VMI:     vmi alone
 *   a VM that is stopped:  vm alone (a VMI that has ended does not count)
 * vm and vmi without the revision is ERR_INVALID: what ran is not known.
 */
struct manifest_source {
    const cJSON *revision_data, *vmi, *vm;
};

/*
 * *ret (free with cJSON_Delete) is shaped like a VirtualMachine: metadata holds only the labels and
 * annotations that a clone inherits, spec is the one that ran, without runStrategy and
 * dataVolumeTemplates. What of them is too long for that is named in an array of the
 * root, MANIFEST_LEFT_OUT. Volumes follow the VMI: hot-plugged ones added, unplugged ones dropped,
 * a migrated one as it is now. instancetype/preference carry the revisionName of the source (from
 * vm.status too), which manifest_vm_body drops and manifest_expand_body needs.
 */
#define MANIFEST_LEFT_OUT "leftOut"
WUKONG_CHECK int manifest_source_spec(const struct manifest_source *in, cJSON **ret,
                                      struct err *err);

struct manifest_volume {
    const char *name;   /* borrowed from the tree */
    const char *claim;  /* that a clone copies; borrowed; NULL when it copies none */
    int64_t boot_order; /* 0: none */
    bool filesystem;    /* shared through virtiofs, not a disk */
    bool cdrom, lun, hotpluggable;
};
/* The volumes of a source spec in their order; returns how many there are, writes at most max. */
size_t manifest_volumes(const cJSON *source, struct manifest_volume *ret, size_t max);
/* Persistent TPM or EFI state, a volume that is refused (wukong/api/volumes.h): 0 or ERR_REFUSED.
   manifest_source_spec does it already (for what a preference adds, too, when there is a VMI);
   useful on a spec read back. */
WUKONG_CHECK int manifest_source_check(const cJSON *source, struct err *err);

/* --- Instancetypes: an override needs the instancetype resolved first. --- */

/* cpu or memory is set and the source has an instancetype: KubeVirt refuses both together (422). */
bool manifest_needs_expand(const cJSON *source, const struct wukong_spec *spec);
/* It is stopped and has a preference, which may give it a persistent TPM or EFI: what is resolved
   must pass manifest_source_expanded, though the clone keeps the preference. vmi: NULL, none. */
bool manifest_hides_state(const cJSON *source, const cJSON *vmi);
/* Body of PUT /apis/subresources.kubevirt.io/v1/namespaces/{source namespace}/expand-vm-spec. */
WUKONG_CHECK int manifest_expand_body(const cJSON *source, const char *name, const char *ns,
                                      struct buf *out, struct err *err);
/* Its 200 answer, a VirtualMachine, to a source spec without instancetype and preference. source:
   what manifest_expand_body got (its metadata is kept). */
WUKONG_CHECK int manifest_source_expanded(const cJSON *source, const cJSON *reply, cJSON **ret,
                                          struct err *err);

/* --- The VirtualMachine. --- */

struct manifest_disk {
    const char *volume; /* name of the source's volume */
    const char *claim;  /* name of our claim in the target namespace */
    bool boot;
};
struct manifest_request {
    const struct wukong *wukong;
    const struct wukong_effective *effective;
    int64_t index;
    const struct manifest_disk *disks; /* the wanted ones; others of the source are dropped */
    size_t disk_count;
};

/* An object that must exist (Secrets: should) where the clone runs. */
struct manifest_dependency {
    const char *kind; /* ConfigMap, Secret, ServiceAccount, NetworkAttachmentDefinition,
                         VirtualMachineInstancetype, VirtualMachineClusterInstancetype, …Preference,
                         ResourceClaim, ResourceClaimTemplate */
    const char *name;
    const char *ns; /* NULL: cluster-scoped */
    bool optional;  /* the VM runs without it */
};
struct manifest_vm {
    struct buf body;   /* empty when needs_expand */
    bool needs_expand; /* expand the source first, then call again */
    bool needs_start;  /* runStrategy Manual, but to be started: call the start subresource once */
    struct manifest_dependency *needs; /* without duplicates, in order of appearance */
    size_t need_count;
    const char **warnings; /* for the user: what was left out or may surprise */
    size_t warning_count;
    const char **differences; /* sentences of wukong/source/differences.h */
    size_t difference_count;
    struct arena arena; /* owns the two lists */
};
void manifest_vm_init(struct manifest_vm *t);
void manifest_vm_release(struct manifest_vm *t);
#define CLEANUP_MANIFEST_VM __attribute__((cleanup(manifest_vm_release)))

/* Body for POST. ret is initialised; on failure its content is undefined but releasable. */
WUKONG_CHECK int manifest_vm_body(const cJSON *source, const struct manifest_request *r,
                                  struct manifest_vm *ret, struct err *err);

/* --- Claims. --- */

enum manifest_origin { MANIFEST_FROM_SNAPSHOT, MANIFEST_FROM_CLAIM };
struct manifest_claim {
    const struct wukong *wukong; /* its namespace is the target's */
    int64_t index;
    const char *name, *disk;
    const cJSON *source;       /* the source's PersistentVolumeClaim */
    const char *asked_size;    /* disks[].size; NULL: as the source */
    int64_t restore_bytes;     /* the snapshot's restoreSize; 0: unknown or none */
    const char *storage_class; /* NULL: the source's */
    bool bind_now;             /* no consumer comes: CDI does not wait for one */
    bool cdi_knows_modes;      /* of storage_class; matters to DataVolumes only */
    enum manifest_origin origin;
    const char *origin_name, *origin_ns; /* origin_ns matters to DataVolumes only */
};
/* PersistentVolumeClaim from a whitelist: class, access modes, volume mode, size, data source. The
   size is the largest of asked, restoreSize and the source's request (for a CSI volume clone its
   capacity as well); asking for less than the source's request is ERR_REFUSED. */
WUKONG_CHECK int manifest_pvc_body(const struct manifest_claim *c, struct buf *out,
                                   struct err *err);
/* cdi.kubevirt.io/v1beta1 DataVolume, as large as the source's claim; access modes are left to CDI
   when the class changes and CDI knows which its driver has. */
WUKONG_CHECK int manifest_datavolume_body(const struct manifest_claim *c, struct buf *out,
                                          struct err *err);
/*
 * To be called on what every create (or dry run) of manifest_pvc_body answered, and on a claim
 * found under our name: an API server drops a data source it does not support, says 201, and an
 * empty volume is provisioned. 0, or ERR_REFUSED naming what differs.
 */
WUKONG_CHECK int manifest_pvc_matches(const cJSON *reply, const struct manifest_claim *c,
                                      struct err *err);
/* Of that, what the claim is filled from; c->source may be NULL. */
WUKONG_CHECK int manifest_pvc_origin_matches(const cJSON *reply, const struct manifest_claim *c,
                                             struct err *err);
/* The same of manifest_datavolume_body, for what it is filled from; the rest is CDI's to choose. */
WUKONG_CHECK int manifest_datavolume_matches(const cJSON *reply, const struct manifest_claim *c,
                                             struct err *err);
/* What every create (or dry run) of manifest_vm_body answered: each volume with a claim names one
   of these, and each of these is named. */
WUKONG_CHECK int manifest_vm_matches(const cJSON *reply, const struct manifest_disk *disks,
                                     size_t disk_count, struct err *err);

/* The same, of target.network.links: each interface that was sent down is. */
WUKONG_CHECK int manifest_links_match(const cJSON *reply, const struct wukong_target *t,
                                      struct err *err);

/* The same, of target.overrides: each field that it sets is there. */
WUKONG_CHECK int manifest_overrides_match(const cJSON *reply, const struct wukong_target *t,
                                          struct err *err);

/* --- Snapshots. --- */

struct manifest_snapshot {
    const struct wukong *wukong;
    const char *name, *ns;      /* ns: the source's */
    const char *disk;           /* NULL: no label */
    const char *claim;          /* the source's claim, or, for …_vmsnapshot_body, unused */
    const char *snapshot_class; /* NULL: left to the snapshot controller */
    const cJSON *source_spec;   /* put in the annotation when not NULL and small enough */
};
/* *ret_spec_kept (may be NULL): the annotation is there. */
WUKONG_CHECK int manifest_snapshot_body(const struct manifest_snapshot *s, struct buf *out,
                                        bool *ret_spec_kept, struct err *err);

struct target_group {
    const struct wukong *wukong;
    const char *version; /* of the API */
    const char *name, *ns, *disk;
    const char *class;
    const char *label_key, *label_value; /* of the claims that it takes */
    const cJSON *source_spec;            /* as above */
};
WUKONG_CHECK int target_group_body(const struct target_group *g, struct buf *out, struct err *err);

/*
 * The handle copy, for another namespace: a second VolumeSnapshotContent for the same physical
 * snapshot (always Retain: the handle belongs to the first one), and the VolumeSnapshot bound to
 * it. content: the source's VolumeSnapshotContent; refused when it is being deleted or has no
 * handle. Create the content first: the other way round costs 9 s.
 */
struct manifest_content_copy {
    const struct wukong *wukong; /* its namespace is the target's */
    const char *content_name, *snapshot_name, *disk;
    const cJSON *content;
};
WUKONG_CHECK int manifest_content_copy_body(const struct manifest_content_copy *c, struct buf *out,
                                            struct err *err);
WUKONG_CHECK int manifest_snapshot_of_content_body(const struct manifest_content_copy *c,
                                                   struct buf *out, struct err *err);

/* snapshot.kubevirt.io/v1beta1 VirtualMachineSnapshot of kind VirtualMachine (the only kind that
   KubeVirt takes: pkg/storage/admitters/vmsnapshot.go). */
WUKONG_CHECK int manifest_vmsnapshot_body(const struct wukong *w, const char *name, const char *ns,
                                          const char *vm, int64_t failure_deadline_s,
                                          struct buf *out, struct err *err);

#endif
