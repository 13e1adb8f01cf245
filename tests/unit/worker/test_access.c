/*
 * Proves that a clone from another namespace reads nothing, starts nothing and cuts nothing on the
 * word of a stamp alone: the right is asked for again, for the stamp's user; a refusal holds the
 * clone back with a reason until the right is granted; an answer that is old, lost or garbled is
 * none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "steps/steps.h"

#define NOW 1790000000000LL
#define KEY call_key_numbered(CALL_ACCESS_CLONE, 5)

static const struct {
    const char *what;
    enum call_state state;
    const char *body;
    int64_t age_ms;
    enum step_status access, kept; /* before the source is read; at every look */
} rows[] = {
    {"never asked", CALL_NONE, NULL, 0, STEP_TODO, STEP_DONE},
    {"asking", CALL_FLYING, NULL, 0, STEP_TODO, STEP_DONE},
    {"yes", CALL_OK, "{\"status\":{\"allowed\":true}}", 1000, STEP_DONE, STEP_DONE},
    {"a yes of long ago", CALL_OK, "{\"status\":{\"allowed\":true}}", 61000, STEP_TODO, STEP_DONE},
    {"no", CALL_OK, "{\"status\":{\"allowed\":false}}", 1000, STEP_WAIT, STEP_WAIT},
    {"a no of long ago", CALL_OK, "{\"status\":{\"allowed\":false}}", 61000, STEP_TODO, STEP_TODO},
    {"no word", CALL_OK, "{\"status\":{}}", 1000, STEP_TODO, STEP_DONE},
    {"another type", CALL_OK, "{\"status\":{\"allowed\":\"true\"}}", 1000, STEP_TODO, STEP_DONE},
    {"garbled", CALL_OK, "{\"status\":{\"allowed\":tr", 1000, STEP_TODO, STEP_DONE},
    {"an error", CALL_FAILED, NULL, 1000, STEP_TODO, STEP_DONE},
};

/* A thousand that were refused ask ever more seldom. */
static void test_refusals_are_asked_ever_more_seldom(void **state)
{
    (void)state;
    struct call_log call_log = {0};
    struct why why = {0};
    struct wukong wukong = {.uid = "u1", .created_ms = NOW - 3600000};
    struct clone_state v = {
        .call_log = &call_log,
        .wukong = &wukong,
        .now = {NOW, 0},
        .permit = {.user = "alice", .issued_ms = 5, .clone_review = "{}"},
    };
    struct call *c = call_log_get(&call_log, KEY);
    c->state = CALL_OK;
    c->done_ms = NOW;
    call_set_body(c, xstrdup("{\"status\":{\"allowed\":false}}"), 28);
    assert_int_equal(check_access(&v, ACCESS_CLONE, &why), STEP_WAIT);
    assert_in_range(why.again_ms - NOW, WAIT_POLL_MAX_MS, WAIT_POLL_MAX_MS * 5 / 4);
    call_log_release(&call_log);
}

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call_log call_log = {0};
        struct why why = {0}, kept = {0};
        /* It waits since a moment ago. */
        struct wukong wukong = {.uid = "u1", .created_ms = NOW - 1000};
        struct clone_state v = {
            .call_log = &call_log,
            .wukong = &wukong,
            .now = {NOW, 0},
            .effective = {.source_ns = "prod", .source_name = "db"},
            .permit = {.user = "alice", .issued_ms = 5, .clone_review = "{}"},
        };
        if (rows[i].state != CALL_NONE) {
            struct call *c = call_log_get(&call_log, KEY);
            c->state = rows[i].state;
            c->done_ms = NOW - rows[i].age_ms;
            c->body = xstrdup(rows[i].body);
            c->body_len = rows[i].body ? strlen(rows[i].body) : 0;
        }
        enum step_status access = check_access(&v, ACCESS_CLONE, &why);
        if (access != rows[i].access || check_access_kept(&v, &kept) != rows[i].kept)
            fail_msg("%s: %d, %s", rows[i].what, access, why.message);
        if (access == STEP_WAIT) {
            assert_int_equal(why.reason, REASON_NOT_ADMITTED);
            assert_non_null(strstr(why.message, "alice"));
            assert_int_equal(why.again_ms, NOW - rows[i].age_ms + 60000);
        }
        /* A new stamp, perhaps of another user: nothing that was answered before counts. */
        v.permit.issued_ms = 6;
        assert_int_equal(check_access(&v, ACCESS_CLONE, &why), STEP_TODO);
        /* Within its namespace nobody is asked. */
        v.permit.clone_review = NULL;
        assert_int_equal(check_access(&v, ACCESS_CLONE, &why), STEP_DONE);
        call_log_release(&call_log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refusals_are_asked_ever_more_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
