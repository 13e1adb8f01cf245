#include "certs/authority.h"

#include <arpa/inet.h>
#include <assert.h>
#include <limits.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/str.h"

#define CLEANUP_OF(type, fn)                                                                       \
    static inline void fn##_p(type **p)                                                            \
    {                                                                                              \
        fn(*p);                                                                                    \
    }
CLEANUP_OF(BIO, BIO_free_all)
CLEANUP_OF(X509, X509_free)
CLEANUP_OF(EVP_PKEY, EVP_PKEY_free)
CLEANUP_OF(X509_STORE, X509_STORE_free)
CLEANUP_OF(X509_STORE_CTX, X509_STORE_CTX_free)
CLEANUP_OF(GENERAL_NAMES, GENERAL_NAMES_free)

static void free_x509_stack(STACK_OF(X509) * *stack)
{
    sk_X509_pop_free(*stack, X509_free);
}

void keypair_release(struct keypair *p)
{
    if (p->key)
        OPENSSL_cleanse(p->key, strlen(p->key));
    free(p->cert);
    free(p->key);
    *p = (struct keypair){0};
}

struct keypair keypair_copy(const struct keypair *p)
{
    return (struct keypair){.cert = xstrdup(p->cert), .key = xstrdup(p->key)};
}

/* OpenSSL's own reason, and its queue emptied, so that no later call reports it. */
static int crypto_err(struct err *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "%s: %s", what, str_or(reason, "not readable"));
}

/* Without a callback OpenSSL asks the terminal for the password of an encrypted key. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

static BIO *reader(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    return n <= LIMIT_PEM_BYTES ? BIO_new_mem_buf(text ? text : "", (int)n) : NULL;
}

static X509 *read_cert(const char *pem)
{
    __attribute__((cleanup(BIO_free_all_p))) BIO *bio = reader(pem);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    ERR_clear_error();
    return cert;
}

static EVP_PKEY *read_key(const char *pem)
{
    __attribute__((cleanup(BIO_free_all_p))) BIO *bio = reader(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    ERR_clear_error();
    return key;
}

static char *bio_text(BIO *bio)
{
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    return xstrndup(n > 0 ? data : "", n > 0 ? (size_t)n : 0);
}

static int write_pair(X509 *cert, EVP_PKEY *key, struct keypair *ret, struct err *err)
{
    __attribute__((cleanup(BIO_free_all_p))) BIO *cert_bio = BIO_new(BIO_s_mem());
    __attribute__((cleanup(BIO_free_all_p))) BIO *key_bio = BIO_new(BIO_s_secmem());
    if (!cert_bio || !key_bio || PEM_write_bio_X509(cert_bio, cert) != 1 ||
        PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return crypto_err(err, "writing a certificate");
    *ret = (struct keypair){.cert = bio_text(cert_bio), .key = bio_text(key_bio)};
    return 0;
}

static bool set_time(ASN1_TIME *at, int64_t ms)
{
    return ASN1_TIME_set(at, (time_t)(ms / 1000)) != NULL;
}

static int64_t get_time(const ASN1_TIME *at)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

static bool set_serial(X509 *cert)
{
    BIGNUM *serial = BN_new();
    /* 127 bits: positive, and far beyond the 64 that RFC 5280 practice asks for. */
    bool ok = serial && BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert));
    BN_free(serial);
    return ok;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool add_name(GENERAL_NAMES *names, const char *text)
{
    unsigned char address[16];
    bool v4 = inet_pton(AF_INET, text, address) == 1;
    bool v6 = !v4 && inet_pton(AF_INET6, text, address) == 1;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = v4 || v6 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    int n = v4 ? 4 : v6 ? 16 : (int)strlen(text);
    if (!name || !value ||
        ASN1_STRING_set(value, v4 || v6 ? (const void *)address : text, n) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, v4 || v6 ? GEN_IPADD : GEN_DNS, value);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool add_alternative_names(X509 *cert, const char *const *names, size_t count)
{
    __attribute__((cleanup(GENERAL_NAMES_free_p))) GENERAL_NAMES *list = GENERAL_NAMES_new();
    for (size_t i = 0; i < count; i++)
        if (!list || !add_name(list, names[i]))
            return false;
    return list && X509_add1_ext_i2d(cert, NID_subject_alt_name, list, 0, 0) == 1;
}

/* Everything CA and leaf have in common; the caller adds issuer and extensions and signs. */
static X509 *begin_cert(EVP_PKEY *key, const char *common_name, int64_t from_ms, int64_t until_ms)
{
    X509 *cert = X509_new();
    X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
    /* RFC 5280: a common name has at most 64 characters; the names that count are in the SAN. */
    char shown[65];
    snprintf(shown, sizeof shown, "%s", common_name);
    if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_time(X509_getm_notBefore(cert), from_ms) &&
        set_time(X509_getm_notAfter(cert), until_ms) && X509_set_pubkey(cert, key) == 1 &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)shown, -1,
                                   -1, 0) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

