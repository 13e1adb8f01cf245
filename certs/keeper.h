/*
 * struct keeper: keeps the webhook's certificate in order, for ever. It watches the Secret, the two
 * webhook configurations and the ConfigMap of the stamp's public key, lets bundle_decide say what
 * is to be done, and does it: writes the Secret (create tolerates that another replica was faster,
 * update carries the resourceVersion), applies the caBundle (that field alone, under a field
 * manager of its own), signs the serving certificate in memory. In the modes certManager and
 * provided it only reads files and compares.
 *
 * It waits for nothing at start: the listener serves as soon as there is a certificate, and whether
 * the API server can verify it is what keeper_ready says.
 */
#ifndef CERTS_KEEPER_H
#define CERTS_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "certs/authority.h"
#include "kube/client.h"

enum keeper_mode { KEEPER_SELF_SIGNED, KEEPER_CERT_MANAGER, KEEPER_PROVIDED, KEEPER_MODES };
extern const char *const keeper_mode_names[KEEPER_MODES];

/* The key of the ConfigMap's data that holds the public key of admission stamps, PEM. */
#define KEEPER_STAMP_ENTRY "stamp.pub"
/* Provided files are looked at this often. */
#define KEEPER_FILES_MS 10000
/* A wall clock that was set, or a machine that slept, is noticed within this time. */
#define KEEPER_LOOK_MS 60000

struct keeper_options {
    const struct kube_client *client; /* its field manager is used for the caBundle */
    struct rng *rng;
    enum keeper_mode mode;
    const char *cert_dir, *ns, *service, *ca_secret;
    const char *mutating_config, *validating_config, *stamp_configmap; /* NULL: there is none */
    int64_t ca_life_ms, leaf_life_ms, settle_ms;
    /* A new serving certificate, borrowed for the call. */
    void (*use)(void *arg, const struct keypair *leaf);
    /* Readiness or the stamp key may have changed. */
    void (*turned)(void *arg);
    /* Something failed and is tried again. */
    void (*failed)(void *arg, const char *what, const struct err *err);
    void *arg;
};

struct keeper;

/* Everything in options is borrowed for the life of the keeper. */
struct keeper *keeper_new(const struct keeper_options *options);
void keeper_free(struct keeper *k);
void keeper_start(struct keeper *k);

/* The serving certificate in hand verifies against every live caBundle. */
bool keeper_ready(const struct keeper *k, const char **ret_why_not);
/* To be called before a handshake: when the certificate has run out while the process slept, makes
   a new one from what is known, without asking anybody. */
void keeper_before_handshake(struct keeper *k);
/* PEM; NULL while not known. Borrowed until `turned`. */
const char *keeper_stamp_key(const struct keeper *k);
const char *keeper_stamp_public_key(const struct keeper *k);
/* Wall clock; 0 while there is none. */
int64_t keeper_leaf_expiry_ms(const struct keeper *k);
int64_t keeper_ca_expiry_ms(const struct keeper *k);
/* When it began to be valid; 0 when there is none. */
int64_t keeper_leaf_start_ms(const struct keeper *k);
int64_t keeper_ca_start_ms(const struct keeper *k);

#endif
