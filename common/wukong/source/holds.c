#include "wukong/source/holds.h"

#include <stdio.h>

#include "base/str.h"
#include "json/json.h"
#include "wukong/api/conditions.h"

static bool migration_runs(const cJSON *state)
{
    return json_str(state, "startTimestamp") && !json_bool(state, "completed", false) &&
           !json_bool(state, "failed", false);
}

bool holds_backup_runs(const cJSON *backup_status)
{
    return cJSON_IsObject(backup_status) && !json_bool(backup_status, "completed", false) &&
           !json_bool(backup_status, "failed", false) && !json_str(backup_status, "endTimestamp");
}

static const char *name_of(const char *text)
{
    return str_empty(text) ? NULL : text;
}

struct source_holds holds_read(const struct hold_fields *f)
{
    const cJSON *overlay = condition_find(f->vmi_conditions, "OverlaySnapshotActive");
    bool backup = holds_backup_runs(f->backup);
    return (struct source_holds){
        .volumes = cJSON_GetArraySize(f->migrated_volumes) > 0 ||
                   condition_is_true(f->vmi_conditions, "VolumesChange"),
        .recovery = !f->runs && (condition_is_true(f->vm_conditions, "ManualRecoveryRequired") ||
                                 condition_is_true(f->vm_conditions, "VolumesChange")),
        .overlay = overlay && !str_eq(json_str(overlay, "status"), "False"),
        .migration = migration_runs(f->migration),
        .restore = name_of(f->restore),
        .snapshot = name_of(f->snapshot),
        .backup = backup ? str_or(json_str(f->backup, "backupName"), "without a name") : NULL,
    };
}

enum hold holds_first(const struct source_holds *h, bool freezes)
{
    if (h->volumes)
        return HOLD_VOLUMES;
    if (h->recovery)
        return HOLD_RECOVERY;
    if (h->overlay)
        return HOLD_OVERLAY;
    if (h->restore)
        return HOLD_RESTORE;
    if (h->snapshot)
        return HOLD_SNAPSHOT;
    if (h->backup)
        return HOLD_BACKUP;
    return h->migration && freezes ? HOLD_MIGRATION : HOLD_NONE;
}

const char *hold_text(enum hold what, const struct source_holds *h, char out[HOLD_TEXT])
{
    static const char *const texts[] = {
        [HOLD_NONE] = "nobody else holds it",
        [HOLD_VOLUMES] = "KubeVirt is migrating its volumes",
        [HOLD_RECOVERY] = "a failed volume migration left claims half copied",
        [HOLD_OVERLAY] = "an external snapshot has put overlays over its disks",
        [HOLD_RESTORE] = "VirtualMachineRestore",
        [HOLD_SNAPSHOT] = "VirtualMachineSnapshot",
        [HOLD_BACKUP] = "VirtualMachineBackup",
        [HOLD_MIGRATION] = "KubeVirt is migrating it, and a freeze would fail",
    };
    const char *name = what == HOLD_RESTORE    ? h->restore
                       : what == HOLD_SNAPSHOT ? h->snapshot
                       : what == HOLD_BACKUP   ? h->backup
                                               : NULL;
    (void)snprintf(out, HOLD_TEXT, "%s%s%.40s", texts[what], name ? " " : "", str_or(name, ""));
    return out;
}
