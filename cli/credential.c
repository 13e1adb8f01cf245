#include "cli/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

/* An answer holds a token and two PEM blocks. */
#define ANSWER_BYTES MIB
/* A plugin is not run more often than this, after a 401 and when its answer has expired. */
#define REFUSED_AGAIN_MS 5000
#define EXPIRED_AGAIN_MS 1000
/* How long a plugin that was told to end may take. */
#define ENDING_MS 2000

/* What a plugin wrote. */
struct credential_answer {
    char *token, *cert_pem, *key_pem;
    int64_t expires_ms; /* wall; 0: never */
};

struct credential {
    const struct kube_exec *exec;
    const struct clock *clock;
    struct credential_answer answer;
    int64_t ran_ms; /* by the clock that nobody sets */
};

static void answer_release(struct credential_answer *a)
{
    if (a->key_pem)
        explicit_bzero(a->key_pem, strlen(a->key_pem));
    free(a->token);
    free(a->cert_pem);
    free(a->key_pem);
    *a = (struct credential_answer){0};
}

/* --- The answer --- */

static int read_status(const cJSON *status, struct credential_answer *a, struct err *err)
{
    const char *token = json_str(status, "token"),
               *cert = json_str(status, "clientCertificateData"),
               *key = json_str(status, "clientKeyData"),
               *expires = json_str(status, "expirationTimestamp");
    if (str_empty(cert) != str_empty(key))
        return err_set(err, ERR_INVALID, "clientCertificateData and clientKeyData come together");
    if (str_empty(token) && str_empty(cert))
        return err_set(err, ERR_INVALID, "it holds neither a token nor a client certificate");
    if (!str_empty(token) && !kube_token_sound(token))
        return err_set(err, ERR_INVALID, "status.token holds blanks or control characters");
    if (!str_empty(expires) && !str_to_time_ms(expires, &a->expires_ms))
        return err_set(err, ERR_INVALID, "status.expirationTimestamp \"%.60s\" is no RFC 3339 time",
                       expires);
    a->token = str_empty(token) ? NULL : xstrdup(token);
    a->cert_pem = str_empty(cert) ? NULL : xstrdup(cert);
    a->key_pem = str_empty(key) ? NULL : xstrdup(key);
    return 0;
}

static int read_answer_text(const char *text, size_t len, const char *api_version,
                            struct credential_answer *ret, struct err *err)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct credential_answer a = {0};
    const char *kind, *version;
    if (json_read(text, len, &tree, err) < 0)
        return err_wrap(err, "it wrote no ExecCredential");
    kind = json_str(tree, "kind");
    version = json_str(tree, "apiVersion");
    if (!str_eq(kind, "ExecCredential"))
        return err_set(err, ERR_INVALID, "it wrote no ExecCredential: kind is \"%.60s\"",
                       str_or(kind, ""));
    if (!str_eq(version, api_version))
        return err_set(err, ERR_INVALID,
                       "it answered with apiVersion %.80s, and the kubeconfig asks for %.80s",
                       str_or(version, "\"\""), api_version);
    if (!cJSON_IsObject(json_get(tree, "status")))
        return err_set(err, ERR_INVALID, "its answer has no status");
    if (read_status(json_get(tree, "status"), &a, err) < 0) {
        answer_release(&a);
        return -1;
    }
    *ret = a;
    return 0;
}

/* --- The process --- */

static char *exec_info(const struct kube_exec *e, bool interactive)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_KUBECONFIG_BYTES);
    struct json_writer w = json_writer(&text);
    json_object(&w, NULL);
    json_string(&w, "kind", "ExecCredential");
    json_string(&w, "apiVersion", e->api_version);
    json_object(&w, "spec");
    if (e->cluster_info)
        json_raw(&w, "cluster", e->cluster_info);
    json_boolean(&w, "interactive", interactive);
    json_end(&w);
    json_end(&w);
    return xasprintf("KUBERNETES_EXEC_INFO=%s", buf_ok(&text) ? text.data : "");
}

static size_t name_len(const char *variable)
{
    return strcspn(variable, "=") + 1;
}

/* The plugin's own variables stand for ours of the same name. Texts are borrowed. */
static char **join_environment(const struct kube_exec *e, char *info)
{
    size_t own = 0, n = 0, all = 0;
    while (e->variables && e->variables[own])
        own++;
    while (environ[all])
        all++;
    char **list = xcalloc(own + all + 2, sizeof *list);
    for (size_t i = 0; i < all; i++) {
        bool replaced = strncmp(environ[i], info, name_len(info)) == 0;
        for (size_t k = 0; k < own; k++)
            replaced |= strncmp(environ[i], e->variables[k], name_len(e->variables[k])) == 0;
        if (!replaced)
            list[n++] = environ[i];
    }
    for (size_t k = 0; k < own; k++)
        list[n++] = e->variables[k];
    list[n] = info;
    return list;
}

static char **join_arguments(const struct kube_exec *e)
{
    size_t n = 0;
    while (e->arguments && e->arguments[n])
        n++;
    char **list = xcalloc(n + 2, sizeof *list);
    list[0] = e->command;
    for (size_t i = 0; i < n; i++)
        list[i + 1] = e->arguments[i];
    return list;
}

