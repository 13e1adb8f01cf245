/* The shell of leader election: carries out what lease_decide says. */
#include "kube/lease.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Half of the renew deadline, so that a stuck call leaves time for another (client-go
   tools/leaderelection/resourcelock: the client's timeout is renewDeadline/2). */
#define CALL_MS (LEASE_RENEW_DEADLINE_MS / 2)
#define RELEASE_MS 2000

/* Not in wukong/api/resources.h: the client below this folder knows no Wukong. */
static const struct kube_kind lease_kind = {
    .group = "coordination.k8s.io", .version = "v1", .resource = "leases", .kind = "Lease"};

struct lease {
    struct lease_options o;
    struct kube_client client;
    struct lease_view view;
    char *ns, *name, *self, *metadata;
    struct kube_op *op;
    struct timer timer;
    int64_t begun_ms;
    bool started, releasing;
    unsigned releases;
    void (*released)(void *arg);
    void *released_arg;
};

static void run_lease(struct lease *l);

static int64_t now_ms(const struct lease *l)
{
    return clock_mono(l->client.clock);
}

static struct kube_ref ref_of(const struct lease *l)
{
    return (struct kube_ref){.kind = &lease_kind, .ns = l->ns, .name = l->name};
}

static void on_timer(void *arg)
{
    run_lease(arg);
}

static void report_change(struct lease *l, const struct err *err)
{
    if (l->o.failed)
        l->o.failed(l->o.arg, err);
}

/* The record in a reply, kept with its metadata. */
static int take_record(struct lease *l, const struct kube_reply *reply, struct lease_record *ret,
                       struct err *err)
{
    char *metadata = NULL;
    if (lease_parse(reply->body, reply->body_len, ret, &metadata, err) != 0)
        return -1;
    free(l->metadata);
    l->metadata = metadata;
    return 0;
}

static void on_read(void *arg, const struct kube_reply *reply)
{
    struct lease *l = arg;
    struct lease_record record = {0};
    struct err err = reply->status.err;
    l->op = NULL;
    if (err.kind == ERR_NOT_FOUND) {
        free(TAKE(l->metadata));
        lease_saw(&l->view, &record, now_ms(l));
    } else if (err.kind == ERR_NONE && take_record(l, reply, &record, &err) == 0) {
        lease_saw(&l->view, &record, now_ms(l));
    } else {
        lease_failed(&l->view, err.kind, now_ms(l));
        report_change(l, &err);
    }
    run_lease(l);
}

static void on_written(void *arg, const struct kube_reply *reply)
{
    struct lease *l = arg;
    struct lease_record record = {0};
    struct err err = reply->status.err;
    bool led = l->view.leading;
    l->op = NULL;
    if (err.kind == ERR_NONE && take_record(l, reply, &record, &err) == 0) {
        lease_wrote(&l->view, &record, l->begun_ms, now_ms(l));
        if (!led && l->view.leading)
            l->o.acquired(l->o.arg);
    } else {
        /* A reply that cannot be read: the write has happened all the same. */
        lease_failed(&l->view, reply->status.err.kind ? err.kind : ERR_AMBIGUOUS, now_ms(l));
        report_change(l, &err);
    }
    run_lease(l);
}

static void write_record(struct lease *l, enum lease_write what,
                         void (*done)(void *arg, const struct kube_reply *reply))
{
    bool create = !l->view.record.exists;
    CLEANUP_FREE char *body = lease_body(&l->view, l->ns, l->name, create ? NULL : l->metadata,
                                         what, clock_wall(l->client.clock));
    struct kube_answer answer = {.done = done, .arg = l};
    l->begun_ms = now_ms(l);
    l->op = create ? kube_create(&l->client, ref_of(l), body, false, answer)
                   : kube_update(&l->client, ref_of(l), body, answer);
}

