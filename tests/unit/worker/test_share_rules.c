/*
 * Proves who shares whose snapshot: which fields keep two Wukongs apart, who leads, how long a
 * leader waits for others, who is in the group when it closes, and whose failure counts for all.
 * The rows are from the product's description of batches, not from the code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/str.h"
#include "clones/share_rules.h"
#include "steps/steps.h"

/* --- what keeps apart --- */

struct spec_row {
    const char *name;
    void (*change)(struct wukong *w);
    bool apart;
};

static const char *const gate_names[] = {"example.com/flushed", "example.com/other"};
static struct wukong_disk disks[2];

static void other_namespace(struct wukong *w)
{
    w->ns = "b";
}
static void other_source_namespace(struct wukong *w)
{
    w->spec.source.ns = "c";
}
static void other_quiesce(struct wukong *w)
{
    w->spec.source.quiesce = QUIESCE_REQUIRED;
}
static void other_method(struct wukong *w)
{
    w->spec.source.method = METHOD_VM_SNAPSHOT;
}
static void other_class(struct wukong *w)
{
    w->spec.source.snapshot_class = "slow";
}
static void same_by_default(struct wukong *w)
{
    w->spec.source.method = METHOD_AUTO;
}
static void one_gate(struct wukong *w)
{
    w->spec.source.gates = (const char **)gate_names;
    w->spec.source.gate_count = 1;
}
static void one_disk(struct wukong *w)
{
    disks[0] = (struct wukong_disk){.name = "root"};
    w->spec.disks = disks;
    w->spec.disk_count = 1;
}
static void allow(struct wukong *w)
{
    w->spec.source.allow_unsnapshottable = TRI_TRUE;
}
static void more_cpu(struct wukong *w)
{
    w->spec.has_cpu = true, w->spec.cpu = 8;
}
static void replicas(struct wukong *w)
{
    w->spec.has_replicas = true, w->spec.replicas = 3;
}
static void off(struct wukong *w)
{
    w->spec.start.auto_start = TRI_FALSE;
}
static void deadline(struct wukong *w)
{
    w->spec.source.has_deadline = true;
    w->spec.source.deadline_s = 60;
}

static struct wukong plain(void)
{
    struct wukong w = {.name = "w", .ns = "a", .uid = "u"};
    w.spec.source = (struct wukong_source){.present = true, .type = SOURCE_VMI, .vmi_name = "src"};
    return w;
}

static char *key_of(const struct wukong *w)
{
    struct wukong_effective e = wukong_resolve_defaults(&w->spec, w->ns);
    CLEANUP_BUF struct buf out = BUF_INIT(8192);
    share_write_key(w, &e, &out);
    assert_true(buf_ok(&out));
    return xstrdup(out.data);
}

static void test_what_keeps_apart(void **state)
{
    (void)state;
    static const struct spec_row rows[] = {
        {"namespace", other_namespace, true},
        {"source's namespace", other_source_namespace, true},
        {"quiesce", other_quiesce, true},
        {"method", other_method, true},
        {"snapshot class", other_class, true},
        {"gates", one_gate, true},
        {"disks", one_disk, true},
        {"allowUnsnapshottable", allow, true},
        {"what is the default, written", same_by_default, false},
        {"cpu", more_cpu, false},
        {"replicas", replicas, false},
        {"not started", off, false},
        {"deadline", deadline, false},
    };
    struct wukong base = plain();
    CLEANUP_FREE char *first = key_of(&base);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wukong other = plain();
        other.name = "x";
        other.uid = "v";
        rows[i].change(&other);
        CLEANUP_FREE char *second = key_of(&other);
        if (str_eq(first, second) == rows[i].apart)
            fail_msg("%s: %s and %s", rows[i].name, first, second);
    }
}

/* "a" and "b,c" are not "a,b" and "c". */
static void test_names_do_not_run_into_each_other(void **state)
{
    (void)state;
    struct wukong one = plain(), two = plain();
    one.spec.source.snapshot_class = "x\",\"y";
    two.spec.source.snapshot_class = "x";
    CLEANUP_FREE char *a = key_of(&one);
    CLEANUP_FREE char *b = key_of(&two);
    assert_string_not_equal(a, b);
}

static void test_which_kinds_share(void **state)
{
    (void)state;
    struct wukong_effective e = {
        .is_clone = true, .clone_type = CLONE_RUNNING, .method = METHOD_VOLUME_SNAPSHOT};
    assert_true(share_possible(&e));
    e.method = METHOD_VM_SNAPSHOT;
    assert_false(share_possible(&e));
    e.method = METHOD_VOLUME_SNAPSHOT;
    e.clone_type = CLONE_LINKED;
    assert_false(share_possible(&e));
    e.clone_type = CLONE_FULL;
    assert_false(share_possible(&e));
}

