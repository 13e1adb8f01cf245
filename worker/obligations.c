/*
 * What is owed whatever becomes of the clone: the thaw, the end of what we started, the removal of
 * what we made. Each function emits what is to be sent now and says whether the debt is paid.
 */
#include "worker/steps.h"

#include "base/str.h"
#include "json/json.h"
#include "worker/bodies.h"

/* Of a source that cannot be stopped again an Event tells so long after the deadline. */
#define STOP_LIMIT_MS 600000
/* How long the API server's own word that nothing is left is good, and when it is asked again. */
#define LEFT_FRESH_MS 5000
#define LEFT_AGAIN_MS 1000
/* KubeVirt holds the guest frozen for a VirtualMachineSnapshot under way: its deletion waits no
   longer for the contents of its VolumeSnapshots. */
#define HASTY_MS 5000
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

static bool guest_gone(const struct clone_view *v)
{
    const struct view_source *s = &v->source;
    /* One that is being deleted still runs, and cannot shut down well while it is frozen. */
    return !s->vmi_exists || !str_eq(s->vmi_uid, v->record.freeze.vmi_uid);
}

/* The node has answered, so that nothing of this freeze is on its way to the guest any more. */
static bool node_answered(const struct call *freeze)
{
    return call_ok(freeze) ||
           (call_failed(freeze) && strstr(str_or(freeze->message, ""), "unexpected return code"));
}

static bool seen_frozen(const struct clone_view *v)
{
    return v->memo->freeze_shown_ms >= v->record.freeze.requested_ms;
}

static const struct call *first_that_worked(const struct clone_view *v)
{
    long long id = (long long)v->record.freeze.requested_ms;
    const struct call *first = memo_findf(v->memo, "thaw-worked/%lld", id);
    return first ? first : memo_findf(v->memo, "thaw-worked-later/%lld", id);
}

/* Until when the guest stood still at the latest, by the clock that nobody sets: of a freeze that
   was not acknowledged until the first thaw that worked, unless it was seen frozen; one that comes
   late is thawed by the next. */
static int64_t stood_still_ms(const struct clone_view *v, const struct call *freeze)
{
    const struct call *thaw = view_thaw_call(v), *worked = first_that_worked(v);
    bool thawed = thaw && (call_ok(thaw) || view_thawed_by_itself(v));
    int64_t end = v->now.mono_ms;
    if (call_ok(freeze) && thawed)
        end = thaw->done_mono_ms;
    else if (!call_ok(freeze) && !seen_frozen(v) && worked &&
             (!freeze || worked->done_mono_ms >= freeze->done_mono_ms))
        end = worked->done_mono_ms + (node_answered(freeze) ? 0 : THAW_REPEAT_MS + 1000);
    if (freeze)
        return end - freeze->sent_mono_ms;
    /* Sent by a worker before this one. */
    int64_t ms = v->now.wall_ms - v->now.mono_ms + end - v->record.freeze.requested_ms;
    return ms > 0 ? ms : view_unfreeze_ms(v);
}

/* The debt is paid. frozen: the guest was, or may have been, frozen; its record says how long. */
static void close_freeze(const struct clone_view *v, struct decision *d, int64_t at_ms, bool frozen)
{
    struct clone_record *r = &d->record;
    const struct call *freeze = view_freeze_call(v);
    r->freeze.thawed_ms = at_ms;
    if (!frozen)
        return;
    int64_t ms = stood_still_ms(v, freeze);
    r->froze = true;
    r->freeze_ms = ms > r->freeze_ms ? ms : r->freeze_ms;
    if (call_ok(freeze))
        r->freeze.acknowledged_ms = freeze->done_ms;
    if (record_aborted(r)) {
        r->error.froze = true;
        r->error.freeze_ms = r->freeze_ms;
    }
    bool refused = call_failed(freeze) && node_answered(freeze) && !seen_frozen(v);
    /* Of all that is cut and not recorded SnapshotTaken tells it. */
    if (!refused && (view_past_cut(v) || !view_all_cut(v)))
        body_event(v, d, !view_past_cut(v), "GuestThawed", "the guest %s frozen for %lld ms%s",
                   call_ok(freeze) ? "was" : "may have been", (long long)r->freeze_ms,
                   view_past_cut(v) ? "" : ", and no snapshot came of it");
}

