/*
 * Proves what holds a clone back at execution, and for how long: policies as they stand, what is
 * under way and the time give a verdict. Windows over both changes of the clock (times reckoned by
 * hand from Europe/Berlin's rules: UTC+1, UTC+2 from 2026-03-29T01:00Z to 2026-10-25T01:00Z).
 * Limits: never more at once than allowed, the oldest first, and everybody gets through, by a
 * thousand random runs against a list of who came when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "clones/clone_table.h"
#include "clones/usage.h"
#include "json/json.h"
#include "policy/policy_cache.h"
#include "wukong/policy/policy_metrics.h"

#define GI (INT64_C(1) << 30)

/* --- a cluster of nothing but policies --- */

struct bench {
    struct kube_object *objects[1500];
    size_t count;
    struct policy_cache policies;
    struct usage usage;
    struct arena arena;
    struct clone_usage *woken[64];
    size_t woken_count;
};

static void each(void *arg, enum worker_kind kind, const char *label,
                 bool (*visit)(void *visit_arg, const struct kube_object *o), void *visit_arg)
{
    struct bench *b = arg;
    (void)label;
    assert_int_equal(kind, KIND_POLICY);
    for (size_t i = 0; i < b->count; i++)
        if (!visit(visit_arg, b->objects[i]))
            return;
}

static void wake(void *arg, struct clone_usage *h)
{
    struct bench *b = arg;
    for (size_t i = 0; i < b->woken_count; i++)
        if (b->woken[i] == h)
            return;
    assert_true(b->woken_count < ARRAY_LEN(b->woken));
    b->woken[b->woken_count++] = h;
}

/* spec: JSON with single quotes; the policies are named p0, p1, … */
static void add_policy(struct bench *b, const char *spec)
{
    struct err err = {0};
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_FREE char *text =
        xasprintf("{'metadata':{'name':'p%zu','uid':'u%zu','resourceVersion':'1'},'spec':%s}",
                  b->count, b->count, spec);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    assert_int_equal(json_parse(text, strlen(text), true, &tree, &err), 0);
    assert_int_equal(
        kube_object_project(&worker_kinds[KIND_POLICY], tree, &b->objects[b->count++], &err), 0);
}

static void bench_init(struct bench *b, const char *first, const char *second)
{
    *b = (struct bench){.usage = {.wake = wake}};
    b->usage.arg = b;
    arena_init(&b->arena, 8 * MIB);
    if (first)
        add_policy(b, first);
    if (second)
        add_policy(b, second);
    policy_cache_refill(&b->policies, &(struct cache_reader){.each = each, .arg = b});
}

static void bench_release(struct bench *b)
{
    usage_release(&b->usage);
    policy_cache_release(&b->policies);
    arena_release(&b->arena);
    for (size_t i = 0; i < b->count; i++)
        free(b->objects[i]);
}

static struct clone_usage usage(const char *key, int64_t created_s, const char *source)
{
    return (struct clone_usage){
        .key = key, .uid = key, .created_ms = created_s * 1000, .ns = "lab", .source = source};
}

static int64_t max_in_flight;       /* of the next judgements */
static bool taken_along, has_place; /* and these, too */

static struct policy_verdict judge_at(struct bench *b, struct clone_usage *h, bool competes,
                                      enum clone_type type, int64_t now_ms)
{
    static const struct wukong wukong = {.name = "w", .ns = "lab"};
    const struct wukong_effective effective = {.is_clone = true,
                                               .clone_type = type,
                                               .source_ns = "lab",
                                               .source_name = "shop",
                                               .source_type = SOURCE_VMI,
                                               .replicas = 1,
                                               .quiesce = QUIESCE_IF_AVAILABLE};
    const struct policy_case c = {
        .request = {.wukong = &wukong, .effective = &effective, .now_ms = now_ms},
        .competes = competes,
        .max_in_flight = max_in_flight,
        .taken_along = taken_along,
        .has_place = has_place,
        .snapshots_kept = 4,
        .snapshots_wanted = 2};
    CLEANUP_FREE struct policy_findings *found = xcalloc(1, sizeof *found);
    return policy_cache_judge(&b->arena, &b->policies, &b->usage, h, &c, found);
}

