#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "kube/curl_call.h"

/* Unacknowledged data for this long ends a connection: a node that vanished. */
#define USER_TIMEOUT_MS 30000

/* --- libcurl's callbacks: nothing may be added or removed in them --- */

static size_t on_write(char *bytes, size_t size, size_t n, void *arg)
{
    struct kube_call *c = arg;
    n *= size;
    if (c->cancelled)
        return 0;
    c->heard_ms = loop_now(c->owner->loop);
    long code = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &code);
    bool fine = code >= 200 && code < 300;
    if (fine && c->request.on_data) {
        if (c->request.on_data(c->request.arg, bytes, n) != 0)
            c->refused = true;
        return c->refused || c->cancelled ? 0 : n;
    }
    size_t room = c->reply.max - c->reply.len;
    if (n > room && fine) {
        c->too_long = true;
        return 0;
    }
    /* Of a refusal the beginning is enough. */
    (void)buf_add(&c->reply, bytes, n > room ? room : n);
    return n;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
    struct kube_call *c = arg;
    size_t left = c->request.body_len - c->body_sent;
    n *= size;
    if (n > left)
        n = left;
    if (n)
        memcpy(to, c->body + c->body_sent, n);
    c->body_sent += n;
    return n;
}

/* libcurl rewinds to resend a request on a new connection when a reused one has died. Before the
   last byte that is safe; after it the server may have acted, and the caller has to know. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct kube_call *c = arg;
    if (offset != 0 || origin != SEEK_SET || c->body_sent >= c->request.body_len)
        return CURL_SEEKFUNC_FAIL;
    c->body_sent = 0;
    return CURL_SEEKFUNC_OK;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg;
    unsigned timeout = USER_TIMEOUT_MS;
    if (purpose == CURLSOCKTYPE_IPCXN)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    return CURL_SOCKOPT_OK;
}

/* --- Options --- */

static bool set_blob(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = {
        .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};
    return curl_easy_setopt(easy, option, &blob) == CURLE_OK;
}

static bool set_tls(const struct curl_transport *t, CURL *easy)
{
    bool ok = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, t->insecure ? 0L : 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, t->insecure ? 0L : 2L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 60L) == CURLE_OK;
    if (t->ca_pem)
        ok &= set_blob(easy, CURLOPT_CAINFO_BLOB, t->ca_pem);
    else if (t->ca_file)
        ok &= curl_easy_setopt(easy, CURLOPT_CAINFO, t->ca_file) == CURLE_OK;
    if (t->ca_pem || t->ca_file)
        ok &= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    if (t->cert_pem)
        ok &= set_blob(easy, CURLOPT_SSLCERT_BLOB, t->cert_pem);
    else if (t->cert_file)
        ok &= curl_easy_setopt(easy, CURLOPT_SSLCERT, t->cert_file) == CURLE_OK;
    if (t->key_pem)
        ok &= set_blob(easy, CURLOPT_SSLKEY_BLOB, t->key_pem);
    else if (t->key_file)
        ok &= curl_easy_setopt(easy, CURLOPT_SSLKEY, t->key_file) == CURLE_OK;
    return ok;
}

static bool set_connection(const struct curl_transport *t, CURL *easy)
{
    bool ok = curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CURL_TRANSPORT_CONNECT_MS) ==
          CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_USERAGENT, t->user_agent) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CONNECT_TO, t->connect_to) == CURLE_OK;
    /* As Go's http.ProxyFromEnvironment: loopback is never asked for through a proxy. */
    if (t->proxy || t->loopback)
        ok &= curl_easy_setopt(easy, CURLOPT_PROXY, t->loopback ? "" : t->proxy) == CURLE_OK;
    return ok;
}

static bool append_header(struct kube_call *c, const char *line)
{
    struct curl_slist *more = curl_slist_append(c->headers, line);
    if (more)
        c->headers = more;
    return more != NULL;
}

static bool add_header(struct kube_call *c, const char *name, const char *value)
{
    CLEANUP_FREE char *line = xasprintf("%s: %s", name, value);
    return append_header(c, line);
}

static bool set_headers(struct kube_call *c, CURL *easy)
{
    const char *token = kube_token_current(&c->owner->token);
    bool ok = add_header(c, "Accept", c->accept ? c->accept : "application/json");
    /* An empty one takes back libcurl's own, which is that of HTML forms. */
    ok &= add_header(c, "Content-Type", c->content_type ? c->content_type : "");
    if (token) {
        CLEANUP_FREE char *bearer = xasprintf("Bearer %s", token);
        ok &= add_header(c, "Authorization", bearer);
    }
    for (const char *const *more = c->owner->o.headers; more && *more; more++)
        ok &= append_header(c, *more);
    /* Waiting for "100 Continue" would cost a second where a proxy does not know it. */
    ok &= append_header(c, "Expect:");
    return ok && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->headers) == CURLE_OK;
}

static bool set_body(struct kube_call *c, CURL *easy)
{
    static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    _Static_assert(ARRAY_LEN(verbs) == KUBE_DELETE + 1, "one name for each method");
    bool ok = true;
    if (!kube_call_is_write(c))
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, verbs[c->request.method]) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->request.body_len) ==
          CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_READDATA, c) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SEEKDATA, c) == CURLE_OK;
    /* Without a body on_seek is never asked; a new connection is never resent on. */
    if (c->request.body_len == 0)
        ok &= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
    return ok;
}

static bool set_call(struct kube_call *c, CURL *easy)
{
    CLEANUP_FREE char *url = xasprintf("%s%s", c->owner->base, c->path);
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)&c->transfer) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->error) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, c) == CURLE_OK;
    return ok;
}

bool curl_request_set_peer(const struct curl_transport *t, CURL *easy)
{
    return set_connection(t, easy) && set_tls(t, easy);
}

bool curl_request_set(struct kube_call *c, CURL *easy)
{
    return set_call(c, easy) && curl_request_set_peer(c->owner, easy) && set_body(c, easy) &&
           set_headers(c, easy);
}
