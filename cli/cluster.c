#include "cli/cluster.h"

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/config.h"
#include "kube/curl_transport.h"

struct cluster {
    struct loop *loop;
    struct curl_transport *transport;
    struct kube_client client;
    char *ns;
};

int cluster_open(const struct cluster_options *o, struct cluster **ret, struct err *err)
{
    CLEANUP_KUBE_CONFIG struct kube_config config = {0};
    struct kube_config_choice choice = {.path = o->kubeconfig, .context = o->context};
    struct cluster *c = xcalloc(1, sizeof *c);
    if (kube_config_load(&choice, &config, err) < 0 || loop_new(&clock_system, &c->loop, err) < 0 ||
        curl_transport_new(
            &(struct curl_transport_options){
                .loop = c->loop, .config = &config, .user_agent = "kubectl-wukong/" WUKONG_VERSION},
            &c->transport, err) < 0) {
        cluster_close(c);
        return -1;
    }
    c->ns = xstrdup(str_or(o->ns, config.ns));
    c->client = (struct kube_client){.transport = curl_transport_face(c->transport),
                                     .clock = loop_clock(c->loop),
                                     .timers = loop_timers(c->loop),
                                     .field_manager = "kubectl-wukong"};
    *ret = c;
    return 0;
}

void cluster_close(struct cluster *c)
{
    if (!c)
        return;
    curl_transport_free(c->transport);
    loop_free(c->loop);
    free(c->ns);
    free(c);
}

const char *cluster_ns(const struct cluster *c)
{
    return c->ns;
}

struct waiting {
    bool done;
    char *body;
    size_t body_len;
    struct err err;
};

static void answered(void *arg, const struct kube_reply *reply)
{
    struct waiting *w = arg;
    w->done = true;
    w->err = reply->status.err;
    if (w->err.kind == ERR_NONE) {
        w->body = xstrndup(reply->body, reply->body_len);
        w->body_len = reply->body_len;
    }
}

/* Every call has a deadline of its own (kube/client.h), so this ends. */
static int wait_for(struct cluster *c, struct waiting *w, struct err *err)
{
    while (!w->done)
        loop_turn(c->loop, 1000);
    if (w->err.kind == ERR_NONE)
        return 0;
    *err = w->err;
    return -1;
}

int cluster_get(struct cluster *c, const struct kube_kind *kind, const char *ns, const char *name,
                cJSON **ret, struct err *err)
{
    struct waiting w = {0};
    (void)kube_get(&c->client, (struct kube_ref){.kind = kind, .ns = ns, .name = name},
                   (struct kube_answer){answered, &w});
    int status = wait_for(c, &w, err);
    CLEANUP_FREE char *body = w.body;
    return status < 0 ? -1 : json_parse(body, w.body_len, true, ret, err);
}

int cluster_create(struct cluster *c, const struct kube_kind *kind, const char *ns,
                   const char *json, bool dry_run, struct err *err)
{
    struct waiting w = {0};
    (void)kube_create(&c->client, (struct kube_ref){.kind = kind, .ns = ns}, json, dry_run,
                      (struct kube_answer){answered, &w});
    int status = wait_for(c, &w, err);
    free(w.body);
    return status;
}

void cluster_wait(struct cluster *c, int64_t ms)
{
    int64_t end = loop_now(c->loop) + ms;
    for (int64_t now = loop_now(c->loop); now < end; now = loop_now(c->loop))
        loop_turn(c->loop, end - now);
}
