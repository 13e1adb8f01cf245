/* The steps before the guest is touched: policy, source, gates. */
#include "observe/capture.h"
#include "steps/steps.h"

#include <assert.h>

#include "actions/create.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/conditions.h"

static enum step_status wait_for(struct why *why, const struct clone_state *v, int64_t poll_ms)
{
    if (poll_ms)
        why->again_ms = v->now.wall_ms + (poll_ms == WAIT_POLL_MS ? clone_wait_ms(v) : poll_ms);
    return STEP_WAIT;
}

enum step_status step_policy_check(const struct clone_state *v, struct why *why)
{
    if (!clone_may_be_held(v))
        return STEP_DONE;
    if (v->invalid && !v->record.attempts) {
        why_set(why, REASON_INVALID, "%s", v->invalid);
        return STEP_FAILED;
    }
    if (v->permit.refusal) {
        why_set(why, REASON_NOT_ADMITTED, "%s", v->permit.refusal);
        return wait_for(why, v, WAIT_POLL_MS);
    }
    enum step_status kept = check_access_kept(v, why);
    if (kept != STEP_DONE)
        return kept;
    bool denied = v->policy.reason == REASON_POLICY_DENIED;
    bool scheduled = v->permitted_ms > v->now.wall_ms;
    /* Of two times the later one is told. */
    if (scheduled && !denied && v->permitted_ms >= v->policy.until_ms) {
        why_set(why, v->permitted_reason, "%s",
                str_or(v->permitted_why, "the spec's schedule does not permit the clone yet"));
        why->again_ms = why->until_ms = v->permitted_ms;
        return STEP_WAIT;
    }
    if (!v->policy.reason)
        return STEP_DONE;
    why_set(why, v->policy.reason, "%s", str_or(v->policy.why, ""));
    why->until_ms = v->policy.until_ms;
    why->again_ms = v->policy.until_ms ? v->policy.until_ms : v->now.wall_ms + HELD_POLL_MS;
    return STEP_WAIT;
}

static enum step_status not_running(const struct clone_state *v, struct why *why)
{
    const struct source_machine *s = &v->source;
    why_set(why, REASON_SOURCE_NOT_RUNNING,
            "the VirtualMachineInstance %s/%s is %s; a clone of type %s needs it Running",
            v->effective.source_ns, v->effective.source_name,
            s->vmi_exists ? str_or(s->phase, "Pending") : "not there",
            clone_type_names[v->effective.clone_type]);
    return wait_for(why, v, 0);
}

/* Whatever quiesce says: what others do to the disks of the source, or to its freeze. */
enum step_status check_free_of_others(const struct clone_state *v, struct why *why)
{
    char text[HOLD_TEXT];
    const struct source_holds *h = &v->source.holds;
    bool freezes = v->effective.clone_type != CLONE_FULL && v->effective.quiesce != QUIESCE_NEVER;
    enum hold hold = holds_first(h, freezes);
    /* What follows is for the freeze and the cut that are yet to come. */
    if (hold == HOLD_NONE || !clone_may_be_held(v))
        return STEP_DONE;
    why_set(why, REASON_SOURCE_BUSY, "the source is busy: %s", hold_text(hold, h, text));
    return wait_for(why, v, WAIT_POLL_MS);
}

/* Before the gates: no application is asked to keep still for nothing. One that was asked is not
   let go again: the freeze asks once more, behind the gates. */
static enum step_status free_before_gates(const struct clone_state *v, struct why *why)
{
    const cJSON *c = condition_find(json_get(v->status, "conditions"),
                                    condition_type_names[COND_AWAITING_GATES]);
    return str_eq(json_str(c, "status"), "True") ? STEP_DONE : check_free_of_others(v, why);
}

/* A guest that boots is not one without an agent: until when it is given time; 0: it is not. Two
   clocks are compared, so this process's own first sight of it is the latest beginning. */
static int64_t agent_awaited_until(const struct clone_state *v)
{
    const struct source_machine *s = &v->source;
    int64_t began = s->began_ms, seen = v->call_log->agentless_ms;
    if (s->agent || s->paused || v->effective.quiesce == QUIESCE_NEVER)
        return 0;
    if (seen && began > seen)
        began = seen;
    if (v->record.started.at_ms > began)
        began = v->record.started.at_ms;
    return began ? began + AGENT_WAIT_MS : 0;
}

