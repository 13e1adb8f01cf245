#include "http/server_tls.h"

#include <assert.h>

#include <gnutls/x509.h>

#include "base/mem.h"
#include "base/str.h"

/* A handshake that began with a former certificate may still be under way: its deadline is 10 s. */
#define RETIRED_KEEP_MS (60 * 1000)

struct certificate {
    gnutls_pcert_st chain[8];
    unsigned count;
    gnutls_privkey_t key;
    int64_t retired_ms;
    struct certificate *next;
};

struct server_tls {
    const struct clock *clock;
    void (*before)(void *arg);
    void *arg;
    struct certificate *current, *retired;
};

/* MHD hands GnuTLS' callback the session and nothing of ours. One process has one TLS listener, so
   this is the one place with a static pointer. */
static struct server_tls *listener_tls;

struct server_tls *server_tls_new(const struct clock *clock, void (*before)(void *arg), void *arg)
{
    assert(!listener_tls);
    struct server_tls *t = xcalloc(1, sizeof *t);
    *t = (struct server_tls){.clock = clock, .before = before, .arg = arg};
    listener_tls = t;
    return t;
}

static void certificate_free(struct certificate *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < c->count; i++)
        gnutls_pcert_deinit(&c->chain[i]);
    if (c->key)
        gnutls_privkey_deinit(c->key);
    free(c);
}

void server_tls_free(struct server_tls *t)
{
    if (!t)
        return;
    certificate_free(t->current);
    for (struct certificate *c = t->retired, *next; c; c = next) {
        next = c->next;
        certificate_free(c);
    }
    listener_tls = NULL;
    free(t);
}

static void retire(struct server_tls *t)
{
    int64_t now = clock_mono(t->clock);
    struct certificate **at = &t->retired;
    while (*at) {
        struct certificate *c = *at;
        if (now - c->retired_ms <= RETIRED_KEEP_MS) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        certificate_free(c);
    }
    if (t->current) {
        t->current->retired_ms = now;
        t->current->next = t->retired;
        t->retired = t->current;
    }
}

int server_tls_use(struct server_tls *t, const char *cert, const char *key, struct err *err)
{
    struct certificate *c = xcalloc(1, sizeof *c);
    gnutls_datum_t cert_text = {(unsigned char *)cert, (unsigned)strlen(cert)};
    gnutls_datum_t key_text = {(unsigned char *)key, (unsigned)strlen(key)};
    unsigned count = ARRAY_LEN(c->chain);
    int code =
        gnutls_pcert_list_import_x509_raw(c->chain, &count, &cert_text, GNUTLS_X509_FMT_PEM, 0);
    if (code == 0)
        c->count = count;
    if (code == 0)
        code = gnutls_privkey_init(&c->key);
    if (code == 0)
        code = gnutls_privkey_import_x509_raw(c->key, &key_text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code < 0) {
        certificate_free(c);
        return err_set(err, ERR_INVALID, "serving certificate: %s", gnutls_strerror(code));
    }
    retire(t);
    t->current = c;
    return 0;
}

int server_tls_callback(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                        gnutls_pcert_st **pcert, unsigned int *pcert_length,
                        gnutls_ocsp_data_st **ocsp, unsigned int *ocsp_length,
                        gnutls_privkey_t *privkey, unsigned int *flags)
{
    (void)session;
    (void)info;
    struct server_tls *t = listener_tls;
    if (t && t->before)
        t->before(t->arg);
    if (!t || !t->current)
        return -1;
    *pcert = t->current->chain;
    *pcert_length = t->current->count;
    *privkey = t->current->key;
    *ocsp = NULL;
    *ocsp_length = 0;
    *flags = 0; /* the certificate stays ours */
    return 0;
}

static bool name_listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = names; n && *at;) {
        size_t len = strcspn(at, ",");
        if (len == n && memcmp(at, name, n) == 0)
            return true;
        at += len + (at[len] == ',');
    }
    return false;
}

static bool certificate_named(gnutls_x509_crt_t crt, const char *names)
{
    char name[512];
    size_t n = sizeof name;
    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &n) == 0 &&
        n == strlen(name) && name_listed(names, name))
        return true;
    for (unsigned i = 0; i < 64; i++) {
        n = sizeof name - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &n, NULL);
        if (type < 0)
            return false;
        name[n] = '\0';
        if (type == GNUTLS_SAN_DNSNAME && n == strlen(name) && name_listed(names, name))
            return true;
    }
    return false;
}

bool server_tls_client_ok(struct MHD_Connection *mhd, const char *names)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    gnutls_session_t session = info ? info->tls_session : NULL;
    unsigned status = 1, count = 0;
    /* A certificate that its CA gave a server is no caller's. */
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    if (!session || gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0 ||
        status != 0)
        return false;
    if (!names)
        return true;
    const gnutls_datum_t *peers = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t crt = NULL;
    if (!peers || count == 0 || gnutls_x509_crt_init(&crt) < 0)
        return false;
    bool ok = gnutls_x509_crt_import(crt, &peers[0], GNUTLS_X509_FMT_DER) == 0 &&
              certificate_named(crt, names);
    gnutls_x509_crt_deinit(crt);
    return ok;
}
