/*
 * struct facts: what the webhook keeps in memory of the cluster, all of it small: StorageClasses,
 * VolumeSnapshotClasses, CSIDrivers and ClonePolicies, each by a reflector. Sources are never
 * cached: memory must not grow with the number of VMs, and no denial may come from a stale view of
 * one.
 */
#ifndef WEBHOOK_FACTS_H
#define WEBHOOK_FACTS_H

#include "base/rng.h"
#include "kube/client.h"
#include "wukong/facts.h"
#include "wukong/policy.h"

struct facts;

struct facts_options {
    const struct kube_client *client;
    struct rng *rng;
    void (*turned)(void *arg); /* facts_synced may have changed */
    void (*failed)(void *arg, const char *what, const struct err *err);
    void *arg;
};

/* Everything in options is borrowed for the life of the facts. */
struct facts *facts_new(const struct facts_options *options);
void facts_free(struct facts *f);
void facts_start(struct facts *f);
/* Every cache has been filled once. */
bool facts_synced(const struct facts *f);
/* Whether CDI is there was answered (200, 404) within the last FACTS_CDI_MS; then it stands in the
   classes. Nothing tells of a change, so a denial asks again. */
#define FACTS_CDI_MS 30000
void facts_see_cdi(struct facts *f, int code);
bool facts_cdi_known(const struct facts *f);
/* Borrowed until the event loop goes on. */
const struct class_facts *facts_classes(struct facts *f);
/* *ret_incomplete: there are more than there was memory for; those that are missing may deny. */
const struct policy *facts_policies(struct facts *f, size_t *ret_count, bool *ret_incomplete);
/* Sets the gauges of the caches, for a scrape. */
void facts_refresh_metrics(struct facts *f);

#endif
