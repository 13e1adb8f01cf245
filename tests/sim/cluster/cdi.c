/*
 * CDI: DataVolumes that clone a claim or a VolumeSnapshot, from any namespace. What is bound early
 * is not filled yet, and what fails is tried again for ever and told by a condition
 * (pkg/controller/datavolume, pkg/controller/populators/clone-populator.go).
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

/* For the checker alone: what the source held when the copy began. */
#define BEGUN_AT "metadata.annotations[sim/records]"

/* CDI fills it without a consumer (pkg/controller/common/util.go AnnImmediateBinding). */
#define BIND_NOW "metadata.annotations[cdi.kubevirt.io/storage.bind.immediate.requested]"

static const char *member(const struct api_object *dv, const char *name)
{
    CLEANUP_FREE char *as_pvc = xasprintf("spec.pvc.%s", name);
    CLEANUP_FREE char *as_storage = xasprintf("spec.storage.%s", name);
    return str_or(json_str(dv->tree, as_pvc), json_str(dv->tree, as_storage));
}

/* The claim carries the DataVolume's labels. */
static void make_claim(struct sim_cluster *w, const struct api_object *dv)
{
    cJSON *c = api_new(API_PVC, dv->ns, dv->name), *owner = cJSON_CreateObject();
    jt_put(c, "metadata.labels", jt_copy(json_at(dv->tree, "metadata.labels")));
    if (json_at(dv->tree, "metadata.annotations[" SIM_STRANGER "]"))
        jt_str(c, "metadata.annotations[" SIM_STRANGER "]", "yes");
    jt_str(owner, "apiVersion", "cdi.kubevirt.io/v1beta1");
    jt_str(owner, "kind", "DataVolume");
    jt_str(owner, "name", dv->name);
    jt_str(owner, "uid", dv->uid);
    jt_bool(owner, "controller", true);
    cJSON_AddItemToArray(jt_array(c, "metadata.ownerReferences"), owner);
    jt_add(c, "metadata.finalizers", "kubernetes.io/pvc-protection");
    jt_add(c, "spec.accessModes", "ReadWriteOnce");
    jt_str(c, "spec.volumeMode", "Filesystem");
    jt_str(c, "spec.storageClassName", member(dv, "storageClassName"));
    jt_str(c, "spec.resources.requests.storage", member(dv, "resources.requests.storage"));
    (void)api_create(w->api, "cdi", API_PVC, c);
}

static void set_phase(struct sim_cluster *w, struct api_object *dv, const char *phase,
                      const char *progress, const char *error)
{
    cJSON *tree = jt_copy(dv->tree);
    jt_str(tree, "status.phase", phase);
    jt_str(tree, "status.progress", progress);
    jt_drop(tree, "status.conditions");
    if (error) {
        cJSON *c = cJSON_CreateObject();
        jt_str(c, "type", "Running");
        jt_str(c, "status", "False");
        jt_str(c, "reason", "Error");
        jt_str(c, "message", error);
        cJSON_AddItemToArray(jt_array(tree, "status.conditions"), c);
    }
    api_replace(w->api, "cdi", dv, tree);
}

/* What the source holds now; false: it is not there. */
static bool read_source(struct sim_cluster *w, const struct api_object *dv, struct volume *to)
{
    const char *ns = json_str(dv->tree, "spec.source.snapshot.namespace");
    const char *name = json_str(dv->tree, "spec.source.snapshot.name");
    if (!name) {
        const struct volume *v = volume_of_claim(w, json_str(dv->tree, "spec.source.pvc.namespace"),
                                                 json_str(dv->tree, "spec.source.pvc.name"));
        if (!v)
            return false;
        to->records = volume_records(v);
        to->cut_running = v->machine && v->machine->vmi_uid;
        to->cut_frozen = v->machine && v->machine->frozen_by;
        to->cut_stale = volume_stale(v);
        return true;
    }
    const struct api_object *s = api_find(w->api, API_SNAPSHOT, ns, name);
    const struct api_object *content =
        s ? api_find(w->api, API_CONTENT, "",
                     json_str(s->tree, "status.boundVolumeSnapshotContentName"))
          : NULL;
    const struct physical *p = content ? physical_of_content(w, content) : NULL;
    if (!p || !p->alive || api_deleting(s->tree) || !json_bool(s->tree, "status.readyToUse", false))
        return false;
    to->records = p->records;
    to->cut_running = p->running;
    to->cut_frozen = p->frozen;
    to->cut_joined = p->joined;
    to->of = p;
    to->cut_stale = p->stale;
    return true;
}

