#include "yaml/source_map.h"

#include <string.h>

#include <uthash.h>

#include "base/str.h"
#include "json/json.h"

struct place {
    const cJSON *node;
    struct yaml_mark value, key;
    UT_hash_handle hh;
};

struct source_map {
    struct place *map;
};

struct source_map *source_map_new(void)
{
    return xcalloc(1, sizeof(struct source_map));
}

void source_map_free(struct source_map *p)
{
    struct place *at, *next;
    if (!p)
        return;
    HASH_ITER (hh, p->map, at, next) {
        HASH_DEL(p->map, at);
        free(at);
    }
    free(p);
}

void source_map_add(struct source_map *p, const cJSON *node, struct yaml_mark value,
                    struct yaml_mark key)
{
    struct place *at = NULL;
    HASH_FIND_PTR(p->map, &node, at);
    if (!at) {
        at = xcalloc(1, sizeof(*at));
        at->node = node;
        HASH_ADD_PTR(p->map, node, at);
    }
    at->value = value;
    at->key = key;
}

bool source_map_get(const struct source_map *p, const cJSON *node, bool key, struct yaml_mark *ret)
{
    struct place *at = NULL;
    HASH_FIND_PTR(p->map, &node, at);
    if (!at)
        return false;
    *ret = key && at->key.line ? at->key : at->value;
    return true;
}

struct yaml_mark yaml_position_of(const struct yaml_document *d, const cJSON *node, bool key)
{
    struct yaml_mark mark = {0};
    return node && source_map_get(d->places, node, key, &mark) ? mark : d->start;
}

/* One step of a path: a member, or an item by index. */
static const cJSON *child(const cJSON *at, bool bracket, const char *name)
{
    uint64_t index;
    if (bracket && cJSON_IsArray(at))
        return str_to_u64(name, &index) && index < LIMIT_YAML_NODES
                   ? cJSON_GetArrayItem(at, (int)index)
                   : NULL;
    return json_get(at, name);
}

struct yaml_mark yaml_position(const struct yaml_document *d, const char *path, bool key)
{
    return yaml_position_in(d, d->tree, path, key);
}

struct yaml_mark yaml_position_in(const struct yaml_document *d, const cJSON *root,
                                  const char *path, bool key)
{
    const cJSON *at = root;
    while (*path) {
        bool bracket = *path == '[';
        const char *start = path + (bracket || *path == '.');
        size_t n = bracket ? strcspn(start, "]") : strcspn(start, ".[");
        CLEANUP_FREE char *name = xstrndup(start, n);
        const cJSON *next = child(at, bracket, name);
        if (!next)
            /* What is missing is shown at its parent's key: there is where to add it. */
            return yaml_position_of(d, at, true);
        at = next;
        path = start + n + (bracket && start[n] == ']');
    }
    return yaml_position_of(d, at, key);
}
