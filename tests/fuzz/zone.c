/*
 * Any bytes as a TZif file, and times at the edges of what it says. Beyond not crashing: an offset
 * is less than a day, and holds at the time that was asked for.
 */
#include <assert.h>
#include <stdint.h>

#include "calendar/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times[] = {INT64_MIN / 2, -4000000000,  0, 951782400, 1800000000,
                                    32503680000,   INT64_MAX / 2};
    CLEANUP_ZONE struct zone *z = NULL;
    struct err err = {0};
    if (zone_parse(data, size, &z, &err) < 0)
        return 0;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t start, end;
        int32_t offset = zone_offset(z, times[i], &start, &end);
        assert(offset > -7 * 86400 && offset < 7 * 86400);
        assert(start <= times[i] && times[i] < end);
        if (times[i] > -4000000001 && times[i] < 32503680001) {
            struct civil c = civil_from_unix(z, times[i]);
            (void)civil_to_unix(z, &c);
        }
    }
    return 0;
}
