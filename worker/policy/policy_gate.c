#include "policy/policy_gate.h"

#include <assert.h>
#include <string.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "clones/share_group.h"
#include "json/json.h"
#include "observe/observe.h"
#include "observe/ours.h"
#include "observe/stamp_check.h"
#include "steps/steps.h"

int64_t policy_gate_claim_bytes(const struct kube_object *claim)
{
    return quantity_bytes(
        str_or(kube_object_field(claim, F_CAPACITY), kube_object_field(claim, F_REQUEST)));
}

/* --- what policies ask for --- */

/* NULL: the object is not there, so that nothing is known. */
static const struct wukong_pairs *labels_of(struct clone_state *v, const struct kube_object *o)
{
    if (!o)
        return NULL;
    const char *text = kube_object_field(o, F_LABELS);
    CLEANUP_JSON cJSON *tree = NULL;
    struct wukong_pairs *pairs = arena_alloc(v->arena, sizeof *pairs);
    bool known = text && json_read(text, strlen(text), &tree, NULL) == 0;
    wukong_pairs_read(v->arena, known ? tree : NULL, pairs);
    return pairs;
}

/* Those of the VirtualMachine, as at admission; of a VMI that stands alone its own. */
static const struct wukong_pairs *source_labels(const struct policy_gate *p, struct clone_state *v)
{
    const struct cache_reader *c = p->caches;
    const struct wukong_effective *e = &v->effective;
    const struct kube_object *vm =
        c->get(c->arg, KIND_VM, e->source_ns, str_or(e->source_name, ""));
    return labels_of(v,
                     vm ? vm : c->get(c->arg, KIND_VMI, e->source_ns, str_or(e->source_name, "")));
}

static const struct wukong_pairs *namespace_labels(const struct policy_gate *p,
                                                   struct clone_state *v, const char *name)
{
    return labels_of(v, p->caches->get(p->caches->arg, KIND_NAMESPACE, "", name));
}

/* The plan, once the source has been read. */
static const struct disks *plan_of(struct clone_state *v)
{
    if (!v->disk_count)
        return NULL;
    struct disks *d = arena_alloc(v->arena, sizeof *d);
    d->items = arena_alloc(v->arena, v->disk_count * sizeof *d->items);
    for (size_t i = 0; i < v->disk_count; i++)
        d->items[d->count++] = *v->disks[i].plan;
    return d;
}

/* Classes and sizes: of the plan, and before there is one, what the spec says itself. */
static void describe_disks(const struct policy_gate *p, struct clone *e,
                           const struct clone_state *v, const struct disks *plan)
{
    const char *classes[USAGE_CLASSES_MAX] = {0};
    const struct wukong_spec *spec = &v->wukong->spec;
    size_t count = 0;
    int64_t bytes = 0;
    if (!plan && e->usage.bytes)
        return;
    for (size_t i = 0; plan && i < plan->count; i++) {
        bytes += plan->items[i].bytes;
        clone_table_add_class(classes, &count, plan->items[i].storage_class);
    }
    for (size_t i = 0; !plan && i < spec->disk_count; i++) {
        bytes += spec->disks[i].size_bytes;
        clone_table_add_class(classes, &count, spec->disks[i].storage_class);
    }
    usage_describe(&p->clones->usage, &e->usage, classes, count, bytes * v->effective.replicas);
    if (plan)
        e->disk_count = plan->count;
}

struct kept {
    const struct cache_reader *caches;
    struct ours_clone whose;
    int64_t count;
};

static bool count_snapshot(void *arg, const struct kube_object *o)
{
    struct kept *k = arg;
    k->count += !o->deleted_ms && ours_made(&k->whose, KIND_SNAPSHOT, o);
    return true;
}

/* Its members bear no label of ours: the content names them. */
static bool count_members(void *arg, const struct kube_object *o)
{
    struct kept *k = arg;
    CLEANUP_FREE char *name = xasprintf("groupsnapcontent-%s", o->uid);
    CLEANUP_JSON cJSON *members = NULL;
    if (o->deleted_ms || !ours_made(&k->whose, KIND_GROUP, o))
        return true;
    const char *text = kube_object_field(
        k->caches->get(k->caches->arg, KIND_GROUP_CONTENT, "", name), F_GROUP_MEMBERS);
    if (text && json_read(text, strlen(text), &members, NULL) == 0)
        k->count += cJSON_GetArraySize(members);
    return true;
}

