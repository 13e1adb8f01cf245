#include "kube/store.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* uthash's own macros convert between signedness freely. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <uthash.h>

struct bucket; /* the objects of one label value */

struct entry {
    struct kube_object *object; /* its ns and name, which follow one another, are the key */
    struct bucket *bucket;
    struct entry *before, *after; /* within the bucket */
    uint32_t generation, bytes;
    UT_hash_handle by_key;
};

struct bucket {
    struct entry *first, *last;
    UT_hash_handle hh;
    char value[];
};

struct store {
    const struct kube_kind *kind;
    struct entry *keys;
    struct bucket *labels;
    struct store_listener listeners[STORE_LISTENERS_MAX];
    size_t listener_count, count, bytes, unreadable;
    uint32_t generation;
    bool busy; /* a listener or visitor runs */
};

static struct entry *find_key(const struct store *s, const char *ns, const char *name)
{
    struct entry *e = NULL;
    char key[LIMIT_DNS_SUBDOMAIN + LIMIT_DNS_LABEL + 2];
    size_t before = ns ? strlen(ns) : 0, n = strlen(name);
    if (before + 1 + n > sizeof key)
        return NULL;
    memcpy(key, ns ? ns : "", before + 1);
    memcpy(key + before + 1, name, n);
    HASH_FIND(by_key, s->keys, key, before + 1 + n, e);
    return e;
}

static struct bucket *find_bucket(const struct store *s, const char *value)
{
    struct bucket *b = NULL;
    HASH_FIND(hh, s->labels, value, strlen(value), b);
    return b;
}

static void join_bucket(struct store *s, struct entry *e)
{
    const char *value = e->object->label;
    if (!value)
        return;
    struct bucket *b = find_bucket(s, value);
    if (!b) {
        size_t n = strlen(value);
        b = xcalloc(1, sizeof *b + n + 1);
        memcpy(b->value, value, n);
        HASH_ADD_KEYPTR(hh, s->labels, b->value, n, b);
    }
    e->bucket = b;
    e->before = b->last;
    e->after = NULL;
    if (b->last)
        b->last->after = e;
    else
        b->first = e;
    b->last = e;
}

static void leave_bucket(struct store *s, struct entry *e)
{
    struct bucket *b = e->bucket;
    if (!b)
        return;
    if (e->before)
        e->before->after = e->after;
    else
        b->first = e->after;
    if (e->after)
        e->after->before = e->before;
    else
        b->last = e->before;
    e->bucket = NULL;
    e->before = e->after = NULL;
    if (!b->first) {
        HASH_DELETE(hh, s->labels, b);
        free(b);
    }
}

/* The entry shows the object from now on; its former object, of the same key, is not freed. */
static void show_object(struct store *s, struct entry *e, struct kube_object *o)
{
    e->object = o;
    e->by_key.key = o->ns;
    e->generation = s->generation;
    join_bucket(s, e);
}

static struct entry *add_entry(struct store *s, const struct kube_object *o)
{
    size_t before = strlen(o->ns) + 1;
    struct entry *e = xcalloc(1, sizeof *e);
    HASH_ADD_KEYPTR(by_key, s->keys, o->ns, before + strlen(o->name), e);
    return e;
}

static void delete_entry(struct store *s, struct entry *e)
{
    HASH_DELETE(by_key, s->keys, e);
    free(e);
}
#pragma GCC diagnostic pop

static void account(struct store *s, struct entry *e)
{
    s->bytes -= e->bytes;
    e->bytes = (uint32_t)(kube_object_bytes(e->object) + sizeof *e);
    s->bytes += e->bytes;
}

static void tell_listener(struct store *s, const struct kube_object *before,
                          const struct kube_object *after)
{
    s->busy = true;
    for (size_t i = 0; i < s->listener_count; i++)
        s->listeners[i].changed(s->listeners[i].arg, before, after);
    s->busy = false;
}

