/* What spec.guest asks for. */
#include "manifests/build.h"

#include "base/str.h"
#include "wukong/source/cloud_init.h"
#include "wukong/source/guest_reset.h"

static const char *const drives[] = {"cloudInitNoCloud", "cloudInitConfigDrive"};
/* A name that the source has hardly given to one of its own. */
#define NEW_VOLUME "wukong-cloud-init"

static cJSON *cloud_volume(const struct manifest_build *b, cJSON **ret_drive)
{
    cJSON *volume;
    TREE_EACH(volume, json_get(b->instance, "volumes"))
    {
        for (size_t i = 0; i < ARRAY_LEN(drives); i++) {
            *ret_drive = tree_at(volume, drives[i]);
            if (*ret_drive)
                return volume;
        }
    }
    *ret_drive = NULL;
    return NULL;
}

static void drop(struct manifest_build *b)
{
    cJSON *drive, *volume = cloud_volume(b, &drive);
    if (!volume)
        build_warn(b, "spec.guest.cloudInit: the source has no cloud-init volume to drop");
    for (; volume; volume = cloud_volume(b, &drive))
        build_drop_volume(b, tree_at(b->instance, "volumes"), volume);
}

static cJSON *add_drive(struct manifest_build *b)
{
    cJSON *volume = tree_new(), *disk = tree_new();
    tree_set_string(volume, "name", NEW_VOLUME);
    cJSON *drive = tree_object(volume, drives[0]);
    tree_append(tree_array(b->instance, "volumes"), volume);
    tree_set_string(disk, "name", NEW_VOLUME);
    tree_set_string(tree_object(disk, "disk"), "bus", "virtio");
    tree_append(tree_array(b->devices, "disks"), disk);
    return drive;
}

static void set_data(cJSON *drive, const char *plain, const char *data, const char *reference,
                     const char *secret)
{
    tree_set_string(drive, plain, data);
    if (secret)
        tree_set_string(tree_object(drive, reference), "name", secret);
}

static int replace(struct manifest_build *b, struct err *err)
{
    const struct wukong_guest *g = &b->w->spec.guest;
    cJSON *drive;
    if (!cloud_volume(b, &drive)) {
        if (tree_named(json_get(b->instance, "volumes"), NEW_VOLUME))
            return err_set(err, ERR_REFUSED,
                           "spec.guest.cloudInit: volume \"" NEW_VOLUME
                           "\" of the source bears the "
                           "name that a new cloud-init volume would have: rename it");
        drive = add_drive(b);
    }
    if (!cJSON_IsObject(drive))
        return err_set(err, ERR_REFUSED,
                       "spec.guest.cloudInit: the cloud-init volume of the source is no object");
    while (drive->child)
        cJSON_Delete(cJSON_DetachItemViaPointer(drive, drive->child));
    set_data(drive, "userData", g->user_data, "secretRef", g->user_data_secret);
    set_data(drive, "networkData", g->network_data, "networkDataSecretRef", g->network_data_secret);
    return 0;
}

/* After Replace: what is there by then is added to. */
static int reset(struct manifest_build *b, struct err *err)
{
    CLEANUP_BUF struct buf given = BUF_INIT(2 * LIMIT_CLOUD_INIT_BYTES);
    CLEANUP_BUF struct buf made = BUF_INIT(8 * LIMIT_CLOUD_INIT_BYTES);
    const struct wukong_guest *g = &b->w->spec.guest;
    cJSON *drive;
    if (!reset_is_wanted(g))
        return 0;
    const struct wukong_guest as_it_is = {.reset_machine_id = g->reset_machine_id,
                                          .reset_ssh_host_keys = g->reset_ssh_host_keys};
    const char *why = reset_refusal(b->instance, &as_it_is);
    if (why)
        return err_set(err, ERR_REFUSED, "spec.guest: %s", why);
    (void)cloud_volume(b, &drive);
    (void)cloud_init_data(drive, "userData", "userDataBase64", &given);
    (void)reset_user_data(given.data, g, &made);
    tree_remove(drive, "userDataBase64");
    tree_set_string(drive, "userData", made.data);
    return 0;
}

static void find_destroyer(void *arg, const struct difference *d)
{
    struct err *first = arg;
    if (d->destroys && !first->kind)
        (void)err_set(first, ERR_REFUSED,
                      "%s: set spec.guest.cloudInit to Drop or Replace, or to Rerun to accept it",
                      d->text);
}

int build_guest(struct manifest_build *b, struct err *err)
{
    const struct differences_of of = build_differences_of(b);
    struct err found = {0};
    switch (b->w->spec.guest.cloud_init) {
    case CLOUD_INIT_DROP:
        drop(b);
        break;
    case CLOUD_INIT_REPLACE:
        if (replace(b, err) < 0)
            return -1;
        break;
    case CLOUD_INIT_UNSET:
        differences_each(&of, find_destroyer, &found);
        if (found.kind)
            return err_set(err, found.kind, "%s", found.message);
        break;
    case CLOUD_INIT_RERUN:
    case CLOUD_INITS:
        break;
    }
    return reset(b, err);
}

void build_hostname(const struct manifest_build *b, const char *vm, char out[NAME_BUF])
{
    const char *wanted = b->w->spec.guest.hostname;
    CLEANUP_FREE char *numbered = wanted && b->r->effective->replicas > 1
                                      ? xasprintf("%s-%lld", wanted, (long long)b->r->index)
                                      : NULL;
    if (wanted)
        (void)snprintf(out, NAME_BUF, "%s", numbered ? numbered : wanted);
    else
        name_hostname(vm, out);
}
