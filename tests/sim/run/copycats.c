/*
 * Who copies labels. KubeVirt's VirtualMachineClone and VirtualMachineRestore, Velero and `kubectl
 * get -o yaml | apply` make objects that bear the labels of a clone, under other names and in other
 * namespaces; and whoever may write an object can put any label on it. Nothing of that is the
 * clone's. An annotation tells the checker, and the checker alone, what is a stranger's.
 *
 * It draws from a stream of its own, so that a run without strangers is what it was before there
 * were any.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "run/sim.h"
#include "wukong/api/spec.h"

#define LABEL(key) "metadata.labels[vm.novasphere.dev/" key "]"
#define COPYCATS_MAX 40
#define KEEPS_MAX 1000

bool stranger_is(const cJSON *tree)
{
    return json_at(tree, "metadata.annotations[" SIM_STRANGER "]") != NULL;
}

static void mark(cJSON *tree)
{
    jt_str(tree, "metadata.annotations[" SIM_STRANGER "]", "yes");
}

static bool chance(struct sim *s, unsigned per_mille)
{
    return rng_chance(&s->copycats.rng, per_mille);
}

static struct api_object *any_with(struct sim *s, enum api_kind kind,
                                   bool (*fits)(struct sim *s, const struct api_object *o))
{
    int64_t n = 0;
    for (struct api_object *o = s->api.objects[kind]; o; o = o->hh.next)
        n += fits(s, o);
    if (!n)
        return NULL;
    n = rng_range(&s->copycats.rng, 0, n - 1);
    for (struct api_object *o = s->api.objects[kind]; o; o = o->hh.next)
        if (fits(s, o) && n-- == 0)
            return o;
    return NULL;
}

static bool is_clones(struct sim *s, const struct api_object *o)
{
    (void)s;
    return json_at(o->tree, "metadata.labels[" WUKONG_UID_LABEL "]") && !stranger_is(o->tree);
}

static bool is_unlabelled(struct sim *s, const struct api_object *o)
{
    (void)s;
    return !json_at(o->tree, "metadata.labels[" WUKONG_UID_LABEL "]") && !api_deleting(o->tree) &&
           !str_eq(o->name, "fresh") && !str_starts(o->name, "fresh-") &&
           !json_at(o->tree, "metadata.ownerReferences") &&
           (str_eq(o->ns, SIM_NS) || str_eq(o->ns, SIM_OTHER_NS));
}

static bool is_clone(struct sim *s, const struct api_object *o)
{
    (void)s;
    return json_at(o->tree, "spec.cloneSource") && !str_starts(o->name, "probe");
}

/* --- copies --- */

/* As Velero restores a content: what it held is provisioned beforehand, and kept. */
static void copy_content(cJSON *tree, const struct api_object *o, const char *ns)
{
    const char *handle = json_str(o->tree, "status.snapshotHandle");
    cJSON *source = cJSON_CreateObject();
    jt_str(source, "snapshotHandle", handle ? handle : "unknown");
    jt_put(tree, "spec.source", source);
    jt_str(tree, "spec.deletionPolicy", "Retain");
    jt_drop(tree, "spec.volumeSnapshotRef.uid");
    jt_str(tree, "spec.volumeSnapshotRef.namespace", ns);
    jt_str(tree, "spec.volumeSnapshotRef.name", "copy-of-it");
}

/* Nobody starts it, fills it or cuts it: it is there, and that is enough. */
static void still(struct sim *s, enum api_kind kind, cJSON *tree)
{
    if (kind == API_VM)
        jt_str(tree, "spec.runStrategy", "Halted");
    if (kind == API_PVC) {
        jt_drop(tree, "spec.dataSource");
        jt_drop(tree, "spec.dataSourceRef");
        jt_drop(tree, "spec.volumeName");
        jt_str(tree, "spec.storageClassName", "late");
        /* Bound or Pending for ever, as it comes. */
        if (chance(s, 500))
            jt_str(tree, "status.phase", "Bound");
    }
    if (kind == API_SNAPSHOT)
        jt_str(tree, "spec.source.persistentVolumeClaimName", "nobodys");
    if (kind == API_VM_SNAPSHOT)
        jt_str(tree, "status.phase", chance(s, 500) ? "Succeeded" : "Failed");
}

