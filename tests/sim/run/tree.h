/*
 * Small helpers to change cJSON trees by path. Paths are those of json/json.h ("a.b[c.d/e].f"),
 * without array indexes; objects on the way are made when absent. Depends on json alone.
 */
#ifndef RUN_TREE_H
#define RUN_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "json/json.h"

/* Takes ownership of value; NULL removes. */
void jt_put(cJSON *o, const char *path, cJSON *value);
void jt_str(cJSON *o, const char *path, const char *value);
void jt_strf(cJSON *o, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void jt_int(cJSON *o, const char *path, int64_t value);
void jt_bool(cJSON *o, const char *path, bool value);
static inline void jt_drop(cJSON *o, const char *path)
{
    jt_put(o, path, NULL);
}
/* The node for changing; NULL when absent. */
cJSON *jt_at(cJSON *o, const char *path);
/* The array at the path, made when absent. */
cJSON *jt_array(cJSON *o, const char *path);
cJSON *jt_copy(const cJSON *o);
/* Lists of strings. */
bool jt_has(const cJSON *list, const char *word);
void jt_add(cJSON *o, const char *path, const char *word);
void jt_remove(cJSON *o, const char *path, const char *word);

#endif
