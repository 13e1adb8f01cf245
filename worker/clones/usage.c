#include "clones/usage.h"

#include <assert.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "base/str.h"

struct wait_queue {
    struct usage_bucket *bucket;
    struct wait_queue *next; /* of the same place */
    char *policy, *rule;
    struct clone_usage **items; /* oldest first */
    size_t count, cap;
};

struct usage_bucket {
    char *key; /* the place's letter and the value */
    int64_t active, claimed, reserved;
    struct wait_queue *queues;
    UT_hash_handle hh;
};

struct usage_membership {
    struct usage_bucket *in[3 + USAGE_CLASSES_MAX]; /* the member's in_count of them */
    struct wait_queue *queues[WAIT_QUEUES_MAX];     /* queue_count */
    bool stale[WAIT_QUEUES_MAX];
};

struct usage_claims {
    char *uid;
    int64_t bytes;
    UT_hash_handle hh;
};

/* --- places --- */

static char *bucket_key(enum usage_scope scope, const char *value)
{
    static const char letters[USAGE_SCOPES] = {'c', 's', 'n', 'k'};
    return xasprintf("%c%s", letters[scope], str_or(value, ""));
}

static struct usage_bucket *find_bucket_of(const struct usage *u, enum usage_scope scope,
                                           const char *value)
{
    struct usage_bucket *b = NULL;
    CLEANUP_FREE char *key = bucket_key(scope, value);
    HASH_FIND_STR(u->buckets, key, b);
    return b;
}

static struct usage_bucket *get_bucket(struct usage *u, enum usage_scope scope, const char *value)
{
    struct usage_bucket *b = find_bucket_of(u, scope, value);
    if (b)
        return b;
    b = xcalloc(1, sizeof *b);
    b->key = bucket_key(scope, value);
    HASH_ADD_KEYPTR(hh, u->buckets, b->key, strlen(b->key), b);
    return b;
}

static void free_if_empty(struct usage *u, struct usage_bucket *b)
{
    if (b->active || b->claimed || b->reserved || b->queues)
        return;
    HASH_DEL(u->buckets, b);
    free(b->key);
    free(b);
}

static struct usage_membership *membership_of(struct clone_usage *h)
{
    if (!h->membership)
        h->membership = xcalloc(1, sizeof *h->membership);
    return h->membership;
}

static void free_if_nowhere(struct clone_usage *h)
{
    if (!h->in_count && !h->queue_count)
        free(TAKE(h->membership));
}

/* --- lines --- */

int usage_compare(const struct clone_usage *a, const struct clone_usage *b)
{
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? -1 : 1;
    return strcmp(a->key, b->key);
}

/* Where h stands, or would stand. */
static size_t position(const struct wait_queue *l, const struct clone_usage *h)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (usage_compare(l->items[middle], h) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void wake_first(struct usage *u, const struct wait_queue *l)
{
    if (l->count && u->wake)
        u->wake(u->arg, l->items[0]);
}

static void wake_scope(struct usage *u, const struct usage_bucket *b)
{
    for (const struct wait_queue *l = b->queues; l; l = l->next)
        wake_first(u, l);
}

static struct wait_queue *queue_of(const struct usage_bucket *b, const char *policy,
                                   const char *rule)
{
    for (struct wait_queue *l = b ? b->queues : NULL; l; l = l->next)
        if (str_eq(l->policy, policy) && str_eq(l->rule, rule))
            return l;
    return NULL;
}

static struct wait_queue *new_queue(struct usage_bucket *b, const char *policy, const char *rule)
{
    struct wait_queue *l = xcalloc(1, sizeof *l);
    l->bucket = b;
    l->policy = xstrdup(policy);
    l->rule = xstrdup(rule);
    l->next = b->queues;
    b->queues = l;
    return l;
}

static void join_queue(struct wait_queue *l, struct clone_usage *h)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 8;
        l->items = xrealloc(l->items, l->cap * sizeof(struct clone_usage *));
    }
    size_t at = position(l, h);
    memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof(struct clone_usage *));
    l->items[at] = h;
    l->count++;
}

