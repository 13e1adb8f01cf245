/* The thaw: owed from the announcement of a freeze until it is known to have happened. */
#include "teardown/teardown.h"

#include "actions/event.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/resources.h"

/* A thaw that has not worked, or may have come before its freeze, is sent again so soon. */
#define THAW_REPEAT_MS 2000
/* After so many failures in a row its Wukong says so. */
#define THAW_FAILS 3

static bool definite_refusal(const struct call *freeze)
{
    /* Every other error of a freeze may have taken effect (virt-api passes the node's failures and
       its own time-out on as 500). */
    return call_failed(freeze) &&
           /* Not even looked at: the network, or the API server's own limits. */
           (freeze->kind == ERR_THROTTLED || (freeze->kind == ERR_UNAVAILABLE && !freeze->code) ||
            freeze->code == 429 || freeze->code == 401 || freeze->code == 403 ||
            freeze->code == 404 || freeze->code == 405 || freeze->code == 406 ||
            freeze->code == 409);
}

static bool guest_gone(const struct clone_state *v)
{
    const struct source_machine *s = &v->source;
    /* One that is being deleted still runs, and cannot shut down well while it is frozen. */
    return !s->vmi_exists || !str_eq(s->vmi_uid, v->record.attempt.freeze.vmi_uid);
}

/* The node has answered, so that nothing of this freeze is on its way to the guest any more. */
static bool node_answered(const struct call *freeze)
{
    return call_ok(freeze) ||
           (call_failed(freeze) && strstr(str_or(freeze->message, ""), "unexpected return code"));
}

static bool seen_frozen(const struct clone_state *v)
{
    return v->call_log->freeze_shown_ms >= v->record.attempt.freeze.requested_ms;
}

/* Since when every thaw has worked. NULL: none has. */
static const struct proven *thaws_work_since(const struct clone_state *v)
{
    const struct proven *first = clone_proven(v, PROOF_THAW_WORKED);
    const struct proven *later = clone_proven(v, PROOF_THAW_WORKED_LATER);
    return !first || (later && later->done_mono_ms > first->done_mono_ms) ? later : first;
}

/* Until when the guest stood still at the latest, by the clock that nobody sets: of a freeze that
   was not acknowledged until thaws began to work, unless it was seen frozen; one that comes late is
   thawed by the next. */
static int64_t stood_still_ms(const struct clone_state *v, const struct call *freeze)
{
    const struct call *thaw = clone_thaw_call(v);
    const struct proven *worked = thaws_work_since(v);
    bool thawed = thaw && (call_ok(thaw) || clone_thawed_by_itself(v));
    int64_t end = v->now.mono_ms;
    if (call_ok(freeze) && thawed)
        end = thaw->done_mono_ms;
    else if (!call_ok(freeze) && !seen_frozen(v) && worked && !call_failed(thaw) &&
             (!freeze || worked->done_mono_ms >= freeze->done_mono_ms))
        end = worked->done_mono_ms + (node_answered(freeze) ? 0 : THAW_REPEAT_MS + 1000);
    if (freeze)
        return end - freeze->sent_mono_ms;
    /* Sent by a worker before this one. */
    int64_t ms = v->now.wall_ms - v->now.mono_ms + end - v->record.attempt.freeze.requested_ms;
    return ms > 0 ? ms : clone_unfreeze_ms(v);
}

/* The debt is paid. frozen: the guest was, or may have been, frozen; its record says how long. */
static void close_freeze(const struct clone_state *v, struct decision *d, int64_t at_ms,
                         bool frozen)
{
    struct clone_record *r = &d->record;
    const struct call *freeze = clone_freeze_call(v);
    r->attempt.freeze.thawed_ms = at_ms;
    if (!frozen)
        return;
    int64_t ms = stood_still_ms(v, freeze);
    r->attempt.froze = true;
    r->attempt.freeze_ms = ms > r->attempt.freeze_ms ? ms : r->attempt.freeze_ms;
    if (call_ok(freeze))
        r->attempt.freeze.acknowledged_ms = freeze->done_ms;
    if (record_aborted(r)) {
        r->error.froze = true;
        r->error.freeze_ms = r->attempt.freeze_ms;
    }
    bool refused = call_failed(freeze) && node_answered(freeze) && !seen_frozen(v);
    /* Of all that is cut and not recorded SnapshotTaken tells it. */
    if (!refused && (clone_past_cut(v) || !clone_all_cut(v)))
        create_event(v, d, !clone_past_cut(v), "GuestThawed", "the guest %s frozen for %lld ms%s",
                     call_ok(freeze) ? "was" : "may have been", (long long)r->attempt.freeze_ms,
                     clone_past_cut(v) ? "" : ", and no snapshot came of it");
}

