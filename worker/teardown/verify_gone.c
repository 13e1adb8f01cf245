/* The API server's own word that nothing of a clone is left. */
#include "teardown/teardown.h"

#include "base/str.h"
#include "json/json.h"
#include "observe/kinds.h"
#include "observe/view_build.h"

/* How long the API server's own word that nothing is left is good, and when it is asked again. */
#define LEFT_FRESH_MS 5000
#define LEFT_AGAIN_MS 1000

/* Snapshots that somebody else needs are left to the last of those. */
static const char *not_held(const struct clone_view *v)
{
    const char *text = NULL;
    for (size_t i = 0; i < v->held_group_count; i++)
        if (str_eq(v->held[i].uid, v->wukong->uid))
            text = arena_printf(v->arena, "%s%s" LABEL_ATTEMPT "!=%lld", str_or(text, ""),
                                text ? "," : "", (long long)v->held[i].attempt);
    return text;
}

bool oblige_nothing_left(const struct clone_view *v, struct decision *d, bool all)
{
    static const struct {
        int kind;
        bool lasting; /* a finished clone leaves it on purpose */
    } kinds[] = {{KIND_SNAPSHOT, false}, {KIND_CONTENT, false},    {KIND_VM_SNAPSHOT, false},
                 {KIND_VM, true},        {KIND_DATA_VOLUME, true}, {KIND_PVC, true}};
    bool nothing = true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct kube_kind *kind = &worker_kinds[kinds[i].kind];
        const struct call *c = memo_findf(v->memo, "left/%s", kind->resource);
        bool unserved = call_failed(c) && c->code == 404;
        bool fresh = call_ok(c) && v->now.wall_ms < c->done_ms + LEFT_FRESH_MS;
        const char *next = NULL;
        enum left_listed listed =
            fresh ? view_left_listed(v, (enum worker_kind)kinds[i].kind, c, &next) : LEFT_UNKNOWN;
        bool foreign = v->source_ns_terminating &&
                       (kinds[i].kind == KIND_SNAPSHOT || kinds[i].kind == KIND_VM_SNAPSHOT);
        if ((kinds[i].lasting && !all) || foreign || unserved || listed == LEFT_NOTHING)
            continue;
        nothing = false;
        if (fresh && !next && v->now.wall_ms < c->done_ms + LEFT_AGAIN_MS)
            continue;
        struct intent *l =
            intents_add(&d->intents, INTENT_LIST, kind, NULL, NULL, "left/%s", kind->resource);
        l->uid = v->wukong->uid;
        l->from = next;
        l->metadata_only = kinds[i].kind != KIND_CONTENT;
        l->selector = kinds[i].kind == KIND_SNAPSHOT ? not_held(v) : NULL;
    }
    if (!nothing)
        decision_again(d, v->now.wall_ms + LEFT_AGAIN_MS);
    return nothing;
}
