/*
 * Proves that a right which was taken away is not kept by a clone that waits: whoever changes when,
 * or whether, an admitted clone of another namespace runs is asked for the right anew, at both
 * endpoints, and the clone is that user's from then on: its stamp names him and the object's UID.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admission_world.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/stamp/stamp.h"

#define STAMP "metadata.annotations[vm.novasphere.dev/admission]"
#define OBJECT(annotations, more)                                                                  \
    "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{'name':'w','uid':'u1'" \
    ",'namespace':'team','annotations':{" annotations "}},'spec':{'reclaimPolicy':'Delete',"       \
    "'cloneSource':{'type':'vmi','vmiName':'db','cloneType':'running','namespace':'prod'" more     \
    "}}}"
#define OLD "'vm.novasphere.dev/admission':'v1.x.y'"

/* What changes, and whether the right is asked for. */
static const struct {
    const char *what, *old, *object;
    bool asked;
} rows[] = {
    {"nothing", OBJECT(OLD, ""), OBJECT(OLD, ""), false},
    {"notBefore removed", OBJECT(OLD, ",'notBefore':'2099-01-01T00:00:00Z'"), OBJECT(OLD, ""),
     true},
    {"notBefore added", OBJECT(OLD, ""), OBJECT(OLD, ",'notBefore':'2099-01-01T00:00:00Z'"), true},
    {"window", OBJECT(OLD, ",'window':{'schedule':'0 1 * * *','duration':'1h'}"),
     OBJECT(OLD, ",'window':{'schedule':'* * * * *','duration':'1h'}"), true},
    {"gates", OBJECT(OLD, ",'gates':['a/B']"), OBJECT(OLD, ",'gates':[]"), true},
    {"deadline", OBJECT(OLD, ""), OBJECT(OLD, ",'deadlineSeconds':7200"), true},
    {"default deadline said", OBJECT(OLD, ""), OBJECT(OLD, ",'deadlineSeconds':3600"), false},
    {"retryLimit", OBJECT(OLD, ""), OBJECT(OLD, ",'retryLimit':50"), true},
    {"retry", OBJECT(OLD, ""), OBJECT(OLD ",'vm.novasphere.dev/retry':'1'", ""), true},
    {"retry again", OBJECT(OLD ",'vm.novasphere.dev/retry':'1'", ""),
     OBJECT(OLD ",'vm.novasphere.dev/retry':'2'", ""), true},
    {"retry removed", OBJECT(OLD ",'vm.novasphere.dev/retry':'1'", ""), OBJECT(OLD, ""), false},
    {"another annotation", OBJECT(OLD, ""), OBJECT(OLD ",'a':'b'", ""), false},
};

static void test_who_may_not_is_refused(void **state)
{
    (void)state;
    struct world w = {.user = "mallory", .may_clone = false};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
            CLEANUP_JUDGED struct judged j;
            world_judge(&w, (enum admission_endpoint)e, "UPDATE", "team", rows[i].object,
                        rows[i].old, &j);
            enum admission_verdict wanted = rows[i].asked ? VERDICT_DENIED : VERDICT_ALLOWED;
            if (j.result.verdict != wanted || str_empty(j.asked) == rows[i].asked)
                fail_msg("%s, endpoint %d: asked \"%s\": %s", rows[i].what, e, j.asked, j.text);
            if (rows[i].asked)
                assert_non_null(strstr(j.text, "mallory"));
        }
}

/* A right that cannot be looked up is neither given nor denied. */
static void test_what_is_not_known_is_no_answer(void **state)
{
    (void)state;
    struct world w = {.user = "alice", .may_clone = true, .access_code = 500};
    CLEANUP_JUDGED struct judged j;
    world_judge(&w, ADMISSION_MUTATE, "UPDATE", "team", rows[1].object, rows[1].old, &j);
    assert_int_equal(j.result.verdict, VERDICT_UNDECIDED);
}

static enum stamp_verdict verify(const cJSON *object, const char *uid, struct stamp *ret,
                                 struct arena *a)
{
    const struct stamp expected = {.ns = "team",
                                   .name = "w",
                                   .uid = uid,
                                   .source_kind = "vmi",
                                   .source_ns = "prod",
                                   .source_name = "db"};
    arena_init(a, MIB);
    /* Created a year before: the UID binds it, not the moment. */
    return stamp_verify(json_str(object, STAMP), world_public_key, &expected,
                        WORLD_NOW - 365LL * 24 * 3600 * 1000, a, ret);
}

static void test_the_asker_is_stamped(void **state)
{
    (void)state;
    struct world w = {.user_info = "{'username':'bob','groups':['team','system:authenticated']}",
                      .user = "bob",
                      .may_clone = true};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JUDGED struct judged j = {0}, again = {0}, other = {0};
        struct arena a;
        struct stamp found = {0};
        world_judge(&w, ADMISSION_MUTATE, "UPDATE", "team", rows[i].object, rows[i].old, &j);
        assert_int_equal(j.result.verdict, VERDICT_ALLOWED);
        if (!rows[i].asked) {
            assert_string_equal(json_str(j.object, STAMP), "v1.x.y");
            continue;
        }
        if (verify(j.object, "u1", &found, &a) != STAMP_GOOD || !str_eq(found.requester, "bob"))
            fail_msg("%s: %s", rows[i].what, j.text);
        /* The worker asks for the right again: it may be the group's. */
        assert_int_equal(found.group_count, 2);
        assert_string_equal(found.groups[0], "team");
        arena_release(&a);
        assert_int_equal(verify(j.object, "u2", &found, &a), STAMP_OTHER);
        arena_release(&a);
        /* The validating endpoint takes this stamp, from this user alone. */
        CLEANUP_FREE char *after = json_print(j.object);
        world_judge(&w, ADMISSION_VALIDATE, "UPDATE", "team", after, rows[i].old, &again);
        if (again.result.verdict != VERDICT_ALLOWED)
            fail_msg("%s: %s", rows[i].what, again.text);
        struct world else_ = {.user = "carol", .may_clone = true};
        world_judge(&else_, ADMISSION_VALIDATE, "UPDATE", "team", after, rows[i].old, &other);
        assert_int_equal(other.result.verdict, VERDICT_DENIED);
    }
}

/* A stamp that nobody asked for anew is not changed, be it ever so genuine. */
static void test_a_true_stamp_is_no_way_in(void **state)
{
    (void)state;
    struct world w = {.user = "bob", .may_clone = true};
    CLEANUP_JUDGED struct judged j, moved;
    world_judge(&w, ADMISSION_MUTATE, "UPDATE", "team", rows[1].object, rows[1].old, &j);
    CLEANUP_FREE char *after = json_print(j.object);
    world_judge(&w, ADMISSION_VALIDATE, "UPDATE", "team", after, rows[0].old, &moved);
    assert_int_equal(moved.result.verdict, VERDICT_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_may_not_is_refused),
        cmocka_unit_test(test_what_is_not_known_is_no_answer),
        cmocka_unit_test(test_the_asker_is_stamped),
        cmocka_unit_test(test_a_true_stamp_is_no_way_in),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
