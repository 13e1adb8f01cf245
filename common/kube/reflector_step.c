/* The pure half of the reflector: no network, no clock, no allocation. */
#include "kube/reflector.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"

/* client-go's wait.Backoff with jitter 1.0: up to twice as long. */
#define JITTER_PERCENT 100

void reflector_state_init(struct reflector_state *s)
{
    *s = (struct reflector_state){.phase = REFLECTOR_NEW, .served = true};
}

static struct reflector_action *push_action(struct reflector_actions *list,
                                            enum reflector_action_kind kind)
{
    assert(list->count < REFLECTOR_ACTIONS_MAX);
    struct reflector_action *a = &list->items[list->count++];
    *a = (struct reflector_action){.kind = kind};
    return a;
}

static void list_page(struct reflector_state *s, struct reflector_actions *out)
{
    struct reflector_action *a = push_action(out, REFLECTOR_DO_LIST);
    s->phase = REFLECTOR_LISTING;
    a->limit = s->no_pages ? 0 : REFLECTOR_PAGE;
    if (*s->token)
        a->token = s->token; /* it holds the version; the server refuses both together */
    else if (!s->no_version && *s->version)
        a->version = s->version;
}

static void list_begin(struct reflector_state *s, struct reflector_actions *out)
{
    s->token[0] = '\0';
    s->lists++;
    (void)push_action(out, REFLECTOR_DO_MARK);
    list_page(s, out);
}

static void watch_begin(struct reflector_state *s, struct rng *rng, int64_t now,
                        struct reflector_actions *out)
{
    struct reflector_action *a = push_action(out, REFLECTOR_DO_WATCH);
    s->phase = REFLECTOR_WATCHING;
    s->watch_began_ms = now;
    s->eventful = false;
    a->version = s->version;
    a->timeout_s = (int)rng_range(rng, REFLECTOR_WATCH_S_MIN, REFLECTOR_WATCH_S_MAX);
}

static void wait_then(struct reflector_state *s, bool watch, int64_t delay_ms,
                      struct reflector_actions *out)
{
    s->phase = REFLECTOR_WAITING;
    s->watch_next = watch;
    push_action(out, REFLECTOR_DO_WAIT)->delay_ms = delay_ms;
}

static int64_t next_backoff(struct reflector_state *s, struct rng *rng, int64_t now,
                            int64_t retry_after_s)
{
    bool healthy = s->failures == 0 || now - s->failed_ms >= REFLECTOR_HEALTHY_MS;
    if (healthy || s->backoff_ms == 0)
        s->backoff_ms = REFLECTOR_BACKOFF_MS;
    else
        s->backoff_ms = s->backoff_ms > REFLECTOR_BACKOFF_MS_MAX / 2 ? REFLECTOR_BACKOFF_MS_MAX
                                                                     : s->backoff_ms * 2;
    s->failures++;
    s->failed_ms = now;
    int64_t delay = rng_jitter(rng, s->backoff_ms, JITTER_PERCENT);
    /* A server that names hours is not believed beyond one of our longest waits. */
    int64_t asked = retry_after_s > REFLECTOR_WATCH_S_MIN ? REFLECTOR_WATCH_S_MIN : retry_after_s;
    return delay < asked * 1000 ? asked * 1000 : delay;
}

static bool set_version(struct reflector_state *s, const char *version)
{
    if (str_empty(version) || strlen(version) >= sizeof s->version)
        return false;
    (void)snprintf(s->version, sizeof s->version, "%s", version);
    return true;
}

static void page_in(struct reflector_state *s, struct rng *rng, const struct reflector_input *input,
                    int64_t now, struct reflector_actions *out)
{
    if (!str_empty(input->token)) {
        if (strlen(input->token) < sizeof s->token) {
            (void)snprintf(s->token, sizeof s->token, "%s", input->token);
            list_page(s, out);
        } else { /* cannot be: then without pages */
            s->no_pages = true;
            list_begin(s, out);
        }
        return;
    }
    if (!set_version(s, input->version)) {
        wait_then(s, false, next_backoff(s, rng, now, 0), out);
        return;
    }
    s->token[0] = '\0';
    s->no_version = s->no_pages = false;
    s->synced = s->served = true;
    (void)push_action(out, REFLECTOR_DO_SWEEP);
    watch_begin(s, rng, now, out);
}