int authority_new_ca(const char *common_name, int64_t now_ms, int64_t life_ms, struct keypair *ret,
                     struct err *err)
{
    assert(life_ms > 0);
    __attribute__((cleanup(EVP_PKEY_free_p))) EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return crypto_err(err, "making a CA key");
    __attribute__((cleanup(X509_free_p))) X509 *cert =
        begin_cert(key, common_name, now_ms - AUTHORITY_BACKDATE_MS, now_ms + life_ms);
    if (!cert || X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
        !add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(cert, cert, NID_subject_key_identifier, "hash") ||
        X509_sign(cert, key, EVP_sha256()) <= 0)
        return crypto_err(err, "making a CA");
    return write_pair(cert, key, ret, err);
}

int authority_sign_leaf(const struct keypair *ca, const char *const *names, size_t name_count,
                        int64_t now_ms, int64_t life_ms, struct keypair *ret, struct err *err)
{
    assert(name_count > 0);
    assert(life_ms > 0);
    __attribute__((cleanup(X509_free_p))) X509 *issuer = read_cert(ca->cert);
    __attribute__((cleanup(EVP_PKEY_free_p))) EVP_PKEY *issuer_key = read_key(ca->key);
    if (!issuer || !issuer_key || X509_check_private_key(issuer, issuer_key) != 1)
        return crypto_err(err, "reading the CA");
    __attribute__((cleanup(EVP_PKEY_free_p))) EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return crypto_err(err, "making a key");
    int64_t until = now_ms + life_ms, ca_until = get_time(X509_get0_notAfter(issuer));
    int64_t from = now_ms - AUTHORITY_BACKDATE_MS, ca_from = get_time(X509_get0_notBefore(issuer));
    __attribute__((cleanup(X509_free_p))) X509 *cert = begin_cert(
        key, names[0], from > ca_from ? from : ca_from, until < ca_until ? until : ca_until);
    if (!cert || X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1 ||
        !add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(cert, issuer, NID_ext_key_usage, "serverAuth") ||
        !add_extension(cert, issuer, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, issuer, NID_authority_key_identifier, "keyid") ||
        !add_alternative_names(cert, names, name_count) ||
        X509_sign(cert, issuer_key, EVP_sha256()) <= 0)
        return crypto_err(err, "making a certificate");
    return write_pair(cert, key, ret, err);
}

static int write_public(EVP_PKEY *key, char **ret, struct err *err)
{
    __attribute__((cleanup(BIO_free_all_p))) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || PEM_write_bio_PUBKEY(bio, key) != 1)
        return crypto_err(err, "writing a public key");
    *ret = bio_text(bio);
    return 0;
}

