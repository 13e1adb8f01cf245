/* Safety: what must hold at every moment. */
#include "checkers/checkers.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "wukong/api/child_names.h"
#include "wukong/api/spec.h"

/* Watches lag by at most 20 s and requests by 8 s; what a worker could know is older than that. */
#define KNOWABLE_MS 60000

bool checkers_is_worker(const char *who)
{
    return str_starts(who, "worker");
}

struct seen_wukong *checkers_find(struct sim *s, const char *uid)
{
    for (struct seen_wukong *k = s->seen; k; k = k->next)
        if (str_eq(k->uid, uid))
            return k;
    return NULL;
}

struct seen_wukong *checkers_find_name(struct sim *s, const char *ns, const char *name)
{
    for (struct seen_wukong *k = s->seen; k; k = k->next)
        if (k->exists && str_eq(k->name, name) && str_eq(k->ns, ns))
            return k;
    return NULL;
}

struct seen_wukong *checkers_owner(struct sim *s, const cJSON *tree)
{
    if (stranger_is(tree))
        return NULL;
    return checkers_find(s, str_or(json_str(tree, "metadata.labels[" WUKONG_UID_LABEL "]"), "-"));
}

void checkers_release(struct sim *s)
{
    cJSON_Delete(s->excused);
    checkers_machines_release(s);
    while (s->seen) {
        struct seen_wukong *k = s->seen;
        s->seen = k->next;
        free(k->uid);
        free(k->ns);
        free(k->name);
        free(k->source);
        free(k->source_ns);
        free(k->retry);
        free(k->members);
        free(k->closed_source);
        free(k->begun_by);
        cJSON_Delete(k->shape);
        free(k);
    }
    while (s->seen_snapshots) {
        struct seen_snapshot_uid *u = s->seen_snapshots;
        s->seen_snapshots = u->next;
        free(u->uid);
        free(u);
    }
}

static void remember(struct sim *s, const struct api_object *o)
{
    struct seen_wukong *k = xcalloc(1, sizeof *k);
    k->uid = xstrdup(o->uid);
    k->ns = xstrdup(o->ns);
    k->name = xstrdup(o->name);
    k->source = xstrdup(str_or(json_str(o->tree, "spec.cloneSource.vmName"),
                               json_str(o->tree, "spec.cloneSource.vmiName")));
    k->source_ns = xstrdup(str_or(json_str(o->tree, "spec.cloneSource.namespace"), o->ns));
    k->probe = str_starts(o->name, "probe");
    k->linked = str_eq(json_str(o->tree, "spec.cloneSource.cloneType"), "linked");
    k->retain = str_eq(json_str(o->tree, "spec.reclaimPolicy"), "Retain");
    k->restored = json_at(o->tree, "metadata.labels[" SIM_RESTORED "]") != NULL;
    k->replicas = 1;
    (void)json_int(o->tree, "spec.replicas", &k->replicas);
    k->exists = true;
    checkers_shape(k, o->tree);
    k->next = s->seen;
    s->seen = k;
}

/* --- a worker's writes --- */

static void wukong_written(struct sim *s, const char *who, const struct api_object *o,
                           const cJSON *before)
{
    static const char *const kept[] = {"spec", "metadata.labels", "metadata.annotations",
                                       "metadata.ownerReferences", "metadata.deletionTimestamp"};
    struct seen_wukong *k = checkers_find(s, o->uid);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (!json_equal(json_at(before, kept[i]), json_at(o->tree, kept[i])))
            sim_violation(s, "spec-never-written", "%s changed %s of Wukong %s", who, kept[i],
                          o->name);
    if (!k || json_equal(json_get(before, "status"), json_get(o->tree, "status")))
        return;
    checkers_restrictions_status(s, who, k, before, o->tree);
    checkers_status(s, k, before, o->tree);
}

struct claim_check {
    struct sim *s;
    const struct seen_wukong *owner;
    const struct api_object *vm;
};

static void check_claim(void *arg, const char *volume, const char *claim)
{
    struct claim_check *c = arg;
    const struct api_object *pvc = api_find(&c->s->api, API_PVC, c->vm->ns, claim);
    const struct volume *v = volume_of_claim(&c->s->cluster, c->vm->ns, claim);
    (void)volume;
    if (v && v->machine)
        sim_violation(c->s, "no-source-claim-in-target", "VM %s names claim %s of source %s",
                      c->vm->name, claim, v->machine->name);
    if (pvc && checkers_owner(c->s, pvc->tree) != c->owner && !api_deleting(pvc->tree))
        sim_violation(c->s, "no-foreign-claim-in-target", "VM %s names claim %s of somebody else",
                      c->vm->name, claim);
}

