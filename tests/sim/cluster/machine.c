/* Guests: what they have written, freezing, and virt-launcher's poll. */
#include "base/mem.h"
#include "base/str.h"
#include "cluster/cluster.h"

/* virt-launcher --qemu-fsfreeze-status-interval (KubeVirt agent_poller.go). */
#define POLL_MS 5000

int64_t machine_records(const struct machine *m)
{
    bool writing = m->tool || (m->vmi_uid && !m->frozen_by && !m->paused);
    return m->records + (writing ? sim_cluster_now(m->cluster) - m->since_ms : 0);
}

/* To be called before what decides on writing changes. */
static void settle(struct machine *m)
{
    m->records = machine_records(m);
    m->since_ms = sim_cluster_now(m->cluster);
}

bool machine_runs(const struct machine *m)
{
    return m->vmi_uid || m->tool;
}

void machine_tool(struct machine *m, bool writes)
{
    settle(m);
    m->tool = writes;
}

static void safety_fires(void *arg)
{
    struct machine *m = arg;
    bool vss = m->windows && sim_cluster_now(m->cluster) < m->frozen_ms + m->frozen_for_ms;
    machine_thaw(m, "the guest's own timer");
    m->gone_on = vss;
}

static void poll(void *arg)
{
    struct machine *m = arg;
    struct sim_cluster *w = m->cluster;
    struct api_object *o = api_find(w->api, API_VMI, m->ns, m->name);
    timer_arm(w->timers, &m->poll, sim_cluster_now(w) + POLL_MS);
    if (!o || !str_eq(o->uid, m->vmi_uid) || !m->agent)
        return;
    bool said = json_at(o->tree, "status.fsFreezeStatus") != NULL;
    if (said == (m->frozen_by != FREEZER_NONE))
        return;
    cJSON *tree = jt_copy(o->tree);
    jt_str(tree, "status.fsFreezeStatus", m->frozen_by ? "frozen" : NULL);
    api_replace(w->api, "kubevirt", o, tree);
}

struct machine *machine_find(struct sim_cluster *w, const char *ns, const char *name)
{
    for (struct machine *m = w->machines; m; m = m->next)
        if (str_eq(m->ns, ns) && str_eq(m->name, name))
            return m;
    return NULL;
}

struct machine *machine_get(struct sim_cluster *w, const char *ns, const char *name)
{
    struct machine *m = machine_find(w, ns, name);
    if (m)
        return m;
    m = xcalloc(1, sizeof *m);
    m->cluster = w;
    m->ns = xstrdup(ns);
    m->name = xstrdup(name);
    m->has_agent = true;
    m->next = w->machines;
    w->machines = m;
    timer_init(&m->safety, safety_fires, m);
    timer_init(&m->poll, poll, m);
    return m;
}

void machines_release(struct sim_cluster *w)
{
    while (w->machines) {
        struct machine *m = w->machines;
        w->machines = m->next;
        timer_cancel(w->timers, &m->safety);
        timer_cancel(w->timers, &m->poll);
        free(m->ns);
        free(m->name);
        free(m->vmi_uid);
        free(m->moving_uid);
        cJSON_Delete(m->pairs);
        free(m);
    }
}

void machine_start(struct machine *m, const char *vmi_uid)
{
    settle(m);
    free(m->vmi_uid);
    m->vmi_uid = xstrdup(vmi_uid);
    m->frozen_by = FREEZER_NONE;
    /* qemu's lock keeps others out. */
    m->tool = false;
    m->gone_on = m->agent = m->paused = m->migrating = m->settled = false;
    m->started_ms = sim_cluster_now(m->cluster);
    m->since_ms = sim_cluster_now(m->cluster);
    timer_arm(m->cluster->timers, &m->poll,
              sim_cluster_now(m->cluster) + rng_range(m->cluster->rng, 1, POLL_MS));
}

int64_t machine_held_ms(const struct machine *m)
{
    bool held = m->frozen_by == FREEZER_OURS;
    return m->ours_ms + (held ? sim_cluster_now(m->cluster) - m->frozen_ms : 0);
}

void machine_stop(struct machine *m)
{
    settle(m);
    m->ours_ms = machine_held_ms(m);
    if (m->frozen_by && m->cluster->thawed)
        m->cluster->thawed(m->cluster->arg, m, m->frozen_by, "the guest's end");
    timer_cancel(m->cluster->timers, &m->safety);
    timer_cancel(m->cluster->timers, &m->poll);
    free(TAKE(m->vmi_uid));
    m->frozen_by = FREEZER_NONE;
    m->agent = m->paused = m->migrating = m->overlay = false;
}

void machine_pause(struct machine *m, bool paused)
{
    settle(m);
    m->settled = true;
    m->paused = paused;
}

void machine_agent(struct machine *m, bool connected)
{
    m->agent = connected;
    m->settled = true;
}

void machine_freeze(struct machine *m, enum freezer by, int64_t timeout_ms)
{
    if (m->frozen_by == FREEZER_FOREIGN && by == FREEZER_OURS)
        m->joined = true;
    if (!m->vmi_uid || m->frozen_by)
        return;
    settle(m);
    m->frozen_by = by;
    m->gone_on = m->joined = false;
    m->frozen_ms = sim_cluster_now(m->cluster);
    m->frozen_for_ms = timeout_ms;
    /* 0: no safety timer (virt-handler rest/lifecycle.go). */
    int64_t held_ms = m->windows && (timeout_ms <= 0 || timeout_ms > VSS_MS) ? VSS_MS : timeout_ms;
    if (held_ms > 0)
        timer_arm(m->cluster->timers, &m->safety, m->frozen_ms + held_ms);
    if (m->cluster->froze)
        m->cluster->froze(m->cluster->arg, m, by);
}

void machine_thaw(struct machine *m, const char *by)
{
    if (!m->frozen_by)
        return;
    settle(m);
    m->ours_ms = machine_held_ms(m);
    enum freezer was = m->frozen_by;
    timer_cancel(m->cluster->timers, &m->safety);
    m->frozen_by = FREEZER_NONE;
    /* Nobody can tell until the next poll that there is no freeze any more, be it ours or the one
       that KubeVirt made for a VirtualMachineSnapshot. */
    if (str_eq(by, THAWED_BY_OTHERS))
        m->joined = true;
    m->since_ms = sim_cluster_now(m->cluster);
    if (m->cluster->thawed)
        m->cluster->thawed(m->cluster->arg, m, was, by);
}
