/*
 * Proves what an UPDATE may change and what not, field by field; that quantities count by value;
 * that what the mutating webhook restores may be absent; and ratcheting: an untouched old mistake
 * never blocks an update, a touched one does.
 */
#include "support.h"
#include "wukong/rules.h"

#define FULL(source, rest, status)                                                                 \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w, namespace: prod}," \
    " spec: {cloneSource: {type: vmi, vmiName: web" source "}" rest "}" status "}"
#define TAKEN ", status: {conditions: [{type: SnapshotTaken, status: \"True\"}]}"
#define FAILED                                                                                     \
    ", status: {conditions: [{type: SnapshotTaken, status: \"True\"}], cloneStatus: {phase: Failed}}"

struct row {
    const char *old, *new, *rule, *field; /* rule NULL: allowed */
};

/* clang-format off */
static const struct row rows[] = {
    {CLONE(""), CLONE(""), NULL, NULL},
    {CLONE(""), CREATOR(""), "clone-presence-immutable", "spec.cloneSource"},
    {CREATOR(""), CLONE_AND("cpu: 1, memory: 1Gi"), "clone-presence-immutable", "spec.cloneSource"},
    {CREATOR(""), CREATOR(", osImage: x"), NULL, NULL},
    {CLONE(""), WUKONG("{cloneSource: {type: vmi, vmiName: other}}"), "source-immutable", "spec.cloneSource.vmiName"},
    {CLONE(""), VM_CLONE(", cloneType: running"), "source-immutable", "spec.cloneSource.type"},
    {CLONE(", namespace: a"), CLONE(", namespace: b"), "source-immutable", "spec.cloneSource.namespace"},
    {CLONE(""), CLONE(", namespace: b"), "source-immutable", "spec.cloneSource.namespace"},
    /* kubectl replace of the first manifest: the mutating webhook puts both back. */
    {CLONE(", namespace: a, cloneType: linked"), CLONE(""), NULL, NULL},
    {CLONE(""), CLONE(", cloneType: running"), NULL, NULL},
    {CLONE(""), CLONE(", cloneType: linked"), "clone-type-immutable", "spec.cloneSource.cloneType"},
    {CLONE(", quiesce: IfAvailable"), CLONE(""), NULL, NULL},
    {CLONE(""), CLONE(", quiesce: Required"), "method-immutable", "spec.cloneSource.quiesce"},
    {CLONE(", snapshotMethod: Auto"), CLONE(", snapshotMethod: VolumeSnapshot"), "method-immutable", "spec.cloneSource.snapshotMethod"},
    {CLONE(""), CLONE(", volumeSnapshotClassName: a"), "method-immutable", "spec.cloneSource.volumeSnapshotClassName"},
    {CLONE(""), CLONE(", allowUnsnapshottable: true"), "method-immutable", "spec.cloneSource.allowUnsnapshottable"},
    {CLONE(""), CLONE(", allowUnsnapshottable: false"), NULL, NULL},
    {VM_CLONE(", cloneType: running"), VM_CLONE(", cloneType: running, stopSourceAfter: true"), "method-immutable", "spec.cloneSource.stopSourceAfter"},

    {CLONE(""), CLONE(", deadlineSeconds: 5, retryLimit: 1, notBefore: 2026-01-01T00:00:00Z, gates: [a], window: {schedule: \"@daily\", duration: 1h}"), NULL, NULL},
    {FULL("", "", TAKEN), FULL(", deadlineSeconds: 5", "", ""), "timing-immutable", "spec.cloneSource.deadlineSeconds"},
    {FULL("", "", TAKEN), FULL(", deadlineSeconds: 3600", "", ""), NULL, NULL},
    {FULL("", "", TAKEN), FULL(", retryLimit: 1", "", ""), "timing-immutable", "spec.cloneSource.retryLimit"},
    {FULL("", "", TAKEN), FULL(", notBefore: 2026-01-01T00:00:00Z", "", ""), "timing-immutable", "spec.cloneSource.notBefore"},
    {FULL("", "", TAKEN), FULL(", gates: [a]", "", ""), "timing-immutable", "spec.cloneSource.gates"},
    {FULL("", "", TAKEN), FULL(", window: {schedule: \"@daily\", duration: 1h}", "", ""), "timing-immutable", "spec.cloneSource.window"},
    {FULL("", "", FAILED), FULL(", deadlineSeconds: 5", "", ""), NULL, NULL},

    {CLONE_AND("replicas: 2"), CLONE_AND("replicas: 3"), "replicas-immutable", "spec.replicas"},
    {CLONE_AND("replicas: 1"), CLONE(""), NULL, NULL},
    {CLONE_AND("reclaimPolicy: Delete"), CLONE_AND("reclaimPolicy: Retain"), NULL, NULL},
    {CLONE_AND("cpu: 1"), CLONE_AND("cpu: 2"), NULL, NULL},

    {CLONE_AND("disks: [{name: a, size: 10Gi}]"), CLONE_AND("disks: [{name: a, size: 10240Mi}]"), NULL, NULL},
    {CLONE_AND("disks: [{name: a, size: 10Gi}]"), CLONE_AND("disks: [{name: a, size: 10737418240}]"), NULL, NULL},
    {CLONE_AND("disks: [{name: a, size: 10Gi}]"), CLONE_AND("disks: [{name: a, size: 11Gi}]"), "disks-immutable", "spec.disks[0]"},
    {CLONE_AND("disks: [{name: a, size: 10Gi}]"), CLONE_AND("disks: [{name: a}]"), "disks-immutable", "spec.disks[0]"},
    {CLONE_AND("disks: [{name: a}, {name: b}]"), CLONE_AND("disks: [{name: b}, {name: a}]"), NULL, NULL},
    {CLONE_AND("disks: [{name: a}]"), CLONE_AND("disks: [{name: a}, {name: b}]"), "disks-immutable", "spec.disks[1]"},
    {CLONE_AND("disks: [{name: a}]"), CLONE_AND("disks: []"), "disks-immutable", "spec.disks"},
    {CLONE_AND("disks: []"), CLONE(""), NULL, NULL},
    {CLONE_AND("disks: [{name: a}]"), CLONE_AND("disks: [{name: a, boot: false}]"), NULL, NULL},
    {CLONE_AND("disks: [{name: a}]"), CLONE_AND("disks: [{name: a, boot: true}]"), "disks-immutable", "spec.disks[0]"},
    {CLONE_AND("disks: [{name: a}]"), CLONE_AND("disks: [{name: a, storageClassName: b}]"), "disks-immutable", "spec.disks[0]"},
    {CLONE_AND("disks: [{name: a}]"), CLONE_AND("disks: [{name: a, sourceDisk: b}]"), "disks-immutable", "spec.disks[0]"},
    {CREATOR(""), WUKONG("{cpu: 1, memory: 1Gi, disks: [{name: d, size: 2Gi, storageClassName: s}]}"), NULL, NULL},

    /* Ratcheting. */
    {CLONE_AND("cpu: 99"), CLONE_AND("cpu: 99, reclaimPolicy: Retain"), NULL, NULL},
    {CLONE_AND("cpu: 99"), CLONE_AND("cpu: 98"), "cpu-range", "spec.cpu"},
    {CLONE_AND("cpu: 99"), CLONE_AND("cpu: 99, memory: x"), "memory-quantity", "spec.memory"},
    {CLONE_AND("osImage: x"), CLONE_AND("osImage: x, sshKeySecret: a"), NULL, NULL},
    {CLONE_AND("osImage: x"), CLONE_AND("osImage: z"), "osimage-with-clone", "spec.osImage"},
    {CLONE(", deadlineSeconds: 0"), CLONE(", deadlineSeconds: 0, retryLimit: 1"), NULL, NULL},
    {CLONE(", gates: [Ready]"), CLONE(", gates: [Ready, Stalled]"), "gate-reserved", "spec.cloneSource.gates[1]"},
    /* The same words about another value: what is cut from the message counts too. */
    {CLONE_AND("sshKeySecret: \"@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1\""),
     CLONE_AND("sshKeySecret: \"@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2\""), "ssh-key-secret", "spec.sshKeySecret"},
    {WUKONG("null"), WUKONG("null"), NULL, NULL},
    {WUKONG("[]"), WUKONG("[]"), NULL, NULL},
};
/* clang-format on */

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        CLEANUP_JSON cJSON *old = parse_yaml(r->old);
        CLEANUP_JSON cJSON *new = parse_yaml(r->new);
        CLEANUP_ISSUES struct issues l;
        issues_init(&l);
        validate_update(old, new, &l);
        check_messages(&l);
        bool found = !r->rule && l.errors == 0;
        for (size_t k = 0; k < l.count && r->rule; k++)
            found = found || (str_eq(l.items[k].rule->id, r->rule) &&
                              str_eq(l.items[k].field, r->field));
        if (!found) {
            print_issues(&l);
            fail_msg("row %zu: %s -> %s", i, r->old, r->new);
        }
    }
}

static void test_every_rule_has_a_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < rule_count; i++) {
        bool found = rules[i].group != RULE_UPDATE;
        for (size_t k = 0; k < ARRAY_LEN(rows); k++)
            found = found || str_eq(rows[k].rule, rules[i].id);
        if (!found)
            fail_msg("rule %s has no row", rules[i].id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_rule_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