int authority_new_key(char **ret_key, char **ret_public, struct err *err)
{
    __attribute__((cleanup(EVP_PKEY_free_p))) EVP_PKEY *key = EVP_EC_gen("P-256");
    __attribute__((cleanup(BIO_free_all_p))) BIO *bio = BIO_new(BIO_s_secmem());
    if (!key || !bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return crypto_err(err, "making a key");
    char *public = NULL;
    if (write_public(key, &public, err) < 0)
        return -1;
    *ret_key = bio_text(bio);
    *ret_public = public;
    return 0;
}

int authority_public_of(const char *key_pem, char **ret_public, struct err *err)
{
    __attribute__((cleanup(EVP_PKEY_free_p))) EVP_PKEY *key = read_key(key_pem);
    if (!key)
        return crypto_err(err, "reading a key");
    return write_public(key, ret_public, err);
}

static bool fingerprint_of(const X509 *cert, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &n) != 1 || n != 32)
        return false;
    for (unsigned i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return true;
}

int authority_facts(const char *pem, struct cert_facts *ret, struct err *err)
{
    __attribute__((cleanup(X509_free_p))) X509 *cert = read_cert(pem);
    struct cert_facts facts = {0};
    if (!cert || !fingerprint_of(cert, facts.fingerprint))
        return crypto_err(err, "reading a certificate");
    facts.not_before_ms = get_time(X509_get0_notBefore(cert));
    facts.not_after_ms = get_time(X509_get0_notAfter(cert));
    *ret = facts;
    return 0;
}

bool authority_issued(const char *ca_pem, const char *cert_pem)
{
    __attribute__((cleanup(X509_free_p))) X509 *ca = read_cert(ca_pem);
    __attribute__((cleanup(X509_free_p))) X509 *cert = read_cert(cert_pem);
    bool ok = ca && cert && X509_get0_pubkey(ca) && X509_verify(cert, X509_get0_pubkey(ca)) == 1;
    ERR_clear_error();
    return ok;
}

/* All certificates of a text, at most AUTHORITY_BUNDLE_MAX; NULL when one is not readable. */
static STACK_OF(X509) * read_bundle(const char *pem)
{
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *stack = sk_X509_new_null();
    __attribute__((cleanup(BIO_free_all_p))) BIO *bio = reader(pem);
    if (!stack || !bio)
        return NULL;
    for (;;) {
        X509 *cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (!cert)
            break;
        if (sk_X509_num(stack) >= AUTHORITY_BUNDLE_MAX || sk_X509_push(stack, cert) <= 0) {
            X509_free(cert);
            return NULL;
        }
    }
    unsigned long why = ERR_peek_last_error();
    ERR_clear_error();
    /* The end of the text shows as "no start line"; any other reason is a broken certificate. */
    if (ERR_GET_LIB(why) != ERR_LIB_PEM || ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
        return NULL;
    return TAKE(stack);
}

bool authority_bundle_has(const char *bundle, const char *cert_pem)
{
    /* Reading a certificate takes OpenSSL 3.0 about 0.2 ms, and what we wrote ourselves is there to
       the letter. */
    if (bundle && !str_empty(cert_pem) && strstr(bundle, cert_pem))
        return true;
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *stack = read_bundle(bundle);
    __attribute__((cleanup(X509_free_p))) X509 *cert = read_cert(cert_pem);
    for (int i = 0; cert && stack && i < sk_X509_num(stack); i++)
        if (X509_cmp(sk_X509_value(stack, i), cert) == 0)
            return true;
    return false;
}

/* Each of a's is among b's. */
static bool contained(STACK_OF(X509) * a, STACK_OF(X509) * b)
{
    for (int i = 0; i < sk_X509_num(a); i++) {
        bool found = false;
        for (int j = 0; !found && j < sk_X509_num(b); j++)
            found = X509_cmp(sk_X509_value(a, i), sk_X509_value(b, j)) == 0;
        if (!found)
            return false;
    }
    return true;
}

bool authority_bundle_equal(const char *a, const char *b)
{
    if (!str_empty(a) && str_eq(a, b))
        return true;
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *left = read_bundle(a);
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *right = read_bundle(b);
    return left && right && contained(left, right) && contained(right, left);
}

char **authority_split(const char *bundle, size_t *ret_count)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    char **texts = NULL;
    *ret_count = 0;
    while (bundle && *ret_count < AUTHORITY_BUNDLE_MAX) {
        const char *from = strstr(bundle, begin);
        const char *to = from ? strstr(from, end) : NULL;
        if (!to)
            break;
        if (!texts)
            texts = xcalloc(AUTHORITY_BUNDLE_MAX, sizeof *texts);
        to += sizeof end - 1;
        texts[(*ret_count)++] = xasprintf("%.*s\n", (int)(to - from), from);
        bundle = to;
    }
    return texts;
}

