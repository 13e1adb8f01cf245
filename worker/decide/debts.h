/*
 * What a clone owes that has ended, pure as the steps: its temporaries, the thaw and the stop of
 * its source. None of it can undo a machine; it is tried for as long as it takes, and told in
 * condition TemporariesCleaned.
 */
#ifndef DECIDE_DEBTS_H
#define DECIDE_DEBTS_H

#include "decide/decide.h"

/* Does what can be done now; true when nothing is owed any more. */
bool debts_pay(const struct clone_state *v, struct decision *d);
/* What a clone that has just succeeded, or did, still owes. */
void debts_tell(const struct clone_state *v, struct decision *d);
/* The clone is its disks and its start. Whether the guest says of itself that it is ready is told,
   and decides nothing. */
void debts_tell_readiness(const struct clone_state *v, struct decision *d);

#endif
