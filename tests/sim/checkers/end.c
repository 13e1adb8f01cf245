/* Liveness: when faults have stopped, everything ends, and nothing is left. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkers/checkers.h"
#include "wukong/api/spec.h"

static const char *phase_of(const struct api_object *o)
{
    return str_or(json_str(o->tree, "status.cloneStatus.phase"), "Pending");
}

static bool is_final(const struct api_object *o)
{
    return str_eq(phase_of(o), "Succeeded") || str_eq(phase_of(o), "Failed");
}

/* --- who needs a snapshot --- */

static const struct physical *cut_of(struct sim *s, const struct api_object *snapshot)
{
    char name[300];
    (void)snprintf(name, sizeof name, "snapcontent-%s", snapshot->uid);
    const char *given = json_str(snapshot->tree, "spec.source.volumeSnapshotContentName");
    if (!given && snapshot_is_member(snapshot))
        given = json_str(snapshot->tree, "status.boundVolumeSnapshotContentName");
    const struct api_object *content = api_find(&s->api, API_CONTENT, "", str_or(given, name));
    return content ? physical_of_content(&s->cluster, content) : NULL;
}

/* Is it what the VolumeSnapshot, content or VirtualMachineSnapshot stands for? */
static bool stands_for(struct sim *s, const struct api_object *o, const struct physical *p)
{
    const cJSON *b;
    if (o->kind == API_CONTENT)
        return physical_of_content(&s->cluster, o) == p;
    if (o->kind == API_SNAPSHOT)
        return cut_of(s, o) == p;
    if (o->kind == API_GROUP_CONTENT)
        return str_eq(p->content_uid, o->uid);
    if (o->kind == API_GROUP) {
        CLEANUP_FREE char *name = xasprintf("groupsnapcontent-%s", o->uid);
        const struct api_object *c = api_find(&s->api, API_GROUP_CONTENT, "", name);
        return c && str_eq(p->content_uid, c->uid);
    }
    const struct api_object *content =
        api_find(&s->api, API_VM_SNAPSHOT_CONTENT, o->ns,
                 str_or(json_str(o->tree, "status.virtualMachineSnapshotContentName"), ""));
    if (!content)
        return false;
    cJSON_ArrayForEach (b, json_at(content->tree, "spec.volumeBackups")) {
        const struct api_object *one =
            api_find(&s->api, API_SNAPSHOT, o->ns, str_or(json_str(b, "volumeSnapshotName"), ""));
        if (one && cut_of(s, one) == p)
            return true;
    }
    return false;
}

static bool is_bound(struct sim *s, const struct api_object *claim)
{
    return str_eq(json_str(claim->tree, "status.phase"), "Bound") &&
           !data_volume_pending(&s->cluster, claim->ns, claim->name);
}

/* What a claim that is not filled yet is to be made from; NULL: of no snapshot that is there. */
static const struct physical *awaited_by(struct sim *s, const struct api_object *claim)
{
    const struct api_object *dv = api_find(&s->api, API_DATA_VOLUME, claim->ns, claim->name);
    const char *ns = claim->ns, *name = json_str(claim->tree, SIM_ASKED_SNAPSHOT);
    if (!name && str_eq(json_str(claim->tree, "spec.dataSource.kind"), "VolumeSnapshot"))
        name = json_str(claim->tree, "spec.dataSource.name");
    if (dv && str_eq(json_str(claim->tree, "metadata.ownerReferences.#0.uid"), dv->uid)) {
        ns = json_str(dv->tree, "spec.source.snapshot.namespace");
        name = json_str(dv->tree, "spec.source.snapshot.name");
    }
    const struct api_object *o = ns && name ? api_find(&s->api, API_SNAPSHOT, ns, name) : NULL;
    return o ? cut_of(s, o) : NULL;
}

/* A claim that is not filled needs what it is made from; a disk that is linked, its parent. The way
   from another namespace to the parent is needed by nobody once it is filled. */
