/* A ready machine is never taken away, and a clone that has succeeded hangs on no live claim. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkers/checkers.h"
#include "wukong/api/spec.h"

/* Watches lag by at most 20 s and requests by 8 s, or hang for a minute: what a worker could know
   is older than that. */
#define KNOWN_MS 120000

struct claims {
    struct sim *s;
    const struct api_object *vm;
    bool started; /* it is, or was meant to be */
    bool whole;
};

static void look_at_claim(void *arg, const char *volume, const char *claim)
{
    struct claims *c = arg;
    const struct api_object *o = api_find(&c->s->api, API_PVC, c->vm->ns, claim);
    (void)volume;
    bool bound = o && str_eq(json_str(o->tree, "status.phase"), "Bound") &&
                 !data_volume_pending(&c->s->cluster, c->vm->ns, claim);
    bool waits = o && !c->started && claim_waits(&c->s->cluster, o);
    c->whole &= o && !api_deleting(o->tree) && (bound || waits);
}

static bool is_ready(struct sim *s, const struct api_object *vm)
{
    const struct api_object *vmi = api_find(&s->api, API_VMI, vm->ns, vm->name);
    bool halted = str_eq(json_str(vm->tree, "spec.runStrategy"), "Halted");
    bool runs = vmi && str_eq(json_str(vmi->tree, "status.phase"), "Running");
    struct claims c = {.s = s, .vm = vm, .started = !halted, .whole = true};
    each_claim(json_at(vm->tree, "spec.template.spec"), look_at_claim, &c);
    return c.whole && (halted || runs) && !api_deleting(vm->tree);
}

static struct seen_machine *find(struct sim *s, const char *uid)
{
    for (struct seen_machine *m = s->seen_machines; m; m = m->next)
        if (str_eq(m->uid, uid))
            return m;
    return NULL;
}

static void look_at_machine(struct sim *s, const struct api_object *vm)
{
    struct seen_machine *m = find(s, vm->uid);
    bool ready = checkers_owner(s, vm->tree) && is_ready(s, vm);
    if (!ready && m)
        m->ready_ms = 0;
    if (!ready || (m && m->ready_ms))
        return;
    if (!m) {
        m = xcalloc(1, sizeof *m);
        m->uid = xstrdup(vm->uid);
        m->next = s->seen_machines;
        s->seen_machines = m;
    }
    m->ready_ms = s->now_ms;
}

void checkers_machines(struct sim *s, const struct api_object *changed)
{
    if (changed->kind != API_VM && changed->kind != API_VMI && changed->kind != API_PVC &&
        changed->kind != API_DATA_VOLUME)
        return;
    for (struct api_object *o = s->api.objects[API_VM]; o; o = o->hh.next)
        look_at_machine(s, o);
}

void checkers_machines_release(struct sim *s)
{
    while (s->seen_machines) {
        struct seen_machine *m = s->seen_machines;
        s->seen_machines = m->next;
        free(m->uid);
        free(m);
    }
}

struct owner_query {
    const char *claim;
    bool found;
};

static void is_that_claim(void *arg, const char *volume, const char *claim)
{
    struct owner_query *q = arg;
    (void)volume;
    q->found |= str_eq(q->claim, claim);
}

static const struct api_object *machine_of(struct sim *s, const struct api_object *o)
{
    if (o->kind == API_VM)
        return o;
    for (struct api_object *vm = s->api.objects[API_VM]; vm; vm = vm->hh.next) {
        struct owner_query q = {.claim = o->name};
        /* Who copies a machine copies the claims' names in it. */
        if (str_eq(vm->ns, o->ns) && !stranger_is(vm->tree))
            each_claim(json_at(vm->tree, "spec.template.spec"), is_that_claim, &q);
        if (q.found)
            return vm;
    }
    return NULL;
}

bool checkers_survives(struct sim *s, const struct api_object *wukong, const struct api_object *o)
{
    const struct api_object *vm = machine_of(s, o);
    const cJSON *t;
    cJSON_ArrayForEach (t, json_at(wukong->tree, "status.cloneStatus.targets"))
        if (vm && str_eq(json_str(t, "vmUID"), vm->uid) && json_str(t, "readyTime"))
            return true;
    return false;
}

/* What was copied without a snapshot, from a source that ran or was changed, is no copy, whatever
   has become of the machine. */
static bool is_no_copy(const cJSON *wukong)
{
    const char *reason = json_str(wukong, "status.cloneStatus.lastError.reason");
    const char *type = json_str(wukong, "spec.cloneSource.cloneType");
    return str_eq(reason, "SourceStarted") ||
           (str_eq(reason, "SourceChanged") && (!type || str_eq(type, "full")));
}

/* A worker deletes it. */
void checkers_removed(struct sim *s, const char *who, const struct api_object *o)
{
    if (o->kind != API_VM && o->kind != API_PVC && o->kind != API_DATA_VOLUME)
        return;
    const struct seen_wukong *k = checkers_owner(s, o->tree);
    const struct api_object *w = k ? api_find(&s->api, API_WUKONG, k->ns, k->name) : NULL;
    const struct api_object *vm = machine_of(s, o);
    const struct seen_machine *m = vm ? find(s, vm->uid) : NULL;
    if (!w || !str_eq(w->uid, k->uid) || api_deleting(w->tree))
        return;
    if (checkers_survives(s, w, o))
        sim_violation(s, "a-ready-machine-is-never-taken-away",
                      "%s deletes %s %s of %s, which is on record as ready", who,
                      api_kinds[o->kind].kind, o->name, k->name);
    if (!m || !m->ready_ms)
        return;
    if (is_no_copy(w->tree))
        return;
    if (s->now_ms > m->ready_ms + KNOWN_MS)
        sim_violation(s, "a-ready-machine-is-never-taken-away",
                      "%s deletes %s %s of %s; the machine is ready since %" PRId64 " ms: %s", who,
                      api_kinds[o->kind].kind, o->name, k->name, s->now_ms - m->ready_ms,
                      str_or(json_str(w->tree, "status.cloneStatus.lastError.message"), "-"));
}