static void copy_labels(struct sim *s)
{
    static const enum api_kind kinds[] = {API_VM,          API_PVC,     API_SNAPSHOT,
                                          API_VM_SNAPSHOT, API_CONTENT, API_DATA_VOLUME};
    static const char *const places[] = {SIM_NS, SIM_OTHER_NS, SIM_ELSEWHERE};
    static const char *const not_copied[] = {"metadata.uid",
                                             "metadata.resourceVersion",
                                             "metadata.creationTimestamp",
                                             "metadata.finalizers",
                                             "metadata.ownerReferences",
                                             "metadata.deletionTimestamp",
                                             "status",
                                             "metadata.managedFields"};
    enum api_kind kind = kinds[rng_range(&s->copycats.rng, 0, ARRAY_LEN(kinds) - 1)];
    const char *ns = places[rng_range(&s->copycats.rng, 0, ARRAY_LEN(places) - 1)];
    const struct api_object *o = any_with(s, kind, is_clones);
    bool renamed = kind == API_CONTENT || chance(s, 500);
    if (!o || (!renamed && !str_eq(ns, SIM_ELSEWHERE)))
        return;
    cJSON *tree = jt_copy(o->tree);
    for (size_t i = 0; i < ARRAY_LEN(not_copied); i++)
        jt_drop(tree, not_copied[i]);
    if (renamed)
        jt_strf(tree, "metadata.name", "copy-%u-of-%.40s", s->copycats.count, o->name);
    if (kind == API_CONTENT)
        copy_content(tree, o, ns);
    else
        jt_str(tree, "metadata.namespace", ns);
    still(s, kind, tree);
    mark(tree);
    (void)api_create(&s->api, "stranger", kind, tree);
}

/* --- labels put on what was there --- */

static void put_labels(struct sim *s, cJSON *tree, const struct api_object *wukong)
{
    jt_str(tree, "metadata.labels[" WUKONG_UID_LABEL "]", wukong->uid);
    if (chance(s, 700)) {
        jt_str(tree, LABEL("wukong"), wukong->name);
        jt_str(tree, LABEL("clone"), "0");
        jt_str(tree, LABEL("disk"), "d0");
        jt_str(tree, LABEL("attempt"), "1");
        jt_str(tree, LABEL("disk-index"), "0");
    }
    mark(tree);
}

/* The source itself, its claims, or the machine of somebody who has a name that a clone wants. */
static void label_what_is_there(struct sim *s)
{
    static const enum api_kind kinds[] = {API_VM, API_PVC, API_SNAPSHOT};
    enum api_kind kind = kinds[rng_range(&s->copycats.rng, 0, ARRAY_LEN(kinds) - 1)];
    const struct api_object *w = any_with(s, API_WUKONG, is_clone);
    struct api_object *o = any_with(s, kind, is_unlabelled);
    if (!w || !o)
        return;
    cJSON *tree = jt_copy(o->tree);
    put_labels(s, tree, w);
    api_replace(&s->api, "stranger", o, tree);
}

static bool is_in_the_way(struct sim *s, const struct api_object *o)
{
    return is_unlabelled(s, o) && str_eq(json_str(o->tree, "metadata.labels.owner"), "somebody");
}

/* The machine or claim of somebody who has the very name that a clone wants: whoever may label it
   has the clone take it for its own, if a label is all that it takes. */
static void label_what_is_in_the_way(struct sim *s)
{
    enum api_kind kind = chance(s, 500) ? API_VM : API_PVC;
    struct api_object *o = any_with(s, kind, is_in_the_way);
    char name[64];
    if (!o)
        return;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(o->name, "-"), o->name);
    const struct api_object *w = api_find(&s->api, API_WUKONG, SIM_NS, name);
    if (!w)
        return;
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "metadata.labels[" WUKONG_UID_LABEL "]", w->uid);
    jt_str(tree, LABEL("wukong"), w->name);
    jt_str(tree, LABEL("clone"), "0");
    jt_str(tree, LABEL("disk"), "d0");
    jt_str(tree, LABEL("attempt"), "1");
    mark(tree);
    api_replace(&s->api, "stranger", o, tree);
}

/* An administrator's snapshot that whoever may delete VolumeSnapshots must not be able to destroy,
   with labels that make it the first of a clone's. */
static void label_a_backup(struct sim *s)
{
    char name[40];
    const struct api_object *w = any_with(s, API_WUKONG, is_clone);
    const struct api_object *claim = any_with(s, API_PVC, is_unlabelled);
    if (!w || !claim)
        return;
    if (!api_find(&s->api, API_SNAPSHOT_CLASS, "", "keep")) {
        cJSON *class = api_new(API_SNAPSHOT_CLASS, NULL, "keep");
        jt_str(class, "driver", "csi.archive");
        jt_str(class, "deletionPolicy", "Retain");
        (void)api_create(&s->api, "admin", API_SNAPSHOT_CLASS, class);
    }
    (void)snprintf(name, sizeof name, "nightly-%u", s->copycats.count);
    cJSON *tree = api_new(API_SNAPSHOT, claim->ns, name);
    jt_str(tree, "spec.source.persistentVolumeClaimName", claim->name);
    jt_str(tree, "spec.volumeSnapshotClassName", "keep");
    put_labels(s, tree, w);
    (void)api_create(&s->api, "stranger", API_SNAPSHOT, tree);
}

