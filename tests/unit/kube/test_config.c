/*
 * Proves that kubeconfigs and a Pod's identity are read as client-go reads them, that what is not
 * supported is refused by name, and that a token file is read again after 60 s and after a 401.
 */
#include "test.h"

#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/str.h"
#include "kube/config.h"
#include "kube/token.h"

/* base64 of "-----BEGIN X-----\n" */
#define PEM64 "LS0tLS1CRUdJTiBYLS0tLS0K"
#define PEM "-----BEGIN X-----\n"

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
#define CONTEXT "contexts:\n- name: c\n  context: {cluster: k, user: u, namespace: team}\n"
#define CLUSTER "clusters:\n- name: k\n  cluster: {server: \"https://h:6443\"}\n"
#define USER "users:\n- name: u\n  user: {token: abc}\n"

static int parse(const char *text, const char *context, bool insecure, struct kube_config *c,
                 struct err *err)
{
    struct kube_config_choice choice = {.context = context, .allow_insecure = insecure};
    return kube_config_parse(text, strlen(text), "/etc/kube", &choice, c, err);
}

static void test_complete(void **state)
{
    (void)state;
    CLEANUP_KUBE_CONFIG struct kube_config c = {0};
    struct err err = {0};
    if (parse(HEAD "contexts:\n"
                   "- {name: other, context: {cluster: none, user: none}}\n"
                   "- {name: c, context: {cluster: k, user: u, namespace: team}}\n"
                   "clusters:\n- name: k\n  cluster:\n    server: https://h:6443/base//\n"
                   "    certificate-authority: ca.crt\n"
                   "    certificate-authority-data: " PEM64 "\n"
                   "    tls-server-name: kubernetes\n    proxy-url: http://p:3128\n"
                   "users:\n- name: u\n  user:\n    client-certificate: /abs/c.pem\n"
                   "    client-key: rel/k.pem\n    tokenFile: tok\n    token: ignored\n",
              NULL, false, &c, &err) != 0)
        fail_msg("%s", err.message);
    assert_string_equal(c.server, "https://h:6443/base");
    assert_string_equal(c.ca_pem, PEM);
    assert_null(c.ca_file); /* data wins */
    assert_string_equal(c.cert_file, "/abs/c.pem");
    assert_string_equal(c.key_file, "/etc/kube/rel/k.pem");
    assert_string_equal(c.token_file, "/etc/kube/tok");
    assert_null(c.token); /* the file wins */
    assert_string_equal(c.tls_server_name, "kubernetes");
    assert_string_equal(c.proxy_url, "http://p:3128");
    assert_string_equal(c.ns, "team");
    assert_false(c.insecure);
}

