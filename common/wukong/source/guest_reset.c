#include "wukong/source/guest_reset.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/source/cloud_init.h"

static const cJSON *drive_of(const cJSON *instance)
{
    const cJSON *volume;
    cJSON_ArrayForEach (volume, json_get(instance, "volumes"))
        if (cloud_init_drive(volume))
            return cloud_init_drive(volume);
    return NULL;
}

const char *reset_refusal(const cJSON *instance, const struct wukong_guest *g)
{
    CLEANUP_BUF struct buf given = BUF_INIT(2 * LIMIT_CLOUD_INIT_BYTES);
    CLEANUP_BUF struct buf made = BUF_INIT(8 * LIMIT_CLOUD_INIT_BYTES);
    const cJSON *drive = drive_of(instance);
    if (!reset_is_wanted(g))
        return NULL;
    if (g->cloud_init == CLOUD_INIT_REPLACE)
        return NULL; /* a rule of the spec judges its data */
    if (!drive)
        return "the source has no cloud-init volume: set guest.cloudInit to Replace with user "
               "data, "
               "or generalise the guest itself (docs/user/generalise.md)";
    if (!str_empty(json_str(drive, "secretRef.name")))
        return "the user data are in a Secret, which Wukong does not read: add there what "
               "docs/user/generalise.md shows, or replace them with guest.userData";
    (void)cloud_init_data(drive, "userData", "userDataBase64", &given);
    if (given.failed)
        return "the user data cannot be read: add to them what docs/user/generalise.md shows";
    return reset_user_data(given.data, g, &made);
}
