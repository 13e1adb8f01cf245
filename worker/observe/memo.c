#include "observe/memo.h"

#include <stdarg.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

struct shared_text *shared_text_new(const char *text, size_t len)
{
    struct shared_text *t = xmalloc(sizeof *t + len + 1);
    t->refs = 1;
    t->len = len;
    if (len)
        memcpy(t->text, text, len);
    t->text[len] = '\0';
    return t;
}

void shared_text_drop(struct shared_text *t)
{
    if (t && --t->refs == 0)
        free(t);
}

void call_set_body(struct call *c, char *body, size_t len)
{
    if (!c->shared)
        free(c->body);
    shared_text_drop(c->shared);
    c->shared = NULL;
    c->body = body;
    c->body_len = len;
}

void call_share_body(struct call *c, struct shared_text *body)
{
    if (body)
        body->refs++;
    call_set_body(c, NULL, 0);
    c->shared = body;
    c->body = body ? body->text : NULL;
    c->body_len = body ? body->len : 0;
}

static void call_free(struct call *c)
{
    free(c->reason);
    free(c->message);
    free(c->version);
    call_set_body(c, NULL, 0);
    free(c);
}

void memo_release(struct memo *m)
{
    while (m->calls) {
        struct call *c = m->calls;
        m->calls = c->next;
        call_free(c);
    }
    m->count = 0;
}

const struct call *memo_find(const struct memo *m, const char *key)
{
    for (const struct call *c = m ? m->calls : NULL; c; c = c->next)
        if (str_eq(c->key, key))
            return c;
    return NULL;
}

const struct call *memo_findf(const struct memo *m, const char *format, ...)
{
    CLEANUP_BUF struct buf key = BUF_INIT(1024);
    va_list args;
    va_start(args, format);
    buf_vaddf(&key, format, args);
    va_end(args);
    return memo_find(m, key.data);
}

struct call *memo_slot(struct memo *m, const char *key)
{
    struct call *c = (struct call *)memo_find(m, key);
    if (c)
        return c;
    size_t n = strlen(key) + 1;
    c = xcalloc(1, sizeof *c + n);
    memcpy(c->key, key, n);
    c->next = m->calls;
    m->calls = c;
    m->count++;
    return c;
}

void memo_forget(struct memo *m, const char *prefix)
{
    for (struct call **p = &m->calls; *p;) {
        struct call *c = *p;
        if (c->state == CALL_FLYING || !str_starts(c->key, prefix)) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        m->count--;
        call_free(c);
    }
}

bool memo_has(const struct memo *m, const char *prefix)
{
    for (const struct call *c = m->calls; c; c = c->next)
        if (strncmp(c->key, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}
