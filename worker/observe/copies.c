/* The state of what a clone into another namespace adds: content and snapshot copies. */
#include "observe/observe.h"

#include <assert.h>

#include "base/str.h"
#include "manifests/manifest.h"
#include "observe/queries.h"
#include "wukong/api/child_names.h"

static void observe_content_copy(const struct clone_state *v, const struct cache_reader *c,
                                 struct copy_state *copy)
{
    const struct kube_object *o = c->get(c->arg, KIND_CONTENT, "", copy->content_name);
    if (!o)
        return;
    copy->content_exists = true;
    copy->content_ours = clone_owns(v, KIND_CONTENT, o);
    copy->content_deleting = o->deleted_ms != 0;
    copy->content_ref_uid = kube_object_field(o, F_SNAPSHOT_REF_UID);
    copy->content_handle = kube_object_field(o, F_HANDLE);
    copy->content_driver = kube_object_field(o, F_DRIVER);
    copy->content_retains = str_eq(kube_object_field(o, F_DELETION_POLICY), "Retain");
}

/* The end that we wrote: whoever changed it, the claim would restore something else, or its end
   would delete the source's snapshot. */
static const char *changed_text(const struct disk_state *d)
{
    const struct copy_state *c = &d->copy;
    if (!c->content_ours || c->content_deleting)
        return NULL;
    if (c->content_handle && d->snapshot.handle && !str_eq(c->content_handle, d->snapshot.handle))
        return "holds another snapshot handle";
    if (d->snapshot.driver && !str_eq(c->content_driver, d->snapshot.driver))
        return "names another driver";
    if (!c->content_retains)
        return "has a deletionPolicy other than Retain, which would delete the source's snapshot";
    if (c->snapshot.content && !str_eq(c->snapshot.content, c->content_name))
        return "is not what its VolumeSnapshot is bound to";
    return NULL;
}

static void observe_snapshot_copy(const struct clone_state *v, const struct cache_reader *c,
                                  struct copy_state *copy)
{
    struct snapshot_state *s = &copy->snapshot;
    const struct kube_object *o = c->get(c->arg, KIND_SNAPSHOT, v->wukong->ns, s->name);
    if (!o)
        return;
    s->exists = true;
    s->uid = o->uid;
    s->ours = clone_owns(v, KIND_SNAPSHOT, o);
    s->deleting = o->deleted_ms != 0;
    s->ready = str_eq(kube_object_field(o, F_READY_TO_USE), "true");
    s->error = kube_object_field(o, F_ERROR);
    s->content = kube_object_field(o, F_CONTENT_NAME);
}

/* The source's snapshot may be shared with others, which make their own copies beside ours. */
static const char *own_snapshot_name(const struct clone_state *v, const char *disk)
{
    char name[NAME_BUF];
    name_snapshot(str_or(v->record.source_vmi, v->effective.source_name), v->wukong->name,
                  v->wukong->uid, clone_attempt(v), disk, name);
    const char *copy = arena_strdup(v->arena, name);
    return copy;
}

void observe_copies(struct clone_state *v, const struct cache_reader *c)
{
    char name[PVC_NAME_BUF];
    for (size_t i = 0; i < v->disk_count; i++) {
        struct disk_state *d = &v->disks[i];
        struct copy_state *copy = &d->copy;
        if (d->plan->method != DISK_HANDLE_COPY)
            continue;
        name_content(v->wukong->uid, clone_attempt(v), d->plan->name, name);
        copy->content_name = arena_strdup(v->arena, name);
        copy->snapshot.name = own_snapshot_name(v, d->plan->name);
        copy->snapshot.ns = v->wukong->ns;
        observe_content_copy(v, c, copy);
        observe_snapshot_copy(v, c, copy);
        copy->changed = changed_text(d);
        /* Both ends, and the same physical snapshot. */
        copy->bound = !copy->changed && copy->content_ours && copy->snapshot.ours &&
                      copy->snapshot.ready && str_eq(copy->content_ref_uid, copy->snapshot.uid) &&
                      str_eq(copy->snapshot.content, copy->content_name) &&
                      str_eq(copy->content_handle, d->snapshot.handle);
    }
}
