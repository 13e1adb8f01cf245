/*
 * Proves by example what tests/diff proves by number: quantities, durations, selectors and names as
 * Kubernetes reads them. Expectations are from the tests and documents of apimachinery
 * (pkg/api/resource/quantity_test.go, pkg/util/validation, pkg/labels) and Go's time package.
 */
#include "apimachinery/dns_names.h"
#include "apimachinery/duration.h"
#include "apimachinery/quantity.h"
#include "support.h"
#include "wukong/api/selector.h"

static void test_quantity_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        {"0", 0},
        {"0n", 0},
        {"1", 1},
        {"+1", 1},
        {"1k", 1000},
        {"1Ki", 1024},
        {"1.5Gi", 1610612736},
        {"100m", 1},
        {"1n", 1},
        {"1001m", 2},
        {"12e6", 12000000},
        {"1E", INT64_C(1000000000000000000)},
        {"1E2", 100},
        {"9Ei", INT64_MAX},
        {".5Gi", 536870912},
        {"1.", 1},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", INT64_MAX},
        {"1e100", INT64_MAX},
        {"-1Ki", -1024},
        {"-1e100", INT64_MIN},
        {"0.0000000001", 1},
        {"1e-100", 1},
        {".", 0},
        {"+", 0},
        {"k", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct quantity q;
        if (quantity_parse(rows[i].text, &q) != QUANTITY_OK || quantity_value(&q) != rows[i].value)
            fail_msg("%s", rows[i].text);
    }
}

static void test_quantity_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum quantity_error error;
    } rows[] = {
        {"", QUANTITY_EMPTY},
        {"1.1.M", QUANTITY_FORMAT},
        {"1+1.0M", QUANTITY_FORMAT},
        {"0.1mi", QUANTITY_SUFFIX},
        {"0.1am", QUANTITY_FORMAT},
        {"aoeu", QUANTITY_FORMAT},
        {"1i", QUANTITY_SUFFIX},
        {"-3.01i", QUANTITY_SUFFIX},
        {" 1", QUANTITY_FORMAT},
        {"1 Gi", QUANTITY_FORMAT},
        {"1GB", QUANTITY_FORMAT},
        {"1gi", QUANTITY_FORMAT},
        {"1e", QUANTITY_SUFFIX},
        {".Ei", QUANTITY_NUMBER},
        {"1e9223372036854775808", QUANTITY_SUFFIX},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct quantity q = {.sign = 7};
        enum quantity_error e = quantity_parse(rows[i].text, &q);
        if (e != rows[i].error || q.sign != 7)
            fail_msg("%s gives %d", rows[i].text, (int)e);
        assert_true(*quantity_error_text(e));
    }
    char longest[QUANTITY_TEXT_MAX + 2];
    struct quantity q;
    memset(longest, '9', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(quantity_parse(longest, &q), QUANTITY_TOO_LONG);
    assert_int_equal(quantity_parse(longest + 1, &q), QUANTITY_OK);
    assert_int_equal(quantity_value(&q), INT64_MAX);
    assert_int_equal(quantity_parse(NULL, &q), QUANTITY_EMPTY);
    /* 126 nines and "Ei": the most digits there can be. */
    memcpy(longest + QUANTITY_TEXT_MAX - 1, "Ei", 3);
    assert_int_equal(quantity_parse(longest + 1, &q), QUANTITY_OK);
    assert_int_equal(quantity_value(&q), INT64_MAX);
    for (int e = QUANTITY_EMPTY; e <= QUANTITY_TOO_LONG; e++)
        assert_true(*quantity_error_text((enum quantity_error)e));
}

