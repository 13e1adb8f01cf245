/*
 * Proves that the loop serves timers, descriptors (hang-ups included), signals and its own
 * stopping, that callbacks may remove what has not been called yet, and that it does not spin while
 * idle.
 */
#include "test.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loop/loop.h"

struct fixture {
    struct loop *loop;
    int pipes[2][2];
    unsigned calls[2], signals;
    short revents;
    bool remove_other;
    struct timer timer;
};

static int setup(void **state)
{
    struct fixture *x = xcalloc(1, sizeof *x);
    struct err err = {0};
    assert_int_equal(loop_new(&clock_system, &x->loop, &err), 0);
    assert_int_equal(pipe(x->pipes[0]) | pipe(x->pipes[1]), 0);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    loop_free(x->loop);
    for (int i = 0; i < 2; i++) {
        close(x->pipes[i][0]);
        if (x->pipes[i][1] >= 0)
            close(x->pipes[i][1]);
    }
    free(x);
    return 0;
}

static void stop(void *arg)
{
    loop_stop(((struct fixture *)arg)->loop);
}

static void first_ready(void *arg, short revents)
{
    struct fixture *x = arg;
    char c;
    x->calls[0]++;
    x->revents = revents;
    if (revents & POLLIN)
        assert_int_equal(read(x->pipes[0][0], &c, 1), 1);
    else
        loop_remove_fd(x->loop, x->pipes[0][0]);
    if (x->remove_other)
        loop_remove_fd(x->loop, x->pipes[1][0]);
}

static void second_ready(void *arg, short revents)
{
    struct fixture *x = arg;
    (void)revents;
    x->calls[1]++;
    loop_remove_fd(x->loop, x->pipes[1][0]);
}

static void caught(void *arg, int signo)
{
    struct fixture *x = arg;
    assert_int_equal(signo, SIGUSR1);
    x->signals++;
    loop_stop(x->loop);
}

static void test_timers_and_stop(void **state)
{
    struct fixture *x = *state;
    int64_t began = loop_now(x->loop);
    timer_init(&x->timer, stop, x);
    timer_arm(loop_timers(x->loop), &x->timer, began + 60);
    loop_run(x->loop);
    assert_in_range(loop_now(x->loop) - began, 60, 2000);
    loop_stop(x->loop); /* before running: returns at once */
    loop_run(x->loop);
    timer_arm(loop_timers(x->loop), &x->timer, 0);
    loop_run(x->loop);
}

static void test_descriptors(void **state)
{
    struct fixture *x = *state;
    struct err err = {0};
    assert_int_equal(loop_add_fd(x->loop, x->pipes[0][0], POLLIN, first_ready, x, &err), 0);
    loop_turn(x->loop, 0);
    assert_int_equal(x->calls[0], 0);
    assert_int_equal(write(x->pipes[0][1], "ab", 2), 2);
    loop_turn(x->loop, 1000);
    loop_turn(x->loop, 1000); /* level-triggered: the second byte fires again */
    loop_turn(x->loop, 0);
    assert_int_equal(x->calls[0], 2);
    close(x->pipes[0][1]);
    x->pipes[0][1] = -1;
    loop_turn(x->loop, 1000);
    assert_int_equal(x->calls[0], 3);
    assert_true(x->revents & POLLHUP);
    loop_turn(x->loop, 0);
    assert_int_equal(x->calls[0], 3);
}

static void test_removing_in_callbacks(void **state)
{
    struct fixture *x = *state;
    struct err err = {0};
    assert_int_equal(loop_add_fd(x->loop, x->pipes[0][0], POLLIN, first_ready, x, &err), 0);
    assert_int_equal(loop_add_fd(x->loop, x->pipes[1][0], POLLIN, second_ready, x, &err), 0);
    assert_int_equal(write(x->pipes[0][1], "a", 1) + write(x->pipes[1][1], "a", 1), 2);
    x->remove_other = true;
    loop_turn(x->loop, 1000);
    loop_turn(x->loop, 0);
    assert_int_equal(x->calls[0], 1);
    assert_int_equal(x->calls[1], 0);
    loop_remove_fd(x->loop, 12345);
    loop_remove_fd(x->loop, -1);
}

static void test_bound(void **state)
{
    struct fixture *x = *state;
    struct err err = {0};
    int fds[LOOP_FDS_MAX + 1];
    for (int i = 0; i <= LOOP_FDS_MAX; i++) {
        fds[i] = dup(x->pipes[0][0]);
        assert_int_equal(loop_add_fd(x->loop, fds[i], POLLIN, first_ready, x, &err),
                         i < LOOP_FDS_MAX ? 0 : -1);
    }
    assert_int_equal(err.kind, ERR_LIMIT);
    for (int i = 0; i <= LOOP_FDS_MAX; i++) {
        loop_remove_fd(x->loop, fds[i]);
        close(fds[i]);
    }
}

/* A file is always ready, which is not to be waited for; and a number that was closed and given out
   again is the new one's. */
static void test_what_can_be_waited_for(void **state)
{
    struct fixture *x = *state;
    struct err err = {0};
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(loop_add_fd(x->loop, fileno(file), POLLIN, first_ready, x, &err), -1);
    assert_int_equal(err.kind, ERR_INTERNAL);
    fclose(file);
    int fd = dup(x->pipes[1][0]);
    assert_int_equal(loop_add_fd(x->loop, fd, POLLIN, second_ready, x, &err), 0);
    close(fd);
    assert_int_equal(dup2(x->pipes[0][0], fd), fd);
    assert_int_equal(loop_add_fd(x->loop, fd, POLLIN, first_ready, x, &err), 0);
    assert_int_equal(write(x->pipes[0][1], "a", 1), 1);
    loop_turn(x->loop, 1000);
    assert_int_equal(x->calls[0], 1);
    assert_int_equal(x->calls[1], 0);
    loop_remove_fd(x->loop, fd);
    close(fd);
}

static void test_signals(void **state)
{
    struct fixture *x = *state;
    struct err err = {0};
    assert_int_equal(loop_on_signal(x->loop, SIGUSR1, caught, x, &err), 0);
    assert_int_equal(loop_on_signal(x->loop, SIGUSR2, caught, x, &err), 0);
    kill(getpid(), SIGUSR1);
    loop_run(x->loop);
    assert_int_equal(x->signals, 1);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void test_idle_is_idle(void **state)
{
    struct fixture *x = *state;
    timer_init(&x->timer, stop, x);
    timer_arm(loop_timers(x->loop), &x->timer, loop_now(x->loop) + 500);
    double before = cpu_seconds();
    loop_run(x->loop);
    assert_true(cpu_seconds() - before < 0.1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_timers_and_stop),        T(test_descriptors),
        T(test_removing_in_callbacks),  T(test_bound),
        T(test_what_can_be_waited_for), T(test_signals),
        T(test_idle_is_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
