/*
 * Leader election on a coordination.k8s.io Lease, as client-go's tools/leaderelection: duration 15
 * s, renewed every 2 s, given up when 10 s have passed without success. Two halves: lease_decide is
 * pure, struct lease carries its decision out.
 *
 * Whether another holder's lease has expired counts from the local moment at which its record was
 * last seen to change, never from the times written in it: clocks differ. Our own hold counts from
 * the local moment at which the last successful write was *begun*. A lease is no fence: a write
 * sent just before it is lost may arrive after; what is written must bear that.
 */
#ifndef KUBE_LEASE_H
#define KUBE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "kube/client.h"

/* client-go tools/leaderelection defaults as used by kube-controller-manager. */
#define LEASE_DURATION_MS 15000
#define LEASE_RENEW_DEADLINE_MS 10000
#define LEASE_RETRY_MS 2000
#define LEASE_HOLDER_MAX 254

/* --- The pure half --- */

struct lease_record {
    bool exists;
    char holder[LEASE_HOLDER_MAX]; /* "": released */
    char resource_version[64];
    int64_t duration_ms, acquired_wall_ms, renewed_wall_ms, transitions;
};

struct lease_view {
    const char *self;           /* our identity */
    struct lease_record record; /* as last read or written */
    bool known;                 /* the record is as it stands, as far as we have heard */
    bool leading;
    int64_t observed_ms;   /* monotonic: when the record was last seen to change */
    int64_t read_ms;       /* monotonic: when it was last read or written */
    int64_t renewed_ms;    /* monotonic: begin of our last successful write */
    int64_t not_before_ms; /* monotonic: the next attempt, after a failed one */
};

enum lease_verdict {
    LEASE_WAIT,    /* another one holds it, or ours is fresh */
    LEASE_READ,    /* read the record: not known, or another one may have changed it */
    LEASE_CREATE,  /* there is none */
    LEASE_ACQUIRE, /* it is free or has expired */
    LEASE_RENEW,   /* ours */
    LEASE_LOST,    /* we led and may no longer */
};
struct lease_decision {
    enum lease_verdict verdict;
    int64_t again_ms; /* monotonic: decide again then, or when a call has ended */
};
struct lease_decision lease_decide(const struct lease_view *v, int64_t now_ms);

/* What a call brought: a record that was read (exists false: there is none), a record that we wrote
   in a call begun at begun_ms, or a failure. */
void lease_saw(struct lease_view *v, const struct lease_record *record, int64_t now_ms);
void lease_wrote(struct lease_view *v, const struct lease_record *record, int64_t begun_ms,
                 int64_t now_ms);
void lease_failed(struct lease_view *v, enum err_kind why, int64_t now_ms);

/* True while writes may be sent: we lead and the renew deadline has not passed. */
bool lease_held(const struct lease_view *v, int64_t now_ms);

/* The body to create, acquire, renew or release (empty holder, 1 s) with. metadata: that of the
   record as read, as JSON, so that labels of others survive; NULL: name and namespace alone.
   free(). */
enum lease_write { LEASE_WRITE_TAKE, LEASE_WRITE_RENEW, LEASE_WRITE_RELEASE };
char *lease_body(const struct lease_view *v, const char *ns, const char *name, const char *metadata,
                 enum lease_write what, int64_t wall_ms);
/* Reads a Lease object; *ret_metadata: its metadata without managedFields, free(). ERR_INVALID. */
WUKONG_CHECK int lease_parse(const char *json, size_t len, struct lease_record *ret,
                             char **ret_metadata, struct err *err);

/* --- The shell --- */

struct lease;
struct lease_options {
    const struct kube_client *client; /* borrowed, as all the rest */
    struct rng *rng;
    const char *ns, *name, *self;
    void (*acquired)(void *arg);
    /* We led and no longer may: end the process. Not called after lease_release. */
    void (*lost)(void *arg);
    /* A failed attempt, for the log; may be NULL. */
    void (*failed)(void *arg, const struct err *err);
    void *arg;
};
struct lease *lease_new(const struct lease_options *options);
void lease_free(struct lease *l);
void lease_start(struct lease *l);
/* Ask this before every write. */
bool lease_leading(const struct lease *l);
/* The holder as last seen, "" when unknown or free. */
const char *lease_holder(const struct lease *l);
/* On SIGTERM, when nothing is being written any more: lets the next one take over at once. released
   is called when the server has it, or after 2 s. lease_leading is false from here on. */
void lease_release(struct lease *l, void (*released)(void *arg), void *arg);

#endif
