/*
 * Proves the string helpers: whole-number parsing, edit distance, RFC 3339 times in both directions
 * (expectations from the RFC and from the calendar), UTF-8 trimming, suffixes, FNV-1a's published
 * vectors.
 */
#include "test.h"

#include <time.h>

#include "base/rng.h"
#include "base/str.h"

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *text;
        bool ok_u, ok_i;
        uint64_t u;
        int64_t i;
    } rows[] = {
        {__LINE__, "0", true, true, 0, 0},
        {__LINE__, "42", true, true, 42, 42},
        {__LINE__, "007", true, true, 7, 7},
        {__LINE__, "9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {__LINE__, "9223372036854775808", true, false, (uint64_t)INT64_MAX + 1, 0},
        {__LINE__, "18446744073709551615", true, false, UINT64_MAX, 0},
        {__LINE__, "18446744073709551616", false, false, 0, 0},
        {__LINE__, "99999999999999999999999", false, false, 0, 0},
        {__LINE__, "", false, false, 0, 0},
        {__LINE__, "-1", false, true, 0, -1},
        {__LINE__, "-9223372036854775808", false, true, 0, INT64_MIN},
        {__LINE__, "-9223372036854775809", false, false, 0, 0},
        {__LINE__, "--1", false, false, 0, 0},
        {__LINE__, "-", false, false, 0, 0},
        {__LINE__, "+1", false, false, 0, 0},
        {__LINE__, " 1", false, false, 0, 0},
        {__LINE__, "1 ", false, false, 0, 0},
        {__LINE__, "1.0", false, false, 0, 0},
        {__LINE__, "0x10", false, false, 0, 0},
        {__LINE__, "1e3", false, false, 0, 0},
    };
    for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
        uint64_t u = 1;
        int64_t i = 1;
        CHECK_ROW(&rows[n], str_to_u64(rows[n].text, &u) == rows[n].ok_u);
        CHECK_ROW(&rows[n], str_to_i64(rows[n].text, &i) == rows[n].ok_i);
        CHECK_ROW(&rows[n], !rows[n].ok_u || u == rows[n].u);
        CHECK_ROW(&rows[n], !rows[n].ok_i || i == rows[n].i);
    }
}

static void test_distance(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *a, *b;
        unsigned distance;
    } rows[] = {
        {__LINE__, "", "", 0},
        {__LINE__, "a", "", 1},
        {__LINE__, "abc", "abc", 0},
        {__LINE__, "abc", "abd", 1},
        {__LINE__, "abc", "acb", 1},
        {__LINE__, "kitten", "sitting", 3},
        {__LINE__, "cloneType", "cloneTpye", 1},
        {__LINE__, "flaw", "lawn", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK_ROW(&rows[i], str_distance(rows[i].a, rows[i].b) == rows[i].distance);
        CHECK_ROW(&rows[i], str_distance(rows[i].b, rows[i].a) == rows[i].distance);
    }
}

static void test_times_in(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *text;
        bool ok;
        int64_t ms;
    } rows[] = {
        {__LINE__, "1970-01-01T00:00:00Z", true, 0},
        {__LINE__, "1970-01-01T00:00:00.5Z", true, 500},
        {__LINE__, "2026-01-02T03:04:05Z", true, 1767323045000},
        {__LINE__, "2026-01-02T03:04:05.123456789Z", true, 1767323045123},
        {__LINE__, "2026-01-02T05:04:05+02:00", true, 1767323045000},
        {__LINE__, "2026-01-01T22:04:05-05:00", true, 1767323045000},
        {__LINE__, "2024-02-29T00:00:00Z", true, 1709164800000},
        {__LINE__, "1969-12-31T23:59:59Z", true, -1000},
        /* Go's time.Parse, which the API server uses, knows no leap seconds. */
        {__LINE__, "2000-12-31T23:59:60Z", false, 0},
        {__LINE__, "2023-02-29T00:00:00Z", false, 0},
        {__LINE__, "2026-13-01T00:00:00Z", false, 0},
        {__LINE__, "2026-00-01T00:00:00Z", false, 0},
        {__LINE__, "2026-01-32T00:00:00Z", false, 0},
        {__LINE__, "2026-04-31T00:00:00Z", false, 0},
        {__LINE__, "2026-01-01T24:00:00Z", false, 0},
        {__LINE__, "2026-01-01T00:60:00Z", false, 0},
        {__LINE__, "2026-01-01T00:00:00", false, 0},
        {__LINE__, "2026-01-01T00:00:00.Z", false, 0},
        {__LINE__, "2026-01-01", false, 0},
        {__LINE__, "2026-01-01T00:00:00Zx", false, 0},
        {__LINE__, "2026-01-01T00:00:00+0200", false, 0},
        {__LINE__, "", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = 0;
        CHECK_ROW(&rows[i], str_to_time_ms(rows[i].text, &ms) == rows[i].ok);
        if (rows[i].ok && ms != rows[i].ms)
            fail_msg("row at line %d: %lld", rows[i].line, (long long)ms);
    }
}

/* The C library's calendar is the reference. */
static void test_times_out(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 3);
    for (unsigned n = 0; n < 2000; n++) {
        int64_t ms = rng_range(&rng, 0, INT64_C(253402300799999)), back = -1;
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;
        char expected[40], out[TIME_TEXT_MAX];
        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &tm);
        time_to_str(ms, false, out);
        assert_string_equal(out, expected);
        time_to_str(ms, true, out);
        assert_true(str_to_time_ms(out, &back));
        assert_true(back == ms);
    }
}

static void test_trim(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *in, *out;
    } rows[] = {
        {__LINE__, "", ""},
        {__LINE__, "abc", "abc"},
        {__LINE__, "a\xC3\xA4", "a\xC3\xA4"},
        {__LINE__, "a\xC3", "a"},
        {__LINE__, "a\xE2\x82\xAC", "a\xE2\x82\xAC"},
        {__LINE__, "a\xE2\x82", "a"},
        {__LINE__, "a\xE2", "a"},
        {__LINE__, "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {__LINE__, "\xF0\x9F\x98", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[16];
        snprintf(text, sizeof text, "%s", rows[i].in);
        str_trim_utf8(text);
        CHECK_ROW(&rows[i], strcmp(text, rows[i].out) == 0);
    }
}

static void test_small_ones(void **state)
{
    (void)state;
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_ends("a.yaml", ".yaml"));
    assert_false(str_ends("yaml", ".yaml"));
    assert_true(str_ends("x", ""));
    assert_string_equal(str_or("", "f"), "f");
    assert_string_equal(str_or(NULL, "f"), "f");
    /* http://www.isthe.com/chongo/tech/comp/fnv: FNV-1a, 64 bits. */
    assert_true(str_hash64("", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(str_hash64("a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(str_hash64("foobar", 6) == UINT64_C(0x85944171f73967e8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_distance),
        cmocka_unit_test(test_times_in), cmocka_unit_test(test_times_out),
        cmocka_unit_test(test_trim),     cmocka_unit_test(test_small_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
