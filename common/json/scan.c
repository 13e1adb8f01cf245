#include "json/scan.h"

#include <stdbool.h>
#include <string.h>

static int fail_scan(const struct json_scan *s, struct err *err, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < s->at && i < s->len; i++) {
        column++;
        if (s->text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return err_set(err, ERR_INVALID, "JSON line %zu column %zu: %s", line, column, what);
}

static inline int peek_byte(const struct json_scan *s)
{
    return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void skip_space(struct json_scan *s)
{
    for (; s->at < s->len; s->at++) {
        char c = s->text[s->at];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            return;
    }
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool skip_digits(struct json_scan *s)
{
    size_t start = s->at;
    while (is_digit(peek_byte(s)))
        s->at++;
    return s->at > start;
}

static int scan_number(struct json_scan *s, struct err *err)
{
    size_t start = s->at;
    if (peek_byte(s) == '-')
        s->at++;
    if (peek_byte(s) == '0')
        s->at++;
    else if (!skip_digits(s))
        return fail_scan(s, err, "a number needs a digit here");
    if (peek_byte(s) == '.') {
        s->at++;
        if (!skip_digits(s))
            return fail_scan(s, err, "a digit must follow the decimal point");
    }
    if (peek_byte(s) == 'e' || peek_byte(s) == 'E') {
        s->at++;
        if (peek_byte(s) == '+' || peek_byte(s) == '-')
            s->at++;
        if (!skip_digits(s))
            return fail_scan(s, err, "a digit must follow the exponent");
    }
    if (s->number)
        s->number(s->arg, s->text + start, s->at - start);
    return 0;
}

/* The length of the UTF-8 character at p, 0 when it is not one (RFC 3629, no surrogates). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char low, high, second_low, second_high;
        size_t length;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (p[0] < forms[i].low || p[0] > forms[i].high)
            continue;
        if (n < forms[i].length || p[1] < forms[i].second_low || p[1] > forms[i].second_high)
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

static bool is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static unsigned read_hex4(const char *p)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static bool is_high(unsigned code)
{
    return code >= 0xD800 && code <= 0xDBFF;
}

static bool is_low(unsigned code)
{
    return code >= 0xDC00 && code <= 0xDFFF;
}

/* The length of the \u escape at p, which is whole: 12 for both halves of a pair, 6 for one that is
   a character, 0 for U+0000 and half a pair. */
static size_t escape_length(const char *p, size_t n)
{
    unsigned code = read_hex4(p + 2);
    if (code == 0 || is_low(code))
        return 0;
    if (!is_high(code))
        return 6;
    if (n < 12 || p[6] != '\\' || p[7] != 'u')
        return 0;
    for (int i = 8; i < 12; i++)
        if (!is_hex((unsigned char)p[i]))
            return 0;
    return is_low(read_hex4(p + 8)) ? 12 : 0;
}

static int scan_escape(struct json_scan *s, struct err *err)
{
    s->at++;
    int c = peek_byte(s);
    if (c < 0 || !memchr("\"\\/bfnrtu", c, 9))
        return fail_scan(s, err, "unknown escape");
    s->at++;
    if (c != 'u')
        return 0;
    size_t start = s->at;
    for (int i = 0; i < 4; i++, s->at++)
        if (!is_hex(peek_byte(s)))
            return fail_scan(s, err, "\\u needs four hexadecimal digits");
    if (s->data) {
        size_t n = escape_length(s->text + start - 2, s->len - start + 2);
        s->odd |= n == 0;
        s->at += n == 12 ? 6 : 0;
        return 0;
    }
    if (memcmp(s->text + start, "0000", 4) == 0)
        return fail_scan(s, err, "the character \\u0000 is not allowed");
    return 0;
}

/* Over printable ASCII that stands for itself, which is nearly all of every string. */
static void skip_plain(struct json_scan *s)
{
    while (s->at < s->len) {
        unsigned char c = (unsigned char)s->text[s->at];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
            return;
        s->at++;
    }
}

static int scan_string(struct json_scan *s, struct err *err)
{
    if (peek_byte(s) != '"')
        return fail_scan(s, err, "a string must begin here");
    s->at++;
    for (;;) {
        skip_plain(s);
        int c = peek_byte(s);
        if (c < 0)
            return fail_scan(s, err, "the string does not end");
        if (c == '"')
            break;
        if (c == '\\') {
            if (scan_escape(s, err) < 0)
                return -1;
        } else if (c < 0x20) {
            return fail_scan(s, err, "control characters must be escaped");
        } else {
            size_t n = utf8_length((const unsigned char *)s->text + s->at, s->len - s->at);
            if (!n && !s->data)
                return fail_scan(s, err, "invalid UTF-8");
            s->odd |= n == 0;
            s->at += n ? n : 1;
        }
    }
    s->at++;
    return 0;
}

static int scan_value(struct json_scan *s, unsigned depth, struct err *err);

static int scan_member(struct json_scan *s, unsigned depth, struct err *err)
{
    if (scan_string(s, err) < 0)
        return -1;
    skip_space(s);
    if (peek_byte(s) != ':')
        return fail_scan(s, err, "':' must follow a member's name");
    s->at++;
    return scan_value(s, depth, err);
}

/* The items between '{' and '}' or '[' and ']'. */
static int scan_container(struct json_scan *s, unsigned depth, struct err *err)
{
    bool object = peek_byte(s) == '{';
    int end = object ? '}' : ']';
    s->at++;
    skip_space(s);
    if (peek_byte(s) == end) {
        s->at++;
        return 0;
    }
    for (;;) {
        skip_space(s);
        if ((object ? scan_member(s, depth, err) : scan_value(s, depth, err)) < 0)
            return -1;
        skip_space(s);
        int c = peek_byte(s);
        if (c != ',' && c != end)
            return fail_scan(s, err, object ? "',' or '}' expected" : "',' or ']' expected");
        s->at++;
        if (c == end)
            return 0;
    }
}

static int scan_value(struct json_scan *s, unsigned depth, struct err *err)
{
    static const char *const words[] = {"true", "false", "null"};
    skip_space(s);
    int c = peek_byte(s);
    if (c == '{' || c == '[') {
        if (depth >= LIMIT_JSON_DEPTH)
            return err_set(err, ERR_LIMIT, "JSON nested deeper than %d levels", LIMIT_JSON_DEPTH);
        return scan_container(s, depth + 1, err);
    }
    if (c == '"')
        return scan_string(s, err);
    if (c == '-' || is_digit(c))
        return scan_number(s, err);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (s->len - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
            s->at += n;
            return 0;
        }
    }
    return fail_scan(s, err, c < 0 ? "the text ends too early" : "a value must stand here");
}

int json_scan_document(struct json_scan *s, struct err *err)
{
    if (scan_value(s, 0, err) < 0)
        return -1;
    skip_space(s);
    return s->at == s->len ? 0 : fail_scan(s, err, "nothing may follow the document");
}

/* Within a string: writes the character at p, and returns how many bytes it took. */
static size_t mend_character(const char *p, size_t n, struct buf *out)
{
    size_t taken = 1;
    if (p[0] == '\\' && n >= 6 && p[1] == 'u')
        taken = escape_length(p, n);
    else if (p[0] == '\\' && n >= 2)
        taken = 2;
    else if ((unsigned char)p[0] >= 0x80)
        taken = utf8_length((const unsigned char *)p, n);
    if (taken)
        buf_add(out, p, taken);
    else
        buf_adds(out, "\xEF\xBF\xBD");
    return taken ? taken : p[0] == '\\' ? 6 : 1;
}

void json_scan_mend(const char *text, size_t len, struct buf *out)
{
    bool in_string = false;
    for (size_t i = 0; i < len;) {
        size_t n = 1;
        if (text[i] == '"') {
            in_string = !in_string;
            buf_addc(out, '"');
        } else if (in_string) {
            n = mend_character(text + i, len - i, out);
        } else {
            buf_addc(out, text[i]);
        }
        i += n;
    }
}
