/*
 * Facts of the cluster, as plain structs: what cross-object rules, the choice of snapshot class and
 * the plan of disks look at. The webhook fills them from caches and live reads, the worker from its
 * view, the command line from kubectl's cluster; none of that is visible here. All strings are
 * borrowed from the filler's arena.
 */
#ifndef SOURCE_FACTS_H
#define SOURCE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/limits.h"
#include "base/mem.h"
#include "wukong/api/spec.h"
#include "wukong/api/volumes.h"
#include "wukong/source/cut_rule.h"
#include "wukong/source/machine.h"
#include "wukong/source/networks.h"

#define LIMIT_CLASSES 256
#define LIMIT_VOLUMES 128
#define LIMIT_NEEDS 64 /* named in warnings, of which an answer holds no more */

struct volume_facts {
    const char *name;
    const struct volume_type *type;
    const char *claim;           /* the PVC that a clone copies; NULL: it copies none */
    enum tristate snapshottable; /* vm.status.volumeSnapshotStatuses[].enabled; unset: not there */
    const char *snapshot_reason; /* its reason; NULL */
    bool shared;                 /* its disk is shareable, or a lun: others may write it, too */
    bool boot;                   /* lowest bootOrder, or the first disk when none has one */
};

struct claim_facts {
    const char *name;
    bool looked_up, exists, bound, deleting;
    const char *storage_class; /* NULL: none */
    const char *provisioner;   /* annotation volume.kubernetes.io/storage-provisioner; NULL */
    const char *volume_mode;   /* "Filesystem" or "Block" */
    int64_t bytes;             /* status.capacity, else the request */
    const char *access_modes;  /* compact JSON array */
};

struct source_need {
    const char *kind, *name;
    bool optional;
    const char *denied; /* what a clone from another namespace is without unless it may have it;
                           NULL: it is no Secret or ServiceAccount */
};

/* A sentence of wukong/source/differences.h; secret: only told of a clone that has that one; NULL.
 */
struct source_difference {
    const char *text, *secret;
    bool destroys;
};

struct source_facts {
    bool looked_up; /* false: nothing below is known, no rule of the source is applied */
    struct source_machine machine;
    const char *ns;
    const char *vm_run_strategy; /* spec.runStrategy, or Always/Halted from spec.running */
    const char *node_arch;
    bool deleting; /* its VM, or the instance that has none */
    bool persistent_tpm, persistent_efi;
    bool state_hidden; /* its preference may give it either: only KubeVirt's expansion tells */
    bool instancetype, managed_by_gitops;
    struct volume_facts *volumes;
    size_t volume_count;
    struct claim_facts *claims;
    size_t claim_count;
    struct network_facts *networks;
    size_t network_count;
    struct source_need *needs; /* objects of its namespace that its spec names, each
                                 once, Secrets once for each place */
    size_t need_count;
    struct source_difference *differences;
    size_t difference_count;
    const char *reset_refusal; /* why the guest cannot be reset as the spec wishes; NULL; static */
};

struct storage_class_facts {
    const char *name, *provisioner;
    bool expansion, is_default, wait_for_first_consumer;
};
/* A VolumeSnapshotClass, or a VolumeGroupSnapshotClass. */
struct snapshot_class_facts {
    const char *name, *driver;
    bool is_default; /* its API's annotation is-default-class: "true" */
    bool retain;     /* deletionPolicy Retain */
    struct cut_verdict cut;
    bool group;            /* the latter */
    const char *barred_by; /* a ClonePolicy that does not allow it; NULL: none */
};
/* The fields of a StorageClass that are read, for those who keep a cache of it. */
#define FACTS_STORAGE_CLASS_FIELDS                                                                 \
    "provisioner", "allowVolumeExpansion", "volumeBindingMode",                                    \
        "metadata.annotations[storageclass.kubernetes.io/is-default-class]"
/* The fields of a VolumeSnapshotClass that are read, for those who keep a cache of it. */
#define FACTS_SNAPSHOT_CLASS_FIELDS                                                                \
    "driver", "deletionPolicy",                                                                    \
        "metadata.annotations[snapshot.storage.kubernetes.io/is-default-class]", CUT_FIELDS