static int64_t at(const char *time)
{
    int64_t ms = 0;
    assert_true(str_to_time_ms(time, &ms));
    return ms;
}

/* --- verdicts --- */

#define NIGHT "'windows':[{'schedule':'0 22 * * *','duration':'6h','timeZone':'Europe/Berlin'}]"
#define MISSING_HOUR                                                                               \
    "'windows':[{'schedule':'30 2 * * *','duration':'1h','timeZone':'Europe/Berlin'}]"
#define NOON "2026-06-01T12:00:00Z"

static const struct verdict_row {
    const char *name, *first, *second, *now;
    enum reason reason;
    const char *until, *text;
} verdict_rows[] = {
    {"no policy", NULL, NULL, NOON, REASON_NONE, NULL, NULL},
    {"one that asks nothing", "{}", NULL, NOON, REASON_NONE, NULL, NULL},
    {"denied by a rule", "{'rules':{'cloneTypes':['full']}}", NULL, NOON, REASON_POLICY_DENIED,
     NULL, "\"p0\": cloneType running is not allowed"},
    {"only warned", "{'rules':{'cloneTypes':['full']},'validationActions':['Warn']}", NULL, NOON,
     REASON_NONE, NULL, NULL},
    {"only audited", "{'rules':{'cloneTypes':['full']},'validationActions':['Audit']}", NULL, NOON,
     REASON_NONE, NULL, NULL},
    {"both policies are named", "{'rules':{'cloneTypes':['full']}}",
     "{'rules':{'quiesce':'Required'}}", NOON, REASON_POLICY_DENIED, NULL, "; ClonePolicy \"p1\""},
    {"unreadable", "{'rules':{'cloneTypes':['fool']}}", NULL, NOON, REASON_POLICY_DENIED, NULL,
     "\"p0\" cannot be read"},
    {"the user is not known, so it matches",
     "{'match':{'subjects':[{'kind':'Group','name':'guests'}]},'rules':{'cloneTypes':['full']}"
     "}",
     NULL, NOON, REASON_POLICY_DENIED, NULL, "\"p0\""},
    {"the user is not known, so it is not exempt",
     "{'exclude':{'subjects':[{'kind':'Group','name':'ops'}]},'rules':{'cloneTypes':['full']}}",
     NULL, NOON, REASON_POLICY_DENIED, NULL, "\"p0\""},
    {"denial before window", "{" NIGHT "}", "{'rules':{'cloneTypes':['full']}}", NOON,
     REASON_POLICY_DENIED, NULL, "\"p1\""},
    {"shut", "{" NIGHT "}", NULL, NOON, REASON_OUTSIDE_WINDOW, "2026-06-01T20:00:00Z",
     "\"p0\": outside all windows; the next one opens at 2026-06-01T20:00:00Z"},
    {"shut, and Deny waits too", "{" NIGHT ",'outsideWindow':'Deny'}", NULL, NOON,
     REASON_OUTSIDE_WINDOW, "2026-06-01T20:00:00Z", "\"p0\""},
    {"the later of two", "{" NIGHT "}", "{'windows':[{'schedule':'0 18 * * *','duration':'6h'}]}",
     NOON, REASON_OUTSIDE_WINDOW, "2026-06-01T20:00:00Z", "\"p1\""},
    {"window before limit", "{" NIGHT ",'limits':{'concurrentPerCluster':1}}", NULL, NOON,
     REASON_OUTSIDE_WINDOW, "2026-06-01T20:00:00Z", "\"p0\""},
    {"open", "{" NIGHT "}", NULL, "2026-06-01T20:00:00Z", REASON_NONE, NULL, NULL},
    /* The clock goes forward: the night is six hours all the same, and ends at 05:00 local. */
    {"spring, last minute", "{" NIGHT "}", NULL, "2026-03-29T02:59:59Z", REASON_NONE, NULL, NULL},
    {"spring, shut", "{" NIGHT "}", NULL, "2026-03-29T03:00:00Z", REASON_OUTSIDE_WINDOW,
     "2026-03-29T20:00:00Z", NULL},
    /* It goes back: the night ends at 03:00 local. */
    {"autumn, last minute", "{" NIGHT "}", NULL, "2026-10-25T01:59:59Z", REASON_NONE, NULL, NULL},
    {"autumn, shut", "{" NIGHT "}", NULL, "2026-10-25T02:00:00Z", REASON_OUTSIDE_WINDOW,
     "2026-10-25T21:00:00Z", NULL},
    /* 02:30 does not exist on that day (robfig/cron: "will not be run"). */
    {"the missing hour is left out", "{" MISSING_HOUR "}", NULL, "2026-03-29T00:00:00Z",
     REASON_OUTSIDE_WINDOW, "2026-03-30T00:30:00Z", NULL},
    {"the hour that comes twice, first", "{" MISSING_HOUR "}", NULL, "2026-10-25T00:30:00Z",
     REASON_NONE, NULL, NULL},
    {"a limit that is free", "{'limits':{'concurrentPerCluster':2}}", NULL, NOON, REASON_NONE, NULL,
     NULL},
    {"a limit that is not", "{'limits':{'concurrentPerCluster':1}}", NULL, NOON, REASON_QUEUED,
     NULL, "\"p0\": at most 1 clones in the cluster at once; it waits for its turn"},
    {"the smallest wins", "{'limits':{'concurrentPerCluster':5}}",
     "{'limits':{'concurrentPerSource':1}}", NOON, REASON_QUEUED, NULL, "\"p1\""},
    {"into the namespace", "{'limits':{'concurrentPerTargetNamespace':1}}", NULL, NOON,
     REASON_QUEUED, NULL, "into one namespace"},
    {"into the class", "{'limits':{'concurrentPerStorageClass':1}}", NULL, NOON, REASON_QUEUED,
     NULL, "into one storage class"},
    {"storage", "{'limits':{'storagePerTargetNamespace':'29Gi'}}", NULL, NOON, REASON_QUEUED, NULL,
     "may hold 29Gi and this one needs 10Gi"},
    {"storage that fits", "{'limits':{'storagePerTargetNamespace':'30Gi'}}", NULL, NOON,
     REASON_NONE, NULL, NULL},
    {"a warning limit holds nobody",
     "{'limits':{'concurrentPerCluster':1},'validationActions':['Warn']}", NULL, NOON, REASON_NONE,
     NULL, NULL},
};

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(verdict_rows); i++) {
        struct bench b;
        bench_init(&b, verdict_rows[i].first, verdict_rows[i].second);
        struct clone_usage busy = usage("lab/busy", 1, "lab/shop");
        struct clone_usage h = usage("lab/w", 2, "lab/shop");
        usage_describe(&b.usage, &busy, (const char *const[]){"fast"}, 1, 20 * GI);
        usage_describe(&b.usage, &h, (const char *const[]){"slow", "fast"}, 2, 10 * GI);
        usage_hold(&b.usage, &busy);
        struct policy_verdict v = judge_at(&b, &h, true, CLONE_RUNNING, at(verdict_rows[i].now));
        int64_t until = verdict_rows[i].until ? at(verdict_rows[i].until) : 0;
        if (v.reason != verdict_rows[i].reason || v.until_ms != until ||
            (verdict_rows[i].text && !strstr(str_or(v.why, ""), verdict_rows[i].text)))
            fail_msg("%s: %s, until %lld: %s", verdict_rows[i].name, reason_table[v.reason].name,
                     (long long)v.until_ms, str_or(v.why, "-"));
        usage_forget(&b.usage, &h);
        usage_forget(&b.usage, &busy);
        bench_release(&b);
    }
}

