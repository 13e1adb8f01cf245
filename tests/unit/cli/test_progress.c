/*
 * Proves what `kubectl wukong status` and `why` print: no line is wider than the terminal, whatever
 * the names and messages are, and no picture higher; each state is told apart; nothing of a message
 * is obeyed by the terminal; `why` says the reason, until when, and the remedy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "cli/progress.h"
#include "cli/why.h"
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
    buf_addf(&b,
             "{\"metadata\":{\"name\":\"a-rather-long-name-of-a-wukong-for-a-small-terminal\"},"
             "\"spec\":{\"cloneSource\":{}},\"status\":{\"conditions\":[{\"type\":\"Ready\","
             "\"status\":\"False\",\"reason\":\"SourceNotFound\",\"message\":\"%s\"}],"
             "\"cloneStatus\":{\"phase\":\"Cloning\",\"progress\":\"42%%\",\"disks\":[",
             message);
    for (int i = 0; i < disks; i++)
        buf_addf(&b,
                 "%s{\"name\":\"dïsk-%d-with-a-long-name\",\"progress\":\"%d%%\","
                 "\"phase\":\"Restoring\"}",
                 i ? "," : "", i, i * 100 / disks);
    buf_adds(&b, "]}}}");
    return parse(b.data);
}

/* Columns counted here anew: escape sequences take none, each character one (no wide ones here). */
static void assert_fits(const char *text, unsigned columns_max, unsigned rows_max)
{
    unsigned columns = 0, rows = 0;
    for (; *text; text++) {
        if (*text == '\033') {
            text += strcspn(text, "m");
            continue;
        }
        if (*text == '\n') {
            columns = 0;
            rows++;
            continue;
        }
        columns += ((unsigned char)*text & 0xC0) != 0x80;
        if (columns > columns_max)
            fail_msg("a line is wider than %u columns", columns_max);
    }
    if (rows > rows_max)
        fail_msg("%u lines, %u fit", rows, rows_max);
}

static void test_fits(void **state)
{
    (void)state;
    static const unsigned columns[] = {1, 20, 39, 40, 79, 80, 200};
    static const unsigned rows[] = {1, 3, 4, 10, 23, 60};
    for (size_t i = 0; i < ARRAY_LEN(columns) * ARRAY_LEN(rows) * 2; i++) {
        struct progress_screen s = {.columns = columns[i % ARRAY_LEN(columns)],
                                    .rows = rows[i / ARRAY_LEN(columns) % ARRAY_LEN(rows)],
                                    .colour = i % 2,
                                    .ascii = i >= ARRAY_LEN(columns) * ARRAY_LEN(rows)};
        CLEANUP_JSON cJSON *w =
            many_disks(30, "die Quelle fehlt: für längere Zeit, wie es scheint");
        CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
        progress_bars(w, &s, &out);
        assert_true(buf_ok(&out));
        assert_fits(out.data, s.columns < 20 ? 20 : s.columns, s.rows < 3 ? 3 : s.rows);
    }
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = strstr(text, what); p; p = strstr(p + strlen(what), what))
        n++;
    return n;
}

/* 30 disks (one at 0 %, none at 100 %) in a terminal of 24 lines, then some that are done. */
static void test_too_many_disks_are_counted(void **state)
{
    (void)state;
    struct progress_screen s = {.columns = 79, .rows = 23};
    CLEANUP_JSON cJSON *w = many_disks(30, "m");
    CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
    progress_bars(w, &s, &out);
    /* 23 rows: the head, the message and the count leave 20 for disks; the disk that has not begun
       is the first to be left out, then those at the end. */
    assert_non_null(strstr(out.data, "and 10 more: 0 done, 10 not\n"));
    assert_int_equal(20, count(out.data, "-with-a-long-name"));
    assert_null(strstr(out.data, "dïsk-0-"));
    assert_non_null(strstr(out.data, "dïsk-1-"));
    cJSON *disk =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(
                               cJSON_GetObjectItemCaseSensitive(
                                   cJSON_GetObjectItemCaseSensitive(w, "status"), "cloneStatus"),
                               "disks"),
                           1);
    cJSON_SetValuestring(cJSON_GetObjectItemCaseSensitive(disk, "progress"), "100%");
    buf_clear(&out);
    progress_bars(w, &s, &out);
    assert_non_null(strstr(out.data, "and 10 more: 1 done, 9 not\n"));
    assert_null(strstr(out.data, "dïsk-1-"));
}

static void test_no_colour_no_escape(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *w = many_disks(3, "m");
    CLEANUP_BUF struct buf plain = BUF_INIT(1 * MIB), line = BUF_INIT(1 * MIB);
    CLEANUP_BUF struct buf colour = BUF_INIT(1 * MIB), ascii = BUF_INIT(1 * MIB);
    progress_bars(w, &(struct progress_screen){80, 24, false, false}, &plain);
    progress_bars(w, &(struct progress_screen){80, 24, true, false}, &colour);
    progress_bars(w, &(struct progress_screen){80, 24, false, true}, &ascii);
    progress_line(w, &line);
    assert_null(strchr(plain.data, '\033'));
    assert_non_null(strchr(colour.data, '\033'));
    assert_null(strchr(line.data, '\033'));
    assert_null(strstr(ascii.data, "█"));
    assert_null(strstr(ascii.data, "…"));
    assert_non_null(strstr(ascii.data, "#"));
}

