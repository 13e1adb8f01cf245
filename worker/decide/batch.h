/*
 * What becomes of the other machines of a batch when one fails; pure. The record notes machines
 * that were ready (cloneStatus.targets[].readyTime); the worker never takes them back. It makes the
 * failed one again from the same snapshots, in the same attempt, so that all machines hold one
 * point in time. After some tries the clone fails, and the ready machines stay.
 */
#ifndef DECIDE_BATCH_H
#define DECIDE_BATCH_H

#include "decide/decide.h"

/* Notes the machines that are ready by now. */
void batch_note_ready(const struct clone_state *v, struct decision *d);
/* Before an attempt is given up: false while it must still be found out whether the copies of those
   that are there are good; look again then. When they are not, ret_why says so, and that is why
   their machines go. */
bool batch_take_stock(const struct clone_state *v, struct decision *d, struct why *ret_why);
/* True when this failure concerns one machine alone and the worker may make it again; begins the
   repair. */
bool batch_repair(const struct clone_state *v, struct decision *d, const struct why *why);
/* Continues the repair; true when nothing is left to do for it. */
bool batch_repaired(const struct clone_state *v, struct decision *d);
/* Says until when a requested retry must wait: others still need the snapshots whose names it would
   use. */
void batch_tell_retry(const struct clone_state *v, struct decision *d);
/* The consistency of the whole is the weakest of its machines: those of an earlier run hold that
   run's cut. */
void batch_tell_weakest(const struct clone_state *v, struct decision *d);
/* ", 2 of 3 machines are ready and stay"; "": none is. */
const char *batch_survivors(const struct clone_state *v, const struct decision *d);

#endif
