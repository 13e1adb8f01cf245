/*
 * The thin shell around the pure judgement: takes requests from the listener, gives each a deadline
 * from the caller's `?timeout`, sends the lookups that the judgement asks for, judges again,
 * answers. The connection sleeps meanwhile.
 */
#ifndef WEBHOOK_REVIEWS_H
#define WEBHOOK_REVIEWS_H

#include "certs/keeper.h"
#include "http/server.h"
#include "kube/client.h"
#include "kube/skew.h"
#include "webhook/facts.h"
#include "wukong/scope.h"

#define REVIEWS_MUTATE_PATH "/mutate-vm-novasphere-dev-v1alpha1-wukong"
#define REVIEWS_VALIDATE_PATH "/validate-vm-novasphere-dev-v1alpha1-wukong"
/* Time for our own lookups when the caller names none, and what is kept back of what it names, for
   the answer to reach it: a fifth, because where lookups take that long everything else is slow,
   too. */
#define REVIEWS_TIMEOUT_MS 5000
#define REVIEWS_TIMEOUT_MS_MAX 25000
#define REVIEWS_MARGIN_MS 500
#define REVIEWS_MARGIN_PART 5

struct reviews;

struct reviews_options {
    const struct kube_client *client;
    struct facts *facts;
    const struct keeper *keeper;
    const struct scope *scope;     /* the namespaces that are served */
    const struct clock_skew *skew; /* of the API server's clock */
    bool no_cross_namespace;
    bool client_required; /* refuse callers without a verified certificate */
};

/* Everything in options is borrowed for the life of the reviews. */
struct reviews *reviews_new(const struct reviews_options *options);
void reviews_free(struct reviews *r);
/* Fits server_config.handle with arg = the reviews. */
void reviews_handle(void *reviews, struct server_request *request);

#endif
