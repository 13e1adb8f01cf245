/*
 * struct call_key: which call of one Wukong is meant. Two intents with equal keys are the same
 * request, which is sent once. The table in call_key.c alone knows what kinds of calls there are
 * and how the trace and `wukong-worker --explain` name them; nothing reads a name back.
 *
 * The key borrows its texts. Whoever keeps it copies them with call_key_store.
 */
#ifndef OBSERVE_CALL_KEY_H
#define OBSERVE_CALL_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"

enum call_kind {
    CALL_UNNAMED, /* no call */
    /* of the Wukong, or the policy, itself */
    CALL_STATUS,
    CALL_FINALIZER_ADD,
    CALL_FINALIZER_REMOVE,
    CALL_READ_OWN,
    CALL_EVENT,
    CALL_ACCESS_CLONE,
    CALL_ACCESS_START,
    /* of the source */
    CALL_READ_SOURCE_VM,
    CALL_READ_SOURCE_VMI,
    CALL_READ_SOURCE_ABSENT, /* the VMI of a source that does not run: it must not be there */
    CALL_READ_SOURCE_REVISION,
    CALL_READ_SOURCE_CLAIM,
    CALL_EXPAND_SOURCE,
    CALL_READ_CARRIER,
    CALL_PODS_BEFORE,
    CALL_PODS_AFTER,
    CALL_PODS_COPIED,
    CALL_START_SOURCE,
    CALL_STOP_SOURCE,
    CALL_FREEZE,
    CALL_THAW,
    CALL_LABEL_CLAIM, /* of the source, for the cut of a group; the attempt, the claim */
    CALL_UNLABEL_CLAIM,
    CALL_LIST_LABELLED,
    CALL_LOOK_AFTER_VMI, /* after the last cut */
    CALL_LOOK_AFTER_VM,
    CALL_LOOK_COPIED_VMI, /* when all claims are copied */
    CALL_LOOK_COPIED_VM,
    /* of what the clone makes */
    CALL_NEED,
    CALL_DRY_CLAIM,
    CALL_DRY_VM,
    CALL_DRY_SNAPSHOT,
    CALL_CREATE_SNAPSHOT,
    CALL_CREATE_VM_SNAPSHOT,
    CALL_CREATE_GROUP,
    CALL_CREATE_CONTENT,
    CALL_CREATE_SNAPSHOT_COPY,
    CALL_CREATE_CLAIM,
    CALL_CREATE_VM,
    CALL_OWN_CLAIM,
    CALL_OWN_VM,
    CALL_DISOWN_VM,
    CALL_START_TARGET,
    CALL_STOP_TARGET, /* of a clone that has expired */
    /* of what goes */
    CALL_READ_LIVE, /* an object that the cache does not show */
    CALL_READ_CONTENT,
    CALL_READ_BOUND_CONTENT,
    CALL_LABEL_SNAPSHOT,
    CALL_SET_DELETE,
    CALL_SET_RETAIN,
    CALL_RETRIGGER_CONTENT,
    CALL_RELEASE_SNAPSHOT,
    CALL_DELETE,
    CALL_LIST_LEFT,
    CALL_READ_ORPHAN, /* what bears the UID of a Wukong that is gone */
    /* worked out from answers, and kept beside them */
    CALL_CAPTURE,
    CALL_SPEC_VERDICT,
    CALL_KINDS
};

enum call_effect {
    CALL_WORKED_OUT, /* no request: nothing is sent under this kind */
    CALL_READS,
    CALL_TRIES,   /* a dry run of a create */
    CALL_CREATES, /* an object of the clone, which may be there though no answer came */
    CALL_CHANGES, /* something that is there already, or an Event */
};

struct call_kind_info {
    /* {resource}, {ns}, {name}, {number} and {page} stand for the parts of the key. */
    const char *name;
    enum call_effect effect;
    bool urgent; /* a guest stands still until it works: before all others, and soon again */
};
extern const struct call_kind_info call_kinds[CALL_KINDS];

struct call_key {
    enum call_kind kind;
    unsigned page;        /* of a list, from 0; of a dry run: what it was made of */
    int64_t number;       /* of an attempt, a freeze, a generation; 0: none */
    const char *resource; /* where the kind covers several, and may have a namespace */
    const char *ns;
    const char *name; /* the object's name, or its UID; "" is as good as NULL */
};

static inline struct call_key call_key(enum call_kind kind)
{
    return (struct call_key){.kind = kind};
}
static inline struct call_key call_key_named(enum call_kind kind, const char *name)
{
    return (struct call_key){.kind = kind, .name = name};
}
static inline struct call_key call_key_numbered(enum call_kind kind, int64_t number)
{
    return (struct call_key){.kind = kind, .number = number};
}
static inline struct call_key call_key_object(enum call_kind kind, const char *resource,
                                              const char *ns, const char *name)
{
    return (struct call_key){.kind = kind, .resource = resource, .ns = ns, .name = name};
}

static inline struct call_key call_key_label(int64_t attempt, const char *claim)
{
    return (struct call_key){.kind = CALL_LABEL_CLAIM, .number = attempt, .name = claim};
}

bool call_key_equal(const struct call_key *a, const struct call_key *b);
/* The name of the call, as a person reads it. */
void call_key_print(const struct call_key *k, struct buf *out);
/* How many bytes call_key_store writes. */
size_t call_key_room(const struct call_key *k);
/* The same key, whose texts are in room from now on. */
struct call_key call_key_store(const struct call_key *k, char *room);

#endif
