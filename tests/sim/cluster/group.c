/*
 * VolumeGroupSnapshots: snapshot-controller's part and csi-snapshotter's, as
 * external-snapshotter 8.6 has them (pkg/common-controller and pkg/sidecar-controller,
 * groupsnapshot_*helper.go), and a driver that cuts all volumes of a group at once, or tells of
 * them as some drivers do.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"
#include "wukong/api/child_names.h"

#define GROUP_PROTECTION "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection"
#define GROUP_CONTENT_PROTECTION                                                                   \
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection"
#define IN_GROUP_PROTECTION "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection"
#define BEING_CREATED                                                                              \
    "metadata.annotations[groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created]"
#define BEING_DELETED                                                                              \
    "metadata.annotations[groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted]"
#define SNAPSHOT_CONTROLLER "snapshot-controller"

static struct api_object *content_of(struct sim_cluster *w, const struct api_object *group)
{
    CLEANUP_FREE char *name = xasprintf("groupsnapcontent-%s", group->uid);
    return api_find(w->api, API_GROUP_CONTENT, "", name);
}

static struct api_object *group_of(struct sim_cluster *w, const struct api_object *content)
{
    struct api_object *g = api_find(
        w->api, API_GROUP, json_str(content->tree, "spec.volumeGroupSnapshotRef.namespace"),
        json_str(content->tree, "spec.volumeGroupSnapshotRef.name"));
    bool same = g && str_eq(g->uid, json_str(content->tree, "spec.volumeGroupSnapshotRef.uid"));
    return same ? g : NULL;
}

/* --- the sidecar --- */

static void group_error(struct sim_cluster *w, struct api_object *o, const char *text)
{
    cJSON *tree = jt_copy(o->tree);
    jt_bool(tree, "status.readyToUse", false);
    jt_str(tree, "status.error.message", text);
    api_replace(w->api, SNAPSHOT_CONTROLLER, o, tree);
}

static void list_member(struct sim_cluster *w, cJSON *list, const struct physical *p)
{
    cJSON *info = cJSON_CreateObject();
    (void)w;
    jt_str(info, "volumeHandle", p->volume);
    jt_str(info, "snapshotHandle", p->handle);
    jt_int(info, "creationTime", p->told_ms * 1000000);
    jt_int(info, "restoreSize", p->bytes);
    jt_bool(info, "readyToUse", !p->pending);
    cJSON_AddItemToArray(list, info);
}

/* Of which group a cut is, is told by the content that it was made for. */
static void show_group(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_GROUP_CONTENT, "", name);
    char text[TIME_TEXT_MAX];
    unsigned left_out = 0;
    (void)ns;
    if (!o)
        return;
    cJSON *tree = jt_copy(o->tree);
    bool first = !json_at(tree, "status.volumeGroupSnapshotHandle");
    /* Alibaba's disk driver answers so; what it tells later fills the list
       (updateGroupSnapshotContent Status). */
    bool empty = first && w->groups == GROUPS_EMPTY_FIRST;
    jt_drop(tree, "status.error");
    jt_drop(tree, BEING_CREATED);
    jt_strf(tree, "status.volumeGroupSnapshotHandle", "group-%s", o->uid);
    time_to_str(clock_wall(w->clock), false, text);
    if (first)
        jt_str(tree, "status.creationTime", text);
    cJSON *list = empty ? NULL : jt_array(tree, "status.volumeSnapshotInfoList");
    for (const struct physical *p = w->physicals; list && p; p = p->next) {
        if (!str_eq(p->content_uid, o->uid) || !p->alive)
            continue;
        if (w->groups == GROUPS_SHORT && !left_out++)
            continue;
        list_member(w, list, p);
    }
    jt_bool(tree, "status.readyToUse", !empty);
    api_replace(w->api, SNAPSHOT_CONTROLLER, o, tree);
    if (empty)
        sim_cluster_later(w, rng_range(w->rng, 500, 5000), show_group, "", name);
}

