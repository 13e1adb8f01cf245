#include "calendar/zone.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define DAY 86400
/* RFC 8536, section 3.2: an offset should be more than -25 hours and less than 26. */
#define OFFSET_MIN (-89999)
#define OFFSET_MAX 93599

struct local_type {
    int32_t offset;
    bool dst;
};

struct zone {
    size_t type_count, change_count;
    struct local_type *types;
    int64_t *when;    /* change_count times, ascending */
    uint8_t *type_of; /* the type that begins there */
    char *rule;       /* POSIX TZ string for the time after the last change; NULL */
};

/* --- Calendar --- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

static bool is_leap(int64_t y)
{
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

/* Days since 1970-01-01 of a proleptic Gregorian date; month may be out of range. */
static int64_t days_from_civil(int64_t y, int64_t month, int64_t d)
{
    y += floor_div(month - 1, 12);
    int64_t m = month - 1 - 12 * floor_div(month - 1, 12); /* 0 = January */
    /* Count years from March, so that the leap day comes last. */
    int64_t from_march = (m + 10) % 12;
    y -= m < 2;
    int64_t era = floor_div(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * from_march + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_from_days(int64_t days, struct civil *c)
{
    int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    c->year = yoe + era * 400 + (c->month <= 2);
    c->weekday = (int)(days + 4 - 7 * floor_div(days + 4, 7));
}

struct civil civil_from_unix(const struct zone *z, int64_t unix_s)
{
    struct civil c;
    int64_t local = unix_s + zone_offset(z, unix_s, NULL, NULL);
    int64_t days = floor_div(local, DAY), rest = local - days * DAY;
    civil_from_days(days, &c);
    c.hour = (int)(rest / 3600);
    c.minute = (int)(rest / 60 % 60);
    c.second = (int)(rest % 60);
    return c;
}

int64_t civil_to_unix(const struct zone *z, const struct civil *c)
{
    int64_t local = days_from_civil(c->year, c->month, 1) * DAY + (int64_t)(c->day - 1) * DAY +
                    (int64_t)c->hour * 3600 + (int64_t)c->minute * 60 + c->second;
    /* time.Date: take the offset at the local time read as UTC; where that one does not hold for
       the result, take the offset at the result. A time that a change skips or repeats gets the
       answer that Go gives. */
    int64_t start, end;
    int32_t offset = zone_offset(z, local, &start, &end);
    if (offset) {
        int64_t utc = local - offset;
        if (utc < start || utc >= end)
            offset = zone_offset(z, utc, NULL, NULL);
    }
    return local - offset;
}

/* --- POSIX TZ strings --- */

struct tz_rule {
    enum { TZ_JULIAN, TZ_DAY, TZ_MONTH } kind;
    int day, week, month;
    int time;
};

static bool tz_number(const char **s, int min, int max, int *ret)
{
    int n = 0;
    const char *start = *s;
    for (; **s >= '0' && **s <= '9'; (*s)++) {
        n = n * 10 + (**s - '0');
        if (n > max)
            return false;
    }
    *ret = n;
    return *s != start && n >= min;
}

static bool tz_name(const char **s)
{
    size_t n;
    if (**s == '<') {
        const char *close = strchr(*s, '>');
        if (!close)
            return false;
        *s = close + 1;
        return true;
    }
    n = strcspn(*s, "0123456789,-+");
    *s += n;
    return n >= 3;
}

static bool tz_time(const char **s, int *ret)
{
    bool negative = **s == '-';
    int part, total;
    if (**s == '-' || **s == '+')
        (*s)++;
    if (!tz_number(s, 0, 24 * 7, &part))
        return false;
    total = part * 3600;
    for (int unit = 60; unit && **s == ':'; unit /= 60) {
        (*s)++;
        if (!tz_number(s, 0, 59, &part))
            return false;
        total += part * unit;
    }
    *ret = negative ? -total : total;
    return true;
}

static bool tz_read_rule(const char **s, struct tz_rule *r)
{
    *r = (struct tz_rule){.time = 2 * 3600};
    if (**s == 'J') {
        r->kind = TZ_JULIAN;
        (*s)++;
        if (!tz_number(s, 1, 365, &r->day))
            return false;
    } else if (**s == 'M') {
        r->kind = TZ_MONTH;
        (*s)++;
        if (!tz_number(s, 1, 12, &r->month) || *(*s)++ != '.' || !tz_number(s, 1, 5, &r->week) ||
            *(*s)++ != '.' || !tz_number(s, 0, 6, &r->day))
            return false;
    } else {
        r->kind = TZ_DAY;
        if (!tz_number(s, 0, 365, &r->day))
            return false;
    }
    if (**s != '/')
        return true;
    (*s)++;
    return tz_time(s, &r->time);
}

/* Seconds from the start of the year (UTC) at which the rule strikes. */
static int64_t tz_strike(int64_t year, const struct tz_rule *r, int offset)
{
    int64_t day = r->day;
    if (r->kind == TZ_JULIAN) {
        day = r->day - 1 + (is_leap(year) && r->day >= 60);
    } else if (r->kind == TZ_MONTH) {
        int64_t start = days_from_civil(year, 1, 1);
        int64_t first = days_from_civil(year, r->month, 1);
        int64_t next = days_from_civil(year, r->month + 1, 1);
        int64_t weekday = first + 4 - 7 * floor_div(first + 4, 7);
        day = first + (r->day - weekday + 7) % 7;
        for (int week = 1; week < r->week && day + 7 < next; week++)
            day += 7;
        day -= start;
    }
    return day * DAY + r->time - offset;
}

struct tz_answer {
    int offset;
    int64_t start, end;
};

/* The offset that the string gives at a time after the last change. False: not a TZ string. */
static bool tz_lookup(const char *s, int64_t last_change, int64_t sec, struct tz_answer *ret)
{
    int std, dst;
    if (!tz_name(&s) || !tz_time(&s, &std))
        return false;
    std = -std;
    if (*s == '\0' || *s == ',') {
        *ret = (struct tz_answer){std, last_change, INT64_MAX};
        return true;
    }
    if (!tz_name(&s))
        return false;
    if (*s == '\0' || *s == ',') {
        dst = std + 3600;
    } else {
        if (!tz_time(&s, &dst))
            return false;
        dst = -dst;
    }
    if (*s == '\0')
        s = ",M3.2.0,M11.1.0";
    struct tz_rule to_dst, to_std;
    if ((*s != ',' && *s != ';') || (s++, !tz_read_rule(&s, &to_dst)) || *s != ',' ||
        (s++, !tz_read_rule(&s, &to_std)) || *s)
        return false;

    struct civil c;
    civil_from_days(floor_div(sec, DAY), &c);
    int64_t year_start = days_from_civil(c.year, 1, 1) * DAY, at = sec - year_start;
    int64_t begin = tz_strike(c.year, &to_dst, std), finish = tz_strike(c.year, &to_std, dst);
    if (finish < begin) { /* southern hemisphere: the year begins in summer */
        int64_t t = begin;
        begin = finish;
        finish = t;
        int o = std;
        std = dst;
        dst = o;
    }
    /* The bounds are right near a change and rough elsewhere, as in Go: civil_to_unix needs no
       more. */
    if (at < begin)
        *ret = (struct tz_answer){std, year_start, year_start + begin};
    else if (at >= finish)
        *ret = (struct tz_answer){std, year_start + finish, year_start + 365 * DAY};
    else
        *ret = (struct tz_answer){dst, year_start + begin, year_start + finish};
    return true;
}

/* --- Lookup --- */

/* The type in force before the first change (time/zoneinfo.go lookupFirstZone). */
static size_t first_type(const struct zone *z)
{
    bool used = false;
    for (size_t i = 0; i < z->change_count; i++)
        used = used || z->type_of[i] == 0;
    if (!used)
        return 0;
    if (z->change_count && z->types[z->type_of[0]].dst) {
        for (size_t i = z->type_of[0]; i-- > 0;)
            if (!z->types[i].dst)
                return i;
    }
    for (size_t i = 0; i < z->type_count; i++)
        if (!z->types[i].dst)
            return i;
    return 0;
}

int32_t zone_offset(const struct zone *z, int64_t unix_s, int64_t *start, int64_t *end)
{
    int64_t ignored;
    start = start ? start : &ignored;
    end = end ? end : &ignored;
    *start = INT64_MIN;
    *end = INT64_MAX;
    if (!z)
        return 0;
    if (!z->change_count || unix_s < z->when[0]) {
        if (z->change_count)
            *end = z->when[0];
        return z->types[first_type(z)].offset;
    }
    size_t low = 0, high = z->change_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (unix_s < z->when[middle]) {
            *end = z->when[middle];
            high = middle;
        } else {
            low = middle;
        }
    }
    *start = z->when[low];
    struct tz_answer a;
    if (low == z->change_count - 1 && z->rule && tz_lookup(z->rule, *start, unix_s, &a)) {
        *start = a.start;
        *end = a.end;
        return a.offset;
    }
    return z->types[z->type_of[low]].offset;
}

/* --- TZif --- */

struct reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static const uint8_t *take_bytes(struct reader *r, size_t n)
{
    if (r->failed || n > r->left) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    r->left -= n;
    return p;
}

static uint32_t big4(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t big8(const uint8_t *p)
{
    return (int64_t)((uint64_t)big4(p) << 32 | big4(p + 4));
}

enum { N_UTC, N_STD, N_LEAP, N_TIME, N_TYPE, N_CHAR, N_COUNTS };

/* One header; counts are of this block. version '\0', '2' or '3'. */
static bool read_header(struct reader *r, uint32_t n[N_COUNTS], char *version)
{
    const uint8_t *p = take_bytes(r, 44);
    if (!p || memcmp(p, "TZif", 4) != 0)
        return false;
    *version = (char)p[4];
    for (int i = 0; i < N_COUNTS; i++) {
        n[i] = big4(p + 20 + 4 * i);
        /* No count can pass the file, so the products below cannot overflow. */
        if (n[i] > ZONE_FILE_BYTES)
            return false;
    }
    return *version == '\0' || *version == '2' || *version == '3';
}

static size_t block_size(const uint32_t n[N_COUNTS], size_t time_size)
{
    return n[N_TIME] * (time_size + 1) + n[N_TYPE] * (size_t)6 + n[N_CHAR] +
           n[N_LEAP] * (time_size + 4) + n[N_STD] + n[N_UTC];
}

static bool fill_zone(struct zone *z, struct reader *r, const uint32_t n[N_COUNTS],
                      size_t time_size)
{
    const uint8_t *times = take_bytes(r, n[N_TIME] * time_size), *index = take_bytes(r, n[N_TIME]);
    const uint8_t *types = take_bytes(r, n[N_TYPE] * (size_t)6);
    (void)take_bytes(r, n[N_CHAR]);
    (void)take_bytes(r, n[N_LEAP] * (time_size + 4));
    (void)take_bytes(r, n[N_STD]);
    (void)take_bytes(r, n[N_UTC]);
    if (r->failed || n[N_TYPE] == 0)
        return false;
    z->type_count = n[N_TYPE];
    z->types = xcalloc(n[N_TYPE], sizeof(*z->types));
    for (size_t i = 0; i < n[N_TYPE]; i++) {
        z->types[i].offset = (int32_t)big4(types + 6 * i);
        z->types[i].dst = types[6 * i + 4] != 0;
        if (z->types[i].offset < OFFSET_MIN || z->types[i].offset > OFFSET_MAX ||
            types[6 * i + 5] >= n[N_CHAR])
            return false;
    }
    /* A fixed zone has no change: one at the beginning of time stands in, as in Go, so that its TZ
       string is looked at. */
    z->change_count = n[N_TIME] ? n[N_TIME] : 1;
    z->when = xcalloc(z->change_count, sizeof(*z->when));
    z->type_of = xcalloc(z->change_count, 1);
    if (!n[N_TIME])
        z->when[0] = INT64_MIN;
    for (size_t i = 0; i < n[N_TIME]; i++) {
        z->when[i] = time_size == 8 ? big8(times + 8 * i) : (int32_t)big4(times + 4 * i);
        z->type_of[i] = index[i];
        if (index[i] >= n[N_TYPE])
            return false;
    }
    return true;
}

int zone_parse(const void *bytes, size_t len, struct zone **ret, struct err *err)
{
    struct reader r = {.at = bytes, .left = len};
    uint32_t n[N_COUNTS];
    char version, second;
    size_t time_size = 4;
    if (len > ZONE_FILE_BYTES)
        return err_set(err, ERR_LIMIT, "time zone file is too long");
    if (!read_header(&r, n, &version))
        return err_set(err, ERR_INVALID, "not a time zone file");
    if (version != '\0') {
        /* The same again with 64-bit times follows the 32-bit block. */
        if (!take_bytes(&r, block_size(n, 4)) || !read_header(&r, n, &second))
            return err_set(err, ERR_INVALID, "time zone file is cut off");
        time_size = 8;
    }
    CLEANUP_ZONE struct zone *z = xcalloc(1, sizeof(*z));
    if (!fill_zone(z, &r, n, time_size))
        return err_set(err, ERR_INVALID, "time zone file is damaged");
    if (r.left > 2 && r.at[0] == '\n' && r.at[r.left - 1] == '\n')
        z->rule = xstrndup((const char *)r.at + 1, r.left - 2);
    *ret = TAKE(z);
    return 0;
}

void zone_free(struct zone *z)
{
    if (!z)
        return;
    free(z->types);
    free(z->when);
    free(z->type_of);
    free(z->rule);
    free(z);
}

/* LoadLocation's guard against paths: no "..", nothing absolute. */
static bool is_safe(const char *name)
{
    return name[0] != '/' && name[0] != '\\' && !strstr(name, "..");
}

int zone_load(const char *name, struct zone **ret, struct err *err)
{
    if (str_empty(name) || str_eq(name, "UTC")) {
        struct zone *z = xcalloc(1, sizeof(*z));
        z->type_count = z->change_count = 1;
        z->types = xcalloc(1, sizeof(*z->types));
        z->when = xcalloc(1, sizeof(*z->when));
        z->type_of = xcalloc(1, 1);
        *ret = z;
        return 0;
    }
    if (!is_safe(name) || strcasecmp(name, "Local") == 0 || strlen(name) > 255)
        return err_set(err, ERR_INVALID, "\"%.64s\" is no time zone name", name);
    if (access(ZONE_DIRECTORY "/UTC", R_OK) != 0)
        return err_set(err, ERR_UNAVAILABLE, "this machine has no time zone files");
    CLEANUP_FREE char *path = xasprintf("%s/%s", ZONE_DIRECTORY, name);
    CLEANUP_BUF struct buf file = BUF_INIT(ZONE_FILE_BYTES);
    struct err why;
    if (buf_read_file(&file, path, &why) < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no time zone \"%.64s\"", name);
    return zone_parse(file.data, file.len, ret, err);
}