static const struct choice {
    int line;
    const char *text, *context;
    bool insecure;
    const char *message; /* part of the refusal; NULL: accepted */
} choices[] = {
    {__LINE__, HEAD CONTEXT CLUSTER USER, NULL, false, NULL},
    {__LINE__, HEAD CONTEXT CLUSTER USER, "c", false, NULL},
    {__LINE__, HEAD CONTEXT CLUSTER USER, "d", false, "there is no context \"d\""},
    {__LINE__, CONTEXT CLUSTER USER, NULL, false, "no current-context"},
    {__LINE__, CONTEXT CLUSTER USER, "c", false, NULL},
    {__LINE__, HEAD CONTEXT USER, NULL, false, "there is no cluster \"k\""},
    {__LINE__, HEAD CONTEXT CLUSTER, NULL, false, "there is no user \"u\""},
    {__LINE__, HEAD CLUSTER "contexts:\n- {name: c, context: {cluster: k}}\n", NULL, false, NULL},
    {__LINE__, "", NULL, false, "kubeconfig"},
    {__LINE__, "[]", "c", false, "not a kubeconfig"},
    {__LINE__, "a: [", "c", false, "line"},
    {__LINE__, "{\"clusters\":{},\"contexts\":7}", "c", false, "there is no context"},
    {__LINE__, HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {}}\n", NULL, false, "no server"},
    {__LINE__, HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"h:1\"}}\n", NULL,
     false, "must begin with https://"},
    {__LINE__, HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"http://h\"}}\n", NULL,
     false, "must begin with https://"},
    {__LINE__,
     HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"http://127.0.0.1:8\"}}\n", NULL,
     false, NULL},
    {__LINE__,
     HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"http://localhost.evil\"}}\n",
     NULL, false, "must begin with https://"},
    {__LINE__, HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"https://\"}}\n", NULL,
     false, "names no host"},
    {__LINE__, HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"https://u@h\"}}\n",
     NULL, false, "user names"},
    {__LINE__,
     HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"https://h\", "
                       "insecure-skip-tls-verify: true}}\n",
     NULL, false, "not allowed here"},
    {__LINE__,
     HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"https://h\", "
                       "insecure-skip-tls-verify: true}}\n",
     NULL, true, NULL},
    {__LINE__,
     HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"https://h\", "
                       "insecure-skip-tls-verify: true, certificate-authority: x}}\n",
     NULL, true, "contradicts"},
    {__LINE__,
     HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"https://h\", "
                       "certificate-authority-data: \"%%%\"}}\n",
     NULL, false, "certificate-authority-data is no base64"},
    {__LINE__,
     HEAD CONTEXT USER "clusters:\n- {name: k, cluster: {server: \"https://h\", "
                       "certificate-authority-data: \"aGVsbG8=\"}}\n",
     NULL, false, "holds no PEM block"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: {exec: {command: x}}}\n", NULL,
     false, "\"exec\" cannot be used"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: {username: x, password: y}}\n", NULL,
     false, "\"username\" cannot be used"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: {as: root, token: a}}\n", NULL,
     false, "\"as\" cannot be used"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: {auth-provider: {name: g}}}\n", NULL,
     false, "\"auth-provider\" cannot be used"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: {client-certificate: a}}\n", NULL,
     false, "come together"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: {token: \"a b\"}}\n", NULL, false,
     "token holds blanks"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: {token: \"a\\nX: y\"}}\n", NULL,
     false, "token holds blanks"},
    {__LINE__, HEAD CONTEXT CLUSTER "users:\n- {name: u, user: }\n", NULL, false, NULL},
};

static void test_choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        CLEANUP_KUBE_CONFIG struct kube_config c = {0};
        struct err err = {0};
        int status = parse(choices[i].text, choices[i].context, choices[i].insecure, &c, &err);
        if ((status == 0) != (choices[i].message == NULL) ||
            (choices[i].message && !strstr(err.message, choices[i].message)))
            fail_msg("row at line %d: %d %s", choices[i].line, status, err.message);
        CHECK_ROW(&choices[i], status != 0 || c.ns);
    }
}

struct folder {
    char path[64];
};

