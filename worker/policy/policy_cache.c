#include "policy/policy_cache.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "json/json.h"

/* A policy's spec is at most a few KiB. */
#define POLICIES_ARENA_BYTES (32u * MIB)
/* The worker's own limit, in place of a policy's name and rule. */
#define OWN_LIMIT ""
#define OWN_RULE "maxInFlight"

/* --- reading --- */

void policy_cache_decode(struct arena *a, const struct kube_object *o, struct policy *ret)
{
    CLEANUP_JSON cJSON *tree = cJSON_CreateObject();
    cJSON *spec = NULL, *metadata = cJSON_AddObjectToObject(tree, "metadata");
    const char *text = kube_object_field(o, F_SPEC);
    (void)cJSON_AddStringToObject(metadata, "name", o->name);
    (void)cJSON_AddStringToObject(metadata, "uid", str_or(o->uid, ""));
    (void)cJSON_AddNumberToObject(metadata, "generation", (double)o->generation);
    /* Without a spec it is one that cannot be read, which policy_decode says. */
    if (text && json_read(text, strlen(text), &spec, NULL) == 0)
        (void)cJSON_AddItemToObject(tree, "spec", spec);
    policy_decode(a, tree, ret);
}

static bool add_policy_of(void *arg, const struct kube_object *o)
{
    struct policy_cache *p = arg;
    struct policy *one = &p->items[p->count++];
    policy_cache_decode(&p->arena, o, one);
    p->by_subject |= one->match.subject_count || one->exclude.subject_count;
    p->by_source |= one->match.by_source || one->exclude.by_source;
    p->by_namespace |= one->match.by_source_ns || one->match.by_target_ns ||
                       one->exclude.by_source_ns || one->exclude.by_target_ns;
    p->by_cut |= one->rules.cut || one->rules.unknown_cut || one->rules.consistency ||
                 one->rules.snapshot_class_count;
    p->by_retained |= one->limits.retained_snapshots != 0;
    p->by_limit |= one->limits.per_cluster || one->limits.per_source || one->limits.per_target_ns ||
                   one->limits.per_storage_class || one->limits.retained_snapshots ||
                   one->limits.storage_bytes;
    return true;
}

static bool count_one(void *arg, const struct kube_object *o)
{
    (void)o;
    ++*(size_t *)arg;
    return true;
}

void policy_cache_refill(struct policy_cache *p, const struct cache_reader *caches)
{
    policy_cache_release(p);
    arena_init(&p->arena, POLICIES_ARENA_BYTES);
    size_t n = 0;
    caches->each(caches->arg, KIND_POLICY, NULL, count_one, &n);
    p->items = arena_alloc(&p->arena, (n + 1) * sizeof *p->items);
    if (p->items)
        caches->each(caches->arg, KIND_POLICY, NULL, add_policy_of, p);
    p->filled = true;
    p->incomplete = p->arena.failed;
    if (p->incomplete)
        log_event(LOG_ERROR,
                  "there are more ClonePolicies than the worker can keep, so it begins no clone",
                  LOG_I("policies", n));
}

void policy_cache_release(struct policy_cache *p)
{
    arena_release(&p->arena);
    *p = (struct policy_cache){0};
}

/* --- limits --- */

struct turn {
    struct usage *u;
    struct clone_usage *h;
};

static const struct {
    const char *rule;
    enum usage_scope scope;
} places[] = {
    {"concurrentPerCluster", USAGE_OF_CLUSTER},
    {"concurrentPerSource", USAGE_OF_SOURCE},
    {"concurrentPerTargetNamespace", USAGE_OF_NAMESPACE},
    {"concurrentPerStorageClass", USAGE_OF_CLASS},
    {"retainedSnapshotsPerSource", USAGE_OF_SOURCE},
    {"storagePerTargetNamespace", USAGE_OF_NAMESPACE},
};

static bool scope_of(const char *rule, enum usage_scope *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (str_eq(places[i].rule, rule)) {
            *ret = places[i].scope;
            return true;
        }
    }
    return false;
}

/* Where in the place a clone stands; of its classes the index-th. NULL: nowhere. */
static const char *value_of(const struct clone_usage *h, enum usage_scope scope, size_t index)
{
    if (scope == USAGE_OF_CLASS)
        return index < h->class_count ? h->classes[index] : NULL;
    const char *one = scope == USAGE_OF_SOURCE      ? h->source
                      : scope == USAGE_OF_NAMESPACE ? h->ns
                                                    : "";
    return index == 0 ? one : NULL;
}

static bool behind(void *arg, const struct policy *p, const char *rule)
{
    const struct turn *t = arg;
    enum usage_scope scope;
    const char *value;
    if (!scope_of(rule, &scope))
        return false;
    for (size_t i = 0; (value = value_of(t->h, scope, i)); i++)
        if (usage_behind(t->u, t->h, p->name, rule, scope, value))
            return true;
    return false;
}

/* What wants more than the limit would keep its line waiting for ever. */
static bool never_fits(const struct turn *t, const struct policy_case *c,
                       const struct policy_finding *f)
{
    if (str_eq(f->rule, "storagePerTargetNamespace"))
        return t->h->bytes > f->policy->limits.storage_bytes;
    return str_eq(f->rule, "retainedSnapshotsPerSource") &&
           c->snapshots_wanted > f->policy->limits.retained_snapshots;
}

