/* The removal of what a clone made: in which order, and what must come first. */
#include "teardown/remove.h"

#include "actions/event.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/resources.h"

/* How often csi-snapshotter is made to look at a content again. */
#define RETRIGGER_MS 10000

/* Any write makes it look; the annotation says whose it is. */
static void retrigger(const struct clone_state *v, struct decision *d, const struct leftover *o)
{
    struct call_key key = call_key_named(CALL_RETRIGGER_CONTENT, o->deletion_missed);
    const struct call *last = call_log_find(v->call_log, key);
    decision_again(d, v->now.wall_ms + RETRIGGER_MS);
    if (call_ok(last) && v->now.wall_ms < last->done_ms + RETRIGGER_MS)
        return;
    struct intent *p = intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_CONTENT], NULL,
                                   o->deletion_missed, key);
    p->body = arena_printf(v->arena,
                           "{\"metadata\":{\"annotations\":{\"" WUKONG_GROUP
                           "/deletion-awaited\":\"%lld\"}}}",
                           (long long)(v->now.wall_ms / 1000));
}

static struct call_key delete_key(const struct leftover *o)
{
    return call_key_object(CALL_DELETE, worker_kinds[o->kind].resource, NULL, o->uid);
}

static void send_delete(struct decision *d, const struct leftover *o)
{
    struct intent *i = intents_add(&d->intents, INTENT_DELETE, &worker_kinds[o->kind], o->ns,
                                   o->name, delete_key(o));
    i->uid = o->uid;
}

static void remove_one(const struct clone_state *v, struct decision *d, const struct leftover *o)
{
    if (o->deletion_missed)
        retrigger(v, d, o);
    if (o->deleting && !o->in_use)
        return;
    if (o->attached)
        return;
    bool content = o->kind == KIND_CONTENT || o->kind == KIND_GROUP_CONTENT;
    if ((o->kind == KIND_SNAPSHOT || (content && !o->copy)) && !leftover_may_go(v, d, o, false))
        return;
    send_delete(d, o);
}

/* In a namespace that is being deleted it goes without us, and is not waited for. */
static bool released(const struct clone_state *v, const struct leftover *o)
{
    return v->source_ns_terminating && o->deleting && str_eq(o->ns, v->effective.source_ns);
}

static size_t remove_kind(const struct clone_state *v, struct decision *d, int kind)
{
    size_t n = 0;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        if (o->kind != kind || o->stays || o->member_of)
            continue;
        n += !o->attached && !released(v, o);
        remove_one(v, d, o);
    }
    return n;
}

/* The copies of another namespace; the physical snapshot is the first content's and stays. True
   when none is left. */
bool teardown_remove_copies(const struct clone_state *v, struct decision *d)
{
    size_t n = 0;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        if (!o->copy || (o->kind != KIND_SNAPSHOT && o->kind != KIND_CONTENT))
            continue;
        n++;
        remove_one(v, d, o);
    }
    return n == 0;
}

/* KubeVirt's VolumeSnapshots go with it, by the garbage collector: what is due to them comes first.
   True when it is gone. */
static bool remove_vm_snapshots(const struct clone_state *v, struct decision *d)
{
    bool there = false, kubevirt_still_holds = false, ready = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        there |= v->ours[i].kind == KIND_VM_SNAPSHOT;
        kubevirt_still_holds |= v->ours[i].kubevirt_still_holds;
    }
    for (size_t i = 0; there && i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        if (o->unread) {
            (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[o->kind], o->ns, o->name,
                              clone_live_key((enum worker_kind)o->kind, o->name));
            ready = false;
        }
        if (o->kind != KIND_SNAPSHOT || o->unread)
            continue;
        if (o->deletion_missed)
            retrigger(v, d, o);
        ready &= (o->deleting && !o->in_use && !o->unlabelled) ||
                 leftover_may_go(v, d, o, kubevirt_still_holds);
    }
    if (ready)
        (void)remove_kind(v, d, KIND_VM_SNAPSHOT);
    return !there;
}

