/*
 * The VolumeGroupSnapshots of this attempt. One cut is made for all disks of a driver; their
 * VolumeSnapshots come after it, under names that snapshot-controller computes, and each is a
 * disk's only when it says so itself (external-snapshotter 8.6 pkg/common-controller/
 * groupsnapshot_controller_helper.go).
 */
#include "observe/observe.h"

#include "base/str.h"
#include "json/json.h"
#include "observe/queries.h"
#include "wukong/api/child_names.h"

static size_t group_of_driver(const struct clone_state *v, const char *driver)
{
    size_t g = 0;
    while (g < v->group_count && !str_eq(v->groups[g].driver, driver))
        g++;
    return g;
}

static void plan_groups(struct clone_state *v)
{
    char name[NAME_BUF];
    const char *source = str_or(v->record.source_vmi, v->effective.source_name);
    const struct ours_clone owner = clone_snapshot_owner(v);
    v->groups = arena_alloc(v->arena, (v->disk_count + 1) * sizeof *v->groups);
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct disk_plan *p = v->disks[i].plan;
        if (!clone_disk_in_group(&v->disks[i]))
            continue;
        size_t g = group_of_driver(v, p->driver);
        struct clone_group *group = &v->groups[g];
        if (g == v->group_count) {
            name_snapshot(source, owner.name, owner.uid, clone_snapshot_attempt(v), p->name, name);
            *group = (struct clone_group){.driver = p->driver,
                                          .class = p->snapshot_class,
                                          .first = i,
                                          .name = arena_strdup(v->arena, name),
                                          .ns = v->effective.source_ns,
                                          .rule = p->cut.rule};
            v->group_count++;
        }
        group->disk_count++;
        group->rule = p->cut.rule > group->rule ? p->cut.rule : group->rule;
        v->disks[i].group = group;
    }
}

static bool names_volume(const cJSON *infos, const char *volume)
{
    const cJSON *info;
    cJSON_ArrayForEach (info, infos)
        if (str_eq(json_str(info, "volumeHandle"), volume))
            return true;
    return false;
}

/* The volumes are those that snapshot-controller found by our label when it made the content, and
   the list is the driver's answer: both are written once. An empty list may be filled later. */
static void judge_handles(struct clone_state *v, struct clone_group *g, const cJSON *volumes)
{
    size_t volume_count = (size_t)cJSON_GetArraySize(volumes);
    size_t listed = (size_t)cJSON_GetArraySize(g->members);
    const cJSON *volume;
    if (volume_count != g->disk_count)
        g->unfit = arena_printf(v->arena, "was made of %zu volumes, but the clone needs %zu",
                                volume_count, g->disk_count);
    else if (listed && listed != volume_count)
        g->unfit = arena_printf(v->arena, "holds %zu of its %zu volumes", listed, volume_count);
    bool all = listed > 0;
    cJSON_ArrayForEach (volume, volumes) {
        all = all && cJSON_IsString(volume) && names_volume(g->members, volume->valuestring);
        if (listed && !all && !g->unfit)
            g->unfit = "does not hold the volumes that it was made of";
    }
    g->complete = all && !g->unfit;
}

static void see_group_content(struct clone_state *v, const struct cache_reader *c,
                              struct clone_group *g)
{
    CLEANUP_FREE char *name = xasprintf("groupsnapcontent-%s", g->uid);
    const struct kube_object *o = observe_newest(v, c, KIND_GROUP_CONTENT, "", name);
    if (!o || !str_eq(kube_object_field(o, F_GROUP_REF_UID), g->uid))
        return;
    const cJSON *info;
    g->content = o->name;
    g->deleting |= o->deleted_ms != 0;
    g->content_ready = str_eq(kube_object_field(o, F_READY_TO_USE), "true");
    g->being_created = kube_object_field(o, F_GROUP_BEING_CREATED) != NULL;
    g->answered = kube_object_field(o, F_GROUP_HANDLE) != NULL;
    g->error = kube_object_field(o, F_ERROR);
    g->members = clone_field_tree(v, o, F_GROUP_MEMBERS);
    judge_handles(v, g, clone_field_tree(v, o, F_GROUP_VOLUMES));
    cJSON_ArrayForEach (info, g->members) {
        int64_t bytes;
        if (json_int(info, "restoreSize", &bytes))
            g->restore_bytes += bytes;
    }
    const char *when = kube_object_field(o, F_CREATION_TIME);
    if (!g->answered || !g->complete)
        return;
    g->cut = g->rule != CUT_RULE_READY || g->content_ready;
    (void)str_to_time_ms(str_or(when, ""), &g->cut_ms);
}

static void see_group(struct clone_state *v, const struct cache_reader *c, struct clone_group *g)
{
    const struct kube_object *o = observe_newest(v, c, KIND_GROUP, g->ns, g->name);
    const struct ours_clone owner = clone_snapshot_owner(v);
    if (!o)
        return;
    g->exists = true;
    g->uid = o->uid;
    g->created_ms = o->created_ms;
    g->ours = ours_made(&owner, KIND_GROUP, o);
    g->deleting = o->deleted_ms != 0;
    g->ready = str_eq(kube_object_field(o, F_READY_TO_USE), "true");
    see_group_content(v, c, g);
    if (!g->error)
        g->error = kube_object_field(o, F_ERROR);
}

void observe_groups(struct clone_state *v, const struct cache_reader *c)
{
    plan_groups(v);
    for (size_t i = 0; i < v->group_count; i++)
        see_group(v, c, &v->groups[i]);
}

/* The claim that it was cut of is what snapshot-controller read in the volume's own binding. */
const char *clone_group_member(const struct cache_reader *c, const struct disk_state *d)
{
    char name[MEMBER_NAME_BUF];
    const struct clone_group *g = d->group;
    const cJSON *info;
    if (!g->exists || !g->ours)
        return NULL;
    cJSON_ArrayForEach (info, g->members) {
        name_group_member(g->uid, str_or(json_str(info, "volumeHandle"), ""), name);
        const struct kube_object *o = c->get(c->arg, KIND_SNAPSHOT, g->ns, name);
        if (o && str_eq(o->owner_uid, g->uid) &&
            str_eq(kube_object_field(o, F_SOURCE_CLAIM), d->plan->claim))
            return o->name;
    }
    return NULL;
}
