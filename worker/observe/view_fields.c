/* The parsed trees of a view, which live as long as it does. */
#include "observe/view_build.h"

#include "json/json.h"

void view_keep_tree(struct clone_view *v, cJSON *tree)
{
    if (v->tree_count == v->tree_cap) {
        v->tree_cap = v->tree_cap ? v->tree_cap * 2 : 16;
        v->trees = xrealloc(v->trees, v->tree_cap * sizeof(cJSON *));
    }
    v->trees[v->tree_count++] = tree;
}

void view_release(struct clone_view *v)
{
    for (size_t i = 0; i < v->tree_count; i++)
        cJSON_Delete(v->trees[i]);
    free(v->trees);
    v->trees = NULL;
    v->tree_count = v->tree_cap = 0;
}

const cJSON *view_field_tree(struct clone_view *v, const struct kube_object *o, const char *path)
{
    cJSON *tree = NULL;
    const char *text = o ? kube_object_field(o, path) : NULL;
    if (!text || json_read(text, strlen(text), &tree, NULL) < 0)
        return NULL;
    view_keep_tree(v, tree);
    return tree;
}