static bool claim_needs(struct sim *s, const struct seen_wukong *of, const struct api_object *claim,
                        const struct api_object *snapshot)
{
    const struct volume *v = volume_of_claim(&s->cluster, claim->ns, claim->name);
    bool bound = is_bound(s, claim);
    bool copy = json_at(snapshot->tree, "spec.source.volumeSnapshotContentName") ||
                json_at(snapshot->tree, "spec.source.snapshotHandle");
    const struct physical *p =
        bound ? (v && of->linked && !copy ? v->of : NULL) : awaited_by(s, claim);
    return p && stands_for(s, snapshot, p);
}

static bool shares_with(struct sim *s, const struct seen_wukong *other, const struct seen_wukong *k)
{
    const struct api_object *w = api_find(&s->api, API_WUKONG, other->ns, other->name);
    return w && str_eq(w->uid, other->uid) &&
           str_eq(json_str(w->tree, "status.cloneStatus.shared.uid"), k->uid);
}

/* A claim of the Wukong, or of one that took its cut over; survivors: of its own only those of
   machines that have been ready. */
static bool is_needed(struct sim *s, const struct seen_wukong *k, const struct api_object *snapshot,
                      bool own, bool survivors)
{
    for (struct api_object *o = s->api.objects[API_PVC]; o; o = o->hh.next) {
        const struct seen_wukong *of = checkers_owner(s, o->tree);
        if (!of || (own ? of != k : of == k || !shares_with(s, of, k)))
            continue;
        const struct api_object *w = api_find(&s->api, API_WUKONG, k->ns, k->name);
        if (claim_needs(s, of, o, snapshot) && (!survivors || (w && checkers_survives(s, w, o))))
            return true;
    }
    return false;
}

/* Of whose disks a user has deleted one, all that is left of the others' is kept together. */
static bool keeps_all(struct sim *s, const struct seen_wukong *k)
{
    if (!k->disturbed || k->linked)
        return k->disturbed;
    for (struct api_object *o = s->api.objects[API_PVC]; o; o = o->hh.next)
        if (checkers_owner(s, o->tree) == k && !is_bound(s, o))
            return true;
    return false;
}

/* So does one that took the cut over. */
static bool sharer_keeps_all(struct sim *s, const struct seen_wukong *k)
{
    for (const struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next) {
        const struct seen_wukong *other = checkers_find(s, o->uid);
        if (other && other != k && shares_with(s, other, k) && keeps_all(s, other))
            return true;
    }
    return false;
}

static bool snapshot_may_stay(struct sim *s, const struct seen_wukong *k,
                              const struct api_object *snapshot)
{
    const struct api_object *o = api_find(&s->api, API_WUKONG, k->ns, k->name);
    bool same = o && str_eq(o->uid, k->uid) && !api_deleting(o->tree);
    bool needed = is_needed(s, k, snapshot, true, false) || keeps_all(s, k);
    /* Whoever took it, somebody else's claims may be waiting for it. */
    if (is_needed(s, k, snapshot, false, false) || sharer_keeps_all(s, k))
        return true;
    /* A machine that outlives its Wukong keeps what its disks need; an Event says so. */
    if (!k->exists && k->retain && k->final)
        return needed;
    bool kept = same && (str_eq(phase_of(o), "Succeeded") ||
                         json_at(o->tree, "status.cloneStatus.readyReplicas"));
    return kept && needed;
}

static const enum api_kind snapshot_kinds[] = {API_SNAPSHOT, API_VM_SNAPSHOT, API_CONTENT,
                                               API_GROUP, API_GROUP_CONTENT};

/* Some snapshot for which the question is answered by yes. */
static bool any_snapshot(struct sim *s, const struct seen_wukong *k,
                         bool (*is)(struct sim *s, const struct seen_wukong *k,
                                    const struct api_object *o))
{
    for (size_t i = 0; i < ARRAY_LEN(snapshot_kinds); i++)
        for (struct api_object *o = s->api.objects[snapshot_kinds[i]]; o; o = o->hh.next)
            if (is(s, k, o))
                return true;
    return false;
}

/* It keeps the name that a new attempt would give. */
static bool holds_retry_up(struct sim *s, const struct seen_wukong *k, const struct api_object *o)
{
    return checkers_owner(s, o->tree) == k &&
           (is_needed(s, k, o, true, true) || is_needed(s, k, o, false, false));
}

/* Its own, or that which it has taken over and still waits for. */
static bool holds_finalizer(struct sim *s, const struct seen_wukong *k, const struct api_object *o)
{
    return checkers_owner(s, o->tree) == k ? snapshot_may_stay(s, k, o)
                                           : is_needed(s, k, o, true, false);
}

