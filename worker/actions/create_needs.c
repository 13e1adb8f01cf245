/* What the new machine names, as far as it can be asked for. */
#include "actions/create.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "manifests/manifest.h"
#include "observe/capture.h"
#include "wukong/api/resources.h"

/* What is looked up before the source is touched. Secrets are not: the right to get one reads it,
   and the right to create one, by which a dry run would ask, is one that the worker has not. What
   is not here is named in an Event alone. The first is asked for by a dry run, whose answer tells
   whether the name is taken: the right to get a ConfigMap would be the right to read all of them.
 */
static const struct kube_kind need_kinds[] = {
    {RESOURCE_CONFIG_MAP, .fields = {0}},           {RESOURCE_NETWORK, .fields = {0}},
    {RESOURCE_INSTANCETYPE, .fields = {0}},         {RESOURCE_PREFERENCE, .fields = {0}},
    {RESOURCE_CLUSTER_INSTANCETYPE, .fields = {0}}, {RESOURCE_CLUSTER_PREFERENCE, .fields = {0}},
};

static const struct kube_kind *need_kind(const char *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(need_kinds); i++)
        if (str_eq(need_kinds[i].kind, kind))
            return &need_kinds[i];
    return NULL;
}

/* What is created of it: nothing, even if it is not there. NULL: it may be read. */
static const char *need_probe(const struct clone_state *v, const struct kube_kind *kind,
                              const struct manifest_dependency *n)
{
    CLEANUP_BUF struct buf out = BUF_INIT(4096);
    struct json_writer w = json_writer(&out);
    if (kind != &need_kinds[0])
        return NULL;
    json_object(&w, NULL);
    json_string(&w, "apiVersion", kind->version);
    json_string(&w, "kind", kind->kind);
    json_object(&w, "metadata");
    json_string(&w, "namespace", n->ns);
    json_string(&w, "name", n->name);
    json_end(&w);
    json_end(&w);
    return buf_ok(&out) ? arena_strndup(v->arena, out.data, out.len) : NULL;
}

static bool is_referenced(const struct clone_state *v, const struct manifest_dependency *n)
{
    const struct wukong_target *t = &v->wukong->spec.target;
    for (size_t i = 0; i < t->reference_count; i++)
        if (str_eq(reference_kind_names[t->references[i].kind], n->kind) &&
            str_eq(t->references[i].to, n->name))
            return true;
    return false;
}

/* Within one namespace the source runs with what it names, but for a network that has gone since:
   the launcher of a machine without it hangs. */
static bool is_looked_up(const struct clone_state *v, const struct manifest_dependency *n)
{
    return v->effective.cross_namespace || is_referenced(v, n) ||
           str_eq(n->kind, reference_kind_names[REFERENCE_NETWORK]);
}

/* Whether anything is, so that no machine is built for nothing. */
static bool any_looked_up(const struct clone_state *v)
{
    const struct wukong_spec *s = &v->wukong->spec;
    const cJSON *network;
    if (v->effective.cross_namespace || s->target.reference_count || s->target.map_count ||
        s->network_count)
        return true;
    cJSON_ArrayForEach (network, json_at(capture_source(v), "spec.template.spec.networks"))
        if (json_get(network, "multus"))
            return true;
    return false;
}

const struct needed_object *needed_objects(const struct clone_state *v, size_t *ret_count)
{
    struct err err = {0};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    *ret_count = 0;
    if (!v->capture.present || !any_looked_up(v) ||
        create_vm_body(v, &v->targets[0], &vm, &err) < 0)
        return NULL;
    struct needed_object *list = arena_alloc(v->arena, (vm.need_count + 1) * sizeof *list);
    for (size_t i = 0; i < vm.need_count; i++) {
        const struct manifest_dependency *n = &vm.needs[i];
        const struct kube_kind *kind =
            n->optional || !is_looked_up(v, n) ? NULL : need_kind(n->kind);
        if (!kind)
            continue;
        const char *ns = arena_strdup(v->arena, n->ns), *name = arena_strdup(v->arena, n->name);
        list[(*ret_count)++] =
            (struct needed_object){kind, ns, name, call_key_object(CALL_NEED, kind->kind, ns, name),
                                   need_probe(v, kind, n)};
    }
    return list;
}
