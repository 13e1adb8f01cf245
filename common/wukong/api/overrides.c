#include "wukong/api/overrides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

/* --- Places --- */

/* What makes the clone another machine than its source, and what else the worker answers for. An
   interface that KubeVirt adds by itself would have its link up, whatever target.network says. */
static const struct {
    const char *path, *remedy;
} protected_places[] = {
    {"running", "use startStrategy"},
    {"runStrategy", "use startStrategy.runStrategy"},
    {"instancetype", "use cpu and memory"},
    {"preference", "change the fields that it sets"},
    {"dataVolumeTemplates", "use disks"},
    {"template.metadata", "use target.labels and target.annotations"},
    {"template.spec.hostname", "use guest.hostname"},
    {"template.spec.volumes", "use disks and guest.cloudInit"},
    {"template.spec.utilityVolumes", "use disks"},
    {"template.spec.networks", "use target.network or networks"},
    {"template.spec.domain.firmware.uuid", "each clone has its own"},
    {"template.spec.domain.firmware.serial", "each clone has its own"},
    {"template.spec.domain.devices.disks", "use disks"},
    {"template.spec.domain.devices.filesystems", "use disks"},
    {"template.spec.domain.devices.interfaces", "use target.network or networks"},
    {"template.spec.domain.devices.autoattachPodInterface", "use target.network or networks"},
};

static const char *const claim_members[] = {"claimName", "dataVolume", "dataVolumeTemplates"};
static bool names_claim(const char *member)
{
    for (size_t i = 0; i < ARRAY_LEN(claim_members); i++)
        if (member && strcasecmp(member, claim_members[i]) == 0)
            return true;
    return false;
}

/* --- The walk --- */

struct walk {
    enum override_fault fault;
    override_found *found;
    void *arg;
    char path[OVERRIDES_PATH_MAX];
    size_t len;
};

static size_t extend_path(char path[OVERRIDES_PATH_MAX], size_t len, const char *name)
{
    int n = name ? snprintf(path + len, OVERRIDES_PATH_MAX - len, "%s%.63s", len ? "." : "", name)
                 : snprintf(path + len, OVERRIDES_PATH_MAX - len, "[]");
    size_t end = len + (size_t)n;
    return end < OVERRIDES_PATH_MAX ? end : OVERRIDES_PATH_MAX - 1;
}

/* -1: nothing protected is there or below; else its row. *ret_parent: it is below. */
static int protected_at(const char *path, bool *ret_parent)
{
    size_t n = strlen(path);
    int below = -1;
    for (size_t i = 0; i < ARRAY_LEN(protected_places); i++) {
        const char *place = protected_places[i].path;
        *ret_parent = false;
        if (strcasecmp(place, path) == 0)
            return (int)i;
        if (strncasecmp(place, path, n) == 0 && place[n] == '.')
            below = (int)i;
    }
    *ret_parent = below >= 0;
    return below;
}

/* Only letters, digits and what stands in the keys of a node selector; Go's decoder takes some
   letters that are not ASCII for others. */
static bool is_field_name(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] <= ' ' || (unsigned char)name[i] >= 0x7f)
            return false;
    return n > 0 && n <= LIMIT_DNS_SUBDOMAIN + 1 + LIMIT_DNS_LABEL;
}

static void report_place(const struct walk *w, const char *remedy)
{
    struct override_place place = {w->path, remedy};
    w->found(w->arg, &place);
}

/* A claim of a device, one of spec.resourceClaims (kubevirt.io/api core/v1 schema.go ClaimRequest);
   list: what m stands in an item of. */
static bool claims_device(const cJSON *m, const char *list)
{
    return str_eq(m->string, "claimName") && (str_eq(list, "gpus") || str_eq(list, "hostDevices"));
}

/* False: what stands below is not looked at. */
static bool judge_place(const struct walk *w, const cJSON *m, const char *list)
{
    bool parent = false;
    int row = protected_at(w->path, &parent);
    switch (w->fault) {
    case OVERRIDE_PROTECTED:
        if (row >= 0 && !parent)
            report_place(w, protected_places[row].remedy);
        break;
    case OVERRIDE_PARENT:
        if (row >= 0 && parent && !cJSON_IsObject(m))
            report_place(w, NULL);
        break;
    case OVERRIDE_CLAIM:
        if (names_claim(m->string) && !claims_device(m, list) && row < 0)
            report_place(w, NULL);
        break;
    case OVERRIDE_KEY:
        if (m->string && !is_field_name(m->string))
            report_place(w, NULL);
        break;
    case OVERRIDE_FAULTS:
        break;
    }
    return row < 0 || parent;
}

/* list: the name of the array that node is an item of; NULL: of none. */
static void walk_members(struct walk *w, const cJSON *node, const char *list, int depth)
{
    if (depth > LIMIT_JSON_DEPTH)
        return;
    for (const cJSON *m = node->child; m; m = m->next) {
        size_t len = w->len;
        w->len = extend_path(w->path, len, m->string);
        if (judge_place(w, m, list))
            walk_members(w, m, cJSON_IsArray(node) ? node->string : NULL, depth + 1);
        w->path[w->len = len] = '\0';
    }
}

