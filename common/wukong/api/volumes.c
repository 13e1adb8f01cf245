#include "wukong/api/volumes.h"

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

#define NO_CLAIM NULL, false

/*
 * kubevirt.io/api core/v1 schema.go VolumeSource. What is carried names nothing that is written by
 * the source's guest: images, text, ConfigMaps and the Secrets that dependencies.c judges one by
 * one. The claim under an ephemeral volume is cloned like any other: no claim of the source is ever
 * handed to a clone, and without it the machine would have no disk to start from.
 */
const struct volume_type volume_types[] = {
    {"persistentVolumeClaim", VOLUME_COPIED, VOLUME_COPIED, "persistentVolumeClaim.claimName",
     false, NULL},
    /* A DataVolume's claim bears its name. */
    {"dataVolume", VOLUME_COPIED, VOLUME_COPIED, "dataVolume.name", false, NULL},
    {"ephemeral", VOLUME_COPIED, VOLUME_COPIED, "ephemeral.persistentVolumeClaim.claimName", true,
     NULL},
    {"containerDisk", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"emptyDisk", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"cloudInitNoCloud", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"cloudInitConfigDrive", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"sysprep", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"configMap", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"secret", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"serviceAccount", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"downwardAPI", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"downwardMetrics", VOLUME_CARRIED, VOLUME_CARRIED, NO_CLAIM, NULL},
    {"containerPath", VOLUME_CARRIED, VOLUME_DROPPED, NO_CLAIM,
     "it shows the guest its launcher Pod's files, tokens too"},
    {"memoryDump", VOLUME_DROPPED, VOLUME_DROPPED, NO_CLAIM,
     "it is a dump of the source's memory and no disk"},
    {"hostDisk", VOLUME_REFUSED, VOLUME_REFUSED, NO_CLAIM,
     "it is a hostDisk (a file on one node), which cannot be cloned: move it to a "
     "PersistentVolumeClaim or remove it from the source"},
};
const size_t volume_type_count = ARRAY_LEN(volume_types);

static const struct volume_type unknown = {
    "", VOLUME_REFUSED, VOLUME_REFUSED, NO_CLAIM,
    "this version of Wukong does not know its type: remove it from the source, or upgrade Wukong"};

const struct volume_type *volume_type_of(const cJSON *volume)
{
    const struct volume_type *found = &unknown;
    for (size_t i = 0; i < volume_type_count; i++) {
        const cJSON *member = json_get(volume, volume_types[i].member);
        if (!member || cJSON_IsNull(member))
            continue;
        if (found != &unknown)
            return &unknown;
        found = &volume_types[i];
    }
    return found->claim && str_empty(json_str(volume, found->claim)) ? &unknown : found;
}

const char *volume_claim(const cJSON *volume)
{
    const struct volume_type *type = volume_type_of(volume);
    return type->claim ? json_str(volume, type->claim) : NULL;
}
