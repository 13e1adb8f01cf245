/*
 * The admission stamp: proof that our webhook admitted a Wukong that clones from another namespace,
 * and that the user who asked was allowed to. The webhook signs it with a P-256 key that only it
 * holds; the worker verifies it with the public key and needs no secret. (CDI's clone token serves
 * the same end: containerized-data-importer pkg/token.)
 *
 * It is text, "v1.<payload>.<signature>", both in base64url: the payload is JSON, the signature
 * ECDSA over "v1.<payload>" with SHA-256. A stamp binds namespace, name or generateName, the source
 * and the object: one that was made at CREATE, where there is no uid yet and with generateName no
 * name either, is good only on an object created within STAMP_WINDOW_MS of its issue; one that was
 * made at UPDATE, when somebody asked for the clone anew, names the uid. A clone within its
 * namespace needs none; it bears one when a ClonePolicy asks who, so that the worker knows.
 */
#ifndef STAMP_STAMP_H
#define STAMP_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define STAMP_WINDOW_MS (60 * 1000)
/* How long a stamp is good. What it says of the requester's groups grows old: the right itself is
   asked for again before the source is read. */
#define STAMP_AGE_MAX_MS (30LL * 24 * 3600 * 1000)
/* One that does not know the requester's groups, so that the right cannot be asked for again. */
#define STAMP_BLIND_AGE_MAX_MS (3600 * 1000)
/* Some 500 groups with names of 40 characters. */
#define STAMP_TEXT_MAX (32 * 1024)
/* Keys accepted at once, so that a key can be replaced. */
#define STAMP_KEYS_MAX 4

struct stamp {
    const char *ns;            /* of the Wukong */
    const char *name;          /* NULL when generate_name is set */
    const char *generate_name; /* NULL when name is set */
    const char *uid;           /* of the Wukong, where it was known: at UPDATE; NULL: at CREATE */
    const char *source_kind;   /* "vm" or "vmi" */
    const char *source_ns, *source_name;
    const char *requester; /* user name: policies ask who at execution too */
    /* NULL: not known (they were too many, or nobody asked). */
    const char *const *groups;
    size_t group_count;
    bool may_start; /* the user may start the source VM */
    int64_t issued_ms;
};

enum stamp_verdict {
    STAMP_GOOD,
    STAMP_MISSING,   /* no text at all */
    STAMP_MALFORMED, /* no stamp of this version */
    STAMP_FORGED,    /* no key given here made the signature */
    STAMP_OTHER,     /* a true stamp, for another object or source */
    STAMP_LATE,      /* names no uid, and was not issued around the object's creation */
    STAMP_VERDICTS
};
extern const char *const stamp_verdict_names[STAMP_VERDICTS];

/* Appends the text. key: PEM (PKCS#8). */
WUKONG_CHECK int stamp_sign(const struct stamp *stamp, const char *key, struct buf *out,
                            struct err *err);

/*
 * Judges the text found on an object. public_keys: PEM, one to STAMP_KEYS_MAX keys. expected says
 * what the object is and clones (name and uid set always; generate_name as in its metadata or
 * NULL; requester, may_start and issued_ms are ignored). created_ms is its creationTimestamp, or
 * the present time while it has none. On STAMP_GOOD and STAMP_LATE *ret (may be NULL) is filled
 * from the arena.
 */
enum stamp_verdict stamp_verify(const char *text, const char *public_keys,
                                const struct stamp *expected, int64_t created_ms, struct arena *a,
                                struct stamp *ret);

#endif