static void send_thaw(const struct clone_view *v, struct decision *d, int64_t repeat_ms)
{
    const struct call *last = view_thaw_call(v);
    int64_t wait = last ? last->done_mono_ms + repeat_ms - v->now.mono_ms : 0;
    if (last && last->state != CALL_FLYING && wait > 0) {
        decision_again(d, v->now.wall_ms + wait);
        return;
    }
    long long id = (long long)v->record.freeze.requested_ms;
    struct intent *i = intents_add(&d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VMI],
                                   v->effective.source_ns,
                                   v->effective.source_type == SOURCE_VMI
                                       ? v->effective.source_name
                                       : str_or(v->record.source_vmi, v->effective.source_name),
                                   "thaw/%lld", id);
    i->sub = "unfreeze";
    if (!first_that_worked(v))
        i->mark_done = arena_printf(v->arena, "thaw-worked%s/%lld", last ? "-later" : "", id);
    if (last)
        return;
    const struct call *freeze = view_freeze_call(v);
    if (view_all_cut(v) && view_freeze_holds(v)) {
        bool early = v->now.mono_ms < freeze->sent_mono_ms + WINDOWS_FREEZE_MS - THAW_MARGIN_MS;
        i->mark_sent = arena_printf(v->arena, "%s/%lld", early ? "held" : "held-long", id);
    } else {
        i->mark_sent = arena_printf(v->arena, "thaw-sent/%lld", id);
    }
}

/* How long it takes until a freeze whose end no answer tells is over for certain. By the clock that
   nobody sets, which tells nothing of what a worker before this one has sent: from our first thaw,
   so that none is recorded that was not sent. One that worked leaves only a freeze that comes late.
 */
static int64_t settles_in_ms(const struct clone_view *v)
{
    const struct call *freeze = view_freeze_call(v), *worked = first_that_worked(v);
    const struct call *sent =
        memo_findf(v->memo, "thaw-sent/%lld", (long long)v->record.freeze.requested_ms);
    int64_t late = view_unfreeze_ms(v) > FREEZE_LATE_MS ? view_unfreeze_ms(v) : FREEZE_LATE_MS;
    int64_t from = v->now.mono_ms;
    if (freeze)
        from = freeze->sent_mono_ms;
    else if (sent)
        from = sent->sent_mono_ms;
    if (!freeze && worked && worked->done_mono_ms + FREEZE_LATE_MS < from + late)
        return worked->done_mono_ms + FREEZE_LATE_MS + FREEZE_POLL_MS - v->now.mono_ms;
    return from + late + FREEZE_POLL_MS - v->now.mono_ms;
}

