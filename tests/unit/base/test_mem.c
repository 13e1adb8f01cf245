/*
 * Proves that an arena hands out aligned memory that stays where it is, never more than its
 * maximum, and remembers a failure; that errors wrap and are cut at characters; that the random
 * generator repeats itself and stays within its range; that what is trimmed is still there.
 */
#include "test.h"

#include <link.h>
#include <stdalign.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

static void test_arena(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    char *kept[200];
    arena_init(&a, 100000);
    for (unsigned i = 0; i < 200; i++) {
        void *p = arena_alloc(&a, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        memset(p, 0xAA, i);
        kept[i] = arena_printf(&a, "text %u", i);
        assert_non_null(kept[i]);
    }
    for (unsigned i = 0; i < 200; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "text %u", i);
        assert_string_equal(kept[i], expected);
    }
    assert_null(arena_strdup(&a, NULL));
    assert_string_equal(arena_strdup(&a, ""), "");
    assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
    assert_false(a.failed);
}

static void test_arena_is_bounded(void **state)
{
    (void)state;
    for (size_t max = 64; max < 20000; max += 997) {
        CLEANUP_ARENA struct arena a;
        size_t got = 0;
        arena_init(&a, max);
        while (arena_alloc(&a, 16) && got <= max)
            got += 16;
        assert_true(got <= max);
        assert_true(got + 64 > max / 2);
        assert_true(a.failed);
        assert_null(arena_alloc(&a, max));
        assert_null(arena_alloc(&a, SIZE_MAX));
        assert_null(arena_printf(&a, "%*s", (int)max, "x"));
    }
    CLEANUP_ARENA struct arena big;
    arena_init(&big, 1000000);
    assert_non_null(arena_alloc(&big, 900000)); /* larger than any block */
    assert_null(arena_alloc(&big, 200000));
}

static void test_errors(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, ERR_CONFLICT, "object %d", 7), -1);
    assert_int_equal(err_wrap(&err, "patching %s", "x"), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    assert_string_equal(err.message, "patching x: object 7");
    assert_int_equal(err_set(NULL, ERR_LIMIT, "nobody asks"), -1);
    assert_int_equal(err_wrap(NULL, "nobody asks"), -1);
    assert_string_equal(err_kind_name(ERR_EXISTS), "AlreadyExists");

    /* Three bytes a character: wherever the cut comes, what is left is whole characters. */
    for (size_t shift = 0; shift < 3; shift++) {
        char text[3 * ERR_MESSAGE_MAX] = "";
        for (size_t i = 0; i < ERR_MESSAGE_MAX - 1; i++)
            memcpy(text + shift + 3 * i, "\xE2\x82\xAC", 3);
        memset(text, 'a', shift);
        (void)err_set(&err, ERR_INVALID, "%s", text);
        assert_true(strlen(err.message) > ERR_MESSAGE_MAX - 8);
        assert_int_equal((strlen(err.message) - shift) % 3, 0);
        (void)err_wrap(&err, "more");
        assert_int_equal((strlen(err.message) - shift - strlen("more: ")) % 3, 0);
    }
}

static void test_rng(void **state)
{
    (void)state;
    struct rng a, b;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    bool low = false, high = false;
    for (unsigned i = 0; i < 10000; i++) {
        int64_t x = rng_range(&a, -3, 3);
        assert_true(x == rng_range(&b, -3, 3));
        assert_in_range(x + 3, 0, 6);
        low |= x == -3;
        high |= x == 3;
        int64_t j = rng_jitter(&a, 1000, 50);
        assert_true(j == rng_jitter(&b, 1000, 50));
        assert_in_range(j, 1000, 1500);
        assert_false(rng_chance(&a, 0));
        assert_false(rng_chance(&b, 0));
        assert_true(rng_chance(&a, 1000));
        assert_true(rng_chance(&b, 1000));
    }
    assert_true(low && high);
    rng_seed(&b, 43);
    assert_true(rng_next(&a) != rng_next(&b));
    rng_seed_system(&a);
    rng_seed_system(&b);
    assert_true(rng_next(&a) != rng_next(&b));
    assert_true(rng_jitter(&a, 0, 100) == 0);
}

/* KiB of files that are in our memory: programs and libraries. */
static long file_kib(void)
{
    CLEANUP_BUF struct buf text = BUF_INIT(64 * KIB);
    struct err err = {0};
    assert_int_equal(buf_read_file(&text, "/proc/self/status", &err), 0);
    const char *at = strstr(text.data, "RssFile:");
    assert_non_null(at);
    return strtol(at + strlen("RssFile:"), NULL, 10);
}

/* Red zones between constants are read, too. */
__attribute__((no_sanitize("address"))) static int touch(struct dl_phdr_info *info, size_t size,
                                                         void *arg)
{
    (void)size;
    unsigned *sum = arg;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        const volatile unsigned char *bytes = (const void *)(info->dlpi_addr + h->p_vaddr);
        bool plain = h->p_type == PT_LOAD && (h->p_flags & PF_R) && !(h->p_flags & PF_W);
        for (size_t at = 0; plain && at < h->p_memsz; at += 4096)
            *sum += bytes[at];
    }
    return 0;
}

/* Pages of libraries that were read are given back, and hold the same when they are read again;
   what was written stays. */
static void test_trim(void **state)
{
    (void)state;
    static char written[64 * KIB] = "written";
    CLEANUP_FREE char *heap = xstrdup("on the heap");
    unsigned before = 0, after = 0;
    dl_iterate_phdr(touch, &before);
    long full = file_kib();
    mem_trim();
    long trimmed = file_kib();
    assert_true(trimmed < full / 2);
    dl_iterate_phdr(touch, &after);
    assert_int_equal(before, after);
    assert_string_equal(written, "written");
    assert_string_equal(heap, "on the heap");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena),  cmocka_unit_test(test_arena_is_bounded),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_rng),
        cmocka_unit_test(test_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
