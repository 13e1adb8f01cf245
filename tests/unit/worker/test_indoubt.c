/*
 * Proves that what a status write announces counts as stored until it is known not to be: no time
 * settles it, however long the watch hangs; an object newer than the one that the write was made
 * from does, and so does the API server's own word, if it was given after the write could still
 * land. And that who is on the list of such a write waits for its leader as long as that, and a
 * slot that was taken with such a write is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/str.h"
#include "clones/share_group.h"
#include "json/json.h"
#include "policy/policy_gate.h"

#define SENT 1000

static struct kube_object *wukong(const char *name, const char *version)
{
    struct kube_object *o = NULL;
    struct err err = {0};
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_FREE char *text = xasprintf(
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"uid\":\"uid-%s\",\"generation\":1,"
        "\"resourceVersion\":\"%s\"},\"spec\":{\"cloneSource\":{\"type\":\"vmi\",\"vmiName\":"
        "\"src\"}},\"status\":{}}",
        name, name, version);
    assert_int_equal(json_parse(text, strlen(text), true, &tree, &err), 0);
    assert_int_equal(kube_object_project(&worker_kinds[KIND_WUKONG], tree, &o, &err), 0);
    return o;
}

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool newer;
    } rows[] = {
        {"9", "10", true}, {"10", "9", false}, {"10", "10", false},
        {"x", "y", true},  {"x", "x", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (kube_version_newer(rows[i].a, rows[i].b) != rows[i].newer)
            fail_msg("%s, %s", rows[i].a, rows[i].b);
}

/* One answer to the write, after another that got none or not. */
static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum call_state state;
        enum err_kind kind;
        int code;
        bool settles, settles_after_a_lost_one;
    } rows[] = {
        {"under way", CALL_FLYING, ERR_NONE, 0, false, false},
        {"stored", CALL_OK, ERR_NONE, 200, true, true},
        {"lost", CALL_FAILED, ERR_AMBIGUOUS, 0, false, false},
        {"etcd did not answer", CALL_FAILED, ERR_AMBIGUOUS, 500, false, false},
        {"unavailable, it says", CALL_FAILED, ERR_UNAVAILABLE, 503, false, false},
        {"not our doing", CALL_FAILED, ERR_INTERNAL, 0, false, false},
        {"never sent", CALL_FAILED, ERR_UNAVAILABLE, 0, true, false},
        {"throttled", CALL_FAILED, ERR_THROTTLED, 429, true, false},
        {"refused", CALL_FAILED, ERR_REFUSED, 422, true, false},
        /* The store is ahead: by the one without an answer, perhaps. */
        {"conflict", CALL_FAILED, ERR_CONFLICT, 409, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int lost = 0; lost < 2; lost++) {
            struct indoubt a = {0};
            const struct call none = {.state = CALL_FAILED, .kind = ERR_AMBIGUOUS};
            const struct call c = {
                .state = rows[i].state, .kind = rows[i].kind, .code = rows[i].code};
            indoubt_open(&a, "7", ANNOUNCED_FREEZE, SENT);
            if (lost)
                assert_false(indoubt_answered(&a, &none));
            bool expected = lost ? rows[i].settles_after_a_lost_one : rows[i].settles;
            if (indoubt_answered(&a, &c) != expected || (a.base == NULL) != expected)
                fail_msg("%s%s", rows[i].name, lost ? ", after a lost one" : "");
            indoubt_close(&a);
        }
}

/* A write from another base stands for itself; one from the same base does not hide a lost one. */
static void test_writes_follow(void **state)
{
    (void)state;
    struct indoubt a = {0};
    const struct call lost = {.state = CALL_FAILED, .kind = ERR_AMBIGUOUS};
    const struct call conflict = {.state = CALL_FAILED, .kind = ERR_CONFLICT, .code = 409};
    indoubt_open(&a, "7", ANNOUNCED_FREEZE, SENT);
    assert_false(indoubt_answered(&a, &lost));
    indoubt_open(&a, "7", 0, SENT + 500);
    assert_int_equal(a.what, ANNOUNCED_FREEZE);
    assert_false(indoubt_answered(&a, &conflict));
    indoubt_open(&a, "8", 0, SENT + 900);
    assert_int_equal(a.what, 0);
    assert_true(indoubt_answered(&a, &conflict));
    assert_false(indoubt_answered(&a, &conflict));
}

