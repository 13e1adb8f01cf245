#include "cli/cluster.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/api_error.h"
#include "cli/credential.h"
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
    struct kube_config config;
    struct credential *credential; /* NULL: the kubeconfig names no plugin */
    char *ns;
    char *headers[FLAG_VALUES_MAX + 3]; /* of impersonation; ended by NULL */
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
    if ((o->as_groups.count || o->as_uid) && !o->as)
        return err_set(err, ERR_INVALID, "--as-%s needs --as as well", o->as_uid ? "uid" : "group");
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
    if (o->as_uid && !is_plain(o->as_uid))
        return err_set(err, ERR_INVALID, "--as-uid holds a control character");
    if (o->as_uid)
        c->headers[n++] = xasprintf("Impersonate-Uid: %s", o->as_uid);
    return 0;
}

/* As `kubectl -v=6`. Bodies are never told: they may hold what nobody else should read. */
static void tell_request(void *arg, enum kube_method method, const char *path, int code,
                         int64_t took_ms)
{
    static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    const struct cluster *c = arg;
    (void)fprintf(stderr, "%s %s%s ", verbs[method], c->config.server, path);
    if (code)
        (void)fprintf(stderr, "%d in %lld ms\n", code, (long long)took_ms);
    else
        (void)fprintf(stderr, "no answer in %lld ms\n", (long long)took_ms);
}

static int connect_to(struct cluster *c, const struct flag_connection *o, struct err *err)
{
    struct kube_config_choice choice = {.path = o->kubeconfig,
                                        .context = o->context,
                                        .cluster = o->cluster,
                                        .user = o->user,
                                        .server = o->server,
                                        .token = o->token,
                                        .ca_file = o->ca_file,
                                        .cert_file = o->cert_file,
                                        .key_file = o->key_file,
                                        .tls_server_name = o->tls_server_name,
                                        .insecure = o->insecure,
                                        .allow_insecure = true,
                                        .as_kubectl = true};
    if (impersonate(c, o, err) < 0 || kube_config_load(&choice, &c->config, err) < 0 ||
        loop_new(&clock_system, &c->loop, err) < 0)
        return -1;
    if (c->config.exec.command &&
        credential_new(&c->config, loop_clock(c->loop), &c->credential, err) < 0)
        return -1;
    struct curl_transport_options options = {.loop = c->loop,
                                             .config = &c->config,
                                             .user_agent = "kubectl-wukong/" WUKONG_VERSION,
                                             .headers = (const char *const *)c->headers,
                                             .observe = o->verbosity >= 6 ? tell_request : NULL,
                                             .arg = c};
    if (c->credential)
        options.token_source = credential_source(c->credential);
    c->ns = xstrdup(str_or(o->ns, c->config.ns));
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
                                     .field_manager = "kubectl-wukong",
                                     .deadline_ms = o->request_timeout_ms};
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
    credential_free(c->credential);
    kube_config_release(&c->config);
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

static void call_for(struct cluster *c, const char *path, const char *json, const char *accept,
                     bool quiet, struct cluster_reply *ret)
{
    *ret = (struct cluster_reply){0};
    struct waiting w = {.reply = ret, .quiet = quiet};
    struct kube_request request = {.method = json ? KUBE_POST : KUBE_GET,
                                   .path = path,
                                   .accept = accept,
                                   .content_type = json ? "application/json" : NULL,
                                   .body = json,
                                   .body_len = json ? strlen(json) : 0};
    (void)kube_call_any(&c->client, &request, (struct kube_answer){on_answered, &w});
    /* Every call has a deadline of its own (kube/client.h), so this ends. */
    while (!w.done)
        loop_turn(c->loop, 1000);
}

void cluster_call(struct cluster *c, const char *path, const char *json, bool quiet,
                  struct cluster_reply *ret)
{
    call_for(c, path, json, NULL, quiet, ret);
}

void cluster_find(struct cluster *c, const struct kube_kind *kind, const char *ns, const char *name,
                  struct cluster_reply *ret)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_kind(&path, kind, ns, name, NULL);
    call_for(c, buf_ok(&path) ? path.data : NULL, NULL,
             "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", true, ret);
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
