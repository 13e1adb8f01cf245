/*
 * Proves that the pool hands out what was freed last, that cells never overlap, that beyond its
 * cells and its size malloc serves and free is found, and that trees and texts of cJSON live in it
 * without a trace left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "json/json.h"
#include "json/node_pool.h"

static void test_last_freed_first(void **state)
{
    (void)state;
    void *a = node_pool_alloc(NODE_POOL_CELL), *b = node_pool_alloc(1);
    assert_int_equal(node_pool_taken(), 2);
    assert_ptr_not_equal(a, b);
    node_pool_free(a);
    node_pool_free(b);
    assert_int_equal(node_pool_taken(), 0);
    void *c = node_pool_alloc(5), *d = node_pool_alloc(64);
    assert_ptr_equal(c, b);
    assert_ptr_equal(d, a);
    node_pool_free(c);
    node_pool_free(d);
    node_pool_free(NULL);
    assert_int_equal(node_pool_taken(), 0);
}

static void test_more_than_all(void **state)
{
    (void)state;
    enum { N = NODE_POOL_CELLS + 50 };
    static unsigned char *all[N];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            all[i] = node_pool_alloc(NODE_POOL_CELL);
            assert_non_null(all[i]);
            assert_int_equal((uintptr_t)all[i] % _Alignof(max_align_t), 0);
            memset(all[i], i % 251, NODE_POOL_CELL);
        }
        assert_int_equal(node_pool_taken(), NODE_POOL_CELLS);
        for (int i = 0; i < N; i++)
            for (int k = 0; k < NODE_POOL_CELL; k++)
                assert_int_equal(all[i][k], i % 251);
        for (int i = 0; i < N; i++)
            node_pool_free(
                all[i * 7 % N]); /* 7 and N have no common factor: each once, in another order */
        assert_int_equal(node_pool_taken(), 0);
    }
}

static void test_long_ones(void **state)
{
    (void)state;
    char *p = node_pool_alloc(NODE_POOL_CELL + 1);
    memset(p, 1, NODE_POOL_CELL + 1);
    assert_int_equal(node_pool_taken(), 0);
    node_pool_free(p);
}

/* With the hooks set here, so that AddressSanitizer sees it, too. */
static void test_trees(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1,2.50,9007199254740993,\"short\"],\"long\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"n\":null}";
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = node_pool_alloc, .free_fn = node_pool_free});
    for (int i = 0; i < 3; i++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *tree = NULL;
        assert_int_equal(json_parse(text, strlen(text), true, &tree, &err), 0);
        assert_in_range(node_pool_taken(), 8, 100);
        CLEANUP_FREE char *printed = json_print(tree);
        assert_string_equal(printed, text);
        CLEANUP_FREE char *short_one = json_text(json_at(tree, "a.#3"));
        CLEANUP_FREE char *number = json_text(json_at(tree, "a.#1"));
        assert_string_equal(short_one, "short");
        assert_string_equal(number, "2.50");
    }
    assert_int_equal(node_pool_taken(), 0);
    struct err err = {0};
    cJSON *broken = NULL;
    assert_int_equal(json_parse("{\"a\":[1,{\"b\":", 13, true, &broken, &err), -1);
    assert_int_equal(node_pool_taken(), 0);
    cJSON_InitHooks(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_freed_first),
        cmocka_unit_test(test_more_than_all),
        cmocka_unit_test(test_long_ones),
        cmocka_unit_test(test_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
