/*
 * One row or more per static rule: an object that it refuses, the nearest one that it admits, and
 * the field that is reported. test_rules.c judges them with the library, test_answers.c sends them
 * through the webhook's judgement.
 */
#ifndef TESTS_WUKONG_ROWS_RULES_H
#define TESTS_WUKONG_ROWS_RULES_H

#include "base/mem.h"
#include "support.h"

struct rule_row {
    const char *rule, *refused, *accepted, *field;
};

#define META(meta)                                                                                 \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: " meta                       \
    ", spec: {cloneSource: {type: vmi, vmiName: web}}}"
#define USER(more) CREATOR(", cloudInitUser: {name: u" more "}")
#define NET(more) CREATOR(", networks: [{name: nic" more "}]")
#define HA(more) CREATOR(", highAvailability: {" more "}")
#define EXPIRES(more) CLONE_AND("expires: {" more "}")
#define GUEST(more) CLONE_AND("guest: {" more "}")
#define MAP(items) TARGET("network: {map: [" items "]}")
#define REFERS(items) TARGET("references: [" items "]")
#define OVER(patch) TARGET("overrides: {" patch "}")
#define TARGET(more) CLONE_AND("target: {" more "}")
#define POLICY(spec)                                                                               \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: ClonePolicy, metadata: "                       \
    "{name: p}, spec: " spec "}"
#define CREATOR_HEAD                                                                               \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w}, spec: {cpu: 1, "  \
    "memory: 1Gi"
#define CLONE_HEAD                                                                                 \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w}, spec: "           \
    "{cloneSource: {type: vmi, vmiName: web}"
#define WINDOW(more) ", window: {" more "}"