static bool copying(const struct api_object *dv)
{
    return dv && !api_deleting(dv->tree) &&
           str_eq(json_str(dv->tree, "status.phase"), "CloneInProgress");
}

static void end_copy(struct sim_cluster *w, const char *ns, const char *name)
{
    int64_t begun = 0;
    struct api_object *dv = api_find(w->api, API_DATA_VOLUME, ns, name);
    struct api_object *claim = api_find(w->api, API_PVC, ns, name);
    struct volume found = {0};
    if (!copying(dv) || !claim || api_deleting(claim->tree))
        return;
    if (rng_chance(w->rng, w->faults.provision_errors) || !read_source(w, dv, &found)) {
        set_phase(w, dv, "CloneInProgress", "12.00%", "the source of the clone cannot be read");
        sim_cluster_later(w, rng_range(w->rng, 1000, 16000), end_copy, ns, name);
        return;
    }
    /* What changed meanwhile is torn. */
    (void)json_int(dv->tree, BEGUN_AT, &begun);
    struct volume *v = volume_find(w, json_str(claim->tree, "spec.volumeName"));
    if (!v)
        v = volume_new(w, ns, name);
    v->records = found.records;
    v->cut_running = found.cut_running || found.records != begun;
    v->cut_frozen = found.cut_frozen;
    v->cut_joined = found.cut_joined;
    v->of = found.of;
    v->cut_stale = found.cut_stale;
    claim_bind(w, claim, v);
    set_phase(w, dv, "Succeeded", "100.0%", NULL);
}

static void begin_copy(struct sim_cluster *w, struct api_object *dv, struct api_object *claim)
{
    struct volume found = {0};
    if (!read_source(w, dv, &found)) {
        set_phase(w, dv, "CloneScheduled", "N/A", "the source of the clone is not there");
        sim_cluster_later(w, rng_range(w->rng, 1000, 8000), sync_data_volume, dv->ns, dv->name);
        return;
    }
    cJSON *tree = jt_copy(dv->tree);
    jt_int(tree, BEGUN_AT, found.records);
    api_replace(w->api, "cdi", dv, tree);
    /* Copied by a Pod: bound first, filled then. */
    if (rng_chance(w->rng, 500) && !json_str(claim->tree, "spec.volumeName"))
        claim_bind(w, claim, volume_new(w, claim->ns, claim->name));
    set_phase(w, dv, "CloneInProgress", "3.00%", NULL);
    sim_cluster_later(w,
                      rng_chance(w->rng, w->faults.provision_slow) ? rng_range(w->rng, 2000, 60000)
                                                                   : rng_range(w->rng, 100, 3000),
                      end_copy, dv->ns, dv->name);
}

bool data_volume_pending(struct sim_cluster *w, const char *ns, const char *name)
{
    const struct api_object *dv = api_find(w->api, API_DATA_VOLUME, ns, name);
    return dv && !str_eq(json_str(dv->tree, "status.phase"), "Succeeded");
}

void sync_data_volume(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *dv = api_find(w->api, API_DATA_VOLUME, ns, name);
    struct api_object *claim = api_find(w->api, API_PVC, ns, name);
    if (!dv || api_deleting(dv->tree) || copying(dv) ||
        str_eq(json_str(dv->tree, "status.phase"), "Succeeded"))
        return;
    if (!claim)
        make_claim(w, dv);
    else if (!str_eq(json_str(claim->tree, "metadata.ownerReferences.#0.uid"), dv->uid))
        sim_cluster_later(w, rng_range(w->rng, 1000, 8000), sync_data_volume, ns, name);
    else if (claim_waits(w, claim) && !json_at(dv->tree, BIND_NOW))
        set_phase(w, dv, "WaitForFirstConsumer", "N/A", NULL);
    else
        begin_copy(w, dv, claim);
}
