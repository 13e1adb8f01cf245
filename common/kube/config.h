/*
 * struct kube_config: where the API server is and who we are, from the ServiceAccount of a Pod or
 * from a kubeconfig. Behaviour is client-go's (rest/config.go InClusterConfig, tools/clientcmd): in
 * a kubeconfig …-data wins over the file, files are relative to the kubeconfig's own folder, the
 * first file of a KUBECONFIG list that names a cluster, user or context wins. What is not supported
 * (auth-provider plug-ins, basic authentication, impersonation; a credential plugin, but for what a
 * user runs) is refused by name instead of being left out, and so is insecure-skip-tls-verify
 * unless the caller allows it. Plain http is for loopback addresses only.
 *
 * All strings are owned by the struct, NULL when absent.
 */
#ifndef KUBE_CONFIG_H
#define KUBE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "kube/exec_config.h"

struct kube_config {
    char *server;               /* "https://host:port", perhaps with a path; no slash at the end */
    char *ca_pem, *ca_file;     /* at most one; neither: the system's trust store */
    char *cert_pem, *cert_file; /* client certificate, at most one of each pair */
    char *key_pem, *key_file;
    char *token, *token_file; /* at most one; the file is read again, see token.h */
    struct kube_exec exec;    /* as_kubectl: the plugin that gives the credentials */
    char *tls_server_name;    /* name to verify instead of the host's */
    char *proxy_url;
    char *ns;      /* the context's or the Pod's namespace; never NULL, "default" when not given */
    bool insecure; /* certificates are not verified */
};

void kube_config_release(struct kube_config *c);
#define CLEANUP_KUBE_CONFIG __attribute__((cleanup(kube_config_release)))

/* The server's host is localhost, 127.x.y.z or ::1. */
bool kube_config_loopback(const char *server);

struct kube_config_choice {
    const char *path;    /* a kubeconfig or a colon-separated list; NULL: see kube_config_load */
    const char *context; /* NULL: current-context */
    bool allow_insecure; /* accept insecure-skip-tls-verify */
    /* For what a user runs: the order of clientcmd (see kube_config_load), and plugins. */
    bool as_kubectl;
    /* In place of what the files say, NULL: nothing (clientcmd/overrides.go). With a server no file
       and no context is needed. A token takes the place of every other credential. */
    const char *cluster, *user, *server, *tls_server_name, *ca_file, *token, *cert_file, *key_file;
    bool insecure; /* certificates are not verified; needs allow_insecure */
};

/* The Pod's identity, with its three inputs given: host (an IPv6 one without brackets), port, and
   the folder that holds token, ca.crt and namespace. */
WUKONG_CHECK int kube_config_from_pod(const char *host, const char *port, const char *folder,
                                      struct kube_config *ret, struct err *err);
/*
 * In this order: choice->path, $KUBECONFIG, the Pod's identity, $HOME/.kube/config. With as_kubectl
 * the Pod comes last, and only where no file was found and no context is named, so that in a Pod of
 * a CI runner or a development container the same cluster is meant as by kubectl beside it
 * (client-go tools/clientcmd/client_config.go DeferredLoadingClientConfig). ERR_NOT_FOUND when
 * there is nothing, ERR_INVALID with the place and what to do when a file is wrong.
 */
WUKONG_CHECK int kube_config_load(const struct kube_config_choice *choice, struct kube_config *ret,
                                  struct err *err);
/* One kubeconfig's text. folder: what relative file names are relative to. */
WUKONG_CHECK int kube_config_parse(const char *text, size_t len, const char *folder,
                                   const struct kube_config_choice *choice, struct kube_config *ret,
                                   struct err *err);

#endif
