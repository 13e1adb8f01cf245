#include "cluster/cluster.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"

struct task {
    struct task *prev, *next;
    struct sim_cluster *cluster;
    struct timer timer;
    sync_fn sync;
    char *ns, *name;
};

static void task_free(struct task *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        t->cluster->tasks = t->next;
    if (t->next)
        t->next->prev = t->prev;
    timer_cancel(t->cluster->timers, &t->timer);
    free(t->ns);
    free(t->name);
    free(t);
}

static void task_run(void *arg)
{
    struct task *t = arg;
    struct sim_cluster *w = t->cluster;
    sync_fn sync = t->sync;
    CLEANUP_FREE char *ns = TAKE(t->ns);
    CLEANUP_FREE char *name = TAKE(t->name);
    task_free(t);
    sync(w, ns, name);
}

void sim_cluster_later(struct sim_cluster *w, int64_t delay_ms, sync_fn sync, const char *ns,
                       const char *name)
{
    int64_t at = sim_cluster_now(w) + delay_ms;
    for (struct task *t = w->tasks; t; t = t->next)
        if (t->sync == sync && str_eq(t->name, name) && str_eq(t->ns, str_or(ns, ""))) {
            if (at < t->timer.at_ms)
                timer_arm(w->timers, &t->timer, at);
            return;
        }
    struct task *t = xcalloc(1, sizeof *t);
    t->cluster = w;
    t->sync = sync;
    t->ns = xstrdup(str_or(ns, ""));
    t->name = xstrdup(name);
    t->next = w->tasks;
    if (w->tasks)
        w->tasks->prev = t;
    w->tasks = t;
    timer_init(&t->timer, task_run, t);
    timer_arm(w->timers, &t->timer, at);
}

void sim_cluster_note(struct sim_cluster *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (w->note)
        w->note(w->arg, text);
}

void sim_cluster_init(struct sim_cluster *w, struct apiserver *api)
{
    *w = (struct sim_cluster){
        .api = api, .clock = api->clock, .timers = api->timers, .rng = api->rng};
}

void sim_cluster_release(struct sim_cluster *w)
{
    while (w->tasks)
        task_free(w->tasks);
    landings_release(w);
    machines_release(w);
    while (w->volumes)
        volume_free(w, w->volumes);
    while (w->physicals) {
        struct physical *p = w->physicals;
        w->physicals = p->next;
        free(p->handle);
        free(p->volume);
        free(p->content_uid);
        free(p->vmi_uid);
        free(p);
    }
}

/* A controller hears of a change a moment later. */
static int64_t soon(struct sim_cluster *w)
{
    return rng_range(w->rng, 2, 60);
}

static void wake_claim_users(struct sim_cluster *w, const char *ns, const char *claim)
{
    struct api_object *o;
    (void)claim;
    for (o = w->api->objects[API_VMI]; o; o = o->hh.next)
        if (str_eq(o->ns, ns))
            sim_cluster_later(w, soon(w), sync_vmi, o->ns, o->name);
}

static void wake_claims_from(struct sim_cluster *w, const char *ns, const char *snapshot)
{
    for (struct api_object *o = w->api->objects[API_PVC]; o; o = o->hh.next)
        if (str_eq(o->ns, ns) && str_eq(json_str(o->tree, "spec.dataSource.name"), snapshot))
            sim_cluster_later(w, soon(w), sync_claim, o->ns, o->name);
}

/* The controller hears that a VolumeSnapshot has gone, though it may have had no finalizer
   (snapshot-controller, deleteSnapshot). */
static void wake_contents_of(struct sim_cluster *w, const char *uid)
{
    for (struct api_object *o = w->api->objects[API_CONTENT]; o; o = o->hh.next)
        if (str_eq(json_str(o->tree, "spec.volumeSnapshotRef.uid"), uid))
            sim_cluster_later(w, soon(w), sync_content, "", o->name);
}

struct wake {
    struct sim_cluster *w;
    const char *ns;
};

static void wake_claim(void *arg, const char *volume, const char *claim)
{
    const struct wake *k = arg;
    (void)volume;
    sim_cluster_later(k->w, soon(k->w), sync_claim, k->ns, claim);
}

void sim_cluster_changed(struct sim_cluster *w, enum api_change_type type,
                         const struct api_object *o, const cJSON *before)
{
    struct wake k = {w, o->ns};
    (void)before;
    switch (o->kind) {
    case API_VM:
        sim_cluster_later(w, soon(w), sync_vm, o->ns, o->name);
        break;
    case API_VMI:
        sim_cluster_later(w, soon(w), sync_vmi, o->ns, o->name);
        sim_cluster_later(w, soon(w), sync_vm, o->ns, o->name);
        each_claim(json_get(o->tree, "spec"), wake_claim, &k);
        break;
    case API_PVC:
        sim_cluster_later(w, soon(w), sync_claim, o->ns, o->name);
        wake_claim_users(w, o->ns, o->name);
        break;
    case API_DATA_VOLUME:
        sim_cluster_later(w, soon(w), sync_data_volume, o->ns, o->name);
        wake_claim_users(w, o->ns, o->name);
        break;
    case API_SNAPSHOT:
        sim_cluster_later(w, soon(w), sync_snapshot, o->ns, o->name);
        wake_claims_from(w, o->ns, o->name);
        if (type == API_DELETED)
            wake_contents_of(w, o->uid);
        break;
    case API_VM_SNAPSHOT:
        if (type == API_ADDED || api_deleting(o->tree))
            sim_cluster_later(w, soon(w), sync_vm_snapshot, o->ns, o->name);
        break;
    case API_CONTENT:
        sim_cluster_later(w, soon(w), sync_content, "", o->name);
        break;
    case API_GROUP:
        sim_cluster_later(w, soon(w), sync_group, o->ns, o->name);
        break;
    case API_GROUP_CONTENT:
        sim_cluster_later(w, soon(w), sync_group_content, "", o->name);
        break;
    default:
        break;
    }
}
