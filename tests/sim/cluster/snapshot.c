/* snapshot-controller and the CSI driver's snapshots. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

#define BOUND_PROTECTION "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
#define IN_GROUP_PROTECTION "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection"

/* For the checker alone: the content may outlive the VolumeSnapshot that says whose it is. */
#define OF_VM_SNAPSHOT "metadata.annotations[sim/of-vm-snapshot]"

struct physical *physical_find(struct sim_cluster *w, const char *handle)
{
    for (struct physical *p = w->physicals; p; p = p->next)
        if (str_eq(p->handle, handle))
            return p;
    return NULL;
}

struct physical *physical_of_content(struct sim_cluster *w, const struct api_object *content)
{
    const char *handle = json_str(content->tree, "spec.source.snapshotHandle");
    if (!handle && json_at(content->tree, WORLD_OF_GROUP))
        handle = json_str(content->tree, "status.snapshotHandle");
    if (handle)
        return physical_find(w, handle);
    for (struct physical *p = w->physicals; p; p = p->next)
        if (str_eq(p->content_uid, content->uid))
            return p;
    return NULL;
}

static void event_on(struct sim_cluster *w, const char *kind, const struct api_object *o,
                     const char *reason, const char *message)
{
    char name[300];
    (void)snprintf(name, sizeof name, "%s.%" PRIx64, o->name, ++w->handles);
    cJSON *e = api_new(API_EVENT, o->ns, name);
    jt_str(e, "involvedObject.kind", kind);
    jt_str(e, "involvedObject.namespace", o->ns);
    jt_str(e, "involvedObject.name", o->name);
    jt_str(e, "involvedObject.uid", o->uid);
    jt_str(e, "reason", reason);
    jt_str(e, "message", message);
    jt_str(e, "type", "Warning");
    (void)api_create(w->api, "snapshot-controller", API_EVENT, e);
}

/* --- the physical cut --- */

/* The point in time is fixed. */
static void fix(struct sim_cluster *w, struct physical *p, const struct volume *v)
{
    const struct machine *m = v->machine;
    p->pending = false;
    p->torn = w->copies_files && p->begun_records != volume_records(v);
    p->running = m && machine_runs(m);
    p->frozen_by = m ? m->frozen_by : FREEZER_NONE;
    p->frozen = p->frozen_by != FREEZER_NONE;
    p->joined = m && m->joined;
    p->stale = volume_stale(v);
    p->records = volume_records(v);
    p->cut_ms = clock_wall(w->clock);
    p->vmi_uid = m ? xstrdup(m->vmi_uid) : NULL;
    sim_cluster_note(w, "cut %s of %s: record %" PRId64 "%s%s%s", p->handle, v->claim, p->records,
                     p->running ? " running" : "", p->frozen ? " frozen" : "",
                     p->stale ? " stale" : "");
}

static struct physical *new_physical(struct sim_cluster *w, const char *content_uid,
                                     const struct volume *v)
{
    struct physical *p = xcalloc(1, sizeof *p);
    p->handle = xasprintf("snap-%" PRIu64, ++w->handles);
    p->volume = xstrdup(v->handle);
    p->content_uid = xstrdup(content_uid);
    p->alive = true;
    p->bytes = 1 << 30;
    p->told_ms = clock_wall(w->clock);
    p->begun_records = volume_records(v);
    p->next = w->physicals;
    w->physicals = p;
    return p;
}

void physical_cut(struct sim_cluster *w, const char *content_uid, const struct volume *v)
{
    struct physical *p = new_physical(w, content_uid, v);
    p->grouped = true;
    fix(w, p, v);
}

static void cut(struct sim_cluster *w, const struct api_object *content, const struct volume *v)
{
    struct physical *p = new_physical(w, content->uid, v);
    p->kubevirts = json_at(content->tree, OF_VM_SNAPSHOT) != NULL;
    p->pending = w->cuts_late || w->copies_files;
    if (!p->pending)
        fix(w, p, v);
}

static void content_error(struct sim_cluster *w, struct api_object *o, const char *text)
{
    cJSON *tree = jt_copy(o->tree);
    jt_bool(tree, "status.readyToUse", false);
    jt_str(tree, "status.error.message", text);
    api_replace(w->api, "snapshot-controller", o, tree);
}