void overrides_each(const cJSON *patch, enum override_fault fault, override_found *found, void *arg)
{
    struct walk w = {.fault = fault, .found = found, .arg = arg};
    if (cJSON_IsObject(patch))
        walk_members(&w, patch, NULL, 0);
}

size_t overrides_depth(const cJSON *patch)
{
    size_t deepest = 0;
    if (!cJSON_IsObject(patch) && !cJSON_IsArray(patch))
        return 0;
    for (const cJSON *m = patch->child; m; m = m->next) {
        size_t depth = overrides_depth(m);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* --- RFC 7386, section 2 --- */

static cJSON *require_node(cJSON *node)
{
    if (!node)
        abort();
    return node;
}

static void set_member(cJSON *o, const char *name, cJSON *value)
{
    cJSON_bool done = json_get(o, name)
                          ? cJSON_ReplaceItemInObjectCaseSensitive(o, name, require_node(value))
                          : cJSON_AddItemToObject(o, name, require_node(value));
    if (!done)
        abort();
}

void overrides_apply(cJSON *spec, const cJSON *patch)
{
    if (!cJSON_IsObject(spec) || !cJSON_IsObject(patch))
        return;
    for (const cJSON *m = patch->child; m; m = m->next) {
        if (cJSON_IsNull(m)) {
            cJSON_DeleteItemFromObjectCaseSensitive(spec, m->string);
            continue;
        }
        if (!cJSON_IsObject(m)) {
            set_member(spec, m->string, cJSON_Duplicate(m, true));
            continue;
        }
        if (!cJSON_IsObject(json_get(spec, m->string)))
            set_member(spec, m->string, cJSON_CreateObject());
        overrides_apply((cJSON *)json_get(spec, m->string), m);
    }
}

bool overrides_kept(const cJSON *before, const cJSON *after, const char **ret)
{
    for (size_t i = 0; i < ARRAY_LEN(protected_places); i++) {
        const cJSON *was = json_at(before, protected_places[i].path);
        const cJSON *is = json_at(after, protected_places[i].path);
        if (was == is || (was && is && json_equal(was, is)))
            continue;
        *ret = protected_places[i].path;
        return false;
    }
    return true;
}

/* --- Policies --- */

/* How far the path goes along the name: 0 when it goes elsewhere, else what is left of it. */
static const char *step_along(const char *path, const char *name)
{
    size_t n = strcspn(path, ".");
    if (!name || strlen(name) != n || memcmp(name, path, n) != 0)
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

static bool leaves(const cJSON *node, const char *const *paths, size_t count, size_t len,
                   char out[OVERRIDES_PATH_MAX]);

static bool member_leaves(const cJSON *m, const char *const *paths, size_t count, size_t len,
                          char out[OVERRIDES_PATH_MAX])
{
    CLEANUP_FREE const char **below = xcalloc(count + 1, sizeof *below);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const char *rest = step_along(paths[i], m->string);
        if (rest && !*rest)
            return false;
        if (rest)
            below[n++] = rest;
    }
    len = extend_path(out, len, m->string);
    if (!cJSON_IsObject(m) || !m->child)
        return true;
    return leaves(m, below, n, len, out);
}

static bool leaves(const cJSON *node, const char *const *paths, size_t count, size_t len,
                   char out[OVERRIDES_PATH_MAX])
{
    for (const cJSON *m = node->child; m; m = m->next) {
        if (member_leaves(m, paths, count, len, out))
            return true;
        out[len] = '\0';
    }
    return false;
}

bool overrides_leave(const cJSON *patch, const char *const *paths, size_t count,
                     char out[OVERRIDES_PATH_MAX])
{
    out[0] = '\0';
    return cJSON_IsObject(patch) && leaves(patch, paths, count, 0, out);
}

/* --- What was stored --- */

/* Go's encoder leaves out what is empty or zero, and KubeVirt sends all through it. */
static bool is_zero(const cJSON *v)
{
    int64_t n;
    return cJSON_IsNull(v) || cJSON_IsFalse(v) || (cJSON_IsString(v) && !*v->valuestring) ||
           (json_node_int(v, &n) && n == 0) ||
           ((cJSON_IsObject(v) || cJSON_IsArray(v)) && !v->child);
}

static bool drops(const cJSON *stored, const cJSON *patch, size_t len, char out[OVERRIDES_PATH_MAX])
{
    const cJSON *other = stored ? stored->child : NULL;
    for (const cJSON *m = patch->child; m; m = m->next) {
        const cJSON *kept = m->string ? json_get(stored, m->string) : other;
        size_t end = extend_path(out, len, m->string);
        if (!is_zero(m) && (!kept || cJSON_IsNull(kept)))
            return true;
        if (kept && (cJSON_IsObject(m) || cJSON_IsArray(m)) && drops(kept, m, end, out))
            return true;
        out[len] = '\0';
        other = other ? other->next : NULL;
    }
    return false;
}

bool overrides_dropped(const cJSON *stored, const cJSON *patch, char out[OVERRIDES_PATH_MAX])
{
    out[0] = '\0';
    return cJSON_IsObject(patch) && drops(stored, patch, 0, out);
}
