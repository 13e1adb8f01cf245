/*
 * Proves the bodies of snapshots: of a claim, with the source spec that survives its source; of the
 * copy by handle, and that both its ends are verified; KubeVirt's own.
 */
#include "apimachinery/dns_names.h"
#include "manifest_test.h"

static cJSON *parsed(const struct buf *out)
{
    struct err err = {0};
    cJSON *tree = NULL;
    if (json_parse(out->data, out->len, true, &tree, &err) < 0)
        fail_msg("%s", err.message);
    return tree;
}

static void expect(const struct buf *out, const char *want_text)
{
    CLEANUP_JSON cJSON *tree = parsed(out), *want = parse(want_text);
    if (!json_equal(tree, want))
        fail_msg("%s", out->data);
}

#define MADE_FOR(place) ",'annotations':{'vm.novasphere.dev/made-for':'lab/clone in " place "'}"
#define LABELS "'vm.novasphere.dev/wukong-uid':'" UID "','vm.novasphere.dev/wukong':'clone'"

static void test_snapshot(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    fixture_init(&f, NULL, NULL);
    struct manifest_snapshot s = {.wukong = &f.wukong,
                                  .name = "snapshot-src-clone-0f8fad5b-1-root",
                                  .ns = "lab",
                                  .disk = "root",
                                  .claim = "src-root",
                                  .snapshot_class = "csi"};
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    bool kept = true;
    assert_int_equal(manifest_snapshot_body(&s, &out, &kept, &err), 0);
    assert_false(kept);
    expect(&out,
           "{'apiVersion':'snapshot.storage.k8s.io/v1','kind':'VolumeSnapshot','metadata':{"
           "'name':'snapshot-src-clone-0f8fad5b-1-root','namespace':'lab','labels':{" LABELS
           ",'vm.novasphere.dev/disk':'root'}" MADE_FOR(
               "lab") "},'spec':{'source':{"
                      "'persistentVolumeClaimName':'src-root'},'volumeSnapshotClassName':'csi'}}");
    /* In a foreign namespace its admins see whose it is; without class the controller chooses. */
    s.ns = "prod";
    s.snapshot_class = NULL;
    buf_clear(&out);
    assert_int_equal(manifest_snapshot_body(&s, &out, NULL, &err), 0);
    CLEANUP_JSON cJSON *foreign = parsed(&out);
    check_path("foreign", foreign, "metadata.labels[vm.novasphere.dev/wukong-namespace] = 'lab'");
    check_path("foreign", foreign, "spec.volumeSnapshotClassName = -");
}

/* Exactly at the bound it is kept, one byte more and the snapshot is taken without it. */
static void test_spec_bound(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    for (int over = 0; over <= 1; over++) {
        struct err err = {0};
        static const char head[] = "{\"pad\":\"", tail[] = "\"}";
        size_t pad = MANIFEST_SPEC_ANNOTATION_MAX - strlen(head) - strlen(tail) + (size_t)over;
        CLEANUP_FREE char *fill = xmalloc(pad + 1);
        memset(fill, 'x', pad);
        fill[pad] = '\0';
        CLEANUP_FREE char *text = xasprintf("%s%s%s", head, fill, tail);
        CLEANUP_JSON cJSON *spec = parse(text);
        struct manifest_snapshot s = {
            .wukong = &f.wukong, .name = "s", .ns = "lab", .claim = "c", .source_spec = spec};
        CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
        bool kept = false;
        assert_int_equal(manifest_snapshot_body(&s, &out, &kept, &err), 0);
        assert_int_equal(kept, !over);
        CLEANUP_JSON cJSON *snapshot = parsed(&out);
        assert_int_equal(
            json_at(snapshot, "metadata.annotations[" MANIFEST_SPEC_ANNOTATION "]") != NULL, !over);
    }
}

#define CONTENT                                                                                    \
    "{'metadata':{'name':'snapcontent-1'},'spec':{'deletionPolicy':'Delete','driver':'csi.x',"     \
    "'source':{'volumeHandle':'vol-1'},'sourceVolumeMode':'Block','volumeSnapshotClassName':'c',"  \
    "'volumeSnapshotRef':{'name':'s','namespace':'prod','uid':'u'}},'status':{'snapshotHandle':"   \
    "'h-1','readyToUse':true}}"