/* creationTime is the driver's own clock's, 0, or when the source volume was made (PowerFlex). */
static int64_t told_cut_ms(const struct sim_cluster *w, const struct physical *p)
{
    static const int64_t off_ms[] = {[CLOCK_BEHIND] = -3600000, [CLOCK_AHEAD] = 3600000};
    if (w->told == CLOCK_ZERO)
        return 0;
    if (w->told == CLOCK_BIRTH)
        return p->told_ms - sim_cluster_now(w);
    return p->told_ms + (w->told < ARRAY_LEN(off_ms) ? off_ms[w->told] : 0);
}

static void show_cut(struct sim_cluster *w, struct api_object *o, const struct physical *p,
                     bool ready)
{
    cJSON *tree = jt_copy(o->tree);
    jt_drop(tree, "status.error");
    jt_str(tree, "status.snapshotHandle", p->handle);
    int64_t told_ms = told_cut_ms(w, p);
    jt_int(tree, "status.creationTime", told_ms ? told_ms * 1000000 + 123457 : 0);
    jt_int(tree, "status.restoreSize", p->bytes);
    jt_bool(tree, "status.readyToUse", ready);
    api_replace(w->api, "snapshot-controller", o, tree);
}

static void make_ready(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_CONTENT, "", name);
    (void)ns;
    if (!o || api_deleting(o->tree))
        return;
    struct physical *p = physical_of_content(w, o);
    if (p && p->alive && !p->pending && !json_bool(o->tree, "status.readyToUse", false))
        show_cut(w, o, p, true);
}

/* Such a driver (OpenEBS LVM LocalPV) stores the request, answers, and cuts when its node agent
   gets to it; csi-snapshotter asks again until the snapshot is ready. */
static void cut_late(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_CONTENT, "", name);
    struct physical *p = o ? physical_of_content(w, o) : NULL;
    const struct volume *v = p ? volume_find(w, p->volume) : NULL;
    (void)ns;
    if (!p || !p->alive || !p->pending)
        return;
    if (!v || api_deleting(o->tree)) {
        p->alive = false;
        return;
    }
    fix(w, p, v);
    sim_cluster_later(w, rng_range(w->rng, 50, 2000), make_ready, "", name);
}

static void show_later(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_CONTENT, "", name);
    (void)ns;
    if (!o || api_deleting(o->tree) || json_at(o->tree, "status.creationTime"))
        return;
    struct physical *p = physical_of_content(w, o);
    /* csi-driver-nfs answers when all is copied, and with ReadyToUse (pkg/nfs/controllerserver.go
       CreateSnapshot). */
    bool at_once = rng_chance(w->rng, 500) || w->copies_files;
    if (!p)
        return;
    show_cut(w, o, p, at_once && !p->pending);
    if (p->pending) {
        sim_cluster_later(w, rng_range(w->rng, 20, 4000), cut_late, "", name);
        return;
    }
    if (!at_once)
        sim_cluster_later(w,
                          rng_chance(w->rng, w->faults.snapshot_slow)
                              ? rng_range(w->rng, 1000, 30000)
                              : rng_range(w->rng, 50, 2000),
                          make_ready, "", name);
}

/* A driver that packs the files one after the other answers when it is through. */
static void copied(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_CONTENT, "", name);
    struct physical *p = o ? physical_of_content(w, o) : NULL;
    const struct volume *v = p ? volume_find(w, p->volume) : NULL;
    (void)ns;
    if (p && p->alive && p->pending && v)
        fix(w, p, v);
    if (p && !p->pending)
        sim_cluster_later(w, rng_range(w->rng, 1, 40), show_later, "", name);
}

static bool is_copy(const struct api_object *content)
{
    return json_at(content->tree, "spec.source.snapshotHandle") != NULL;
}

