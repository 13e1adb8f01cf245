#include "policy/policy_report.h"

#include <assert.h>

#include <uthash.h>

#include "base/log.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "wukong/api/conditions.h"

/* The CRD's maxLength is in characters; bytes are never fewer. */
#define MESSAGE_MAX 1024

struct violator {
    char *key; /* "namespace/name" */
    char *ns, *name, *user, *rule, *message;
    int64_t at_ms;
    UT_hash_handle hh; /* in the order in which they came */
};

struct report {
    char *name;
    int64_t generation;
    struct violator *violators;
    struct call_log call_log;
    unsigned flights;
    bool dirty, dead;
    int64_t written_ms; /* monotonic; 0: never */
    struct report *dead_next;
    UT_hash_handle hh;
};

struct policy_reports {
    struct policy_reports_options o;
    struct executor executor;
    struct report *by_name;
    struct report *dead; /* deleted, their write is not back yet */
    struct timer timer;
};

/* --- the text --- */

static void write_ready(struct json_writer *w, const struct policy *p, const cJSON *old,
                        int64_t now_ms)
{
    const char *status = p->broken ? "False" : "True", *since = NULL;
    char now[TIME_TEXT_MAX];
    const cJSON *ready = condition_find(json_get(old, "conditions"), "Ready");
    if (str_eq(json_str(ready, "status"), status))
        since = json_str(ready, "lastTransitionTime");
    time_to_str(now_ms, false, now);
    json_array(w, "conditions");
    json_object(w, NULL);
    json_string(w, "type", "Ready");
    json_string(w, "status", status);
    json_string(w, "reason", p->broken ? "Unreadable" : "Compiled");
    if (p->broken)
        json_stringf(w, "message",
                     "%.900s; the worker denies what it matches until somebody corrects it",
                     p->broken);
    else
        json_string(w, "message", "the worker applies this policy");
    json_number(w, "observedGeneration", p->generation);
    json_string(w, "lastTransitionTime", str_or(since, now));
    json_end(w);
    json_end(w);
}

