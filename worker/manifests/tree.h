/*
 * Building and changing cJSON trees, for this folder alone: common/json reads trees, what is
 * sent elsewhere is written by its writer, and only the target bodies are made by changing a copy.
 * Allocation failure aborts, as everywhere (base/mem.h).
 */
#ifndef MANIFESTS_TREE_H
#define MANIFESTS_TREE_H

#include <stdbool.h>

#include "base/buf.h"
#include "json/json.h"
#include "manifests/manifest.h"

/* Sources and captures are written by users: below what is no object or array nothing is set, and
   what is returned for changing is NULL. Whoever needs it to be there looks (build_audit). */

/* Iterates over an array's items, and over nothing when it is no array. */
#define TREE_EACH(item, array)                                                                     \
    for (item = cJSON_IsArray(array) ? (array)->child : NULL; item; item = (item)->next)

cJSON *tree_new(void);
cJSON *tree_dup(const cJSON *node);
/* As json_at, for a tree that may be changed. */
cJSON *tree_at(cJSON *o, const char *path);
/* The member as an object or array; made when it is absent or something else. */
cJSON *tree_object(cJSON *o, const char *name);
cJSON *tree_array(cJSON *o, const char *name);
/* Sets or replaces a member; the tree takes ownership of value. */
void tree_set(cJSON *o, const char *name, cJSON *value);
/* NULL value: nothing is done. */
void tree_set_string(cJSON *o, const char *name, const char *value);
void tree_set_int(cJSON *o, const char *name, int64_t value);
void tree_set_bool(cJSON *o, const char *name, bool value);
void tree_append(cJSON *array, cJSON *value);
void tree_remove(cJSON *o, const char *name);
/* Removes the object's member when it is an empty object. */
void tree_remove_if_empty(cJSON *o, const char *name);
/* The item of an array of objects whose "name" is that; NULL when there is none. */
cJSON *tree_named(const cJSON *array, const char *name);
/* A name that two of the items bear; NULL: none. */
const char *tree_named_twice(const cJSON *array);
void tree_remove_named(cJSON *array, const char *name);
/* Prints into out; ERR_LIMIT when it does not fit. */
WUKONG_CHECK int tree_print(const cJSON *tree, struct buf *out, struct err *err);

/* {"apiVersion", "kind", "metadata": {"name", "namespace"}}; *ret_metadata is borrowed. */
cJSON *tree_kubernetes(const char *api_version, const char *kind, const char *name, const char *ns,
                       cJSON **ret_metadata);
/* Owned by the Wukong, which lives in the target's namespace, so that the garbage collector can
   follow. */
void tree_our_owner(cJSON *metadata, const struct wukong *w, bool controller);
/* Our labels on a child. index < 0 and disk NULL leave theirs out, and an object of no machine says
   whose it is (MADE_FOR_ANNOTATION); ns is where the child lives
   (NULL: cluster-scoped) and adds the Wukong's namespace when it is another one. */
void tree_our_labels(cJSON *metadata, const struct wukong *w, int64_t index, const char *disk,
                     const char *ns);

/* The labels of the Wukong that are its user's, and then those of spec.target, with its
   annotations: on whatever a clone keeps. Before tree_our_labels, whose word is the last. */
void tree_target_marks(cJSON *metadata, const struct wukong *w);

#endif
