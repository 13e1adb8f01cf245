/*
 * The state of a VolumeSnapshot of ours that is to go: what must come before its deletion. Its
 * content is what holds the physical snapshot, and a content that outlives its VolumeSnapshot is
 * found by nobody. What the cache does not show for certain is read live: a watch may be dead for
 * minutes.
 */
#include "observe/observe.h"
#include "observe/queries.h"
#include "observe/times.h"

#include <assert.h>

#include "base/str.h"
#include "json/json.h"

/* snapshot-controller makes the content from its cache: a VolumeSnapshot deleted before that gets
   one all the same, which then stays for ever with its physical snapshot (seen on 8.6). The bound
   name or an error say that it is past that; its finalizer does not, which comes first. */
#define CONTENT_MADE_MS 30000
/* How long a content of a Retain class is awaited, which would outlive its VolumeSnapshot. */
#define CONTENT_AWAIT_MS 600000
/* csi-snapshotter gives up a CreateSnapshot after its --timeout, a minute by default, and repeats
   it: an answer that has not come by then is not worth holding the cleanup up. */
#define CUT_AWAIT_MS 70000
/* A conflict on the way leaves the provisioner's finalizer behind until its sweep, minutes later
   (external-provisioner v6.3: removeSnapshotFinalizer is not repeated). When nothing of ours is
   being restored any more and this long has passed, it is taken off, at the version that was seen.
 */
#define ORPHAN_MS 8000
/* csi-snapshotter does not look again at a content that was marked for deletion while its
   CreateSnapshot was under way: the end of that is no change it heeds (external-snapshotter 8.6
   pkg/utils/util.go: ShouldEnqueueContentChange), so the physical snapshot stays until the resync.
 */
#define STUCK_MS 5000
/* Its resync (15 min by default) has come by then: what is left after it is a driver that refuses,
   and is asked again by the sidecar itself. */
#define STUCK_UNTIL_MS 1200000

struct content {
    bool known; /* it is there, or is certainly not (name NULL) */
    const char *name, *version;
    bool retains, cut, failed, creating, deleting;
    bool changeable; /* its policy is ours to change */
};

static bool class_retains(const struct cache_reader *c, const char *name)
{
    const struct kube_object *o = name ? c->get(c->arg, KIND_SNAPSHOT_CLASS, "", name) : NULL;
    return o && str_eq(kube_object_field(o, F_CLASS_POLICY), "Retain");
}

/* Retain keeps an administrator's data from those who may delete VolumeSnapshots. It is taken back
   where we have set it ourselves, with our label in one write, or where it is only what the class
   gave to a content that csi-snapshotter made for a snapshot of ours; and once: who sets Retain
   after that means it. */
static bool policy_is_ours(const struct clone_state *v, const struct cache_reader *c,
                           const struct kube_object *content, const char *snapshot_uid)
{
    return ours_content_of(content, snapshot_uid) && !kube_object_field(content, F_POLICY_SET) &&
           (str_eq(content->label, v->wukong->uid) ||
            class_retains(c, kube_object_field(content, F_CONTENT_CLASS)));
}

static struct content content_of(const struct clone_state *v, const struct cache_reader *c,
                                 const struct kube_object *o, const char *uid)
{
    return (struct content){
        .known = true,
        .name = o->name,
        .version = o->resource_version,
        .retains = str_eq(kube_object_field(o, F_DELETION_POLICY), "Retain"),
        .cut = kube_object_field(o, F_HANDLE) != NULL,
        .failed = kube_object_field(o, F_ERROR) != NULL,
        .creating = kube_object_field(o, F_BEING_CREATED) != NULL,
        .deleting = o->deleted_ms != 0,
        .changeable = policy_is_ours(v, c, o, uid),
    };
}

static struct content cached_content(const struct clone_state *v, const struct cache_reader *c,
                                     const char *name, const char *uid)
{
    const struct kube_object *o = c->get(c->arg, KIND_CONTENT, "", name);
    if (!o || !str_eq(kube_object_field(o, F_SNAPSHOT_REF_UID), uid))
        return (struct content){0};
    return content_of(v, c, o, uid);
}

/* That there is none is no answer any more once the VolumeSnapshot is bound: the look has another
   key then. */
