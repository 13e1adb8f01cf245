/*
 * What the reconcile of one Wukong must know of the others of its source, so that they share
 * snapshots (worker/clones/share_rules.h has the rules): from the table to the state, and back.
 * Looks at the table and the caches, sends nothing.
 */
#ifndef CLONES_SHARE_GROUP_H
#define CLONES_SHARE_GROUP_H

#include "clones/clone_table.h"
#include "decide/decide.h"
#include "observe/observe.h"

struct share_group {
    const struct clone_table *all;
    struct clone *self;
    const struct cache_reader *caches;
    struct now now;
};

/* Which groups of ours somebody else needs; head: the Wukong read, nothing looked at yet. */
void share_group_held(const struct share_group *p, const struct clone_state *head,
                      struct observe_settings *s);
/* Fills v->share; the rest of the state is there. */
void share_group_observe(const struct share_group *p, struct clone_state *v);
/* What was decided is remembered for the others, before it is sent. */
void share_group_note(const struct share_group *p, const struct clone_state *v,
                      const struct decision *d);
/* The outcome of the write that closes self's group is known: from now on its record alone says who
 * is in. */
void share_group_freed(const struct clone_table *all, const struct clone *self);
/* For a new leader, before it lets anybody go: whoever is on the list of another one's freeze or
   cut goes on without asking whose turn it is, so it holds its slot already, as one that has begun
   does. */
void share_group_hold_listed(struct clone_table *all, struct now now);

/* Events of one that others wait for; look is called for each of those. */
typedef void share_group_visit(void *arg, const struct clone *e);
/* Those that may wait to share its snapshot. */
void share_group_wake_waiting(const struct clone_table *all, const struct clone *of,
                              share_group_visit *look, void *arg);
/* A snapshot that the clone with that UID took: those that share it. */
void share_group_wake_followers(const struct clone_table *all, const char *uid,
                                const struct kube_object *before, const struct kube_object *after,
                                share_group_visit *look, void *arg);
/* A claim: the next one that restores from the same snapshot. */
void share_group_wake_next(const struct clone_table *all, const struct kube_object *before,
                           const struct kube_object *after, share_group_visit *look, void *arg);

#endif
