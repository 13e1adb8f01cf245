#include "yaml/resolve.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static bool one_of(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(text, words[i]))
            return true;
    return false;
}

static const char *const yes_words[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                        "True", "TRUE", "on",  "On",  "ON"};
static const char *const no_words[] = {"n",     "N",     "no",  "No",  "NO", "false",
                                       "False", "FALSE", "off", "Off", "OFF"};
static const char *const null_words[] = {"", "~", "null", "Null", "NULL"};
static const char *const odd_words[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF",
                                        "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"};

/* --- Numbers --- */

/* strconv.ParseInt(s, 0, 64) and ParseUint: sign, then 0x, 0o, 0b or a leading 0 for octal. */
static bool parse_integer(const char *s, bool *negative, uint64_t *ret)
{
    unsigned base = 10;
    *negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (*s == '0' && s[1]) {
        char c = (char)tolower((unsigned char)s[1]);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
    }
    uint64_t v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        int c = tolower((unsigned char)*s);
        unsigned d = 99;
        if (isdigit(c))
            d = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (unsigned)(c - 'a') + 10;
        if (d >= base || v > (UINT64_MAX - d) / base)
            return false;
        v = v * base + d;
    }
    *ret = v;
    return !*negative || v <= (uint64_t)INT64_MAX + 1;
}

/* ^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$ */
static bool is_float(const char *s)
{
    if (*s == '-' || *s == '+')
        s++;
    size_t whole = strspn(s, "0123456789"), fraction = 0;
    s += whole;
    if (*s == '.') {
        fraction = strspn(++s, "0123456789");
        s += fraction;
        if (!whole && !fraction)
            return false;
    } else if (!whole) {
        return false;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-' || *s == '+')
            s++;
        size_t digits = strspn(s, "0123456789");
        if (!digits)
            return false;
        s += digits;
    }
    return *s == '\0';
}

static cJSON *require_json(cJSON *node)
{
    if (!node)
        abort();
    return node;
}

/* cJSON prints at most 15 digits when the rest differs by an epsilon, so more are kept as text. */
#define PLAIN_DIGITS UINT64_C(999999999999999)

static cJSON *integer_node(bool negative, uint64_t v)
{
    if (v <= PLAIN_DIGITS)
        return require_json(cJSON_CreateNumber(negative && v ? -(double)v : (double)v));
    char text[32];
    snprintf(text, sizeof(text), "%s%" PRIu64, negative ? "-" : "", v);
    return require_json(cJSON_CreateRaw(text));
}

/* ParseFloat refuses what overflows (it stays a string then): NULL. */
static cJSON *float_node(const char *plain)
{
    char text[40];
    double d = strtod(plain, NULL);
    if (!isfinite(d))
        return NULL;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            return require_json(digits == 15 ? cJSON_CreateNumber(d) : cJSON_CreateRaw(text));
    }
    return NULL;
}

/* Underscores are only for reading: 1_000. */
static char *without_underscores(const char *text)
{
    char *plain = xstrdup(text), *to = plain;
    for (const char *s = text; *s; s++)
        if (*s != '_')
            *to++ = *s;
    *to = '\0';
    return plain;
}

/* A number, in *ret; false: it stays a string. */
static bool number_node(const char *text, cJSON **ret)
{
    bool negative;
    uint64_t v;
    CLEANUP_FREE char *plain = without_underscores(text);
    /* ParseUint takes no sign. */
    if (parse_integer(plain, &negative, &v) && (v <= INT64_MAX || negative || *plain != '+')) {
        *ret = integer_node(negative, v);
        return true;
    }
    *ret = is_float(plain) ? float_node(plain) : NULL;
    return *ret != NULL;
}

/* ".5": ParseFloat, which takes an underscore between two digits and nowhere else. */
static bool dot_number(const char *text, cJSON **ret)
{
    for (const char *s = strchr(text, '_'); s; s = strchr(s + 1, '_'))
        if (!isdigit((unsigned char)s[-1]) || !isdigit((unsigned char)s[1]))
            return false;
    CLEANUP_FREE char *plain = without_underscores(text);
    *ret = is_float(plain) ? float_node(plain) : NULL;
    return *ret != NULL;
}

/* --- Resolution --- */

/* A timestamp needs no rule of its own: it holds '-' or ':' and so is no number. */
enum yaml_scalar yaml_resolve(const char *text, cJSON **ret)
{
    *ret = NULL;
    if (one_of(text, null_words, ARRAY_LEN(null_words))) {
        *ret = require_json(cJSON_CreateNull());
        return YAML_SCALAR_NULL;
    }
    if (one_of(text, yes_words, ARRAY_LEN(yes_words))) {
        *ret = require_json(cJSON_CreateTrue());
        return YAML_SCALAR_BOOLEAN;
    }
    if (one_of(text, no_words, ARRAY_LEN(no_words))) {
        *ret = require_json(cJSON_CreateFalse());
        return YAML_SCALAR_BOOLEAN;
    }
    if (one_of(text, odd_words, ARRAY_LEN(odd_words)))
        return YAML_SCALAR_BAD;
    if (str_eq(text, "<<"))
        return YAML_SCALAR_MERGE;
    if (*text == '.' ? dot_number(text, ret)
                     : (*text && strchr("+-0123456789", *text) && number_node(text, ret)))
        return YAML_SCALAR_NUMBER;
    *ret = require_json(cJSON_CreateString(text));
    return YAML_SCALAR_STRING;
}

char *yaml_resolve_key(const char *text)
{
    cJSON *node = NULL;
    enum yaml_scalar kind = yaml_resolve(text, &node);
    char *key = NULL;
    switch (kind) {
    case YAML_SCALAR_STRING:
        key = xstrdup(text);
        break;
    case YAML_SCALAR_BOOLEAN:
        key = xstrdup(cJSON_IsTrue(node) ? "true" : "false");
        break;
    case YAML_SCALAR_NUMBER: {
        char *printed = cJSON_PrintUnformatted(node);
        key = xstrdup(printed);
        cJSON_free(printed);
        break;
    }
    case YAML_SCALAR_NULL:
    case YAML_SCALAR_MERGE:
    case YAML_SCALAR_BAD:
        break;
    }
    cJSON_Delete(node);
    return key;
}
