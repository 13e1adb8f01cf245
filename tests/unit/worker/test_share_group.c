/*
 * Proves that whoever shares another one's cut is counted as under way, though its own record says
 * nothing yet: a leader of yesterday has let it go, and today's would otherwise let as many others
 * go as the limits allow beside it (docs/admin/policy.md, Limits).
 */
#include "observed_cluster.h"

#include "clones/share_group.h"
#include "policy/policy_gate.h"

#define LED "led"
#define LEADER "leader"
/* What the leader's status begins with: it has announced its freeze. */
#define FREEZES "'attempts':1,'sourceUID':'u1','freeze':{'requestedTime':'2026-09-21T14:13:00Z'}"
#define THAWED "'attempts':1,'sourceUID':'u1','cutTime':'2026-09-21T14:13:10Z'"

static struct clone *add(struct cluster *c, struct clone_table *all, const char *name,
                         const char *meta, const char *status)
{
    CLEANUP_FREE char *text = xasprintf("{'metadata':{'name':'%s','namespace':'ns','uid':'%s','"
                                        "resourceVersion':'7','generation':1%s},"
                                        "'spec':" OF_VMI ",'status':{'cloneStatus':{%s}}}",
                                        name, name, meta, status);
    put(c, KIND_WUKONG, text);
    struct clone *e = clone_table_add(all, "ns", name, name);
    clone_table_summarise(all, e, get(c, KIND_WUKONG, "ns", name));
    return e;
}

struct listed_row {
    const char *name, *meta, *leader; /* of the leader; its list follows */
    const char *led;                  /* status of the listed one */
    bool other_round, held;
};

static bool holds(const struct listed_row *row)
{
    struct cluster c = {0};
    struct clone_table all = {0};
    const struct clone *led = add(&c, &all, LED, "", row->led);
    const struct clone *bystander = add(&c, &all, "bystander", "", "");
    CLEANUP_FREE char *status =
        xasprintf("%s,'sharedWith':[{'uid':'" LED "','name':'" LED "','round':'%s'},"
                  "{'uid':'gone','name':'gone','round':'x'}]",
                  row->leader, row->other_round ? "0123456789abcdef" : led->share.attempt_id);
    (void)add(&c, &all, LEADER, row->meta, status);
    share_group_hold_listed(&all, (struct now){NOW, 1});
    bool held = led->usage.holds;
    assert_int_equal(all.usage.held, 1 + held); /* its leader always */
    assert_false(bystander->usage.holds);
    clone_table_release(&all);
    drop(&c);
    return held;
}

static void test_a_new_leader_counts_who_is_listed(void **state)
{
    (void)state;
    static const struct listed_row rows[] = {
        {"its freeze is announced", "", FREEZES, "", false, true},
        {"its cut is offered", "", THAWED ",'sharedUntil':'2026-09-21T14:14:00Z'", "", false, true},
        {"its cut is offered no more", "", THAWED ",'sharedUntil':'2026-09-21T14:13:19Z'", "",
         false, false},
        {"it is being deleted before the cut", ",'deletionTimestamp':'2026-09-21T14:13:05Z'",
         FREEZES, "", false, false},
        {"it has failed before the cut", "",
         FREEZES ",'lastError':{'reason':'SnapshotFailed','attempt':1}", "", false, false},
        {"another round is on the list", "", FREEZES, "", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (holds(&rows[i]) != rows[i].held)
            fail_msg("%s", rows[i].name);
}

/* The record that closes the group may come to light after the caches were filled. What it is about
   to restore is promised then. */
static void test_who_is_cut_by_another_takes_a_slot(void **state)
{
    (void)state;
    static const enum share_role roles[] = {SHARE_BOUND, SHARE_TAKE_OVER};
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        struct cluster c = {0};
        struct clone_table all = {0};
        struct clone *e = add(&c, &all, LED, "", "");
        const struct policy_gate policing = {.clones = &all};
        const struct disk_plan plan = {.name = "root", .bytes = 5 * MIB};
        struct disk_state disk = {.plan = &plan};
        struct clone_state v = {
            .arena = &c.arena, .share.role = roles[i], .disks = &disk, .disk_count = 1};
        arena_init(&c.arena, 1 * MIB);
        assert_int_equal(observe_wukong(&v, get(&c, KIND_WUKONG, "ns", LED), NULL), 0);
        policy_gate_judge(&policing, e, NULL, &v);
        assert_true(e->usage.holds);
        assert_int_equal(usage_bytes(&all.usage, "ns", NULL), 5 * MIB);
        clone_state_release(&v);
        clone_table_release(&all);
        drop(&c);
    }
}

/* A leader waits for those that are coming since it could lead, and not since it was held up. */
static void test_since_when_it_leads(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum share_role role;
        enum reason queued;
        enum share_state share;
        bool leads;
    } rows[] = {
        {"it leads", SHARE_LEAD, REASON_NONE, SHARE_READY, true},
        {"it waits for others", SHARE_LINGER, REASON_NONE, SHARE_COMING, true},
        {"it follows", SHARE_FOLLOW, REASON_NONE, SHARE_READY, false},
        {"it waits for a place", SHARE_LEAD, REASON_QUEUED, SHARE_COMING, false},
        {"a person is waited for", SHARE_LEAD, REASON_NONE, SHARE_BLOCKED, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct clone_table all = {0};
        struct clone *e = clone_table_add(&all, "ns", "w", UID);
        const struct share_group p = {.all = &all, .self = e, .now = {NOW, 9000}};
        struct clone_state v = {.share.role = rows[i].role, .policy.reason = rows[i].queued};
        const struct decision d = {.share = rows[i].share};
        e->share.lead_since_ms = 4000;
        share_group_note(&p, &v, &d);
        if (e->share.lead_since_ms != (rows[i].leads ? 4000 : 0))
            fail_msg("%s: since %lld", rows[i].name, (long long)e->share.lead_since_ms);
        clone_table_release(&all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_since_when_it_leads),
        cmocka_unit_test(test_a_new_leader_counts_who_is_listed),
        cmocka_unit_test(test_who_is_cut_by_another_takes_a_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
