/*
 * Sources as KubeVirt 1.9 serves them, clusters, and what the rules about both find: one row or
 * more per rule. test_source.c judges them with the library, test_answers.c lets the webhook look
 * them up.
 */
#ifndef TESTS_WUKONG_ROWS_SOURCE_H
#define TESTS_WUKONG_ROWS_SOURCE_H

#include "support.h"
#include "wukong/source/facts.h"

/* --- Parts of a source --- */

#define VOLUMES                                                                                    \
    "volumes: [{name: root, persistentVolumeClaim: {claimName: web-root}},"                        \
    " {name: data, dataVolume: {name: web-data}}, {name: ci, cloudInitNoCloud: {userData: "        \
    "\"#cloud-config\"}}]"
#define DOMAIN(more)                                                                               \
    "domain: {devices: {disks: [{name: root, bootOrder: 2}, {name: data}]" more "}}"
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

#define FORMATS                                                                                    \
    "volumes: [{name: root, persistentVolumeClaim: {claimName: web-root}}, {name: ci, "            \
    "cloudInitNoCloud: {userData: \"#cloud-config\\nfs_setup: [{device: /dev/vda, overwrite: true" \
    "}]\"}}], domain: {devices: {disks: [{name: root, disk: {bus: virtio}}, {name: ci, disk: "     \
    "{bus: "                                                                                       \
    "virtio}}]}}"
#define VMI_LAN(binding)                                                                           \
    VMI(VOLUMES ", networks: [{name: l, multus: {networkName: lan}}], " DOMAIN(                    \
            ", interfaces: [{name: l, " binding "}]"),                                             \
        RUNNING)
/* It starts from a throw-away layer over a golden image. */
#define OVERLAY                                                                                    \
    "volumes: [{name: os, ephemeral: {persistentVolumeClaim: {claimName: golden}}}, {name: root, " \
    "persistentVolumeClaim: {claimName: web-root}}], domain: {devices: {disks: [{name: os, "       \
    "bootOrder: 1}, {name: root}]}}"
#define OVERLAY_STATUS "volumeSnapshotStatuses: [{name: os, enabled: false, reason: not supported}]"

/* What it names of its own namespace: two Secrets, one of them twice, a ConfigMap, a network; an
   optional ConfigMap and a network of a named namespace need nothing. */
#define NEEDY                                                                                      \
    "volumes: [{name: root, persistentVolumeClaim: {claimName: web-root}}, {name: a, secret: "     \
    "{secretName: s-1}}, {name: b, cloudInitNoCloud: {secretRef: {name: s-1}}}, {name: c, "        \
    "configMap: {name: c-1}}, {name: d, configMap: {name: c-2, optional: true}}], "                \
    "networks: [{name: l, multus: {networkName: lan}}, {name: o, multus: {networkName: net/wan}}"  \
    "], accessCredentials: [{sshPublicKey: {source: {secret: {secretName: s-2}}, "                 \
    "propagationMethod: "                                                                          \
    "{noCloud: {}}}}], " DOMAIN("")
/* A full clone of two disks that is not to be started; what is said of the first disk. */
#define NOT_STARTED(disk, source)                                                                  \
    WUKONG("{cloneSource: {type: vm, vmName: web" source "}, disks: [{name: root" disk "}, "       \
           "{name: data}], startStrategy: {autoStart: false}}")
#define FROM_ELSEWHERE(more)                                                                       \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w, namespace: team}," \
    " spec: {cloneSource: {type: vmi, vmiName: web, namespace: prod}" more "}}"

#define FROM_ELSEWHERE_ALLOWING(names)                                                             \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w, namespace: team}," \
    " spec: {cloneSource: {type: vmi, vmiName: web, namespace: prod, allowSecrets: " names "}}}"

#define PVC(more)                                                                                  \
    "{spec: {storageClassName: fast, volumeMode: Block, accessModes: [ReadWriteOnce], resources: " \
    "{requests: {storage: 9Gi}}}, status: {phase: Bound, capacity: {storage: 10Gi}}" more "}"

/* --- Clusters --- */

