#include "run/tree.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

/* Cuts the next name off the path into out. Returns the rest, NULL at the end. */
static const char *next_name(const char *path, char out[128])
{
    const char *end;
    if (*path == '[') {
        end = strchr(++path, ']');
        assert(end && end - path < 128);
        memcpy(out, path, (size_t)(end - path));
        out[end - path] = '\0';
        end++;
    } else {
        end = path + strcspn(path, ".[");
        assert(end - path < 128);
        memcpy(out, path, (size_t)(end - path));
        out[end - path] = '\0';
    }
    if (!*end)
        return NULL;
    return *end == '.' ? end + 1 : end;
}

void jt_put(cJSON *o, const char *path, cJSON *value)
{
    char name[128];
    const char *rest = next_name(path, name);
    assert(cJSON_IsObject(o));
    cJSON *child = cJSON_GetObjectItemCaseSensitive(o, name);
    if (!rest) {
        if (child)
            cJSON_DeleteItemFromObjectCaseSensitive(o, name);
        if (value)
            (void)cJSON_AddItemToObject(o, name, value);
        return;
    }
    if (!child && !value)
        return;
    if (!child)
        child = cJSON_AddObjectToObject(o, name);
    jt_put(child, rest, value);
}

void jt_str(cJSON *o, const char *path, const char *value)
{
    jt_put(o, path, value ? cJSON_CreateString(value) : NULL);
}

void jt_strf(cJSON *o, const char *path, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    jt_str(o, path, text);
}

void jt_int(cJSON *o, const char *path, int64_t value)
{
    /* As a token: nanoseconds do not fit in cJSON's double. */
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    jt_put(o, path, cJSON_CreateRaw(text));
}

void jt_bool(cJSON *o, const char *path, bool value)
{
    jt_put(o, path, cJSON_CreateBool(value));
}

cJSON *jt_at(cJSON *o, const char *path)
{
    return (cJSON *)(uintptr_t)json_at(o, path);
}

cJSON *jt_array(cJSON *o, const char *path)
{
    if (!cJSON_IsArray(json_at(o, path)))
        jt_put(o, path, cJSON_CreateArray());
    return jt_at(o, path);
}

cJSON *jt_copy(const cJSON *o)
{
    return o ? cJSON_Duplicate(o, true) : NULL;
}

bool jt_has(const cJSON *list, const char *word)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list)
        if (cJSON_IsString(item) && str_eq(item->valuestring, word))
            return true;
    return false;
}

void jt_add(cJSON *o, const char *path, const char *word)
{
    cJSON *list = jt_array(o, path);
    if (!jt_has(list, word))
        cJSON_AddItemToArray(list, cJSON_CreateString(word));
}

void jt_remove(cJSON *o, const char *path, const char *word)
{
    cJSON *list = jt_at(o, path), *item;
    cJSON_ArrayForEach (item, list)
        if (cJSON_IsString(item) && str_eq(item->valuestring, word)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
            break;
        }
    if (list && !cJSON_GetArraySize(list))
        jt_drop(o, path);
}