/* May this object of ours be there when all is over? */
static bool may_stay(struct sim *s, const struct api_object *o, const struct seen_wukong *k)
{
    const struct api_object *w = api_find(&s->api, API_WUKONG, k->ns, k->name);
    bool exists = w && str_eq(w->uid, k->uid);
    for (size_t i = 0; i < ARRAY_LEN(snapshot_kinds); i++)
        if (o->kind == snapshot_kinds[i])
            return snapshot_may_stay(s, k, o);
    if (exists)
        return str_eq(phase_of(w), "Succeeded") || checkers_survives(s, w, o);
    /* The Wukong is gone: a finished clone's VM stays when that was asked. */
    return k->retain && k->final;
}

static const struct api_object *leftover(struct sim *s)
{
    static const enum api_kind kinds[] = {API_VM,          API_PVC,          API_SNAPSHOT,
                                          API_VM_SNAPSHOT, API_CONTENT,      API_DATA_VOLUME,
                                          API_GROUP,       API_GROUP_CONTENT};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        for (struct api_object *o = s->api.objects[kinds[i]]; o; o = o->hh.next) {
            const struct seen_wukong *k = checkers_owner(s, o->tree);
            if (k && !may_stay(s, o, k))
                return o;
        }
    return NULL;
}

/* A physical snapshot that no VolumeSnapshot stands for any more. */
static const struct physical *leaked(struct sim *s)
{
    for (const struct physical *p = s->cluster.physicals; p; p = p->next) {
        bool held = false;
        /* What KubeVirt leaves of an attempt that it gave up, with a class that retains, is found
           by nobody. */
        if (!p->alive || jt_has(s->excused, p->content_uid) || p->kubevirts)
            continue;
        for (struct api_object *o = s->api.objects[API_CONTENT]; o && !held; o = o->hh.next)
            held = str_eq(o->uid, p->content_uid) &&
                   api_find(&s->api, API_SNAPSHOT,
                            json_str(o->tree, "spec.volumeSnapshotRef.namespace"),
                            json_str(o->tree, "spec.volumeSnapshotRef.name"));
        for (struct api_object *o = s->api.objects[API_GROUP_CONTENT]; o && !held; o = o->hh.next)
            held = str_eq(o->uid, p->content_uid) &&
                   api_find(&s->api, API_GROUP,
                            json_str(o->tree, "spec.volumeGroupSnapshotRef.namespace"),
                            json_str(o->tree, "spec.volumeGroupSnapshotRef.name"));
        if (!held)
            return p;
    }
    return NULL;
}

/* A claim that bears the label of a cut: of a clone that is over, nobody would take it off. */
static const struct api_object *labelled(struct sim *s)
{
    const cJSON *label;
    for (struct api_object *o = s->api.objects[API_PVC]; o; o = o->hh.next)
        cJSON_ArrayForEach (label, json_at(o->tree, "metadata.labels")) {
            if (!str_starts(label->string, SIM_CUT_LABEL))
                continue;
            const struct seen_wukong *k = checkers_find(s, label->string + strlen(SIM_CUT_LABEL));
            if (!k || !k->forced)
                return o;
        }
    return NULL;
}

static const struct machine *frozen(struct sim *s)
{
    for (const struct machine *m = s->cluster.machines; m; m = m->next)
        if (m->frozen_by == FREEZER_OURS || freeze_is_coming(&s->cluster, m))
            return m;
    return NULL;
}

static const struct api_object *unfinished(struct sim *s)
{
    for (struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next) {
        const struct seen_wukong *k = checkers_find(s, o->uid);
        const char *retry = json_str(o->tree, "metadata.annotations[" WUKONG_RETRY_ANNOTATION "]");
        bool retries = str_eq(phase_of(o), "Failed") && retry && k->retried &&
                       !any_snapshot(s, k, holds_retry_up);
        if (!is_final(o) || api_deleting(o->tree) || retries)
            return o;
    }
    return NULL;
}

