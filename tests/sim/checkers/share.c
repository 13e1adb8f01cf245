/*
 * What must hold of snapshots that several Wukongs share: only equal ones do, named in the record
 * that was stored before the cut; nobody restores from a cut that is older than its own place in
 * the group; who shares takes none of its own; and nobody removes what others still restore from.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkers/checkers.h"

#define SHARED "cloneStatus.shared"

void checkers_shape(struct seen_wukong *k, const cJSON *wukong)
{
    static const char *const fields[] = {
        "quiesce", "snapshotMethod", "volumeSnapshotClassName", "cloneType", "allowUnsnapshottable",
        "gates",   "namespace"};
    k->shape = cJSON_CreateObject();
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        CLEANUP_FREE char *path = xasprintf("spec.cloneSource.%s", fields[i]);
        const cJSON *value = json_at(wukong, path);
        if (value)
            cJSON_AddItemToObject(k->shape, fields[i], jt_copy(value));
    }
    if (json_at(wukong, "spec.disks"))
        cJSON_AddItemToObject(k->shape, "disks", jt_copy(json_at(wukong, "spec.disks")));
}

const struct seen_wukong *checkers_snapshot_owner(struct sim *s, const struct seen_wukong *k,
                                                  const cJSON *clone, int64_t *ret_attempt)
{
    const struct seen_wukong *leader = checkers_find(s, str_or(json_str(clone, "shared.uid"), "-"));
    *ret_attempt = 0;
    (void)json_int(clone, leader ? "shared.attempt" : "attempts", ret_attempt);
    return leader ? leader : k;
}

static const cJSON *status_of(struct sim *s, const struct seen_wukong *k)
{
    const struct api_object *o = k->exists ? api_find(&s->api, API_WUKONG, k->ns, k->name) : NULL;
    return o && str_eq(o->uid, k->uid) ? json_get(o->tree, "status") : NULL;
}

/* --- the group is closed by one record --- */

static void note_group(struct sim *s, struct seen_wukong *k, const cJSON *before,
                       const cJSON *after)
{
    const cJSON *list = json_get(after, "sharedWith");
    CLEANUP_FREE char *text = list ? json_print(list) : NULL;
    int64_t was = 0, is = 0;
    (void)json_int(before, "attempts", &was);
    (void)json_int(after, "attempts", &is);
    if (str_eq(text, k->members) && (!list || is == k->closed_attempt))
        return;
    bool open = !json_at(before, "freeze.requestedTime") && !json_at(before, "cutTime") &&
                !json_at(before, "sourceUID");
    if (list && !open)
        sim_violation(s, "groups-are-closed-once", "%s changes who shares attempt %" PRId64,
                      k->name, is);
    free(k->members);
    free(k->closed_source);
    k->members = TAKE(text);
    k->closed_ms = s->now_ms;
    k->closed_attempt = is;
    k->closed_source = xstrdup(json_str(after, "sourceUID"));
}

/* --- somebody takes a cut over --- */

static void check_cuts(struct sim *s, const struct seen_wukong *k, const struct seen_wukong *leader,
                       int64_t attempt)
{
    char number[24];
    unsigned cuts = 0;
    (void)snprintf(number, sizeof number, "%" PRId64, attempt);
    for (struct api_object *o = s->api.objects[API_SNAPSHOT]; o; o = o->hh.next) {
        char content[300];
        if (checkers_owner(s, o->tree) != leader ||
            !str_eq(json_str(o->tree, "metadata.labels[vm.novasphere.dev/attempt]"), number))
            continue;
        (void)snprintf(content, sizeof content, "snapcontent-%s", o->uid);
        const struct api_object *c = api_find(&s->api, API_CONTENT, "", content);
        const struct physical *p = c ? physical_of_content(&s->cluster, c) : NULL;
        cuts += p != NULL;
        if (p && p->cut_ms < SIM_EPOCH_MS + leader->closed_ms)
            sim_violation(s, "nobody-shares-an-older-cut",
                          "%s takes %s over, cut %" PRId64 " ms before it was in the group",
                          k->name, o->name, SIM_EPOCH_MS + leader->closed_ms - p->cut_ms);
    }
    for (struct api_object *o = s->api.objects[API_GROUP]; o; o = o->hh.next) {
        CLEANUP_FREE char *content = xasprintf("groupsnapcontent-%s", o->uid);
        const struct api_object *c = api_find(&s->api, API_GROUP_CONTENT, "", content);
        if (checkers_owner(s, o->tree) != leader || !c ||
            !str_eq(json_str(o->tree, "metadata.labels[vm.novasphere.dev/attempt]"), number))
            continue;
        for (const struct physical *p = s->cluster.physicals; p; p = p->next)
            cuts += str_eq(p->content_uid, c->uid);
    }
    s->shared++;
    if (!cuts && !leader->disturbed)
        sim_violation(s, "nobody-shares-an-older-cut", "%s takes over what is not there", k->name);
}

