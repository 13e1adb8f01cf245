#include "wukong/stamp/stamp.h"

#include <assert.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

const char *const stamp_verdict_names[STAMP_VERDICTS] = {
    [STAMP_GOOD] = "Good",       [STAMP_MISSING] = "Missing",   [STAMP_MALFORMED] = "Malformed",
    [STAMP_FORGED] = "WrongKey", [STAMP_OTHER] = "OtherObject", [STAMP_LATE] = "OtherTime",
};
static_assert(ARRAY_LEN(stamp_verdict_names) == STAMP_VERDICTS, "one name per verdict");

#define PREFIX "v1."
/* An ECDSA signature over P-256 in DER has at most 72 bytes. */
#define SIGNATURE_MAX 80

static inline void free_bio(BIO **bio)
{
    BIO_free_all(*bio);
}
static inline void free_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
static inline void free_digest(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

/* --- base64url without padding (RFC 4648 section 5) ------------------------------------------ */

static void encode(const void *bytes, size_t n, struct buf *out)
{
    char text[STAMP_TEXT_MAX];
    if (n > sizeof text / 4 * 3 - 3) {
        out->failed = true;
        return;
    }
    int len = EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
    while (len > 0 && text[len - 1] == '=')
        len--;
    for (int i = 0; i < len; i++)
        buf_addc(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
}

/* Returns the number of bytes, or -1. ret has room for n / 4 * 3 + 3. */
static int decode_base64url(const char *text, size_t n, unsigned char *ret)
{
    char padded[STAMP_TEXT_MAX + 4];
    if (n == 0 || n > STAMP_TEXT_MAX || n % 4 == 1)
        return -1;
    for (size_t i = 0; i < n; i++) {
        /* EVP_DecodeBlock would skip or accept more than base64url has. */
        bool letter = (text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= 'a' && text[i] <= 'z') ||
                      (text[i] >= '0' && text[i] <= '9') || text[i] == '-' || text[i] == '_';
        if (!letter)
            return -1;
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    size_t padding = (4 - n % 4) % 4;
    memset(padded + n, '=', padding);
    int len = EVP_DecodeBlock(ret, (const unsigned char *)padded, (int)(n + padding));
    if (len < 0)
        return -1;
    /* One text per value: bits of the last letter that belong to no byte must be 0 (section 3.5).
     */
    for (size_t i = 1; i <= padding; i++)
        if (ret[(size_t)len - i])
            return -1;
    return len - (int)padding;
}

/* --- Signing --------------------------------------------------------------------------------- */

static void write_payload(const struct stamp *s, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    json_string(&w, "ns", s->ns);
    json_string(&w, "name", s->name);
    json_string(&w, "generateName", s->generate_name);
    json_string(&w, "uid", s->uid);
    json_string(&w, "kind", s->source_kind);
    json_string(&w, "sourceNs", s->source_ns);
    json_string(&w, "source", s->source_name);
    json_string(&w, "user", s->requester);
    if (s->groups) {
        json_array(&w, "groups");
        for (size_t i = 0; i < s->group_count; i++)
            json_string(&w, NULL, s->groups[i]);
        json_end(&w);
    }
    json_boolean(&w, "start", s->may_start);
    json_number(&w, "issued", s->issued_ms);
    json_end(&w);
}

int stamp_sign(const struct stamp *stamp, const char *key_pem, struct buf *out, struct err *err)
{
    assert(stamp->ns && stamp->source_ns && stamp->source_name && stamp->source_kind);
    CLEANUP_BUF struct buf payload = BUF_INIT(STAMP_TEXT_MAX), text = BUF_INIT(STAMP_TEXT_MAX);
    write_payload(stamp, &payload);
    buf_adds(&text, PREFIX);
    encode(payload.data, payload.len, &text);
    if (!buf_ok(&payload) || !buf_ok(&text))
        return err_set(err, ERR_LIMIT, "the admission stamp would be too long");
    __attribute__((cleanup(free_bio))) BIO *bio = BIO_new_mem_buf(key_pem, -1);
    __attribute__((cleanup(free_key))) EVP_PKEY *key =
        bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
    __attribute__((cleanup(free_digest))) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[SIGNATURE_MAX];
    size_t n = sizeof signature;
    bool ok = key && ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &n, (const unsigned char *)text.data, text.len) == 1;
    ERR_clear_error();
    if (!ok)
        return err_set(err, ERR_INTERNAL, "the admission stamp cannot be signed");
    buf_addc(&text, '.');
    encode(signature, n, &text);
    if (!buf_ok(&text) || !buf_add(out, text.data, text.len))
        return err_set(err, ERR_LIMIT, "the admission stamp would be too long");
    return 0;
}

/* --- Verifying ------------------------------------------------------------------------------- */

static bool signed_by(EVP_PKEY *key, const char *text, size_t n, const unsigned char *signature,
                      size_t signature_len)
{
    __attribute__((cleanup(free_digest))) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, signature, signature_len, (const unsigned char *)text, n) == 1;
    ERR_clear_error();
    return ok;
}

static bool signed_by_any(const char *keys, const char *text, size_t n,
                          const unsigned char *signature, size_t signature_len)
{
    __attribute__((cleanup(free_bio))) BIO *bio = BIO_new_mem_buf(keys ? keys : "", -1);
    bool ok = false;
    for (int i = 0; bio && !ok && i < STAMP_KEYS_MAX; i++) {
        __attribute__((cleanup(free_key))) EVP_PKEY *key =
            PEM_read_bio_PUBKEY(bio, NULL, NULL, (void *)"");
        if (!key)
            break;
        /* Only our own kind: a key of another type would bring its own rules. */
        ok = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 256 &&
             signed_by(key, text, n, signature, signature_len);
    }
    ERR_clear_error();
    return ok;
}

static void read_groups(const cJSON *list, struct arena *a, struct stamp *s)
{
    const cJSON *one;
    if (!cJSON_IsArray(list))
        return;
    const char **groups = arena_alloc(a, ((size_t)cJSON_GetArraySize(list) + 1) * sizeof *groups);
    cJSON_ArrayForEach (one, list) {
        if (groups && cJSON_IsString(one))
            groups[s->group_count++] = arena_strdup(a, one->valuestring);
    }
    s->groups = groups;
}

static enum stamp_verdict read_payload(const char *text, size_t n, struct arena *a,
                                       struct stamp *ret)
{
    unsigned char bytes[STAMP_TEXT_MAX];
    int len = decode_base64url(text, n, bytes);
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    struct stamp s = {0};
    if (len <= 0 || json_parse((char *)bytes, (size_t)len, false, &tree, &err) < 0 ||
        !json_int(tree, "issued", &s.issued_ms))
        return STAMP_MALFORMED;
    s.ns = arena_strdup(a, json_str(tree, "ns"));
    s.name = arena_strdup(a, json_str(tree, "name"));
    s.generate_name = arena_strdup(a, json_str(tree, "generateName"));
    s.uid = arena_strdup(a, json_str(tree, "uid"));
    s.source_kind = arena_strdup(a, json_str(tree, "kind"));
    s.source_ns = arena_strdup(a, json_str(tree, "sourceNs"));
    s.source_name = arena_strdup(a, json_str(tree, "source"));
    s.requester = arena_strdup(a, json_str(tree, "user"));
    read_groups(json_get(tree, "groups"), a, &s);
    s.may_start = json_bool(tree, "start", false);
    *ret = s;
    return a->failed ? STAMP_MALFORMED : STAMP_GOOD;
}

static bool names_match(const struct stamp *s, const struct stamp *expected)
{
    if (s->name)
        return str_eq(s->name, expected->name);
    return !str_empty(s->generate_name) && str_eq(s->generate_name, expected->generate_name) &&
           (!expected->name || str_starts(expected->name, s->generate_name));
}

enum stamp_verdict stamp_verify(const char *text, const char *public_keys,
                                const struct stamp *expected, int64_t created_ms, struct arena *a,
                                struct stamp *ret)
{
    if (str_empty(text))
        return STAMP_MISSING;
    const char *dot = strrchr(text, '.');
    if (strlen(text) > STAMP_TEXT_MAX || !str_starts(text, PREFIX) ||
        dot < text + sizeof PREFIX - 1)
        return STAMP_MALFORMED;
    unsigned char signature[STAMP_TEXT_MAX];
    int n = decode_base64url(dot + 1, strlen(dot + 1), signature);
    if (n <= 0)
        return STAMP_MALFORMED;
    if (!signed_by_any(public_keys, text, (size_t)(dot - text), signature, (size_t)n))
        return STAMP_FORGED;
    const char *payload = text + sizeof PREFIX - 1;
    struct stamp s;
    enum stamp_verdict verdict = read_payload(payload, (size_t)(dot - payload), a, &s);
    if (verdict != STAMP_GOOD)
        return verdict;
    if (!str_eq(s.ns, expected->ns) || !names_match(&s, expected) ||
        !str_eq(s.source_kind, expected->source_kind) ||
        !str_eq(s.source_ns, expected->source_ns) || !str_eq(s.source_name, expected->source_name))
        return STAMP_OTHER;
    if (s.uid && !str_eq(s.uid, expected->uid))
        return STAMP_OTHER;
    int64_t distance = created_ms - s.issued_ms;
    if (ret)
        *ret = s;
    bool late = !s.uid && (distance > STAMP_WINDOW_MS || distance < -STAMP_WINDOW_MS);
    return late ? STAMP_LATE : STAMP_GOOD;
}