bool teardown_remove_snapshots(const struct clone_state *v, struct decision *d)
{
    /* Those who share them have not yet written down that they do. */
    if (v->share.taking_over) {
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (!teardown_remove_copies(v, d)) {
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
        return false;
    }
    bool none = remove_vm_snapshots(v, d) && remove_kind(v, d, KIND_SNAPSHOT) == 0;
    none &= remove_groups(v, d);
    /* Contents that outlived the snapshots of a linked clone. */
    none &= remove_kind(v, d, KIND_CONTENT) == 0;
    none &= remove_kind(v, d, KIND_GROUP_CONTENT) == 0;
    if (!none)
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    return none;
}

/* A finalizer on a snapshot protects nothing; its content and data go at once. What holds is a
   content whose deletionPolicy is Retain (seen on external-snapshotter 8.6). */
bool teardown_hold_parents(const struct clone_state *v, struct decision *d)
{
    bool held = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        if (!leftover_is_parent(o) || o->deleting || !o->content || o->content_retains)
            continue;
        struct intent *p =
            intents_add(&d->intents, INTENT_PATCH, &worker_kinds[leftover_content_kind(o)], NULL,
                        o->content, call_key_named(CALL_SET_RETAIN, o->content));
        /* Label and annotation lead back to it when its VolumeSnapshot has been deleted. */
        p->body = arena_printf(v->arena,
                               "{\"metadata\":{\"labels\":{\"" WUKONG_UID_LABEL
                               "\":\"%s\"},\"annotations\":{\"" POLICY_SET_ANNOTATION
                               "\":null,\"" MADE_FOR_ANNOTATION "\":\"%s/%s in no namespace\"}},"
                               "\"spec\":{\"deletionPolicy\":\"Retain\"}}",
                               v->wukong->uid, v->wukong->ns, v->wukong->name);
        held = false;
    }
    return held;
}

/* The order matters: a Pending claim keeps its snapshot in deletion for ever and a dying snapshot
   keeps the claim Pending, so claims go first and are waited for. */
bool teardown_remove_all(const struct clone_state *v, struct decision *d)
{
    size_t n = remove_kind(v, d, KIND_VM);
    n += remove_kind(v, d, KIND_DATA_VOLUME);
    n += remove_kind(v, d, KIND_PVC);
    if (n) {
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
        return false;
    }
    /* What is left are machines that have been ready: their disks may need them still. */
    bool needed = clone_claims_pending(v) ||
                  (v->effective.clone_type == CLONE_LINKED && clone_has_children(v));
    return needed || teardown_remove_snapshots(v, d);
}

/* What KubeVirt's snapshot holds goes with it, and what is attached with its machine. */
bool teardown_ask_to_go(const struct clone_state *v, struct decision *d, bool machines)
{
    bool asked = true;
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        bool machine = o->kind == KIND_VM || o->kind == KIND_PVC || o->kind == KIND_DATA_VOLUME;
        if (o->stays || o->deleting || o->attached || o->unlabelled || o->member_of ||
            (machine && !machines) || call_ok(call_log_find(v->call_log, delete_key(o))))
            continue;
        asked = false;
        if (leftover_gives_back(v, d, o))
            send_delete(d, o);
    }
    return asked;
}

static bool is_of_target(const struct clone_state *v, const struct target_state *t,
                         const struct leftover *o)
{
    if (o->kind == KIND_VM)
        return str_eq(o->name, t->vm.name);
    for (size_t i = 0; i < v->disk_count; i++)
        if ((o->kind == KIND_PVC || o->kind == KIND_DATA_VOLUME) &&
            str_eq(o->name, t->claims[i].name))
            return true;
    return false;
}

bool teardown_remove_target(const struct clone_state *v, struct decision *d,
                            const struct target_state *t)
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

bool teardown_asked_target(const struct clone_state *v, const struct target_state *t)
{
    for (size_t i = 0; i < v->ours_count; i++)
        if (is_of_target(v, t, &v->ours[i]) && call_log_find(v->call_log, delete_key(&v->ours[i])))
            return true;
    return false;
}

/* Somebody else owns a machine of that name by now; NULL: of any name. */
static bool is_taken(const struct clone_state *v, const char *vm)
{
    for (size_t t = 0; t < v->target_count; t++)
        if (v->targets[t].vm.owned_by_other && (!vm || str_eq(v->targets[t].vm.name, vm)))
            return true;
    return false;
}

/* Claims go by their machine, which owns them, and are asked to go beside it; whose machine they
   are of cannot be told of all of them, so that they are left to the garbage collector where one
   machine stays. */
bool teardown_remove_machines(const struct clone_state *v, struct decision *d)
{
    bool gone = true, some_stay = is_taken(v, NULL);
    for (size_t i = 0; i < v->ours_count; i++) {
        const struct leftover *o = &v->ours[i];
        bool disk = o->kind == KIND_PVC || o->kind == KIND_DATA_VOLUME;
        bool machine = o->kind == KIND_VM && !is_taken(v, o->name);
        if (!machine && !(disk && !some_stay))
            continue;
        gone = false;
        remove_one(v, d, o);
    }
    if (!gone)
        decision_again(d, v->now.wall_ms + WAIT_POLL_MS);
    return gone;
}

bool teardown_await_creates(const struct clone_state *v, struct decision *d)
{
    for (const struct call *c = v->call_log->calls; c; c = c->next) {
        if (call_kinds[c->key.kind].effect != CALL_CREATES)
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
