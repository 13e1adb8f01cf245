#include "kube/compress.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include <zlib.h>

#include "base/mem.h"

/* The window holds hint and text of the usual size; the state of a run is 48 KiB then. */
#define WINDOW_BITS (-13)
#define MEMORY_LEVEL 5

/* In front of the bytes, which follow without alignment. */
struct head {
    uint32_t text, packed;
};

static uInt hint_bytes(const char *hint)
{
    return hint ? (uInt)strlen(hint) : 0;
}

void *compress_text(const char *text, size_t n, const char *hint, size_t *ret_bytes)
{
    z_stream z = {0};
    assert(n < UINT32_MAX);
    /* It fails for want of memory and for settings that do not exist. */
    int code = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                            Z_DEFAULT_STRATEGY);
    assert(code == Z_OK);
    if (hint_bytes(hint))
        (void)deflateSetDictionary(&z, (const Bytef *)hint, hint_bytes(hint));
    size_t room = deflateBound(&z, (uLong)n);
    unsigned char *block = xmalloc(sizeof(struct head) + room);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = block + sizeof(struct head);
    z.avail_out = (uInt)room;
    code = deflate(&z, Z_FINISH);
    assert(code == Z_STREAM_END);
    struct head head = {.text = (uint32_t)n, .packed = (uint32_t)z.total_out};
    memcpy(block, &head, sizeof head);
    (void)deflateEnd(&z);
    *ret_bytes = sizeof head + head.packed;
    return block;
}

size_t compress_bytes(const void *block)
{
    struct head head;
    memcpy(&head, block, sizeof head);
    return sizeof head + head.packed;
}

char *decompress_text(const void *block, const char *hint)
{
    z_stream z = {0};
    struct head head;
    memcpy(&head, block, sizeof head);
    char *text = xmalloc((size_t)head.text + 1);
    int code = inflateInit2(&z, WINDOW_BITS);
    assert(code == Z_OK);
    if (hint_bytes(hint))
        (void)inflateSetDictionary(&z, (const Bytef *)hint, hint_bytes(hint));
    z.next_in = (Bytef *)(uintptr_t)block + sizeof head;
    z.avail_in = head.packed;
    z.next_out = (Bytef *)text;
    z.avail_out = head.text;
    code = inflate(&z, Z_FINISH);
    assert(code == Z_STREAM_END && z.total_out == head.text);
    (void)inflateEnd(&z);
    text[head.text] = '\0';
    return text;
}
