#include "calendar/cron.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "apimachinery/duration.h"
#include "base/mem.h"
#include "base/str.h"

#define STAR (UINT64_C(1) << 63)
#define FIELDS 5

struct bounds {
    const char *name;
    unsigned min, max;
    const char *const *words; /* the word at i stands for min + i */
    size_t word_count;
};

static const char *const month_words[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const day_words[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct bounds bounds[FIELDS] = {
    {"minute", 0, 59, NULL, 0},
    {"hour", 0, 23, NULL, 0},
    {"day of month", 1, 31, NULL, 0},
    {"month", 1, 12, month_words, ARRAY_LEN(month_words)},
    {"day of week", 0, 6, day_words, ARRAY_LEN(day_words)},
};

/* Length in bytes of the white space at s as Go's unicode.IsSpace has it; 0: none. */
static size_t space(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    if ((*u >= 9 && *u <= 13) || *u == ' ')
        return 1;
    if (u[0] == 0xc2 && (u[1] == 0x85 || u[1] == 0xa0))
        return 2;
    if (u[0] == 0xe1 && u[1] == 0x9a && u[2] == 0x80)
        return 3;
    if (u[0] == 0xe2 && u[1] == 0x80 &&
        ((u[2] >= 0x80 && u[2] <= 0x8a) || u[2] == 0xa8 || u[2] == 0xa9 || u[2] == 0xaf))
        return 3;
    if (u[0] == 0xe2 && u[1] == 0x81 && u[2] == 0x9f)
        return 3;
    return u[0] == 0xe3 && u[1] == 0x80 && u[2] == 0x80 ? 3 : 0;
}

/* strconv.Atoi on [s, s+n): a sign is allowed. */
static bool read_cron_number(const char *s, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = n && s[0] == '+';
    if (i == n)
        return false;
    for (; i < n; i++) {
        if (!isdigit((unsigned char)s[i]))
            return false;
        unsigned d = (unsigned)(s[i] - '0');
        if (v > ((uint64_t)INT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *ret = v;
    return true;
}

static bool number_or_word(const struct bounds *b, const char *s, size_t n, uint64_t *ret)
{
    for (size_t i = 0; i < b->word_count; i++) {
        if (strlen(b->words[i]) == n && strncasecmp(s, b->words[i], n) == 0) {
            *ret = b->min + i;
            return true;
        }
    }
    return read_cron_number(s, n, ret);
}

static uint64_t bits(uint64_t from, uint64_t to, uint64_t step)
{
    uint64_t set = 0;
    assert(to < 63);
    for (uint64_t i = from; i <= to; i += step)
        set |= UINT64_C(1) << i;
    return set;
}

static size_t count_char(const char *s, size_t n, char c)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += s[i] == c;
    return found;
}

static const char *find_character(const char *s, size_t n, char c)
{
    const char *p = memchr(s, c, n);
    return p ? p : s + n;
}

static int refuse_field(const struct bounds *b, const char *s, size_t n, const char *why,
                        struct err *err)
{
    return err_set(err, ERR_INVALID, "%s \"%.*s\": %s; it takes %u-%u%s%s", b->name,
                   (int)(n < 32 ? n : 32), s, why, b->min, b->max,
                   b->word_count ? " and names such as " : "", b->word_count ? b->words[0] : "");
}

/* One part of a comma list: a star, "5", "1-5", "mon-fri", each with a step such as "/15". */
static int read_range(const struct bounds *b, const char *s, size_t n, uint64_t *set,
                      struct err *err)
{
    const char *slash = find_character(s, n, '/');
    size_t head = (size_t)(slash - s);
    const char *hyphen = find_character(s, head, '-');
    size_t low = (size_t)(hyphen - s);
    bool single = low == head;
    uint64_t from, to, step = 1, star = 0;
    if (low == 1 && (*s == '*' || *s == '?')) {
        from = b->min;
        to = b->max;
        star = STAR;
    } else {
        if (count_char(s, head, '-') > 1)
            return refuse_field(b, s, n, "more than one hyphen", err);
        if (!number_or_word(b, s, low, &from))
            return refuse_field(b, s, n, "not a number", err);
        to = from;
        if (!single && !number_or_word(b, hyphen + 1, head - low - 1, &to))
            return refuse_field(b, s, n, "the range does not end in a number", err);
    }
    if (head < n) {
        if (count_char(s, n, '/') > 1)
            return refuse_field(b, s, n, "more than one slash", err);
        if (!read_cron_number(slash + 1, n - head - 1, &step))
            return refuse_field(b, s, n, "the step is no number", err);
        /* "5/10" means from 5 to the end by 10. */
        if (single)
            to = b->max;
        if (step > 1)
            star = 0;
    }
    if (from < b->min || to > b->max)
        return refuse_field(b, s, n, "out of range", err);
    if (from > to)
        return refuse_field(b, s, n, "the range runs backwards", err);
    if (step == 0)
        return refuse_field(b, s, n, "the step must be positive", err);
    *set |= bits(from, to, step) | star;
    return 0;
}

/* A list of ranges; empty parts count for nothing, so "," is a valid and empty list. */
static int read_field(const struct bounds *b, const char *s, size_t n, uint64_t *ret,
                      struct err *err)
{
    uint64_t set = 0;
    for (const char *end = s + n; s < end;) {
        const char *comma = find_character(s, (size_t)(end - s), ',');
        if (comma != s && read_range(b, s, (size_t)(comma - s), &set, err) < 0)
            return -1;
        s = comma + 1;
    }
    *ret = set;
    return 0;
}

static int read_descriptor(const char *text, struct cron *ret, struct err *err)
{
    static const struct {
        const char *name, *fields;
    } known[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(text, known[i].name))
            return cron_parse(known[i].fields, ret, err);
    if (str_starts(text, "@every ")) {
        int64_t ns;
        if (!duration_parse(text + strlen("@every "), &ns))
            return err_set(err, ERR_INVALID, "@every needs a duration such as 1h30m");
        *ret = (struct cron){.every_s = ns < 1000000000 ? 1 : ns / 1000000000};
        return 0;
    }
    return err_set(err, ERR_INVALID,
                   "\"%.32s\" is none of @yearly, @monthly, @weekly, @daily, @hourly", text);
}

int cron_parse(const char *text, struct cron *ret, struct err *err)
{
    if (str_empty(text))
        return err_set(err, ERR_INVALID, "it is empty");
    if (strlen(text) > CRON_TEXT_MAX)
        return err_set(err, ERR_LIMIT, "it is longer than %d bytes", CRON_TEXT_MAX);
    if (str_starts(text, "TZ=") || str_starts(text, "CRON_TZ="))
        return err_set(err, ERR_INVALID, "the time zone has a field of its own, timeZone");
    if (text[0] == '@')
        return read_descriptor(text, ret, err);
    const char *start[FIELDS] = {0};
    size_t len[FIELDS] = {0}, count = 0;
    for (const char *s = text; *s;) {
        size_t gap = space(s);
        if (gap) {
            s += gap;
            continue;
        }
        const char *end = s;
        while (*end && !space(end))
            end++;
        if (count < FIELDS) {
            start[count] = s;
            len[count] = (size_t)(end - s);
        }
        count++;
        s = end;
    }
    if (count != FIELDS)
        return err_set(err, ERR_INVALID,
                       "it has %zu field%s instead of 5 (minute hour day month weekday)", count,
                       count == 1 ? "" : "s");
    uint64_t set[FIELDS];
    for (size_t i = 0; i < FIELDS; i++)
        if (read_field(&bounds[i], start[i], len[i], &set[i], err) < 0)
            return -1;
    *ret = (struct cron){set[0], set[1], set[2], set[3], set[4], 0};
    return 0;
}

/* --- Next activation (robfig/cron v3 spec.go SpecSchedule.Next) --- */

static bool has_bit(uint64_t set, int bit)
{
    return set >> (unsigned)bit & 1;
}

static bool day_matches(const struct cron *c, const struct civil *t)
{
    bool dom = has_bit(c->dom, t->day), dow = has_bit(c->dow, t->weekday);
    return (c->dom | c->dow) & STAR ? dom && dow : dom || dow;
}

/* The walk: the time, and whether it was moved (then its lower fields are zero already). */
struct walk {
    const struct cron *c;
    const struct zone *zone;
    int64_t at;
    struct civil t;
    bool moved;
};

static void walk_to(struct walk *w, int64_t at)
{
    w->at = at;
    w->t = civil_from_unix(w->zone, at);
}

static void walk_civil(struct walk *w, struct civil t)
{
    walk_to(w, civil_to_unix(w->zone, &t));
}

/* To a later day or month. Where a zone left out a whole day (Pacific/Apia, 30 December 2011) its
   midnight falls back on the day before, and robfig/cron goes round for ever; we go on. */
static void walk_on(struct walk *w, struct civil t)
{
    int64_t before = w->at;
    walk_civil(w, t);
    if (w->at <= before)
        walk_to(w, before + 24 * 3600);
}

/* Each step returns false when it wrapped around, so that the higher fields are looked at again. */
static bool walk_month(struct walk *w)
{
    while (!has_bit(w->c->month, w->t.month)) {
        if (!w->moved) {
            w->moved = true;
            walk_civil(w, (struct civil){.year = w->t.year, .month = w->t.month, .day = 1});
        }
        struct civil next = w->t;
        next.month++;
        walk_on(w, next);
        if (w->t.month == 1)
            return false;
    }
    return true;
}

static bool walk_day(struct walk *w)
{
    while (!day_matches(w->c, &w->t)) {
        if (!w->moved) {
            w->moved = true;
            walk_civil(w, (struct civil){.year = w->t.year, .month = w->t.month, .day = w->t.day});
        }
        int64_t before = w->at;
        struct civil next = w->t;
        next.day++;
        walk_on(w, next);
        /* Where daylight saving skips midnight the day begins at 1 or at 23 of the day before. */
        if (w->t.hour > 12)
            walk_to(w, w->at + (24 - w->t.hour) * 3600);
        else if (w->t.hour)
            walk_to(w, w->at - w->t.hour * 3600);
        if (w->at <= before) /* in a zone whose clock goes back by hours there */
            walk_to(w, before + 24 * 3600);
        if (w->t.day == 1)
            return false;
    }
    return true;
}

static bool walk_hour(struct walk *w)
{
    while (!has_bit(w->c->hour, w->t.hour)) {
        if (!w->moved) {
            w->moved = true;
            struct civil t = w->t;
            t.minute = t.second = 0;
            walk_civil(w, t);
        }
        walk_to(w, w->at + 3600);
        if (w->t.hour == 0)
            return false;
    }
    return true;
}

static int64_t truncate_minute(int64_t at)
{
    int64_t rest = at % 60;
    return at - (rest < 0 ? rest + 60 : rest);
}

static bool walk_minute(struct walk *w)
{
    while (!has_bit(w->c->minute, w->t.minute)) {
        if (!w->moved) {
            w->moved = true;
            walk_to(w, truncate_minute(w->at));
        }
        walk_to(w, w->at + 60);
        if (w->t.minute == 0)
            return false;
    }
    return true;
}

/* The second is always 0 in a five-field schedule. */
static bool walk_second(struct walk *w)
{
    while (w->t.second != 0) {
        w->moved = true;
        walk_to(w, w->at + 60 - w->t.second);
        if (w->t.second == 0)
            return false;
    }
    return true;
}

bool cron_next(const struct cron *c, const struct zone *zone, int64_t after_s, int64_t *ret_s)
{
    if (c->every_s) {
        *ret_s = after_s + c->every_s;
        return true;
    }
    struct walk w = {.c = c, .zone = zone};
    int64_t from = after_s + 1;
    walk_to(&w, from);
    int64_t year_last = w.t.year + 5;
    while (w.t.year <= year_last) {
        if (!(walk_month(&w) && walk_day(&w) && walk_hour(&w) && walk_minute(&w) &&
              walk_second(&w)))
            continue;
        if (w.at > after_s) {
            *ret_s = w.at;
            return true;
        }
        /* The clock of a strange zone went back by days, and the walk with it: from a day later. */
        from += 24 * 3600;
        w.moved = false;
        walk_to(&w, from);
    }
    return false;
}

/* The last activation that is not after now; `first` is one. From the end backwards in growing
   steps, then halving what is left: a schedule of every minute and a window of a week are asked
   some thirty times and not ten thousand. */
static int64_t last_activation(const struct cron *c, const struct zone *zone, int64_t now_s,
                               int64_t first)
{
    int64_t low = first, high = now_s, at;
    for (int64_t step = 60; now_s - step > first; step *= 2) {
        if (cron_next(c, zone, now_s - step, &at) && at <= now_s) {
            low = at;
            break;
        }
        high = now_s - step;
    }
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (cron_next(c, zone, middle, &at) && at <= now_s)
            low = at;
        else
            high = middle;
    }
    return low;
}

bool cron_window(const struct cron *c, const struct zone *zone, int64_t duration_ms, int64_t now_ms,
                 struct window_state *ret)
{
    int64_t duration_s = duration_ms / 1000, now_s = now_ms / 1000, at, next;
    *ret = (struct window_state){0};
    /* A window is open when one began within the last duration; the latest one decides its end. */
    if (!cron_next(c, zone, now_s - duration_s, &at))
        return false;
    if (at > now_s) {
        ret->until_ms = at * 1000;
        return true;
    }
    int64_t closes_ms = last_activation(c, zone, now_s, at) * 1000 + duration_ms;
    if (closes_ms > now_ms) {
        *ret = (struct window_state){true, closes_ms};
        return true;
    }
    if (!cron_next(c, zone, now_s, &next))
        return false;
    ret->until_ms = next * 1000;
    return true;
}
