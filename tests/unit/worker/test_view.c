/*
 * Proves what the view makes of the caches, from objects as the API server shows them: a restarted
 * worker finds the capture on the first snapshot; a capture that somebody damaged is refused and
 * crashes nothing; a claim's own Events are all that is looked at; CDI's DataVolume stands for its
 * claim; whose a machine is; which content is still to come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "json/json.h"
#include "worker/view_build.h"

#define UID "11111111-2222-3333-4444-555555555555"
#define NOW 1790000000000 /* 2026-09-21T14:13:20Z */
#define OBJECTS_MAX 64

struct cluster {
    struct {
        enum worker_kind kind;
        struct kube_object *object;
    } items[OBJECTS_MAX];
    size_t count, visits[WORKER_KINDS]; /* objects that the view was shown, by kind */
    struct memo memo;
    struct arena arena;
    struct clone_view view;
};

static void put(struct cluster *c, enum worker_kind kind, const char *json)
{
    struct err err = {0};
    cJSON *tree = NULL;
    CLEANUP_FREE char *text = xstrdup(json);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(text, strlen(text), true, &tree, &err) < 0)
        fail_msg("%s in %s", err.message, text);
    assert_true(c->count < OBJECTS_MAX);
    assert_int_equal(
        kube_object_project(&worker_kinds[kind], tree, &c->items[c->count].object, &err), 0);
    c->items[c->count++].kind = kind;
    cJSON_Delete(tree);
}

static const struct kube_object *get(void *arg, enum worker_kind kind, const char *ns,
                                     const char *name)
{
    struct cluster *c = arg;
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].kind == kind && str_eq(c->items[i].object->name, name) &&
            str_eq(c->items[i].object->ns, str_or(ns, "")))
            return c->items[i].object;
    return NULL;
}

static void each(void *arg, enum worker_kind kind, const char *label,
                 bool (*visit)(void *visit_arg, const struct kube_object *o), void *visit_arg)
{
    struct cluster *c = arg;
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].kind == kind && (!label || str_eq(c->items[i].object->label, label)) &&
            ++c->visits[kind] && !visit(visit_arg, c->items[i].object))
            return;
}

static bool served(void *arg, enum worker_kind kind)
{
    (void)arg, (void)kind;
    return true;
}

static void wukong(struct cluster *c, const char *spec, const char *status)
{
    CLEANUP_FREE char *text = xasprintf(
        "{'metadata':{'name':'w','namespace':'ns','uid':'" UID "','resourceVersion':'7',"
        "'generation':1,'finalizers':['vm.novasphere.dev/clone']},'spec':%s,'status':%s}",
        spec, status);
    put(c, KIND_WUKONG, text);
}

static void build(struct cluster *c)
{
    const struct caches caches = {get, each, served, c};
    const struct view_settings settings = {.unfreeze_timeout_ms = 60000};
    struct err err = {0};
    arena_init(&c->arena, 4 * MIB);
    c->view = (struct clone_view){.arena = &c->arena};
    assert_int_equal(view_build(&c->view, &caches, get(c, KIND_WUKONG, "ns", "w"), &c->memo,
                                (struct now){NOW, 1}, &settings, &err),
                     0);
}

static void drop(struct cluster *c)
{
    view_release(&c->view);
    arena_release(&c->arena);
    memo_release(&c->memo);
    for (size_t i = 0; i < c->count; i++)
        free(c->items[i].object);
    *c = (struct cluster){0};
}

#define OF_VMI "{'cloneSource':{'type':'vmi','vmiName':'src'}}"
#define PAST_CUT                                                                                   \
    "{'cloneStatus':{'phase':'Cloning','attempts':1,'attemptTime':'2026-09-21T14:00:00.000Z',"    \
    "'sourceUID':'u1','sourceVMI':'src','cutTime':'2026-09-21T14:01:00.000Z'}}"
#define DISK(method, pvc)                                                                          \
    "{\"name\":\"root\",\"volume\":\"root\",\"claim\":\"src-root\",\"method\":" method pvc "}"
#define SOURCE                                                                                     \
    "{\"metadata\":{},\"spec\":{\"template\":{\"spec\":{\"domain\":{\"devices\":{}}}}}}"

static void carrier(struct cluster *c, const char *capture)
{
    put(c, KIND_SNAPSHOT,
        "{'metadata':{'name':'s-root','namespace':'ns','uid':'s1','labels':{"
        "'vm.novasphere.dev/wukong-uid':'" UID "','vm.novasphere.dev/attempt':'1',"
        "'vm.novasphere.dev/disk-index':'0'}},'spec':{},'status':{}}");
    struct call *call = memo_slot(&c->memo, "read/carrier/s-root");
    cJSON *tree = cJSON_CreateObject();
    cJSON *meta = cJSON_AddObjectToObject(tree, "metadata");
    cJSON *notes = cJSON_AddObjectToObject(meta, "annotations");
    (void)cJSON_AddStringToObject(meta, "name", "s-root");
    (void)cJSON_AddStringToObject(notes, "vm.novasphere.dev/source-spec", capture);
    call->state = CALL_OK;
    call->body = json_print(tree);
    call->body_len = strlen(call->body);
    call->done_ms = NOW;
    cJSON_Delete(tree);
}