void policy_report_write(const struct policy *p, const cJSON *old, size_t total,
                         const struct policy_violation *items, size_t count, int64_t now_ms,
                         struct buf *out)
{
    struct json_writer w = json_writer(out);
    char time[TIME_TEXT_MAX];
    assert(count <= POLICY_REPORT_ITEMS);
    json_object(&w, NULL);
    json_number(&w, "observedGeneration", p->generation);
    write_ready(&w, p, old, now_ms);
    json_object(&w, "violations");
    json_number(&w, "total", (int64_t)total);
    json_array(&w, "items");
    for (size_t i = 0; i < count; i++) {
        time_to_str(items[i].at_ms, false, time);
        json_object(&w, NULL);
        json_string(&w, "namespace", items[i].ns);
        json_string(&w, "name", items[i].name);
        json_string(&w, "user", items[i].user);
        json_string(&w, "rule", items[i].rule);
        json_string(&w, "message", items[i].message);
        json_string(&w, "time", time);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    json_end(&w);
}

/* --- who broke what --- */

static void drop_violator(struct report *r, struct violator *v)
{
    HASH_DEL(r->violators, v);
    free(v->key);
    free(v->ns);
    free(v->name);
    free(v->user);
    free(v->rule);
    free(v->message);
    free(v);
}

static void forget_violators(struct report *r)
{
    struct violator *v, *next;
    HASH_ITER (hh, r->violators, v, next)
        drop_violator(r, v);
}

static void report_free(struct report *r)
{
    forget_violators(r);
    call_log_release(&r->call_log);
    free(r->name);
    free(r);
}

static struct report *find_report(const struct policy_reports *all, const char *name)
{
    struct report *r = NULL;
    HASH_FIND_STR(all->by_name, name, r);
    return r;
}

static void arm(struct policy_reports *all, int64_t at_ms)
{
    if (!timer_armed(&all->timer) || at_ms < all->timer.at_ms)
        timer_arm(all->o.timers, &all->timer, at_ms);
}

static void touch(struct policy_reports *all, struct report *r)
{
    int64_t now = clock_mono(all->o.clock);
    int64_t at = r->written_ms ? r->written_ms + POLICY_REPORT_MS : now;
    r->dirty = true;
    arm(all, at > now ? at : now);
}

void policy_reports_changed(struct policy_reports *all, const struct kube_object *before,
                            const struct kube_object *after)
{
    const char *name = (after ? after : before)->name;
    struct report *r = find_report(all, name);
    if (r && !after) {
        HASH_DEL(all->by_name, r);
        if (!r->flights) {
            report_free(r);
            return;
        }
        r->dead = true;
        r->dead_next = all->dead;
        all->dead = r;
        return;
    }
    if (!r) {
        r = xcalloc(1, sizeof *r);
        r->name = xstrdup(name);
        HASH_ADD_KEYPTR(hh, all->by_name, r->name, strlen(r->name), r);
    }
    if (after && r->generation != after->generation) {
        r->generation = after->generation;
        r->written_ms = 0;
        forget_violators(r);
    }
    touch(all, r);
}

void policy_reports_all(struct policy_reports *all)
{
    struct report *r, *next;
    HASH_ITER (hh, all->by_name, r, next)
        touch(all, r);
}

static char *shortened(const char *text)
{
    char *copy = xstrndup(text, MESSAGE_MAX);
    str_trim_utf8(copy);
    return copy;
}

static void note(struct policy_reports *all, struct report *r, const char *key, const char *ns,
                 const char *name, const char *user, const struct policy_finding *f)
{
    struct violator *v = NULL;
    HASH_FIND_STR(r->violators, key, v);
    if (v && str_eq(v->rule, f->rule))
        return;
    if (v)
        drop_violator(r, v);
    v = xcalloc(1, sizeof *v);
    *v = (struct violator){.key = xstrdup(key),
                           .ns = xstrdup(ns),
                           .name = xstrdup(name),
                           .user = user ? shortened(user) : NULL,
                           .rule = xstrdup(f->rule),
                           .message = shortened(f->text),
                           .at_ms = clock_wall(all->o.clock)};
    HASH_ADD_KEYPTR(hh, r->violators, v->key, strlen(v->key), v);
    touch(all, r);
}

static bool is_violation(const struct policy_finding *f)
{
    return f->effect != POLICY_WAIT;
}

static bool found_in(const struct policy_findings *found, const char *policy)
{
    for (size_t i = 0; i < found->count; i++)
        if (is_violation(&found->items[i]) && str_eq(found->items[i].policy->name, policy))
            return true;
    return false;
}

static void leave_report(struct policy_reports *all, const char *key,
                         const struct policy_findings *found)
{
    struct report *r, *next;
    HASH_ITER (hh, all->by_name, r, next) {
        struct violator *v = NULL;
        HASH_FIND_STR(r->violators, key, v);
        if (v && !(found && found_in(found, r->name))) {
            drop_violator(r, v);
            touch(all, r);
        }
    }
}

size_t policy_reports_judged(struct policy_reports *all, const char *ns, const char *name,
                             const char *user, const struct policy_findings *found, size_t broke)
{
    CLEANUP_FREE char *key = xasprintf("%s/%s", ns, name);
    const struct policy *last = NULL;
    size_t count = 0;
    if (broke)
        leave_report(all, key, found);
    for (size_t i = 0; i < found->count; i++) {
        const struct policy_finding *f = &found->items[i];
        /* The first of each policy; they come policy by policy. */
        if (!is_violation(f) || f->policy == last)
            continue;
        last = f->policy;
        count++;
        struct report *r = find_report(all, f->policy->name);
        if (r)
            note(all, r, key, ns, name, user, f);
    }
    return count;
}

void policy_reports_gone(struct policy_reports *all, const char *ns, const char *name)
{
    CLEANUP_FREE char *key = xasprintf("%s/%s", ns, name);
    leave_report(all, key, NULL);
}

/* --- writing --- */

static void send_report(struct policy_reports *all, struct report *r, const struct kube_object *o,
                        const cJSON *old)
{
    CLEANUP_ARENA struct arena a;
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    CLEANUP_JSON cJSON *next = NULL;
    struct policy_violation items[POLICY_REPORT_ITEMS];
    struct policy p;
    size_t total = HASH_COUNT(r->violators), count = 0, skip = 0;
    arena_init_soft(&a, LIMIT_OBJECT_BYTES);
    policy_cache_decode(&a, o, &p);
    skip = total > POLICY_REPORT_ITEMS ? total - POLICY_REPORT_ITEMS : 0;
    for (const struct violator *v = r->violators; v; v = v->hh.next) {
        if (skip) {
            skip--;
            continue;
        }
        items[count++] =
            (struct policy_violation){v->ns, v->name, v->user, v->rule, v->message, v->at_ms};
    }
    policy_report_write(&p, old, total, items, count, clock_wall(all->o.clock), &text);
    if (!buf_ok(&text) || json_read(text.data, text.len, &next, NULL) < 0 || json_equal(next, old))
        return;
    const struct intent i = {.verb = INTENT_STATUS,
                             .kind = &worker_kinds[KIND_POLICY],
                             .name = r->name,
                             .uid = o->uid,
                             .version = o->resource_version,
                             .body = text.data,
                             .key = call_key(CALL_STATUS)};
    r->written_ms = clock_mono(all->o.clock);
    execute(&all->executor, &i, &r->call_log, r, &r->flights);
}

static bool may_write(void *arg)
{
    const struct policy_reports *all = arg;
    return all->o.may_write(all->o.arg);
}

static void flush(void *arg)
{
    struct policy_reports *all = arg;
    struct report *r, *next;
    int64_t now = clock_mono(all->o.clock);
    if (!may_write(all))
        return;
    HASH_ITER (hh, all->by_name, r, next) {
        const struct kube_object *o =
            r->dirty ? all->o.caches->get(all->o.caches->arg, KIND_POLICY, "", r->name) : NULL;
        if (!o || r->flights)
            continue;
        int64_t at = r->written_ms ? r->written_ms + POLICY_REPORT_MS : now;
        if (at > now) {
            arm(all, at);
            continue;
        }
        CLEANUP_JSON cJSON *old = NULL;
        const char *text = kube_object_field(o, F_STATUS);
        if (text && json_read(text, strlen(text), &old, NULL) < 0)
            old = NULL;
        r->dirty = false;
        send_report(all, r, o, old);
    }
}

static void ended(void *arg, void *owner, const char *written, size_t written_len)
{
    struct policy_reports *all = arg;
    struct report *r = owner;
    (void)written;
    (void)written_len;
    if (r->dead) {
        struct report **at = &all->dead;
        while (*at != r)
            at = &(*at)->dead_next;
        *at = r->dead_next;
        report_free(r);
        return;
    }
    const struct call *c = call_log_find(&r->call_log, call_key(CALL_STATUS));
    if (!call_failed(c)) {
        if (r->dirty)
            touch(all, r);
        return;
    }
    if (c->kind != ERR_CONFLICT)
        log_event(LOG_WARN, "status of a policy cannot be written", LOG_S("policy", r->name),
                  LOG_S("error", str_or(c->message, "")));
    r->dirty = true;
    int64_t wait = c->retry_ms - clock_wall(all->o.clock);
    r->written_ms = clock_mono(all->o.clock);
    arm(all, r->written_ms + (wait > POLICY_REPORT_MS ? wait : POLICY_REPORT_MS));
}

/* --- life --- */

struct policy_reports *policy_reports_new(const struct policy_reports_options *options)
{
    struct policy_reports *all = xcalloc(1, sizeof *all);
    all->o = *options;
    all->executor = (struct executor){.client = options->client,
                                      .clock = options->clock,
                                      .rng = options->rng,
                                      .field_manager = "wukong-worker",
                                      .may_write = may_write,
                                      .ended = ended,
                                      .arg = all};
    timer_init(&all->timer, flush, all);
    return all;
}

void policy_reports_free(struct policy_reports *all)
{
    struct report *r, *next;
    if (!all)
        return;
    timer_cancel(all->o.timers, &all->timer);
    executor_cancel(&all->executor);
    HASH_ITER (hh, all->by_name, r, next) {
        HASH_DEL(all->by_name, r);
        report_free(r);
    }
    while (all->dead) {
        r = all->dead;
        all->dead = r->dead_next;
        report_free(r);
    }
    free(all);
}

unsigned long long policy_reports_writes(const struct policy_reports *all)
{
    return all->executor.writes;
}
