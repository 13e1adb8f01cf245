/*
 * struct kube_object: what a cache keeps of one Kubernetes object, in one malloc'd block: its
 * metadata and the fields that a struct kube_kind asks for. The parsed tree is freed at once, so
 * memory grows with the number of objects and not with their size (client-go's TransformFunc).
 * A field is the value's text: strings unquoted, everything else as compact JSON; NULL when absent.
 *
 * Whoever may write one object of a kind may write strange ones: whatever they hold costs that
 * object alone. What no field names is not even parsed; one whose fields cannot be read is kept as
 * a marker: its metadata, and why. It is there, and nothing is known of it.
 */
#ifndef KUBE_OBJECT_H
#define KUBE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/err.h"

#define KUBE_FIELDS_MAX 24

/* A kind to be listed and watched. Static data. */
struct kube_kind {
    const char *group, *version, *resource, *kind; /* group "" is the core group */
    bool cluster_scoped;
    /* The same kind as older clusters serve it, with the same fields; NULL: version alone. */
    const char *older_version;
    /* Paths of the fields kept, such as "status.phase" or "spec"; a key that holds dots is written
       in brackets: "metadata.annotations[vm.novasphere.dev/retry]". One that ends in "{}" or "[]"
       is an object or an array, and absent when it is anything else: a string that looks like one
       must not be taken for it. */
    const char *fields[KUBE_FIELDS_MAX];
    /* The path of one of them that is kept compressed (compress.h), because it is long and seldom
       read, and a text that it mostly resembles. kube_object_decompress reads it. NULL: none. */
    const char *packed, *compressed_hint;
    const char *label_selector; /* NULL: all; filtered by the server */
    const char *field_selector; /* NULL: all */
    /* The one label whose value is kept in kube_object.label and can be looked up; NULL: none. */
    const char *label_key;
    /* Instead of label_key: the path of a text that is kept there and can be looked up. */
    const char *label_path;
    /* The server keeps no watch cache of it (kube-apiserver, of Events) and so sends no bookmarks:
       a silent watch is a quiet one. TCP's keep-alive still finds a dead peer. */
    bool no_bookmarks;
};

struct kube_object {
    const struct kube_kind *kind;
    /* ns "" when cluster-scoped; of an object in a store name follows ns in memory. */
    const char *ns, *name, *uid, *resource_version;
    int64_t generation, created_ms, deleted_ms; /* deleted_ms 0: no deletionTimestamp */
    const char *owner_uid, *owner_kind,
        *owner_name;   /* the controller owner, else the first owner */
    const char *label; /* value of kind->label_key or label_path */
    /* A marker: why the object cannot be read. All fields are NULL then, and uid may be "". */
    const char *unreadable;
    const char *field[KUBE_FIELDS_MAX];
};

/* Reads one object as an API server sent it; free() the result, which may be a marker. text may
   have been cut at its end, because the object is larger than the reader takes. ERR_INVALID when
   not even its name can be found. */
WUKONG_CHECK int kube_object_read(const struct kube_kind *kind, const char *text, size_t len,
                                  struct kube_object **ret, struct err *err);
/* Projects a parsed object; free() the result. ERR_INVALID when metadata is missing. */
WUKONG_CHECK int kube_object_project(const struct kube_kind *kind, const cJSON *tree,
                                     struct kube_object **ret, struct err *err);
/* The field's text by its path as written in the kind; NULL when absent or unknown, or o is NULL.
   Not of the one that is kept compressed. */
const char *kube_object_field(const struct kube_object *o, const char *path);
/* The text of the one that is; free it. NULL when absent. */
char *kube_object_decompress(const struct kube_object *o);
/* What the object takes, as its texts tell. */
size_t kube_object_bytes(const struct kube_object *o);

/* True when b is newer than a, or no more can be told than that they differ. Since Kubernetes 1.35
   resource versions of one resource may be compared as numbers (KEP-5504). */
bool kube_version_newer(const char *a, const char *b);

#endif
