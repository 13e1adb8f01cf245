/*
 * A kube_transport, clock and timers under a test's control. Calls stay open until the test answers
 * them; nothing happens by itself. It is as strict as the contract in kube/transport.h: one on_done
 * for each call, none after a cancel, no callback from inside submit.
 */
#ifndef FAKE_H
#define FAKE_H

#include "base/clock.h"
#include "base/timer.h"
#include "kube/transport.h"

struct kube_call {
    struct kube_call *next;
    struct kube_request request; /* its strings are the fake's */
    char *path, *body;
};

struct fake {
    struct kube_transport face; /* first */
    struct clock clock;
    struct timers timers;
    int64_t now_ms;
    struct kube_call *calls; /* open ones, oldest first */
    unsigned submitted, cancelled;
};

void fake_init(struct fake *f);
/* Fails when a call is still open. */
void fake_release(struct fake *f);
/* The oldest open call; fails when there is none. */
struct kube_call *fake_call(struct fake *f);
unsigned fake_open(const struct fake *f);
/* Time passes, timers fire in order. */
void fake_advance(struct fake *f, int64_t ms);

void fake_answer(struct fake *f, struct kube_call *c, int code, const char *body);
void fake_answer_later(struct fake *f, struct kube_call *c, int code, const char *body,
                       int64_t retry_after_s);
void fake_fail(struct fake *f, struct kube_call *c, enum err_kind kind);
/* Bytes of a stream; when the reader refuses them the call ends as the contract says. Returns what
   the reader returned. */
int fake_data(struct fake *f, struct kube_call *c, const char *bytes);

/* The oldest call is this one, "GET /path…" up to the text's length. */
void fake_expect(struct fake *f, const char *method_and_path);

#endif
