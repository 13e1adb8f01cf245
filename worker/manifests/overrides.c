/* What the Wukong asks for beyond its source: size of the machine, networks, placement, access. */
#include "manifests/build.h"

#include <assert.h>

#include "apimachinery/quantity.h"
#include "base/str.h"

/* --- cpu and memory --- */

/* A request or limit of another size than the override's contradicts it; KubeVirt derives both
   from the topology and the guest memory when they are absent. */
static void drop_resource(cJSON *domain, const char *name)
{
    cJSON *resources = tree_at(domain, "resources");
    tree_remove(tree_at(resources, "requests"), name);
    tree_remove(tree_at(resources, "limits"), name);
    tree_remove_if_empty(resources, "requests");
    tree_remove_if_empty(resources, "limits");
}

/* KubeVirt refuses guest memory that is no multiple of the page size (422, and names another
   field: pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go). */
static int check_huge_pages(const struct manifest_build *b, struct err *err)
{
    struct quantity page, memory;
    const char *size = json_str(b->domain, "memory.hugepages.pageSize");
    if (!size || quantity_parse(size, &page) != QUANTITY_OK ||
        quantity_parse(b->w->spec.memory, &memory) != QUANTITY_OK)
        return 0;
    int64_t unit = quantity_value(&page), bytes = quantity_value(&memory);
    if (unit > 0 && bytes % unit != 0)
        return err_set(err, ERR_REFUSED,
                       "spec.memory: %.32s is no multiple of the source's hugepages.pageSize "
                       "%.32s: choose a multiple of it",
                       b->w->spec.memory, size);
    return 0;
}

struct topology {
    int64_t sockets, cores, threads;
};

/* Sockets of the source's kind, or cores of it, as many as it takes; false: they do not divide. */
static bool scale(int64_t cpus, const struct topology *is, bool by_cores, bool threads,
                  struct topology *ret)
{
    struct topology t = {is->sockets, is->cores, threads ? is->threads : 1};
    int64_t unit = (by_cores ? t.sockets : t.cores) * t.threads;
    if (cpus % unit != 0)
        return false;
    *(by_cores ? &t.cores : &t.sockets) = cpus / unit;
    *ret = t;
    return true;
}

static int64_t part_of(const cJSON *cpu, const char *name)
{
    int64_t n;
    return json_int(cpu, name, &n) && n > 0 && n <= INT16_MAX ? n : 1;
}

/* Windows clients use two sockets at most (Microsoft's licence terms; KubeVirt's preferences for
   Windows prefer cores); a machine with Hyper-V features is taken for one. */
static struct topology topology_for(const struct manifest_build *b, int64_t cpus)
{
    const cJSON *cpu = json_get(b->domain, "cpu");
    struct topology is = {part_of(cpu, "sockets"), part_of(cpu, "cores"), part_of(cpu, "threads")};
    struct topology ret = {.sockets = cpus, .cores = 1, .threads = 1};
    enum cpu_shape shape = b->w->spec.target.cpu_shape;
    bool cores = is.sockets == 1 && (is.cores > 1 || json_at(b->domain, "features.hyperv"));
    if (shape == SHAPE_CORES)
        return (struct topology){.sockets = 1, .cores = cpus, .threads = 1};
    if (shape == SHAPE_SOCKETS)
        return ret;
    for (int threads = 1; threads >= 0; threads--)
        if (scale(cpus, &is, cores, threads, &ret) || scale(cpus, &is, !cores, threads, &ret))
            return ret;
    if (is.cores > 1 || json_at(b->domain, "features.hyperv"))
        ret = (struct topology){.sockets = 1, .cores = cpus, .threads = 1};
    return ret;
}

int build_resources(struct manifest_build *b, struct err *err)
{
    const struct wukong_spec *spec = &b->w->spec;
    /* Both are KubeVirt's arithmetic on the source's size; left in, a larger size is refused (422
       "Number of sockets … greater than the maximum", "Guest memory … greater than maxGuest"). */
    tree_remove(tree_at(b->domain, "cpu"), "maxSockets");
    tree_remove(tree_at(b->domain, "memory"), "maxGuest");
    if (spec->has_cpu) {
        struct topology t = topology_for(b, spec->cpu);
        cJSON *cpu = tree_object(b->domain, "cpu");
        tree_set_int(cpu, "sockets", t.sockets);
        tree_set_int(cpu, "cores", t.cores);
        tree_set_int(cpu, "threads", t.threads);
        drop_resource(b->domain, "cpu");
    }
    if (spec->memory) {
        if (check_huge_pages(b, err) < 0)
            return -1;
        tree_set_string(tree_object(b->domain, "memory"), "guest", spec->memory);
        drop_resource(b->domain, "memory");
    }
    return 0;
}

/* --- networks --- */

