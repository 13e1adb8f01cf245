/*
 * Proves what `kubectl wukong status` and `why` print: no line is wider than the terminal, whatever
 * the names and messages are; each state is told apart; a remedy follows a reason that has one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "cli/progress.h"
#include "json/json.h"

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct err err = {0};
    if (json_parse(text, strlen(text), true, &tree, &err) < 0)
        fail_msg("%s", err.message);
    return tree;
}

static cJSON *many_disks(int disks, const char *message)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 * MIB);
    buf_addf(&b, "{\"metadata\":{\"name\":\"a-rather-long-name-of-a-wukong-for-a-small-terminal\"},"
                 "\"spec\":{\"cloneSource\":{}},\"status\":{\"conditions\":[{\"type\":\"Ready\","
                 "\"status\":\"False\",\"reason\":\"SourceNotFound\",\"message\":\"%s\"}],"
                 "\"cloneStatus\":{\"phase\":\"Cloning\",\"progress\":\"42%%\",\"disks\":[",
             message);
    for (int i = 0; i < disks; i++)
        buf_addf(&b, "%s{\"name\":\"dïsk-%d-with-a-long-name\",\"progress\":\"%d%%\","
                     "\"phase\":\"Restoring\"}",
                 i ? "," : "", i, i * 100 / disks);
    buf_adds(&b, "]}}}");
    return parse(b.data);
}

static void assert_fits(const char *text, unsigned width)
{
    unsigned columns = 0;
    for (; *text; text++) {
        if (*text == '\n') {
            columns = 0;
            continue;
        }
        columns += ((unsigned char)*text & 0xC0) != 0x80;
        if (columns > width)
            fail_msg("a line is wider than %u columns", width);
    }
}

static void test_fits(void **state)
{
    (void)state;
    static const unsigned widths[] = {1, 20, 39, 40, 79, 80, 200};
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        CLEANUP_JSON cJSON *w = many_disks(30, "die Quelle fehlt: für längere Zeit, wie es scheint");
        CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
        progress_bars(w, widths[i], &out);
        assert_true(buf_ok(&out));
        assert_fits(out.data, widths[i] < 20 ? 20 : widths[i]);
    }
}

static void test_states(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum progress_state state;
    } rows[] = {
        {"{\"spec\":{}}", PROGRESS_NO_CLONE},
        {"{\"spec\":{\"cloneSource\":{}}}", PROGRESS_RUNNING},
        {"{\"spec\":{\"cloneSource\":{}},\"status\":{\"cloneStatus\":{\"phase\":\"Cloning\"}}}",
         PROGRESS_RUNNING},
        {"{\"spec\":{\"cloneSource\":{}},\"status\":{\"cloneStatus\":{\"phase\":\"Succeeded\"}}}",
         PROGRESS_SUCCEEDED},
        {"{\"spec\":{\"cloneSource\":{}},\"status\":{\"cloneStatus\":{\"phase\":\"Failed\"}}}",
         PROGRESS_FAILED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *w = parse(rows[i].text);
        assert_int_equal(progress_state(w), rows[i].state);
        CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
        progress_why(w, &out);
        progress_line(w, &out);
        progress_bars(w, 40, &out);
        assert_true(out.len > 0);
    }
}

static void test_why_has_a_remedy(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *w = many_disks(1, "VirtualMachine a/b does not exist");
    CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
    progress_why(w, &out);
    assert_non_null(strstr(out.data, "SourceNotFound"));
    assert_non_null(strstr(out.data, "VirtualMachine a/b does not exist"));
    assert_non_null(strstr(out.data, "What to do:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_why_has_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
