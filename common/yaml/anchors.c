#include <string.h>

#include "base/str.h"
#include "json/json.h"
#include "yaml/reader.h"

void anchors_clear(struct reader *r)
{
    struct anchor *a, *next_anchor;
    HASH_ITER (hh, r->anchors, a, next_anchor) {
        HASH_DEL(r->anchors, a);
        free(a->name);
        free(a);
    }
}

struct anchor *anchor_open(struct reader *r, const char *name)
{
    struct anchor *a = NULL;
    HASH_FIND_STR(r->anchors, name, a);
    if (!a) {
        a = xcalloc(1, sizeof(*a));
        a->name = xstrdup(name);
        HASH_ADD_KEYPTR(hh, r->anchors, a->name, strlen(a->name), a);
    }
    a->node = NULL;
    return a;
}

int anchor_copy_places(struct reader *r, const cJSON *from, const cJSON *to, struct yaml_mark at,
                       size_t depth)
{
    struct yaml_mark value = {0}, key = {0};
    if (reader_count(r, at) < 0)
        return -1;
    if (depth > LIMIT_JSON_DEPTH)
        return reader_fail(r, at, ERR_LIMIT, "nested deeper than %d levels", LIMIT_JSON_DEPTH);
    if (source_map_get(r->places, from, false, &value))
        (void)source_map_get(r->places, from, true, &key);
    source_map_add(r->places, to, value, key);
    const cJSON *a = from->child, *b = to->child;
    for (; a && b; a = a->next, b = b->next)
        if (anchor_copy_places(r, a, b, at, depth + 1) < 0)
            return -1;
    return 0;
}

static size_t tree_size(const cJSON *node, size_t limit)
{
    size_t n = 1;
    for (const cJSON *c = node->child; c && n <= limit; c = c->next)
        n += tree_size(c, limit - n);
    return n;
}

int anchor_read_alias(struct reader *r, size_t depth, cJSON **ret)
{
    struct yaml_mark at = reader_mark(&r->event.start_mark);
    const char *name = (const char *)r->event.data.alias.anchor;
    struct anchor *known = NULL;
    HASH_FIND_STR(r->anchors, name, known);
    const cJSON *node = known ? known->node : NULL;
    if (!node)
        return reader_fail(r, at, ERR_INVALID,
                           known ? "the alias *%.64s stands inside of what it names"
                                 : "there is no anchor &%.64s above this alias",
                           name);
    /* Measured before it is copied, so that a bomb costs nothing. */
    size_t left = r->max_nodes - r->nodes;
    if (tree_size(node, left) > left)
        return reader_fail(r, at, ERR_LIMIT, "more than %zu values once aliases are expanded",
                           r->max_nodes);
    CLEANUP_JSON cJSON *copy = cJSON_Duplicate(node, true);
    if (!copy)
        abort();
    if (anchor_copy_places(r, node, copy, at, depth) < 0)
        return -1;
    source_map_add(r->places, copy, at, (struct yaml_mark){0});
    *ret = TAKE(copy);
    return 0;
}
