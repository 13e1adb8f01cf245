/*
 * What holds clones back, and who lets them go: gates and the application behind them, notBefore
 * and windows, ClonePolicies with windows and limits. The times are simple enough for the checker
 * to work out anew: a window opens every `period` minutes of the hour and stays open for `open`
 * minutes.
 */
#ifndef RUN_RESTRICTIONS_H
#define RUN_RESTRICTIONS_H

#include "run/tree.h"

#define HOLD_GATE "example.com/Quiet"
#define HOLD_LABEL "role" /* of the sources that policies speak of */
#define HOLD_SELECTED "production"

struct sim;
struct api_object;

/* The application of one Wukong: quiet from the gate's opening on until SnapshotTaken releases it.
 */
struct application {
    struct application *next;
    char *uid;
    bool quiet;
    bool leaves_open;                     /* its gate stays True when it is released */
    int64_t quiet_ms;                     /* since when; wall clock of the API server */
    int64_t before_from_ms, before_to_ms; /* the time before, when it was quiet last */
};

struct restriction_window {
    int64_t period_min, open_min; /* 0: none */
};

/* As the checker holds it against the workers: the largest limits that it ever had. */
struct restriction_policy {
    struct restriction_policy *next;
    char *name;
    int64_t since_ms; /* never changed since, but for its limits */
    bool exists;
    int64_t cluster, source, target_ns; /* 0: none */
    struct restriction_window window;
    const char *least; /* minimumConsistency; NULL: none */
};

/* Policies, by chance. */
void restrictions_init(struct sim *s);
/* Gates, window and notBefore of a new Wukong, by chance. */
void restrictions_vary(struct sim *s, cJSON *wukong);
/* An admin edits, adds or deletes a policy. */
void restrictions_act(struct sim *s);
/* No limit is left that would keep the last clone waiting past the run's end, and no window: a
   clone that has not begun when its window shuts has its whole time again (docs/admin/policy.md),
   for ever perhaps. */
void restrictions_calm(struct sim *s);
/* A Wukong has changed: its application hears of it. */
void restrictions_wukong_changed(struct sim *s, const struct api_object *o);
const struct application *restrictions_application(const struct sim *s, const char *uid);
/* What a clone says of its point in time satisfies the policy. */
bool restrictions_is_enough(const struct restriction_policy *p, const char *consistency);
bool restrictions_open(const struct restriction_window *w, int64_t wall_ms);
/* cloneSource.window, or an item of a policy's windows. */
struct restriction_window restrictions_read_window(const cJSON *window);
void restrictions_release(struct sim *s);

#endif
