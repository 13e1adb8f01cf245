/*
 * Proves that a spec is decoded field by field, that defaults are the CRD's, that child names
 * and identities are stable, distinct and legal, and that the mutating patch is minimal, idempotent
 * and right (it is applied here by a small RFC 6902 applier of the test's own).
 */
#include "apimachinery/dns_names.h"
#include "support.h"
#include "wukong/api/child_names.h"
#include "wukong/api/json_path.h"
#include "wukong/api/spec.h"

#define UID "12345678-9abc-4def-8123-456789abcdef"

static void decode(struct arena *a, const char *yaml, struct wukong *w)
{
    CLEANUP_JSON cJSON *tree = parse_yaml(yaml);
    struct err err;
    assert_int_equal(wukong_decode(a, tree, w, &err), 0);
}

/* Every field of a Wukong, each with a value of its own. */
static const char everything[] =
    "{metadata: {name: w, namespace: prod, uid: u-1, resourceVersion: \"5\", generation: 3,"
    " creationTimestamp: 2026-01-02T03:04:05Z, deletionTimestamp: 2026-01-02T03:04:06Z,"
    " generateName: w-, labels: {a: b, c: \"\"}, annotations: {vm.novasphere.dev/retry: x},"
    " finalizers: [other/f, vm.novasphere.dev/clone]},"
    " spec: {cpu: 4, memory: 4Gi, replicas: 3, reclaimPolicy: Retain,"
    " cloneSource: {type: vm, vmName: src, vmiName: i, namespace: ns, cloneType: running, "
    "quiesce: Required,"
    " snapshotMethod: VolumeSnapshot, volumeSnapshotClassName: vsc, stopSourceAfter: true,"
    " deadlineSeconds: 60, retryLimit: 0, window: {schedule: \"@daily\", duration: 1h, "
    "timeZone: CET},"
    " notBefore: 2026-01-02T03:04:05Z, gates: [a, b], allowUnsnapshottable: false, "
    "allowSecrets: [s, t]},"
    " disks: [{name: d, size: 1.5Gi, storageClassName: sc, sourceDisk: s, boot: true, "
    "image: i}, {name: e, size: 5}],"
    " startStrategy: {autoStart: false, runStrategy: Manual}, osImage: o, sshKeySecret: k,"
    " cloudInitUser: {name: u}, networks: [{name: n0, type: sriov, nadName: nad, vlanId: 7, "
    "bridgeName: br,"
    " physicalInterface: eth0, primary: true, ipConfig: {mode: static, address: 10.0.0.1/8, "
    "gateway: 10.0.0.2,"
    " dnsServers: [1.1.1.1]}}],"
    " highAvailability: {restartPolicy: OnFailure, antiAffinity: true, nodeSelector: {k: "
    "v}, tolerations: [{key: t}]}}}";

static void test_decode_metadata(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    arena_init(&a, MIB);
    decode(&a, everything, &w);
    assert_string_equal(w.name, "w");
    assert_string_equal(w.generate_name, "w-");
    assert_string_equal(w.ns, "prod");
    assert_string_equal(w.uid, "u-1");
    assert_string_equal(w.resource_version, "5");
    assert_int_equal(w.generation, 3);
    assert_int_equal(w.created_ms, 1767323045000);
    assert_int_equal(w.deleted_ms, 1767323046000);
    assert_string_equal(wukong_pairs_get(&w.labels, "c"), "");
    assert_null(wukong_pairs_get(&w.labels, "x"));
    assert_string_equal(wukong_pairs_get(&w.annotations, WUKONG_RETRY_ANNOTATION), "x");
    assert_true(w.has_finalizer);
}

static void test_decode_source(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    arena_init(&a, MIB);
    decode(&a, everything, &w);
    const struct wukong_spec *s = &w.spec;
    assert_int_equal(s->source.type, SOURCE_VM);
    assert_string_equal(s->source.vm_name, "src");
    assert_string_equal(s->source.vmi_name, "i");
    assert_string_equal(s->source.ns, "ns");
    assert_int_equal(s->source.clone_type, CLONE_RUNNING);
    assert_int_equal(s->source.quiesce, QUIESCE_REQUIRED);
    assert_int_equal(s->source.method, METHOD_VOLUME_SNAPSHOT);
    assert_string_equal(s->source.snapshot_class, "vsc");
    assert_int_equal(s->source.stop_source_after, TRI_TRUE);
    assert_int_equal(s->source.allow_unsnapshottable, TRI_FALSE);
    assert_true(s->source.has_deadline && s->source.has_retry_limit && s->source.window.present);
    assert_int_equal(s->source.deadline_s, 60);
    assert_int_equal(s->source.retry_limit, 0);
    assert_string_equal(s->source.window.time_zone, "CET");
    assert_string_equal(s->source.window.duration, "1h");
    assert_int_equal(s->source.gate_count, 2);
    assert_string_equal(s->source.gates[1], "b");
    assert_int_equal(s->source.allow_secret_count, 2);
    assert_true(wukong_allows_secret(&s->source, "t"));
    assert_false(wukong_allows_secret(&s->source, "u"));
}