void oblige_thaw(const struct clone_view *v, struct decision *d, bool wanted)
{
    const struct clone_record *r = &v->record;
    const struct call *freeze = view_freeze_call(v);
    const struct call *thaw = view_thaw_call(v);
    int64_t now = v->now.wall_ms;
    if (!record_owes_thaw(r) || (freeze && freeze->state == CALL_FLYING && !thaw && !wanted))
        return;
    const struct call *armed = memo_findf(v->memo, "armed/%lld", (long long)r->freeze.requested_ms);
    bool never_sent = !freeze && call_ok(armed);
    if (never_sent && !wanted)
        return;
    /* Found to be over; what is seen frozen while the record of that is on its way is somebody
     * else's. */
    const struct call *told = memo_findf(v->memo, "thawed/%lld", (long long)r->freeze.requested_ms);
    if (definite_refusal(freeze) || guest_gone(v) || never_sent || call_ok(told)) {
        close_freeze(v, d, now, !definite_refusal(freeze) && !never_sent);
        return;
    }
    bool thawed = call_ok(thaw) || view_thawed_by_itself(v);
    if (node_answered(freeze) && thawed && thaw->sent_mono_ms >= freeze->done_mono_ms) {
        close_freeze(v, d, thaw->done_ms, true);
        return;
    }
    if (!wanted && !view_all_cut(v) && view_freeze_holds(v)) {
        decision_again(d, view_thaw_by_ms(v));
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
        body_event(v, d, true, "ThawFails",
                   "the guest of %s/%s cannot be thawed: %s. It is tried again every 2 s; see its "
                   "guest agent, and thaw it by virtctl unfreeze, or from its console by fsfreeze "
                   "--unfreeze",
                   v->effective.source_ns, str_or(v->record.source_vmi, v->effective.source_name),
                   str_or(thaw->message, "no answer"));
    send_thaw(v, d, thaw ? THAW_REPEAT_MS : 0);
    decision_again(d, now + (left > 0 && left < THAW_REPEAT_MS ? left : THAW_REPEAT_MS));
}

/* How often csi-snapshotter is made to look at a content again. */
#define NUDGE_MS 10000

/* Any write makes it look; the annotation says whose it is. */
static void nudge(const struct clone_view *v, struct decision *d, const struct view_leftover *o)
{
    const struct call *last = memo_findf(v->memo, "nudge/%s", o->stuck);
    decision_again(d, v->now.wall_ms + NUDGE_MS);
    if (call_ok(last) && v->now.wall_ms < last->done_ms + NUDGE_MS)
        return;
    struct intent *p = intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_CONTENT], NULL,
                                   o->stuck, "nudge/%s", o->stuck);
    p->body = arena_printf(v->arena,
                           "{\"metadata\":{\"annotations\":{\"" WUKONG_GROUP
                           "/deletion-awaited\":\"%lld\"}}}",
                           (long long)(v->now.wall_ms / 1000));
}

/* We have set it to Delete already, and not to Retain since: the cache is behind, or is yet to show
   that somebody else did (view_left.c policy_is_ours). */
static bool set_to_delete(const struct clone_view *v, const char *content)
{
    const struct call *gone = memo_findf(v->memo, "policy/%s", content);
    const struct call *kept = memo_findf(v->memo, "retain/%s", content);
    return call_ok(gone) && !(call_ok(kept) && kept->done_mono_ms >= gone->done_mono_ms);
}

/* Everything that must come before the deletion of a VolumeSnapshot; true when it has. hasty: only
   what takes no time. */
static bool may_go(const struct clone_view *v, struct decision *d, const struct view_leftover *o,
                   bool hasty)
{
    if (o->unlabelled && !str_eq(o->backup_of, v->record.vm_snapshot_uid)) {
        /* What tells that it is ours, once KubeVirt's snapshot is gone, is stored first. */
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (o->unlabelled) {
        struct intent *p = intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_SNAPSHOT],
                                       o->ns, o->name, "label/%s", o->uid);
        p->body = arena_printf(v->arena,
                               "{\"metadata\":{\"uid\":\"%s\",\"labels\":{\"" WUKONG_UID_LABEL
                               "\":\"%s\"}}}",
                               o->uid, v->wukong->uid);
        return false;
    }
    if (o->look) {
        (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[KIND_CONTENT], NULL, o->look,
                          "%s", o->look_key);
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (!o->copy && o->content && o->content_retains && o->policy_ours &&
        !set_to_delete(v, o->content)) {
        struct intent *p = intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_CONTENT], NULL,
                                       o->content, "policy/%s", o->content);
        p->body = "{\"metadata\":{\"annotations\":{\"" POLICY_SET_ANNOTATION
                  "\":\"Delete\"}},\"spec\":{\"deletionPolicy\":\"Delete\"}}";
        return false;
    }
    if (hasty)
        return !o->content_awaited || v->now.wall_ms > o->created_ms + HASTY_MS;
    /* The provisioner takes its finalizer off after the claim is bound, and a conflict makes it try
       again a second later: by then the content must be there, or it fails for minutes and the
       snapshot hangs (seen on v6.3: 409, then "error getting snapshotcontent"). */
    if (o->in_use) {
        decision_again(d, v->now.wall_ms + 2000);
        if (o->orphaned)
            intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_SNAPSHOT], o->ns, o->name,
                        "release/%s", o->uid)
                ->body = o->release;
        return false;
    }
    /* Its content is about to appear and would outlive it, or the CSI driver is at work for it and
       what it makes would be overlooked. */
    if (o->content_awaited || o->being_cut) {
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    return true;
}

