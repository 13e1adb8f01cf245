/*
 * struct ca_secret: the content of the webhook's Secret. It holds the current CA, during a rotation
 * the next one, the certificates (never the keys) of former ones until they expire, and the private
 * key of admission stamps. This file knows the layout of the object and nothing about time or
 * rotation, which is bundle.h.
 */
#ifndef CERTS_SECRET_H
#define CERTS_SECRET_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "certs/authority.h"

/* Keys of the Secret's data. */
#define CA_SECRET_CURRENT_CERT "ca.crt"
#define CA_SECRET_CURRENT_KEY "ca.key"
#define CA_SECRET_NEXT_CERT "next.crt"
#define CA_SECRET_NEXT_KEY "next.key"
#define CA_SECRET_PREVIOUS "previous.crt"
#define CA_SECRET_STAMP_KEY "stamp.key"

struct ca_secret {
    bool exists;
    char *uid, *resource_version;
    struct keypair current, next; /* both NULL, or a pair that was checked */
    char *previous;               /* PEM bundle; NULL: none */
    char *stamp_key;              /* PEM; NULL: none */
    char *stamp_public;           /* what belongs to it, PEM; not in the Secret */
    bool damaged;                 /* something was there and not readable; it counts as absent */
};
void ca_secret_release(struct ca_secret *s);
#define CLEANUP_CA_SECRET __attribute__((cleanup(ca_secret_release)))
void ca_secret_copy(const struct ca_secret *from, struct ca_secret *ret);

/* Reads the object; data is the tree of its `data`. What is not readable is left out and marked. */
void ca_secret_read(const cJSON *data, const char *uid, const char *resource_version,
                    struct ca_secret *ret);
/* The object for POST or PUT; resourceVersion and uid are written when it exists. */
void ca_secret_write(const struct ca_secret *s, const char *ns, const char *name, struct buf *out);

#define CA_STAMP_KEYS_MAX 4
/*
 * The text to publish when the webhook's public key is `newest`: that one first, and after it those
 * of `published` (NULL: none) that are others, CA_STAMP_KEYS_MAX in all, so that stamps outlive the
 * key that made them: a Secret that was lost or replaced holds nobody back who waits. Both are PEM;
 * what is no PEM is dropped.
 */
void stamp_keys_join(const char *newest, const char *published, struct buf *out);

/* Standard base64 with padding; bounded by LIMIT_PEM_BYTES of text. NULL when it is not base64 or
   holds a NUL byte; free the result. */
char *base64_decode_text(const char *text);
char *base64_encode_text(const char *text);

#endif
