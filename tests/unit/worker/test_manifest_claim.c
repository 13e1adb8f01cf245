/*
 * Proves that claims are built from a whitelist, never shrink, and that a claim whose data source
 * was dropped or changed on the way is found out: kube-apiserver answers 201 to a data source it
 * does not support and provisions an empty volume (pkg/registry/core/persistentvolumeclaim/
 * strategy.go drops disabled fields).
 */
#include "manifest_test.h"

#include "apimachinery/quantity.h"

/* As a bound claim of csi-driver-host-path looks, itself restored from an earlier snapshot. */
static const char source_claim[] =
    "{'metadata':{'name':'src-root','namespace':'lab','uid':'u','labels':{'app':'shop'},"
    "'annotations':{'pv.kubernetes.io/bind-completed':'yes','volume.kubernetes.io/"
    "storage-provisioner':'x','cdi.kubevirt.io/storage.contentType':'kubevirt','cdi.kubevirt.io/"
    "storage.pod.phase':'Succeeded'},'finalizers':['kubernetes.io/pvc-protection']},'spec':{"
    "'accessModes':['ReadWriteMany'],'resources':{'requests':{'storage':'10Gi'}},"
    "'storageClassName':'fast','volumeMode':'Block','volumeName':'pvc-123','dataSource':{'kind':"
    "'VolumeSnapshot','name':'old'},'dataSourceRef':{'kind':'VolumeSnapshot','name':'old'}},"
    "'status':{'capacity':{'storage':'11Gi'}}}";

#define OWNER                                                                                      \
    "[{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','name':'clone','uid':'" UID       \
    "','controller':false}]"
#define LABELS                                                                                     \
    "{'vm.novasphere.dev/wukong-uid':'" UID                                                        \
    "','vm.novasphere.dev/wukong':'clone','vm.novasphere.dev/clone':'1','vm.novasphere.dev/disk':" \
    "'root','vm.novasphere.dev/wukong-namespace':'lab'}"

static struct manifest_claim a_claim(const struct wukong_fixture *f, const cJSON *source)
{
    return (struct manifest_claim){.wukong = &f->wukong,
                                   .index = 1,
                                   .name = "clone-root",
                                   .disk = "root",
                                   .source = source,
                                   .origin = MANIFEST_FROM_SNAPSHOT,
                                   .origin_name = "snap-1",
                                   .origin_ns = "prod"};
}

static cJSON *body_of(const struct manifest_claim *c, bool datavolume)
{
    struct err err = {0};
    cJSON *tree = NULL;
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    int status =
        datavolume ? manifest_datavolume_body(c, &out, &err) : manifest_pvc_body(c, &out, &err);
    if (status < 0)
        fail_msg("%s", err.message);
    assert_int_equal(json_parse(out.data, out.len, true, &tree, &err), 0);
    return tree;
}

/* The whole body, so that nothing beside the whitelist can slip in. */
static void test_pvc_from_snapshot(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, "'replicas':2");
    CLEANUP_JSON cJSON *source = parse(source_claim);
    struct manifest_claim c = a_claim(&f, source);
    CLEANUP_JSON cJSON *body = body_of(&c, false);
    CLEANUP_JSON cJSON *want = parse(
        "{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':'clone-root',"
        "'namespace':'lab','labels':" LABELS ",'ownerReferences':" OWNER
        ",'annotations':{'cdi.kubevirt.io/storage.contentType'"
        ":'kubevirt'}},'spec':{'accessModes':['ReadWriteMany'],'resources':{'requests':{'storage':"
        "'10Gi'}},'storageClassName':'fast','volumeMode':'Block','dataSource':{'apiGroup':"
        "'snapshot.storage.k8s.io','kind':'VolumeSnapshot','name':'snap-1'}}}");
    CLEANUP_FREE char *text = json_print(body);
    if (!json_equal(body, want))
        fail_msg("%s", text);
}

/* A CSI clone must be as large as what the driver made, not only as what was asked for. */
static void test_pvc_from_claim(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    CLEANUP_JSON cJSON *source = parse(source_claim);
    struct manifest_claim c = a_claim(&f, source);
    c.origin = MANIFEST_FROM_CLAIM;
    c.origin_name = "src-root";
    CLEANUP_JSON cJSON *body = body_of(&c, false);
    check_path("origin", body,
               "spec.dataSource = {'kind':'PersistentVolumeClaim','name':'src-root'}");
    check_path("size", body, "spec.resources.requests.storage = '11Gi'");
}

