/*
 * A decision as text: how far each step is and why, what is to be sent, what the conditions say.
 * For the debug log (one line for each look at a clone) and for `wukong-worker --explain`.
 */
#ifndef CONTROLLER_TRACE_H
#define CONTROLLER_TRACE_H

#include "base/buf.h"
#include "decide/decide.h"

/* A line at debug: the steps down to the first that is not done, as "Policy=done Source=done
   Preflight=todo(Waiting: reading the source)", and the keys of what is to be sent. Asks the steps
   again, which are pure; nothing is done when the log does not show it. */
void trace_decided(const char *wukong, const struct clone_state *v, const struct decision *d);
/* The same and the conditions, as lines for a person. */
void trace_print(const char *wukong, const struct clone_state *v, const struct decision *d,
                 struct buf *out);

#endif
