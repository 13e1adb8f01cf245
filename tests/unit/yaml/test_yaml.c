/*
 * Proves what scalars mean (by go.yaml.in/yaml/v2's table, which tests/diff compares by number),
 * that anchors and merges expand in kubectl's order, that places are those of the text, and that
 * limits and malformed text end in an error with its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "yaml/emit.h"
#include "yaml/yaml.h"

static char *convert(const char *text)
{
    CLEANUP_YAML struct yaml_stream s = {0};
    struct err err;
    if (yaml_parse(text, strlen(text), &s, NULL, &err) < 0)
        return xasprintf("error: %s", err.message);
    CLEANUP_BUF struct buf out = BUF_INIT(MIB);
    for (size_t i = 0; i < s.count; i++) {
        CLEANUP_FREE char *printed = json_print(s.documents[i].tree);
        buf_addf(&out, "%s%s", i ? " " : "", printed);
    }
    return buf_take(&out);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"[y, Yes, ON, true]", "[true,true,true,true]"},
        {"[n, NO, off, False]", "[false,false,false,false]"},
        {"[~, null, Null]", "[null,null,null]"},
        {"[1, -2, +3, 0x1F, 0o17, 017, 0b101, 1_000]", "[1,-2,3,31,15,15,5,1000]"},
        {"[089, 1e3, .5, 5., -1.5e-3]", "[89,1000,0.5,5,-0.0015]"},
        {"9007199254740993", "9007199254740993"},
        {"18446744073709551615", "18446744073709551615"},
        {"[2026-01-02, 2026-01-02T03:04:05Z, 12:30, 1.2.3]",
         "[\"2026-01-02\",\"2026-01-02T03:04:05Z\",\"12:30\",\"1.2.3\"]"},
        {"[\"yes\", 'no', !!str 5, ! 5, tRue]", "[\"yes\",\"no\",\"5\",\"5\",\"tRue\"]"},
        {"[!!int \"7\", !!bool \"yes\", !!null \"\", !!float 3]", "[7,true,null,3]"},
        {"{1: a, yes: b, 2.5: c, \"q\": d}",
         "{\"1\":\"a\",\"true\":\"b\",\"2.5\":\"c\",\"q\":\"d\"}"},
        {"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"},
        {"a: 1\n---\n---\n# nothing\n---\nb: 2\n", "{\"a\":1} {\"b\":2}"},
        {"", ""},
        {"a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"},
        {"a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n",
         "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":3}}"},
        /* What comes later wins, a merge too: go.yaml.in/yaml/v2 decode.go mapping. */
        {"a: &x {q: 2}\nb:\n  q: 3\n  <<: *x\n", "{\"a\":{\"q\":2},\"b\":{\"q\":2}}"},
        {"a: &x {q: 1}\nb: &y {q: 2, r: 2}\nc:\n  <<: [*x, *y]\n",
         "{\"a\":{\"q\":1},\"b\":{\"q\":2,\"r\":2},\"c\":{\"r\":2,\"q\":1}}"},
        /* Anchors inside of what a merge replaces stay good. */
        {"a: {p: &z [1], <<: {p: 2}}\nb: *z\n", "{\"a\":{\"p\":2},\"b\":[1]}"},
        {"a: {<<: {p: &z [1]}}\nb: *z\n", "{\"a\":{\"p\":[1]},\"b\":[1]}"},
        {"\"<<\": 1\n", "{\"<<\":1}"},
        {"{\"a\": \"\\ud83d\\ude00\\u00e9\", \"b\": \"\\\\ud83d\"}",
         "{\"a\":\"\xf0\x9f\x98\x80\xc3\xa9\",\"b\":\"\\\\ud83d\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *json = convert(rows[i].yaml);
        if (!str_eq(json, rows[i].json))
            fail_msg("%s\ngives %s", rows[i].yaml, json);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *start, *word;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "error: line 3, column 1: ", "\"a\" stands here twice"},
        {"{a: 1, \"a\": 2}", "error: line 1, column 8: ", "twice"},
        {"{1: a, \"1\": b}", "error: line 1, column 8: ", "twice"},
        {"a:\n\tb: 1\n", "error: line 2, column 1: ", "use spaces"},
        {"a: b: c\n", "error: line 1, column 5: ", "needs quotes"},
        {"a: [1, 2\n", "error: line 2, column 1: ", "bracket"},
        {"a: \"x\n", "error: line 2, column 1: ", "not closed"},
        {"a: *x\n", "error: line 1, column 4: ", "no anchor &x"},
        {"a: &x [*x]\n", "error: line 1, column 8: ", "inside of what it names"},
        {"a: .inf\n", "error: line 1, column 4: ", "quotes"},
        {"a: .NaN\n", "error: line 1, column 4: ", "quotes"},
        {"a: !!binary aGk=\n", "error: line 1, column 4: ", "base64"},
        {"a: !!int x\n", "error: line 1, column 4: ", "tag"},
        {"a: <<\n", "error: line 1, column 4: ", "only be a key"},
        {"<<: 5\n", "error: line 1, column 1: ", "needs a map"},
        {"<<: [5]\n", "error: line 1, column 1: ", "needs a map"},
        {"~: 1\n", "error: line 1, column 1: ", "cannot be a key"},
        {"[1]: 1\n", "error: line 1, column 1: ", "plain word"},
        {"a: \"\\0\"\n", "error: line 1, column 4: ", "\\0"},
        {"\"\\0\": 1\n", "error: line 1, column 1: ", "\\0"},
        {"a: @x\n", "error: line 1, column 4: ", "quotes"},
        {"a: \xff\n", "error: ", "byte 3"},
        {"- a\nb: 1\n", "error: line 2, column 1: ", "list"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_FREE char *got = convert(rows[i].yaml);
        if (!str_starts(got, rows[i].start) || !strstr(got, rows[i].word))
            fail_msg("%s\ngives %s", rows[i].yaml, got);
    }
}