/* clang-format off */
static const struct rule_row rule_rows[] = {
    {"type", WUKONG("{cloneSource: {type: vmi, vmiName: web}, cpu: \"4\"}"), CLONE_AND("cpu: 4"), "spec.cpu"},
    {"type", CLONE_AND("cpu: 1.5"), CLONE_AND("cpu: 2.0"), "spec.cpu"},
    {"type", CLONE_AND("disks: {name: a}"), CLONE_AND("disks: [{name: a}]"), "spec.disks"},
    {"type", CLONE_AND("disks: [null]"), CLONE_AND("disks: null"), "spec.disks[0]"},
    {"type", CLONE(", stopSourceAfter: \"no\""), CLONE(", stopSourceAfter: false"), "spec.cloneSource.stopSourceAfter"},
    {"type", META("{name: w, labels: {a: 1}}"), META("{name: w, labels: {a: \"1\"}}"), "metadata.labels"},
    {"type", WUKONG("[]"), CLONE(""), "spec"},
    {"type", CLONE_AND("memory: true"), CLONE_AND("memory: 1073741824"), "spec.memory"},
    {"api-version", "{apiVersion: vm.novasphere.dev/v1, kind: Wukong, metadata: {name: w}, spec: {cloneSource: {type: vmi, vmiName: a}}}", CLONE(""), "apiVersion"},
    {"kind", "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukon, metadata: {name: w}, spec: {cloneSource: {type: vmi, vmiName: a}}}", CLONE(""), "kind"},
    {"spec-required", "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w}}", CLONE(""), "spec"},
    {"name-dns", META("{name: Web_1}"), META("{name: web-1.a}"), "metadata.name"},
    {"name-required", META("{namespace: a}"), META("{generateName: w-}"), "metadata.name"},
    {"generate-name", META("{generateName: W-}"), META("{generateName: w-}"), "metadata.generateName"},
    {"labels", META("{name: w, labels: {\"a b\": c}}"), META("{name: w, labels: {a/b: c}}"), "metadata.labels[a b]"},
    {"labels", META("{name: w, labels: {a: \"-\"}}"), META("{name: w, labels: {a: \"\"}}"), "metadata.labels[a]"},
    {"name-length-vm", META("{name: a12345678901234567890123456789012345678901234567890123456789b}"), META("{name: a1234567890123456789012345678901234567890123456789012345678}"), "metadata.name"},
    {"name-length-vm", META("{generateName: a12345678901234567890123456789012345678901234567890123456789b-}"), META("{generateName: a1234567890123456789012345678901234567890123456789-}"), "metadata.name"},
    {"name-length-disk", "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: a123456789}, spec: {replicas: 11, cloneSource: {type: vmi, vmiName: web}, disks: [{name: d12345678901234567890123456789012345678901234567}]}}",
        "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: a123456789}, spec: {replicas: 10, cloneSource: {type: vmi, vmiName: web}, disks: [{name: d1234567890123456789012345678901234567890123456}]}}", "spec.disks[0].name"},

    {"cpu-required", WUKONG("{memory: 1Gi}"), CREATOR(""), "spec.cpu"},
    {"cpu-range", CLONE_AND("cpu: 0"), CLONE_AND("cpu: 1"), "spec.cpu"},
    {"cpu-range", CLONE_AND("cpu: 65"), CLONE_AND("cpu: 64"), "spec.cpu"},
    {"memory-required", WUKONG("{cpu: 1}"), CREATOR(""), "spec.memory"},
    {"memory-quantity", CLONE_AND("memory: 4GB"), CLONE_AND("memory: 4Gi"), "spec.memory"},
    {"memory-quantity", CLONE_AND("memory: 1500m"), CLONE_AND("memory: 1.5Gi"), "spec.memory"},
    {"memory-quantity", CLONE_AND("memory: \"1e-3\""), CLONE_AND("memory: 1.1Gi"), "spec.memory"},
    {"memory-quantity", CLONE_AND("memory: -1Gi"), CLONE_AND("memory: +1Gi"), "spec.memory"},
    {"memory-quantity", CLONE_AND("memory: \"100000000000000000000000000000000\""), CLONE_AND("memory: \"10000000000000000000000000000000\""), "spec.memory"},
    {"memory-unit", CLONE_AND("memory: 4096"), CLONE_AND("memory: 1Mi"), "spec.memory"},

    {"source-type-required", WUKONG("{cloneSource: {vmiName: a}}"), CLONE(""), "spec.cloneSource.type"},
    {"source-type", WUKONG("{cloneSource: {type: VMI, vmiName: a}}"), CLONE(""), "spec.cloneSource.type"},
    {"source-vm-name", WUKONG("{cloneSource: {type: vm}}"), VM_CLONE(""), "spec.cloneSource.vmName"},
    {"source-vm-only", VM_CLONE(", vmiName: a"), VM_CLONE(", vmiName: null"), "spec.cloneSource.vmiName"},
    {"source-vmi-name", WUKONG("{cloneSource: {type: vmi}}"), CLONE(""), "spec.cloneSource.vmiName"},
    {"source-vmi-only", CLONE(", vmName: a"), CLONE(""), "spec.cloneSource.vmName"},
    {"source-vm-dns", WUKONG("{cloneSource: {type: vm, vmName: \"a/b\"}}"), WUKONG("{cloneSource: {type: vm, vmName: a.b}}"), "spec.cloneSource.vmName"},
    {"source-vmi-dns", WUKONG("{cloneSource: {type: vmi, vmiName: \"\"}}"), CLONE(""), "spec.cloneSource.vmiName"},
    {"source-namespace", CLONE(", namespace: a.b"), CLONE(", namespace: a-b"), "spec.cloneSource.namespace"},
    {"clone-type", CLONE(", cloneType: lnked"), CLONE(", cloneType: linked"), "spec.cloneSource.cloneType"},
    {"vmi-full", CLONE(", cloneType: full"), VM_CLONE(", cloneType: full"), "spec.cloneSource.cloneType"},
    {"quiesce", CLONE(", quiesce: never"), CLONE(", quiesce: Never"), "spec.cloneSource.quiesce"},
    {"quiesce-full", VM_CLONE(", quiesce: Required"), VM_CLONE(", quiesce: Required, cloneType: running"), "spec.cloneSource.quiesce"},
    {"snapshot-method", CLONE(", snapshotMethod: VolumeSnapshots"), CLONE(", snapshotMethod: VolumeSnapshot"), "spec.cloneSource.snapshotMethod"},
    {"snapshot-class-name", CLONE(", volumeSnapshotClassName: A"), CLONE(", volumeSnapshotClassName: a"), "spec.cloneSource.volumeSnapshotClassName"},
    {"group-class-name", CLONE(", snapshotMethod: VolumeGroupSnapshot, volumeGroupSnapshotClassName: A"), CLONE(", snapshotMethod: VolumeGroupSnapshot, volumeGroupSnapshotClassName: a"), "spec.cloneSource.volumeGroupSnapshotClassName"},
    {"group-clone-type", VM_CLONE(", snapshotMethod: VolumeGroupSnapshot"), VM_CLONE(", cloneType: linked, snapshotMethod: VolumeGroupSnapshot"), "spec.cloneSource.snapshotMethod"},
    {"group-method-class", VM_CLONE(", volumeGroupSnapshotClassName: a"), VM_CLONE(", cloneType: linked, snapshotMethod: Auto, volumeGroupSnapshotClassName: a"), "spec.cloneSource.volumeGroupSnapshotClassName"},
    {"group-method-class", CLONE(", snapshotMethod: VolumeSnapshot, volumeGroupSnapshotClassName: a"), CLONE(", volumeGroupSnapshotClassName: a"), "spec.cloneSource.volumeGroupSnapshotClassName"},
    {"method-group-class", CLONE(", snapshotMethod: VolumeGroupSnapshot, volumeSnapshotClassName: a"), CLONE(", snapshotMethod: VolumeSnapshot, volumeSnapshotClassName: a"), "spec.cloneSource.volumeSnapshotClassName"},
    {"stop-source-after", VM_CLONE(", stopSourceAfter: true"), VM_CLONE(", stopSourceAfter: true, cloneType: running"), "spec.cloneSource.stopSourceAfter"},
    {"vmsnapshot-clone-type", CLONE(", cloneType: linked, snapshotMethod: VirtualMachineSnapshot"), CLONE(", snapshotMethod: VirtualMachineSnapshot"), "spec.cloneSource.snapshotMethod"},
    {"vmsnapshot-quiesce", CLONE(", quiesce: Never, snapshotMethod: VirtualMachineSnapshot"), CLONE(", quiesce: IfAvailable, snapshotMethod: VirtualMachineSnapshot"), "spec.cloneSource.quiesce"},
    {"vmsnapshot-class", CLONE(", volumeSnapshotClassName: a, snapshotMethod: VirtualMachineSnapshot"), CLONE(", volumeSnapshotClassName: a, snapshotMethod: Auto"), "spec.cloneSource.volumeSnapshotClassName"},
    {"vmsnapshot-selection", WUKONG("{cloneSource: {type: vmi, vmiName: w, snapshotMethod: VirtualMachineSnapshot}, disks: [{name: a}]}"), WUKONG("{cloneSource: {type: vmi, vmiName: w, snapshotMethod: VirtualMachineSnapshot}, disks: []}"), "spec.disks"},
    {"deadline-range", CLONE(", deadlineSeconds: 0"), CLONE(", deadlineSeconds: 1"), "spec.cloneSource.deadlineSeconds"},
    {"deadline-range", CLONE(", deadlineSeconds: 604801"), CLONE(", deadlineSeconds: 604800"), "spec.cloneSource.deadlineSeconds"},
    {"deadline-range", CLONE(", deadlineSeconds: 9007199254740993"), CLONE(", deadlineSeconds: 3.6e3"), "spec.cloneSource.deadlineSeconds"},
    {"retry-range", CLONE(", retryLimit: -1"), CLONE(", retryLimit: 0"), "spec.cloneSource.retryLimit"},
    {"retry-range", CLONE(", retryLimit: 101"), CLONE(", retryLimit: 100"), "spec.cloneSource.retryLimit"},
    {"window-schedule-required", CLONE(WINDOW("duration: 1h")), CLONE(WINDOW("duration: 1h, schedule: \"@daily\"")), "spec.cloneSource.window.schedule"},
    {"window-duration-required", CLONE(WINDOW("schedule: \"@daily\"")), CLONE(WINDOW("duration: 1h, schedule: \"@daily\"")), "spec.cloneSource.window.duration"},
    {"window-schedule", CLONE(WINDOW("duration: 1h, schedule: \"0 25 * * *\"")), CLONE(WINDOW("duration: 1h, schedule: \"0 23 * * *\"")), "spec.cloneSource.window.schedule"},
    {"window-schedule", CLONE(WINDOW("duration: 1h, schedule: \"@every 1h\"")), CLONE(WINDOW("duration: 1h, schedule: \"@hourly\"")), "spec.cloneSource.window.schedule"},
    {"window-schedule", CLONE(WINDOW("duration: 1h, schedule: \"TZ=UTC 0 0 * * *\"")), CLONE(WINDOW("duration: 1h, schedule: \"0 0 * * *\", timeZone: UTC")), "spec.cloneSource.window.schedule"},
    {"window-never", CLONE(WINDOW("duration: 1h, schedule: \"0 0 30 2 *\"")), CLONE(WINDOW("duration: 1h, schedule: \"0 0 29 2 *\"")), "spec.cloneSource.window.schedule"},
    {"window-duration", CLONE(WINDOW("duration: 6hours, schedule: \"@daily\"")), CLONE(WINDOW("duration: 1h30m, schedule: \"@daily\"")), "spec.cloneSource.window.duration"},
    {"window-duration", CLONE(WINDOW("duration: 59s, schedule: \"@daily\"")), CLONE(WINDOW("duration: 60s, schedule: \"@daily\"")), "spec.cloneSource.window.duration"},
    {"window-duration", CLONE(WINDOW("duration: 168h1s, schedule: \"@daily\"")), CLONE(WINDOW("duration: 168h, schedule: \"@daily\"")), "spec.cloneSource.window.duration"},
    {"window-time-zone", CLONE(WINDOW("duration: 1h, schedule: \"@daily\", timeZone: Asia/Shangai")), CLONE(WINDOW("duration: 1h, schedule: \"@daily\", timeZone: Asia/Shanghai")), "spec.cloneSource.window.timeZone"},
    {"window-time-zone", CLONE(WINDOW("duration: 1h, schedule: \"@daily\", timeZone: Local")), CLONE(WINDOW("duration: 1h, schedule: \"@daily\", timeZone: UTC")), "spec.cloneSource.window.timeZone"},
    {"not-before", CLONE(", notBefore: 2026-01-02"), CLONE(", notBefore: 2026-01-02T22:00:00Z"), "spec.cloneSource.notBefore"},
    {"gates-count", CLONE(", gates: [a, b, c, d, e, f, g, h, i]"), CLONE(", gates: [a, b, c, d, e, f, g, h]"), "spec.cloneSource.gates"},
    {"gates-unique", CLONE(", gates: [a, b, a]"), CLONE(", gates: [a, b]"), "spec.cloneSource.gates[2]"},
    {"gate-name", CLONE(", gates: [\"a b\"]"), CLONE(", gates: [a.b/C]"), "spec.cloneSource.gates[0]"},
    {"allow-secrets-count", CLONE(", allowSecrets: [a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a]"), CLONE(", allowSecrets: [a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a]"), "spec.cloneSource.allowSecrets"},
    {"allow-secret-name", CLONE(", allowSecrets: [a, A]"), CLONE(", allowSecrets: [a, b.c]"), "spec.cloneSource.allowSecrets[1]"},
    {"gate-reserved", CLONE(", gates: [a, SnapshotTaken]"), CLONE(", gates: [a/SnapshotTaken]"), "spec.cloneSource.gates[1]"},

    {"disk-name-unique", CLONE_AND("disks: [{name: a}, {name: a}]"), CLONE_AND("disks: [{name: a}, {name: b}]"), "spec.disks[1].name"},
    {"disk-source-unique", CLONE_AND("disks: [{name: a}, {name: b, sourceDisk: a}]"), CLONE_AND("disks: [{name: a, sourceDisk: b}, {name: b, sourceDisk: a}]"), "spec.disks[1].sourceDisk"},
    {"disk-boot-one", CLONE_AND("disks: [{name: a, boot: true}, {name: b, boot: true}]"), CLONE_AND("disks: [{name: a, boot: true}, {name: b, boot: false}]"), "spec.disks[1].boot"},
    {"disk-size-required", WUKONG("{cpu: 1, memory: 1Gi, disks: [{name: d, storageClassName: s}]}"), CREATOR(""), "spec.disks[0].size"},
    {"disk-class-required", WUKONG("{cpu: 1, memory: 1Gi, disks: [{name: d, size: 1Gi}]}"), CREATOR(""), "spec.disks[0].storageClassName"},
    {"disk-source-without-clone", WUKONG("{cpu: 1, memory: 1Gi, disks: [{name: d, size: 1Gi, storageClassName: s, sourceDisk: x}]}"), CREATOR(""), "spec.disks[0].sourceDisk"},
    {"disk-image-with-clone", CLONE_AND("disks: [{name: a, image: x}]"), WUKONG("{cpu: 1, memory: 1Gi, disks: [{name: d, size: 1Gi, storageClassName: s, image: x}]}"), "spec.disks[0].image"},
    {"disk-name-required", CLONE_AND("disks: [{size: 1Gi}]"), CLONE_AND("disks: [{name: a, size: 1Gi}]"), "spec.disks[0].name"},
    {"disk-name", CLONE_AND("disks: [{name: a.b}]"), CLONE_AND("disks: [{name: a-b}]"), "spec.disks[0].name"},
    {"disk-size-quantity", CLONE_AND("disks: [{name: a}, {name: b, size: 0}]"), CLONE_AND("disks: [{name: a}, {name: b, size: 5000000}]"), "spec.disks[1].size"},
    {"disk-size-unit", CLONE_AND("disks: [{name: a, size: 20}]"), CLONE_AND("disks: [{name: a, size: 20Gi}]"), "spec.disks[0].size"},
    {"disk-class-name", CLONE_AND("disks: [{name: a, storageClassName: \"\"}]"), CLONE_AND("disks: [{name: a, storageClassName: b.c}]"), "spec.disks[0].storageClassName"},
    {"disk-source-name", CLONE_AND("disks: [{name: a, sourceDisk: B}]"), CLONE_AND("disks: [{name: a, sourceDisk: b}]"), "spec.disks[0].sourceDisk"},
    {"replicas-range", CLONE_AND("replicas: 0"), CLONE_AND("replicas: 1"), "spec.replicas"},
    {"replicas-range", CLONE_AND("replicas: 101"), CLONE_AND("replicas: 100"), "spec.replicas"},
    {"replicas-without-clone", CREATOR(", replicas: 2"), CREATOR(", replicas: 1"), "spec.replicas"},
    {"reclaim-policy", CLONE_AND("reclaimPolicy: Keep"), CLONE_AND("reclaimPolicy: Retain"), "spec.reclaimPolicy"},
    {"run-strategy", CLONE_AND("startStrategy: {runStrategy: Halted}"), CLONE_AND("startStrategy: {runStrategy: Once}"), "spec.startStrategy.runStrategy"},
    {"start-strategy-contradiction", CLONE_AND("startStrategy: {autoStart: false, runStrategy: Always}"), CLONE_AND("startStrategy: {autoStart: true, runStrategy: Always}"), "spec.startStrategy.runStrategy"},

    {"start-strategy-contradiction", CLONE_AND("startStrategy: {autoStart: false, runStrategy: Once}"), CLONE_AND("startStrategy: {autoStart: false, runStrategy: Inherit}"), "spec.startStrategy.runStrategy"},
    {"osimage-with-clone", CLONE_AND("osImage: x"), CREATOR(", osImage: x"), "spec.osImage"},
    {"cloud-init-user-with-clone", CLONE_AND("cloudInitUser: {name: u}"), USER(""), "spec.cloudInitUser"},
    {"ssh-key-secret", CLONE_AND("sshKeySecret: A"), CLONE_AND("sshKeySecret: a"), "spec.sshKeySecret"},
    {"user-name-required", CREATOR(", cloudInitUser: {}"), USER(""), "spec.cloudInitUser.name"},
    {"user-password-plain", USER(", password: x"), USER(", passwordHash: x"), "spec.cloudInitUser.password"},
    {"networks-count", "@networks 65", "@networks 64", "spec.networks"},
    {"disks-count", "@disks 65", "@disks 64", "spec.disks"},
    {"gpus-count", "@gpus 33", "@gpus 32", "spec.gpus"},
    {"user-groups-count", "@groups 65", "@groups 64", "spec.cloudInitUser.groups"},
    {"ha-tolerations-count", "@tolerations 65", "@tolerations 64", "spec.highAvailability.tolerations"},
    {"ha-node-selector-count", "@nodeSelector 65", "@nodeSelector 64", "spec.highAvailability.nodeSelector"},
    {"network-dns-count", "@dns 17", "@dns 16", "spec.networks[0].ipConfig.dnsServers"},
    {"osimage-length", "@osImage 4097", "@osImage 4096", "spec.osImage"},
    {"disk-image-length", "@image 4097", "@image 4096", "spec.disks[0].image"},
    {"user-name", "@user.name 257", "@user.name 256", "spec.cloudInitUser.name"},
    {"user-password", "@user.password 1025", "@user.password 1024", "spec.cloudInitUser.password"},
    {"user-password-hash", "@user.passwordHash 1025", "@user.passwordHash 1024", "spec.cloudInitUser.passwordHash"},
    {"user-sudo", "@user.sudo 1025", "@user.sudo 1024", "spec.cloudInitUser.sudo"},
    {"user-shell", "@user.shell 1025", "@user.shell 1024", "spec.cloudInitUser.shell"},
    {"user-group", "@group 257", "@group 256", "spec.cloudInitUser.groups[0]"},
    {"network-bridge", "@net.bridgeName 254", "@net.bridgeName 253", "spec.networks[0].bridgeName"},
    {"network-interface", "@net.physicalInterface 254", "@net.physicalInterface 253", "spec.networks[0].physicalInterface"},
    {"toleration-key", "@toleration.key 317", "@toleration.key 316", "spec.highAvailability.tolerations[0].key"},
    {"toleration-value", "@toleration.value 64", "@toleration.value 63", "spec.highAvailability.tolerations[0].value"},
    {"gpu-name", "@gpu.name 254", "@gpu.name 253", "spec.gpus[0].name"},
    {"gpu-device", "@gpu.deviceName 254", "@gpu.deviceName 253", "spec.gpus[0].deviceName"},
    {"restore-name", "@restore 254", "@restore 253", "spec.restoreFromSnapshot"},

    {"network-name-unique", CREATOR(", networks: [{name: a}, {name: a}]"), CREATOR(", networks: [{name: a}, {name: b}]"), "spec.networks[1].name"},
    {"network-name-required", CREATOR(", networks: [{type: ovs}]"), NET(", type: ovs"), "spec.networks[0].name"},
    {"network-nad-with-clone", CLONE_AND("networks: [{name: a, type: bridge}]"), CLONE_AND("networks: [{name: a, type: bridge, nadName: b}]"), "spec.networks[0].nadName"},
    {"network-nad-with-clone", CLONE_AND("networks: [{name: a, nadName: b, vlanId: 5}]"), NET(", vlanId: 5"), "spec.networks[0].vlanId"},
    {"network-name", CREATOR(", networks: [{name: A}]"), NET(""), "spec.networks[0].name"},
    {"network-type", NET(", type: brige"), NET(", type: bridge"), "spec.networks[0].type"},
    {"network-nad-name", NET(", nadName: a/b/c"), NET(", nadName: a/b"), "spec.networks[0].nadName"},
    {"network-vlan", NET(", vlanId: 4095"), NET(", vlanId: 4094"), "spec.networks[0].vlanId"},
    {"network-mode-required", NET(", ipConfig: {}"), NET(", ipConfig: {mode: dhcp}"), "spec.networks[0].ipConfig.mode"},
    {"network-static-address", NET(", ipConfig: {mode: static}"), NET(", ipConfig: {mode: static, address: 10.0.0.1/8}"), "spec.networks[0].ipConfig.address"},
    {"network-static-with-clone", CLONE_AND("networks: [{name: a, nadName: b, ipConfig: {mode: static, address: 10.0.0.1/8}}]"), CLONE_AND("networks: [{name: a, nadName: b, ipConfig: {mode: dhcp}}]"), "spec.networks[0].ipConfig.mode"},
    {"network-static-with-clone", CLONE_AND("networks: [{name: a, nadName: b, ipConfig: {mode: dhcp, address: 10.0.0.1/8}}]"), NET(", ipConfig: {mode: dhcp, address: 10.0.0.1/8}"), "spec.networks[0].ipConfig.address"},
    {"network-static-with-clone", CLONE_AND("networks: [{name: a, nadName: b, ipConfig: {mode: dhcp, gateway: 10.0.0.1}}]"), NET(", ipConfig: {mode: dhcp, gateway: 10.0.0.1}"), "spec.networks[0].ipConfig.gateway"},
    {"network-static-with-clone", CLONE_AND("networks: [{name: a, nadName: b, ipConfig: {mode: dhcp, dnsServers: [10.0.0.1]}}]"), CLONE_AND("networks: [{name: a, nadName: b, ipConfig: {mode: dhcp, dnsServers: []}}]"), "spec.networks[0].ipConfig.dnsServers"},
    {"network-mode", NET(", ipConfig: {mode: DHCP}"), NET(", ipConfig: {mode: dhcp}"), "spec.networks[0].ipConfig.mode"},
    {"network-address", NET(", ipConfig: {mode: static, address: 10.0.0.1}"), NET(", ipConfig: {mode: static, address: \"fd00::1/64\"}"), "spec.networks[0].ipConfig.address"},
    {"network-address", NET(", ipConfig: {mode: static, address: 10.0.0.1/33}"), NET(", ipConfig: {mode: static, address: 10.0.0.1/32}"), "spec.networks[0].ipConfig.address"},
    {"network-gateway", NET(", ipConfig: {mode: dhcp, gateway: 10.0.0}"), NET(", ipConfig: {mode: dhcp, gateway: 10.0.0.1}"), "spec.networks[0].ipConfig.gateway"},
    {"network-dns", NET(", ipConfig: {mode: dhcp, dnsServers: [a]}"), NET(", ipConfig: {mode: dhcp, dnsServers: [\"::1\"]}"), "spec.networks[0].ipConfig.dnsServers[0]"},
    {"ha-restart-with-clone", CLONE_AND("highAvailability: {restartPolicy: Always}"), HA("restartPolicy: Always"), "spec.highAvailability.restartPolicy"},
    {"ha-restart", HA("restartPolicy: always"), HA("restartPolicy: Never"), "spec.highAvailability.restartPolicy"},
    {"ha-node-selector", HA("nodeSelector: {a: \"b c\"}"), HA("nodeSelector: {a: b}"), "spec.highAvailability.nodeSelector[a]"},
    {"toleration-operator", HA("tolerations: [{operator: Exist}]"), HA("tolerations: [{operator: Exists}]"), "spec.highAvailability.tolerations[0].operator"},
    {"toleration-effect", HA("tolerations: [{effect: NoExec}]"), HA("tolerations: [{effect: NoExecute}]"), "spec.highAvailability.tolerations[0].effect"},
    {"gpus-with-clone", CLONE_AND("gpus: [{name: a, deviceName: b}]"), CREATOR(", gpus: [{name: a, deviceName: b}]"), "spec.gpus"},
    {"gpu-name-required", CREATOR(", gpus: [{deviceName: b}]"), CREATOR(", gpus: []"), "spec.gpus[0].name"},
    {"gpu-device-required", CREATOR(", gpus: [{name: b}]"), CREATOR(", gpus: []"), "spec.gpus[0].deviceName"},
    {"restore-with-clone", CLONE_AND("restoreFromSnapshot: a"), CREATOR(", restoreFromSnapshot: a"), "spec.restoreFromSnapshot"},

    {"target-without-clone", CREATOR(", target: {}"), CLONE_AND("target: {}"), "spec.target"},
    {"target-labels-count", "@target.labels 33", "@target.labels 32", "spec.target.labels"},
    {"target-labels", TARGET("labels: {\"a b\": c}"), TARGET("labels: {example.com/a: c}"), "spec.target.labels[a b]"},
    {"target-labels", TARGET("labels: {a: \"-\"}"), TARGET("labels: {a: \"\"}"), "spec.target.labels[a]"},
    {"target-labels", TARGET("labels: {a: \"\u00e9\"}"), TARGET("labels: {a: e}"), "spec.target.labels[a]"},
    {"target-label-reserved", TARGET("labels: {vm.novasphere.dev/wukong-uid: a}"), TARGET("labels: {novasphere.dev/team: a}"), "spec.target.labels[vm.novasphere.dev/wukong-uid]"},
    {"target-label-reserved", TARGET("labels: {kubevirt.io: a}"), TARGET("labels: {kubevirt: a}"), "spec.target.labels[kubevirt.io]"},
    {"target-label-reserved", TARGET("labels: {kubevirt.io/domain: a}"), TARGET("labels: {notkubevirt.io/domain: a}"), "spec.target.labels[kubevirt.io/domain]"},
    {"target-label-reserved", TARGET("labels: {vm.kubevirt.io/name: a}"), TARGET("labels: {vm.kubevirt.io/os: a}"), "spec.target.labels[vm.kubevirt.io/name]"},
    {"target-label-reserved", TARGET("labels: {app.kubernetes.io/instance: a}"), TARGET("labels: {app.kubernetes.io/name: a}"), "spec.target.labels[app.kubernetes.io/instance]"},
    {"target-label-reserved", TARGET("labels: {x.toolkit.fluxcd.io/name: a}"), TARGET("labels: {a/b.kubevirt.io: a}"), "spec.target.labels[x.toolkit.fluxcd.io/name]"},
    {"target-annotations-count", "@target.annotations 33", "@target.annotations 32", "spec.target.annotations"},
    {"target-annotations", TARGET("annotations: {\"a b\": c}"), TARGET("annotations: {A.Example/b: \"any text, \u00e9\"}"), "spec.target.annotations[a b]"},
    {"target-annotations", "@target.annotation 4097", "@target.annotation 4096", "spec.target.annotations[a]"},
    {"target-annotation-reserved", TARGET("annotations: {hooks.kubevirt.io/hookSidecars: a}"), TARGET("annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\"}"), "spec.target.annotations[hooks.kubevirt.io/hookSidecars]"},
    {"target-annotations-size", "@target.large 11", "@target.large 10", "spec.target.annotations"},
    {"target-keep-count", "@target.keep 33", "@target.keep 32", "spec.target.keepAnnotations"},
    {"target-keep", TARGET("keepAnnotations: [\"\"]"), TARGET("keepAnnotations: [a]"), "spec.target.keepAnnotations[0]"},
    {"target-keep", TARGET("keepAnnotations: [a, A.b/]"), TARGET("keepAnnotations: [a, a.b/]"), "spec.target.keepAnnotations[1]"},
    {"target-keep", TARGET("keepAnnotations: [/]"), TARGET("keepAnnotations: [kubevirt.io/ignitiondata]"), "spec.target.keepAnnotations[0]"},
    {"target-keep-notes", TARGET("keepAnnotations: [kubectl.kubernetes.io/last-applied-configuration]"), TARGET("keepAnnotations: [vm.kubevirt.io/os]"), "spec.target.keepAnnotations[0]"},
    {"target-keep-notes", TARGET("keepAnnotations: [ovn.kubernetes.io/]"), TARGET("keepAnnotations: [kubernetes.io/]"), "spec.target.keepAnnotations[0]"},
    {"target-links", TARGET("network: {links: down}"), TARGET("network: {links: Down}"), "spec.target.network.links"},
    {"target-links-sriov", CLONE_AND("networks: [{name: a, nadName: b, type: sriov}], target: {network: {links: Down}}"), CLONE_AND("networks: [{name: a, nadName: b, type: sriov}], target: {network: {links: Keep}}"), "spec.target.network.links"},
    {"target-map-count", "@target.map 17", "@target.map 16", "spec.target.network.map"},
    {"target-map-unique", MAP("{from: a, to: b}, {from: a, to: c}"), MAP("{from: a, to: b}, {from: b, to: b}"), "spec.target.network.map[1].from"},
    {"target-map-with-networks", CLONE_AND("networks: [{name: a, nadName: b}], target: {network: {map: [{from: a, to: b}]}}"), CLONE_AND("networks: [], target: {network: {map: [{from: a, to: b}]}}"), "spec.target.network.map"},
    {"target-map-from-required", MAP("{to: b}"), MAP("{from: a, to: b}"), "spec.target.network.map[0].from"},
    {"target-map-to-required", MAP("{from: a}"), MAP("{from: a, to: pod}"), "spec.target.network.map[0].to"},
    {"target-map-from", "@target.from 318", "@target.from 317", "spec.target.network.map[0].from"},
    {"target-map-from", MAP("{from: \"\", to: b}"), MAP("{from: A_b, to: b}"), "spec.target.network.map[0].from"},
    {"target-map-to", MAP("{from: a, to: A_b}"), MAP("{from: a, to: ns/b}"), "spec.target.network.map[0].to"},
    {"target-cpu-shape", CLONE_AND("cpu: 2, target: {cpuShape: Threads}"), CLONE_AND("cpu: 2, target: {cpuShape: Cores}"), "spec.target.cpuShape"},
    {"target-cpu-shape-alone", TARGET("cpuShape: Cores"), CLONE_AND("cpu: 2, target: {cpuShape: Auto}"), "spec.target.cpuShape"},
    {"expires-without-clone", CREATOR(", expires: {after: 1h, action: Stop}"), EXPIRES("after: 1h, action: Stop"), "spec.expires"},
    {"expires-one", EXPIRES("action: Stop"), EXPIRES("after: 1h, at: null, action: Stop"), "spec.expires"},
    {"expires-one", EXPIRES("after: 1h, at: 2030-01-01T00:00:00Z, action: Stop"), EXPIRES("at: 2030-01-01T00:00:00Z, action: Stop"), "spec.expires"},
    {"expires-action-required", EXPIRES("after: 1h"), EXPIRES("after: 1h, action: Delete"), "spec.expires.action"},
    {"expires-after", EXPIRES("after: 59s, action: Stop"), EXPIRES("after: 60s, action: Stop"), "spec.expires.after"},
    {"expires-after", EXPIRES("after: 8785h, action: Stop"), EXPIRES("after: 8784h, action: Stop"), "spec.expires.after"},
    {"expires-after", EXPIRES("after: 3d, action: Stop"), EXPIRES("after: 72h, action: Stop"), "spec.expires.after"},
    {"expires-at", EXPIRES("at: tomorrow, action: Stop"), EXPIRES("at: \"2030-01-01T00:00:00+08:00\", action: Stop"), "spec.expires.at"},
    {"expires-action", EXPIRES("after: 1h, action: Keep"), EXPIRES("after: 1h, action: Stop"), "spec.expires.action"},
    {"guest-without-clone", CREATOR(", guest: {}"), GUEST(""), "spec.guest"},
    {"guest-replace", GUEST("cloudInit: Replace"), GUEST("cloudInit: Replace, userData: a"), "spec.guest.cloudInit"},
    {"guest-replace", GUEST("cloudInit: Rerun, networkData: a"), GUEST("cloudInit: Replace, userDataSecret: s, networkData: a"), "spec.guest.cloudInit"},
    {"guest-user-data-one", GUEST("cloudInit: Replace, userData: a, userDataSecret: s"), GUEST("cloudInit: Replace, userData: a"), "spec.guest.userData"},
    {"guest-network-data-one", GUEST("cloudInit: Replace, userData: a, networkData: b, networkDataSecret: s"), GUEST("cloudInit: Replace, userData: a, networkDataSecret: s"), "spec.guest.networkData"},
    {"guest-ssh", CLONE_AND("sshKeySecret: k, guest: {cloudInit: Drop}"), CLONE_AND("sshKeySecret: k, guest: {cloudInit: Rerun}"), "spec.guest.cloudInit"},
    {"guest-reset", GUEST("cloudInit: Drop, resetMachineId: true"), GUEST("cloudInit: Drop, resetMachineId: false"), "spec.guest.resetMachineId"},
    {"guest-reset", GUEST("cloudInit: Replace, userDataSecret: s, resetSSHHostKeys: true"), GUEST("cloudInit: Replace, userData: \"#cloud-config\", resetSSHHostKeys: true"), "spec.guest.resetSSHHostKeys"},
    {"guest-reset-data", GUEST("cloudInit: Replace, userData: a, resetSSHHostKeys: true"), GUEST("cloudInit: Replace, userData: \"#!/bin/sh\", resetMachineId: true"), "spec.guest.userData"},
    {"guest-reset-data", GUEST("cloudInit: Replace, userData: \"#cloud-config\\nssh_keys: {}\", resetSSHHostKeys: true"), GUEST("cloudInit: Replace, userData: \"#cloud-config\\nssh_keys: {}\", resetMachineId: true"), "spec.guest.userData"},
    {"guest-hostname-length", CLONE_AND("replicas: 2, guest: {hostname: a1234567890123456789012345678901234567890123456789012345678901}"), CLONE_AND("replicas: 1, guest: {hostname: a1234567890123456789012345678901234567890123456789012345678901}"), "spec.guest.hostname"},
    {"guest-hostname", GUEST("hostname: A.b"), GUEST("hostname: a-b"), "spec.guest.hostname"},
    {"guest-cloud-init", GUEST("cloudInit: drop"), GUEST("cloudInit: Drop"), "spec.guest.cloudInit"},
    {"guest-user-data", "@guest.user 2049", "@guest.user 2048", "spec.guest.userData"},
    {"guest-user-data", GUEST("cloudInit: Replace, userData: \"\""), GUEST("cloudInit: Replace, userData: \" \""), "spec.guest.userData"},
    {"guest-network-data", "@guest.network 2049", "@guest.network 2048", "spec.guest.networkData"},
    {"guest-user-data-secret", GUEST("cloudInit: Replace, userDataSecret: A"), GUEST("cloudInit: Replace, userDataSecret: a.b"), "spec.guest.userDataSecret"},
    {"guest-network-data-secret", GUEST("cloudInit: Replace, userData: a, networkDataSecret: A"), GUEST("cloudInit: Replace, userData: a, networkDataSecret: a"), "spec.guest.networkDataSecret"},

    {"policy-max-lifetime", POLICY("{rules: {maxLifetime: 3d}}"), POLICY("{rules: {maxLifetime: 72h}}"), "spec.rules.maxLifetime"},
    {"target-references-count", "@target.references 33", "@target.references 32", "spec.target.references"},
    {"target-references-unique", REFERS("{kind: Secret, from: a, to: b}, {kind: Secret, from: a, to: c}"), REFERS("{kind: Secret, from: a, to: b}, {kind: ConfigMap, from: a, to: b}"), "spec.target.references[1]"},
    {"target-reference-kind-required", REFERS("{from: a, to: b}"), REFERS("{kind: ConfigMap, from: a, to: b}"), "spec.target.references[0].kind"},
    {"target-reference-from-required", REFERS("{kind: Secret, to: b}"), REFERS("{kind: Secret, from: a, to: b}"), "spec.target.references[0].from"},
    {"target-reference-to-required", REFERS("{kind: Secret, from: a}"), REFERS("{kind: Secret, from: a, to: b}"), "spec.target.references[0].to"},
    {"target-reference-kind", REFERS("{kind: secret, from: a, to: b}"), REFERS("{kind: Secret, from: a, to: b}"), "spec.target.references[0].kind"},
    {"target-reference-from", REFERS("{kind: Secret, from: A_b, to: b}"), REFERS("{kind: Secret, from: a.b, to: b}"), "spec.target.references[0].from"},
    {"target-reference-to", REFERS("{kind: Secret, from: a, to: B}"), REFERS("{kind: Secret, from: a, to: b}"), "spec.target.references[0].to"},
    {"target-reference-namespace", REFERS("{kind: Secret, from: a, to: ns/b}"), REFERS("{kind: NetworkAttachmentDefinition, from: ns/a, to: ns/b}"), "spec.target.references[0].to"},
    {"target-overrides-size", "@target.overrides 3000", "@target.overrides 1500", "spec.target.overrides"},
    {"target-overrides-depth", OVER("a: {b: {c: {d: {e: {f: {g: {h: [[[[[[[[[1]]]]]]]]]}}}}}}}"), OVER("a: {b: {c: {d: {e: {f: {g: {h: [[[[[[[[1]]]]]]]]}}}}}}}"), "spec.target.overrides"},
    {"target-overrides-protected", OVER("template: {spec: {domain: {devices: {interfaces: []}}}}"), OVER("template: {spec: {domain: {devices: {rng: {}}}}}"), "spec.target.overrides.template.spec.domain.devices.interfaces"},
    {"target-overrides-protected", OVER("template: {metadata: null}"), OVER("template: {spec: {}}"), "spec.target.overrides.template.metadata"},
    {"target-overrides-protected", OVER("template: {Spec: {Volumes: []}}"), OVER("template: {spec: {nodeSelector: {Volumes: a}}}"), "spec.target.overrides.template.Spec.Volumes"},
    {"target-overrides-parent", OVER("template: null"), OVER("template: {}"), "spec.target.overrides.template"},
    {"target-overrides-parent", OVER("template: {spec: {domain: {firmware: []}}}"), OVER("template: {spec: {domain: {firmware: {bootloader: null}}}}"), "spec.target.overrides.template.spec.domain.firmware"},
    {"target-overrides-claim", OVER("template: {spec: {new: [{claimName: a}]}}"), OVER("template: {spec: {domain: {devices: {gpus: [{claimName: a}]}}}}"), "spec.target.overrides.template.spec.new[].claimName"},
    {"target-overrides-key", OVER("template: {\"\\u017fpec\": {}}"), OVER("template: {spec: {nodeSelector: {a.b/c: d}}}"), "spec.target.overrides.template.\xc5\xbfpec"},

    {"policy-overrides", POLICY("{rules: {overrides: Never}}"), POLICY("{rules: {overrides: Forbidden}}"), "spec.rules.overrides"},
    {"policy-override-path", POLICY("{rules: {overridePaths: [a..b]}}"), POLICY("{rules: {overridePaths: [a, a.b2]}}"), "spec.rules.overridePaths[0]"},
    {"policy-override-path", POLICY("{rules: {overridePaths: [\"a.b[]\"]}}"), POLICY("{rules: {overridePaths: []}}"), "spec.rules.overridePaths[0]"},
    {"policy-isolation", POLICY("{rules: {isolation: None}}"), POLICY("{rules: {isolation: Required}}"), "spec.rules.isolation"},
    {"policy-required-label", POLICY("{rules: {requiredLabels: [\"a b\"]}}"), POLICY("{rules: {requiredLabels: [a, b.c/d]}}"), "spec.rules.requiredLabels[0]"},
    {"policy-required-label", POLICY("{rules: {requiredLabels: [kubevirt.io/vm]}}"), POLICY("{rules: {requiredLabels: []}}"), "spec.rules.requiredLabels[0]"},
    {"policy-clone-types", POLICY("{rules: {cloneTypes: [full, Running]}}"), POLICY("{rules: {cloneTypes: [full, running]}}"), "spec.rules.cloneTypes[1]"},
    {"policy-placement", POLICY("{rules: {placement: any}}"), POLICY("{rules: {placement: Any}}"), "spec.rules.placement"},
    {"policy-require-source", POLICY("{rules: {requireSource: \"Yes\"}}"), POLICY("{rules: {requireSource: Running}}"), "spec.rules.requireSource"},
    {"policy-quiesce", POLICY("{rules: {quiesce: Never}}"), POLICY("{rules: {quiesce: Required}}"), "spec.rules.quiesce"},
    {"policy-minimum-consistency", POLICY("{rules: {minimumConsistency: Offline}}"), POLICY("{rules: {minimumConsistency: CrashConsistentPerDisk}}"), "spec.rules.minimumConsistency"},
    {"policy-cut-rule", POLICY("{rules: {cutRule: Created}}"), POLICY("{rules: {cutRule: Ready}}"), "spec.rules.cutRule"},
    {"policy-unknown-driver-cut-rule", POLICY("{rules: {unknownDriverCutRule: Created}}"), POLICY("{rules: {unknownDriverCutRule: Refuse}}"), "spec.rules.unknownDriverCutRule"},
    {"policy-quantity", POLICY("{rules: {maxDiskSize: 1GB}}"), POLICY("{rules: {maxDiskSize: 1Gi}}"), "spec.rules.maxDiskSize"},
    {"policy-storage", POLICY("{limits: {storagePerTargetNamespace: 0}}"), POLICY("{limits: {storagePerTargetNamespace: 1}}"), "spec.limits.storagePerTargetNamespace"},
    {"policy-max-replicas", POLICY("{rules: {maxReplicas: 0}}"), POLICY("{rules: {maxReplicas: 1}}"), "spec.rules.maxReplicas"},
    {"policy-limit-cluster", POLICY("{limits: {concurrentPerCluster: 0}}"), POLICY("{limits: {concurrentPerCluster: 1}}"), "spec.limits.concurrentPerCluster"},
    {"policy-limit-source", POLICY("{limits: {concurrentPerSource: 0}}"), POLICY("{limits: {concurrentPerSource: 1}}"), "spec.limits.concurrentPerSource"},
    {"policy-limit-namespace", POLICY("{limits: {concurrentPerTargetNamespace: 0}}"), POLICY("{limits: {concurrentPerTargetNamespace: 1}}"), "spec.limits.concurrentPerTargetNamespace"},
    {"policy-limit-class", POLICY("{limits: {concurrentPerStorageClass: 0}}"), POLICY("{limits: {concurrentPerStorageClass: 1}}"), "spec.limits.concurrentPerStorageClass"},
    {"policy-limit-snapshots", POLICY("{limits: {retainedSnapshotsPerSource: 0}}"), POLICY("{limits: {retainedSnapshotsPerSource: 1}}"), "spec.limits.retainedSnapshotsPerSource"},
    {"policy-window-schedule-required", POLICY("{windows: [{duration: 1h}]}"), POLICY("{windows: []}"), "spec.windows[0].schedule"},
    {"policy-window-duration-required", POLICY("{windows: [{schedule: \"@daily\"}]}"), POLICY("{windows: []}"), "spec.windows[0].duration"},
    {"policy-window-schedule", POLICY("{windows: [{schedule: daily, duration: 1h}]}"), POLICY("{windows: [{schedule: \"@daily\", duration: 1h}]}"), "spec.windows[0].schedule"},
    {"policy-window-never", POLICY("{windows: [{schedule: \"0 0 31 4 *\", duration: 1h}]}"), POLICY("{windows: [{schedule: \"0 0 30 4 *\", duration: 1h}]}"), "spec.windows[0].schedule"},
    {"policy-window-duration", POLICY("{windows: [{schedule: \"@daily\", duration: 1d}]}"), POLICY("{windows: [{schedule: \"@daily\", duration: 24h}]}"), "spec.windows[0].duration"},
    {"policy-window-time-zone", POLICY("{windows: [{schedule: \"@daily\", duration: 1h, timeZone: X}]}"), POLICY("{windows: [{schedule: \"@daily\", duration: 1h, timeZone: CET}]}"), "spec.windows[0].timeZone"},
    {"policy-outside-window", POLICY("{outsideWindow: wait}"), POLICY("{outsideWindow: Wait}"), "spec.outsideWindow"},
    {"policy-actions-supported", POLICY("{validationActions: [Block]}"), POLICY("{validationActions: [Deny, Audit]}"), "spec.validationActions[0]"},
    {"policy-actions", POLICY("{validationActions: [Deny, Warn]}"), POLICY("{validationActions: [Warn, Audit]}"), "spec.validationActions"},
    {"policy-subject-kind", POLICY("{match: {subjects: [{kind: Robot, name: a}]}}"), POLICY("{match: {subjects: [{kind: User, name: a}]}}"), "spec.match.subjects[0].kind"},
    {"policy-exclude-subject-kind", POLICY("{exclude: {subjects: [{kind: Robot, name: a}]}}"), POLICY("{exclude: {subjects: [{kind: Group, name: a}]}}"), "spec.exclude.subjects[0].kind"},
    {"policy-subject-namespace", POLICY("{match: {subjects: [{kind: ServiceAccount, name: a}]}}"), POLICY("{match: {subjects: [{kind: ServiceAccount, name: a, namespace: b}]}}"), "spec.match.subjects[0].namespace"},
    {"policy-exclude-subject-namespace", POLICY("{exclude: {subjects: [{kind: User, name: a, namespace: b}]}}"), POLICY("{exclude: {subjects: [{kind: User, name: a}]}}"), "spec.exclude.subjects[0].namespace"},
    {"policy-selector", POLICY("{match: {source: {namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}}}"), POLICY("{match: {source: {namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}}}"), "spec.match.source.namespaceSelector"},
};
/* clang-format on */