/* While it may be stored that all is cut, or that the clone has ended, nothing is made anew; what
   is made is made until such a write is sent, and again when it has come to nothing. The rest goes
   on. */
static void test_a_seal_holds_until_it_is_settled(void **state)
{
    (void)state;
    static const struct {
        enum intent_verb verb;
        bool forbidden;
    } rows[] = {{INTENT_CREATE, true},
                {INTENT_DELETE, false},
                {INTENT_READ, false},
                {INTENT_SUBRESOURCE, false}};
    const struct call lost = {.state = CALL_FAILED, .kind = ERR_AMBIGUOUS};
    const struct call conflict = {.state = CALL_FAILED, .kind = ERR_CONFLICT, .code = 409};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct indoubt a = {0};
        const struct intent intent = {.verb = rows[i].verb};
        assert_false(indoubt_forbids(&a, &intent));
        indoubt_open(&a, "7", ANNOUNCED_FREEZE, SENT);
        assert_false(indoubt_forbids(&a, &intent));
        indoubt_open(&a, "7", ANNOUNCED_SEAL, SENT);
        assert_false(indoubt_answered(&a, &lost));
        indoubt_open(&a, "7", 0, SENT + 500);
        assert_false(indoubt_answered(&a, &conflict));
        assert_int_equal(indoubt_forbids(&a, &intent), rows[i].forbidden);
        CLEANUP_FREE struct kube_object *newer = wukong("a", "8");
        assert_true(indoubt_seen(&a, newer));
        assert_false(indoubt_forbids(&a, &intent));
    }
}

static void test_objects(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        bool settles;
    } rows[] = {{"6", false}, {"7", false}, {"8", true}, {"70", true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE struct kube_object *o = wukong("a", rows[i].version);
        struct indoubt a = {0};
        assert_false(indoubt_seen(&a, o));
        indoubt_open(&a, "7", ANNOUNCED_FREEZE, SENT);
        if (indoubt_seen(&a, o) != rows[i].settles)
            fail_msg("%s", rows[i].version);
        indoubt_close(&a);
    }
}

/* The API server is asked when an answer is lost, now and then; what it says must have been said
   after the write can have landed, unless it shows more. */
