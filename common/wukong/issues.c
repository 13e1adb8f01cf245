#include "wukong/issues.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wukong/rules.h"

/* Texts of ISSUES_MAX findings: a field path, a value, a rule and a remedy each. */
#define ISSUES_BYTES (1u * MIB)
#define ISSUE_TEXT_MAX 2048

const char *const issue_reason_names[] = {
    "FieldValueInvalid",   "FieldValueRequired",  "FieldValueNotSupported",
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueNotFound",
};
static_assert(ARRAY_LEN(issue_reason_names) == ISSUE_REASONS, "one name each");

/* How apimachinery's field.Error begins (util/validation/field/errors.go). */
static const char *const reason_words[] = {
    "Invalid value",   "Required value", "Unsupported value",
    "Duplicate value", "Forbidden",      "Not found",
};
static_assert(ARRAY_LEN(reason_words) == ISSUE_REASONS, "one word each");

void issues_init(struct issues *l)
{
    *l = (struct issues){0};
    arena_init(&l->arena, ISSUES_BYTES);
}

void issues_release(struct issues *l)
{
    free(l->items);
    arena_release(&l->arena);
    *l = (struct issues){0};
}

bool issues_full(const struct issues *l)
{
    return l->count == ISSUES_MAX;
}

struct issues_mark issues_mark(const struct issues *l)
{
    return (struct issues_mark){l->count, l->dropped, l->errors, l->warnings};
}

void issues_rewind(struct issues *l, struct issues_mark mark)
{
    assert(mark.count <= l->count);
    l->count = mark.count;
    l->dropped = mark.dropped;
    l->errors = mark.errors;
    l->warnings = mark.warnings;
}

/* Counts the finding; true when there is room for its text. */
static bool count_one(struct issues *l, enum issue_severity severity)
{
    bool room = !issues_full(l);
    if (severity == ISSUE_ERROR)
        l->errors++;
    else if (l->warnings++ >= ISSUES_WARNINGS_MAX)
        room = false;
    l->dropped += !room;
    return room;
}

/* Counted already. */
static void push(struct issues *l, struct issue issue)
{
    issue.field = str_or(arena_strdup(&l->arena, issue.field), "");
    issue.message = str_or(arena_strdup(&l->arena, issue.message), issue.rule->message);
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 8;
        l->items = xrealloc(l->items, l->cap * sizeof(*l->items));
    }
    l->items[l->count++] = issue;
}

/* Cuts at a UTF-8 boundary: never into the middle of a character. */
static size_t cut(const char *s, size_t max)
{
    size_t n = strlen(s);
    if (n <= max)
        return n;
    n = max;
    while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static void add_value(struct buf *b, const char *value)
{
    size_t n = cut(value, ISSUE_VALUE_MAX);
    buf_add(b, value, n);
    if (value[n])
        buf_adds(b, *value == '"' ? "…\"" : "…");
}

/* "Invalid value: \"x\": " or, without a value, "Required value: ". */
static void add_head(struct buf *b, const struct rule *rule, const char *value)
{
    if (rule->severity == ISSUE_WARNING)
        return;
    buf_adds(b, reason_words[rule->reason]);
    buf_adds(b, ": ");
    /* field.Error prints no value with Required and Forbidden. */
    if (value && rule->reason != ISSUE_REQUIRED && rule->reason != ISSUE_FORBIDDEN) {
        add_value(b, value);
        buf_adds(b, ": ");
    }
}

static void finish(struct issues *l, const struct rule *rule, const char *field, struct buf *b)
{
    if (!buf_ok(b))
        buf_clear(b);
    push(l, (struct issue){rule, field, rule->reason, rule->severity, b->data});
}

void issues_add(struct issues *l, const struct rule *rule, const char *field, const char *value,
                const char *detail, ...)
{
    CLEANUP_BUF struct buf b = BUF_INIT(ISSUE_TEXT_MAX);
    if (!count_one(l, rule->severity))
        return;
    add_head(&b, rule, value);
    buf_adds(&b, rule->message);
    if (detail) {
        va_list args;
        buf_adds(&b, *rule->message ? ": " : "");
        va_start(args, detail);
        buf_vaddf(&b, detail, args);
        va_end(args);
    }
    if (!str_empty(rule->remedy))
        buf_addf(&b, "; %s", rule->remedy);
    finish(l, rule, field, &b);
}

const char *issues_suggest(const char *value, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = 0;
    for (size_t i = 0; i < count; i++) {
        if (!names[i])
            continue;
        unsigned d = strcasecmp(value, names[i]) == 0 ? 0 : str_distance(value, names[i]);
        if (!best || d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    if (!best)
        return NULL;
    /* A third of the word may be wrong, and one letter always. */
    size_t limit = strlen(best) / 3;
    return best_distance <= (limit ? limit : 1) ? best : NULL;
}

void issues_add_unsupported(struct issues *l, const struct rule *rule, const char *field,
                            const char *value, const char *const *names, size_t count)
{
    CLEANUP_BUF struct buf b = BUF_INIT(ISSUE_TEXT_MAX);
    if (!count_one(l, rule->severity))
        return;
    add_head(&b, rule, value);
    buf_adds(&b, "supported values: ");
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        if (!names[i])
            continue;
        buf_addf(&b, "%s\"%s\"", first ? "" : ", ", names[i]);
        first = false;
    }
    /* The value came quoted; what is compared is the word. */
    size_t n = strlen(value);
    CLEANUP_FREE char *word =
        n > 1 && value[0] == '"' ? xstrndup(value + 1, n - 2) : xstrdup(value);
    const char *near = issues_suggest(word, names, count);
    if (near)
        buf_addf(&b, " (did you mean \"%s\"?)", near);
    if (!str_empty(rule->remedy))
        buf_addf(&b, "; %s", rule->remedy);
    finish(l, rule, field, &b);
}

void issues_drop(struct issues *l, size_t i)
{
    assert(i < l->count);
    if (l->items[i].severity == ISSUE_ERROR)
        l->errors--;
    else
        l->warnings--;
    memmove(&l->items[i], &l->items[i + 1], (l->count - i - 1) * sizeof(*l->items));
    l->count--;
}

bool issues_has(const struct issues *l, const char *rule_id)
{
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->items[i].rule->id, rule_id))
            return true;
    return false;
}

void issues_message(const struct issues *l, struct buf *out)
{
    size_t seen = 0;
    if (l->errors > 1)
        buf_addc(out, '[');
    for (size_t i = 0; i < l->count; i++) {
        const struct issue *e = &l->items[i];
        if (e->severity != ISSUE_ERROR)
            continue;
        buf_addf(out, "%s%s: %s", seen++ ? ", " : "", e->field, e->message);
    }
    if (seen < l->errors)
        buf_addf(out, "%sand %zu more", seen ? ", " : "", l->errors - seen);
    if (l->errors > 1)
        buf_addc(out, ']');
}