/* What a running source must be for the quiesce that was asked. */
static enum step_status check_running(const struct clone_state *v, struct why *why)
{
    const struct source_machine *s = &v->source;
    /* What follows is for the freeze and the cut that are yet to come. */
    if (!clone_may_be_held(v))
        return STEP_DONE;
    if (v->effective.quiesce == QUIESCE_REQUIRED && s->paused) {
        why_set(why, REASON_SOURCE_PAUSED, "%s and the source is paused", clone_who_requires(v));
        return wait_for(why, v, 0);
    }
    if (v->effective.quiesce == QUIESCE_REQUIRED && !s->agent) {
        why_set(why, REASON_AGENT_NOT_CONNECTED, "%s and the source's guest agent is not connected",
                clone_who_requires(v));
        return wait_for(why, v, 0);
    }
    int64_t agent_until = agent_awaited_until(v);
    if (v->now.wall_ms < agent_until) {
        why_set(why, REASON_SOURCE_STARTING,
                "the source began to run a moment ago; the worker gives its guest agent %d s to "
                "connect",
                AGENT_WAIT_MS / 1000);
        why->again_ms = why->until_ms = agent_until;
        return STEP_WAIT;
    }
    return STEP_DONE;
}

/* It was seen changed in this attempt, and may look as before by now. */
static bool changed_before(const struct clone_state *v)
{
    return v->record.attempt.begun_ms &&
           v->call_log->source_changed_ms >= v->record.attempt.begun_ms;
}

/* Between the beginning of an attempt and its cut the source is the same instance, or the same
   stopped machine. */
static enum step_status same_source(const struct clone_state *v, struct why *why)
{
    const struct source_machine *s = &v->source;
    const char *uid = s->vmi_exists ? s->vmi_uid : s->vm_uid;
    if (!v->record.attempt.source_uid || !v->record.attempts || record_aborted(&v->record) ||
        (!changed_before(v) && str_eq(v->record.attempt.source_uid, uid) &&
         (!s->vmi_exists || !clone_source_deleting(v))))
        return check_source_spoiled(v, why);
    return fail_source_changed(why);
}

/* A full clone reads the claims of the source until its own are bound, if it takes no snapshots. */
static enum step_status check_full_clone(const struct clone_state *v, struct why *why)
{
    const struct source_machine *s = &v->source;
    const struct wukong_effective *e = &v->effective;
    bool begun = v->record.attempt.cut_ms || v->record.attempt.source_uid;
    if (!s->vmi_exists && !(begun && changed_before(v)))
        return begun ? check_source_spoiled(v, why) : free_before_gates(v, why);
    if (begun) {
        why_set(why, REASON_SOURCE_STARTED,
                "somebody started the source %s/%s before its disks were copied", e->source_ns,
                e->source_name);
        return STEP_FAILED;
    }
    why_set(why, REASON_SOURCE_RUNNING,
            "the source %s/%s is running, and a full clone needs it stopped: stop it, or use "
            "cloneType running or linked",
            e->source_ns, e->source_name);
    return wait_for(why, v, 0);
}

/* After the cut the source is not needed, but by a full clone that copies its claims themselves. */
static bool source_is_free(const struct clone_state *v)
{
    if (!clone_past_cut(v))
        return false;
    if (v->effective.clone_type != CLONE_FULL)
        return true;
    /* What a worker that has just begun has not read yet may be copied for long. */
    if (!v->disk_count && !v->capture.refusal)
        return true;
    for (size_t i = 0; i < v->disk_count; i++)
        for (size_t t = 0; t < v->target_count; t++)
            if (!clone_disk_has_snapshot(&v->disks[i]) && !v->targets[t].claims[i].bound)
                return false;
    return v->disk_count > 0;
}

static enum step_status check_start_of_source(const struct clone_state *v, struct why *why)
{
    /* KubeVirt answers 409 to whoever asks for it ("Always does not support manual start requests",
       pkg/virt-api/rest/subresource.go). One that was announced goes on: it made Always of Halted.
     */
    if (v->kubevirt_starts && !v->record.started.at_ms) {
        why_set(why, REASON_SOURCE_STARTING, "KubeVirt is starting the source %s/%s",
                v->effective.source_ns, v->effective.source_name);
        return wait_for(why, v, 0);
    }
    if (!v->permit.may_start) {
        why_set(
            why, REASON_NOT_ADMITTED,
            "the source %s/%s is stopped, and the user who asked for the clone may not start it",
            v->effective.source_ns, v->effective.source_name);
        return wait_for(why, v, 0);
    }
    enum step_status access = check_access(v, ACCESS_START, why);
    if (access != STEP_DONE)
        return access;
    why_set(why, REASON_SOURCE_STARTING, "the worker is starting the stopped source %s/%s",
            v->effective.source_ns, v->effective.source_name);
    const struct call *start = call_log_find(v->call_log, call_key(CALL_START_SOURCE));
    if (call_failed(start) && start->kind != ERR_CONFLICT)
        why_set(why, REASON_SOURCE_STARTING, "the worker cannot start the source: %s",
                start->message);
    why->again_ms = v->now.wall_ms + WAIT_POLL_MS;
    bool sent = call_ok(start) && v->now.wall_ms < start->done_ms + WAIT_POLL_MS;
    return sent && v->record.started.at_ms ? STEP_WAIT : STEP_TODO;
}