static void test_reads(void **state)
{
    (void)state;
    static const struct {
        const char *name, *version; /* NULL: it is not there */
        int64_t asked_ms;
        bool settles;
    } rows[] = {
        {"newer", "8", SENT + 1, true},
        {"the same, the write may be on its way", "7", SENT + INDOUBT_LANDS_MS - 1, false},
        {"the same, the write has come to nothing", "7", SENT + INDOUBT_LANDS_MS, true},
        {"gone", NULL, SENT + 1, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE struct kube_object *o = rows[i].version ? wukong("a", rows[i].version) : NULL;
        struct indoubt a = {0};
        struct call status = {.state = CALL_FLYING};
        const struct call read = {.state = o ? CALL_OK : CALL_FAILED,
                                  .kind = o ? ERR_NONE : ERR_NOT_FOUND};
        indoubt_open(&a, "7", ANNOUNCED_FREEZE, SENT);
        assert_false(indoubt_wants_read(&a, &status, SENT));
        status.state = CALL_FAILED;
        status.kind = ERR_AMBIGUOUS;
        assert_false(indoubt_answered(&a, &status));
        assert_true(indoubt_wants_read(&a, &status, SENT));
        /* A read of before the write says nothing. */
        assert_false(indoubt_read(&a, &read, o));
        a.read_ms = rows[i].asked_ms;
        assert_false(indoubt_wants_read(&a, &status, a.read_ms + INDOUBT_READ_MS - 1));
        assert_true(indoubt_wants_read(&a, &status, a.read_ms + INDOUBT_READ_MS));
        if (indoubt_read(&a, &read, o) != rows[i].settles || (a.base == NULL) != rows[i].settles)
            fail_msg("%s", rows[i].name);
        indoubt_close(&a);
    }
}

/* --- who is listed waits --- */

static const struct kube_object *get(void *arg, enum worker_kind kind, const char *ns,
                                     const char *name)
{
    (void)arg, (void)kind, (void)ns, (void)name;
    return NULL;
}

static enum share_role role_of(const struct share_group *p)
{
    CLEANUP_ARENA struct arena a;
    struct wukong w = {.name = p->self->name, .ns = "ns", .uid = p->self->uid};
    struct clone_state v = {.arena = &a, .wukong = &w};
    arena_init(&a, 64 * KIB);
    w.spec.source = (struct wukong_source){.present = true, .type = SOURCE_VMI, .vmi_name = "src"};
    v.effective = wukong_resolve_defaults(&w.spec, "ns");
    share_group_observe(p, &v);
    return v.share.role;
}

static void begin(const struct share_group *leader, const struct clone *member)
{
    struct clone_state v = {0};
    const struct share_member list[] = {{member->uid, member->name, member->share.attempt_id}};
    struct decision d = {
        .record.attempt = {.source_uid = "vmi", .members = list, .member_count = 1}};
    share_group_note(leader, &v, &d);
}

static void test_listed_waits(void **state)
{
    (void)state;
    static const int64_t hour = 3600000;
    struct clone_table all = {0};
    const struct cache_reader caches = {.get = get};
    struct clone *e[2];
    for (int i = 0; i < 2; i++) {
        CLEANUP_FREE struct kube_object *o = wukong(i ? "member" : "leader", "7");
        e[i] = clone_table_add(&all, "ns", o->name, o->uid);
        (void)clone_table_summarise(&all, e[i], o);
    }
    const struct share_group leader = {&all, e[0], &caches, {SENT, SENT}};
    const struct share_group member = {&all, e[1], &caches, {SENT + hour, SENT + hour}};
    begin(&leader, e[1]);
    /* Nothing was sent. */
    assert_int_equal(role_of(&member), SHARE_NONE);
    indoubt_open(&e[0]->announced, "7", 0, SENT);
    assert_int_equal(role_of(&member), SHARE_BOUND);
    indoubt_close(&e[0]->announced);
    share_group_freed(&all, e[0]);
    assert_int_equal(role_of(&member), SHARE_NONE);
    /* Bound to nobody any more, whatever that one announces next. */
    indoubt_open(&e[0]->announced, "8", ANNOUNCED_FREEZE, SENT);
    assert_int_equal(role_of(&member), SHARE_NONE);
    clone_table_release(&all);
}

/* --- a slot --- */

/* Held back again, or deleted, while it may have begun: another clone must not begin in its place.
 */
static void test_slot_is_kept(void **state)
{
    (void)state;
    for (int deleted = 0; deleted < 2; deleted++) {
        CLEANUP_ARENA struct arena a;
        CLEANUP_FREE struct kube_object *o = wukong("a", "7");
        struct clone_table all = {0};
        const struct policy_cache none = {.filled = true};
        const struct policy_gate p = {.clones = &all, .policies = &none};
        struct wukong w = {.name = "a", .ns = "ns", .uid = "uid-a", .deleted_ms = deleted};
        struct clone_state v = {.arena = &a, .wukong = &w, .permit = {.refusal = "no"}};
        struct clone *e = clone_table_add(&all, "ns", "a", "uid-a");
        arena_init(&a, MIB);
        (void)clone_table_summarise(&all, e, o);
        usage_hold(&all.usage, &e->usage);
        indoubt_open(&e->announced, "7", 0, SENT);
        policy_gate_judge(&p, e, o, &v);
        assert_true(e->usage.holds);
        indoubt_close(&e->announced);
        policy_gate_judge(&p, e, o, &v);
        assert_false(e->usage.holds);
        clone_table_release(&all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_writes_follow),
        cmocka_unit_test(test_a_seal_holds_until_it_is_settled),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_listed_waits),
        cmocka_unit_test(test_slot_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
