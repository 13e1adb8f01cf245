/*
 * What differs between a source and its clone so that a user may stumble over it: annotations that
 * do not come along, what cloud-init does again, addresses and names that are taken twice. The
 * webhook and `kubectl wukong plan` (through source/facts.c) and the worker tell these same
 * sentences. Pure: trees in, sentences out, each of at most FINDING_WARNING_MAX bytes and at most
 * DIFFERENCES_MAX of them; docs/user/differences.md explains them. No Secret is read.
 */
#ifndef SOURCE_DIFFERENCES_H
#define SOURCE_DIFFERENCES_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "wukong/api/spec.h"

#define DIFFERENCES_MAX 32

struct difference {
    const char *text;   /* lives for the call */
    const char *secret; /* true only of a clone that has this Secret or ServiceAccount; NULL */
    bool destroys;      /* what is cloned is lost, unless somebody wants it so */
};
typedef void difference_found(void *arg, const struct difference *d);

/* Whose clone, and of what. */
struct differences_of {
    const cJSON *annotations; /* of the source's template (or of a VMI without one); NULL */
    const cJSON *instance;    /* spec of a VirtualMachineInstance, as the source has it; NULL */
    const struct wukong_target *target; /* NULL: nothing is kept that is not kept by itself */
    const struct wukong_guest *guest;   /* NULL: as the source has it */
    bool elsewhere;                     /* the source is of another namespace */
};

/* What becomes of an annotation of the template that a clone has not by itself. */
enum annotation_fate {
    ANNOTATION_LEFT_OUT,
    ANNOTATION_KEPT,
    /* Asked for and left out all the same: */
    ANNOTATION_LONG,    /* all of them together are too long to be carried with the snapshot */
    ANNOTATION_FOREIGN, /* a sidecar of another namespace's owner */
    ANNOTATION_CLAIM,   /* a sidecar that mounts a claim, which the clone would share */
};
enum annotation_fate annotation_fate(const struct differences_of *of, const cJSON *annotation);
/* Whether its value is carried with the snapshot; used: bytes of those before, begins with 0. */
bool annotation_is_carried(const cJSON *annotation, size_t *used);

void differences_each(const struct differences_of *of, difference_found *found, void *arg);

#endif