static void create_snapshot(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_CONTENT, "", name);
    const struct cluster_faults *f = &w->faults;
    (void)ns;
    if (!o || api_deleting(o->tree) || json_at(o->tree, "status.creationTime"))
        return;
    if (is_copy(o)) {
        /* Made by hand: the sidecar asks the driver for the handle, and cuts nothing. */
        const struct physical *p = physical_of_content(w, o);
        if (p && p->alive)
            show_cut(w, o, p, true);
        else
            content_error(w, o,
                          "Failed to check and update snapshot content: snapshot handle not "
                          "found");
        return;
    }
    if (!physical_of_content(w, o)) {
        struct volume *v = volume_find(w, json_str(o->tree, "spec.source.volumeHandle"));
        if (!v || rng_chance(w->rng, f->snapshot_errors)) {
            content_error(w, o,
                          "Failed to check and update snapshot content: failed to take "
                          "snapshot of the volume: rpc error: code = Internal desc = x");
            sim_cluster_later(w, rng_range(w->rng, 1000, 8000), create_snapshot, "", name);
            return;
        }
        cut(w, o, v);
        if (w->copies_files) {
            sim_cluster_later(w, rng_range(w->rng, 50, 4000), copied, "", name);
            return;
        }
        if (rng_chance(w->rng, f->snapshot_lost_reply)) {
            content_error(w, o,
                          "Failed to check and update snapshot content: failed to take "
                          "snapshot of the volume: rpc error: code = DeadlineExceeded "
                          "desc = context deadline exceeded");
            sim_cluster_later(w, rng_range(w->rng, 1000, 8000), create_snapshot, "", name);
            return;
        }
    }
    sim_cluster_later(w, rng_range(w->rng, 1, 40), show_later, "", name);
}

static void drop_finalizer(struct sim_cluster *w, struct api_object *o, const char *finalizer)
{
    cJSON *tree = jt_copy(o->tree);
    jt_remove(tree, "metadata.finalizers", finalizer);
    api_replace(w->api, "snapshot-controller", o, tree);
}

/* Many drivers answer FailedPrecondition for as long as a volume depends on it (HPE's CSI driver,
   controller_server.go DeleteSnapshot: "in use by another resource"), and csi-snapshotter asks
   again. */
static bool held_by_clones(struct sim_cluster *w, const struct physical *p)
{
    for (const struct volume *v = w->volumes; v && w->clones_hold; v = v->next)
        if (v->of == p)
            return true;
    return false;
}

static void end_content(struct sim_cluster *w, struct api_object *o)
{
    const struct api_object *s =
        api_find(w->api, API_SNAPSHOT, json_str(o->tree, "spec.volumeSnapshotRef.namespace"),
                 json_str(o->tree, "spec.volumeSnapshotRef.name"));
    bool bound = s && str_eq(s->uid, json_str(o->tree, "spec.volumeSnapshotRef.uid"));
    struct physical *p = physical_of_content(w, o);
    /* Deleted first: it waits until its VolumeSnapshot goes. */
    if (bound && !api_deleting(s->tree))
        return;
    bool removes = p && str_eq(json_str(o->tree, "spec.deletionPolicy"), "Delete") &&
                   !json_at(o->tree, WORLD_OF_GROUP);
    if (removes && held_by_clones(w, p)) {
        /* The content's own events do not make the sidecar's queue try sooner. */
        if (sim_cluster_now(w) < p->again_ms)
            return;
        int64_t delay_ms = rng_range(w->rng, 2000, 30000);
        p->again_ms = sim_cluster_now(w) + delay_ms;
        event_on(w, "VolumeSnapshotContent", o, "SnapshotDeleteError", "Failed to delete snapshot");
        sim_cluster_later(w, delay_ms, sync_content, "", o->name);
        return;
    }
    if (removes) {
        p->alive = false;
        sim_cluster_note(w, "physical snapshot %s deleted", p->handle);
    }
    drop_finalizer(w, o, CONTENT_PROTECTION);
}

void sync_content(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_CONTENT, "", name);
    (void)ns;
    if (!o)
        return;
    const char *snapshot_ns = json_str(o->tree, "spec.volumeSnapshotRef.namespace");
    const char *snapshot = json_str(o->tree, "spec.volumeSnapshotRef.name");
    bool lag = rng_chance(w->rng, w->faults.status_lag);
    /* snapshot-controller's client rate limit: the VolumeSnapshot learns it seconds later. */
    sim_cluster_later(w, lag ? rng_range(w->rng, 1000, 3000) : rng_range(w->rng, 20, 200),
                      sync_snapshot, snapshot_ns, snapshot);
    const struct api_object *s = api_find(w->api, API_SNAPSHOT, snapshot_ns, snapshot);
    const char *ref_uid = json_str(o->tree, "spec.volumeSnapshotRef.uid");
    bool orphan = ref_uid && (!s || !str_eq(s->uid, ref_uid));
    if (api_deleting(o->tree))
        end_content(w, o);
    else if (orphan && str_eq(json_str(o->tree, "spec.deletionPolicy"), "Delete"))
        api_delete(w->api, "snapshot-controller", o);
    else if (ref_uid && !json_at(o->tree, "status.creationTime") &&
             !json_at(o->tree, "status.error"))
        sim_cluster_later(w,
                          w->cut_ms ? w->cut_ms
                          : rng_chance(w->rng, w->faults.snapshot_slow)
                              ? rng_range(w->rng, 500, 70000)
                              : rng_range(w->rng, 20, 250),
                          create_snapshot, "", name);
}