static void run_lease(struct lease *l)
{
    if (!l->started || l->releasing)
        return;
    int64_t now = now_ms(l);
    struct lease_decision d = lease_decide(&l->view, now);
    timer_cancel(l->client.timers, &l->timer);
    if (d.verdict == LEASE_LOST) {
        l->started = l->view.leading = false;
        kube_op_cancel(TAKE(l->op));
        l->o.lost(l->o.arg);
        return;
    }
    if (!l->op && d.verdict == LEASE_READ)
        l->op = kube_get(&l->client, ref_of(l), (struct kube_answer){.done = on_read, .arg = l});
    else if (!l->op && d.verdict == LEASE_RENEW)
        write_record(l, LEASE_WRITE_RENEW, on_written);
    else if (!l->op && d.verdict != LEASE_WAIT)
        write_record(l, LEASE_WRITE_TAKE, on_written);
    int64_t again = d.again_ms;
    if (l->view.leading && l->op) /* nothing but the end may come before the call's */
        again = l->view.renewed_ms + LEASE_RENEW_DEADLINE_MS;
    else if (d.verdict == LEASE_WAIT && !l->view.leading) /* contenders keep apart */
        again = now + rng_jitter(l->o.rng, again - now, 20);
    if (again != INT64_MAX)
        timer_arm(l->client.timers, &l->timer, again);
}

struct lease *lease_new(const struct lease_options *options)
{
    assert(strlen(options->self) < LEASE_HOLDER_MAX && *options->self);
    struct lease *l = xcalloc(1, sizeof *l);
    l->o = *options;
    l->client = *options->client;
    l->client.deadline_ms = CALL_MS;
    l->client.urgent = true;
    l->ns = xstrdup(options->ns);
    l->name = xstrdup(options->name);
    l->self = xstrdup(options->self);
    l->view.self = l->self;
    timer_init(&l->timer, on_timer, l);
    return l;
}

void lease_free(struct lease *l)
{
    if (!l)
        return;
    kube_op_cancel(l->op);
    timer_cancel(l->client.timers, &l->timer);
    free(l->ns);
    free(l->name);
    free(l->self);
    free(l->metadata);
    free(l);
}

void lease_start(struct lease *l)
{
    l->started = true;
    run_lease(l);
}

bool lease_leading(const struct lease *l)
{
    return !l->releasing && lease_held(&l->view, now_ms(l));
}

const char *lease_holder(const struct lease *l)
{
    return l->view.record.holder;
}

/* --- Release --- */

static void release_ended(void *arg)
{
    struct lease *l = arg;
    kube_op_cancel(TAKE(l->op));
    timer_cancel(l->client.timers, &l->timer);
    l->view.leading = false;
    void (*released)(void *) = TAKE(l->released);
    if (released)
        released(l->released_arg);
}

static void on_released(void *arg, const struct kube_reply *reply);

static void on_read_for_release(void *arg, const struct kube_reply *reply)
{
    struct lease *l = arg;
    struct lease_record record = {0};
    struct err err = reply->status.err;
    l->op = NULL;
    if (err.kind != ERR_NONE || take_record(l, reply, &record, &err) != 0 ||
        !str_eq(record.holder, l->self)) {
        release_ended(l);
        return;
    }
    lease_saw(&l->view, &record, now_ms(l));
    write_record(l, LEASE_WRITE_RELEASE, on_released);
}

static void on_released(void *arg, const struct kube_reply *reply)
{
    struct lease *l = arg;
    l->op = NULL;
    /* A renewal of ours that was under way may have moved the version. */
    if (reply->status.err.kind == ERR_CONFLICT && l->releases++ == 0)
        l->op = kube_get(&l->client, ref_of(l),
                         (struct kube_answer){.done = on_read_for_release, .arg = l});
    else
        release_ended(l);
}

void lease_release(struct lease *l, void (*released)(void *arg), void *arg)
{
    bool led = lease_leading(l);
    l->releasing = true;
    l->released = released;
    l->released_arg = arg;
    kube_op_cancel(TAKE(l->op));
    timer_cancel(l->client.timers, &l->timer);
    timer_init(&l->timer, release_ended, l);
    timer_arm(l->client.timers, &l->timer, now_ms(l) + (led ? RELEASE_MS : 0));
    if (led && l->view.known)
        write_record(l, LEASE_WRITE_RELEASE, on_released);
    else if (led)
        l->op = kube_get(&l->client, ref_of(l),
                         (struct kube_answer){.done = on_read_for_release, .arg = l});
}
