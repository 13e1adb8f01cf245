/*
 * Memory. Small allocations cannot fail: xmalloc and friends abort, because both programs are
 * crash-only and level-triggered, so that a restart is the recovery. Anything whose size comes from
 * outside goes through struct buf or struct arena, which have a maximum.
 *
 * Every owning local carries a cleanup attribute; hand-over is TAKE(p).
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
/* NULL in, NULL out. */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

static inline void mem_free_p(void *p)
{
    free(*(void **)p);
}
#define CLEANUP_FREE __attribute__((cleanup(mem_free_p)))
#define CLEANUP(f) __attribute__((cleanup(f)))

/* Moves a pointer out of an owning local. */
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) take_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        take_;                                                                                     \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Gives back to the system what only the start has needed: pages that are free, as after the lists
   that fill caches (each object's tree was freed, but the allocator keeps them), and those of
   programs and libraries that the dynamic linker, the readers of configuration and the like have
   touched. The latter come back from the file as they are needed. Takes milliseconds, so not on a
   hot path. */
void mem_trim(void);

/* For a program that keeps much and parses much, before its first allocation: what is freed is
   joined with its neighbours at once. By default glibc puts that off and then does it for all of
   the heap in one go, which costs the more the more is kept (seen with 10,000 machines cached: 0.21
   ms an event, 0.15 with this). */
void mem_join_early(void);

/*
 * struct arena: memory of one life, freed at once. It cannot be made without a maximum; an
 * allocation past it returns NULL and the arena remembers it (failed).
 *
 * A soft one never returns NULL: past its maximum it gives on, and remembers. It is for work whose
 * result is thrown away as a whole when it has become too much, so that no reader of the arena must
 * think of a missing piece; loops whose length comes from outside ask arena_full and stop.
 */
struct arena_block;
struct arena {
    struct arena_block *head;
    size_t used, max;
    int failed, soft;
};
void arena_init(struct arena *a, size_t max);
void arena_init_soft(struct arena *a, size_t max);
static inline int arena_full(const struct arena *a)
{
    return a->failed;
}
void arena_release(struct arena *a);
void *arena_alloc(struct arena *a, size_t size);
/* Copies; NULL for NULL, and NULL when the maximum is reached. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define CLEANUP_ARENA __attribute__((cleanup(arena_release)))

#endif
