/* What a clone that has not begun may send: nobody knows whether it can run, and thousands may
   wait (clones/request_budget.h). A clone that can run, a freeze, a thaw and all that is owed are
   sent at once. */
#include "controller/controller_internal.h"

#include "kube/workqueue.h"

static void arm_budget(struct worker *w)
{
    int64_t at = request_budget_next_ms(&w->clones.budget);
    if (at == INT64_MAX)
        timer_cancel(w->config.timers, &w->budget_timer);
    else
        timer_arm(w->config.timers, &w->budget_timer, at);
}

void worker_budget_turns(void *arg)
{
    struct worker *w = arg;
    for (enum budget_lane_id i = 0; i < BUDGET_LANES; i++) {
        struct budget_waiter *one;
        while ((one = request_budget_next(&w->clones.budget, i, worker_mono(w))))
            worker_enqueue(w, clone_of_budget(one, i));
    }
    arm_budget(w);
}

void worker_budget_begin(struct worker *w, struct clone *e, const struct decision *d)
{
    if (!d->tries && !e->can_run)
        request_budget_return(&w->clones.budget, LANE_TRIES, &e->budget[LANE_TRIES]);
    e->can_run = !d->tries || (e->can_run && !d->held_up);
    e->counted = !e->can_run;
}

void worker_budget_end(struct worker *w, struct clone *e)
{
    e->counted = false;
    for (enum budget_lane_id i = 0; i < BUDGET_LANES; i++)
        request_budget_settle(&w->clones.budget, i, &e->budget[i]);
    /* Its place is for those who can begin. */
    if (e->budget[LANE_TRIES].waits && !e->started && !e->announced.base)
        usage_drop(&w->clones.usage, &e->usage);
    worker_budget_turns(w);
}

/* Of what a clone tries only one at a time is sent while others wait for their turn: most often the
   first is refused. */
bool worker_may_spend(struct worker *w, struct clone *e, const struct intent *i)
{
    enum budget_lane_id lane = LANE_TRIES;
    switch (i->verb) {
    case INTENT_STATUS:
    case INTENT_EVENT:
        lane = LANE_TELLS;
        break;
    case INTENT_READ:
    case INTENT_LIST:
    case INTENT_PODS:
    case INTENT_DRY_RUN:
    case INTENT_PROBE:
    case INTENT_EXPAND:
    case INTENT_ASK:
        break;
    default:
        return true;
    }
    return !e->counted || request_budget_take(&w->clones.budget, lane, &e->budget[lane],
                                              i->verb != INTENT_DRY_RUN, worker_mono(w));
}
