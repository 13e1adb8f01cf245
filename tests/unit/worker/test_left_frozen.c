/*
 * Proves what becomes of a guest whose Wukong was removed by force while it was frozen, on a fake
 * transport: it is thawed at once and until no freeze can be on its way any more; no other clone
 * freezes that source meanwhile, and every other source is free.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../kube/fake.h"
#include "base/rng.h"
#include "base/str.h"
#include "controller/left_frozen.h"
#include "observe/times.h"

#define UID "11111111-2222-3333-4444-555555555555"
#define TIMER_MS 60000
#define ASKED_MS 1234567

enum answer { WORKS, REFUSED, SILENT };

struct scene {
    struct fake fake;
    struct rng rng;
    struct kube_client client;
    struct clone_table clones;
    struct left_frozen *left;
    bool leads;
    enum answer answer;
    unsigned thaws;
};

static bool may_write(void *arg)
{
    const struct scene *x = arg;
    return x->leads;
}

static void begin(struct scene *x)
{
    *x = (struct scene){.leads = true};
    fake_init(&x->fake);
    rng_seed(&x->rng, 1);
    x->client = (struct kube_client){
        .transport = &x->fake.face, .clock = &x->fake.clock, .timers = &x->fake.timers};
    x->left = left_frozen_new(&(struct left_frozen_options){.client = &x->client,
                                                            .clock = &x->fake.clock,
                                                            .timers = &x->fake.timers,
                                                            .rng = &x->rng,
                                                            .may_write = may_write,
                                                            .arg = x});
}

static void end(struct scene *x)
{
    left_frozen_free(x->left);
    clone_table_release(&x->clones);
    fake_release(&x->fake);
}

/* A clone of shop/src goes; state: of its freeze, CALL_NONE: this process has not sent it. */
static void go_by_force(struct scene *x, enum call_state state, bool owes)
{
    struct clone *e = clone_table_add(&x->clones, "team", "copy", UID);
    e->source = strdup("shop/src");
    e->owes_thaw = owes;
    e->freeze_ms = TIMER_MS;
    e->freeze_asked_ms = ASKED_MS;
    if (state != CALL_NONE) {
        struct call *freeze = call_log_get(&e->call_log, call_key_numbered(CALL_FREEZE, ASKED_MS));
        freeze->state = state;
        freeze->sent_mono_ms = clock_mono(&x->fake.clock);
    }
    left_frozen_add(x->left, e);
    free(e->source);
    e->source = NULL;
}

static void pass(struct scene *x, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 50) {
        for (struct kube_call *c = x->fake.calls; c && x->answer != SILENT; c = x->fake.calls) {
            assert_non_null(
                strstr(c->path, "/namespaces/shop/virtualmachineinstances/src/unfreeze"));
            x->thaws++;
            fake_answer(&x->fake, c, x->answer == WORKS ? 200 : 500, "{}");
        }
        fake_advance(&x->fake, 50);
    }
}

static bool is_held(const struct scene *x)
{
    assert_false(left_frozen_holds(x->left, "shop", "other"));
    assert_false(left_frozen_holds(x->left, "else", "src"));
    return left_frozen_holds(x->left, "shop", "src");
}

static void test_until_when_it_is_held(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum call_state freeze;
        enum answer answer;
        int64_t held_ms, free_ms; /* it is held until the first, and free from the second on */
        unsigned thaws;           /* at least */
    } rows[] = {
        {"the freeze was answered, and the thaw works", CALL_OK, WORKS, 0, 3000, 1},
        {"the freeze may still come", CALL_FLYING, WORKS, TIMER_MS - 1000, TIMER_MS + 5000, 20},
        {"it failed, and may have worked", CALL_FAILED, WORKS, TIMER_MS - 1000, TIMER_MS + 5000,
         20},
        {"a worker before this one sent it", CALL_NONE, WORKS, TIMER_MS, TIMER_MS + 15000, 20},
        {"no thaw works", CALL_OK, REFUSED, 2 * TIMER_MS - 1000, 2 * TIMER_MS + 5000, 20},
        {"no thaw is answered", CALL_OK, SILENT, 2 * TIMER_MS - 1000, 2 * TIMER_MS + 25000, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene x;
        begin(&x);
        x.answer = rows[i].answer;
        go_by_force(&x, rows[i].freeze, true);
        assert_true(is_held(&x));
        pass(&x, rows[i].held_ms);
        if (rows[i].held_ms && !is_held(&x))
            fail_msg("%s: it is free too early", rows[i].name);
        pass(&x, rows[i].free_ms - rows[i].held_ms);
        if (is_held(&x) || x.thaws < rows[i].thaws)
            fail_msg("%s: held %d, %u thaws", rows[i].name, is_held(&x), x.thaws);
        assert_int_equal(left_frozen_thawed_ms(x.left, "shop", "src") > 0, rows[i].answer == WORKS);
        unsigned thaws = x.thaws;
        pass(&x, 300000);
        assert_int_equal(x.thaws, thaws);
        assert_int_equal(left_frozen_thawed_ms(x.left, "shop", "src"), 0);
        end(&x);
    }
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    struct scene x;
    begin(&x);
    go_by_force(&x, CALL_OK, false);
    assert_false(is_held(&x));
    end(&x);
    begin(&x);
    x.leads = false;
    go_by_force(&x, CALL_OK, true);
    assert_false(is_held(&x));
    pass(&x, 10000);
    assert_int_equal(x.thaws, 0);
    end(&x);
}

/* The next leader knows nothing of it, and this one may not write. */
static void test_the_lease_is_lost(void **state)
{
    (void)state;
    struct scene x;
    begin(&x);
    x.answer = REFUSED;
    go_by_force(&x, CALL_OK, true);
    pass(&x, 3000);
    assert_true(x.thaws > 0 && is_held(&x));
    x.leads = false;
    unsigned thaws = x.thaws;
    pass(&x, 10000);
    assert_int_equal(x.thaws, thaws);
    assert_false(is_held(&x));
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_until_when_it_is_held),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_the_lease_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
