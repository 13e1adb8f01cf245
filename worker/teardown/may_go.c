/* What must come before the deletion of a snapshot, a group of them, or a content. */
#include "teardown/remove.h"

#include "base/str.h"
#include "observe/resources.h"
#include "observe/times.h"

/* KubeVirt holds the guest frozen for a VirtualMachineSnapshot under way: its deletion waits no
   longer for the contents of its VolumeSnapshots. */
#define KUBEVIRT_HOLD_MS 5000

/* We have set it to Delete already, and not to Retain since: the cache is behind, or is yet to show
   that somebody else did (leftover_content.c policy_is_ours). */
static bool set_to_delete(const struct clone_state *v, const char *content)
{
    const struct call *gone = call_log_find(v->call_log, call_key_named(CALL_SET_DELETE, content));
    const struct call *kept = call_log_find(v->call_log, call_key_named(CALL_SET_RETAIN, content));
    return call_ok(gone) && !(call_ok(kept) && kept->done_mono_ms >= gone->done_mono_ms);
}

enum worker_kind leftover_content_kind(const struct leftover *o)
{
    return o->kind == KIND_GROUP || o->kind == KIND_GROUP_CONTENT ? KIND_GROUP_CONTENT
                                                                  : KIND_CONTENT;
}

/* The physical snapshot that this clone has held is to go with its content; true: it will. Whoever
   sets Retain between our look and our write keeps it: the write is for that version alone. */
bool leftover_gives_back(const struct clone_state *v, struct decision *d, const struct leftover *o)
{
    if (o->copy || !o->content || !o->content_retains || !o->policy_ours ||
        set_to_delete(v, o->content))
        return true;
    struct intent *p =
        intents_add(&d->intents, INTENT_PATCH, &worker_kinds[leftover_content_kind(o)], NULL,
                    o->content, call_key_named(CALL_SET_DELETE, o->content));
    p->body = arena_printf(
        v->arena,
        "{\"metadata\":{\"resourceVersion\":\"%s\",\"annotations\":{\"" POLICY_SET_ANNOTATION
        "\":\"Delete\"}},\"spec\":{\"deletionPolicy\":\"Delete\"}}",
        str_or(o->content_version, ""));
    return false;
}

/* Everything that must come before the deletion of a VolumeSnapshot; true when it has.
   kubevirt_still_holds: only what takes no time. */
bool leftover_may_go(const struct clone_state *v, struct decision *d, const struct leftover *o,
                     bool kubevirt_still_holds)
{
    if (o->unlabelled && !str_eq(o->backup_of, v->record.vm_snapshot_uid)) {
        /* What tells that it is ours, once KubeVirt's snapshot is gone, is stored first. */
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (o->unlabelled) {
        struct intent *p = intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_SNAPSHOT],
                                       o->ns, o->name, call_key_named(CALL_LABEL_SNAPSHOT, o->uid));
        p->body = arena_printf(v->arena,
                               "{\"metadata\":{\"uid\":\"%s\",\"labels\":{\"" WUKONG_UID_LABEL
                               "\":\"%s\"}}}",
                               o->uid, v->wukong->uid);
        return false;
    }
    if (o->look) {
        (void)intents_add(&d->intents, INTENT_READ, &worker_kinds[leftover_content_kind(o)], NULL,
                          o->look, o->look_key);
        decision_again(d, v->now.wall_ms + 1000);
        return false;
    }
    if (!leftover_gives_back(v, d, o))
        return false;
    if (kubevirt_still_holds)
        return !o->content_awaited || v->now.wall_ms > o->created_ms + KUBEVIRT_HOLD_MS;
    /* The provisioner takes its finalizer off after the claim is bound, and a conflict makes it try
       again a second later: by then the content must be there, or it fails for minutes and the
       snapshot hangs (seen on v6.3: 409, then "error getting snapshotcontent"). */
    if (o->in_use) {
        decision_again(d, v->now.wall_ms + 2000);
        if (o->orphaned)
            intents_add(&d->intents, INTENT_PATCH, &worker_kinds[KIND_SNAPSHOT], o->ns, o->name,
                        call_key_named(CALL_RELEASE_SNAPSHOT, o->uid))
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
