/*
 * struct apiserver: a fake Kubernetes API server in one process, on a virtual clock: storage with
 * resource versions, a log of changes, list, watch, create, update, merge patch, server-side apply
 * (status and finalizers only), delete with preconditions and finalizers, garbage collection by
 * ownerReferences. Answers are worded as kube-apiserver 1.35 words them (apimachinery
 * pkg/api/errors/errors.go). It makes no faults of its own: those are net.h's.
 *
 * The world's controllers (KubeVirt, snapshot-controller, users) use the functions below directly;
 * the workers come through net.h and api_handle.
 */
#ifndef APISERVER_APISERVER_H
#define APISERVER_APISERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/timer.h"
#include "kube/transport.h"
#include "run/tree.h"

enum api_kind {
    API_WUKONG,
    API_VM,
    API_VMI,
    API_PVC,
    API_SNAPSHOT,
    API_CONTENT,
    API_GROUP,
    API_GROUP_CONTENT,
    API_VM_SNAPSHOT,
    API_VM_SNAPSHOT_CONTENT,
    API_STORAGE_CLASS,
    API_SNAPSHOT_CLASS,
    API_GROUP_CLASS,
    API_CSI_DRIVER,
    API_STORAGE_PROFILE,
    API_DATA_VOLUME,
    API_POLICY,
    API_EVENT,
    API_REVISION,
    API_LEASE,
    API_CONFIG_MAP,
    API_POD, /* of those who use claims beside KubeVirt */
    API_KINDS
};

struct api_kind_info {
    const char *group, *version, *resource, *kind;
    bool cluster_scoped;
    bool status_sub; /* main writes leave status alone, /status writes nothing else */
};
extern const struct api_kind_info api_kinds[API_KINDS];

/* Text of one version of one object, shared by storage and log. */
struct api_text {
    unsigned refs;
    size_t len;
    char s[];
};

/* What one field manager has applied to one subject (status or metadata). */
struct api_applied {
    struct api_applied *next;
    char *manager;
    cJSON *tree;
};

struct api_object {
    enum api_kind kind;
    char *key;                   /* "namespace/name" */
    const char *ns, *name, *uid; /* of the tree */
    uint64_t version;
    cJSON *tree;
    struct api_text *text;
    struct api_applied *applied;
    UT_hash_handle hh;
};

enum api_change_type { API_ADDED, API_MODIFIED, API_DELETED };

struct api_change {
    uint64_t version;
    int64_t at_ms;
    enum api_kind kind;
    enum api_change_type type;
    char *key;
    struct api_text *after, *before; /* DELETED: after holds the last state with the new version */
};

struct api_reply {
    int code;
    char *body; /* JSON or text; NULL: empty */
    int64_t retry_after_s;
    int64_t delay_ms; /* the server takes that long */
};

/* Who acts: "worker-3", "kubevirt", "user", … */
struct api_hooks {
    /* After each change. before NULL: created; o->tree is the state after, or the last one. */
    void (*changed)(void *arg, const char *who, enum api_change_type type, struct api_object *o,
                    const cJSON *before);
    /* May change the new object or refuse (true: reply is filled). before NULL: a create. */
    bool (*admit)(void *arg, const char *who, enum api_kind kind, cJSON *tree, const cJSON *before,
                  bool dry_run, struct api_reply *reply);
    /* PUT on subresources.kubevirt.io. */
    void (*subresource)(void *arg, const char *who, enum api_kind kind, const char *ns,
                        const char *name, const char *verb, const cJSON *body,
                        struct api_reply *reply);
    /* SubjectAccessReview: whether the user may do what the body's spec says. */
    bool (*may)(void *arg, const cJSON *spec);
    /* Something that a client of ours must never send. */
    void (*illegal)(void *arg, const char *who, const char *what, const char *path);
    void *arg;
};

struct apiserver {
    const struct clock *clock;
    struct timers *timers;
    struct rng *rng;
    struct api_hooks hooks;
    struct api_object *objects[API_KINDS]; /* by key, in the order of creation */
    bool unserved[API_KINDS];
    bool older_groups; /* those of groupsnapshot.storage.k8s.io are served as v1beta2 alone */
    struct api_change *log;
    size_t log_count, log_cap;
    uint64_t version, compacted;
    uint64_t uids;
    struct timer gc;
    int page_max; /* lists are cut into pages of this many, whatever the client asks; 0: never */
    unsigned stale_lists;        /* per mille of lists that are served from a lagging cache */
    void (*appended)(void *arg); /* the log has grown */
    void *appended_arg;
};

void api_init(struct apiserver *s, const struct clock *clock, struct timers *timers,
              struct rng *rng);
void api_release(struct apiserver *s);

/* --- storage, for the world --- */

struct api_object *api_find(struct apiserver *s, enum api_kind kind, const char *ns,
                            const char *name);
struct api_object *api_find_uid(struct apiserver *s, const char *uid);
/* Takes ownership of the tree. NULL when the name is taken. */
struct api_object *api_create(struct apiserver *s, const char *who, enum api_kind kind,
                              cJSON *tree);
/* Replaces the object's tree (takes ownership); the object may be gone afterwards, when its last
   finalizer went. Nothing happens when nothing changed. */
void api_replace(struct apiserver *s, const char *who, struct api_object *o, cJSON *tree);
/* Deletes, or marks as being deleted while there are finalizers. */
void api_delete(struct apiserver *s, const char *who, struct api_object *o);
/* A new object of the kind: apiVersion, kind, metadata.name and namespace. */
cJSON *api_new(enum api_kind kind, const char *ns, const char *name);
/* Forgets all changes up to a version. */
void api_compact(struct apiserver *s, uint64_t version);
char *api_uid(struct apiserver *s);
static inline bool api_deleting(const cJSON *tree)
{
    return json_at(tree, "metadata.deletionTimestamp") != NULL;
}

/* --- requests (http.c) --- */

struct api_call {
    const char *who;
    enum kube_method method;
    const char *path, *content_type, *accept, *body;
    size_t body_len;
};
/* What a path says. */
struct api_target {
    enum api_kind kind;
    bool aggregated; /* subresources.kubevirt.io */
    char ns[256], name[256], sub[64];
    char *query; /* the escaped rest, "" */
};
/* False: no such path. free() target->query. */
bool api_parse_path(const struct apiserver *s, const char *path, struct api_target *target);
/* The decoded value of a query key; NULL when absent; free() it. */
char *api_query(const struct api_target *t, const char *key);
bool api_is_watch(const struct api_target *t);
/* Everything but watches. Fills reply; free() its body. */
void api_handle(struct apiserver *s, const struct api_call *call, struct api_reply *reply);
/* A Status body; ref may be NULL. */
void api_fail(struct api_reply *reply, int code, const char *reason, const struct api_target *ref,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* --- parts --- */

/* list.c: a list as JSON into reply; stale: not older than what was asked for, but not
   the newest either. */
void api_list(struct apiserver *s, const struct api_target *t, const char *accept,
              struct api_reply *reply, bool may_be_stale);
/* Does an object match the selectors of a target's query? */
bool api_matches(const struct api_target *t, const cJSON *tree);
/* patch.c */
/* Who has written which labels: all of managedFields that this server keeps. */
void api_manage_labels(cJSON *tree, const cJSON *written, const char *manager);
void api_merge(cJSON *to, const cJSON *patch);
/* Server-side apply of one subject ("status", or "metadata" for finalizers) into tree. Remembers
   what the manager has applied only when the object is given. */
void api_apply(struct api_object *o, cJSON *tree, const char *manager, const char *subject,
               const cJSON *config);

#endif
