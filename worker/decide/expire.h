/*
 * spec.expires: the end of what a clone has made. A function of the spec, the record and the time;
 * the record says first that it has expired and what follows, so that an edit, a restart or another
 * worker changes nothing of it any more.
 */
#ifndef DECIDE_EXPIRE_H
#define DECIDE_EXPIRE_H

#include "actions/decision.h"
#include "observe/queries.h"

/* Of a clone that is over: tells an hour before, records that it has expired, and then removes or
   stops its machines. True when nothing of that is under way. */
bool expire_pay(const struct clone_state *v, struct decision *d);
/* It has not begun, and its time is over: no source is frozen for that. */
bool expire_too_late(const struct clone_state *v);
void expire_end(const struct clone_state *v, struct decision *d);
/* The words of the conditions, once it has expired. */
void expire_tell(const struct clone_state *v, struct decision *d);

#endif