static bool already_cut(const struct sim_cluster *w, const struct api_object *content)
{
    for (const struct physical *p = w->physicals; p; p = p->next)
        if (str_eq(p->content_uid, content->uid))
            return true;
    return false;
}

static void cut_group(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_GROUP_CONTENT, "", name);
    const cJSON *handle;
    (void)ns;
    if (!o || json_at(o->tree, "status.volumeGroupSnapshotHandle"))
        return;
    if (w->groups == GROUPS_REFUSED) {
        cJSON *tree = jt_copy(o->tree);
        jt_drop(tree, BEING_CREATED);
        jt_bool(tree, "status.readyToUse", false);
        jt_str(tree, "status.error.message",
               "Failed to check and update group snapshot content: failed to take group snapshot "
               "of the volumes: rpc error: code = Unimplemented desc = unknown service");
        api_replace(w->api, SNAPSHOT_CONTROLLER, o, tree);
        return;
    }
    if (!already_cut(w, o)) {
        if (rng_chance(w->rng, w->faults.snapshot_errors)) {
            group_error(w, o,
                        "Failed to create group snapshot: failed to take group snapshot of the "
                        "volumes: rpc error: code = Internal desc = x");
            sim_cluster_later(w, rng_range(w->rng, 1000, 8000), cut_group, "", name);
            return;
        }
        cJSON_ArrayForEach (handle, json_at(o->tree, "spec.source.volumeHandles")) {
            const struct volume *v = volume_find(w, handle->valuestring);
            if (v)
                physical_cut(w, o->uid, v);
        }
    }
    /* The status write meets snapshot-controller's finalizer: 409, and the next try 1 s later. */
    sim_cluster_later(w, rng_chance(w->rng, 200) ? 1000 : rng_range(w->rng, 1, 40), show_group, "",
                      name);
}

static bool clones_hold_group(struct sim_cluster *w, const struct api_object *content)
{
    for (const struct volume *v = w->volumes; v && w->clones_hold; v = v->next)
        if (v->of && str_eq(v->of->content_uid, content->uid))
            return true;
    return false;
}

/* Without the annotation that snapshot-controller sets when the group goes, a content stays. */
static void end_group_content(struct sim_cluster *w, struct api_object *o)
{
    if (json_at(o->tree, BEING_CREATED) || !json_at(o->tree, BEING_DELETED))
        return;
    bool removes = str_eq(json_str(o->tree, "spec.deletionPolicy"), "Delete");
    if (removes && w->groups_go_late && !rng_chance(w->rng, 250)) {
        sim_cluster_later(w, rng_range(w->rng, 10000, 60000), sync_group_content, "", o->name);
        return;
    }
    if (removes && clones_hold_group(w, o)) {
        sim_cluster_later(w, rng_range(w->rng, 2000, 30000), sync_group_content, "", o->name);
        return;
    }
    for (struct physical *p = w->physicals; removes && p; p = p->next)
        if (str_eq(p->content_uid, o->uid))
            p->alive = false;
    cJSON *tree = jt_copy(o->tree);
    jt_remove(tree, "metadata.finalizers", GROUP_CONTENT_PROTECTION);
    api_replace(w->api, SNAPSHOT_CONTROLLER, o, tree);
}