static int64_t snapshots_of(const struct policy_gate *p, const struct clone *e,
                            const struct clone_state *v)
{
    struct kept k = {.caches = p->caches,
                     .whose = {.uid = e->uid,
                               .name = e->name,
                               .ns = e->ns,
                               .source_ns = v->effective.source_ns,
                               .sources = {v->effective.source_name}}};
    p->caches->each(p->caches->arg, KIND_SNAPSHOT, e->uid, count_snapshot, &k);
    p->caches->each(p->caches->arg, KIND_GROUP, e->uid, count_members, &k);
    return k.count;
}

/* Of the other linked clones of this source: what is kept, and what those under way will keep. */
static int64_t snapshots_kept(const struct policy_gate *p, const struct clone *self,
                              const struct clone_state *v)
{
    int64_t n = 0;
    if (!p->policies->by_retained || v->effective.clone_type != CLONE_LINKED)
        return 0;
    for (struct clone *e = clone_table_of_source(p->clones, v->effective.source_ns,
                                                 str_or(v->effective.source_name, "-"));
         e; e = e->same_source_next) {
        if (e == self || !e->linked)
            continue;
        if (e->succeeded)
            n += snapshots_of(p, e, v);
        else if (e->usage.holds)
            n += e->disk_count ? (int64_t)e->disk_count : 1;
    }
    return n;
}

/* --- the judgement --- */

/* Nothing that lies outside the policies keeps it from going on now: what waits for its source, a
   quota or a class, for an hour perhaps, must not keep a slot from the others. */
static bool could_go_on(const struct policy_gate *p, const struct clone *e,
                        const struct clone_state *v)
{
    struct why why = {0};
    if (v->permit.refusal || v->permitted_ms > v->now.wall_ms)
        return false;
    /* It knows more when its turn has come. */
    if (e->budget[LANE_TRIES].waits)
        return false;
    enum step_status source = step_source_check(v, &why);
    if (source == STEP_WAIT)
        return false;
    /* What its source needs is a beginning, whatever the pre-flight thinks of one that is stopped.
     */
    if (source == STEP_TODO)
        return true;
    /* The pre-flight is not cheap to look at, and with slots to spare it does not matter. */
    if (!p->policies->by_limit && (int64_t)p->clones->usage.held < p->max_in_flight / 2)
        return true;
    why.reason = REASON_NONE;
    bool ready = step_preflight_check(v, &why) == STEP_DONE;
    return ready || why.reason == REASON_WAITING || why.reason == REASON_NONE;
}

/* Nothing before the source has been read. A source that was started, or will be, has an agent to
   wait for. */
static struct cut_foreseen foreseen(const struct clone_state *v, const struct disks *plan)
{
    const struct source_machine *s = &v->source;
    bool starts = !s->vmi_exists && v->effective.clone_type == CLONE_RUNNING;
    if (!plan)
        return (struct cut_foreseen){0};
    return cut_foresee(&v->effective, s->vmi_exists || starts,
                       s->agent || starts || v->record.started.at_ms, s->paused, plan);
}

static struct policy_request request_of(const struct policy_gate *p, const struct kube_object *o,
                                        struct clone_state *v, const struct disks *plan)
{
    const struct policy_cache *set = p->policies;
    struct policy_request r = {
        .source_ns_labels =
            set->by_namespace ? namespace_labels(p, v, v->effective.source_ns) : NULL,
        .target_ns_labels = set->by_namespace ? namespace_labels(p, v, v->wukong->ns) : NULL,
        .source_labels = set->by_source ? source_labels(p, v) : NULL,
        .wukong = v->wukong,
        .effective = &v->effective,
        .disks = plan,
        .cut = foreseen(v, plan),
        .now_ms = v->now.wall_ms};
    if (set->by_subject)
        stamp_check_requester(v->arena, v->wukong, &v->effective,
                              kube_object_field(o, F_GENERATE_NAME),
                              kube_object_field(o, F_ANNOTATION_STAMP), p->stamp_keys, &r.user,
                              &r.groups, &r.group_count);
    return r;
}

