#include "kube/exec_config.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

static void release_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void kube_exec_release(struct kube_exec *e)
{
    free(e->command);
    free(e->api_version);
    free(e->install_hint);
    free(e->cluster_info);
    release_list(e->arguments);
    release_list(e->variables);
    *e = (struct kube_exec){0};
}

/* v1alpha1 was removed from client-go in Kubernetes 1.24. */
static int take_version(const cJSON *exec, struct kube_exec *e, struct err *err)
{
    const char *version = json_str(exec, "apiVersion");
    if (str_empty(version))
        return err_set(err, ERR_INVALID,
                       "apiVersion is missing: set " KUBE_EXEC_GROUP
                       "v1, as the plugin supports it");
    if (!str_eq(version, KUBE_EXEC_GROUP "v1") && !str_eq(version, KUBE_EXEC_GROUP "v1beta1"))
        return err_set(err, ERR_INVALID,
                       "apiVersion \"%.100s\" is not supported: it must be " KUBE_EXEC_GROUP
                       "v1 or " KUBE_EXEC_GROUP "v1beta1",
                       version);
    e->api_version = xstrdup(version);
    return 0;
}

/* With a slash it is relative to the kubeconfig's folder (clientcmd/loader.go
   ResolveLocalPaths). */
static int take_command(const cJSON *exec, const char *folder, struct kube_exec *e, struct err *err)
{
    const char *command = json_str(exec, "command");
    if (str_empty(command))
        return err_set(err, ERR_INVALID, "command is missing: name the plugin's program");
    bool relative = command[0] != '/' && strchr(command, '/') && !str_empty(folder);
    e->command = relative ? xasprintf("%s/%s", folder, command) : xstrdup(command);
    return 0;
}

/* v1 demands the field, v1beta1 has IfAvailable by default (exec.go, validation.go). */
static int take_interactive(const cJSON *exec, struct kube_exec *e, struct err *err)
{
    static const char *const names[] = {"Never", "IfAvailable", "Always"};
    const char *mode = json_str(exec, "interactiveMode");
    if (str_empty(mode) && !str_eq(e->api_version, KUBE_EXEC_GROUP "v1")) {
        e->interactive = KUBE_EXEC_IF_AVAILABLE;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(mode, names[i])) {
            e->interactive = (enum kube_exec_interactive)i;
            return 0;
        }
    return err_set(err, ERR_INVALID,
                   "interactiveMode %s%.40s%s: it must be Never, IfAvailable or Always",
                   mode ? "\"" : "is missing", str_or(mode, ""), mode ? "\"" : "");
}

static char **new_list(const cJSON *array)
{
    return xcalloc((size_t)cJSON_GetArraySize(array) + 1, sizeof(char *));
}

static int take_arguments(const cJSON *exec, struct kube_exec *e, struct err *err)
{
    const cJSON *item, *array = json_get(exec, "args");
    size_t n = 0;
    if (cJSON_GetArraySize(array) > KUBE_EXEC_ITEMS_MAX)
        return err_set(err, ERR_LIMIT, "args has more than %d items", KUBE_EXEC_ITEMS_MAX);
    e->arguments = new_list(array);
    cJSON_ArrayForEach (item, array) {
        if (!cJSON_IsString(item))
            return err_set(err, ERR_INVALID, "args[%zu] is no text: put it in quotes", n);
        e->arguments[n++] = xstrdup(item->valuestring);
    }
    return 0;
}

static int take_variables(const cJSON *exec, struct kube_exec *e, struct err *err)
{
    const cJSON *item, *array = json_get(exec, "env");
    size_t n = 0;
    if (cJSON_GetArraySize(array) > KUBE_EXEC_ITEMS_MAX)
        return err_set(err, ERR_LIMIT, "env has more than %d items", KUBE_EXEC_ITEMS_MAX);
    e->variables = new_list(array);
    cJSON_ArrayForEach (item, array) {
        const char *name = json_str(item, "name");
        if (str_empty(name) || strchr(name, '='))
            return err_set(err, ERR_INVALID, "env[%zu].name is missing, or holds \"=\"", n);
        e->variables[n++] = xasprintf("%s=%s", name, str_or(json_str(item, "value"), ""));
    }
    return 0;
}