void sync_group_content(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_GROUP_CONTENT, "", name);
    (void)ns;
    if (!o)
        return;
    sim_cluster_later(w, rng_range(w->rng, 20, 300), sync_group,
                      json_str(o->tree, "spec.volumeGroupSnapshotRef.namespace"),
                      json_str(o->tree, "spec.volumeGroupSnapshotRef.name"));
    if (w->groups == GROUPS_NO_SIDECAR && !json_at(o->tree, "status") && !already_cut(w, o))
        return;
    if (api_deleting(o->tree) && !json_at(o->tree, BEING_CREATED)) {
        end_group_content(w, o);
        return;
    }
    if (json_at(o->tree, "status") || json_at(o->tree, BEING_CREATED))
        return;
    sim_cluster_later(w,
                      rng_chance(w->rng, w->faults.snapshot_slow) ? rng_range(w->rng, 500, 70000)
                                                                  : rng_range(w->rng, 20, 250),
                      cut_group, "", name);
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, BEING_CREATED, "yes");
    jt_add(tree, "metadata.finalizers", GROUP_CONTENT_PROTECTION);
    api_replace(w->api, SNAPSHOT_CONTROLLER, o, tree);
}

/* --- snapshot-controller --- */

static void fail_group(struct sim_cluster *w, struct api_object *o, const char *text)
{
    group_error(w, o, text);
    sim_cluster_later(w, rng_range(w->rng, 2000, 8000), sync_group, o->ns, o->name);
}

/* By matchLabels alone: the rest of a selector is not looked at. */
static bool is_selected(const struct api_object *group, const struct api_object *claim)
{
    const cJSON *labels = json_at(claim->tree, "metadata.labels"), *want;
    cJSON_ArrayForEach (want, json_at(group->tree, "spec.source.selector.matchLabels")) {
        const cJSON *has = cJSON_GetObjectItemCaseSensitive(labels, want->string);
        if (!cJSON_IsString(has) || !str_eq(has->valuestring, want->valuestring))
            return false;
    }
    return str_eq(group->ns, claim->ns);
}

static void new_group_content(struct sim_cluster *w, struct api_object *o)
{
    const char *class = json_str(o->tree, "spec.volumeGroupSnapshotClassName");
    const struct api_object *c = api_find(w->api, API_GROUP_CLASS, "", str_or(class, ""));
    CLEANUP_FREE char *name = xasprintf("groupsnapcontent-%s", o->uid);
    cJSON *tree = api_new(API_GROUP_CONTENT, NULL, name);
    const char *wrong = c ? NULL : "failed to create group snapshot content: class not found";
    for (const struct api_object *p = w->api->objects[API_PVC]; p && !wrong; p = p->hh.next) {
        const struct volume *v = is_selected(o, p) ? volume_of_claim(w, p->ns, p->name) : NULL;
        if (v)
            jt_add(tree, "spec.source.volumeHandles", v->handle);
        else if (is_selected(o, p))
            wrong = "the PVC is not yet bound to a PV, will not attempt to take a group snapshot";
    }
    if (!wrong && !json_at(tree, "spec.source.volumeHandles"))
        wrong = "label selector for group snapshot not applied to any PVC";
    if (wrong) {
        cJSON_Delete(tree);
        fail_group(w, o, wrong);
        return;
    }
    jt_str(tree, "spec.deletionPolicy", json_str(c->tree, "deletionPolicy"));
    jt_str(tree, "spec.driver", json_str(c->tree, "driver"));
    jt_str(tree, "spec.volumeGroupSnapshotClassName", class);
    jt_str(tree, "spec.volumeGroupSnapshotRef.kind", "VolumeGroupSnapshot");
    jt_str(tree, "spec.volumeGroupSnapshotRef.name", o->name);
    jt_str(tree, "spec.volumeGroupSnapshotRef.namespace", o->ns);
    jt_str(tree, "spec.volumeGroupSnapshotRef.uid", o->uid);
    (void)api_create(w->api, SNAPSHOT_CONTROLLER, API_GROUP_CONTENT, tree);
    sim_cluster_later(w, rng_range(w->rng, 5, 400), sync_group, o->ns, o->name);
}

static const struct volume *volume_by_handle(struct sim_cluster *w, const char *handle)
{
    return volume_find(w, str_or(handle, ""));
}