static void taken_over(struct sim *s, const struct seen_wukong *k, const cJSON *after)
{
    int64_t attempt;
    const struct seen_wukong *leader = checkers_snapshot_owner(s, k, after, &attempt);
    if (leader == k) {
        sim_violation(s, "only-equals-share", "%s shares with nobody that ever was", k->name);
        return;
    }
    if (!json_equal(k->shape, leader->shape) || !str_eq(k->source, leader->source) ||
        !str_eq(k->ns, leader->ns))
        sim_violation(s, "only-equals-share", "%s and %s differ and share", k->name, leader->name);
    if (!str_eq(json_str(after, "sourceUID"), leader->closed_source))
        sim_violation(s, "only-equals-share", "%s shares a cut of another source", k->name);
    if (attempt != leader->closed_attempt || !leader->members || !strstr(leader->members, k->uid))
        sim_violation(s, "groups-are-closed-once",
                      "%s shares attempt %" PRId64 " of %s and is not on its list", k->name,
                      attempt, leader->name);
    check_cuts(s, k, leader, attempt);
}

void checkers_shared(struct sim *s, struct seen_wukong *k, const cJSON *before, const cJSON *after)
{
    note_group(s, k, before, after);
    if (json_at(after, "shared") && !json_at(before, "shared"))
        taken_over(s, k, after);
    if (json_at(after, "shared") && json_at(after, "freeze"))
        sim_violation(s, "one-freeze-per-group", "%s shares a snapshot and freezes", k->name);
}

/* --- snapshots come and go --- */

void checkers_snapshot_taken(struct sim *s, const struct seen_wukong *k, const struct api_object *o)
{
    /* The copy of another one's snapshot for this namespace is no cut. */
    if (json_at(o->tree, "spec.source.volumeSnapshotContentName"))
        return;
    if (json_at(status_of(s, k), SHARED))
        sim_violation(s, "one-freeze-per-group", "%s shares a snapshot and takes %s", k->name,
                      o->name);
}

/* k still restores from it: a claim is not bound, or, before its end, not even made. */
static bool restores(struct sim *s, const struct seen_wukong *k, const char *snapshot)
{
    int64_t bound = 0, waiting = 0;
    for (struct api_object *o = s->api.objects[API_PVC]; o; o = o->hh.next) {
        const char *from = str_or(json_str(o->tree, SIM_ASKED_SNAPSHOT),
                                  json_str(o->tree, "spec.dataSource.name"));
        if (checkers_owner(s, o->tree) != k || api_deleting(o->tree) || !str_eq(from, snapshot))
            continue;
        bool is = str_eq(json_str(o->tree, "status.phase"), "Bound");
        bound += is;
        waiting += !is;
    }
    return waiting || (!k->final && bound < k->replicas);
}

void checkers_snapshot_removed(struct sim *s, const char *who, const struct api_object *o)
{
    const struct seen_wukong *owner = checkers_owner(s, o->tree);
    const char *label = json_str(o->tree, "metadata.labels[vm.novasphere.dev/attempt]");
    if (json_at(o->tree, "spec.source.volumeSnapshotContentName"))
        return;
    for (const struct seen_wukong *k = s->seen; k; k = k->next) {
        const struct api_object *w = api_find(&s->api, API_WUKONG, k->ns, k->name);
        const cJSON *clone = json_get(status_of(s, k), "cloneStatus");
        int64_t attempt = 0, attempts = 0, failed = 0;
        /* In another namespace its claims hang on the copy. */
        if (!clone || api_deleting(w->tree) || k->disturbed || !str_eq(k->ns, o->ns))
            continue;
        (void)json_int(clone, "attempts", &attempts);
        (void)json_int(clone, "lastError.attempt", &failed);
        bool uses = checkers_snapshot_owner(s, k, clone, &attempt) == owner &&
                    json_at(clone, "cutTime") && !str_eq(json_str(clone, "phase"), "Failed");
        CLEANUP_FREE char *number = xasprintf("%" PRId64, attempt);
        if (!uses || failed == attempts || !str_eq(label, number) || !restores(s, k, o->name))
            continue;
        sim_violation(s, "shared-snapshots-are-held", "%s removes %s, %s restores from it", who,
                      o->name, k->name);
    }
}
