/*
 * Proves that a buffer holds what was added, never more than its maximum, that overflowing empties
 * it and sticks until it is cleared, and that files are read whole or refused.
 */
#include "test.h"

#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"

static void test_grows_to_its_maximum(void **state)
{
    (void)state;
    for (size_t max = 1; max < 300; max++) {
        CLEANUP_BUF struct buf b = BUF_INIT(max);
        for (size_t i = 0; i < max; i++) {
            assert_true(buf_addc(&b, (char)('a' + i % 26)));
            assert_int_equal(b.len, i + 1);
            assert_int_equal(b.data[b.len], 0);
        }
        assert_int_equal(b.data[0], 'a');
        assert_false(buf_addc(&b, 'x'));
        assert_false(buf_ok(&b));
        assert_string_equal(b.data, "");
        assert_int_equal(b.len, 0);
        assert_false(buf_adds(&b, "y")); /* it sticks */
        buf_clear(&b);
        assert_true(buf_adds(&b, "z"));
        assert_string_equal(b.data, "z");
    }
}

static void test_adding(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(64);
    assert_string_equal(b.data, "");
    assert_true(buf_adds(&b, "one"));
    assert_true(buf_addf(&b, "-%d-%s", 2, "three"));
    assert_true(buf_add(&b, "\0x", 2));
    assert_int_equal(b.len, 13);
    assert_memory_equal(b.data, "one-2-three\0x", 14);
    assert_true(buf_add(&b, NULL, 0));
    buf_consume(&b, 4);
    assert_memory_equal(b.data, "2-three\0x", 10);
    buf_consume(&b, b.len);
    assert_string_equal(b.data, "");
    assert_false(buf_addf(&b, "%65s", "x"));
    assert_false(buf_ok(&b));
}

static void test_take(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(16);
    CLEANUP_FREE char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    assert_true(buf_adds(&b, "content"));
    CLEANUP_FREE char *taken = buf_take(&b);
    assert_string_equal(taken, "content");
    assert_string_equal(b.data, "");
    assert_true(buf_adds(&b, "again"));
}

static void test_files(void **state)
{
    (void)state;
    char path[] = "/tmp/wukong-test-buf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    close(fd);
    struct err err = {0};
    CLEANUP_BUF struct buf exact = BUF_INIT(10), small = BUF_INIT(9);
    assert_int_equal(buf_read_file(&exact, path, &err), 0);
    assert_string_equal(exact.data, "0123456789");
    assert_int_equal(err.kind, ERR_NONE);
    assert_int_equal(buf_read_file(&small, path, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    unlink(path);
    CLEANUP_BUF struct buf none = BUF_INIT(10);
    assert_int_equal(buf_read_file(&none, path, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(buf_read_file(&none, "/", &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_to_its_maximum),
        cmocka_unit_test(test_adding),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
