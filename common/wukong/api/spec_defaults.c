/* What is in force: the defaults that the CRD names, in one place. */
#include "apimachinery/duration.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/spec.h"

static enum clone_type clone_type_of(enum source_type type)
{
    return type == SOURCE_VMI ? CLONE_RUNNING : CLONE_FULL;
}

static enum snapshot_method method(const struct wukong_source *s)
{
    return s->method == METHOD_UNSET ? METHOD_AUTO : s->method;
}

/* What cannot be read ends nothing: the rules tell of it. */
static void resolve_expiry(const struct wukong_spec *spec, struct wukong_effective *e)
{
    int64_t ns;
    if (spec->expires.at && !spec->expires.after)
        (void)str_to_time_ms(spec->expires.at, &e->expires_at_ms);
    else if (spec->expires.after && !spec->expires.at && duration_parse(spec->expires.after, &ns) &&
             ns > 0)
        e->expires_after_ms = ns / 1000000;
    if (e->expires_at_ms > 0 || e->expires_after_ms > 0)
        e->expiry = spec->expires.action;
}

struct wukong_effective wukong_resolve_defaults(const struct wukong_spec *spec, const char *ns)
{
    const struct wukong_source *s = &spec->source;
    struct wukong_effective e = {
        .is_clone = s->present,
        .source_type = s->type,
        .source_name = s->type == SOURCE_VM ? s->vm_name : s->vmi_name,
        .source_ns = str_or(s->ns, ns),
        .clone_type = s->clone_type == CLONE_UNSET ? clone_type_of(s->type) : s->clone_type,
        .quiesce = s->quiesce == QUIESCE_UNSET ? QUIESCE_IF_AVAILABLE : s->quiesce,
        .method = method(s),
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
    resolve_expiry(spec, &e);
    if (s->not_before)
        (void)str_to_time_ms(s->not_before, &e.not_before_ms);
    return e;
}

/* The API server prunes null before it stores the object, but webhooks see it. */
static bool is_missing(const cJSON *source, const char *field)
{
    const cJSON *value = json_get(source, field);
    return cJSON_IsObject(source) && (!value || cJSON_IsNull(value));
}

/* What follows from a type that there is; NULL: nothing. */
static const char *default_clone_type(const cJSON *source)
{
    const char *type = json_str(source, "type");
    for (size_t t = SOURCE_UNSET + 1; type && t < SOURCE_TYPES; t++)
        if (str_eq(source_type_names[t], type))
            return clone_type_names[clone_type_of((enum source_type)t)];
    return NULL;
}

struct source_defaults wukong_source_defaults(const cJSON *object, const cJSON *old, const char *ns)
{
    const cJSON *source = json_at(object, "spec.cloneSource");
    const cJSON *before = json_at(old, "spec.cloneSource");
    struct source_defaults d = {NULL, NULL};
    if (is_missing(source, "cloneType"))
        d.clone_type = old ? json_str(before, "cloneType") : default_clone_type(source);
    if (is_missing(source, "namespace"))
        d.ns = old ? json_str(before, "namespace") : ns;
    return d;
}