static void test_quantity_order(void **state)
{
    (void)state;
    /* Ascending; equal ones in one string, separated by spaces. */
    static const char *const order[] = {"-1e30",
                                        "-9Ei",
                                        "-2 -2000m",
                                        "-1999999999n",
                                        "-1n -1e-40",
                                        "0 -0 0Gi 0e5",
                                        "1n 1e-40",
                                        "2n",
                                        "1u 1000n",
                                        "1m",
                                        "999m",
                                        "1 1000m 1e0 1.0 01",
                                        "1.000000001",
                                        "1000 1k 1e3 1E3",
                                        "1Ki 1024",
                                        "1025",
                                        "10Gi 10240Mi 10737418240",
                                        "1E 1e18",
                                        "1Ei",
                                        "9223372036854775807 8Ei 1e3Ei",
                                        "1e19",
                                        "1e30 1000000000000000000000000000000"};
    struct quantity previous = {0};
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        char text[128];
        snprintf(text, sizeof(text), "%s", order[i]);
        struct quantity first, q;
        bool have = false;
        for (char *s = text, *end; s; s = end) {
            end = strchr(s, ' ');
            if (end)
                *end++ = '\0';
            if (quantity_parse(s, &q) != QUANTITY_OK) {
                /* "1e3Ei" is no quantity: it stands for one that must not sort. */
                assert_string_equal(s, "1e3Ei");
                continue;
            }
            if (i && (quantity_compare(&previous, &q) >= 0 || quantity_compare(&q, &previous) <= 0))
                fail_msg("%s is not above %s", s, order[i - 1]);
            if (have && quantity_compare(&first, &q) != 0)
                fail_msg("%s of %s", s, order[i]);
            if (!have)
                first = q;
            have = true;
        }
        previous = first;
    }
    assert_true(quantity_text_equal("10Gi", "10240Mi"));
    assert_true(quantity_text_equal("x", "x"));
    assert_true(quantity_text_equal(NULL, NULL));
    assert_false(quantity_text_equal("10Gi", "10G"));
    assert_false(quantity_text_equal("10Gi", NULL));
    assert_false(quantity_text_equal("x", "1"));
}

static void test_quantity_print(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *text;
    } rows[] = {{0, "0"},
                {1000, "1000"},
                {1536 * 1024 * 1024, "1536Mi"},
                {10737418240, "10Gi"},
                {-1024, "-1Ki"},
                {INT64_MAX, "9223372036854775807"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[QUANTITY_PRINT_MAX];
        quantity_print(rows[i].bytes, out);
        assert_string_equal(out, rows[i].text);
        struct quantity q = quantity_from_int(rows[i].bytes);
        assert_int_equal(quantity_value(&q), rows[i].bytes);
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"5s", 5000000000},
        {"1.5h", 5400000000000},
        {"3h30m", 12600000000000},
        {".5m", 30000000000},
        {"1.s", 1000000000},
        {"10.5s4m", 250500000000},
        {"100ns", 100},
        {"12\xc2\xb5s", 12000},
        {"12\xce\xbcs", 12000},
        {"7us", 7000},
        {"-1h", -3600000000000},
        {"9223372036854775807ns", INT64_MAX},
        {"-9223372036854775808ns", INT64_MIN},
        {"0.3333333333333333333h", 1200000000000},
        {"0.100000000000000000000h", 360000000000},
    };
    static const char *const bad[] = {"",
                                      "3",
                                      "-",
                                      "s",
                                      ".",
                                      "-.",
                                      ".s",
                                      "+.s",
                                      "1d",
                                      "1h ",
                                      " 1h",
                                      "1,5h",
                                      "9223372036854775808ns",
                                      "3000000h",
                                      "9223372036854775807h",
                                      "1h1"};
    int64_t ns;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!duration_parse(good[i].text, &ns) || ns != good[i].ns)
            fail_msg("%s", good[i].text);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (duration_parse(bad[i], &ns))
            fail_msg("%s", bad[i]);
    assert_false(duration_parse(NULL, &ns));
}

static void test_duration_print(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "0ms"},      {250, "250ms"},     {1500, "1.500s"},
                {45000, "45s"},  {90000, "1m30s"},   {120000, "2m"},
                {3600000, "1h"}, {5400000, "1h30m"}, {-60000, "-1m"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[DURATION_PRINT_MAX];
        duration_print(rows[i].ms, out);
        assert_string_equal(out, rows[i].text);
    }
}

/* Columns: DNS label, DNS subdomain, qualified name, label value. */
static void test_name_rules(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *verdicts;
    } rows[] = {
        {"a", "1111"},    {"a-b", "1111"},   {"a.b", "0111"},      {"", "0001"},
        {"A", "0011"},    {"a_b", "0011"},   {"-a", "0000"},       {"a-", "0000"},
        {"a..b", "0011"}, {"a b", "0000"},   {"a/b", "0010"},      {"a.b/C_d", "0010"},
        {"A/b", "0000"},  {"a/b/c", "0000"}, {"/a", "0000"},       {"a/", "0000"},
        {"0", "1111"},    {"a.-b", "0011"},  {"\xc3\xa9", "0000"}, {"a\n", "0000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[5];
        snprintf(got, sizeof(got), "%d%d%d%d", name_is_dns_label(rows[i].name),
                 name_is_dns_subdomain(rows[i].name), name_is_qualified(rows[i].name),
                 name_is_label_value(rows[i].name));
        if (strcmp(got, rows[i].verdicts) != 0)
            fail_msg("%s: %s", rows[i].name, got);
    }
    char longest[256];
    memset(longest, 'a', sizeof(longest));
    longest[64] = '\0';
    assert_false(name_is_dns_label(longest));
    assert_true(name_is_dns_subdomain(longest));
    assert_false(name_is_label_value(longest));
    assert_false(name_is_qualified(longest));
    assert_true(name_is_dns_label(longest + 1));
    assert_false(name_is_dns_label(NULL) || name_is_dns_subdomain(NULL) ||
                 name_is_qualified(NULL) || name_is_label_value(NULL));
}

