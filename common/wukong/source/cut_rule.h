/*
 * When the snapshots of a VolumeSnapshotClass are cut. CSI wants CreateSnapshot to return after the
 * cut (CSI specification, CreateSnapshot), and the creationTime of the content appears when it has
 * returned; most drivers keep to that. Some return OK for a mere request and cut later: thawed by
 * their answer, a guest writes into the snapshot that is said to be consistent.
 *
 * One table, by driver and parameters of the class, says what is known of each driver; whoever owns
 * the class overrides it by an annotation. docs/admin/compatibility.md has the sources. Pure.
 */
#ifndef SOURCE_CUT_RULE_H
#define SOURCE_CUT_RULE_H

#include <stdbool.h>
#include <stddef.h>

/* From the weakest demand to the strongest: where several apply, the greatest counts. */
enum cut_rule {
    CUT_RULE_CREATED,      /* the content has a creationTime */
    CUT_RULE_READY,        /* readyToUse is true; before that the driver may not have begun */
    CUT_RULE_WHILE_FROZEN, /* created, and a point in time only if nobody wrote: a copy of files */
    CUT_RULE_REFUSE,       /* nothing that the driver reports tells when it is cut */
    CUT_RULES
};
extern const char *const cut_rule_names[CUT_RULES];

enum cut_origin { CUT_BY_DEFAULT, CUT_BY_TABLE, CUT_BY_ANNOTATION, CUT_BY_POLICY, CUT_ORIGINS };
/* Why this rule, for people: "known of the driver", … */
extern const char *const cut_origin_texts[CUT_ORIGINS];

struct cut_verdict {
    enum cut_rule rule;
    enum cut_origin origin;
    bool slow;       /* the cut is known to take longer than a guest may stay frozen */
    bool known;      /* by table or annotation */
    const char *why; /* what the driver does, for people; NULL: nothing is known of it */
    bool ordered;    /* a group of them keeps the order of writes over its volumes */
};

/* On the VolumeSnapshotClass: one of cut_rule_names. */
#define CUT_RULE_ANNOTATION "vm.novasphere.dev/cut-rule"
/* On the VolumeSnapshotClass: "true" or "false"; the driver's cut outlasts a freeze. */
#define CUT_SLOW_ANNOTATION "vm.novasphere.dev/cut-outlasts-freeze"

/* On the VolumeGroupSnapshotClass: "true" or "false"; whether the driver keeps the order of writes
   over the volumes of a group, as CSI demands (the CSI specification, CreateVolumeGroupSnapshot).
 */
#define CUT_ORDER_ANNOTATION "vm.novasphere.dev/keeps-write-order"

/* Reads one field of a class by its path: an annotation or a parameter. NULL: not there. */
typedef const char *(*cut_field)(const void *class, const char *path);

/* The paths that are asked for, so that caches keep them. */
#define CUT_FIELD_RULE "metadata.annotations[" CUT_RULE_ANNOTATION "]"
#define CUT_FIELD_SLOW "metadata.annotations[" CUT_SLOW_ANNOTATION "]"
#define CUT_FIELD_ORDER "metadata.annotations[" CUT_ORDER_ANNOTATION "]"
#define CUT_FIELD_TYPE "parameters[type]"
#define CUT_FIELD_WAIT "parameters[wait]"
#define CUT_FIELD_SNAPSHOT_TYPE "parameters[snapshot-type]"
#define CUT_FIELD_PORTWORX "parameters[csi.openstorage.org/snapshot-type]"
#define CUT_FIELDS                                                                                 \
    CUT_FIELD_RULE, CUT_FIELD_SLOW, CUT_FIELD_ORDER, CUT_FIELD_TYPE, CUT_FIELD_WAIT,               \
        CUT_FIELD_SNAPSHOT_TYPE, CUT_FIELD_PORTWORX

/* An annotation that cannot be read refuses the class: what its owner meant is not known. group: it
   is a VolumeGroupSnapshotClass. */
struct cut_verdict cut_rule_of(const char *driver, bool group, cut_field field, const void *class);

/* The rule of that name; false when there is none. */
bool cut_rule_find(const char *name, enum cut_rule *ret);

/* A row of the table, for docs and plans. */
struct cut_driver {
    const char *driver; /* its name, which an installation may put a prefix and a dot before */
    const char *field;  /* the parameter that decides; NULL: none */
    const char *value;  /* its value; NULL: any */
    bool absent;        /* the row holds while the parameter is not there */
    bool group;         /* the row is of groups, and not of single snapshots */
    enum cut_rule rule;
    bool slow, ordered;
    const char *why;
};
extern const struct cut_driver cut_drivers[];
extern const size_t cut_driver_count;

#endif