/* Linked clones count the snapshots that they will keep, not clones. */
static void test_retained(void **state)
{
    static const struct {
        const char *spec;
        enum clone_type type;
        enum reason reason;
    } rows[] = {
        {"{'limits':{'retainedSnapshotsPerSource':6}}", CLONE_LINKED, REASON_NONE},
        {"{'limits':{'retainedSnapshotsPerSource':5}}", CLONE_LINKED, REASON_QUEUED},
        {"{'limits':{'retainedSnapshotsPerSource':5}}", CLONE_RUNNING, REASON_NONE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        bench_init(&b, rows[i].spec, NULL);
        struct clone_usage h = usage("lab/w", 2, "lab/shop");
        assert_int_equal(judge_at(&b, &h, true, rows[i].type, at(NOON)).reason, rows[i].reason);
        usage_forget(&b.usage, &h);
        bench_release(&b);
    }
}

/* What waits for something else stands in no line, and what wants more than there can ever be keeps
   no line waiting. */
static void test_who_waits_in_the_queue(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, "{'limits':{'concurrentPerCluster':1,'storagePerTargetNamespace':'50Gi'}}",
               NULL);
    struct clone_usage busy = usage("lab/busy", 1, "lab/shop");
    struct clone_usage idle = usage("lab/idle", 2, "lab/shop");
    struct clone_usage huge = usage("lab/huge", 3, "lab/shop");
    usage_describe(&b.usage, &huge, NULL, 0, 60 * GI);
    usage_hold(&b.usage, &busy);
    assert_int_equal(judge_at(&b, &idle, false, CLONE_RUNNING, at(NOON)).reason, REASON_NONE);
    assert_int_equal(idle.queue_count, 0);
    assert_int_equal(judge_at(&b, &huge, true, CLONE_RUNNING, at(NOON)).reason, REASON_QUEUED);
    assert_int_equal(huge.queue_count, 1); /* of the cluster */
    usage_drop(&b.usage, &busy);
    assert_ptr_equal(b.woken[0], &huge);
    assert_int_equal(judge_at(&b, &huge, true, CLONE_RUNNING, at(NOON)).reason, REASON_QUEUED);
    assert_int_equal(huge.queue_count, 0); /* it never fits: the others go on */
    assert_int_equal(judge_at(&b, &idle, true, CLONE_RUNNING, at(NOON)).reason, REASON_NONE);
    usage_forget(&b.usage, &idle);
    usage_forget(&b.usage, &huge);
    bench_release(&b);
}

