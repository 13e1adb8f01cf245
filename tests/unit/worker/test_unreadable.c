/*
 * Proves that an object costs at most itself, whatever its owner has put into it: every watched
 * kind (worker/observe/resources.c), each with U+0000, 20,001 annotations, 101 levels, 1.5 MiB,
 * invalid UTF-8, and a wrong type in every field that is kept. It is read, or it is a marker by its
 * name; its fields are absent rather than wrong; and it is found under its own name and label
 * alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/store.h"
#include "observe/resources.h"

#define HEAD "\"name\":\"x\",\"uid\":\"u\",\"resourceVersion\":\"5\""

static const char *ns_of(const struct kube_kind *k)
{
    return k->cluster_scoped ? "" : "n";
}

static void begin(const struct kube_kind *k, struct buf *out)
{
    buf_adds(out, "{\"metadata\":{" HEAD);
    if (!k->cluster_scoped)
        buf_adds(out, ",\"namespace\":\"n\"");
}

/* Reads it, puts it into a store with a neighbour, and says whether it is a marker. */
static bool survives(const struct kube_kind *k, const struct buf *text, const char *what)
{
    struct err err = {0};
    struct kube_object *o = NULL;
    assert_true(buf_ok(text));
    if (kube_object_read(k, text->data, text->len, &o, &err) != 0)
        fail_msg("%s, %s: %s", k->resource, what, err.message);
    assert_string_equal(o->name, "x");
    assert_string_equal(o->ns, ns_of(k));
    assert_string_equal(o->uid, "u");
    assert_string_equal(o->resource_version, "5");
    bool marker = o->unreadable != NULL;
    for (size_t i = 0; marker && i < KUBE_FIELDS_MAX && k->fields[i]; i++)
        assert_null(o->field[i]);
    assert_true(kube_object_bytes(o) > 0);
    struct store *s = store_new(k);
    store_put(s, o);
    assert_ptr_equal(store_get(s, ns_of(k), "x"), o);
    assert_int_equal(store_unreadable(s), marker);
    assert_true(store_remove(s, ns_of(k), "x"));
    assert_int_equal(store_unreadable(s), 0);
    store_free(s);
    return marker;
}

static void add_deep(struct buf *out, unsigned levels)
{
    for (unsigned i = 0; i < levels; i++)
        buf_adds(out, "{\"x\":");
    buf_addc(out, '1');
    for (unsigned i = 0; i < levels; i++)
        buf_addc(out, '}');
}

/* Where no field is: it is read as if it were not there. */
static void test_where_nobody_looks(void **state)
{
    (void)state;
    for (int kind = 0; kind < WORKER_KINDS; kind++) {
        const struct kube_kind *k = &worker_kinds[kind];
        CLEANUP_BUF struct buf text = BUF_INIT(2 * MIB);
        begin(k, &text);
        buf_adds(&text, ",\"annotations\":{\"a/b\":\"\\u0000\"}}}");
        assert_false(survives(k, &text, "U+0000"));

        buf_clear(&text);
        begin(k, &text);
        buf_adds(&text, ",\"annotations\":{\"k\":\"\"");
        for (unsigned i = 0; i < 20000; i++)
            buf_addf(&text, ",\"k%u\":\"\"", i);
        buf_adds(&text, "}}}");
        assert_false(survives(k, &text, "20,001 annotations"));

        buf_clear(&text);
        begin(k, &text);
        buf_adds(&text, "},\"else\":");
        add_deep(&text, 20000);
        buf_addc(&text, '}');
        assert_false(survives(k, &text, "20,000 levels"));

        buf_clear(&text);
        begin(k, &text);
        buf_adds(&text, ",\"annotations\":{\"a/b\":\"");
        for (unsigned i = 0; i < 3 * MIB / 2 / 16; i++)
            buf_adds(&text, "0123456789abcdef");
        buf_adds(&text, "\"}}}");
        assert_false(survives(k, &text, "1.5 MiB"));

        buf_clear(&text);
        begin(k, &text);
        buf_adds(&text, ",\"annotations\":{\"a/b\":\"\xff\xc0\x80\xed\xa0\x80\\ud800\"}}}");
        assert_false(survives(k, &text, "invalid UTF-8"));
    }
}

/* The members down to a field, which is left open: the caller writes its value. Returns how many
   braces close it. In the metadata, the head stands before it. */
static unsigned open_field(const struct kube_kind *k, const char *path, struct buf *out)
{
    unsigned levels = 1;
    buf_addc(out, '{');
    if (!str_starts(path, "metadata")) {
        buf_adds(out, "\"metadata\":{" HEAD);
        buf_adds(out, k->cluster_scoped ? "}," : ",\"namespace\":\"n\"},");
    }
    while (*path) {
        bool bracket = *path == '[';
        path += bracket;
        size_t n = strcspn(path, bracket ? "]" : ".[{");
        buf_addf(out, "\"%.*s\":", (int)n, path);
        if (n == 8 && str_starts(path, "metadata")) {
            buf_adds(out, "{" HEAD ",");
            if (!k->cluster_scoped)
                buf_adds(out, "\"namespace\":\"n\",");
            levels++;
            path += n + (path[n] == '.');
            continue;
        }
        path += n + bracket;
        path += *path == '.';
        if (!*path || str_starts(path, "{}") || str_starts(path, "[]"))
            break;
        buf_addc(out, '{');
        levels++;
    }
    return levels;
}

static void with_value(const struct kube_kind *k, const char *field, const char *value,
                       struct buf *out)
{
    buf_clear(out);
    unsigned levels = open_field(k, field, out);
    buf_adds(out, value);
    for (unsigned i = 0; i < levels; i++)
        buf_addc(out, '}');
}

