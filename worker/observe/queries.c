/* Questions about the state of a clone, each answered by the state alone; see queries.h. */
#include "observe/queries.h"

#include "base/rng.h"
#include "base/str.h"
#include "wukong/api/child_names.h"

/* --- the attempt and its snapshots --- */

int64_t clone_cleans_up(const struct clone_state *v)
{
    if (v->wukong->deleted_ms)
        return CLEANING_ALL;
    return record_aborted(&v->record) ? v->record.attempts : 0;
}

int64_t clone_cleaning_left_ms(const struct clone_state *v)
{
    return v->call_log->cleaning_mono_ms + CLEANUP_LIMIT_MS - v->now.mono_ms;
}

int64_t clone_attempt(const struct clone_state *v)
{
    return v->record.attempts > 0 ? v->record.attempts : 1;
}

int64_t clone_plan_number(const struct clone_state *v)
{
    return clone_attempt(v) * 2 + (v->record.groups_refused.message != NULL);
}

bool clone_takes_snapshots(const struct clone_state *v)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (clone_disk_has_snapshot(&v->disks[i]))
            return true;
    return false;
}

bool clone_uses_vm_snapshot(const struct clone_state *v)
{
    return v->effective.method == METHOD_VM_SNAPSHOT;
}

bool clone_disk_in_group(const struct disk_state *d)
{
    return d->plan->grouped && clone_disk_has_snapshot(d);
}

size_t clone_moments(const struct clone_state *v)
{
    const struct disk_plan *plans[LIMIT_DISKS] = {0};
    size_t n = 0;
    for (size_t i = 0; i < v->disk_count && n < LIMIT_DISKS; i++)
        plans[n++] = v->disks[i].plan;
    return cut_moments(plans, n);
}

bool clone_may_leave_groups(const struct clone_state *v)
{
    return v->effective.method == METHOD_AUTO && v->group_count &&
           !v->record.groups_refused.message;
}

bool clone_disk_is_cut(const struct disk_state *d)
{
    if (d->group)
        return d->group->ours && !d->group->deleting && d->group->cut;
    return !clone_disk_has_snapshot(d) ||
           (d->snapshot.exists && d->snapshot.ours && !d->snapshot.deleting && d->snapshot.cut);
}

bool clone_all_cut(const struct clone_state *v)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (!clone_disk_is_cut(&v->disks[i]))
            return false;
    return v->disk_count > 0;
}

static bool any_snapshot(const struct clone_state *v)
{
    for (size_t i = 0; i < v->group_count; i++)
        if (v->groups[i].exists)
            return true;
    for (size_t i = 0; i < v->disk_count; i++)
        if (v->disks[i].snapshot.exists)
            return true;
    return false;
}

/* Two attempts in a row that failed in the same way, at the freeze or at the cut under it, are
   enough to know that this guest, or its storage, will not do it; one, when there is only one more.
 */
static bool gave_up_freezing(const struct clone_state *v)
{
    static const enum reason of_freezing[] = {REASON_FREEZE_FAILED, REASON_CUT_TIMEOUT,
                                              REASON_SNAPSHOT_FAILED};
    const struct clone_record *r = &v->record;
    int64_t attempts = record_counted_attempts(r);
    bool enough = r->error.in_a_row >= 2 || (attempts == 2 && attempts > v->effective.retry_limit);
    if (v->effective.quiesce != QUIESCE_IF_AVAILABLE || !enough)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(of_freezing); i++)
        if (str_eq(r->error.reason, reason_table[of_freezing[i]].name))
            return true;
    return false;
}

/* An attempt that has begun without announcing a freeze takes its snapshots without one: some may
   be on their way, and a freeze that comes after a cut proves nothing. */
static bool decided_not_to_freeze(const struct clone_state *v)
{
    return v->record.attempts && v->record.attempt.source_uid &&
           !v->record.attempt.freeze.requested_ms && !record_aborted(&v->record);
}

bool vm_snapshot_begun(const struct clone_state *v)
{
    return clone_uses_vm_snapshot(v) && v->record.attempt.source_uid && !record_aborted(&v->record);
}

bool clone_disk_has_snapshot(const struct disk_state *d)
{
    return disk_takes_snapshot(d->plan->method);
}

static bool cut_is_slow(const struct clone_state *v)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (clone_disk_has_snapshot(&v->disks[i]) && v->disks[i].plan->cut.slow)
            return true;
    return false;
}

enum cut_mode clone_cut_mode(const struct clone_state *v)
{
    const struct source_machine *s = &v->source;
    bool runs = s->vmi_exists || record_owes_thaw(&v->record);
    enum cut_mode wanted = cut_wanted(&v->effective, runs, s->agent, s->paused, cut_is_slow(v));
    if (wanted == CUT_OFFLINE)
        return CUT_OFFLINE;
    if (v->record.attempt.freeze.requested_ms)
        return CUT_FROZEN;
    if (wanted == CUT_RUNNING || gave_up_freezing(v) || decided_not_to_freeze(v))
        return CUT_RUNNING;
    /* Snapshots of this attempt without a freeze on record: it was decided not to freeze. */
    return any_snapshot(v) ? CUT_RUNNING : CUT_FROZEN;
}

