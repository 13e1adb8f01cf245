/*
 * The first line is a schedule, the rest a time zone file: no crash, no endless search, and the
 * next activation lies in the future.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "calendar/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - data) : size;
    CLEANUP_FREE char *text = xstrndup((const char *)data, n);
    CLEANUP_ZONE struct zone *zone = NULL;
    struct cron c;
    struct err err;
    struct window_state state;
    const int64_t now_s = 1767225600;
    if (end && zone_parse(end + 1, size - n - 1, &zone, &err) < 0)
        zone = NULL;
    if (zone) {
        for (int64_t t = -3000000000; t < 9000000000; t += 987654321) {
            struct civil civil = civil_from_unix(zone, t);
            assert(civil.month >= 1 && civil.month <= 12 && civil.day >= 1 && civil.day <= 31);
            (void)civil_to_unix(zone, &civil);
        }
    }
    if (cron_parse(text, &c, &err) < 0)
        return 0;
    int64_t at = now_s, previous = now_s;
    for (int i = 0; i < 3 && cron_next(&c, zone, at, &at); i++) {
        assert(at > previous);
        previous = at;
    }
    if (!c.every_s)
        (void)cron_window(&c, zone, 3600 * 1000, now_s * 1000, &state);
    return 0;
}
