/*
 * Any bytes as cloud-init data of a source: no crash, and every finding within its bounds. Then as
 * a volume, plain: sentences of the length that an admission warning may have.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "json/json.h"
#include "wukong/rules/findings.h"
#include "wukong/source/cloud_init.h"
#include "wukong/source/differences.h"

static void found(void *arg, const struct difference *d)
{
    size_t *count = arg;
    assert(++*count <= DIFFERENCES_MAX);
    assert(*d->text && strlen(d->text) <= FINDING_WARNING_MAX);
}

static void as_volume(const char *text)
{
    size_t count = 0;
    CLEANUP_JSON cJSON *instance = cJSON_CreateObject();
    cJSON *volume = cJSON_CreateObject(),
          *drive = cJSON_AddObjectToObject(volume, "cloudInitNoCloud");
    cJSON_AddStringToObject(volume, "name", "ci");
    cJSON_AddStringToObject(drive, "userData", text);
    cJSON_AddStringToObject(drive, "networkDataBase64", text);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(instance, "volumes"), volume);
    differences_each(&(struct differences_of){.instance = instance}, found, &count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cloud_user_data user;
    struct cloud_network network;
    cloud_init_user_data((const char *)data, size, &user);
    cloud_init_network((const char *)data, size, &network);
    assert(user.format_count <= CLOUD_FORMATS_MAX && strlen(user.hostname) < CLOUD_NAME_MAX);
    assert(strlen(network.address) < CLOUD_NAME_MAX);
    CLEANUP_FREE char *text = xstrndup((const char *)data, size);
    as_volume(text);
    return 0;
}
