/*
 * Proves that every log line is one JSON object on one line whatever the values hold, that levels
 * filter, that an overlong line is replaced instead of being cut, and that repeats are limited.
 */
#include "test.h"

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/log.h"

static struct buf lines;

static void keep(void *arg, const char *line, size_t n)
{
    (void)arg;
    assert_true(buf_add(&lines, line, n));
}

static int64_t fixed_wall(void *arg)
{
    (void)arg;
    return 1767323045678;
}

static const struct clock fixed = {.mono_ms = fixed_wall, .wall_ms = fixed_wall};

static int setup(void **state)
{
    (void)state;
    buf_init(&lines, 1 * MIB);
    log_to(keep, NULL);
    log_clock(&fixed);
    log_level_set(LOG_INFO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_to(NULL, NULL);
    log_clock(&clock_system);
    buf_release(&lines);
    return 0;
}

static void test_line(void **state)
{
    (void)state;
    log_event(LOG_INFO, "snapshot taken", LOG_S("wukong", "a/\"b\"\n\t\\\x01"), LOG_I("ms", -5));
    assert_true(lines.len > 0 && strchr(lines.data, '\n') == lines.data + lines.len - 1);
    cJSON *tree = cJSON_Parse(lines.data);
    assert_non_null(tree);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "time")->valuestring,
                        "2026-01-02T03:04:05.678Z");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "level")->valuestring, "info");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "msg")->valuestring,
                        "snapshot taken");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "wukong")->valuestring,
                        "a/\"b\"\n\t\\\x01");
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(tree, "ms")->valueint, -5);
    cJSON_Delete(tree);
}

static void test_levels(void **state)
{
    (void)state;
    log_event(LOG_DEBUG, "hidden");
    assert_int_equal(lines.len, 0);
    log_level_set(LOG_WARN);
    log_event(LOG_INFO, "hidden");
    assert_int_equal(lines.len, 0);
    log_event(LOG_ERROR, "shown", LOG_S("none", (const char *)NULL));
    assert_non_null(strstr(lines.data, "\"none\":\"\""));
    assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
    assert_int_equal(log_level_parse("error"), LOG_ERROR);
    assert_int_equal(log_level_parse("loud"), -1);
}

static void test_too_long(void **state)
{
    (void)state;
    CLEANUP_FREE char *text = xmalloc(2 * LIMIT_LOG_LINE_BYTES);
    memset(text, 'x', 2 * LIMIT_LOG_LINE_BYTES);
    text[2 * LIMIT_LOG_LINE_BYTES - 1] = '\0';
    log_event(LOG_INFO, "short", LOG_S("value", text));
    cJSON *tree = cJSON_Parse(lines.data);
    assert_non_null(tree);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "msg")->valuestring,
                        "log line too long");
    cJSON_Delete(tree);
}

static void test_limit(void **state)
{
    (void)state;
    struct log_limit l = {0};
    assert_true(log_limited(&l, 1000, 100));
    assert_false(log_limited(&l, 1050, 100));
    assert_false(log_limited(&l, 1099, 100));
    assert_int_equal(l.hidden, 2);
    assert_true(log_limited(&l, 1100, 100));
    assert_int_equal(l.hidden, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
