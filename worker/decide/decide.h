/*
 * clone_decide: from what was observed to what is to be done; pure. The current step is the first
 * of the table that is not done, found anew every time; nothing but the table knows the order. The
 * obligations (thaw, stop what we started, remove temporaries) are a second table, looked at first,
 * so that they run after failure and deletion too.
 *
 * A decision's intents may be sent in any order and at once, with one exception: when persist_first
 * is set, only the status is sent, and the rest follows from the next decision, after the record is
 * in the store.
 */
#ifndef DECIDE_DECIDE_H
#define DECIDE_DECIDE_H

#include "actions/decision.h"

/* Fills *ret (which must be zero but for intents.arena). */
/* Instead of clone_decide, when what it has decided cannot be trusted because the state did not fit
   into its arena: the record stays, and the conditions say why. */
void clone_too_large(const struct clone_state *v, struct decision *d);
/* The same for a worker that is about to end: the guest is thawed, and a cut that is complete is
   recorded. */
void clone_decide_leaving(const struct clone_state *v, struct decision *d);
void clone_decide(const struct clone_state *view, struct decision *ret);

#endif
