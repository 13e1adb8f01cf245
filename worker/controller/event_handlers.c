/* Which Wukongs are to be looked at when something in the caches changes. */
#include "controller/controller_internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "clones/share_group.h"
#include "observe/ours.h"

/* Of what concerns many Wukongs only a change of what is read from it does: a status that somebody
   keeps writing, as CDI does a StorageProfile's, must not wake them all. */
static bool is_new(const struct kube_object *before, const struct kube_object *after)
{
    if (!before || !after)
        return true;
    for (size_t i = 0; i < KUBE_FIELDS_MAX && after->kind->fields[i]; i++)
        if (!str_eq(before->field[i], after->field[i]))
            return true;
    return false;
}

/* --- what to look at, and when --- */

void worker_arm_queue(struct worker *w)
{
    int64_t next = workqueue_next_ms(w->queue, worker_mono(w));
    if (next == INT64_MAX || !w->leads || !w->synced)
        timer_cancel(w->config.timers, &w->queue_timer);
    else
        timer_arm(w->config.timers, &w->queue_timer, next);
}

void worker_enqueue(void *arg, const struct clone *e)
{
    struct worker *w = arg;
    if (!e->is_clone)
        return;
    workqueue_add(w->queue, e->key, worker_mono(w));
    workqueue_hurry(w->queue, e->key, e->freezing);
    worker_arm_queue(w);
}

static void enqueue_uid(struct worker *w, const char *uid)
{
    struct clone *e = clone_table_by_uid(&w->clones, uid);
    if (e)
        worker_enqueue(w, e);
}

/* moved: something new is known of it. */
static void enqueue_source(struct worker *w, const char *ns, const char *name, bool moved)
{
    for (struct clone *e = clone_table_of_source(&w->clones, ns, name); e;
         e = e->same_source_next) {
        if (moved)
            e->call_log.moved_mono_ms = worker_mono(w);
        if (!e->final || e->owes_thaw)
            worker_enqueue(w, e);
    }
}

static int by_age(const void *a, const void *b)
{
    const struct clone *x = *(struct clone *const *)a, *y = *(struct clone *const *)b;
    return usage_compare(&x->usage, &y->usage);
}

/* The oldest first: what is free goes to them. */
void worker_enqueue_waiting(struct worker *w)
{
    struct clone *e, *next;
    size_t count = 0;
    /* Everything is looked at when the caches are filled and the lease is there. */
    if (!w->synced || !w->leads)
        return;
    CLEANUP_FREE struct clone **all =
        xcalloc(HASH_CNT(by_key, w->clones.by_key) + 1, sizeof(struct clone *));
    HASH_ITER (by_key, w->clones.by_key, e, next)
        if (!e->final)
            all[count++] = e;
    qsort(all, count, sizeof(struct clone *), by_age);
    for (size_t i = 0; i < count; i++)
        worker_enqueue(w, all[i]);
}

void worker_turn_came(void *arg, struct clone_usage *h)
{
    worker_enqueue(arg, clone_of_usage(h));
}

static bool is_in(const struct clone *e, const char *ns)
{
    size_t n = strlen(ns);
    return str_eq(e->ns, ns) ||
           (e->source && strncmp(e->source, ns, n) == 0 && e->source[n] == '/');
}

/* A namespace that goes has many events; they concern those in it, or whose source is. */
static void enqueue_namespace(struct worker *w, const char *ns)
{
    struct clone *e, *next;
    HASH_ITER (by_key, w->clones.by_key, e, next)
        if (is_in(e, ns))
            worker_enqueue(w, e);
}

/* Somebody's object is gone: its name is free for a clone that waits for it. */
static void name_freed(struct worker *w, const struct kube_object *before,
                       const struct kube_object *after)
{
    struct clone *e, *next;
    if (after || before->label)
        return;
    HASH_ITER (by_key, w->clones.by_key, e, next)
        if (!e->final && !e->started && str_eq(e->ns, before->ns))
            worker_enqueue(w, e);
}

/* --- our own writes are newer than the caches --- */

bool worker_object_older(const struct kube_object *a, const struct kube_object *b)
{
    return kube_version_newer(a->resource_version, b->resource_version);
}

