/*
 * What the worker owes whatever becomes of a clone: the thaw, the removal of what it made, the stop
 * of the source that it started. It comes before the steps, so that it is done after failure and
 * deletion too.
 */
#ifndef TEARDOWN_TEARDOWN_H
#define TEARDOWN_TEARDOWN_H

#include "actions/decision.h"
#include "observe/queries.h"

/* Sends the thaw that is owed and records it when it is known to have happened. */
void teardown_thaw(const struct clone_state *v, struct decision *d, bool wanted);
/* Removes everything of ours but the machines that have been ready, and what their disks need; true
   when nothing else is left. */
bool teardown_remove_all(const struct clone_state *v, struct decision *d);
/* Removes the machines of an expired clone and their disks, but for those that somebody else owns
   by now; true when they are gone. */
bool teardown_remove_machines(const struct clone_state *v, struct decision *d);
/* For a clean-up that is given up: deletes everything in any order, so that the cluster removes it
   when it can; machines: them and their claims, too. True when all has been asked. */
bool teardown_ask_to_go(const struct clone_state *v, struct decision *d, bool machines);
/* Removes one machine and its disks; true when they are gone. */
bool teardown_remove_target(const struct clone_state *v, struct decision *d,
                            const struct target_state *t);
/* This process has asked for the removal of something of that machine: a cache that lags may show
   it whole. */
bool teardown_asked_target(const struct clone_state *v, const struct target_state *t);
/* Removes the copies in the target's namespace alone; true when none is left. */
bool teardown_remove_copies(const struct clone_state *v, struct decision *d);
/* Removes the snapshots of ours; true when none is left. */
bool teardown_remove_snapshots(const struct clone_state *v, struct decision *d);
/* Waits for creates under way, or just answered, whose object the caches do not show yet: what is
   not seen cannot be removed. True when none is. */
bool teardown_await_creates(const struct clone_state *v, struct decision *d);
/* Asks the API server itself whether anything of ours is left: snapshots, or with `all` machines
   and claims too. A cache that lags does not know what was made a moment ago. True when nothing is.
 */
bool teardown_nothing_left(const struct clone_state *v, struct decision *d, bool all);
/* Sets the contents of our snapshots to Retain: they are a linked clone's parents. True when all of
   them are. */
bool teardown_hold_parents(const struct clone_state *v, struct decision *d);
/* Takes the labels of a group's cut off the source's claims; true when none is left. */
bool teardown_unlabel(const struct clone_state *v, struct decision *d);
/* Stops it; true when nothing is owed. */
bool teardown_stop_source(const struct clone_state *v, struct decision *d);
/* Removes the machines of an expired clone and their disks, but for those that somebody else owns
   by now; true when they are gone. */
bool teardown_remove_machines(const struct clone_state *v, struct decision *d);

#endif
