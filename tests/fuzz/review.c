/*
 * Any bytes as the body of an admission request, at both endpoints: no crash, no lookup of a path
 * that leaves its place, and an answer that is one JSON document with the request's uid. Lookups
 * are answered from the same input, so that their parsers are reached too: what follows a line
 * "---" is the body of every reply. What somebody may send is long, and no input may take long: run
 * it with -max_len=3145728 -timeout=1; the mutator makes long lists of short ones.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "webhook/admission.h"

/* Made for this file. */
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4KKLf2u3L1o9Rqef\n"
                          "eT60GtzOh+9rMH6AWH9cotyKKXehRANCAAR0sIFGZfyR3UgN0CJ973JWbQ0u6UmM\n"
                          "Oc24sR8oZ+SWnB08YpWHvEjBN6onHdqMPajNGHdM9ZGnT2OdLoykW9bt\n"
                          "-----END PRIVATE KEY-----\n";

static void answer(struct lookups *lookups, const char *reply)
{
    for (size_t i = 0; i < lookups->count; i++) {
        struct lookup *k = lookups->items[i];
        if (k->done)
            continue;
        assert(k->path[0] == '/');
        assert(!strstr(k->path, "/../"));
        assert(!strchr(k->path, '?'));
        k->sent = true;
        if (k->body)
            lookup_answered(k, 201, xstrdup("{\"status\":{\"allowed\":true}}"));
        else
            lookup_answered(k, reply ? 200 : 404, xstrdup(reply));
    }
}

static void judge(enum admission_endpoint endpoint, const char *body, size_t len, const char *reply)
{
    static const struct class_facts classes = {.looked_up = true};
    struct admission_context c = {
        .endpoint = endpoint, .now_ms = 1790000000000, .classes = &classes, .stamp_key = key};
    struct lookups lookups = {0};
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_REPLY_BYTES);
    struct admission_result r;
    for (unsigned round = 0;; round++) {
        assert(round < 10);
        r = admission_judge(&c, body, len, &lookups, &out);
        if (r.verdict != VERDICT_PENDING)
            break;
        answer(&lookups, reply);
    }
    lookups_release(&lookups);
    if (r.verdict == VERDICT_MALFORMED)
        return;
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    assert(buf_ok(&out));
    assert(json_parse(out.data, out.len, true, &tree, &err) == 0);
    assert(!str_empty(json_str(tree, "response.uid")));
    assert(!json_at(tree, "response.patch") == !json_at(tree, "response.patchType"));
}

#if defined(__clang__)
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* Every eighth time a piece is repeated until nothing more goes in: an item of a list, a member, a
   part of a string. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    if (seed % 8 || size < 2 || !LLVMFuzzerMutate)
        return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, max) : size;
    size_t at = seed / 8 % (size - 1), n = 1;
    while (at + n < size && data[at + n - 1] != ',' && n < 200)
        n++;
    size_t room = max - size, times = room / n, tail = size - at - n;
    memmove(data + at + n + times * n, data + at + n, tail);
    for (size_t i = 0; i < times; i++)
        memcpy(data + at + n + i * n, data + at, n);
    return size + times * n;
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = xstrndup((const char *)data, size);
    char *reply = strstr(text, "\n---\n");
    if (reply) {
        *reply = '\0';
        reply += 5;
        size = strlen(text);
    }
    const char *body = reply ? text : (const char *)data;
    judge(ADMISSION_MUTATE, body, size, reply);
    judge(ADMISSION_VALIDATE, body, size, reply);
    return 0;
}
