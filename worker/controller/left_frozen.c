#include "controller/left_frozen.h"

#include "actions/execute.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "observe/resources.h"
#include "observe/times.h"

#define REPEAT_MS 2000
/* An entry outlives its guest's thaw so long: the next freeze keeps its distance to the thaw. */
#define KEPT_MS 60000

struct left {
    struct left *next;
    char *key, *uid; /* of the Wukong */
    char *ns, *name; /* of what it froze */
    struct call_log call_log;
    unsigned flights;
    bool landed;           /* its freeze was answered: nothing is on its way any more */
    int64_t late_until_ms; /* monotonic, as all here: until then the freeze may still come */
    int64_t until_ms;      /* and then the guest's own timer has ended it */
    bool over;
    int64_t over_ms, thawed_ms; /* thawed: wall clock */
};

struct left_frozen {
    struct left_frozen_options o;
    struct executor executor;
    struct timer timer;
    struct left *items;
    size_t count;
};

static int64_t now_ms(const struct left_frozen *l)
{
    return clock_mono(l->o.clock);
}

static void drop_left(struct left_frozen *l, struct left *one)
{
    struct left **at = &l->items;
    while (*at != one)
        at = &(*at)->next;
    *at = one->next;
    l->count--;
    call_log_release(&one->call_log);
    free(one->key);
    free(one->uid);
    free(one->ns);
    free(one->name);
    free(one);
}

static bool is_over(const struct left *one, const struct call *thaw, int64_t now)
{
    bool worked = call_ok(thaw) && (one->landed || thaw->sent_mono_ms >= one->late_until_ms);
    return worked || now >= one->until_ms;
}

/* When it is looked at next. */
static int64_t look_at(struct left_frozen *l, struct left *one)
{
    const struct call_key key = call_key(CALL_THAW);
    const struct call *thaw = call_log_find(&one->call_log, key);
    int64_t now = now_ms(l);
    if (call_ok(thaw))
        one->thawed_ms = thaw->done_ms;
    if (one->over)
        return one->over_ms + KEPT_MS;
    if (is_over(one, thaw, now)) {
        one->over = true;
        one->over_ms = now;
        return now + KEPT_MS;
    }
    int64_t due = thaw ? thaw->done_mono_ms + REPEAT_MS : now;
    if (one->flights || now < due)
        return due > now ? due : now + REPEAT_MS;
    (void)execute(&l->executor,
                  &(struct intent){.verb = INTENT_SUBRESOURCE,
                                   .kind = &worker_kinds[KIND_SUB_VMI],
                                   .ns = one->ns,
                                   .name = one->name,
                                   .sub = "unfreeze",
                                   .key = key,
                                   .urgent = true},
                  &one->call_log, one, &one->flights);
    return now + REPEAT_MS;
}

static void look_at_all(void *arg)
{
    struct left_frozen *l = arg;
    int64_t next = INT64_MAX;
    bool leads = l->o.may_write(l->o.arg);
    for (struct left *one = l->items, *after; one; one = after) {
        after = one->next;
        bool kept = leads && !(one->over && now_ms(l) >= one->over_ms + KEPT_MS);
        int64_t due = kept || one->flights ? look_at(l, one) : 0;
        if (!kept && !one->flights)
            drop_left(l, one);
        else if (due < next)
            next = due;
    }
    if (next != INT64_MAX)
        timer_arm(l->o.timers, &l->timer, next > now_ms(l) ? next : now_ms(l) + REPEAT_MS);
}

static void call_ended(void *arg, void *owner, const char *written, size_t written_len)
{
    (void)arg;
    (void)owner;
    (void)written;
    (void)written_len;
}

static void name_owner(void *owner, const char **ret_name, const char **ret_uid)
{
    const struct left *one = owner;
    *ret_name = one->key;
    *ret_uid = one->uid;
}

struct left_frozen *left_frozen_new(const struct left_frozen_options *options)
{
    struct left_frozen *l = xcalloc(1, sizeof *l);
    l->o = *options;
    l->executor = (struct executor){.client = options->client,
                                    .clock = options->clock,
                                    .rng = options->rng,
                                    .field_manager = "wukong-worker",
                                    .may_write = options->may_write,
                                    .ended = call_ended,
                                    .whose = name_owner,
                                    .arg = options->arg};
    timer_init(&l->timer, look_at_all, l);
    return l;
}

void left_frozen_free(struct left_frozen *l)
{
    if (!l)
        return;
    timer_cancel(l->o.timers, &l->timer);
    executor_cancel(&l->executor);
    while (l->items)
        drop_left(l, l->items);
    free(l);
}

void left_frozen_add(struct left_frozen *l, const struct clone *e)
{
    const char *slash = e->source ? strchr(e->source, '/') : NULL;
    if (!e->owes_thaw || !slash || l->count == LEFT_FROZEN_MAX || !l->o.may_write(l->o.arg))
        return;
    const struct call *freeze =
        call_log_find(&e->call_log, call_key_numbered(CALL_FREEZE, e->freeze_asked_ms));
    int64_t sent = freeze ? freeze->sent_mono_ms : now_ms(l) + FREEZE_SEND_MS;
    struct left *one = xcalloc(1, sizeof *one);
    one->key = xstrdup(e->key);
    one->uid = xstrdup(e->uid);
    one->ns = xstrndup(e->source, (size_t)(slash - e->source));
    one->name = xstrdup(slash + 1);
    one->landed = call_ok(freeze);
    one->late_until_ms = sent + (e->freeze_ms > FREEZE_LATE_MS ? e->freeze_ms : FREEZE_LATE_MS);
    one->until_ms = one->late_until_ms + e->freeze_ms;
    one->next = l->items;
    l->items = one;
    l->count++;
    log_event(LOG_WARN, "a Wukong went by force while its source was frozen: the worker thaws it",
              LOG_S("wukong", e->key), LOG_S("uid", e->uid), LOG_S("source", e->source));
    timer_arm(l->o.timers, &l->timer, now_ms(l));
}

static bool is_source(const struct left *one, const char *ns, const char *name)
{
    return str_eq(one->ns, ns) && str_eq(one->name, name);
}

bool left_frozen_holds(const struct left_frozen *l, const char *ns, const char *name)
{
    for (const struct left *one = l->items; one; one = one->next)
        if (!one->over && is_source(one, ns, name))
            return true;
    return false;
}

int64_t left_frozen_thawed_ms(const struct left_frozen *l, const char *ns, const char *name)
{
    int64_t last = 0;
    for (const struct left *one = l->items; one; one = one->next)
        if (is_source(one, ns, name) && one->thawed_ms > last)
            last = one->thawed_ms;
    return last;
}

unsigned long long left_frozen_writes(const struct left_frozen *l)
{
    return l->executor.writes;
}
