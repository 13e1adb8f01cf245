/*
 * struct loop: the one event loop of a process. It waits in epoll for libcurl's sockets
 * (curl_multi_socket_action), for extra file descriptors (a listener's epoll fd, inotify), for
 * signals (signalfd) and for the next timer, then runs callbacks to completion, one after the
 * other. Nothing in it blocks: slow work is a state and a timer, never a sleep. It depends on base
 * and libcurl alone.
 *
 * The loop owns the CURLM and the timer heap; the structs that are armed or registered stay their
 * owners' property. Callbacks may add and remove anything, themselves included, and may stop the
 * loop. Errors of registration are programming or resource errors and are returned.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/timer.h"

/* Extra descriptors: a listener or two, inotify, the signalfd. */
#define LOOP_FDS_MAX 16
/* Signals with a handler. */
#define LOOP_SIGNALS_MAX 8

struct loop;

/* clock is borrowed for the life of the loop. ERR_INTERNAL when the system refuses a descriptor. */
WUKONG_CHECK int loop_new(const struct clock *clock, struct loop **ret, struct err *err);
/* NULL does nothing. Every easy handle must have been removed from the multi handle before. */
void loop_free(struct loop *l);
static inline void loop_free_p(struct loop **l)
{
    loop_free(*l);
}
#define CLEANUP_LOOP __attribute__((cleanup(loop_free_p)))

const struct clock *loop_clock(const struct loop *l);
int64_t loop_now(const struct loop *l);
/* The heap that the loop serves: timer_arm(loop_timers(l), &timer, loop_now(l) + delay). */
struct timers *loop_timers(struct loop *l);

/* Runs callbacks until loop_stop. May be called again afterwards. */
void loop_run(struct loop *l);
/* One turn: waits at most wait_ms for something to happen and handles it. For tests and drains. */
void loop_turn(struct loop *l, int64_t wait_ms);
/* loop_run returns after the turn under way; called before loop_run, that returns at once. */
void loop_stop(struct loop *l);

/*
 * Calls ready(arg, revents) whenever the descriptor is ready; events is POLLIN, POLLOUT or both.
 * Level-triggered: what is left unread fires again. One registration per descriptor; the descriptor
 * stays the caller's to close, after loop_remove_fd. ERR_LIMIT beyond LOOP_FDS_MAX.
 */
WUKONG_CHECK int loop_add_fd(struct loop *l, int fd, short events,
                             void (*ready)(void *arg, short revents), void *arg, struct err *err);
/* An unknown descriptor is ignored. */
void loop_remove_fd(struct loop *l, int fd);

/* Blocks the signal for ordinary delivery and calls back from the loop instead. A second call for
   the same signal replaces the first. SIGPIPE is ignored from loop_new on. */
WUKONG_CHECK int loop_on_signal(struct loop *l, int signo, void (*caught)(void *arg, int signo),
                                void *arg, struct err *err);

/*
 * libcurl transfers. Whoever adds an easy handle to loop_multi sets its CURLOPT_PRIVATE to a struct
 * loop_transfer, whose done is called once when the transfer has ended; the easy handle is still in
 * the multi handle then and its owner removes it. Inside libcurl's own callbacks (write, read)
 * nothing may be added to or removed from the multi handle: loop_in_curl tells.
 */
struct loop_transfer {
    void (*done)(struct loop_transfer *t, CURL *easy, CURLcode result);
};
CURLM *loop_multi(struct loop *l);
bool loop_in_curl(const struct loop *l);

#endif