/* Claims stand for what was promised: nothing counts twice while they appear, and what a finished
   clone left counts on. */
static void test_storage(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, NULL, NULL);
    struct clone_usage h = usage("lab/w", 1, "lab/shop");
    usage_describe(&b.usage, &h, NULL, 0, 10 * GI);
    assert_int_equal(usage_bytes(&b.usage, "lab", NULL), 0);
    usage_hold(&b.usage, &h);
    assert_int_equal(usage_bytes(&b.usage, "lab", NULL), 10 * GI);
    assert_int_equal(usage_bytes(&b.usage, "lab", &h), 0);
    usage_claimed(&b.usage, "lab", "lab/w", 4 * GI, &h);
    assert_int_equal(usage_bytes(&b.usage, "lab", NULL), 10 * GI);
    usage_claimed(&b.usage, "lab", "lab/w", 8 * GI, &h);
    assert_int_equal(usage_bytes(&b.usage, "lab", NULL), 12 * GI);
    usage_forget(&b.usage, &h);
    assert_int_equal(usage_bytes(&b.usage, "lab", NULL), 12 * GI);
    usage_claimed(&b.usage, "lab", "lab/w", -12 * GI, NULL);
    assert_int_equal(usage_bytes(&b.usage, "lab", NULL), 0);
    assert_null(b.usage.buckets);
    assert_null(b.usage.claims);
    bench_release(&b);
}

/* --- lines --- */

#define CLONES 24

struct run {
    struct bench b;
    struct clone_usage clones[CLONES];
    bool done[CLONES];
    char keys[CLONES][16];
    size_t waiting, finished;
};

static int64_t held(const struct run *r, const char *source)
{
    int64_t n = 0;
    for (size_t i = 0; i < CLONES; i++)
        n += r->clones[i].holds && (!source || str_eq(r->clones[i].source, source));
    return n;
}

/* The oldest of those that wait and could go on now, by the list alone. */
static bool overtakes(const struct run *r, const struct clone_usage *h)
{
    for (size_t i = 0; i < CLONES; i++) {
        const struct clone_usage *o = &r->clones[i];
        if (o->queue_count && usage_compare(o, h) < 0 && str_eq(o->source, h->source))
            return true;
    }
    return false;
}

