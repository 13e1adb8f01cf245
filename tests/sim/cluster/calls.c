/* KubeVirt's subresources: freeze, unfreeze, start, stop, as virt-api v1.9 answers them. */
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

/* virt-api's own time-out towards virt-handler (pkg/virt-api/rest/subresource.go). */
#define VIRT_HANDLER_MS 10000

struct landing {
    struct landing *prev, *next;
    struct sim_cluster *cluster;
    struct machine *machine;
    struct timer timer;
    char *vmi_uid;
    bool thaw;
    int64_t timeout_ms;
    char *who;
};

static void landing_free(struct landing *l)
{
    struct sim_cluster *w = l->cluster;
    timer_cancel(w->timers, &l->timer);
    if (l->prev)
        l->prev->next = l->next;
    else
        w->landings = l->next;
    if (l->next)
        l->next->prev = l->prev;
    free(l->vmi_uid);
    free(l->who);
    free(l);
}

void landings_release(struct sim_cluster *w)
{
    while (w->landings)
        landing_free(w->landings);
}

/* What was meant for the instance before reaches nobody. */
bool freeze_is_coming(const struct sim_cluster *w, const struct machine *m)
{
    for (const struct landing *l = w->landings; l; l = l->next)
        if (!l->thaw && l->machine == m && str_eq(l->vmi_uid, m->vmi_uid))
            return true;
    return false;
}

static void land(void *arg)
{
    struct landing *l = arg;
    struct machine *m = l->machine;
    bool same = str_eq(m->vmi_uid, l->vmi_uid);
    if (same && l->thaw)
        machine_thaw(m, l->who);
    else if (same) /* the agent has taken the command, though its channel may close by now */
        machine_freeze(m, FREEZER_OURS, l->timeout_ms);
    landing_free(l);
}

/* The effect reaches the guest after a time. */
static void send_landing(struct sim_cluster *w, struct machine *m, const char *who, bool thaw,
                         int64_t timeout_ms, int64_t delay_ms)
{
    struct landing *l = xcalloc(1, sizeof *l);
    *l = (struct landing){.next = w->landings,
                          .cluster = w,
                          .machine = m,
                          .vmi_uid = xstrdup(m->vmi_uid),
                          .thaw = thaw,
                          .timeout_ms = timeout_ms,
                          .who = xstrdup(who)};
    if (w->landings)
        w->landings->prev = l;
    w->landings = l;
    timer_init(&l->timer, land, l);
    if (delay_ms <= 0) {
        land(l);
        return;
    }
    timer_arm(w->timers, &l->timer, sim_cluster_now(w) + delay_ms);
}

static void internal(struct api_reply *reply, const struct api_target *t, const char *text)
{
    api_fail(reply, 500, "InternalError", t, "Internal error occurred: %s", text);
}

/* The seconds of a Go duration that is cut to whole int32 seconds; -1: none. */
static int64_t go_seconds(const char *text)
{
    double value;
    char unit[8] = "";
    if (!text || sscanf(text, "%lf%7s", &value, unit) != 2)
        return -1;
    if (str_eq(unit, "ms"))
        return (int64_t)(value / 1000);
    if (str_eq(unit, "m") || str_eq(unit, "m0s"))
        return (int64_t)(value * 60);
    return str_eq(unit, "s") ? (int64_t)value : -1;
}

static void done(struct api_reply *reply, int code, int64_t delay_ms)
{
    reply->code = code;
    reply->delay_ms = delay_ms;
}

/* qemu-guest-agent's block-rpcs; as virt-handler passes it on. */
static void refuse_command(struct api_reply *reply, const struct api_target *t, const char *command,
                           const char *rpc)
{
    CLEANUP_FREE char *text =
        xasprintf("unexpected return code 400 (400 Bad Request), message: server error. command %s "
                  "failed: \"internal error: unable to execute QEMU agent command '%s': Command %s "
                  "has been disabled\"",
                  command, rpc, rpc);
    reply->delay_ms = 100;
    internal(reply, t, text);
}

