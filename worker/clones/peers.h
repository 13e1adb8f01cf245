/*
 * What the reconcile of one Wukong must know of the others of its source, so that they share
 * snapshots (worker/clones/sharing.h has the rules): from the entries to the state, and back. Looks
 * at entries and caches, sends nothing.
 */
#ifndef CLONES_PEERS_H
#define CLONES_PEERS_H

#include "clones/entries.h"
#include "decide/decide.h"
#include "observe/observe.h"

struct peers {
    const struct entries *all;
    struct entry *self;
    const struct cache_reader *caches;
    struct now now;
};

/* Which groups of ours somebody else needs; head: the Wukong read, nothing looked at yet. */
void peers_held(const struct peers *p, const struct clone_state *head, struct observe_settings *s);
/* Fills v->share; the rest of the state is there. */
void peers_look(const struct peers *p, struct clone_state *v);
/* What was decided is remembered for the others, before it is sent. */
void peers_note(const struct peers *p, const struct clone_state *v, const struct decision *d);
/* The outcome of the write that closes self's group is known: from now on its record alone says who
 * is in. */
void peers_freed(const struct entries *all, const struct entry *self);
/* For a new leader, before it lets anybody go: whoever is on the list of another one's freeze or
   cut goes on without asking whose turn it is, so it holds its slot already, as one that has begun
   does. */
void peers_hold_listed(struct entries *all, struct now now);

/* Events of one that others wait for; look is called for each of those. */
typedef void peers_look_fn(void *arg, const struct entry *e);
/* Those that may wait to share its snapshot. */
void peers_wake_company(const struct entries *all, const struct entry *of, peers_look_fn *look,
                        void *arg);
/* A VolumeSnapshot: those that share it. */
void peers_wake_group(const struct entries *all, const struct kube_object *before,
                      const struct kube_object *after, peers_look_fn *look, void *arg);
/* A claim: the next one that restores from the same snapshot. */
void peers_wake_next(const struct entries *all, const struct kube_object *before,
                     const struct kube_object *after, peers_look_fn *look, void *arg);

#endif
