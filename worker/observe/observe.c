#include "observe/observe.h"

#include <assert.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/capture.h"
#include "observe/queries.h"
#include "wukong/api/child_names.h"

/* Passes the caches on, and notes what of them cannot be read: it is there, and nothing is known of
   it, which is neither what it would be without it nor what it seems to be with empty fields. */
struct noting {
    struct clone_state *v;
    const struct cache_reader *real;
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

static void apply_settings(struct clone_state *v, const struct observe_settings *s)
{
    v->unfreeze_timeout_ms = s->unfreeze_timeout_ms;
    v->clock_ahead_ms = s->clock_ahead_ms;
    v->others = s->others;
    v->group_version = s->group_version;
    v->permit = s->permit;
    v->permitted_ms = s->permitted_ms;
    v->permitted_why = s->permitted_why;
    v->permitted_reason = s->permitted_reason;
    v->permitted_until_ms = s->permitted_until_ms;
    v->held = s->held;
    v->held_group_count = s->held_group_count;
}

static bool namespace_goes(const struct cache_reader *c, const char *name)
{
    const struct kube_object *o = c->get(c->arg, KIND_NAMESPACE, "", name);
    return o && o->deleted_ms;
}

void observe_namespaces(struct clone_state *v, const struct cache_reader *c)
{
    v->own_ns_terminating = namespace_goes(c, v->wukong->ns);
    v->source_ns_terminating =
        !str_eq(v->effective.source_ns, v->wukong->ns) && namespace_goes(c, v->effective.source_ns);
}

int observe_clone(struct clone_state *v, const struct cache_reader *real,
                  const struct kube_object *object, struct call_log *call_log, struct now now,
                  const struct observe_settings *settings, struct err *err)
{
    struct noting noting = {v, real};
    const struct cache_reader noted = {noting_get, noting_each, noting_served, &noting};
    const struct cache_reader *caches = &noted;
    v->now = now;
    v->call_log = call_log;
    if (!v->wukong && observe_wukong(v, object, err) < 0)
        return -1;
    apply_settings(v, settings);
    /* It came with the object: out of a file, or a backup. */
    if (v->wukong->has_finalizer &&
        call_ok(call_log_find(call_log, call_key(CALL_FINALIZER_REMOVE))))
        v->unguard = observe_drop_finalizer(v->arena, object, WUKONG_FINALIZER);
    call_log_note_cleaning(call_log, clone_cleans_up(v), v->now.mono_ms);
    if (!v->effective.is_clone)
        return 0;
    observe_spec_findings(v, call_log, object);
    observe_namespaces(v, caches);
    observe_ours(v, caches);
    bool final = record_final(&v->record);
    /* After the cut the source is not needed; of a finished clone it concerns only what is still
       owed to it. */
    if (!final || record_owes_thaw(&v->record) || v->record.started.at_ms)
        observe_source(v, final || clone_past_cut(v) ? real : caches);
    if (record_owes_thaw(&v->record))
        observe_note_others(v, call_log);
    if (!final) {
        observe_note_source(v, call_log);
        observe_classes(v, caches);
        if (settings->raise_cuts)
            settings->raise_cuts(settings->raise_arg, object, v);
        observe_carrier(v, caches);
        if (!v->wukong->deleted_ms && !record_aborted(&v->record))
            capture_build(v, call_log);
        if (!clone_past_cut(v))
            capture_compare(v, real);
        clone_raise_quiesce(v);
        observe_snapshots(v, caches);
        observe_note_kubevirts_freeze(v, call_log);
        observe_copies(v, caches);
    }
    observe_targets(v, caches);
    if (v->disk_count && clone_past_cut(v))
        observe_events(v, caches);
    return 0;
}
