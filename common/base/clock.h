/*
 * struct clock: the only source of time. mono_ms never goes back and is for deadlines and backoff;
 * wall_ms is Unix time and is for what other machines read. The simulator supplies its own.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*mono_ms)(void *arg);
    int64_t (*wall_ms)(void *arg);
    void *arg;
};

/* The machine's clocks (CLOCK_BOOTTIME, so that a suspended host catches up; CLOCK_REALTIME). */
extern const struct clock clock_system;

static inline int64_t clock_mono(const struct clock *c)
{
    return c->mono_ms(c->arg);
}
static inline int64_t clock_wall(const struct clock *c)
{
    return c->wall_ms(c->arg);
}

#endif