/* --- VolumeSnapshot --- */

bool snapshot_is_restored(struct sim_cluster *w, const struct api_object *s)
{
    for (struct api_object *o = w->api->objects[API_PVC]; o; o = o->hh.next)
        if (str_eq(o->ns, s->ns) && str_eq(json_str(o->tree, "spec.dataSource.name"), s->name) &&
            str_eq(json_str(o->tree, "spec.dataSource.kind"), "VolumeSnapshot") &&
            !str_eq(json_str(o->tree, "status.phase"), "Bound"))
            return true;
    return false;
}

static void end_snapshot(struct sim_cluster *w, struct api_object *o, struct api_object *content)
{
    if (snapshot_is_member(o) && member_is_held(w, o)) {
        sim_cluster_later(w, rng_range(w->rng, 1000, 10000), sync_snapshot, o->ns, o->name);
        return;
    }
    if (snapshot_is_restored(w, o)) {
        event_on(w, "VolumeSnapshot", o, "SnapshotDeletePending",
                 "Snapshot is being used to restore a PVC");
        sim_cluster_later(w, rng_range(w->rng, 5000, 60000), sync_snapshot, o->ns, o->name);
        return;
    }
    if (content && str_eq(json_str(content->tree, "spec.deletionPolicy"), "Delete")) {
        if (!api_deleting(content->tree))
            api_delete(w->api, "snapshot-controller", content);
        else
            sim_cluster_later(w, rng_range(w->rng, 5, 100), sync_content, "", content->name);
        return;
    }
    /* A content that was deleted first waits for its VolumeSnapshot, and hears of its end. */
    if (content && api_deleting(content->tree))
        sim_cluster_later(w, rng_range(w->rng, 5, 100), sync_content, "", content->name);
    if (snapshot_is_member(o)) {
        cJSON *tree = jt_copy(o->tree);
        jt_remove(tree, "metadata.finalizers", IN_GROUP_PROTECTION);
        jt_remove(tree, "metadata.finalizers", BOUND_PROTECTION);
        api_replace(w->api, "snapshot-controller", o, tree);
        return;
    }
    drop_finalizer(w, o, BOUND_PROTECTION);
}

static void snapshot_error(struct sim_cluster *w, struct api_object *o, const char *text)
{
    cJSON *tree = jt_copy(o->tree);
    jt_bool(tree, "status.readyToUse", false);
    jt_str(tree, "status.error.message", text);
    api_replace(w->api, "snapshot-controller", o, tree);
    sim_cluster_later(w, rng_range(w->rng, 2000, 8000), sync_snapshot, o->ns, o->name);
}

static void new_content(struct sim_cluster *w, struct api_object *o, const char *content_name)
{
    const char *class = json_str(o->tree, "spec.volumeSnapshotClassName");
    const char *claim = json_str(o->tree, "spec.source.persistentVolumeClaimName");
    const struct api_object *c = api_find(w->api, API_SNAPSHOT_CLASS, "", class);
    const struct api_object *pvc = api_find(w->api, API_PVC, o->ns, claim);
    const struct volume *v = pvc ? volume_of_claim(w, o->ns, claim) : NULL;
    if (!c) {
        snapshot_error(w, o,
                       "Failed to get snapshot class with error volumesnapshotclass not "
                       "found");
        return;
    }
    if (!v) {
        snapshot_error(w, o,
                       "Failed to create snapshot content with error snapshot controller "
                       "failed to update: cannot get claim from snapshot");
        return;
    }
    cJSON *tree = api_new(API_CONTENT, NULL, content_name);
    if (str_eq(json_str(o->tree, "metadata.ownerReferences.#0.kind"),
               "VirtualMachineSnapshotContent"))
        jt_bool(tree, OF_VM_SNAPSHOT, true);
    jt_add(tree, "metadata.finalizers", CONTENT_PROTECTION);
    jt_str(tree, "spec.deletionPolicy", json_str(c->tree, "deletionPolicy"));
    jt_str(tree, "spec.driver", json_str(c->tree, "driver"));
    jt_str(tree, "spec.source.volumeHandle", v->handle);
    jt_str(tree, "spec.volumeSnapshotClassName", class);
    jt_str(tree, "spec.volumeSnapshotRef.apiVersion", "snapshot.storage.k8s.io/v1");
    jt_str(tree, "spec.volumeSnapshotRef.kind", "VolumeSnapshot");
    jt_str(tree, "spec.volumeSnapshotRef.name", o->name);
    jt_str(tree, "spec.volumeSnapshotRef.namespace", o->ns);
    jt_str(tree, "spec.volumeSnapshotRef.uid", o->uid);
    (void)api_create(w->api, "snapshot-controller", API_CONTENT, tree);
    /* At the same moment: there is no content without the finalizer on its VolumeSnapshot
       (snapshot-controller, syncUnreadySnapshot). Last here, for it frees what is borrowed above.
     */
    cJSON *protected = jt_copy(o->tree);
    jt_add(protected, "metadata.finalizers", BOUND_PROTECTION);
    api_replace(w->api, "snapshot-controller", o, protected);
}