static void remove_one(const struct clone_view *v, struct decision *d,
                       const struct view_leftover *o)
{
    if (o->stuck)
        nudge(v, d, o);
    if (o->deleting && !o->in_use)
        return;
    if (o->attached)
        return;
    if ((o->kind == KIND_SNAPSHOT || (o->kind == KIND_CONTENT && !o->copy)) &&
        !may_go(v, d, o, false))
        return;
    struct intent *i = intents_add(&d->intents, INTENT_DELETE, &worker_kinds[o->kind], o->ns,
                                   o->name, "delete/%s/%s", worker_kinds[o->kind].resource, o->uid);
    i->uid = o->uid;
}

/* In a namespace that is being deleted it goes without us, and is not waited for. */
static bool released(const struct clone_view *v, const struct view_leftover *o)
{
    return v->source_ns_terminating && o->deleting && str_eq(o->ns, v->effective.source_ns);
}

static size_t remove_kind(const struct clone_view *v, struct decision *d, int kind)
{
    size_t n = 0;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct view_leftover *o = &v->ours[i];
        if (o->kind != kind || o->stays)
            continue;
        n += !o->attached && !released(v, o);
        remove_one(v, d, o);
    }
    return n;
}

/* The copies of another namespace; the physical snapshot is the first content's and stays. True
   when none is left. */
bool oblige_remove_copies(const struct clone_view *v, struct decision *d)
{
    size_t n = 0;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct view_leftover *o = &v->ours[i];
        if (!o->copy || (o->kind != KIND_SNAPSHOT && o->kind != KIND_CONTENT))
            continue;
        n++;
        remove_one(v, d, o);
    }
    return n == 0;
}

/* KubeVirt's VolumeSnapshots go with it, by the garbage collector: what is due to them comes first.
   True when it is gone. */
static bool remove_vm_snapshots(const struct clone_view *v, struct decision *d)
{
    bool there = false, hasty = false, ready = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        there |= v->ours[i].kind == KIND_VM_SNAPSHOT;
        hasty |= v->ours[i].hasty;
    }
    for (size_t i = 0; there && i < v->ours_count; i++) {
        const struct view_leftover *o = &v->ours[i];
        if (o->unread) {
            (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[o->kind], o->ns, o->name,
                              "read/%s/%s", worker_kinds[o->kind].resource, o->name);
            ready = false;
        }
        if (o->kind != KIND_SNAPSHOT || o->unread)
            continue;
        if (o->stuck)
            nudge(v, d, o);
        ready &= (o->deleting && !o->in_use && !o->unlabelled) || may_go(v, d, o, hasty);
    }
    if (ready)
        (void)remove_kind(v, d, KIND_VM_SNAPSHOT);
    return !there;
}

