/*
 * Field paths as users read them: "spec.disks[1].size", "metadata.labels[a.b/c]".
 */
#ifndef WUKONG_FIELD_H
#define WUKONG_FIELD_H

#include <cjson/cJSON.h>

/* The value at the path; NULL when there is none. "" is the root. */
const cJSON *field_find(const cJSON *root, const char *path);

#endif
