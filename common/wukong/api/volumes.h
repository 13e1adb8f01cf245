/*
 * The table of volume types: what becomes of each volume of a source in its clone. The webhook and
 * `kubectl wukong plan` (through source/facts.c) and the worker (through its target_*.c) read it
 * here, so that none of them can think otherwise of a type than another. docs/user/differences.md
 * shows it; a test walks it against the schema of KubeVirt's VirtualMachine. Pure.
 */
#ifndef API_VOLUMES_H
#define API_VOLUMES_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

enum volume_fate {
    VOLUME_REFUSED, /* a source with such a volume is not cloned */
    VOLUME_COPIED,  /* its claim is cloned; the clone's volume names the new claim */
    VOLUME_CARRIED, /* the clone has the same volume, field by field */
    VOLUME_DROPPED, /* the clone has neither the volume nor its disk, and its user is told */
    VOLUME_FATES
};

struct volume_type {
    const char *member;         /* of kubevirt.io/v1 Volume; "" for a type that nobody knows */
    enum volume_fate fate;      /* from the clone's own namespace */
    enum volume_fate elsewhere; /* from another namespace */
    const char *claim;          /* path of the claim's name below the volume; only when COPIED */
    bool overlay;               /* the guest writes into a throw-away layer above the claim */
    const char *words;          /* why it is dropped or refused, and what to do; else NULL */
};
extern const struct volume_type volume_types[];
extern const size_t volume_type_count;

/* The type of one item of spec.volumes; never NULL. What has no known type, two of them, or one
   that is copied without the name of a claim, is the unknown type, which is refused. */
const struct volume_type *volume_type_of(const cJSON *volume);
/* The claim that a clone copies for this volume (borrowed); NULL when it copies none. */
const char *volume_claim(const cJSON *volume);

#endif