/* A watch may hang for minutes; a number tells for certain that it shows the past. */
bool worker_trusts_written(const struct worker *w, const struct clone *e)
{
    uint64_t version;
    return str_to_u64(e->written->resource_version, &version) ||
           worker_mono(w) < e->written_until_ms;
}

void worker_summarise(struct worker *w, struct clone *e, const struct kube_object *o)
{
    bool froze = e->vm_snapshot;
    if (indoubt_seen(&e->announced, o))
        share_group_freed(&w->clones, e);
    if (clone_table_summarise(&w->clones, e, o))
        share_group_wake_waiting(&w->clones, e, worker_enqueue, w);
    if (froze && !e->vm_snapshot)
        e->vm_snapshot_end_ms = worker_wall(w);
}

/* --- the caches change --- */

static void wukong_changed(struct worker *w, const struct kube_object *before,
                           const struct kube_object *after)
{
    const struct kube_object *o = after ? after : before;
    struct clone *e = clone_table_by_key(&w->clones, o->ns, o->name);
    if (e && (!after || !str_eq(e->uid, after->uid))) {
        if (e->policies_broken)
            policy_reports_gone(w->policy_reports, e->ns, e->name);
        if (e->share.key)
            share_group_wake_waiting(&w->clones, e, worker_enqueue, w);
        /* Its snapshots, where they stay, count no more. */
        CLEANUP_FREE char *source = e->linked ? xstrdup(e->source) : NULL;
        /* What it shared falls back to whoever took it, who may have ended long ago. */
        CLEANUP_FREE char *taker = xstrdup(e->share.owner_uid);
        left_frozen_add(w->left_frozen, e);
        clone_table_remove(&w->clones, e);
        enqueue_uid(w, taker);
        if (source)
            usage_freed(&w->clones.usage, USAGE_OF_SOURCE, source);
        e = NULL;
    }
    /* Of one that cannot be read, what was known of it stays: a guest that it has frozen is counted
       on. Its log line and the metric tell of it. */
    if (!after || after->unreadable)
        return;
    if (!e)
        (e = clone_table_add(&w->clones, o->ns, o->name, o->uid))->share.seen_ms = worker_mono(w);
    if (e->written) {
        if (worker_object_older(after, e->written) && worker_trusts_written(w, e))
            return;
        free(e->written);
        e->written = NULL;
    }
    if (!before || before->generation != after->generation ||
        !str_eq(kube_object_field(before, F_ANNOTATION_RETRY),
                kube_object_field(after, F_ANNOTATION_RETRY)))
        e->call_log.moved_mono_ms = worker_mono(w);
    worker_summarise(w, e, after);
    worker_enqueue(w, e);
}

/* Whose a VolumeSnapshot is: by its label, or by that of the group that it is a member of. */
static const char *taker_of(const struct worker *w, const struct kube_object *snapshot)
{
    if (!snapshot || snapshot->label || !str_eq(snapshot->owner_kind, "VolumeGroupSnapshot"))
        return snapshot ? snapshot->label : NULL;
    const struct kube_object *g =
        store_get(w->watched[KIND_GROUP].store, snapshot->ns, str_or(snapshot->owner_name, ""));
    return g ? g->label : NULL;
}

static void group_content_changed(struct worker *w, const struct kube_object *o)
{
    const struct kube_object *g =
        store_get(w->watched[KIND_GROUP].store, kube_object_field(o, F_GROUP_REF_NS),
                  str_or(kube_object_field(o, F_GROUP_REF_NAME), ""));
    enqueue_uid(w, g ? g->label : NULL);
    enqueue_uid(w, o->label);
}

static void content_changed(struct worker *w, const struct kube_object *o)
{
    const struct kube_object *s =
        store_get(w->watched[KIND_SNAPSHOT].store, kube_object_field(o, F_SNAPSHOT_REF_NS),
                  str_or(kube_object_field(o, F_SNAPSHOT_REF_NAME), ""));
    enqueue_uid(w, taker_of(w, s));
    /* A copy for another namespace is ours by its own label, and comes before its VolumeSnapshot.
     */
    enqueue_uid(w, o->label);
}

