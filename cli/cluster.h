/*
 * A connection to the user's cluster, as kubectl has it: kubeconfig, context, namespace. The command
 * line may wait for an answer, so each call here turns the event loop until it has one.
 */
#ifndef CLI_CLUSTER_H
#define CLI_CLUSTER_H

#include <cjson/cJSON.h>

#include "base/err.h"
#include "kube/client.h"
#include "loop/loop.h"

struct cluster;

struct cluster_options {
    const char *kubeconfig, *context, *ns; /* NULL: as kubectl would choose */
};

WUKONG_CHECK int cluster_open(const struct cluster_options *o, struct cluster **ret,
                              struct err *err);
/* NULL does nothing. */
void cluster_close(struct cluster *c);
static inline void cluster_close_p(struct cluster **c)
{
    cluster_close(*c);
}
#define CLEANUP_CLUSTER __attribute__((cleanup(cluster_close_p)))

const char *cluster_ns(const struct cluster *c);
/* The object, parsed lossless; ERR_NOT_FOUND when it is not there. */
WUKONG_CHECK int cluster_get(struct cluster *c, const struct kube_kind *kind, const char *ns,
                             const char *name, cJSON **ret, struct err *err);
/* POST. err tells what the API server said, all of it. */
WUKONG_CHECK int cluster_create(struct cluster *c, const struct kube_kind *kind, const char *ns,
                                const char *json, bool dry_run, struct err *err);
/* Lets time pass. */
void cluster_wait(struct cluster *c, int64_t ms);

#endif
