#include "wukong/api/child_names.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "apimachinery/dns_names.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

/* --- Names of children --- */

static void digest(const EVP_MD *md, const void *bytes, size_t n, uint8_t *out, size_t out_len)
{
    uint8_t full[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = EVP_Digest(bytes, n, full, &len, md, NULL);
    /* It fails only without memory or provider: the program cannot name anything then. */
    if (ok != 1 || len < out_len)
        abort();
    memcpy(out, full, out_len);
}

#define HASH_HEX 10

/* Writes text into out[size]; when it does not fit its head, '-' and a hash of the whole. The head
   loses what may not stand before '-'. */
static void fit(const char *text, char *out, size_t size)
{
    size_t n = strlen(text);
    if (n < size) {
        memcpy(out, text, n + 1);
        return;
    }
    uint8_t hash[HASH_HEX / 2];
    digest(EVP_sha256(), text, n, hash, sizeof(hash));
    size_t head = size - 1 - 1 - HASH_HEX;
    memcpy(out, text, head);
    while (head && !name_char_is_alnum(out[head - 1]))
        head--;
    out[head++] = '-';
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(out + head + 2 * i, 3, "%02x", hash[i]);
}

void name_vm(const char *wukong, int64_t replicas, int64_t index, char out[NAME_BUF])
{
    CLEANUP_FREE char *text =
        replicas > 1 ? xasprintf("%s-vm-%" PRId64, wukong, index) : xasprintf("%s-vm", wukong);
    fit(text, out, NAME_BUF);
}

void name_pvc(const char *wukong, int64_t replicas, int64_t index, const char *disk,
              char out[PVC_NAME_BUF])
{
    CLEANUP_FREE char *text = replicas > 1 ? xasprintf("%s-vm-%" PRId64 "-%s", wukong, index, disk)
                                           : xasprintf("%s-%s", wukong, disk);
    fit(text, out, PVC_NAME_BUF);
}

void name_snapshot(const char *source, const char *wukong, const char *uid, int64_t attempt,
                   const char *disk, char out[NAME_BUF])
{
    CLEANUP_FREE char *text =
        xasprintf("snapshot-%s-%s-%.8s-%" PRId64 "%s%s", source, wukong, str_or(uid, "00000000"),
                  attempt, disk ? "-" : "", disk ? disk : "");
    fit(text, out, NAME_BUF);
}

void name_content(const char *uid, int64_t attempt, const char *disk, char out[PVC_NAME_BUF])
{
    CLEANUP_FREE char *text = xasprintf("wukong-%s-%" PRId64 "-%s", uid, attempt, disk);
    fit(text, out, PVC_NAME_BUF);
}

void name_group_member(const char *group_uid, const char *volume_handle, char out[MEMBER_NAME_BUF])
{
    CLEANUP_FREE char *text = xasprintf("%s%s", group_uid, volume_handle);
    uint8_t hash[32];
    digest(EVP_sha256(), text, strlen(text), hash, sizeof(hash));
    size_t n = (size_t)snprintf(out, MEMBER_NAME_BUF, "snapshot-");
    for (size_t i = 0; i < sizeof(hash); i++)
        n += (size_t)snprintf(out + n, MEMBER_NAME_BUF - n, "%02x", hash[i]);
}

void name_shorten(const char *text, char out[NAME_BUF])
{
    if (name_is_dns_label(text)) {
        memcpy(out, text, strlen(text) + 1);
        return;
    }
    uint8_t hash[HASH_HEX / 2];
    digest(EVP_sha256(), text, strlen(text), hash, sizeof(hash));
    size_t n = 0;
    for (const char *s = text; *s && n < NAME_BUF - 2 - HASH_HEX; s++) {
        char c = (char)tolower((unsigned char)*s);
        if (name_char_is_lower(c) || (n && out[n - 1] != '-'))
            out[n++] = name_char_is_lower(c) ? c : '-';
    }
    while (n && out[n - 1] == '-')
        n--;
    if (n)
        out[n++] = '-';
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(out + n + 2 * i, 3, "%02x", hash[i]);
}

void name_hostname(const char *vm, char out[NAME_BUF])
{
    size_t n = strcspn(vm, ".");
    if (n > LIMIT_DNS_LABEL)
        n = LIMIT_DNS_LABEL;
    while (n && vm[n - 1] == '-')
        n--;
    memcpy(out, vm, n);
    out[n] = '\0';
}

/* --- Identity --- */

/* What an identity is derived from: different for each use, index and interface. */
static void identity(const char *uid, const char *use, int64_t index, unsigned nic, uint8_t *out,
                     size_t n)
{
    CLEANUP_FREE char *text = xasprintf("%s/%s/%" PRId64 "/%u", uid, use, index, nic);
    digest(EVP_sha256(), text, strlen(text), out, n);
}

void identity_mac(const char *uid, int64_t index, unsigned nic, char out[MAC_TEXT])
{
    uint8_t b[6];
    identity(uid, "mac", index, nic, b, sizeof(b));
    /* IEEE 802: bit 0 of the first byte is multicast, bit 1 locally administered. KubeMacPool's
       and KubeVirt's own addresses begin with 02 as well. */
    b[0] = 0x02;
    snprintf(out, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

static bool uuid_bytes(const char *text, uint8_t out[16])
{
    size_t n = 0;
    for (const char *s = text; *s; s++) {
        if (*s == '-')
            continue;
        if (!isxdigit((unsigned char)*s) || n == 32)
            return false;
        unsigned v = isdigit((unsigned char)*s) ? (unsigned)(*s - '0')
                                                : (unsigned)(tolower((unsigned char)*s) - 'a') + 10;
        out[n / 2] = (uint8_t)(n % 2 ? (unsigned)out[n / 2] | v : v << 4);
        n++;
    }
    return n == 32;
}

/* RFC 4122 section 4.3 with SHA-1. */
static void uuid5(const char *uid, const char *name, char out[UUID_TEXT])
{
    uint8_t space[16], b[16];
    if (!uuid_bytes(uid, space))
        digest(EVP_sha256(), uid, strlen(uid), space, sizeof(space));
    CLEANUP_BUF struct buf text = BUF_INIT(KIB);
    buf_add(&text, space, sizeof(space));
    buf_adds(&text, name);
    assert(buf_ok(&text));
    digest(EVP_sha1(), text.data, text.len, b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x50);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, UUID_TEXT, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

void identity_firmware_uuid(const char *uid, int64_t index, char out[UUID_TEXT])
{
    char name[48];
    snprintf(name, sizeof(name), "firmware-uuid/%" PRId64, index);
    uuid5(uid, name, out);
}

void identity_firmware_serial(const char *uid, int64_t index, char out[UUID_TEXT])
{
    char name[48];
    snprintf(name, sizeof(name), "firmware-serial/%" PRId64, index);
    uuid5(uid, name, out);
}
