/*
 * What the worker wants to send, as data. decide() makes intents, execute sends them; nobody else
 * talks to the API server. An intent's key names its slot in the call log: two intents of one
 * Wukong with the same key are the same act, sent once, retried with backoff, and its outcome is
 * found there.
 *
 * Everything is borrowed from the decision's arena.
 */
#ifndef ACTIONS_INTENTS_H
#define ACTIONS_INTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "kube/object.h"
#include "observe/call_log.h"

enum intent_verb {
    INTENT_READ,    /* GET; the body is kept in the call log */
    INTENT_LIST,    /* GET of those labelled with the Wukong's UID, in all namespaces; one page */
    INTENT_PODS,    /* GET of a page of a namespace's Pods; a digest is kept (pods.h) */
    INTENT_DRY_RUN, /* POST ?dryRun=All */
    INTENT_PROBE,   /* the same, to learn whether the name is taken: then it is answered with 409 */
    INTENT_CREATE,  /* POST */
    INTENT_DELETE,  /* DELETE with preconditions.uid */
    INTENT_PATCH,   /* merge patch */
    INTENT_SUBRESOURCE, /* PUT on subresources.kubevirt.io */
    INTENT_EXPAND,      /* PUT of a spec to be resolved; changes nothing, the reply is kept */
    INTENT_ASK,         /* POST of a question; changes nothing, the reply is kept */
    INTENT_STATUS,      /* server-side apply of status */
    INTENT_FINALIZER,   /* server-side apply of our finalizer; body "" removes it */
    INTENT_EVENT,       /* POST of an Event with a deterministic name; sent once */
    INTENT_VERBS
};
extern const char *const intent_verb_names[INTENT_VERBS];

struct intent {
    enum intent_verb verb;
    const struct kube_kind *kind;
    const char *ns, *name;
    const char *sub;      /* subresource, NULL: none */
    const char *uid;      /* DELETE, applies: precondition */
    const char *version;  /* applies: resourceVersion as precondition; NULL: none */
    const char *body;     /* NULL: none */
    const char *selector; /* LIST: labels beside the UID, if there is one; NULL: none */
    const char *from;     /* LIST: where the page before it ended; NULL: from the beginning */
    bool metadata_only;   /* LIST */
    bool keeps_answer;    /* as a READ does */
    bool shared;          /* READ, EXPAND, ASK: another clone's fresh reading will do */
    unsigned limit;       /* PODS: how many to a page */
    const char *token;    /* PODS: the page's; "": the first */
    struct call_key key;
    /* What it proves when the request is handed to the network, and when it has succeeded. */
    struct freeze_proof mark_sent, mark_done;
    int64_t timeout_ms; /* 0: the default of execute.h */
    bool urgent; /* a guest is frozen until it is answered: send it before all other requests */
};

struct intents {
    struct arena *arena;
    struct intent *items;
    size_t count, cap;
};
/* Adds one; the key is copied into the arena. Returns it, to be filled in. */
struct intent *intents_add(struct intents *list, enum intent_verb verb,
                           const struct kube_kind *kind, const char *ns, const char *name,
                           struct call_key key);

#endif