static void test_selectors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int verdict; /* -1: refused; else whether {a: 1, b: x, in: y} is selected */
    } rows[] = {
        {"", 1},
        {"a", 1},
        {"!a", 0},
        {"!c", 1},
        {"a=1", 1},
        {"a==1", 1},
        {"a!=1", 0},
        {"c!=1", 1},
        {"c=1", 0},
        {"a in (1,2)", 1},
        {"a in (2,)", 0},
        {"a notin (1)", 0},
        {"c notin (1)", 1},
        {"c in ()", 0},
        {"a>0", 1},
        {"a<1", 0},
        {"b>0", 0},
        {"a=1,b=x", 1},
        {"a=1,b=y", 0},
        {" a = 1 , b", 1},
        {"in in (y)", 1},
        {"a=", 0},
        {"a>x", -1},
        {"a in", -1},
        {"a in 1", -1},
        {",a", -1},
        {"a,", -1},
        {"a b", -1},
        {"=1", -1},
        {"a=1=2", -1},
        {"-a", -1},
        {"a=-", -1},
        {"!a=1", -1},
        {"a in (1", -1},
        {"a in (1 2)", -1},
        {"a<1.5", -1},
        {"(a)", -1},
        {"a in (!)", -1},
        {"a=(", -1},
        {"a~b", -1},
    };
    struct wukong_pair items[] = {{"a", "1"}, {"b", "x"}, {"in", "y"}};
    struct wukong_pairs labels = {items, ARRAY_LEN(items)};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        struct selector s;
        struct err err;
        arena_init(&a, MIB);
        int verdict = selector_parse(&a, rows[i].text, &s, &err) < 0
                          ? -1
                          : (int)selector_matches(&s, &labels);
        if (verdict != rows[i].verdict)
            fail_msg("%s gives %d", rows[i].text, verdict);
    }
}

static void test_selector_objects(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        int verdict;
    } rows[] = {
        {"{}", 1},
        {"{matchLabels: {a: \"1\"}}", 1},
        {"{matchLabels: {a: \"2\"}}", 0},
        {"{matchLabels: {a: 1}}", -1},
        {"{matchLabels: {\"-\": b}}", -1},
        {"{matchExpressions: [{key: a, operator: In, values: [\"1\"]}]}", 1},
        {"{matchExpressions: [{key: a, operator: NotIn, values: [\"1\"]}]}", 0},
        {"{matchExpressions: [{key: a, operator: Exists}]}", 1},
        {"{matchExpressions: [{key: c, operator: DoesNotExist}, {key: a, operator: Exists}]}", 1},
        {"{matchExpressions: [{key: a, operator: Exists, values: [b]}]}", -1},
        {"{matchExpressions: [{key: a, operator: In}]}", -1},
        {"{matchExpressions: [{key: a, operator: in, values: [b]}]}", -1},
        {"{matchExpressions: [{key: a, operator: In, values: [1]}]}", -1},
        {"{matchExpressions: [{operator: Exists}]}", -1},
        {"[]", -1},
    };
    struct wukong_pair items[] = {{"a", "1"}};
    struct wukong_pairs labels = {items, 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        CLEANUP_JSON cJSON *tree = parse_yaml(rows[i].yaml);
        struct selector s;
        struct err err;
        arena_init(&a, MIB);
        int verdict =
            selector_decode(&a, tree, &s, &err) < 0 ? -1 : (int)selector_matches(&s, &labels);
        if (verdict != rows[i].verdict)
            fail_msg("%s gives %d", rows[i].yaml, verdict);
        /* A full arena is an error and no crash. */
        CLEANUP_ARENA struct arena small;
        arena_init(&small, 8);
        if (verdict >= 0 && i > 0)
            assert_int_equal(selector_decode(&small, tree, &s, &err), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantity_values),  cmocka_unit_test(test_quantity_refused),
        cmocka_unit_test(test_quantity_order),   cmocka_unit_test(test_quantity_print),
        cmocka_unit_test(test_durations),        cmocka_unit_test(test_duration_print),
        cmocka_unit_test(test_name_rules),       cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_selector_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
