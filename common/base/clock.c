#include "base/clock.h"

#include <time.h>

static int64_t now_ms(clockid_t id)
{
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono(void *arg)
{
    (void)arg;
    return now_ms(CLOCK_BOOTTIME);
}

static int64_t system_wall(void *arg)
{
    (void)arg;
    return now_ms(CLOCK_REALTIME);
}

const struct clock clock_system = {.mono_ms = system_mono, .wall_ms = system_wall};