static const struct storage_class_facts storage[] = {
    {"fast", "d.csi", true, true, false},     {"fixed", "d.csi", false, false, false},
    {"slow", "e.csi", true, false, false},    {"late", "d.csi", true, false, true},
    {"slowlate", "e.csi", true, false, true}, {"local", "local", false, false, false}};
/* The last three are chosen by name alone. */
static const struct snapshot_class_facts snapshot[] = {
    {"snap", "d.csi", true, true, {0}, false, NULL},
    {"never",
     "d.csi",
     false,
     true,
     {CUT_RULE_REFUSE, CUT_BY_ANNOTATION, false, true, NULL, false},
     false,
     NULL},
    {"long",
     "d.csi",
     false,
     true,
     {CUT_RULE_CREATED, CUT_BY_DEFAULT, true, false, NULL, false},
     false,
     NULL},
    {"files",
     "d.csi",
     false,
     true,
     {CUT_RULE_WHILE_FROZEN, CUT_BY_ANNOTATION, false, true, NULL, false},
     false,
     NULL},
    {"group", "d.csi", false, false, {0}, true, NULL}};
#define GROUP ", snapshotMethod: VolumeGroupSnapshot"
static const char *const drivers[] = {"d.csi", "e.csi"};

enum cluster {
    NORMAL,
    WITH_CDI,
    NO_CLASS,
    NO_API,
    NOT_CSI,
    UNKNOWN,
    NO_CLONING, /* a driver has refused to clone a volume */
    NO_CLONING_NO_CLASS,
    NO_CLONING_CDI,
    CDI_NO_CLASS
};

static struct class_facts cluster(enum cluster kind)
{
    struct class_facts c = {
        .looked_up = kind != UNKNOWN,
        .snapshot_api = kind != NO_API,
        .group_api = kind != NO_API,
        .cdi = kind == WITH_CDI || kind == NO_CLONING_CDI || kind == CDI_NO_CLASS,
        .drivers_known = true,
        .storage_classes = storage,
        .storage_class_count = ARRAY_LEN(storage),
        .snapshot_classes = snapshot,
        .cloning_refused = kind >= NO_CLONING && kind != CDI_NO_CLASS,
        .snapshot_class_count =
            kind == NO_CLASS || kind == NO_CLONING_NO_CLASS || kind == CDI_NO_CLASS
                ? 0
                : ARRAY_LEN(snapshot),
        .drivers = drivers,
        .driver_count = kind == NOT_CSI ? 0 : ARRAY_LEN(drivers)};
    return c;
}

/* --- Rows --- */

struct source_row {
    const char *wukong, *vm, *vmi, *pvc; /* pvc NULL: every claim is missing */
    enum cluster cluster;
    const char *rule; /* NULL: nothing at all is found */
    const char *field, *word;
};

#define OK_PVC PVC("")

