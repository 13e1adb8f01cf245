#include "observe/view_build.h"

#include <assert.h>

#include "base/str.h"
#include "json/json.h"
#include "observe/capture.h"
#include "observe/queries.h"
#include "wukong/names.h"
#include "wukong/quantity.h"

/* Passes the caches on, and notes what of them cannot be read: it is there, and nothing is known of
   it, which is neither what it would be without it nor what it seems to be with empty fields. */
struct noting {
    struct clone_view *v;
    const struct caches *real;
};

static const struct kube_object *noting_get(void *arg, enum worker_kind kind, const char *ns,
                                            const char *name)
{
    struct noting *n = arg;
    const struct kube_object *o = n->real->get(n->real->arg, kind, ns, name);
    if (o && o->unreadable && !n->v->unreadable)
        n->v->unreadable =
            arena_printf(n->v->arena, "%s %s%s%s cannot be read: %s", worker_kinds[kind].kind,
                         o->ns, *o->ns ? "/" : "", o->name, o->unreadable);
    return o;
}

static void noting_each(void *arg, enum worker_kind kind, const char *label,
                        bool (*visit)(void *visit_arg, const struct kube_object *o),
                        void *visit_arg)
{
    const struct noting *n = arg;
    n->real->each(n->real->arg, kind, label, visit, visit_arg);
}

static bool noting_served(void *arg, enum worker_kind kind)
{
    const struct noting *n = arg;
    return n->real->served(n->real->arg, kind);
}

static void apply_settings(struct clone_view *v, const struct view_settings *s)
{
    v->unfreeze_timeout_ms = s->unfreeze_timeout_ms;
    v->source.freeze_elsewhere = s->freeze_elsewhere;
    v->source.freezes_max = s->freezes_max;
    v->source.freezes_full = s->freezes_full;
    v->source.vm_snapshot_elsewhere = s->vm_snapshot_elsewhere;
    v->source.may_start = s->permit.may_start;
    v->source.last_thaw_ms = s->last_thaw_ms;
    v->permit = s->permit;
    v->permitted_ms = s->permitted_ms;
    v->permitted_why = s->permitted_why;
    v->permitted_reason = s->permitted_reason;
    v->permitted_until_ms = s->permitted_until_ms;
    v->held = s->held;
    v->held_group_count = s->held_group_count;
}

static bool namespace_goes(const struct caches *c, const char *name)
{
    const struct kube_object *o = c->get(c->arg, KIND_NAMESPACE, "", name);
    return o && o->deleted_ms;
}

static void see_namespaces(struct clone_view *v, const struct caches *c)
{
    v->own_ns_terminating = namespace_goes(c, v->wukong->ns);
    v->source_ns_terminating =
        !str_eq(v->effective.source_ns, v->wukong->ns) && namespace_goes(c, v->effective.source_ns);
}

int view_build(struct clone_view *v, const struct caches *real, const struct kube_object *object,
               struct memo *memo, struct now now, const struct view_settings *settings,
               struct err *err)
{
    struct noting noting = {v, real};
    const struct caches noted = {noting_get, noting_each, noting_served, &noting};
    const struct caches *caches = &noted;
    v->now = now;
    v->memo = memo;
    if (!v->wukong && view_read_wukong(v, object, err) < 0)
        return -1;
    apply_settings(v, settings);
    if (!v->effective.is_clone)
        return 0;
    view_judge_spec(v, memo, object);
    see_namespaces(v, caches);
    view_see_ours(v, caches);
    bool final = record_final(&v->record);
    /* After the cut the source is not needed; of a finished clone it concerns only what is still
       owed to it. */
    if (!final || record_owes_thaw(&v->record) || v->record.started.at_ms)
        view_read_source(v, final || view_past_cut(v) ? real : caches);
    if (record_owes_thaw(&v->record))
        view_note_others(v, memo);
    if (!final) {
        view_note_source(v, memo);
        view_read_classes(v, caches);
        if (settings->raise_cuts)
            settings->raise_cuts(settings->raise_arg, object, v);
        caches->each(caches->arg, view_uses_vm_snapshot(v) ? KIND_VM_SNAPSHOT : KIND_SNAPSHOT,
                     view_taker(v).uid, view_find_carrier, v);
        if (!v->wukong->deleted_ms && !record_aborted(&v->record))
            capture_build(v, memo);
        if (!view_past_cut(v))
            capture_compare(v, real);
        view_raise_quiesce(v);
        view_see_snapshots(v, caches);
        view_note_kubevirts_freeze(v, memo);
        view_see_copies(v, caches);
    }
    view_see_targets(v, caches);
    if (v->disk_count && view_past_cut(v))
        view_see_events(v, caches);
    return 0;
}
