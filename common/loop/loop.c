#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"

/* Nothing needs it; it bounds what a wrong deadline can cost. */
#define WAIT_MS_MAX 60000

struct watched_fd {
    int fd; /* -1: free */
    short events;
    void (*ready)(void *arg, short revents);
    void *arg;
};

struct caught_signal {
    int signo;
    void (*caught)(void *arg, int signo);
    void *arg;
};

struct loop {
    const struct clock *clock;
    struct timers timers;
    CURLM *multi;
    bool stop, in_curl;
    struct watched_fd fds[LOOP_FDS_MAX];
    struct caught_signal signals[LOOP_SIGNALS_MAX];
    size_t signal_count;
    sigset_t mask;
    int signal_fd; /* -1: none yet */
};

int loop_new(const struct clock *clock, struct loop **ret, struct err *err)
{
    static bool curl_ready; /* libcurl wants one global initialisation for each process */
    if (!curl_ready && curl_global_init(CURL_GLOBAL_DEFAULT))
        return err_set(err, ERR_INTERNAL, "cannot initialise libcurl");
    curl_ready = true;
    CURLM *multi = curl_multi_init();
    if (!multi)
        return err_set(err, ERR_INTERNAL, "cannot create a libcurl multi handle");
    struct loop *l = xcalloc(1, sizeof *l);
    l->clock = clock;
    l->multi = multi;
    l->signal_fd = -1;
    sigemptyset(&l->mask);
    for (size_t i = 0; i < LOOP_FDS_MAX; i++)
        l->fds[i].fd = -1;
    /* A peer that closes must be an error of one write, not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    *ret = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    timers_release(&l->timers);
    curl_multi_cleanup(l->multi);
    if (l->signal_fd >= 0)
        close(l->signal_fd);
    free(l);
}

const struct clock *loop_clock(const struct loop *l)
{
    return l->clock;
}

int64_t loop_now(const struct loop *l)
{
    return clock_mono(l->clock);
}

struct timers *loop_timers(struct loop *l)
{
    return &l->timers;
}

CURLM *loop_multi(struct loop *l)
{
    return l->multi;
}

bool loop_in_curl(const struct loop *l)
{
    return l->in_curl;
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}

static struct watched_fd *find_fd(struct loop *l, int fd)
{
    for (size_t i = 0; i < LOOP_FDS_MAX; i++)
        if (l->fds[i].fd == fd)
            return &l->fds[i];
    return NULL;
}

int loop_add_fd(struct loop *l, int fd, short events, void (*ready)(void *arg, short revents),
                void *arg, struct err *err)
{
    assert(fd >= 0 && ready);
    struct watched_fd *slot = find_fd(l, fd);
    if (!slot)
        slot = find_fd(l, -1);
    if (!slot)
        return err_set(err, ERR_LIMIT, "more than %d descriptors in the event loop", LOOP_FDS_MAX);
    *slot = (struct watched_fd){.fd = fd, .events = events, .ready = ready, .arg = arg};
    return 0;
}

void loop_remove_fd(struct loop *l, int fd)
{
    struct watched_fd *slot = fd >= 0 ? find_fd(l, fd) : NULL;
    if (slot)
        *slot = (struct watched_fd){.fd = -1};
}

static void signals_ready(void *arg, short revents)
{
    struct loop *l = arg;
    (void)revents;
    struct signalfd_siginfo info;
    while (read(l->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        for (size_t i = 0; i < l->signal_count; i++)
            if (l->signals[i].signo == (int)info.ssi_signo)
                l->signals[i].caught(l->signals[i].arg, l->signals[i].signo);
}

int loop_on_signal(struct loop *l, int signo, void (*caught)(void *arg, int signo), void *arg,
                   struct err *err)
{
    assert(caught);
    size_t i = 0;
    while (i < l->signal_count && l->signals[i].signo != signo)
        i++;
    if (i == LOOP_SIGNALS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d signals", LOOP_SIGNALS_MAX);
    sigset_t mask = l->mask;
    sigaddset(&mask, signo);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) != 0)
        return err_set(err, ERR_INTERNAL, "cannot block signal %d: errno %d", signo, errno);
    int fd = signalfd(l->signal_fd, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_INTERNAL, "cannot wait for signal %d: errno %d", signo, errno);
    l->signal_fd = fd;
    l->mask = mask;
    l->signals[i] = (struct caught_signal){.signo = signo, .caught = caught, .arg = arg};
    if (i == l->signal_count)
        l->signal_count++;
    return loop_add_fd(l, fd, POLLIN, signals_ready, l, err);
}

static void run_transfers(struct loop *l)
{
    int running = 0, left = 0;
    l->in_curl = true;
    (void)curl_multi_perform(l->multi, &running);
    l->in_curl = false;
    const CURLMsg *m;
    while ((m = curl_multi_info_read(l->multi, &left)) != NULL) {
        if (m->msg != CURLMSG_DONE)
            continue;
        /* The message dies with the handle, which done() may remove. */
        CURL *easy = m->easy_handle;
        CURLcode result = m->data.result;
        char *private = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        assert(private);
        struct loop_transfer *t = (struct loop_transfer *)(void *)private;
        t->done(t, easy, result);
    }
}

/* libcurl tells of readable and writable alone; errors and hang-ups would spin. So ask again. */
static void run_fds(struct loop *l)
{
    struct pollfd ready[LOOP_FDS_MAX];
    nfds_t n = 0;
    for (size_t i = 0; i < LOOP_FDS_MAX; i++)
        if (l->fds[i].fd >= 0)
            ready[n++] = (struct pollfd){.fd = l->fds[i].fd, .events = l->fds[i].events};
    if (n == 0 || poll(ready, n, 0) <= 0)
        return;
    for (nfds_t i = 0; i < n; i++) {
        /* An earlier callback may have removed it. */
        const struct watched_fd *w = ready[i].revents ? find_fd(l, ready[i].fd) : NULL;
        if (w)
            w->ready(w->arg, ready[i].revents);
    }
}

void loop_turn(struct loop *l, int64_t wait_ms)
{
    (void)timers_run(&l->timers, loop_now(l));
    if (l->stop)
        return;
    int64_t next = timers_next(&l->timers), now = loop_now(l);
    int64_t wait = next <= now ? 0 : next == INT64_MAX ? WAIT_MS_MAX : next - now;
    if (wait > wait_ms)
        wait = wait_ms;
    if (wait > WAIT_MS_MAX)
        wait = WAIT_MS_MAX;
    struct curl_waitfd fds[LOOP_FDS_MAX];
    unsigned n = 0;
    for (size_t i = 0; i < LOOP_FDS_MAX; i++) {
        if (l->fds[i].fd < 0)
            continue;
        short events = 0;
        if (l->fds[i].events & POLLIN)
            events |= CURL_WAIT_POLLIN;
        if (l->fds[i].events & POLLOUT)
            events |= CURL_WAIT_POLLOUT;
        fds[n++] = (struct curl_waitfd){.fd = l->fds[i].fd, .events = events};
    }
    (void)curl_multi_poll(l->multi, fds, n, (int)wait, NULL);
    run_transfers(l);
    run_fds(l);
}

void loop_run(struct loop *l)
{
    while (!l->stop)
        loop_turn(l, WAIT_MS_MAX);
    l->stop = false;
}
