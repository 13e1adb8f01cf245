/*
 * Any text in the annotation of an admission stamp, and any text as its public key: nothing that
 * this target is given was signed by the key it checks with, so nothing is ever good.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "wukong/stamp/stamp.h"

static const char public_key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdLCBRmX8kd1IDdAife9yVm0NLulJ\n"
    "jDnNuLEfKGfklpwdPGKVh7xIwTeqJx3ajD2ozRh3TPWRp09jnS6MpFvW7Q==\n"
    "-----END PUBLIC KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = xstrndup((const char *)data, size);
    struct stamp expected = {
        .ns = "a", .name = "b", .source_kind = "vm", .source_ns = "c", .source_name = "d"};
    CLEANUP_ARENA struct arena a;
    arena_init(&a, MIB);
    assert(stamp_verify(text, public_key, &expected, 0, &a, NULL) != STAMP_GOOD);
    (void)stamp_verify("v1.e30.AAAA", text, &expected, 0, &a, NULL);
    return 0;
}
