#include "observe/memo.h"

#include <stdarg.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

static void call_free(struct call *c)
{
    free(c->reason);
    free(c->message);
    free(c->body);
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