struct store *store_new(const struct kube_kind *kind)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->kind = kind;
    return s;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    assert(!s->busy);
    s->listener_count = 0;
    (void)store_sweep(s, (struct store_scope){0}, store_mark(s));
    free(s);
}

const struct kube_kind *store_kind(const struct store *s)
{
    return s->kind;
}

void store_listen(struct store *s, struct store_listener listener)
{
    assert(s->listener_count < STORE_LISTENERS_MAX && listener.changed);
    s->listeners[s->listener_count++] = listener;
}

static void remove_entry(struct store *s, struct entry *e)
{
    CLEANUP_FREE struct kube_object *o = e->object;
    leave_bucket(s, e);
    s->bytes -= e->bytes;
    s->count--;
    s->unreadable -= o->unreadable != NULL;
    delete_entry(s, e);
    tell_listener(s, o, NULL);
}

bool store_is_news(const struct store *s, const struct kube_object *o)
{
    const struct kube_object *had = store_get(s, o->ns, o->name);
    return !had || !str_eq(had->uid, o->uid) || str_empty(o->resource_version) ||
           !str_eq(had->resource_version, o->resource_version);
}

void store_put(struct store *s, struct kube_object *o)
{
    assert(!s->busy && o->kind == s->kind && o->name == o->ns + strlen(o->ns) + 1);
    CLEANUP_FREE struct kube_object *before = NULL;
    struct entry *e = find_key(s, o->ns, o->name);
    if (e && !str_eq(e->object->uid, o->uid)) { /* deleted and made anew while we did not look */
        remove_entry(s, e);
        e = NULL;
    }
    if (e && !store_is_news(s, o)) {
        e->generation = s->generation;
        free(o);
        return;
    }
    if (e) {
        leave_bucket(s, e);
        before = e->object;
        s->unreadable -= before->unreadable != NULL;
    } else {
        e = add_entry(s, o);
        s->count++;
    }
    show_object(s, e, o);
    account(s, e);
    s->unreadable += o->unreadable != NULL;
    tell_listener(s, before, o);
}

bool store_remove(struct store *s, const char *ns, const char *name)
{
    assert(!s->busy);
    struct entry *e = find_key(s, ns, name);
    if (e)
        remove_entry(s, e);
    return e != NULL;
}

uint32_t store_mark(struct store *s)
{
    return ++s->generation;
}

static bool is_within(const struct store_scope *scope, const struct kube_object *o)
{
    return (!scope->ns || str_eq(scope->ns, o->ns)) &&
           (!scope->name || str_eq(scope->name, o->name));
}

size_t store_sweep(struct store *s, struct store_scope scope, uint32_t generation)
{
    assert(!s->busy);
    size_t removed = 0;
    struct entry *next;
    for (struct entry *e = s->keys; e; e = next) {
        next = e->by_key.next;
        if (e->generation >= generation || !is_within(&scope, e->object))
            continue;
        remove_entry(s, e);
        removed++;
    }
    return removed;
}

const struct kube_object *store_get(const struct store *s, const char *ns, const char *name)
{
    const struct entry *e = find_key(s, ns, name);
    return e ? e->object : NULL;
}

void store_each(const struct store *s, bool (*visit)(void *arg, const struct kube_object *o),
                void *arg)
{
    for (const struct entry *e = s->keys; e; e = e->by_key.next)
        if (!visit(arg, e->object))
            return;
}

void store_each_label(const struct store *s, const char *value,
                      bool (*visit)(void *arg, const struct kube_object *o), void *arg)
{
    const struct bucket *b = find_bucket(s, value);
    for (const struct entry *e = b ? b->first : NULL; e; e = e->after)
        if (!visit(arg, e->object))
            return;
}

size_t store_count(const struct store *s)
{
    return s->count;
}

size_t store_unreadable(const struct store *s)
{
    return s->unreadable;
}

size_t store_bytes(const struct store *s)
{
    return s->bytes;
}
