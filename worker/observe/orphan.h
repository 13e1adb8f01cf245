/*
 * What is left of a clone whose Wukong is gone: somebody has taken its finalizer by force, or its
 * namespace came back from a backup, or a clean-up was given up. No label alone says that an object
 * is such a leftover, since labels are copied. An object proves it by four things together, as the
 * API server itself shows it: the worker's own field manager has written the label with the UID,
 * the name is the one that a clone of that UID computes (of a linked clone's parent: that
 * csi-snapshotter gives it), the annotation made-for names the Wukong,
 * and it names the place where the object stands.
 *
 * Machines and claims are no leftovers: the garbage collector takes them with their Wukong, or they
 * are somebody's now.
 */
#ifndef OBSERVE_ORPHAN_H
#define OBSERVE_ORPHAN_H

#include "observe/observe.h"
#include "wukong/api/child_names.h"

/* The kinds that the worker makes for a while; the object of any of them tells whose it is. */
#define ORPHAN_KINDS 5
extern const enum worker_kind orphan_kinds[ORPHAN_KINDS];

/* What an object says of the clone that made it. */
struct orphan_maker {
    char uid[UUID_TEXT];
    char name[PVC_NAME_BUF], ns[NAME_BUF];
    char source_ns[NAME_BUF], source[NAME_BUF]; /* source "": a content does not tell */
};

/* tree: the object as a read has answered. False: it may be somebody else's. */
bool orphan_proves(enum worker_kind kind, const cJSON *tree, struct orphan_maker *ret);
/* More than b: a copy does not tell where the source is, and a content nothing of it. */
bool orphan_tells_more(const struct orphan_maker *a, const struct orphan_maker *b);
/* What the API server says of the Wukong: it is not there, or another one has its name. A path that
   nobody serves says nothing (the CustomResourceDefinition may be on its way). */
enum orphan_word { ORPHAN_UNKNOWN, ORPHAN_GONE, ORPHAN_THERE };
enum orphan_word orphan_word(const struct call *read, const char *name, const char *uid);
/* A machine or a claim of that clone is there still, or a claim waits for one of these snapshots,
   or holds on to it as its parent: they stay. v: as observe_orphan has filled it. */
bool orphan_is_needed(const struct clone_state *v, const struct cache_reader *c);
/* Fills the state with what is left: only what proven() says of is among v->ours. */
void observe_orphan(struct clone_state *v, const struct orphan_maker *of,
                    const struct cache_reader *c, struct call_log *log, struct now now,
                    bool (*proven)(const void *arg, const char *uid), const void *arg);

#endif
