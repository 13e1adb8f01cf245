#include "kube/token.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

bool kube_token_sound(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

void kube_token_init(struct kube_token *t, const struct clock *clock, const char *fixed,
                     const char *file)
{
    *t = (struct kube_token){.clock = clock};
    if (file)
        t->file = xstrdup(file);
    else
        t->text = xstrdup(fixed);
}

void kube_token_init_source(struct kube_token *t, const struct clock *clock,
                            struct kube_token_source source)
{
    *t = (struct kube_token){.clock = clock, .source = source};
}

void kube_token_release(struct kube_token *t)
{
    free(t->file);
    free(t->text);
    *t = (struct kube_token){.clock = t->clock};
}

static void read_again(struct kube_token *t, int64_t now)
{
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_TOKEN_BYTES);
    struct err ignored = {0};
    t->read_ms = now;
    t->ever_read = true;
    t->expired = false;
    if (buf_read_file(&b, t->file, &ignored) != 0)
        return;
    static const char space[] = " \t\r\n";
    const char *start = b.data + strspn(b.data, space);
    size_t n = strlen(start);
    while (n > 0 && strchr(space, start[n - 1]))
        n--;
    /* A line end within would end the header line; a file cut short while written may be empty. */
    if (n == 0 || memchr(start, '\n', n) || memchr(start, '\r', n))
        return;
    free(t->text);
    t->text = xstrndup(start, n);
}

const char *kube_token_current(struct kube_token *t)
{
    if (t->source.current) {
        bool refused = t->expired;
        t->expired = false;
        return t->source.current(t->source.arg, refused);
    }
    if (t->file) {
        int64_t now = clock_mono(t->clock), age = now - t->read_ms;
        if (!t->ever_read || age >= KUBE_TOKEN_READ_MS ||
            ((t->expired || !t->text) && age >= KUBE_TOKEN_READ_MS_MIN))
            read_again(t, now);
    }
    return t->text;
}

void kube_token_expire(struct kube_token *t)
{
    t->expired = true;
}