static void test_places(void **state)
{
    (void)state;
    static const char text[] = "kind: A\n"
                               "spec:\n"
                               "  base: &b {x: 1}\n"
                               "  list:\n"
                               "  - name: \xc3\xa9\xc3\xa9\n"
                               "    size: 5\n"
                               "  copy: *b\n"
                               "  merged: {<<: *b, z: 2}\n"
                               "  a.b/c: {d: 1}\n"
                               "---\n"
                               "kind: B\n";
    static const struct {
        const char *path;
        bool key;
        unsigned line, column;
    } rows[] = {
        {"kind", false, 1, 7},
        {"kind", true, 1, 1},
        {"spec.base.x", false, 3, 16},
        {"spec.list[0].size", false, 6, 11},
        {"spec.list[0].size", true, 6, 5},
        {"spec.list[0]", false, 5, 5},
        {"spec.copy", false, 7, 9},
        {"spec.copy.x", false, 3, 16},
        {"spec.merged.x", false, 3, 16},
        {"spec.merged.z", true, 8, 20},
        {"spec[a.b/c].d", false, 9, 14},
        /* What is missing is shown at its parent. */
        {"spec.list[0].nope", false, 5, 5},
        {"spec.nope.deep", false, 2, 1},
        {"nope", false, 1, 1},
        {"spec.list[7]", false, 4, 3},
        {"", false, 1, 1},
    };
    CLEANUP_YAML struct yaml_stream s = {0};
    struct err err;
    assert_int_equal(yaml_parse(text, strlen(text), &s, NULL, &err), 0);
    assert_int_equal(s.count, 2);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct yaml_mark m = yaml_position(&s.documents[0], rows[i].path, rows[i].key);
        if (m.line != rows[i].line || m.column != rows[i].column)
            fail_msg("%s: %u:%u", rows[i].path, m.line, m.column);
    }
    assert_int_equal(yaml_position(&s.documents[1], "kind", false).line, 11);
}

static void test_one(void **state)
{
    (void)state;
    CLEANUP_YAML struct yaml_stream s = {0};
    struct err err;
    assert_int_equal(yaml_parse_one("a: 1\n", 5, &s, &err), 0);
    yaml_stream_release(&s);
    assert_int_equal(yaml_parse_one("# x\n", 4, &s, &err), -1);
    assert_int_equal(yaml_parse_one("a: 1\n---\nb: 1\n", 14, &s, &err), -1);
    assert_int_equal(yaml_parse_one("a: [", 4, &s, &err), -1);
}

