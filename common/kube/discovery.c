#include "kube/discovery.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/path.h"

struct wanted {
    struct discovery *owner;
    char *group, *version;
    bool answered, served;
    uint64_t resources[DISCOVERY_RESOURCES_MAX]; /* hashes of their names */
    size_t resource_count;
    struct kube_op *op;
    struct timer timer;
};

struct discovery {
    struct kube_client client;
    struct rng *rng;
    void (*turned)(void *arg);
    void *arg;
    struct wanted *items[DISCOVERY_GROUPS_MAX];
    size_t count;
};

static void ask(void *arg);

/* Names are compared by hash: 8 bytes for each of some hundred, a clash once in 10^15 clusters. */
static void read_resources(struct wanted *w, const struct kube_reply *reply)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err ignored = {0};
    w->resource_count = 0;
    if (json_read(reply->body, reply->body_len, &tree, &ignored) != 0)
        return;
    const cJSON *resource;
    cJSON_ArrayForEach (resource, json_get(tree, "resources")) {
        const char *name = json_str(resource, "name");
        if (name && w->resource_count < DISCOVERY_RESOURCES_MAX)
            w->resources[w->resource_count++] = str_hash64(name, strlen(name));
    }
}

static uint64_t fingerprint(const struct wanted *w)
{
    uint64_t sum = str_hash64(w->resources, w->resource_count * sizeof *w->resources);
    return sum * 4 + w->answered * 2u + w->served;
}

static void on_answer(void *arg, const struct kube_reply *reply)
{
    struct wanted *w = arg;
    struct discovery *d = w->owner;
    uint64_t before = fingerprint(w);
    bool fine = reply->status.err.kind == ERR_NONE,
         absent = reply->status.err.kind == ERR_NOT_FOUND;
    w->op = NULL;
    if (fine || absent) {
        w->answered = true;
        w->served = fine;
        if (fine)
            read_resources(w, reply);
        else
            w->resource_count = 0;
    }
    int64_t delay = fine ? DISCOVERY_REFRESH_MS : DISCOVERY_UNSERVED_MS;
    timer_arm(d->client.timers, &w->timer,
              clock_mono(d->client.clock) + rng_jitter(d->rng, delay, 20));
    if (fingerprint(w) != before && d->turned)
        d->turned(d->arg);
}

static void ask(void *arg)
{
    struct wanted *w = arg;
    struct discovery *d = w->owner;
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    if (w->op)
        return;
    timer_cancel(d->client.timers, &w->timer);
    kube_path_segment(&path, str_empty(w->group) ? "api" : "apis");
    if (!str_empty(w->group))
        kube_path_segment(&path, w->group);
    kube_path_segment(&path, w->version);
    w->op = kube_call_any(
        &d->client,
        &(struct kube_request){.method = KUBE_GET, .path = buf_ok(&path) ? path.data : NULL},
        (struct kube_answer){.done = on_answer, .arg = w});
}

struct discovery *discovery_new(const struct kube_client *client, struct rng *rng,
                                void (*turned)(void *arg), void *arg)
{
    struct discovery *d = xcalloc(1, sizeof *d);
    d->client = *client;
    d->rng = rng;
    d->turned = turned;
    d->arg = arg;
    return d;
}

void discovery_free(struct discovery *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++) {
        struct wanted *w = d->items[i];
        kube_op_cancel(w->op);
        timer_cancel(d->client.timers, &w->timer);
        free(w->group);
        free(w->version);
        free(w);
    }
    free(d);
}

static struct wanted *find(const struct discovery *d, const char *group, const char *version)
{
    for (size_t i = 0; i < d->count; i++)
        if (str_eq(d->items[i]->group, group) && str_eq(d->items[i]->version, version))
            return d->items[i];
    return NULL;
}

bool discovery_want(struct discovery *d, const char *group, const char *version)
{
    if (find(d, group, version))
        return true;
    if (d->count == DISCOVERY_GROUPS_MAX)
        return false;
    struct wanted *w = xcalloc(1, sizeof *w);
    w->owner = d;
    w->group = xstrdup(group);
    w->version = xstrdup(version);
    timer_init(&w->timer, ask, w);
    d->items[d->count++] = w;
    ask(w);
    return true;
}

void discovery_refresh(struct discovery *d)
{
    for (size_t i = 0; i < d->count; i++)
        ask(d->items[i]);
}

bool discovery_ready(const struct discovery *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (!d->items[i]->answered)
            return false;
    return true;
}

bool discovery_served(const struct discovery *d, const char *group, const char *version,
                      const char *resource)
{
    const struct wanted *w = find(d, group, version);
    if (!w || !w->served)
        return false;
    if (!resource)
        return true;
    uint64_t hash = str_hash64(resource, strlen(resource));
    for (size_t i = 0; i < w->resource_count; i++)
        if (w->resources[i] == hash)
            return true;
    return false;
}
