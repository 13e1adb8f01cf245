/* Conditions as Kubernetes writes them: a list, with at most one entry of each type. */
#ifndef API_CONDITIONS_H
#define API_CONDITIONS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

/* The entry of that type; NULL: none. conditions may be any tree. */
const cJSON *condition_find(const cJSON *conditions, const char *type);
/* There is one, and its status is True. */
bool condition_is_true(const cJSON *conditions, const char *type);

#endif