const struct call *clone_freeze_call(const struct clone_state *v)
{
    return call_log_find(v->call_log,
                         call_key_numbered(CALL_FREEZE, v->record.attempt.freeze.requested_ms));
}

/* virt-handler passes the launcher's own failure on as 400 (pkg/virt-handler/rest/lifecycle.go:
   FreezeHandler; pkg/virt-handler/cmd-client: "command Freeze failed"). */
bool freeze_was_refused(const struct call *freeze)
{
    static const char *const unknown[] = {"timed out", "timeout", "deadline exceeded",
                                          "not responding", "Timeout"};
    const char *why = call_failed(freeze) ? str_or(freeze->message, "") : "";
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        if (strstr(why, unknown[i]))
            return false;
    return strstr(why, "unexpected return code 4") && strstr(why, "command Freeze failed");
}

const struct call *clone_thaw_call(const struct clone_state *v)
{
    return call_log_find(v->call_log,
                         call_key_numbered(CALL_THAW, v->record.attempt.freeze.requested_ms));
}

bool clone_waits_for_turn(const struct clone_state *v)
{
    return v->others.freezes_full && !vm_snapshot_begun(v) &&
           !v->record.attempt.freeze.requested_ms &&
           (clone_uses_vm_snapshot(v) || clone_cut_mode(v) == CUT_FROZEN);
}

/* What a freeze was announced with stays, though the configuration change; that the guest is
   Windows may be known only later. */
int64_t clone_unfreeze_ms(const struct clone_state *v)
{
    const struct clone_record *r = &v->record;
    int64_t ms = r->attempt.freeze.requested_ms
                     ? r->attempt.freeze.deadline_ms - r->attempt.freeze.requested_ms
                     : v->unfreeze_timeout_ms;
    bool windows = str_eq(v->source.guest_os, WINDOWS_GUEST_OS);
    return windows && ms > WINDOWS_FREEZE_MS ? WINDOWS_FREEZE_MS : ms;
}

int64_t clone_thaw_by_ms(const struct clone_state *v)
{
    return v->record.attempt.freeze.requested_ms + clone_unfreeze_ms(v) - THAW_MARGIN_MS;
}

bool clone_freeze_holds(const struct clone_state *v)
{
    const struct call *freeze = clone_freeze_call(v);
    return call_ok(freeze) && !clone_thaw_call(v) && v->now.wall_ms < clone_thaw_by_ms(v) &&
           /* The wall clock may be set back while the guest's own timer goes on. */
           v->now.mono_ms < freeze->sent_mono_ms + clone_unfreeze_ms(v) - THAW_MARGIN_MS;
}

bool clone_thawed_by_itself(const struct clone_state *v)
{
    const struct call *thaw = clone_thaw_call(v);
    return call_failed(thaw) && strstr(str_or(thaw->message, ""), "fsfreeze is limited");
}

/* --- what a cut asks for --- */

bool clone_has_cut_rule(const struct clone_state *v, enum cut_rule rule)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (clone_disk_has_snapshot(&v->disks[i]) && v->disks[i].plan->cut.rule == rule)
            return true;
    return false;
}

bool clone_must_be_frozen(const struct clone_state *v)
{
    return v->effective.quiesce == QUIESCE_REQUIRED ||
           (clone_has_cut_rule(v, CUT_RULE_WHILE_FROZEN) && clone_cut_mode(v) != CUT_OFFLINE);
}

void clone_raise_quiesce(struct clone_state *v)
{
    enum consistency unfrozen = cut_consistency(CUT_RUNNING, false, clone_moments(v));
    if (v->effective.quiesce == QUIESCE_IF_AVAILABLE && v->effective.clone_type != CLONE_FULL &&
        !consistency_meets(unfrozen, v->least))
        v->effective.quiesce = QUIESCE_REQUIRED;
}

const char *clone_who_requires(const struct clone_state *v)
{
    if (v->least == CONSISTENCY_UNKNOWN || v->wukong->spec.source.quiesce == QUIESCE_REQUIRED)
        return "quiesce is Required";
    return arena_printf(v->arena, "a ClonePolicy demands %s", consistency_names[v->least]);
}

/* --- waits --- */

int64_t clone_wait_at(const struct clone_state *v, int64_t at_ms)
{
    int64_t since = v->record.start_ms ? v->record.start_ms : v->wukong->created_ms;
    if (v->record.attempt.begun_ms > since)
        since = v->record.attempt.begun_ms;
    int64_t wait = at_ms - since;
    wait = wait < WAIT_POLL_MS ? WAIT_POLL_MS : wait > WAIT_POLL_MAX_MS ? WAIT_POLL_MAX_MS : wait;
    uint64_t apart = str_hash64(v->wukong->uid, strlen(v->wukong->uid)) % 256;
    return wait + (int64_t)apart * wait / 1024;
}