void policy_gate_raise_cuts(const void *arg, const struct kube_object *o, struct clone_state *v)
{
    const struct policy_gate *p = arg;
    if (!p->policies->by_cut)
        return;
    struct policy_request r = request_of(p, o, v, NULL);
    policy_raise_cuts(v->arena, p->policies->items, p->policies->count, &r, &v->classes);
    v->least = policy_least_consistency(p->policies->items, p->policies->count, &r);
}

/* An equal one with a slot of its own has not closed its group yet. */
static bool may_go_along(const struct policy_gate *p, const struct clone *e)
{
    if (!e->share.key)
        return false;
    for (const struct clone *o = clone_table_beside(p->clones, e); o; o = o->same_source_next)
        if (o != e && o->usage.holds && !o->taken_along && share_group_equal(o, e))
            return true;
    return false;
}

/* Those that the worker's own limit holds back hear of it. */
static void take_along(const struct policy_gate *p, struct clone *e)
{
    if (!e->share.key || e->taken_along)
        return;
    for (struct clone *o = clone_table_beside(p->clones, e); o; o = o->same_source_next)
        if (o != e && !o->usage.holds && o->usage.queue_count && share_group_equal(o, e))
            p->clones->usage.wake(p->clones->usage.arg, &o->usage);
}

static void judge_begin(const struct policy_gate *p, struct clone *e, const struct kube_object *o,
                        struct clone_state *v, struct policy_findings *found)
{
    const struct policy_cache *set = p->policies;
    const struct disks *plan = plan_of(v);
    bool begun = record_begun(&v->record);
    describe_disks(p, e, v, plan);
    bool could = !begun && could_go_on(p, e, v);
    struct policy_case c = {
        .request = request_of(p, o, v, plan),
        .competes = could,
        .max_in_flight = p->max_in_flight,
        .has_place = e->usage.holds && !e->taken_along,
        .taken_along = could && may_go_along(p, e),
        .snapshots_kept = snapshots_kept(p, e, v),
        .snapshots_wanted = (int64_t)e->disk_count,
    };
    struct policy_verdict verdict =
        policy_cache_judge(v->arena, set, &p->clones->usage, &e->usage, &c, found);
    e->policies_broken = policy_reports_judged(p->reports, e->ns, e->name, c.request.user, found,
                                               e->policies_broken);
    v->policy.reason = verdict.reason;
    v->policy.why = verdict.why;
    v->policy.until_ms = verdict.until_ms;
    v->policy.taken_along = verdict.taken_along;
    if (begun)
        return;
    bool held = e->usage.holds;
    e->taken_along = verdict.taken_along;
    /* Reserve the slot now, before anything is written, so that the next clone judged in this pass
       sees it as taken. */
    if (could && !verdict.reason)
        usage_hold(&p->clones->usage, &e->usage);
    /* That it has begun may be stored, though it has to wait again as far as the caches know. */
    else if (!e->announced.base)
        usage_drop(&p->clones->usage, &e->usage);
    if (!held && e->usage.holds)
        take_along(p, e);
}

void policy_gate_judge(const struct policy_gate *p, struct clone *e, const struct kube_object *o,
                       struct clone_state *v)
{
    if (record_final(&v->record))
        return;
    if (v->wukong->deleted_ms || record_aborted(&v->record) || !clone_may_be_held(v)) {
        usage_begin(&e->usage);
        usage_end(&p->clones->usage, &e->usage);
        if (v->wukong->deleted_ms && !record_begun(&v->record) && !e->announced.base)
            usage_drop(&p->clones->usage, &e->usage);
        /* It goes on without being asked, whoever let it go: perhaps the leader before. */
        if (clone_cut_by_other(v)) {
            describe_disks(p, e, v, plan_of(v));
            usage_hold(&p->clones->usage, &e->usage);
        }
        return;
    }
    CLEANUP_FREE struct policy_findings *found = xcalloc(1, sizeof *found);
    judge_begin(p, e, o, v, found);
}
