/*
 * struct patch: changes an object tree and records each change as a JSON patch (RFC 6902), so that
 * the object that is judged is the one that the API server will have. Only strings are set. A
 * change that changes nothing is not recorded: an object that has its defaults yields no patch at
 * all.
 */
#ifndef WEBHOOK_PATCH_H
#define WEBHOOK_PATCH_H

#include <cjson/cJSON.h>

#include "base/buf.h"

struct patch {
    cJSON *object; /* borrowed; changed in place */
    cJSON *ops;
};
void patch_init(struct patch *p, cJSON *object);
void patch_release(struct patch *p);
#define CLEANUP_PATCH __attribute__((cleanup(patch_release)))

/* Sets (value) or removes (NULL) member `key` of the object that the path leads to, a NULL-ended
   list of names. Objects on the way that are missing are made for a set. */
void patch_set(struct patch *p, const char *const *path, const char *key, const char *value);
/* A test operation on a member that is a string: the premise of the changes that follow. */
void patch_test(struct patch *p, const char *const *path, const char *key);
#define PATCH_PATH(...) ((const char *const[]){__VA_ARGS__, NULL})
/* The patch as text, tests first; NULL when nothing was changed. Free it. */
char *patch_text(const struct patch *p);

#endif
