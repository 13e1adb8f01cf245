/*
 * Proves that calls are told apart by value and not by spelling, that each is named in traces as
 * docs/contributor/debugging.md shows it, and that a proof is never taken for a request.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"
#include "observe/call_log.h"

#include "call_name.h"

/* The names that people and their scripts know from the trace. */
static void test_each_call_has_its_name(void **state)
{
    (void)state;
    const struct {
        struct call_key key;
        const char *name;
    } rows[] = {
        {call_key(CALL_STATUS), "status"},
        {call_key(CALL_FINALIZER_ADD), "finalizer/add"},
        {call_key_named(CALL_READ_SOURCE_VMI, "shop"), "read/vmi/shop"},
        {call_key_named(CALL_READ_SOURCE_ABSENT, "shop"), "read/absent/shop"},
        {call_key_named(CALL_EXPAND_SOURCE, "any"), "read/spec/expand"},
        {call_key_numbered(CALL_LOOK_AFTER_VM, 3), "read/after-vm/3"},
        {call_key_numbered(CALL_FREEZE, 1790000000000), "freeze/1790000000000"},
        {{.kind = CALL_PODS_BEFORE, .page = 2}, "pods/before/2"},
        {{.kind = CALL_PODS_AFTER, .number = 3, .page = 2}, "pods/after/3/2"},
        {{.kind = CALL_DRY_CLAIM, .number = 2, .name = "w-root"}, "dry/2/claim/w-root"},
        {call_key_object(CALL_NEED, "ConfigMap", "ns", "settings"), "need/ConfigMap/ns/settings"},
        {call_key_object(CALL_NEED, "Preference", NULL, "p"), "need/Preference//p"},
        {call_key_object(CALL_READ_LIVE, "virtualmachines", NULL, "w"), "read/virtualmachines/w"},
        {call_key_named(CALL_READ_BOUND_CONTENT, "uid"), "read/content/uid/bound"},
        {call_key_object(CALL_LIST_LEFT, "volumesnapshots", "ns", NULL), "left/volumesnapshots/ns"},
        {call_key_named(CALL_SET_DELETE, "c"), "policy/c"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(call_name(&rows[i].key), rows[i].name);
    for (size_t k = CALL_UNNAMED + 1; k < CALL_KINDS; k++)
        if (str_empty(call_kinds[k].name))
            fail_msg("kind %zu has no name", k);
}

/* As texts each pair was one and the same slot. */
static void test_the_same_spelling_is_not_the_same_call(void **state)
{
    (void)state;
    const struct {
        struct call_key a, b;
    } rows[] = {
        {call_key_object(CALL_NEED, "K", "a", "b/c"), call_key_object(CALL_NEED, "K", "a/b", "c")},
        {call_key_named(CALL_OWN_CLAIM, "x"), call_key_named(CALL_OWN_VM, "x")},
        {call_key_named(CALL_READ_SOURCE_VM, "x"),
         call_key_object(CALL_READ_LIVE, "vm", NULL, "x")},
        {call_key_named(CALL_READ_CONTENT, "x/bound"),
         call_key_named(CALL_READ_BOUND_CONTENT, "x")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *a = xstrdup(call_name(&rows[i].a));
        assert_string_equal(a, call_name(&rows[i].b));
        assert_false(call_key_equal(&rows[i].a, &rows[i].b));
        assert_true(call_key_equal(&rows[i].a, &rows[i].a));
    }
}

/* A call is found by an equal key, wherever the texts of either stand. */
static void test_a_call_keeps_its_key(void **state)
{
    (void)state;
    struct call_log call_log = {0};
    CLEANUP_FREE char *name = xstrdup("w-root"), *ns = xstrdup("ns");
    struct call_key key = call_key_object(CALL_NEED, "ConfigMap", ns, name);
    struct call *made = call_log_get(&call_log, key);
    *name = *ns = '?';
    assert_string_equal(call_name(&made->key), "need/ConfigMap/ns/w-root");
    assert_null(call_log_find(&call_log, key));
    assert_ptr_equal(
        call_log_find(&call_log, call_key_object(CALL_NEED, "ConfigMap", "ns", "w-root")), made);
    assert_ptr_equal(call_log_get(&call_log, made->key), made);
    assert_true(call_log_has(&call_log, CALL_NEED, "ConfigMap"));
    assert_false(call_log_has(&call_log, CALL_NEED, "Secret"));
    call_log_forget(&call_log, CALL_DELETE);
    assert_non_null(call_log.calls);
    call_log_forget(&call_log, CALL_NEED);
    assert_null(call_log.calls);
}

/* What is proven of one freeze says nothing of another, and is no call that could be retried or
   counted. */
static void test_a_proof_is_no_call(void **state)
{
    (void)state;
    struct call_log call_log = {0};
    call_log_prove(&call_log, (struct freeze_proof){PROOF_ARMED, 7})->sent_mono_ms = 5;
    assert_null(call_log.calls);
    assert_int_equal(call_log_proven(&call_log, PROOF_ARMED, 7)->sent_mono_ms, 5);
    assert_null(call_log_proven(&call_log, PROOF_ARMED, 8));
    assert_null(call_log_proven(&call_log, PROOF_HELD, 7));
    call_log_get(&call_log, call_key_numbered(CALL_THAW, 7))->state = CALL_OK;
    assert_null(call_log_proven(&call_log, PROOF_THAW_WORKED, 7));
    call_log_release(&call_log);
    assert_null(call_log_proven(&call_log, PROOF_ARMED, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_has_its_name),
        cmocka_unit_test(test_the_same_spelling_is_not_the_same_call),
        cmocka_unit_test(test_a_call_keeps_its_key),
        cmocka_unit_test(test_a_proof_is_no_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