static void claim_changed(struct worker *w, const struct kube_object *before,
                          const struct kube_object *after)
{
    if (before && ours_claim_counts(before))
        usage_claimed(&w->clones.usage, before->ns, before->label, -policy_gate_claim_bytes(before),
                      usage_by_uid(&w->clones, before->label));
    if (after && ours_claim_counts(after))
        usage_claimed(&w->clones.usage, after->ns, after->label, policy_gate_claim_bytes(after),
                      usage_by_uid(&w->clones, after->label));
    enqueue_uid(w, (after ? after : before)->label);
    share_group_wake_next(&w->clones, before, after, worker_enqueue, w);
}

/* A linked clone's parents count against a limit of their source. */
static void snapshot_changed(struct worker *w, const struct kube_object *before,
                             const struct kube_object *after)
{
    const char *uid = taker_of(w, after ? after : before);
    const struct clone *e = clone_table_by_uid(&w->clones, uid);
    if (!after && e && e->source)
        usage_freed(&w->clones.usage, USAGE_OF_SOURCE, e->source);
    enqueue_uid(w, uid);
    share_group_wake_followers(&w->clones, uid, before, after, worker_enqueue, w);
}

static void namespace_changed(struct worker *w, const struct kube_object *before,
                              const struct kube_object *after)
{
    const char *old = before ? kube_object_field(before, F_LABELS) : NULL;
    const char *new = after ? kube_object_field(after, F_LABELS) : NULL;
    if (w->policies.by_namespace && !str_eq(old, new))
        worker_enqueue_waiting(w);
}

static void claim_event(struct worker *w, const struct kube_object *o)
{
    const struct kube_object *claim = store_get(
        w->watched[KIND_PVC].store, o->ns, str_or(kube_object_field(o, F_EVENT_OBJECT_NAME), ""));
    enqueue_uid(w, claim ? claim->label : NULL);
}

/* A class, say, by which everything is planned. */
static void moved_for_all(struct worker *w)
{
    struct clone *e, *next;
    HASH_ITER (by_key, w->clones.by_key, e, next)
        e->call_log.moved_mono_ms = worker_mono(w);
    worker_enqueue_waiting(w);
}

static void machine_changed(struct worker *w, const struct kube_object *before,
                            const struct kube_object *after)
{
    const struct kube_object *o = after ? after : before;
    bool moved = is_new(before, after) || before->generation != after->generation;
    name_freed(w, before, after);
    enqueue_source(w, o->ns, o->name, moved);
    /* A clone of a VMI looks at the VM that owns it, too. */
    if (!str_empty(o->owner_name) && !str_eq(o->owner_name, o->name))
        enqueue_source(w, o->ns, o->owner_name, moved);
    enqueue_uid(w, o->label);
}

void worker_cache_changed(void *arg, const struct kube_object *before,
                          const struct kube_object *after)
{
    struct watched *k = arg;
    struct worker *w = k->worker;
    const struct kube_object *o = after ? after : before;
    switch (k->kind) {
    case KIND_WUKONG:
        wukong_changed(w, before, after);
        break;
    case KIND_VM:
    case KIND_VMI:
        machine_changed(w, before, after);
        break;
    case KIND_CONTENT:
        content_changed(w, o);
        break;
    case KIND_CLAIM_EVENT:
        if (after)
            claim_event(w, o);
        break;
    case KIND_PVC:
        name_freed(w, before, after);
        claim_changed(w, before, after);
        break;
    case KIND_GROUP_CONTENT:
        group_content_changed(w, o);
        break;
    case KIND_SNAPSHOT:
    case KIND_GROUP:
        snapshot_changed(w, before, after);
        break;
    case KIND_NAMESPACE:
        namespace_changed(w, before, after);
        if (o->deleted_ms)
            enqueue_namespace(w, o->name);
        break;
    case KIND_POLICY:
        policy_reports_changed(w->policy_reports, before, after);
        /* Its status is no reason to judge anew. */
        if (!before || !after || before->generation != after->generation) {
            w->policies.filled = false;
            worker_enqueue_waiting(w);
        }
        break;
    case KIND_STORAGE_CLASS:
    case KIND_SNAPSHOT_CLASS:
    case KIND_GROUP_CLASS:
    case KIND_CSI_DRIVER:
    case KIND_STORAGE_PROFILE:
    case KIND_STAMP_KEYS:
        if (is_new(before, after))
            moved_for_all(w);
        break;
    default:
        enqueue_uid(w, o->label);
        break;
    }
}
