/*
 * struct class_cache: what the webhook keeps in memory of the cluster, all of it small:
 * StorageClasses, VolumeSnapshotClasses, CSIDrivers and ClonePolicies, each by a reflector. Sources
 * are never cached: memory must not grow with the number of VMs, and no denial may come from a
 * stale view of one.
 */
#ifndef WEBHOOK_CLASS_CACHE_H
#define WEBHOOK_CLASS_CACHE_H

#include "base/rng.h"
#include "kube/client.h"
#include "wukong/policy/policy.h"
#include "wukong/source/facts.h"

struct class_cache;

struct class_cache_options {
    const struct kube_client *client;
    struct rng *rng;
    void (*turned)(void *arg); /* class_cache_synced may have changed */
    void (*failed)(void *arg, const char *what, const struct err *err);
    void *arg;
};

/* Everything in options is borrowed for the life of the cache. */
struct class_cache *class_cache_new(const struct class_cache_options *options);
void class_cache_free(struct class_cache *f);
void class_cache_start(struct class_cache *f);
/* Every cache has been filled once. */
bool class_cache_synced(const struct class_cache *f);
/* Whether CDI is there was answered (200, 404) within the last CLASS_CACHE_CDI_MS; then it stands
   in the classes. Nothing tells of a change, so a denial asks again. */
#define CLASS_CACHE_CDI_MS 30000
void class_cache_see_cdi(struct class_cache *f, int code);
bool class_cache_cdi_known(const struct class_cache *f);
/* Borrowed until the event loop goes on. */
const struct class_facts *class_cache_classes(struct class_cache *f);
/* *ret_incomplete: there are more than there was memory for; those that are missing may deny. */
const struct policy *class_cache_policies(struct class_cache *f, size_t *ret_count,
                                          bool *ret_incomplete);
/* Sets the gauges of the caches, for a scrape. */
void class_cache_refresh_metrics(struct class_cache *f);

#endif