/* --- a policy that somebody else has set --- */

static bool is_plain_content(struct sim *s, const struct api_object *o)
{
    const struct api_object *v =
        api_find(&s->api, API_SNAPSHOT, json_str(o->tree, "spec.volumeSnapshotRef.namespace"),
                 json_str(o->tree, "spec.volumeSnapshotRef.name"));
    const struct api_object *w =
        v ? api_find_uid(&s->api,
                         str_or(json_str(v->tree, "metadata.labels[" WUKONG_UID_LABEL "]"), "-"))
          : NULL;
    return w && !str_eq(json_str(w->tree, "spec.cloneSource.cloneType"), "linked") &&
           !api_deleting(o->tree) && !api_deleting(v->tree) && !stranger_is(o->tree) &&
           json_str(o->tree, "status.snapshotHandle") &&
           str_eq(json_str(o->tree, "spec.deletionPolicy"), "Delete") &&
           json_at(o->tree, "spec.source.volumeHandle");
}

/* Its class retains, and a worker has set it to Delete. */
static bool was_set_by_us(struct sim *s, const struct api_object *o)
{
    const char *name = json_str(o->tree, "spec.volumeSnapshotClassName");
    const struct api_object *class = name ? api_find(&s->api, API_SNAPSHOT_CLASS, "", name) : NULL;
    return class && str_eq(json_str(class->tree, "deletionPolicy"), "Retain") &&
           is_plain_content(s, o);
}

/* An administrator keeps what a clone's snapshot holds: his own tool sets the policy back when it
   sees that it was changed, or he does it by hand at any moment. */
static void keep_content(struct sim *s)
{
    struct api_object *o = any_with(s, API_CONTENT, was_set_by_us);
    o = o ? o : any_with(s, API_CONTENT, is_plain_content);
    if (!o)
        return;
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "spec.deletionPolicy", "Retain");
    mark(tree);
    checkers_excuse(s, o->uid);
    api_replace(&s->api, "stranger", o, tree);
}

/* --- a mutating policy --- */

/* "Every claim of this namespace is made from the golden image", or the like. */
void copycats_admit(struct sim *s, cJSON *claim)
{
    static const char golden[] = "src0-d0";
    const char *ns = json_str(claim, "metadata.namespace");
    const char *asked = json_str(claim, "spec.dataSource.name");
    const struct api_object *from = asked ? api_find(&s->api, API_SNAPSHOT, ns, asked) : NULL;
    const char *bound = from ? json_str(from->tree, "status.boundVolumeSnapshotContentName") : NULL;
    const struct api_object *content = bound ? api_find(&s->api, API_CONTENT, "", bound) : NULL;
    const struct physical *p = content ? physical_of_content(&s->cluster, content) : NULL;
    if (s->calm || !s->copycats.mutates || !p || !api_find(&s->api, API_PVC, ns, golden) ||
        !chance(s, 300))
        return;
    cJSON *source = cJSON_CreateObject();
    jt_str(claim, SIM_ASKED_SNAPSHOT, asked);
    jt_strf(claim, SIM_ASKED_RECORDS, "%" PRId64, p->records);
    jt_str(source, "kind", "PersistentVolumeClaim");
    jt_str(source, "name", golden);
    jt_put(claim, "spec.dataSource", source);
}

/* --- now and then --- */

static void act(void *arg)
{
    static void (*const acts[])(struct sim * s) = {
        label_what_is_in_the_way, label_what_is_in_the_way, copy_labels, copy_labels, copy_labels,
        label_what_is_there,      label_a_backup,           keep_content};
    struct sim *s = arg;
    if (s->copycats.count++ >= (s->copycats.keeps ? KEEPS_MAX : COPYCATS_MAX))
        return;
    if (s->copycats.keeps)
        keep_content(s);
    else
        acts[rng_range(&s->copycats.rng, 0, ARRAY_LEN(acts) - 1)](s);
    int64_t most = s->calm ? 60000 : 15000;
    timer_arm(&s->timers, &s->copycats.timer,
              s->now_ms + rng_range(&s->copycats.rng, 500, s->copycats.keeps ? 1500 : most));
}

void copycats_init(struct sim *s)
{
    rng_seed(&s->copycats.rng, s->seed ^ 0x73747261);
    timer_init(&s->copycats.timer, act, s);
    s->copycats.mutates = chance(s, 100);
    s->copycats.keeps = chance(s, 100);
    if (chance(s, 350) || s->copycats.keeps)
        timer_arm(&s->timers, &s->copycats.timer, s->now_ms + 5000);
}