/* A user has deleted what its claim waits for: the claim, and with it the clone, waits on. */
static bool waits_for_what_is_gone(struct sim *s, const struct seen_wukong *k)
{
    for (struct api_object *o = s->api.objects[API_PVC]; o; o = o->hh.next)
        if (checkers_owner(s, o->tree) == k && !is_bound(s, o) && !awaited_by(s, o))
            return true;
    return false;
}

/* A finished clone holds its Wukong back only for snapshots that are needed. */
static const struct api_object *clinging(struct sim *s)
{
    for (struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next) {
        struct seen_wukong *k = checkers_find(s, o->uid);
        bool held = k && jt_has(json_at(o->tree, "metadata.finalizers"), WUKONG_FINALIZER);
        if (held && is_final(o) && !any_snapshot(s, k, holds_finalizer) && !keeps_all(s, k) &&
            !waits_for_what_is_gone(s, k))
            return o;
    }
    return NULL;
}

/* Of many, the Event says only how many more there are. */
static bool is_named(struct sim *s, const struct api_object *w, const struct api_object *o)
{
    char name[600];
    (void)snprintf(name, sizeof name, "%s %s%s%s", api_kinds[o->kind].kind, o->ns,
                   str_empty(o->ns) ? "" : "/", o->name);
    for (const struct api_object *e = s->api.objects[API_EVENT]; e; e = e->hh.next) {
        const char *message = str_or(json_str(e->tree, "message"), "");
        if (str_eq(json_str(e->tree, "involvedObject.uid"), w->uid) &&
            str_eq(json_str(e->tree, "reason"), "NotOurs") &&
            (strstr(message, name) || strstr(message, " more;")))
            return true;
    }
    return false;
}

/* What bears the label of a Wukong that is there, is a stranger's, and is named by no Event. What
   CDI makes of a stranger's DataVolume goes by that one's name. Workers that serve some namespaces
   alone see nothing of the others. */
static const struct api_object *untold(struct sim *s)
{
    static const enum api_kind kinds[] = {API_VM,          API_PVC,     API_SNAPSHOT,
                                          API_VM_SNAPSHOT, API_CONTENT, API_DATA_VOLUME};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        for (struct api_object *o = s->api.objects[kinds[i]]; o; o = o->hh.next) {
            const char *uid = json_str(o->tree, "metadata.labels[" WUKONG_UID_LABEL "]");
            bool unseen = s->scoped && str_eq(o->ns, SIM_ELSEWHERE);
            const struct api_object *w =
                uid && !unseen && stranger_is(o->tree) ? api_find_uid(&s->api, uid) : NULL;
            if (w && !api_deleting(w->tree) && !json_at(o->tree, "metadata.ownerReferences") &&
                !is_named(s, w, o))
                return o;
        }
    return NULL;
}

bool checkers_settled(struct sim *s)
{
    return !unfinished(s) && !leftover(s) && !frozen(s) && !leaked(s) && !clinging(s) &&
           !untold(s) && !labelled(s);
}

static bool was_told(struct sim *s, const struct api_object *of, const char *reason)
{
    for (const struct api_object *e = s->api.objects[API_EVENT]; e; e = e->hh.next)
        if (str_eq(json_str(e->tree, "involvedObject.uid"), of->uid) &&
            str_eq(json_str(e->tree, "reason"), reason))
            return true;
    return false;
}

static void check_probe(struct sim *s)
{
    const char *snapshot = NULL;
    int64_t attempts = 0, had = 0;
    for (size_t i = 0; i < SIM_PROBES; i++) {
        const struct api_object *o = api_find(&s->api, API_WUKONG, SIM_NS, sim_probes[i]);
        if (!o)
            continue;
        if (!str_eq(phase_of(o), "Succeeded"))
            sim_violation(s, "a-clone-in-the-calm-succeeds", "%s is %s: %s", o->name, phase_of(o),
                          str_or(json_str(o->tree, "status.cloneStatus.lastError.message"), "-"));
        const struct api_object *source =
            api_find(&s->api, API_VM, SIM_NS, json_str(o->tree, "spec.cloneSource.vmName"));
        if (source && json_at(source->tree, SIM_HOOK) && !was_told(s, o, "CloneDiffers"))
            sim_violation(s, "differences-are-told",
                          "%s is without the hook of %s, and no Event says so", o->name,
                          source->name);
        const char *mine = json_str(o->tree, "status.cloneStatus.snapshotName");
        /* Whose attempts have failed may come back apart. */
        bool together =
            json_int(o->tree, "status.cloneStatus.attempts", &had) && had == 1 && attempts == 1;
        attempts = had;
        /* Others may have places, too: not all go along. */
        together &= i < 2 || traits_in_flight(s) == s->max_in_flight;
        if (snapshot && mine && together && !str_eq(snapshot, mine))
            sim_violation(s, "equals-share-in-the-calm", "%s restored from %s, another from %s",
                          o->name, mine, snapshot);
        snapshot = mine ? mine : snapshot;
    }
}