enum step_status step_source_check(const struct clone_state *v, struct why *why)
{
    const struct source_machine *s = &v->source;
    const struct wukong_effective *e = &v->effective;
    if (source_is_free(v) || clone_cut_by_other(v))
        return STEP_DONE;
    /* Copying goes on by itself, whatever becomes of the VirtualMachine, as long as it does not
     * run. */
    if (clone_past_cut(v))
        return check_full_clone(v, why);
    bool found = e->source_type == SOURCE_VMI ? s->vmi_exists : s->vm_exists;
    if (e->clone_type != CLONE_FULL && same_source(v, why) == STEP_FAILED)
        return STEP_FAILED;
    /* What would make us wait before the freeze must not prolong it. */
    if (record_owes_thaw(&v->record) && found)
        return STEP_DONE;
    if (!found) {
        why_set(why, REASON_SOURCE_NOT_FOUND, "%s %s/%s does not exist",
                e->source_type == SOURCE_VMI ? "VirtualMachineInstance" : "VirtualMachine",
                e->source_ns, e->source_name);
        return wait_for(why, v, 0);
    }
    if (clone_source_deleting(v)) {
        why_set(why, REASON_SOURCE_NOT_RUNNING, "the source %s/%s is being deleted", e->source_ns,
                e->source_name);
        return wait_for(why, v, 0);
    }
    if (e->clone_type == CLONE_FULL)
        return check_full_clone(v, why);
    if (free_before_gates(v, why) == STEP_WAIT)
        return STEP_WAIT;
    if (s->running)
        return check_running(v, why);
    if (e->clone_type == CLONE_LINKED && !s->vmi_exists)
        return STEP_DONE;
    if (e->source_type == SOURCE_VM && !s->vmi_exists)
        return check_start_of_source(v, why);
    return not_running(v, why);
}

/* Announced in the record before it is sent, so that a restarted worker knows whom it started. */
void step_source_run(const struct clone_state *v, struct decision *d)
{
    struct why access = {0};
    if (check_access(v, ACCESS_START, &access) != STEP_DONE) {
        access_ask(v, ACCESS_START, d);
        return;
    }
    if (!v->record.started.at_ms) {
        d->record.started.at_ms = v->now.wall_ms;
        d->persist_first = true;
        return;
    }
    struct intent *i =
        intents_add(&d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VM],
                    v->effective.source_ns, v->effective.source_name, call_key(CALL_START_SOURCE));
    i->sub = "start";
    i->body = "{}";
}

/* --- gates --- */

#define GATE_IS_CLOSED "the clone waits until somebody sets condition %s to True"

static int64_t awaiting_since(const struct clone_state *v)
{
    int64_t ms;
    const cJSON *c = condition_find(json_get(v->status, "conditions"),
                                    condition_type_names[COND_AWAITING_GATES]);
    if (!str_eq(json_str(c, "status"), "True") ||
        !str_to_time_ms(json_str(c, "lastTransitionTime"), &ms))
        return 0;
    /* A new attempt asks anew. */
    return ms + 999 < v->record.attempt.begun_ms ? 0 : ms;
}

enum step_status step_gates_check(const struct clone_state *v, struct why *why)
{
    const struct wukong_source *s = &v->wukong->spec.source;
    /* An attempt that has begun has passed them, and hold_gates keeps its application still. */
    if (s->gate_count == 0 || share_begun(&v->record) || clone_cut_by_other(v))
        return STEP_DONE;
    int64_t since = awaiting_since(v);
    for (size_t i = 0; i < s->gate_count; i++) {
        int64_t turned = 0;
        const cJSON *c = condition_find(json_get(v->status, "conditions"), s->gates[i]);
        bool open = since && str_eq(json_str(c, "status"), "True") &&
                    str_to_time_ms(json_str(c, "lastTransitionTime"), &turned) && turned >= since;
        if (!open) {
            why_set(why, REASON_AWAITING_GATES, GATE_IS_CLOSED, s->gates[i]);
            return STEP_TODO;
        }
    }
    return STEP_DONE;
}

void step_gates_run(const struct clone_state *v, struct decision *d)
{
    if (!awaiting_since(v))
        d->conditions[COND_AWAITING_GATES] = (struct condition){
            CONDITION_TRUE, REASON_AWAITING_GATES,
            arena_printf(v->arena, GATE_IS_CLOSED, v->wukong->spec.source.gates[0])};
}
