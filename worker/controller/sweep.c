#include "controller/sweep.h"

#include <assert.h>
#include <stdio.h>

#include "actions/execute.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "clones/metrics.h"
#include "decide/orphan.h"
#include "json/json.h"

/* Clones whose leftovers are looked at together; the others' turn comes after. */
#define ORPHANS_MAX 16
/* Objects of one of them; the rest comes when these are gone. */
#define OBJECTS_MAX 512
/* Objects that are somebody else's, which are not read again. */
#define STRANGERS_KEPT 8192
/* What cannot be removed for so long stands back for others. */
#define ORPHAN_LIMIT_MS 900000
#define SWEEP_ARENA_BYTES (16u * MIB)

struct orphan {
    struct orphan *next;
    struct sweep *sweep;
    char uid[UUID_TEXT];
    struct orphan_maker of;
    char key[sizeof((struct orphan_maker){0}).ns + sizeof((struct orphan_maker){0}).name];
    struct call_log call_log;
    unsigned flights;
    char (*proven)[UUID_TEXT]; /* UIDs of the objects that are its */
    size_t proven_count;
    unsigned absent; /* how often the API server has said so, */
    int64_t absent_ms;
    int64_t since_ms, due_ms; /* monotonic, as the one above: since it was found, or an object of it
                                 was deleted; when it is looked at next */
};

struct sweep {
    struct sweep_options o;
    struct executor executor;
    struct timer timer;
    struct orphan *orphans;
    size_t count;
    int64_t scan_ms;
    size_t scanned;      /* candidates that have had their turn, in the caches' order */
    uint64_t *strangers; /* hashes of UIDs; 0: free */
    size_t stranger_count;
};

static int64_t now_ms(const struct sweep *s)
{
    return clock_mono(s->o.clock);
}

/* --- what is somebody else's --- */

static uint64_t *stranger_place(const struct sweep *s, const char *uid)
{
    uint64_t hash = str_hash64(uid, strlen(uid)) | 1;
    size_t at = hash % STRANGERS_KEPT;
    while (s->strangers[at] && s->strangers[at] != hash)
        at = (at + 1) % STRANGERS_KEPT;
    return &s->strangers[at];
}

static void keep_stranger(struct sweep *s, const char *uid)
{
    if (s->stranger_count >= STRANGERS_KEPT / 2) {
        memset(s->strangers, 0, STRANGERS_KEPT * sizeof *s->strangers);
        s->stranger_count = 0;
    }
    uint64_t *place = stranger_place(s, uid);
    s->stranger_count += !*place;
    *place = str_hash64(uid, strlen(uid)) | 1;
}

static bool is_proven(const void *arg, const char *uid)
{
    const struct orphan *p = arg;
    for (size_t i = 0; i < p->proven_count; i++)
        if (str_eq(p->proven[i], uid))
            return true;
    return false;
}

static void keep_proven(struct orphan *p, const char *uid, const struct orphan_maker *of)
{
    if (!p->proven)
        p->proven = xcalloc(OBJECTS_MAX, sizeof *p->proven);
    if (p->proven_count == OBJECTS_MAX || strlen(uid) >= UUID_TEXT)
        return;
    memcpy(p->proven[p->proven_count++], uid, strlen(uid) + 1);
    if (!orphan_tells_more(of, &p->of))
        return;
    p->of = *of;
    (void)snprintf(p->key, sizeof p->key, "%s/%s", of->ns, of->name);
}

/* --- who is looked at --- */

static struct orphan *find_orphan(const struct sweep *s, const char *uid)
{
    struct orphan *p = s->orphans;
    while (p && !str_eq(p->uid, uid))
        p = p->next;
    return p;
}

static void drop_orphan(struct orphan *p)
{
    struct sweep *s = p->sweep;
    struct orphan **at = &s->orphans;
    assert(!p->flights);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    s->count--;
    call_log_release(&p->call_log);
    free(p->proven);
    free(p);
}

/* Somebody knows the Wukong, or holds on to its snapshots. */
static bool is_known(const struct sweep *s, const char *uid)
{
    return clone_table_by_uid(s->o.clones, uid) || clone_table_of_group(s->o.clones, uid);
}

struct scan {
    struct sweep *sweep;
    size_t seen;
};

static bool note_candidate(void *arg, const struct kube_object *o)
{
    struct scan *scan = arg;
    struct sweep *s = scan->sweep;
    if (str_empty(o->label) || strlen(o->label) >= UUID_TEXT || is_known(s, o->label) ||
        find_orphan(s, o->label) || *stranger_place(s, o->uid))
        return true;
    if (scan->seen++ < s->scanned || s->count == ORPHANS_MAX)
        return true;
    struct orphan *p = xcalloc(1, sizeof *p);
    memcpy(p->uid, o->label, strlen(o->label) + 1);
    p->sweep = s;
    p->since_ms = now_ms(s);
    p->next = s->orphans;
    s->orphans = p;
    s->count++;
    return true;
}

