/*
 * Who else holds a source: what KubeVirt or somebody who uses it does to the disks of a machine, or
 * to its freeze, at this moment. The worker waits for it and looks again after the cut; the webhook
 * and `kubectl wukong plan` warn of it. Pure. KubeVirt's files below are those of its main branch
 * of 2026-08-22.
 */
#ifndef SOURCE_HOLDS_H
#define SOURCE_HOLDS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

/* In the order in which they are told: the first four change what the claims hold. */
enum hold {
    HOLD_NONE,
    /* A volume migration: virt-controller writes status.migratedVolumes, then lets spec.volumes of
       the VMI name the destination, before a byte is copied (pkg/virt-controller/watch/vm/vm.go,
       handleVolumeUpdateRequest); the copying waits for its turn and may take hours, and
       virt-handler clears the list at its end (pkg/virt-handler/migration-target.go). */
    HOLD_VOLUMES,
    /* The machine ended in the middle of one: its spec names claims that were half copied (same
       file, syncVolumeMigration: ManualRecoveryRequired). */
    HOLD_RECOVERY,
    /* Overlays of an external snapshot (KubeVirt 1.10): the claims hold an old state, and a moving
       one while the overlays are committed. */
    HOLD_OVERLAY,
    /* VirtualMachineRestore: the claims are replaced one after the other
       (pkg/storage/snapshot/restore.go). */
    HOLD_RESTORE,
    /* VirtualMachineSnapshot: its end thaws whoever froze (pkg/storage/snapshot/snapshot.go). */
    HOLD_SNAPSHOT,
    /* VirtualMachineBackup: its freeze of a frozen guest succeeds, and then it thaws
       (pkg/virt-launcher/virtwrap/storage/backup.go). */
    HOLD_BACKUP,
    /* A live migration: a freeze would fail (pkg/virt-launcher/virtwrap/storage/fsfreeze.go). It
       writes to the same claims on the other node, so a cut without a freeze need not wait. */
    HOLD_MIGRATION,
};

struct source_holds {
    bool volumes, recovery, overlay, migration;
    const char *restore, *snapshot, *backup; /* their names; NULL: none */
};

/* The fields of a VMI and its VM that tell; a NULL one is not there. */
struct hold_fields {
    bool runs; /* the VMI is there and has not ended: the VM's conditions tell nothing new */
    const cJSON *vmi_conditions, *migrated_volumes, *migration, *backup; /* of the VMI's status */
    const cJSON *vm_conditions;                                          /* of the VM's */
    const char *snapshot, *restore;
};
struct source_holds holds_read(const struct hold_fields *f);
/* A VirtualMachineBackup is under way; by status.changedBlockTracking.backupStatus. */
bool holds_backup_runs(const cJSON *backup_status);

/* The first that holds the source; freezes: the guest is to be frozen. */
enum hold holds_first(const struct source_holds *h, bool freezes);
/* What was cut meanwhile may be of no one moment: the attempt is worth nothing. */
static inline bool hold_spoils(enum hold h)
{
    return h == HOLD_VOLUMES || h == HOLD_RECOVERY || h == HOLD_OVERLAY || h == HOLD_RESTORE;
}
/* "KubeVirt is migrating its volumes", "VirtualMachineRestore NAME": after "the source is busy: ",
   and short enough for a warning at admission. */
#define HOLD_TEXT 80
const char *hold_text(enum hold what, const struct source_holds *h, char out[HOLD_TEXT]);

#endif
