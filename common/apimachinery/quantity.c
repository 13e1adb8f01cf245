#include "apimachinery/quantity.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Powers of ten smaller than this are rounded up to it (resource.Nano). */
#define NANO (-9)
/* Go's fast path keeps a value within int64 and does not cap or round it (maxInt64Factors). */
#define FAST_DIGITS 18

enum format { FORMAT_DECIMAL, FORMAT_BINARY };

/* The text taken apart, as quantity.go parseQuantityString does. */
struct parts {
    bool negative;
    const char *num, *denom, *suffix, *value;
    size_t num_len, denom_len, value_len;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *s)
{
    size_t n = 0;
    while (is_digit(s[n]))
        n++;
    return n;
}

static bool split(const char *text, struct parts *p)
{
    const char *s = text;
    p->negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    while (*s == '0')
        s++;
    p->value = text;
    p->num = s;
    p->num_len = count_digits(s);
    s += p->num_len;
    p->denom = s;
    p->denom_len = 0;
    if (*s == '.') {
        p->denom = ++s;
        p->denom_len = count_digits(s);
        s += p->denom_len;
    }
    p->value_len = (size_t)(s - text);
    p->suffix = s;
    s += strspn(s, "eEinumkKMGTP");
    if (*s == '-' || *s == '+')
        s++;
    return s[count_digits(s)] == '\0';
}

