#include "cli/terminal_text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apimachinery/duration.h"
#include "base/mem.h"

/* --- Characters --- */

struct range {
    uint32_t from, to;
};

static bool in(const struct range *ranges, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return true;
    return false;
}

/* Unicode 15 EastAsianWidth.txt, W and F, in blocks. */
static const struct range wide[] = {
    {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xA960, 0xA97F},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
    {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1FAFF},
    {0x20000, 0x3FFFD},
};
/* Combining marks and joiners of the common blocks. */
static const struct range narrow[] = {
    {0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},   {0x64B, 0x65F},   {0x200B, 0x200D},
    {0x20D0, 0x20FF}, {0x3099, 0x309A}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
};
/* What a terminal obeys: C0, DEL, C1, and the marks that turn the direction of a line. */
static const struct range obeyed[] = {
    {0, 0x1F}, {0x7F, 0x9F}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069},
};

/* Bytes of the character, 0 when it is no UTF-8. */
static unsigned decode_character(const char *p, uint32_t *ret)
{
    const unsigned char *u = (const unsigned char *)p;
    unsigned n = u[0] < 0x80 ? 1 : u[0] < 0xC2 ? 0 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    if (!n || u[0] > 0xF4)
        return 0;
    *ret = u[0] & masks[n];
    for (unsigned i = 1; i < n; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0;
        *ret = *ret << 6 | (u[i] & 0x3F);
    }
    return n;
}

/* One character and how many columns it takes (0, 1 or 2). Line ends are ' '; other control
   characters, and bytes that are no UTF-8, are '?'. */
struct text_char {
    const char *bytes;
    unsigned len, columns;
};

/* Reads the character at *p and moves on; false at the end. */
static bool terminal_text_next(const char **p, struct text_char *ret)
{
    uint32_t c;
    if (!**p)
        return false;
    unsigned n = decode_character(*p, &c);
    if (!n || in(obeyed, ARRAY_LEN(obeyed), c)) {
        bool space = n && (c == '\n' || c == '\r' || c == '\t');
        *ret = (struct text_char){space ? " " : "?", 1, 1};
        *p += n ? n : 1;
        return true;
    }
    unsigned columns = in(wide, ARRAY_LEN(wide), c) ? 2 : in(narrow, ARRAY_LEN(narrow), c) ? 0 : 1;
    *ret = (struct text_char){*p, n, columns};
    *p += n;
    return true;
}

void terminal_text_wait(int64_t ms, char out[TERMINAL_TEXT_WAIT_MAX])
{
    static_assert(TERMINAL_TEXT_WAIT_MAX >= DURATION_PRINT_MAX, "duration_print fits");
    const int64_t day_ms = INT64_C(86400000);
    if (ms < 2 * day_ms)
        duration_print(ms, out);
    else
        (void)snprintf(out, TERMINAL_TEXT_WAIT_MAX, "%" PRId64 "d", ms / day_ms);
}

/* --- Lines --- */

unsigned terminal_text_columns(const char *text)
{
    struct text_char c;
    unsigned n = 0;
    while (terminal_text_next(&text, &c))
        n += c.columns;
    return n;
}

void terminal_text_add(struct buf *out, const char *text)
{
    struct text_char c;
    while (terminal_text_next(&text, &c))
        (void)buf_add(out, c.bytes, c.len);
}

void terminal_text_add_cut(struct buf *out, const char *text, unsigned columns, bool ascii)
{
    struct text_char c;
    unsigned used = 0;
    if (terminal_text_columns(text) <= columns) {
        terminal_text_add(out, text);
        return;
    }
    while (columns && terminal_text_next(&text, &c) && used + c.columns <= columns - 1) {
        (void)buf_add(out, c.bytes, c.len);
        used += c.columns;
    }
    if (columns)
        (void)buf_adds(out, ascii ? "~" : "…");
}

void terminal_text_add_padded(struct buf *out, const char *text, unsigned columns, bool ascii)
{
    CLEANUP_BUF struct buf cut = BUF_INIT(64 * KIB);
    terminal_text_add_cut(&cut, text, columns, ascii);
    (void)buf_adds(out, cut.data);
    for (unsigned n = terminal_text_columns(cut.data); n < columns; n++)
        (void)buf_addc(out, ' ');
}

/* The end of the longest head of text that fits, broken behind a space when there is one. */
static const char *line_end(const char *text, unsigned columns)
{
    const char *p = text, *broken = NULL, *fitting = text;
    struct text_char c;
    unsigned used = 0;
    while (terminal_text_next(&p, &c)) {
        used += c.columns;
        if (*c.bytes == ' ' && used <= columns + 1)
            broken = p;
        if (used > columns)
            return broken ? broken : fitting > text ? fitting : p;
        fitting = p;
    }
    return p;
}

unsigned terminal_text_add_wrapped(struct buf *out, const char *text, unsigned columns,
                                   unsigned indent, unsigned lines_max, bool ascii)
{
    unsigned lines = 0;
    assert(columns > indent);
    while (*text && lines < lines_max) {
        const char *end = line_end(text, columns - indent);
        CLEANUP_FREE char *line = xstrndup(text, (size_t)(end - text));
        bool last = lines + 1 == lines_max && *end;
        size_t n = strlen(line);
        while (!last && n && line[n - 1] == ' ')
            line[--n] = '\0';
        (void)buf_addf(out, "%*s", (int)indent, "");
        terminal_text_add_cut(out, last ? text : line, columns - indent, ascii);
        (void)buf_addc(out, '\n');
        text = end;
        lines++;
    }
    return lines;
}