static int start(const struct kube_exec *e, bool interactive, int pipe_in, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    CLEANUP_FREE char *info = exec_info(e, interactive);
    CLEANUP_FREE char **environment = join_environment(e, info);
    CLEANUP_FREE char **arguments = join_arguments(e);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_adddup2(&files, pipe_in, STDOUT_FILENO);
    if (!interactive)
        (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    int failure = posix_spawnp(ret, e->command, &files, NULL, arguments, environment);
    (void)posix_spawn_file_actions_destroy(&files);
    return failure;
}

/* True when all was written, to the end, before the time was over. */
static bool read_answer(int fd, int64_t until_ms, const struct clock *clock, struct buf *out)
{
    char part[4096];
    for (;;) {
        int64_t left = until_ms - clock_mono(clock);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left <= 0 ? 0 : poll(&p, 1, (int)left);
        if (ready == 0)
            return false;
        ssize_t n = ready < 0 ? -1 : read(fd, part, sizeof part);
        if (n == 0)
            return true;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return true;
        /* What is too long is read to its end all the same, or the plugin would hang. */
        if (n > 0)
            (void)buf_add(out, part, (size_t)n);
    }
}

/* The process has ended: its code, or 128 and the signal. One that stays is killed. */
static int reap(pid_t pid, int64_t until_ms, const struct clock *clock)
{
    int status = 0;
    for (bool told = false; waitpid(pid, &status, WNOHANG) == 0;) {
        int64_t now_ms = clock_mono(clock);
        if (now_ms >= until_ms + ENDING_MS)
            (void)kill(pid, SIGKILL);
        else if (now_ms >= until_ms && !told)
            told = kill(pid, SIGTERM) == 0;
        (void)poll(NULL, 0, 10);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int complain(const struct kube_exec *e, struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, "credential plugin %.100s: %.300s%s%.200s", e->command, what,
                   e->install_hint ? "\n\n" : "", str_or(e->install_hint, ""));
}

/* Its standard error is ours: what it says of a failure is seen. */
static int ask_plugin(const struct kube_exec *e, bool interactive, const struct clock *clock,
                      struct buf *out, struct err *err)
{
    int ends[2];
    pid_t pid;
    int64_t limit_ms = interactive ? CREDENTIAL_ASKS_MS : CREDENTIAL_MS;
    int64_t until_ms = clock_mono(clock) + limit_ms;
    CLEANUP_FREE char *text = NULL;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return complain(e, err, strerror(errno));
    int failure = start(e, interactive, ends[1], &pid);
    (void)close(ends[1]);
    if (failure) {
        (void)close(ends[0]);
        text = xasprintf("%s%s", strerror(failure),
                         strchr(e->command, '/') ? "" : " in $PATH; is it installed?");
        return complain(e, err, text);
    }
    bool whole = read_answer(ends[0], until_ms, clock, out);
    (void)close(ends[0]);
    int code = reap(pid, whole ? until_ms : clock_mono(clock), clock);
    if (!whole)
        text =
            xasprintf("it did not answer within %lld s and was ended", (long long)limit_ms / 1000);
    else if (code)
        text = xasprintf(code > 128 ? "signal %d has ended it" : "it has failed with exit code %d",
                         code > 128 ? code - 128 : code);
    else if (!buf_ok(out))
        text = xasprintf("its answer is longer than %u bytes", ANSWER_BYTES);
    return text ? complain(e, err, text) : 0;
}

static int run(struct credential *c, struct err *err)
{
    CLEANUP_BUF struct buf out = BUF_INIT(ANSWER_BYTES);
    struct credential_answer a;
    struct err why = {0};
    bool terminal = isatty(STDIN_FILENO);
    c->ran_ms = clock_mono(c->clock);
    if (c->exec->interactive == KUBE_EXEC_ALWAYS && !terminal)
        return complain(c->exec, err,
                        "it must ask the user (interactiveMode Always), and standard input is no "
                        "terminal");
    bool interactive = terminal && c->exec->interactive != KUBE_EXEC_NEVER;
    if (ask_plugin(c->exec, interactive, c->clock, &out, err) < 0)
        return -1;
    if (read_answer_text(out.data, out.len, c->exec->api_version, &a, &why) < 0)
        return complain(c->exec, err, why.message);
    answer_release(&c->answer);
    c->answer = a;
    return 0;
}

/* --- Life --- */

int credential_new(struct kube_config *config, const struct clock *clock, struct credential **ret,
                   struct err *err)
{
    struct credential *c = xcalloc(1, sizeof *c);
    c->exec = &config->exec;
    c->clock = clock;
    if (run(c, err) < 0) {
        credential_free(c);
        return -1;
    }
    if (c->answer.cert_pem && (config->cert_pem || config->cert_file)) {
        int refused =
            complain(c->exec, err, "it gives a client certificate, and the kubeconfig has another");
        credential_free(c);
        return refused;
    }
    if (c->answer.cert_pem) {
        config->cert_pem = xstrdup(c->answer.cert_pem);
        config->key_pem = xstrdup(c->answer.key_pem);
    }
    *ret = c;
    return 0;
}

void credential_free(struct credential *c)
{
    if (!c)
        return;
    answer_release(&c->answer);
    free(c);
}

/* A certificate is of the connections that are made with it: it is not changed any more. */
static const char *current_token(void *arg, bool refused)
{
    struct credential *c = arg;
    struct err err = {0};
    bool over = c->answer.expires_ms && clock_wall(c->clock) >= c->answer.expires_ms;
    int64_t age_ms = clock_mono(c->clock) - c->ran_ms;
    bool again = (over && age_ms >= EXPIRED_AGAIN_MS) || (refused && age_ms >= REFUSED_AGAIN_MS);
    if (again && run(c, &err) < 0)
        (void)fprintf(stderr, "kubectl wukong: %s\n", err.message);
    return c->answer.token;
}

struct kube_token_source credential_source(struct credential *c)
{
    return (struct kube_token_source){current_token, c};
}
