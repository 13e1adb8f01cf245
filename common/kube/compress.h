/*
 * Text kept small: deflate without header (RFC 1951), helped by a hint, a text that the compressed
 * one mostly resembles, which costs nothing when it is found again. A status of 2.5 KB takes 0.2.
 * The block is the caller's; whoever decompresss gives the same hint.
 */
#ifndef KUBE_COMPRESS_H
#define KUBE_COMPRESS_H

#include <stddef.h>

/* A block of *ret_bytes; free it. n < 4 GiB. */
void *compress_text(const char *text, size_t n, const char *hint, size_t *ret_bytes);
/* The text; free it. */
char *decompress_text(const void *block, const char *hint);
/* The size of the block. */
size_t compress_bytes(const void *block);

#endif
