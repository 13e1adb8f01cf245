/*
 * A JSON patch applier (RFC 6902) for tests, written from the RFC and independent of
 * webhook/json_patch.c: add, replace, remove and test on object members. As kube-apiserver does, it
 * fails when the place of an add does not exist, or a test does not hold.
 */
#ifndef TEST_JSON_PATCH_H
#define TEST_JSON_PATCH_H

#include <stdbool.h>

#include <cjson/cJSON.h>

/* Changes object; false when the patch does not apply. */
bool json_patch_apply(cJSON *object, const char *json_patch_text);

#endif
