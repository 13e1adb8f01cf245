/*
 * Proves when the API server itself is asked, because a watch may hang, and whose word counts then:
 * no guest stays frozen for a snapshot that was cut, and what was removed is not seen again. And
 * that a dry run tells of the claims that it was tried with.
 */
#include "observed_cluster.h"

#include "call_name.h"

#define CLAIM(version)                                                                             \
    "{'metadata':{'name':'c','namespace':'ns','uid':'p1','resourceVersion':'" version "'},"        \
    "'spec':{},'status':{}}"

static struct call *answered(struct cluster *c, struct call_key key, const char *body)
{
    struct call *call = call_log_get(&c->call_log, key);
    char *text = xstrdup(str_or(body, ""));
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    call->state = CALL_OK;
    call->done_ms = NOW - 1000;
    call_set_body(call, text, strlen(text));
    return call;
}

static void test_whose_word_is_newer(void **state)
{
    (void)state;
    static const struct {
        const char *name, *cached, *live;
        bool removed;
        const char *version; /* NULL: there is none */
    } rows[] = {
        {"nobody shows it", NULL, NULL, false, NULL},
        {"the cache alone", CLAIM("5"), NULL, false, "5"},
        {"the cache is behind", CLAIM("5"), CLAIM("6"), false, "6"},
        {"the read is older", CLAIM("7"), CLAIM("6"), false, "7"},
        {"the cache has not seen it yet", NULL, CLAIM("6"), false, "6"},
        {"the read is from before we removed it", NULL, CLAIM("6"), true, NULL},
        {"being removed", CLAIM("7"), CLAIM("6"), true, "7"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        build(&c);
        if (rows[i].cached)
            put(&c, KIND_PVC, rows[i].cached);
        if (rows[i].live)
            answered(&c, clone_live_key(KIND_PVC, "c"), rows[i].live);
        if (rows[i].removed)
            answered(&c, call_key_object(CALL_DELETE, "persistentvolumeclaims", NULL, "p1"), NULL);
        const struct cache_reader caches = {get, each, served, &c};
        const struct kube_object *o = observe_newest(&c.state, &caches, KIND_PVC, "ns", "c");
        if (!str_eq(o ? o->resource_version : NULL, rows[i].version))
            fail_msg("%s: version %s", rows[i].name, o ? o->resource_version : "none");
        drop(&c);
    }
}

/* A guest that stands still for two seconds: what is not seen cut is read, every two seconds. */
static void test_what_is_read_while_frozen(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t frozen_ms, last_ms; /* since the freeze; since the last read, 0: none */
        bool exists, cut, thawed;
        const char *reads;
    } rows[] = {
        {"just frozen", 1999, 0, true, false, false, NULL},
        {"not seen", 2000, 0, false, false, false, "read/volumesnapshots/s"},
        {"seen, and not cut", 2000, 0, true, false, false,
         "read/volumesnapshotcontents/snapcontent-u"},
        {"read a moment ago", 5000, 1999, true, false, false, NULL},
        {"read a while ago", 5000, 2000, true, false, false,
         "read/volumesnapshotcontents/snapcontent-u"},
        {"cut", 5000, 0, true, true, false, NULL},
        {"thawed", 5000, 0, true, false, true, NULL},
        {"out of time", 29000, 0, true, false, false, NULL},
    };
    static const struct disk_plan plan = {
        .name = "root", .volume = "root", .claim = "src-root", .method = DISK_RESTORE};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, MIB);
        struct call_log log = {0};
        struct disk_state disk = {.plan = &plan,
                                  .snapshot = {.name = "s",
                                               .ns = "ns",
                                               .uid = "u",
                                               .exists = rows[i].exists,
                                               .ours = true,
                                               .cut = rows[i].cut}};
        struct clone_state v = {.arena = &a,
                                .now = {NOW, 100000},
                                .call_log = &log,
                                .disks = &disk,
                                .disk_count = 1,
                                .unfreeze_timeout_ms = 30000,
                                .effective = {.source_ns = "ns"},
                                .record = {.attempts = 1}};
        struct decision d = {.intents = {.arena = &a}};
        v.source.vmi_exists = v.source.agent = v.source.running = true;
        v.record.attempt.freeze.requested_ms = NOW - rows[i].frozen_ms;
        v.record.attempt.freeze.deadline_ms = NOW - rows[i].frozen_ms + 30000;
        struct call *freeze =
            call_log_get(&log, call_key_numbered(CALL_FREEZE, NOW - rows[i].frozen_ms));
        freeze->state = CALL_OK;
        freeze->sent_mono_ms = freeze->done_mono_ms = 100000 - rows[i].frozen_ms;
        if (rows[i].thawed)
            (void)call_log_get(&log, call_key_numbered(CALL_THAW, NOW - rows[i].frozen_ms));
        if (rows[i].last_ms) {
            struct call *last = call_log_get(&log, clone_live_key(KIND_CONTENT, "snapcontent-u"));
            last->state = CALL_OK;
            last->done_mono_ms = 100000 - rows[i].last_ms;
        }
        cut_look_live(&v, &d);
        const char *sent = d.intents.count ? call_name(&d.intents.items[0].key) : NULL;
        if (d.intents.count > 1 || !str_eq(sent, rows[i].reads))
            fail_msg("%s: %zu reads, %s", rows[i].name, d.intents.count, str_or(sent, "-"));
        call_log_release(&log);
    }
}