/* The guest of a source of another namespace gets no Secret of this one; of its own it keeps all.
 */
static void check_secrets(struct sim *s, const struct seen_wukong *k, const struct api_object *vm)
{
    CLEANUP_FREE char *text = json_print(json_get(vm->tree, "spec"));
    bool named = strstr(text, SIM_SECRET) != NULL, elsewhere = !str_eq(k->ns, k->source_ns);
    if (named == elsewhere)
        sim_violation(s, "secrets-stay-at-home", "VM %s %s Secret " SIM_SECRET, vm->name,
                      named ? "of another namespace's source names" : "has lost");
}

struct disk_check {
    struct sim *s;
    const struct api_object *wukong, *target;
};

/* Named in spec.disks, where that names any. */
static bool is_wanted(const cJSON *wukong, const char *volume)
{
    const cJSON *disk, *list = json_at(wukong, "spec.disks");
    cJSON_ArrayForEach (disk, list)
        if (str_eq(json_str(disk, "name"), volume))
            return true;
    return !list;
}

static void check_disk(void *arg, const char *volume, const char *claim)
{
    const struct disk_check *c = arg;
    const cJSON *v;
    (void)claim;
    cJSON_ArrayForEach (v, json_at(c->target->tree, "spec.template.spec.volumes"))
        if (str_eq(json_str(v, "name"), volume))
            return;
    if (is_wanted(c->wukong->tree, volume))
        sim_violation(c->s, "no-disk-is-dropped", "VM %s is without disk %s of its source",
                      c->target->name, volume);
}

/* What the source is made of comes along, or the clone is refused. */
static void check_source(struct sim *s, const struct seen_wukong *k,
                         const struct api_object *target)
{
    const struct api_object *vm = api_find(&s->api, API_VM, k->source_ns, k->source);
    const struct api_object *vmi = api_find(&s->api, API_VMI, k->source_ns, k->source);
    struct disk_check c = {s, api_find(&s->api, API_WUKONG, k->ns, k->name), target};
    if (vm && str_eq(json_str(vm->tree, "spec.preference.name"), CLUSTER_TPM_PREFERENCE))
        sim_violation(s, "no-state-is-lost",
                      "VM %s is cloned from %s, whose preference gives it a persistent TPM",
                      target->name, vm->name);
    if (c.wukong && vm)
        each_claim(json_at(vm->tree, "spec.template.spec"), check_disk, &c);
    else if (c.wukong && vmi)
        each_claim(json_get(vmi->tree, "spec"), check_disk, &c);
}

static unsigned targets_of(struct sim *s, const struct seen_wukong *k)
{
    unsigned n = 0;
    for (struct api_object *o = s->api.objects[API_VM]; o; o = o->hh.next)
        n += checkers_owner(s, o->tree) == k && !api_deleting(o->tree);
    return n;
}

static void vm_created(struct sim *s, const struct seen_wukong *k, const struct api_object *o)
{
    struct claim_check c = {s, k, o};
    char name[NAME_BUF];
    bool expected = false;
    for (int64_t i = 0; i < k->replicas; i++) {
        name_vm(k->name, k->replicas, i, name);
        expected |= str_eq(name, o->name);
    }
    if (!expected)
        sim_violation(s, "one-vm-per-target", "VM %s is none of the targets of %s", o->name,
                      k->name);
    if (targets_of(s, k) > (unsigned)k->replicas)
        sim_violation(s, "one-vm-per-target", "%u VMs for %" PRId64 " targets of %s",
                      targets_of(s, k), k->replicas, k->name);
    each_claim(json_at(o->tree, "spec.template.spec"), check_claim, &c);
    check_secrets(s, k, o);
    check_source(s, k, o);
}

/* It is restored from what the clone has cut, or from the source's own claim. */
static void claim_created(struct sim *s, const struct seen_wukong *k, const struct api_object *o)
{
    const char *name = json_str(o->tree, "spec.dataSource.name");
    const struct api_object *from = api_find(&s->api, API_SNAPSHOT, o->ns, str_or(name, ""));
    if (str_eq(json_str(o->tree, "spec.dataSource.kind"), "VolumeSnapshot") && from &&
        stranger_is(from->tree))
        sim_violation(s, "nothing-is-adopted", "claim %s of %s is restored from %s of a stranger",
                      o->name, k->name, name);
}

