/*
 * What holds clones back, and who lets them go: gates and the application behind them, notBefore
 * and windows, ClonePolicies with windows and limits. The times are simple enough for the judge to
 * work out anew: a window opens every `period` minutes of the hour and stays open for `open`
 * minutes.
 */
#ifndef SIM_HOLD_H
#define SIM_HOLD_H

#include "tree.h"

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

struct hold_window {
    int64_t period_min, open_min; /* 0: none */
};

/* As the judge holds it against the workers: the largest limits that it ever had. */
struct hold_policy {
    struct hold_policy *next;
    char *name;
    int64_t since_ms; /* never changed since, but for its limits */
    bool exists;
    int64_t cluster, source, target_ns; /* 0: none */
    struct hold_window window;
    const char *least; /* minimumConsistency; NULL: none */
};

/* Policies, by chance. */
void hold_init(struct sim *s);
/* Gates, window and notBefore of a new Wukong, by chance. */
void hold_vary(struct sim *s, cJSON *wukong);
/* An admin edits, adds or deletes a policy. */
void hold_act(struct sim *s);
/* No limit is left that would keep the last clone waiting past the run's end, and no window: a
   clone that has not begun when its window shuts has its whole time again (docs/policy.md), for
   ever perhaps. */
void hold_calm(struct sim *s);
/* A Wukong has changed: its application hears of it. */
void hold_wukong_changed(struct sim *s, const struct api_object *o);
const struct application *hold_application(const struct sim *s, const char *uid);
/* What a clone says of its point in time satisfies the policy. */
bool hold_is_enough(const struct hold_policy *p, const char *consistency);
bool hold_open(const struct hold_window *w, int64_t wall_ms);
/* cloneSource.window, or an item of a policy's windows. */
struct hold_window hold_read_window(const cJSON *window);
void hold_release(struct sim *s);

#endif
