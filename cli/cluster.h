/*
 * A connection to the user's cluster, as kubectl has it: kubeconfig, context, namespace, and on
 * whose behalf. The command line may wait for an answer, so each call here turns the event loop
 * until it has one.
 */
#ifndef CLI_CLUSTER_H
#define CLI_CLUSTER_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "cli/flags.h"
#include "kube/client.h"
#include "lookup/lookup.h"
#include "loop/loop.h"

struct cluster;

/* "wk/copy", "wukong/copy" and "wukong.vm.novasphere.dev/copy", as kubectl prints them, to "copy".
 */
const char *cluster_bare_name(const char *argument);

/* Every Wukong, as far as calls are concerned. */
extern const struct kube_kind cluster_wukongs;

/* options are borrowed for the life of the cluster. */
WUKONG_CHECK int cluster_open(const struct flag_connection *options, struct cluster **ret,
                              struct err *err);
/* NULL does nothing. */
void cluster_close(struct cluster *c);
static inline void cluster_close_p(struct cluster **c)
{
    cluster_close(*c);
}
#define CLEANUP_CLUSTER __attribute__((cleanup(cluster_close_p)))

const char *cluster_ns(const struct cluster *c);
struct loop *cluster_loop(const struct cluster *c);
const struct kube_client *cluster_client(const struct cluster *c);

/* What came back. refused: the whole answer when it is no 2xx one. */
struct cluster_reply {
    struct kube_status status; /* status.err.kind is ERR_NONE on success */
    cJSON *tree;               /* of a 2xx answer, parsed lossless; may be NULL */
    char *refused;
};
void cluster_reply_release(struct cluster_reply *r);
#define CLEANUP_REPLY __attribute__((cleanup(cluster_reply_release)))
static inline bool cluster_ok(const struct cluster_reply *r)
{
    return r->status.err.kind == ERR_NONE;
}

void cluster_get(struct cluster *c, const struct kube_kind *kind, const char *ns, const char *name,
                 struct cluster_reply *ret);
/* POST. Warnings of the server go to stderr as kubectl prints them. */
void cluster_create(struct cluster *c, const struct kube_kind *kind, const char *ns,
                    const char *json, bool dry_run, struct cluster_reply *ret);
/* Whether it is there: its metadata are asked for, and nothing of what it holds comes over the
   wire. Quiet. */
void cluster_find(struct cluster *c, const struct kube_kind *kind, const char *ns, const char *name,
                  struct cluster_reply *ret);
/* Any path; json NULL: a GET, else a POST. */
void cluster_call(struct cluster *c, const char *path, const char *json, bool quiet,
                  struct cluster_reply *ret);
/* Sends every look that was not sent yet, all at once, and waits for the answers. */
void cluster_look_up(struct cluster *c, struct lookups *l);
/* Prints why it was refused, as kubectl does, to stderr. */
void cluster_complain(const struct cluster_reply *r);

#endif
