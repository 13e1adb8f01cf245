/* The source as the caches show it, and what others do to it. */
#include "observe/observe.h"

#include <string.h>

#include "base/str.h"
#include "observe/queries.h"

void observe_source(struct clone_state *v, const struct cache_reader *c)
{
    const struct wukong_effective *e = &v->effective;
    const struct kube_object *vmi = c->get(c->arg, KIND_VMI, e->source_ns, e->source_name);
    bool of_vm = vmi && str_eq(vmi->owner_kind, "VirtualMachine");
    const char *vm_name = e->source_type == SOURCE_VM ? e->source_name
                          : of_vm                     ? vmi->owner_name
                                                      : NULL;
    const struct kube_object *vm = vm_name ? c->get(c->arg, KIND_VM, e->source_ns, vm_name) : NULL;
    v->source = machine_read(&(struct machine_fields){
        .vm_exists = vm != NULL,
        .vm_deleting = vm && vm->deleted_ms,
        .vm_name = vm ? vm->name : vm_name,
        .vm_uid = vm ? vm->uid : NULL,
        .snapshot = kube_object_field(vm, F_SNAPSHOT_IN_PROGRESS),
        .restore = kube_object_field(vm, F_RESTORE_IN_PROGRESS),
        .vm_conditions = clone_field_tree(v, vm, F_CONDITIONS),
        .vmi_exists = vmi != NULL,
        .vmi_deleting = vmi && vmi->deleted_ms,
        .vmi_name = vmi ? vmi->name : e->source_name,
        .vmi_uid = vmi ? vmi->uid : NULL,
        .phase = kube_object_field(vmi, F_PHASE),
        .freeze_status = kube_object_field(vmi, F_FREEZE_STATUS),
        .guest_os = kube_object_field(vmi, F_GUEST_OS),
        .created_ms = vmi ? vmi->created_ms : 0,
        .vmi_conditions = clone_field_tree(v, vmi, F_CONDITIONS),
        .phase_times = clone_field_tree(v, vmi, F_PHASE_TIMES),
        .migrated_volumes = clone_field_tree(v, vmi, F_MIGRATED_VOLUMES),
        .migration = clone_field_tree(v, vmi, F_MIGRATION),
        .backup = clone_field_tree(v, vmi, F_BACKUP_STATUS),
    });
    v->kubevirt_starts = str_eq(kube_object_field(vm, F_RUN_STRATEGY), "Always") ||
                         str_eq(kube_object_field(vm, F_VM_RUNNING), "true");
}

/* What others do to the guest while we hold a freeze; there is no lock that forbids it. */
void observe_note_others(const struct clone_state *v, struct call_log *call_log)
{
    bool shown = call_log->freeze_shown_ms >= v->record.attempt.freeze.requested_ms;
    /* The backup's freeze of a frozen guest succeeds, and then it thaws (wukong/source/holds.h). */
    if (v->source.holds.snapshot || v->source.holds.backup)
        call_log->foreign_snapshot_ms = v->now.wall_ms;
    if (v->source.freeze_status)
        call_log->freeze_shown_ms = v->now.wall_ms;
    else if (shown && !clone_thaw_call(v))
        call_log->foreign_thaw_ms = v->now.wall_ms;
}

void observe_note_kubevirts_freeze(const struct clone_state *v, struct call_log *call_log)
{
    if (!clone_uses_vm_snapshot(v) || !v->vm_snapshot.exists || clone_past_cut(v))
        return;
    if (v->source.freeze_status)
        call_log->freeze_shown_ms = v->now.wall_ms;
    else if (call_log->freeze_shown_ms >= v->record.attempt.begun_ms && !clone_all_cut(v))
        call_log->foreign_thaw_ms = v->now.wall_ms;
}

/* That a source was started counts, though it be stopped again before the record tells of it; and
   so does what changed the data of its claims, though it be over by then. */
void observe_note_source(const struct clone_state *v, struct call_log *call_log)
{
    const struct source_machine *s = &v->source;
    const struct clone_record *r = &v->record;
    uint64_t guest = s->vmi_exists ? str_hash64(s->vmi_uid, strlen(s->vmi_uid)) : 0;
    if (s->running && !s->agent && call_log->agentless != guest) {
        call_log->agentless = guest;
        call_log->agentless_ms = v->now.wall_ms;
    }
    enum hold hold = holds_first(&s->holds, false);
    if (hold_spoils(hold))
        call_log->held_ms = v->now.wall_ms;
    if (!r->attempts || !r->attempt.source_uid || record_aborted(r))
        return;
    /* A full clone of claims needs no machine, but that none runs. */
    bool changed = v->effective.clone_type == CLONE_FULL
                       ? s->vmi_exists
                       : !str_eq(r->attempt.source_uid, s->vmi_exists ? s->vmi_uid : s->vm_uid);
    if (changed)
        call_log->source_changed_ms = v->now.wall_ms;
    if (hold_spoils(hold)) {
        call_log->spoiled_ms = v->now.wall_ms;
        call_log->spoiled_by = (int)hold;
    }
}