static void send_thaw(const struct clone_state *v, struct decision *d, int64_t repeat_ms)
{
    const struct call *last = clone_thaw_call(v);
    int64_t wait = last ? last->done_mono_ms + repeat_ms - v->now.mono_ms : 0;
    if (last && last->state != CALL_FLYING && wait > 0) {
        decision_again(d, v->now.wall_ms + wait);
        return;
    }
    int64_t id = v->record.attempt.freeze.requested_ms;
    struct intent *i = intents_add(&d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VMI],
                                   v->effective.source_ns,
                                   v->effective.source_type == SOURCE_VMI
                                       ? v->effective.source_name
                                       : str_or(v->record.source_vmi, v->effective.source_name),
                                   call_key_numbered(CALL_THAW, id));
    i->sub = "unfreeze";
    if (!thaws_work_since(v) || call_failed(last))
        i->mark_done =
            (struct freeze_proof){last ? PROOF_THAW_WORKED_LATER : PROOF_THAW_WORKED, id};
    if (last)
        return;
    const struct call *freeze = clone_freeze_call(v);
    if (clone_all_cut(v) && clone_freeze_holds(v)) {
        bool early = v->now.mono_ms < freeze->sent_mono_ms + WINDOWS_FREEZE_MS - THAW_MARGIN_MS;
        i->mark_sent = (struct freeze_proof){early ? PROOF_HELD : PROOF_HELD_LONG, id};
    } else {
        i->mark_sent = (struct freeze_proof){PROOF_THAW_SENT, id};
    }
}

/* How long it takes until a freeze whose end no answer tells is over for certain. Either a thaw has
   worked that was sent when the freeze could not come any more; or the guest's own timer has ended
   it, which runs from when it came. By the clock that nobody sets, which tells nothing of what a
   worker before this one has sent: from our first thaw, so that none is recorded that was not sent.
 */
static int64_t settles_in_ms(const struct clone_state *v)
{
    const struct call *freeze = clone_freeze_call(v), *thaw = clone_thaw_call(v);
    const struct proven *sent = clone_proven(v, PROOF_THAW_SENT);
    int64_t late = v->now.mono_ms + FREEZE_LATE_MS;
    if (node_answered(freeze))
        late = freeze->done_mono_ms;
    else if (freeze)
        late = freeze->sent_mono_ms + FREEZE_LATE_MS;
    else if (sent)
        late = sent->sent_mono_ms + FREEZE_LATE_MS;
    if (call_ok(thaw) && thaw->sent_mono_ms >= late)
        return 0;
    return late + clone_unfreeze_ms(v) + FREEZE_POLL_MS - v->now.mono_ms;
}

void teardown_thaw(const struct clone_state *v, struct decision *d, bool wanted)
{
    const struct clone_record *r = &v->record;
    const struct call *freeze = clone_freeze_call(v);
    const struct call *thaw = clone_thaw_call(v);
    int64_t now = v->now.wall_ms;
    if (!record_owes_thaw(r) || (freeze && freeze->state == CALL_FLYING && !thaw && !wanted))
        return;
    bool never_sent = !freeze && clone_proven(v, PROOF_ARMED);
    if (never_sent && !wanted)
        return;
    /* We have already recorded that our freeze ended. If the guest looks frozen now, somebody else
     * froze it. */
    bool told = clone_proven(v, PROOF_THAWED);
    if (definite_refusal(freeze) || guest_gone(v) || never_sent || told) {
        close_freeze(v, d, now, !definite_refusal(freeze) && !never_sent);
        return;
    }
    bool thawed = call_ok(thaw) || clone_thawed_by_itself(v);
    if (node_answered(freeze) && thawed && thaw->sent_mono_ms >= freeze->done_mono_ms) {
        close_freeze(v, d, thaw->done_ms, true);
        return;
    }
    if (!wanted && !clone_all_cut(v) && clone_freeze_holds(v)) {
        decision_again(d, clone_thaw_by_ms(v));
        return;
    }
    /* The answer to the freeze is not known, or the thaw has not worked yet: repeat until the state
       is seen empty after the last moment at which a late freeze can still hold. A thaw that is on
       its way would end the freeze of whoever comes next. */
    int64_t left = settles_in_ms(v);
    bool flying = thaw && thaw->state == CALL_FLYING;
    if (left <= 0 && !v->source.freeze_status && !flying) {
        close_freeze(v, d, now, true);
        return;
    }
    if (call_failed(thaw) && thaw->failures >= THAW_FAILS)
        create_event(
            v, d, true, "ThawFails",
            "the guest of %s/%s cannot be thawed: %s. It is tried again every 2 s; see its "
            "guest agent, and thaw it by virtctl unfreeze, or from its console by fsfreeze "
            "--unfreeze",
            v->effective.source_ns, str_or(v->record.source_vmi, v->effective.source_name),
            str_or(thaw->message, "no answer"));
    send_thaw(v, d, thaw ? THAW_REPEAT_MS : 0);
    decision_again(d, now + (left > 0 && left < THAW_REPEAT_MS ? left : THAW_REPEAT_MS));
}