static void make_member(struct sim_cluster *w, const struct api_object *o,
                        const struct api_object *content, const cJSON *info)
{
    char name[MEMBER_NAME_BUF];
    const struct volume *v = volume_by_handle(w, json_str(info, "volumeHandle"));
    name_group_member(o->uid, str_or(json_str(info, "volumeHandle"), ""), name);
    CLEANUP_FREE char *content_name = xasprintf("snapcontent-%s", name + strlen("snapshot-"));
    if (api_find(w->api, API_SNAPSHOT, o->ns, name))
        return;
    cJSON *s = api_new(API_SNAPSHOT, o->ns, name), *owner = cJSON_CreateObject();
    jt_add(s, "metadata.finalizers", IN_GROUP_PROTECTION);
    jt_str(owner, "apiVersion", "groupsnapshot.storage.k8s.io/v1");
    jt_str(owner, "kind", "VolumeGroupSnapshot");
    jt_str(owner, "name", o->name);
    jt_str(owner, "uid", o->uid);
    cJSON_AddItemToArray(jt_array(s, "metadata.ownerReferences"), owner);
    jt_str(s, "spec.source.persistentVolumeClaimName", v ? v->claim : "");
    jt_str(s, "status.boundVolumeSnapshotContentName", content_name);
    const struct api_object *made = api_create(w->api, SNAPSHOT_CONTROLLER, API_SNAPSHOT, s);
    if (!made)
        return;
    cJSON *c = api_new(API_CONTENT, NULL, content_name);
    /* pkg/common-controller/snapshot_controller.go syncContent puts it on at the first look. */
    jt_add(c, "metadata.finalizers", CONTENT_PROTECTION);
    jt_str(c, WORLD_OF_GROUP, o->uid);
    jt_str(c, "spec.deletionPolicy", json_str(content->tree, "spec.deletionPolicy"));
    jt_str(c, "spec.driver", json_str(content->tree, "spec.driver"));
    jt_str(c, "spec.source.volumeHandle", json_str(info, "volumeHandle"));
    jt_str(c, "spec.volumeSnapshotRef.kind", "VolumeSnapshot");
    jt_str(c, "spec.volumeSnapshotRef.name", name);
    jt_str(c, "spec.volumeSnapshotRef.namespace", o->ns);
    jt_str(c, "spec.volumeSnapshotRef.uid", made->uid);
    jt_str(c, "status.snapshotHandle", json_str(info, "snapshotHandle"));
    jt_put(c, "status.creationTime", jt_copy(json_get(info, "creationTime")));
    jt_put(c, "status.restoreSize", jt_copy(json_get(info, "restoreSize")));
    jt_bool(c, "status.readyToUse", true);
    (void)api_create(w->api, SNAPSHOT_CONTROLLER, API_CONTENT, c);
}

/* One move at a time: bound, then protected, then the members, one by one, then ready. */
static void go_on_group(struct sim_cluster *w, struct api_object *o,
                        const struct api_object *content)
{
    const cJSON *info;
    char name[MEMBER_NAME_BUF];
    cJSON *tree = jt_copy(o->tree);
    bool bound = json_at(tree, "status.boundVolumeGroupSnapshotContentName") != NULL;
    bool kept = jt_has(json_at(tree, "metadata.finalizers"), GROUP_PROTECTION);
    bool cut = json_at(content->tree, "status.volumeGroupSnapshotHandle") != NULL;
    cJSON_ArrayForEach (info, json_at(content->tree, "status.volumeSnapshotInfoList")) {
        name_group_member(o->uid, str_or(json_str(info, "volumeHandle"), ""), name);
        if (!bound || !kept || !cut || api_find(w->api, API_SNAPSHOT, o->ns, name))
            continue;
        cJSON_Delete(tree);
        make_member(w, o, content, info);
        sim_cluster_later(w, rng_range(w->rng, 20, 400), sync_group, o->ns, o->name);
        return;
    }
    if (!bound)
        jt_str(tree, "status.boundVolumeGroupSnapshotContentName", content->name);
    else
        jt_add(tree, "metadata.finalizers", GROUP_PROTECTION);
    jt_bool(tree, "status.readyToUse", cut && json_bool(content->tree, "status.readyToUse", false));
    jt_drop(tree, "status.error");
    if (json_at(content->tree, "status.error"))
        jt_put(tree, "status.error", jt_copy(json_at(content->tree, "status.error")));
    api_replace(w->api, SNAPSHOT_CONTROLLER, o, tree);
    if (!bound)
        sim_cluster_later(w, rng_range(w->rng, 5, 100), sync_group, o->ns, o->name);
}

