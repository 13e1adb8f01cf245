/*
 * Proves what a worker removes whose Wukong is gone, on a fake transport: only what proves by its
 * field manager, its name, its annotation and its place that a worker made it; after the API server
 * has said twice, three minutes apart, that the Wukong is not there; nothing that a claim needs,
 * and nothing while it does not lead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../kube/fake.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "controller/sweep.h"
#include "controller/worker.h"

#define UID "11111111-2222-3333-4444-555555555555"
#define LABELS                                                                                     \
    "\"labels\":{\"vm.novasphere.dev/wukong-uid\":\"" UID                                          \
    "\",\"vm.novasphere.dev/wukong\":\"copy\",\"vm.novasphere.dev/disk\":\"d0\","                  \
    "\"vm.novasphere.dev/attempt\":\"1\",\"vm.novasphere.dev/disk-index\":\"0\"}"
#define MANAGED(who)                                                                               \
    "\"managedFields\":[{\"manager\":\"" who                                                       \
    "\",\"operation\":\"Update\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:metadata\":{"       \
    "\"f:labels\":{\"f:vm.novasphere.dev/wukong-uid\":{}}}}}]"
#define NAME "snapshot-src-copy-11111111-1-d0"
#define SNAPSHOT_OF(ns, name, made_for, who)                                                       \
    "{\"apiVersion\":\"snapshot.storage.k8s.io/v1\",\"kind\":\"VolumeSnapshot\",\"metadata\":{"    \
    "\"name\":\"" name "\",\"namespace\":\"" ns "\",\"uid\":\"s1\",\"resourceVersion\":\"3\","     \
    "\"creationTimestamp\":\"2026-01-02T03:00:00Z\"," LABELS                                       \
    ",\"annotations\":{\"vm.novasphere.dev/made-for\":\"" made_for "\"}," MANAGED(                 \
        who) "},"                                                                                  \
             "\"spec\":{\"source\":{\"persistentVolumeClaimName\":\"src-d0\"}},\"status\":{"       \
             "\"error\":{\"message\":\"no content came of it\"}}}"
#define OURS SNAPSHOT_OF("shop", NAME, "team/copy in shop", "wukong-worker")
#define WUKONG(uid)                                                                                \
    "{\"apiVersion\":\"vm.novasphere.dev/v1alpha1\",\"kind\":\"Wukong\",\"metadata\":{\"name\":"   \
    "\"copy\",\"namespace\":\"team\",\"uid\":\"" uid "\",\"resourceVersion\":\"7\"},\"spec\":{}}"
#define CLAIM_LABELS                                                                               \
    ",\"labels\":{\"vm.novasphere.dev/wukong-uid\":\"" UID                                         \
    "\",\"vm.novasphere.dev/wukong\":\"copy\",\"vm.novasphere.dev/disk\":\"d0\","                  \
    "\"vm.novasphere.dev/clone\":\"0\"}"
#define CLAIM(ns, name, labels, phase)                                                             \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"" name     \
    "\",\"namespace\":\"" ns "\",\"uid\":\"c1\",\"resourceVersion\":\"4\"" labels "},\"spec\":{"   \
    "\"dataSource\":{\"kind\":\"VolumeSnapshot\",\"name\":\"" NAME                                 \
    "\"}},\"status\":{\"phase\":\"" phase "\"}}"

#define CONTENT(policy, labels)                                                                    \
    "{\"apiVersion\":\"snapshot.storage.k8s.io/"                                                   \
    "v1\",\"kind\":\"VolumeSnapshotContent\",\"metadata\":"                                        \
    "{\"name\":\"snapcontent-s1\",\"uid\":\"t1\",\"resourceVersion\":\"5\"" labels "},\"spec\":{"  \
    "\"deletionPolicy\":\"" policy "\",\"driver\":\"d\",\"source\":{\"volumeHandle\":\"h\"},"      \
    "\"volumeSnapshotRef\":{\"name\":\"" NAME "\",\"namespace\":\"shop\",\"uid\":\"s1\"}},"        \
    "\"status\":{\"snapshotHandle\":\"s\",\"creationTime\":1767322800000000000,"                   \
    "\"readyToUse\":true}}"

struct cluster {
    struct fake fake;
    struct rng rng;
    struct worker *worker;
    const char *snapshot;      /* NULL: none */
    const char *wukong;        /* what a read of it answers; NULL: 404 */
    const char *claim;         /* NULL: none */
    const char *content;       /* NULL: none */
    const char *not_found;     /* the message of that 404 */
    bool broken;               /* reads of the Wukong are answered with 500 */
    int64_t first_ms, last_ms; /* reads of the Wukong */
    unsigned asked, deleted, changed;
};