static void mirror_status(struct sim_cluster *w, struct api_object *o,
                          const struct api_object *content)
{
    int64_t ns = 0;
    cJSON *tree = jt_copy(o->tree);
    const struct physical *p = physical_of_content(w, content);
    jt_add(tree, "metadata.finalizers", BOUND_PROTECTION);
    jt_str(tree, "status.boundVolumeSnapshotContentName", content->name);
    jt_bool(tree, "status.readyToUse", json_bool(content->tree, "status.readyToUse", false));
    jt_drop(tree, "status.error");
    if (json_at(content->tree, "status.error"))
        jt_put(tree, "status.error", jt_copy(json_at(content->tree, "status.error")));
    if (json_int(content->tree, "status.creationTime", &ns)) {
        char text[TIME_TEXT_MAX];
        time_to_str(ns / 1000000, false, text);
        jt_str(tree, "status.creationTime", text);
        jt_str(tree, "status.restoreSize", p && p->bytes == 1 << 30 ? "1Gi" : "0");
    }
    api_replace(w->api, "snapshot-controller", o, tree);
}

/* A content that was made by hand is bound by both ends; its ref's uid is filled in
   (snapshot-controller, checkandBindSnapshotContent). */
static void bind_copy(struct sim_cluster *w, struct api_object *o, struct api_object *content)
{
    const char *uid = content ? json_str(content->tree, "spec.volumeSnapshotRef.uid") : NULL;
    bool mine = content &&
                str_eq(json_str(content->tree, "spec.volumeSnapshotRef.name"), o->name) &&
                str_eq(json_str(content->tree, "spec.volumeSnapshotRef.namespace"), o->ns) &&
                (!uid || str_eq(uid, o->uid));
    if (!content) {
        snapshot_error(w, o, "VolumeSnapshotContent is missing");
    } else if (!mine) {
        snapshot_error(w, o, "VolumeSnapshotContent is bound to a different snapshot");
    } else if (!uid) {
        cJSON *tree = jt_copy(content->tree);
        jt_str(tree, "spec.volumeSnapshotRef.uid", o->uid);
        jt_add(tree, "metadata.finalizers", CONTENT_PROTECTION);
        api_replace(w->api, "snapshot-controller", content, tree);
    } else {
        mirror_status(w, o, content);
    }
}

void sync_snapshot(struct sim_cluster *w, const char *ns, const char *name)
{
    char content_name[300];
    struct api_object *o = api_find(w->api, API_SNAPSHOT, ns, name);
    if (!o)
        return;
    const char *given = json_str(o->tree, "spec.source.volumeSnapshotContentName");
    const char *bound = json_str(o->tree, "status.boundVolumeSnapshotContentName");
    if (given || snapshot_is_member(o))
        (void)snprintf(content_name, sizeof content_name, "%s", str_or(given, str_or(bound, "-")));
    else
        (void)snprintf(content_name, sizeof content_name, "snapcontent-%s", o->uid);
    struct api_object *content = api_find(w->api, API_CONTENT, "", content_name);
    if (api_deleting(o->tree))
        end_snapshot(w, o, content);
    else if (given)
        bind_copy(w, o, content);
    else if (content)
        mirror_status(w, o, content);
    else if (!snapshot_is_member(o) && !json_at(o->tree, "status.boundVolumeSnapshotContentName"))
        new_content(w, o, content_name);
}