/* The source is gone, the worker was restarted: the snapshot alone is enough. */
static void test_capture_from_snapshot(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
    build(&c);
    assert_true(c.view.capture.present);
    assert_int_equal(c.view.disk_count, 1);
    assert_string_equal(c.view.targets[0].claims[0].name, "w-root");
    drop(&c);
}

static void test_damaged_capture(void **state)
{
    (void)state;
    static const char *const disks[] = {
        DISK("99", ",\"pvc\":{}"), DISK("-1", ",\"pvc\":{}"), DISK("0", ",\"pvc\":{}"),
        DISK("1", ""),             DISK("1", ",\"pvc\":7"),   "{\"method\":1,\"pvc\":{}}", "7",
    };
    for (size_t i = 0; i < ARRAY_LEN(disks); i++) {
        struct cluster c = {0};
        CLEANUP_FREE char *text =
            xasprintf("{\"source\":" SOURCE ",\"disks\":[%s]}", disks[i]);
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, text);
        build(&c);
        if (c.view.capture.present || c.view.disk_count || !c.view.capture.refusal)
            fail_msg("accepted: %s", disks[i]);
        drop(&c);
    }
}

/* CDI: the claim is bound long before its data are there, and the DataVolume is what is owned. */
static void test_data_volume(void **state)
{
    (void)state;
    static const char *const phases[] = {"CloneInProgress", "Succeeded"};
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *dv = xasprintf(
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{"
            "'vm.novasphere.dev/wukong-uid':'" UID "'}},'status':{'phase':'%s',"
            "'progress':'45.00%%'}}",
            phases[i]);
        put(&c, KIND_DATA_VOLUME, dv);
        put(&c, KIND_PVC,
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','ownerReferences':[{"
            "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
            "'spec':{},'status':{'phase':'Bound'}}");
        build(&c);
        const struct seen_claim *s = &c.view.targets[0].claims[0];
        assert_true(s->exists && s->ours && s->data_volume && s->sourced);
        assert_false(s->owned);
        assert_string_equal(s->owner_target, "dv1");
        assert_string_equal(s->progress, "45.00%");
        assert_int_equal(s->bound, i == 1);
        drop(&c);
    }
    /* A foreign claim under a DataVolume's name is not ours. */
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(&c, KIND_PVC, "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1'},'spec':{},"
                      "'status':{'phase':'Bound'}}");
    build(&c);
    assert_true(c.view.targets[0].claims[0].exists);
    assert_false(c.view.targets[0].claims[0].ours);
    drop(&c);
}

/* The last Event of a claim tells why it is not bound. However many claims of others fail, only its
   own Events are looked at. */
static void test_claim_events(void **state)
{
    (void)state;
    struct cluster c = {0};
    wukong(&c, OF_VMI, PAST_CUT);
    carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
    put(&c, KIND_PVC, "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{"
                      "'vm.novasphere.dev/wukong-uid':'" UID "'}},'spec':{},"
                      "'status':{'phase':'Pending'}}");
    for (int i = 0; i < 40; i++) {
        CLEANUP_FREE char *event = xasprintf(
            "{'metadata':{'name':'e%d','namespace':'ns','uid':'e%d'},'message':'message %d',"
            "'involvedObject':{'name':'w-root','uid':'%s'}}",
            i, i, i, i == 10 || i == 20 ? "p1" : "another");
        put(&c, KIND_CLAIM_EVENT, event);
    }
    build(&c);
    assert_string_equal(c.view.targets[0].claims[0].error, "message 20");
    assert_int_equal(c.visits[KIND_CLAIM_EVENT], 2);
    drop(&c);
}