static void call_freeze(struct sim_cluster *w, struct machine *m, const char *who,
                        const struct api_target *t, const cJSON *body, struct api_reply *reply)
{
    const struct cluster_faults *f = &w->faults;
    int64_t seconds = go_seconds(json_str(body, "unfreezeTimeout"));
    if (seconds < 0) {
        internal(reply, t,
                 "unexpected return code 400 (400 Bad Request), message: unfreezeTimeout");
        return;
    }
    if (m->paused || !m->agent) {
        reply->delay_ms = 20;
        internal(reply, t,
                 "unexpected return code 500 (500 Internal Server Error), message: "
                 "Guest agent is not responding: QEMU guest agent is not connected");
        return;
    }
    if (m->refuses) {
        refuse_command(reply, t, "Freeze", "guest-fsfreeze-freeze");
        return;
    }
    /* virt-launcher pkg/virt-launcher/virtwrap/storage/fsfreeze.go */
    if (m->migrating) {
        reply->delay_ms = rng_range(w->rng, 5, 100);
        internal(reply, t,
                 "unexpected return code 500 (500 Internal Server Error), message: "
                 "failed to freeze VMI, VMI is currently during migration");
        return;
    }
    if (rng_chance(w->rng, f->freeze_error)) {
        reply->delay_ms = rng_range(w->rng, 10, 4000);
        internal(reply, t,
                 "unexpected return code 500 (500 Internal Server Error), message: "
                 "unable to execute QEMU agent command 'guest-fsfreeze-freeze'");
    } else if (rng_chance(w->rng, f->freeze_error_but_frozen)) {
        reply->delay_ms = rng_range(w->rng, 10, 4000);
        send_landing(w, m, who, false, seconds * 1000, reply->delay_ms / 2);
        internal(reply, t,
                 "unexpected return code 500 (500 Internal Server Error), message: "
                 "timed out");
    } else if (rng_chance(w->rng, f->freeze_late)) {
        reply->delay_ms = VIRT_HANDLER_MS + 30;
        send_landing(w, m, who, false, seconds * 1000,
                     rng_range(w->rng, VIRT_HANDLER_MS - 500, VIRT_HANDLER_MS + 6000));
        internal(reply, t,
                 "context deadline exceeded (Client.Timeout exceeded while awaiting "
                 "headers)");
    } else {
        bool slow = rng_chance(w->rng, f->freeze_slow);
        done(reply, 200, slow ? rng_range(w->rng, 1000, 9500) : rng_range(w->rng, 20, 200));
        send_landing(w, m, who, false, seconds * 1000, reply->delay_ms - 10);
    }
}

static void call_thaw(struct sim_cluster *w, struct machine *m, const char *who,
                      const struct api_target *t, struct api_reply *reply)
{
    if (m->refuses) {
        refuse_command(reply, t, "Unfreeze", "guest-fsfreeze-thaw");
        return;
    }
    if (m->dies) {
        reply->delay_ms = 1000;
        internal(reply, t, "dial tcp: connect: no route to host");
        return;
    }
    if (m->gone_on) {
        m->gone_on = false;
        reply->delay_ms = rng_range(w->rng, 10, 200);
        internal(
            reply, t,
            rng_chance(w->rng, w->faults.thaw_error_but_thawed)
                ? "unexpected return code 500 (500 Internal Server Error), message: EOF"
                : "unexpected return code 500 (500 Internal Server Error), message: internal "
                  "error: unable to execute QEMU agent command 'guest-fsfreeze-thaw': couldn't "
                  "hold writes: fsfreeze is limited up to 10 seconds: ");
    } else if (rng_chance(w->rng, w->faults.thaw_error)) {
        reply->delay_ms = rng_range(w->rng, 10, 3000);
        internal(reply, t,
                 "unexpected return code 500 (500 Internal Server Error), message: "
                 "connection refused");
    } else if (rng_chance(w->rng, w->faults.thaw_error_but_thawed)) {
        send_landing(w, m, who, true, 0, 10);
        reply->delay_ms = 500;
        internal(reply, t, "unexpected return code 500 (500 Internal Server Error), message: EOF");
    } else {
        int64_t takes = rng_range(w->rng, 5, 150);
        send_landing(w, m, who, true, 0, takes - 5);
        done(reply, 200, takes);
    }
}

static void call_vmi(struct sim_cluster *w, const char *who, const struct api_target *t,
                     const char *verb, const cJSON *body, struct api_reply *reply)
{
    struct api_object *o = api_find(w->api, API_VMI, t->ns, t->name);
    struct machine *m = machine_find(w, t->ns, t->name);
    bool freeze = str_eq(verb, "freeze");
    if (!o) {
        api_fail(reply, 404, "NotFound", t, "virtualmachineinstance.kubevirt.io \"%s\" not found",
                 t->name);
        return;
    }
    if (!str_eq(json_str(o->tree, "status.phase"), "Running") || !m || !m->vmi_uid) {
        api_fail(
            reply, 409, "Conflict", t,
            "Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io \"%s\": %s is "
            "not running",
            t->name, freeze ? "VM" : "VMI");
        return;
    }
    if (freeze)
        call_freeze(w, m, who, t, body, reply);
    else
        call_thaw(w, m, who, t, reply);
}

