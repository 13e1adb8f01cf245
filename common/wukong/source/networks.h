/*
 * Networks of a machine as spec.target.network names them. Pure; the webhook and `plan` judge what
 * the source has, the worker changes it, by the same look.
 */
#ifndef SOURCE_NETWORKS_H
#define SOURCE_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "wukong/api/spec.h"

/* KubeVirt takes no more (vmi-create-admitter.go: arrayLenMax). */
#define NETWORKS_MAX 256

struct network_facts {
    const char *name; /* "" when it has none */
    const char *nad;  /* NULL: none */
    bool pod, sriov;
};
/* instance: the spec of a VirtualMachineInstance. What KubeVirt adds to one that lists nothing is
   there, too. Borrowed from the tree; at most max; returns how many. */
size_t networks_read(const cJSON *instance, struct network_facts *ret, size_t max);
/* KubeVirt adds an interface in the Pod network to it. */
bool networks_by_default(const cJSON *instance);

/* from is the name of that network, its NetworkAttachmentDefinition, or "pod". */
bool network_is(const struct network_facts *n, const char *from, const char *source_ns);
/* Where the map sends it; NULL: it stays. A name goes before what it is attached to. */
const char *network_mapped(const struct wukong_target *t, const struct network_facts *n,
                           const char *source_ns);
/* target.references names its NetworkAttachmentDefinition. */
bool network_is_referenced(const struct network_facts *n, const struct wukong_reference *r,
                           const char *source_ns);

#endif
