#include "json/node_pool.h"

#include <stdint.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

union cell {
    union cell *next; /* of a free one */
    max_align_t align;
    unsigned char bytes[NODE_POOL_CELL];
};
_Static_assert(sizeof(union cell) == NODE_POOL_CELL, "no padding");
_Static_assert(sizeof(cJSON) <= NODE_POOL_CELL, "a node fits");

static union cell cells[NODE_POOL_CELLS];
static union cell *freed;  /* the last one first */
static size_t fresh_count; /* cells[fresh_count..] were never handed out */
static size_t taken_count;

void *node_pool_alloc(size_t size)
{
    union cell *c = NULL;
    if (size > sizeof *c)
        return malloc(size);
    if (freed) {
        c = freed;
        freed = c->next;
    } else if (fresh_count < NODE_POOL_CELLS) {
        c = &cells[fresh_count++];
    }
    if (!c)
        return malloc(size);
    taken_count++;
    return c;
}

static bool is_cell(const void *p)
{
    /* As numbers: pointers into different objects do not compare (C17 6.5.8). */
    return (uintptr_t)p - (uintptr_t)cells < sizeof cells;
}

void node_pool_free(void *p)
{
    if (!is_cell(p)) {
        free(p);
        return;
    }
    union cell *c = p;
    c->next = freed;
    freed = c;
    taken_count--;
}

size_t node_pool_taken(void)
{
    return taken_count;
}

void node_pool_use(void)
{
#ifndef __SANITIZE_ADDRESS__
    cJSON_Hooks hooks = {.malloc_fn = node_pool_alloc, .free_fn = node_pool_free};
    cJSON_InitHooks(&hooks);
#endif
}