/* Absent stays absent ("" is a class of its own in Kubernetes: no dynamic provisioning). */
static void test_pvc_absent_fields(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    CLEANUP_JSON cJSON *source = parse(
        "{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}");
    struct manifest_claim c = a_claim(&f, source);
    CLEANUP_JSON cJSON *body = body_of(&c, false);
    check_path("class", body, "spec.storageClassName = -");
    check_path("mode", body, "spec.volumeMode = -");
    check_path("annotations", body, "metadata.annotations = -");
    c.storage_class = "slow";
    CLEANUP_JSON cJSON *classed = body_of(&c, false);
    check_path("class", classed, "spec.storageClassName = 'slow'");
    CLEANUP_JSON cJSON *none = parse("{'spec':{'accessModes':['ReadWriteOnce'],'storageClassName':"
                                     "'','resources':{'requests':{'storage':'1Gi'}}}}");
    c = a_claim(&f, none);
    CLEANUP_JSON cJSON *empty = body_of(&c, false);
    check_path("class", empty, "spec.storageClassName = ''");
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *request, *capacity, *asked;
        int64_t restore;
        enum manifest_origin origin;
        const char *want;  /* text of the request */
        const char *error; /* part of the refusal */
    } rows[] = {
        {"10Gi", NULL, NULL, 0, MANIFEST_FROM_SNAPSHOT, "10Gi", NULL},
        {"10240Mi", NULL, NULL, 10737418240, MANIFEST_FROM_SNAPSHOT, "10240Mi", NULL},
        {"10Gi", NULL, "20Gi", 0, MANIFEST_FROM_SNAPSHOT, "20Gi", NULL},
        {"10Gi", NULL, "10240Mi", 0, MANIFEST_FROM_SNAPSHOT, "10240Mi", NULL},
        {"10Gi", NULL, "9Gi", 0, MANIFEST_FROM_SNAPSHOT, NULL,
         "size 9Gi of disk \"root\" is smaller than the source's 10Gi"},
        {"10Gi", NULL, NULL, 12884901888, MANIFEST_FROM_SNAPSHOT, "12Gi", NULL},
        {"10Gi", NULL, "11Gi", 12884901888, MANIFEST_FROM_SNAPSHOT, "12Gi", NULL},
        {"10Gi", NULL, "13Gi", 12884901888, MANIFEST_FROM_SNAPSHOT, "13Gi", NULL},
        {"1G", NULL, NULL, 1000000001, MANIFEST_FROM_SNAPSHOT, "1000000001", NULL},
        {"10Gi", "11Gi", NULL, 0, MANIFEST_FROM_SNAPSHOT, "10Gi", NULL},
        {"10Gi", "11Gi", NULL, 0, MANIFEST_FROM_CLAIM, "11Gi", NULL},
        {"10Gi", "11Gi", "10Gi", 0, MANIFEST_FROM_CLAIM, "11Gi", NULL},
        {NULL, NULL, NULL, 1073741824, MANIFEST_FROM_SNAPSHOT, "1Gi", NULL},
        {NULL, NULL, NULL, 0, MANIFEST_FROM_SNAPSHOT, NULL, "neither the source claim nor its"},
        {"10Gi", NULL, "lots", 0, MANIFEST_FROM_SNAPSHOT, NULL, "size \"lots\" is no size"},
        {"10Gi", NULL, "0", 0, MANIFEST_FROM_SNAPSHOT, NULL, "size \"0\" is no size"},
        {"ten", NULL, NULL, 0, MANIFEST_FROM_SNAPSHOT, NULL, "request \"ten\" is no size"},
    };
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        CLEANUP_FREE char *text = xasprintf(
            "{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{%s%s%s}}},'status':"
            "{'capacity':{%s%s%s}}}",
            rows[i].request ? "'storage':'" : "", str_or(rows[i].request, ""),
            rows[i].request ? "'" : "", rows[i].capacity ? "'storage':'" : "",
            str_or(rows[i].capacity, ""), rows[i].capacity ? "'" : "");
        CLEANUP_JSON cJSON *source = parse(text);
        struct manifest_claim c = a_claim(&f, source);
        c.asked_size = rows[i].asked;
        c.restore_bytes = rows[i].restore;
        c.origin = rows[i].origin;
        CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
        int status = manifest_pvc_body(&c, &out, &err);
        if (rows[i].error) {
            if (status == 0 || !strstr(err.message, rows[i].error))
                fail_msg("row %zu: wanted: %s; got %s", i, rows[i].error, err.message);
            continue;
        }
        if (status < 0)
            fail_msg("row %zu: %s", i, err.message);
        CLEANUP_JSON cJSON *body = NULL;
        assert_int_equal(json_parse(out.data, out.len, true, &body, &err), 0);
        const char *got = json_str(body, "spec.resources.requests.storage");
        if (!str_eq(got, rows[i].want))
            fail_msg("row %zu: %s, wanted %s", i, got, rows[i].want);
    }
}

