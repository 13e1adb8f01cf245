/*
 * Kills, enumerated: for each type of clone one run without faults counts the worker's write
 * requests; then one run for each of them in which the worker dies just before it takes effect, and
 * one in which it dies just after, the answer lost. The clone must succeed all the same, be what
 * its status says, and leave nothing when it is deleted afterwards; its deletion is part of the
 * run.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "checkers/checkers.h"

#define PLAN_LOOKUP_MS 1000

static const struct cell {
    const char *name;
    struct kill_plan plan;
} cells[] = {
    {"running-vm", {"running", "VolumeSnapshot", .of_vmi = false}},
    {"running-vmi", {"running", "VolumeSnapshot", .of_vmi = true}},
    {"running-vm-started", {"running", "VolumeSnapshot", .halted = true, .stop_after = true}},
    {"running-shared", {"running", "VolumeSnapshot", .of_vmi = true, .company = true}},
    {"linked-vm", {"linked", "VolumeSnapshot", .of_vmi = false}},
    {"linked-vmi", {"linked", "VolumeSnapshot", .of_vmi = true}},
    {"linked-vm-stopped", {"linked", "VolumeSnapshot", .halted = true}},
    {"full-vm-stopped", {"full", "VolumeSnapshot", .halted = true}},
    {"running-vm-elsewhere", {"running", "VolumeSnapshot", .elsewhere = true}},
    {"running-vmi-elsewhere", {"running", "VolumeSnapshot", .of_vmi = true, .elsewhere = true}},
    {"linked-vm-elsewhere", {"linked", "VolumeSnapshot", .elsewhere = true}},
    {"linked-vmi-elsewhere", {"linked", "VolumeSnapshot", .of_vmi = true, .elsewhere = true}},
    {"running-vm-by-kubevirt", {"running", "VirtualMachineSnapshot", .of_vmi = false}},
    {"running-vmi-by-kubevirt", {"running", "VirtualMachineSnapshot", .of_vmi = true}},
    {"running-vm-by-kubevirt-elsewhere",
     {"running", "VirtualMachineSnapshot", .of_vmi = false, .elsewhere = true}},
    {"running-vm-by-group", {"running", "VolumeGroupSnapshot", .of_vmi = false}},
    {"running-vmi-by-group-elsewhere",
     {"running", "VolumeGroupSnapshot", .of_vmi = true, .elsewhere = true}},
    {"linked-vm-by-group", {"linked", "VolumeGroupSnapshot", .of_vmi = false}},
    {"running-by-group-shared", {"running", "VolumeGroupSnapshot", .company = true}},
    {"running-vmi-by-auto", {"running", "Auto", .of_vmi = true}},
    {"running-vm-by-auto-elsewhere", {"running", "Auto", .of_vmi = false, .elsewhere = true}},
    {"linked-vm-by-auto", {"linked", "Auto", .of_vmi = false}},
    {"running-by-auto-refused", {"running", "Auto", .of_vmi = true, .refused = true}},
    {"full-vm-by-cdi", {"full", "VolumeSnapshot", .halted = true, .cdi = true}},
    {"running-vm-by-cdi-elsewhere", {"running", "VolumeSnapshot", .elsewhere = true, .cdi = true}},
    {"full-vm-elsewhere", {"full", "VolumeSnapshot", .halted = true, .elsewhere = true}},
};

static const char *phase_of(const struct api_object *o)
{
    return str_or(json_str(o->tree, "status.cloneStatus.phase"), "Pending");
}

static void judge_source(struct sim *s)
{
    const struct api_object *vm = api_find(&s->api, API_VM, SIM_NS, "src0");
    const char *wanted = s->plan->halted ? "Halted" : "Always";
    bool as_before = vm && str_eq(json_str(vm->tree, "spec.runStrategy"), wanted);
    /* What was started stays so, unless the clone says stopSourceAfter. */
    if (!as_before && (!s->plan->halted || s->plan->stop_after))
        sim_violation(s, "sources-are-left-alone", "src0 is %s, it was %s",
                      vm ? str_or(json_str(vm->tree, "spec.runStrategy"), "-") : "gone", wanted);
}

