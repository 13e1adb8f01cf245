/*
 * Other objects that the spec of a machine names: they must exist where a clone of it runs. Pure.
 */
#ifndef WUKONG_NEEDS_H
#define WUKONG_NEEDS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

/* kind: "ConfigMap", "Secret", "ServiceAccount", "NetworkAttachmentDefinition", "ResourceClaim",
   "ResourceClaimTemplate". ns is where it is looked for. optional: the machine runs without it. A
   return other than 0 ends the walk. */
typedef int needs_found(void *arg, const char *kind, const char *ns, const char *name,
                        bool optional);

/* instance: the spec of a VirtualMachineInstance; ns: where it is to run. The same object may come
   more than once. Returns what found returned last, 0 when there was nothing. */
int needs_each(const cJSON *instance, const char *ns, needs_found *found, void *arg);

#endif
