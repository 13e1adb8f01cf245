/*
 * Proves, row by row, what facts of the source and the cluster refuse, what they only warn of, and
 * which disks and methods come out. Sources are written as KubeVirt 1.9 serves them.
 */
#include "rows_source.h"
#include "wukong/rules/rules.h"
#include "wukong/source/disks.h"

struct scene {
    struct arena a;
    struct wukong w;
    struct wukong_effective e;
    struct source_facts s;
    struct class_facts c;
    struct claim_facts claims[8];
};

static void scene_make(struct scene *x, const struct source_row *r)
{
    CLEANUP_JSON cJSON *wukong = parse_yaml(r->wukong);
    CLEANUP_JSON cJSON *vm = parse_yaml(r->vm);
    CLEANUP_JSON cJSON *vmi = parse_yaml(r->vmi);
    CLEANUP_JSON cJSON *pvc = parse_yaml(r->pvc);
    const char *names[8];
    struct err err;
    arena_init(&x->a, MIB);
    assert_int_equal(wukong_decode(&x->a, wukong, &x->w, &err), 0);
    x->e = wukong_resolve_defaults(&x->w.spec, x->w.ns);
    x->c = cluster(r->cluster);
    facts_read_source(&x->a, vm, vmi, &x->s);
    facts_read_differences(&x->a, vm, vmi, &x->w.spec, x->e.cross_namespace, &x->s);
    x->s.claim_count = facts_claim_names(&x->s, names, ARRAY_LEN(names));
    x->s.claims = x->claims;
    for (size_t i = 0; i < x->s.claim_count; i++)
        facts_read_claim(&x->a, names[i], pvc, &x->claims[i]);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(source_rows); i++) {
        const struct source_row *r = &source_rows[i];
        struct scene x;
        CLEANUP_FINDINGS struct findings l;
        findings_init(&l);
        scene_make(&x, r);
        validate_source(&x.w, &x.e, &x.s, &x.c, &l);
        check_messages(&l);
        /* "Nothing is found" allows the warnings that a selection brings. */
        bool found = !r->rule && l.errors == 0;
        for (size_t k = 0; r->rule && k < l.count; k++) {
            const struct finding *e = &l.items[k];
            found = found ||
                    (str_eq(e->rule->id, r->rule) && str_eq(e->field, r->field) &&
                     (!r->word || strstr(e->message, r->word)) && e->severity == e->rule->severity);
        }
        /* No row has an error of another rule than its own. */
        for (size_t k = 0; k < l.count; k++)
            found = found && (l.items[k].severity == FINDING_WARNING ||
                              str_eq(l.items[k].rule->id, r->rule));
        arena_release(&x.a);
        if (!found) {
            print_findings(&l);
            fail_msg("row %zu: %s", i, r->wukong);
        }
    }
}

static void test_every_rule_has_a_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < rule_count(); i++) {
        bool found = rule_at(i)->group != RULE_SOURCE;
        for (size_t k = 0; k < ARRAY_LEN(source_rows); k++)
            found = found || str_eq(source_rows[k].rule, rule_at(i)->id);
        if (!found)
            fail_msg("rule %s has no row", rule_at(i)->id);
    }
}

/* What refuses a source is also met by a clone that is stored already, and what only warns may hold
   it: the table says which, so that nobody keeps a list of ids. */
static void test_rules_say_what_becomes_of_the_clone(void **state)
{
    (void)state;
    static const char *const waiting[] = {
        "source-missing",      "source-not-running", "source-running",  "source-paused",
        "source-migrating",    "source-busy",        "source-no-agent", "disk-claim-missing",
        "disk-claim-deleting", "disk-claim-unbound", "cut-slow",        "cut-unfrozen",
    };
    size_t waits = 0;
    for (size_t i = 0; i < rule_count(); i++) {
        const struct rule *r = rule_at(i);
        bool refuses = r->group == RULE_SOURCE && r->severity == FINDING_ERROR;
        if ((r->reason != REASON_NONE) != refuses)
            fail_msg("rule %s has reason \"%s\"", r->id, reason_table[r->reason].name);
        if (r->waits == RULE_GOES_ON)
            continue;
        assert_int_equal(r->severity, FINDING_WARNING);
        assert_string_equal(r->id, waiting[waits++]);
        assert_int_equal(r->waits == RULE_WAITS_TO_QUIESCE, str_eq(r->id, "source-paused"));
    }
    assert_int_equal(waits, ARRAY_LEN(waiting));
}

/* A need is told once (a Secret that is left out: once for each place), an optional one and one of
   a named namespace not at all; within one namespace nothing is missing, and networks of the
   Wukong's own replace the source's. */
