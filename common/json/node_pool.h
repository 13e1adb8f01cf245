/*
 * Memory for trees that are parsed and thrown away, in a program that keeps much besides. glibc
 * hands out the free block that has been free for longest (its small bins are queues), so with tens
 * of megabytes of cached objects each node of a tree that lives for a millisecond would lie in
 * another cold line of the heap. The pool hands out what was freed last. Seen with 10,000 machines
 * cached (tests/bench/scale): 0.15 ms of CPU an event without it, most of the difference to 100
 * machines in malloc.
 *
 * It is a fixed number of cells of the size of a cJSON node, for nodes and short strings; what is
 * longer, and what comes when all cells are taken, is malloc's. For one thread.
 */
#ifndef JSON_NODE_POOL_H
#define JSON_NODE_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* Trees of some 2,000 nodes with their names and values; 512 KiB, of which only what was used is
 * resident. */
#define NODE_POOL_CELLS 8192
#define NODE_POOL_CELL 64

/* From now on all of cJSON's memory comes from here; before the first tree is made. Under
   AddressSanitizer it does nothing: a leaked tree would be reachable, and its use after the end
   allowed. */
void node_pool_use(void);

/* As malloc and free; NULL when malloc gives none. */
void *node_pool_alloc(size_t size);
void node_pool_free(void *p);
/* Cells that are taken now. */
size_t node_pool_taken(void);

#endif
