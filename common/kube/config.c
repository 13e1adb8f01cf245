#include "kube/config.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/token.h"
#include "yaml/yaml.h"

#define POD_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"
/* Files of one KUBECONFIG list. */
#define FILES_MAX 16

struct file {
    struct yaml_stream stream;
    const cJSON *tree;
    char *folder; /* NULL: the current one */
};

struct files {
    struct file items[FILES_MAX];
    size_t count;
};

static void files_release(struct files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        yaml_stream_release(&f->items[i].stream);
        free(f->items[i].folder);
    }
}

void kube_config_release(struct kube_config *c)
{
    char *const owned[] = {c->server,     c->ca_pem,          c->ca_file,   c->cert_pem,
                           c->cert_file,  c->key_pem,         c->key_file,  c->token,
                           c->token_file, c->tls_server_name, c->proxy_url, c->ns};
    if (c->key_pem)
        explicit_bzero(c->key_pem, strlen(c->key_pem));
    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        free(owned[i]);
    kube_exec_release(&c->exec);
    *c = (struct kube_config){0};
}

/* --- Values --- */

bool kube_config_loopback(const char *server)
{
    const char *host = strstr(server, "://");
    host = host ? host + 3 : server;
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    return (n == 9 && strncasecmp(host, "localhost", n) == 0) ||
           (n == 5 && strncmp(host, "[::1]", n) == 0) ||
           (str_starts(host, "127.") && strspn(host, "0123456789.") == n);
}

static int take_server(const char *text, struct kube_config *c, struct err *err)
{
    if (str_empty(text))
        return err_set(err, ERR_INVALID, "the cluster has no server");
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || strchr("@?#\\", *p) || *p == 0x7f)
            return err_set(err, ERR_INVALID, "server: no blanks, user names or queries allowed");
    bool https = str_starts(text, "https://"), http = str_starts(text, "http://");
    if (!https && !(http && kube_config_loopback(text)))
        return err_set(err, ERR_INVALID, "server \"%.200s\" must begin with https://", text);
    const char *host = strstr(text, "://") + 3;
    if (*host == '\0' || *host == '/' || *host == ':' || (*host == '[' && !strchr(host, ']')))
        return err_set(err, ERR_INVALID, "server \"%.200s\" names no host", text);
    size_t n = strlen(text);
    while (text[n - 1] == '/')
        n--;
    c->server = xstrndup(text, n);
    return 0;
}