/* A Wukong that is deleted before it has our finalizer is gone at once, and nobody would remove
   what was made for it. */
static void check_finalizer(struct sim *s, const char *who, const struct seen_wukong *k,
                            const struct api_object *o)
{
    const struct api_object *w = api_find(&s->api, API_WUKONG, k->ns, k->name);
    if (w && str_eq(w->uid, k->uid) && !k->final && !api_deleting(w->tree) &&
        !jt_has(json_at(w->tree, "metadata.finalizers"), WUKONG_FINALIZER))
        sim_violation(s, "the-finalizer-comes-first",
                      "%s created %s %s, and Wukong %s has no finalizer", who,
                      api_kinds[o->kind].kind, o->name, k->name);
}

/* What Auto has remembered holds until a retry is asked for. */
static bool no_groups_any_more(struct sim *s, const struct seen_wukong *k,
                               const struct api_object *o)
{
    const struct api_object *w = api_find(&s->api, API_WUKONG, k->ns, k->name);
    int64_t attempts = 0, failed = 0, of = 0;
    if (w) {
        (void)json_int(w->tree, "status.cloneStatus.attempts", &attempts);
        (void)json_int(w->tree, "status.cloneStatus.lastError.attempt", &failed);
    }
    (void)str_to_i64(json_str(o->tree, "metadata.labels[vm.novasphere.dev/attempt]"), &of);
    /* A request of the attempt that was given up may have been on its way. */
    if (failed == attempts || of < attempts)
        return false;
    return w && str_eq(w->uid, k->uid) &&
           json_at(w->tree, "status.cloneStatus.groupSnapshotRefused") &&
           str_eq(json_str(w->tree, "spec.cloneSource.snapshotMethod"), "Auto");
}

static void child_created(struct sim *s, const char *who, const struct api_object *o)
{
    struct seen_wukong *k = checkers_owner(s, o->tree);
    if (!k) {
        sim_violation(s, "children-are-labelled", "%s created %s %s without a Wukong's UID", who,
                      api_kinds[o->kind].kind, o->name);
        return;
    }
    if (k->restored && !k->retried)
        sim_violation(s, "what-is-over-stays-over",
                      "%s created %s %s for %s, which came out of a backup", who,
                      api_kinds[o->kind].kind, o->name, k->name);
    if (k->final && !k->retried)
        sim_violation(s, "finished-never-runs-again", "%s created %s %s for the finished %s", who,
                      api_kinds[o->kind].kind, o->name, k->name);
    check_finalizer(s, who, k, o);
    if (o->kind == API_GROUP && no_groups_any_more(s, k, o))
        sim_violation(s, "auto-leaves-groups", "%s takes group %s after one was refused", k->name,
                      o->name);
    if (o->kind == API_PVC)
        claim_created(s, k, o);
    if (o->kind == API_VM)
        vm_created(s, k, o);
    if (o->kind == API_SNAPSHOT || o->kind == API_GROUP)
        checkers_snapshot_taken(s, k, o);
}

/* By its label, or because KubeVirt made it for a VirtualMachineSnapshot that is ours. */
static bool snapshot_is_ours(struct sim *s, const struct api_object *o)
{
    const char *owner = json_str(o->tree, "metadata.ownerReferences.#0.name");
    const struct api_object *group =
        snapshot_is_member(o) ? api_find(&s->api, API_GROUP, o->ns, str_or(owner, "")) : NULL;
    if (group)
        return checkers_owner(s, group->tree) != NULL;
    const struct api_object *content = api_find(&s->api, API_VM_SNAPSHOT_CONTENT, o->ns, owner);
    const struct api_object *vms =
        content ? api_find(&s->api, API_VM_SNAPSHOT, o->ns,
                           json_str(content->tree, "spec.virtualMachineSnapshotName"))
                : NULL;
    return checkers_owner(s, o->tree) || (vms && checkers_owner(s, vms->tree));
}

static void remember_snapshot(struct sim *s, const struct api_object *o)
{
    struct seen_snapshot_uid *u = xcalloc(1, sizeof *u);
    u->uid = xstrdup(o->uid);
    u->next = s->seen_snapshots;
    s->seen_snapshots = u;
}