static void test_needs(void **state)
{
    (void)state;
    static const struct {
        const char *wukong;
        const char *told;
    } table[] = {
        {FROM_ELSEWHERE(""),
         "ConfigMap c-1,-Secret s-1,-Secret s-1,-Secret s-2,NetworkAttachmentDefinition lan,"},
        {FROM_ELSEWHERE(", networks: [{name: default}]"),
         "ConfigMap c-1,-Secret s-1,-Secret s-1,-Secret s-2,"},
        {FROM_ELSEWHERE_ALLOWING("[s-1]"),
         "ConfigMap c-1,Secret s-1,-Secret s-2,NetworkAttachmentDefinition lan,"},
        {FROM_ELSEWHERE_ALLOWING("[s-1, s-2]"),
         "ConfigMap c-1,Secret s-1,Secret s-2,NetworkAttachmentDefinition lan,"},
        {CLONE(""), ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct source_row r = {
            table[i].wukong, VM_RUNNING, VMI(NEEDY, RUNNING), OK_PVC, NORMAL, NULL, NULL, NULL};
        struct scene x;
        char told[512] = "";
        CLEANUP_FINDINGS struct findings l;
        findings_init(&l);
        scene_make(&x, &r);
        validate_source(&x.w, &x.e, &x.s, &x.c, &l);
        for (size_t k = 0; k < l.count; k++) {
            char kind[64], name[64];
            if (str_eq(l.items[k].rule->id, "source-needs") &&
                sscanf(l.items[k].message, "the new VM needs %63s \"%63[^\"]\"", kind, name) == 2)
                snprintf(told + strlen(told), sizeof told - strlen(told), "%s %s,", kind, name);
            if (str_eq(l.items[k].rule->id, "source-secret") &&
                sscanf(l.items[k].message, "%63s \"%63[^\"]\"", kind, name) == 2)
                snprintf(told + strlen(told), sizeof told - strlen(told), "-%s %s,", kind, name);
        }
        arena_release(&x.a);
        assert_string_equal(told, table[i].told);
    }
}

/* --- Methods --- */

#define LATE ", storageClassName: late"
#define STARTED_LATE                                                                               \
    WUKONG("{cloneSource: {type: vm, vmName: web}, disks: [{name: root" LATE "}, {name: data}]}")

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
        {CLONE(", snapshotMethod: VirtualMachineSnapshot, namespace: other"), NORMAL,
         DISK_HANDLE_COPY},
        {VM_CLONE(""), NORMAL, DISK_CSI_CLONE},
        {VM_CLONE(""), WITH_CDI, DISK_CDI_CLONE},
        {VM_CLONE(""), NO_CLASS, DISK_CSI_CLONE},
        {VM_CLONE(""), NO_CLONING, DISK_RESTORE},
        {VM_CLONE(""), NO_CLONING_NO_CLASS, DISK_CSI_CLONE},
        {VM_CLONE(""), NO_CLONING_CDI, DISK_CDI_CLONE},
        {VM_CLONE(", namespace: other"), NORMAL, DISK_HANDLE_COPY},
        {VM_CLONE(", namespace: other"), WITH_CDI, DISK_CDI_CLONE},
        /* Filled when somebody starts it: from a fixed point in time, or at once. */
        {NOT_STARTED("", ""), NORMAL, DISK_CSI_CLONE},
        {NOT_STARTED(LATE, ""), NORMAL, DISK_RESTORE},
        {NOT_STARTED(LATE, ""), NO_CLONING, DISK_RESTORE},
        {NOT_STARTED(LATE, ""), NO_CLASS, DISK_METHOD_NONE},
        {NOT_STARTED(LATE, ""), WITH_CDI, DISK_RESTORE},
        {NOT_STARTED(LATE, ", namespace: other"), NORMAL, DISK_HANDLE_COPY},
        {NOT_STARTED(LATE, ", namespace: other"), WITH_CDI, DISK_CDI_SNAPSHOT},
        {NOT_STARTED(", storageClassName: slowlate", ""), WITH_CDI, DISK_CDI_SNAPSHOT},
        {NOT_STARTED(LATE, ""), CDI_NO_CLASS, DISK_CDI_CLONE},
        {STARTED_LATE, NORMAL, DISK_CSI_CLONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct source_row r = {table[i].wukong,  VM_HALTED, VMI_RUNNING, OK_PVC,
                               table[i].cluster, NULL,      NULL,        NULL};
        struct scene x;
        struct disks d;
        CLEANUP_FINDINGS struct findings l;
        findings_init(&l);
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
    struct source_row r = {CLONE_AND("disks: [{name: db, sourceDisk: data, size: 20Gi}]"),
                           VM_RUNNING,
                           VMI_RUNNING,
                           OK_PVC,
                           NORMAL,
                           NULL,
                           NULL,
                           NULL};
    struct scene x;
    struct disks d;
    CLEANUP_FINDINGS struct findings l;
    findings_init(&l);
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

/* The claim below an ephemeral volume is a disk of the clone: listed, or by default. */
static void test_overlay(void **state)
{
    (void)state;
    static const char *const wukongs[] = {CLONE(""), VM_CLONE(""), FROM_ELSEWHERE(""),
                                          CLONE_AND("disks: [{name: os}]")};
    for (size_t i = 0; i < ARRAY_LEN(wukongs); i++) {
        struct source_row r = {wukongs[i],
                               VM(VM_META, "runStrategy: Always", OVERLAY, OVERLAY_STATUS),
                               VMI(OVERLAY, RUNNING),
                               OK_PVC,
                               NORMAL,
                               NULL,
                               NULL,
                               NULL};
        struct scene x;
        struct disks d;
        CLEANUP_FINDINGS struct findings l;
        findings_init(&l);
        scene_make(&x, &r);
        disks_resolve(&x.a, &x.w, &x.e, &x.s, &x.c, &l, &d);
        assert_int_equal(l.errors, 0);
        assert_int_equal(d.count, i == 3 ? 1 : 2);
        assert_string_equal(d.items[0].claim, "golden");
        assert_true(d.items[0].boot);
        assert_int_not_equal(d.items[0].method, DISK_METHOD_NONE);
        arena_release(&x.a);
    }
}

static void test_facts(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    struct source_facts s;
    arena_init(&a, MIB);
    CLEANUP_JSON cJSON *vm = parse_yaml(VM(VM_META, "runStrategy: Manual, instancetype: {name: x}",
                                           PLAIN, "snapshotInProgress: snap-1"));
    CLEANUP_JSON cJSON *vmi = parse_yaml(VMI(
        PLAIN ", architecture: amd64", VMI_STATUS("Running", AGENT, ", fsFreezeStatus: frozen")));
    facts_read_source(&a, vm, vmi, &s);
    assert_true(s.machine.vm_exists && s.machine.vmi_exists && s.instancetype && s.machine.agent);
    assert_string_equal(s.machine.vm_uid, "v-1");
    assert_string_equal(s.machine.vmi_uid, "i-1");
    assert_string_equal(s.vm_run_strategy, "Manual");
    assert_string_equal(s.machine.freeze_status, "frozen");
    assert_string_equal(s.machine.holds.snapshot, "snap-1");
    assert_string_equal(s.node_arch, "amd64");
    assert_int_equal(s.volume_count, 3);
    assert_true(facts_volume(&s, "root")->boot);
    assert_false(facts_volume(&s, "data")->boot);
    assert_string_equal(facts_volume(&s, "ci")->type->member, "cloudInitNoCloud");
    assert_null(facts_volume(&s, "none"));

    CLEANUP_JSON cJSON *sc = parse_yaml(
        "{metadata: {name: s, annotations: {storageclass.kubernetes.io/is-default-class: "
        "\"true\"}},"
        " provisioner: p, allowVolumeExpansion: true, volumeBindingMode: WaitForFirstConsumer}");
    struct storage_class_facts storage_class;
    facts_read_storage_class(&a, sc, &storage_class);
    assert_true(storage_class.is_default && storage_class.expansion &&
                storage_class.wait_for_first_consumer);
    assert_string_equal(storage_class.provisioner, "p");
    CLEANUP_JSON cJSON *vsc =
        parse_yaml("{metadata: {name: v, annotations: "
                   "{snapshot.storage.kubernetes.io/is-default-class: \"false\"}},"
                   " driver: d, deletionPolicy: Retain}");
    struct snapshot_class_facts class;
    facts_read_snapshot_class(&a, vsc, false, &class);
    assert_true(class.retain && !class.is_default);
    CLEANUP_JSON cJSON *sp =
        parse_yaml("{metadata: {name: s}, spec: {snapshotClass: a}, status: {snapshotClass: b}}");
    struct storage_profile_facts profile;
    facts_read_storage_profile(&a, sp, &profile);
    assert_string_equal(profile.snapshot_class, "b");
    /* CDI leaves claimPropertySets out of the profile of a driver that it does not know. */
    assert_false(profile.knows_modes);
    CLEANUP_JSON cJSON *known = parse_yaml(
        "{metadata: {name: s}, status: {claimPropertySets: [{accessModes: [ReadWriteOnce]}]}}");
    facts_read_storage_profile(&a, known, &profile);
    assert_true(profile.knows_modes);
    struct class_facts classes = {.profiles = &profile, .profile_count = 1};
    assert_true(facts_knows_modes(&classes, "s"));
    assert_false(facts_knows_modes(&classes, "t"));
    assert_false(facts_knows_modes(&classes, NULL));
    struct claim_facts claim;
    CLEANUP_JSON cJSON *pvc =
        parse_yaml("{metadata: {annotations: {volume.beta.kubernetes.io/storage-provisioner: p}},"
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
            CLEANUP_FINDINGS struct findings l;
            findings_init(&l);
            arena_init(&x.a, MIB);
            CLEANUP_JSON cJSON *w = parse_yaml(CLONE(""));
            struct err err;
            assert_int_equal(wukong_decode(&x.a, w, &x.w, &err), 0);
            x.e = wukong_resolve_defaults(&x.w.spec, "prod");
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
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_rule_has_a_row),
        cmocka_unit_test(test_rules_say_what_becomes_of_the_clone),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_damaged_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
