#include "clones/entries.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/observe.h"
#include "observe/queries.h"

struct entry_bucket {
    char *key;
    struct entry *first;
    UT_hash_handle hh;
};

/* The two ways in which entries hang together: one source, one shared snapshot. */
static struct entry **source_next(struct entry *e)
{
    return &e->same_source_next;
}
static struct entry **group_next(struct entry *e)
{
    return &e->same_group_next;
}

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

static struct entry *first_of(struct entry_bucket *buckets, const char *key)
{
    struct entry_bucket *b = NULL;
    HASH_FIND(hh, buckets, key, strlen(key), b);
    return b ? b->first : NULL;
}

struct entry *entries_of_source(const struct entries *all, const char *ns, const char *name)
{
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    return first_of(all->by_source, key.data);
}

struct entry *entries_beside(const struct entries *all, const struct entry *e)
{
    return e->source ? first_of(all->by_source, e->source) : NULL;
}

struct entry *entries_of_group(const struct entries *all, const char *uid)
{
    return uid ? first_of(all->by_group, uid) : NULL;
}

struct entry *entries_add(struct entries *all, const char *ns, const char *name, const char *uid)
{
    /* One block with its texts, of which the name is the key's end: there may be 10,000. */
    size_t ns_size = strlen(ns) + 1, name_size = strlen(name) + 1, uid_size = strlen(uid) + 1;
    struct entry *e = xcalloc(1, sizeof *e + 2 * ns_size + name_size + uid_size);
    e->key = (char *)(e + 1);
    e->name = e->key + ns_size;
    e->ns = e->name + name_size;
    e->uid = e->ns + ns_size;
    memcpy(e->key, ns, ns_size - 1);
    e->key[ns_size - 1] = '/';
    memcpy(e->name, name, name_size);
    memcpy(e->ns, ns, ns_size);
    memcpy(e->uid, uid, uid_size);
    e->holder = (struct usage_holder){.key = e->key, .ns = e->ns, .uid = e->uid};
    HASH_ADD_KEYPTR(by_key, all->by_key, e->key, strlen(e->key), e);
    HASH_ADD_KEYPTR(by_uid, all->by_uid, e->uid, strlen(e->uid), e);
    return e;
}

static void leave(struct entry_bucket **buckets, struct entry *e, char **key,
                  struct entry **next_of(struct entry *))
{
    struct entry_bucket *b = NULL;
    if (!*key)
        return;
    HASH_FIND(hh, *buckets, *key, strlen(*key), b);
    assert(b);
    for (struct entry **p = &b->first; *p; p = next_of(*p)) {
        if (*p == e) {
            *p = *next_of(e);
            break;
        }
    }
    *next_of(e) = NULL;
    if (!b->first) {
        HASH_DEL(*buckets, b);
        free(b->key);
        free(b);
    }
    free(*key);
    *key = NULL;
}

static void join(struct entry_bucket **buckets, struct entry *e, char **key,
                 struct entry **next_of(struct entry *), const char *wanted)
{
    struct entry_bucket *b = NULL;
    if (str_eq(*key, wanted))
        return;
    leave(buckets, e, key, next_of);
    if (!wanted)
        return;
    *key = xstrdup(wanted);
    HASH_FIND(hh, *buckets, wanted, strlen(wanted), b);
    if (!b) {
        b = xcalloc(1, sizeof *b);
        b->key = xstrdup(wanted);
        HASH_ADD_KEYPTR(hh, *buckets, b->key, strlen(b->key), b);
    }
    *next_of(e) = b->first;
    b->first = e;
}

static void join_source(struct entries *all, struct entry *e, const char *ns, const char *name)
{
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    join(&all->by_source, e, &e->source, source_next, key.data);
    e->holder.source = e->source;
}

static void leave_all(struct entries *all, struct entry *e)
{
    leave(&all->by_source, e, &e->source, source_next);
    e->holder.source = NULL;
    leave(&all->by_group, e, &e->group, group_next);
}

