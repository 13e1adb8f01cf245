#include "json/pick.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct cursor {
    const char *text;
    size_t len, at;
};

static int peek_next(const struct cursor *c)
{
    return c->at < c->len ? (unsigned char)c->text[c->at] : -1;
}

static void skip_space(struct cursor *c)
{
    while (c->at < c->len && memchr(" \t\r\n", c->text[c->at], 4))
        c->at++;
}

/* From its opening quote past its end; false when it does not end. */
static bool skip_string(struct cursor *c)
{
    for (c->at++; c->at < c->len; c->at++) {
        if (c->text[c->at] == '\\') {
            c->at++;
        } else if (c->text[c->at] == '"') {
            c->at++;
            return true;
        }
    }
    c->at = c->len;
    return false;
}

static bool skip_brackets(struct cursor *c)
{
    size_t depth = 0;
    while (c->at < c->len) {
        char now = c->text[c->at];
        if (now == '"') {
            if (!skip_string(c))
                return false;
            continue;
        }
        c->at++;
        if (now == '{' || now == '[')
            depth++;
        else if ((now == '}' || now == ']') && --depth == 0)
            return true;
    }
    return false;
}

/* Past one value; false when it does not end, or when there is none. */
static bool skip_value(struct cursor *c)
{
    skip_space(c);
    int first = peek_next(c);
    if (first == '"')
        return skip_string(c);
    if (first == '{' || first == '[')
        return skip_brackets(c);
    size_t start = c->at;
    while (c->at < c->len && !memchr(",]} \t\r\n", c->text[c->at], 7))
        c->at++;
    /* Of a number at the end of the text nobody knows whether it is whole. */
    return c->at > start && c->at < c->len;
}

/* A member's name, between its quotes, and the colon after it. */
static bool next_name(struct cursor *c, struct json_slice *ret)
{
    skip_space(c);
    size_t start = c->at + 1;
    if (peek_next(c) != '"' || !skip_string(c))
        return false;
    *ret = (struct json_slice){c->text + start, c->at - start - 1};
    skip_space(c);
    if (peek_next(c) != ':')
        return false;
    c->at++;
    skip_space(c);
    return true;
}

/* At the first member of an object: 1; at its end, which is passed: 0; no object: -1. */
static int open_object(struct cursor *c)
{
    skip_space(c);
    if (peek_next(c) != '{')
        return -1;
    c->at++;
    skip_space(c);
    if (peek_next(c) != '}')
        return 1;
    c->at++;
    return 0;
}

/* After a member: 1 when another one follows, 0 at the object's end, -1 when there is neither. */
static int after_member(struct cursor *c)
{
    skip_space(c);
    int now = peek_next(c);
    if (now != ',' && now != '}')
        return -1;
    c->at++;
    return now == ',' ? 1 : 0;
}

static int ends_early(struct err *err)
{
    return err_set(err, ERR_INVALID, "the JSON text is no object, or is cut off");
}

static int ends_here(struct cursor *c, struct err *err)
{
    skip_space(c);
    return c->at == c->len ? 0 : ends_early(err);
}

int json_outline(const char *text, size_t len, const char *const *names, size_t count,
                 struct json_slice *ret, struct err *err)
{
    struct cursor c = {text, len, 0};
    for (size_t i = 0; i < count; i++)
        ret[i] = (struct json_slice){0};
    int more = open_object(&c);
    while (more > 0) {
        struct json_slice name;
        if (!next_name(&c, &name))
            return ends_early(err);
        size_t start = c.at;
        bool whole = skip_value(&c);
        for (size_t i = 0; i < count; i++)
            if (!ret[i].text && name.len == strlen(names[i]) &&
                memcmp(name.text, names[i], name.len) == 0)
                ret[i] = (struct json_slice){text + start, c.at - start};
        more = whole ? after_member(&c) : -1;
    }
    return more < 0 ? ends_early(err) : ends_here(&c, err);
}

/* --- paths --- */

struct picker {
    struct cursor in;
    struct buf *out;
    const char *const *paths;
    size_t count;
};

/* How far each path has been followed; NULL: it does not lead here. */
struct trail {
    const char *rest[JSON_PICK_PATHS_MAX];
};

/* The rest of the path below the member; NULL when its next step is another one. */
static const char *follow_path(const char *path, const struct json_slice *name)
{
    bool bracket = *path == '[';
    path += bracket;
    size_t n = strcspn(path, bracket ? "]" : ".[");
    if (n != name->len || memcmp(path, name->text, n) != 0)
        return NULL;
    path += n;
    path += bracket && *path == ']';
    return path + (*path == '.');
}

enum wanted { WANTED_NOT, WANTED_WITHIN, WANTED_WHOLE };

static enum wanted member_wanted(const struct picker *p, const struct trail *trail,
                                 const struct json_slice *name, struct trail *below)
{
    enum wanted wanted = WANTED_NOT;
    for (size_t i = 0; i < p->count; i++) {
        below->rest[i] = trail->rest[i] ? follow_path(trail->rest[i], name) : NULL;
        if (below->rest[i] && !*below->rest[i])
            wanted = WANTED_WHOLE;
        else if (below->rest[i] && wanted == WANTED_NOT)
            wanted = WANTED_WITHIN;
    }
    return wanted;
}

/* A comma before all members but the first. */
static void write_name(struct picker *p, const struct json_slice *name, bool *first)
{
    buf_adds(p->out, *first ? "\"" : ",\"");
    buf_add(p->out, name->text, name->len);
    buf_adds(p->out, "\":");
    *first = false;
}

/* As deep as the longest path. False: the text does not go on as JSON. */
static bool pick_object(struct picker *p, const struct trail *trail)
{
    struct trail below;
    bool first = true;
    buf_addc(p->out, '{');
    int more = open_object(&p->in);
    while (more > 0) {
        struct json_slice name;
        bool fine = next_name(&p->in, &name);
        enum wanted wanted = fine ? member_wanted(p, trail, &name, &below) : WANTED_NOT;
        size_t start = p->in.at;
        if (wanted == WANTED_WITHIN && peek_next(&p->in) == '{') {
            write_name(p, &name, &first);
            fine = pick_object(p, &below);
        } else if (fine) {
            fine = skip_value(&p->in);
            if (fine && wanted == WANTED_WHOLE) {
                write_name(p, &name, &first);
                buf_add(p->out, p->in.text + start, p->in.at - start);
            }
        }
        more = fine ? after_member(&p->in) : -1;
    }
    buf_addc(p->out, '}');
    return more == 0;
}

int json_pick(const char *text, size_t len, const char *const *paths, size_t count, struct buf *out,
              struct err *err)
{
    struct picker p = {{text, len, 0}, out, paths, count};
    struct trail trail;
    assert(count <= JSON_PICK_PATHS_MAX);
    for (size_t i = 0; i < count; i++)
        trail.rest[i] = paths[i];
    if (!pick_object(&p, &trail))
        return ends_early(err);
    return ends_here(&p.in, err);
}
