/*
 * Proves that the transport trusts exactly the certificate authority it was given, checks the name,
 * shows its client certificate, and calls a failed handshake unsent. The servers are Python's and
 * OpenSSL's (tls_server.py).
 */
#include "test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "kube/curl_transport.h"

static struct {
    char folder[64];
    pid_t pid;
    int in;
    unsigned both, name;
} server;

static int start_server(void **state)
{
    int to[2], from[2];
    char text[64] = "";
    (void)state;
    snprintf(server.folder, sizeof server.folder, "/tmp/wukong-test-tls-XXXXXX");
    assert_non_null(mkdtemp(server.folder));
    assert_int_equal(pipe(to) | pipe(from), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[1]);
        close(from[0]);
        execlp("python3", "python3", TLS_SERVER, server.folder, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    server.in = to[1];
    for (size_t n = 0; !strchr(text, '\n'); n++) /* the line may come in pieces */
        assert_true(n < sizeof text - 1 && read(from[0], text + n, 1) == 1);
    close(from[0]);
    return sscanf(text, "%u %u", &server.both, &server.name) == 2 ? 0 : -1;
}

static int stop_server(void **state)
{
    int status;
    (void)state;
    close(server.in);
    waitpid(server.pid, &status, 0);
    CLEANUP_FREE char *command = xasprintf("rm -r %s", server.folder);
    return system(command);
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", server.folder, name);
}

static char *text_of(const char *name)
{
    CLEANUP_FREE char *path = path_of(name);
    CLEANUP_BUF struct buf b = BUF_INIT(1 * MIB);
    struct err err = {0};
    assert_int_equal(buf_read_file(&b, path, &err), 0);
    return buf_take(&b);
}

struct result {
    bool done;
    int code;
    struct err err;
    char body[64];
};

static void on_done(void *arg, const struct kube_response *r)
{
    struct result *x = arg;
    x->done = true;
    x->code = r->code;
    x->err = r->err;
    snprintf(x->body, sizeof x->body, "%s", r->body);
}

static struct result ask(struct kube_config *config, unsigned port, enum kube_method method)
{
    struct loop *l = NULL;
    struct curl_transport *t = NULL;
    struct result x = {0};
    CLEANUP_FREE char *url = xasprintf("https://127.0.0.1:%u", port);
    config->server = url;
    assert_int_equal(loop_new(&clock_system, &l, &x.err), 0);
    assert_int_equal(curl_transport_new(
                         &(struct curl_transport_options){.loop = l, .config = config}, &t, &x.err),
                     0);
    (void)kube_submit(
        curl_transport_face(t),
        &(struct kube_request){
            .method = method, .path = "/x", .deadline_ms = 15000, .on_done = on_done, .arg = &x});
    for (int i = 0; i < 400 && !x.done; i++)
        loop_turn(l, 50);
    assert_true(x.done);
    curl_transport_free(t);
    loop_free(l);
    config->server = NULL;
    return x;
}

static void expect_refused(struct kube_config *config, unsigned port)
{
    struct result x = ask(config, port, KUBE_GET);
    assert_int_equal(x.code, 0);
    assert_int_equal(x.err.kind, ERR_UNAVAILABLE);
    /* Nothing of a write can have arrived either, so that it is safe to try again. */
    x = ask(config, port, KUBE_PUT);
    assert_int_equal(x.err.kind, ERR_UNAVAILABLE);
}

static void test_authority(void **state)
{
    (void)state;
    CLEANUP_FREE char *ca = text_of("ca.crt"), *other = text_of("other.crt"),
                      *ca_file = path_of("ca.crt"), *other_file = path_of("other.crt"),
                      *both = xasprintf("%s%s", other, ca);
    struct kube_config by_text = {.ca_pem = ca}, by_file = {.ca_file = ca_file},
                       wrong_text = {.ca_pem = other}, wrong_file = {.ca_file = other_file},
                       bundle = {.ca_pem = both}, system = {0}, insecure = {.insecure = true};
    assert_int_equal(ask(&by_text, server.both, KUBE_GET).code, 200);
    assert_int_equal(ask(&by_file, server.both, KUBE_GET).code, 200);
    assert_int_equal(ask(&bundle, server.both, KUBE_GET).code, 200);
    assert_int_equal(ask(&insecure, server.name, KUBE_GET).code, 200);
    expect_refused(&wrong_text, server.both);
    expect_refused(&wrong_file, server.both);
    expect_refused(&system, server.both);
}

static void test_name(void **state)
{
    (void)state;
    CLEANUP_FREE char *ca = text_of("ca.crt");
    char good_name[] = "kube.test", bad_name[] = "else.test";
    struct kube_config plain = {.ca_pem = ca}, good = {.ca_pem = ca, .tls_server_name = good_name},
                       bad = {.ca_pem = ca, .tls_server_name = bad_name};
    expect_refused(&plain, server.name);
    assert_int_equal(ask(&good, server.name, KUBE_GET).code, 200);
    expect_refused(&bad, server.both);
}

static void test_client_certificate(void **state)
{
    (void)state;
    CLEANUP_FREE char *ca = text_of("ca.crt"), *cert = text_of("client.crt"),
                      *key = text_of("client.key"), *cert_file = path_of("client.crt"),
                      *key_file = path_of("client.key");
    struct kube_config none = {.ca_pem = ca},
                       by_text = {.ca_pem = ca, .cert_pem = cert, .key_pem = key},
                       by_file = {.ca_pem = ca, .cert_file = cert_file, .key_file = key_file},
                       broken = {.ca_pem = ca, .cert_pem = key, .key_pem = cert};
    assert_string_equal(ask(&none, server.both, KUBE_GET).body, "-");
    assert_string_equal(ask(&by_text, server.both, KUBE_GET).body, "alice");
    assert_string_equal(ask(&by_file, server.both, KUBE_GET).body, "alice");
    expect_refused(&broken, server.both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authority),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_client_certificate),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