/* Those of a VolumeGroupSnapshotClass. */
#define FACTS_GROUP_CLASS_FIELDS                                                                   \
    "driver", "deletionPolicy",                                                                    \
        "metadata.annotations[groupsnapshot.storage.kubernetes.io/is-default-class]", CUT_FIELDS
struct storage_profile_facts { /* CDI */
    const char *storage_class, *snapshot_class;
    bool knows_modes; /* CDI can choose the access modes of its class */
};

struct class_facts {
    bool looked_up;
    bool snapshot_api;          /* CRDs of snapshot.storage.k8s.io/v1 are installed */
    bool group_api;             /* those of groupsnapshot.storage.k8s.io, too */
    bool cdi;                   /* CRD datavolumes.cdi.kubevirt.io is installed */
    bool drivers_known;         /* CSIDrivers were listed */
    bool cloning_refused;       /* a driver has refused to clone a volume of this source */
    const char *groups_refused; /* how a VolumeGroupSnapshot of this clone has failed; NULL */
    const struct storage_class_facts *storage_classes;
    size_t storage_class_count;
    const struct snapshot_class_facts *snapshot_classes; /* of both kinds */
    size_t snapshot_class_count;
    const char *const *drivers; /* names of CSIDrivers */
    size_t driver_count;
    const struct storage_profile_facts *profiles;
    size_t profile_count;
};

/* It was found: the VM, or an instance of it, ended or not. */
static inline bool facts_source_exists(const struct source_facts *s)
{
    return s->machine.vm_exists || machine_has_instance(&s->machine);
}

/* --- Readers of Kubernetes JSON. Each tolerates any tree; NULL trees mean "not there" (404). ---
 */

/* vm, vmi: of the source; vm NULL for a stand-alone VMI. Fills everything but claims and
   differences. */
void facts_read_source(struct arena *a, const cJSON *vm, const cJSON *vmi,
                       struct source_facts *ret);
/* Fills differences and reset_refusal of the same source to a clone by that spec, of that namespace
   or from elsewhere; apart, because it parses cloud-init's data. */
void facts_read_differences(struct arena *a, const cJSON *vm, const cJSON *vmi,
                            const struct wukong_spec *spec, bool elsewhere, struct source_facts *s);
/* expanded: the VM as KubeVirt's expand-spec answers it, with instancetype and preference resolved
   (pkg/instancetype/preference/apply/{tpm,firmware}.go). */
void facts_read_expanded(const cJSON *expanded, struct source_facts *s);
/* Names of the claims that the source's volumes use, without duplicates: the look-ups to do. */
size_t facts_claim_names(const struct source_facts *s, const char **ret, size_t max);
/* pvc NULL: it does not exist. ret->name is name. */
void facts_read_claim(struct arena *a, const char *name, const cJSON *pvc, struct claim_facts *ret);
void facts_read_storage_class(struct arena *a, const cJSON *o, struct storage_class_facts *ret);
void facts_read_snapshot_class(struct arena *a, const cJSON *o, bool group,
                               struct snapshot_class_facts *ret);
/* The same from a cache: field reads one of FACTS_…_CLASS_FIELDS. What is borrowed lives as long as
   the class does. */
struct storage_class_facts facts_storage_class_of(const char *name, cut_field field,
                                                  const void *class);
struct snapshot_class_facts facts_snapshot_class_of(const char *name, bool group, cut_field field,
                                                    const void *class);
void facts_read_storage_profile(struct arena *a, const cJSON *o, struct storage_profile_facts *ret);

const struct volume_facts *facts_volume(const struct source_facts *s, const char *name);
const struct claim_facts *facts_claim(const struct source_facts *s, const char *name);
const struct storage_class_facts *facts_storage_class(const struct class_facts *c,
                                                      const char *name);
const struct snapshot_class_facts *facts_snapshot_class(const struct class_facts *c, bool group,
                                                        const char *name);
bool facts_knows_modes(const struct class_facts *c, const char *storage_class);
bool facts_has_driver(const struct class_facts *c, const char *name);
/* The driver behind a claim: its storage class's provisioner, else its annotation; NULL. */
const char *facts_claim_driver(const struct class_facts *c, const struct claim_facts *claim);

#endif