static int base64_value(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* RFC 4648 section 4 with padding; line ends are skipped, as Go's decoder does. */
static bool base64_decode(const char *text, struct buf *out)
{
    unsigned bits = 0, count = 0, pad = 0;
    for (; *text; text++) {
        if (*text == '\n' || *text == '\r')
            continue;
        int v = *text == '=' ? 0 : base64_value(*text);
        pad += *text == '=';
        if (v < 0 || (pad && *text != '=') || pad > 2)
            return false;
        bits = bits << 6 | (unsigned)v;
        if (++count < 4)
            continue;
        const char three[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        (void)buf_add(out, three, 3 - pad);
        bits = count = 0;
    }
    return count == 0 && buf_ok(out);
}

static int take_pem(const char *name, const char *text, char **ret, struct err *err)
{
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_PEM_BYTES);
    if (!base64_decode(text, &b))
        return err_set(err, ERR_INVALID, "%s is no base64", name);
    if (!strstr(b.data, "-----BEGIN ") || strlen(b.data) != b.len)
        return err_set(err, ERR_INVALID, "%s holds no PEM block", name);
    *ret = buf_take(&b);
    return 0;
}

static char *resolve(const struct file *f, const char *path)
{
    if (str_empty(path))
        return NULL;
    if (path[0] == '/' || str_empty(f->folder))
        return xstrdup(path);
    return xasprintf("%s/%s", f->folder, path);
}

/* A value given as data or as a file; data wins. */
static int take_either(const struct file *f, const cJSON *from, const char *file_key,
                       const char *data_key, char **ret_pem, char **ret_file, struct err *err)
{
    const char *data = json_str(from, data_key);
    if (!str_empty(data))
        return take_pem(data_key, data, ret_pem, err);
    *ret_file = resolve(f, json_str(from, file_key));
    return 0;
}

/* --- Entries --- */

static const cJSON *find_named(const struct files *f, const char *list, const char *member,
                               const char *name, const struct file **ret_file)
{
    for (size_t i = 0; i < f->count; i++) {
        const cJSON *entry;
        cJSON_ArrayForEach (entry, json_get(f->items[i].tree, list)) {
            if (!str_eq(json_str(entry, "name"), name))
                continue;
            *ret_file = &f->items[i];
            return json_get(entry, member);
        }
    }
    return NULL;
}

static int take_cluster(const struct files *f, const char *name, bool allow_insecure,
                        struct kube_config *c, struct err *err)
{
    const struct file *file = NULL;
    const cJSON *cluster = find_named(f, "clusters", "cluster", name, &file);
    if (!cluster)
        return err_set(err, ERR_INVALID, "there is no cluster \"%.100s\"", name);
    if (take_server(json_str(cluster, "server"), c, err) != 0 ||
        take_either(file, cluster, "certificate-authority", "certificate-authority-data",
                    &c->ca_pem, &c->ca_file, err) != 0)
        return err_wrap(err, "cluster \"%.100s\"", name);
    c->insecure = json_bool(cluster, "insecure-skip-tls-verify", false);
    if (c->insecure && !allow_insecure)
        return err_set(err, ERR_INVALID,
                       "cluster \"%.100s\": insecure-skip-tls-verify is not allowed here", name);
    if (c->insecure && (c->ca_pem || c->ca_file))
        return err_set(err, ERR_INVALID,
                       "cluster \"%.100s\": insecure-skip-tls-verify contradicts the "
                       "certificate authority beside it",
                       name);
    const char *tls_name = json_str(cluster, "tls-server-name"),
               *proxy = json_str(cluster, "proxy-url");
    if (!str_empty(tls_name) && strlen(tls_name) > LIMIT_DNS_SUBDOMAIN)
        return err_set(err, ERR_INVALID, "cluster \"%.100s\": tls-server-name is too long", name);
    c->tls_server_name = str_empty(tls_name) ? NULL : xstrdup(tls_name);
    c->proxy_url = str_empty(proxy) ? NULL : xstrdup(proxy);
    return 0;
}

/* A program in a Pod has nobody who could log in, and no plugins beside it. */
static int take_exec(const struct files *f, const struct file *file, const cJSON *user,
                     const struct kube_config_choice *choice, const char *cluster,
                     struct kube_config *c, struct err *err)
{
    const struct file *cluster_file = NULL;
    const cJSON *exec = json_get(user, "exec");
    if (!cJSON_IsObject(exec) || c->token || c->token_file)
        return 0;
    if (!choice->as_kubectl)
        return err_set(err, ERR_INVALID,
                       "\"exec\" cannot be used: put a token or a client certificate in its place");
    return kube_exec_parse(exec, find_named(f, "clusters", "cluster", cluster, &cluster_file),
                           file->folder, &c->exec, err);
}

static int refuse_unsupported(const cJSON *user, struct err *err)
{
    static const struct {
        const char *key, *hint;
    } refused[] = {
        {"auth-provider", "put a token or a client certificate in its place"},
        {"username", "API servers have no basic authentication any more"},
        {"password", "API servers have no basic authentication any more"},
        {"as", "impersonation is not supported"},
        {"as-uid", "impersonation is not supported"},
        {"as-groups", "impersonation is not supported"},
        {"as-user-extra", "impersonation is not supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        const cJSON *value = json_get(user, refused[i].key);
        if (value && !cJSON_IsNull(value) &&
            !(cJSON_IsString(value) && str_empty(value->valuestring)))
            return err_set(err, ERR_INVALID, "\"%s\" cannot be used: %s", refused[i].key,
                           refused[i].hint);
    }
    return 0;
}

static int take_token(const struct file *file, const cJSON *user, struct kube_config *c,
                      struct err *err)
{
    const char *token = json_str(user, "token");
    c->token_file = resolve(file, json_str(user, "tokenFile"));
    if (c->token_file || str_empty(token))
        return 0;
    if (!kube_token_sound(token))
        return err_set(err, ERR_INVALID, "the token holds blanks or control characters");
    c->token = xstrdup(token);
    return 0;
}

static int take_user(const struct files *f, const char *name, const char *cluster,
                     const struct kube_config_choice *choice, struct kube_config *c,
                     struct err *err)
{
    const struct file *file = NULL;
    if (str_empty(name)) /* a context may do without: anonymous */
        return 0;
    const cJSON *user = find_named(f, "users", "user", name, &file);
    if (!user)
        return err_set(err, ERR_INVALID, "there is no user \"%.100s\"", name);
    if (refuse_unsupported(user, err) != 0 || take_token(file, user, c, err) != 0 ||
        take_exec(f, file, user, choice, cluster, c, err) != 0 ||
        take_either(file, user, "client-certificate", "client-certificate-data", &c->cert_pem,
                    &c->cert_file, err) != 0 ||
        take_either(file, user, "client-key", "client-key-data", &c->key_pem, &c->key_file, err) !=
            0)
        return err_wrap(err, "user \"%.100s\"", name);
    if ((c->cert_pem || c->cert_file) != (c->key_pem || c->key_file))
        return err_set(err, ERR_INVALID,
                       "user \"%.100s\": client certificate and key come together", name);
    return 0;
}

static void replace_text(char **text, const char *by)
{
    if (str_empty(by))
        return;
    free(*text);
    *text = xstrdup(by);
}

/* --insecure-skip-tls-verify takes the place of an authority (clientcmd/client_config.go
   getCluster). */
static int override_cluster(const struct kube_config_choice *o, struct kube_config *c,
                            struct err *err)
{
    if (!str_empty(o->server)) {
        free(c->server);
        c->server = NULL;
        if (take_server(o->server, c, err) != 0)
            return err_wrap(err, "--server");
    }
    replace_text(&c->tls_server_name, o->tls_server_name);
    if (!str_empty(o->ca_file) || o->insecure) {
        free(c->ca_pem);
        free(c->ca_file);
        c->ca_pem = c->ca_file = NULL;
    }
    replace_text(&c->ca_file, o->ca_file);
    c->insecure = o->insecure || (c->insecure && str_empty(o->ca_file));
    if (o->insecure && !str_empty(o->ca_file))
        return err_set(err, ERR_INVALID,
                       "--insecure-skip-tls-verify contradicts --certificate-authority");
    return 0;
}

static int override_user(const struct kube_config_choice *o, struct kube_config *c, struct err *err)
{
    if (!str_empty(o->cert_file) != !str_empty(o->key_file))
        return err_set(err, ERR_INVALID, "--client-certificate and --client-key come together");
    if (str_empty(o->token))
        return 0;
    if (!kube_token_sound(o->token))
        return err_set(err, ERR_INVALID, "--token holds blanks or control characters");
    c->token = xstrdup(o->token);
    return 0;
}

static void override_certificate(const struct kube_config_choice *o, struct kube_config *c)
{
    if (str_empty(o->cert_file))
        return;
    free(c->cert_pem);
    free(c->key_pem);
    c->cert_pem = c->key_pem = NULL;
    replace_text(&c->cert_file, o->cert_file);
    replace_text(&c->key_file, o->key_file);
}

static int build_config(const struct files *f, const struct kube_config_choice *choice,
                        struct kube_config *ret, struct err *err)
{
    CLEANUP_KUBE_CONFIG struct kube_config c = {0};
    const char *name = choice->context;
    for (size_t i = 0; i < f->count && str_empty(name); i++)
        name = json_str(f->items[i].tree, "current-context");
    if (str_empty(name) && str_empty(choice->server) && str_empty(choice->cluster))
        return err_set(err, ERR_INVALID, "no current-context is set; choose one with --context");
    const struct file *file = NULL;
    const cJSON *context =
        str_empty(name) ? NULL : find_named(f, "contexts", "context", name, &file);
    if (!context && !str_empty(name))
        return err_set(err, ERR_INVALID, "there is no context \"%.100s\"", name);
    const char *cluster = str_or(choice->cluster, json_str(context, "cluster"));
    const char *user = str_or(choice->user, json_str(context, "user"));
    bool named = !str_empty(cluster) || str_empty(choice->server);
    if ((named && take_cluster(f, str_or(cluster, ""), choice->allow_insecure, &c, err) != 0) ||
        override_cluster(choice, &c, err) != 0 || override_user(choice, &c, err) != 0 ||
        (!c.token && take_user(f, user, str_or(cluster, ""), choice, &c, err) != 0))
        return -1;
    override_certificate(choice, &c);
    c.ns = xstrdup(str_or(json_str(context, "namespace"), "default"));
    *ret = c;
    c = (struct kube_config){0};
    return 0;
}

/* --- Sources --- */

static int add_text(struct files *f, const char *text, size_t len, const char *folder,
                    struct err *err)
{
    if (f->count == FILES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d files", FILES_MAX);
    struct file *file = &f->items[f->count];
    *file = (struct file){0};
    if (yaml_parse_one(text, len, &file->stream, err) != 0)
        return -1;
    file->tree = file->stream.documents[0].tree;
    file->folder = xstrdup(folder);
    f->count++;
    if (!cJSON_IsObject(file->tree))
        return err_set(err, ERR_INVALID, "not a kubeconfig");
    return 0;
}

int kube_config_parse(const char *text, size_t len, const char *folder,
                      const struct kube_config_choice *choice, struct kube_config *ret,
                      struct err *err)
{
    __attribute__((cleanup(files_release))) struct files f = {0};
    if (len > LIMIT_KUBECONFIG_BYTES)
        return err_set(err, ERR_LIMIT, "longer than %u bytes", LIMIT_KUBECONFIG_BYTES);
    if (add_text(&f, text, len, folder, err) != 0 || build_config(&f, choice, ret, err) != 0)
        return err_wrap(err, "kubeconfig");
    return 0;
}

static int add_file(struct files *f, const char *path, struct err *err)
{
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_KUBECONFIG_BYTES);
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *folder =
        slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : NULL;
    if (buf_read_file(&b, path, err) != 0 || add_text(f, b.data, b.len, folder, err) != 0)
        return err_wrap(err, "kubeconfig %.200s", path);
    return 0;
}

static int load_list(const char *list, const struct kube_config_choice *choice,
                     struct kube_config *ret, struct err *err)
{
    __attribute__((cleanup(files_release))) struct files f = {0};
    struct err missing = {0};
    while (*list) {
        size_t n = strcspn(list, ":");
        CLEANUP_FREE char *path = xstrndup(list, n);
        struct err e = {0};
        list += n + (list[n] == ':');
        if (!*path)
            continue;
        if (add_file(&f, path, &e) == 0)
            continue;
        if (e.kind != ERR_NOT_FOUND) { /* clientcmd leaves out what is not there */
            if (err)
                *err = e;
            return -1;
        }
        missing = e;
    }
    if (f.count == 0) {
        if (err)
            *err = missing;
        return missing.kind ? -1 : err_set(err, ERR_NOT_FOUND, "no kubeconfig is named");
    }
    return build_config(&f, choice, ret, err) == 0 ? 0 : err_wrap(err, "kubeconfig");
}

int kube_config_from_pod(const char *host, const char *port, const char *folder,
                         struct kube_config *ret, struct err *err)
{
    CLEANUP_KUBE_CONFIG struct kube_config c = {0};
    bool v6 = strchr(host, ':') != NULL;
    CLEANUP_FREE char *server = xasprintf(v6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
    if (take_server(server, &c, err) != 0)
        return err_wrap(err, "KUBERNETES_SERVICE_HOST");
    c.token_file = xasprintf("%s/token", folder);
    c.ca_file = xasprintf("%s/ca.crt", folder);
    CLEANUP_FREE char *ns_file = xasprintf("%s/namespace", folder);
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_DNS_SUBDOMAIN);
    struct err ignored = {0};
    if (buf_read_file(&b, ns_file, &ignored) == 0)
        c.ns = xstrndup(b.data, strcspn(b.data, " \t\r\n"));
    if (str_empty(c.ns)) {
        free(c.ns);
        c.ns = xstrdup("default");
    }
    *ret = c;
    c = (struct kube_config){0};
    return 0;
}

static int in_cluster(struct kube_config *ret, struct err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (str_empty(host) || str_empty(port))
        return err_set(err, ERR_NOT_FOUND,
                       "not in a Pod: KUBERNETES_SERVICE_HOST and _PORT are not set");
    return kube_config_from_pod(host, port, POD_FOLDER, ret, err);
}

static int nothing_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND,
                   "no cluster is known: name a file with --kubeconfig or $KUBECONFIG");
}