/* First the clone must end, then, deleted, go without a trace. */
static void end_or_go_on(struct sim *s, struct api_object *o)
{
    if (o && !s->deleted && str_eq(phase_of(o), "Failed"))
        sim_violation(s, "a-clone-in-the-calm-succeeds", "%s Failed: %s", o->name,
                      str_or(json_str(o->tree, "status.cloneStatus.lastError.message"), "-"));
    if (o && !s->deleted && checkers_settled(s)) {
        checkers_end(s, true);
        judge_source(s);
        s->deleted = true;
        sim_trace(s, "the user deletes the clone");
        api_delete(&s->api, "user", o);
    } else if (!o && checkers_settled(s)) {
        checkers_end(s, true);
        s->over = true;
    }
}

void plan_look(void *arg)
{
    struct sim *s = arg;
    const char *ns = s->plan->elsewhere ? SIM_OTHER_NS : SIM_NS;
    end_or_go_on(s, api_find(&s->api, API_WUKONG, ns, "wk0"));
    if (s->now_ms >= s->limit_ms) {
        checkers_end(s, false);
        if (!s->violation)
            sim_violation(s, "every-clone-ends", "wk0 is %s after %" PRId64 " s",
                          s->deleted ? "being deleted" : "not over", s->limit_ms / 1000);
        s->over = true;
    }
    if (!s->over)
        timer_arm(&s->timers, &s->end, s->now_ms + PLAN_LOOKUP_MS);
}

/* Requests counted (of the run without a kill), or -1: broken. */
static int run(const char *program, const struct cell *c, unsigned at, bool after, bool verbose)
{
    struct kill_plan plan = c->plan;
    struct sim s;
    plan.at = at;
    plan.after = after;
    sim_init_plan(&s, &plan, str_hash64(c->name, strlen(c->name)), verbose);
    log_clock(&s.clock);
    sim_run(&s);
    int result = s.violation ? -1 : (int)s.writes_done;
    if (at && !s.kills && !s.violation) {
        (void)printf("%s/%s/%u: nobody was killed\n", c->name, after ? "after" : "before", at);
        result = -1;
    }
    if (s.violation)
        (void)printf("%s/%s/%u breaks %s: %s\nreplay: %s --kill %s/%s/%u --verbose\n", c->name,
                     after ? "after" : "before", at, s.violation, s.violation_detail, program,
                     c->name, after ? "after" : "before", at);
    log_clock(&clock_system);
    sim_release(&s);
    return result;
}

bool kill_each(const char *program, bool verbose)
{
    bool good = true;
    unsigned runs = 0;
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        int writes = run(program, &cells[i], 0, false, verbose);
        unsigned broken = writes <= 0;
        for (int k = 1; k <= writes; k++) {
            broken += run(program, &cells[i], (unsigned)k, false, verbose) < 0;
            broken += run(program, &cells[i], (unsigned)k, true, verbose) < 0;
            runs += 2;
        }
        (void)printf("%s: %d write requests, killed before and after each; %u broken\n",
                     cells[i].name, writes, broken);
        (void)fflush(stdout);
        good = good && !broken;
    }
    (void)printf("%zu types of clone, %u kills\n", ARRAY_LEN(cells), runs);
    return good;
}

bool kill_one(const char *program, const char *spec, bool verbose)
{
    uint64_t at;
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        size_t n = strlen(cells[i].name);
        if (!str_starts(spec, cells[i].name) || spec[n] != '/')
            continue;
        bool after = str_starts(spec + n, "/after/");
        if ((after || str_starts(spec + n, "/before/")) &&
            str_to_u64(spec + n + (after ? 7 : 8), &at) && at < 10000)
            return run(program, &cells[i], (unsigned)at, after, verbose) >= 0;
    }
    (void)printf("%s is no TYPE/before/N or TYPE/after/N\n", spec);
    return false;
}
