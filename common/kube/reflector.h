/*
 * The reflector keeps a store equal to what the API server has of one kind: list, then watch, for
 * ever. It comes in two halves. reflector_step is pure: a state, an input and the time give
 * actions. struct reflector is the thin shell that carries actions out on a kube_transport, a timer
 * heap and a store; the simulator uses both as they are. Behaviour and numbers are those of
 * client-go tools/cache/reflector.go, unless a comment says otherwise.
 *
 * - The first list names no resourceVersion (consistent), pages of 500. A relist asks for the last
 *   version known; when that is refused (410, or "too large"), for none. A 410 on a page's continue
 *   token starts over without pages.
 * - Watches allow bookmarks and last a random [300, 600) s by timeoutSeconds. A clean end goes on
 *   with the next watch at the last version, without a list. A resourceVersion is opaque.
 * - ERROR events of kind Expired and Gone relist. 429, refused or cut connections repeat the same
 *   watch after the backoff. A watch that ends within 1 s without an event is a failure.
 * - Backoff 0.8 s to 30 s, doubled, with jitter 1.0, reset after 2 min without failure; a longer
 *   Retry-After is obeyed.
 * - An object that cannot be read stays in the store as a marker, and the stream goes on.
 * - A kind that is not served (404: its CRD is not installed) counts as synced and empty and is
 *   asked for again every 30 to 60 s. One that has an older version is asked for in the other at
 *   once, and stays with that which was served.
 */
#ifndef KUBE_REFLECTOR_H
#define KUBE_REFLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/timer.h"
#include "kube/object.h"
#include "kube/store.h"
#include "kube/transport.h"

#define REFLECTOR_PAGE 500
#define REFLECTOR_WATCH_S_MIN 300
#define REFLECTOR_WATCH_S_MAX 599
#define REFLECTOR_BACKOFF_MS 800
#define REFLECTOR_BACKOFF_MS_MAX 30000
#define REFLECTOR_HEALTHY_MS 120000
#define REFLECTOR_SHORT_WATCH_MS 1000
#define REFLECTOR_UNSERVED_MS 30000
/* The server's own --request-timeout. */
#define REFLECTOR_LIST_DEADLINE_MS 60000
/* Beyond timeoutSeconds, after which the server ought to have ended the watch. */
#define REFLECTOR_WATCH_GRACE_MS 30000
/* Bookmarks come about once a minute (apiserver storage/cacher: bookmarkFrequency); a watch that is
   silent for three of them is dead. */
#define REFLECTOR_IDLE_MS 180000
/* Beyond this a cache is no picture of the cluster any more: a watch has gone silent and was found
   out, or, where no bookmarks come, has lasted to its end; one more wait and one more list were
   made in vain. 300 s and 749 s. */
#define REFLECTOR_AGAIN_MS (2 * REFLECTOR_BACKOFF_MS_MAX + REFLECTOR_LIST_DEADLINE_MS)
#define REFLECTOR_STALE_MS (REFLECTOR_IDLE_MS + REFLECTOR_AGAIN_MS)
#define REFLECTOR_STALE_QUIET_MS                                                                   \
    (REFLECTOR_WATCH_S_MAX * 1000 + REFLECTOR_WATCH_GRACE_MS + REFLECTOR_AGAIN_MS)
/* Both are opaque; etcd's are 20 digits, and base64 of a key and a revision. */
#define REFLECTOR_VERSION_MAX 128
#define REFLECTOR_CONTINUE_MAX 4096

/* --- The pure half --- */

enum reflector_phase { REFLECTOR_NEW, REFLECTOR_LISTING, REFLECTOR_WATCHING, REFLECTOR_WAITING };

struct reflector_state {
    enum reflector_phase phase;
    bool synced; /* one list has been completed since the last refresh, or the kind is not served */
    bool served; /* false only after a 404 */
    bool watch_next;    /* WAITING: for a watch, else for a list */
    bool no_version;    /* the last version was refused: list without */
    bool no_pages;      /* a continue token was refused: list in one piece */
    bool eventful;      /* this watch has brought something */
    bool expired_early; /* the last watch was told at once that its version is too old */
    char version[REFLECTOR_VERSION_MAX];
    char token[REFLECTOR_CONTINUE_MAX]; /* continue of the page asked for; "" on the first */
    int64_t backoff_ms, failed_ms, watch_began_ms;
    uint64_t lists, failures; /* ever; for metrics */
};

