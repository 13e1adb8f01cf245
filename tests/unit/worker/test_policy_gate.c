/*
 * Proves who holds a place among those under way: a clone that could go on at once holds one before
 * anything is written, one that waits for its source does not.
 */
#include "observed_cluster.h"

#include "policy/policy_gate.h"

#define VM(strategy)                                                                               \
    "{'metadata':{'name':'src','namespace':'ns','uid':'v1'},'spec':{'runStrategy':'" strategy      \
    "','template':{'spec':{'domain':{'devices':{}}}}},'status':{}}"

static void test_who_holds_a_place(void **state)
{
    (void)state;
    static const struct {
        const char *name, *spec, *vm;
        size_t held;
    } rows[] = {
        {"the source does not exist", "{'cloneSource':{'type':'vm','vmName':'src'}}", NULL, 0},
        /* Its start is the first act of the clone: two that each start a source are two under way,
           though neither has passed its pre-flight. */
        {"the source is to be started",
         "{'cloneSource':{'type':'vm','vmName':'src','cloneType':'running'}}", VM("Halted"), 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, rows[i].spec, "{}");
        if (rows[i].vm)
            put(&c, KIND_VM, rows[i].vm);
        build(&c);
        c.state.permit.may_start = true;
        /* As a plan is refused that was made of the machine while it is stopped. */
        c.state.capture.refusal = REASON_SOURCE_BUSY;
        c.state.capture.api_error_text = "its claim is not bound";
        struct clone_table clones = {0};
        struct policy_cache policies = {.filled = true, .by_limit = true};
        const struct cache_reader caches = {get, each, served, &c};
        const struct policy_gate p = {
            .clones = &clones, .policies = &policies, .caches = &caches, .max_in_flight = 1};
        struct clone *e = clone_table_add(&clones, "ns", "w", UID);
        policy_gate_judge(&p, e, get(&c, KIND_WUKONG, "ns", "w"), &c.state);
        if (clones.usage.held != rows[i].held)
            fail_msg("%s: %zu held", rows[i].name, (size_t)clones.usage.held);
        assert_int_equal(c.state.policy.reason, REASON_NONE);
        clone_table_release(&clones);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_holds_a_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
