/* The API server's own word that nothing of a clone is left. */
#include "teardown/teardown.h"

#include <assert.h>

#include "base/str.h"
#include "json/json.h"
#include "observe/observe.h"
#include "observe/resources.h"
#include "observe/times.h"

/* How long the API server's own word that nothing is left is good, and when it is asked again. */
#define LEFT_FRESH_MS 5000
#define LEFT_AGAIN_MS 1000
/* Or the list that ended the attempt before would hide what this one has made. */
static_assert(LEFT_FRESH_MS <= CREATE_SEEN_MS, "teardown_await_creates waits for longer");

/* Snapshots that somebody else needs are left to the last of those. */
static const char *not_held(const struct clone_state *v)
{
    const char *text = NULL;
    for (size_t i = 0; i < v->held_group_count; i++)
        if (str_eq(v->held[i].uid, v->wukong->uid))
            text = arena_printf(v->arena, "%s%s" LABEL_ATTEMPT "!=%lld", str_or(text, ""),
                                text ? "," : "", (long long)v->held[i].attempt);
    return text;
}

struct left_kind {
    int kind;
    bool lasting; /* a finished clone leaves it on purpose */
    bool of_groups;
};

/* In one namespace, NULL for what is in none; false: it is not known yet that nothing is there. */
static bool none_left(const struct clone_state *v, struct decision *d, int kind_number,
                      const char *ns)
{
    const struct kube_kind *kind = &worker_kinds[kind_number];
    struct call_key key = call_key_object(CALL_LIST_LEFT, kind->resource, ns, NULL);
    const struct call *c = call_log_find(v->call_log, key);
    bool unserved = call_failed(c) && c->code == 404;
    bool fresh = call_ok(c) && v->now.wall_ms < c->done_ms + LEFT_FRESH_MS;
    const char *next = NULL;
    enum left_listed listed =
        fresh ? clone_left_listed(v, (enum worker_kind)kind_number, c, &next) : LEFT_UNKNOWN;
    if (unserved || listed == LEFT_NOTHING)
        return true;
    if (fresh && !next && v->now.wall_ms < c->done_ms + LEFT_AGAIN_MS)
        return false;
    struct intent *l = intents_add(&d->intents, INTENT_LIST, kind, ns, NULL, key);
    l->uid = v->wukong->uid;
    l->from = next;
    l->metadata_only = kind_number != KIND_CONTENT && kind_number != KIND_GROUP_CONTENT;
    l->selector = kind_number == KIND_SNAPSHOT || kind_number == KIND_GROUP ? not_held(v) : NULL;
    return false;
}

/* Where something of the clone can be (ours.h), and nowhere else: a worker that serves some
   namespaces alone may list in no others. */
bool teardown_nothing_left(const struct clone_state *v, struct decision *d, bool all)
{
    static const struct left_kind kinds[] = {
        {KIND_SNAPSHOT, .lasting = false},       {KIND_CONTENT, .lasting = false},
        {KIND_VM_SNAPSHOT, .lasting = false},    {KIND_GROUP, .of_groups = true},
        {KIND_GROUP_CONTENT, .of_groups = true}, {KIND_VM, .lasting = true},
        {KIND_DATA_VOLUME, .lasting = true},     {KIND_PVC, .lasting = true}};
    bool groups = v->effective.method == METHOD_GROUP_SNAPSHOT ||
                  (v->effective.method == METHOD_AUTO && v->effective.needs_snapshot);
    const char *own = v->wukong->ns, *source = v->effective.source_ns;
    bool nothing = true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool foreign = v->source_ns_terminating &&
                       (kinds[i].kind == KIND_SNAPSHOT || kinds[i].kind == KIND_VM_SNAPSHOT ||
                        kinds[i].kind == KIND_GROUP);
        bool apart = !kinds[i].lasting && source && !str_eq(own, source);
        if ((kinds[i].lasting && !all) || foreign || (kinds[i].of_groups && !groups))
            continue;
        if (worker_kinds[kinds[i].kind].cluster_scoped) {
            nothing &= none_left(v, d, kinds[i].kind, NULL);
            continue;
        }
        nothing &= none_left(v, d, kinds[i].kind, own);
        if (apart)
            nothing &= none_left(v, d, kinds[i].kind, source);
    }
    if (!nothing)
        decision_again(d, v->now.wall_ms + LEFT_AGAIN_MS);
    return nothing;
}
