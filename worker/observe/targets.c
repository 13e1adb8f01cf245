/* The machines and claims that the clone makes. */
#include "observe/observe.h"

#include <assert.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "observe/driver_answer.h"
#include "observe/queries.h"
#include "wukong/api/child_names.h"
#include "wukong/api/conditions.h"

/* What CDI says is wrong. A step of the clone that fails is told by condition Running, and tried
   again for ever: a copy that has begun is not thrown away for it. What is wrong before there is a
   claim is told by condition Bound (CDI pkg/controller/populators/clone-populator.go
   addRunningAnnotations, pkg/controller/datavolume/conditions.go updateBoundCondition). */
static void see_data_volume_error(struct clone_state *v, const struct kube_object *dv,
                                  bool claim_exists, struct claim_state *s)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, clone_field_tree(v, dv, F_CONDITIONS)) {
        const char *type = json_str(c, "type"), *reason = json_str(c, "reason");
        bool failed = str_eq(type, "Running") && str_eq(reason, "Error");
        bool refused = str_eq(type, "Bound") && !claim_exists && !str_empty(reason) &&
                       !str_eq(reason, "NotFound");
        if (!(failed || refused) || !str_eq(json_str(c, "status"), "False"))
            continue;
        s->error = str_or(json_str(c, "message"), reason);
        s->settled_ms = dv->created_ms;
        (void)str_to_time_ms(json_str(c, "lastTransitionTime"), &s->settled_ms);
        if (failed && (s->done_percent || driver_answer(s->error) == DRIVER_GOES_ON))
            s->settled_ms = 0;
        return;
    }
}

/* "45.00%" or "N/A". All of it is there when the phase says so, not before. */
static unsigned percent_of(const char *text)
{
    unsigned percent = 0;
    for (; text && *text >= '0' && *text <= '9' && percent < 100; text++)
        percent = percent * 10 + (unsigned)(*text - '0');
    return percent < 99 ? percent : 99;
}

static const struct kube_object *newest(struct clone_state *v, const struct cache_reader *c,
                                        enum worker_kind kind, const char *name)
{
    return v->looked_live ? observe_newest(v, c, kind, v->wukong->ns, name)
                          : c->get(c->arg, kind, v->wukong->ns, name);
}

/* A claim that CDI makes: the DataVolume of its name is ours, is what the machine owns, and stands
   for the claim until that is there. */
static void observe_data_volume(struct clone_state *v, const struct cache_reader *c,
                                struct claim_state *s)
{
    const struct kube_object *dv = newest(v, c, KIND_DATA_VOLUME, s->name);
    const struct kube_object *pvc = newest(v, c, KIND_PVC, s->name);
    if (!dv)
        return;
    bool made = pvc && str_eq(pvc->owner_uid, dv->uid);
    s->ours = clone_owns(v, KIND_DATA_VOLUME, dv) && (!pvc || made || s->ours);
    s->exists = s->data_volume = true;
    s->object = dv;
    s->sourced = true;
    s->deleting |= dv->deleted_ms != 0;
    s->owned = dv->owner_uid && !str_eq(dv->owner_uid, v->wukong->uid);
    s->owner_target = dv->uid;
    s->uid = pvc ? pvc->uid : dv->uid;
    s->created_ms = dv->created_ms;
    s->host_copied = str_eq(kube_object_field(pvc, F_CDI_CLONE_TYPE), "copy");
    s->fallback = s->host_copied ? kube_object_field(pvc, F_CDI_FALLBACK) : NULL;
    /* The claim is bound long before its data are there. */
    s->bound = s->bound && str_eq(kube_object_field(dv, F_PHASE), "Succeeded");
    s->done_percent = s->bound ? 100 : percent_of(kube_object_field(dv, F_PROGRESS));
    see_data_volume_error(v, dv, pvc != NULL, s);
    int64_t attempt;
    s->earlier =
        str_to_i64(kube_object_field(dv, F_LABEL_ATTEMPT), &attempt) && attempt != clone_attempt(v);
}

