/*
 * Proves that timers fire in the order of their deadlines, equal ones in the order of arming, each
 * once; that moving and cancelling work for every place in the heap; and that a run is bounded. The
 * structure is driven by op-scripts, and by random operations against a sorted list.
 */
#include "test.h"

#include "base/rng.h"
#include "base/timer.h"

#define TIMERS 8

/* Ops: "a<t>@<ms>" arm, "c<t>" cancel, "r<ms>" run until, "n" append the next deadline. A firing
   appends the timer's letter. Timers are called A to H. */
struct fixture {
    struct timers timers;
    struct timer t[TIMERS];
    char out[256];
};

struct firing {
    struct fixture *f;
    char letter;
};

static void append(struct fixture *f, const char *text)
{
    size_t used = strlen(f->out);
    snprintf(f->out + used, sizeof f->out - used, "%s", text);
}

static void fired(void *arg)
{
    struct firing *x = arg;
    append(x->f, (char[]){x->letter, '\0'});
}

static void run_script(struct fixture *f, const char *script)
{
    while (*script) {
        char op = *script++, letter = 'A';
        if (op == ' ')
            continue;
        if (op == 'a' || op == 'c')
            letter = *script++;
        struct timer *t = &f->t[letter - 'A'];
        if (op == 'a' || op == 'r') {
            char *end;
            long at = strtol(script + (*script == '@'), &end, 10);
            script = end;
            if (op == 'a')
                timer_arm(&f->timers, t, at);
            else
                timers_run(&f->timers, at);
        } else if (op == 'c') {
            timer_cancel(&f->timers, t);
        } else {
            char text[32];
            int64_t next = timers_next(&f->timers);
            snprintf(text, sizeof text, next == INT64_MAX ? "[-]" : "[%lld]", (long long)next);
            append(f, text);
        }
    }
}

static void test_scripts(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *script, *out;
    } rows[] = {
        {__LINE__, "n r100", "[-]"},
        {__LINE__, "aA@10 n r9 n r10 n", "[10][10]A[-]"},
        {__LINE__, "aC@30 aA@10 aB@20 r100", "ABC"},
        {__LINE__, "aB@5 aA@5 aC@5 r5", "BAC"},
        {__LINE__, "aA@10 aA@20 r10 n r20 r30", "[20]A"},
        {__LINE__, "aA@20 aA@10 r10 r20", "A"},
        {__LINE__, "aA@1 aB@2 aC@3 cB r3", "AC"},
        {__LINE__, "aA@1 aB@2 cA cA n r3", "[2]B"},
        {__LINE__, "aA@5 aB@5 aA@5 r5", "BA"},
        {__LINE__, "aH@8 aG@7 aF@6 aE@5 aD@4 aC@3 aB@2 aA@1 cD cH r9", "ABCEFG"},
        {__LINE__, "aA@-5 r-6 r-5", "A"},
        {__LINE__, "aA@1 r1 aA@2 r2", "AA"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f = {0};
        struct firing x[TIMERS];
        for (size_t t = 0; t < TIMERS; t++) {
            x[t] = (struct firing){&f, (char)('A' + t)};
            timer_init(&f.t[t], fired, &x[t]);
        }
        run_script(&f, rows[i].script);
        if (strcmp(f.out, rows[i].out) != 0)
            fail_msg("row at line %d: %s", rows[i].line, f.out);
        timers_release(&f.timers);
    }
}

struct rearm {
    struct timers *timers;
    struct timer timer;
    unsigned fired;
};

static void rearm(void *arg)
{
    struct rearm *r = arg;
    r->fired++;
    timer_arm(r->timers, &r->timer, 0);
}

static void test_run_is_bounded(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct rearm r = {.timers = &timers};
    timer_init(&r.timer, rearm, &r);
    timer_arm(&timers, &r.timer, 0);
    assert_int_equal(timers_run(&timers, 0), 10000);
    assert_int_equal(r.fired, 10000);
    assert_true(timer_armed(&r.timer));
    timers_release(&timers);
    assert_false(timer_armed(&r.timer));
}

#define MANY 200

static void note_time(void *arg)
{
    *(int64_t *)arg = -1;
}

/* Random arms and cancels; a plain array of deadlines is the model. */
static void test_against_model(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    struct timers timers = {0};
    struct timer t[MANY];
    int64_t due[MANY]; /* -1: idle */
    for (size_t i = 0; i < MANY; i++) {
        timer_init(&t[i], note_time, &due[i]);
        due[i] = -1;
    }
    int64_t now = 0;
    for (unsigned step = 0; step < 20000; step++) {
        size_t i = (size_t)rng_range(&rng, 0, MANY - 1);
        if (rng_chance(&rng, 600)) {
            due[i] = now + rng_range(&rng, 1, 1000);
            timer_arm(&timers, &t[i], due[i]);
        } else if (rng_chance(&rng, 300)) {
            timer_cancel(&timers, &t[i]);
            due[i] = -1;
        } else {
            now += rng_range(&rng, 0, 50);
            size_t expected = 0;
            for (size_t k = 0; k < MANY; k++)
                expected += due[k] >= 0 && due[k] <= now;
            assert_int_equal(timers_run(&timers, now), expected);
        }
        int64_t first = INT64_MAX;
        for (size_t k = 0; k < MANY; k++) {
            assert_true(timer_armed(&t[k]) == (due[k] >= 0));
            if (due[k] >= 0 && due[k] < first)
                first = due[k];
        }
        assert_true(timers_next(&timers) == first);
    }
    timers_release(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_run_is_bounded),
        cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
