#include "controller/trace.h"

#include "base/log.h"
#include "base/str.h"
#include "steps/table.h"
#include "wukong/api/reasons.h"

static const char *const step_status_names[] = {
    [STEP_DONE] = "done", [STEP_TODO] = "todo", [STEP_WAIT] = "waits", [STEP_FAILED] = "failed"};

struct line {
    const char *step;
    enum step_status status;
    struct why why;
};

/* Down to the first that is not done; false: all are. */
static bool each_step(const struct clone_state *v, void (*tell)(struct buf *, const struct line *),
                      struct buf *out)
{
    for (size_t i = 0; i < CLONE_STEPS; i++) {
        struct line l = {.step = clone_steps[i].name};
        l.status = clone_steps[i].check(v, &l.why);
        tell(out, &l);
        if (l.status != STEP_DONE)
            return true;
    }
    return false;
}

static void in_line(struct buf *out, const struct line *l)
{
    buf_addf(out, "%s%s=%s", out->len ? " " : "", l->step, step_status_names[l->status]);
    if (l->status != STEP_DONE)
        buf_addf(out, "(%s: %s)", reason_table[l->why.reason].name, l->why.message);
}

static void on_lines(struct buf *out, const struct line *l)
{
    buf_addf(out, "  %-15s %s", l->step, step_status_names[l->status]);
    if (l->status != STEP_DONE)
        buf_addf(out, "  %s: %s", reason_table[l->why.reason].name, l->why.message);
    buf_adds(out, "\n");
}

static void write_walk(const struct clone_state *v, struct buf *out)
{
    (void)each_step(v, in_line, out);
}

static void write_intents(const struct decision *d, struct buf *out)
{
    for (size_t i = 0; i < d->intents.count; i++) {
        const struct intent *one = &d->intents.items[i];
        buf_addf(out, "%s%s:", i ? " " : "", intent_verb_names[one->verb]);
        call_key_print(&one->key, out);
    }
}

void trace_decided(const char *wukong, const struct clone_state *v, const struct decision *d)
{
    if (!log_shows(LOG_DEBUG))
        return;
    CLEANUP_BUF struct buf walk = BUF_INIT(4096);
    CLEANUP_BUF struct buf intents = BUF_INIT(4096);
    if (record_final(&v->record) || record_aborted(&v->record))
        buf_adds(&walk, "-");
    else
        write_walk(v, &walk);
    write_intents(d, &intents);
    log_event(LOG_DEBUG, "decided", LOG_S("wukong", wukong), LOG_S("uid", v->wukong->uid),
              LOG_S("rv", v->wukong->resource_version), LOG_I("attempt", d->record.attempts),
              LOG_S("phase", clone_phase_names[d->record.phase]), LOG_S("step", d->step),
              LOG_S("walk", walk.data), LOG_S("sends", intents.data),
              LOG_I("again_ms", d->again_ms ? d->again_ms - v->now.wall_ms : -1));
}

static void print_conditions(const struct decision *d, struct buf *out)
{
    static const char *const status[] = {
        [CONDITION_FALSE] = "False", [CONDITION_TRUE] = "True", [CONDITION_UNKNOWN] = "Unknown"};
    for (size_t i = 0; i < CONDITION_TYPES; i++) {
        const struct condition *c = &d->conditions[i];
        if (c->status != CONDITION_ABSENT)
            buf_addf(out, "  condition %s=%s (%s): %s\n", condition_type_names[i],
                     status[c->status], reason_table[c->reason].name, str_or(c->message, ""));
    }
}

void trace_print(const char *wukong, const struct clone_state *v, const struct decision *d,
                 struct buf *out)
{
    buf_addf(out, "%s: phase %s, attempt %lld\n", wukong, clone_phase_names[d->record.phase],
             (long long)d->record.attempts);
    if (record_final(&v->record))
        buf_adds(out, "  it has ended\n");
    else if (record_aborted(&v->record))
        buf_addf(out, "  its attempt has failed: %s: %s\n", v->record.error.reason,
                 str_or(v->record.error.message, ""));
    else if (!each_step(v, on_lines, out))
        buf_adds(out, "  all steps are done\n");
    print_conditions(d, out);
    for (size_t i = 0; i < d->intents.count; i++) {
        const struct intent *one = &d->intents.items[i];
        buf_addf(out, "  sends %s %s (", intent_verb_names[one->verb], one->kind->resource);
        call_key_print(&one->key, out);
        buf_adds(out, ")\n");
    }
    if (d->write_status)
        buf_adds(out, d->persist_first ? "  writes the status before all else\n"
                                       : "  writes the status\n");
    if (d->again_ms)
        buf_addf(out, "  reconciles again in %lld ms\n", (long long)(d->again_ms - v->now.wall_ms));
}
