/* The look at the source after the cut: it is still what the attempt began with. */
#include "steps/pods.h"

#include "base/str.h"
#include "json/json.h"
#include "wukong/source/facts.h"

#define BACKUP_STATUS "status.changedBlockTracking.backupStatus"
/* What the clocks of two nodes may differ by. */
#define BACKUP_CLOCKS_MS 60000

enum step_status fail_source_changed(struct why *why)
{
    why_set(why, REASON_SOURCE_CHANGED,
            "somebody stopped, started or replaced the source during the clone");
    return STEP_FAILED;
}

enum step_status check_source_spoiled(const struct clone_state *v, struct why *why)
{
    char text[HOLD_TEXT];
    if (!v->record.attempt.begun_ms || record_aborted(&v->record) ||
        v->call_log->spoiled_ms < v->record.attempt.begun_ms)
        return STEP_DONE;
    why_set(why, REASON_SOURCE_CHANGED, "the source changed during the clone: %s",
            hold_text((enum hold)v->call_log->spoiled_by, &v->source.holds, text));
    return STEP_FAILED;
}

static cJSON *read_tree(const struct call *c)
{
    cJSON *tree = NULL;
    if (!call_ok(c) || !c->body || json_read(c->body, c->body_len, &tree, NULL) < 0)
        return NULL;
    return tree;
}

/* The VMI that the call read, if it has not ended; else NULL. */
static cJSON *read_vmi(const struct call *c)
{
    CLEANUP_JSON cJSON *vmi = read_tree(c);
    const char *phase = json_str(vmi, "status.phase");
    return vmi_has_ended(phase) ? NULL : TAKE(vmi);
}

bool call_read_running_vmi(const struct call *c)
{
    CLEANUP_JSON cJSON *vmi = read_vmi(c);
    return vmi != NULL;
}

static bool was_answered(const struct call *c)
{
    return call_ok(c) || (call_failed(c) && c->code == 404);
}

/* The same look at the VirtualMachine, where there is one. */
static const struct call *vm_after(const struct clone_state *v)
{
    return call_log_find(v->call_log, call_key_numbered(CALL_LOOK_AFTER_VM, clone_attempt(v)));
}

/* The claims that the machine names are those that were planned, and cut: after a volume migration
   or a restore it names others, and what was cut may be of neither moment. */
static const char *other_claim(const struct clone_state *v, const cJSON *vm, const cJSON *vmi)
{
    struct source_facts facts = {0};
    facts_read_source(v->arena, vm, vmi, &facts);
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct disk_plan *plan = v->disks[i].plan;
        const struct volume_facts *now = facts_volume(&facts, plan->volume);
        if (!now || !str_eq(now->claim, plan->claim))
            return plan->volume;
    }
    return NULL;
}

/* What the looks at the VirtualMachine and its instance show of the source's disks. */
static enum step_status disks_stayed(const struct clone_state *v, const struct call *vm_look,
                                     const cJSON *vmi, struct why *why)
{
    char text[HOLD_TEXT];
    CLEANUP_JSON cJSON *vm = read_tree(vm_look);
    const struct source_holds holds = machine_of(vm, vmi).holds;
    enum hold hold = holds_first(&holds, false);
    const char *moved = vm || vmi ? other_claim(v, vm, vmi) : NULL;
    if (hold_spoils(hold))
        why_set(why, REASON_SOURCE_CHANGED, "the source changed while its snapshots were cut: %s",
                hold_text(hold, &holds, text));
    else if (moved)
        why_set(why, REASON_SOURCE_CHANGED,
                "volume %s of the source has another claim than when the attempt began", moved);
    else
        return STEP_DONE;
    return STEP_FAILED;
}

/* Its own state, as the last read before the freeze and the look after the cut show it. */
static bool same_backup(const struct clone_state *v, const cJSON *after)
{
    const struct call *before =
        call_log_find(v->call_log, call_key_named(CALL_READ_SOURCE_VMI, v->source.vmi_name));
    CLEANUP_JSON cJSON *vmi = read_tree(before);
    /* A worker that was restarted has not read it: a backup that is not over, or was begun since
       the attempt was, less what two clocks may differ by. */
    int64_t begun = 0;
    (void)str_to_time_ms(json_str(after, "startTimestamp"), &begun);
    return vmi ? json_equal(json_at(vmi, BACKUP_STATUS), after)
               : begun + BACKUP_CLOCKS_MS < v->record.attempt.begun_ms;
}

