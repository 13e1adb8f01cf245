#include "clones/clone_table.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/observe.h"
#include "observe/queries.h"

struct clone_bucket {
    char *key;
    struct clone *first;
    UT_hash_handle hh;
};

/* The two ways in which entries hang together: one source, one shared snapshot. */
static struct clone **source_next(struct clone *e)
{
    return &e->same_source_next;
}
static struct clone **group_next(struct clone *e)
{
    return &e->same_group_next;
}

static void make_key(struct buf *out, const char *ns, const char *name)
{
    buf_addf(out, "%s/%s", ns, name);
}

struct clone *clone_table_by_key(const struct clone_table *all, const char *ns, const char *name)
{
    struct clone *e = NULL;
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    HASH_FIND(by_key, all->by_key, key.data, key.len, e);
    return e;
}

struct clone *clone_table_by_uid(const struct clone_table *all, const char *uid)
{
    struct clone *e = NULL;
    if (uid)
        HASH_FIND(by_uid, all->by_uid, uid, strlen(uid), e);
    return e;
}

static struct clone *first_of(struct clone_bucket *buckets, const char *key)
{
    struct clone_bucket *b = NULL;
    HASH_FIND(hh, buckets, key, strlen(key), b);
    return b ? b->first : NULL;
}

struct clone *clone_table_of_source(const struct clone_table *all, const char *ns, const char *name)
{
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    return first_of(all->by_source, key.data);
}

struct clone *clone_table_beside(const struct clone_table *all, const struct clone *e)
{
    return e->source ? first_of(all->by_source, e->source) : NULL;
}

struct clone *clone_table_of_group(const struct clone_table *all, const char *uid)
{
    return uid ? first_of(all->by_group, uid) : NULL;
}

struct clone *clone_table_add(struct clone_table *all, const char *ns, const char *name,
                              const char *uid)
{
    /* One block with its texts, of which the name is the key's end: there may be 10,000. */
    size_t ns_size = strlen(ns) + 1, name_size = strlen(name) + 1, uid_size = strlen(uid) + 1;
    struct clone *e = xcalloc(1, sizeof *e + 2 * ns_size + name_size + uid_size);
    e->key = (char *)(e + 1);
    e->name = e->key + ns_size;
    e->ns = e->name + name_size;
    e->uid = e->ns + ns_size;
    memcpy(e->key, ns, ns_size - 1);
    e->key[ns_size - 1] = '/';
    memcpy(e->name, name, name_size);
    memcpy(e->ns, ns, ns_size);
    memcpy(e->uid, uid, uid_size);
    e->usage = (struct clone_usage){.key = e->key, .ns = e->ns, .uid = e->uid};
    e->freeze_waiter.whose = &e->usage;
    for (size_t i = 0; i < BUDGET_LANES; i++)
        e->budget[i].whose = &e->usage;
    HASH_ADD_KEYPTR(by_key, all->by_key, e->key, strlen(e->key), e);
    HASH_ADD_KEYPTR(by_uid, all->by_uid, e->uid, strlen(e->uid), e);
    return e;
}

