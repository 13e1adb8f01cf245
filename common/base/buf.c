#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static char nothing[1];

void buf_init(struct buf *b, size_t max)
{
    assert(max > 0);
    *b = (struct buf){.data = nothing, .max = max};
}

void buf_release(struct buf *b)
{
    if (b->cap)
        free(b->data);
    *b = (struct buf){.data = nothing, .max = b->max};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->cap)
        b->data[0] = '\0';
}

static bool buf_room(struct buf *b, size_t n)
{
    assert(b->max > 0);
    if (b->failed)
        return false;
    if (n > b->max || b->len > b->max - n) {
        buf_release(b);
        b->failed = true;
        return false;
    }
    size_t need = b->len + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap < need)
            cap *= 2;
        if (cap > b->max + 1)
            cap = b->max + 1;
        b->data = b->cap ? xrealloc(b->data, cap) : xmalloc(cap);
        b->cap = cap;
    }
    return true;
}

bool buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (!buf_room(b, n))
        return false;
    if (n)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
    return true;
}

bool buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

bool buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

bool buf_vaddf(struct buf *b, const char *format, va_list args)
{
    char *text = NULL;
    int n = vasprintf(&text, format, args);
    CLEANUP_FREE char *owned = n < 0 ? NULL : text;
    if (!owned) {
        b->failed = true;
        return false;
    }
    return buf_add(b, owned, (size_t)n);
}

bool buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool ok = buf_vaddf(b, format, args);
    va_end(args);
    return ok;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (!n)
        return;
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

char *buf_take(struct buf *b)
{
    char *out = b->cap ? b->data : xstrdup("");
    *b = (struct buf){.data = nothing, .max = b->max};
    return out;
}

static void close_p(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

int buf_read_file(struct buf *b, const char *path, struct err *err)
{
    CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL, "%s: %s", path,
                       strerror(errno));
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
        if (n == 0)
            return 0;
        if (!buf_add(b, chunk, (size_t)n))
            return err_set(err, ERR_LIMIT, "%s: larger than %zu bytes", path, b->max);
    }
}