/* Failed is allowed for a reason that the run gives. */
static void check_failed(struct sim *s, const struct api_object *o)
{
    const cJSON *c = json_at(o->tree, "status.cloneStatus");
    int64_t attempts = 0, limit = 0;
    (void)json_int(c, "attempts", &attempts);
    (void)json_int(o->tree, "spec.cloneSource.retryLimit", &limit);
    if (!json_str(c, "lastError.reason") || str_empty(json_str(c, "lastError.message")))
        sim_violation(s, "failures-are-explained", "%s Failed without a reason", o->name);
    /* In a simulated cluster there is a class for snapshots, always. */
    if (attempts > 1 && str_eq(json_str(c, "lastError.reason"), "CloningRefused"))
        sim_violation(s, "what-was-refused-is-not-tried-again",
                      "%s asked for a volume clone in attempt %" PRId64, o->name, attempts);
    bool terminal = json_bool(c, "lastError.terminal", false);
    /* The attempt that a group has cost is free (snapshotMethod Auto). */
    int64_t refused = 0;
    (void)json_int(c, "groupSnapshotRefused.attempt", &refused);
    bool exhausted = attempts - (refused > 0) > limit;
    int64_t start = 0, end = 0, deadline = 3600;
    (void)str_to_time_ms(json_str(c, "startTime"), &start);
    (void)str_to_time_ms(json_str(c, "completionTime"), &end);
    (void)json_int(o->tree, "spec.cloneSource.deadlineSeconds", &deadline);
    bool late = start && end >= start + deadline * 1000;
    if (!terminal && !exhausted && !late)
        sim_violation(s, "failures-are-explained",
                      "%s Failed after %" PRId64 " of %" PRId64 "+1 attempts, before its deadline, "
                      "by %s",
                      o->name, attempts, limit, json_str(c, "lastError.reason"));
}

void checkers_end(struct sim *s, bool settled)
{
    const struct api_object *o;
    if (!settled) {
        if ((o = unfinished(s)))
            sim_violation(s, "every-clone-ends", "%s is %s%s, step %s: %s", o->name, phase_of(o),
                          api_deleting(o->tree) ? " and being deleted" : "",
                          str_or(json_str(o->tree, "status.cloneStatus.step"), "-"),
                          str_or(json_str(o->tree, "status.cloneStatus.lastError.message"), "-"));
        if ((o = leftover(s)))
            sim_violation(s, "nothing-is-left", "%s %s of %s%s", api_kinds[o->kind].kind, o->name,
                          checkers_owner(s, o->tree)->name,
                          api_deleting(o->tree) ? ", being deleted" : "");
        if (clinging(s))
            sim_violation(s, "finished-clones-let-go", "%s is %s and keeps its finalizer",
                          clinging(s)->name, phase_of(clinging(s)));
        if (frozen(s))
            sim_violation(s, "no-guest-stays-frozen", "%s", frozen(s)->name);
        if ((o = untold(s)))
            sim_violation(s, "strangers-are-named", "no Event NotOurs names %s %s/%s",
                          api_kinds[o->kind].kind, o->ns, o->name);
        if ((o = labelled(s)))
            sim_violation(s, "labels-are-taken-off", "claim %s bears the label of a cut: %s",
                          o->name, o->text->s);
        if (leaked(s))
            sim_violation(s, "nothing-is-left", "physical snapshot %s", leaked(s)->handle);
    }
    for (o = s->api.objects[API_WUKONG]; o; o = o->hh.next)
        if (str_eq(phase_of(o), "Failed"))
            check_failed(s, o);
    check_probe(s);
}