static void scan_caches(struct sweep *s)
{
    struct scan scan = {.sweep = s};
    for (size_t i = 0; i < ORPHAN_KINDS; i++)
        s->o.caches->each(s->o.caches->arg, orphan_kinds[i], NULL, note_candidate, &scan);
    s->scanned = s->count == ORPHANS_MAX && scan.seen > s->scanned ? s->scanned + ORPHANS_MAX : 0;
    s->scan_ms = now_ms(s) + SWEEP_EVERY_MS;
}

/* --- one of them --- */

static bool send_one(struct orphan *p, const struct intent *i)
{
    bool sent = execute(&p->sweep->executor, i, &p->call_log, p, &p->flights);
    if (sent && i->verb == INTENT_DELETE) {
        p->since_ms = now_ms(p->sweep);
        metric_add(&metric_orphans, 1, METRIC_LABELS(i->kind->resource));
    }
    return sent;
}

static struct call_key read_key(enum worker_kind kind, const char *uid)
{
    return call_key_object(CALL_READ_ORPHAN, worker_kinds[kind].resource, NULL, uid);
}

struct unread {
    struct orphan *orphan;
    enum worker_kind kind;
    const struct kube_object *next; /* to be read */
    enum worker_kind next_kind;
    bool waits; /* one cannot be read now */
};

/* What an answer proves is kept, and the answer is not. */
static void judge_answer(struct orphan *p, enum worker_kind kind, const struct kube_object *o,
                         struct call *c)
{
    struct orphan_maker of;
    CLEANUP_JSON cJSON *tree = NULL;
    bool read = c->body && json_read(c->body, c->body_len, &tree, NULL) == 0;
    if (read && str_eq(json_str(tree, "metadata.uid"), o->uid) && orphan_proves(kind, tree, &of) &&
        str_eq(of.uid, p->uid) && scope_covers(p->sweep->o.scope, of.ns))
        keep_proven(p, o->uid, &of);
    else
        keep_stranger(p->sweep, o->uid);
    call_set_body(c, NULL, 0);
}

static bool note_unread(void *arg, const struct kube_object *o)
{
    struct unread *u = arg;
    struct orphan *p = u->orphan;
    if (is_proven(p, o->uid) || *stranger_place(p->sweep, o->uid))
        return true;
    const struct call *c = call_log_find(&p->call_log, read_key(u->kind, o->uid));
    if (call_ok(c)) {
        judge_answer(p, u->kind, o, call_log_get(&p->call_log, read_key(u->kind, o->uid)));
        return true;
    }
    /* What cannot be read is no proof. */
    if (call_unreadable(c)) {
        keep_stranger(p->sweep, o->uid);
        return true;
    }
    if (c && c->state == CALL_FAILED && now_ms(p->sweep) < c->retry_mono_ms)
        u->waits = true;
    else if (!u->next && p->proven_count < OBJECTS_MAX) {
        u->next = o;
        u->next_kind = u->kind;
    }
    return true;
}

/* True: every object that bears the UID is known for its, or for a stranger's. */
static bool all_read(struct orphan *p)
{
    struct unread u = {.orphan = p};
    for (size_t i = 0; i < ORPHAN_KINDS; i++) {
        u.kind = orphan_kinds[i];
        p->sweep->o.caches->each(p->sweep->o.caches->arg, u.kind, p->uid, note_unread, &u);
    }
    if (u.next)
        (void)send_one(p, &(struct intent){.verb = INTENT_READ,
                                           .kind = &worker_kinds[u.next_kind],
                                           .ns = str_empty(u.next->ns) ? NULL : u.next->ns,
                                           .name = u.next->name,
                                           .key = read_key(u.next_kind, u.next->uid)});
    return !u.next && !u.waits;
}

/* True: the API server has said so twice, some minutes apart. *ret_there: it is not gone. */
static bool is_gone(struct orphan *p, bool *ret_there)
{
    const struct call_key key = call_key(CALL_READ_OWN);
    const struct call *c = call_log_find(&p->call_log, key);
    int64_t now = now_ms(p->sweep);
    bool news = c && c->state != CALL_FLYING && c->done_mono_ms > p->absent_ms;
    enum orphan_word word = news ? orphan_word(c, p->of.name, p->uid) : ORPHAN_UNKNOWN;
    *ret_there = word == ORPHAN_THERE;
    if (word == ORPHAN_GONE) {
        p->absent++;
        p->absent_ms = c->done_mono_ms;
    }
    if (p->absent >= 2 || *ret_there)
        return !*ret_there;
    int64_t due = p->absent ? p->absent_ms + SWEEP_APART_MS : now;
    if (now < due)
        p->due_ms = due;
    else
        (void)send_one(p, &(struct intent){.verb = INTENT_READ,
                                           .kind = &worker_kinds[KIND_WUKONG],
                                           .ns = p->of.ns,
                                           .name = p->of.name,
                                           .key = key});
    return false;
}

