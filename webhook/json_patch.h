/*
 * struct json_patch: changes an object tree and records each change as a JSON patch (RFC 6902), so
 * that the object that is judged is the one that the API server will have. Only strings are set. A
 * change that changes nothing is not recorded: an object that has its defaults yields no patch at
 * all.
 */
#ifndef WEBHOOK_JSON_PATCH_H
#define WEBHOOK_JSON_PATCH_H

#include <cjson/cJSON.h>

#include "base/buf.h"

struct json_patch {
    cJSON *object; /* borrowed; changed in place */
    cJSON *ops;
};
void json_patch_init(struct json_patch *p, cJSON *object);
void json_patch_release(struct json_patch *p);
#define CLEANUP_JSON_PATCH __attribute__((cleanup(json_patch_release)))

/* Sets (value) or removes (NULL) member `key` of the object that the path leads to, a NULL-ended
   list of names. Objects on the way that are missing are made for a set. */
void json_patch_set(struct json_patch *p, const char *const *path, const char *key,
                    const char *value);
/* A test operation on a member that is a string: the premise of the changes that follow. */
void json_patch_test(struct json_patch *p, const char *const *path, const char *key);
#define PATCH_PATH(...) ((const char *const[]){__VA_ARGS__, NULL})
/* The patch as text, tests first; NULL when nothing was changed. Free it. */
char *json_patch_text(const struct json_patch *p);

#endif
