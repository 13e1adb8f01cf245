/* decide_orphan: what is to be done about what is left of a clone whose Wukong is gone. Pure. */
#ifndef DECIDE_ORPHAN_H
#define DECIDE_ORPHAN_H

#include "actions/decision.h"
#include "observe/orphan.h"

/* v: as observe_orphan has filled it, of a Wukong that is known to be gone, and nobody needs it.
   True when nothing is left. */
bool decide_orphan(const struct clone_state *v, struct decision *d);

#endif
