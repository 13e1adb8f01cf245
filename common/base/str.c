#include "base/str.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_to_u64(const char *s, uint64_t *ret)
{
    uint64_t v = 0;
    if (!s || !*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        uint64_t digit = (uint64_t)(*s - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

bool str_to_i64(const char *s, int64_t *ret)
{
    bool negative = s && *s == '-';
    uint64_t v;
    if (!str_to_u64(negative ? s + 1 : s, &v))
        return false;
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

uint64_t str_hash64(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

unsigned str_distance(const char *a, const char *b)
{
    unsigned d[66][66];
    size_t n = strnlen(a, 64), m = strnlen(b, 64);
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (unsigned)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            unsigned cost = a[i - 1] != b[j - 1];
            d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i][j] > d[i - 2][j - 2] + 1)
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    }
    return d[n][m];
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "days from civil"). */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static bool read_digits(const char **s, unsigned count, unsigned *ret)
{
    unsigned v = 0;
    for (unsigned i = 0; i < count; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        v = v * 10 + (unsigned)(**s - '0');
    }
    *ret = v;
    return true;
}

static bool skip(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

static unsigned month_days(unsigned y, unsigned m)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 && leap ? 29 : days[m - 1];
}

/* "Z" or "±hh:mm" up to the end of the text. */
static bool parse_zone(const char *s, int *ret_minutes)
{
    if (*s == 'Z' || *s == 'z') {
        *ret_minutes = 0;
        return s[1] == '\0';
    }
    if (*s != '+' && *s != '-')
        return false;
    int sign = *s++ == '-' ? -1 : 1;
    unsigned h, m;
    if (!read_digits(&s, 2, &h) || !skip(&s, ':') || !read_digits(&s, 2, &m) || *s || h > 23 ||
        m > 59)
        return false;
    *ret_minutes = sign * (int)(h * 60 + m);
    return true;
}

bool str_to_time_ms(const char *s, int64_t *ret_ms)
{
    unsigned y, mo, d, h, mi, sec, ms = 0;
    int zone;
    if (!s)
        return false;
    if (!read_digits(&s, 4, &y) || !skip(&s, '-') || !read_digits(&s, 2, &mo) || !skip(&s, '-') ||
        !read_digits(&s, 2, &d) || (*s != 'T' && *s != 't'))
        return false;
    s++;
    if (!read_digits(&s, 2, &h) || !skip(&s, ':') || !read_digits(&s, 2, &mi) || !skip(&s, ':') ||
        !read_digits(&s, 2, &sec))
        return false;
    if (mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h > 23 || mi > 59 || sec > 59)
        return false;
    if (skip(&s, '.')) {
        unsigned weight = 100;
        if (*s < '0' || *s > '9')
            return false;
        for (; *s >= '0' && *s <= '9'; s++, weight /= 10)
            ms += weight * (unsigned)(*s - '0');
    }
    if (!parse_zone(s, &zone))
        return false;
    int64_t seconds =
        days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - (int64_t)zone * 60;
    *ret_ms = seconds * 1000 + ms;
    return true;
}

void time_to_str(int64_t unix_ms, bool with_ms, char out[TIME_TEXT_MAX])
{
    int64_t ms = unix_ms % 1000;
    int64_t seconds = unix_ms / 1000;
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        memset(&tm, 0, sizeof tm);
    char date[TIME_TEXT_MAX];
    size_t n = strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    assert(n > 0 && n < TIME_TEXT_MAX - 6);
    if (with_ms)
        (void)snprintf(out, TIME_TEXT_MAX, "%.19s.%03dZ", date, (int)ms);
    else
        (void)snprintf(out, TIME_TEXT_MAX, "%.19sZ", date);
}

size_t str_characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void str_trim_utf8(char *s)
{
    size_t n = strlen(s), i = n;
    while (i > 0 && ((unsigned char)s[i - 1] & 0xC0) == 0x80)
        i--;
    if (i == 0)
        return;
    unsigned char lead = (unsigned char)s[i - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (n - i + 1 < want)
        s[i - 1] = '\0';
}
