/*
 * Carries what one Wukong must know of the others of its source from the clone table into its
 * state, and back, so that they share snapshots. The rules are in worker/clones/share_rules.h. It
 * reads the table and the caches, and sends nothing.
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

/* Which snapshots of ours other clones need; head: the Wukong is decoded, nothing else is read yet.
 */
void share_group_held(const struct share_group *p, const struct clone_state *head,
                      struct observe_settings *s);
/* Fills v->share; the rest of the state is there. */
void share_group_observe(const struct share_group *p, struct clone_state *v);
/* Remembers the decision for the other clones, before the worker sends it. */
void share_group_note(const struct share_group *p, const struct clone_state *v,
                      const struct decision *d);
/* The reply to the write that closes self's group has come: from now on its record alone says who
   is in the group. */
void share_group_freed(const struct clone_table *all, const struct clone *self);
/* Neither has begun, and both wait for the same snapshot as far as their specs say. */
bool share_group_equal(const struct clone *x, const struct clone *y);
/* For a new leader, before it admits any clone. A clone on the list of another's freeze or cut
   continues without waiting for its turn. So it counts as holding its slot already. */
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
