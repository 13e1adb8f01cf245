/*
 * The last look: before the worker gives up an attempt that has made machines, it reads from the
 * API server each machine that the caches do not show ready. A watch may hang for minutes, and the
 * worker would remove a machine that somebody uses.
 */
#ifndef DECIDE_LAST_LOOK_H
#define DECIDE_LAST_LOOK_H

#include "actions/decision.h"

/* True when all that can be known is: nothing is made yet, or each machine and claim that is not
   seen ready was read a moment ago (the state shows what was read). Else asks; look again then. */
bool last_look(const struct clone_state *v, struct decision *d);

#endif
