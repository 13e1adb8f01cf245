#include "wukong/api/json_path.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

const cJSON *json_path_find(const cJSON *root, const char *path)
{
    const cJSON *at = root;
    while (at && *path) {
        bool bracket = *path == '[';
        const char *start = path + (bracket || *path == '.');
        size_t n = bracket ? strcspn(start, "]") : strcspn(start, ".[");
        CLEANUP_FREE char *name = xstrndup(start, n);
        uint64_t index;
        if (bracket && cJSON_IsArray(at))
            at = str_to_u64(name, &index) && index < 1000000 ? cJSON_GetArrayItem(at, (int)index)
                                                             : NULL;
        else
            at = json_get(at, name);
        path = start + n + (bracket && start[n] == ']');
    }
    return at;
}
