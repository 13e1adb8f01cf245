/*
 * Field paths as users read them: "spec.disks[1].size", "metadata.labels[a.b/c]".
 */
#ifndef API_JSON_PATH_H
#define API_JSON_PATH_H

#include <cjson/cJSON.h>

/* The value at the path; NULL when there is none. "" is the root. */
const cJSON *json_path_find(const cJSON *root, const char *path);

#endif
