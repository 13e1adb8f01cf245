/*
 * Time zones from the system's TZif files (RFC 8536), looked up as Go's time package does, so that
 * a window opens at the second at which a CronJob of the same schedule would run. A name is valid
 * exactly when Go's time.LoadLocation takes it, except "Local", which the CronJob API refuses too.
 * Reading the file is the only I/O of this layer. Owned: zone_free.
 */
#ifndef CALENDAR_ZONE_H
#define CALENDAR_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
/* The largest file of tzdata is below 4 KiB in slim and 10 KiB in fat form. */
#define ZONE_FILE_BYTES (256u * 1024u)

struct zone;

/* "" and "UTC" need no file. ERR_NOT_FOUND: there is no such zone. ERR_UNAVAILABLE: the machine has
   no zone files at all, so nothing can be said about the name. ERR_INVALID: not a name, or the file
   is no TZif. */
WUKONG_CHECK int zone_load(const char *name, struct zone **ret, struct err *err);
/* From bytes of a TZif file. */
WUKONG_CHECK int zone_parse(const void *bytes, size_t len, struct zone **ret, struct err *err);
void zone_free(struct zone *z);
static inline void zone_free_p(struct zone **z)
{
    zone_free(*z);
}
#define CLEANUP_ZONE __attribute__((cleanup(zone_free_p)))

/* Seconds east of UTC at the Unix time; the offset holds in [*start, *end), which may be NULL. A
   NULL zone is UTC. */
int32_t zone_offset(const struct zone *z, int64_t unix_s, int64_t *start, int64_t *end);

/* Civil time. Fields out of range are carried over, as Go's time.Date does. */
struct civil {
    int64_t year;
    int month, day, hour, minute, second; /* month 1-12 */
    int weekday;                          /* 0 Sunday; not read by civil_to_unix */
};
struct civil civil_from_unix(const struct zone *z, int64_t unix_s);
int64_t civil_to_unix(const struct zone *z, const struct civil *c);

#endif
