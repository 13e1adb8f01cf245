/* The parsed trees of a state, which live as long as it does. */
#include "observe/observe.h"

#include "json/json.h"

void clone_keep_tree(struct clone_state *v, cJSON *tree)
{
    if (v->tree_count == v->tree_cap) {
        v->tree_cap = v->tree_cap ? v->tree_cap * 2 : 16;
        v->trees = xrealloc(v->trees, v->tree_cap * sizeof(cJSON *));
    }
    v->trees[v->tree_count++] = tree;
}

void clone_state_release(struct clone_state *v)
{
    for (size_t i = 0; i < v->tree_count; i++)
        cJSON_Delete(v->trees[i]);
    free(v->trees);
    v->trees = NULL;
    v->tree_count = v->tree_cap = 0;
}

const cJSON *clone_field_tree(struct clone_state *v, const struct kube_object *o, const char *path)
{
    cJSON *tree = NULL;
    const char *text = o ? kube_object_field(o, path) : NULL;
    if (!text || json_read(text, strlen(text), &tree, NULL) < 0)
        return NULL;
    clone_keep_tree(v, tree);
    return tree;
}