static void wait_in_queue(const struct turn *t, const struct policy_case *c,
                          const struct policy_finding *f)
{
    enum usage_scope scope;
    const char *value;
    if (!scope_of(f->rule, &scope) || never_fits(t, c, f))
        return;
    for (size_t i = 0; (value = value_of(t->h, scope, i)); i++)
        if (scope != USAGE_OF_CLASS ||
            usage_count(t->u, scope, value, t->h) >= f->policy->limits.per_storage_class ||
            usage_behind(t->u, t->h, f->policy->name, f->rule, scope, value))
            usage_wait(t->u, t->h, f->policy->name, f->rule, scope, value);
}

static struct policy_usage used(struct turn *t, const struct policy_case *c)
{
    struct policy_usage u = {
        .cluster = usage_count(t->u, USAGE_OF_CLUSTER, NULL, t->h),
        .source = usage_count(t->u, USAGE_OF_SOURCE, t->h->source, t->h),
        .target_ns = usage_count(t->u, USAGE_OF_NAMESPACE, t->h->ns, t->h),
        .retained_snapshots = c->snapshots_kept,
        .snapshots_wanted = c->snapshots_wanted,
        .storage_bytes = usage_bytes(t->u, t->h->ns, t->h),
        .storage_bytes_wanted = t->h->bytes,
        .behind = behind,
        .arg = t,
    };
    for (size_t i = 0; i < t->h->class_count; i++) {
        int64_t n = usage_count(t->u, USAGE_OF_CLASS, t->h->classes[i], t->h);
        u.storage_class = n > u.storage_class ? n : u.storage_class;
    }
    return u;
}

/* --- the verdict --- */

/* Texts of one effect, and of rule when that is given, joined; cut between characters. */
static const char *texts(struct arena *a, const struct policy_findings *f,
                         enum policy_effect effect, const char *rule)
{
    CLEANUP_BUF struct buf out = BUF_INIT(MIB);
    for (size_t i = 0; i < f->count; i++) {
        const struct policy_finding *item = &f->items[i];
        if (item->effect == effect && (!rule || str_eq(item->rule, rule)))
            buf_addf(&out, "%s%s", out.len ? "; " : "", item->text);
    }
    if (out.len > POLICY_VERDICT_TEXT_MAX) {
        out.data[POLICY_VERDICT_TEXT_MAX - 3] = '\0';
        str_trim_utf8(out.data);
        return arena_printf(a, "%s...", out.data);
    }
    return arena_strdup(a, str_or(out.data, ""));
}

static bool worker_is_busy(const struct turn *t, const struct policy_case *c)
{
    return c->max_in_flight &&
           ((!c->has_place &&
             usage_count(t->u, USAGE_OF_CLUSTER, NULL, t->h) >= c->max_in_flight) ||
            usage_behind(t->u, t->h, OWN_LIMIT, OWN_RULE, USAGE_OF_CLUSTER, NULL));
}

/* A cut of its own later would cost the source one freeze more. What is taken along has a bound, or
   many of one tenant would stand before the others for good. */
static bool goes_along(const struct turn *t, const struct policy_case *c)
{
    return c->taken_along && usage_count(t->u, USAGE_OF_CLUSTER, NULL, t->h) < 2 * c->max_in_flight;
}

static struct policy_verdict conclude(struct arena *a, const struct turn *t,
                                      const struct policy_case *c, const struct policy_findings *f)
{
    struct policy_verdict v = {.reason = REASON_NONE};
    if (f->denied) {
        v.reason = REASON_POLICY_DENIED;
        v.why = texts(a, f, POLICY_DENY, NULL);
        return v;
    }
    if (f->awaits_window) {
        v.reason = REASON_OUTSIDE_WINDOW;
        v.until_ms = f->window_until_ms;
        v.why = texts(a, f, POLICY_WAIT, POLICY_RULE_WINDOWS);
        return v;
    }
    if (!c->competes)
        return v;
    if (f->waiting) {
        v.reason = REASON_QUEUED;
        v.why = texts(a, f, POLICY_WAIT, NULL);
        for (size_t i = 0; i < f->count; i++)
            if (f->items[i].effect == POLICY_WAIT)
                wait_in_queue(t, c, &f->items[i]);
    }
    if (!worker_is_busy(t, c))
        return v;
    v.taken_along = !v.reason && goes_along(t, c);
    if (!v.taken_along) {
        usage_wait(t->u, t->h, OWN_LIMIT, OWN_RULE, USAGE_OF_CLUSTER, NULL);
        if (!v.reason)
            v.why = arena_printf(
                a, "the worker runs at most %lld clones at once; this one waits for its turn",
                (long long)c->max_in_flight);
        v.reason = REASON_QUEUED;
    }
    return v;
}

static struct policy_verdict unread(void)
{
    return (struct policy_verdict){
        .reason = REASON_POLICY_DENIED,
        .why =
            "not all ClonePolicies could be read, and one that is missing may deny this clone; ask "
            "the cluster's admin to have fewer or shorter ones"};
}

struct policy_verdict policy_cache_judge(struct arena *a, const struct policy_cache *p,
                                         struct usage *u, struct clone_usage *h,
                                         const struct policy_case *c, struct policy_findings *found)
{
    struct turn t = {u, h};
    struct policy_usage now = used(&t, c);
    policy_judge(a, p->items, p->count, &c->request, c->competes ? &now : NULL, POLICY_AT_EXECUTION,
                 found);
    usage_begin(h);
    struct policy_verdict v = p->incomplete ? unread() : conclude(a, &t, c, found);
    usage_end(u, h);
    return v;
}