/* What only a creator of network attachments could honour is refused by name. */
static int check_network(const struct wukong_network *n, size_t i, bool default_pod,
                         struct err *err)
{
    const char *field = n->bridge_name          ? "bridgeName"
                        : n->physical_interface ? "physicalInterface"
                        : n->vlan_id            ? "vlanId"
                                                : NULL;
    if (field)
        return err_set(err, ERR_REFUSED,
                       "spec.networks[%zu].%s: a clone makes no networks: remove it, create a "
                       "NetworkAttachmentDefinition with it and name that in nadName",
                       i, field);
    if (n->ip.mode == IP_STATIC || n->ip.address || n->ip.gateway || n->ip.dns_count)
        return err_set(err, ERR_REFUSED,
                       "spec.networks[%zu].ipConfig: a clone keeps the guest's own network "
                       "configuration, a static address cannot be set: remove ipConfig or use "
                       "mode dhcp",
                       i);
    if (!n->name)
        return err_set(err, ERR_REFUSED, "spec.networks[%zu].name: required", i);
    if (!n->nad_name && !default_pod)
        return err_set(err, ERR_REFUSED,
                       "spec.networks[%zu].nadName: required for a clone: name an existing "
                       "NetworkAttachmentDefinition, or call the network \"default\" and leave "
                       "out type for the Pod network",
                       i);
    return 0;
}

static const char *const binding_names[] = {"bridge",  "masquerade", "slirp",   "sriov",
                                            "macvtap", "passt",      "binding", "passtBinding"};

/* The source's interface of that name keeps its model, ports and PCI address. */
static cJSON *build_interface(const cJSON *old, const char *name, const char *binding)
{
    cJSON *interface = old ? tree_dup(old) : tree_new();
    tree_set_string(interface, "name", name);
    bool keeps = json_get(interface, binding) != NULL;
    for (size_t i = 0; i < ARRAY_LEN(binding_names) && !keeps; i++)
        tree_remove(interface, binding_names[i]);
    if (!keeps)
        tree_object(interface, binding);
    return interface;
}

static void add_network(const struct wukong_network *n, bool pod, const cJSON *old_interfaces,
                        cJSON *interfaces, cJSON *networks)
{
    const char *binding = pod ? "masquerade" : n->type == NETWORK_SRIOV ? "sriov" : "bridge";
    cJSON *network = tree_new();
    tree_set_string(network, "name", n->name);
    if (pod) {
        tree_object(network, "pod");
    } else {
        cJSON *multus = tree_object(network, "multus");
        tree_set_string(multus, "networkName", n->nad_name);
        if (n->primary == TRI_TRUE)
            tree_set_bool(multus, "default", true);
    }
    tree_append(networks, network);
    tree_append(interfaces, build_interface(tree_named(old_interfaces, n->name), n->name, binding));
}

/* spec.networks replaces all interfaces of the source. As with the creator, the Pod network stays
   the first one unless a network is primary. */
int build_networks(struct manifest_build *b, struct err *err)
{
    const struct wukong_spec *spec = &b->w->spec;
    static const struct wukong_network pod_network = {.name = "default"};
    bool primary = false, named_default = false;
    if (spec->network_count == 0)
        return 0;
    for (size_t i = 0; i < spec->network_count; i++) {
        const struct wukong_network *n = &spec->networks[i];
        bool pod = str_eq(n->name, "default") && n->type == NETWORK_UNSET && !n->nad_name;
        if (check_network(n, i, pod, err) < 0)
            return -1;
        primary |= n->primary == TRI_TRUE && n->nad_name;
        named_default |= str_eq(n->name, "default");
    }
    CLEANUP_JSON cJSON *old = cJSON_DetachItemFromObjectCaseSensitive(b->devices, "interfaces");
    tree_remove(b->instance, "networks");
    cJSON *interfaces = tree_array(b->devices, "interfaces");
    cJSON *networks = tree_array(b->instance, "networks");
    if (!primary && !named_default)
        add_network(&pod_network, true, old, interfaces, networks);
    for (size_t i = 0; i < spec->network_count; i++) {
        const struct wukong_network *n = &spec->networks[i];
        add_network(n, !n->nad_name, old, interfaces, networks);
    }
    /* With interfaces of its own the machine needs no automatic one. */
    tree_remove(b->devices, "autoattachPodInterface");
    return 0;
}

/* --- highAvailability --- */

static void spread(struct manifest_build *b)
{
    cJSON *labels = tree_object(tree_object(b->template, "metadata"), "labels");
    tree_set_string(labels, WUKONG_UID_LABEL, b->w->uid);
    cJSON *affinity = tree_object(tree_object(b->instance, "affinity"), "podAntiAffinity");
    cJSON *term = tree_new();
    cJSON *match = tree_object(tree_object(term, "labelSelector"), "matchLabels");
    tree_set_string(match, WUKONG_UID_LABEL, b->w->uid);
    tree_set_string(term, "topologyKey", "kubernetes.io/hostname");
    tree_append(tree_array(affinity, "requiredDuringSchedulingIgnoredDuringExecution"), term);
}

