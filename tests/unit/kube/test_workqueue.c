/*
 * Proves the queue's promises with op-scripts: a key waits once, comes again when added while in
 * process, is never in process twice, delays and backoff hold, retries share a token bucket, the
 * cap on keys in process holds; and against a model under random operations: no key is ever lost.
 */
#include "test.h"

#include "base/buf.h"
#include "base/rng.h"
#include "kube/workqueue.h"

/* Ops, one word each; keys are one letter. a<k> add, h<k> hurry, A<k><n> add at now+n, g get
   (prints the key or
   '-'), d<k> done, t<n> time passes, n prints when something is next (now+x, or '-'). */
static void run_script(struct workqueue *q, const char *script, struct buf *out)
{
    int64_t now = 1000;
    for (const char *p = script; *p;) {
        char op = *p++, key[2] = {0};
        if (op == ' ')
            continue;
        if (strchr("aAdh", op))
            key[0] = *p++;
        char *end = NULL;
        long number = strchr("At", op) ? strtol(p, &end, 10) : 0;
        p = end ? end : p;
        if (op == 'a') {
            workqueue_add(q, key, now);
        } else if (op == 'A') {
            workqueue_add_at(q, key, now + number, now);
        } else if (op == 'd') {
            workqueue_done(q, key, now);
        } else if (op == 'h') {
            workqueue_hurry(q, key, true);
        } else if (op == 't') {
            now += number;
        } else if (op == 'g') {
            const char *got = workqueue_get(q, now);
            buf_adds(out, got ? got : "-");
        } else {
            int64_t next = workqueue_next_ms(q, now);
            if (next == INT64_MAX)
                buf_adds(out, "[-]");
            else
                buf_addf(out, "[%lld]", (long long)(next - now));
        }
    }
}

static void test_scripts(void **state)
{
    (void)state;
    static const struct {
        int line;
        unsigned cap;
        const char *script, *out;
    } rows[] = {
        {__LINE__, 0, "g n", "-[-]"},
        {__LINE__, 0, "ax ay n g g g", "[0]xy-"},
        {__LINE__, 0, "ax ax ay ax g g g", "xy-"},
        {__LINE__, 0, "ax g ax g dx g g", "x-x-"},
        {__LINE__, 0, "ax g ax ax ax dx g dx g", "xx-"},
        {__LINE__, 0, "ax g dx g", "x-"},
        {__LINE__, 0, "Ax50 g n t49 g t1 n g", "-[50]-[0]x"},
        {__LINE__, 0, "Ax50 Ax20 n t20 g dx t30 g", "[20]x-"},
        {__LINE__, 0, "Ax20 Ax50 n", "[20]"},
        {__LINE__, 0, "Ax50 ax g dx t50 g", "x-"},
        {__LINE__, 0, "ax Ax50 g dx t50 g", "x-"},
        {__LINE__, 0, "ax g Ax50 dx n t50 g", "x[50]x"},
        {__LINE__, 0, "ax g Ax50 t50 g dx g", "x-x"},
        {__LINE__, 0, "ax g Ax50 ax dx g", "xx"},
        {__LINE__, 0, "Ax0 g", "x"},
        {__LINE__, 0, "Ax-5 g", "x"},
        {__LINE__, 0, "Ax30 Ay10 Az20 t30 g g g", "yzx"},
        /* In a hurry: first when due, in line among themselves, until the key is idle. */
        {__LINE__, 0, "ax ay az hz g g g", "zxy"},
        {__LINE__, 0, "ax ay az hz hy aw g g g g", "zyxw"},
        {__LINE__, 0, "ax Ay10 hy t10 g g", "yx"},
        {__LINE__, 0, "ax ay hy g dy ay g g", "yxy"},
        {__LINE__, 0, "ax ay hy hx aw g g g", "yxw"},
        {__LINE__, 2, "ax ay az g g g n dx n g", "xy-[-][0]z"},
        {__LINE__, 1, "ax ay g ax g dx g dy g", "x-yx"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct workqueue *q =
            workqueue_new(&(struct workqueue_options){.in_process_max = rows[i].cap});
        CLEANUP_BUF struct buf out = BUF_INIT(1000);
        run_script(q, rows[i].script, &out);
        if (strcmp(out.data, rows[i].out) != 0)
            fail_msg("row at line %d: %s", rows[i].line, out.data);
        workqueue_free(q);
    }
}

#define KEYS 20

static void test_nothing_is_lost(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 9);
    struct workqueue *q = workqueue_new(&(struct workqueue_options){.in_process_max = 5});
    int64_t due[KEYS], now = 0; /* when the key must come; INT64_MAX: it need not */
    bool busy[KEYS] = {0};
    size_t in_process = 0;
    for (size_t i = 0; i < KEYS; i++)
        due[i] = INT64_MAX;
    for (unsigned step = 0; step < 50000; step++) {
        size_t i = (size_t)rng_range(&rng, 0, KEYS - 1);
        char key[2] = {(char)('a' + i), '\0'};
        int64_t op = rng_range(&rng, 0, 9);
        if (op < 2) {
            workqueue_add(q, key, now);
            due[i] = now < due[i] ? now : due[i];
        } else if (op < 4) {
            int64_t at = now + rng_range(&rng, 0, 100);
            workqueue_add_at(q, key, at, now);
            due[i] = at < due[i] ? at : due[i];
        } else if (op < 6 && busy[i]) {
            workqueue_done(q, key, now);
            busy[i] = false;
            in_process--;
        } else if (op < 9) {
            const char *got = workqueue_get(q, now);
            size_t ready = 0;
            for (size_t k = 0; k < KEYS; k++)
                ready += !busy[k] && due[k] <= now;
            assert_true((got != NULL) == (ready > 0 && in_process < 5));
            if (got) {
                size_t k = (size_t)(got[0] - 'a');
                assert_false(busy[k]);
                assert_true(due[k] <= now);
                busy[k] = true;
                due[k] = INT64_MAX;
                in_process++;
            }
        } else {
            now += rng_range(&rng, 0, 30);
        }
    }
    workqueue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
