/*
 * The mutating webhook's JSON patch (RFC 6902): only what the CRD's schema cannot default, because
 * it depends on other fields. `test` operations come first, so that the patch does not apply to an
 * object that is not the one it was made for. Nothing to do, nothing written: GitOps sees no drift,
 * and applying it twice changes nothing.
 */
#ifndef RULES_PATCH_H
#define RULES_PATCH_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

struct patch_stamp {
    const char *key;   /* annotation */
    const char *value; /* NULL: the annotation must not be there (it is removed) */
};

/*
 * Appends the patch as a JSON array to out and returns true, or returns false when nothing is to be
 * changed. old is the old object of an UPDATE, NULL on CREATE: cloneType and namespace are then
 * copied from it when they are missing, else `kubectl replace` of the first manifest would be
 * refused as a change. stamp may be NULL: then annotations are left alone.
 */
bool patch_defaults(const cJSON *object, const cJSON *old, const struct patch_stamp *stamp,
                    struct buf *out);

#endif
