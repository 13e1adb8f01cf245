#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"

/* Nothing needs it; it bounds what a wrong deadline can cost. */
#define WAIT_MS_MAX 60000
/* Descriptors served in one turn; the others are served in the next. */
#define READY_MAX 64
/* loop_add_fd takes poll's bits and reports them; epoll's are the same (Linux).
 */
_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR &&
                   POLLHUP == EPOLLHUP,
               "poll's bits are epoll's");

struct watched_fd {
    int fd; /* -1: free */
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
    struct timer curl_timer; /* when libcurl wants to be called though no socket is ready */
    int epoll_fd;
    bool stop, in_curl;
    struct watched_fd fds[LOOP_FDS_MAX];
    struct caught_signal signals[LOOP_SIGNALS_MAX];
    size_t signal_count;
    sigset_t mask;
    int signal_fd; /* -1: none yet */
};

static int watch_fd(struct loop *l, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    /* It was closed and its number given to another one, or it is new. */
    return errno == ENOENT ? epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) : -1;
}

/* --- libcurl --- */

static void end_transfers(struct loop *l)
{
    int left = 0;
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

/* Only the transfer of this socket is looked at: with curl_multi_perform each of a score of idle
   watches costs a system call at every event of any other. */
static void run_curl(struct loop *l, curl_socket_t fd, int ready)
{
    int running = 0;
    l->in_curl = true;
    (void)curl_multi_socket_action(l->multi, fd, ready, &running);
    l->in_curl = false;
    end_transfers(l);
}

static void on_curl_timer(void *arg)
{
    run_curl(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl tells when it wants to be called; it tells anew after each call. */
static int curl_wants_timer(CURLM *multi, long in_ms, void *arg)
{
    struct loop *l = arg;
    (void)multi;
    if (in_ms < 0)
        timer_cancel(&l->timers, &l->curl_timer);
    else
        timer_arm(&l->timers, &l->curl_timer, loop_now(l) + in_ms);
    return 0;
}

/* libcurl tells what it waits for on a socket of its own; CURL_POLL_REMOVE comes before it is
   closed. A socket that the system refuses to watch costs its request the deadline; an error here
   would end all requests for good. */
static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    struct loop *l = arg;
    (void)easy;
    (void)of_socket;
    uint32_t events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EPOLLOUT;
    if (what == CURL_POLL_REMOVE)
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    else
        (void)watch_fd(l, fd, events);
    return 0;
}

static bool set_multi(struct loop *l)
{
    bool ok = curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket) == CURLM_OK;
    ok &= curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l) == CURLM_OK;
    ok &= curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer) == CURLM_OK;
    ok &= curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l) == CURLM_OK;
    return ok;
}

/* --- Life --- */

int loop_new(const struct clock *clock, struct loop **ret, struct err *err)
{
    static bool curl_ready; /* libcurl wants one global initialisation for each process */
    if (!curl_ready && curl_global_init(CURL_GLOBAL_DEFAULT))
        return err_set(err, ERR_INTERNAL, "cannot initialise libcurl");
    curl_ready = true;
    CLEANUP_LOOP struct loop *l = xcalloc(1, sizeof *l);
    l->clock = clock;
    l->signal_fd = -1;
    sigemptyset(&l->mask);
    for (size_t i = 0; i < LOOP_FDS_MAX; i++)
        l->fds[i].fd = -1;
    timer_init(&l->curl_timer, on_curl_timer, l);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return err_set(err, ERR_INTERNAL, "cannot create an epoll descriptor: errno %d", errno);
    l->multi = curl_multi_init();
    if (!l->multi || !set_multi(l))
        return err_set(err, ERR_INTERNAL, "cannot create a libcurl multi handle");
    /* A peer that closes must be an error of one write, not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    *ret = TAKE(l);
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    /* First: it closes connections, which goes through the callbacks. */
    curl_multi_cleanup(l->multi);
    timers_release(&l->timers);
    if (l->signal_fd >= 0)
        close(l->signal_fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
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
    if (watch_fd(l, fd, (uint32_t)events) != 0)
        return err_set(err, ERR_INTERNAL, "cannot wait for descriptor %d: errno %d", fd, errno);
    *slot = (struct watched_fd){.fd = fd, .ready = ready, .arg = arg};
    return 0;
}

void loop_remove_fd(struct loop *l, int fd)
{
    struct watched_fd *slot = fd >= 0 ? find_fd(l, fd) : NULL;
    if (!slot)
        return;
    *slot = (struct watched_fd){.fd = -1};
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
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

static void run_fd(struct loop *l, int fd, uint32_t ready)
{
    const struct watched_fd *w = find_fd(l, fd);
    if (w) {
        w->ready(w->arg, (short)ready);
        return;
    }
    /* One that an earlier callback of this turn removed is nobody's: libcurl ignores unknown
     * sockets. */
    int what = 0;
    if (ready & (EPOLLIN | EPOLLHUP))
        what |= CURL_CSELECT_IN;
    if (ready & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (ready & EPOLLERR)
        what |= CURL_CSELECT_ERR;
    run_curl(l, fd, what);
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
    struct epoll_event ready[READY_MAX];
    int n = epoll_wait(l->epoll_fd, ready, READY_MAX, (int)wait);
    for (int i = 0; i < n; i++)
        run_fd(l, ready[i].data.fd, ready[i].events);
}

void loop_run(struct loop *l)
{
    while (!l->stop)
        loop_turn(l, WAIT_MS_MAX);
    l->stop = false;
}