static void test_decode_machine(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    arena_init(&a, MIB);
    decode(&a, everything, &w);
    const struct wukong_spec *s = &w.spec;
    assert_true(s->has_cpu && s->has_replicas && s->source.present && s->ha.present);
    assert_int_equal(s->cpu, 4);
    assert_int_equal(s->memory_bytes, 4294967296);
    assert_int_equal(s->replicas, 3);
    assert_int_equal(s->reclaim, RECLAIM_RETAIN);
    assert_int_equal(s->disk_count, 2);
    assert_string_equal(s->disks[0].source_disk, "s");
    assert_int_equal(s->disks[0].size_bytes, 1610612736);
    assert_int_equal(s->disks[0].boot, TRI_TRUE);
    assert_string_equal(s->disks[1].size, "5");
    assert_int_equal(s->start.auto_start, TRI_FALSE);
    assert_int_equal(s->start.run_strategy, RUN_MANUAL);
    assert_string_equal(s->os_image, "o");
    assert_string_equal(s->ssh_key_secret, "k");
    assert_string_equal(s->cloud_init_user, "{\"name\":\"u\"}");
    assert_int_equal(s->network_count, 1);
    assert_int_equal(s->networks[0].type, NETWORK_SRIOV);
    assert_int_equal(s->networks[0].vlan_id, 7);
    assert_int_equal(s->networks[0].ip.mode, IP_STATIC);
    assert_string_equal(s->networks[0].ip.dns_servers[0], "1.1.1.1");
    assert_int_equal(s->ha.restart_policy, RESTART_ON_FAILURE);
    assert_string_equal(wukong_pairs_get(&s->ha.node_selector, "k"), "v");
    assert_string_equal(s->ha.tolerations, "[{\"key\":\"t\"}]");
}

static void test_effective_of_everything(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    arena_init(&a, MIB);
    decode(&a, everything, &w);
    struct wukong_effective e = wukong_resolve_defaults(&w.spec, w.ns);
    assert_true(e.is_clone && e.cross_namespace && e.stop_source_after && e.selective &&
                e.needs_snapshot);
    assert_false(e.auto_start || e.allow_unsnapshottable);
    assert_string_equal(e.source_name, "src");
    assert_string_equal(e.source_ns, "ns");
    assert_int_equal(e.deadline_s, 60);
    assert_int_equal(e.retry_limit, 0);
    assert_int_equal(e.run_strategy, RUN_MANUAL);
    assert_int_equal(e.not_before_ms, 1767323045000);
    assert_int_equal(e.replicas, 3);
}

static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        enum clone_type type;
        bool snapshot;
    } rows[] = {
        {CLONE(""), CLONE_RUNNING, true},
        {VM_CLONE(""), CLONE_FULL, false},
        {VM_CLONE(", cloneType: running"), CLONE_RUNNING, true},
        {CLONE(", cloneType: linked"), CLONE_LINKED, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_ARENA struct arena a;
        struct wukong w;
        arena_init(&a, MIB);
        decode(&a, rows[i].yaml, &w);
        struct wukong_effective e = wukong_resolve_defaults(&w.spec, w.ns);
        assert_int_equal(e.clone_type, rows[i].type);
        assert_int_equal(e.needs_snapshot, rows[i].snapshot);
        assert_string_equal(e.source_ns, "prod");
        assert_string_equal(e.source_name, "web");
        assert_int_equal(e.quiesce, QUIESCE_IF_AVAILABLE);
        assert_int_equal(e.method, METHOD_AUTO);
        assert_int_equal(e.deadline_s, 3600);
        assert_int_equal(e.retry_limit, 5);
        assert_int_equal(e.replicas, 1);
        assert_int_equal(e.run_strategy, RUN_ALWAYS);
        assert_int_equal(e.reclaim, RECLAIM_DELETE);
        assert_true(e.auto_start);
        assert_false(e.cross_namespace || e.selective || e.stop_source_after);
    }
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    arena_init(&a, MIB);
    decode(&a, CREATOR(""), &w);
    assert_false(wukong_resolve_defaults(&w.spec, w.ns).is_clone);
}