static void observe_claim(struct clone_state *v, const struct cache_reader *c,
                          struct claim_state *s)
{
    const struct kube_object *o = newest(v, c, KIND_PVC, s->name);
    int64_t attempt;
    if (o) {
        s->exists = true;
        s->object = o;
        s->uid = o->uid;
        s->ours = clone_owns(v, KIND_PVC, o);
        s->deleting = o->deleted_ms != 0;
        s->bound = str_eq(kube_object_field(o, F_PHASE), "Bound");
        s->done_percent = s->bound ? 100 : 0;
        s->created_ms = o->created_ms;
        s->earlier = str_to_i64(kube_object_field(o, F_LABEL_ATTEMPT), &attempt) &&
                     attempt != clone_attempt(v);
        /* CDI fills it, from a DataVolume that another watch is yet to show; that is what the
           machine owns, and the claim's own owner is CDI's. */
        bool unseen = str_eq(o->owner_kind, "DataVolume");
        s->owned = o->owner_uid && !unseen && !str_eq(o->owner_uid, v->wukong->uid);
        s->owner_target = unseen ? NULL : o->uid;
        s->sourced = unseen || kube_object_field(o, F_DATA_SOURCE) != NULL;
        s->bytes = quantity_bytes(kube_object_field(o, F_CAPACITY));
        if (unseen && !newest(v, c, KIND_DATA_VOLUME, s->name))
            s->bound = false, s->done_percent = 0;
    }
    observe_data_volume(v, c, s);
    if (!s->ours) /* a stranger's claim of that name is no progress of ours */
        s->bound = false, s->done_percent = 0;
}

static const char *vm_failure(struct clone_state *v, const struct kube_object *o)
{
    const cJSON *c = condition_find(clone_field_tree(v, o, F_CONDITIONS), "Failure");
    return str_eq(json_str(c, "status"), "True")
               ? str_or(json_str(c, "message"), json_str(c, "reason"))
               : NULL;
}

/*
 * The readiness probe is not asked: VirtualMachine.status.ready follows the condition Ready of the
 * VMI, which a probe turns False for as long as it fails (KubeVirt
 * pkg/virt-controller/watch/vm/vm.go syncReadyConditionFromVMI). The VMI has its VM's name.
 */
static bool was_started(const struct clone_state *v, const struct cache_reader *c,
                        const struct kube_object *vm)
{
    static const char *const up[] = {"Running", "Paused", "Migrating"};
    const struct kube_object *vmi = c->get(c->arg, KIND_VMI, v->wukong->ns, vm->name);
    const char *phase =
        vmi && str_eq(vmi->owner_uid, vm->uid) ? kube_object_field(vmi, F_PHASE) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(up); i++)
        if (str_eq(kube_object_field(vm, F_PRINTABLE), up[i]))
            return true;
    return str_eq(kube_object_field(vm, F_READY), "true") || str_eq(phase, "Running") ||
           str_eq(phase, "Succeeded");
}

static void observe_vm(struct clone_state *v, const struct cache_reader *c, struct vm_state *s)
{
    const struct kube_object *o = newest(v, c, KIND_VM, s->name);
    if (!o)
        return;
    s->exists = true;
    s->uid = o->uid;
    s->ours = clone_owns(v, KIND_VM, o);
    s->deleting = o->deleted_ms != 0;
    s->ready = str_eq(kube_object_field(o, F_READY), "true");
    s->owned = str_eq(o->owner_uid, v->wukong->uid);
    s->owned_by_other = o->owner_uid && !s->owned;
    s->printable = kube_object_field(o, F_PRINTABLE);
    s->up = was_started(v, c, o);
    s->failure = vm_failure(v, o);
}

/* A machine that has been ready counts as it was then: it is its user's, who may stop or delete it.
 */
