/*
 * The rotation of the CA, as a pure function from what is seen to what is to be done. It keeps no
 * state between calls: everything it needs is in the Secret, in the live webhook configurations and
 * in the serving certificate in hand, so that any replica can go on where another one died.
 *
 *   Secret                 caBundle wanted          serving certificate signed by
 *   (none)                 -                        -               -> make current
 *   current                current                  current         -> 2/3 of its life: make next
 *   current, next          current + next           current         -> seen live: promote
 *   current, previous      previous + current       current         -> previous expires: drop it
 *
 * Two rules keep it without a gap while replicas see different moments. A certificate is taken out
 * of a caBundle only when it has expired, never because a (perhaps stale) Secret lacks it. And the
 * next CA is promoted only when every webhook's caBundle has been seen to hold it for settle_ms,
 * because API servers learn of it through a watch of their own.
 */
#ifndef CERTS_BUNDLE_H
#define CERTS_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/authority.h"
#include "certs/secret.h"

/* Webhooks of all configurations together. */
#define BUNDLE_HOOKS_MAX 16
/* The subject of every CA of ours begins so. */
#define BUNDLE_CA_NAME "wukong-webhook-ca"

struct bundle_config {
    int64_t ca_life_ms, leaf_life_ms, settle_ms;
    const char *host; /* what the API server dials: <service>.<namespace>.svc */
};

/* What is known of certificates by their text, so that the few in play are read once and not at
   every look: that takes OpenSSL 3.0 about 0.3 ms each. Zeroed at first; whoever owns it releases
   it. */
#define BUNDLE_MEMO_MAX 8
struct bundle_memo {
    struct {
        char *cert;
        int64_t end_ms;
    } ends[BUNDLE_MEMO_MAX];
    size_t oldest;
    char *issuer, *issued; /* the last two that were compared */
    bool fits;
};
void bundle_memo_release(struct bundle_memo *m);
/* The end of a certificate (wall clock); INT64_MAX when there is none that can be read, so that it
   is never due. */
int64_t bundle_expiry(struct bundle_memo *m, const char *cert);

struct bundle_view {
    struct bundle_memo *memo;           /* NULL: each certificate is read anew */
    const struct ca_secret *secret;     /* NULL: not read yet */
    bool configurations_read;           /* false: `live` means nothing yet */
    const char *live[BUNDLE_HOOKS_MAX]; /* caBundle of each webhook as PEM; NULL: empty */
    size_t live_count;                  /* 0: no webhook is registered */
    const char *leaf;                   /* serving certificate in hand; NULL: none */
    int64_t next_live_since_ms;         /* wall clock; 0: the next CA is not live yet */
    int64_t now_ms;                     /* wall clock */
};

/* What to do to the Secret, all in one write. */
enum bundle_secret_change {
    SECRET_MAKE_CURRENT = 1 << 0, /* a new CA in the place of the current one */
    SECRET_MAKE_NEXT = 1 << 1,
    SECRET_PROMOTE = 1 << 2,        /* next becomes current, current's certificate previous */
    SECRET_PRUNE_PREVIOUS = 1 << 3, /* drop what has expired */
    SECRET_MAKE_STAMP_KEY = 1 << 4,
};

struct bundle_plan {
    unsigned secret_change; /* 0: nothing */
    bool publish;           /* write `wanted` to every webhook */
    bool sign_leaf;         /* sign a serving certificate with secret->current */
    bool next_is_live;      /* every webhook holds the next CA now */
    bool ready;             /* the leaf in hand verifies against every live caBundle */
    const char *why_not;    /* static text; NULL when ready */
    char *wanted;           /* PEM; NULL when no CA is known */
    int64_t wake_ms;        /* wall clock: look again then, if nothing happens before; after an act
                               of one's own, look again at once */
};
void bundle_plan_release(struct bundle_plan *p);
#define CLEANUP_PLAN __attribute__((cleanup(bundle_plan_release)))

void bundle_decide(const struct bundle_config *c, const struct bundle_view *v,
                   struct bundle_plan *ret);
/* The readiness half alone, for certificates that others make. */
bool bundle_verifies(const struct bundle_view *v, const char *host, const char **why_not);
/* Carries the change out on a copy of the content; makes keys. */
WUKONG_CHECK int bundle_change_secret(const struct bundle_config *c, const struct ca_secret *old,
                                      unsigned change, int64_t now_ms, struct ca_secret *ret,
                                      struct err *err);

#endif