int64_t clone_wait_ms(const struct clone_state *v)
{
    return clone_wait_at(v, v->now.wall_ms);
}

/* A frozen guest waits for nothing, and a point in time that is being fixed is fixed. */
bool clone_may_be_held(const struct clone_state *v)
{
    if (clone_past_cut(v) || record_owes_thaw(&v->record) || v->vm_snapshot.exists ||
        clone_cut_by_other(v))
        return false;
    return !any_snapshot(v);
}

/* Of what the claims are to be made, where they are made of claims: a restore gives the source
   others, and what was tried with the old ones tells nothing of the new. */
static unsigned origins(const struct clone_state *v)
{
    uint64_t hash = 0;
    for (size_t i = 0; clone_copies_claims(v) && i < v->disk_count; i++) {
        const char *claim = str_or(v->disks[i].plan->claim, "");
        hash = hash * 31 + str_hash64(claim, strlen(claim));
    }
    return (unsigned)(hash ^ hash >> 32);
}

struct call_key clone_dry_key(const struct clone_state *v, enum call_kind kind, const char *name)
{
    return (struct call_key){
        .kind = kind, .number = clone_plan_number(v), .page = origins(v), .name = name};
}

struct call_key clone_live_key(enum worker_kind kind, const char *name)
{
    return call_key_object(CALL_READ_LIVE, worker_kinds[kind].resource, NULL, name);
}

const struct proven *clone_proven(const struct clone_state *v, enum proof_kind kind)
{
    return call_log_proven(v->call_log, kind, v->record.attempt.freeze.requested_ms);
}

/* --- what is there of the clone --- */

const char *clone_name_taken(const struct clone_state *v, const char **ret_kind)
{
    for (size_t t = 0; t < v->target_count; t++) {
        const struct target_state *target = &v->targets[t];
        if (target->vm.exists && !target->vm.ours) {
            *ret_kind = "VirtualMachine";
            return target->vm.name;
        }
        for (size_t i = 0; i < v->disk_count; i++) {
            if (target->claims[i].exists && !target->claims[i].ours) {
                *ret_kind = "PersistentVolumeClaim";
                return target->claims[i].name;
            }
        }
    }
    return NULL;
}

bool clone_targets_complete(const struct clone_state *v)
{
    for (size_t t = 0; t < v->target_count; t++)
        for (size_t i = 0; i < v->disk_count; i++)
            if (!v->targets[t].claims[i].bound || !v->targets[t].claims[i].ours)
                return false;
    return v->target_count > 0 && v->disk_count > 0;
}

/* It may be Pending when the clone is done: what it hangs on is a snapshot, never a live claim. */
bool clone_waits_for_consumer(const struct clone_state *v, size_t disk)
{
    const struct storage_class_facts *c =
        facts_storage_class(&v->classes, str_or(v->disks[disk].plan->storage_class, ""));
    return c && c->wait_for_first_consumer && !v->effective.auto_start &&
           clone_disk_has_snapshot(&v->disks[disk]);
}

bool clone_has_children(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (v->ours[i].kind == KIND_VM || v->ours[i].kind == KIND_PVC ||
            v->ours[i].kind == KIND_DATA_VOLUME)
            return true;
    return false;
}

bool clone_has_children_to_go(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if ((v->ours[i].kind == KIND_VM || v->ours[i].kind == KIND_PVC ||
             v->ours[i].kind == KIND_DATA_VOLUME) &&
            !v->ours[i].stays)
            return true;
    return false;
}

bool clone_claims_pending(const struct clone_state *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if ((v->ours[i].kind == KIND_PVC || v->ours[i].kind == KIND_DATA_VOLUME) &&
            v->ours[i].pending_claim && !v->ours[i].deleting)
            return true;
    return false;
}

bool clone_source_deleting(const struct clone_state *v)
{
    const struct source_machine *s = &v->source;
    return v->effective.source_type == SOURCE_VM ? s->vm_deleting : s->vmi_deleting;
}

bool clone_source_to_stop(const struct clone_state *v)
{
    const struct clone_record *r = &v->record;
    const struct source_machine *s = &v->source;
    return r->started.at_ms && v->effective.stop_source_after && s->vm_exists && s->vmi_exists &&
           !clone_source_deleting(v) && str_eq(r->started.vmi_uid, s->vmi_uid);
}

const struct call *clone_look_after(const struct clone_state *v)
{
    return call_log_find(v->call_log, call_key_numbered(CALL_LOOK_AFTER_VMI, clone_attempt(v)));
}

bool clone_copies_claims(const struct clone_state *v)
{
    for (size_t i = 0; i < v->disk_count; i++)
        if (!clone_disk_has_snapshot(&v->disks[i]))
            return true;
    return false;
}