bool oblige_remove_snapshots(const struct clone_view *v, struct decision *d)
{
    /* Those who share them have not yet written down that they do. */
    if (v->share.taking_over) {
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (!oblige_remove_copies(v, d)) {
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
        return false;
    }
    bool none = remove_vm_snapshots(v, d) && remove_kind(v, d, KIND_SNAPSHOT) == 0;
    /* Contents that outlived the VolumeSnapshots of a linked clone. */
    none &= remove_kind(v, d, KIND_CONTENT) == 0;
    if (!none)
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    return none;
}

bool view_has_children(const struct clone_view *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (v->ours[i].kind == KIND_VM || v->ours[i].kind == KIND_PVC ||
            v->ours[i].kind == KIND_DATA_VOLUME)
            return true;
    return false;
}

bool view_has_children_to_go(const struct clone_view *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if ((v->ours[i].kind == KIND_VM || v->ours[i].kind == KIND_PVC ||
             v->ours[i].kind == KIND_DATA_VOLUME) &&
            !v->ours[i].stays)
            return true;
    return false;
}

/* A finalizer on a snapshot protects nothing; its content and data go at once. What holds is a
   content whose deletionPolicy is Retain (seen on external-snapshotter 8.6). */
bool oblige_hold_parents(const struct clone_view *v, struct decision *d)
{
    bool held = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct view_leftover *o = &v->ours[i];
        if (o->kind != KIND_SNAPSHOT || o->copy || o->deleting || !o->content || o->content_retains)
            continue;
        struct intent *p = intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_CONTENT], NULL,
                                       o->content, "retain/%s", o->content);
        /* The label leads back to it when its VolumeSnapshot has been deleted. */
        p->body = arena_printf(v->arena,
                               "{\"metadata\":{\"labels\":{\"" WUKONG_UID_LABEL
                               "\":\"%s\"},\"annotations\":{\"" POLICY_SET_ANNOTATION
                               "\":null}},\"spec\":{\"deletionPolicy\":\"Retain\"}}",
                               v->wukong->uid);
        held = false;
    }
    return held;
}

/* The order matters: a Pending claim keeps its snapshot in deletion for ever and a dying snapshot
   keeps the claim Pending, so claims go first and are waited for. */
bool oblige_remove_all(const struct clone_view *v, struct decision *d)
{
    size_t n = remove_kind(v, d, KIND_VM);
    n += remove_kind(v, d, KIND_DATA_VOLUME);
    n += remove_kind(v, d, KIND_PVC);
    if (n) {
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
        return false;
    }
    /* What is left are machines that have been ready: their disks may need them still. */
    bool needed =
        view_claims_pending(v) || (v->effective.clone_type == CLONE_LINKED && view_has_children(v));
    return needed || oblige_remove_snapshots(v, d);
}

static bool is_of_target(const struct clone_view *v, const struct view_target *t,
                         const struct view_leftover *o)
{
    if (o->kind == KIND_VM)
        return str_eq(o->name, t->vm.name);
    for (size_t i = 0; i < v->disk_count; i++)
        if ((o->kind == KIND_PVC || o->kind == KIND_DATA_VOLUME) &&
            str_eq(o->name, t->claims[i].name))
            return true;
    return false;
}

bool oblige_remove_target(const struct clone_view *v, struct decision *d,
                          const struct view_target *t)
{
    bool gone = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        if (v->ours[i].stays || !is_of_target(v, t, &v->ours[i]))
            continue;
        gone = false;
        remove_one(v, d, &v->ours[i]);
    }
    if (!gone)
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    return gone;
}

bool view_claims_pending(const struct clone_view *v)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if ((v->ours[i].kind == KIND_PVC || v->ours[i].kind == KIND_DATA_VOLUME) &&
            v->ours[i].pending_claim && !v->ours[i].deleting)
            return true;
    return false;
}

bool oblige_await_creates(const struct clone_view *v, struct decision *d)
{
    for (const struct call *c = v->memo->calls; c; c = c->next) {
        if (!str_starts(c->key, "create/"))
            continue;
        if (c->state == CALL_FLYING)
            return false;
        bool may_exist = call_ok(c) || (call_failed(c) && c->kind != ERR_REFUSED &&
                                        c->kind != ERR_EXISTS && c->kind != ERR_THROTTLED);
        if (may_exist && v->now.wall_ms < c->done_ms + CREATE_SEEN_MS) {
            decision_again(d, c->done_ms + CREATE_SEEN_MS);
            return false;
        }
    }
    return true;
}

