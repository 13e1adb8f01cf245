/*
 * struct kube_exec: a credential plugin as a kubeconfig names it (users[].user.exec), read as
 * client-go reads it (tools/clientcmd/api/types.go ExecConfig; validation.go validateAuthInfo). Who
 * runs it: cli/credential.h. All texts are owned by the struct, NULL when absent.
 */
#ifndef KUBE_EXEC_CONFIG_H
#define KUBE_EXEC_CONFIG_H

#include <cjson/cJSON.h>

#include "base/err.h"

#define KUBE_EXEC_GROUP "client.authentication.k8s.io/"
/* Arguments of a plugin, and its variables; those of cloud providers have about ten. */
#define KUBE_EXEC_ITEMS_MAX 256

enum kube_exec_interactive {
    KUBE_EXEC_NEVER,        /* it reads no standard input */
    KUBE_EXEC_IF_AVAILABLE, /* it may, when that is a terminal */
    KUBE_EXEC_ALWAYS,       /* it must, or it cannot work */
};

struct kube_exec {
    char *command; /* NULL: there is no plugin; with a slash: a path, else looked for in $PATH */
    char *api_version; /* KUBE_EXEC_GROUP "v1" or "v1beta1" */
    char **arguments;  /* ended by NULL; the command is not among them */
    char **variables;  /* "NAME=value", ended by NULL; beside those of this process */
    char *install_hint;
    char *cluster_info; /* JSON, spec.cluster of what the plugin is told; NULL: it does not ask */
    enum kube_exec_interactive interactive;
};

void kube_exec_release(struct kube_exec *e);

/* exec: users[].user.exec; cluster: the entry of clusters[] that is meant; folder: what a relative
   command is relative to, NULL or "": the current one. ERR_INVALID says which field is wrong. */
WUKONG_CHECK int kube_exec_parse(const cJSON *exec, const cJSON *cluster, const char *folder,
                                 struct kube_exec *ret, struct err *err);

#endif