static void refuse_state(struct api_reply *reply, const struct api_target *t, const char *why)
{
    api_fail(reply, 409, "Conflict", t,
             "Operation cannot be fulfilled on virtualmachine.kubevirt.io \"%s\": %s", t->name,
             why);
}

static void set_strategy(struct sim_cluster *w, struct api_object *o, const char *strategy)
{
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "spec.runStrategy", strategy);
    api_replace(w->api, "kubevirt", o, tree);
}

static void request_state(struct sim_cluster *w, struct api_object *o, const char *action)
{
    cJSON *tree = jt_copy(o->tree);
    cJSON *request = cJSON_CreateObject();
    jt_str(request, "action", action);
    jt_drop(tree, "status.stateChangeRequests");
    cJSON_AddItemToArray(jt_array(tree, "status.stateChangeRequests"), request);
    api_replace(w->api, "kubevirt", o, tree);
}

static void call_vm(struct sim_cluster *w, const struct api_target *t, const char *verb,
                    struct api_reply *reply)
{
    struct api_object *o = api_find(w->api, API_VM, t->ns, t->name);
    struct api_object *vmi = api_find(w->api, API_VMI, t->ns, t->name);
    if (!o) {
        api_fail(reply, 404, "NotFound", t, "virtualmachine.kubevirt.io \"%s\" not found", t->name);
        return;
    }
    const char *strategy = str_or(json_str(o->tree, "spec.runStrategy"), "Halted");
    const char *snapshot = str_or(json_str(o->tree, "status.snapshotInProgress"),
                                  json_str(o->tree, "status.restoreInProgress"));
    bool halted = str_eq(strategy, "Halted"), manual = str_eq(strategy, "Manual");
    done(reply, 202, rng_range(w->rng, 5, 60));
    if (!str_empty(snapshot)) {
        api_fail(
            reply, 500, "InternalError", t,
            "Internal error occurred: admission webhook \"virtualmachine-validator.kubevirt.io\""
            " denied the request: Cannot update vm running state until snapshot \"%s\" "
            "completes",
            snapshot);
    } else if (str_eq(verb, "start")) {
        if (vmi)
            refuse_state(reply, t, "VM is already running");
        else if (halted)
            set_strategy(w, o, "Always");
        else if (manual)
            request_state(w, o, "Start");
        else
            refuse_state(reply, t, "Always does not support manual start requests");
    } else if (!vmi && (halted || manual)) {
        refuse_state(reply, t, "VM is not running");
    } else if (manual) {
        request_state(w, o, "Stop");
    } else {
        set_strategy(w, o, "Halted");
    }
}

static void expand(const cJSON *body, struct api_reply *reply)
{
    CLEANUP_JSON cJSON *vm = jt_copy(body);
    vm_apply_preference(vm, jt_at(vm, "spec.template.spec"));
    jt_drop(vm, "spec.preference");
    reply->code = 200;
    reply->body = json_print(vm);
}

void kubevirt_call(struct sim_cluster *w, const char *who, enum api_kind kind, const char *ns,
                   const char *name, const char *verb, const cJSON *body, struct api_reply *reply)
{
    struct api_target t = {.kind = kind};
    (void)snprintf(t.ns, sizeof t.ns, "%s", ns);
    (void)snprintf(t.name, sizeof t.name, "%s", name);
    bool of_vmi = str_eq(verb, "freeze") || str_eq(verb, "unfreeze");
    bool of_vm = str_eq(verb, "start") || str_eq(verb, "stop");
    if (kind == API_VMI && of_vmi) {
        call_vmi(w, who, &t, verb, body, reply);
    } else if (kind == API_VM && of_vm) {
        call_vm(w, &t, verb, reply);
    } else if (kind == API_VM && str_eq(verb, CLUSTER_EXPAND) &&
               json_at(body, "spec.template.spec")) {
        expand(body, reply);
    } else {
        reply->code = 404;
        reply->body = xstrdup("404: Page Not Found");
    }
}