static void test_rounds(void **state)
{
    (void)state;
    struct wukong w = plain();
    struct clone_record r = {0};
    char first[ATTEMPT_ID_TEXT], other[ATTEMPT_ID_TEXT];
    share_write_attempt_id(&w, &r, first);
    r.attempts = 1; /* the first attempt, begun or not */
    share_write_attempt_id(&w, &r, other);
    assert_string_equal(first, other);
    r.attempts = 2;
    share_write_attempt_id(&w, &r, other);
    assert_string_not_equal(first, other);
    r = (struct clone_record){.retry_token = "again"};
    share_write_attempt_id(&w, &r, other);
    assert_string_not_equal(first, other);
    r.retry_token = NULL;
    w.generation = 2; /* its gates may have been edited */
    share_write_attempt_id(&w, &r, other);
    assert_string_not_equal(first, other);
}

/* --- who leads, and when --- */

#define NOW 100000
struct judge_row {
    const char *name;
    struct share_candidate self, candidates[2];
    int64_t lead_since_ms;
    enum share_role role;
    int64_t until_ms;
    const char *leader;
};
#define PEER(id, created, seen, st, eq)                                                            \
    {                                                                                              \
        .uid = id, .name = id, .attempt_id = "r", .created_ms = created, .seen_ms = seen,          \
        .state = st, .equal = eq                                                                   \
    }
#define SELF PEER("m", 5000, NOW - 9000, SHARE_READY, true)
#define NOBODY PEER("z", 9000, 0, SHARE_BLOCKED, false)

static const struct judge_row lead_rows[] = {
    {"alone", SELF, {NOBODY, NOBODY}, 0, SHARE_LEAD, 0, NULL},
    {"blocked ones are no company",
     SELF,
     {PEER("a", 1000, NOW, SHARE_BLOCKED, false), NOBODY},
     0,
     SHARE_LEAD,
     0,
     NULL},
    {"an older one leads",
     SELF,
     {PEER("a", 4000, NOW - 9000, SHARE_READY, true), NOBODY},
     0,
     SHARE_FOLLOW,
     0,
     "a"},
    {"of one second the smaller UID",
     SELF,
     {PEER("a", 5000, NOW - 9000, SHARE_READY, true), NOBODY},
     0,
     SHARE_FOLLOW,
     0,
     "a"},
    {"the greater UID follows",
     SELF,
     {PEER("n", 5000, NOW - 9000, SHARE_READY, true), NOBODY},
     0,
     SHARE_LEAD,
     0,
     NULL},
    {"the oldest of all",
     SELF,
     {PEER("b", 4000, 0, SHARE_READY, true), PEER("c", 3000, 0, SHARE_READY, true)},
     0,
     SHARE_FOLLOW,
     0,
     "c"},
    {"ready, but from another source",
     SELF,
     {PEER("a", 4000, NOW, SHARE_READY, false), NOBODY},
     0,
     SHARE_LEAD,
     0,
     NULL},
    {"an older one that is not ready does not lead",
     SELF,
     {PEER("a", 4000, NOW - 200, SHARE_COMING, false), NOBODY},
     NOW - 100,
     SHARE_LINGER,
     NOW + 800,
     NULL},
    {"another appeared 200 ms ago",
     SELF,
     {PEER("n", 6000, NOW - 200, SHARE_READY, true), NOBODY},
     NOW - 100,
     SHARE_LINGER,
     NOW + 800,
     NULL},
    {"a second of quiet",
     SELF,
     {PEER("n", 6000, NOW - 1000, SHARE_READY, true), NOBODY},
     NOW - 100,
     SHARE_LEAD,
     0,
     NULL},
    {"one is coming",
     SELF,
     {PEER("n", 6000, NOW - 2000, SHARE_COMING, false), NOBODY},
     NOW - 100,
     SHARE_LINGER,
     NOW + 250,
     NULL},
    {"never longer than 5 s",
     SELF,
     {PEER("n", 6000, NOW, SHARE_COMING, false), NOBODY},
     NOW - 5000,
     SHARE_LEAD,
     0,
     NULL},
    {"the end of the 5 s comes first",
     SELF,
     {PEER("n", 6000, NOW - 10, SHARE_COMING, false), NOBODY},
     NOW - 4900,
     SHARE_LINGER,
     NOW + 100,
     NULL},
};

static void test_who_leads_and_when(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lead_rows); i++) {
        const struct judge_row *r = &lead_rows[i];
        struct share_verdict v = share_judge(&r->self, r->candidates, 2, r->lead_since_ms, NOW);
        if (v.role != r->role || v.until_ms != r->until_ms ||
            !str_eq(v.leader ? v.leader->uid : NULL, r->leader))
            fail_msg("%s: role %d until %lld by %s", r->name, (int)v.role, (long long)v.until_ms,
                     v.leader ? v.leader->uid : "itself");
    }
}

/* A leader that cannot write its record is passed over, and leads again when there is nobody else.
 */
static void test_stuck_leader(void **state)
{
    (void)state;
    struct share_candidate self = SELF, older = PEER("a", 1000, 0, SHARE_READY, true);
    older.stuck = true;
    assert_int_equal(share_judge(&self, &older, 1, 0, NOW).role, SHARE_LEAD);
    self.stuck = true;
    struct share_candidate younger = PEER("n", 6000, 0, SHARE_READY, true);
    assert_int_equal(share_judge(&self, &younger, 1, 0, NOW).role, SHARE_FOLLOW);
    assert_int_equal(share_judge(&self, NULL, 0, 0, NOW).role, SHARE_LEAD);
}