static bool was_ours(const struct sim *s, const char *uid)
{
    for (const struct seen_snapshot_uid *u = s->seen_snapshots; u; u = u->next)
        if (str_eq(u->uid, uid))
            return true;
    return false;
}

/* A content is ours when its VolumeSnapshot is or was: a patch may come after that has gone. */
static bool content_is_ours(struct sim *s, const cJSON *before)
{
    return !stranger_is(before) &&
           (checkers_owner(s, before) ||
            was_ours(s, str_or(json_str(before, "spec.volumeSnapshotRef.uid"),
                               json_str(before, "spec.volumeGroupSnapshotRef.uid"))));
}

/* Only what the worker has to say of a policy. */
static void policy_written(struct sim *s, const char *who, const struct api_object *o,
                           const cJSON *before)
{
    if (!json_equal(json_get(before, "spec"), json_get(o->tree, "spec")) || api_deleting(o->tree))
        sim_violation(s, "spec-never-written", "%s changed or deleted ClonePolicy %s", who,
                      o->name);
}

static bool is_cut_label(struct sim *s, const char *key)
{
    size_t n = strlen(SIM_CUT_LABEL);
    return str_starts(key, SIM_CUT_LABEL) && checkers_find(s, key + n);
}

/* On and off the claims of a source, and nothing else. */
static bool only_the_cut_is_labelled(struct sim *s, const struct api_object *o, const cJSON *before)
{
    CLEANUP_JSON cJSON *was = jt_copy(before), *is = jt_copy(o->tree);
    cJSON *const both[] = {was, is};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        cJSON *labels = jt_at(both[i], "metadata.labels"), *label, *next;
        for (label = labels ? labels->child : NULL; label; label = next) {
            next = label->next;
            if (is_cut_label(s, label->string))
                cJSON_Delete(cJSON_DetachItemViaPointer(labels, label));
        }
        if (labels && !labels->child)
            jt_drop(both[i], "metadata.labels");
        jt_drop(both[i], "metadata.resourceVersion");
        jt_drop(both[i], "metadata.managedFields");
    }
    return json_equal(was, is);
}

static void child_changed(struct sim *s, const char *who, const struct api_object *o,
                          const cJSON *before)
{
    if (o->kind == API_PVC && only_the_cut_is_labelled(s, o, before))
        return;
    bool content = o->kind == API_CONTENT || o->kind == API_GROUP_CONTENT;
    bool ours =
        content ? content_is_ours(s, before) : checkers_owner(s, before) || was_ours(s, o->uid);
    if (stranger_is(before))
        sim_violation(s, "strangers-are-left-alone", "%s changed or deleted %s %s/%s of a stranger",
                      who, api_kinds[o->kind].kind, o->ns, o->name);
    else if (!ours)
        sim_violation(s, "only-ours-is-changed", "%s changed or deleted %s %s/%s", who,
                      api_kinds[o->kind].kind, o->ns, o->name);
    if (o->kind == API_SNAPSHOT && api_deleting(o->tree) && !api_deleting(before))
        checkers_snapshot_removed(s, who, o);
}

static void written_by_worker(struct sim *s, const char *who, enum api_change_type type,
                              const struct api_object *o, const cJSON *before)
{
    if (o->kind == API_LEASE || (o->kind == API_EVENT && type == API_ADDED))
        return;
    if (o->kind == API_WUKONG && type == API_ADDED)
        sim_violation(s, "only-ours-is-changed", "%s created Wukong %s", who, o->name);
    else if (o->kind == API_WUKONG)
        wukong_written(s, who, o, before);
    else if (o->kind == API_POLICY && before)
        policy_written(s, who, o, before);
    else if (type == API_ADDED)
        child_created(s, who, o);
    else
        child_changed(s, who, o, before);
    if (before && !api_deleting(before) && (type == API_DELETED || api_deleting(o->tree)))
        checkers_removed(s, who, o);
}

void checkers_excuse(struct sim *s, const char *content_uid)
{
    if (!s->excused)
        s->excused = cJSON_CreateArray();
    cJSON_AddItemToArray(s->excused, cJSON_CreateString(content_uid));
}

