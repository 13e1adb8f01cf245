/*
 * Proves the pure reflector against the behaviour of client-go's tools/cache/reflector.go: which
 * request follows which input, with which resourceVersion, and how long it waits. Each row is a
 * script of inputs and the actions expected after each of them.
 */
#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "kube/reflector.h"

/* One action as text: L<version>,<token>,<limit> W<version> w(wait) M S. */
static void describe(struct buf *out, const struct reflector_action *a)
{
    switch (a->kind) {
    case REFLECTOR_DO_MARK:
        buf_adds(out, "M ");
        break;
    case REFLECTOR_DO_SWEEP:
        buf_adds(out, "S ");
        break;
    case REFLECTOR_DO_LIST:
        buf_addf(out, "L%s,%s,%d ", a->version ? a->version : "", a->token ? a->token : "",
                 a->limit);
        break;
    case REFLECTOR_DO_WATCH:
        buf_addf(out, "W%s ", a->version);
        if (a->timeout_s < 300 || a->timeout_s >= 600)
            fail_msg("timeoutSeconds %d", a->timeout_s);
        break;
    case REFLECTOR_DO_WAIT:
        buf_adds(out, "w ");
        if (a->delay_ms < REFLECTOR_BACKOFF_MS)
            fail_msg("a wait of %lld ms", (long long)a->delay_ms);
        break;
    }
}

/* Inputs, one word each:  B begin, P<version>[,<token>] page, E<version> event, Z clean end, D due,
   F<kind> failure with kind one of x expired, b a cache behind, u unavailable, t throttled, r
   refused, i invalid, n not served, m (404 of something else), a unauthorized, and T<ms> time
   passes. */
static void run_script(const char *script, struct buf *out, struct reflector_state *s)
{
    struct rng rng;
    int64_t now = 1000000;
    rng_seed(&rng, 1);
    reflector_state_init(s);
    while (*script) {
        size_t n = strcspn(script, " ");
        char word[64], *rest = word + 1;
        snprintf(word, sizeof word, "%.*s", (int)n, script);
        script += n + (script[n] == ' ');
        struct reflector_input in = {0};
        char *comma = strchr(rest, ',');
        if (comma)
            *comma++ = '\0';
        switch (word[0]) {
        case 'T':
            now += strtol(rest, NULL, 10);
            continue;
        case 'B':
            in.kind = REFLECTOR_BEGIN;
            break;
        case 'P':
            in = (struct reflector_input){
                .kind = REFLECTOR_PAGE_IN, .version = rest, .token = comma};
            break;
        case 'E':
            in = (struct reflector_input){.kind = REFLECTOR_EVENT, .version = rest};
            break;
        case 'Z':
            in.kind = REFLECTOR_ENDED;
            break;
        case 'D':
            in.kind = REFLECTOR_DUE;
            break;
        default:
            in.kind = REFLECTOR_FAILED;
            in.unserved = *rest == 'n';
            in.behind = *rest == 'b';
            in.why = *rest == 'x' || *rest == 'b' ? ERR_EXPIRED
                     : *rest == 'u'               ? ERR_UNAVAILABLE
                     : *rest == 't'               ? ERR_THROTTLED
                     : *rest == 'r'               ? ERR_REFUSED
                     : *rest == 'i'               ? ERR_INVALID
                     : *rest == 'a'               ? ERR_UNAUTHORIZED
                                                  : ERR_NOT_FOUND;
            break;
        }
        struct reflector_actions a = reflector_step(s, &rng, &in, now);
        for (size_t i = 0; i < a.count; i++)
            describe(out, &a.items[i]);
        buf_adds(out, "/ ");
    }
}

