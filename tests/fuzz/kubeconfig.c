/*
 * A kubeconfig as it lies on somebody's disk. Beyond not crashing: what is accepted has a server
 * that is https or loopback, a namespace, a token that cannot end a header line, keys and
 * certificates in pairs; insecure only when allowed; what is refused says why.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "kube/config.h"

static void check(const struct kube_config *c, bool allowed)
{
    assert(c->ns && c->server);
    assert(str_starts(c->server, "https://") ||
           (str_starts(c->server, "http://") && kube_config_loopback(c->server)));
    assert(!strpbrk(c->server, "\r\n @?#"));
    assert(!c->token || !strpbrk(c->token, "\r\n "));
    assert(!(c->token && c->token_file));
    assert(!c->insecure || (allowed && !c->ca_pem && !c->ca_file));
    assert(!(c->ca_pem && c->ca_file));
    assert((c->cert_pem || c->cert_file) == (c->key_pem || c->key_file));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int allowed = 0; allowed < 2; allowed++) {
        CLEANUP_KUBE_CONFIG struct kube_config c = {0};
        struct kube_config_choice choice = {.allow_insecure = allowed};
        struct err err = {0};
        if (kube_config_parse((const char *)data, size, "/f", &choice, &c, &err) == 0)
            check(&c, allowed);
        else
            assert(err.kind != ERR_NONE && *err.message);
    }
    return 0;
}
