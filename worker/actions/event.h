/*
 * Events on the Wukong: what `kubectl describe` tells its user.
 */
#ifndef ACTIONS_EVENT_H
#define ACTIONS_EVENT_H

#include "actions/decision.h"

/* An Event on the Wukong; its name follows from what and the attempt, so that it is sent once. */
#define create_event(v, d, warning, what, ...)                                                     \
    create_event_about((v), (d), (warning), (what), NULL, __VA_ARGS__)
/* Once for each `about`: what one attempt may have to say of several, one after another. */
void create_event_about(const struct clone_state *v, struct decision *d, bool warning,
                        const char *what, const char *about, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

#endif