static void entry_free(struct entry *e)
{
    call_log_release(&e->call_log);
    permit_memo_release(&e->permit);
    free(e->written);
    free(e->source);
    free(e->freeze_vmi_uid);
    announce_close(&e->announced);
    free(e->group);
    free(e->share.key);
    free(e->share.ready_key);
    free(e->share.bound_by);
    free(e->share.taker_uid);
    free(e->share.members);
    free(e);
}

static void set_freezing(struct entries *all, struct entry *e, bool freezing)
{
    struct entry **at = &all->freezers;
    if (e->freezing == freezing)
        return;
    while (!freezing && *at != e)
        at = &(*at)->next_freezer;
    if (freezing)
        e->next_freezer = *at;
    *at = freezing ? e : e->next_freezer;
    e->freezing = freezing;
    e->slot_until_ms = 0;
}

size_t entries_frozen(struct entries *all, const struct entry *self, int64_t now_ms)
{
    size_t n = 0;
    for (struct entry *e = all->freezers; e; e = e->next_freezer) {
        /* One that is announced may be sent a while later. */
        if (!e->slot_until_ms && e->owes_thaw)
            e->slot_until_ms = now_ms + e->freeze_ms + FREEZE_SEND_MS;
        n += e != self && (!e->slot_until_ms || now_ms < e->slot_until_ms);
    }
    return n;
}

void entries_count_freeze(struct entries *all, struct entry *e)
{
    set_freezing(all, e, !e->dead && (e->owes_thaw || (e->announced.what & ANNOUNCED_FREEZE)));
}