/* --- Rows that would be too long to write: "@what N" --- */

#define TEXT_16 "0123456789abcdef"
#define TEXT_256                                                                                   \
    TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16        \
        TEXT_16 TEXT_16 TEXT_16 TEXT_16 TEXT_16
#define TEXT_3K                                                                                    \
    TEXT_256 TEXT_256 TEXT_256 TEXT_256 TEXT_256 TEXT_256 TEXT_256 TEXT_256 TEXT_256 TEXT_256      \
        TEXT_256 TEXT_256

struct maker {
    const char *what, *head, *item, *tail;
    /* N characters of one string, of three bytes each but the first, as against N items. */
    enum { ITEMS, CHARACTERS, ONE_BYTE } of;
};

/* In an item %zu is its index. */
/* clang-format off */
static const struct maker makers[] = {
    {"networks", CREATOR_HEAD ", networks: [", "{name: n%zu},", "]}}", ITEMS},
    {"disks", CLONE_HEAD ", disks: [", "{name: n%zu},", "]}}", ITEMS},
    {"gpus", CREATOR_HEAD ", gpus: [", "{name: n%zu, deviceName: d},", "]}}", ITEMS},
    {"groups", CREATOR_HEAD ", cloudInitUser: {name: u, groups: [", "g%zu,", "]}}}", ITEMS},
    {"tolerations", CREATOR_HEAD ", highAvailability: {tolerations: [", "{key: k%zu},", "]}}}", ITEMS},
    {"nodeSelector", CREATOR_HEAD ", highAvailability: {nodeSelector: {", "k%zu: v,", "}}}}", ITEMS},
    {"dns", CREATOR_HEAD ", networks: [{name: nic, ipConfig: {mode: dhcp, dnsServers: [", "10.0.0.%zu,", "]}}]}}", ITEMS},
    {"osImage", CREATOR_HEAD ", osImage: ", "x", "}}", CHARACTERS},
    {"image", "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w}, spec: {cpu: 1, memory: 1Gi, disks: [{name: d, size: 1Gi, storageClassName: s, image: ", "x", "}]}}", CHARACTERS},
    {"user.name", CREATOR_HEAD ", cloudInitUser: {name: ", "x", "}}}", CHARACTERS},
    {"user.password", CREATOR_HEAD ", cloudInitUser: {name: u, password: ", "x", "}}}", CHARACTERS},
    {"user.passwordHash", CREATOR_HEAD ", cloudInitUser: {name: u, passwordHash: ", "x", "}}}", CHARACTERS},
    {"user.sudo", CREATOR_HEAD ", cloudInitUser: {name: u, sudo: ", "x", "}}}", CHARACTERS},
    {"user.shell", CREATOR_HEAD ", cloudInitUser: {name: u, shell: ", "x", "}}}", CHARACTERS},
    {"group", CREATOR_HEAD ", cloudInitUser: {name: u, groups: [", "x", "]}}}", CHARACTERS},
    {"net.bridgeName", CREATOR_HEAD ", networks: [{name: nic, bridgeName: ", "x", "}]}}", CHARACTERS},
    {"net.physicalInterface", CREATOR_HEAD ", networks: [{name: nic, physicalInterface: ", "x", "}]}}", CHARACTERS},
    {"toleration.key", CREATOR_HEAD ", highAvailability: {tolerations: [{key: ", "x", "}]}}}", CHARACTERS},
    {"toleration.value", CREATOR_HEAD ", highAvailability: {tolerations: [{value: ", "x", "}]}}}", CHARACTERS},
    {"gpu.name", CREATOR_HEAD ", gpus: [{deviceName: d, name: ", "x", "}]}}", CHARACTERS},
    {"gpu.deviceName", CREATOR_HEAD ", gpus: [{name: d, deviceName: ", "x", "}]}}", CHARACTERS},
    {"target.labels", CLONE_HEAD ", target: {labels: {", "k%zu: v,", "}}}}", ITEMS},
    {"target.annotations", CLONE_HEAD ", target: {annotations: {", "k%zu: v,", "}}}}", ITEMS},
    {"target.annotation", CLONE_HEAD ", target: {annotations: {a: ", "x", "}}}}", CHARACTERS},
    {"target.large", CLONE_HEAD ", target: {annotations: {", "k%zu: " TEXT_3K ",", "}}}}", ITEMS},
    {"guest.user", CLONE_HEAD ", guest: {cloudInit: Replace, userData: ", "x", "}}}", ONE_BYTE},
    {"guest.network", CLONE_HEAD ", guest: {cloudInit: Replace, userData: a, networkData: ", "x", "}}}", ONE_BYTE},
    {"target.references", CLONE_HEAD ", target: {references: [", "{kind: Secret, from: n%zu, to: a},", "]}}}", ITEMS},
    {"target.overrides", CLONE_HEAD ", target: {overrides: {a: [", "k%zu,", "]}}}}", ITEMS},
    {"target.map", CLONE_HEAD ", target: {network: {map: [", "{from: n%zu, to: a},", "]}}}}", ITEMS},
    {"target.from", CLONE_HEAD ", target: {network: {map: [{to: a, from: ", "x", "}]}}}}", CHARACTERS},
    {"target.keep", CLONE_HEAD ", target: {keepAnnotations: [", "k%zu,", "]}}}", ITEMS},
    {"restore", CREATOR_HEAD ", restoreFromSnapshot: ", "x", "}}", CHARACTERS},
};
/* clang-format on */

static char *expand(const char *text)
{
    char what[64];
    size_t n;
    if (*text != '@')
        return xstrdup(text);
    assert_int_equal(sscanf(text, "@%63s %zu", what, &n), 2);
    CLEANUP_BUF struct buf b = BUF_INIT(MIB);
    for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
        const struct maker *m = &makers[i];
        if (!str_eq(m->what, what))
            continue;
        buf_adds(&b, m->head);
        for (size_t k = 0; k < n; k++) {
            /* Characters of three bytes: lengths count characters. */
            const char *at = m->of != ITEMS ? NULL : strstr(m->item, "%zu");
            if (m->of != ITEMS)
                buf_adds(&b, k && m->of == CHARACTERS ? "\xe4\xbd\xa0" : "x");
            else
                buf_addf(&b, "%.*s%zu%s", (int)(at - m->item), m->item, k, at + 3);
        }
        buf_adds(&b, m->tail);
        return buf_take(&b);
    }
    fail_msg("no maker for %s", text);
    return NULL;
}

#endif
