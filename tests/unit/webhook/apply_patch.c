#include "apply_patch.h"

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

/* Splits the last token off and walks to its parent. */
static cJSON *parent_of(cJSON *object, char *pointer, char **ret_last)
{
    cJSON *at = object;
    if (*pointer != '/')
        return NULL;
    char *token = pointer + 1;
    for (;;) {
        char *slash = strchr(token, '/');
        if (slash)
            *slash = '\0';
        char *write = token;
        for (char *read = token; *read; read++, write++) {
            *write = *read;
            if (*read == '~')
                *write = *++read == '1' ? '/' : '~';
        }
        *write = '\0';
        if (!slash) {
            *ret_last = token;
            return cJSON_IsObject(at) ? at : NULL;
        }
        at = cJSON_GetObjectItemCaseSensitive(at, token);
        if (!at)
            return NULL;
        token = slash + 1;
    }
}

static bool apply_one(cJSON *object, const cJSON *op)
{
    const char *verb = json_str(op, "op"), *path = json_str(op, "path");
    const cJSON *value = json_get(op, "value");
    if (!verb || !path)
        return false;
    CLEANUP_FREE char *pointer = xstrdup(path);
    char *last = NULL;
    cJSON *parent = parent_of(object, pointer, &last);
    if (!parent)
        return false;
    cJSON *present = cJSON_GetObjectItemCaseSensitive(parent, last);
    if (str_eq(verb, "test"))
        return present && value && json_equal(present, value);
    if (str_eq(verb, "remove")) {
        cJSON_DeleteItemFromObjectCaseSensitive(parent, last);
        return present != NULL;
    }
    if ((!str_eq(verb, "add") && !str_eq(verb, "replace")) || !value ||
        (str_eq(verb, "replace") && !present))
        return false;
    cJSON_DeleteItemFromObjectCaseSensitive(parent, last);
    return cJSON_AddItemToObject(parent, last, cJSON_Duplicate(value, true));
}

bool json_patch_apply(cJSON *object, const char *json_patch_text)
{
    CLEANUP_JSON cJSON *patch = NULL;
    struct err err = {0};
    if (json_parse(json_patch_text, strlen(json_patch_text), false, &patch, &err) < 0 ||
        !cJSON_IsArray(patch))
        return false;
    const cJSON *op = NULL;
    cJSON_ArrayForEach (op, patch) {
        if (!apply_one(object, op))
            return false;
    }
    return true;
}
