/*
 * Other objects that the spec of a machine names: they must exist where a clone of it runs. A clone
 * from another namespace finds those of its own namespace under the names that the source's owner
 * wrote, and the software in its guest is his. So it gets no Secret and no ServiceAccount by them,
 * unless its Wukong names it (cloneSource.allowSecrets). Pure.
 */
#ifndef SOURCE_DEPENDENCIES_H
#define SOURCE_DEPENDENCIES_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "wukong/api/spec.h"

/* What a machine is without, when it may not have the object. */
enum dependency_loss {
    LOSES_NOTHING, /* no Secret: it is needed as it is */
    LOSES_ITEM,    /* the whole volume or credential */
    LOSES_MEMBER   /* the reference alone */
};

struct dependency {
    const char *kind; /* "ConfigMap", "Secret", "ServiceAccount", "NetworkAttachmentDefinition",
                         "ResourceClaim", "ResourceClaimTemplate" */
    const char *ns;   /* where it is looked for */
    const char *name;
    bool optional; /* the machine runs without it */
    enum dependency_loss loss;
    const char *list;  /* of the instance's spec that names it; NULL: none */
    const cJSON *item; /* of that list, or the instance's spec itself */
    const char *path;  /* of the name, inside the item */
};

/* A return other than 0 ends the walk. */
typedef int dependencies_found(void *arg, const struct dependency *need);

/* instance: the spec of a VirtualMachineInstance; ns: where it is to run. The same object may come
   more than once. Returns what found returned last, 0 when there was nothing. */
int dependencies_each(const cJSON *instance, const char *ns, dependencies_found *found, void *arg);

/* A clone from another namespace may not have it: it is a Secret or ServiceAccount, and the Wukong
   does not name it (cloneSource.allowSecrets), nor another one instead (target.references). */
bool dependency_is_denied(const struct dependency *need, const struct wukong_spec *spec);
/* What the machine is without, in a sentence of at most FINDING_WARNING_MAX bytes. */
#define DEPENDENCY_DENIED_MAX 121
void dependency_denied_text(const struct dependency *need, char out[DEPENDENCY_DENIED_MAX]);

#endif
