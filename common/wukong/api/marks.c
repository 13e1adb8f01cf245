#include "wukong/api/marks.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* --- Reserved --- */

/* Whoever owns one of these domains owns all below it. */
static const char *const owned_domains[] = {
    "vm.novasphere.dev",
    "kubevirt.io",
    "kubernetes.io",
    "k8s.io",
    /* Tools that know by it what they manage: their pruner would take the clone for an orphan. */
    "argocd.argoproj.io",
    "toolkit.fluxcd.io",
    "helm.sh",
    "kapp.k14s.io",
    "cattle.io",
    "configsync.gke.io",
};

/* Domains below those in which users write. */
static const char *const free_domains[] = {
    "vm.kubevirt.io",
    "app.kubernetes.io",
    "descheduler.alpha.kubernetes.io",
    "cluster-autoscaler.kubernetes.io",
};

/* In the free domains, or where a domain is not owned as a whole. */
static const char *const owned_keys[] = {
    "vm.kubevirt.io/name",          "app.kubernetes.io/instance", /* Argo CD's default tracking
                                                                     label; Helm sets it too */
    "app.kubernetes.io/managed-by", "velero.io/backup-name",      "velero.io/restore-name",
};

static bool is_in(const char *text, size_t n, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == n && memcmp(list[i], text, n) == 0)
            return true;
    return false;
}

static bool is_below(const char *domain, size_t n, const char *above)
{
    size_t len = strlen(above);
    return n >= len && memcmp(domain + n - len, above, len) == 0 &&
           (n == len || domain[n - len - 1] == '.');
}

bool mark_is_reserved(const char *key)
{
    /* A key without a slash is a name alone; KubeVirt's own label is called "kubevirt.io". */
    size_t n = strcspn(key, "/");
    if (is_in(key, strlen(key), owned_keys, ARRAY_LEN(owned_keys)))
        return true;
    if (key[n] && is_in(key, n, free_domains, ARRAY_LEN(free_domains)))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(owned_domains); i++)
        if (is_below(key, n, owned_domains[i]))
            return true;
    return false;
}

/* --- Annotations of the template --- */

/* Keys, or prefixes that end in '/', '-' or '.'. */
static bool is_one_of(const char *key, const char *const *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(rules[i]);
        bool prefix = strchr("/-.", rules[i][len - 1]) != NULL;
        if (prefix ? str_starts(key, rules[i]) : str_eq(key, rules[i]))
            return true;
    }
    return false;
}

bool annotation_is_inherited(const char *key)
{
    /* The guest knows its devices by their PCI addresses, which follow from the last three
       (pkg/virt-launcher/virtwrap/converter/pci-placement.go). vm.kubevirt.io/name is KubeVirt's:
       it would carry the source's name into the clone. */
    static const char *const rules[] = {
        "vm.kubevirt.io/",
        "kubevirt.io/pci-topology-version",
        "kubevirt.io/pci-interface-slot-count",
        "kubevirt.io/placePCIDevicesOnRootComplex",
    };
    return is_one_of(key, rules, ARRAY_LEN(rules)) && !str_eq(key, "vm.kubevirt.io/name");
}

bool annotation_is_missed(const char *key)
{
    static const char *const notes[] = {
        "kubectl.kubernetes.io/",
        "argocd.argoproj.io/",
        "meta.helm.sh/",
        "kustomize.toolkit.fluxcd.io/",
        "vm.kubevirt.io/name",
        "kubevirt.io/latest-observed-api-version",
        "kubevirt.io/storage-observed-api-version",
        "kubevirt.io/vm-generation",
        "kubevirt.io/instancetype-name",
        "kubevirt.io/cluster-instancetype-name",
        "kubevirt.io/preference-name",
        "kubevirt.io/cluster-preference-name",
        "kubevirt.io/migration",
        /* Addresses that a network plugin has given to the source's Pod. */
        "k8s.v1.cni.cncf.io/network-status",
        "ovn.kubernetes.io/",
        "k8s.ovn.org/",
        "cni.projectcalico.org/",
    };
    return !annotation_is_inherited(key) && !is_one_of(key, notes, ARRAY_LEN(notes));
}
