/*
 * What an UPDATE may change and what not: one row or more per rule. test_update.c judges them with
 * the library, test_answers.c sends them through the webhook's judgement.
 */
#ifndef TESTS_WUKONG_ROWS_UPDATE_H
#define TESTS_WUKONG_ROWS_UPDATE_H

#include "support.h"

#define FULL(source, rest, status)                                                                 \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w, namespace: prod}," \
    " spec: {cloneSource: {type: vmi, vmiName: web" source "}" rest "}" status "}"
#define TAKEN ", status: {conditions: [{type: SnapshotTaken, status: \"True\"}]}"
#define FAILED                                                                                     \
    ", status: {conditions: [{type: SnapshotTaken, status: \"True\"}], cloneStatus: {phase: "      \
    "Failed}}"

struct update_row {
    const char *old, *new, *rule, *field; /* rule NULL: allowed */
};

/* clang-format off */
static const struct update_row update_rows[] = {
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
    {CLONE(""), CLONE(", allowSecrets: [a]"), "method-immutable", "spec.cloneSource.allowSecrets"},
    {CLONE(", allowSecrets: [a]"), CLONE(", allowSecrets: [a, b]"), "method-immutable", "spec.cloneSource.allowSecrets"},
    {CLONE(", allowSecrets: [a]"), CLONE(""), "method-immutable", "spec.cloneSource.allowSecrets"},
    {CLONE(", allowSecrets: [a, b]"), CLONE(", allowSecrets: [a, b]"), NULL, NULL},
    {VM_CLONE(", cloneType: running"), VM_CLONE(", cloneType: running, stopSourceAfter: true"), "method-immutable", "spec.cloneSource.stopSourceAfter"},

    {CLONE(""), CLONE(", deadlineSeconds: 5, retryLimit: 1, notBefore: 2026-01-01T00:00:00Z, gates: [a], window: {schedule: \"@daily\", duration: 1h}"), NULL, NULL},
    {FULL("", "", TAKEN), FULL(", deadlineSeconds: 5", "", ""), "timing-immutable", "spec.cloneSource.deadlineSeconds"},
    {FULL("", "", TAKEN), FULL(", deadlineSeconds: 3600", "", ""), NULL, NULL},
    {FULL("", "", TAKEN), FULL(", retryLimit: 1", "", ""), "timing-immutable", "spec.cloneSource.retryLimit"},
    {FULL("", "", TAKEN), FULL(", notBefore: 2026-01-01T00:00:00Z", "", ""), "timing-immutable", "spec.cloneSource.notBefore"},
    {FULL("", "", TAKEN), FULL(", gates: [a]", "", ""), "timing-immutable", "spec.cloneSource.gates"},
    {FULL("", "", TAKEN), FULL(", window: {schedule: \"@daily\", duration: 1h}", "", ""), "timing-immutable", "spec.cloneSource.window"},
    {FULL("", "", FAILED), FULL(", deadlineSeconds: 5", "", ""), NULL, NULL},

    {CLONE(""), CLONE_AND("target: {labels: {a: b}}"), "target-immutable", "spec.target"},
    {CLONE_AND("target: {labels: {a: b}}"), CLONE(""), "target-immutable", "spec.target"},
    {CLONE_AND("target: {labels: {a: b}}"), CLONE_AND("target: {labels: {a: c}}"), "target-immutable", "spec.target"},
    {CLONE_AND("target: {labels: {a: b, c: d}}"), CLONE_AND("target: {labels: {c: d, a: b}}"), NULL, NULL},
    {CLONE_AND("guest: {hostname: a}"), CLONE_AND("guest: {hostname: b}"), "guest-immutable", "spec.guest"},
    {CLONE_AND("expires: {after: 1h, action: Stop}"), CLONE_AND("expires: {at: 2030-01-01T00:00:00Z, action: Delete}"), NULL, NULL},
    {CLONE_AND("expires: {after: 1h, action: Stop}"), CLONE(""), NULL, NULL},
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

#endif