static void test_scripts(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *script, *out;
        bool synced, served;
    } rows[] = {
        /* The first list names no version and comes in pages. */
        {__LINE__, "B", "M L,,500 / ", false, true},
        {__LINE__, "B P5,t1 P5,t2 P5", "M L,,500 / L,t1,500 / L,t2,500 / S W5 / ", true, true},
        /* Events move the version, a clean end goes on from there without a list. */
        {__LINE__, "B P5 E7 E9 Z", "M L,,500 / S W5 / / / W9 / ", true, true},
        {__LINE__, "B P5 T1000 Z", "M L,,500 / S W5 / W5 / ", true, true},
        {__LINE__, "B P5 Eopaque-x Z", "M L,,500 / S W5 / / Wopaque-x / ", true, true},
        /* A watch below 1 s without an event is a failure. */
        {__LINE__, "B P5 T999 Z D", "M L,,500 / S W5 / w / W5 / ", true, true},
        {__LINE__, "B P5 E6 T5 Z", "M L,,500 / S W5 / / W6 / ", true, true},
        /* 410 in a watch relists at the last version, 410 in that list without one. */
        {__LINE__, "B P5 E8 Fx", "M L,,500 / S W5 / / M L8,,500 / ", true, true},
        {__LINE__, "B P5 E8 Fx Fx P9", "M L,,500 / S W5 / / M L8,,500 / M L,,500 / S W9 / ", true,
         true},
        {__LINE__, "B P5 E8 Fx Fx Fx D P9",
         "M L,,500 / S W5 / / M L8,,500 / M L,,500 / w / M L,,500 / S W9 / ", true, true},
        /* after which the version counts again */
        {__LINE__, "B P5 Fx Fx P9 T5000 E10 Fx",
         "M L,,500 / S W5 / M L5,,500 / M L,,500 / S W9 / / M L10,,500 / ", true, true},
        /* 410 on a continue token: from the start, in one piece. */
        {__LINE__, "B P5,t Fx P6", "M L,,500 / L,t,500 / M L,,0 / S W6 / ", true, true},
        {__LINE__, "B P5,t Fx Fx D", "M L,,500 / L,t,500 / M L,,0 / w / M L,,500 / ", false, true},
        /* A page beyond what the server's cache holds: pages again, after a wait. */
        {__LINE__, "B P5,t Fb D P6", "M L,,500 / L,t,500 / w / M L,,500 / S W6 / ", true, true},
        {__LINE__, "B P5 E8 Fx Fb P9", "M L,,500 / S W5 / / M L8,,500 / M L,,500 / S W9 / ", true,
         true},
        /* One piece that is too much for the server is asked for in pages again. */
        {__LINE__, "B P5,t Fx Fu D", "M L,,500 / L,t,500 / M L,,0 / w / M L,,500 / ", false, true},
        /* List and watch that contradict each other do not spin. */
        {__LINE__, "B P5 Fx P5 Fx D", "M L,,500 / S W5 / M L5,,500 / S W5 / w / M L5,,500 / ", true,
         true},
        /* 429, refused and cut connections, 401: the same watch after a wait. */
        {__LINE__, "B P5 E6 Fu D", "M L,,500 / S W5 / / w / W6 / ", true, true},
        {__LINE__, "B P5 Ft D", "M L,,500 / S W5 / w / W5 / ", true, true},
        {__LINE__, "B P5 Fa D", "M L,,500 / S W5 / w / W5 / ", true, true},
        /* Anything else: from the list on, at the last version. */
        {__LINE__, "B P5 Fr D", "M L,,500 / S W5 / w / M L5,,500 / ", true, true},
        {__LINE__, "B P5 Fi D", "M L,,500 / S W5 / w / M L5,,500 / ", true, true},
        {__LINE__, "B Fu D Fr D P4", "M L,,500 / w / M L,,500 / w / M L,,500 / S W4 / ", true,
         true},
        {__LINE__, "B P5,t Fu D", "M L,,500 / L,t,500 / w / M L,,500 / ", false, true},
        /* Not served: synced and empty, asked for again; when it comes, as usual. */
        {__LINE__, "B Fn D P3", "M L,,500 / M S w / M L,,500 / S W3 / ", true, true},
        {__LINE__, "B Fn", "M L,,500 / M S w / ", true, false},
        {__LINE__, "B Fm", "M L,,500 / w / ", false, true},
        {__LINE__, "B P5 Fn D Fn", "M L,,500 / S W5 / w / M L5,,500 / M S w / ", true, false},
        {__LINE__, "B P5 Fn D Fn D", "M L,,500 / S W5 / w / M L5,,500 / M S w / M L,,500 / ", true,
         false},
        /* A list without a version cannot be watched. */
        {__LINE__, "B P D", "M L,,500 / w / M L,,500 / ", false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf out = BUF_INIT(4000);
        struct reflector_state s;
        run_script(rows[i].script, &out, &s);
        if (strcmp(out.data, rows[i].out) != 0)
            fail_msg("row at line %d: %s", rows[i].line, out.data);
        CHECK_ROW(&rows[i], s.synced == rows[i].synced);
        CHECK_ROW(&rows[i], s.served == rows[i].served);
    }
}