static struct call_key look_key(const struct kube_object *o)
{
    bool bound = !str_empty(kube_object_field(o, F_CONTENT_NAME));
    return call_key_named(bound ? CALL_READ_BOUND_CONTENT : CALL_READ_CONTENT, o->uid);
}

static struct content live_content(struct clone_state *v, const struct cache_reader *c,
                                   const char *name, const char *uid, struct call_key key)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct kube_object *o = NULL;
    const struct call *call = call_log_find(v->call_log, key);
    bool gone = call_failed(call) && call->code == 404;
    if ((!call_ok(call) && !gone) || v->now.wall_ms >= call->done_ms + LOOK_FRESH_MS)
        return (struct content){0};
    if (gone)
        return (struct content){.known = true};
    if (!call->body || json_read(call->body, call->body_len, &tree, NULL) < 0 ||
        kube_object_project(&worker_kinds[KIND_CONTENT], tree, &o, NULL) < 0)
        return (struct content){0};
    struct content content = {.known = true};
    if (str_eq(kube_object_field(o, F_SNAPSHOT_REF_UID), uid))
        content = content_of(v, c, o, uid);
    content.name = content.name ? arena_strdup(v->arena, name) : NULL;
    content.version = arena_strdup(v->arena, content.version);
    free(o);
    return content;
}

/* What the cache shows can be relied on, though it may be minutes old: a handle stays, and the
   policy is set only at the version that was judged. When that has been sent and was no success,
   the API server itself tells what became of the policy. */
static bool sure(const struct clone_state *v, const struct content *c)
{
    if (!c->known || v->effective.clone_type == CLONE_LINKED)
        return false;
    return c->retains ? !call_log_find(v->call_log, call_key_named(CALL_SET_DELETE, c->name))
                      : c->cut;
}

static const struct kube_object *keep_object(struct arena *a, const struct kube_object *o)
{
    struct kube_object *kept = arena_alloc(a, sizeof *kept);
    /* The object is no larger than its kind has fields. */
    *kept = (struct kube_object){0};
    memcpy(kept, o, offsetof(struct kube_object, field));
    const char **texts[] = {
        &kept->ns,        &kept->name,       &kept->uid,        &kept->resource_version,
        &kept->owner_uid, &kept->owner_kind, &kept->owner_name, &kept->label};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_strdup(a, *texts[i]);
    for (size_t i = 0; i < KUBE_FIELDS_MAX && o->kind->fields[i]; i++)
        kept->field[i] = arena_strdup(a, o->field[i]);
    return kept;
}

const struct kube_object *observe_live(struct clone_state *v, enum worker_kind kind,
                                       const char *name, bool *ret_unread)
{
    struct kube_object *o = NULL;
    struct err err = {0};
    const struct call *c = call_log_find(v->call_log, clone_live_key(kind, name));
    bool gone = call_failed(c) && c->code == 404;
    *ret_unread = (!call_ok(c) && !gone) || v->now.wall_ms >= c->done_ms + LOOK_FRESH_MS;
    if (*ret_unread || gone)
        return NULL;
    if (!c->body || kube_object_read(&worker_kinds[kind], c->body, c->body_len, &o, &err) < 0 ||
        o->unreadable) {
        free(o);
        *ret_unread = true;
        return NULL;
    }
    const struct kube_object *kept = keep_object(v->arena, o);
    free(o);
    return kept;
}

/* What the cache does not show any more since we had it deleted is gone, though a read from before
   that shows it. */
static bool was_removed(const struct clone_state *v, enum worker_kind kind, const char *uid)
{
    const struct call *gone = call_log_find(
        v->call_log, call_key_object(CALL_DELETE, worker_kinds[kind].resource, NULL, uid));
    return call_ok(gone) || call_was_absent(gone);
}

const struct kube_object *observe_newest(struct clone_state *v, const struct cache_reader *c,
                                         enum worker_kind kind, const char *ns, const char *name)
{
    const struct kube_object *cached = c->get(c->arg, kind, ns, name);
    bool unread = false;
    bool looked = call_log_has(v->call_log, CALL_READ_LIVE, worker_kinds[kind].resource);
    const struct kube_object *live = looked ? observe_live(v, kind, name, &unread) : NULL;
    bool newer =
        live && (cached ? kube_version_newer(cached->resource_version, live->resource_version)
                        : !was_removed(v, kind, live->uid));
    return newer ? live : cached;
}

