/*
 * Guests whose clone went by force while it held them frozen: nobody's record owes the thaw any
 * more. The worker thaws such a guest at once, and again until no freeze can be on its way to it;
 * meanwhile no other clone freezes it, or it would take that freeze for its own. A worker that
 * starts anew knows nothing of them: there the guest's own timer ends the freeze
 * (--unfreeze-timeout).
 */
#ifndef CONTROLLER_LEFT_FROZEN_H
#define CONTROLLER_LEFT_FROZEN_H

#include "base/timer.h"
#include "clones/clone_table.h"
#include "kube/client.h"

/* Guests at once; of more than that the timer takes care. */
#define LEFT_FROZEN_MAX 64

struct left_frozen;

struct left_frozen_options {
    const struct kube_client *client;
    const struct clock *clock;
    struct timers *timers;
    struct rng *rng;
    bool (*may_write)(void *arg); /* this process leads */
    void *arg;
};

/* Everything in options is borrowed, the struct itself is copied. */
struct left_frozen *left_frozen_new(const struct left_frozen_options *options);
/* NULL does nothing. */
void left_frozen_free(struct left_frozen *l);
/* The Wukong of e is gone. Nothing is done unless it owes a thaw. */
void left_frozen_add(struct left_frozen *l, const struct clone *e);
/* The source ns/name may be frozen by one of those. */
bool left_frozen_holds(const struct left_frozen *l, const char *ns, const char *name);
/* When one of those was last thawed, wall clock; 0: never. */
int64_t left_frozen_thawed_ms(const struct left_frozen *l, const char *ns, const char *name);
/* Requests sent that change something. */
unsigned long long left_frozen_writes(const struct left_frozen *l);

#endif