/* A user deletes a snapshot whose class says Retain: what stays behind is the user's. */
static void excuse_physical(struct sim *s, const struct api_object *o)
{
    CLEANUP_FREE char *name =
        o->kind == API_CONTENT ? xstrdup(o->name) : xasprintf("snapcontent-%s", o->uid);
    const struct api_object *content = api_find(&s->api, API_CONTENT, "", name);
    /* It may not even be cut yet. */
    if (content)
        checkers_excuse(s, content->uid);
}

static void note_user(struct sim *s, const struct api_object *o, enum api_change_type type)
{
    struct seen_wukong *k = checkers_owner(s, o->tree);
    const char *retry = json_str(o->tree, "metadata.annotations[" WUKONG_RETRY_ANNOTATION "]");
    if (k && type != API_ADDED)
        k->disturbed = true;
    if (type != API_ADDED && (o->kind == API_SNAPSHOT || o->kind == API_CONTENT))
        excuse_physical(s, o);
    if (o->kind != API_WUKONG || type != API_MODIFIED)
        return;
    k = checkers_find(s, o->uid);
    if (k && k->final && retry && !str_eq(retry, k->retry))
        k->retried = true;
}

/* Of a clone that has succeeded, and whose machines are to outlive it. */
static void machine_gone(struct sim *s, const char *who, const struct api_object *o)
{
    const struct seen_wukong *k = checkers_owner(s, o->tree);
    if (k && k->retain && k->succeeded && !k->disturbed)
        sim_violation(s, "retained-machines-stay", "%s deleted VM %s of %s", who, o->name, k->name);
}

void checkers_changed(struct sim *s, const char *who, enum api_change_type type,
                      const struct api_object *o, const cJSON *before)
{
    if (o->kind == API_WUKONG && type == API_ADDED)
        remember(s, o);
    bool snapshot = o->kind == API_SNAPSHOT || o->kind == API_GROUP;
    if (snapshot && type == API_ADDED && snapshot_is_ours(s, o))
        remember_snapshot(s, o);
    if (checkers_is_worker(who))
        written_by_worker(s, who, type, o, before);
    else if (str_eq(who, "user"))
        note_user(s, o, type);
    checkers_machines(s, o);
    if (o->kind == API_VM && type == API_DELETED && !str_eq(who, "user"))
        machine_gone(s, who, o);
    if (o->kind == API_WUKONG && type == API_DELETED) {
        struct seen_wukong *k = checkers_find(s, o->uid);
        k->exists = false;
        k->gone_ms = s->now_ms;
        s->gone++;
    }
}

/* --- requests --- */

static bool owes(const cJSON *status)
{
    return json_at(status, "cloneStatus.freeze.requestedTime") &&
           !json_at(status, "cloneStatus.freeze.thawedTime");
}

bool checkers_forced_lately(struct sim *s, const char *ns, const char *vmi)
{
    for (const struct seen_wukong *k = s->seen; k; k = k->next)
        if (k->forced && str_eq(k->source, vmi) && str_eq(k->source_ns, ns) &&
            s->now_ms < k->gone_ms + KNOWABLE_MS)
            return true;
    return false;
}

unsigned checkers_debts(struct sim *s, const char *ns, const char *vmi)
{
    unsigned n = 0;
    for (struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next) {
        const struct seen_wukong *k = checkers_find(s, o->uid);
        n += k && str_eq(k->source, vmi) && str_eq(k->source_ns, ns) &&
             owes(json_get(o->tree, "status"));
    }
    return n;
}

static unsigned all_debts(struct sim *s)
{
    unsigned n = 0;
    for (struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next) {
        const struct seen_wukong *k = checkers_find(s, o->uid);
        /* A guest whose own timer is over is not held, though its thaw be owed. */
        const cJSON *freeze = json_at(o->tree, "status.cloneStatus.freeze");
        int64_t from = 0, to = 0;
        (void)str_to_time_ms(json_str(freeze, "requestedTime"), &from);
        (void)str_to_time_ms(json_str(freeze, "deadlineTime"), &to);
        n += owes(json_get(o->tree, "status")) && k && !k->refused &&
             s->now_ms < k->asked_ms + to - from;
    }
    return n;
}

void checkers_refused(struct sim *s, const char *ns, const char *vmi)
{
    for (struct seen_wukong *k = s->seen; k; k = k->next)
        k->refused |= k->exists && str_eq(k->source, vmi) && str_eq(k->source_ns, ns);
}

