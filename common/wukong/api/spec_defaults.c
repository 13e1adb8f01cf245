/* What is in force: the defaults that the CRD names, in one place. */
#include "base/str.h"
#include "wukong/api/spec.h"

static enum clone_type clone_type(const struct wukong_source *s)
{
    if (s->clone_type != CLONE_UNSET)
        return s->clone_type;
    return s->type == SOURCE_VMI ? CLONE_RUNNING : CLONE_FULL;
}

struct wukong_effective wukong_resolve_defaults(const struct wukong_spec *spec, const char *ns)
{
    const struct wukong_source *s = &spec->source;
    struct wukong_effective e = {
        .is_clone = s->present,
        .source_type = s->type,
        .source_name = s->type == SOURCE_VM ? s->vm_name : s->vmi_name,
        .source_ns = str_or(s->ns, ns),
        .clone_type = clone_type(s),
        .quiesce = s->quiesce == QUIESCE_UNSET ? QUIESCE_IF_AVAILABLE : s->quiesce,
        .method = s->method == METHOD_VM_SNAPSHOT ? METHOD_VM_SNAPSHOT : METHOD_VOLUME_SNAPSHOT,
        .stop_source_after = s->stop_source_after == TRI_TRUE,
        .allow_unsnapshottable = s->allow_unsnapshottable == TRI_TRUE,
        .deadline_s = s->has_deadline ? s->deadline_s : WUKONG_DEADLINE_DEFAULT_S,
        .retry_limit = s->has_retry_limit ? s->retry_limit : WUKONG_RETRY_DEFAULT,
        .replicas = spec->has_replicas && spec->replicas > 0 ? spec->replicas : 1,
        .auto_start = spec->start.auto_start != TRI_FALSE,
        .run_strategy =
            spec->start.run_strategy == RUN_UNSET ? RUN_ALWAYS : spec->start.run_strategy,
        .reclaim = spec->reclaim == RECLAIM_RETAIN ? RECLAIM_RETAIN : RECLAIM_DELETE,
        .selective = spec->disk_count > 0,
    };
    e.cross_namespace = !str_eq(e.source_ns, ns);
    e.needs_snapshot = e.clone_type == CLONE_RUNNING || e.clone_type == CLONE_LINKED;
    if (s->not_before)
        (void)str_to_time_ms(s->not_before, &e.not_before_ms);
    return e;
}
