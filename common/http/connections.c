#include "http/connections.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

static void list_remove(struct connections *all, struct connection *c)
{
    *(c->prev ? &c->prev->next : &all->first) = c->next;
    *(c->next ? &c->next->prev : &all->last) = c->prev;
}

static void list_append(struct connections *all, struct connection *c)
{
    c->prev = all->last;
    c->next = NULL;
    *(all->last ? &all->last->next : &all->first) = c;
    all->last = c;
}

static bool is_busy(enum connection_state state)
{
    return state == CONNECTION_READING || state == CONNECTION_WAITING ||
           state == CONNECTION_WRITING;
}

void connection_enter(struct connection *c, enum connection_state state)
{
    struct connections *all = c->all;
    all->busy -= is_busy(c->state);
    all->busy += is_busy(state);
    c->state = state;
    list_remove(all, c);
    list_append(all, c);
}

/* MHD has no call that ends a connection; it notices the end of the stream at its next turn. */
static void connection_end(struct connection *c)
{
    if (c->ended)
        return;
    c->ended = true;
    timer_cancel(c->all->timers, &c->timer);
    shutdown(c->fd, SHUT_RDWR);
    timer_arm(c->all->timers, c->all->pump, clock_mono(c->all->clock));
}

static void connection_timed_out(void *arg)
{
    struct connection *c = arg;
    if (c->state != CONNECTION_IDLE)
        c->all->timed_out++;
    connection_end(c);
}

void connection_limit(struct connection *c, int64_t ms)
{
    if (!c->ended)
        timer_arm(c->all->timers, &c->timer, clock_mono(c->all->clock) + ms);
}

/* peer: of that address alone; NULL: of any. since_ms: that have been in it since then at least. */
static struct connection *oldest_in(struct connections *all, enum connection_state state,
                                    const unsigned char *peer, int64_t since_ms)
{
    for (struct connection *c = all->first; c; c = c->next)
        if (c->state == state && !c->ended && c->began_ms <= since_ms &&
            (!peer || memcmp(c->peer, peer, sizeof c->peer) == 0))
            return c;
    return NULL;
}

static struct connection *choose_victim(struct connections *all, const unsigned char *peer)
{
    int64_t now_ms = clock_mono(all->clock);
    struct connection *victim = oldest_in(all, CONNECTION_READING, peer, now_ms - SLOW_REQUEST_MS);
    if (!victim)
        victim = oldest_in(all, CONNECTION_FRESH, peer, now_ms);
    if (!victim)
        victim = oldest_in(all, CONNECTION_IDLE, peer, now_ms);
    if (!victim && peer)
        victim = oldest_in(all, CONNECTION_READING, peer, now_ms);
    return victim;
}

/* All are in the making, and beyond its own limit the library accepts nobody, so that no newcomer
   can ask for room: those that are slow end by themselves. */
static void hurry_readers(struct connections *all)
{
    for (struct connection *c = all->first; c; c = c->next)
        if (c->state == CONNECTION_READING && !c->ended)
            timer_arm(all->timers, &c->timer, c->began_ms + SLOW_REQUEST_MS);
}

void connection_release_limit(struct connection *c)
{
    timer_cancel(c->all->timers, &c->timer);
}

bool connections_crowded(const struct connections *all)
{
    return all->count >= all->max;
}

/* Whoever holds more than half of all connections makes room for himself. */
static bool is_greedy(const struct connections *all, const unsigned char *peer)
{
    unsigned count = 0;
    for (const struct connection *c = all->first; c; c = c->next)
        count += !c->ended && memcmp(c->peer, peer, sizeof c->peer) == 0;
    return count > all->max / 2;
}

static void make_room(struct connections *all, const unsigned char *peer)
{
    if (!connections_crowded(all))
        return;
    struct connection *victim = choose_victim(all, is_greedy(all, peer) ? peer : NULL);
    if (!victim)
        victim = choose_victim(all, NULL);
    if (!victim) {
        hurry_readers(all);
        return;
    }
    all->evicted++;
    connection_end(victim);
}

static void read_peer(struct MHD_Connection *mhd, unsigned char peer[16])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = info ? info->client_addr : NULL;
    memset(peer, 0, 16);
    if (a && a->sa_family == AF_INET)
        memcpy(peer, &((const struct sockaddr_in *)a)->sin_addr, 4);
    else if (a && a->sa_family == AF_INET6)
        memcpy(peer, &((const struct sockaddr_in6 *)a)->sin6_addr, 16);
}

struct connection *connection_open(struct connections *all, struct MHD_Connection *mhd)
{
    unsigned char peer[16];
    read_peer(mhd, peer);
    make_room(all, peer);
    struct connection *c = xcalloc(1, sizeof *c);
    memcpy(c->peer, peer, sizeof c->peer);
    c->all = all;
    c->mhd = mhd;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->began_ms = clock_mono(all->clock);
    timer_init(&c->timer, connection_timed_out, c);
    list_append(all, c);
    all->count++;
    return c;
}

void connection_close(struct connection *c)
{
    struct connections *all = c->all;
    timer_cancel(all->timers, &c->timer);
    all->busy -= is_busy(c->state);
    list_remove(all, c);
    all->count--;
    free(c);
}