static void write_text(const struct folder *f, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int make_folder(void **state)
{
    struct folder *f = xcalloc(1, sizeof *f);
    snprintf(f->path, sizeof f->path, "/tmp/wukong-test-config-XXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;
    static const char *const names[] = {"a",    "b", "token", "ca.crt", "namespace", ".kube/config",
                                        ".kube"};
    char path[200];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", f->path, names[i]);
        (void)remove(path);
    }
    (void)remove(f->path);
    free(f);
    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
    return 0;
}

/* clientcmd: the first file that has an entry wins, files that do not exist are left out. */
static void test_list_of_files(void **state)
{
    const struct folder *f = *state;
    CLEANUP_KUBE_CONFIG struct kube_config c = {0};
    struct err err = {0};
    write_text(f, "a",
               "current-context: c\nclusters:\n- {name: k, cluster: {server: "
               "\"https://first\", certificate-authority: ca}}\n");
    write_text(f, "b", "current-context: z\n" CONTEXT CLUSTER USER);
    CLEANUP_FREE char *list = xasprintf("%s/none::%s/a:%s/b", f->path, f->path, f->path),
                      *ca = xasprintf("%s/ca", f->path);
    struct kube_config_choice choice = {.path = list};
    if (kube_config_load(&choice, &c, &err) != 0)
        fail_msg("%s", err.message);
    assert_string_equal(c.server, "https://first");
    assert_string_equal(c.ca_file, ca);
    assert_string_equal(c.token, "abc");
    CLEANUP_FREE char *none = xasprintf("%s/none", f->path);
    choice.path = none;
    CLEANUP_KUBE_CONFIG struct kube_config d = {0};
    assert_int_equal(kube_config_load(&choice, &d, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    write_text(f, "b", "a: [");
    choice.path = list;
    assert_int_equal(kube_config_load(&choice, &d, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_non_null(strstr(err.message, "/b"));
}

static void test_places(void **state)
{
    const struct folder *f = *state;
    CLEANUP_KUBE_CONFIG struct kube_config env = {0}, pod = {0}, home = {0}, none = {0};
    struct kube_config_choice choice = {0};
    struct err err = {0};
    char path[200];
    setenv("HOME", f->path, 1);
    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(kube_config_load(&choice, &none, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    snprintf(path, sizeof path, "%s/.kube", f->path);
    assert_int_equal(mkdir(path, 0700), 0);
    write_text(f, ".kube/config", HEAD CONTEXT CLUSTER USER);
    assert_int_equal(kube_config_load(&choice, &home, &err), 0);
    assert_string_equal(home.server, "https://h:6443");
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_int_equal(kube_config_load(&choice, &pod, &err), 0);
    assert_string_equal(pod.server, "https://10.0.0.1:443");
    write_text(f, "a",
               "current-context: c\n" CONTEXT USER
               "clusters: [{name: k, cluster: {server: \"https://env\"}}]");
    snprintf(path, sizeof path, "%s/a", f->path);
    setenv("KUBECONFIG", path, 1);
    assert_int_equal(kube_config_load(&choice, &env, &err), 0);
    assert_string_equal(env.server, "https://env");
}

/* What a user runs means kubectl's cluster, also in a Pod; a program means the Pod's. */
static void test_as_kubectl(void **state)
{
    const struct folder *f = *state;
    char path[200], missing[200];
    snprintf(path, sizeof path, "%s/.kube", f->path);
    (void)mkdir(path, 0700);
    write_text(f, ".kube/config", HEAD CONTEXT CLUSTER USER);
    write_text(f, "e",
               "current-context: c\n" CONTEXT USER
               "clusters: [{name: k, cluster: {server: \"https://env\"}}]");
    snprintf(path, sizeof path, "%s/e", f->path);
    snprintf(missing, sizeof missing, "%s/missing", f->path);
    const struct {
        const char *what, *env, *home, *context, *server; /* NULL: refused */
        bool pod;
    } rows[] = {
        {"the file at home, not the Pod", NULL, f->path, NULL, "https://h:6443", true},
        {"$KUBECONFIG, not the Pod", path, f->path, NULL, "https://env", true},
        {"the Pod, where there is no file", NULL, "/nonexistent", NULL, "https://10.0.0.1:443",
         true},
        {"the Pod, where $KUBECONFIG names none", missing, f->path, NULL, "https://10.0.0.1:443",
         true},
        {"a context that the file has", NULL, f->path, "c", "https://h:6443", true},
        {"a context that it has not", NULL, f->path, "nosuch", NULL, true},
        {"a context, and no file", NULL, "/nonexistent", "c", NULL, true},
        {"nothing at all", NULL, "/nonexistent", NULL, NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_KUBE_CONFIG struct kube_config c = {0};
        struct kube_config_choice choice = {.context = rows[i].context, .as_kubectl = true};
        struct err err = {0};
        setenv("HOME", rows[i].home, 1);
        unsetenv("KUBECONFIG");
        unsetenv("KUBERNETES_SERVICE_HOST");
        if (rows[i].env)
            setenv("KUBECONFIG", rows[i].env, 1);
        if (rows[i].pod) {
            setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
            setenv("KUBERNETES_SERVICE_PORT", "443", 1);
        }
        int result = kube_config_load(&choice, &c, &err);
        if ((result == 0) != (rows[i].server != NULL) || !str_eq(c.server, rows[i].server))
            fail_msg("%s: %s, %s", rows[i].what, str_or(c.server, "none"), err.message);
        assert_true(result == 0 || *err.message);
    }
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBECONFIG");
}

static void test_loopback(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *server;
        bool loopback;
    } rows[] = {
        {__LINE__, "https://127.0.0.1:6443", true}, {__LINE__, "https://127.8.8.8/x", true},
        {__LINE__, "http://LocalHost:1", true},     {__LINE__, "https://[::1]:6443", true},
        {__LINE__, "https://[::11]:6443", false},   {__LINE__, "https://127.evil.org", false},
        {__LINE__, "https://localhost.org", false}, {__LINE__, "https://10.0.0.1", false},
        {__LINE__, "https://h/127.0.0.1", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(&rows[i], kube_config_loopback(rows[i].server) == rows[i].loopback);
}

static void test_pod(void **state)
{
    const struct folder *f = *state;
    CLEANUP_KUBE_CONFIG struct kube_config v4 = {0}, v6 = {0}, bad = {0};
    struct err err = {0};
    write_text(f, "namespace", "wukong-system\n");
    assert_int_equal(kube_config_from_pod("10.0.0.1", "443", f->path, &v4, &err), 0);
    assert_string_equal(v4.server, "https://10.0.0.1:443");
    assert_string_equal(v4.ns, "wukong-system");
    assert_true(str_starts(v4.token_file, f->path) && str_ends(v4.token_file, "/token"));
    assert_true(str_starts(v4.ca_file, f->path) && str_ends(v4.ca_file, "/ca.crt"));
    assert_int_equal(kube_config_from_pod("fd00::1", "6443", "/nowhere", &v6, &err), 0);
    assert_string_equal(v6.server, "https://[fd00::1]:6443");
    assert_string_equal(v6.ns, "default");
    assert_int_equal(kube_config_from_pod("h/../x?", "1", "/nowhere", &bad, &err), -1);
}

/* --- Token --- */

static int64_t now;
static int64_t read_now(void *arg)
{
    (void)arg;
    return now;
}
static const struct clock clock_test = {.mono_ms = read_now, .wall_ms = read_now};

static void test_token(void **state)
{
    const struct folder *f = *state;
    CLEANUP_FREE char *path = xasprintf("%s/token", f->path);
    struct kube_token t;
    now = 5;
    kube_token_init(&t, &clock_test, NULL, path);
    assert_null(kube_token_current(&t)); /* not there yet */
    write_text(f, "token", " one\n");
    now += KUBE_TOKEN_READ_MS_MIN;
    assert_string_equal(kube_token_current(&t), "one");
    write_text(f, "token", "two");
    now += KUBE_TOKEN_READ_MS - 1;
    assert_string_equal(kube_token_current(&t), "one");
    now += 1;
    assert_string_equal(kube_token_current(&t), "two");

    /* After a 401: at once, but not again and again. */
    write_text(f, "token", "three");
    now += KUBE_TOKEN_READ_MS_MIN;
    assert_string_equal(kube_token_current(&t), "two");
    kube_token_expire(&t);
    assert_string_equal(kube_token_current(&t), "three");
    write_text(f, "token", "four");
    kube_token_expire(&t);
    assert_string_equal(kube_token_current(&t), "three");
    now += KUBE_TOKEN_READ_MS_MIN;
    assert_string_equal(kube_token_current(&t), "four");

    /* What cannot be a token, or is not there, leaves the former one. */
    static const char *const bad[] = {"", " \n", "a\nX-Header: b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        write_text(f, "token", bad[i]);
        now += KUBE_TOKEN_READ_MS;
        assert_string_equal(kube_token_current(&t), "four");
    }
    assert_int_equal(remove(path), 0);
    now += KUBE_TOKEN_READ_MS;
    assert_string_equal(kube_token_current(&t), "four");
    kube_token_release(&t);

    kube_token_init(&t, &clock_test, "fixed", NULL);
    kube_token_expire(&t);
    assert_string_equal(kube_token_current(&t), "fixed");
    kube_token_release(&t);
    kube_token_init(&t, &clock_test, NULL, NULL);
    assert_null(kube_token_current(&t));
    kube_token_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test_setup_teardown(test_list_of_files, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_places, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_as_kubectl, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_pod, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_token, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
