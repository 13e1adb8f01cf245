/*
 * What differs between a source and its clone so that a user may stumble over it: annotations that
 * do not come along, what cloud-init does again, addresses and names that are taken twice. The
 * webhook and `kubectl wukong plan` (through source/facts.c) and the worker tell these same
 * sentences. Pure: trees in, sentences out, each of at most FINDING_WARNING_MAX bytes and at most
 * DIFFERENCES_MAX of them; docs/differences.md explains them. No Secret is read.
 */
#ifndef SOURCE_DIFFERENCES_H
#define SOURCE_DIFFERENCES_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#define DIFFERENCES_MAX 32

struct difference {
    const char *text;   /* lives for the call */
    const char *secret; /* true only of a clone that has this Secret or ServiceAccount; NULL */
};
typedef void difference_found(void *arg, const struct difference *d);

/* Of the template's annotations a clone has these: the user's marks (vm.kubevirt.io/…), and what
   decides on which addresses the guest finds its devices. */
bool annotation_is_inherited(const char *key);
/* The user is told that a clone lacks it: neither inherited nor a tool's or KubeVirt's own notes.
 */
bool annotation_is_missed(const char *key);

/* annotations: an object whose keys are those of the source's template (or of a VMI without one);
   instance: the spec of a VirtualMachineInstance, as the source has it. Both may be NULL. */
void differences_each(const cJSON *annotations, const cJSON *instance, difference_found *found,
                      void *arg);

#endif
