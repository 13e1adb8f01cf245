/*
 * What --explain tells of saved objects: each dumps/NAME.json is a List as `kubectl get -o json`
 * saves it, or as GET /debug/clones?name=… answers (gate-is-closed, from a bed), and each line of
 * NAME.txt must be the head of a line of what is told, in that order. A user's List becomes a test
 * by being put there. And every step has its name in a happy walk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "controller/explain.h"

static void read_dump(const char *name, const char *ending, struct buf *out)
{
    struct err err = {0};
    CLEANUP_FREE char *path = xasprintf("%s/%s.%s", DUMPS, name, ending);
    if (buf_read_file(out, path, &err) < 0)
        fail_msg("%s", err.message);
}

static const char *line_with_head(const char *text, const char *head, size_t n)
{
    while (text) {
        if (strncmp(text, head, n) == 0)
            return text;
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return NULL;
}

static void test_dumps(void **state)
{
    (void)state;
    static const char *const names[] = {"source-is-missing", "ready-to-read", "gate-is-closed"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP_BUF struct buf dump = BUF_INIT(1 * MIB);
        CLEANUP_BUF struct buf wanted = BUF_INIT(1 * MIB);
        CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
        struct err err = {0};
        read_dump(names[i], "json", &dump);
        read_dump(names[i], "txt", &wanted);
        if (explain_list(dump.data, dump.len, 0, &out, &err) < 0)
            fail_msg("%s: %s", names[i], err.message);
        const char *at = out.data;
        for (const char *line = wanted.data; *line; line = strchr(line, '\n') + 1) {
            size_t n = strcspn(line, "\n");
            at = line_with_head(at, line, n);
            if (!at)
                fail_msg("%s: no line begins with \"%.*s\" there:\n%s", names[i], (int)n, line,
                         out.data);
        }
    }
}

static void test_what_is_no_list(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "JSON"},
        {"{\"kind\":\"Wukong\"}", "kubectl get"},
        {"{\"items\":[]}", "no Wukong"},
        {"{\"items\":[{\"apiVersion\":\"vm.novasphere.dev/v1alpha1\",\"kind\":\"Wukong\"}]}",
         "without name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
        struct err err = {0};
        assert_int_equal(explain_list(rows[i].text, strlen(rows[i].text), 0, &out, &err), -1);
        if (!strstr(err.message, rows[i].error))
            fail_msg("row %zu: %s", i, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dumps),
        cmocka_unit_test(test_what_is_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