/* Snapshots that somebody else needs are left to the last of those. */
static const char *not_held(const struct clone_view *v)
{
    const char *text = NULL;
    for (size_t i = 0; i < v->held_group_count; i++)
        if (str_eq(v->held[i].uid, v->wukong->uid))
            text = arena_printf(v->arena, "%s%s" LABEL_ATTEMPT "!=%lld", str_or(text, ""),
                                text ? "," : "", (long long)v->held[i].attempt);
    return text;
}

bool oblige_nothing_left(const struct clone_view *v, struct decision *d, bool all)
{
    static const struct {
        int kind;
        bool lasting; /* a finished clone leaves it on purpose */
    } kinds[] = {{KIND_SNAPSHOT, false}, {KIND_CONTENT, false},    {KIND_VM_SNAPSHOT, false},
                 {KIND_VM, true},        {KIND_DATA_VOLUME, true}, {KIND_PVC, true}};
    bool nothing = true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct kube_kind *kind = &worker_kinds[kinds[i].kind];
        const struct call *c = memo_findf(v->memo, "left/%s", kind->resource);
        bool unserved = call_failed(c) && c->code == 404;
        bool fresh = call_ok(c) && v->now.wall_ms < c->done_ms + LEFT_FRESH_MS;
        const char *next = NULL;
        enum left_listed listed =
            fresh ? view_left_listed(v, (enum worker_kind)kinds[i].kind, c, &next) : LEFT_UNKNOWN;
        bool foreign = v->source_ns_terminating &&
                       (kinds[i].kind == KIND_SNAPSHOT || kinds[i].kind == KIND_VM_SNAPSHOT);
        if ((kinds[i].lasting && !all) || foreign || unserved || listed == LEFT_NOTHING)
            continue;
        nothing = false;
        if (fresh && !next && v->now.wall_ms < c->done_ms + LEFT_AGAIN_MS)
            continue;
        struct intent *l =
            intents_add(&d->intents, INTENT_LIST, kind, NULL, NULL, "left/%s", kind->resource);
        l->uid = v->wukong->uid;
        l->from = next;
        l->metadata_only = kinds[i].kind != KIND_CONTENT;
        l->selector = kinds[i].kind == KIND_SNAPSHOT ? not_held(v) : NULL;
    }
    if (!nothing)
        decision_again(d, v->now.wall_ms + LEFT_AGAIN_MS);
    return nothing;
}

bool view_source_to_stop(const struct clone_view *v)
{
    const struct clone_record *r = &v->record;
    const struct view_source *s = &v->source;
    return r->started.at_ms && v->effective.stop_source_after && s->vm_exists && s->vmi_exists &&
           !s->deleting && str_eq(r->started.vmi_uid, s->vmi_uid);
}

bool oblige_stop_source(const struct clone_view *v, struct decision *d)
{
    const struct clone_record *r = &v->record;
    if (!view_source_to_stop(v))
        return true;
    int64_t deadline = r->start_ms ? r->start_ms + v->effective.deadline_s * 1000 : 0;
    if (deadline && v->now.wall_ms >= deadline + STOP_LIMIT_MS)
        body_event(v, d, true, "SourceNotStopped", "%s/%s could not be stopped again",
                   v->effective.source_ns, v->source.vm_name);
    decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    const struct call *last = memo_find(v->memo, "stop");
    if (call_ok(last) && v->now.wall_ms < last->done_ms + WAIT_POLL_MS)
        return false;
    struct intent *i = intents_add(&d->intents, INTENT_SUBRESOURCE, &worker_kinds[KIND_SUB_VM],
                                   v->effective.source_ns, v->source.vm_name, "stop");
    i->sub = "stop";
    i->body = "{}";
    return false;
}
