/*
 * What a clone that has ended still owes: the removal of its temporary objects, the thaw, and the
 * stop of its source. Pure. None of it can undo a machine. The worker tries for as long as it
 * takes; condition TemporariesCleaned shows it.
 */
#ifndef DECIDE_DEBTS_H
#define DECIDE_DEBTS_H

#include "decide/decide.h"

/* Does what can be done now; true when nothing is owed any more. */
bool debts_pay(const struct clone_state *v, struct decision *d);
/* What a clone that has just succeeded, or did, still owes. */
void debts_tell(const struct clone_state *v, struct decision *d);
/* A clone is done when its disks are there and its machine was started. Whether the guest reports
   itself ready is shown in a condition and decides nothing. */
void debts_tell_readiness(const struct clone_state *v, struct decision *d);

#endif
