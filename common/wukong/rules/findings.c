#include "wukong/rules/findings.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wukong/rules/rules.h"

/* Texts of FINDINGS_MAX findings: a field path, a value, a rule and a remedy each. */
#define FINDINGS_BYTES (1u * MIB)
#define FINDING_TEXT_MAX 2048

const char *const finding_reason_names[] = {
    "FieldValueInvalid",   "FieldValueRequired",  "FieldValueNotSupported",
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueNotFound",
};
static_assert(ARRAY_LEN(finding_reason_names) == FINDING_REASONS, "one name each");

/* How apimachinery's field.Error begins (util/validation/field/errors.go). */
static const char *const reason_words[] = {
    "Invalid value",   "Required value", "Unsupported value",
    "Duplicate value", "Forbidden",      "Not found",
};
static_assert(ARRAY_LEN(reason_words) == FINDING_REASONS, "one word each");

void findings_init(struct findings *l)
{
    *l = (struct findings){0};
    arena_init(&l->arena, FINDINGS_BYTES);
}

void findings_release(struct findings *l)
{
    free(l->items);
    arena_release(&l->arena);
    *l = (struct findings){0};
}

bool findings_full(const struct findings *l)
{
    return l->count == FINDINGS_MAX;
}

struct findings_mark findings_mark(const struct findings *l)
{
    return (struct findings_mark){l->count, l->dropped, l->errors, l->warnings};
}

void findings_rewind(struct findings *l, struct findings_mark mark)
{
    assert(mark.count <= l->count);
    l->count = mark.count;
    l->dropped = mark.dropped;
    l->errors = mark.errors;
    l->warnings = mark.warnings;
}

/* Counts the finding; true when there is room for its text. */
static bool count_one(struct findings *l, enum finding_severity severity)
{
    bool room = !findings_full(l);
    if (severity == FINDING_ERROR)
        l->errors++;
    else if (l->warnings++ >= FINDINGS_WARNINGS_MAX)
        room = false;
    l->dropped += !room;
    return room;
}

/* Counted already. */
static void push_finding(struct findings *l, struct finding finding)
{
    finding.field = str_or(arena_strdup(&l->arena, finding.field), "");
    finding.message =
        str_or(arena_strdup(&l->arena, finding.message), str_or(finding.rule->message, ""));
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 8;
        l->items = xrealloc(l->items, l->cap * sizeof(*l->items));
    }
    l->items[l->count++] = finding;
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
    size_t n = cut(value, FINDING_VALUE_MAX);
    buf_add(b, value, n);
    if (value[n])
        buf_adds(b, *value == '"' ? "…\"" : "…");
}

/* "Invalid value: \"x\": " or, without a value, "Required value: ". */
static void add_head(struct buf *b, const struct rule *rule, const char *value)
{
    if (rule->severity == FINDING_WARNING)
        return;
    buf_adds(b, reason_words[rule->cause]);
    buf_adds(b, ": ");
    /* field.Error prints no value with Required and Forbidden. */
    if (value && rule->cause != FINDING_REQUIRED && rule->cause != FINDING_FORBIDDEN) {
        add_value(b, value);
        buf_adds(b, ": ");
    }
}

static void finish_message(struct findings *l, const struct rule *rule, const char *field,
                           struct buf *b)
{
    if (!buf_ok(b))
        buf_clear(b);
    push_finding(l, (struct finding){rule, field, rule->cause, rule->severity, b->data});
}

void findings_add(struct findings *l, const struct rule *rule, const char *field, const char *value,
                  const char *detail, ...)
{
    CLEANUP_BUF struct buf b = BUF_INIT(FINDING_TEXT_MAX);
    if (!count_one(l, rule->severity))
        return;
    add_head(&b, rule, value);
    buf_adds(&b, str_or(rule->message, ""));
    if (detail) {
        va_list args;
        buf_adds(&b, str_empty(rule->message) ? "" : ": ");
        va_start(args, detail);
        buf_vaddf(&b, detail, args);
        va_end(args);
    }
    if (!str_empty(rule->remedy))
        buf_addf(&b, "; %s", rule->remedy);
    finish_message(l, rule, field, &b);
}

const char *findings_suggest(const char *value, const char *const *names, size_t count)
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

void findings_add_unsupported(struct findings *l, const struct rule *rule, const char *field,
                              const char *value, const char *const *names, size_t count)
{
    CLEANUP_BUF struct buf b = BUF_INIT(FINDING_TEXT_MAX);
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
    const char *near = findings_suggest(word, names, count);
    if (near)
        buf_addf(&b, " (did you mean \"%s\"?)", near);
    if (!str_empty(rule->remedy))
        buf_addf(&b, "; %s", rule->remedy);
    finish_message(l, rule, field, &b);
}

void findings_drop(struct findings *l, size_t i)
{
    assert(i < l->count);
    if (l->items[i].severity == FINDING_ERROR)
        l->errors--;
    else
        l->warnings--;
    memmove(&l->items[i], &l->items[i + 1], (l->count - i - 1) * sizeof(*l->items));
    l->count--;
}

bool findings_has(const struct findings *l, const char *rule_id)
{
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->items[i].rule->id, rule_id))
            return true;
    return false;
}

void findings_message(const struct findings *l, struct buf *out)
{
    size_t seen = 0;
    if (l->errors > 1)
        buf_addc(out, '[');
    for (size_t i = 0; i < l->count; i++) {
        const struct finding *e = &l->items[i];
        if (e->severity != FINDING_ERROR)
            continue;
        buf_addf(out, "%s%s: %s", seen++ ? ", " : "", e->field, e->message);
    }
    if (seen < l->errors)
        buf_addf(out, "%sand %zu more", seen ? ", " : "", l->errors - seen);
    if (l->errors > 1)
        buf_addc(out, ']');
}
