/*
 * Proves that a stamp is good for the object it was made for, in its minute, and for nothing else;
 * and that no damaged, copied or self-made text passes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "certs/authority.h"
#include "wukong/stamp/stamp.h"

#define NOW 1790000000000LL

static char *key, *public_key, *other_key, *other_public;

static int setup(void **state)
{
    (void)state;
    struct err err = {0};
    return authority_new_key(&key, &public_key, &err) |
           authority_new_key(&other_key, &other_public, &err);
}

static int teardown(void **state)
{
    (void)state;
    free(key), free(public_key), free(other_key), free(other_public);
    return 0;
}

static const struct stamp base = {.ns = "team",
                                  .name = "w",
                                  .source_kind = "vmi",
                                  .source_ns = "prod",
                                  .source_name = "db",
                                  .requester = "alice",
                                  .may_start = true,
                                  .issued_ms = NOW};

static enum stamp_verdict verify(const char *text, const char *keys, const struct stamp *expected,
                                 int64_t created_ms, struct stamp *ret)
{
    static struct arena a;
    arena_release(&a);
    arena_init(&a, MIB);
    return stamp_verify(text, keys, expected, created_ms, &a, ret);
}

static void test_binding(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT(STAMP_TEXT_MAX);
    struct err err = {0};
    assert_int_equal(stamp_sign(&base, key, &text, &err), 0);
    CLEANUP_FREE char *both = xasprintf("%s%s", other_public, public_key);
    struct stamp ns = base, name = base, kind = base, source_ns = base, source = base, user = base;
    ns.ns = "other";
    name.name = "w2";
    kind.source_kind = "vm";
    source_ns.source_ns = "team";
    source.source_name = "db2";
    user.requester = "mallory"; /* for the record only: the worker does not know the user */
    const struct {
        const char *what, *keys;
        const struct stamp *expected;
        int64_t created_ms;
        enum stamp_verdict verdict;
    } rows[] = {
        {"as signed", public_key, &base, NOW, STAMP_GOOD},
        {"second key", both, &base, NOW, STAMP_GOOD},
        {"same second", public_key, &base, NOW - 999, STAMP_GOOD},
        {"one minute later", public_key, &base, NOW + STAMP_WINDOW_MS, STAMP_GOOD},
        {"later", public_key, &base, NOW + STAMP_WINDOW_MS + 1, STAMP_LATE},
        {"created long before", public_key, &base, NOW - STAMP_WINDOW_MS - 1, STAMP_LATE},
        {"another key", other_public, &base, NOW, STAMP_FORGED},
        {"no key", "", &base, NOW, STAMP_FORGED},
        {"NULL key", NULL, &base, NOW, STAMP_FORGED},
        {"namespace", public_key, &ns, NOW, STAMP_OTHER},
        {"name", public_key, &name, NOW, STAMP_OTHER},
        {"source kind", public_key, &kind, NOW, STAMP_OTHER},
        {"source namespace", public_key, &source_ns, NOW, STAMP_OTHER},
        {"source", public_key, &source, NOW, STAMP_OTHER},
        {"requester", public_key, &user, NOW, STAMP_GOOD},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum stamp_verdict v =
            verify(text.data, rows[i].keys, rows[i].expected, rows[i].created_ms, NULL);
        if (v != rows[i].verdict)
            fail_msg("%s: %s", rows[i].what, stamp_verdict_names[v]);
    }
    struct stamp read;
    assert_int_equal(verify(text.data, public_key, &base, NOW, &read), STAMP_GOOD);
    assert_string_equal(read.requester, "alice");
    assert_true(read.may_start);
    assert_int_equal(read.issued_ms, NOW);
}

static void test_generate_name(void **state)
{
    (void)state;
    struct stamp made = base;
    made.name = NULL;
    made.generate_name = "w-";
    CLEANUP_BUF struct buf text = BUF_INIT(STAMP_TEXT_MAX);
    struct err err = {0};
    assert_int_equal(stamp_sign(&made, key, &text, &err), 0);
    struct stamp found = base;
    found.name = "w-x7b2q";
    found.generate_name = "w-";
    assert_int_equal(verify(text.data, public_key, &found, NOW, NULL), STAMP_GOOD);
    found.name = "v-x7b2q";
    assert_int_equal(verify(text.data, public_key, &found, NOW, NULL), STAMP_OTHER);
    found.name = "w-x7b2q";
    found.generate_name = NULL;
    assert_int_equal(verify(text.data, public_key, &found, NOW, NULL), STAMP_OTHER);
}

static void test_damage(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT(STAMP_TEXT_MAX);
    struct err err = {0};
    assert_int_equal(stamp_sign(&base, key, &text, &err), 0);
    for (size_t i = 0; i < text.len; i++) {
        CLEANUP_FREE char *damaged = xstrdup(text.data);
        damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify(damaged, public_key, &base, NOW, NULL), STAMP_GOOD);
        damaged[i] = '\0';
        assert_int_not_equal(verify(damaged, public_key, &base, NOW, NULL), STAMP_GOOD);
    }
    const char *const rows[] = {"v1",          "v1.",         "v1..",  "v1.e30.",
                                "v1.e30.AAAA", "v2.e30.AAAA", ".....", "v1.!!!!.AAAA"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_not_equal(verify(rows[i], public_key, &base, NOW, NULL), STAMP_GOOD);
    assert_int_equal(verify(NULL, public_key, &base, NOW, NULL), STAMP_MISSING);
    assert_int_equal(verify("", public_key, &base, NOW, NULL), STAMP_MISSING);
    CLEANUP_FREE char *long_text = xmalloc(STAMP_TEXT_MAX + 10);
    memset(long_text, 'A', STAMP_TEXT_MAX + 9);
    long_text[STAMP_TEXT_MAX + 9] = '\0';
    memcpy(long_text, "v1.", 3);
    long_text[STAMP_TEXT_MAX] = '.';
    assert_int_equal(verify(long_text, public_key, &base, NOW, NULL), STAMP_MALFORMED);
}

static void test_sign_fails(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT(STAMP_TEXT_MAX);
    struct err err = {0};
    assert_int_equal(stamp_sign(&base, public_key, &text, &err), -1);
    CLEANUP_FREE char *name = xmalloc(STAMP_TEXT_MAX + 1);
    memset(name, 'a', STAMP_TEXT_MAX);
    name[STAMP_TEXT_MAX] = '\0';
    struct stamp huge = base;
    huge.requester = name;
    assert_int_equal(stamp_sign(&huge, key, &text, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_int_equal(text.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binding),
        cmocka_unit_test(test_generate_name),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_sign_fails),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
