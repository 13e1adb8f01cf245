/* Watches: events in order, late, with bookmarks; ends of every kind. */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "network/net_call.h"

#define NEVER INT64_MAX

static int64_t soonest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void write_expired(struct buf *out, uint64_t asked, uint64_t now, bool as_event)
{
    struct api_reply reply = {0};
    api_fail(&reply, 410, "Expired", NULL, "too old resource version: %" PRIu64 " (%" PRIu64 ")",
             asked, now);
    if (as_event)
        buf_addf(out, "{\"type\":\"ERROR\",\"object\":%s}\n", reply.body);
    else
        buf_adds(out, reply.body);
    free(reply.body);
}

/* The position lies before what the server still has. */
static void expire(struct kube_call *c)
{
    struct apiserver *s = c->net->s;
    CLEANUP_BUF struct buf out = BUF_INIT(64 * KIB);
    bool as_event = c->stage == CALL_WATCHING || rng_chance(s->rng, 500);
    write_expired(&out, c->position, s->compacted, as_event);
    if (as_event) {
        if (call_feed(c, out.data, out.len))
            call_finish(c, 200, ERR_NONE, NULL);
        return;
    }
    free(c->reply.body);
    c->reply.body = buf_take(&out);
    call_finish(c, 410, ERR_NONE, NULL);
}

static int64_t draw_end(struct kube_call *c, unsigned rate, int64_t max_ms)
{
    struct rng *rng = c->net->s->rng;
    return rng_chance(rng, rate) ? call_now(c) + rng_range(rng, 1, max_ms) : NEVER;
}

static void draw_course(struct kube_call *c)
{
    const struct net_faults *f = c->net->faults;
    struct rng *rng = c->net->s->rng;
    int64_t now = call_now(c);
    int64_t timeout_s = 0;
    CLEANUP_FREE char *asked = api_query(&c->target, "timeoutSeconds");
    CLEANUP_FREE char *bookmarks = api_query(&c->target, "allowWatchBookmarks");
    CLEANUP_FREE char *labels = api_query(&c->target, "labelSelector");
    CLEANUP_FREE char *fields = api_query(&c->target, "fieldSelector");
    c->bookmarks = str_eq(bookmarks, "true") || str_eq(bookmarks, "1");
    c->filtered = labels || fields || *c->target.ns;
    if (!asked || !str_to_i64(asked, &timeout_s))
        timeout_s = rng_range(rng, 1800, 3600);
    c->end_ms = now + timeout_s * 1000;
    c->lag_ms = rng_range(rng, 1, 30);
    if (rng_chance(rng, f->watch_lag))
        c->lag_ms = rng_chance(rng, 700) ? rng_range(rng, 100, 3000) : rng_range(rng, 3000, 20000);
    c->cut_ms = draw_end(c, f->watch_cut, 120000);
    c->silent_ms = draw_end(c, f->watch_half_open, 60000);
    c->bookmark_ms = now + rng_range(rng, 50000, 60000);
}

void watch_begin(struct kube_call *c)
{
    struct apiserver *s = c->net->s;
    CLEANUP_FREE char *from = api_query(&c->target, "resourceVersion");
    if (c->gone) {
        call_unlink(c);
        return;
    }
    if (!c->on_data || str_empty(from) || !str_to_u64(from, &c->position)) {
        s->hooks.illegal(s->hooks.arg, c->net->who, "a watch without resourceVersion", c->path);
        call_finish(c, 0, ERR_INTERNAL, "a watch needs a resourceVersion");
        return;
    }
    if (c->position < s->compacted) {
        expire(c);
        return;
    }
    if (c->position > s->version) {
        api_fail(&c->reply, 504, "Timeout", NULL,
                 "Too large resource version: %" PRIu64 ", current: %" PRIu64, c->position,
                 s->version);
        call_finish(c, 504, ERR_NONE, NULL);
        return;
    }
    c->stage = CALL_WATCHING;
    draw_course(c);
    watch_step(c);
}

static bool matches(const struct kube_call *c, const struct api_text *text)
{
    CLEANUP_JSON cJSON *tree = NULL;
    if (!text)
        return false;
    if (!c->filtered)
        return true;
    return json_read(text->s, text->len, &tree, NULL) == 0 && api_matches(&c->target, tree);
}

static void write_change(const struct kube_call *c, const struct api_change *change,
                         struct buf *out)
{
    bool after = change->type != API_DELETED && matches(c, change->after);
    bool before = matches(c, change->before);
    if (!after && !before)
        return;
    const char *type = after && before ? "MODIFIED" : after ? "ADDED" : "DELETED";
    buf_addf(out, "{\"type\":\"%s\",\"object\":", type);
    buf_add(out, change->after->s, change->after->len);
    buf_adds(out, "}\n");
}

static void write_bookmark(const struct kube_call *c, struct buf *out)
{
    const struct api_kind_info *k = &api_kinds[c->target.kind];
    buf_addf(out,
             "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\","
             "\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\",\"creationTimestamp\":null}}}\n",
             k->kind, k->group, *k->group ? "/" : "", k->version, c->position);
}

/* Moves on to what is visible by now; the time of the next change is returned. */
static int64_t collect(struct kube_call *c, struct buf *out)
{
    const struct apiserver *s = c->net->s;
    int64_t now = call_now(c);
    size_t i = s->log_count;
    while (i && s->log[i - 1].version > c->position)
        i--;
    for (; i < s->log_count; i++) {
        const struct api_change *change = &s->log[i];
        if (change->at_ms + c->lag_ms > now)
            return change->at_ms + c->lag_ms;
        c->position = change->version;
        if (change->kind == c->target.kind)
            write_change(c, change, out);
    }
    return NEVER;
}

void watch_step(struct kube_call *c)
{
    struct apiserver *s = c->net->s;
    int64_t now = call_now(c);
    CLEANUP_BUF struct buf out = BUF_INIT(64 * MIB);
    if (now >= c->cut_ms) {
        call_finish(c, 0, ERR_UNAVAILABLE, "the connection was reset");
        return;
    }
    if (now >= c->silent_ms) {
        c->silent_ms = 0; /* half-open: idle time-out or deadline end it */
        return;
    }
    if (c->position < s->compacted) {
        expire(c);
        return;
    }
    int64_t next = collect(c, &out);
    if (c->bookmarks && now >= c->bookmark_ms) {
        write_bookmark(c, &out);
        c->bookmark_ms = now + rng_range(s->rng, 50000, 60000);
    }
    if (out.len) {
        if (c->idle_ms)
            timer_arm(s->timers, &c->idle, now + c->idle_ms);
        if (!call_feed(c, out.data, out.len))
            return;
    }
    if (now >= c->end_ms) {
        call_finish(c, 200, ERR_NONE, NULL);
        return;
    }
    next = soonest(next, soonest(c->end_ms, soonest(c->cut_ms, c->silent_ms)));
    timer_arm(s->timers, &c->step, soonest(next, c->bookmark_ms));
}

void watch_wake(struct kube_call *c)
{
    int64_t at = call_now(c) + c->lag_ms;
    if (c->silent_ms && (!timer_armed(&c->step) || c->step.at_ms > at))
        timer_arm(c->net->s->timers, &c->step, at);
}
