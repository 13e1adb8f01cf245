/*
 * Keys and certificates: a P-256 CA, leaves signed by it, and the questions asked about a
 * certificate that came from elsewhere. Everything is PEM text (keys PKCS#8), so that OpenSSL stays
 * inside authority.c. Time comes in as wall-clock milliseconds; nothing here keeps state.
 *
 * A certificate that somebody else wrote (a Secret, a caBundle, a mounted file) is input: whatever
 * it holds, these functions answer with an error and never abort.
 */
#ifndef CERTS_AUTHORITY_H
#define CERTS_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Certificates are valid from this long before their making: clocks of nodes differ. */
#define AUTHORITY_BACKDATE_MS (5 * 60 * 1000)
/* Certificates looked at in one bundle. */
#define AUTHORITY_BUNDLE_MAX 64

/* A certificate (or chain, leaf first) and its key. Owned; NULL when absent. */
struct keypair {
    char *cert, *key;
};
void keypair_release(struct keypair *p);
struct keypair keypair_copy(const struct keypair *p);
#define CLEANUP_KEYPAIR __attribute__((cleanup(keypair_release)))

struct cert_facts {
    int64_t not_before_ms, not_after_ms;
    char fingerprint[65]; /* SHA-256 of the DER form, hex */
};

/* A new self-signed CA, valid until now + life. */
WUKONG_CHECK int authority_new_ca(const char *common_name, int64_t now_ms, int64_t life_ms,
                                  struct keypair *ret, struct err *err);
/* A leaf for TLS servers under these DNS names (or literal IP addresses); it never outlives its
   CA. The first name is the common name. */
WUKONG_CHECK int authority_sign_leaf(const struct keypair *ca, const char *const *names,
                                     size_t name_count, int64_t now_ms, int64_t life_ms,
                                     struct keypair *ret, struct err *err);
/* A bare P-256 key, for stamps. */
WUKONG_CHECK int authority_new_key(char **ret_key, char **ret_public, struct err *err);
WUKONG_CHECK int authority_public_of(const char *key, char **ret_public, struct err *err);

/* Of the first certificate in the text. */
WUKONG_CHECK int authority_facts(const char *cert, struct cert_facts *ret, struct err *err);
/* True when the first certificate of `cert` bears the signature of the first one of `ca`. */
bool authority_issued(const char *ca, const char *cert);
/* True when the bundle holds the first certificate of `cert`, byte for byte. */
bool authority_bundle_has(const char *bundle, const char *cert);
/* True when two bundles hold the same certificates, in whatever order; false when unreadable. */
bool authority_bundle_equal(const char *a, const char *b);
/* Each certificate of a bundle as PEM text of its own, in order, as far as the markers tell;
   whether one is readable is not looked at. Free the texts and the array. NULL and 0 when there is
   none. */
char **authority_split(const char *bundle, size_t *ret_count);
/* The end of the certificate that ends first; INT64_MAX for none. */
int64_t authority_first_expiry(const char *bundle);
/* True when the common name of the first certificate begins so. */
bool authority_named(const char *cert, const char *prefix);
/* Number of certificates in a bundle; -1 when it holds anything unreadable. */
int authority_bundle_count(const char *bundle);
/* 0 when certificate and key are readable and belong together. */
WUKONG_CHECK int authority_check_pair(const struct keypair *p, struct err *err);
/* What a TLS client does that trusts `bundle` and dials `host`: the chain, the name, the purpose
   and the time. As in Go, each certificate of the bundle is an anchor in its own right. */
WUKONG_CHECK int authority_verify(const char *chain, const char *bundle, const char *host,
                                  int64_t now_ms, struct err *err);

#endif