static bool on_path(const struct kube_call *c, const char *part)
{
    return strstr(c->path, part) != NULL;
}

static void answer_read_of_wukong(struct cluster *x, struct kube_call *c)
{
    CLEANUP_FREE char *gone = xasprintf(
        "{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"NotFound\",\"code\":404,"
        "\"message\":\"%s\"}",
        str_or(x->not_found, "wukongs.vm.novasphere.dev \\\"copy\\\" not found"));
    x->asked++;
    x->last_ms = x->fake.now_ms;
    if (x->asked == 1)
        x->first_ms = x->last_ms;
    if (x->broken)
        fake_answer(&x->fake, c, 500, "{}");
    else
        fake_answer(&x->fake, c, x->wukong ? 200 : 404, x->wukong ? x->wukong : gone);
}

static void answer_list(struct cluster *x, struct kube_call *c)
{
    const char *items = on_path(c, "/volumesnapshots?")          ? x->snapshot
                        : on_path(c, "/persistentvolumeclaims?") ? x->claim
                        : on_path(c, "/volumesnapshotcontents?") ? x->content
                                                                 : NULL;
    CLEANUP_FREE char *list =
        xasprintf("{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}", str_or(items, ""));
    fake_answer(&x->fake, c, 200, list);
}

/* True when one was answered; watches stay open. */
static bool answer_one(struct cluster *x)
{
    for (struct kube_call *c = x->fake.calls; c; c = c->next) {
        bool get = c->request.method == KUBE_GET;
        if (get && on_path(c, "watch="))
            continue;
        if (get && on_path(c, "/wukongs/copy")) {
            answer_read_of_wukong(x, c);
        } else if (get && on_path(c, "/volumesnapshots/")) {
            fake_answer(&x->fake, c, x->snapshot ? 200 : 404, str_or(x->snapshot, "{}"));
        } else if (get && on_path(c, "/volumesnapshotcontents/")) {
            fake_answer(&x->fake, c, x->content ? 200 : 404, str_or(x->content, "{}"));
        } else if (get) {
            answer_list(x, c);
        } else {
            x->deleted += c->request.method == KUBE_DELETE;
            x->changed += c->request.method != KUBE_DELETE && !on_path(c, "/events");
            fake_answer(&x->fake, c, 200, "{}");
        }
        return true;
    }
    return false;
}

static void pass(struct cluster *x, int64_t seconds)
{
    for (int64_t i = 0; i < seconds * 20; i++) {
        for (int k = 0; k < 100 && answer_one(x); k++)
            ;
        fake_advance(&x->fake, 50);
    }
}

static struct cluster cluster_of(const char *snapshot)
{
    return (struct cluster){.snapshot = snapshot};
}

/* Ten minutes of a worker that leads. */
static void watch_for(struct cluster *x, int64_t seconds, const struct scope *scope)
{
    fake_init(&x->fake);
    rng_seed(&x->rng, 1);
    x->worker = worker_new(&(struct worker_config){.transport = &x->fake.face,
                                                   .clock = &x->fake.clock,
                                                   .timers = &x->fake.timers,
                                                   .rng = &x->rng,
                                                   .ns = "system",
                                                   .identity = "me",
                                                   .scope = scope,
                                                   .unfreeze_timeout_ms = 60000,
                                                   .max_in_flight = 20});
    worker_start(x->worker);
    pass(x, seconds);
}

static void end(struct cluster *x)
{
    worker_free(x->worker);
    fake_release(&x->fake);
}

static void test_an_orphan_is_removed(void **state)
{
    (void)state;
    struct cluster x = cluster_of(OURS);
    watch_for(&x, 200, NULL);
    assert_int_equal(x.asked, 1);
    assert_int_equal(x.deleted, 0);
    pass(&x, 100);
    assert_true(x.last_ms >= x.first_ms + SWEEP_APART_MS);
    assert_true(x.deleted > 0);
    assert_int_equal(x.changed, 0);
    end(&x);
}

static void test_another_wukong_of_that_name(void **state)
{
    (void)state;
    struct cluster x = cluster_of(OURS);
    x.wukong = WUKONG("99999999-2222-3333-4444-555555555555");
    watch_for(&x, 300, NULL);
    assert_true(x.deleted > 0);
    end(&x);
}

/* A watch may hang for minutes: what the caches do not show is there. */
static void test_a_wukong_that_the_caches_do_not_show(void **state)
{
    (void)state;
    struct cluster x = cluster_of(OURS);
    x.wukong = WUKONG(UID);
    watch_for(&x, 1200, NULL);
    assert_true(x.asked > 0);
    assert_int_equal(x.deleted, 0);
    end(&x);
}

