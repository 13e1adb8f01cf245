/*
 * The command line of wukong-webhook: one table of flags, which also prints the help text.
 */
#ifndef WEBHOOK_OPTIONS_H
#define WEBHOOK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct options {
    const char *listen_address, *metrics_address, *ns, *service, *cert_mode, *cert_dir, *ca_secret;
    const char *mutating_config, *validating_config, *stamp_configmap;
    const char *tls_min, *client_ca, *client_names, *kubeconfig, *log_level, *watch_namespaces;
    int64_t listen_port, metrics_port, max_connections, max_requests;
    int64_t ca_life_ms, leaf_life_ms, settle_ms, drain_ms;
    bool no_cross_namespace, help, version;
};

/* Strings are borrowed from argv. */
WUKONG_CHECK int options_read(int argc, char *const *argv, struct options *ret, struct err *err);
void options_help(void);

#endif
