/*
 * struct credential: what a credential plugin of the kubeconfig gives (kube/exec_config.h), for as
 * long as this process runs. The plugin is run as client-go runs it
 * (plugin/pkg/client/auth/exec/exec.go): it is told what it needs in $KUBERNETES_EXEC_INFO, may ask
 * the user where its interactiveMode and a terminal allow it, and answers with an ExecCredential on
 * its standard output. It is run again when its answer has expired, or was refused with 401.
 *
 * It is waited for: the command line has nothing else to do. Who does not answer in time is ended.
 */
#ifndef CLI_CREDENTIAL_H
#define CLI_CREDENTIAL_H

#include "base/clock.h"
#include "base/err.h"
#include "kube/config.h"
#include "kube/token.h"

/* A plugin that asks nobody takes seconds; a person logs in with a second factor. */
#define CREDENTIAL_MS 60000
#define CREDENTIAL_ASKS_MS 600000

struct credential;

/* Runs config's plugin for the first time and puts a client certificate that it gives into config;
   a token is asked for through credential_source. config->exec is borrowed for the credential's
   life, clock, too. ERR_INVALID when the plugin is not there, fails, hangs or answers nonsense. */
WUKONG_CHECK int credential_new(struct kube_config *config, const struct clock *clock,
                                struct credential **ret, struct err *err);
/* NULL does nothing. */
void credential_free(struct credential *c);
/* What the transport asks for each request's token. */
struct kube_token_source credential_source(struct credential *c);

#endif
