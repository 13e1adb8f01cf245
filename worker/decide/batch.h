/*
 * What becomes of the other machines of a batch when one fails; pure. Those that have been there
 * and ready are noted in the record (cloneStatus.targets[].readyTime) and never taken back. The one
 * that failed is made anew from the same snapshots, in the same attempt, so that all are of one
 * point in time; when that has been tried often enough the clone fails, and the ready ones stay.
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
/* Is this failure one machine's alone, and may it be made anew? Then begins with it. */
bool batch_repair(const struct clone_state *v, struct decision *d, const struct why *why);
/* Goes on with that; true when there is nothing to be done for it. */
bool batch_repaired(const struct clone_state *v, struct decision *d);
/* A retry was asked for that cannot begin, for the snapshots whose names it would give are needed:
   says until when. */
void batch_tell_retry(const struct clone_state *v, struct decision *d);
/* What is said of all is no more than is true of each: machines that were ready in an earlier run
   are of its cut. */
void batch_tell_weakest(const struct clone_state *v, struct decision *d);
/* ", 2 of 3 machines are ready and stay"; "": none is. */
const char *batch_survivors(const struct clone_state *v, const struct decision *d);

#endif
