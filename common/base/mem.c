#include "base/mem.h"

#include <assert.h>
#include <link.h>
#include <malloc.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *require_memory(void *p)
{
    if (!p) {
        (void)fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return require_memory(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return require_memory(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
    return require_memory(realloc(p, size ? size : 1));
}

/* Segments that nobody writes to hold what the file holds, and are read from it again when they are
   needed. What the dynamic linker relocated is in a writable one (System V ABI: a read-only segment
   is relocated only with DT_TEXTREL, which no distribution's library has). */
static int unmap_pages(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size, (void)arg;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (strncmp(info->dlpi_name, "linux-vdso", 10) == 0)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t from = (info->dlpi_addr + h->p_vaddr) & ~(page - 1);
        uintptr_t to = (info->dlpi_addr + h->p_vaddr + h->p_memsz + page - 1) & ~(page - 1);
        if (h->p_type == PT_LOAD && !(h->p_flags & PF_W))
            (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void mem_trim(void)
{
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(unmap_pages, NULL);
}

void mem_join_early(void)
{
    (void)mallopt(M_MXFAST, 0);
}

char *xstrdup(const char *s)
{
    return s ? require_memory(strdup(s)) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
    return s ? require_memory(strndup(s, n)) : NULL;
}

char *xasprintf(const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&out, format, args);
    va_end(args);
    return require_memory(n < 0 ? NULL : out);
}

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

#define ARENA_BLOCK 4000

void arena_init(struct arena *a, size_t max)
{
    assert(max > 0);
    *a = (struct arena){.max = max};
}

void arena_init_soft(struct arena *a, size_t max)
{
    arena_init(a, max);
    a->soft = 1;
}

void arena_release(struct arena *a)
{
    struct arena_block *b = a->head;
    while (b) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
    a->head = NULL;
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    assert(a->max > 0);
    if (size > a->max || a->used > a->max - size) {
        a->failed = 1;
        if (!a->soft)
            return NULL;
    }
    size = (size + align - 1) / align * align;
    struct arena_block *b = a->head;
    if (!b || b->size - b->used < size) {
        size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        b = xmalloc(sizeof *b + room);
        *b = (struct arena_block){.next = a->head, .size = room};
        a->head = b;
    }
    void *p = b->bytes + b->used;
    b->used += size;
    a->used += size;
    memset(p, 0, size);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    if (!s)
        return NULL;
    char *p = arena_alloc(a, n + 1);
    if (p) {
        memcpy(p, s, n);
        p[n] = '\0';
    }
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    CLEANUP_FREE char *owned = require_memory(n < 0 ? NULL : text);
    return arena_strndup(a, owned, (size_t)n);
}
