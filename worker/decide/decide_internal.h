/*
 * What the files behind clone_decide have in common: decide.c (the walk), conditions.c, attempts.c,
 * ending.c. Nobody else includes it.
 */
#ifndef DECIDE_DECIDE_INTERNAL_H
#define DECIDE_DECIDE_INTERNAL_H

#include "decide/decide.h"
#include "steps/table.h"

struct walk {
    size_t current; /* enum clone_step_id: the first step not done; CLONE_STEPS: all done */
    enum step_status status;
    struct why why;
};

/* conditions.c */
/* In percent; it never goes back. */
int64_t progress_of(const struct clone_state *v, size_t current);
/* The conditions of the steps: True for what is done, the current one tells why it is not. */
void step_conditions(const struct clone_state *v, const struct walk *w, struct decision *d);
/* Ready, Reconciling, Stalled and the phase, from the other conditions and the record. */
void summary(const struct clone_state *v, struct decision *d);

/* attempts.c */
/* The attempt has failed; terminal: no other one follows. */
void begin_abort(const struct clone_state *v, struct decision *d, const struct why *why,
                 bool terminal);
/* The deadline has come, and begin_abort was called for it. */
bool past_deadline(const struct clone_state *v, const struct walk *w, struct decision *d);
void start_clock(const struct clone_state *v, const struct walk *w, struct decision *d);
/* Which instance our start made: only that one is ever stopped by us. */
void note_started(const struct clone_state *v, struct decision *d);
/* Everything that a failed or cancelled attempt owes; true when nothing is owed any more. last: no
   other attempt follows, so that the source is not needed running any more. */
bool settle_attempt(const struct clone_state *v, struct decision *d, bool last);
/* What follows a failed attempt: its cleanup, then the next one, or the end. */
void after_failure(const struct clone_state *v, struct decision *d);

/* ending.c */
void succeed(const struct clone_state *v, struct decision *d);
/* Adds our finalizer, or takes it off. */
void write_finalizer(const struct clone_state *v, struct decision *d, bool wanted);
/* A finished clone is never run again; what it may still owe is paid. */
void after_end(const struct clone_state *v, struct decision *d);
/* Its Wukong is deleted, or its namespace, before it has ended. */
void cancelled(const struct clone_state *v, struct decision *d);

#endif
