#include "actions/intents.h"

#include <assert.h>
#include <string.h>

const char *const intent_verb_names[INTENT_VERBS] = {
    [INTENT_READ] = "read",     [INTENT_DRY_RUN] = "dry-run",
    [INTENT_CREATE] = "create", [INTENT_DELETE] = "delete",
    [INTENT_PATCH] = "patch",   [INTENT_SUBRESOURCE] = "subresource",
    [INTENT_STATUS] = "status", [INTENT_FINALIZER] = "finalizer",
    [INTENT_EVENT] = "event",   [INTENT_LIST] = "list",
    [INTENT_EXPAND] = "expand", [INTENT_ASK] = "ask",
    [INTENT_PODS] = "pods",     [INTENT_PROBE] = "probe",
};

struct intent *intents_add(struct intents *list, enum intent_verb verb,
                           const struct kube_kind *kind, const char *ns, const char *name,
                           struct call_key key)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        struct intent *grown = arena_alloc(list->arena, cap * sizeof *grown);
        if (list->count)
            memcpy(grown, list->items, list->count * sizeof *grown);
        list->items = grown;
        list->cap = cap;
    }
    assert(call_kinds[key.kind].effect != CALL_WORKED_OUT);
    char *texts = arena_alloc(list->arena, call_key_room(&key) + 1);
    struct intent *i = &list->items[list->count++];
    *i = (struct intent){.verb = verb,
                         .kind = kind,
                         .ns = arena_strdup(list->arena, ns),
                         .name = arena_strdup(list->arena, name),
                         .key = call_key_store(&key, texts)};
    bool nameless =
        verb == INTENT_EVENT || verb == INTENT_LIST || verb == INTENT_PODS || verb == INTENT_ASK;
    assert(i->name || nameless);
    return i;
}