/* --- spec.cluster of what the plugin is told (pkg/apis/clientauthentication Cluster) --- */

#define EXTENSION "client.authentication.k8s.io/exec"

static const cJSON *extension_of(const cJSON *cluster)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, json_get(cluster, "extensions"))
        if (str_eq(json_str(item, "name"), EXTENSION))
            return json_get(item, "extension");
    return NULL;
}

/* RFC 4648 section 4. */
static void add_base64(const char *bytes, size_t n, struct buf *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < n ? (unsigned char)bytes[i + k] : 0);
        for (unsigned k = 0; k < 4; k++)
            buf_addc(out, i + k > n ? '=' : alphabet[bits >> (18 - 6 * k) & 63]);
    }
}

static int add_authority(struct json_writer *w, const cJSON *cluster, const char *folder,
                         struct err *err)
{
    const char *data = json_str(cluster, "certificate-authority-data");
    const char *file = json_str(cluster, "certificate-authority");
    if (str_empty(data) && str_empty(file))
        return 0;
    if (!str_empty(data)) {
        json_string(w, "certificate-authority-data", data);
        return 0;
    }
    CLEANUP_BUF struct buf pem = BUF_INIT(LIMIT_PEM_BYTES);
    CLEANUP_BUF struct buf text = BUF_INIT(2 * LIMIT_PEM_BYTES);
    CLEANUP_FREE char *path =
        file[0] == '/' || str_empty(folder) ? xstrdup(file) : xasprintf("%s/%s", folder, file);
    if (buf_read_file(&pem, path, err) < 0)
        return err_wrap(err, "certificate-authority");
    add_base64(pem.data, pem.len, &text);
    json_string(w, "certificate-authority-data", text.data);
    return 0;
}

static int describe_cluster(const cJSON *cluster, const char *folder, struct kube_exec *e,
                            struct err *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_KUBECONFIG_BYTES);
    struct json_writer w = json_writer(&text);
    const cJSON *config = extension_of(cluster);
    json_object(&w, NULL);
    json_string(&w, "server", json_str(cluster, "server"));
    json_string(&w, "tls-server-name", json_str(cluster, "tls-server-name"));
    if (json_bool(cluster, "insecure-skip-tls-verify", false))
        json_boolean(&w, "insecure-skip-tls-verify", true);
    if (add_authority(&w, cluster, folder, err) < 0)
        return -1;
    json_string(&w, "proxy-url", json_str(cluster, "proxy-url"));
    if (config)
        json_tree(&w, "config", config);
    json_end(&w);
    if (!buf_ok(&text))
        return err_set(err, ERR_LIMIT, "provideClusterInfo: the cluster's entry is too long");
    e->cluster_info = buf_take(&text);
    return 0;
}

int kube_exec_parse(const cJSON *exec, const cJSON *cluster, const char *folder,
                    struct kube_exec *ret, struct err *err)
{
    struct kube_exec e = {0};
    const char *hint = json_str(exec, "installHint");
    if (take_version(exec, &e, err) < 0 || take_command(exec, folder, &e, err) < 0 ||
        take_interactive(exec, &e, err) < 0 || take_arguments(exec, &e, err) < 0 ||
        take_variables(exec, &e, err) < 0 ||
        (json_bool(exec, "provideClusterInfo", false) &&
         describe_cluster(cluster, folder, &e, err) < 0)) {
        kube_exec_release(&e);
        return err_wrap(err, "exec");
    }
    e.install_hint = str_empty(hint) ? NULL : xstrdup(hint);
    *ret = e;
    return 0;
}
