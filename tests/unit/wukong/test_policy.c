/*
 * Proves that ClonePolicies match, exclude, judge and limit as docs/admin/policy.md has it: every
 * matching policy counts, all failures are told, an unreadable one denies, what is unknown never
 * exempts.
 */
#include "support.h"
#include "wukong/policy/policy.h"

#define POLICY(spec)                                                                               \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: ClonePolicy, metadata: {name: p}, spec: " spec \
    "}"

/* 2026-01-01T12:00:00Z, a Thursday. */
#define NOW_MS INT64_C(1767268800000)

struct row {
    const char *policy, *wukong;
    enum policy_when when;
    int effect;       /* -1: no finding; else an enum policy_effect */
    const char *rule; /* NULL: does not match at all */
    const char *word;
};

static const struct wukong_pair prod[] = {{"env", "prod"}};
static const struct wukong_pair app[] = {{"app", "web"}};
static const struct wukong_pairs prod_labels = {(struct wukong_pair *)prod, 1};
static const struct wukong_pairs app_labels = {(struct wukong_pair *)app, 1};
static const char *const groups[] = {"developers", "system:authenticated"};

#define CROSS CLONE(", namespace: other")
#define WINDOW_OPEN "windows: [{schedule: \"0 10 * * *\", duration: 4h}]"
#define WINDOW_SHUT "windows: [{schedule: \"0 22 * * *\", duration: 6h, timeZone: Asia/Shanghai}]"