static void test_content_copy(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    fixture_init(&f, NULL, NULL);
    CLEANUP_JSON cJSON *content = parse(CONTENT);
    struct manifest_content_copy c = {.wukong = &f.wukong,
                                      .content_name = "wukong-x",
                                      .snapshot_name = "copy",
                                      .disk = "root",
                                      .content = content};
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    assert_int_equal(manifest_content_copy_body(&c, &out, &err), 0);
    expect(&out, "{'apiVersion':'snapshot.storage.k8s.io/v1','kind':'VolumeSnapshotContent',"
                 "'metadata':{'name':'wukong-x','labels':{" LABELS ",'vm.novasphere.dev/disk':"
                 "'root','vm.novasphere.dev/wukong-namespace':'lab'}" MADE_FOR(
                     "no namespace") "},'spec':{'deletionPolicy':"
                                     "'Retain','driver':'csi.x','source':{'snapshotHandle':'h-1'},'"
                                     "sourceVolumeMode':"
                                     "'Block','volumeSnapshotClassName':'c','volumeSnapshotRef':{'"
                                     "apiVersion':"
                                     "'snapshot.storage.k8s.io/"
                                     "v1','kind':'VolumeSnapshot','name':'copy','namespace':"
                                     "'lab'}}}");
    buf_clear(&out);
    assert_int_equal(manifest_snapshot_of_content_body(&c, &out, &err), 0);
    expect(&out,
           "{'apiVersion':'snapshot.storage.k8s.io/v1','kind':'VolumeSnapshot','metadata':{"
           "'name':'copy','namespace':'lab','labels':{" LABELS ",'vm.novasphere.dev/disk':"
           "'root'}" MADE_FOR("lab") "},'spec':{'source':{'volumeSnapshotContentName':'wukong-x'},"
                                     "'volumeSnapshotClassName':'c'}}");
}

static void test_content_refused(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        enum err_kind kind;
    } rows[] = {
        {"{'metadata':{'deletionTimestamp':'2026-01-01T00:00:00Z'},'spec':{'driver':'d'},'status':"
         "{'snapshotHandle':'h'}}",
         ERR_REFUSED},
        {"{'metadata':{},'spec':{'driver':'d'},'status':{}}", ERR_NOT_FOUND},
        {"{'metadata':{},'spec':{},'status':{'snapshotHandle':'h'}}", ERR_INVALID},
    };
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *content = parse(rows[i].content);
        struct manifest_content_copy c = {&f.wukong, "wukong-x", "copy", "root", content};
        CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
        assert_int_equal(manifest_content_copy_body(&c, &out, &err), -1);
        assert_int_equal(err.kind, rows[i].kind);
    }
}

static void test_content_name(void **state)
{
    (void)state;
    char a[PVC_NAME_BUF], b[PVC_NAME_BUF];
    static const char disk[] = "d23456789-123456789-123456789-123456789-123456789-123456789-123";
    name_content(UID, INT64_MAX, disk, a);
    assert_true(name_is_dns_subdomain(a));
    name_content(UID, 1, disk, b);
    assert_string_not_equal(a, b);
    name_content("1f8fad5b-d9cb-469f-a165-70867728950e", 1, disk, a);
    assert_string_not_equal(a, b);
}

static void test_vmsnapshot(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    fixture_init(&f, NULL, NULL);
    CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
    assert_int_equal(manifest_vmsnapshot_body(&f.wukong, "snap", "lab", "src", 300, &out, &err), 0);
    expect(&out,
           "{'apiVersion':'snapshot.kubevirt.io/v1beta1','kind':'VirtualMachineSnapshot',"
           "'metadata':{'name':'snap','namespace':'lab','labels':{" LABELS "}" MADE_FOR(
               "lab") "},'spec':{"
                      "'source':{'apiGroup':'kubevirt.io','kind':'VirtualMachine','name':'src'},"
                      "'failureDeadline':'300s'}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot),     cmocka_unit_test(test_spec_bound),
        cmocka_unit_test(test_content_copy), cmocka_unit_test(test_content_refused),
        cmocka_unit_test(test_content_name), cmocka_unit_test(test_vmsnapshot),
    };
    return cmocka_run_group_tests_name("target_snapshot", tests, NULL, NULL);
}
