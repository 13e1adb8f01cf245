/* The writes of a Wukong's status, and what their answers tell. */
#include "controller/controller_internal.h"

#include <assert.h>
#include <stdio.h>

#include "actions/execute.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "clones/clone_table.h"
#include "clones/metrics.h"
#include "clones/share_group.h"
#include "controller/status.h"
#include "controller/trace.h"
#include "json/json.h"
#include "kube/client.h"
#include "kube/lease.h"
#include "kube/metrics.h"
#include "kube/store.h"
#include "kube/watches.h"
#include "kube/workqueue.h"
#include "observe/observe.h"
#include "observe/queries.h"
#include "observe/stamp_check.h"
#include "policy/policy_gate.h"
#include "wukong/policy/policy_metrics.h"
#include "wukong/policy/schedule.h"

/* After our own status write the watch is given this long to show it. */
#define WRITTEN_TRUST_MS 10000

/* What of a status write that was just sent the others of the source must know, and the clone
 * itself. */
static void announce(struct worker *w, struct clone *e, const struct clone_state *v,
                     const struct decision *d)
{
    bool begins = share_begun(&d->record) && !share_begun(&v->record);
    bool takes_slot = record_begun(&d->record) && !record_begun(&v->record);
    bool freezes = d->record.attempt.freeze.requested_ms > v->record.attempt.freeze.requested_ms ||
                   (clone_uses_vm_snapshot(v) && d->record.attempt.source_uid &&
                    !v->record.attempt.source_uid);
    bool seals = (d->record.attempt.cut_ms && !v->record.attempt.cut_ms) ||
                 (record_final(&d->record) && !record_final(&v->record));
    unsigned what = (freezes ? ANNOUNCED_FREEZE : 0) | (seals ? ANNOUNCED_SEAL : 0);
    if (what || takes_slot ||
        (begins && (d->record.attempt.member_count || d->record.attempt.shared.uid)))
        indoubt_open(&e->announced, v->wukong->resource_version, what, worker_mono(w));
    clone_table_count_freeze(&w->clones, e);
}

void worker_send_status(struct worker *w, struct clone *e, const struct clone_state *v,
                        struct decision *d)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    CLEANUP_JSON cJSON *next = NULL;
    struct err err = {0};
    status_write(v, d, &text);
    if (!buf_ok(&text) || json_read(text.data, text.len, &next, &err) < 0) {
        log_event(LOG_ERROR, "status cannot be written", LOG_S("wukong", e->key),
                  LOG_S("error", err.message));
        return;
    }
    enum status_change change = status_compare(v, next);
    int64_t since = e->status_ms ? e->status_ms : v->wukong->created_ms;
    if (change == STATUS_SAME)
        return;
    /* The finalizer's answer brings the version that this write has to name: without it, a
     * conflict. */
    const struct call *finalizer = call_log_find(&e->call_log, call_key(CALL_FINALIZER_ADD));
    if (finalizer && finalizer->state == CALL_FLYING)
        return;
    /* That it has been seen is told soon, however many are under way. */
    bool seen = json_get(v->status, "cloneStatus");
    int64_t at = since + (seen ? status_pause_ms(w->clones.usage.held) : STATUS_SOFT_MS);
    if (change == STATUS_SOFT && !d->persist_first && v->now.wall_ms < at) {
        if (!d->again_ms || at < d->again_ms)
            d->again_ms = at;
        return;
    }
    /* What it is about to try says more than that it waits for its turn to try it. */
    if (change == STATUS_SOFT && !d->persist_first && e->budget[LANE_TRIES].waits && !d->held_up)
        return;
    struct intent i = {.verb = INTENT_STATUS,
                       .kind = &worker_kinds[KIND_WUKONG],
                       .ns = e->ns,
                       .name = e->name,
                       .uid = e->uid,
                       /* A status that was made from the past, by a cache that lags or by a leader
                          of yesterday, must not undo a newer one. */
                       .version = v->wukong->resource_version,
                       .body = text.data,
                       .key = call_key(CALL_STATUS)};
    if (d->record.attempt.freeze.requested_ms != v->record.attempt.freeze.requested_ms)
        /* Marked when sent: the watch may show the record before the answer to its write comes. */
        i.mark_sent = (struct freeze_proof){PROOF_ARMED, d->record.attempt.freeze.requested_ms};
    else if (d->record.attempt.freeze.thawed_ms && !v->record.attempt.freeze.thawed_ms)
        i.mark_sent = (struct freeze_proof){PROOF_THAWED, d->record.attempt.freeze.requested_ms};
    const struct call *last = call_log_find(&e->call_log, i.key);
    bool flying = last && last->state == CALL_FLYING;
    if (change == STATUS_HARD || d->persist_first)
        e->counted = false;
    if (execute(&w->executor, &i, &e->call_log, e, &e->flights)) {
        e->status_ms = v->now.wall_ms;
        announce(w, e, v, d);
    }
    if (change == STATUS_HARD && !flying)
        worker_metrics_record(v, &d->record);
}

void worker_trust_answer(struct worker *w, struct clone *e, const char *json, size_t len)
{
    struct kube_object *o = NULL;
    struct err err = {0};
    if (kube_object_read(&worker_kinds[KIND_WUKONG], json, len, &o, &err) < 0 || o->unreadable) {
        log_event(LOG_WARN, "answer with a Wukong cannot be read", LOG_S("wukong", e->key),
                  LOG_S("error", o ? o->unreadable : err.message));
        free(o);
        return;
    }
    /* A read goes by name. */
    if (!str_eq(o->uid, e->uid)) {
        free(o);
        return;
    }
    if (indoubt_read(&e->announced, call_log_find(&e->call_log, call_key(CALL_READ_OWN)), o))
        share_group_freed(&w->clones, e);
    const struct kube_object *cached = store_get(w->watched[KIND_WUKONG].store, e->ns, e->name);
    /* Answers may come in another order than the writes took effect. */
    if (e->written && worker_object_older(o, e->written)) {
        free(o);
        return;
    }
    free(e->written);
    e->written = NULL;
    /* The watch may have been faster than the answer, and then the summary must not go back: a debt
       forgotten lets another clone freeze the same guest. */
    if (cached && str_eq(cached->uid, e->uid) && !worker_object_older(cached, o)) {
        free(o);
        return;
    }
    worker_summarise(w, e, o);
    e->written = o;
    e->written_until_ms = worker_mono(w) + WRITTEN_TRUST_MS;
}