/* A restore gives the source other claims: what was tried with those before is tried again. */
static void test_a_dry_run_is_of_its_claims(void **state)
{
    (void)state;
    static const struct disk_plan plans[] = {
        {.name = "root", .volume = "root", .claim = "a", .method = DISK_CSI_CLONE},
        {.name = "root", .volume = "root", .claim = "b", .method = DISK_CSI_CLONE},
        {.name = "root", .volume = "root", .claim = "a", .method = DISK_RESTORE},
        {.name = "root", .volume = "root", .claim = "b", .method = DISK_RESTORE},
    };
    struct call_key keys[ARRAY_LEN(plans)];
    for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
        struct disk_state disk = {.plan = &plans[i]};
        const struct clone_state v = {
            .disks = &disk, .disk_count = 1, .effective = {.clone_type = CLONE_FULL}};
        keys[i] = clone_dry_key(&v, CALL_DRY_CLAIM, "c");
        assert_true(call_key_equal(&keys[i], &keys[i]));
    }
    assert_false(call_key_equal(&keys[0], &keys[1]));
    assert_true(call_key_equal(&keys[2], &keys[3]));
}

/* The members of a group get their names while the guest is frozen: a claim that was tried before
   named none, and is held against nothing else. */
static void test_a_trial_may_be_older_than_the_name(void **state)
{
    (void)state;
    static const struct {
        const char *asked;
        bool changed;
    } rows[] = {{"not-yet-made", false}, {"member", false}, {"golden", true}};
    static const struct disk_plan plan = {
        .name = "root", .volume = "root", .claim = "a", .method = DISK_RESTORE};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *body =
            xasprintf("{'metadata':{'name':'c'},'spec':{'dataSource':{'apiGroup':"
                      "'snapshot.storage.k8s.io','kind':'VolumeSnapshot','name':'%s'}}}",
                      rows[i].asked);
        struct disk_state disk = {.plan = &plan, .snapshot = {.name = "member"}};
        struct claim_state claim = {.name = "c"};
        const struct target_state target = {.claims = &claim};
        wukong(&c, OF_VMI, PAST_CUT);
        build(&c);
        c.state.disks = &disk;
        c.state.disk_count = 1;
        answered(&c, clone_dry_key(&c.state, CALL_DRY_CLAIM, "c"), body);
        const char *changed = create_dry_claim_changed(&c.state, &target, 0);
        if ((changed != NULL) != rows[i].changed)
            fail_msg("%s: %s", rows[i].asked, str_or(changed, "as asked"));
        c.state.disks = NULL;
        c.state.disk_count = 0;
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_word_is_newer),
        cmocka_unit_test(test_what_is_read_while_frozen),
        cmocka_unit_test(test_a_dry_run_is_of_its_claims),
        cmocka_unit_test(test_a_trial_may_be_older_than_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