/* False: nothing is left, or others need it. */
static bool remove_some(struct orphan *p)
{
    struct sweep *s = p->sweep;
    CLEANUP_ARENA struct arena a;
    arena_init_soft(&a, SWEEP_ARENA_BYTES);
    struct clone_state v = {.arena = &a};
    struct decision d = {.intents = {.arena = &a}};
    const struct now now = {clock_wall(s->o.clock), now_ms(s)};
    observe_orphan(&v, &p->of, s->o.caches, &p->call_log, now, is_proven, p);
    bool done = orphan_is_needed(&v, s->o.caches) || decide_orphan(&v, &d);
    /* What was cut short tells nothing. */
    done |= arena_full(&a);
    for (size_t i = 0; !done && i < d.intents.count; i++)
        if (send_one(p, &d.intents.items[i])) {
            p->due_ms = now.mono_ms;
            break;
        }
    clone_state_release(&v);
    return !done;
}

static void look_at(struct orphan *p)
{
    bool there = false;
    p->due_ms = now_ms(p->sweep) + 4 * SWEEP_STEP_MS;
    bool late = now_ms(p->sweep) > p->since_ms + ORPHAN_LIMIT_MS;
    if (late)
        log_event(LOG_WARN, "what is left of a Wukong that is gone cannot be removed yet",
                  LOG_S("uid", p->uid), LOG_S("wukong", p->key));
    if (late || is_known(p->sweep, p->uid)) {
        drop_orphan(p);
        return;
    }
    if (!all_read(p))
        return;
    if (!p->proven_count) {
        drop_orphan(p);
        return;
    }
    if (is_gone(p, &there) ? !remove_some(p) : there)
        drop_orphan(p);
}

static void sweep_timer(void *arg)
{
    struct sweep *s = arg;
    int64_t now = now_ms(s), next = s->scan_ms;
    if (!s->o.may_sweep(s->o.arg))
        return;
    if (now >= s->scan_ms)
        scan_caches(s);
    next = s->scan_ms;
    /* The one that has waited longest. */
    struct orphan *first = NULL;
    for (struct orphan *p = s->orphans; p; p = p->next)
        if (!p->flights && (!first || p->due_ms < first->due_ms))
            first = p;
    if (first && !s->executor.in_flight && now >= first->due_ms) {
        look_at(first);
        next = now + SWEEP_STEP_MS;
    } else if (s->executor.in_flight) {
        next = now + SWEEP_STEP_MS;
    } else if (first && first->due_ms < next) {
        next = first->due_ms;
    }
    timer_arm(s->o.timers, &s->timer, next > now ? next : now + SWEEP_STEP_MS);
}

static void call_ended(void *arg, void *owner, const char *written, size_t written_len)
{
    (void)arg;
    (void)owner;
    (void)written;
    (void)written_len;
}

static void name_orphan(void *owner, const char **ret_name, const char **ret_uid)
{
    const struct orphan *p = owner;
    *ret_name = p->key;
    *ret_uid = p->uid;
}

struct sweep *sweep_new(const struct sweep_options *options)
{
    struct sweep *s = xcalloc(1, sizeof *s);
    s->o = *options;
    s->strangers = xcalloc(STRANGERS_KEPT, sizeof *s->strangers);
    s->executor = (struct executor){.client = options->client,
                                    .clock = options->clock,
                                    .rng = options->rng,
                                    .field_manager = "wukong-worker",
                                    .may_write = options->may_sweep,
                                    .ended = call_ended,
                                    .whose = name_orphan,
                                    .arg = options->arg};
    timer_init(&s->timer, sweep_timer, s);
    return s;
}

void sweep_begin(struct sweep *s)
{
    s->scan_ms = now_ms(s) + SWEEP_EVERY_MS;
    timer_arm(s->o.timers, &s->timer, s->scan_ms);
}

void sweep_free(struct sweep *s)
{
    if (!s)
        return;
    timer_cancel(s->o.timers, &s->timer);
    executor_cancel(&s->executor);
    while (s->orphans) {
        s->orphans->flights = 0;
        drop_orphan(s->orphans);
    }
    free(s->strangers);
    free(s);
}

unsigned long long sweep_writes(const struct sweep *s)
{
    return s->executor.writes;
}