/* clang-format off */
static const struct source_row source_rows[] = {
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
    {VM_CLONE(", cloneType: running"), VM_HALTED, NULL, OK_PVC, NORMAL, "source-will-start", "spec.cloneSource.vmName", "worker will start it"},
    {VM_CLONE(", cloneType: running"), VM(VM_META, "running: false", PLAIN, ""), NULL, OK_PVC, NORMAL, "source-will-start", "spec.cloneSource.vmName", NULL},
    {VM_CLONE(", cloneType: running"), VM("metadata: {name: web, annotations: {argocd.argoproj.io/tracking-id: x}}", "runStrategy: Halted", PLAIN, ""), NULL, OK_PVC, NORMAL, "source-gitops", "spec.cloneSource.vmName", "Manual"},
    {VM_CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "source-running", "spec.cloneSource.vmName", "stop it"},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "{type: Paused, status: \"True\"}", "")), OK_PVC, NORMAL, "source-paused", "spec.cloneSource.vmiName", NULL},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", ", migrationState: {startTimestamp: x, completed: false}")), OK_PVC, NORMAL, "source-migrating", "spec.cloneSource.vmiName", NULL},
    {CLONE(", quiesce: Never"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", ", migrationState: {startTimestamp: x}")), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(", quiesce: Never"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", ", migratedVolumes: [{volumeName: root}]")), OK_PVC, NORMAL, "source-busy", "spec.cloneSource.vmiName", "KubeVirt is migrating its volumes"},
    {CLONE(", quiesce: Never"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "{type: VolumesChange, status: \"True\"}", "")), OK_PVC, NORMAL, "source-busy", "spec.cloneSource.vmiName", "KubeVirt is migrating its volumes"},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "{type: VolumesChange, status: \"False\"}", ", migratedVolumes: []")), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "{type: OverlaySnapshotActive, status: \"True\"}", "")), OK_PVC, NORMAL, "source-busy", "spec.cloneSource.vmiName", "overlays"},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", ", changedBlockTracking: {backupStatus: {backupName: nightly}}")), OK_PVC, NORMAL, "source-busy", "spec.cloneSource.vmiName", "VirtualMachineBackup nightly"},
    {CLONE(""), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", ", changedBlockTracking: {backupStatus: {backupName: nightly, completed: true}}")), OK_PVC, NORMAL, NULL, NULL, NULL},
    {VM_CLONE(""), VM(VM_META, "runStrategy: Halted", PLAIN, "restoreInProgress: back"), NULL, OK_PVC, NORMAL, "source-busy", "spec.cloneSource.vmName", "VirtualMachineRestore back"},
    {VM_CLONE(""), VM(VM_META, "runStrategy: Halted", PLAIN, "snapshotInProgress: nightly"), NULL, OK_PVC, NORMAL, "source-busy", "spec.cloneSource.vmName", "VirtualMachineSnapshot nightly"},
    {VM_CLONE(""), VM(VM_META, "runStrategy: Halted", PLAIN, "conditions: [{type: ManualRecoveryRequired, status: \"True\"}]"), NULL, OK_PVC, NORMAL, "source-busy", "spec.cloneSource.vmName", "half copied"},
    {CLONE(", quiesce: Required"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", "")), OK_PVC, NORMAL, "source-no-agent", "spec.cloneSource.quiesce", "agent"},
    {CLONE(", quiesce: Never"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "{type: Paused, status: \"True\"}", ", migrationState: {completed: true}")), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), VM_RUNNING, VMI(VOLUMES ", domain: {devices: {tpm: {persistent: true}}}", RUNNING), OK_PVC, NORMAL, "source-tpm", "spec.cloneSource.vmiName", "TPM"},
    {CLONE(""), VM_RUNNING, VMI(VOLUMES ", domain: {devices: {tpm: {enabled: false, persistent: true}}}", RUNNING), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), VM_RUNNING, VMI(VOLUMES ", domain: {firmware: {bootloader: {efi: {persistent: true}}}}", RUNNING), OK_PVC, NORMAL, "source-efi", "spec.cloneSource.vmiName", "EFI"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: h, hostDisk: {path: /x, type: Disk}}]", RUNNING), OK_PVC, NORMAL, "source-host-disk", "spec.cloneSource.vmiName", ": h;"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: nov, novel: {claimName: b}}]", RUNNING), OK_PVC, NORMAL, "source-volume", "spec.cloneSource.vmiName", ": nov;"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: nov, secret: {secretName: b}, emptyDisk: {}}]", RUNNING), OK_PVC, NORMAL, "source-volume", "spec.cloneSource.vmiName", ": nov;"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: m, memoryDump: {claimName: b}}]", RUNNING), OK_PVC, NORMAL, "source-volume-dropped", "spec.cloneSource.vmiName", "\"m\" is left out: it is a dump"},
    {FROM_ELSEWHERE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: p, containerPath: {path: /run}}]", RUNNING), OK_PVC, NORMAL, "source-volume-dropped", "spec.cloneSource.vmiName", "\"p\" is left out: it shows"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: p, containerPath: {path: /run}}]", RUNNING), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), VM_RUNNING, VMI(OVERLAY, RUNNING), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), VM(VM_META, "runStrategy: Always", OVERLAY, OVERLAY_STATUS), VMI(OVERLAY, RUNNING), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("disks: [{name: root}]"), VM_RUNNING, VMI(OVERLAY, RUNNING), OK_PVC, NORMAL, "disk-boot-left-out", "spec.disks", "\"os\""},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), VM(VM_META, "runStrategy: Always", OVERLAY, OVERLAY_STATUS), VMI(OVERLAY, RUNNING), OK_PVC, NORMAL, "disk-unsnapshottable", "spec.cloneSource", "not supported"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: c, containerDisk: {image: x}}]", RUNNING), OK_PVC, NORMAL, "source-no-disks", "spec.cloneSource.vmiName", NULL},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), NULL, VMI_RUNNING, OK_PVC, NORMAL, "vmsnapshot-standalone", "spec.cloneSource.snapshotMethod", NULL},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},

    {FROM_ELSEWHERE(""), VM_RUNNING, VMI(NEEDY, RUNNING), OK_PVC, NORMAL, "source-secret", "spec.cloneSource.vmiName", "Secret \"s-1\" is not in allowSecrets: volume \"a\" is left out"},
    {FROM_ELSEWHERE_ALLOWING("[s-1]"), VM_RUNNING, VMI(NEEDY, RUNNING), OK_PVC, NORMAL, "source-needs", "spec.cloneSource.vmiName", "the new VM needs Secret \"s-1\" in its own namespace"},
    {FROM_ELSEWHERE(""), VM_RUNNING, VMI(NEEDY, RUNNING), OK_PVC, NORMAL, "source-needs", "spec.cloneSource.vmiName", "ConfigMap \"c-1\""},
    {FROM_ELSEWHERE(""), VM_RUNNING, VMI(NEEDY, RUNNING), OK_PVC, NORMAL, "source-needs", "spec.cloneSource.vmiName", "NetworkAttachmentDefinition \"lan\""},
    {FROM_ELSEWHERE(", networks: [{name: default, nadName: lan}]"), VM_RUNNING, VMI(NEEDY, RUNNING), OK_PVC, NORMAL, "source-secret", "spec.cloneSource.vmiName", "Secret \"s-2\" is not in allowSecrets: its access credential is left out"},

    {CLONE(""), VM_RUNNING, VMI("hostname: db, " PLAIN, RUNNING), OK_PVC, NORMAL, "source-differs", "spec.cloneSource.vmiName", "hostname \"db\""},
    {CLONE(""), "{" VM_META ", spec: {runStrategy: Always, template: {metadata: {annotations: {hooks.kubevirt.io/hookSidecars: x}}, spec: {" PLAIN "}}}}", VMI_RUNNING, OK_PVC, NORMAL, "source-differs", "spec.cloneSource.vmiName", "no hook sidecar"},
    {CLONE(""), NULL, "{metadata: {name: web, namespace: prod, annotations: {kubevirt.io/ignitiondata: x}}, spec: {" PLAIN "}, " RUNNING "}", OK_PVC, NORMAL, "source-differs", "spec.cloneSource.vmiName", "Ignition"},
    {CLONE(""), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: a}}, {name: c, cloudInitNoCloud: {networkDataBase64: dmVyc2lvbjogMgpldGhlcm5ldHM6IHtlOiB7YWRkcmVzc2VzOiBbMTkyLjAuMi4xMC8yNF19fQ==}}]", RUNNING), OK_PVC, NORMAL, "source-differs", "spec.cloneSource.vmiName", "fixed address 192.0.2.10/24"},
    {FROM_ELSEWHERE_ALLOWING("[s-1]"), VM_RUNNING, VMI(NEEDY, RUNNING), OK_PVC, NORMAL, "source-differs", "spec.cloneSource.vmiName", "user data of \"b\" in a Secret, which Wukong does not read"},

    {CLONE_AND("disks: [{name: rot}, {name: data}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-missing", "spec.disks[0].name", "did you mean \"root\"?"},
    {CLONE_AND("disks: [{name: x, sourceDisk: nope}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-missing", "spec.disks[0].sourceDisk", "\"root\", \"data\""},
    {CLONE_AND("disks: [{name: ci}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-no-data", "spec.disks[0].name", "cloudInitNoCloud"},
    /* The first disk has bootOrder 2, the second none: it boots from the first. */
    {CLONE_AND("disks: [{name: data}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-boot-left-out", "spec.disks", "\"root\""},
    {CLONE_AND("disks: [{name: root}]"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "disk-left-out", "spec.disks", "\"data\""},
    {CLONE(""), VM_RUNNING, VMI_RUNNING, "{spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 9Gi}}}, status: {phase: Pending}}", NORMAL, "disk-claim-unbound", "spec.cloneSource", "start the VM once"},
    {CLONE(""), VM_RUNNING, VMI(VOLUMES ", domain: {devices: {disks: [{name: root, disk: {bus: virtio}, shareable: true}]}}", RUNNING), OK_PVC, NORMAL, "disk-shared", "spec.cloneSource", "another machine"},
    {CLONE(""), VM_RUNNING, VMI(VOLUMES ", domain: {devices: {disks: [{name: data, lun: {bus: scsi}}]}}", RUNNING), OK_PVC, NORMAL, "disk-shared", "spec.cloneSource", "another machine"},
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
    {NOT_STARTED(", storageClassName: late", ""), VM_HALTED, NULL, OK_PVC, NO_CLASS, "disk-waits", "spec.disks[0].storageClassName", "d.csi"},
    {VM_CLONE(", namespace: prod"), VM_HALTED, NULL, OK_PVC, NOT_CSI, "disk-method", "spec.cloneSource", "d.csi"},

    {CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_CLASS, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "d.csi"},
    {CLONE(GROUP), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(GROUP ", volumeGroupSnapshotClassName: group"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(GROUP ", volumeGroupSnapshotClassName: snap"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "group-class", "spec.cloneSource.volumeGroupSnapshotClassName", "group"},
    {CLONE(GROUP), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_CLASS, "group-class", "spec.cloneSource.volumeGroupSnapshotClassName", "VolumeGroupSnapshotClass"},
    {CLONE(GROUP), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_API, "group-class", "spec.cloneSource.volumeGroupSnapshotClassName", "groupsnapshot.storage.k8s.io"},
    {CLONE(", volumeGroupSnapshotClassName: group"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(", volumeGroupSnapshotClassName: snap"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "group-class-unused", "spec.cloneSource.volumeGroupSnapshotClassName", "\"snap\""},
    {CLONE(", volumeSnapshotClassName: group"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "snap"},
    {CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_API, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "snapshot.storage.k8s.io"},
    {CLONE(", volumeSnapshotClassName: nope"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "snap"},
    {CLONE(", allowUnsnapshottable: true, volumeSnapshotClassName: nope"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "snapshot-class", "spec.cloneSource.volumeSnapshotClassName", "snap"},
    {CLONE(", allowUnsnapshottable: true"), VM_RUNNING, VMI_RUNNING, OK_PVC, NO_CLASS, "source-no-disks", "spec.cloneSource.vmiName", NULL},
    {CLONE(", volumeSnapshotClassName: never"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "cut-refused", "spec.cloneSource.volumeSnapshotClassName", "\"never\""},
    {VM_CLONE(", cloneType: linked, volumeSnapshotClassName: never"), VM_HALTED, NULL, OK_PVC, NORMAL, "cut-refused", "spec.cloneSource.volumeSnapshotClassName", "d.csi"},
    {CLONE(", volumeSnapshotClassName: long, quiesce: Required"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "cut-slow", "spec.cloneSource.quiesce", "long"},
    {CLONE(", volumeSnapshotClassName: long"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(", volumeSnapshotClassName: files, quiesce: Never"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "cut-unfrozen", "spec.cloneSource.quiesce", "files"},
    {CLONE(", volumeSnapshotClassName: files"), VM_RUNNING, VMI(PLAIN, VMI_STATUS("Running", "", "")), OK_PVC, NORMAL, "cut-unfrozen", "spec.cloneSource.quiesce", "files"},
    {CLONE(", volumeSnapshotClassName: files"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {VM_CLONE(", cloneType: linked, volumeSnapshotClassName: files"), VM_HALTED, NULL, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(""), VM_RUNNING, VMI_RUNNING, OK_PVC, UNKNOWN, NULL, NULL, NULL},
    {CLONE(""), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, "disk-unsnapshottable", "spec.cloneSource", "no class"},
    {CLONE(""), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, UNKNOWN, "disk-unsnapshottable", "spec.cloneSource", "no class"},
    {CLONE(", volumeSnapshotClassName: snap"), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE(", snapshotMethod: VirtualMachineSnapshot"), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, "disk-unsnapshottable", "spec.cloneSource", NULL},
    {CLONE(", allowUnsnapshottable: true"), VM(VM_META, "runStrategy: Always", PLAIN, UNSNAPSHOTTABLE), VMI_RUNNING, OK_PVC, NORMAL, "disk-left-out", "spec.disks", "no class"},
    {CLONE(""), VM_RUNNING, VMI(FORMATS, RUNNING), OK_PVC, NORMAL, "source-formats", "spec.guest.cloudInit", "formats /dev/vda (disk \"root\")"},
    {CLONE_AND("guest: {resetMachineId: true}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("guest: {resetMachineId: true}"), VM_RUNNING, VMI("volumes: [{name: root, persistentVolumeClaim: {claimName: web-root}}], domain: {devices: {disks: [{name: root}]}}", RUNNING), OK_PVC, NORMAL, "source-reset", "spec.guest", "has no cloud-init volume"},
    {CLONE_AND("guest: {resetMachineId: true, cloudInit: Replace, userData: \"#cloud-config\"}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("guest: {cloudInit: Rerun}"), VM_RUNNING, VMI(FORMATS, RUNNING), OK_PVC, NORMAL, "source-differs", "spec.cloneSource.vmiName", "formats /dev/vda (disk \"root\")"},
    {CLONE_AND("guest: {cloudInit: Drop}"), VM_RUNNING, VMI(FORMATS, RUNNING), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("guest: {cloudInit: Replace, userData: a}"), VM_RUNNING, VMI(FORMATS, RUNNING), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("target: {network: {map: [{from: lan, to: x}, {from: wan, to: pod}]}}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, "source-network-map", "spec.target.network.map[1].from", "it has \"l\""},
    {CLONE_AND("target: {network: {map: [{from: default, to: x}]}}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, "source-network-map", "spec.target.network.map[0].from", "it has \"l\""},
    {CLONE_AND("target: {network: {map: [{from: l, to: x}]}}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("target: {network: {map: [{from: prod/lan, to: x}]}}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("target: {network: {map: [{from: pod, to: x}]}}"), VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("target: {references: [{kind: NetworkAttachmentDefinition, from: prod/lan, to: x}]}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("target: {references: [{kind: NetworkAttachmentDefinition, from: l, to: x}]}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, "source-reference", "spec.target.references[0].from", "a NetworkAttachmentDefinition"},
    {CLONE_AND("target: {references: [{kind: Secret, from: lan, to: x}]}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, "source-reference", "spec.target.references[0].from", "a Secret"},
    {CLONE_AND("target: {network: {links: Down}}"), VM_RUNNING, VMI_LAN("sriov: {}"), OK_PVC, NORMAL, "source-sriov-link", "spec.target.network.links", "\"l\""},
    {CLONE_AND("target: {network: {links: Down, map: [{from: lan, to: pod}]}}"), VM_RUNNING, VMI_LAN("sriov: {}"), OK_PVC, NORMAL, NULL, NULL, NULL},
    {CLONE_AND("target: {network: {links: Down}}"), VM_RUNNING, VMI_LAN("bridge: {}"), OK_PVC, NORMAL, NULL, NULL, NULL},
    {"{metadata: {name: a12345678901234567890123456789012345678901234567890123456789, namespace: prod}, spec: {cloneSource: {type: vmi, vmiName: web}}}", VM_RUNNING, VMI_RUNNING, OK_PVC, NORMAL, "name-length-source-disk", "metadata.name", "-root"},
};
/* clang-format on */

#endif