/* strconv.ParseInt(s, 10, 64): sign allowed, overflow is an error. */
static bool parse_exponent(const char *s, int32_t *ret)
{
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (!*s || s[count_digits(s)])
        return false;
    uint64_t v = 0;
    uint64_t max = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    for (; *s; s++) {
        unsigned d = (unsigned)(*s - '0');
        if (v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    /* Go converts to int32 and so wraps; the differential test found no reason to differ. */
    uint32_t low = (uint32_t)(negative ? 0 - v : v);
    *ret = (int32_t)low;
    return true;
}

/* suffix.go: what follows the number. exponent is of 10, or of 2 with FORMAT_BINARY. */
static bool interpret(const char *suffix, enum format *format, int32_t *exponent)
{
    static const struct {
        char text[3];
        enum format format;
        int8_t exponent;
    } table[] = {
        {"", FORMAT_DECIMAL, 0},   {"n", FORMAT_DECIMAL, -9}, {"u", FORMAT_DECIMAL, -6},
        {"m", FORMAT_DECIMAL, -3}, {"k", FORMAT_DECIMAL, 3},  {"M", FORMAT_DECIMAL, 6},
        {"G", FORMAT_DECIMAL, 9},  {"T", FORMAT_DECIMAL, 12}, {"P", FORMAT_DECIMAL, 15},
        {"E", FORMAT_DECIMAL, 18}, {"Ki", FORMAT_BINARY, 10}, {"Mi", FORMAT_BINARY, 20},
        {"Gi", FORMAT_BINARY, 30}, {"Ti", FORMAT_BINARY, 40}, {"Pi", FORMAT_BINARY, 50},
        {"Ei", FORMAT_BINARY, 60},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(suffix, table[i].text) == 0) {
            *format = table[i].format;
            *exponent = table[i].exponent;
            return true;
        }
    }
    if ((suffix[0] != 'e' && suffix[0] != 'E') || !suffix[1])
        return false;
    *format = FORMAT_DECIMAL;
    return parse_exponent(suffix + 1, exponent);
}

/* --- Big decimal: little-endian digits while computing --- */

struct decimal {
    unsigned count;
    uint8_t digit[QUANTITY_DIGITS_MAX]; /* digit[0] is the lowest */
};

static void decimal_multiply(struct decimal *d, uint32_t factor)
{
    uint64_t carry = 0;
    for (unsigned i = 0; i < d->count || carry; i++) {
        assert(i < QUANTITY_DIGITS_MAX);
        if (i == d->count)
            d->digit[d->count++] = 0;
        uint64_t v = (uint64_t)d->digit[i] * factor + carry;
        d->digit[i] = (uint8_t)(v % 10);
        carry = v / 10;
    }
}

static void decimal_trim(struct decimal *d)
{
    while (d->count && d->digit[d->count - 1] == 0)
        d->count--;
}

/* Drops the digits below 10^NANO, rounding away from zero; scale is the power of digit[0]. */
static int64_t decimal_round(struct decimal *d, int64_t scale)
{
    if (scale >= NANO || d->count == 0)
        return scale;
    uint64_t drop = (uint64_t)(NANO - scale);
    bool lost = false;
    unsigned gone = drop < d->count ? (unsigned)drop : d->count;
    for (unsigned i = 0; i < gone; i++)
        lost = lost || d->digit[i];
    memmove(d->digit, d->digit + gone, d->count - gone);
    d->count -= gone;
    if (lost) {
        unsigned i = 0;
        while (i < d->count && d->digit[i] == 9)
            d->digit[i++] = 0;
        if (i == d->count)
            d->digit[d->count++] = 0;
        d->digit[i]++;
    }
    return NANO;
}

static struct quantity decimal_quantity(const struct decimal *d, int64_t scale, bool negative)
{
    struct quantity q = {0};
    unsigned low = 0;
    while (low < d->count && d->digit[low] == 0)
        low++;
    if (low == d->count)
        return q;
    q.sign = negative ? -1 : 1;
    q.count = d->count - low;
    q.exponent = scale + d->count;
    for (unsigned i = 0; i < q.count; i++)
        q.digits[i] = d->digit[d->count - 1 - i];
    return q;
}

static struct decimal decimal_read(const struct parts *p)
{
    struct decimal d = {.count = (unsigned)(p->num_len + p->denom_len)};
    unsigned at = d.count;
    for (size_t i = 0; i < p->num_len; i++)
        d.digit[--at] = (uint8_t)(p->num[i] - '0');
    for (size_t i = 0; i < p->denom_len; i++)
        d.digit[--at] = (uint8_t)(p->denom[i] - '0');
    decimal_trim(&d);
    return d;
}

/* Does Go keep this one in its int64 fast path, unrounded and uncapped? */
static bool is_fast(const struct parts *p, enum format format, int32_t exponent, int32_t scale)
{
    int32_t num = p->num_len ? (int32_t)p->num_len : 1;
    if (format == FORMAT_BINARY) {
        if (p->denom_len)
            return false;
        return 15 - num - (int32_t)((float)exponent * 3 / 10) - 1 >= 0;
    }
    return FAST_DIGITS - (num + (int32_t)p->denom_len) >= 0 && scale >= NANO;
}

enum quantity_error quantity_parse(const char *text, struct quantity *ret)
{
    struct parts p;
    if (str_empty(text))
        return QUANTITY_EMPTY;
    if (strlen(text) > QUANTITY_TEXT_MAX)
        return QUANTITY_TOO_LONG;
    if (!split(text, &p))
        return QUANTITY_FORMAT;
    enum format format;
    int32_t exponent;
    if (!interpret(p.suffix, &format, &exponent))
        return QUANTITY_SUFFIX;

    int32_t scale = format == FORMAT_BINARY ? 0 : exponent;
    scale = (int32_t)((uint32_t)scale - (uint32_t)p.denom_len);
    struct decimal d = decimal_read(&p);
    bool fast = is_fast(&p, format, exponent, scale);
    if (!fast) {
        /* inf.Dec wants at least one digit in the number. */
        size_t n = 0;
        while (n < p.value_len && !is_digit(p.value[n]))
            n++;
        if (n == p.value_len)
            return QUANTITY_NUMBER;
    }
    int64_t power = scale;
    if (format == FORMAT_BINARY) {
        for (int32_t i = 0; i < exponent; i += 10)
            decimal_multiply(&d, 1024);
        power = decimal_round(&d, power);
    } else if (!fast) {
        power = decimal_round(&d, power);
    }
    struct quantity q = decimal_quantity(&d, power, p.negative);
    if (format == FORMAT_BINARY && !fast) {
        /* maxAllowed: binary values are cut at the largest int64. */
        struct quantity max = quantity_from_int(INT64_MAX), size = q;
        size.sign = q.sign ? 1 : 0;
        if (quantity_compare(&size, &max) > 0) {
            max.sign = q.sign;
            q = max;
        }
    }
    *ret = q;
    return QUANTITY_OK;
}

const char *quantity_error_text(enum quantity_error e)
{
    switch (e) {
    case QUANTITY_OK:
        return "";
    case QUANTITY_EMPTY:
        return "it is empty";
    case QUANTITY_FORMAT:
        return "it is no number with a suffix such as Ki, Mi, Gi, k, M or G";
    case QUANTITY_NUMBER:
        return "its number has no digits";
    case QUANTITY_SUFFIX:
        return "its suffix is none of Ki Mi Gi Ti Pi Ei, k M G T P E";
    case QUANTITY_TOO_LONG:
        break;
    }
    return "it is too long";
}

int quantity_compare(const struct quantity *a, const struct quantity *b)
{
    if (a->sign != b->sign)
        return a->sign < b->sign ? -1 : 1;
    if (a->sign == 0)
        return 0;
    if (a->exponent != b->exponent)
        return (a->exponent < b->exponent) == (a->sign > 0) ? -1 : 1;
    for (unsigned i = 0; i < a->count || i < b->count; i++) {
        uint8_t x = i < a->count ? a->digits[i] : 0, y = i < b->count ? b->digits[i] : 0;
        if (x != y)
            return (x < y) == (a->sign > 0) ? -1 : 1;
    }
    return 0;
}

int64_t quantity_value(const struct quantity *q)
{
    if (q->sign == 0)
        return 0;
    int64_t limit = q->sign > 0 ? INT64_MAX : INT64_MIN;
    if (q->exponent > 19)
        return limit;
    if (q->exponent <= 0)
        return q->sign; /* below one, rounded away from zero */
    uint64_t v = 0, max = q->sign > 0 ? (uint64_t)INT64_MAX : (uint64_t)INT64_MAX + 1;
    for (int64_t i = 0; i < q->exponent; i++) {
        unsigned d = i < q->count ? q->digits[i] : 0;
        if (v > (max - d) / 10)
            return limit;
        v = v * 10 + d;
    }
    if (q->count > q->exponent) {
        if (v == max)
            return limit;
        v++;
    }
    return q->sign > 0 ? (int64_t)v : (int64_t)(0 - v);
}

bool quantity_text_equal(const char *a, const char *b)
{
    struct quantity x, y;
    if (str_eq(a, b))
        return true;
    return a && b && quantity_parse(a, &x) == QUANTITY_OK && quantity_parse(b, &y) == QUANTITY_OK &&
           quantity_compare(&x, &y) == 0;
}

int64_t quantity_bytes(const char *text)
{
    struct quantity q;
    return text && quantity_parse(text, &q) == QUANTITY_OK ? quantity_value(&q) : 0;
}

struct quantity quantity_from_int(int64_t value)
{
    struct decimal d = {0};
    uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    for (; v; v /= 10)
        d.digit[d.count++] = (uint8_t)(v % 10);
    return decimal_quantity(&d, 0, value < 0);
}

void quantity_print(int64_t bytes, char out[QUANTITY_PRINT_MAX])
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    size_t unit = 0;
    while (bytes && bytes % 1024 == 0 && unit + 1 < ARRAY_LEN(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, QUANTITY_PRINT_MAX, "%" PRId64 "%s", bytes, units[unit]);
}
