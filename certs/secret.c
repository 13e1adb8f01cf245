#include "certs/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

static void free_secret_text(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

void ca_secret_release(struct ca_secret *s)
{
    free(s->uid);
    free(s->resource_version);
    free(s->previous);
    free_secret_text(s->stamp_key);
    free(s->stamp_public);
    keypair_release(&s->current);
    keypair_release(&s->next);
    *s = (struct ca_secret){0};
}

void ca_secret_copy(const struct ca_secret *from, struct ca_secret *ret)
{
    *ret = (struct ca_secret){
        .exists = from->exists,
        .uid = xstrdup(from->uid),
        .resource_version = xstrdup(from->resource_version),
        .current = keypair_copy(&from->current),
        .next = keypair_copy(&from->next),
        .previous = xstrdup(from->previous),
        .stamp_key = xstrdup(from->stamp_key),
        .stamp_public = xstrdup(from->stamp_public),
        .damaged = from->damaged,
    };
}

char *base64_decode_text(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || n % 4 != 0 || n > LIMIT_PEM_BYTES)
        return NULL;
    char *out = xmalloc(n / 4 * 3 + 1);
    int len = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n);
    size_t padding = (size_t)(text[n - 1] == '=') + (size_t)(text[n - 2] == '=');
    size_t bytes = len < 0 ? 0 : (size_t)len - padding;
    if (len < 0 || memchr(out, '\0', bytes)) {
        free(out);
        return NULL;
    }
    out[bytes] = '\0';
    return out;
}

char *base64_encode_text(const char *text)
{
    size_t n = strlen(text);
    char *out = xmalloc((n + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n);
    return out;
}

static char *read_entry(const cJSON *data, const char *key)
{
    const cJSON *item = json_get(data, key);
    return cJSON_IsString(item) ? base64_decode_text(item->valuestring) : NULL;
}

/* A pair counts only as a whole: half a pair, or one that does not fit, is as good as none. */
static void read_pair(const cJSON *data, const char *cert_key, const char *key_key,
                      struct ca_secret *s, struct keypair *ret)
{
    struct keypair pair = {.cert = read_entry(data, cert_key), .key = read_entry(data, key_key)};
    struct err err = {0};
    if (pair.cert && pair.key && authority_check_pair(&pair, &err) == 0) {
        *ret = pair;
        return;
    }
    s->damaged |= json_get(data, cert_key) || json_get(data, key_key);
    keypair_release(&pair);
}

void ca_secret_read(const cJSON *data, const char *uid, const char *resource_version,
                    struct ca_secret *ret)
{
    *ret = (struct ca_secret){
        .exists = true,
        .uid = xstrdup(uid),
        .resource_version = xstrdup(resource_version),
        .previous = read_entry(data, CA_SECRET_PREVIOUS),
        .stamp_key = read_entry(data, CA_SECRET_STAMP_KEY),
    };
    read_pair(data, CA_SECRET_CURRENT_CERT, CA_SECRET_CURRENT_KEY, ret, &ret->current);
    read_pair(data, CA_SECRET_NEXT_CERT, CA_SECRET_NEXT_KEY, ret, &ret->next);
    if (ret->previous && authority_bundle_count(ret->previous) < 0) {
        free(TAKE(ret->previous));
        ret->damaged = true;
    }
    struct err err = {0};
    if (ret->stamp_key && authority_public_of(ret->stamp_key, &ret->stamp_public, &err) < 0) {
        free_secret_text(TAKE(ret->stamp_key));
        ret->damaged = true;
    }
}

static void write_entry(struct json_writer *w, const char *key, const char *text)
{
    if (!text)
        return;
    char *encoded = base64_encode_text(text);
    json_string(w, key, encoded);
    free_secret_text(encoded);
}

void ca_secret_write(const struct ca_secret *s, const char *ns, const char *name, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    json_string(&w, "apiVersion", "v1");
    json_string(&w, "kind", "Secret");
    json_string(&w, "type", "Opaque");
    json_object(&w, "metadata");
    json_string(&w, "namespace", ns);
    json_string(&w, "name", name);
    if (s->exists) {
        json_string(&w, "uid", s->uid);
        json_string(&w, "resourceVersion", s->resource_version);
    }
    json_object(&w, "labels");
    json_string(&w, "app.kubernetes.io/name", "wukong");
    json_string(&w, "app.kubernetes.io/component", "webhook");
    json_end(&w);
    json_end(&w);
    json_object(&w, "data");
    write_entry(&w, CA_SECRET_CURRENT_CERT, s->current.cert);
    write_entry(&w, CA_SECRET_CURRENT_KEY, s->current.key);
    write_entry(&w, CA_SECRET_NEXT_CERT, s->next.cert);
    write_entry(&w, CA_SECRET_NEXT_KEY, s->next.key);
    write_entry(&w, CA_SECRET_PREVIOUS, s->previous);
    write_entry(&w, CA_SECRET_STAMP_KEY, s->stamp_key);
    json_end(&w);
    json_end(&w);
}

void stamp_keys_join(const char *newest, const char *published, struct buf *out)
{
    static const char begin[] = "-----BEGIN PUBLIC KEY-----", end[] = "-----END PUBLIC KEY-----";
    buf_adds(out, newest);
    for (int n = 1; published && n < CA_STAMP_KEYS_MAX;) {
        const char *from = strstr(published, begin), *to = from ? strstr(from, end) : NULL;
        if (!to)
            return;
        published = to + sizeof end - 1;
        size_t len = (size_t)(published - from);
        if (strlen(newest) >= len && strncmp(newest, from, len) == 0)
            continue;
        buf_add(out, from, len);
        buf_addc(out, '\n');
        n++;
    }
}
