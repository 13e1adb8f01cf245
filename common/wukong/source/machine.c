#include "wukong/source/machine.h"

#include "base/str.h"
#include "json/json.h"
#include "wukong/api/conditions.h"

static const char *text_or_null(const char *text)
{
    return str_empty(text) ? NULL : text;
}

bool vmi_has_ended(const char *phase)
{
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

/* When it began to run: a guest that boots has no agent yet. */
static int64_t began_running(const cJSON *phase_times, int64_t created_ms)
{
    int64_t at = created_ms;
    const cJSON *m;
    cJSON_ArrayForEach (m, phase_times)
        if (str_eq(json_str(m, "phase"), "Running") &&
            !str_to_time_ms(json_str(m, "phaseTransitionTimestamp"), &at))
            at = created_ms;
    return at;
}

/* An instance that has ended is held by nobody, and what its VM says is the last word. */
static struct source_holds read_holds(const struct machine_fields *f, bool runs)
{
    return holds_read(&(struct hold_fields){
        .runs = runs,
        .vmi_conditions = runs ? f->vmi_conditions : NULL,
        .migrated_volumes = runs ? f->migrated_volumes : NULL,
        .migration = runs ? f->migration : NULL,
        .backup = runs ? f->backup : NULL,
        .vm_conditions = f->vm_conditions,
        .snapshot = f->snapshot,
        .restore = f->restore,
    });
}

struct source_machine machine_read(const struct machine_fields *f)
{
    bool ended = f->vmi_exists && vmi_has_ended(f->phase);
    bool exists = f->vmi_exists && !ended;
    return (struct source_machine){
        .vm_exists = f->vm_exists,
        .vm_deleting = f->vm_deleting,
        .vmi_exists = exists,
        .vmi_ended = ended,
        .vmi_deleting = f->vmi_deleting,
        .vm_name = f->vm_name,
        .vmi_name = f->vmi_name,
        .vm_uid = f->vm_uid,
        .vmi_uid = f->vmi_uid,
        .phase = f->phase,
        .running = str_eq(f->phase, "Running") && !f->vmi_deleting,
        .agent = condition_is_true(f->vmi_conditions, "AgentConnected"),
        .paused = condition_is_true(f->vmi_conditions, "Paused"),
        .began_ms = began_running(f->phase_times, f->created_ms),
        .guest_os = text_or_null(f->guest_os),
        .freeze_status = text_or_null(f->freeze_status),
        .holds = read_holds(f, exists),
    };
}

static bool is_deleting(const cJSON *o)
{
    return json_str(o, "metadata.deletionTimestamp") != NULL;
}

struct source_machine machine_of(const cJSON *vm, const cJSON *vmi)
{
    const cJSON *status = json_get(vmi, "status");
    int64_t created_ms = 0;
    (void)str_to_time_ms(json_str(vmi, "metadata.creationTimestamp"), &created_ms);
    return machine_read(&(struct machine_fields){
        .vm_exists = cJSON_IsObject(vm),
        .vm_deleting = is_deleting(vm),
        .vm_name = json_str(vm, "metadata.name"),
        .vm_uid = json_str(vm, "metadata.uid"),
        .snapshot = json_str(vm, "status.snapshotInProgress"),
        .restore = json_str(vm, "status.restoreInProgress"),
        .vm_conditions = json_at(vm, "status.conditions"),
        .vmi_exists = cJSON_IsObject(vmi),
        .vmi_deleting = is_deleting(vmi),
        .vmi_name = json_str(vmi, "metadata.name"),
        .vmi_uid = json_str(vmi, "metadata.uid"),
        .phase = json_str(status, "phase"),
        .freeze_status = json_str(status, "fsFreezeStatus"),
        .guest_os = json_str(status, "guestOSInfo.id"),
        .created_ms = created_ms,
        .vmi_conditions = json_get(status, "conditions"),
        .phase_times = json_get(status, "phaseTransitionTimestamps"),
        .migrated_volumes = json_get(status, "migratedVolumes"),
        .migration = json_get(status, "migrationState"),
        .backup = json_at(status, "changedBlockTracking.backupStatus"),
    });
}

void machine_keep(struct arena *a, struct source_machine *m)
{
    const char **texts[] = {
        &m->vm_name,  &m->vmi_name,      &m->vm_uid,        &m->vmi_uid,        &m->phase,
        &m->guest_os, &m->freeze_status, &m->holds.restore, &m->holds.snapshot, &m->holds.backup};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_strdup(a, *texts[i]);
}
