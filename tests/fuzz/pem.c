/*
 * Any text where a certificate, a key or a bundle is expected: the Secret's entries, a live
 * caBundle, mounted files. No crash, and what is called readable is.
 */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "certs/authority.h"
#include "certs/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = xstrndup((const char *)data, size);
    struct err err = {0};
    struct cert_facts facts;
    struct keypair pair = {.cert = text, .key = text};
    struct keypair leaf = {0};
    static const char *const names[] = {"a.b.svc"};
    int count = authority_bundle_count(text);
    assert(count < 1 || authority_facts(text, &facts, &err) == 0);
    assert(authority_bundle_equal(text, text) == (count >= 0 || *text));
    bool together = authority_check_pair(&pair, &err) == 0;
    if (authority_sign_leaf(&pair, names, 1, 1790000000000, 3600000, &leaf, &err) == 0) {
        assert(together);
        keypair_release(&leaf);
    }
    if (authority_verify(text, text, "a.b.svc", 1790000000000, &err) == 0)
        assert(count > 0);
    (void)authority_issued(text, text);
    (void)authority_named(text, "x");
    struct ca_secret secret = {
        .exists = true, .current = {.cert = text, .key = text}, .previous = text};
    struct bundle_view v = {.secret = &secret,
                            .configurations_read = true,
                            .live_count = 1,
                            .live = {text},
                            .leaf = text,
                            .now_ms = 1790000000000};
    struct bundle_config c = {
        .ca_life_ms = 3600000, .leaf_life_ms = 60000, .settle_ms = 1000, .host = "a.b.svc"};
    CLEANUP_PLAN struct bundle_plan plan;
    bundle_decide(&c, &v, &plan);
    free(base64_decode_text(text));
    return 0;
}
