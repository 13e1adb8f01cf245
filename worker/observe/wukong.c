/* The Wukong itself and its record. */
#include "observe/observe.h"

#include <assert.h>

#include "base/str.h"
#include "json/json.h"
#include "wukong/api/child_names.h"

static const cJSON *compressed_tree(struct clone_state *v, const struct kube_object *o)
{
    cJSON *tree = NULL;
    CLEANUP_FREE char *text = kube_object_decompress(o);
    if (!text || json_read(text, strlen(text), &tree, NULL) < 0)
        return NULL;
    clone_keep_tree(v, tree);
    return tree;
}

int observe_wukong(struct clone_state *v, const struct kube_object *o, struct err *err)
{
    struct wukong *w = arena_alloc(v->arena, sizeof *w);
    assert(o->uid);
    w->name = o->name;
    w->ns = o->ns;
    w->uid = o->uid;
    w->resource_version = o->resource_version;
    w->generation = o->generation;
    w->created_ms = o->created_ms;
    w->deleted_ms = o->deleted_ms;
    const char *finalizers = kube_object_field(o, F_FINALIZERS);
    w->has_finalizer = finalizers && strstr(finalizers, "\"" WUKONG_FINALIZER "\"");
    wukong_pairs_read(v->arena, clone_field_tree(v, o, F_LABELS), &w->labels);
    const cJSON *spec = clone_field_tree(v, o, F_SPEC);
    if (!spec)
        return err_set(err, ERR_INVALID, "the Wukong has no spec");
    if (wukong_decode_spec(v->arena, spec, &w->spec, err) < 0)
        return -1;
    v->wukong = w;
    v->effective = wukong_resolve_defaults(&w->spec, w->ns);
    v->status = compressed_tree(v, o);
    v->record = record_read(v->arena, json_get(v->status, "cloneStatus"));
    v->retry = kube_object_field(o, F_ANNOTATION_RETRY);
    return 0;
}
