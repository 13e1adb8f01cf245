/*
 * The state of a VolumeGroupSnapshot of ours that is to go: what must come before its deletion. Its
 * content holds the physical snapshots of all members, and only a group that snapshot-controller
 * has bound takes its content along: deleted before that, it leaves a content that nothing deletes
 * any more (external-snapshotter 8.6 groupsnapshot_controller_helper.go:
 * processGroupSnapshotWithDeletionTimestamp, and pkg/utils/util.go:
 * NeedToAddGroupSnapshotBoundFinalizer).
 */
#include "observe/observe.h"

#include "base/str.h"
#include "json/json.h"
#include "observe/queries.h"
#include "observe/times.h"
#include "wukong/api/child_names.h"

/* As for single snapshots (leftover_content.c). */
#define CONTENT_MADE_MS 30000
#define CONTENT_AWAIT_MS 600000
#define CUT_AWAIT_MS 70000

static bool group_class_retains(const struct cache_reader *c, const char *name)
{
    const struct kube_object *o = name ? c->get(c->arg, KIND_GROUP_CLASS, "", name) : NULL;
    return o && str_eq(kube_object_field(o, F_CLASS_POLICY), "Retain");
}

/* Retain is taken back where we, or the class of our own group, have set it. */
static bool policy_is_ours(const struct clone_state *v, const struct cache_reader *c,
                           const struct kube_object *content, const char *uid)
{
    return ours_group_content_of(content, uid) && !kube_object_field(content, F_POLICY_SET) &&
           (str_eq(content->label, v->wukong->uid) ||
            group_class_retains(c, kube_object_field(content, F_GROUP_CLASS)));
}

static bool is_bound(const struct kube_object *group)
{
    return strstr(str_or(kube_object_field(group, F_FINALIZERS), ""), "\"" GROUP_BOUND "\"") &&
           kube_object_field(group, F_GROUP_CONTENT_NAME);
}

/* *ret_unread: the API server must be asked before anything is deleted. A policy that
   we have set may have been set again since; until then the cache's word counts. */
static const struct kube_object *find_content(struct clone_state *v, const struct cache_reader *c,
                                              const char *name, bool *ret_unread)
{
    const struct kube_object *cached = c->get(c->arg, KIND_GROUP_CONTENT, "", name);
    *ret_unread = false;
    bool set = call_log_find(v->call_log, call_key_named(CALL_SET_DELETE, name)) != NULL;
    if (cached && !set && v->effective.clone_type != CLONE_LINKED)
        return cached;
    const struct kube_object *live = observe_live(v, KIND_GROUP_CONTENT, name, ret_unread);
    return *ret_unread ? cached : live;
}

void observe_left_group(struct clone_state *v, const struct cache_reader *c,
                        const struct kube_object *o, struct leftover *left)
{
    CLEANUP_FREE char *name = xasprintf("groupsnapcontent-%s", o->uid);
    int64_t age = v->now.wall_ms - o->created_ms;
    bool unread = false;
    left->created_ms = o->created_ms;
    const struct kube_object *content = find_content(v, c, name, &unread);
    if (!left->deleting && unread) {
        left->look = arena_strdup(v->arena, name);
        left->look_key = clone_live_key(KIND_GROUP_CONTENT, left->look);
    }
    if (!content || !str_eq(kube_object_field(content, F_GROUP_REF_UID), o->uid)) {
        left->content_awaited =
            !kube_object_field(o, F_ERROR) && !left->deleting && age < CONTENT_MADE_MS;
        return;
    }
    bool cut = kube_object_field(content, F_GROUP_HANDLE) != NULL;
    bool failed = kube_object_field(content, F_ERROR) != NULL;
    bool creating = kube_object_field(content, F_GROUP_BEING_CREATED) != NULL;
    left->content = content->name;
    left->content_version = content->resource_version;
    left->content_retains = str_eq(kube_object_field(content, F_DELETION_POLICY), "Retain");
    left->policy_ours = policy_is_ours(v, c, content, o->uid);
    left->content_awaited = !is_bound(o) && age < CONTENT_AWAIT_MS;
    left->being_cut = !cut && (creating || !failed) && age < CUT_AWAIT_MS;
}

void observe_left_member(struct clone_state *v, const struct cache_reader *c,
                         const struct leftover *group, const struct kube_object *o,
                         struct leftover *left)
{
    const char *bound = kube_object_field(o, F_CONTENT_NAME);
    const struct kube_object *content = bound ? c->get(c->arg, KIND_CONTENT, "", bound) : NULL;
    left->member_of = group->uid;
    left->created_ms = o->created_ms;
    observe_release(v, o, left);
    if (!content || !str_eq(kube_object_field(content, F_SNAPSHOT_REF_UID), o->uid))
        return;
    left->content = content->name;
    left->content_version = content->resource_version;
    left->content_retains = str_eq(kube_object_field(content, F_DELETION_POLICY), "Retain");
    /* snapshot-controller gives it the group's. A parent's members may go, the group holds it. */
    left->policy_ours = group->policy_ours && !kube_object_field(content, F_POLICY_SET);
}

void observe_left_group_content(const struct clone_state *v, const struct cache_reader *c,
                                const struct kube_object *o, struct leftover *left)
{
    const struct kube_object *g = c->get(c->arg, KIND_GROUP, kube_object_field(o, F_GROUP_REF_NS),
                                         str_or(kube_object_field(o, F_GROUP_REF_NAME), ""));
    left->attached = g && str_eq(g->uid, kube_object_field(o, F_GROUP_REF_UID));
    observe_held_content(v, o, left);
}