/* A message of the cluster is never obeyed by the terminal, and a line stays a line. */
static void test_escapes_are_not_passed_on(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *w = many_disks(1, "a\\u001b[2Jb\\nc\\u009b1md\\u202ee");
    CLEANUP_BUF struct buf line = BUF_INIT(1 * MIB), bars = BUF_INIT(1 * MIB),
                           why = BUF_INIT(1 * MIB);
    progress_line(w, &line);
    progress_bars(w, &(struct progress_screen){80, 24, false, false}, &bars);
    why_text(w, 0, &why);
    const char *const texts[] = {line.data, bars.data, why.data};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_null(strchr(texts[i], '\033'));
        assert_null(strstr(texts[i], "\xc2\x9b"));
        assert_non_null(strstr(texts[i], "a?[2Jb c?1md?e"));
    }
    assert_int_equal(1, count(line.data, "\n"));
}

static void test_a_batch_has_a_bar_for_its_machines(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *w = parse(
        "{\"metadata\":{\"name\":\"lab\"},\"spec\":{\"cloneSource\":{}},\"status\":{"
        "\"cloneStatus\":{"
        "\"phase\":\"Cloning\",\"progress\":\"80%\",\"step\":\"ready\",\"disks\":[{\"name\":"
        "\"root\","
        "\"progress\":\"100%\",\"phase\":\"Bound\"}],\"targets\":[{\"vmName\":\"a\",\"phase\":"
        "\"Ready\"},"
        "{\"vmName\":\"b\",\"phase\":\"Starting\"},{\"vmName\":\"c\",\"phase\":\"Pending\"}]}}}");
    CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB), line = BUF_INIT(1 * MIB);
    progress_bars(w, &(struct progress_screen){80, 24, false, false}, &out);
    assert_non_null(strstr(out.data, "machines █████████░"));
    assert_non_null(strstr(out.data, " 33% 1 of 3 ready\n"));
    progress_line(w, &line);
    assert_string_equal("lab Cloning 80% ready disks 1/1 machines 1/3\n", line.data);
}

static void test_a_deletion_is_shown(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *w = parse(
        "{\"metadata\":{\"name\":\"x\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},"
        "\"spec\":{\"cloneSource\":{}},\"status\":{\"cloneStatus\":{\"phase\":\"Cloning\"}}}");
    CLEANUP_BUF struct buf line = BUF_INIT(1 * MIB);
    progress_line(w, &line);
    assert_string_equal("x Deleting 0%\n", line.data);
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
        CLEANUP_BUF struct buf why = BUF_INIT(1 * MIB), line = BUF_INIT(1 * MIB),
                               bars = BUF_INIT(1 * MIB);
        why_text(w, 0, &why);
        progress_line(w, &line);
        progress_bars(w, &(struct progress_screen){40, 24, false, false}, &bars);
        assert_true(why.len && line.len && bars.len);
    }
}

/* --- why --- */

static cJSON *waiting(const char *spec, const char *reason, const char *message, const char *clone)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 * MIB);
    buf_addf(
        &b,
        "{\"metadata\":{\"name\":\"x\",\"namespace\":\"prod\"},\"spec\":{\"cloneSource\":{%s}},"
        "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\"%s\","
        "\"message\":\"%s\"},{\"type\":\"App\",\"status\":\"True\"}],\"cloneStatus\":{%s}}}",
        spec, reason, message, clone);
    return parse(b.data);
}

#define NOON_MS INT64_C(1767268800000) /* 2026-01-01T12:00:00Z */