static bool content_comes(const struct clone_state *v, const struct cache_reader *c,
                          const struct kube_object *snapshot)
{
    bool bound = !str_empty(kube_object_field(snapshot, F_CONTENT_NAME));
    bool failed = !str_empty(kube_object_field(snapshot, F_ERROR));
    int64_t age = v->now.wall_ms - snapshot->created_ms;
    if (bound || failed)
        return false;
    return age < (class_retains(c, kube_object_field(snapshot, F_SNAPSHOT_CLASS))
                      ? CONTENT_AWAIT_MS
                      : CONTENT_MADE_MS);
}

const char *observe_drop_finalizer(struct arena *a, const struct kube_object *o,
                                   const char *finalizer)
{
    CLEANUP_FREE char *quoted = xasprintf("\"%s\"", finalizer);
    const char *list = kube_object_field(o, F_FINALIZERS);
    const char *at = list ? strstr(list, quoted) : NULL;
    if (!at)
        return NULL;
    const char *before = at, *after = at + strlen(quoted);
    if (*after == ',')
        after++;
    else if (before[-1] == ',')
        before--;
    return arena_printf(a, "{\"metadata\":{\"resourceVersion\":\"%s\",\"finalizers\":%.*s%s}}",
                        o->resource_version, (int)(before - list), list, after);
}

void observe_release(struct clone_state *v, const struct kube_object *o, struct leftover *left)
{
    const char *release = observe_drop_finalizer(v->arena, o, SNAPSHOT_IN_USE);
    left->in_use = release != NULL;
    left->orphaned = release && v->now.wall_ms > o->created_ms + ORPHAN_MS;
    left->release = left->orphaned ? release : NULL;
}

void observe_held_content(const struct clone_state *v, const struct kube_object *o,
                          struct leftover *left)
{
    left->copy = false;
    left->content = o->name;
    left->content_version = o->resource_version;
    left->policy_ours = !kube_object_field(o, F_POLICY_SET);
    left->content_retains =
        str_eq(kube_object_field(o, F_DELETION_POLICY), "Retain") &&
        !call_ok(call_log_find(v->call_log, call_key_named(CALL_SET_DELETE, o->name)));
}

/* A content with a volume behind it is no copy: it holds a linked clone's parent, and its physical
   snapshot goes with it, or nobody would ever find it. */
void observe_left_content(const struct clone_state *v, const struct cache_reader *c,
                          const struct kube_object *o, struct leftover *left)
{
    if (!kube_object_field(o, F_VOLUME_HANDLE))
        return;
    const struct kube_object *s =
        c->get(c->arg, KIND_SNAPSHOT, kube_object_field(o, F_SNAPSHOT_REF_NS),
               str_or(kube_object_field(o, F_SNAPSHOT_REF_NAME), ""));
    left->attached = s && str_eq(s->uid, kube_object_field(o, F_SNAPSHOT_REF_UID));
    observe_held_content(v, o, left);
}

void observe_left_snapshot(struct clone_state *v, const struct cache_reader *c,
                           const struct kube_object *o, struct leftover *left)
{
    CLEANUP_FREE char *usual = xasprintf("snapcontent-%s", o->uid);
    const char *bound = kube_object_field(o, F_CONTENT_NAME);
    struct content content = cached_content(v, c, str_empty(bound) ? usual : bound, o->uid);
    left->created_ms = o->created_ms;
    observe_release(v, o, left);
    if (left->deleting || left->copy) {
        int64_t since = v->now.wall_ms - o->deleted_ms;
        bool deletion_missed = content.deleting && since > STUCK_MS && since < STUCK_UNTIL_MS;
        left->deletion_missed = deletion_missed && !left->copy ? content.name : NULL;
    } else if (!sure(v, &content)) {
        left->look_key = look_key(o);
        struct content live = live_content(v, c, usual, o->uid, left->look_key);
        left->look = live.known ? NULL : arena_strdup(v->arena, usual);
        content = live.known ? live : content;
    }
    left->content = content.name;
    left->content_version = content.version;
    left->content_retains = content.retains;
    left->policy_ours = content.changeable;
    left->content_awaited = !left->copy && !content.name && content_comes(v, c, o);
    left->being_cut = !left->copy && content.name && !content.cut &&
                      (content.creating || !content.failed) &&
                      v->now.wall_ms < o->created_ms + CUT_AWAIT_MS;
}