static void expect_limit(const struct buf *b)
{
    CLEANUP_YAML struct yaml_stream s = {0};
    struct yaml_mark at = {0};
    struct err err;
    assert_int_equal(yaml_parse(b->data, b->len, &s, &at, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
}

/* Each bound of limits.h is reached, and quickly. */
static void test_limits(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(16 * MIB);
    for (int i = 0; i < LIMIT_JSON_DEPTH + 1; i++)
        buf_addc(&b, '[');
    expect_limit(&b);
    buf_clear(&b);
    buf_adds(&b, "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
    for (int i = 1; i < 12; i++)
        buf_addf(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_limit(&b);
    buf_clear(&b);
    /* Nested aliases: depth grows by copying. */
    buf_adds(&b, "a0: &a0 [1]\n");
    for (int i = 1; i < LIMIT_JSON_DEPTH + 5; i++)
        buf_addf(&b, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    expect_limit(&b);
    buf_clear(&b);
    for (unsigned i = 0; i <= LIMIT_JSON_MEMBERS; i++)
        buf_addf(&b, "k%u: 1\n", i);
    expect_limit(&b);
    buf_clear(&b);
    for (unsigned i = 0; i <= LIMIT_YAML_NODES; i++)
        buf_adds(&b, "- 1\n");
    expect_limit(&b);
    buf_clear(&b);
    for (unsigned i = 0; i <= LIMIT_YAML_BYTES; i++)
        buf_addc(&b, '\n');
    expect_limit(&b);
}

/* What is written is read back as the same tree, whatever the text looks like. */
static void test_emitted_is_read_back(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"a\":1,\"b\":[1,2,{\"c\":null,\"d\":[]}],\"e\":{},\"f\":{\"g\":{\"h\":true}}}",
        "[\"yes\",\"No\",\"~\",\"null\",\"1\",\"1e3\",\"0x1F\",\"12:30\",\"2026-01-02\",\".5\",\"-"
        "\",\"\"]",
        "[\" a\",\"a \",\"a: b\",\"a #b\",\"- "
        "a\",\"a\\nb\",\"a\\tb\",\"*a\",\"&a\",\"!a\",\"{a\",\"'a\",\"\\\"\"]",
        "{\"yes\":1,\"1\":2,\"a b\":3,\"vm.novasphere.dev/x\":\"8Gi\",\"n\":\"y\",\"é\":\"云\"}",
        "{\"n\":9007199254740993,\"f\":0.1}",
        "[[1,[2,[3]]],[{\"a\":[{\"b\":1},{\"c\":2}]}]]",
        "\"alone\"",
        "{}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cJSON *tree = NULL;
        struct err err = {0};
        CLEANUP_BUF struct buf out = BUF_INIT(MIB);
        assert_int_equal(0, json_parse(rows[i], strlen(rows[i]), true, &tree, &err));
        yaml_emit(tree, &out);
        CLEANUP_FREE char *before = json_print(tree);
        CLEANUP_FREE char *after = convert(out.data);
        cJSON_Delete(tree);
        if (strcmp(before, after) != 0)
            fail_msg("%s\nbecame\n%s\nread as\n%s", before, out.data, after);
    }
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Many anchors, aliases and merges: what took half a minute took it because each was looked for
   among all others. Generous, as sanitizers and a busy machine are. */
static void test_cost(void **state)
{
    (void)state;
    static const struct {
        const char *what, *head, *each, *tail;
    } rows[] = {
        {"anchors", "a:\n", "- &a%d x\n", ""},
        {"aliases", "a:\n- &b x\n", "- &a%d x\n- *b\n", ""},
        {"a list of maps to merge", "a:\n  <<: [", "{k%d: 1},", "]\n"},
        {"merges over what is there", "b: &b {x: 1}\na:\n  <<: [", "{k%d: 1}, *b,", "]\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT(4 * MIB);
        CLEANUP_YAML struct yaml_stream s = {0};
        struct err err;
        buf_adds(&text, rows[i].head);
        for (int n = 0; n < 20000; n++) {
            const char *rest = strstr(rows[i].each, "%d");
            buf_add(&text, rows[i].each, (size_t)(rest - rows[i].each));
            buf_addf(&text, "%d%s", n, rest + 2);
        }
        buf_adds(&text, rows[i].tail);
        double began = cpu_s();
        if (yaml_parse_one(text.data, text.len, &s, &err) < 0)
            fail_msg("%s: %s", rows[i].what, err.message);
        double took = cpu_s() - began;
        if (took > 5)
            fail_msg("%s: %.1f s", rows[i].what, took);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost),   cmocka_unit_test(test_emitted_is_read_back),
        cmocka_unit_test(test_values), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_places), cmocka_unit_test(test_one),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
