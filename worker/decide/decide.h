/*
 * clone_decide: from the observed state to a decision; pure. The current step is the first of the
 * table that is not done; each call finds it again, and only the table knows the order. What is
 * owed (the thaw, the stop of the source, the removal of temporary objects) comes first, so that it
 * runs after failure and deletion too.
 *
 * The executor may send a decision's intents in any order and at once. When persist_first is set it
 * sends only the status; the rest follows from the next decision, when the record is stored.
 */
#ifndef DECIDE_DECIDE_H
#define DECIDE_DECIDE_H

#include "actions/decision.h"

/* Fills *ret (which must be zero but for intents.arena). */
/* Instead of clone_decide, when the state did not fit into its arena and a decision could be wrong:
   the record stays, and the conditions say why. */
void clone_too_large(const struct clone_state *v, struct decision *d);
/* The same for a worker that is about to end: the guest is thawed, and a cut that is complete is
   recorded. */
void clone_decide_leaving(const struct clone_state *v, struct decision *d);
void clone_decide(const struct clone_state *view, struct decision *ret);

#endif
