/* The verdict on a clone from another namespace is remembered exactly as long as nothing that it
   rests on has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "worker/permit.h"

struct look {
    int64_t generation;
    const char *stamp, *keys;
    bool judged_anew;
};

static void test_remembered(void **state)
{
    (void)state;
    static const struct look looks[] = {
        {1, NULL, NULL, true},    {1, NULL, NULL, false},    {1, NULL, "keys", true},
        {1, "a.b", "keys", true}, {1, "a.b", "keys", false}, {2, "a.b", "keys", true},
        {2, "a.c", "keys", true}, {2, "a.c", "other", true}, {2, "a.c", "other", false},
    };
    struct permit_memo memo = {0};
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 * MIB);
    const struct wukong_effective effective = {
        .is_clone = true, .cross_namespace = true, .source_ns = "there", .source_name = "vm"};
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        const struct look *l = &looks[i];
        const struct wukong w = {
            .name = "w", .ns = "here", .uid = "u", .generation = l->generation};
        const char *before = memo.permit.refusal;
        /* A verdict that is made anew is another text; the old one is kept alive to tell. */
        CLEANUP_FREE char *held = l->judged_anew ? (char *)memo.permit.refusal : NULL;
        if (held)
            memo.permit.refusal = NULL;
        struct permit permit = {0};
        permit_remembered(&memo, &a, &w, &effective, NULL, l->stamp, l->keys, 0, &permit);
        const char *got = permit.refusal;
        assert_non_null(got); /* none of these is a stamp */
        if ((got != before) != l->judged_anew)
            fail_msg("look %zu", i);
        assert_non_null(strstr(got, l->keys ? "admission stamp" : "public key is not known"));
    }
    permit_memo_release(&memo);
    assert_false(memo.known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_remembered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
