/* Requests of clones that have not begun. */
#include "clones/request_budget.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "base/str.h"

static const int64_t lane_holds[BUDGET_LANES] = {
    [LANE_TRIES] = BUDGET_TRIES, [LANE_TELLS] = BUDGET_TELLS};

/* Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1996), each request being
   of one size: a namespace's next place is behind its last one, or behind the turn that came last
   when it has none. */
struct budget_namespace {
    uint64_t last;
    UT_hash_handle hh;
    char name[];
};

static void forget_namespaces(struct budget_lane *l)
{
    struct budget_namespace *n, *next;
    HASH_ITER (hh, l->namespaces, n, next) {
        HASH_DEL(l->namespaces, n);
        free(n);
    }
}

void request_budget_release(struct request_budget *b)
{
    for (size_t i = 0; i < BUDGET_LANES; i++) {
        assert(!b->lanes[i].count);
        forget_namespaces(&b->lanes[i]);
        free(b->lanes[i].items);
    }
    *b = (struct request_budget){0};
}

/* --- tokens --- */

/* Whose the next token is: both lines take turns; while nobody waits, that of a lane that lacks
   one. BUDGET_LANES: nobody's. */
static enum budget_lane_id lane_in_need(const struct request_budget *b)
{
    for (unsigned only_waiting = 1; only_waiting + 1; only_waiting--)
        for (unsigned i = 0; i < BUDGET_LANES; i++) {
            enum budget_lane_id id = (b->next + i) % BUDGET_LANES;
            const struct budget_lane *l = &b->lanes[id];
            if (only_waiting ? l->count > 0 && l->tokens < 1 : l->tokens < lane_holds[id])
                return id;
        }
    return BUDGET_LANES;
}

static void refill_lanes(struct request_budget *b, int64_t now_ms)
{
    if (!b->refilled_ms) {
        for (size_t i = 0; i < BUDGET_LANES; i++)
            b->lanes[i].tokens += lane_holds[i];
        b->refilled_ms = now_ms;
    }
    while (now_ms - b->refilled_ms >= BUDGET_APART_MS) {
        enum budget_lane_id id = lane_in_need(b);
        if (id == BUDGET_LANES) {
            b->refilled_ms = now_ms;
            return;
        }
        b->lanes[id].tokens++;
        b->next = (id + 1) % BUDGET_LANES;
        b->refilled_ms += BUDGET_APART_MS;
    }
}

static void give_back(struct budget_lane *l, int64_t tokens, int64_t holds)
{
    l->tokens += tokens;
    l->tokens = l->tokens < holds ? l->tokens : holds;
}

/* --- the line --- */

static int compare_turns(const struct budget_waiter *a, const struct budget_waiter *b)
{
    if (a->turn != b->turn)
        return a->turn < b->turn ? -1 : 1;
    return usage_compare(a->whose, b->whose);
}

static size_t place_of(const struct budget_lane *l, const struct budget_waiter *w)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_turns(l->items[middle], w) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t next_turn_of(struct budget_lane *l, const char *ns)
{
    struct budget_namespace *n = NULL;
    size_t len = strlen(ns);
    HASH_FIND(hh, l->namespaces, ns, len, n);
    if (!n) {
        n = xcalloc(1, sizeof *n + len + 1);
        memcpy(n->name, ns, len);
        HASH_ADD(hh, l->namespaces, name, len, n);
    }
    n->last = (n->last > l->turn ? n->last : l->turn) + 1;
    return n->last;
}

static void get_in_line(struct budget_lane *l, struct budget_waiter *w)
{
    w->turn = next_turn_of(l, str_or(w->whose->ns, ""));
    size_t at = place_of(l, w);
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->items = xrealloc(l->items, l->room * sizeof(struct budget_waiter *));
    }
    memmove(l->items + at + 1, l->items + at, (l->count - at) * sizeof(struct budget_waiter *));
    l->items[at] = w;
    l->count++;
    w->waits = true;
}

static void get_out_of_line(struct budget_lane *l, struct budget_waiter *w)
{
    if (!w->waits)
        return;
    size_t at = place_of(l, w);
    assert(at < l->count && l->items[at] == w);
    l->count--;
    memmove(l->items + at, l->items + at + 1, (l->count - at) * sizeof(struct budget_waiter *));
    w->waits = false;
    if (!l->count)
        forget_namespaces(l);
}

/* --- what the others call --- */

static bool spend(struct budget_waiter *w)
{
    w->spent++;
    return true;
}

bool request_budget_take(struct request_budget *b, enum budget_lane_id lane,
                         struct budget_waiter *w, bool along, int64_t now_ms)
{
    struct budget_lane *l = &b->lanes[lane];
    refill_lanes(b, now_ms);
    w->wants = true;
    if (w->granted) {
        w->granted = false;
        w->open_ms = now_ms + BUDGET_ALONG_MS;
        return spend(w);
    }
    if ((along && now_ms < w->open_ms) || (l->tokens > 0 && !l->count)) {
        l->tokens--;
        return spend(w);
    }
    if (!w->waits)
        get_in_line(l, w);
    return false;
}

void request_budget_settle(struct request_budget *b, enum budget_lane_id lane,
                           struct budget_waiter *w)
{
    if (!w->wants)
        request_budget_leave(b, lane, w);
    w->wants = false;
}

void request_budget_return(struct request_budget *b, enum budget_lane_id lane,
                           struct budget_waiter *w)
{
    give_back(&b->lanes[lane], w->spent, lane_holds[lane]);
    w->spent = 0;
}

void request_budget_leave(struct request_budget *b, enum budget_lane_id lane,
                          struct budget_waiter *w)
{
    struct budget_lane *l = &b->lanes[lane];
    get_out_of_line(l, w);
    if (w->granted)
        give_back(l, 1, lane_holds[lane]);
    w->granted = false;
}

struct budget_waiter *request_budget_next(struct request_budget *b, enum budget_lane_id lane,
                                          int64_t now_ms)
{
    struct budget_lane *l = &b->lanes[lane];
    refill_lanes(b, now_ms);
    if (!l->count || l->tokens < 1)
        return NULL;
    struct budget_waiter *w = l->items[0];
    l->turn = w->turn;
    l->tokens--;
    get_out_of_line(l, w);
    w->granted = true;
    return w;
}

int64_t request_budget_next_ms(const struct request_budget *b)
{
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < BUDGET_LANES; i++) {
        const struct budget_lane *l = &b->lanes[i];
        if (!l->count)
            continue;
        int64_t at = l->tokens < 1 ? b->refilled_ms + BUDGET_APART_MS : b->refilled_ms;
        soonest = at < soonest ? at : soonest;
    }
    return soonest;
}