enum reflector_input_kind {
    REFLECTOR_BEGIN,   /* once */
    REFLECTOR_PAGE_IN, /* a page was read to its end: version, token ("" or NULL: the last one) */
    REFLECTOR_EVENT,   /* a watch event, bookmarks included: version */
    REFLECTOR_ENDED,   /* the watch ended cleanly */
    REFLECTOR_FAILED,  /* list or watch failed, or an ERROR event came: the fields below */
    REFLECTOR_DUE,     /* the wait is over */
    REFLECTOR_REFRESH, /* what the store shows is not to be trusted any more; nothing is under way
                        */
};

struct reflector_input {
    enum reflector_input_kind kind;
    const char *version, *token;
    enum err_kind why;
    int64_t retry_after_s;
    bool unserved;
    bool other_version; /* unserved, and another version of it is to be asked for */
    bool behind;        /* ERR_EXPIRED: the server's cache has not reached that version yet */
};

enum reflector_action_kind {
    REFLECTOR_DO_MARK,  /* store_mark */
    REFLECTOR_DO_SWEEP, /* store_sweep */
    REFLECTOR_DO_LIST,  /* version, token, limit */
    REFLECTOR_DO_WATCH, /* version, timeout_s */
    REFLECTOR_DO_WAIT,  /* delay_ms */
};

struct reflector_action {
    enum reflector_action_kind kind;
    const char *version, *token; /* within the state; NULL: leave the parameter out */
    int limit;                   /* 0: leave it out */
    int timeout_s;
    int64_t delay_ms;
};

#define REFLECTOR_ACTIONS_MAX 4
struct reflector_actions {
    struct reflector_action items[REFLECTOR_ACTIONS_MAX];
    size_t count;
};

void reflector_state_init(struct reflector_state *s);
/* rng: for jitter and timeoutSeconds. The actions are to be carried out in their order. */
struct reflector_actions reflector_step(struct reflector_state *s, struct rng *rng,
                                        const struct reflector_input *input, int64_t now_ms);

/* --- The shell --- */

struct reflector_options {
    struct store *store; /* its kind is what is watched */
    const char *ns;      /* NULL: all namespaces; copied */
    const char *name;    /* NULL: all objects; else this one, of a kind without a field selector;
                            copied */
    struct kube_transport *transport;
    const struct clock *clock;
    struct timers *timers;
    struct rng *rng;
    /* Called when synced or served has changed. May be NULL. */
    void (*turned)(void *arg);
    /* Called for each failure, for the log; may be NULL. */
    void (*failed)(void *arg, const struct kube_kind *kind, const struct err *err);
    /* Called for an object that has become unreadable (object.h), for the log; ns and name are ""
       when they are not known. May be NULL. */
    void (*unreadable)(void *arg, const struct kube_kind *kind, const char *ns, const char *name,
                       const char *why);
    void *arg;
};

struct reflector;

/* Everything in options is borrowed for the life of the reflector. */
struct reflector *reflector_new(const struct reflector_options *options);
/* Ends what is under way. NULL does nothing. The store keeps its objects. */
void reflector_free(struct reflector *r);
void reflector_start(struct reflector *r);
/* A watch may hang for minutes: lists anew, what etcd holds and not what some cache does. Until
   that has come reflector_synced is false; then the store shows nothing older than this call. Not
   from a callback of the reflector's. */
void reflector_refresh(struct reflector *r);
bool reflector_synced(const struct reflector *r);
bool reflector_served(const struct reflector *r);
/* The version in which the kind is asked for. */
const char *reflector_version(const struct reflector *r);
/* Monotonic time of the last page, event, bookmark or clean end: how old the cache may be. 0:
 * never.
 */
int64_t reflector_heard_ms(const struct reflector *r);
const struct reflector_state *reflector_state_of(const struct reflector *r);

#endif