static void test_why(void **state)
{
    (void)state;
    static const struct {
        const char *what, *spec, *reason, *message, *clone, *expected[4];
    } rows[] = {
        {"a remedy follows a reason that has one",
         "",
         "SourceNotFound",
         "VM a/b does not exist",
         "",
         {"x waits: SourceNotFound\n", "because:    VM a/b does not exist\n",
          "what to do: Create the source"}},
        {"a wait that has a time says until when and for how long",
         "",
         "OutsideWindow",
         "outside",
         "\"waitingUntil\":\"2026-01-01T22:00:00Z\"",
         {"until:      2026-01-01T22:00:00Z (in 10h)\n", "Nothing: it continues by itself."}},
        {"days are days",
         "",
         "NotBefore",
         "not yet",
         "\"waitingUntil\":\"2026-01-05T12:30:00Z\"",
         {"until:      2026-01-05T12:30:00Z (in 4d)\n"}},
        {"each gate is told",
         "\"gates\":[\"App\",\"Db\"]",
         "AwaitingGates",
         "waiting for Db",
         "\"startTime\":\"2026-01-01T11:30:00Z\"",
         {"gate:       App is True\n", "gate:       Db is not set\n",
          "gives up:   2026-01-01T12:30:00Z (in 30m)\n"}},
        {"what is done says when it goes",
         "",
         "Succeeded",
         "done",
         "\"phase\":\"Succeeded\",\"expiresTime\":\"2026-01-01T22:00:00Z\"",
         {"x is done.\n", "expires:    2026-01-01T22:00:00Z (in 10h)\n"}},
        {"a failure says how to try again",
         "",
         "DeadlineExceeded",
         "too late",
         "\"phase\":\"Failed\",\"attempts\":3,\"lastError\":{\"reason\":\"QuotaExceeded\","
         "\"message\":\"q\"}",
         {"x has failed: DeadlineExceeded\n", "last error: QuotaExceeded: q\n", "attempts:   3\n",
          "kubectl annotate wukong -n prod x vm.novasphere.dev/retry="}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *w =
            waiting(rows[i].spec, rows[i].reason, rows[i].message, rows[i].clone);
        CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
        why_text(w, NOON_MS, &out);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].expected) && rows[i].expected[k]; k++)
            if (!strstr(out.data, rows[i].expected[k]))
                fail_msg("%s: \"%s\" is missing in\n%s", rows[i].what, rows[i].expected[k],
                         out.data);
    }
}

/* Scripts get the same, under names that stay; text of others is no more than text. */
static void test_why_for_scripts(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *reason, *clone, *expected;
    } rows[] = {
        {"", "SourceNotFound", "",
         "{\"name\":\"x\",\"namespace\":\"prod\",\"state\":\"waits\",\"reason\":"
         "\"SourceNotFound\",\"message\":\"m \\\"q\\\"\",\"whatToDo\":\"Create the source, or "
         "correct "
         "spec.cloneSource in a new Wukong.\"}"},
        {"\"gates\":[\"App\",\"Db\"]", "AwaitingGates",
         "\"step\":\"Gates\",\"startTime\":\"2026-01-01T11:30:00Z\"",
         "\"step\":\"Gates\",\"gates\":[\"App is True\",\"Db is not set\"],\"givesUp\":"
         "\"2026-01-01T12:30:00Z\""},
        {"", "DeadlineExceeded",
         "\"phase\":\"Failed\",\"attempts\":3,\"lastError\":{\"reason\":\"QuotaExceeded\","
         "\"message\":\"q\"}",
         "\"lastError\":\"QuotaExceeded: q\",\"attempts\":\"3\",\"whatToDo\":"},
        {"", "Succeeded",
         "\"phase\":\"Succeeded\",\"consistency\":\"FilesystemConsistent\",\"freezeMilliseconds\":"
         "7,"
         "\"targets\":[{\"vmName\":\"a\"},{\"vmName\":\"b\"}]",
         "\"state\":\"done\",\"machines\":[\"a\",\"b\"],\"consistency\":\"FilesystemConsistent\","
         "\"frozen\":\"7 ms\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *w = waiting(rows[i].spec, rows[i].reason, "m \\\"q\\\"", rows[i].clone);
        CLEANUP_JSON cJSON *back = NULL;
        CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
        struct err err = {0};
        why_json(w, NOON_MS, &out);
        if (json_read(out.data, out.len, &back, &err) < 0 || !strstr(out.data, rows[i].expected))
            fail_msg("%s: %s\n%s", rows[i].reason, err.message, out.data);
    }
}

static void test_status_for_scripts(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *w = waiting(
        "", "Cloning", "m",
        "\"phase\":\"Cloning\",\"progress\":\"28%\",\"step\":\"Snapshots\",\"disks\":[{\"name\":"
        "\"root\","
        "\"progress\":\"100%\",\"phase\":\"Bound\"},{\"name\":\"data\",\"progress\":\"5%\"}]");
    CLEANUP_BUF struct buf out = BUF_INIT(1 * MIB);
    progress_json(w, &out);
    assert_string_equal(
        out.data,
        "{\"name\":\"x\",\"namespace\":\"prod\",\"phase\":\"Cloning\",\"percent\":28,\"step\":"
        "\"Snapshots\",\"disks\":{\"done\":1,\"all\":2},\"machines\":{\"done\":0,\"all\":0},"
        "\"diskList\":[{\"name\":\"root\",\"phase\":\"Bound\",\"percent\":100},{\"name\":\"data\","
        "\"percent\":5}],\"reason\":\"Cloning\",\"message\":\"m\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_too_many_disks_are_counted),
        cmocka_unit_test(test_no_colour_no_escape),
        cmocka_unit_test(test_escapes_are_not_passed_on),
        cmocka_unit_test(test_a_batch_has_a_bar_for_its_machines),
        cmocka_unit_test(test_a_deletion_is_shown),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_why),
        cmocka_unit_test(test_why_for_scripts),
        cmocka_unit_test(test_status_for_scripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