static void look(struct run *r, struct clone_usage *h)
{
    size_t i = (size_t)(h - r->clones);
    if (h->holds || r->done[i])
        return;
    if (judge_at(&r->b, h, true, CLONE_RUNNING, at(NOON)).reason) {
        assert_true(h->queue_count > 0);
        return;
    }
    assert_int_equal(h->queue_count, 0);
    if (overtakes(r, h))
        fail_msg("%s goes before an older one of its source", h->key);
    usage_hold(&r->b.usage, h);
    assert_true(held(r, NULL) <= 3);
    assert_true(held(r, h->source) <= 2);
}

static void drain(struct run *r)
{
    while (r->b.woken_count) {
        struct clone_usage *h = r->b.woken[0];
        memmove(r->b.woken, r->b.woken + 1, --r->b.woken_count * sizeof(struct clone_usage *));
        look(r, h);
    }
}

static void one_run(uint64_t seed)
{
    struct rng rng;
    struct run r = {0};
    rng_seed(&rng, seed);
    bench_init(&r.b, "{'limits':{'concurrentPerCluster':3}}",
               "{'limits':{'concurrentPerSource':2}}");
    for (size_t i = 0; i < CLONES; i++) {
        snprintf(r.keys[i], sizeof r.keys[i], "lab/w%02zu", i);
        /* Some of the same second, so that names decide. */
        r.clones[i] = usage(r.keys[i], (int64_t)(i / 3), i % 2 ? "lab/a" : "lab/b");
    }
    /* They come in their order, with ends in between, all that wakes is looked at later. */
    size_t arrived = 0;
    while (r.finished < CLONES) {
        size_t pick = (size_t)rng_range(&rng, 0, CLONES - 1);
        if (arrived < CLONES && rng_chance(&rng, 500)) {
            look(&r, &r.clones[arrived++]);
        } else if (r.clones[pick].holds) {
            usage_drop(&r.b.usage, &r.clones[pick]);
            r.done[pick] = true;
            r.finished++;
        }
        if (rng_chance(&rng, 667))
            drain(&r);
        else if (arrived == CLONES && !held(&r, NULL))
            drain(&r);
        /* Nobody that may go on is forgotten. */
        if (arrived == CLONES && !r.b.woken_count && !held(&r, NULL) && r.finished < CLONES)
            fail_msg("seed %llu: %zu of %d got through", (unsigned long long)seed, r.finished,
                     CLONES);
    }
    for (size_t i = 0; i < CLONES; i++)
        usage_forget(&r.b.usage, &r.clones[i]);
    assert_int_equal(r.b.usage.held, 0);
    assert_null(r.b.usage.buckets);
    bench_release(&r.b);
}

static void test_lines(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 1000; seed++)
        one_run(seed);
}

/* The worker's own limit is a line like the others, of those that could go on. */
static void test_own_limit(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, NULL, NULL);
    struct clone_usage busy = usage("lab/busy", 1, "lab/shop");
    struct clone_usage h = usage("lab/h", 2, "lab/shop");
    usage_hold(&b.usage, &busy);
    max_in_flight = 1;
    struct policy_verdict v = judge_at(&b, &h, true, CLONE_RUNNING, at(NOON));
    assert_int_equal(v.reason, REASON_QUEUED);
    assert_non_null(strstr(v.why, "the worker runs at most 1 clones at once"));
    assert_int_equal(judge_at(&b, &h, false, CLONE_RUNNING, at(NOON)).reason, REASON_NONE);
    assert_int_equal(h.queue_count, 0);
    assert_int_equal(judge_at(&b, &h, true, CLONE_RUNNING, at(NOON)).reason, REASON_QUEUED);
    usage_forget(&b.usage, &busy);
    assert_ptr_equal(b.woken[b.woken_count - 1], &h);
    assert_int_equal(judge_at(&b, &h, true, CLONE_RUNNING, at(NOON)).reason, REASON_NONE);
    max_in_flight = 0;
    usage_forget(&b.usage, &h);
    bench_release(&b);
}

