/*
 * Proves that a stopped machine is not cut while a Pod may write to its claims, nor kept when one
 * came in between; that a disk which others may write is not called consistent while another Pod
 * uses it; and what of a list of Pods counts.
 */
#include "world.h"

#include "observe/pods_digest.h"
#include "steps/pods.h"

#define TOOL "{\"name\":\"tool\",\"of\":\"\",\"claims\":[\"other\",\"src-root\"]}"
#define OWN "{\"name\":\"virt-launcher-src\",\"of\":\"%s\",\"claims\":[\"src-root\"]}"

static const struct disk_plan copies[DISKS] = {
    {.name = "root", .volume = "root", .claim = "src-root", .method = DISK_CSI_CLONE},
    {.name = "data", .volume = "data", .claim = "src-data", .method = DISK_CSI_CLONE},
};
static const struct disk_plan restored[DISKS] = {
    {.name = "root", .volume = "root", .claim = "src-root", .method = DISK_RESTORE},
    {.name = "data", .volume = "data", .claim = "src-data", .method = DISK_RESTORE},
};
static const struct disk_plan shared[DISKS] = {
    {.name = "root", .volume = "root", .claim = "src-root", .method = DISK_RESTORE, .shared = true},
    {.name = "data", .volume = "data", .claim = "src-data", .method = DISK_RESTORE},
};

enum kind { LINKED, FULL, FULL_BY_CLAIM, KINDS };

static struct world stopped(enum kind kind)
{
    struct world w = new_world();
    w.by_vm = w.source_off = true;
    w.clone_type = kind == LINKED ? CLONE_LINKED : CLONE_FULL;
    w.plans = kind == FULL_BY_CLAIM ? copies : restored;
    return w;
}

static bool says(const struct world *w, const char *reason, const char *word)
{
    const cJSON *c = condition(w, "SnapshotTaken");
    return str_eq(json_str(c, "reason"), reason) &&
           strstr(str_or(json_str(c, "message"), ""), word);
}

static void test_waited_for(void **state)
{
    (void)state;
    for (enum kind kind = LINKED; kind < KINDS; kind++)
        for (int paged = 0; paged < 2; paged++) {
            struct world w = stopped(kind);
            w.pods = TOOL;
            w.pods_paged = paged;
            run(&w, 300);
            assert_int_equal(w.record.attempts, 0);
            assert_false(w.snapshot[0] || w.claim[0]);
            assert_true(says(&w, "SourceBusy", "tool"));
            w.pods = NULL;
            succeeds(&w, 400);
            assert_int_equal(w.record.attempts, 1);
            assert_int_equal(w.record.attempt.consistency, CONSISTENCY_OFFLINE);
            sim_cluster_release(&w);
        }
}

static void test_of_others(void **state)
{
    (void)state;
    struct world w = stopped(LINKED);
    w.pods = w.pods_after = "{\"name\":\"web\",\"of\":\"\",\"claims\":[\"web-data\"]}";
    succeeds(&w, 200);
    assert_int_equal(w.record.attempts, 1);
    sim_cluster_release(&w);
    /* What runs is the source's own business, and its freeze's. */
    w = new_world();
    w.plans = restored;
    w.pods = w.pods_after = TOOL;
    succeeds(&w, 200);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

static void test_seen_after_the_cut(void **state)
{
    (void)state;
    for (enum kind kind = LINKED; kind < KINDS; kind++) {
        struct world w = stopped(kind);
        w.pods_after = TOOL;
        for (int i = 0; i < 400 && !w.record.error.reason; i++)
            run(&w, 1);
        assert_string_equal(w.record.error.reason, "SourceChanged");
        assert_non_null(strstr(w.record.error.message, "tool"));
        w.pods_after = NULL;
        succeeds(&w, 400);
        assert_int_equal(w.record.attempts, 2);
        sim_cluster_release(&w);
    }
}

/* A token that has expired: all from the start. */
static void test_pages_expire(void **state)
{
    (void)state;
    struct world w = stopped(LINKED);
    w.pods_paged = true;
    w.pods_code = 410;
    succeeds(&w, 200);
    assert_int_equal(w.record.attempts, 1);
    sim_cluster_release(&w);
}

static void test_shared_disk(void **state)
{
    (void)state;
    struct world w = new_world();
    CLEANUP_FREE char *own = xasprintf(OWN, w.vmi_uid);
    w.plans = shared;
    w.pods = w.pods_after = own;
    succeeds(&w, 200);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
    w = new_world();
    w.plans = shared;
    w.pods_after = TOOL;
    succeeds(&w, 200);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_CRASH_PER_DISK);
    sim_cluster_release(&w);
    /* Required: not frozen for nothing, nor kept. */
    w = new_world();
    w.plans = shared;
    w.quiesce = QUIESCE_REQUIRED;
    w.pods = TOOL;
    run(&w, 200);
    assert_int_equal(w.freezes, 0);
    assert_true(says(&w, "SourceBusy", "tool"));
    w.pods = NULL;
    w.pods_after = TOOL;
    for (int i = 0; i < 400 && !w.record.error.reason; i++)
        run(&w, 1);
    assert_string_equal(w.record.error.reason, "SourceChanged");
    w.pods_after = NULL;
    succeeds(&w, 400);
    assert_int_equal(w.record.attempt.consistency, CONSISTENCY_FILESYSTEM);
    sim_cluster_release(&w);
}

static void digests(const char *pod, const char *expected)
{
    CLEANUP_FREE char *list = xasprintf("{\"metadata\":{\"continue\":\"t\"},\"items\":[%s]}", pod);
    CLEANUP_FREE char *digest = pods_digest(list, strlen(list));
    CLEANUP_FREE char *whole = xasprintf("{\"next\":\"t\",\"pods\":[%s]}", expected);
    assert_string_equal(digest, whole);
}

#define POD(labels, container, claim)                                                              \
    "{\"metadata\":{\"name\":\"p\",\"labels\":{" labels "}},\"spec\":{\"containers\":["            \
    "{\"name\":\"c\"," container "}],\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}},"               \
    "{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"root\"" claim "}}]}}"

static void test_digest(void **state)
{
    (void)state;
    static const char user[] = "{\"name\":\"p\",\"of\":\"\",\"claims\":[\"root\"]}";
    digests(POD("", "\"volumeMounts\":[{\"name\":\"v\"}]", ""), user);
    digests(POD("", "\"volumeDevices\":[{\"name\":\"v\"}]", ""), user);
    digests(POD("\"kubevirt.io/created-by\":\"u\"", "\"volumeMounts\":[{\"name\":\"v\"}]", ""),
            "{\"name\":\"p\",\"of\":\"u\",\"claims\":[\"root\"]}");
    /* Nobody mounts it, or to read only. */
    digests(POD("", "\"volumeMounts\":[{\"name\":\"e\"}]", ""), "");
    digests(POD("", "\"volumeMounts\":[{\"name\":\"v\",\"readOnly\":true}]", ""), "");
    digests(POD("", "\"volumeMounts\":[{\"name\":\"v\"}]", ",\"readOnly\":true"), "");
    digests(
        POD("\"cdi.kubevirt.io\":\"cdi-clone-source\"", "\"volumeDevices\":[{\"name\":\"v\"}]", ""),
        "");
    assert_null(pods_digest("{}", 2));
    assert_null(pods_digest("[", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waited_for),         cmocka_unit_test(test_of_others),
        cmocka_unit_test(test_seen_after_the_cut), cmocka_unit_test(test_pages_expire),
        cmocka_unit_test(test_shared_disk),        cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
