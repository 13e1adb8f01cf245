/*
 * Proves that packed text comes back to the letter, with and without a hint, however it resembles
 * it; that what is like the hint takes a tenth; and that an object keeps one field so and its
 * others as they are.
 */
#include "test.h"

#include "base/rng.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/compress.h"
#include "kube/object.h"

static const char hint[] =
    "{\"conditions\":[{\"message\":\"the clone is "
    "done\",\"reason\":\"Succeeded\",\"status\":\"True\","
    "\"type\":\"Ready\"},{\"message\":\"all snapshots are ready\",\"reason\":\"Ready\",\"status\":"
    "\"True\",\"type\":\"SnapshotReady\"}],\"phase\":\"Stopped\",\"vmName\":\"copy-vm\"}";

static size_t check(const char *text, const char *with)
{
    size_t bytes = 0;
    CLEANUP_FREE void *block = compress_text(text, strlen(text), with, &bytes);
    assert_int_equal(compress_bytes(block), bytes);
    CLEANUP_FREE char *again = decompress_text(block, with);
    assert_string_equal(again, text);
    return bytes;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    CLEANUP_FREE char *noise = xcalloc(1, 100001);
    for (size_t n = 0; n <= 100000; n = n * 3 + 1) {
        for (size_t i = 0; i < n; i++)
            noise[i] = (char)rng_range(&rng, 1, 255);
        noise[n] = '\0';
        assert_true(check(noise, NULL) <= n + n / 100 + 64);
        (void)check(noise, hint);
    }
    (void)check("", hint);
    (void)check(hint, NULL);
    (void)check(hint, "");
    assert_true(check(hint, hint) < sizeof hint / 10);
}

static void test_object(void **state)
{
    (void)state;
    static const struct kube_kind kind = {.kind = "Thing",
                                          .fields = {"spec", "status", "metadata.labels"},
                                          .packed = "status",
                                          .compressed_hint = hint};
    static const struct kube_kind plain = {.kind = "Thing",
                                           .fields = {"spec", "status", "metadata.labels"}};
    CLEANUP_FREE char *text =
        xasprintf("{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"labels\":{\"x\":\"y\"}},"
                  "\"spec\":{\"n\":9007199254740993},\"status\":%s}",
                  hint);
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_FREE struct kube_object *o = NULL, *p = NULL, *none = NULL;
    assert_int_equal(json_parse(text, strlen(text), true, &tree, NULL), 0);
    assert_int_equal(kube_object_project(&kind, tree, &o, NULL), 0);
    assert_int_equal(kube_object_project(&plain, tree, &p, NULL), 0);
    CLEANUP_FREE char *status = kube_object_decompress(o);
    assert_string_equal(status, hint);
    assert_string_equal(kube_object_field(o, "spec"), "{\"n\":9007199254740993}");
    assert_string_equal(kube_object_field(o, "metadata.labels"), "{\"x\":\"y\"}");
    assert_true(kube_object_bytes(o) + sizeof hint * 9 / 10 < kube_object_bytes(p));
    assert_null(kube_object_decompress(p));
    cJSON_DeleteItemFromObjectCaseSensitive(tree, "status");
    assert_int_equal(kube_object_project(&kind, tree, &none, NULL), 0);
    assert_null(kube_object_decompress(none));
    assert_true(kube_object_bytes(none) < kube_object_bytes(o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