int build_placement(struct manifest_build *b, struct err *err)
{
    const struct wukong_spec *spec = &b->w->spec;
    if (!spec->ha.present)
        return 0;
    if (spec->ha.node_selector.count) {
        cJSON *selector = tree_object(b->instance, "nodeSelector");
        for (size_t i = 0; i < spec->ha.node_selector.count; i++)
            tree_set_string(selector, spec->ha.node_selector.items[i].key,
                            spec->ha.node_selector.items[i].value);
    }
    if (spec->ha.tolerations) {
        CLEANUP_JSON cJSON *more = NULL;
        if (json_parse(spec->ha.tolerations, strlen(spec->ha.tolerations), true, &more, err) < 0)
            return err_wrap(err, "spec.highAvailability.tolerations");
        const cJSON *toleration;
        TREE_EACH(toleration, more)
        tree_append(tree_array(b->instance, "tolerations"), tree_dup(toleration));
    }
    if (spec->ha.anti_affinity == TRI_TRUE)
        spread(b);
    return 0;
}

/* --- sshKeySecret, cloudInitUser --- */

/* How keys reach the guest: through the cloud-init drive that it has. */
static const char *key_propagation(const cJSON *instance)
{
    const cJSON *volume;
    TREE_EACH(volume, json_get(instance, "volumes"))
    {
        if (json_get(volume, "cloudInitNoCloud"))
            return "noCloud";
        if (json_get(volume, "cloudInitConfigDrive"))
            return "configDrive";
    }
    return NULL;
}

int build_access(struct manifest_build *b, struct err *err)
{
    const struct wukong_spec *spec = &b->w->spec;
    if (spec->cloud_init_user)
        return err_set(err, ERR_REFUSED,
                       "spec.cloudInitUser: a clone keeps the source's cloud-init data and the "
                       "users of its disks: remove cloudInitUser, and use sshKeySecret or add the "
                       "user in the source");
    if (!spec->ssh_key_secret)
        return 0;
    const char *way = key_propagation(b->instance);
    if (!way)
        return err_set(err, ERR_REFUSED,
                       "spec.sshKeySecret: the source has no cloud-init volume, so that no key "
                       "can reach the guest: remove sshKeySecret, or add a cloudInitNoCloud volume "
                       "to the source (from another namespace: with its data in itself, or in a "
                       "Secret that cloneSource.allowSecrets names)");
    cJSON *credential = tree_new();
    cJSON *key = tree_object(credential, "sshPublicKey");
    tree_set_string(tree_object(tree_object(key, "source"), "secret"), "secretName",
                    spec->ssh_key_secret);
    tree_object(tree_object(key, "propagationMethod"), way);
    tree_append(tree_array(b->instance, "accessCredentials"), credential);
    return 0;
}

/* --- startStrategy --- */

int build_run_strategy(struct manifest_build *b, struct err *err)
{
    static const char *const by_restart[] = {
        [RESTART_UNSET] = NULL,
        [RESTART_ALWAYS] = "Always",
        [RESTART_ON_FAILURE] = "RerunOnFailure",
        [RESTART_NEVER] = "Once",
    };
    static_assert(ARRAY_LEN(by_restart) == RESTART_POLICIES, "one strategy for each policy");
    const struct wukong_spec *spec = &b->w->spec;
    const char *written = spec->start.run_strategy == RUN_INHERIT
                              ? json_str(b->source, MANIFEST_RUN_STRATEGY)
                              : run_strategy_names[spec->start.run_strategy];
    const char *restart = spec->ha.present ? by_restart[spec->ha.restart_policy] : NULL;
    if (written && restart && !str_eq(written, restart))
        return err_set(err, ERR_REFUSED,
                       "spec.highAvailability.restartPolicy: %s contradicts "
                       "spec.startStrategy.runStrategy: %s: set only one of them",
                       restart_policy_names[spec->ha.restart_policy], written);
    const char *strategy =
        str_or(str_or(written, restart),
               spec->start.run_strategy == RUN_INHERIT
                   ? "Always"
                   : str_or(run_strategy_names[b->r->effective->run_strategy], "Always"));
    /* Manual starts nothing by itself, so it can stay as it is where nothing is to be started. */
    bool manual = str_eq(strategy, "Manual");
    bool start = b->r->effective->auto_start;
    b->ret->needs_start = manual && start;
    tree_set_string(b->spec, "runStrategy", manual || start ? strategy : "Halted");
    return 0;
}