static int load_home(const struct kube_config_choice *choice, struct kube_config *ret,
                     struct err *err)
{
    const char *home = getenv("HOME");
    if (str_empty(home))
        return err_set(err, ERR_NOT_FOUND, "$HOME is not set");
    CLEANUP_FREE char *path = xasprintf("%s/.kube/config", home);
    return load_list(path, choice, ret, err);
}

static int load_as_kubectl(const struct kube_config_choice *choice, struct kube_config *ret,
                           struct err *err)
{
    const char *env = getenv("KUBECONFIG");
    struct err e = {0};
    int found = str_empty(env) ? load_home(choice, ret, &e) : load_list(env, choice, ret, &e);
    if (found == 0)
        return 0;
    if (e.kind != ERR_NOT_FOUND) {
        if (err)
            *err = e;
        return -1;
    }
    if (choice->context)
        return err_set(err, ERR_INVALID, "there is no context %.200s: no kubeconfig was found",
                       choice->context);
    bool elsewhere = !str_empty(choice->server) || choice->cluster || choice->user;
    return !elsewhere && in_cluster(ret, NULL) == 0 ? 0 : nothing_found(err);
}

static int load_as_program(const struct kube_config_choice *choice, struct kube_config *ret,
                           struct err *err)
{
    const char *env = getenv("KUBECONFIG");
    if (!str_empty(env))
        return load_list(env, choice, ret, err);
    struct err e = {0};
    if (in_cluster(ret, &e) == 0)
        return 0;
    if (e.kind == ERR_NOT_FOUND && load_home(choice, ret, &e) == 0)
        return 0;
    if (e.kind == ERR_NOT_FOUND)
        return nothing_found(err);
    if (err)
        *err = e;
    return -1;
}

int kube_config_load(const struct kube_config_choice *choice, struct kube_config *ret,
                     struct err *err)
{
    struct err e = {0};
    int found = choice->path         ? load_list(choice->path, choice, ret, &e)
                : choice->as_kubectl ? load_as_kubectl(choice, ret, &e)
                                     : load_as_program(choice, ret, &e);
    if (found == 0)
        return 0;
    if (e.kind == ERR_NOT_FOUND && !choice->path && !str_empty(choice->server))
        return build_config(&(struct files){0}, choice, ret, err);
    if (err)
        *err = e;
    return -1;
}
