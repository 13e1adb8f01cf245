#include "worker/entries.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "worker/view_build.h"

struct source_bucket {
    char *key;
    struct entry *first;
    UT_hash_handle hh;
};

static void make_key(struct buf *out, const char *ns, const char *name)
{
    buf_addf(out, "%s/%s", ns, name);
}

struct entry *entries_by_key(const struct entries *all, const char *ns, const char *name)
{
    struct entry *e = NULL;
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    HASH_FIND(by_key, all->by_key, key.data, key.len, e);
    return e;
}

struct entry *entries_by_uid(const struct entries *all, const char *uid)
{
    struct entry *e = NULL;
    if (uid)
        HASH_FIND(by_uid, all->by_uid, uid, strlen(uid), e);
    return e;
}

struct entry *entries_of_source(const struct entries *all, const char *ns, const char *name)
{
    struct source_bucket *b = NULL;
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    HASH_FIND(hh, all->by_source, key.data, key.len, b);
    return b ? b->first : NULL;
}

struct entry *entries_add(struct entries *all, const char *ns, const char *name, const char *uid)
{
    struct entry *e = xcalloc(1, sizeof *e);
    e->key = xasprintf("%s/%s", ns, name);
    e->ns = xstrdup(ns);
    e->name = xstrdup(name);
    e->uid = xstrdup(uid);
    e->holder = (struct usage_holder){.key = e->key, .ns = e->ns, .uid = e->uid};
    HASH_ADD_KEYPTR(by_key, all->by_key, e->key, strlen(e->key), e);
    HASH_ADD_KEYPTR(by_uid, all->by_uid, e->uid, strlen(e->uid), e);
    return e;
}

static void leave_source(struct entries *all, struct entry *e)
{
    struct source_bucket *b = NULL;
    if (!e->source)
        return;
    HASH_FIND(hh, all->by_source, e->source, strlen(e->source), b);
    assert(b);
    for (struct entry **p = &b->first; *p; p = &(*p)->same_source_next) {
        if (*p == e) {
            *p = e->same_source_next;
            break;
        }
    }
    e->same_source_next = NULL;
    if (!b->first) {
        HASH_DEL(all->by_source, b);
        free(b->key);
        free(b);
    }
    free(e->source);
    e->source = NULL;
    e->holder.source = NULL;
}

static void join_source(struct entries *all, struct entry *e, const char *ns, const char *name)
{
    struct source_bucket *b = NULL;
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    if (str_eq(e->source, key.data))
        return;
    leave_source(all, e);
    e->source = xstrdup(key.data);
    e->holder.source = e->source;
    HASH_FIND(hh, all->by_source, key.data, key.len, b);
    if (!b) {
        b = xcalloc(1, sizeof *b);
        b->key = xstrdup(key.data);
        HASH_ADD_KEYPTR(hh, all->by_source, b->key, strlen(b->key), b);
    }
    e->same_source_next = b->first;
    b->first = e;
}

static void entry_free(struct entry *e)
{
    memo_release(&e->memo);
    free(e->written);
    free(e->key);
    free(e->ns);
    free(e->name);
    free(e->uid);
    free(e->source);
    free(e->freeze_vmi_uid);
    free(e);
}

void entries_remove(struct entries *all, struct entry *e)
{
    usage_forget(&all->usage, &e->holder);
    leave_source(all, e);
    HASH_DELETE(by_key, all->by_key, e);
    HASH_DELETE(by_uid, all->by_uid, e);
    e->dead = true;
    if (!e->flights) {
        entry_free(e);
        return;
    }
    e->same_source_next = all->dead;
    all->dead = e;
}

void entry_landed(struct entries *all, struct entry *e)
{
    struct entry **at = &all->dead;
    if (!e->dead || e->flights)
        return;
    while (*at != e)
        at = &(*at)->same_source_next;
    *at = e->same_source_next;
    entry_free(e);
}

/* What the status says of the disks, which is all that a new leader knows of a clone at first. */
static void describe(struct entries *all, struct entry *e, const struct clone_view *v)
{
    const char *classes[USAGE_CLASSES_MAX];
    size_t count = 0;
    int64_t bytes = 0;
    const cJSON *disk, *disks = json_at(v->status, "cloneStatus.disks");
    e->disk_count = cJSON_IsArray(disks) ? (size_t)cJSON_GetArraySize(disks) : 0;
    if (!e->disk_count || e->holder.bytes)
        return;
    cJSON_ArrayForEach(disk, disks)
    {
        int64_t one;
        if (str_to_i64(json_str(disk, "size"), &one))
            bytes += one;
        entries_add_class(classes, &count, json_str(disk, "storageClass"));
    }
    usage_describe(&all->usage, &e->holder, classes, count, bytes * v->effective.replicas);
}

void entries_add_class(const char **classes, size_t *count, const char *name)
{
    for (size_t i = 0; name && i < *count; i++)
        if (str_eq(classes[i], name))
            return;
    if (name && *count < USAGE_CLASSES_MAX)
        classes[(*count)++] = name;
}

void entries_summarise(struct entries *all, struct entry *e, const struct kube_object *o)
{
    CLEANUP_ARENA struct arena a;
    struct clone_view v = {.arena = &a};
    arena_init(&a, LIMIT_OBJECT_BYTES);
    e->is_clone = e->final = e->started = e->owes_thaw = e->linked = e->succeeded = false;
    if (view_read_wukong(&v, o, NULL) == 0 && v.effective.is_clone) {
        const struct clone_record *r = &v.record;
        e->is_clone = true;
        e->final = record_final(r);
        e->started = record_begun(r);
        e->succeeded = r->phase == PHASE_SUCCEEDED;
        e->linked = v.effective.clone_type == CLONE_LINKED;
        e->holder.created_ms = o->created_ms;
        e->owes_thaw = record_owes_thaw(r);
        e->thawed_ms = r->freeze.thawed_ms;
        if (!str_eq(e->freeze_vmi_uid, r->freeze.vmi_uid)) {
            free(e->freeze_vmi_uid);
            e->freeze_vmi_uid = xstrdup(r->freeze.vmi_uid);
        }
        join_source(all, e, v.effective.source_ns, str_or(v.effective.source_name, "-"));
        describe(all, e, &v);
        /* One that has not begun holds a slot only by a judgement of this process. */
        if (e->final)
            usage_forget(&all->usage, &e->holder);
        else if (e->started)
            usage_hold(&all->usage, &e->holder);
    } else {
        usage_forget(&all->usage, &e->holder);
        leave_source(all, e);
    }
    view_release(&v);
}

void entries_release(struct entries *all)
{
    struct entry *e, *next;
    HASH_ITER(by_key, all->by_key, e, next)
    {
        e->flights = 0;
        entries_remove(all, e);
    }
    while (all->dead) {
        e = all->dead;
        all->dead = e->same_source_next;
        entry_free(e);
    }
    usage_release(&all->usage);
}
