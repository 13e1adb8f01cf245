/*
 * Cuts out of a JSON document what is wanted of it, without reading the rest: what nobody asks for
 * is passed over by brackets and quotes alone, however deep, long or strange it is. The text need
 * not be whole: of a document that was cut off, what came before the cut is found.
 */
#ifndef JSON_PICK_H
#define JSON_PICK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Part of a text; text NULL: not there. */
struct json_slice {
    const char *text;
    size_t len;
};

/* Finds members of the outermost object by name; ret has an entry for each name. One whose value
   does not end reaches to the end of the text. ERR_INVALID when the text is no object or does not
   end as one; what was found until then is in ret all the same. */
WUKONG_CHECK int json_outline(const char *text, size_t len, const char *const *names, size_t count,
                              struct json_slice *ret, struct err *err);

#define JSON_PICK_PATHS_MAX 48

/* Writes a document that holds only the members at the paths (as json_at reads them, no "#0"), each
   as it stands in the text. What a path passes through and is no object counts as absent. On
   ERR_INVALID, the text being cut off or no object, out holds what was found until then. out must
   have room for the text. */
WUKONG_CHECK int json_pick(const char *text, size_t len, const char *const *paths, size_t count,
                           struct buf *out, struct err *err);

#endif
