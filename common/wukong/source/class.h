/*
 * Which VolumeSnapshotClass takes the snapshot of a claim: the Wukong's, else CDI StorageProfile's,
 * else the default-annotated class of the claim's driver, else the only class of that driver.
 * Several without a default, or none, is no choice, and the text names the driver and the
 * candidates.
 */
#ifndef SOURCE_CLASS_H
#define SOURCE_CLASS_H

#include "wukong/source/facts.h"

enum class_verdict {
    CLASS_CHOSEN,
    CLASS_NO_API,       /* the snapshot CRDs are not installed */
    CLASS_NO_DRIVER,    /* the claim's driver cannot be told */
    CLASS_NOT_CSI,      /* no CSIDriver of that name */
    CLASS_MISSING,      /* the named class does not exist */
    CLASS_WRONG_DRIVER, /* the named class belongs to another driver */
    CLASS_NONE,         /* the driver has no class */
    CLASS_AMBIGUOUS,    /* it has several and no default, or several defaults */
    CLASS_REFUSED       /* when its snapshots are cut cannot be told: CUT_RULE_REFUSE */
};

enum class_origin {
    CLASS_OF_WUKONG,
    CLASS_OF_PROFILE,
    CLASS_OF_DEFAULT,
    CLASS_OF_ONLY,
    CLASS_ORIGINS
};
/* Why this class, for people: "named by the Wukong", … */
extern const char *const class_origin_texts[CLASS_ORIGINS];

#define CLASS_TEXT_MAX 640

struct class_choice {
    enum class_verdict verdict;
    enum class_origin origin;
    const struct snapshot_class_facts *chosen; /* borrowed from the facts; NULL unless CHOSEN */
    char text[CLASS_TEXT_MAX]; /* why not, with driver and candidates, and what to do */
};

/* wanted: the Wukong's class or NULL; storage_class and driver: of the source claim. */
void class_choose(const struct class_facts *c, const char *wanted, const char *storage_class,
                  const char *driver, struct class_choice *ret);
/* The same of VolumeGroupSnapshotClasses, which no StorageProfile names. */
void class_choose_group(const struct class_facts *c, const char *wanted, const char *storage_class,
                        const char *driver, struct class_choice *ret);

#endif
