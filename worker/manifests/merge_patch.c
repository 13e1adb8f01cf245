/* spec.target.overrides, the last of what a user asks for. */
#include "manifests/build.h"

#include "base/str.h"
#include "wukong/api/overrides.h"

struct first_fault {
    enum override_fault fault;
    struct err *err;
    bool found;
};

static void keep_first(void *arg, const struct override_place *place)
{
    static const char *const words[OVERRIDE_FAULTS] = {
        [OVERRIDE_PROTECTED] = "a patch changes no identity, name, disk, network or run strategy",
        [OVERRIDE_PARENT] = "this object holds what a patch must not take away: name the fields "
                            "below it that change",
        [OVERRIDE_CLAIM] = "a patch names no PersistentVolumeClaim and no DataVolume",
        [OVERRIDE_KEY] = "no field of a VirtualMachine is called that",
    };
    struct first_fault *f = arg;
    if (!f->found)
        (void)err_set(f->err, ERR_REFUSED, "spec.target.overrides.%s: %s%s%s", place->path,
                      words[f->fault], place->remedy ? ": " : "", str_or(place->remedy, ""));
    f->found = true;
}

/* As at admission: a webhook that was away has judged nothing. */
static int check_patch(const cJSON *patch, size_t bytes, struct err *err)
{
    struct first_fault f = {.err = err};
    if (!cJSON_IsObject(patch) || bytes > OVERRIDES_BYTES_MAX ||
        overrides_depth(patch) > OVERRIDES_DEPTH_MAX)
        return err_set(err, ERR_REFUSED,
                       "spec.target.overrides: must be an object of at most %d bytes and %d levels",
                       OVERRIDES_BYTES_MAX, OVERRIDES_DEPTH_MAX);
    for (int i = 0; i < OVERRIDE_FAULTS && !f.found; i++) {
        f.fault = (enum override_fault)i;
        overrides_each(patch, f.fault, keep_first, &f);
    }
    return f.found ? -1 : 0;
}

int build_overrides(struct manifest_build *b, struct err *err)
{
    const char *text = b->w->spec.target.overrides, *place;
    CLEANUP_JSON cJSON *patch = NULL;
    if (!text)
        return 0;
    if (json_read(text, strlen(text), &patch, err) < 0)
        return err_wrap(err, "spec.target.overrides");
    if (check_patch(patch, strlen(text), err) < 0)
        return -1;
    CLEANUP_JSON cJSON *before = tree_dup(b->spec);
    overrides_apply(b->spec, patch);
    /* Whatever shape the source has: the list of places above is not the only guard. */
    if (!overrides_kept(before, b->spec, &place))
        return err_set(err, ERR_REFUSED, "spec.target.overrides: it would change %s", place);
    return 0;
}

int manifest_overrides_match(const cJSON *reply, const struct wukong_target *t, struct err *err)
{
    char place[OVERRIDES_PATH_MAX];
    CLEANUP_JSON cJSON *patch = NULL;
    if (!t->overrides || json_read(t->overrides, strlen(t->overrides), &patch, err) < 0)
        return 0;
    if (overrides_dropped(json_get(reply, "spec"), patch, place))
        return err_set(err, ERR_REFUSED,
                       "spec.target.overrides.%s: this KubeVirt does not know the field, or "
                       "something in the cluster changes machines as they are created: correct its "
                       "name, or remove it",
                       place);
    return 0;
}