static void as_it_was(const struct clone_state *v, struct target_state *t)
{
    t->vm.exists = t->vm.ours = t->vm.up = t->vm.owned = true;
    t->vm.deleting = false;
    t->vm.failure = NULL;
    for (size_t i = 0; i < v->disk_count; i++) {
        struct claim_state *c = &t->claims[i];
        c->exists = c->ours = c->owned = c->sourced = c->bound = true;
        c->deleting = c->earlier = false;
        c->error = NULL;
        c->settled_ms = 0;
        c->done_percent = 100;
    }
}

void observe_targets(struct clone_state *v, const struct cache_reader *c)
{
    size_t n = (size_t)v->effective.replicas;
    v->looked_live = call_log_has(v->call_log, CALL_READ_LIVE, worker_kinds[KIND_VM].resource);
    v->targets = arena_alloc(v->arena, (n + 1) * sizeof *v->targets);
    for (size_t t = 0; t < n; t++) {
        struct target_state *target = &v->targets[t];
        char vm[NAME_BUF];
        char pvc[PVC_NAME_BUF];
        target->index = (int64_t)t;
        name_vm(v->wukong->name, v->effective.replicas, target->index, vm);
        target->vm.name = arena_strdup(v->arena, vm);
        observe_vm(v, c, &target->vm);
        target->claims = arena_alloc(v->arena, (v->disk_count + 1) * sizeof *target->claims);
        for (size_t i = 0; i < v->disk_count; i++) {
            name_pvc(v->wukong->name, v->effective.replicas, target->index, v->disks[i].plan->name,
                     pvc);
            target->claims[i].name = arena_strdup(v->arena, pvc);
            observe_claim(v, c, &target->claims[i]);
        }
        for (size_t i = 0; i < v->record.ready_count; i++)
            target->ready |= v->record.ready[i].index == target->index;
        if (target->ready && !record_final(&v->record))
            as_it_was(v, target);
    }
    v->target_count = n;
}

/* The failure Events of one claim. */
struct failures {
    struct claim_state *claim;
    int64_t newest_ms, goes_on_ms; /* the last of all; the last that lets hope */
};

/* client-go puts equal Events into one, which says when it was last repeated. */
static int64_t last_ms(const struct kube_object *event)
{
    int64_t last = event->created_ms;
    (void)str_to_time_ms(kube_object_field(event, F_EVENT_LAST), &last);
    return last;
}

static bool note_newest(void *arg, const struct kube_object *o)
{
    struct failures *f = arg;
    const char *message = kube_object_field(o, F_EVENT_MESSAGE);
    int64_t last = last_ms(o);
    if (!f->claim->error || last >= f->newest_ms) {
        f->claim->error = message;
        f->newest_ms = last;
    }
    if (driver_answer(message) == DRIVER_GOES_ON && last > f->goes_on_ms)
        f->goes_on_ms = last;
    return true;
}

static bool note_settled(void *arg, const struct kube_object *o)
{
    struct failures *f = arg;
    int64_t *since = &f->claim->settled_ms;
    if (driver_answer(kube_object_field(o, F_EVENT_MESSAGE)) == DRIVER_GOES_ON ||
        last_ms(o) <= f->goes_on_ms)
        return true;
    int64_t first = o->created_ms > f->goes_on_ms ? o->created_ms : f->goes_on_ms;
    if (!*since || first < *since)
        *since = first;
    return true;
}

/* The newest failure Event of each claim that is not bound, and since when all of them come to
   nothing. Where CDI fills the claim, its own word comes first: Events of the claim tell of the
   provisioner's first tries, which CDI takes over. */
void observe_events(struct clone_state *v, const struct cache_reader *caches)
{
    for (size_t t = 0; t < v->target_count; t++)
        for (size_t i = 0; i < v->disk_count; i++) {
            struct claim_state *c = &v->targets[t].claims[i];
            struct failures f = {.claim = c};
            if (!c->exists || c->bound || !c->uid || (c->data_volume && c->error))
                continue;
            caches->each(caches->arg, KIND_CLAIM_EVENT, c->uid, note_newest, &f);
            caches->each(caches->arg, KIND_CLAIM_EVENT, c->uid, note_settled, &f);
            if (c->done_percent)
                c->settled_ms = 0;
        }
}