static void not_served(struct reflector_state *s, struct rng *rng, struct reflector_actions *out)
{
    s->synced = true;
    s->served = false;
    s->version[0] = s->token[0] = '\0';
    s->no_version = s->no_pages = false;
    (void)push_action(out, REFLECTOR_DO_MARK);
    (void)push_action(out, REFLECTOR_DO_SWEEP);
    wait_then(s, false, rng_jitter(rng, REFLECTOR_UNSERVED_MS, JITTER_PERCENT), out);
}

static void list_failed(struct reflector_state *s, struct rng *rng,
                        const struct reflector_input *input, int64_t now,
                        struct reflector_actions *out)
{
    if (input->why == ERR_NOT_FOUND && input->unserved) {
        s->version[0] = '\0';
        if (input->other_version)
            list_begin(s, out);
        else
            not_served(s, rng, out);
        return;
    }
    /* A page that a lagging cache cannot give yet is no reason to ask for everything in one piece,
       which a large cluster does not answer within its own limit of a minute: from the start. */
    bool later = *s->token && input->behind;
    if (input->why == ERR_EXPIRED && !later) {
        bool first = !*s->token && s->no_version; /* refused although it named nothing at all */
        s->no_pages = *s->token != '\0';
        s->no_version = true;
        if (!first) {
            list_begin(s, out);
            return;
        }
    }
    s->token[0] = '\0';
    s->no_pages = false;
    wait_then(s, false, next_backoff(s, rng, now, input->retry_after_s), out);
}

static void watch_failed(struct reflector_state *s, struct rng *rng,
                         const struct reflector_input *input, int64_t now,
                         struct reflector_actions *out)
{
    if (input->why == ERR_EXPIRED) {
        /* At once, unless list and watch contradict each other in a circle. */
        if (now - s->watch_began_ms < REFLECTOR_SHORT_WATCH_MS && s->expired_early)
            wait_then(s, false, next_backoff(s, rng, now, input->retry_after_s), out);
        else
            list_begin(s, out);
        s->expired_early = now - s->watch_began_ms < REFLECTOR_SHORT_WATCH_MS;
        return;
    }
    /* What says nothing about the version: the same watch again. The rest: from the list on. */
    bool same = input->why == ERR_UNAVAILABLE || input->why == ERR_AMBIGUOUS ||
                input->why == ERR_THROTTLED || input->why == ERR_UNAUTHORIZED;
    wait_then(s, same, next_backoff(s, rng, now, input->retry_after_s), out);
}

static void watch_ended(struct reflector_state *s, struct rng *rng, int64_t now,
                        struct reflector_actions *out)
{
    if (!s->eventful && now - s->watch_began_ms < REFLECTOR_SHORT_WATCH_MS)
        wait_then(s, true, next_backoff(s, rng, now, 0), out);
    else
        watch_begin(s, rng, now, out);
}

struct reflector_actions reflector_step(struct reflector_state *s, struct rng *rng,
                                        const struct reflector_input *input, int64_t now_ms)
{
    struct reflector_actions out = {.count = 0};
    switch (input->kind) {
    case REFLECTOR_BEGIN:
        assert(s->phase == REFLECTOR_NEW);
        list_begin(s, &out);
        break;
    case REFLECTOR_PAGE_IN:
        assert(s->phase == REFLECTOR_LISTING);
        page_in(s, rng, input, now_ms, &out);
        break;
    case REFLECTOR_EVENT:
        assert(s->phase == REFLECTOR_WATCHING);
        s->eventful = true;
        (void)set_version(s, input->version);
        break;
    case REFLECTOR_ENDED:
        assert(s->phase == REFLECTOR_WATCHING);
        watch_ended(s, rng, now_ms, &out);
        break;
    case REFLECTOR_FAILED:
        assert(s->phase == REFLECTOR_LISTING || s->phase == REFLECTOR_WATCHING);
        if (s->phase == REFLECTOR_LISTING)
            list_failed(s, rng, input, now_ms, &out);
        else
            watch_failed(s, rng, input, now_ms, &out);
        break;
    case REFLECTOR_REFRESH:
        assert(s->phase != REFLECTOR_NEW);
        s->synced = false;
        s->no_version = true;
        list_begin(s, &out);
        break;
    case REFLECTOR_DUE:
        assert(s->phase == REFLECTOR_WAITING);
        if (s->watch_next)
            watch_begin(s, rng, now_ms, &out);
        else
            list_begin(s, &out);
        break;
    }
    return out;
}
