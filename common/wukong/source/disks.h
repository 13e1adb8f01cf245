/*
 * Which disks a clone has, and how each is made: the spec's selection matched against the source's
 * volumes, sizes (grow only), storage classes, snapshot class and method per disk; and what is left
 * out. validate_source() adds what is wrong, by the same rule table, split so:
 * a missing source warns, a source that exists and lacks the disk is an error.
 *
 * The webhook calls it on CREATE; the worker calls it again in its pre-flight, so that neither can
 * admit what the other refuses.
 */
#ifndef SOURCE_DISKS_H
#define SOURCE_DISKS_H

#include "wukong/api/spec.h"
#include "wukong/rules/findings.h"
#include "wukong/source/class.h"
#include "wukong/source/facts.h"

enum disk_method {
    DISK_METHOD_NONE,  /* nothing fits: an finding says what to install */
    DISK_RESTORE,      /* PVC from VolumeSnapshot, same driver */
    DISK_CDI_CLONE,    /* DataVolume with source pvc (full) */
    DISK_CDI_SNAPSHOT, /* DataVolume with source snapshot (another class or namespace) */
    DISK_CSI_CLONE,    /* PVC from PVC, same driver and namespace (full) */
    DISK_HANDLE_COPY,  /* pre-provisioned content in the target namespace, then restore */
    DISK_METHODS
};
extern const char *const disk_method_names[DISK_METHODS]; /* status.cloneStatus.disks[].method */
/* The others copy the claim itself. */
static inline bool disk_takes_snapshot(enum disk_method m)
{
    return m != DISK_CSI_CLONE && m != DISK_CDI_CLONE;
}

struct disk_plan {
    const char *name;   /* of the target disk: PVC suffix */
    const char *volume; /* volume name in source and target VM */
    const char *claim;  /* source PVC */
    size_t spec_index;  /* in spec.disks; SIZE_MAX when the spec lists none */
    int64_t source_bytes, bytes;
    const char *source_class, *storage_class; /* NULL: none known */
    const char *driver;                       /* of the source claim; NULL: unknown */
    const char *volume_mode;
    const char *access_modes;   /* compact JSON array of the source's claim */
    const char *snapshot_class; /* NULL when no snapshot is taken or none could be chosen */
    bool grouped; /* that is a VolumeGroupSnapshotClass: one cut for all disks of its driver */
    const char *method_why; /* why snapshotMethod Auto has it so; NULL: a method was named */
    enum class_origin snapshot_class_origin;
    bool snapshot_class_retain;
    struct cut_verdict cut; /* when its snapshot is cut; unused when none is taken */
    enum disk_method method;
    bool boot;
    bool shared; /* another machine may write the source's disk */
};

enum left_out_why { LEFT_NOT_SELECTED, LEFT_UNSNAPSHOTTABLE };
struct disk_left_out {
    const char *volume, *claim, *reason;
    enum left_out_why why;
};

struct disks {
    struct disk_plan *items;
    size_t count;
    struct disk_left_out *left_out;
    size_t left_out_count;
};

/*
 * Resolves the wanted disks from facts; findings go to l (fields as in the spec). Empty result when
 * the source was not looked up or does not exist. Claims that were not looked up are planned with
 * what is known. The result lives in a.
 */
void disks_resolve(struct arena *a, const struct wukong *w, const struct wukong_effective *e,
                   const struct source_facts *s, const struct class_facts *c, struct findings *l,
                   struct disks *ret);

/* Every rule that needs facts: source, state, disks, classes, TPM/EFI, hostDisk, child names. */
void validate_source(const struct wukong *w, const struct wukong_effective *e,
                     const struct source_facts *s, const struct class_facts *c, struct findings *l);

#endif