static void test_datavolume(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, "'replicas':2");
    CLEANUP_JSON cJSON *source = parse(source_claim);
    struct manifest_claim c = a_claim(&f, source);
    CLEANUP_JSON cJSON *body = body_of(&c, true);
    CLEANUP_JSON cJSON *want = parse(
        "{'apiVersion':'cdi.kubevirt.io/v1beta1','kind':'DataVolume','metadata':{'name':"
        "'clone-root','namespace':'lab','labels':" LABELS ",'ownerReferences':" OWNER
        "},'spec':{'source':{'snapshot':{"
        "'namespace':'prod','name':'snap-1'}},'contentType':'kubevirt','pvc':{'accessModes':["
        "'ReadWriteMany'],'resources':{'requests':{'storage':'10Gi'}},'storageClassName':'fast',"
        "'volumeMode':'Block'}}}");
    CLEANUP_FREE char *text = json_print(body);
    if (!json_equal(body, want))
        fail_msg("%s", text);

    c.origin = MANIFEST_FROM_CLAIM;
    c.origin_name = "src-root";
    c.storage_class = "slow";
    CLEANUP_JSON cJSON *unknown = body_of(&c, true);
    check_path("modes of a driver that CDI does not know", unknown,
               "spec.storage.accessModes = ['ReadWriteMany']");
    c.cdi_knows_modes = true;
    CLEANUP_JSON cJSON *copy = body_of(&c, true);
    check_path("source", copy, "spec.source = {'pvc':{'namespace':'prod','name':'src-root'}}");
    check_path("class", copy, "spec.storage.storageClassName = 'slow'");
    check_path("modes", copy, "spec.storage.accessModes = -");
    c.storage_class = "fast";
    CLEANUP_JSON cJSON *same = body_of(&c, true);
    check_path("modes", same, "spec.pvc.accessModes = ['ReadWriteMany']");
    check_path("not inflated", same, "spec.storage = -");
    /* CDI refuses "pvc" with several modes. */
    CLEANUP_JSON cJSON *several = parse(source_claim);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(
                             cJSON_GetObjectItemCaseSensitive(several, "spec"), "accessModes"),
                         cJSON_CreateString("ReadOnlyMany"));
    c.source = several;
    CLEANUP_JSON cJSON *storage = body_of(&c, true);
    check_path("several modes", storage,
               "spec.storage.accessModes = ['ReadWriteMany','ReadOnlyMany']");
    check_path("several modes", storage, "spec.pvc = -");
}

static void test_no_access_modes(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    fixture_init(&f, NULL, NULL);
    CLEANUP_JSON cJSON *source = parse("{'spec':{'resources':{'requests':{'storage':'1Gi'}}}}");
    struct manifest_claim c = a_claim(&f, source);
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    assert_int_equal(manifest_pvc_body(&c, &out, &err), -1);
    assert_non_null(strstr(err.message, "no access modes"));
}

#define OURS "'metadata':{'labels':{'vm.novasphere.dev/wukong-uid':'" UID "'}}"
#define FROM_SNAPSHOT                                                                              \
    "'dataSource':{'apiGroup':'snapshot.storage.k8s.io','kind':'VolumeSnapshot','name':'snap-1'}"
#define REST                                                                                       \
    "'volumeMode':'Block','storageClassName':'fast','resources':{'requests':{'storage':'10Gi'}},"  \
    "'accessModes':['ReadWriteMany']"