static void free_queue(struct usage *u, struct wait_queue *l)
{
    struct wait_queue **at = &l->bucket->queues;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free_if_empty(u, l->bucket);
    free(l->policy);
    free(l->rule);
    free(l->items);
    free(l);
}

static void leave_queue(struct usage *u, struct clone_usage *h, size_t index)
{
    struct usage_membership *membership = h->membership;
    struct wait_queue *l = membership->queues[index];
    size_t at = position(l, h);
    assert(at < l->count && l->items[at] == h);
    memmove(&l->items[at], &l->items[at + 1], (l->count - at - 1) * sizeof(struct clone_usage *));
    l->count--;
    h->queue_count--;
    membership->queues[index] = membership->queues[h->queue_count];
    membership->stale[index] = membership->stale[h->queue_count];
    if (!l->count)
        free_queue(u, l);
    else if (at == 0)
        wake_first(u, l);
}

bool usage_behind(const struct usage *u, const struct clone_usage *h, const char *policy,
                  const char *rule, enum usage_scope scope, const char *value)
{
    const struct wait_queue *l = queue_of(find_bucket_of(u, scope, value), policy, rule);
    return l && l->count && l->items[0] != h && usage_compare(l->items[0], h) < 0;
}

void usage_begin(struct clone_usage *h)
{
    for (size_t i = 0; i < h->queue_count; i++)
        h->membership->stale[i] = true;
}

void usage_wait(struct usage *u, struct clone_usage *h, const char *policy, const char *rule,
                enum usage_scope scope, const char *value)
{
    struct wait_queue *l = queue_of(find_bucket_of(u, scope, value), policy, rule);
    struct usage_membership *membership = membership_of(h);
    for (size_t i = 0; i < h->queue_count; i++) {
        if (membership->queues[i] == l) {
            membership->stale[i] = false;
            return;
        }
    }
    if (h->queue_count == WAIT_QUEUES_MAX)
        return;
    if (!l)
        l = new_queue(get_bucket(u, scope, value), policy, rule);
    join_queue(l, h);
    membership->stale[h->queue_count] = false;
    membership->queues[h->queue_count++] = l;
}

void usage_end(struct usage *u, struct clone_usage *h)
{
    for (size_t i = h->queue_count; i-- > 0;)
        if (h->membership->stale[i])
            leave_queue(u, h, i);
    free_if_nowhere(h);
}

/* --- storage --- */

static struct usage_claims *claims_of(const struct usage *u, const char *uid)
{
    struct usage_claims *c = NULL;
    HASH_FIND_STR(u->claims, uid, c);
    return c;
}

/* What is promised is what the claims that are there do not stand for yet. */
static void reserve(struct usage *u, struct clone_usage *h)
{
    const struct usage_claims *c = claims_of(u, h->uid);
    int64_t wanted = h->holds ? h->bytes - (c ? c->bytes : 0) : 0;
    int64_t delta = (wanted > 0 ? wanted : 0) - h->reserved;
    if (!delta)
        return;
    struct usage_bucket *b = get_bucket(u, USAGE_OF_NAMESPACE, h->ns);
    b->reserved += delta;
    h->reserved += delta;
    if (delta < 0)
        wake_scope(u, b);
    free_if_empty(u, b);
}

void usage_claimed(struct usage *u, const char *ns, const char *uid, int64_t delta,
                   struct clone_usage *h)
{
    struct usage_claims *c = claims_of(u, uid);
    struct usage_bucket *b = get_bucket(u, USAGE_OF_NAMESPACE, ns);
    if (!c && delta) {
        c = xcalloc(1, sizeof *c);
        c->uid = xstrdup(uid);
        HASH_ADD_KEYPTR(hh, u->claims, c->uid, strlen(c->uid), c);
    }
    b->claimed += delta;
    if (c) {
        c->bytes += delta;
        if (h)
            reserve(u, h);
        if (!c->bytes) {
            HASH_DEL(u->claims, c);
            free(c->uid);
            free(c);
        }
    }
    /* The bucket may be gone by now: a reservation that ended was its last. */
    b = find_bucket_of(u, USAGE_OF_NAMESPACE, ns);
    if (!b)
        return;
    if (delta < 0)
        wake_scope(u, b);
    free_if_empty(u, b);
}

