/* What must exist beside the new machine, and what may surprise its user. */
#include "manifests/build.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "wukong/source/dependencies.h"
#include "wukong/source/differences.h"

/* A bound, not a rule: a spec of LIMIT_OBJECT_BYTES could name more, none does. */
#define NEEDS_MAX 1024

static int add_dependency(struct manifest_build *b, const char *kind, const char *ns,
                          const char *name, bool optional, struct err *err)
{
    struct manifest_vm *t = b->ret;
    if (str_empty(name))
        return 0;
    for (size_t i = 0; i < t->need_count; i++)
        if (str_eq(t->needs[i].kind, kind) && str_eq(t->needs[i].name, name) &&
            str_eq(t->needs[i].ns, ns)) {
            t->needs[i].optional &= optional;
            return 0;
        }
    if (!t->needs)
        t->needs = arena_alloc(&t->arena, NEEDS_MAX * sizeof *t->needs);
    if (!t->needs || t->need_count == NEEDS_MAX)
        return err_set(err, ERR_LIMIT, "the source names more than %d other objects", NEEDS_MAX);
    struct manifest_dependency need = {kind, arena_strdup(&t->arena, name),
                                       arena_strdup(&t->arena, ns), optional};
    if (t->arena.failed)
        return err_set(err, ERR_LIMIT, "the source names too many other objects");
    t->needs[t->need_count++] = need;
    return 0;
}

struct adding {
    struct manifest_build *b;
    struct err *err;
};

static int add_found(void *arg, const struct dependency *need)
{
    struct adding *a = arg;
    return add_dependency(a->b, need->kind, need->ns, need->name, need->optional, a->err);
}

/* KubeVirt compares the kind without regard to case and takes the cluster-wide one by default. */
static int add_matcher(struct manifest_build *b, const char *member, const char *namespaced,
                       const char *cluster, struct err *err)
{
    const cJSON *matcher = json_get(b->spec, member);
    const char *kind = json_str(matcher, "kind");
    bool local = kind && strncasecmp(kind, namespaced, strlen(namespaced)) == 0;
    return add_dependency(b, local ? namespaced : cluster, local ? b->w->ns : NULL,
                          json_str(matcher, "name"), false, err);
}

static void warn_left_out(struct manifest_build *b)
{
    const cJSON *name;
    TREE_EACH(name, json_get(b->source, MANIFEST_LEFT_OUT))
    {
        if (cJSON_IsString(name))
            build_warn(
                b, "label or annotation \"%.100s\" of the source is too long to be carried over",
                name->valuestring);
    }
}

static void warn_devices(struct manifest_build *b)
{
    static const char *const lists[] = {"gpus", "hostDevices"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const cJSON *list = json_get(b->devices, lists[i]);
        if (cJSON_IsArray(list) && list->child)
            build_warn(b,
                       "the clone asks for the source's %s: it starts only on a node that has "
                       "them free",
                       lists[i]);
    }
    if (b->w->spec.os_image)
        build_warn(b, "spec.osImage has no meaning for a clone: its disks are the source's");
}

int build_dependencies(struct manifest_build *b, struct err *err)
{
    struct adding adding = {b, err};
    if (dependencies_each(b->instance, b->w->ns, add_found, &adding) < 0)
        return -1;
    if (add_matcher(b, "instancetype", "VirtualMachineInstancetype",
                    "VirtualMachineClusterInstancetype", err) < 0)
        return -1;
    if (add_matcher(b, "preference", "VirtualMachinePreference", "VirtualMachineClusterPreference",
                    err) < 0)
        return -1;
    warn_devices(b);
    warn_left_out(b);
    return 0;
}

static void add_difference(void *arg, const struct difference *d)
{
    struct manifest_vm *t = ((struct manifest_build *)arg)->ret;
    if (!t->differences)
        t->differences = arena_alloc(&t->arena, DIFFERENCES_MAX * sizeof *t->differences);
    const char *text = arena_strdup(&t->arena, d->text);
    if (t->differences && text && t->difference_count < DIFFERENCES_MAX)
        t->differences[t->difference_count++] = text;
}

int build_differences(struct manifest_build *b, struct err *err)
{
    const struct differences_of of = build_differences_of(b);
    (void)err;
    differences_each(&of, add_difference, b);
    return 0;
}