static void freeze_sent(struct sim *s, const char *who, const struct api_target *t)
{
    unsigned debts = checkers_debts(s, t->ns, t->name);
    if (!debts && !checkers_forced_lately(s, t->ns, t->name))
        sim_violation(s, "freeze-is-announced", "%s freezes %s, no Wukong's record says so", who,
                      t->name);
    if (all_debts(s) > s->max_frozen)
        sim_violation(s, "few-are-frozen", "%s freezes %s while %u guests are, or are about to be",
                      who, t->name, all_debts(s));
    if (debts > 1)
        sim_violation(s, "one-freezer", "%s freezes %s for which %u Wukongs owe a thaw", who,
                      t->name, debts);
}

static void thaw_sent(struct sim *s, const char *who, const struct api_target *t)
{
    const struct machine *m = machine_find(&s->cluster, t->ns, t->name);
    bool foreign =
        m && m->frozen_by == FREEZER_FOREIGN && !checkers_forced_lately(s, t->ns, t->name);
    if (foreign && s->now_ms > m->frozen_ms + KNOWABLE_MS && !checkers_debts(s, t->ns, t->name))
        sim_violation(s, "foreign-freeze-is-never-thawed", "%s thaws %s that others froze", who,
                      t->name);
    else if (foreign && !checkers_debts(s, t->ns, t->name))
        sim_violation(s, "thaw-only-what-is-owed", "%s thaws %s and owes it nothing", who, t->name);
}

static bool about_lease(const struct api_target *t)
{
    return t->kind == API_LEASE && !t->aggregated;
}

static void check_lease(struct sim *s, const char *who, const struct kube_request *r)
{
    const struct api_object *lease = api_find(&s->api, API_LEASE, SIM_SYSTEM_NS, SIM_LEASE);
    const char *holder = lease ? json_str(lease->tree, "spec.holderIdentity") : NULL;
    if (!str_eq(holder, who))
        sim_violation(s, "no-write-without-lease", "%s sends %.200s while %s leads", who, r->path,
                      str_or(holder, "nobody"));
}

static void source_stopped_or_started(struct sim *s, const char *who, const struct api_target *t)
{
    bool announced = checkers_forced_lately(s, t->ns, t->name);
    for (struct api_object *o = s->api.objects[API_WUKONG]; o; o = o->hh.next)
        announced |= str_eq(json_str(o->tree, "spec.cloneSource.vmName"), t->name) &&
                     json_at(o->tree, "status.cloneStatus.sourceStarted") != NULL;
    if (!announced)
        sim_violation(s, "sources-are-left-alone", "%s sends %s to %s, no record says so", who,
                      t->sub, t->name);
}

void checkers_submitted(struct sim *s, const char *who, const struct kube_request *r)
{
    struct api_target t;
    if (api_parse_path(&s->api, r->path, &t) && r->method != KUBE_GET) {
        if (!about_lease(&t) && !str_eq(t.sub, CLUSTER_EXPAND))
            check_lease(s, who, r);
        checkers_restrictions_submitted(s, who, r, &t);
        if (t.aggregated && str_eq(t.sub, "freeze"))
            freeze_sent(s, who, &t);
        else if (t.aggregated && str_eq(t.sub, "unfreeze"))
            thaw_sent(s, who, &t);
        else if (t.aggregated && !str_eq(t.sub, CLUSTER_EXPAND))
            source_stopped_or_started(s, who, &t);
    }
    free(t.query);
}

/* --- guests --- */

void checkers_froze(struct sim *s, const struct machine *m, enum freezer by)
{
    if (by != FREEZER_OURS)
        return;
    s->freezes++;
    int64_t most = m->windows && !m->os_hidden ? VSS_MS : SIM_UNFREEZE_MS;
    if (m->frozen_for_ms <= 0 || m->frozen_for_ms > most)
        sim_violation(s, "frozen-within-deadline", "guest %s was frozen for %" PRId64 " ms",
                      m->name, m->frozen_for_ms);
}

void checkers_thawed(struct sim *s, const struct machine *m, enum freezer was, const char *by)
{
    (void)by;
    if (was == FREEZER_OURS && s->now_ms - m->frozen_ms > SIM_UNFREEZE_MS)
        sim_violation(s, "frozen-within-deadline", "guest %s was frozen %" PRId64 " ms", m->name,
                      s->now_ms - m->frozen_ms);
}