static int64_t failure(struct reflector_state *s, struct rng *rng, int64_t now, int64_t retry_after)
{
    struct reflector_input in = {
        .kind = REFLECTOR_FAILED, .why = ERR_UNAVAILABLE, .retry_after_s = retry_after};
    struct reflector_actions a = reflector_step(s, rng, &in, now);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.items[0].kind, REFLECTOR_DO_WAIT);
    in.kind = REFLECTOR_DUE;
    (void)reflector_step(s, rng, &in, now);
    return a.items[0].delay_ms;
}

/* 0.8 s to 30 s, doubled, jitter 1.0, reset after 2 min without failure. */
static void test_backoff(void **state)
{
    (void)state;
    struct reflector_state s;
    struct rng rng;
    int64_t base = 800, now = 0;
    bool jitters = false;
    rng_seed(&rng, 4);
    reflector_state_init(&s);
    (void)reflector_step(&s, &rng, &(struct reflector_input){.kind = REFLECTOR_BEGIN}, now);
    for (unsigned i = 0; i < 12; i++) {
        int64_t delay = failure(&s, &rng, now, 0);
        assert_in_range(delay, base, 2 * base);
        jitters |= delay != base;
        base = base * 2 < 30000 ? base * 2 : 30000;
        now += delay;
    }
    assert_true(jitters);
    now += REFLECTOR_HEALTHY_MS;
    assert_in_range(failure(&s, &rng, now, 0), 800, 1600);
    assert_true(failure(&s, &rng, now, 20) == 20000);
    assert_true(failure(&s, &rng, now, 1000000) == 300000);
}

static void test_unserved_wait(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 4);
    for (unsigned i = 0; i < 100; i++) {
        struct reflector_state s;
        reflector_state_init(&s);
        (void)reflector_step(&s, &rng, &(struct reflector_input){.kind = REFLECTOR_BEGIN}, 0);
        struct reflector_actions a =
            reflector_step(&s, &rng,
                           &(struct reflector_input){
                               .kind = REFLECTOR_FAILED, .why = ERR_NOT_FOUND, .unserved = true},
                           0);
        assert_int_equal(a.count, 3);
        assert_in_range(a.items[2].delay_ms, 30000, 60000);
    }
}

/* Tokens and versions come from outside: what does not fit must neither be cut nor sent. */
static void test_too_long(void **state)
{
    (void)state;
    struct reflector_state s;
    struct rng rng;
    rng_seed(&rng, 4);
    CLEANUP_FREE char *text = xmalloc(REFLECTOR_CONTINUE_MAX + 1);
    memset(text, 'a', REFLECTOR_CONTINUE_MAX);
    text[REFLECTOR_CONTINUE_MAX] = '\0';
    reflector_state_init(&s);
    (void)reflector_step(&s, &rng, &(struct reflector_input){.kind = REFLECTOR_BEGIN}, 0);
    struct reflector_input in = {.kind = REFLECTOR_PAGE_IN, .version = "5", .token = text};
    struct reflector_actions a = reflector_step(&s, &rng, &in, 0);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.items[1].limit, 0); /* without pages there is no token */
    assert_null(a.items[1].token);
    in = (struct reflector_input){.kind = REFLECTOR_PAGE_IN, .version = text};
    a = reflector_step(&s, &rng, &in, 0);
    assert_int_equal(a.items[0].kind, REFLECTOR_DO_WAIT);
    assert_false(s.synced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_unserved_wait),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