/* Who shares the cut of one that goes on needs no place of its own, up to twice the limit. */
static void test_own_limit_takes_along(void **state)
{
    static const struct {
        int64_t held, limit;
        bool along, placed, policy;
        char end; /* it (g)oes on, goes (a)long or (w)aits */
    } rows[] = {{0, 1, true, false, false, 'g'}, {1, 1, false, false, false, 'w'},
                {1, 1, true, false, false, 'a'}, {2, 1, true, false, false, 'w'},
                {2, 1, false, true, false, 'g'}, {5, 3, true, false, false, 'a'},
                {6, 3, true, false, false, 'w'}, {1, 1, true, false, true, 'w'}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        bench_init(&b, rows[i].policy ? "{'limits':{'concurrentPerCluster':1}}" : NULL, NULL);
        struct clone_usage busy[6], h = usage("lab/h", 20, "lab/shop");
        for (int64_t k = 0; k < rows[i].held; k++) {
            busy[k] = usage("lab/busy", 1, "lab/shop");
            usage_hold(&b.usage, &busy[k]);
        }
        max_in_flight = rows[i].limit, taken_along = rows[i].along, has_place = rows[i].placed;
        struct policy_verdict v = judge_at(&b, &h, true, CLONE_RUNNING, at(NOON));
        assert_int_equal(v.reason ? 'w' : v.taken_along ? 'a' : 'g', rows[i].end);
        assert_int_equal(h.queue_count > 0, rows[i].end == 'w');
        for (int64_t k = 0; k < rows[i].held; k++)
            usage_forget(&b.usage, &busy[k]);
        usage_forget(&b.usage, &h);
        bench_release(&b);
    }
    max_in_flight = 0;
    taken_along = has_place = false;
}

/* One that is deleted in line lets the next one go on. */
static void test_the_first_leaves(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, "{'limits':{'concurrentPerCluster':1}}", NULL);
    struct clone_usage busy = usage("lab/busy", 1, "lab/shop");
    struct clone_usage first = usage("lab/first", 2, "lab/shop");
    struct clone_usage second = usage("lab/second", 3, "lab/shop");
    usage_hold(&b.usage, &busy);
    assert_int_equal(judge_at(&b, &second, true, CLONE_RUNNING, at(NOON)).reason, REASON_QUEUED);
    assert_int_equal(judge_at(&b, &first, true, CLONE_RUNNING, at(NOON)).reason, REASON_QUEUED);
    usage_drop(&b.usage, &busy);
    assert_int_equal(b.woken_count, 1);
    assert_ptr_equal(b.woken[0], &first);
    /* The slot is free, and yet it is not the second's turn; nor is that told otherwise. */
    assert_int_equal(judge_at(&b, &second, true, CLONE_RUNNING, at(NOON)).reason, REASON_QUEUED);
    usage_forget(&b.usage, &first);
    assert_int_equal(b.woken_count, 2);
    assert_ptr_equal(b.woken[1], &second);
    assert_int_equal(judge_at(&b, &second, true, CLONE_RUNNING, at(NOON)).reason, REASON_NONE);
    usage_forget(&b.usage, &second);
    bench_release(&b);
}

/* Long texts of several policies are cut between characters. */
static void test_long_text(void **state)
{
    struct bench b;
    CLEANUP_BUF struct buf spec = BUF_INIT(64 * KIB);
    (void)state;
    buf_addf(&spec, "{'rules':{'cloneTypes':['full'],'quiesce':'Required'},'message':'");
    for (int i = 0; i < 150; i++)
        buf_addf(&spec, "\xe7\x8c\xb4\xe5\xad\x90");
    buf_addf(&spec, "'}");
    bench_init(&b, spec.data, NULL);
    struct clone_usage h = usage("lab/w", 2, "lab/shop");
    struct policy_verdict v = judge_at(&b, &h, true, CLONE_RUNNING, at(NOON));
    assert_int_equal(v.reason, REASON_POLICY_DENIED);
    assert_true(strlen(v.why) <= POLICY_VERDICT_TEXT_MAX);
    CLEANUP_JSON cJSON *parsed = NULL;
    CLEANUP_FREE char *quoted = xasprintf("[\"%s\"]", strstr(v.why, "(") + 1);
    assert_int_equal(json_parse(quoted, strlen(quoted), false, &parsed, NULL), 0);
    bench_release(&b);
}

