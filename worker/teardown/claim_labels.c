/*
 * The labels that the claims of a source bear while a group is cut of them. They are owed from the
 * record that begins the attempt until the API server itself has listed none: a label that stays
 * would be on the user's claim for ever.
 */
#include "teardown/teardown.h"

#include "base/str.h"
#include "json/json.h"
#include "observe/resources.h"

#define LIST_FRESH_MS 5000
#define LIST_AGAIN_MS 500

/* A label that is on its way would come after the last look. True when none is. *ret_last: when the
   last one was answered, on the clock that nobody sets. */
static bool all_landed(const struct clone_state *v, struct decision *d, int64_t *ret_last)
{
    *ret_last = -1;
    for (const struct call *c = v->call_log->calls; c; c = c->next) {
        if (c->key.kind != CALL_LABEL_CLAIM)
            continue;
        if (c->state == CALL_FLYING)
            return false;
        *ret_last = c->done_mono_ms > *ret_last ? c->done_mono_ms : *ret_last;
        bool unknown =
            call_failed(c) && c->kind != ERR_REFUSED && c->kind != ERR_THROTTLED && c->code != 404;
        if (unknown && v->now.wall_ms < c->done_ms + CREATE_SEEN_MS) {
            decision_again(d, c->done_ms + CREATE_SEEN_MS);
            return false;
        }
    }
    return true;
}

static void take_off(const struct clone_state *v, struct decision *d, const char *claim)
{
    struct intent *i =
        intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_PVC], v->effective.source_ns,
                    claim, call_key_named(CALL_UNLABEL_CLAIM, claim));
    i->body = arena_printf(
        v->arena, "{\"metadata\":{\"labels\":{\"" CUT_LABEL_PREFIX "%s\":null}}}", v->wukong->uid);
}

/* Of what was listed; -1: the list cannot be read. */
static int take_off_listed(const struct clone_state *v, struct decision *d, const struct call *list)
{
    CLEANUP_JSON cJSON *tree = NULL;
    const cJSON *item;
    if (!list->body || json_read(list->body, list->body_len, &tree, NULL) < 0)
        return -1;
    const cJSON *items = json_get(tree, "items");
    cJSON_ArrayForEach (item, items) {
        const char *name = json_str(item, "metadata.name");
        if (name)
            take_off(v, d, arena_strdup(v->arena, name));
    }
    return cJSON_GetArraySize(items);
}

bool teardown_unlabel(const struct clone_state *v, struct decision *d)
{
    const struct call *list = call_log_find(v->call_log, call_key(CALL_LIST_LABELLED));
    int64_t last_label;
    if (!v->record.labelled)
        return true;
    /* In a namespace that goes the claims go, too. */
    if (v->source_ns_terminating) {
        d->record.labelled = false;
        return true;
    }
    if (!all_landed(v, d, &last_label))
        return false;
    /* The list that ended the attempt before may be as young as that. */
    bool later = list && list->sent_mono_ms >= last_label;
    if (call_ok(list) && later && v->now.wall_ms < list->done_ms + LIST_FRESH_MS) {
        int left = take_off_listed(v, d, list);
        if (!left) {
            d->record.labelled = false;
            return true;
        }
    }
    decision_again(d, v->now.wall_ms + LIST_AGAIN_MS);
    if (call_ok(list) && later && v->now.wall_ms < list->done_ms + LIST_AGAIN_MS)
        return false;
    struct intent *l = intents_add(&d->intents, INTENT_LIST, &worker_kinds[KIND_PVC],
                                   v->effective.source_ns, NULL, call_key(CALL_LIST_LABELLED));
    l->selector = arena_printf(v->arena, CUT_LABEL_PREFIX "%s", v->wukong->uid);
    l->metadata_only = true;
    return false;
}
