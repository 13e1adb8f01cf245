#include "cli/cluster.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/api_error.h"
#include "json/json.h"
#include "kube/config.h"
#include "kube/curl_transport.h"
#include "kube/path.h"
#include "wukong/api/resources.h"

const struct kube_kind cluster_wukongs = {RESOURCE_WUKONG, .fields = {0}};

struct cluster {
    struct loop *loop;
    struct curl_transport *transport;
    struct kube_client client;
    char *ns;
    char *headers[FLAG_VALUES_MAX + 2]; /* of impersonation; ended by NULL */
};

const char *cluster_bare_name(const char *argument)
{
    static const char *const prefixes[] = {"wk/", "wukong/", "wukongs/", "wukong." WUKONG_GROUP "/",
                                           "wukongs." WUKONG_GROUP "/"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(argument, prefixes[i]))
            return argument + strlen(prefixes[i]);
    return argument;
}

/* --- Life --- */

/* As a header's value: a line end in it would begin another header. */
static bool is_plain(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

/* client-go transport/round_trippers.go: Impersonate-User once, Impersonate-Group for each. */
static int impersonate(struct cluster *c, const struct flag_connection *o, struct err *err)
{
    size_t n = 0;
    if (o->as_groups.count && !o->as)
        return err_set(err, ERR_INVALID, "--as-group needs --as as well");
    if (!o->as)
        return 0;
    if (!is_plain(o->as))
        return err_set(err, ERR_INVALID, "--as holds a control character");
    c->headers[n++] = xasprintf("Impersonate-User: %s", o->as);
    for (size_t i = 0; i < o->as_groups.count; i++) {
        if (!is_plain(o->as_groups.items[i]))
            return err_set(err, ERR_INVALID, "--as-group holds a control character");
        c->headers[n++] = xasprintf("Impersonate-Group: %s", o->as_groups.items[i]);
    }
    return 0;
}

static int connect_to(struct cluster *c, const struct flag_connection *o, struct err *err)
{
    CLEANUP_KUBE_CONFIG struct kube_config config = {0};
    struct kube_config_choice choice = {
        .path = o->kubeconfig, .context = o->context, .allow_insecure = true, .as_kubectl = true};
    if (kube_config_load(&choice, &config, err) < 0 || impersonate(c, o, err) < 0 ||
        loop_new(&clock_system, &c->loop, err) < 0)
        return -1;
    struct curl_transport_options options = {.loop = c->loop,
                                             .config = &config,
                                             .user_agent = "kubectl-wukong/" WUKONG_VERSION,
                                             .headers = (const char *const *)c->headers};
    c->ns = xstrdup(str_or(o->ns, config.ns));
    return curl_transport_new(&options, &c->transport, err);
}

int cluster_open(const struct flag_connection *o, struct cluster **ret, struct err *err)
{
    struct cluster *c = xcalloc(1, sizeof *c);
    if (connect_to(c, o, err) < 0) {
        cluster_close(c);
        return -1;
    }
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
    if (c->loop)
        loop_free(c->loop);
    for (size_t i = 0; c->headers[i]; i++)
        free(c->headers[i]);
    free(c->ns);
    free(c);
}

const char *cluster_ns(const struct cluster *c)
{
    return c->ns;
}

struct loop *cluster_loop(const struct cluster *c)
{
    return c->loop;
}

const struct kube_client *cluster_client(const struct cluster *c)
{
    return &c->client;
}

/* --- Calls --- */

struct waiting {
    struct cluster_reply *reply;
    bool quiet, done;
};

static void print_warnings(const char *lines)
{
    while (lines && *lines) {
        size_t n = strcspn(lines, "\n");
        (void)fprintf(stderr, "Warning: %.*s\n", (int)n, lines);
        lines += n + (lines[n] == '\n');
    }
}

static void on_answered(void *arg, const struct kube_reply *reply)
{
    struct waiting *w = arg;
    struct err err = {0};
    w->done = true;
    w->reply->status = reply->status;
    if (!w->quiet)
        print_warnings(reply->warnings);
    if (reply->status.err.kind != ERR_NONE)
        w->reply->refused = xstrdup(reply->refusal);
    else if (json_read(reply->body, reply->body_len, &w->reply->tree, &err) < 0)
        w->reply->status.err = err;
}

void cluster_reply_release(struct cluster_reply *r)
{
    cJSON_Delete(r->tree);
    free(r->refused);
    *r = (struct cluster_reply){0};
}

void cluster_call(struct cluster *c, const char *path, const char *json, bool quiet,
                  struct cluster_reply *ret)
{
    *ret = (struct cluster_reply){0};
    struct waiting w = {.reply = ret, .quiet = quiet};
    struct kube_request request = {.method = json ? KUBE_POST : KUBE_GET,
                                   .path = path,
                                   .content_type = json ? "application/json" : NULL,
                                   .body = json,
                                   .body_len = json ? strlen(json) : 0};
    (void)kube_call_any(&c->client, &request, (struct kube_answer){on_answered, &w});
    /* Every call has a deadline of its own (kube/client.h), so this ends. */
    while (!w.done)
        loop_turn(c->loop, 1000);
}

void cluster_get(struct cluster *c, const struct kube_kind *kind, const char *ns, const char *name,
                 struct cluster_reply *ret)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_kind(&path, kind, ns, name, NULL);
    cluster_call(c, buf_ok(&path) ? path.data : NULL, NULL, false, ret);
}

void cluster_create(struct cluster *c, const struct kube_kind *kind, const char *ns,
                    const char *json, bool dry_run, struct cluster_reply *ret)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_kind(&path, kind, ns, NULL, NULL);
    kube_path_query(&path, "dryRun", dry_run ? "All" : NULL);
    kube_path_query(&path, "fieldManager", c->client.field_manager);
    kube_path_query(&path, "fieldValidation", "Strict");
    cluster_call(c, buf_ok(&path) ? path.data : NULL, json, false, ret);
}

static void on_looked_up(void *arg, const struct kube_reply *reply)
{
    bool fine = reply->status.err.kind == ERR_NONE;
    lookup_answered(arg, reply->status.code, xstrdup(fine ? reply->body : reply->refusal));
}

static void send_lookup(struct cluster *c, struct lookup *k)
{
    struct kube_request request = {.method = k->body ? KUBE_POST : KUBE_GET,
                                   .path = k->path,
                                   .content_type = k->body ? "application/json" : NULL,
                                   .body = k->body,
                                   .body_len = k->body ? strlen(k->body) : 0};
    k->sent = true;
    (void)kube_call_any(&c->client, &request, (struct kube_answer){on_looked_up, k});
}

void cluster_look_up(struct cluster *c, struct lookups *l)
{
    while (lookups_pending(l)) {
        for (size_t i = 0; i < l->count; i++)
            if (!l->items[i]->sent)
                send_lookup(c, l->items[i]);
        loop_turn(c->loop, 1000);
    }
}

void cluster_complain(const struct cluster_reply *r)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_REPLY_BYTES);
    api_error_text(&r->status, r->refused, &text);
    (void)fputs(text.data, stderr);
}
