/*
 * Proves, row by row, what facts of the source and the cluster refuse, what they only warn of, and
 * which disks and methods come out. Sources are written as KubeVirt 1.9 serves them.
 */
#include "support.h"
#include "wukong/disks.h"
#include "wukong/rules.h"

/* --- Parts of a source --- */

#define VOLUMES                                                                                    \
    "volumes: [{name: root, persistentVolumeClaim: {claimName: web-root}},"                        \
    " {name: data, dataVolume: {name: web-data}}, {name: ci, cloudInitNoCloud: {userData: x}}]"
#define DOMAIN(more) "domain: {devices: {disks: [{name: root, bootOrder: 2}, {name: data}]" more "}}"
#define VMI_META "metadata: {name: web, namespace: prod, uid: i-1}"
#define VMI_STATUS(phase, conditions, more)                                                        \
    "status: {phase: " phase ", conditions: [" conditions "]" more "}"
#define AGENT "{type: AgentConnected, status: \"True\"}"
#define RUNNING VMI_STATUS("Running", AGENT, "")
#define VMI(spec, status) "{" VMI_META ", spec: {" spec "}, " status "}"
#define VM_META "metadata: {name: web, namespace: prod, uid: v-1}"
#define VM(meta, strategy, spec, status)                                                           \
    "{" meta ", spec: {" strategy ", template: {spec: {" spec "}}}, status: {" status "}}"
#define PLAIN VOLUMES ", " DOMAIN("")
#define VM_RUNNING VM(VM_META, "runStrategy: Always", PLAIN, "")
#define VM_HALTED VM(VM_META, "runStrategy: Halted", PLAIN, "")
#define VMI_RUNNING VMI(PLAIN, RUNNING)
#define UNSNAPSHOTTABLE                                                                            \
    "volumeSnapshotStatuses: [{name: root, enabled: true}, {name: data, enabled: false, reason: "  \
    "no class}, {name: ci, enabled: false, reason: not supported}]"

#define PVC(more)                                                                                  \
    "{spec: {storageClassName: fast, volumeMode: Block, accessModes: [ReadWriteOnce], resources: " \
    "{requests: {storage: 9Gi}}}, status: {phase: Bound, capacity: {storage: 10Gi}}" more "}"

/* --- Clusters --- */

static const struct storage_class_facts storage[] = {{"fast", "d.csi", true, true, false},
                                                     {"fixed", "d.csi", false, false, false},
                                                     {"slow", "e.csi", true, false, false},
                                                     {"local", "local", false, false, false}};
static const struct snapshot_class_facts snapshot[] = {{"snap", "d.csi", false, true}};
static const char *const drivers[] = {"d.csi", "e.csi"};

enum cluster { NORMAL, WITH_CDI, NO_CLASS, NO_API, NOT_CSI, UNKNOWN };

static struct class_facts cluster(enum cluster kind)
{
    struct class_facts c = {.looked_up = kind != UNKNOWN,
                            .snapshot_api = kind != NO_API,
                            .cdi = kind == WITH_CDI,
                            .drivers_known = true,
                            .storage_classes = storage,
                            .storage_class_count = ARRAY_LEN(storage),
                            .snapshot_classes = snapshot,
                            .snapshot_class_count = kind == NO_CLASS ? 0 : 1,
                            .drivers = drivers,
                            .driver_count = kind == NOT_CSI ? 0 : ARRAY_LEN(drivers)};
    return c;
}

/* --- Rows --- */

struct row {
    const char *wukong, *vm, *vmi, *pvc; /* pvc NULL: every claim is missing */
    enum cluster cluster;
    const char *rule; /* NULL: nothing at all is found */
    const char *field, *word;
};

#define OK_PVC PVC("")