static bool is_member(const struct api_object *group, const struct api_object *s)
{
    return str_eq(s->ns, group->ns) &&
           str_eq(json_str(s->tree, "metadata.ownerReferences.#0.uid"), group->uid);
}

static void end_group(struct sim_cluster *w, struct api_object *o)
{
    struct api_object *content =
        json_at(o->tree, "status.boundVolumeGroupSnapshotContentName") ? content_of(w, o) : NULL;
    for (struct api_object *s = w->api->objects[API_SNAPSHOT]; s; s = s->hh.next)
        if (is_member(o, s) && snapshot_is_restored(w, s)) {
            sim_cluster_later(w, rng_range(w->rng, 5000, 60000), sync_group, o->ns, o->name);
            return;
        }
    if (content && !json_at(content->tree, BEING_DELETED)) {
        cJSON *tree = jt_copy(content->tree);
        jt_str(tree, BEING_DELETED, "yes");
        api_replace(w->api, SNAPSHOT_CONTROLLER, content, tree);
        sim_cluster_later(w, rng_range(w->rng, 5, 100), sync_group, o->ns, o->name);
        return;
    }
    for (struct api_object *s = w->api->objects[API_SNAPSHOT], *next; s; s = next) {
        next = s->hh.next;
        if (is_member(o, s) && !api_deleting(s->tree))
            api_delete(w->api, SNAPSHOT_CONTROLLER, s);
    }
    content = content ? content_of(w, o) : NULL;
    if (content && str_eq(json_str(content->tree, "spec.deletionPolicy"), "Delete")) {
        if (!api_deleting(content->tree))
            api_delete(w->api, SNAPSHOT_CONTROLLER, content);
        else
            sim_cluster_later(w, rng_range(w->rng, 5, 100), sync_group_content, "", content->name);
        /* A sidecar that serves no groups has put no finalizer on it. */
        if (!content_of(w, o))
            sim_cluster_later(w, rng_range(w->rng, 5, 100), sync_group, o->ns, o->name);
        return;
    }
    cJSON *tree = jt_copy(o->tree);
    jt_remove(tree, "metadata.finalizers", GROUP_PROTECTION);
    api_replace(w->api, SNAPSHOT_CONTROLLER, o, tree);
}

void sync_group(struct sim_cluster *w, const char *ns, const char *name)
{
    struct api_object *o = api_find(w->api, API_GROUP, ns, name);
    if (!o || w->groups == GROUPS_NO_CONTROLLER)
        return;
    struct api_object *content = content_of(w, o);
    if (api_deleting(o->tree))
        end_group(w, o);
    else if (!content)
        new_group_content(w, o);
    else if (group_of(w, content) == o)
        go_on_group(w, o, content);
}

bool member_is_held(struct sim_cluster *w, const struct api_object *snapshot)
{
    const struct api_object *g =
        api_find(w->api, API_GROUP, snapshot->ns,
                 str_or(json_str(snapshot->tree, "metadata.ownerReferences.#0.name"), ""));
    return g && str_eq(g->uid, json_str(snapshot->tree, "metadata.ownerReferences.#0.uid"));
}

bool snapshot_is_member(const struct api_object *snapshot)
{
    return str_eq(json_str(snapshot->tree, "metadata.ownerReferences.#0.kind"),
                  "VolumeGroupSnapshot");
}
