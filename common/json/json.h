/*
 * JSON as Kubernetes needs it, over cJSON. json_parse is strict (RFC 8259, valid UTF-8, whole
 * input) and bounded, refuses duplicate keys (cJSON reads the first, Go the last: two programs
 * would see two objects) and \u0000 (cJSON strings end there). That is for what a user hands in:
 * manifests and reviews. json_read takes what an API server has stored.
 *
 * Numbers: cJSON holds doubles, which changes 9007199254740993. With `lossless`, every number whose
 * token would not be printed back to the letter becomes a cJSON_Raw node that holds the token; the
 * getters below read both forms. Trees parsed so can be printed again without loss.
 *
 * A tree lives only in the function that parsed it; what outlives it is a projected struct.
 */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/mem.h"

static inline void json_delete_p(cJSON **tree)
{
    cJSON_Delete(*tree);
}
/* On every owning local: CLEANUP_JSON cJSON *tree = NULL; */
#define CLEANUP_JSON __attribute__((cleanup(json_delete_p)))

/* ERR_INVALID (with line and column) or ERR_LIMIT. text need not be NUL-terminated. */
WUKONG_CHECK int json_parse(const char *text, size_t len, bool lossless, cJSON **ret,
                            struct err *err);
/*
 * For what an API server sends, and what was kept of it: always lossless, as lenient as the server
 * is with what users write. Annotations hold any text, and one object of one user must not hide the
 * rest: U+0000, half a surrogate pair and invalid UTF-8 are read as U+FFFD, an object may have any
 * number of members, and of two of one name the first counts (a server's own encoder never writes
 * two). ERR_LIMIT: nested too deep; ERR_INVALID: no JSON.
 */
WUKONG_CHECK int json_read(const char *text, size_t len, cJSON **ret, struct err *err);
/* Whether json_read changes a string of it: what it returns cannot be handed on as the same. False
   when the text is no JSON. */
bool json_is_odd(const char *text, size_t len);

/* Member by exact name; NULL when absent or when o is no object. */
const cJSON *json_get(const cJSON *o, const char *name);
/* Member by path, "spec.template.metadata"; a name that holds dots in brackets:
   "metadata.annotations[a.b/c]"; "#0" is the first item of an array. NULL when absent. */
const cJSON *json_at(const cJSON *o, const char *path);
/* The string at the path; NULL when absent or no string. Borrowed from the tree. */
const char *json_str(const cJSON *o, const char *path);
/* True when there is a whole number within int64 at the path (either form). */
bool json_int(const cJSON *o, const char *path, int64_t *ret);
/* The boolean at the path, or the fallback. */
bool json_bool(const cJSON *o, const char *path, bool fallback);
/* A node as int64: cJSON_Number or cJSON_Raw. */
bool json_node_int(const cJSON *node, int64_t *ret);
/* True for cJSON_Number and for a number kept as cJSON_Raw. */
bool json_is_number(const cJSON *node);

/* Compact text; never NULL; free it. Numbers are printed as they were read (lossless trees). */
char *json_print(const cJSON *tree);
/* The beginning of what json_print gives: at least max bytes of it, or all; never much more. A
   string that is cut still ends with a quote. What a user reads is short, what he wrote need not.
 */
char *json_print_start(const cJSON *tree, size_t max);
/* Strings as they are, anything else as json_print; NULL node gives NULL. */
char *json_text(const cJSON *node);
/* Structural equality, order of members ignored, numbers by token or value. */
bool json_equal(const cJSON *a, const cJSON *b);

#endif
