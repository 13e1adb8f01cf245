#include "webhook/json_patch.h"

#include <assert.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

void json_patch_init(struct json_patch *p, cJSON *object)
{
    *p = (struct json_patch){.object = object, .ops = cJSON_CreateArray()};
}

void json_patch_release(struct json_patch *p)
{
    cJSON_Delete(p->ops);
    *p = (struct json_patch){0};
}

/* RFC 6901: "~" is written ~0 and "/" is written ~1. */
static void add_token(struct buf *pointer, const char *token)
{
    buf_addc(pointer, '/');
    for (; *token; token++) {
        if (*token == '~')
            buf_adds(pointer, "~0");
        else if (*token == '/')
            buf_adds(pointer, "~1");
        else
            buf_addc(pointer, *token);
    }
}

static void add_op(struct json_patch *p, const char *op, const char *pointer, cJSON *value)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "op", op);
    cJSON_AddStringToObject(item, "path", pointer);
    if (value)
        cJSON_AddItemToObject(item, "value", value);
    cJSON_AddItemToArray(p->ops, item);
}

/* Follows the path; makes what is missing when asked. pointer ends up leading to the result. */
static cJSON *walk_path(struct json_patch *p, const char *const *path, bool make,
                        struct buf *pointer)
{
    cJSON *at = p->object;
    for (; *path; path++) {
        add_token(pointer, *path);
        cJSON *next = (cJSON *)json_get(at, *path);
        if (cJSON_IsNull(next) && make) {
            cJSON_DeleteItemFromObjectCaseSensitive(at, *path);
            next = NULL;
        }
        if (!next && make) {
            next = cJSON_AddObjectToObject(at, *path);
            add_op(p, "add", pointer->data, cJSON_CreateObject());
        }
        if (!cJSON_IsObject(next))
            return NULL;
        at = next;
    }
    return at;
}

void json_patch_set(struct json_patch *p, const char *const *path, const char *key,
                    const char *value)
{
    CLEANUP_BUF struct buf pointer = BUF_INIT(KIB);
    cJSON *parent = walk_path(p, path, value != NULL, &pointer);
    if (!parent)
        return;
    const cJSON *present = json_get(parent, key);
    bool same = value ? cJSON_IsString(present) && str_eq(present->valuestring, value) : !present;
    if (same)
        return;
    add_token(&pointer, key);
    assert(buf_ok(&pointer));
    cJSON_DeleteItemFromObjectCaseSensitive(parent, key);
    if (value)
        cJSON_AddStringToObject(parent, key, value);
    add_op(p,
           !value    ? "remove"
           : present ? "replace"
                     : "add",
           pointer.data, value ? cJSON_CreateString(value) : NULL);
}

void json_patch_test(struct json_patch *p, const char *const *path, const char *key)
{
    CLEANUP_BUF struct buf pointer = BUF_INIT(KIB);
    const cJSON *parent = walk_path(p, path, false, &pointer);
    const cJSON *present = json_get(parent, key);
    if (!cJSON_IsString(present))
        return;
    add_token(&pointer, key);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "op", "test");
    cJSON_AddStringToObject(item, "path", pointer.data);
    cJSON_AddStringToObject(item, "value", present->valuestring);
    cJSON_InsertItemInArray(p->ops, 0, item);
}

char *json_patch_text(const struct json_patch *p)
{
    const cJSON *op = NULL;
    bool changes = false;
    cJSON_ArrayForEach (op, p->ops)
        changes |= !str_eq(json_str(op, "op"), "test");
    return changes ? json_print(p->ops) : NULL;
}
