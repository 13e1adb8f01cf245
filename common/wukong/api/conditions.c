#include "wukong/api/conditions.h"

#include "base/str.h"
#include "json/json.h"

const cJSON *condition_find(const cJSON *conditions, const char *type)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, conditions)
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

bool condition_is_true(const cJSON *conditions, const char *type)
{
    return str_eq(json_str(condition_find(conditions, type), "status"), "True");
}
