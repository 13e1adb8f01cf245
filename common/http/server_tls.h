/*
 * The listener's certificate. GnuTLS asks for it at each handshake, so a new one is in force from
 * the next handshake on and no connection is cut. Only server.c uses this.
 */
#ifndef HTTP_SERVER_TLS_H
#define HTTP_SERVER_TLS_H

#include <stdbool.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>

#include "base/clock.h"
#include "base/err.h"

/* TLS 1.2 and 1.3, of 1.2 only what has forward secrecy and AEAD (as Go's crypto/tls offers it), no
   signature with SHA-1; without tickets the peer is verified on every connection. */
#define SERVER_TLS_13 "NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:%NO_TICKETS"
#define SERVER_TLS_12                                                                              \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:-AES-256-CBC:-AES-128-CBC:-SHA1:"    \
    "-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:%NO_TICKETS"

struct server_tls;

struct server_tls *server_tls_new(const struct clock *clock, void (*before)(void *arg), void *arg);
void server_tls_free(struct server_tls *t);
WUKONG_CHECK int server_tls_use(struct server_tls *t, const char *cert, const char *key,
                                struct err *err);
/* For MHD_OPTION_HTTPS_CERT_CALLBACK2. */
int server_tls_callback(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                        gnutls_pcert_st **pcert, unsigned int *pcert_length,
                        gnutls_ocsp_data_st **ocsp, unsigned int *ocsp_length,
                        gnutls_privkey_t *privkey, unsigned int *flags);
/* True when the peer of this connection showed a certificate that the trust list of the listener
   verifies and that bears one of the names (NULL: any). */
bool server_tls_client_ok(struct MHD_Connection *mhd, const char *names);

#endif
