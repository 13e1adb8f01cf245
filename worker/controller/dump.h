/*
 * What the worker knows of its clones, as JSON for debugging (GET /debug/clones): a row for each
 * clone. For one clone, by name, also every object that its reconcile reads from the caches. That
 * is a List which `wukong-worker --explain` reads as it is, and so do the unit tests. The objects
 * are what the caches keep of them: the fields that the worker looks at.
 */
#ifndef CONTROLLER_DUMP_H
#define CONTROLLER_DUMP_H

#include "base/buf.h"
#include "clones/clone_table.h"
#include "observe/cache_reader.h"

/* No answer is longer: rows that are left out are counted, objects make the answer an error. */
#define DUMP_MAX (16u * MIB)

/* {"now":…,"clones":[…],"leftOut":N}: all of them, as far as there is room. now_ms: wall clock. */
void dump_clones(const struct clone_table *all, int64_t now_ms, struct buf *out);
/* The row of one, its calls, "unserved" (kinds that the API server does not serve) and "items". */
void dump_clone(const struct clone *c, const struct kube_object *wukong,
                const struct cache_reader *caches, int64_t now_ms, struct buf *out);

#endif
