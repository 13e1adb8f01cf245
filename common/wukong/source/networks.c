#include "wukong/source/networks.h"

#include <string.h>

#include "base/str.h"
#include "json/json.h"

/* KubeVirt's name of the network that it adds (staging/src/kubevirt.io/api/core/v1/types.go
   DefaultPodNetwork). */
#define DEFAULT_NETWORK "default"

static bool is_empty_list(const cJSON *list)
{
    return !cJSON_IsArray(list) || !list->child;
}

bool networks_by_default(const cJSON *instance)
{
    const cJSON *devices = json_at(instance, "domain.devices");
    return is_empty_list(json_get(devices, "interfaces")) &&
           is_empty_list(json_get(instance, "networks")) &&
           json_bool(devices, "autoattachPodInterface", true);
}

static bool is_sriov(const cJSON *instance, const char *name)
{
    const cJSON *i;
    cJSON_ArrayForEach (i, json_at(instance, "domain.devices.interfaces"))
        if (str_eq(json_str(i, "name"), name) && cJSON_IsObject(json_get(i, "sriov")))
            return true;
    return false;
}

size_t networks_read(const cJSON *instance, struct network_facts *ret, size_t max)
{
    const cJSON *n, *list = json_get(instance, "networks");
    size_t count = 0;
    if (networks_by_default(instance) && max)
        ret[count++] = (struct network_facts){.name = DEFAULT_NETWORK, .pod = true};
    if (!cJSON_IsArray(list))
        return count;
    cJSON_ArrayForEach (n, list) {
        if (count == max)
            break;
        const char *name = str_or(json_str(n, "name"), "");
        ret[count++] = (struct network_facts){.name = name,
                                              .nad = json_str(n, "multus.networkName"),
                                              .pod = cJSON_IsObject(json_get(n, "pod")),
                                              .sriov = is_sriov(instance, name)};
    }
    return count;
}

/* "nad" is the source's namespace's, "ns/nad" says it. */
static bool is_same_nad(const char *a, const char *b, const char *ns)
{
    const char *slash_a = strchr(a, '/'), *slash_b = strchr(b, '/');
    if (str_eq(a, b))
        return true;
    if (!slash_a == !slash_b || !ns)
        return false;
    const char *whole = slash_a ? a : b, *bare = slash_a ? b : a;
    size_t n = strlen(ns);
    return strncmp(whole, ns, n) == 0 && whole[n] == '/' && str_eq(whole + n + 1, bare);
}

bool network_is(const struct network_facts *n, const char *from, const char *source_ns)
{
    return str_eq(n->name, from) || (n->pod && str_eq(from, NETWORK_POD)) ||
           (n->nad && is_same_nad(n->nad, from, source_ns));
}

bool network_is_referenced(const struct network_facts *n, const struct wukong_reference *r,
                           const char *source_ns)
{
    return r->kind == REFERENCE_NETWORK && n->nad && r->from &&
           is_same_nad(n->nad, r->from, source_ns);
}

const char *network_mapped(const struct wukong_target *t, const struct network_facts *n,
                           const char *source_ns)
{
    for (size_t i = 0; i < t->map_count; i++)
        if (str_eq(t->map[i].from, n->name))
            return t->map[i].to;
    for (size_t i = 0; i < t->map_count; i++)
        if (t->map[i].from && network_is(n, t->map[i].from, source_ns))
            return t->map[i].to;
    return NULL;
}