static void leave_bucket(struct clone_bucket **buckets, struct clone *e, char **key,
                         struct clone **next_of(struct clone *))
{
    struct clone_bucket *b = NULL;
    if (!*key)
        return;
    HASH_FIND(hh, *buckets, *key, strlen(*key), b);
    assert(b);
    for (struct clone **p = &b->first; *p; p = next_of(*p)) {
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

static void join_bucket(struct clone_bucket **buckets, struct clone *e, char **key,
                        struct clone **next_of(struct clone *), const char *wanted)
{
    struct clone_bucket *b = NULL;
    if (str_eq(*key, wanted))
        return;
    leave_bucket(buckets, e, key, next_of);
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

static void join_source(struct clone_table *all, struct clone *e, const char *ns, const char *name)
{
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    make_key(&key, ns, name);
    join_bucket(&all->by_source, e, &e->source, source_next, key.data);
    e->usage.source = e->source;
}

static void leave_all(struct clone_table *all, struct clone *e)
{
    leave_bucket(&all->by_source, e, &e->source, source_next);
    e->usage.source = NULL;
    leave_bucket(&all->by_group, e, &e->group, group_next);
}

static void clone_free(struct clone *e)
{
    call_log_release(&e->call_log);
    stamp_check_memory_release(&e->permit);
    free(e->written);
    free(e->source);
    free(e->freeze_vmi_uid);
    indoubt_close(&e->announced);
    free(e->group);
    free(e->share.key);
    free(e->share.ready_key);
    free(e->share.bound_by);
    free(e->share.owner_uid);
    free(e->share.members);
    free(e);
}

/* Whose turn it is, is seen when they are looked at: the first few, for several slots. */
#define FREEZE_WOKEN 3

static void wake_who_waits_to_freeze(struct clone_table *all)
{
    for (size_t i = 0; all->usage.wake && i < all->freeze_queue.count && i < FREEZE_WOKEN; i++) {
        struct freeze_waiter *w = all->freeze_queue.items[i];
        struct clone *e = (struct clone *)((char *)w - offsetof(struct clone, freeze_waiter));
        all->usage.wake(all->usage.arg, &e->usage);
    }
}

static void note_company(struct clone_table *all)
{
    unsigned n = 0;
    for (struct clone *e = all->freezers; e; e = e->next_freezer)
        n += !e->freeze_refused;
    for (struct clone *e = all->freezers; e; e = e->next_freezer)
        e->freeze_beside = n > e->freeze_beside + 1 ? n - 1 : e->freeze_beside;
}

static void set_freezing(struct clone_table *all, struct clone *e, bool freezing)
{
    struct clone **at = &all->freezers;
    if (e->freezing == freezing)
        return;
    while (!freezing && *at != e)
        at = &(*at)->next_freezer;
    if (freezing)
        e->next_freezer = *at;
    *at = freezing ? e : e->next_freezer;
    e->freezing = freezing;
    e->slot_until_ms = 0;
    e->freeze_refused = false;
    e->freeze_beside = 0;
    if (freezing)
        note_company(all);
    else
        wake_who_waits_to_freeze(all);
}

static const struct call *freeze_call(const struct clone *e)
{
    return e->owes_thaw
               ? call_log_find(&e->call_log, call_key_numbered(CALL_FREEZE, e->freeze_asked_ms))
               : NULL;
}

size_t clone_table_frozen(struct clone_table *all, const struct clone *self, int64_t now_ms)
{
    size_t n = 0;
    for (struct clone *e = all->freezers; e; e = e->next_freezer) {
        const struct call *freeze = freeze_call(e);
        /* One that is announced may be sent a while later. */
        if (!e->slot_until_ms && e->owes_thaw)
            e->slot_until_ms = now_ms + e->freeze_ms + FREEZE_SEND_MS;
        int64_t until = freeze ? freeze->sent_mono_ms + e->freeze_ms : e->slot_until_ms;
        n += e != self && !e->freeze_refused && (!until || now_ms < until);
    }
    return n;
}

void clone_table_count_freeze(struct clone_table *all, struct clone *e)
{
    set_freezing(all, e, !e->dead && (e->owes_thaw || (e->announced.what & ANNOUNCED_FREEZE)));
    if (e->freezing && !e->freeze_refused && freeze_was_refused(freeze_call(e))) {
        e->freeze_refused = true;
        wake_who_waits_to_freeze(all);
    }
}

void clone_table_leave_lines(struct clone_table *all, struct clone *e)
{
    freeze_queue_leave(&all->freeze_queue, &e->freeze_waiter);
    for (enum budget_lane_id i = 0; i < BUDGET_LANES; i++)
        request_budget_leave(&all->budget, i, &e->budget[i]);
}

void clone_table_remove(struct clone_table *all, struct clone *e)
{
    clone_table_leave_lines(all, e);
    set_freezing(all, e, false);
    usage_forget(&all->usage, &e->usage);
    leave_all(all, e);
    HASH_DELETE(by_key, all->by_key, e);
    HASH_DELETE(by_uid, all->by_uid, e);
    e->dead = true;
    if (!e->flights) {
        clone_free(e);
        return;
    }
    e->same_source_next = all->dead;
    all->dead = e;
}

bool clone_needs_no_calls(const struct clone *e, bool final, size_t intents)
{
    return final && !e->flights && !intents &&
           !call_failed(call_log_find(&e->call_log, call_key(CALL_STATUS)));
}

void clone_landed(struct clone_table *all, struct clone *e)
{
    struct clone **at = &all->dead;
    if (!e->dead || e->flights)
        return;
    while (*at != e)
        at = &(*at)->same_source_next;
    *at = e->same_source_next;
    clone_free(e);
}

/* What the status says of the disks, which is all that a new leader knows of a clone at first. */
static void describe_usage(struct clone_table *all, struct clone *e, const struct clone_state *v)
{
    const char *classes[USAGE_CLASSES_MAX];
    size_t count = 0;
    int64_t bytes = 0;
    const cJSON *disk, *disks = json_at(v->status, "cloneStatus.disks");
    e->disk_count = cJSON_IsArray(disks) ? (size_t)cJSON_GetArraySize(disks) : 0;
    if (!e->disk_count || e->usage.bytes)
        return;
    cJSON_ArrayForEach (disk, disks) {
        int64_t one;
        if (str_to_i64(json_str(disk, "size"), &one))
            bytes += one;
        clone_table_add_class(classes, &count, json_str(disk, "storageClass"));
    }
    usage_describe(&all->usage, &e->usage, classes, count, bytes * v->effective.replicas);
}

void clone_table_add_class(const char **classes, size_t *count, const char *name)
{
    for (size_t i = 0; name && i < *count; i++)
        if (str_eq(classes[i], name))
            return;
    if (name && *count < USAGE_CLASSES_MAX)
        classes[(*count)++] = name;
}

/* The list lives as long as the clone's summary, so it is copied into one block. */
static void keep_members(struct clone_sharing *s, const struct clone_record *r)
{
    size_t bytes = r->attempt.member_count * sizeof *s->members;
    free(s->members);
    s->members = NULL;
    s->member_count = r->attempt.member_count;
    if (!r->attempt.member_count)
        return;
    for (size_t i = 0; i < r->attempt.member_count; i++)
        bytes += strlen(r->attempt.members[i].uid) + strlen(r->attempt.members[i].attempt_id) + 2;
    s->members = xcalloc(1, bytes);
    char *text = (char *)(s->members + r->attempt.member_count);
    for (size_t i = 0; i < r->attempt.member_count; i++) {
        const char *parts[] = {r->attempt.members[i].uid, r->attempt.members[i].attempt_id};
        const char **kept[] = {&s->members[i].uid, &s->members[i].attempt_id};
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

static void forget_attempt(struct clone_sharing *s)
{
    s->state = SHARE_COMING;
    replace_text(&s->ready_key, NULL);
    replace_text(&s->bound_by, NULL);
    s->ready_until_ms = s->lead_since_ms = s->tried_ms = 0;
    s->released = s->waits_turn = false;
}

static void summarise_share(struct clone_table *all, struct clone *e, const struct clone_state *v)
{
    const struct clone_record *r = &v->record;
    struct clone_sharing *s = &e->share;
    CLEANUP_BUF struct buf key = BUF_INIT(LIMIT_OBJECT_BYTES);
    char attempt_id[ATTEMPT_ID_TEXT];
    share_write_attempt_id(v->wukong, r, attempt_id);
    if (!str_eq(s->attempt_id, attempt_id))
        forget_attempt(s);
    memcpy(s->attempt_id, attempt_id, sizeof attempt_id);
    s->created_ms = v->wukong->created_ms;
    s->attempt = r->attempts > 0 ? r->attempts : 1;
    s->begun = share_begun(r);
    s->cut = r->attempt.cut_ms != 0;
    s->until_ms = r->attempt.shared_until_ms;
    s->cut_seen_ms = s->cut ? s->cut_seen_ms : 0;
    s->aborted = record_aborted(r);
    s->deleted = v->wukong->deleted_ms != 0;
    s->has_finalizer = v->wukong->has_finalizer;
    replace_text(&s->owner_uid, r->attempt.shared.uid);
    s->owner_attempt = r->attempt.shared.attempt;
    keep_members(s, r);
    if (!record_final(r) && share_possible(&v->effective))
        share_write_key(v->wukong, &v->effective, &key);
    replace_text(&s->key, key.len && buf_ok(&key) ? key.data : NULL);
    bool needs = r->attempt.shared.uid && (!record_final(r) || s->has_finalizer);
    join_bucket(&all->by_group, e, &e->group, group_next, needs ? r->attempt.shared.uid : NULL);
}

/* Another attempt begins with an empty record; the guest was thawed all the same. */
static void note_thaw(struct clone_table *all, const struct clone *e, const struct clone_record *r)
{
    int64_t thawed_ms = r->attempt.freeze.thawed_ms,
            ms = thawed_ms - r->attempt.freeze.requested_ms;
    if (!thawed_ms || thawed_ms == e->thawed_ms)
        return;
    freeze_queue_note_slot(&all->freeze_queue, ms);
    /* One that came to nothing tells nothing of what a cut takes. */
    if (r->attempt.cut_ms && e->freezing)
        freeze_limit_note(&all->freeze_limit, ms, e->freeze_beside, all->max_frozen);
}

bool clone_table_summarise(struct clone_table *all, struct clone *e, const struct kube_object *o)
{
    CLEANUP_ARENA struct arena a;
    struct clone_state v = {.arena = &a};
    arena_init_soft(&a, LIMIT_OBJECT_BYTES);
    bool led = !e->share.owner_uid, was_final = e->final;
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
        e->usage.created_ms = o->created_ms;
        e->owes_thaw = record_owes_thaw(r);
        e->freeze_asked_ms = r->attempt.freeze.requested_ms;
        e->freeze_ms = r->attempt.freeze.deadline_ms - r->attempt.freeze.requested_ms;
        note_thaw(all, e, r);
        if (r->attempt.freeze.thawed_ms)
            e->thawed_ms = r->attempt.freeze.thawed_ms;
        e->vm_snapshot = v.effective.method == METHOD_VM_SNAPSHOT && r->attempt.source_uid &&
                         !r->attempt.cut_ms && !e->final;
        replace_text(&e->freeze_vmi_uid, r->attempt.freeze.vmi_uid);
        join_source(all, e, v.effective.source_ns, str_or(v.effective.source_name, "-"));
        describe_usage(all, e, &v);
        /* One that has not begun holds a slot only by a judgement of this process. */
        if (e->final)
            usage_forget(&all->usage, &e->usage);
        else if (e->started)
            usage_hold(&all->usage, &e->usage);
        summarise_share(all, e, &v);
    } else {
        usage_forget(&all->usage, &e->usage);
        clone_table_leave_lines(all, e);
        leave_all(all, e);
    }
    clone_state_release(&v);
    clone_table_count_freeze(all, e);
    const struct clone_sharing *s = &e->share;
    return led && !s->owner_uid &&
           (s->begun != before.begun || s->cut != before.cut || s->aborted != before.aborted ||
            s->deleted != before.deleted || (e->final && !was_final));
}

void clone_table_release(struct clone_table *all)
{
    struct clone *e, *next;
    /* What becomes free now is for nobody, and whoever would be woken may be gone. */
    all->usage.wake = NULL;
    HASH_ITER (by_key, all->by_key, e, next) {
        e->flights = 0;
        clone_table_remove(all, e);
    }
    while (all->dead) {
        e = all->dead;
        all->dead = e->same_source_next;
        clone_free(e);
    }
    usage_release(&all->usage);
    freeze_queue_release(&all->freeze_queue);
    request_budget_release(&all->budget);
}
