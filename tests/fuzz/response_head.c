/*
 * What may answer in the API server's place: status lines, heads and bodies as anything between us
 * and it may send them, read by libcurl and by our client as in the product. The first byte chooses
 * the request (a write, a stream, urgent), the second where the bytes are cut in two. Beyond not
 * crashing: each request ends once, at its deadline at the latest; a code or an error, never
 * both; text is bounded and ended; a server that names an age to wait is not believed.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "kube/curl_head.h"
#include "kube/curl_transport.h"
#include "kube/status.h"

#define DEADLINE_MS 5000
#define RESPONSE_MAX 65536
/* More than a request of ours takes, of which libcurl resends one that got no answer. */
#define TURNS_MAX 400
#define PEERS_MAX 4

static int64_t now_ms = INT64_C(1790000000000);

static int64_t clock_now(void *arg)
{
    (void)arg;
    return now_ms;
}

static const struct clock the_clock = {clock_now, clock_now, NULL};

static struct loop *loop;
static struct curl_transport *curl;
static struct clock_skew skew;
static int listener = -1;

struct bytes {
    const uint8_t *data;
    size_t size, cut;
};

/* One connection that libcurl has opened to us. */
struct peer {
    int fd;
    size_t sent;
    bool asked;
};

struct ending {
    unsigned count;
    size_t streamed;
};

static void open_all(void)
{
    struct sockaddr_in place = {.sin_family = AF_INET};
    socklen_t len = sizeof place;
    struct err err = {0};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)unsetenv("http_proxy");
    log_level_set(LOG_ERROR);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int status = bind(listener, (struct sockaddr *)&place, sizeof place);
    status |= listen(listener, 64) | getsockname(listener, (struct sockaddr *)&place, &len);
    status |= loop_new(&the_clock, &loop, &err);
    assert(status == 0);
    CLEANUP_FREE char *url = xasprintf("http://127.0.0.1:%u", (unsigned)ntohs(place.sin_port));
    const struct kube_config config = {.server = url};
    const struct curl_transport_options options = {.loop = loop, .config = &config, .skew = &skew};
    status = curl_transport_new(&options, &curl, &err);
    assert(status == 0);
}

static int on_data(void *arg, const char *bytes, size_t n)
{
    struct ending *e = arg;
    assert(bytes && n > 0 && e->count == 0);
    e->streamed += n;
    return 0;
}

static void on_done(void *arg, const struct kube_response *r)
{
    struct ending *e = arg;
    struct kube_status status;
    e->count++;
    assert((r->code == 0) == (r->err.kind != ERR_NONE) && r->code >= 0);
    assert(r->body && strlen(r->body) <= r->body_len && r->body[r->body_len] == '\0');
    assert(r->body_len <= RESPONSE_MAX);
    assert(!r->warnings || strlen(r->warnings) <= CURL_HEAD_WARNINGS_BYTES);
    kube_status_decode(r, &status);
    assert((status.err.kind == ERR_NONE) == (r->code >= 200 && r->code < 300));
    assert(status.retry_after_s >= 0 && status.retry_after_s <= KUBE_RETRY_AFTER_S_MAX);
    assert(!skew.known || skew.low_ms <= skew.high_ms);
}

/* Sends as much as goes: up to the cut when the request is there, the rest in the next turn. */
static void serve(struct peer *p, const struct bytes *b)
{
    char request[4096];
    ssize_t got;
    while ((got = recv(p->fd, request, sizeof request, MSG_DONTWAIT)) > 0)
        p->asked = true;
    size_t until = p->sent < b->cut ? b->cut : b->size;
    if (!p->asked)
        return;
    ssize_t put = 0;
    while (p->sent < until &&
           (put = send(p->fd, b->data + p->sent, until - p->sent, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        p->sent += (size_t)put;
    if (put >= 0 && p->sent == b->size)
        (void)shutdown(p->fd, SHUT_WR);
}

static void turn(struct peer *peers, size_t *count, const struct bytes *b)
{
    int fd = *count < PEERS_MAX ? accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    if (fd >= 0)
        peers[(*count)++] = (struct peer){.fd = fd};
    for (size_t i = 0; i < *count; i++)
        serve(&peers[i], b);
    loop_turn(loop, 1);
}

static struct kube_request choose_request(uint8_t choice, struct ending *e)
{
    static const char body[] = "{\"a\":1}";
    bool write = choice & 1, stream = choice & 2;
    return (struct kube_request){.method = write ? KUBE_POST : KUBE_GET,
                                 .path = "/api/v1/pods",
                                 .content_type = write ? "application/json" : NULL,
                                 .body = write ? body : NULL,
                                 .body_len = write ? sizeof body - 1 : 0,
                                 .deadline_ms = DEADLINE_MS,
                                 .response_max = RESPONSE_MAX,
                                 .urgent = choice & 4,
                                 .on_data = stream ? on_data : NULL,
                                 .on_done = on_done,
                                 .arg = e};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (!curl)
        open_all();
    const struct bytes b = {data + 2, size - 2, (size - 2) * data[1] / 255};
    struct peer peers[PEERS_MAX];
    struct ending e = {0};
    size_t count = 0;
    const struct kube_request request = choose_request(data[0], &e);
    (void)kube_submit(curl_transport_face(curl), &request);
    assert(e.count == 0);
    for (unsigned i = 0; i < TURNS_MAX && e.count == 0; i++)
        turn(peers, &count, &b);
    /* Whatever it was, it does not outlive its deadline. */
    now_ms += DEADLINE_MS;
    for (unsigned i = 0; i < 4 && e.count == 0; i++)
        turn(peers, &count, &b);
    assert(e.count == 1 && curl_transport_active(curl) == 0);
    const struct linger at_once = {1, 0};
    for (size_t i = 0; i < count; i++) {
        (void)setsockopt(peers[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(peers[i].fd);
    }
    loop_turn(loop, 0);
    return 0;
}
