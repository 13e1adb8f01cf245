/* What spec.target asks of the template. */
#include "manifests/build.h"

#include "base/str.h"
#include "wukong/api/marks.h"
#include "wukong/source/networks.h"

struct differences_of build_differences_of(const struct manifest_build *b)
{
    const cJSON *carried = json_get(b->source, MANIFEST_ANNOTATIONS);
    return (struct differences_of){
        .annotations = carried ? carried : json_get(b->source, MANIFEST_MISSED),
        .instance = b->instance,
        .target = carried ? &b->w->spec.target : NULL,
        .guest = &b->w->spec.guest,
        .elsewhere = b->r->effective->cross_namespace,
    };
}

static void keep_annotations(struct manifest_build *b, cJSON *metadata)
{
    const struct differences_of of = build_differences_of(b);
    const cJSON *m;
    if (!of.target || !cJSON_IsObject(of.annotations))
        return;
    cJSON_ArrayForEach (m, of.annotations)
        if (annotation_fate(&of, m) == ANNOTATION_KEPT)
            tree_set_string(tree_object(metadata, "annotations"), m->string, m->valuestring);
}

int build_marks(struct manifest_build *b, struct err *err)
{
    cJSON *metadata = tree_object(b->template, "metadata");
    (void)err;
    keep_annotations(b, metadata);
    tree_target_marks(metadata, b->w);
    return 0;
}

/* --- Networks --- */

/* KubeVirt's default interface, written out so that it can be changed. Masquerade, as the Pod
   network takes no bridge where that is not permitted. */
static void write_default_network(struct manifest_build *b)
{
    cJSON *interface = tree_new(), *network = tree_new();
    tree_set_string(interface, "name", "default");
    tree_object(interface, "masquerade");
    tree_append(tree_array(b->devices, "interfaces"), interface);
    tree_set_string(network, "name", "default");
    tree_object(network, "pod");
    tree_append(tree_array(b->instance, "networks"), network);
}

/* Bindings that go with the Pod network alone, and those that do not go with it. */
static void fit_binding(cJSON *interface, bool pod)
{
    static const char *const of_pods[] = {"masquerade", "passt", "passtBinding", "slirp"};
    static const char *const of_others[] = {"bridge", "sriov", "macvtap", "binding"};
    const char *const *wrong = pod ? of_others : of_pods;
    bool changed = false;
    for (size_t i = 0; i < ARRAY_LEN(of_pods); i++) {
        changed |= json_get(interface, wrong[i]) != NULL;
        tree_remove(interface, wrong[i]);
    }
    if (changed)
        tree_object(interface, pod ? "masquerade" : "bridge");
}

static void move_network(struct manifest_build *b, cJSON *network, const char *to)
{
    CLEANUP_FREE char *name = xstrdup(str_or(json_str(network, "name"), ""));
    bool pod = str_eq(to, NETWORK_POD), primary = json_bool(network, "multus.default", false);
    while (network->child)
        cJSON_Delete(cJSON_DetachItemViaPointer(network, network->child));
    tree_set_string(network, "name", name);
    if (pod) {
        tree_object(network, "pod");
    } else {
        cJSON *multus = tree_object(network, "multus");
        tree_set_string(multus, "networkName", to);
        if (primary)
            tree_set_bool(multus, "default", true);
    }
    fit_binding(tree_named(json_get(b->devices, "interfaces"), name), pod);
}

static int check_map(const struct manifest_build *b, const struct network_facts *networks,
                     size_t count, struct err *err)
{
    const struct wukong_target *t = &b->w->spec.target;
    for (size_t m = 0; m < t->map_count; m++) {
        bool found = false;
        for (size_t i = 0; i < count && t->map[m].from; i++)
            found |= network_is(&networks[i], t->map[m].from, b->r->effective->source_ns);
        if (!found)
            return err_set(err, ERR_REFUSED,
                           "spec.target.network.map[%zu].from: the source has no network "
                           "\"%.100s\": name one of its networks, or remove the item",
                           m, str_or(t->map[m].from, ""));
    }
    return 0;
}

static int map_networks(struct manifest_build *b, struct err *err)
{
    struct network_facts networks[NETWORKS_MAX];
    cJSON *network;
    size_t n = networks_read(b->instance, networks, ARRAY_LEN(networks)), i = 0, pods = 0;
    if (check_map(b, networks, n, err) < 0)
        return -1;
    /* The array is in the list's order; what is moved is not looked at again. */
    const char *to[NETWORKS_MAX];
    for (i = 0; i < n; i++)
        to[i] = network_mapped(&b->w->spec.target, &networks[i], b->r->effective->source_ns);
    i = 0;
    TREE_EACH(network, json_get(b->instance, "networks"))
    {
        if (i < n && to[i] && cJSON_IsObject(network))
            move_network(b, network, to[i]);
        i++;
        pods += cJSON_IsObject(json_get(network, "pod")) ? 1 : 0;
    }
    if (pods > 1)
        return err_set(err, ERR_REFUSED,
                       "spec.target.network.map: %zu networks would be the Pod network, and a "
                       "machine has one: map the others to a NetworkAttachmentDefinition",
                       pods);
    return 0;
}

static int links_down(struct manifest_build *b, struct err *err)
{
    cJSON *interface;
    TREE_EACH(interface, json_get(b->devices, "interfaces"))
    {
        const char *name = str_or(json_str(interface, "name"), "?");
        if (!cJSON_IsObject(interface))
            return err_set(err, ERR_REFUSED,
                           "spec.target.network.links: an interface of the source is no object, "
                           "so that its link cannot be set down");
        if (json_get(interface, "sriov"))
            return err_set(err, ERR_REFUSED,
                           "spec.target.network.links: KubeVirt cannot set the link of SR-IOV "
                           "interface \"%.63s\" down: map its network to pod, or replace the "
                           "networks with spec.networks",
                           name);
        if (!str_eq(json_str(interface, "state"), "absent"))
            tree_set_string(interface, "state", "down");
    }
    return 0;
}

int build_target_networks(struct manifest_build *b, struct err *err)
{
    const struct wukong_target *t = &b->w->spec.target;
    if (!t->map_count && t->links != LINKS_DOWN)
        return 0;
    if (networks_by_default(b->instance))
        write_default_network(b);
    if (t->map_count && map_networks(b, err) < 0)
        return -1;
    return t->links == LINKS_DOWN ? links_down(b, err) : 0;
}

/* An API server whose KubeVirt does not know the field drops it and says 201. */
int manifest_links_match(const cJSON *reply, const struct wukong_target *t, struct err *err)
{
    const cJSON *interface;
    if (t->links != LINKS_DOWN)
        return 0;
    cJSON_ArrayForEach (interface, json_at(reply, "spec.template.spec.domain.devices.interfaces")) {
        const char *state = json_str(interface, "state");
        if (!str_eq(state, "down") && !str_eq(state, "absent"))
            return err_set(err, ERR_REFUSED,
                           "spec.target.network.links: the link of interface \"%.63s\" would not "
                           "be down: this KubeVirt does not know interfaces[].state (since 1.5), "
                           "or something in the cluster changes machines as they are created",
                           str_or(json_str(interface, "name"), "?"));
    }
    return 0;
}