/* Wrong types count as absent; a full arena is an error. */
static void test_decode_garbage(void **state)
{
    (void)state;
    static const char *const specs[] = {
        "{cpu: x, memory: [], replicas: {}, cloneSource: 5, disks: 3, networks: {a: b}, "
        "startStrategy: [],"
        " highAvailability: x, cloudInitUser: null, sshKeySecret: 5, reclaimPolicy: [1]}",
        "{cloneSource: {type: 5, vmName: [], gates: x, window: [], deadlineSeconds: soon, quiesce: "
        "{}}}",
        "{disks: [5, null, [], {name: 5, size: [], boot: maybe}], networks: [5, {ipConfig: 7, "
        "vlanId: x}]}",
        "{highAvailability: {nodeSelector: {a: 5}, tolerations: 5}, cloneSource: {gates: [5, a]}}",
    };
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        CLEANUP_JSON cJSON *spec = parse_yaml(specs[i]);
        for (size_t room = 1; room < 20000; room = room * 3 + 1) {
            CLEANUP_ARENA struct arena a;
            struct wukong_spec s;
            arena_init(&a, room);
            int result = wukong_decode_spec(&a, spec, &s, &err);
            if (room > 15000)
                assert_int_equal(result, 0);
            if (result == 0)
                (void)wukong_resolve_defaults(&s, "x");
            else
                assert_int_equal(err.kind, ERR_LIMIT);
        }
    }
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    arena_init(&a, MIB);
    CLEANUP_JSON cJSON *empty = parse_yaml("{metadata: 5}");
    assert_int_equal(wukong_decode(&a, empty, &w, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
}

static void test_child_names(void **state)
{
    (void)state;
    char name[NAME_BUF], other[NAME_BUF], pvc[PVC_NAME_BUF];
    name_vm("web", 1, 0, name);
    assert_string_equal(name, "web-vm");
    name_vm("web", 3, 2, name);
    assert_string_equal(name, "web-vm-2");
    name_pvc("web", 1, 0, "root", pvc);
    assert_string_equal(pvc, "web-root");
    name_pvc("web", 3, 2, "root", pvc);
    assert_string_equal(pvc, "web-vm-2-root");
    name_snapshot("src", "web", UID, 2, "root", name);
    assert_string_equal(name, "snapshot-src-web-12345678-2-root");
    name_snapshot("src", "web", UID, 2, NULL, name);
    assert_string_equal(name, "snapshot-src-web-12345678-2");

    /* Long ones are shortened, stay label values, and differ when anything differs. */
    char longest[64];
    memset(longest, 'a', 63);
    longest[63] = '\0';
    name_snapshot(longest, "web", UID, 1, "root", name);
    name_snapshot(longest, "web", UID, 2, "root", other);
    assert_int_equal(strlen(name), 63);
    assert_true(name_is_dns_label(name) && name_is_dns_label(other));
    assert_string_not_equal(name, other);
    assert_true(str_starts(name, "snapshot-aaa"));
    name_snapshot(longest, "web", UID, 1, "root2", other);
    assert_string_not_equal(name, other);
    /* The cut falls on a '-': it is not doubled, nor left before the hash. */
    name_snapshot("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "w",
                  UID, 1, "d", name);
    assert_true(name_is_dns_label(name));
    name_vm("a12345678901234567890123456789012345678901234567890123456789abcdef", 1, 0, name);
    assert_int_equal(strlen(name), 63);

    name_shorten("web", name);
    assert_string_equal(name, "web");
    name_shorten("Web_1.x/y", name);
    assert_true(name_is_dns_label(name) && str_starts(name, "web-1-x-y-"));
    name_shorten("", name);
    assert_true(name_is_dns_label(name));
    name_shorten("___", name);
    assert_true(name_is_dns_label(name));

    name_hostname("web-vm", name);
    assert_string_equal(name, "web-vm");
    name_hostname("web.example.com", name);
    assert_string_equal(name, "web");
    char host[80] = "a1234567890123456789012345678901234567890123456789012345678901-bcd";
    name_hostname(host, name);
    assert_int_equal(strlen(name), 62);
}

/* Known answer: Python's uuid.uuid5(uuid.UUID(UID), "firmware-uuid/0"). */
static void test_identity(void **state)
{
    (void)state;
    char mac[MAC_TEXT], mac2[MAC_TEXT], uuid[UUID_TEXT], uuid2[UUID_TEXT];
    unsigned first;
    identity_mac(UID, 0, 0, mac);
    identity_mac(UID, 0, 0, mac2);
    assert_string_equal(mac, mac2);
    assert_int_equal(strlen(mac), 17);
    assert_int_equal(sscanf(mac, "%2x", &first), 1);
    assert_int_equal(first & 3, 2);
    identity_mac(UID, 1, 0, mac2);
    assert_string_not_equal(mac, mac2);
    identity_mac(UID, 0, 1, mac2);
    assert_string_not_equal(mac, mac2);
    identity_firmware_uuid(UID, 0, uuid);
    assert_string_equal(uuid, "7efade19-f0de-5ba6-b499-c7b386cc18fe");
    identity_firmware_uuid(UID, 1, uuid2);
    assert_string_not_equal(uuid, uuid2);
    identity_firmware_serial(UID, 0, uuid2);
    assert_string_not_equal(uuid, uuid2);
    /* A UID that is no UUID (none is seen in Kubernetes) still gives one. */
    identity_firmware_uuid("not-a-uuid", 0, uuid);
    assert_int_equal(uuid[14], '5');
}

/* --- What the webhook writes --- */

static void write_field(cJSON *object, const char *key, const char *value)
{
    cJSON *source = (cJSON *)json_at(object, "spec.cloneSource");
    if (!value)
        return;
    cJSON_DeleteItemFromObjectCaseSensitive(source, key);
    cJSON_AddStringToObject(source, key, value);
}

/* What the webhook writes; and that it writes nothing more when it meets what it has written. */
static void test_source_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *object, *old, *clone_type, *ns; /* after; NULL: absent */
        bool written;
    } rows[] = {
        {CLONE(""), NULL, "running", "prod", true},
        {VM_CLONE(""), NULL, "full", "prod", true},
        {CLONE(", cloneType: linked"), NULL, "linked", "prod", true},
        {CLONE(", namespace: a"), NULL, "running", "a", true},
        {CLONE(", namespace: a, cloneType: linked"), NULL, "linked", "a", false},
        {CLONE(", cloneType: null, namespace: null"), NULL, "running", "prod", true},
        {CLONE(""), CLONE(", cloneType: linked, namespace: b"), "linked", "b", true},
        {CLONE(", cloneType: null"), CLONE(", cloneType: linked, namespace: b"), "linked", "b",
         true},
        {CLONE(""), CLONE(""), NULL, NULL, false},
        {CLONE(""), CREATOR(""), NULL, NULL, false}, /* refused: a source cannot be added */
        {CREATOR(""), NULL, NULL, NULL, false},
        {WUKONG("{cloneSource: {type: robot}}"), NULL, NULL, "prod", true},
        {WUKONG("{cloneSource: 5}"), NULL, NULL, NULL, false},
        {WUKONG("{cloneSource: {cloneType: 5, type: [], namespace: {}}}"), NULL, NULL, NULL, false},
        {"[]", NULL, NULL, NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *object = parse_yaml(rows[i].object);
        CLEANUP_JSON cJSON *old = parse_yaml(rows[i].old);
        struct source_defaults d = wukong_source_defaults(object, old, "prod");
        if ((d.clone_type || d.ns) != rows[i].written)
            fail_msg("row %zu: %s %s", i, str_or(d.clone_type, "-"), str_or(d.ns, "-"));
        write_field(object, "cloneType", d.clone_type);
        write_field(object, "namespace", d.ns);
        if (rows[i].written) {
            assert_string_equal(str_or(json_str(object, "spec.cloneSource.cloneType"), "-"),
                                str_or(rows[i].clone_type, "-"));
            assert_string_equal(str_or(json_str(object, "spec.cloneSource.namespace"), "-"),
                                str_or(rows[i].ns, "-"));
        }
        d = wukong_source_defaults(object, old, "prod");
        assert_true(!d.clone_type && !d.ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_metadata), cmocka_unit_test(test_decode_source),
        cmocka_unit_test(test_decode_machine),  cmocka_unit_test(test_effective_of_everything),
        cmocka_unit_test(test_defaults),        cmocka_unit_test(test_decode_garbage),
        cmocka_unit_test(test_child_names),     cmocka_unit_test(test_identity),
        cmocka_unit_test(test_source_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
