/*
 * The thin shell around the pure judgement: takes requests from the listener, gives each a deadline
 * from the caller's `?timeout`, sends the lookups that the judgement asks for, judges again,
 * answers. The connection sleeps meanwhile.
 */
#ifndef WEBHOOK_ADMISSION_HANDLER_H
#define WEBHOOK_ADMISSION_HANDLER_H

#include "certs/keeper.h"
#include "http/server.h"
#include "kube/client.h"
#include "kube/skew.h"
#include "webhook/class_cache.h"
#include "wukong/api/scope.h"

#define ADMISSION_MUTATE_PATH "/mutate-vm-novasphere-dev-v1alpha1-wukong"
#define ADMISSION_VALIDATE_PATH "/validate-vm-novasphere-dev-v1alpha1-wukong"
/* Time for our own lookups when the caller names none, and what is kept back of what it names, for
   the answer to reach it: a fifth, because where lookups take that long everything else is slow,
   too. */
#define ADMISSION_TIMEOUT_MS 5000
#define ADMISSION_TIMEOUT_MS_MAX 25000
#define ADMISSION_MARGIN_MS 500
#define ADMISSION_MARGIN_PART 5

struct admission_handler;

struct admission_handler_options {
    const struct kube_client *client;
    struct class_cache *class_cache;
    const struct keeper *keeper;
    const struct scope *scope;     /* the namespaces that are served */
    const struct clock_skew *skew; /* of the API server's clock */
    bool no_cross_namespace;
    bool client_required; /* refuse callers without a verified certificate */
};

/* Everything in options is borrowed for the life of the handler. */
struct admission_handler *admission_handler_new(const struct admission_handler_options *options);
void admission_handler_free(struct admission_handler *r);
/* Fits server_config.handle with arg = the handler. */
void admission_handler_handle(void *admission_handler, struct server_request *request);

#endif
