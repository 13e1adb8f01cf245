#include "apimachinery/duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define NS_US INT64_C(1000)
#define NS_MS INT64_C(1000000)
#define NS_S INT64_C(1000000000)

static const struct {
    const char *text;
    uint64_t ns;
} units[] = {
    {"ns", 1},     {"us", NS_US}, {"\xc2\xb5s", NS_US}, {"\xce\xbcs", NS_US},
    {"ms", NS_MS}, {"s", NS_S},   {"m", 60 * NS_S},     {"h", 3600 * NS_S},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* time/format.go leadingInt: false past 2^63. */
static bool leading_int(const char **s, uint64_t *ret)
{
    uint64_t x = 0;
    for (; is_digit(**s); (*s)++) {
        if (x > (UINT64_C(1) << 63) / 10)
            return false;
        x = x * 10 + (uint64_t)(**s - '0');
        if (x > UINT64_C(1) << 63)
            return false;
    }
    *ret = x;
    return true;
}

/* time/format.go leadingFraction: digits past what fits are read over, not an error. */
static void leading_fraction(const char **s, uint64_t *ret, double *ret_scale)
{
    uint64_t x = 0;
    double scale = 1;
    bool overflow = false;
    for (; is_digit(**s); (*s)++) {
        if (overflow)
            continue;
        if (x > (uint64_t)INT64_MAX / 10) {
            overflow = true;
            continue;
        }
        uint64_t y = x * 10 + (uint64_t)(**s - '0');
        if (y > UINT64_C(1) << 63) {
            overflow = true;
            continue;
        }
        x = y;
        scale *= 10;
    }
    *ret = x;
    *ret_scale = scale;
}

static bool read_unit(const char **s, uint64_t *ret)
{
    size_t n = 0;
    while ((*s)[n] && (*s)[n] != '.' && !is_digit((*s)[n]))
        n++;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strlen(units[i].text) == n && memcmp(*s, units[i].text, n) == 0) {
            *ret = units[i].ns;
            *s += n;
            return true;
        }
    }
    return false;
}

/* One "1.5h". */
static bool read_part(const char **s, uint64_t *ret)
{
    uint64_t v, f = 0, unit;
    double scale = 1;
    const char *start = *s;
    if (!leading_int(s, &v))
        return false;
    bool whole = *s != start, fraction = false;
    if (**s == '.') {
        start = ++*s;
        leading_fraction(s, &f, &scale);
        fraction = *s != start;
    }
    if ((!whole && !fraction) || !read_unit(s, &unit))
        return false;
    if (v > (UINT64_C(1) << 63) / unit)
        return false;
    v *= unit;
    if (f) {
        /* Go multiplies in float64 too, so the same rounding follows. */
        v += (uint64_t)((double)f * ((double)unit / scale));
        if (v > UINT64_C(1) << 63)
            return false;
    }
    *ret = v;
    return true;
}

bool duration_parse(const char *text, int64_t *ret_ns)
{
    if (!text)
        return false;
    const char *s = text;
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (strcmp(s, "0") == 0) {
        *ret_ns = 0;
        return true;
    }
    if (!*s)
        return false;
    uint64_t total = 0;
    while (*s) {
        uint64_t part;
        if ((*s != '.' && !is_digit(*s)) || !read_part(&s, &part))
            return false;
        total += part;
        if (total > UINT64_C(1) << 63)
            return false;
    }
    if (!negative && total > (uint64_t)INT64_MAX)
        return false;
    *ret_ns = (int64_t)(negative ? 0 - total : total);
    return true;
}

void duration_print(int64_t ms, char out[DURATION_PRINT_MAX])
{
    const char *sign = ms < 0 ? "-" : "";
    uint64_t v = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    uint64_t s = v / 1000, m = s / 60, h = m / 60;
    if (h && m % 60)
        snprintf(out, DURATION_PRINT_MAX, "%s%" PRIu64 "h%" PRIu64 "m", sign, h, m % 60);
    else if (h)
        snprintf(out, DURATION_PRINT_MAX, "%s%" PRIu64 "h", sign, h);
    else if (m && s % 60)
        snprintf(out, DURATION_PRINT_MAX, "%s%" PRIu64 "m%" PRIu64 "s", sign, m, s % 60);
    else if (m)
        snprintf(out, DURATION_PRINT_MAX, "%s%" PRIu64 "m", sign, m);
    else if (s && v % 1000 == 0)
        snprintf(out, DURATION_PRINT_MAX, "%s%" PRIu64 "s", sign, s);
    else if (s)
        snprintf(out, DURATION_PRINT_MAX, "%s%" PRIu64 ".%03" PRIu64 "s", sign, s, v % 1000);
    else
        snprintf(out, DURATION_PRINT_MAX, "%s%" PRIu64 "ms", sign, v);
}