int64_t usage_bytes(const struct usage *u, const char *ns, const struct clone_usage *h)
{
    const struct usage_bucket *b = find_bucket_of(u, USAGE_OF_NAMESPACE, ns);
    const struct usage_claims *own = h && h->uid ? claims_of(u, h->uid) : NULL;
    if (!b)
        return 0;
    return b->claimed + b->reserved - (h ? h->reserved : 0) - (own ? own->bytes : 0);
}

/* --- slots --- */

static void enter(struct usage *u, struct clone_usage *h, enum usage_scope scope, const char *value)
{
    struct usage_bucket *b = get_bucket(u, scope, value);
    struct usage_membership *membership = membership_of(h);
    assert(h->in_count < ARRAY_LEN(membership->in));
    b->active++;
    membership->in[h->in_count++] = b;
}

void usage_hold(struct usage *u, struct clone_usage *h)
{
    if (h->holds)
        return;
    h->holds = true;
    u->held++;
    enter(u, h, USAGE_OF_CLUSTER, NULL);
    enter(u, h, USAGE_OF_SOURCE, h->source);
    enter(u, h, USAGE_OF_NAMESPACE, h->ns);
    for (size_t i = 0; i < h->class_count; i++)
        enter(u, h, USAGE_OF_CLASS, h->classes[i]);
    reserve(u, h);
}

void usage_drop(struct usage *u, struct clone_usage *h)
{
    if (!h->holds)
        return;
    h->holds = false;
    u->held--;
    reserve(u, h);
    while (h->in_count) {
        struct usage_bucket *b = h->membership->in[--h->in_count];
        b->active--;
        wake_scope(u, b);
        free_if_empty(u, b);
    }
    free_if_nowhere(h);
}

static bool same_classes(const struct clone_usage *h, const char *const *classes, size_t count)
{
    if (h->class_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!str_eq(h->classes[i], classes[i]))
            return false;
    return true;
}

void usage_describe(struct usage *u, struct clone_usage *h, const char *const *classes,
                    size_t count, int64_t bytes)
{
    count = count < USAGE_CLASSES_MAX ? count : USAGE_CLASSES_MAX;
    if (h->bytes == bytes && same_classes(h, classes, count))
        return;
    bool held = h->holds;
    char *copies[USAGE_CLASSES_MAX];
    for (size_t i = 0; i < count; i++)
        copies[i] = xstrdup(classes[i]);
    usage_drop(u, h);
    for (size_t i = 0; i < h->class_count; i++)
        free(h->classes[i]);
    for (size_t i = 0; i < count; i++)
        h->classes[i] = copies[i];
    h->class_count = count;
    h->bytes = bytes;
    if (held)
        usage_hold(u, h);
}

int64_t usage_count(const struct usage *u, enum usage_scope scope, const char *value,
                    const struct clone_usage *h)
{
    const struct usage_bucket *b = find_bucket_of(u, scope, value);
    int64_t own = 0;
    for (size_t i = 0; b && h && i < h->in_count; i++)
        own += h->membership->in[i] == b;
    return b ? b->active - own : 0;
}

void usage_freed(struct usage *u, enum usage_scope scope, const char *value)
{
    const struct usage_bucket *b = find_bucket_of(u, scope, value);
    if (b)
        wake_scope(u, b);
}

/* --- life --- */

void usage_forget(struct usage *u, struct clone_usage *h)
{
    usage_drop(u, h);
    usage_begin(h);
    usage_end(u, h);
    for (size_t i = 0; i < h->class_count; i++)
        free(h->classes[i]);
    h->class_count = 0;
    h->bytes = 0;
}

void usage_release(struct usage *u)
{
    struct usage_claims *c, *next_claims;
    struct usage_bucket *b, *next;
    HASH_ITER (hh, u->claims, c, next_claims) {
        HASH_DEL(u->claims, c);
        free(c->uid);
        free(c);
    }
    HASH_ITER (hh, u->buckets, b, next) {
        assert(!b->active && !b->queues);
        b->claimed = b->reserved = 0;
        free_if_empty(u, b);
    }
}
