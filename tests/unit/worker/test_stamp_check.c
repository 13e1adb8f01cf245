/* The verdict on a clone from another namespace is remembered exactly as long as nothing that it
   rests on has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "certs/authority.h"
#include "observe/stamp_check.h"
#include "wukong/stamp/stamp.h"

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
    struct stamp_check_memory call_log = {0};
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 * MIB);
    const struct wukong_effective effective = {
        .is_clone = true, .cross_namespace = true, .source_ns = "there", .source_name = "vm"};
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        const struct look *l = &looks[i];
        const struct wukong w = {
            .name = "w", .ns = "here", .uid = "u", .generation = l->generation};
        const char *before = call_log.permit.refusal;
        /* A verdict that is made anew is another text; the old one is kept alive to tell. */
        CLEANUP_FREE char *held = l->judged_anew ? (char *)call_log.permit.refusal : NULL;
        if (held)
            call_log.permit.refusal = NULL;
        struct stamp_check permit = {0};
        stamp_check_remembered(&call_log, &a, &w, &effective, NULL, l->stamp, l->keys, 0, &permit);
        const char *got = permit.refusal;
        assert_non_null(got); /* none of these is a stamp */
        if ((got != before) != l->judged_anew)
            fail_msg("look %zu", i);
        assert_non_null(strstr(got, l->keys ? "admission stamp" : "public key is not known"));
    }
    stamp_check_memory_release(&call_log);
    assert_false(call_log.known);
}

#define CREATED 1790000000000LL

static void judge_dated(int64_t issued_ms, struct stamp_check_memory *call_log,
                        struct stamp_check *ret)
{
    CLEANUP_ARENA struct arena a;
    CLEANUP_FREE char *key = NULL, *public_key = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT(STAMP_TEXT_MAX);
    struct err err = {0};
    const struct wukong w = {.name = "w", .ns = "here", .uid = "u", .created_ms = CREATED};
    const struct wukong_effective e = {.is_clone = true,
                                       .cross_namespace = true,
                                       .source_type = SOURCE_VM,
                                       .source_ns = "there",
                                       .source_name = "db"};
    const struct stamp stamp = {.ns = "here",
                                .name = "w",
                                .source_kind = "vm",
                                .source_ns = "there",
                                .source_name = "db",
                                .requester = "alice",
                                .issued_ms = issued_ms};
    arena_init(&a, 1 * MIB);
    assert_int_equal(authority_new_key(&key, &public_key, &err), 0);
    assert_int_equal(stamp_sign(&stamp, key, &text, &err), 0);
    stamp_check_remembered(call_log, &a, &w, &e, NULL, text.data, public_key, CREATED, ret);
}

/* A webhook whose clock is wrong is found out by how much it is. */
static void test_another_clock(void **state)
{
    (void)state;
    static const struct {
        int64_t off_ms;
        const char *said; /* NULL: permitted */
    } rows[] = {
        {0, NULL},
        {60000, NULL},
        {-60000, NULL},
        {75000, "75 s after the Wukong's creation"},
        {-4000000, "4000 s before the Wukong's creation"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stamp_check_memory call_log = {0};
        struct stamp_check p = {0};
        judge_dated(CREATED + rows[i].off_ms, &call_log, &p);
        if (!rows[i].said != !p.refusal || (p.refusal && !strstr(p.refusal, rows[i].said)))
            fail_msg("row %zu: %s", i, str_or(p.refusal, "permitted"));
        stamp_check_memory_release(&call_log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_remembered),
                                       cmocka_unit_test(test_another_clock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