void entries_remove(struct entries *all, struct entry *e)
{
    set_freezing(all, e, false);
    usage_forget(&all->usage, &e->holder);
    leave_all(all, e);
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

bool entry_needs_no_calls(const struct entry *e, bool final, size_t intents)
{
    return final && !e->flights && !intents &&
           !call_failed(call_log_find(&e->call_log, call_key(CALL_STATUS)));
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
static void describe(struct entries *all, struct entry *e, const struct clone_state *v)
{
    const char *classes[USAGE_CLASSES_MAX];
    size_t count = 0;
    int64_t bytes = 0;
    const cJSON *disk, *disks = json_at(v->status, "cloneStatus.disks");
    e->disk_count = cJSON_IsArray(disks) ? (size_t)cJSON_GetArraySize(disks) : 0;
    if (!e->disk_count || e->holder.bytes)
        return;
    cJSON_ArrayForEach (disk, disks) {
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

/* The list lives as long as the entry's summary, so it is copied into one block. */
static void keep_members(struct entry_share *s, const struct clone_record *r)
{
    size_t bytes = r->attempt.member_count * sizeof *s->members;
    free(s->members);
    s->members = NULL;
    s->member_count = r->attempt.member_count;
    if (!r->attempt.member_count)
        return;
    for (size_t i = 0; i < r->attempt.member_count; i++)
        bytes += strlen(r->attempt.members[i].uid) + strlen(r->attempt.members[i].round) + 2;
    s->members = xcalloc(1, bytes);
    char *text = (char *)(s->members + r->attempt.member_count);
    for (size_t i = 0; i < r->attempt.member_count; i++) {
        const char *parts[] = {r->attempt.members[i].uid, r->attempt.members[i].round};
        const char **kept[] = {&s->members[i].uid, &s->members[i].round};
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
            size_t n = strlen(parts[k]) + 1;
            memcpy(text, parts[k], n);
            *kept[k] = text;
            text += n;
        }
    }
}

static void replace_text(char **at, const char *text)
{
    if (str_eq(*at, text))
        return;
    free(*at);
    *at = xstrdup(text);
}

static void forget_round(struct entry_share *s)
{
    s->state = SHARE_COMING;
    replace_text(&s->ready_key, NULL);
    replace_text(&s->bound_by, NULL);
    s->ready_until_ms = s->lead_since_ms = s->tried_ms = 0;
    s->released = s->waits_turn = false;
}

static void summarise_share(struct entries *all, struct entry *e, const struct clone_state *v)
{
    const struct clone_record *r = &v->record;
    struct entry_share *s = &e->share;
    CLEANUP_BUF struct buf key = BUF_INIT(LIMIT_OBJECT_BYTES);
    char round[SHARE_ROUND_TEXT];
    share_write_round(v->wukong, r, round);
    if (!str_eq(s->round, round))
        forget_round(s);
    memcpy(s->round, round, sizeof round);
    s->created_ms = v->wukong->created_ms;
    s->attempt = r->attempts > 0 ? r->attempts : 1;
    s->begun = share_begun(r);
    s->cut = r->attempt.cut_ms != 0;
    s->until_ms = r->attempt.shared_until_ms;
    s->cut_seen_ms = s->cut ? s->cut_seen_ms : 0;
    s->aborted = record_aborted(r);
    s->deleted = v->wukong->deleted_ms != 0;
    s->has_finalizer = v->wukong->has_finalizer;
    replace_text(&s->taker_uid, r->attempt.shared.uid);
    s->taker_attempt = r->attempt.shared.attempt;
    keep_members(s, r);
    if (!record_final(r) && share_possible(&v->effective))
        share_write_key(v->wukong, &v->effective, &key);
    replace_text(&s->key, key.len && buf_ok(&key) ? key.data : NULL);
    bool needs = r->attempt.shared.uid && (!record_final(r) || s->has_finalizer);
    join(&all->by_group, e, &e->group, group_next, needs ? r->attempt.shared.uid : NULL);
}

bool entries_summarise(struct entries *all, struct entry *e, const struct kube_object *o)
{
    CLEANUP_ARENA struct arena a;
    struct clone_state v = {.arena = &a};
    arena_init_soft(&a, LIMIT_OBJECT_BYTES);
    bool led = !e->share.taker_uid, was_final = e->final;
    struct {
        bool begun, cut, aborted, deleted;
    } before = {e->share.begun, e->share.cut, e->share.aborted, e->share.deleted};
    e->is_clone = e->final = e->started = e->owes_thaw = e->linked = e->succeeded = false;
    e->vm_snapshot = false;
    if (observe_wukong(&v, o, NULL) == 0 && v.effective.is_clone) {
        const struct clone_record *r = &v.record;
        e->is_clone = true;
        e->final = record_final(r);
        e->started = record_begun(r);
        e->succeeded = r->phase == PHASE_SUCCEEDED;
        e->linked = v.effective.clone_type == CLONE_LINKED;
        e->holder.created_ms = o->created_ms;
        e->owes_thaw = record_owes_thaw(r);
        e->freeze_ms = r->attempt.freeze.deadline_ms - r->attempt.freeze.requested_ms;
        /* Another attempt begins with an empty record; the guest was thawed all the same. */
        if (r->attempt.freeze.thawed_ms)
            e->thawed_ms = r->attempt.freeze.thawed_ms;
        e->vm_snapshot = v.effective.method == METHOD_VM_SNAPSHOT && r->attempt.source_uid &&
                         !r->attempt.cut_ms && !e->final;
        replace_text(&e->freeze_vmi_uid, r->attempt.freeze.vmi_uid);
        join_source(all, e, v.effective.source_ns, str_or(v.effective.source_name, "-"));
        describe(all, e, &v);
        /* One that has not begun holds a slot only by a judgement of this process. */
        if (e->final)
            usage_forget(&all->usage, &e->holder);
        else if (e->started)
            usage_hold(&all->usage, &e->holder);
        summarise_share(all, e, &v);
    } else {
        usage_forget(&all->usage, &e->holder);
        leave_all(all, e);
    }
    clone_state_release(&v);
    entries_count_freeze(all, e);
    const struct entry_share *s = &e->share;
    return led && !s->taker_uid &&
           (s->begun != before.begun || s->cut != before.cut || s->aborted != before.aborted ||
            s->deleted != before.deleted || (e->final && !was_final));
}

void entries_release(struct entries *all)
{
    struct entry *e, *next;
    /* What becomes free now is for nobody, and whoever would be woken may be gone. */
    all->usage.wake = NULL;
    HASH_ITER (by_key, all->by_key, e, next) {
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
