#include "yaml/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

int reader_fail(struct reader *r, struct yaml_mark at, enum err_kind kind, const char *format, ...)
{
    char text[ERR_MESSAGE_MAX - 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r->error_mark = at;
    return err_set(r->err, kind, "line %u, column %u: %s", at.line, at.column, text);
}

/* What usually is behind an error of libyaml. */
static const char *hint_of(const char *problem)
{
    static const struct {
        const char *problem, *hint;
    } hints[] = {
        {"cannot start any token",
         "a tab cannot indent and a value cannot begin with @ or `; use spaces, or quotes"},
        {"mapping values are not allowed",
         "a value that holds \": \" needs quotes, or the line is indented too far"},
        {"did not find expected key", "check that the line is indented like its neighbours"},
        {"did not find expected '-' indicator",
         "check that every item of the list begins with \"- \" in the same column"},
        {"could not find expected ':'", "a key is followed by a colon and a space"},
        {"unexpected end of stream", "a quote or bracket is not closed"},
        {"did not find expected ',' or", "a bracket is not closed, or a comma is missing"},
        {"did not find expected <document start>",
         "documents are separated by a line that holds only ---"},
        {"undefined tag handle", "a value that begins with ! needs quotes"},
        {"did not find expected alphabetic", "a value that begins with & or * needs quotes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (strstr(problem, hints[i].problem))
            return hints[i].hint;
    return NULL;
}

static int parser_failed(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = str_or(p->problem, "cannot be parsed");
    if (p->error == YAML_MEMORY_ERROR)
        abort();
    if (p->error == YAML_READER_ERROR)
        return reader_fail(r, reader_mark(&p->mark), ERR_INVALID, "%s (byte %zu)", problem,
                           p->problem_offset);
    const char *why = hint_of(problem);
    struct yaml_mark at = reader_mark(&p->problem_mark);
    return reader_fail(r, at, ERR_INVALID, "%s%s%s%s%s", problem, p->context ? " " : "",
                       str_or(p->context, ""), why ? "; " : "", str_or(why, ""));
}

int reader_next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return parser_failed(r);
    r->has_event = true;
    return 0;
}

int reader_count(struct reader *r, struct yaml_mark at)
{
    if (++r->nodes > r->max_nodes)
        return reader_fail(r, at, ERR_LIMIT, "more than %zu values once aliases are expanded",
                           r->max_nodes);
    return 0;
}
