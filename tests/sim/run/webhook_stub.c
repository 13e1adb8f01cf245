/*
 * The webhook's part in clones from another namespace: its key, the ConfigMap with the public half,
 * and the stamp on a Wukong. ECDSA is random; what is drawn from a signature's length must not be,
 * or the same seed would not give the same run: signatures of one length are taken.
 */
#include <stdio.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/mem.h"
#include "base/str.h"
#include "run/sim.h"
#include "wukong/api/spec.h"
#include "wukong/stamp/stamp.h"

#define SIGNATURE_LEN 71 /* of 70, 71 and 72 bytes of DER, half have this many */

static char private_key[512], public_key[512];

static void keep_text(BIO *bio, char to[512])
{
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    (void)snprintf(to, 512, "%.*s", (int)n, text);
}

/* One key per process. */
static void make_key(void)
{
    if (*private_key)
        return;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *secret = BIO_new(BIO_s_mem()), *open = BIO_new(BIO_s_mem());
    bool ok = key && secret && open &&
              PEM_write_bio_PKCS8PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              PEM_write_bio_PUBKEY(open, key) == 1;
    if (!ok)
        abort();
    keep_text(secret, private_key);
    keep_text(open, public_key);
    BIO_free(secret);
    BIO_free(open);
    EVP_PKEY_free(key);
}

void webhook_stub_publish(struct sim *s)
{
    make_key();
    cJSON *map = api_new(API_CONFIG_MAP, SIM_SYSTEM_NS, SIM_STAMP_MAP);
    jt_str(map, "data[stamp.pub]", public_key);
    (void)api_create(&s->api, "webhook", API_CONFIG_MAP, map);
}

void webhook_stub_sign(struct sim *s, cJSON *wukong)
{
    static const char *const groups[] = {"system:authenticated"};
    struct stamp stamp = {
        .ns = json_str(wukong, "metadata.namespace"),
        .name = json_str(wukong, "metadata.name"),
        .source_kind = json_str(wukong, "spec.cloneSource.type"),
        .source_ns = json_str(wukong, "spec.cloneSource.namespace"),
        .source_name = str_or(json_str(wukong, "spec.cloneSource.vmName"),
                              json_str(wukong, "spec.cloneSource.vmiName")),
        .requester = "user",
        .groups = groups,
        .group_count = ARRAY_LEN(groups),
        .may_start = true,
        .issued_ms = clock_wall(&s->clock),
    };
    make_key();
    for (int i = 0; i < 1000; i++) {
        CLEANUP_BUF struct buf text = BUF_INIT(STAMP_TEXT_MAX);
        struct err err = {0};
        if (stamp_sign(&stamp, private_key, &text, &err) < 0)
            abort();
        /* base64url without padding */
        if (strlen(strrchr(text.data, '.') + 1) != (SIGNATURE_LEN * 4 + 2) / 3)
            continue;
        jt_str(wukong, "metadata.annotations[" WUKONG_STAMP_ANNOTATION "]", text.data);
        return;
    }
    abort();
}