/* It is back by the second question: a cluster that is being restored. */
static void test_a_wukong_that_comes_back(void **state)
{
    (void)state;
    struct cluster x = cluster_of(OURS);
    watch_for(&x, 100, NULL);
    assert_int_equal(x.asked, 1);
    x.wukong = WUKONG(UID);
    pass(&x, 1200);
    assert_true(x.asked > 1);
    assert_int_equal(x.deleted, 0);
    end(&x);
}

/* No answer is none: the API server is away, or nobody serves Wukongs at the moment. */
static void test_no_word_of_the_wukong(void **state)
{
    (void)state;
    struct cluster x = cluster_of(OURS);
    x.broken = true;
    watch_for(&x, 1200, NULL);
    assert_true(x.asked > 1);
    assert_int_equal(x.deleted, 0);
    end(&x);
    x = cluster_of(OURS);
    x.not_found = "the server could not find the requested resource";
    watch_for(&x, 1200, NULL);
    assert_true(x.asked > 1);
    assert_int_equal(x.deleted, 0);
    end(&x);
}

/* A label, and everything else but one thing. */
static void test_strangers(void **state)
{
    (void)state;
    static const char *const strangers[] = {
        SNAPSHOT_OF("shop", NAME, "team/copy in shop", "velero-server"),
        SNAPSHOT_OF("shop", "snapshot-src-copy-22222222-1-d0", "team/copy in shop",
                    "wukong-worker"),
        SNAPSHOT_OF("shop", "nightly", "team/copy in shop", "wukong-worker"),
        SNAPSHOT_OF("restored", NAME, "team/copy in shop", "wukong-worker"),
        SNAPSHOT_OF("shop", NAME, "", "wukong-worker"),
    };
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
        struct cluster x = cluster_of(strangers[i]);
        watch_for(&x, 900, NULL);
        if (x.asked || x.deleted || x.changed)
            fail_msg("stranger %zu was not left alone", i);
        end(&x);
    }
}

/* Its own, by place and name, and who restores from it: others who bear the label keep nothing. */
static void test_what_claims_need(void **state)
{
    (void)state;
    static const struct {
        const char *claim;
        bool needs;
        const char *content;
    } rows[] = {
        {CLAIM("team", "copy-d0", CLAIM_LABELS, "Bound"), true, NULL},
        {CLAIM("team", "copy-vm-3-d0", CLAIM_LABELS, "Bound"), false,
         NULL}, /* of machine 0 it is not */
        {CLAIM("shop", "copy-d0", CLAIM_LABELS, "Bound"), false, NULL},
        {CLAIM("team", "src-d0", CLAIM_LABELS, "Bound"), false, NULL},
        {CLAIM("shop", "c", "", "Pending"), true, NULL},
        {CLAIM("else", "c", "", "Pending"), false, NULL},
        {CLAIM("shop", "c", "", "Bound"), false, NULL},
        /* A snapshot that was for the time of the restore alone; a linked clone's bears its label.
         */
        {CLAIM("team", "copy-d0", CLAIM_LABELS, "Bound"), false, CONTENT("Delete", "")},
        {CLAIM("team", "copy-d0", CLAIM_LABELS, "Pending"), true, CONTENT("Delete", "")},
        {CLAIM("team", "copy-d0", CLAIM_LABELS, "Bound"), true, CONTENT("Retain", "," LABELS)},
        {CLAIM("shop", "c", "", "Bound"), true, CONTENT("Retain", "," LABELS)},
        /* Its class retains. */
        {CLAIM("shop", "c", "", "Bound"), false, CONTENT("Retain", "")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster x = cluster_of(OURS);
        x.claim = rows[i].claim;
        x.content = rows[i].content;
        watch_for(&x, 900, NULL);
        if ((x.deleted == 0) != rows[i].needs)
            fail_msg("row %zu: %u deleted", i, x.deleted);
        end(&x);
    }
}

/* Whether a Wukong is in a namespace that is not served cannot be asked. */
static void test_a_wukong_in_a_namespace_that_is_not_served(void **state)
{
    (void)state;
    const struct scope scope = {.names = (char *[]){(char[]){"shop"}}, .count = 1};
    struct cluster x = cluster_of(OURS);
    watch_for(&x, 900, &scope);
    assert_int_equal(x.asked, 0);
    assert_int_equal(x.deleted, 0);
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_orphan_is_removed),
        cmocka_unit_test(test_another_wukong_of_that_name),
        cmocka_unit_test(test_a_wukong_that_the_caches_do_not_show),
        cmocka_unit_test(test_a_wukong_that_comes_back),
        cmocka_unit_test(test_no_word_of_the_wukong),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_what_claims_need),
        cmocka_unit_test(test_a_wukong_in_a_namespace_that_is_not_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