static void test_members(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    static struct share_candidate many[SHARE_MEMBERS_MAX + 3];
    static char names[ARRAY_LEN(many)][8];
    size_t count = 0;
    arena_init(&a, MIB);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        (void)snprintf(names[i], sizeof names[i], "u%03zu", ARRAY_LEN(many) - i);
        many[i] = (struct share_candidate)PEER(names[i], 1000, 0, SHARE_READY, true);
    }
    many[5].state = SHARE_COMING;
    many[6].equal = false;
    const char *coming = many[5].uid, *unequal = many[6].uid;
    const struct share_member *list = share_members(&a, many, ARRAY_LEN(many), &count);
    assert_int_equal(count, SHARE_MEMBERS_MAX);
    assert_string_equal(list[0].uid, "u001");
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || strcmp(list[i - 1].uid, list[i].uid) < 0);
        assert_string_not_equal(list[i].uid, coming);
        assert_string_not_equal(list[i].uid, unequal);
    }
}

static void test_whose_failure(void **state)
{
    (void)state;
    static const struct {
        const char *reason;
        bool terminal, common;
    } rows[] = {
        {"FreezeFailed", false, true},      {"FreezeLost", false, true},
        {"CutTimeout", false, true},        {"SnapshotLost", false, true},
        {"SourceChanged", false, true},     {"QuotaExceeded", false, true},
        {"NameTaken", false, false},        {"DeadlineExceeded", true, false},
        {"SourceUnsupported", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct clone_record r = {.error = {.reason = rows[i].reason, .terminal = rows[i].terminal}};
        if (share_failure_is_common(&r) != rows[i].common)
            fail_msg("%s", rows[i].reason);
    }
}

/* A minute after the cut is recorded nobody begins to take it over, and half a minute later nobody
   can be doing so. The record decides, so that a worker that has just started (it saw the cut a
   moment ago) offers nothing that the one before it may have removed; a clock that is set back
   prolongs nothing. */
static void test_how_long_a_cut_is_offered(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t recorded_ago_ms, seen_ago_ms; /* -1: not seen yet */
        bool offered, held;
    } rows[] = {
        {"just recorded", 500, 0, true, true},
        {"not noted yet", 500, -1, true, true},
        {"shortly before the end", 59999, 50000, true, true},
        {"at the end", 60000, 50000, false, true},
        {"the last take-over may be in the store", 89999, 80000, false, true},
        {"over", 90000, 80000, false, false},
        {"a worker started after the end", 198000, 10, false, false},
        {"a worker started after the end, not noted yet", 198000, -1, false, false},
        {"clock set back", -600000, 59999, true, true},
        {"clock set back, at the end", -600000, 60000, false, true},
        {"clock set back, over", -600000, 90000, false, false},
    };
    const struct now now = {.wall_ms = 1800000000000, .mono_ms = 5000000};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t until = now.wall_ms - rows[i].recorded_ago_ms + 60000;
        int64_t seen = rows[i].seen_ago_ms < 0 ? 0 : now.mono_ms - rows[i].seen_ago_ms;
        if (share_offered(until, seen, 0, &now) != rows[i].offered ||
            share_offered(until, seen, SHARE_SETTLE_MS, &now) != rows[i].held)
            fail_msg("%s", rows[i].name);
    }
    assert_false(share_offered(0, 0, SHARE_SETTLE_MS, &now));
}

/* Who is on the list of a freeze or a cut is held back by nothing that would hold back its own: its
   point in time is being fixed, and its application keeps still for it. */
static void test_who_is_listed_is_not_held(void **state)
{
    (void)state;
    static const struct {
        enum share_role role;
        enum step_status expected;
    } rows[] = {
        {SHARE_NONE, STEP_WAIT},  {SHARE_FOLLOW, STEP_WAIT},    {SHARE_LEAD, STEP_WAIT},
        {SHARE_BOUND, STEP_DONE}, {SHARE_TAKE_OVER, STEP_DONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wukong w = plain();
        struct call_log call_log = {0};
        struct why why = {0};
        one_gate(&w);
        struct clone_state v = {.wukong = &w,
                                .call_log = &call_log,
                                .share = {.role = rows[i].role},
                                .policy = {.reason = REASON_OUTSIDE_WINDOW}};
        v.effective = wukong_resolve_defaults(&w.spec, w.ns);
        bool done = rows[i].expected == STEP_DONE;
        if (step_policy_check(&v, &why) != rows[i].expected ||
            (step_source_check(&v, &why) == STEP_DONE) != done ||
            (step_gates_check(&v, &why) == STEP_DONE) != done)
            fail_msg("role %d", rows[i].role);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_keeps_apart),
        cmocka_unit_test(test_names_do_not_run_into_each_other),
        cmocka_unit_test(test_which_kinds_share),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_who_leads_and_when),
        cmocka_unit_test(test_stuck_leader),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_whose_failure),
        cmocka_unit_test(test_how_long_a_cut_is_offered),
        cmocka_unit_test(test_who_is_listed_is_not_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