static const struct reply_row {
    const char *name, *reply;
    enum err_kind kind; /* ERR_NONE: it matches */
    const char *error;
} replies[] = {
    {"as sent", "{" OURS ",'spec':{" FROM_SNAPSHOT "," REST "}}", ERR_NONE, NULL},
    {"dataSourceRef filled in by the API server",
     "{" OURS ",'spec':{" FROM_SNAPSHOT ",'dataSourceRef':{'apiGroup':'snapshot.storage.k8s.io'"
     ",'kind':'VolumeSnapshot','name':'snap-1'}," REST "}}",
     ERR_NONE, NULL},
    {"expanded since",
     "{" OURS ",'spec':{" FROM_SNAPSHOT
     ",'volumeMode':'Block','accessModes':['ReadWriteMany'],'storageClassName':'fast',"
     "'resources':{'requests':{'storage':'20Gi'}}}}",
     ERR_NONE, NULL},
    {"data source dropped", "{" OURS ",'spec':{" REST "}}", ERR_REFUSED,
     "the API server dropped its data source"},
    {"another snapshot",
     "{" OURS ",'spec':{'dataSource':{'apiGroup':'snapshot.storage.k8s.io','kind':"
     "'VolumeSnapshot','name':'snap-2'}," REST "}}",
     ERR_REFUSED, "another data source than \"snap-1\""},
    {"a claim of that name instead",
     "{" OURS ",'spec':{'dataSource':{'kind':'PersistentVolumeClaim','name':'snap-1'}," REST "}}",
     ERR_REFUSED, "another data source"},
    {"another group",
     "{" OURS ",'spec':{'dataSource':{'apiGroup':'example.com','kind':'VolumeSnapshot','name':"
     "'snap-1'}," REST "}}",
     ERR_REFUSED, "another data source"},
    {"a reference into another namespace",
     "{" OURS ",'spec':{" FROM_SNAPSHOT ",'dataSourceRef':{'apiGroup':'snapshot.storage.k8s.io'"
     ",'kind':'VolumeSnapshot','name':'snap-1','namespace':'other'}," REST "}}",
     ERR_REFUSED, "another data source"},
    {"volumeMode",
     "{" OURS ",'spec':{" FROM_SNAPSHOT ",'storageClassName':'fast','resources':{'requests':{"
     "'storage':'10Gi'}}}}",
     ERR_REFUSED, "volumeMode Filesystem instead of Block"},
    {"class",
     "{" OURS ",'spec':{" FROM_SNAPSHOT ",'volumeMode':'Block','storageClassName':'slow',"
     "'resources':{'requests':{'storage':'10Gi'}}}}",
     ERR_REFUSED, "storageClassName \"slow\" instead of \"fast\""},
    {"size",
     "{" OURS ",'spec':{" FROM_SNAPSHOT ",'volumeMode':'Block','storageClassName':'fast',"
     "'resources':{'requests':{'storage':'9Gi'}}}}",
     ERR_REFUSED, "asks for 9Gi instead of 10Gi"},
    {"access modes",
     "{" OURS ",'spec':{" FROM_SNAPSHOT ",'volumeMode':'Block','storageClassName':'fast',"
     "'resources':{'requests':{'storage':'10Gi'}},'accessModes':['ReadWriteOnce']}}",
     ERR_REFUSED, "other accessModes"},
    {"a stranger's claim",
     "{'metadata':{'labels':{'vm.novasphere.dev/wukong-uid':'someone'}},'spec':{" FROM_SNAPSHOT
     "," REST "}}",
     ERR_EXISTS, "does not bear this clone's label"},
    {"a claim without labels", "{'metadata':{},'spec':{" FROM_SNAPSHOT "," REST "}}", ERR_EXISTS,
     "does not bear this clone's label"},
};

static void test_matches(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    CLEANUP_JSON cJSON *source = parse(source_claim);
    struct manifest_claim c = a_claim(&f, source);
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *reply = parse(replies[i].reply);
        int status = manifest_pvc_matches(reply, &c, &err);
        if ((status == 0) != (replies[i].kind == ERR_NONE) || err.kind != replies[i].kind ||
            (replies[i].error && !strstr(err.message, replies[i].error)))
            fail_msg("%s: %s", replies[i].name, status ? err.message : "matches");
    }
    struct err err = {0};
    CLEANUP_JSON cJSON *own = body_of(&c, false);
    assert_int_equal(manifest_pvc_matches(own, &c, &err), 0);
    c.origin = MANIFEST_FROM_CLAIM;
    CLEANUP_JSON cJSON *copy = body_of(&c, false);
    assert_int_equal(manifest_pvc_matches(copy, &c, &err), 0);
    assert_int_equal(manifest_pvc_matches(own, &c, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pvc_from_snapshot), cmocka_unit_test(test_pvc_from_claim),
        cmocka_unit_test(test_pvc_absent_fields), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_datavolume),        cmocka_unit_test(test_no_access_modes),
        cmocka_unit_test(test_matches),
    };
    return cmocka_run_group_tests_name("target_claim", tests, NULL, NULL);
}