static bool is_tree(const char *field)
{
    return str_ends(field, "{}") || str_ends(field, "[]");
}

/* In each field that is kept. */
static void test_in_every_field(void **state)
{
    (void)state;
    static const char *const wrong[] = {"5",    "\"x\"",  "[]",          "{}",
                                        "true", "[[],5]", "{\"a\":[5]}", "\"\\u0000\"",
                                        "null", "1e99",   "\"{}\"",      "\"[{\\\"a\\\":1}]\""};
    for (int kind = 0; kind < WORKER_KINDS; kind++) {
        const struct kube_kind *k = &worker_kinds[kind];
        for (size_t i = 0; i < KUBE_FIELDS_MAX && k->fields[i]; i++) {
            CLEANUP_BUF struct buf text = BUF_INIT(2 * MIB);
            for (size_t t = 0; t < ARRAY_LEN(wrong); t++) {
                with_value(k, k->fields[i], wrong[t], &text);
                assert_false(survives(k, &text, wrong[t]));
                struct kube_object *o = NULL;
                struct err err = {0};
                assert_int_equal(kube_object_read(k, text.data, text.len, &o, &err), 0);
                bool object = wrong[t][0] == '{', array = wrong[t][0] == '[';
                /* A text that looks like an object is none. */
                if (is_tree(k->fields[i]) && !(str_ends(k->fields[i], "{}") ? object : array))
                    assert_null(o->field[i]);
                free(o);
            }
            CLEANUP_BUF struct buf value = BUF_INIT(MIB);
            add_deep(&value, 101);
            with_value(k, k->fields[i], value.data, &text);
            assert_true(survives(k, &text, "101 levels"));
            buf_clear(&value);
            buf_addc(&value, '{');
            for (unsigned m = 0; m <= 20000; m++)
                buf_addf(&value, "%s\"k%u\":\"\"", m ? "," : "", m);
            buf_addc(&value, '}');
            with_value(k, k->fields[i], value.data, &text);
            assert_false(survives(k, &text, "20,001 members"));
        }
    }
}

/* What is above or beside the fields is of a wrong type, or the text is cut off. */
static void test_wrong_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool named;
    } rows[] = {
        {"{\"metadata\":{" HEAD ",\"namespace\":\"n\",\"annotations\":5},\"spec\":5}", true},
        {"{\"metadata\":{" HEAD ",\"namespace\":\"n\",\"labels\":[]},\"status\":\"x\"}", true},
        {"{\"metadata\":{" HEAD ",\"namespace\":\"n\",\"ownerReferences\":{\"a\":1}}}", true},
        {"{\"metadata\":{" HEAD ",\"namespace\":\"n\",\"generation\":\"x\"}}", true},
        {"{\"metadata\":{" HEAD ",\"namespace\":\"n\",\"creationTimestamp\":7}}", true},
        {"{\"metadata\":{" HEAD ",\"namespace\":\"n\"},\"spec\":{\"a\":\"cut o", true},
        {"{\"metadata\":{\"name\":\"x\",\"namespace\":\"n\",\"uid\":5}}", true},
        {"{\"metadata\":{" HEAD ",\"namespace\":5}}", false},
        {"{\"metadata\":{" HEAD ",\"namespace\":[\"n\"]}}", false},
        {"{\"metadata\":[]}", false},
        {"{\"metadata\":{\"name\":5,\"uid\":\"u\"}}", false},
        {"{\"metadata\":{\"name\":\"\",\"uid\":\"u\"}}", false},
        {"[]", false},
        {"5", false},
        {"", false},
        {"{", false},
    };
    for (int kind = 0; kind < WORKER_KINDS; kind++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct kube_object *o = NULL;
            struct err err = {0};
            int status =
                kube_object_read(&worker_kinds[kind], rows[i].text, strlen(rows[i].text), &o, &err);
            if ((status == 0) != rows[i].named || (status && err.kind != ERR_INVALID))
                fail_msg("%s: %s", worker_kinds[kind].resource, rows[i].text);
            if (o)
                assert_string_equal(o->name, "x");
            free(o);
        }
}

/* Larger than any reader takes: known by its name, wherever in the text that stands. */
static void test_too_large(void **state)
{
    (void)state;
    const struct kube_kind *k = &worker_kinds[KIND_PVC];
    for (int before = 0; before < 2; before++) {
        CLEANUP_BUF struct buf text = BUF_INIT(8 * MIB);
        buf_adds(&text, "{\"metadata\":{");
        if (before)
            buf_adds(&text, HEAD ",\"namespace\":\"n\",");
        buf_adds(&text, "\"annotations\":{\"a/b\":\"");
        for (unsigned i = 0; i < (before ? 4 * MIB : 5 * MIB / 2) / 16; i++)
            buf_adds(&text, "0123456789abcdef");
        buf_adds(&text, "\"}");
        if (!before)
            buf_adds(&text, "," HEAD ",\"namespace\":\"n\"},\"spec\":{\"a\":\"");
        for (unsigned i = 0; !before && i < MIB / 16; i++)
            buf_adds(&text, "0123456789abcdef");
        /* As the list splitter hands it over. */
        struct kube_object *o = NULL;
        struct err err = {0};
        assert_true(text.len > LIMIT_OBJECT_BYTES);
        assert_int_equal(kube_object_read(k, text.data, LIMIT_OBJECT_BYTES, &o, &err), 0);
        assert_string_equal(o->name, "x");
        assert_non_null(strstr(o->unreadable, "larger"));
        free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_nobody_looks),
        cmocka_unit_test(test_in_every_field),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
