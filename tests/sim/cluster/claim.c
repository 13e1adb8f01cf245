/* The provisioner: claims from snapshots and from claims, and the volumes behind them. */
#include <inttypes.h>
#include <stdio.h>

#include "apimachinery/quantity.h"
#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

#define CLAIM_PROTECTION "kubernetes.io/pvc-protection"

struct volume *volume_find(struct sim_cluster *w, const char *handle)
{
    for (struct volume *v = w->volumes; v; v = v->next)
        if (str_eq(v->handle, handle))
            return v;
    return NULL;
}

struct volume *volume_of_claim(struct sim_cluster *w, const char *ns, const char *claim)
{
    const struct api_object *o = api_find(w->api, API_PVC, ns, claim);
    return o ? volume_find(w, json_str(o->tree, "spec.volumeName")) : NULL;
}

struct volume *volume_new(struct sim_cluster *w, const char *ns, const char *claim)
{
    struct volume *v = xcalloc(1, sizeof *v);
    v->handle = xasprintf("pvc-%" PRIu64, ++w->handles);
    v->ns = xstrdup(ns);
    v->claim = xstrdup(claim);
    v->next = w->volumes;
    w->volumes = v;
    return v;
}

void volume_free(struct sim_cluster *w, struct volume *v)
{
    struct volume **at = &w->volumes;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    free(v->handle);
    free(v->ns);
    free(v->claim);
    free(v);
}

int64_t volume_records(const struct volume *v)
{
    return v->records + (v->machine ? machine_records(v->machine) : 0);
}

/* --- events --- */

static void provisioning_failed(struct sim_cluster *w, const struct api_object *o, const char *text)
{
    char name[300];
    (void)snprintf(name, sizeof name, "%s.%" PRIx64, o->name, ++w->handles);
    cJSON *e = api_new(API_EVENT, o->ns, name);
    jt_str(e, "involvedObject.kind", "PersistentVolumeClaim");
    jt_str(e, "involvedObject.namespace", o->ns);
    jt_str(e, "involvedObject.name", o->name);
    jt_str(e, "involvedObject.uid", o->uid);
    jt_str(e, "reason", "ProvisioningFailed");
    jt_strf(e, "message", "failed to provision volume with StorageClass \"%s\": %s",
            str_or(json_str(o->tree, "spec.storageClassName"), ""), text);
    jt_str(e, "type", "Warning");
    (void)api_create(w->api, "csi-provisioner", API_EVENT, e);
}

static int64_t bytes_of(const cJSON *tree, const char *path)
{
    struct quantity q;
    const char *text = json_str(tree, path);
    return text && quantity_parse(text, &q) == QUANTITY_OK ? quantity_value(&q) : 0;
}

/* --- provisioning --- */

static bool from_snapshot(struct sim_cluster *w, const struct api_object *o, struct volume *v,
                          char why[300])
{
    const char *name = json_str(o->tree, "spec.dataSource.name");
    const struct api_object *s = api_find(w->api, API_SNAPSHOT, o->ns, name);
    const struct api_object *content =
        s ? api_find(w->api, API_CONTENT, "",
                     json_str(s->tree, "status.boundVolumeSnapshotContentName"))
          : NULL;
    const struct physical *p = content ? physical_of_content(w, content) : NULL;
    (void)snprintf(why, 300,
                   "error getting handle for DataSource Type VolumeSnapshot by Name "
                   "%s: ",
                   name);
    size_t n = strlen(why);
    if (!s)
        (void)snprintf(why + n, 300 - n, "snapshot %s not found", name);
    else if (api_deleting(s->tree))
        (void)snprintf(why + n, 300 - n, "snapshot %s is being deleted", name);
    else if (!json_bool(s->tree, "status.readyToUse", false))
        (void)snprintf(why + n, 300 - n, "snapshot %s is not Ready", name);
    else if (!p || !p->alive)
        (void)snprintf(why + n, 300 - n,
                       "rpc error: code = NotFound desc = snapshot id does not "
                       "exist");
    else if (bytes_of(o->tree, "spec.resources.requests.storage") < p->bytes)
        (void)snprintf(why + n, 300 - n,
                       "requested volume size is less than the size %" PRId64
                       " for the source snapshot",
                       p->bytes);
    else {
        v->records = p->records;
        v->cut_frozen = p->frozen;
        v->cut_joined = p->joined;
        v->cut_running = p->running;
        v->of = p;
        v->cut_stale = p->stale;
        return true;
    }
    return false;
}