/* Who waits is not woken when everything is freed: the queue may be gone by then. */
static void never_woken(void *arg, struct clone_usage *h)
{
    (void)arg;
    fail_msg("%s is woken", h->key);
}

static void test_the_end_wakes_nobody(void **state)
{
    (void)state;
    struct clone_table all = {.usage.wake = never_woken};
    struct clone_usage *busy = &clone_table_add(&all, "lab", "busy", "1")->usage;
    struct clone_usage *idle = &clone_table_add(&all, "lab", "idle", "2")->usage;
    usage_hold(&all.usage, busy);
    usage_begin(idle);
    usage_wait(&all.usage, idle, "p", "concurrentPerCluster", USAGE_OF_CLUSTER, NULL);
    usage_end(&all.usage, idle);
    clone_table_release(&all);
}

/* However many there are, the last one counts; and where not all could be kept, none begins. */
static void test_many_policies(void **state)
{
    (void)state;
    CLEANUP_FREE struct bench *b = xcalloc(1, sizeof *b);
    struct clone_usage h = usage("a", 1, "shop");
    bench_init(b, NULL, NULL);
    while (b->count + 1 < ARRAY_LEN(b->objects))
        add_policy(b, "{'rules':{'maxReplicas':5}}");
    add_policy(b, "{'rules':{'cloneTypes':['linked']}}");
    policy_cache_refill(&b->policies, &(struct cache_reader){.each = each, .arg = b});
    struct policy_verdict v = judge_at(b, &h, true, CLONE_FULL, at(NOON));
    assert_int_equal(v.reason, REASON_POLICY_DENIED);
    v = judge_at(b, &h, true, CLONE_LINKED, at(NOON));
    assert_int_equal(v.reason, REASON_NONE);
    b->policies.incomplete = true;
    v = judge_at(b, &h, true, CLONE_LINKED, at(NOON));
    assert_int_equal(v.reason, REASON_POLICY_DENIED);
    bench_release(b);
}

/* More text than there is memory for policies: the rest may deny, and is told of. */
static void test_no_memory(void **state)
{
    (void)state;
    CLEANUP_FREE struct bench *b = xcalloc(1, sizeof *b);
    struct clone_usage h = usage("a", 1, "shop");
    CLEANUP_FREE char *long_text = xcalloc(1, MIB + 1);
    memset(long_text, 'x', MIB);
    CLEANUP_FREE char *spec = xasprintf("{'message':'%s'}", long_text);
    bench_init(b, NULL, NULL);
    while (b->count < 40)
        add_policy(b, "{'rules':{'maxReplicas':5}}");
    policy_cache_refill(&b->policies, &(struct cache_reader){.each = each, .arg = b});
    policy_metrics_set(b->policies.items, b->policies.count, b->policies.incomplete);
    assert_true(metric_value(&policy_metric_count, METRIC_LABELS("readable")) == 40);
    assert_true(metric_value(&policy_metric_incomplete, NULL) == 0);
    while (b->count < 80)
        add_policy(b, spec);
    policy_cache_refill(&b->policies, &(struct cache_reader){.each = each, .arg = b});
    assert_true(b->policies.incomplete);
    assert_int_equal(judge_at(b, &h, true, CLONE_LINKED, at(NOON)).reason, REASON_POLICY_DENIED);
    policy_metrics_set(b->policies.items, b->policies.count, b->policies.incomplete);
    double lost = metric_value(&policy_metric_count, METRIC_LABELS("unreadable"));
    assert_true(lost > 0 && lost < 40);
    assert_true(metric_value(&policy_metric_count, METRIC_LABELS("readable")) == 80 - lost);
    assert_true(metric_value(&policy_metric_incomplete, NULL) == 1);
    bench_release(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_many_policies),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_retained),
        cmocka_unit_test(test_who_waits_in_the_queue),
        cmocka_unit_test(test_storage),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_the_first_leaves),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_own_limit),
        cmocka_unit_test(test_own_limit_takes_along),
        cmocka_unit_test(test_the_end_wakes_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