/* clang-format off */
static const struct row rows[] = {
    {CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), NULL, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {VM_CLONE(", cloneType: running"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {VM_CLONE(""), VM_HALTED, NULL, OK_PVC, NORMAL, NULL, NULL, NULL},
    {VM_CLONE(", cloneType: linked"), VM_HALTED, NULL, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CREATOR(""), NULL, NULL, NULL, NORMAL, NULL, NULL, NULL},

    {CLONE(""), NULL, NULL, NULL, NORMAL, "source-missing", "spec.cloneSource.vmiName", "prod/web"},
    {CLONE(""), VM_HALTED, NULL, OK_PVC, NORMAL, "source-missing", "spec.cloneSource.vmiName", "VMI"},
    {VM_CLONE(""), NULL, NULL, NULL, NORMAL, "source-missing", "spec.cloneSource.vmName", "VM"},
    {VM_CLONE(""), "{metadata: {name: web, deletionTimestamp: x}}", NULL, OK_PVC, NORMAL, "source-deleting", "spec.cloneSource.vmName", "\"web\""},
    {CLONE(""), NULL, VMI(PLAIN, VMI_STATUS("Succeeded", "", "")), OK_PVC, NORMAL, "source-final", "spec.cloneSource.vmiName", "Succeeded"},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Failed", "", "")), OK_PVC, NORMAL, "source-not-running", "spec.cloneSource.vmiName", "Failed"},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Scheduling", "", "")), OK_PVC, NORMAL, "source-not-running", "spec.cloneSource.vmiName", "Scheduling"},
    {VM_CLONE(", cloneType: running"), VM_RUNNING, NULL, OK_PVC, NORMAL, "source-not-running", "spec.cloneSource.vmName", "no VMI"},
    {VM_CLONE(", cloneType: running"), VM_HALTED, NULL, OK_PVC, NORMAL, "source-will-start", "spec.cloneSource.vmName", "started"},
    {VM_CLONE(", cloneType: running"), VM(VM_META, "running: false", PLAIN, ""), NULL, OK_PVC, NORMAL, "source-will-start", "spec.cloneSource.vmName", NULL},
    {VM_CLONE(", cloneType: running"), VM("metadata: {name: web, annotations: {argocd.argoproj.io/tracking-id: x}}", "runStrategy: Halted", PLAIN, ""), NULL, OK_PVC, NORMAL, "source-gitops", "spec.cloneSource.vmName", "Manual"},
    {VM_CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "source-running", "spec.cloneSource.vmName", "stop it"},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "{type: Paused, status: \"True\"}", "")), OK_PVC, NORMAL, "source-paused", "spec.cloneSource.vmiName", NULL},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", ", migrationState: {completed: false}")), OK_PVC, NORMAL, "source-migrating", "spec.cloneSource.vmiName", NULL},
    {CLONE(", quiesce: Required"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", "")), OK_PVC, NORMAL, "source-no-agent", "spec.cloneSource.quiesce", "agent"},
    {CLONE(", quiesce: Never"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "{type: Paused, status: \"True\"}", ", migrationState: {completed: true}")), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), VM_RUNNING, VMI(VOLUMES ", domain: {devices: {tpm: {persistent: true}}}", RUNNING), OK_PVC, NORMAL, "source-tpm", "spec.cloneSource.vmiName", "TPM"},
    {CLONE(""), VM_RUNNING, VMI(VOLUMES ", domain: {firmware: {bootloader: {efi: {persistent: true}}}}", RUNNING), OK_PVC, NORMAL, "source-efi", "spec.cloneSource.vmiName", "EFI"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: h, hostDisk: {path: /x}}]", RUNNING), OK_PVC, NORMAL, "source-host-disk", "spec.cloneSource.vmiName", ": h;"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: c, containerDisk: {image: x}}]", RUNNING), OK_PVC, NORMAL, "source-no-disks", "spec.cloneSource.vmiName", NULL},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), NULL, VMI_RUNNING, OK_PVC, NORMAL, "vmsnapshot-standalone", "spec.cloneSource.snapshotMethod", NULL},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},

    {CLONE_AND("disks: [{name: rot}, {name: data}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-missing", "spec.disks[0].name", "did you mean \"root\"?"},
    {CLONE_AND("disks: [{name: x, sourceDisk: nope}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-missing", "spec.disks[0].sourceDisk", "\"root\", \"data\""},
    {CLONE_AND("disks: [{name: ci}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-no-data", "spec.disks[0].name", "cloudInitNoCloud"},
    {CLONE_AND("disks: [{name: root}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-left-out", "spec.disks", "\"data\""},
    {CLONE(""), VM_RUNNING, VMI_RUNNING, NULL, NORMAL, "disk-claim-missing", "spec.cloneSource", "web-root"},
    {CLONE(""), VM_RUNNING, VMI_RUNNING, PVC(", metadata: {deletionTimestamp: x}"), NORMAL, "disk-claim-deleting", "spec.cloneSource", "web-data"},
    {CLONE_AND("disks: [{name: root}, {name: data, size: 9Gi}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-shrink", "spec.disks[1].size", "10Gi"},
    {CLONE_AND("disks: [{name: root}, {name: data, size: 10240Mi}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("disks: [{name: root}, {name: data, size: 11Gi}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("disks: [{name: root}, {name: data, size: 11Gi, storageClassName: fixed}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-expansion", "spec.disks[1].size", "fixed"},
    {CLONE_AND("disks: [{name: root}, {name: data, storageClassName: fst}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-class-missing", "spec.disks[1].storageClassName", "did you mean \"fast\"?"},
    {CLONE_AND("disks: [{name: root}, {name: data, storageClassName: slow}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-driver", "spec.disks[1].storageClassName", "e.csi"},
    {CLONE_AND("disks: [{name: root}, {name: data, storageClassName: slow}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, WITH_CDI, NULL, NULL, NULL},
    {WUKONG("{cloneSource: {type: vmi, vmiName: web, cloneType: linked}, disks: [{name: root}, {name: data, storageClassName: slow}]}"), VM_RUNNING, VMI_RUNNING, OK_PVC, WITH_CDI, "disk-driver", "spec.disks[1].storageClassName", "d.csi"},
    {WUKONG("{cloneSource: {type: vm, vmName: web}, disks: [{name: root}, {name: data, storageClassName: slow}]}"), VM_HALTED, NULL, OK_PVC, NORMAL, "disk-driver", "spec.disks[1].storageClassName", "CDI"},
    {VM_CLONE(", namespace: prod"), VM_HALTED, NULL, OK_PVC, NOT_CSI, "disk-method", "spec.cloneSource", "d.csi"},

    {CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_CLASS, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "d.csi"},
    {CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_API, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "snapshot.storage.k8s.io"},
    {CLONE(", volumeSnapshotClassName: nope"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "snap"},
    {CLONE(", allowUnsnapshottable: true, volumeSnapshotClassName: nope"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "snap"},
    {CLONE(", allowUnsnapshottable: true"), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_CLASS, "source-no-disks", "spec.cloneSource.vmiName", NULL},
    {CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, UNKNOWN, NULL, NULL, NULL},
    {CLONE(""), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, "disk-unsnapshottable", "spec.cloneSource", "no class"},
    {CLONE(""), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, UNKNOWN, "disk-unsnapshottable", "spec.cloneSource", "no class"},
    {CLONE(", volumeSnapshotClassName: snap"), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, "disk-unsnapshottable", "spec.cloneSource", NULL},
    {CLONE(", allowUnsnapshottable: true"), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, "disk-left-out", "spec.disks", "no class"},
    {"{metadata: {name: a12345678901234567890123456789012345678901234567890123456789, namespace: prod}, spec: {cloneSource: {type: vmi, vmiName: web}}}", VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "name-length-source-disk", "metadata.name", "-root"},
};
/* clang-format on */

struct scene {
    struct arena a;
    struct wukong w;
    struct wukong_effective e;
    struct source_facts s;
    struct class_facts c;
    struct claim_facts claims[8];
};

static void scene_make(struct scene *x, const struct row *r)
{
    CLEANUP_JSON cJSON *wukong = parse_yaml(r->wukong);
    CLEANUP_JSON cJSON *vm = parse_yaml(r->vm);
    CLEANUP_JSON cJSON *vmi = parse_yaml(r->vmi);
    CLEANUP_JSON cJSON *pvc = parse_yaml(r->pvc);
    const char *names[8];
    struct err err;
    arena_init(&x->a, MIB);
    assert_int_equal(wukong_decode(&x->a, wukong, &x->w, &err), 0);
    x->e = wukong_default(&x->w.spec, x->w.ns);
    x->c = cluster(r->cluster);
    facts_read_source(&x->a, vm, vmi, &x->s);
    x->s.claim_count = facts_claim_names(&x->s, names, ARRAY_LEN(names));
    x->s.claims = x->claims;
    for (size_t i = 0; i < x->s.claim_count; i++)
        facts_read_claim(&x->a, names[i], pvc, &x->claims[i]);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct scene x;
        CLEANUP_ISSUES struct issues l;
        issues_init(&l);
        scene_make(&x, r);
        validate_source(&x.w, &x.e, &x.s, &x.c, &l);
        check_messages(&l);
        /* "Nothing is found" allows the warnings that a selection brings. */
        bool found = !r->rule && l.errors == 0;
        for (size_t k = 0; r->rule && k < l.count; k++) {
            const struct issue *e = &l.items[k];
            found = found || (str_eq(e->rule->id, r->rule) && str_eq(e->field, r->field) &&
                              (!r->word || strstr(e->message, r->word)) &&
                              e->severity == e->rule->severity);
        }
        /* No row has an error of another rule than its own. */
        for (size_t k = 0; k < l.count; k++)
            found = found && (l.items[k].severity == ISSUE_WARNING || str_eq(l.items[k].rule->id, r->rule));
        arena_release(&x.a);
        if (!found) {
            print_issues(&l);
            fail_msg("row %zu: %s", i, r->wukong);
        }
    }
}

static void test_every_rule_has_a_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < rule_count; i++) {
        bool found = rules[i].group != RULE_SOURCE;
        for (size_t k = 0; k < ARRAY_LEN(rows); k++)
            found = found || str_eq(rows[k].rule, rules[i].id);
        if (!found)
            fail_msg("rule %s has no row", rules[i].id);
    }
}

/* --- Methods --- */

static void test_methods(void **state)
{
    (void)state;
    static const struct {
        const char *wukong;
        enum cluster cluster;
        enum disk_method method;
    } table[] = {
        {CLONE(""), NORMAL, DISK_RESTORE},
        {CLONE(""), WITH_CDI, DISK_RESTORE},
        {CLONE(", cloneType: linked"), WITH_CDI, DISK_RESTORE},
        {CLONE(", namespace: other"), NORMAL, DISK_HANDLE_COPY},
        {CLONE(", namespace: other"), WITH_CDI, DISK_CDI_SNAPSHOT},
        {CLONE(", namespace: other, cloneType: linked"), WITH_CDI, DISK_HANDLE_COPY},
        {CLONE(", snapshotMethod: VirtualMachineSnapshot"), NORMAL, DISK_RESTORE},
        {VM_CLONE(""), NORMAL, DISK_CSI_CLONE},
        {VM_CLONE(""), WITH_CDI, DISK_CDI_CLONE},
        {VM_CLONE(""), NO_CLASS, DISK_CSI_CLONE},
        {VM_CLONE(", namespace: other"), NORMAL, DISK_HANDLE_COPY},
        {VM_CLONE(", namespace: other"), WITH_CDI, DISK_CDI_CLONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct row r = {table[i].wukong, VM_HALTED, VMI_RUNNING, OK_PVC, table[i].cluster, NULL, NULL, NULL};
        struct scene x;
        struct disks d;
        CLEANUP_ISSUES struct issues l;
        issues_init(&l);
        scene_make(&x, &r);
        disks_resolve(&x.a, &x.w, &x.e, &x.s, &x.c, &l, &d);
        if (d.count != 2 || d.items[0].method != table[i].method)
            fail_msg("%s: %s", table[i].wukong, disk_method_names[d.count ? d.items[0].method : 0]);
        arena_release(&x.a);
    }
}

/* What the plan holds, from a selection with a rename. */
static void test_plan(void **state)
{
    (void)state;
    struct row r = {CLONE_AND("disks: [{name: db, sourceDisk: data, size: 20Gi}]"), VM_RUNNING,
                    VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL};
    struct scene x;
    struct disks d;
    CLEANUP_ISSUES struct issues l;
    issues_init(&l);
    scene_make(&x, &r);
    disks_resolve(&x.a, &x.w, &x.e, &x.s, &x.c, &l, &d);
    assert_int_equal(d.count, 1);
    assert_string_equal(d.items[0].name, "db");
    assert_string_equal(d.items[0].volume, "data");
    assert_string_equal(d.items[0].claim, "web-data");
    assert_string_equal(d.items[0].storage_class, "fast");
    assert_string_equal(d.items[0].driver, "d.csi");
    assert_string_equal(d.items[0].snapshot_class, "snap");
    assert_true(d.items[0].snapshot_class_retain);
    assert_string_equal(d.items[0].volume_mode, "Block");
    assert_string_equal(d.items[0].access_modes, "[\"ReadWriteOnce\"]");
    assert_int_equal(d.items[0].bytes, INT64_C(20) << 30);
    assert_int_equal(d.items[0].source_bytes, INT64_C(10) << 30);
    assert_false(d.items[0].boot);
    assert_int_equal(d.left_out_count, 1);
    assert_string_equal(d.left_out[0].volume, "root");
    assert_int_equal(d.left_out[0].why, LEFT_NOT_SELECTED);
    arena_release(&x.a);
}

static void test_facts(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    struct source_facts s;
    arena_init(&a, MIB);
    CLEANUP_JSON cJSON *vm = parse_yaml(VM(VM_META, "runStrategy: Manual, instancetype: {name: x}", PLAIN,
                                           "snapshotInProgress: snap-1"));
    CLEANUP_JSON cJSON *vmi = parse_yaml(VMI(PLAIN ", architecture: amd64",
        VMI_STATUS("Running", AGENT, ", fsFreezeStatus: frozen")));
    facts_read_source(&a, vm, vmi, &s);
    assert_true(s.vm_exists && s.vmi_exists && s.instancetype && s.agent_connected);
    assert_string_equal(s.vm_uid, "v-1");
    assert_string_equal(s.vmi_uid, "i-1");
    assert_string_equal(s.vm_run_strategy, "Manual");
    assert_string_equal(s.freeze_status, "frozen");
    assert_string_equal(s.snapshot_in_progress, "snap-1");
    assert_string_equal(s.node_arch, "amd64");
    assert_int_equal(s.volume_count, 3);
    assert_true(facts_volume(&s, "root")->boot);
    assert_false(facts_volume(&s, "data")->boot);
    assert_int_equal(facts_volume(&s, "ci")->kind, VOLUME_CONFIG);
    assert_null(facts_volume(&s, "none"));

    CLEANUP_JSON cJSON *sc = parse_yaml("{metadata: {name: s, annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}},"
        " provisioner: p, allowVolumeExpansion: true, volumeBindingMode: WaitForFirstConsumer}");
    struct storage_class_facts storage_class;
    facts_read_storage_class(&a, sc, &storage_class);
    assert_true(storage_class.is_default && storage_class.expansion && storage_class.wait_for_first_consumer);
    assert_string_equal(storage_class.provisioner, "p");
    CLEANUP_JSON cJSON *vsc = parse_yaml("{metadata: {name: v, annotations: {snapshot.storage.kubernetes.io/is-default-class: \"false\"}},"
        " driver: d, deletionPolicy: Retain}");
    struct snapshot_class_facts class;
    facts_read_snapshot_class(&a, vsc, &class);
    assert_true(class.retain && !class.is_default);
    CLEANUP_JSON cJSON *sp = parse_yaml("{metadata: {name: s}, spec: {snapshotClass: a}, status: {snapshotClass: b}}");
    struct storage_profile_facts profile;
    facts_read_storage_profile(&a, sp, &profile);
    assert_string_equal(profile.snapshot_class, "b");
    struct claim_facts claim;
    CLEANUP_JSON cJSON *pvc = parse_yaml("{metadata: {annotations: {volume.beta.kubernetes.io/storage-provisioner: p}},"
        " spec: {resources: {requests: {storage: 5Gi}}}}");
    facts_read_claim(&a, "c", pvc, &claim);
    assert_string_equal(claim.provisioner, "p");
    assert_string_equal(claim.volume_mode, "Filesystem");
    assert_int_equal(claim.bytes, INT64_C(5) << 30);
    assert_false(claim.bound);
}

/* No tree of any shape is crashed on: each node of a good one replaced by each kind of value. */
static void damage(cJSON *node, cJSON *vm, cJSON *vmi, size_t *count)
{
    static const char *const values[] = {"null", "5", "\"x\"", "[]", "{}", "[5]", "true"};
    for (cJSON *child = node->child; child; child = child->next) {
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            cJSON saved = *child, *other = cJSON_Parse(values[i]);
            child->type = other->type;
            child->child = other->child;
            child->valuestring = other->valuestring;
            child->valuedouble = other->valuedouble;
            struct scene x = {0};
            CLEANUP_ISSUES struct issues l;
            issues_init(&l);
            arena_init(&x.a, MIB);
            CLEANUP_JSON cJSON *w = parse_yaml(CLONE(""));
            struct err err;
            assert_int_equal(wukong_decode(&x.a, w, &x.w, &err), 0);
            x.e = wukong_default(&x.w.spec, "prod");
            x.c = cluster(NORMAL);
            facts_read_source(&x.a, vm, vmi, &x.s);
            validate_source(&x.w, &x.e, &x.s, &x.c, &l);
            arena_release(&x.a);
            child->type = saved.type;
            child->child = saved.child;
            child->valuestring = saved.valuestring;
            child->valuedouble = saved.valuedouble;
            cJSON_Delete(other);
            (*count)++;
        }
        damage(child, vm, vmi, count);
    }
}

static void test_damaged_sources(void **state)
{
    (void)state;
    size_t count = 0;
    CLEANUP_JSON cJSON *vm = parse_yaml(VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE));
    CLEANUP_JSON cJSON *vmi = parse_yaml(VMI_RUNNING);
    damage(vm, vm, vmi, &count);
    damage(vmi, vm, vmi, &count);
    assert_true(count > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_every_rule_has_a_row),
        cmocka_unit_test(test_methods), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_facts),   cmocka_unit_test(test_damaged_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