int64_t authority_first_expiry(const char *bundle)
{
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *stack = read_bundle(bundle);
    int64_t first_ms = INT64_MAX;
    for (int i = 0; stack && i < sk_X509_num(stack); i++) {
        int64_t end_ms = get_time(X509_get0_notAfter(sk_X509_value(stack, i)));
        if (end_ms < first_ms)
            first_ms = end_ms;
    }
    return first_ms;
}

bool authority_named(const char *cert_pem, const char *prefix)
{
    __attribute__((cleanup(X509_free_p))) X509 *cert = read_cert(cert_pem);
    char name[256] = "";
    if (cert)
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
                                        sizeof name);
    return cert && str_starts(name, prefix);
}

int authority_bundle_count(const char *bundle)
{
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *stack = read_bundle(bundle);
    return stack ? sk_X509_num(stack) : -1;
}

int authority_check_pair(const struct keypair *p, struct err *err)
{
    __attribute__((cleanup(X509_free_p))) X509 *cert = read_cert(p->cert);
    if (!cert)
        return crypto_err(err, "certificate");
    __attribute__((cleanup(EVP_PKEY_free_p))) EVP_PKEY *key = read_key(p->key);
    if (!key)
        return crypto_err(err, "private key");
    if (X509_check_private_key(cert, key) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "the private key does not belong to the certificate");
    }
    return 0;
}

static bool set_target(X509_VERIFY_PARAM *param, const char *host, int64_t now_ms)
{
    unsigned char address[16];
    bool ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    X509_VERIFY_PARAM_set_time(param, (time_t)(now_ms / 1000));
    return X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER) == 1 &&
           (ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
               : X509_VERIFY_PARAM_set1_host(param, host, 0)) == 1;
}

int authority_verify(const char *chain_pem, const char *bundle_pem, const char *host,
                     int64_t now_ms, struct err *err)
{
    __attribute__((cleanup(X509_free_p))) X509 *leaf = read_cert(chain_pem);
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *chain = read_bundle(chain_pem);
    __attribute__((cleanup(free_x509_stack))) STACK_OF(X509) *bundle = read_bundle(bundle_pem);
    __attribute__((cleanup(X509_STORE_free_p))) X509_STORE *store = X509_STORE_new();
    __attribute__((cleanup(X509_STORE_CTX_free_p))) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (!leaf || !chain)
        return err_set(err, ERR_INVALID, "the serving certificate is not readable");
    if (!bundle)
        return err_set(err, ERR_INVALID, "the CA bundle is not readable");
    for (int i = 0; store && i < sk_X509_num(bundle); i++)
        (void)X509_STORE_add_cert(store, sk_X509_value(bundle, i));
    if (!store || !ctx || X509_STORE_CTX_init(ctx, store, leaf, chain) != 1)
        return crypto_err(err, "verifying");
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
    if (!set_target(X509_STORE_CTX_get0_param(ctx), host, now_ms))
        return crypto_err(err, "verifying");
    if (X509_verify_cert(ctx) == 1)
        return 0;
    int why = X509_STORE_CTX_get_error(ctx);
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "the certificate does not verify: %s",
                   X509_verify_cert_error_string(why));
}
