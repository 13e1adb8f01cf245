/* What the worker sees of the world: the state, by hand, as observe_clone has it. */
#include "world_parts.h"

#include <stdio.h>

#include "observe/driver_answer.h"

static void see_source(const struct world *w, struct clone_state *v)
{
    bool there = !w->source_gone && !w->source_off;
    v->effective = (struct wukong_effective){.is_clone = true,
                                             .source_type = w->by_vm ? SOURCE_VM : SOURCE_VMI,
                                             .source_name = str_or(w->source_name, "src"),
                                             .source_ns = "ns",
                                             .clone_type = w->clone_type,
                                             .quiesce = w->quiesce,
                                             .method = METHOD_VOLUME_SNAPSHOT,
                                             .needs_snapshot = w->clone_type != CLONE_FULL,
                                             .deadline_s = 3600,
                                             .retry_limit = w->retry_limit,
                                             .replicas = 1,
                                             .cross_namespace = w->cross,
                                             .stop_source_after = w->stop_after,
                                             .auto_start = !w->not_started,
                                             .expiry = w->expiry,
                                             .expires_at_ms = w->expires_at_ms,
                                             .expires_after_ms = w->expires_after_ms,
                                             .run_strategy = RUN_ALWAYS,
                                             .reclaim = w->reclaim};
    v->source =
        (struct source_machine){.vm_exists = w->by_vm && !w->source_gone,
                                .vm_name = w->by_vm ? "src" : NULL,
                                .vm_uid = w->by_vm ? "src-vm-uid" : NULL,
                                .vmi_exists = there,
                                .vmi_name = "src",
                                .vmi_uid = there ? w->vmi_uid : NULL,
                                .phase = there ? "Running" : NULL,
                                .vmi_deleting = w->source_deleting,
                                .running = there && !w->source_deleting,
                                .agent = w->agent,
                                .began_ms = w->began_ms,
                                .guest_os = there ? w->guest_os : NULL,
                                .freeze_status = w->frozen && !w->freeze_unseen ? "frozen" : NULL,
                                .holds = w->holds};
    v->permit.may_start = true;
    v->others = (struct other_clones){
        .freezes_full = w->others_frozen,
        .freeze_ahead = w->freeze_ahead,
        .freeze_queued_ms =
            w->queued_ms && !w->record.attempt.freeze.requested_ms ? w->now - w->queued_ms : 0,
        .freezes_max = 4};
    v->source.holds.migration |= w->migrating;
    if (w->foreign_snapshot)
        v->source.holds.snapshot = "theirs";
}

static void see_ours(const struct world *w, struct clone_state *v, struct arena *a)
{
    v->ours = arena_alloc(a, 16 * sizeof *v->ours);
    for (size_t i = 0; i < DISKS; i++) {
        if (w->claim[i])
            v->ours[v->ours_count++] = (struct leftover){.kind = KIND_PVC,
                                                         .ns = "ns",
                                                         .name = world_claims[i],
                                                         .uid = world_claims[i],
                                                         .pending_claim = !w->bound[i]};
        if (w->snapshot[i])
            v->ours[v->ours_count++] = (struct leftover){.kind = KIND_SNAPSHOT,
                                                         .ns = "ns",
                                                         .name = world_snapshots[i],
                                                         .uid = world_snapshots[i],
                                                         .deleting = w->snapshot_deleting,
                                                         .content = world_contents[i],
                                                         .content_retains = w->parent[i],
                                                         .policy_ours = true};
    }
    if (w->vm)
        v->ours[v->ours_count++] =
            (struct leftover){.kind = KIND_VM, .ns = "ns", .name = "w-vm", .uid = "vm-uid"};
}