static void test_earlier_claim(void **state)
{
    (void)state;
    for (int attempt = 1; attempt <= 2; attempt++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *pvc = xasprintf(
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{"
            "'vm.novasphere.dev/wukong-uid':'" UID "','vm.novasphere.dev/attempt':'%d'}},"
            "'spec':{'dataSource':{}},'status':{'phase':'Bound'}}",
            attempt);
        put(&c, KIND_PVC, pvc);
        build(&c);
        assert_int_equal(c.view.targets[0].claims[0].earlier, attempt == 2);
        drop(&c);
    }
}

static void test_machine_owner(void **state)
{
    (void)state;
    static const struct {
        const char *owners;
        bool owned, other;
    } rows[] = {
        {"[{'kind':'Wukong','name':'w','uid':'" UID "','controller':true}]", true, false},
        {"[{'kind':'VirtualMachinePool','name':'p','uid':'x','controller':true}]", false, true},
        {"[]", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, "{'cloneStatus':{'phase':'Succeeded'}}");
        CLEANUP_FREE char *vm = xasprintf(
            "{'metadata':{'name':'w-vm','namespace':'ns','uid':'v1','labels':{"
            "'vm.novasphere.dev/wukong-uid':'" UID "'},'ownerReferences':%s},'spec':{}}",
            rows[i].owners);
        put(&c, KIND_VM, vm);
        build(&c);
        assert_true(c.view.targets[0].vm.ours);
        assert_int_equal(c.view.targets[0].vm.owned, rows[i].owned);
        assert_int_equal(c.view.targets[0].vm.owned_by_other, rows[i].other);
        drop(&c);
    }
}

/* A VolumeSnapshot deleted before the controller has touched it, or before its Retain content is
   seen, would leave the content behind. */
static void test_content_to_come(void **state)
{
    (void)state;
    /* The content's class, when the snapshot was made, and what the controller has done with it. */
    static const struct {
        const char *policy, *created, *touched;
        bool awaited;
    } rows[] = {
        {"Retain", "2026-09-21T14:13:10Z", "", true},
        {"Retain", "2026-09-21T14:10:00Z", "", false},
        {"Delete", "2026-09-21T14:13:10Z", "", true},
        {"Delete", "2026-09-21T14:10:00Z", "", false},
        {"Delete", "2026-09-21T14:13:10Z", "'finalizers':['a/b'],", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        CLEANUP_FREE char *class = xasprintf("{'metadata':{'name':'sc','uid':'c1'},'driver':'d',"
                                             "'deletionPolicy':'%s'}",
                                             rows[i].policy);
        CLEANUP_FREE char *snapshot = xasprintf(
            "{'metadata':{'name':'s','namespace':'ns','uid':'s1','creationTimestamp':'%s',%s"
            "'labels':{'vm.novasphere.dev/wukong-uid':'" UID "'}},"
            "'spec':{'volumeSnapshotClassName':'sc'}}",
            rows[i].created, rows[i].touched);
        put(&c, KIND_SNAPSHOT_CLASS, class);
        put(&c, KIND_SNAPSHOT, snapshot);
        build(&c);
        assert_int_equal(c.view.ours_count, 1);
        assert_int_equal(c.view.ours[0].content_awaited, rows[i].awaited);
        drop(&c);
    }
}

/* Backup software thaws whoever froze: what the guest's status shows before our own thaw counts. */
static void test_thawed_by_others(void **state)
{
    (void)state;
    static const struct {
        const char *name, *status;
        bool shown, thaw_sent, seen_thawed;
    } rows[] = {
        {"not shown yet", "", false, false, false},
        {"frozen", "'fsFreezeStatus':'frozen',", false, false, false},
        {"frozen before, now not", "", true, false, true},
        {"our own thaw", "", true, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI,
               "{'cloneStatus':{'phase':'Cloning','attempts':1,'sourceUID':'u1','sourceVMI':'src',"
               "'freeze':{'vmiUID':'u1','requestedTime':'2026-09-21T14:13:00.000Z',"
               "'deadlineTime':'2026-09-21T14:14:00.000Z'}}}");
        CLEANUP_FREE char *vmi =
            xasprintf("{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{},"
                      "'status':{%s'phase':'Running'}}",
                      rows[i].status);
        put(&c, KIND_VMI, vmi);
        c.memo.freeze_shown_ms = rows[i].shown ? NOW - 5000 : 0;
        if (rows[i].thaw_sent) {
            char key[64];
            int64_t requested = 0;
            assert_true(str_to_time_ms("2026-09-21T14:13:00.000Z", &requested));
            (void)snprintf(key, sizeof key, "thaw/%lld", (long long)requested);
            memo_slot(&c.memo, key)->state = CALL_FLYING;
        }
        build(&c);
        if ((c.memo.foreign_thaw_ms == NOW) != rows[i].seen_thawed ||
            (c.memo.freeze_shown_ms == NOW) != (*rows[i].status != '\0'))
            fail_msg("%s: shown %lld, thawed %lld", rows[i].name,
                     (long long)c.memo.freeze_shown_ms, (long long)c.memo.foreign_thaw_ms);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capture_from_snapshot), cmocka_unit_test(test_damaged_capture),
        cmocka_unit_test(test_data_volume),           cmocka_unit_test(test_earlier_claim),
        cmocka_unit_test(test_claim_events),
        cmocka_unit_test(test_machine_owner),         cmocka_unit_test(test_content_to_come),
        cmocka_unit_test(test_thawed_by_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
