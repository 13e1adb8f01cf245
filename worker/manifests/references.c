/* spec.target.references: other names for what the source names. Each place is renamed once, so
   that a name which comes by one item is no other item's. */
#include "manifests/build.h"

#include "base/str.h"
#include "wukong/source/dependencies.h"
#include "wukong/source/networks.h"

struct renaming {
    const struct manifest_build *b;
    bool used[LIMIT_REFERENCES];
};

static void set_name(const struct dependency *need, const char *to)
{
    const char *dot = strrchr(need->path, '.');
    CLEANUP_FREE char *parent = xstrndup(need->path, dot ? (size_t)(dot - need->path) : 0);
    cJSON *item = (cJSON *)need->item;
    tree_set_string(dot ? tree_at(item, parent) : item, dot ? dot + 1 : need->path, to);
}

/* A network that is mapped goes elsewhere anyway. */
static void rename_network(struct renaming *r, const struct dependency *need)
{
    const struct wukong_target *t = &r->b->w->spec.target;
    const char *ns = r->b->r->effective->source_ns, *to = NULL;
    const struct network_facts n = {.name = str_or(json_str(need->item, "name"), ""),
                                    .nad = json_str(need->item, need->path)};
    for (size_t i = 0; i < t->reference_count; i++) {
        if (!network_is_referenced(&n, &t->references[i], ns))
            continue;
        r->used[i] = true;
        to = t->references[i].to;
    }
    if (to && !network_mapped(t, &n, ns))
        set_name(need, to);
}

static int rename_one(void *arg, const struct dependency *need)
{
    struct renaming *r = arg;
    const struct wukong_target *t = &r->b->w->spec.target;
    if (str_eq(need->kind, reference_kind_names[REFERENCE_NETWORK])) {
        rename_network(r, need);
        return 0;
    }
    for (size_t i = 0; i < t->reference_count; i++) {
        const struct wukong_reference *of = &t->references[i];
        if (!str_eq(need->kind, reference_kind_names[of->kind]) || !str_eq(need->name, of->from))
            continue;
        r->used[i] = true;
        set_name(need, of->to);
        break;
    }
    return 0;
}

int build_references(struct manifest_build *b, struct err *err)
{
    struct renaming r = {.b = b};
    const struct wukong_target *t = &b->w->spec.target;
    if (!t->reference_count)
        return 0;
    if (t->reference_count > LIMIT_REFERENCES)
        return err_set(err, ERR_REFUSED, "spec.target.references: must have at most %d items",
                       LIMIT_REFERENCES);
    (void)dependencies_each(b->instance, b->w->ns, rename_one, &r);
    for (size_t i = 0; i < t->reference_count; i++)
        if (!r.used[i])
            return err_set(err, ERR_REFUSED,
                           "spec.target.references[%zu].from: the source names no %s \"%.100s\": "
                           "correct the name, or remove the item",
                           i, str_or(reference_kind_names[t->references[i].kind], "object"),
                           str_or(t->references[i].from, ""));
    return 0;
}