static bool from_claim(struct sim_cluster *w, const struct api_object *o, struct volume *v,
                       char why[300])
{
    const char *name = json_str(o->tree, "spec.dataSource.name");
    const struct volume *source = volume_of_claim(w, o->ns, name);
    if (w->no_volume_clones) {
        (void)snprintf(why, 300,
                       "CSI driver does not support clone operations: controller "
                       "CLONE_VOLUME capability is not reported");
        return false;
    }
    if (!source) {
        (void)snprintf(why, 300, "error getting PVC %s from api server", name);
        return false;
    }
    v->records = volume_records(source);
    v->cut_frozen = source->machine && source->machine->frozen_by;
    v->cut_running = source->machine && machine_runs(source->machine);
    v->cut_stale = volume_stale(source);
    return true;
}

void claim_bind(struct sim_cluster *w, struct api_object *o, const struct volume *v)
{
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "spec.volumeName", v->handle);
    jt_str(tree, "status.phase", "Bound");
    jt_str(tree, "status.capacity.storage", json_str(tree, "spec.resources.requests.storage"));
    jt_str(tree, "metadata.annotations[pv.kubernetes.io/bind-completed]", "yes");
    api_replace(w->api, "csi-provisioner", o, tree);
    sim_cluster_note(w, "volume %s for %s: record %" PRId64 "%s%s", v->handle, v->claim, v->records,
                     v->cut_running ? " running" : "", v->cut_frozen ? " frozen" : "");
}

static void provision(struct sim_cluster *w, const char *ns, const char *name)
{
    char why[300] = "rpc error: code = ResourceExhausted desc = not enough space";
    struct api_object *o = api_find(w->api, API_PVC, ns, name);
    /* It may be another of the same name, which waits for its consumer. */
    if (!o || api_deleting(o->tree) || !str_eq(json_str(o->tree, "status.phase"), "Pending") ||
        claim_waits(w, o))
        return;
    const char *kind = json_str(o->tree, "spec.dataSource.kind");
    struct volume *v = volume_new(w, ns, name);
    uint64_t kind_of_claim = str_hash64(o->uid, strlen(o->uid));
    bool hopeless = kind_of_claim % 1000 < w->hopeless_claims;
    /* Some drivers say so, others let hope for ever. */
    if (hopeless && kind_of_claim % 2)
        (void)snprintf(why, sizeof why, "rpc error: code = InvalidArgument desc = not this one");
    bool ok = !hopeless && !rng_chance(w->rng, w->faults.provision_errors);
    if (ok && str_eq(kind, "VolumeSnapshot"))
        ok = from_snapshot(w, o, v, why);
    else if (ok && str_eq(kind, "PersistentVolumeClaim"))
        ok = from_claim(w, o, v, why);
    if (ok) {
        claim_bind(w, o, v);
        return;
    }
    volume_free(w, v);
    provisioning_failed(w, o, why);
    sim_cluster_later(w, rng_range(w->rng, 1000, 16000), provision, ns, name);
}

bool claim_waits(struct sim_cluster *w, const struct api_object *o)
{
    const struct api_object *c =
        api_find(w->api, API_STORAGE_CLASS, "", json_str(o->tree, "spec.storageClassName"));
    return c && str_eq(json_str(c->tree, "volumeBindingMode"), "WaitForFirstConsumer") &&
           !claim_in_use(w, o->ns, o->name);
}

static void end_claim(struct sim_cluster *w, struct api_object *o)
{
    struct volume *v = volume_find(w, json_str(o->tree, "spec.volumeName"));
    if (claim_in_use(w, o->ns, o->name))
        return;
    if (v)
        volume_free(w, v);
    cJSON *tree = jt_copy(o->tree);
    jt_remove(tree, "metadata.finalizers", CLAIM_PROTECTION);
    api_replace(w->api, "kube-controller-manager", o, tree);
}

void sync_claim(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_PVC, ns, name);
    if (!o)
        return;
    if (api_deleting(o->tree)) {
        end_claim(w, o);
        return;
    }
    const char *phase = json_str(o->tree, "status.phase");
    if (!phase) {
        cJSON *tree = jt_copy(o->tree);
        jt_str(tree, "status.phase", "Pending");
        api_replace(w->api, "kube-controller-manager", o, tree);
        return;
    }
    if (str_eq(json_str(o->tree, "metadata.ownerReferences.#0.kind"), "DataVolume")) {
        sim_cluster_later(w, rng_range(w->rng, 5, 200), sync_data_volume, ns, name);
        return;
    }
    if (!str_eq(phase, "Pending") || claim_waits(w, o))
        return;
    sim_cluster_later(w,
                      rng_chance(w->rng, w->faults.provision_slow) ? rng_range(w->rng, 1000, 30000)
                                                                   : rng_range(w->rng, 50, 400),
                      provision, ns, name);
}
