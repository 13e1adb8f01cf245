/*
 * Proves what the view makes of the caches, from objects as the API server shows them: a restarted
 * worker finds the capture on the first snapshot; a capture that somebody damaged is refused and
 * crashes nothing; a claim's own Events are all that is looked at; CDI's DataVolume stands for its
 * claim; whose a machine is; what must come before a VolumeSnapshot is deleted; that a source which
 * ran in between is not forgotten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "json/json.h"
#include "worker/bodies.h"
#include "worker/entries.h"
#include "worker/status.h"
#include "worker/steps.h"
#include "wukong/names.h"
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
        assert_false(s->host_copied);
        drop(&c);
    }
    /* CDI's silent fallback to a copy of every byte is told, with CDI's reason. */
    struct cluster copied = {0};
    wukong(&copied, OF_VMI, PAST_CUT);
    carrier(&copied, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(&copied, KIND_DATA_VOLUME,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{"
        "'vm.novasphere.dev/wukong-uid':'" UID "'}},'status':{'phase':'CloneInProgress'}}");
    put(&copied, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','annotations':{"
        "'cdi.kubevirt.io/cloneType':'copy',"
        "'cdi.kubevirt.io/cloneFallbackReason':'No compatible volumesnapshotclass found'},"
        "'ownerReferences':[{'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
        "'spec':{},'status':{'phase':'Pending'}}");
    build(&copied);
    const struct seen_claim *slow = &copied.view.targets[0].claims[0];
    assert_true(slow->host_copied);
    assert_string_equal(slow->fallback, "No compatible volumesnapshotclass found");
    struct decision d = {.intents = {.arena = &copied.arena}};
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    status_write(&copied.view, &d, &text);
    assert_non_null(strstr(text.data, "\"method\":\"CDIHostCopy\""));
    drop(&copied);
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

/* A claim that somebody else made under that name is there, and no progress of ours. */
static void test_strangers_claim(void **state)
{
    (void)state;
    for (int ours = 0; ours <= 1; ours++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *claim = xasprintf(
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{"
            "'vm.novasphere.dev/wukong-uid':'%s'}},'spec':{},'status':{'phase':'Bound'}}",
            ours ? UID : "another");
        put(&c, KIND_PVC, claim);
        build(&c);
        const struct seen_claim *s = &c.view.targets[0].claims[0];
        assert_true(s->exists);
        assert_int_equal(s->ours, ours);
        assert_int_equal(s->bound, ours);
        drop(&c);
    }
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

/* What CDI says of a DataVolume: a step that fails (Running), a claim that it does not make (Bound,
   while there is none); that a claim waits for its volume is no error. */
static void test_data_volume_error(void **state)
{
    (void)state;
    static const struct {
        const char *condition, *want;
        bool claim;
    } rows[] = {
        {"'type':'Running','status':'False','reason':'Error','message':'exceeded quota: q'",
         "exceeded quota: q", true},
        {"'type':'Running','status':'False','reason':'Pending','message':'Clone Pending'", NULL, true},
        {"'type':'Running','status':'True','reason':'Populator is running','message':''", NULL, true},
        {"'type':'Bound','status':'False','reason':'ErrClaimNotValid','message':'no accessMode'",
         "no accessMode", false},
        {"'type':'Bound','status':'False','reason':'CloneWithoutSource','message':''", "CloneWithoutSource",
         false},
        {"'type':'Bound','status':'False','reason':'NotFound','message':'No PVC found'", NULL, false},
        {"'type':'Bound','status':'False','reason':'Pending','message':'PVC Pending'", NULL, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
        CLEANUP_FREE char *dv = xasprintf(
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{"
            "'vm.novasphere.dev/wukong-uid':'" UID "'}},'status':{'conditions':[{%s}]}}",
            rows[i].condition);
        put(&c, KIND_DATA_VOLUME, dv);
        if (rows[i].claim)
            put(&c, KIND_PVC,
                "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','ownerReferences':[{"
                "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}]},"
                "'spec':{},'status':{'phase':'Pending'}}");
        /* The provisioner's Events on the same claim say less than CDI does. */
        if (rows[i].claim && rows[i].want)
            put(&c, KIND_CLAIM_EVENT,
                "{'metadata':{'name':'e','namespace':'ns','uid':'e'},'message':'object has been "
                "modified','involvedObject':{'name':'w-root','uid':'p1'}}");
        build(&c);
        const char *got = c.view.targets[0].claims[0].error;
        if (!str_eq(got, rows[i].want) && (got || rows[i].want))
            fail_msg("row %zu: %s", i, str_or(got, "no error"));
        drop(&c);
    }
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

/* What the API server says when it is asked for the content of s1; NULL: it was not asked. */
static void live_content(struct cluster *c, const char *answer, int64_t at)
{
    if (!answer)
        return;
    struct call *call = memo_slot(&c->memo, "read/content/s1");
    call->done_ms = at;
    call->state = str_empty(answer) ? CALL_FAILED : CALL_OK;
    call->code = str_empty(answer) ? 404 : 200;
    call->body = xstrdup(answer);
    for (char *p = call->body; *p; p++)
        if (*p == '\'')
            *p = '"';
    call->body_len = strlen(call->body);
}

#define CONTENT(policy, note, status)                                                              \
    "{'metadata':{'name':'snapcontent-s1','uid':'k1'" note "},'spec':{'deletionPolicy':'" policy   \
    "','volumeSnapshotRef':{'uid':'s1','namespace':'ns','name':'s'}},'status':" status "}"
#define CREATING                                                                                   \
    ",'annotations':{'snapshot.storage.kubernetes.io/volumesnapshot-being-created':'yes'}"
#define HANDLE "{'snapshotHandle':'h1'}"
#define BROKEN "{'error':{'message':'no'}}"
#define YOUNG "2026-09-21T14:13:10Z"
#define OLD "2026-09-21T14:10:00Z"
#define TOUCHED "'finalizers':['a/b'],"

/* When a VolumeSnapshot of ours may be deleted, such that neither its content nor what the CSI driver
   makes of it outlives it: nothing but what the API server says now tells that there is none. */
static void test_before_a_snapshot_goes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *policy, *created, *touched, *error, *cached, *live;
        bool look, awaited, being_cut, retains;
    } rows[] = {
        {"unseen: look", "Delete", OLD, TOUCHED, "", NULL, NULL, true, false, false, false},
        {"unseen, an answer of yesterday", "Delete", OLD, TOUCHED, "", NULL, "stale", true, false,
         false, false},
        {"there is none yet, touched", "Delete", YOUNG, TOUCHED, "", NULL, "", false, true, false, false},
        {"there is none yet, untouched", "Delete", YOUNG, "", "", NULL, "", false, true, false, false},
        {"there is none for long", "Delete", OLD, TOUCHED, "", NULL, "", false, false, false, false},
        {"there was none before it was bound: look anew", "Delete", YOUNG, TOUCHED,
         "'boundVolumeSnapshotContentName':'snapcontent-s1'", NULL, "", true, false, false, false},
        {"there is none yet, Retain", "Retain", OLD, TOUCHED, "", NULL, "", false, true, false, false},
        {"none can be made, Retain", "Retain", OLD, TOUCHED, "'error':{'message':'x'}", NULL, "", false,
         false, false, false},
        {"the watch is dead, Retain", "Retain", OLD, TOUCHED, "", NULL, CONTENT("Retain", "", HANDLE),
         false, false, false, true},
        {"cached, cut", "Delete", OLD, TOUCHED, "", CONTENT("Delete", "", HANDLE), NULL, false, false,
         false, false},
        {"cached, Retain", "Retain", OLD, TOUCHED, "", CONTENT("Retain", "", HANDLE), NULL, false, false,
         false, true},
        {"cached without handle: look", "Delete", YOUNG, TOUCHED, "", CONTENT("Delete", "", "{}"), NULL,
         true, false, true, false},
        {"no answer from the driver", "Delete", YOUNG, TOUCHED, "", NULL,
         CONTENT("Delete", CREATING, "{}"), false, false, true, false},
        {"not asked yet", "Delete", YOUNG, TOUCHED, "", NULL, CONTENT("Delete", "", "{}"), false, false,
         true, false},
        {"an error that may have cut", "Delete", YOUNG, TOUCHED, "", NULL,
         CONTENT("Delete", CREATING, BROKEN), false, false, true, false},
        {"a final error", "Delete", YOUNG, TOUCHED, "", NULL, CONTENT("Delete", "", BROKEN), false, false,
         false, false},
        {"no answer for long", "Delete", OLD, TOUCHED, "", NULL, CONTENT("Delete", CREATING, "{}"), false,
         false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        bool stale = str_eq(rows[i].live, "stale");
        wukong(&c, OF_VMI, PAST_CUT);
        CLEANUP_FREE char *class = xasprintf("{'metadata':{'name':'sc','uid':'c1'},'driver':'d',"
                                             "'deletionPolicy':'%s'}",
                                             rows[i].policy);
        CLEANUP_FREE char *snapshot = xasprintf(
            "{'metadata':{'name':'s','namespace':'ns','uid':'s1','creationTimestamp':'%s',%s"
            "'labels':{'vm.novasphere.dev/wukong-uid':'" UID "'}},"
            "'spec':{'volumeSnapshotClassName':'sc'},'status':{%s}}",
            rows[i].created, rows[i].touched, rows[i].error);
        put(&c, KIND_SNAPSHOT_CLASS, class);
        put(&c, KIND_SNAPSHOT, snapshot);
        if (rows[i].cached)
            put(&c, KIND_CONTENT, rows[i].cached);
        live_content(&c, stale ? "" : rows[i].live, stale ? NOW - 60000 : NOW - 1000);
        build(&c);
        const struct view_leftover *left = c.view.ours;
        if (c.view.ours_count != 1 || (left->look != NULL) != rows[i].look ||
            left->content_awaited != rows[i].awaited || left->being_cut != rows[i].being_cut ||
            left->content_retains != rows[i].retains)
            fail_msg("%s: look %s, awaited %d, being cut %d, retains %d", rows[i].name,
                     str_or(left->look, "-"), left->content_awaited, left->being_cut,
                     left->content_retains);
        drop(&c);
    }
}

/* A content marked for deletion that csi-snapshotter has overlooked is told from one on its way. */
static void test_stuck_content(void **state)
{
    (void)state;
    static const char *const since[] = {"2026-09-21T14:13:00Z", "2026-09-21T14:13:18Z"};
    for (size_t i = 0; i < ARRAY_LEN(since); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        CLEANUP_FREE char *snapshot = xasprintf(
            "{'metadata':{'name':'s','namespace':'ns','uid':'s1','deletionTimestamp':'%s',"
            "'labels':{'vm.novasphere.dev/wukong-uid':'" UID "'}},'spec':{}}",
            since[i]);
        put(&c, KIND_SNAPSHOT, snapshot);
        put(&c, KIND_CONTENT,
            CONTENT("Delete", ",'deletionTimestamp':'2026-09-21T14:13:00Z'", HANDLE));
        build(&c);
        assert_int_equal(c.view.ours[0].stuck != NULL, i == 0);
        drop(&c);
    }
}

/* KubeVirt's VolumeSnapshots carry no label of ours; they belong to it all the same, each once. */
static void test_backups_are_ours(void **state)
{
    (void)state;
    for (int labelled = 0; labelled <= 1; labelled++) {
        struct cluster c = {0};
        wukong(&c, "{'cloneSource':{'type':'vmi','vmiName':'src',"
                   "'snapshotMethod':'VirtualMachineSnapshot'}}",
               PAST_CUT);
        put(&c, KIND_VM_SNAPSHOT,
            "{'metadata':{'name':'vms','namespace':'ns','uid':'v1','labels':{"
            "'vm.novasphere.dev/wukong-uid':'" UID "'}},'status':{'phase':'InProgress'}}");
        put(&c, KIND_VM_SNAPSHOT_CONTENT,
            "{'metadata':{'name':'vmsnapshot-content-v1','namespace':'ns','uid':'k1'},'spec':{"
            "'volumeBackups':[{'volumeName':'root','volumeSnapshotName':'vmsnapshot-v1-volume-root'},"
            "{'volumeName':'ci'}]}}");
        CLEANUP_FREE char *snapshot = xasprintf(
            "{'metadata':{'name':'vmsnapshot-v1-volume-root','namespace':'ns','uid':'s1'%s},'spec':{}}",
            labelled ? ",'labels':{'vm.novasphere.dev/wukong-uid':'" UID "'}" : "");
        put(&c, KIND_SNAPSHOT, snapshot);
        build(&c);
        assert_int_equal(c.view.ours_count, 2);
        size_t at = c.view.ours[0].kind == KIND_SNAPSHOT ? 0 : 1;
        assert_int_equal(c.view.ours[at].kind, KIND_SNAPSHOT);
        assert_int_equal(c.view.ours[at].unlabelled, !labelled);
        assert_true(c.view.ours[1 - at].hasty);
        drop(&c);
    }
}

/* A VirtualMachineSnapshot that has Succeeded has its VolumeSnapshots, whatever a watch that hangs shows:
   the API server is asked before anything goes, and what it says counts for five seconds. */
static void test_backups_that_the_cache_does_not_show(void **state)
{
    (void)state;
    static const char found[] =
        "{\"metadata\":{\"name\":\"b\",\"namespace\":\"ns\",\"uid\":\"s1\","
        "\"creationTimestamp\":\"2026-09-21T14:00:00Z\"},\"spec\":{}}";
    static const struct {
        const char *name, *phase;
        int code; /* 0: not asked */
        int64_t ago_ms;
        size_t count; /* VolumeSnapshots among ours */
        bool unread;
    } rows[] = {
        {"not asked", "Succeeded", 0, 0, 1, true},
        {"there", "Succeeded", 200, 1000, 1, false},
        {"asked too long ago", "Succeeded", 200, 5000, 1, true},
        {"not there", "Succeeded", 404, 1000, 0, false},
        {"the API server failed", "Succeeded", 500, 1000, 1, true},
        {"it may not be made yet", "InProgress", 0, 0, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, "{'cloneSource':{'type':'vmi','vmiName':'src',"
                   "'snapshotMethod':'VirtualMachineSnapshot'}}",
               PAST_CUT);
        CLEANUP_FREE char *vms = xasprintf(
            "{'metadata':{'name':'vms','namespace':'ns','uid':'v1','labels':{"
            "'vm.novasphere.dev/wukong-uid':'" UID "'}},'status':{'phase':'%s'}}", rows[i].phase);
        put(&c, KIND_VM_SNAPSHOT, vms);
        put(&c, KIND_VM_SNAPSHOT_CONTENT,
            "{'metadata':{'name':'vmsnapshot-content-v1','namespace':'ns','uid':'k1'},'spec':{"
            "'volumeBackups':[{'volumeName':'root','volumeSnapshotName':'b'}]}}");
        if (rows[i].code) {
            struct call *call = memo_slot(&c.memo, "read/volumesnapshots/b");
            call->state = rows[i].code == 200 ? CALL_OK : CALL_FAILED;
            call->code = rows[i].code;
            call->done_ms = NOW - rows[i].ago_ms;
            call->body = rows[i].code == 200 ? xstrdup(found) : NULL;
            call->body_len = rows[i].code == 200 ? strlen(found) : 0;
        }
        build(&c);
        size_t count = 0;
        for (size_t k = 0; k < c.view.ours_count; k++) {
            const struct view_leftover *o = &c.view.ours[k];
            if (o->kind != KIND_SNAPSHOT)
                continue;
            count++;
            if (o->unread != rows[i].unread || (!o->unread && !o->unlabelled))
                fail_msg("%s", rows[i].name);
        }
        if (count != rows[i].count)
            fail_msg("%s: %zu", rows[i].name, count);
        drop(&c);
    }
}

/* The point in time is fixed when the content has a time; 0 is a driver's that did not tell one. */
static void test_cut_without_a_time(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        bool cut;
    } rows[] = {{"{}", false},
                {"{'creationTime':0}", false},
                {"{'creationTime':0,'snapshotHandle':'h'}", true},
                {"{'creationTime':1790000000000000000,'snapshotHandle':'h'}", true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        char name[NAME_BUF];
        wukong(&c, OF_VMI, PAST_CUT);
        carrier(&c, "{\"source\":" SOURCE ",\"disks\":[" DISK("1", ",\"pvc\":{}") "]}");
        name_snapshot("src", "w", UID, 1, "root", name);
        CLEANUP_FREE char *snapshot =
            xasprintf("{'metadata':{'name':'%s','namespace':'ns','uid':'s2'},'spec':{}}", name);
        CLEANUP_FREE char *content = xasprintf(
            "{'metadata':{'name':'snapcontent-s2','uid':'k2'},'spec':{'volumeSnapshotRef':{"
            "'uid':'s2','namespace':'ns','name':'%s'}},'status':%s}",
            name, rows[i].status);
        put(&c, KIND_SNAPSHOT, snapshot);
        put(&c, KIND_CONTENT, content);
        build(&c);
        assert_int_equal(c.view.disk_count, 1);
        assert_int_equal(c.view.disks[0].snapshot.cut, rows[i].cut);
        drop(&c);
    }
}

/* A content of ours: a copy, the one that holds a parent, or what is left of a parent. */
static void test_contents_of_ours(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        bool snapshot, copy, attached;
    } rows[] = {{"'snapshotHandle':'h'", false, true, false},
                {"'volumeHandle':'v'", true, false, true},
                {"'volumeHandle':'v'", false, false, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, "{'cloneStatus':{'phase':'Succeeded'}}");
        CLEANUP_FREE char *content = xasprintf(
            "{'metadata':{'name':'k','uid':'k1','labels':{'vm.novasphere.dev/wukong-uid':'" UID "'}},"
            "'spec':{'deletionPolicy':'Retain','source':{%s},'volumeSnapshotRef':{'namespace':'ns',"
            "'name':'s','uid':'s1'}}}",
            rows[i].source);
        put(&c, KIND_CONTENT, content);
        if (rows[i].snapshot)
            put(&c, KIND_SNAPSHOT, "{'metadata':{'name':'s','namespace':'ns','uid':'s1'},'spec':{}}");
        build(&c);
        assert_int_equal(c.view.ours_count, 1);
        assert_int_equal(c.view.ours[0].copy, rows[i].copy);
        assert_int_equal(c.view.ours[0].attached, rows[i].attached);
        drop(&c);
    }
}

/* The static rules, on a spec that the CRD's own rules did not see either; not once it has begun. */
static void test_a_spec_past_the_webhook(void **state)
{
    (void)state;
    static const char wrong[] = "{'cloneSource':{'type':'vmi','vmName':'src'}}";
    static const struct {
        const char *spec, *status;
        bool invalid;
    } rows[] = {{wrong, "{}", true}, {wrong, PAST_CUT, false}, {OF_VMI, "{}", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        wukong(&c, rows[i].spec, rows[i].status);
        build(&c);
        assert_int_equal(c.view.invalid != NULL, rows[i].invalid);
        if (c.view.invalid)
            assert_non_null(strstr(c.view.invalid, "spec.cloneSource.vmiName"));
        drop(&c);
    }
}

static void test_namespaces_that_go(void **state)
{
    (void)state;
    for (int row = 0; row < 3; row++) {
        struct cluster c = {0};
        wukong(&c, row ? "{'cloneSource':{'type':'vmi','vmiName':'src','namespace':'there'}}" : OF_VMI,
               "{}");
        CLEANUP_FREE char *ns = xasprintf(
            "{'metadata':{'name':'%s','uid':'n1','deletionTimestamp':'2026-09-21T14:13:00Z'}}",
            row == 1 ? "there" : "ns");
        put(&c, KIND_NAMESPACE, ns);
        build(&c);
        assert_int_equal(c.view.source_ns_terminating, row == 1);
        assert_int_equal(c.view.own_ns_terminating, row != 1);
        drop(&c);
    }
}

/* The Events of a run after the retry annotation are others than those of the run before. */
static void test_event_names(void **state)
{
    (void)state;
    static const char *const tokens[] = {NULL, "again", "again", "once more"};
    char names[ARRAY_LEN(tokens)][64];
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        struct cluster c = {0};
        wukong(&c, OF_VMI, PAST_CUT);
        build(&c);
        struct decision d = {.intents = {.arena = &c.arena}};
        c.view.record.retry_token = tokens[i];
        body_event(&c.view, &d, true, "AttemptFailed", "why");
        (void)snprintf(names[i], sizeof names[i], "%s", d.intents.items[0].name);
        drop(&c);
    }
    assert_string_equal(names[0], "w-11111111-attemptfailed-1");
    assert_string_equal(names[1], names[2]);
    assert_string_not_equal(names[0], names[1]);
    assert_string_not_equal(names[1], names[3]);
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

/* A stopped source that is started and stopped again before its snapshots are cut: what is seen then
   looks as at the beginning, and some of them are of a running machine. */
static void test_source_ran_in_between(void **state)
{
    (void)state;
    static const char *const types[] = {"linked", "full"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct cluster c = {0};
        struct why why = {0};
        CLEANUP_FREE char *spec = xasprintf("{'cloneSource':{'type':'vm','vmName':'src',"
                                            "'cloneType':'%s'}}", types[i]);
        wukong(&c, spec,
               "{'cloneStatus':{'phase':'Cloning','attempts':1,'sourceUID':'v1','sourceVMI':'src',"
               "'attemptTime':'2026-09-21T14:13:00.000Z'}}");
        put(&c, KIND_VM, "{'metadata':{'name':'src','namespace':'ns','uid':'v1'},'spec':{}}");
        put(&c, KIND_VMI, "{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{},"
                          "'status':{'phase':'Running'}}");
        build(&c);
        assert_int_equal(observe_source(&c.view, &why), STEP_FAILED);
        view_release(&c.view);
        arena_release(&c.arena);
        free(c.items[--c.count].object);
        build(&c);
        assert_int_equal(observe_source(&c.view, &why), STEP_FAILED);
        /* It says nothing of an attempt that began later. */
        c.view.record.attempt_ms = NOW + 1;
        assert_int_equal(observe_source(&c.view, &why), STEP_DONE);
        drop(&c);
    }
}

/* Others of the same source learn of a VirtualMachineSnapshot from its announcement to the cut. */
static void test_vm_snapshot_is_known_to_others(void **state)
{
    (void)state;
    static const struct {
        const char *method, *status;
        bool expected;
    } rows[] = {
        {"VirtualMachineSnapshot", "'attempts':1,'sourceUID':'u1','phase':'Cloning'", true},
        {"VirtualMachineSnapshot", "'attempts':1,'phase':'Cloning'", false},
        {"VolumeSnapshot", "'attempts':1,'sourceUID':'u1','phase':'Cloning'", false},
        {"VirtualMachineSnapshot", "'attempts':1,'sourceUID':'u1','phase':'Failed'", false},
        {"VirtualMachineSnapshot", "'attempts':1,'sourceUID':'u1','phase':'Cloning',"
                                   "'cutTime':'2026-09-21T14:13:00.000Z'", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster c = {0};
        struct entries all = {0};
        CLEANUP_FREE char *spec = xasprintf("{'cloneSource':{'type':'vmi','vmiName':'src',"
                                            "'snapshotMethod':'%s'}}", rows[i].method);
        CLEANUP_FREE char *status = xasprintf("{'cloneStatus':{%s}}", rows[i].status);
        wukong(&c, spec, status);
        arena_init(&c.arena, 4096);
        struct entry *e = entries_add(&all, "ns", "w", UID);
        (void)entries_summarise(&all, e, get(&c, KIND_WUKONG, "ns", "w"));
        if (e->vm_snapshot != rows[i].expected)
            fail_msg("%s, %s", rows[i].method, rows[i].status);
        entries_release(&all);
        drop(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capture_from_snapshot), cmocka_unit_test(test_damaged_capture),
        cmocka_unit_test(test_data_volume),           cmocka_unit_test(test_earlier_claim),
        cmocka_unit_test(test_strangers_claim),       cmocka_unit_test(test_claim_events),          cmocka_unit_test(test_thawed_by_others),
        cmocka_unit_test(test_machine_owner),         cmocka_unit_test(test_before_a_snapshot_goes),
        cmocka_unit_test(test_stuck_content),         cmocka_unit_test(test_backups_are_ours),
        cmocka_unit_test(test_backups_that_the_cache_does_not_show),
        cmocka_unit_test(test_cut_without_a_time),    cmocka_unit_test(test_source_ran_in_between),
        cmocka_unit_test(test_vm_snapshot_is_known_to_others),
        cmocka_unit_test(test_contents_of_ours),      cmocka_unit_test(test_a_spec_past_the_webhook),
        cmocka_unit_test(test_namespaces_that_go),    cmocka_unit_test(test_event_names),
        cmocka_unit_test(test_data_volume_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