bool clone_thawed_by_backup(const struct clone_state *v)
{
    CLEANUP_JSON cJSON *vmi = read_vmi(clone_look_after(v));
    const cJSON *after = json_at(vmi, BACKUP_STATUS);
    return after && (holds_backup_runs(after) || !same_backup(v, after));
}

enum step_status check_stayed_the_same(const struct clone_state *v, struct why *why)
{
    const struct call *c = clone_look_after(v);
    why_set(why, REASON_CLONING,
            "all snapshots are cut; the worker is checking that the source is still the same");
    if (!was_answered(c) || (v->source.vm_exists && !was_answered(vm_after(v))))
        return STEP_TODO;
    CLEANUP_JSON cJSON *vmi = read_vmi(c);
    bool same = vmi && str_eq(json_str(vmi, "metadata.uid"), v->record.attempt.source_uid) &&
                !json_str(vmi, "metadata.deletionTimestamp");
    enum step_status disks =
        same ? disks_stayed(v, vm_after(v), vmi, why) : fail_source_changed(why);
    return disks == STEP_DONE ? pods_after(v, CALL_PODS_AFTER, why) : disks;
}

/* One that runs by then may have been started after the last cut, and nothing tells: the storage's
   own time of a cut may be that of another clock, 0, or the birth of the volume (PowerFlex). */
static enum step_status found_stopped(const struct clone_state *v, const struct call *look,
                                      struct why *why)
{
    if (!v->source.vm_exists)
        return STEP_DONE;
    why_set(why, REASON_CLONING, "the worker is checking that the source stayed stopped");
    if (!was_answered(look))
        return STEP_TODO;
    if (!call_read_running_vmi(look))
        return STEP_DONE;
    why_set(why, REASON_SOURCE_STARTED, "the source %s/%s was running when its disks were copied",
            v->effective.source_ns, v->effective.source_name);
    return STEP_FAILED;
}

/* By two looks of one moment: it does not run, and its disks are those that were planned. */
static enum step_status stayed_stopped(const struct clone_state *v, const struct call *vmi_look,
                                       const struct call *vm_look, enum call_kind pods,
                                       struct why *why)
{
    enum step_status o = found_stopped(v, vmi_look, why);
    if (!v->source.vm_exists)
        return o;
    if (o == STEP_DONE)
        o = was_answered(vm_look) ? disks_stayed(v, vm_look, NULL, why) : STEP_TODO;
    return o == STEP_DONE ? pods_after(v, pods, why) : o;
}

enum step_status check_stayed_stopped(const struct clone_state *v, struct why *why)
{
    return stayed_stopped(v, clone_look_after(v), vm_after(v), CALL_PODS_AFTER, why);
}

static const struct call *copied_look(const struct clone_state *v, enum call_kind kind)
{
    return call_log_find(v->call_log, call_key_numbered(kind, clone_attempt(v)));
}

/* Of snapshots the record says Offline only after the look that proved it. */
enum step_status step_stayed_stopped_check(const struct clone_state *v, struct why *why)
{
    if (v->record.attempt.consistency != CONSISTENCY_OFFLINE || !clone_copies_claims(v))
        return STEP_DONE;
    return stayed_stopped(v, copied_look(v, CALL_LOOK_COPIED_VMI),
                          copied_look(v, CALL_LOOK_COPIED_VM), CALL_PODS_COPIED, why);
}

static void ask_source(const struct clone_state *v, struct decision *d, enum call_kind vmi,
                       enum call_kind vm)
{
    (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[KIND_VMI], v->effective.source_ns,
                      v->source.vmi_name, call_key_numbered(vmi, clone_attempt(v)));
    if (v->source.vm_exists)
        (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[KIND_VM], v->effective.source_ns,
                          v->source.vm_name, call_key_numbered(vm, clone_attempt(v)));
}

void step_stayed_stopped_run(const struct clone_state *v, struct decision *d)
{
    ask_source(v, d, CALL_LOOK_COPIED_VMI, CALL_LOOK_COPIED_VM);
    pods_ask_after(v, CALL_PODS_COPIED, d);
}

void run_look_after(const struct clone_state *v, struct decision *d)
{
    ask_source(v, d, CALL_LOOK_AFTER_VMI, CALL_LOOK_AFTER_VM);
    pods_ask_after(v, CALL_PODS_AFTER, d);
}