static void see_disks(const struct world *w, struct clone_state *v, struct arena *a)
{
    v->disks = arena_alloc(a, DISKS * sizeof *v->disks);
    v->targets[0].claims = arena_alloc(a, DISKS * sizeof(struct claim_state));
    for (size_t i = 0; i < DISKS; i++) {
        v->disks[i].plan = &w->plans[i];
        v->disks[i].snapshot =
            (struct snapshot_state){.name = world_snapshots[i],
                                    .ns = "ns",
                                    .uid = world_snapshots[i],
                                    .exists = w->snapshot[i],
                                    .ours = w->snapshot[i],
                                    .cut = w->cut[i],
                                    .error = w->snapshot[i] && !w->cut[i] ? w->cut_error : NULL,
                                    .being_created = w->being_created,
                                    .deleting = w->snapshot[i] && w->snapshot_deleting,
                                    .content = world_contents[i],
                                    .content_uid = world_contents[i],
                                    .content_exists = w->cut[i],
                                    .content_retains = w->parent[i],
                                    .cut_ms = w->cut[i] ? w->now : 0,
                                    .ready = w->ready[i]};
        v->targets[0].claims[i] = (struct claim_state){
            .name = world_claims[i],
            .uid = world_claims[i],
            .exists = w->claim[i],
            .ours = w->claim[i],
            .bound = w->bound[i],
            .owned = w->owned[i],
            .done_percent = w->bound[i] ? 100 : w->copied[i],
            .owner_target = world_claims[i],
            .sourced = true,
            .created_ms = w->claim_ms[i],
            .error = w->bound[i] ? NULL : w->claim_error,
            .settled_ms = driver_answer(w->claim_error) == DRIVER_GOES_ON ? 0 : w->claim_ms[i]};
    }
}

static void see_wukong(const struct world *w, struct clone_state *v, struct arena *a)
{
    struct wukong *wukong = arena_alloc(a, sizeof *wukong);
    *wukong = (struct wukong){.name = "w",
                              .ns = "ns",
                              .uid = UID,
                              .generation = 1,
                              .deleted_ms = w->deleted ? w->deleted_ms : 0,
                              .has_finalizer = w->finalizer};
    if (w->gate) {
        wukong->spec.source.gates = arena_alloc(a, sizeof(char *));
        wukong->spec.source.gates[0] = w->gate;
        wukong->spec.source.gate_count = 1;
    }
    static const struct wukong_pair restored = {"velero.io/restore-name", "nightly"};
    if (w->restored) {
        wukong->labels.items = (struct wukong_pair *)&restored;
        wukong->labels.count = 1;
    }
    v->wukong = wukong;
    v->status = w->status;
    v->retry = w->retry;
    v->invalid = w->invalid;
    v->own_ns_terminating = w->own_ns_going;
}

void world_see(struct world *w, struct clone_state *v, struct arena *a)
{
    static const struct storage_class_facts classes[2] = {
        {.name = "fast"}, {.name = "lazy", .wait_for_first_consumer = true}};
    *v = (struct clone_state){.arena = a,
                              .now = {w->now, w->now},
                              .call_log = &w->call_log,
                              .record = w->record,
                              .unfreeze_timeout_ms = 60000,
                              .clock_ahead_ms = w->clock_ahead_ms};
    see_wukong(w, v, a);
    call_log_note_cleaning(&w->call_log, clone_cleans_up(v), w->now);
    see_source(w, v);
    if (w->closed_until > w->now) {
        v->permitted_ms = w->closed_until;
        v->permitted_reason = REASON_OUTSIDE_WINDOW;
    }
    v->least = w->least;
    v->policy.reason = w->policy;
    v->policy.why = "ClonePolicy \"p\"";
    v->policy.until_ms = w->policy_until;
    if (w->frozen && w->foreign_snapshot)
        w->call_log.foreign_snapshot_ms = w->now;
    v->targets = arena_alloc(a, sizeof *v->targets);
    v->target_count = 1;
    v->targets[0].vm = (struct vm_state){.name = "w-vm",
                                         .uid = w->vm ? "vm-uid" : NULL,
                                         .exists = w->vm,
                                         .ours = w->vm,
                                         .up = w->vm_up,
                                         .ready = w->vm_ready,
                                         .owned = w->vm && w->vm_owned,
                                         .owned_by_other = w->vm && w->vm_taken};
    see_ours(w, v, a);
    /* As observe_clone has it: a finished clone's plan, and its classes, are not looked up. */
    v->targets[0].claims = arena_alloc(a, DISKS * sizeof(struct claim_state));
    if (record_final(&v->record) || w->deleted)
        return;
    v->classes.storage_classes = classes;
    v->classes.storage_class_count = 2;
    if (record_aborted(&v->record))
        return;
    v->capture.sealed = w->snapshot[0];
    /* What is copied is known once it has been read, by each worker anew. */
    if (!call_ok(call_log_find(&w->call_log, call_key_named(CALL_READ_SOURCE_VMI, "src"))))
        return;
    v->capture.present = true;
    v->disk_count = DISKS;
    see_disks(w, v, a);
    clone_raise_quiesce(v);
}