/* clang-format off */
static const struct row rows[] = {
    {POLICY("{}"), CLONE(""), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {cloneTypes: [full]}}"), CREATOR(""), POLICY_AT_ADMISSION, -1, NULL, NULL},
    {POLICY("{rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", "full"},
    {POLICY("{rules: {cloneTypes: [running, linked]}}"), CLONE(""), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {cloneTypes: [full]}, validationActions: [Warn]}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_WARN, "cloneTypes", NULL},
    {POLICY("{rules: {cloneTypes: [full]}, validationActions: [Audit]}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_AUDIT, "cloneTypes", NULL},
    {POLICY("{rules: {cloneTypes: [full]}, message: ask ops}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", "(ask ops)"},
    {POLICY("{rules: {placement: SameNamespace}}"), CROSS, POLICY_AT_ADMISSION, POLICY_DENY, "placement", "other"},
    {POLICY("{rules: {placement: Any}}"), CROSS, POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {quiesce: Required}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "quiesce", "Required"},
    {POLICY("{rules: {quiesce: Required}}"), VM_CLONE(""), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {quiesce: IfAvailable}}"), CLONE(", quiesce: Never"), POLICY_AT_ADMISSION, POLICY_DENY, "quiesce", "Never"},
    {POLICY("{rules: {maxReplicas: 2}}"), CLONE_AND("replicas: 3"), POLICY_AT_ADMISSION, POLICY_DENY, "maxReplicas", "at most 2"},
    {POLICY("{rules: {maxLifetime: 72h}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "maxLifetime", "set expires.after to at most 72h"},
    {POLICY("{rules: {maxLifetime: 72h}}"), CLONE_AND("expires: {after: 72h1s, action: Delete}"), POLICY_AT_EXECUTION, POLICY_DENY, "maxLifetime", "a shorter expires.after"},
    {POLICY("{rules: {maxLifetime: 72h}}"), CLONE_AND("expires: {after: 72h, action: Delete}"), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {maxLifetime: 72h}}"), CLONE_AND("expires: {at: 2099-01-01T00:00:00Z, action: Stop}"), POLICY_AT_ADMISSION, POLICY_DENY, "maxLifetime", "an earlier expires.at"},
    {POLICY("{rules: {isolation: Required}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "isolation", "set target.network.links to Down"},
    {POLICY("{rules: {isolation: Required}}"), CLONE_AND("target: {network: {links: Keep}}"), POLICY_AT_EXECUTION, POLICY_DENY, "isolation", NULL},
    {POLICY("{rules: {isolation: Required}}"), CLONE_AND("target: {network: {links: Down}}"), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {overrides: Forbidden}}"), CLONE_AND("target: {overrides: {template: {spec: {evictionStrategy: None}}}}"), POLICY_AT_ADMISSION, POLICY_DENY, "overrides", "remove it"},
    {POLICY("{rules: {overrides: Forbidden}}"), CLONE_AND("target: {overrides: {}}"), POLICY_AT_EXECUTION, -1, "-", NULL},
    {POLICY("{rules: {overrides: Forbidden}}"), CLONE(""), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {overridePaths: [template.spec.domain.cpu]}}"), CLONE_AND("target: {overrides: {template: {spec: {domain: {cpu: {model: x}}}}}}"), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {overridePaths: [template.spec.domain.cpu.model]}}"), CLONE_AND("target: {overrides: {template: {spec: {domain: {cpu: {model: x, dedicatedCpuPlacement: true}}}}}}"), POLICY_AT_EXECUTION, POLICY_DENY, "overridePaths", "template.spec.domain.cpu.dedicatedCpuPlacement"},
    {POLICY("{rules: {overridePaths: [template.spec.domain.cpu.model]}}"), CLONE_AND("target: {overrides: {template: {spec: {domain: {cpu: null}}}}}"), POLICY_AT_ADMISSION, POLICY_DENY, "overridePaths", "may not change template.spec.domain.cpu;"},
    {POLICY("{rules: {overridePaths: [template.spec.domain.cpu.model]}}"), CLONE_AND("target: {overrides: {template: {spec: {domain: {cpu: {}}}}}}"), POLICY_AT_ADMISSION, POLICY_DENY, "overridePaths", "may not change template.spec.domain.cpu;"},
    {POLICY("{rules: {overridePaths: [template.spec.nodeSelector]}}"), CLONE_AND("target: {overrides: {template: {spec: {nodeSelector: {a.b/c: d}, nodeSelectorX: 1}}}}"), POLICY_AT_ADMISSION, POLICY_DENY, "overridePaths", "template.spec.nodeSelectorX"},
    {POLICY("{rules: {requiredLabels: [team]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "requiredLabels", "label team; set it in target.labels"},
    {POLICY("{rules: {requiredLabels: [team]}}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_DENY, "requiredLabels", NULL},
    {POLICY("{rules: {requiredLabels: [team]}}"), CLONE_AND("target: {labels: {team: a}}"), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {requireSource: Exists}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "requireSource", "prod/web"},
    {POLICY("{rules: {requireSource: Running}}"), VM_CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "requireSource", "not running"},
    {POLICY("{rules: {requireSource: Exists}}"), VM_CLONE(""), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {requireSource: Running}}"), CLONE(""), POLICY_AT_EXECUTION, -1, "-", NULL},
    {POLICY("{rules: {storageClasses: [a, b]}}"), CLONE_AND("disks: [{name: d, storageClassName: c}]"), POLICY_AT_ADMISSION, POLICY_DENY, "storageClasses", "a, b"},
    {POLICY("{rules: {storageClasses: [a, b]}}"), CLONE_AND("disks: [{name: d, storageClassName: b}]"), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{rules: {volumeSnapshotClasses: [a]}}"), CLONE(", volumeSnapshotClassName: c"), POLICY_AT_ADMISSION, POLICY_DENY, "volumeSnapshotClasses", "use one of: a"},
    {POLICY("{rules: {maxDiskSize: 10Gi}}"), CLONE_AND("disks: [{name: d, size: 11Gi}]"), POLICY_AT_ADMISSION, POLICY_DENY, "maxDiskSize", "at most 10Gi"},
    {POLICY("{rules: {maxDiskSize: 10Gi}}"), CLONE_AND("disks: [{name: d, size: 10240Mi}]"), POLICY_AT_ADMISSION, -1, "-", NULL},

    {POLICY("{match: {subjects: [{kind: User, name: eve}]}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", NULL},
    {POLICY("{match: {subjects: [{kind: User, name: bob}]}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, -1, NULL, NULL},
    {POLICY("{match: {subjects: [{kind: Group, name: developers}]}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", NULL},
    {POLICY("{match: {subjects: [{kind: ServiceAccount, name: eve, namespace: x}]}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, -1, NULL, NULL},
    {POLICY("{match: {source: {namespaceSelector: {matchLabels: {env: prod}}}}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", NULL},
    {POLICY("{match: {source: {namespaceSelector: {matchLabels: {env: dev}}}}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, -1, NULL, NULL},
    {POLICY("{match: {source: {virtualMachineSelector: {matchLabels: {app: web}}}}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", NULL},
    {POLICY("{exclude: {subjects: [{kind: User, name: eve}]}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, -1, NULL, NULL},
    {POLICY("{exclude: {}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", NULL},
    {POLICY("{exclude: {source: {namespaceSelector: {matchLabels: {env: prod}}}}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, -1, NULL, NULL},
    /* The labels of the target namespace are not known here. */
    {POLICY("{match: {target: {namespaceSelector: {matchLabels: {a: b}}}}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", NULL},
    {POLICY("{exclude: {target: {namespaceSelector: {matchLabels: {a: b}}}}, rules: {cloneTypes: [full]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "cloneTypes", NULL},

    {POLICY("{rules: {cloneTypes: [ful]}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "broken", "cannot be read"},
    {POLICY("{match: {source: {namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}}}}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "broken", "admin"},
    {POLICY("{match: {source: {namespaceSelector: {matchLabels: {env: dev}}}}, rules: {cloneTypes: [ful]}}"), CLONE(""), POLICY_AT_ADMISSION, -1, NULL, NULL},
    {POLICY("[]"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "broken", NULL},

    {POLICY("{" WINDOW_OPEN "}"), CLONE(""), POLICY_AT_EXECUTION, -1, "-", NULL},
    {POLICY("{" WINDOW_SHUT "}"), CLONE(""), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{" WINDOW_SHUT "}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "windows", "2026-01-01T14:00:00Z"},
    {POLICY("{" WINDOW_SHUT ", outsideWindow: Deny}"), CLONE(""), POLICY_AT_ADMISSION, POLICY_DENY, "windows", "2026-01-01T14:00:00Z"},
    {POLICY("{" WINDOW_SHUT ", outsideWindow: Deny}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "windows", NULL},
    {POLICY("{" WINDOW_SHUT ", validationActions: [Warn]}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WARN, "windows", NULL},

    {POLICY("{limits: {concurrentPerCluster: 5}}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "concurrentPerCluster", "at most 5"},
    {POLICY("{limits: {concurrentPerCluster: 6}}"), CLONE(""), POLICY_AT_EXECUTION, -1, "-", NULL},
    {POLICY("{limits: {concurrentPerCluster: 5}}"), CLONE(""), POLICY_AT_ADMISSION, -1, "-", NULL},
    {POLICY("{limits: {concurrentPerSource: 4}}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "concurrentPerSource", NULL},
    {POLICY("{limits: {concurrentPerTargetNamespace: 3}}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "concurrentPerTargetNamespace", NULL},
    {POLICY("{limits: {concurrentPerStorageClass: 2}}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "concurrentPerStorageClass", NULL},
    {POLICY("{limits: {retainedSnapshotsPerSource: 1}}"), CLONE(", cloneType: linked"), POLICY_AT_EXECUTION, POLICY_WAIT, "retainedSnapshotsPerSource", NULL},
    {POLICY("{limits: {retainedSnapshotsPerSource: 1}}"), CLONE(""), POLICY_AT_EXECUTION, -1, "-", NULL},
    {POLICY("{limits: {storagePerTargetNamespace: 29Gi}}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "storagePerTargetNamespace", "may hold 29Gi and this one needs 10Gi"},
    {POLICY("{limits: {storagePerTargetNamespace: 30Gi}}"), CLONE(""), POLICY_AT_EXECUTION, -1, "-", NULL},
    {POLICY("{limits: {storagePerTargetNamespace: 1Gi}}"), CLONE(""), POLICY_AT_EXECUTION, POLICY_WAIT, "storagePerTargetNamespace", NULL},
};
/* clang-format on */

static const struct policy_usage usage = {.cluster = 5,
                                          .source = 4,
                                          .target_ns = 3,
                                          .storage_class = 2,
                                          .retained_snapshots = 1,
                                          .storage_bytes = INT64_C(20) << 30,
                                          .storage_bytes_wanted = INT64_C(10) << 30};

static void judge(struct arena *a, const char *policy, const char *wukong, bool user_known,
                  enum policy_when when, struct policy_findings *found)
{
    CLEANUP_JSON cJSON *p = parse_yaml(policy);
    CLEANUP_JSON cJSON *w = parse_yaml(wukong);
    struct wukong object;
    struct err err;
    struct policy *decoded = arena_alloc(a, sizeof(*decoded));
    assert_int_equal(wukong_decode(a, w, &object, &err), 0);
    struct wukong_effective e = wukong_resolve_defaults(&object.spec, object.ns);
    /* The VM is there and stopped; a VMI is not. */
    struct source_facts source = {.looked_up = true, .machine.vm_exists = true};
    struct policy_request r = {.user = user_known ? "eve" : NULL,
                               .groups = groups,
                               .group_count = ARRAY_LEN(groups),
                               .source_ns_labels = &prod_labels,
                               .source_labels = &app_labels,
                               .wukong = &object,
                               .effective = &e,
                               .source = &source,
                               .now_ms = NOW_MS};
    policy_decode(a, p, decoded);
    policy_judge(a, decoded, 1, &r, &usage, when, found);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        CLEANUP_ARENA struct arena a;
        CLEANUP_FREE struct policy_findings *f = xcalloc(1, sizeof(*f));
        arena_init(&a, MIB);
        judge(&a, r->policy, r->wukong, true, r->when, f);
        bool good = f->matched == (r->rule != NULL);
        if (r->effect < 0)
            good = good && f->count == 0;
        else
            good = good && f->count >= 1 && f->items[0].effect == (enum policy_effect)r->effect &&
                   str_eq(f->items[0].rule, r->rule) && strstr(f->items[0].text, "\"p\"") &&
                   (!r->word || strstr(f->items[0].text, r->word));
        good = good && f->denied == (r->effect == POLICY_DENY) &&
               f->waiting == (r->effect == POLICY_WAIT);
        if (!good)
            fail_msg("row %zu: %s: %zu matched, %zu found: %s", i, r->policy, f->matched, f->count,
                     f->count ? f->items[0].text : "");
    }
}

/* An unknown user is matched by a policy for some, and excluded by none. */
static void test_unknown_user(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    CLEANUP_FREE struct policy_findings *f = xcalloc(1, sizeof(*f));
    arena_init(&a, MIB);
    judge(&a, POLICY("{match: {subjects: [{kind: User, name: bob}]}, rules: {cloneTypes: [full]}}"),
          CLONE(""), false, POLICY_AT_ADMISSION, f);
    assert_true(f->denied);
    judge(&a,
          POLICY("{exclude: {subjects: [{kind: User, name: eve}]}, rules: {cloneTypes: [full]}}"),
          CLONE(""), false, POLICY_AT_ADMISSION, f);
    assert_true(f->denied);
}

/* Several policies, several failures each: all are told, the longest wait counts. */
static void test_all_are_told(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    CLEANUP_FREE struct policy_findings *f = xcalloc(1, sizeof(*f));
    arena_init(&a, MIB);
    judge(&a,
          POLICY("{rules: {cloneTypes: [full], maxReplicas: 1, quiesce: Required, placement: "
                 "SameNamespace},"
                 " validationActions: [Deny, Audit]}"),
          WUKONG("{cloneSource: {type: vmi, vmiName: web, namespace: other}, replicas: 2}"), true,
          POLICY_AT_ADMISSION, f);
    assert_int_equal(f->count, 8);
    judge(&a, POLICY("{" WINDOW_SHUT ", limits: {concurrentPerCluster: 1}}"), CLONE(""), true,
          POLICY_AT_EXECUTION, f);
    assert_int_equal(f->count, 2);
    assert_true(f->waiting && !f->denied);
    assert_int_equal(f->until_ms, 0);
    judge(&a, POLICY("{" WINDOW_SHUT "}"), CLONE(""), true, POLICY_AT_EXECUTION, f);
    assert_int_equal(f->until_ms, NOW_MS + 2 * 3600 * 1000);
}

/* What is demanded of snapshots raises the rules of the classes, if the policy matches and denies;
   one that only warns tells of each disk. A rule that is stronger stays. */
static void test_cut_rules(void **state)
{
    (void)state;
    static const struct snapshot_class_facts classes[] = {
        {.name = "unknown", .driver = "a"},
        {.name = "known", .driver = "b", .cut = {.known = true, .origin = CUT_BY_TABLE}},
        {.name = "files", .driver = "c", .cut = {.known = true, .rule = CUT_RULE_WHILE_FROZEN}},
    };
    static const struct {
        const char *policy;
        enum cut_rule unknown, known;
        size_t denied, warned;
    } table[] = {
        {POLICY("{}"), CUT_RULE_CREATED, CUT_RULE_CREATED, 0, 0},
        {POLICY("{rules: {cutRule: Ready}}"), CUT_RULE_READY, CUT_RULE_READY, 0, 0},
        {POLICY("{rules: {unknownDriverCutRule: Ready}}"), CUT_RULE_READY, CUT_RULE_CREATED, 0, 0},
        {POLICY("{rules: {unknownDriverCutRule: Refuse}}"), CUT_RULE_CREATED, CUT_RULE_CREATED, 1,
         0},
        {POLICY("{rules: {unknownDriverCutRule: Refuse}, validationActions: [Warn]}"),
         CUT_RULE_CREATED, CUT_RULE_CREATED, 0, 1},
        {POLICY("{rules: {cutRule: Ready}, validationActions: [Warn]}"), CUT_RULE_CREATED,
         CUT_RULE_CREATED, 0, 2},
        {POLICY("{match: {subjects: [{kind: User, name: bob}]}, rules: {cutRule: Ready}}"),
         CUT_RULE_CREATED, CUT_RULE_CREATED, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        CLEANUP_ARENA struct arena a;
        CLEANUP_FREE struct policy_findings *f = xcalloc(1, sizeof(*f));
        arena_init(&a, MIB);
        CLEANUP_JSON cJSON *p = parse_yaml(table[i].policy);
        CLEANUP_JSON cJSON *w = parse_yaml(CLONE(""));
        struct wukong object;
        struct err err;
        struct policy decoded;
        assert_int_equal(wukong_decode(&a, w, &object, &err), 0);
        struct wukong_effective e = wukong_resolve_defaults(&object.spec, object.ns);
        struct policy_request r = {
            .user = "eve", .wukong = &object, .effective = &e, .now_ms = NOW_MS};
        struct class_facts c = {.snapshot_classes = classes,
                                .snapshot_class_count = ARRAY_LEN(classes)};
        policy_decode(&a, p, &decoded);
        policy_raise_cuts(&a, &decoded, 1, &r, &c);
        struct disk_plan plans[ARRAY_LEN(classes)];
        for (size_t k = 0; k < ARRAY_LEN(classes); k++)
            plans[k] = (struct disk_plan){.name = classes[k].name,
                                          .driver = classes[k].driver,
                                          .method = DISK_RESTORE,
                                          .snapshot_class = classes[k].name,
                                          .cut = c.snapshot_classes[k].cut};
        assert_int_equal(plans[0].cut.rule, table[i].unknown);
        assert_int_equal(plans[1].cut.rule, table[i].known);
        assert_int_equal(plans[2].cut.rule, CUT_RULE_WHILE_FROZEN);
        struct disks disks = {.items = plans, .count = ARRAY_LEN(plans)};
        r.disks = &disks;
        policy_judge(&a, &decoded, 1, &r, NULL, POLICY_AT_EXECUTION, f);
        size_t denied = 0, warned = 0;
        for (size_t k = 0; k < f->count; k++) {
            denied += f->items[k].effect == POLICY_DENY;
            warned += f->items[k].effect == POLICY_WARN;
        }
        if (denied != table[i].denied || warned != table[i].warned)
            fail_msg("%s: %zu denied, %zu warned", table[i].policy, denied, warned);
    }
}

/* A running source of two disks, or of one, and what comes of it; then whom a policy denies. */
static const struct least_row {
    const char *clone, *least;
    size_t disks;
    bool stopped, no_agent, paused, slow, late;
    enum consistency best;
    const char *word; /* of the denial; NULL: none */
} least_rows[] = {
    {CLONE(""), "FilesystemConsistent", 2, .best = CONSISTENCY_FILESYSTEM},
    {CLONE(""), "FilesystemConsistent", 2, .no_agent = true, .best = CONSISTENCY_CRASH_PER_DISK,
     .word = "agent is not connected"},
    {CLONE(""), "CrashConsistent", 2, .no_agent = true, .best = CONSISTENCY_CRASH_PER_DISK,
     .word = "CrashConsistentPerDisk"},
    {CLONE(""), "CrashConsistent", 1, .no_agent = true, .best = CONSISTENCY_CRASH},
    {CLONE(""), "FilesystemConsistent", 1, .no_agent = true, .best = CONSISTENCY_CRASH,
     .word = "quiesce to Required"},
    {CLONE(""), "CrashConsistentPerDisk", 2, .no_agent = true, .best = CONSISTENCY_CRASH_PER_DISK},
    {CLONE(""), "CrashConsistent", 2, .paused = true, .best = CONSISTENCY_CRASH_PER_DISK,
     .word = "paused"},
    {CLONE(""), "CrashConsistent", 2, .slow = true, .best = CONSISTENCY_CRASH_PER_DISK,
     .word = "longer than a guest may stay frozen"},
    {CLONE(", quiesce: Never"), "CrashConsistent", 2, .best = CONSISTENCY_CRASH_PER_DISK,
     .word = "quiesce is Never"},
    {CLONE(", quiesce: Never"), "CrashConsistent", 1, .best = CONSISTENCY_CRASH},
    {CLONE(", quiesce: Required"), "FilesystemConsistent", 2, .no_agent = true,
     .best = CONSISTENCY_FILESYSTEM},
    {VM_CLONE(", quiesce: Never, cloneType: linked"), "FilesystemConsistent", 2, .stopped = true,
     .best = CONSISTENCY_OFFLINE},
    {VM_CLONE(", cloneType: full"), "FilesystemConsistent", 2, .stopped = true,
     .best = CONSISTENCY_OFFLINE},
    {VM_CLONE(", quiesce: Never, cloneType: running"), "CrashConsistent", 2, .stopped = true,
     .best = CONSISTENCY_CRASH_PER_DISK, .word = "quiesce is Never"},
    {VM_CLONE(", cloneType: running"), "FilesystemConsistent", 2, .stopped = true,
     .best = CONSISTENCY_FILESYSTEM},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), "FilesystemConsistent", 2,
     .best = CONSISTENCY_FILESYSTEM},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), "FilesystemConsistent", 2, .no_agent = true,
     .best = CONSISTENCY_CRASH_PER_DISK, .word = "VolumeSnapshot"},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), "CrashConsistent", 2, .late = true,
     .best = CONSISTENCY_CRASH_PER_DISK, .word = "KubeVirt thaws"},
};

static void test_minimum_consistency(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(least_rows); i++) {
        CLEANUP_ARENA struct arena a;
        CLEANUP_FREE struct policy_findings *f = xcalloc(1, sizeof(*f));
        arena_init(&a, MIB);
        CLEANUP_JSON cJSON *w = parse_yaml(least_rows[i].clone);
        struct wukong object;
        struct err err;
        assert_int_equal(wukong_decode(&a, w, &object, &err), 0);
        struct wukong_effective e = wukong_resolve_defaults(&object.spec, object.ns);
        struct source_facts source = {.looked_up = true,
                                      .machine.vm_exists = true,
                                      .machine.vmi_exists = !least_rows[i].stopped,
                                      .machine.phase = least_rows[i].stopped ? NULL : "Running",
                                      .machine.agent =
                                          !least_rows[i].stopped && !least_rows[i].no_agent,
                                      .machine.paused = least_rows[i].paused};
        struct disk_plan plans[2] = {{.name = "root", .method = DISK_RESTORE},
                                     {.name = "data", .method = DISK_RESTORE}};
        plans[0].cut.slow = least_rows[i].slow;
        plans[0].cut.rule = least_rows[i].late ? CUT_RULE_READY : CUT_RULE_CREATED;
        struct disks disks = {.items = plans, .count = least_rows[i].disks};
        struct policy_request r = {.user = "eve",
                                   .wukong = &object,
                                   .effective = &e,
                                   .disks = &disks,
                                   .cut = cut_foresee_source(&e, &source, &disks),
                                   .now_ms = NOW_MS};
        if (r.cut.best != least_rows[i].best)
            fail_msg("row %zu: %s", i, consistency_names[r.cut.best]);
        for (int warns = 0; warns < 2; warns++) {
            CLEANUP_FREE char *text =
                xasprintf(POLICY("{rules: {minimumConsistency: %s}, validationActions: [%s]}"),
                          least_rows[i].least, warns ? "Warn" : "Deny");
            CLEANUP_JSON cJSON *p = parse_yaml(text);
            struct policy decoded;
            policy_decode(&a, p, &decoded);
            policy_judge(&a, &decoded, 1, &r, NULL, POLICY_AT_ADMISSION, f);
            bool said = f->count == 1 && str_eq(f->items[0].rule, "minimumConsistency") &&
                        f->items[0].effect == (warns ? POLICY_WARN : POLICY_DENY) &&
                        strstr(f->items[0].text, str_or(least_rows[i].word, ""));
            if (least_rows[i].word ? !said : f->count != 0)
                fail_msg("row %zu: %zu found: %s", i, f->count, f->count ? f->items[0].text : "");
        }
    }
}

/* Of several the strongest counts, of those that match and deny. */
static void test_least_consistency(void **state)
{
    (void)state;
    static const char *const texts[] = {
        POLICY("{rules: {minimumConsistency: CrashConsistentPerDisk}}"),
        POLICY("{rules: {minimumConsistency: CrashConsistent}}"),
        POLICY("{}"),
        POLICY("{rules: {minimumConsistency: FilesystemConsistent}, validationActions: [Warn]}"),
        POLICY("{match: {subjects: [{kind: User, name: bob}]}, rules: {minimumConsistency: "
               "FilesystemConsistent}}"),
        POLICY("{rules: {minimumConsistency: FilesystemConsistent, maxReplicas: 0}}"),
    };
    CLEANUP_ARENA struct arena a;
    struct policy policies[ARRAY_LEN(texts)];
    arena_init(&a, MIB);
    CLEANUP_JSON cJSON *w = parse_yaml(CLONE(""));
    struct wukong object;
    struct err err;
    assert_int_equal(wukong_decode(&a, w, &object, &err), 0);
    struct wukong_effective e = wukong_resolve_defaults(&object.spec, object.ns);
    struct policy_request r = {.user = "eve", .wukong = &object, .effective = &e, .now_ms = NOW_MS};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CLEANUP_JSON cJSON *p = parse_yaml(texts[i]);
        policy_decode(&a, p, &policies[i]);
    }
    assert_int_equal(policy_least_consistency(policies, 0, &r), CONSISTENCY_UNKNOWN);
    assert_int_equal(policy_least_consistency(policies, 1, &r), CONSISTENCY_CRASH_PER_DISK);
    assert_int_equal(policy_least_consistency(policies, ARRAY_LEN(texts), &r), CONSISTENCY_CRASH);
    r.user = "bob";
    assert_int_equal(policy_least_consistency(policies, ARRAY_LEN(texts), &r),
                     CONSISTENCY_FILESYSTEM);
}

/* A service account of the right namespace. */
static void test_service_account(void **state)
{
    (void)state;
    CLEANUP_ARENA struct arena a;
    arena_init(&a, MIB);
    CLEANUP_JSON cJSON *p = parse_yaml(POLICY(
        "{match: {subjects: [{kind: ServiceAccount, name: flux, namespace: flux-system}]}}"));
    CLEANUP_JSON cJSON *w = parse_yaml(CLONE(""));
    struct wukong object;
    struct policy policy;
    struct err err;
    policy_decode(&a, p, &policy);
    assert_null(policy.broken);
    assert_int_equal(wukong_decode(&a, w, &object, &err), 0);
    struct wukong_effective e = wukong_resolve_defaults(&object.spec, object.ns);
    struct policy_request r = {.wukong = &object, .effective = &e};
    r.user = "system:serviceaccount:flux-system:flux";
    assert_true(policy_matches(&policy, &r));
    r.user = "system:serviceaccount:other:flux";
    assert_false(policy_matches(&policy, &r));
}

static void test_full_arena(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *p = parse_yaml(POLICY("{message: abc, " WINDOW_OPEN "}"));
    for (size_t room = 1; room < 4000; room += 97) {
        CLEANUP_ARENA struct arena a;
        struct policy policy;
        arena_init(&a, room);
        policy_decode(&a, p, &policy);
        assert_true(policy.deny);
        assert_true(policy.broken || str_eq(policy.name, "p"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimum_consistency), cmocka_unit_test(test_least_consistency),
        cmocka_unit_test(test_cut_rules),           cmocka_unit_test(test_rows),
        cmocka_unit_test(test_unknown_user),        cmocka_unit_test(test_all_are_told),
        cmocka_unit_test(test_service_account),     cmocka_unit_test(test_full_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
