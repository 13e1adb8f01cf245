#include "wukong/api/spec.h"

#include <assert.h>
#include <string.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"

const char *const source_type_names[] = {NULL, "vm", "vmi"};
static_assert(ARRAY_LEN(source_type_names) == SOURCE_TYPES, "one name each");
const char *const clone_type_names[] = {NULL, "full", "linked", "running"};
static_assert(ARRAY_LEN(clone_type_names) == CLONE_TYPES, "one name each");
const char *const consistency_names[CONSISTENCIES] = {
    [CONSISTENCY_FILESYSTEM] = "FilesystemConsistent",
    [CONSISTENCY_CRASH] = "CrashConsistent",
    [CONSISTENCY_CRASH_PER_DISK] = "CrashConsistentPerDisk",
    [CONSISTENCY_OFFLINE] = "Offline",
};
const char *const quiesce_names[] = {NULL, "Required", "IfAvailable", "Never"};
static_assert(ARRAY_LEN(quiesce_names) == QUIESCES, "one name each");
const char *const snapshot_method_names[] = {NULL, "Auto", "VirtualMachineSnapshot",
                                             "VolumeSnapshot", "VolumeGroupSnapshot"};
static_assert(ARRAY_LEN(snapshot_method_names) == METHODS, "one name each");
const char *const run_strategy_names[] = {NULL,     "Always", "RerunOnFailure",
                                          "Manual", "Once",   "Inherit"};
static_assert(ARRAY_LEN(run_strategy_names) == RUN_STRATEGIES, "one name each");
const char *const reclaim_policy_names[] = {NULL, "Delete", "Retain"};
static_assert(ARRAY_LEN(reclaim_policy_names) == RECLAIM_POLICIES, "one name each");
const char *const links_names[] = {NULL, "Keep", "Down"};
static_assert(ARRAY_LEN(links_names) == LINKS_COUNT, "one name each");
const char *const reference_kind_names[] = {NULL, "Secret", "ConfigMap",
                                            "NetworkAttachmentDefinition"};
static_assert(ARRAY_LEN(reference_kind_names) == REFERENCE_KINDS, "one name each");
const char *const cpu_shape_names[] = {NULL, "Auto", "Sockets", "Cores"};
static_assert(ARRAY_LEN(cpu_shape_names) == CPU_SHAPES, "one name each");
const char *const cloud_init_names[] = {NULL, "Rerun", "Drop", "Replace"};
static_assert(ARRAY_LEN(cloud_init_names) == CLOUD_INITS, "one name each");
const char *const expiry_names[] = {NULL, "Delete", "Stop"};
static_assert(ARRAY_LEN(expiry_names) == EXPIRIES, "one name each");
const char *const network_type_names[] = {NULL, "bridge", "macvlan", "sriov", "ovs"};
static_assert(ARRAY_LEN(network_type_names) == NETWORK_TYPES, "one name each");
const char *const ip_mode_names[] = {NULL, "static", "dhcp"};
static_assert(ARRAY_LEN(ip_mode_names) == IP_MODES, "one name each");
const char *const restart_policy_names[] = {NULL, "Always", "OnFailure", "Never"};
static_assert(ARRAY_LEN(restart_policy_names) == RESTART_POLICIES, "one name each");

const char *wukong_pairs_get(const struct wukong_pairs *p, const char *key)
{
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(p->items[i].key, key))
            return p->items[i].value;
    return NULL;
}

bool wukong_allows_secret(const struct wukong_source *s, const char *name)
{
    for (size_t i = 0; i < s->allow_secret_count; i++)
        if (str_eq(s->allow_secrets[i], name))
            return true;
    return false;
}

bool wukong_keeps_annotation(const struct wukong_target *t, const char *key)
{
    for (size_t i = 0; i < t->keep_count; i++) {
        const char *k = t->keep[i];
        if (str_ends(k, "/") ? str_starts(key, k) : str_eq(key, k))
            return true;
    }
    return false;
}

const char *wukong_renamed(const struct wukong_target *t, enum reference_kind kind,
                           const char *name)
{
    for (size_t i = 0; i < t->reference_count; i++)
        if (t->references[i].kind == kind && str_eq(t->references[i].from, name))
            return t->references[i].to;
    return NULL;
}

/* --- Leaves: NULL, unset or false for anything of the wrong type --- */

static const char *decode_text(struct arena *a, const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    return cJSON_IsString(v) ? arena_strdup(a, v->valuestring) : NULL;
}

/* int-or-string fields: a number's text counts too. */
static const char *int_or_text(struct arena *a, const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    if (cJSON_IsString(v))
        return arena_strdup(a, v->valuestring);
    if (!json_is_number(v))
        return NULL;
    CLEANUP_FREE char *printed = json_print(v);
    return arena_strdup(a, printed);
}

/* Any value as compact JSON. */
static const char *json_of(struct arena *a, const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    if (!v || cJSON_IsNull(v))
        return NULL;
    CLEANUP_FREE char *printed = json_print(v);
    return arena_strdup(a, printed);
}

static enum tristate tristate(const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    if (!cJSON_IsBool(v))
        return TRI_UNSET;
    return cJSON_IsTrue(v) ? TRI_TRUE : TRI_FALSE;
}

static int decode_choice(const cJSON *o, const char *name, const char *const *names, int count)
{
    const char *v = json_str(o, name);
    for (int i = 1; v && i < count; i++)
        if (str_eq(v, names[i]))
            return i;
    return 0;
}

static bool decode_number(const cJSON *o, const char *name, int64_t *ret)
{
    *ret = 0;
    return json_node_int(json_get(o, name), ret);
}

static void decode_strings(struct arena *a, const cJSON *array, const char ***ret,
                           size_t *ret_count)
{
    const cJSON *v;
    size_t n = cJSON_IsArray(array) ? (size_t)cJSON_GetArraySize(array) : 0;
    const char **items = arena_alloc(a, (n + 1) * sizeof(*items));
    *ret = items;
    *ret_count = 0;
    if (!items || !n)
        return;
    cJSON_ArrayForEach (v, array)
        if (cJSON_IsString(v))
            items[(*ret_count)++] = arena_strdup(a, v->valuestring);
}

void wukong_pairs_read(struct arena *a, const cJSON *object, struct wukong_pairs *ret)
{
    const cJSON *v;
    size_t n = cJSON_IsObject(object) ? (size_t)cJSON_GetArraySize(object) : 0;
    *ret = (struct wukong_pairs){.items = arena_alloc(a, (n + 1) * sizeof(*ret->items))};
    if (!ret->items || !n)
        return;
    cJSON_ArrayForEach (v, object)
        if (cJSON_IsString(v))
            ret->items[ret->count++] =
                (struct wukong_pair){arena_strdup(a, v->string), arena_strdup(a, v->valuestring)};
}

/* --- Parts of the spec --- */

static void decode_source(struct arena *a, const cJSON *o, struct wukong_source *s)
{
    *s = (struct wukong_source){.present = cJSON_IsObject(o)};
    if (!s->present)
        return;
    s->type = (enum source_type)decode_choice(o, "type", source_type_names, SOURCE_TYPES);
    s->vm_name = decode_text(a, o, "vmName");
    s->vmi_name = decode_text(a, o, "vmiName");
    s->ns = decode_text(a, o, "namespace");
    s->clone_type = (enum clone_type)decode_choice(o, "cloneType", clone_type_names, CLONE_TYPES);
    s->quiesce = (enum quiesce)decode_choice(o, "quiesce", quiesce_names, QUIESCES);
    s->method =
        (enum snapshot_method)decode_choice(o, "snapshotMethod", snapshot_method_names, METHODS);
    s->snapshot_class = decode_text(a, o, "volumeSnapshotClassName");
    s->group_class = decode_text(a, o, "volumeGroupSnapshotClassName");
    s->stop_source_after = tristate(o, "stopSourceAfter");
    s->allow_unsnapshottable = tristate(o, "allowUnsnapshottable");
    s->has_deadline = decode_number(o, "deadlineSeconds", &s->deadline_s);
    s->has_retry_limit = decode_number(o, "retryLimit", &s->retry_limit);
    s->not_before = decode_text(a, o, "notBefore");
    decode_strings(a, json_get(o, "gates"), &s->gates, &s->gate_count);
    decode_strings(a, json_get(o, "allowSecrets"), &s->allow_secrets, &s->allow_secret_count);
    const cJSON *w = json_get(o, "window");
    s->window.present = cJSON_IsObject(w);
    s->window.schedule = decode_text(a, w, "schedule");
    s->window.duration = decode_text(a, w, "duration");
    s->window.time_zone = decode_text(a, w, "timeZone");
}

static void decode_disks(struct arena *a, const cJSON *array, struct wukong_spec *s)
{
    const cJSON *o;
    size_t n = cJSON_IsArray(array) ? (size_t)cJSON_GetArraySize(array) : 0;
    s->disks = arena_alloc(a, (n + 1) * sizeof(*s->disks));
    if (!s->disks || !n)
        return;
    cJSON_ArrayForEach (o, array) {
        struct wukong_disk *d = &s->disks[s->disk_count++];
        *d = (struct wukong_disk){
            .name = decode_text(a, o, "name"),
            .size = int_or_text(a, o, "size"),
            .storage_class = decode_text(a, o, "storageClassName"),
            .source_disk = decode_text(a, o, "sourceDisk"),
            .image = decode_text(a, o, "image"),
            .boot = tristate(o, "boot"),
        };
        d->size_bytes = quantity_bytes(d->size);
    }
}

static void decode_networks(struct arena *a, const cJSON *array, struct wukong_spec *s)
{
    const cJSON *o;
    size_t n = cJSON_IsArray(array) ? (size_t)cJSON_GetArraySize(array) : 0;
    s->networks = arena_alloc(a, (n + 1) * sizeof(*s->networks));
    if (!s->networks || !n)
        return;
    cJSON_ArrayForEach (o, array) {
        struct wukong_network *w = &s->networks[s->network_count++];
        *w = (struct wukong_network){
            .name = decode_text(a, o, "name"),
            .nad_name = decode_text(a, o, "nadName"),
            .bridge_name = decode_text(a, o, "bridgeName"),
            .physical_interface = decode_text(a, o, "physicalInterface"),
            .type = (enum network_type)decode_choice(o, "type", network_type_names, NETWORK_TYPES),
            .primary = tristate(o, "primary"),
        };
        (void)decode_number(o, "vlanId", &w->vlan_id);
        const cJSON *ip = json_get(o, "ipConfig");
        w->ip.mode = (enum ip_mode)decode_choice(ip, "mode", ip_mode_names, IP_MODES);
        w->ip.address = decode_text(a, ip, "address");
        w->ip.gateway = decode_text(a, ip, "gateway");
        decode_strings(a, json_get(ip, "dnsServers"), &w->ip.dns_servers, &w->ip.dns_count);
    }
}

static void decode_map(struct arena *a, const cJSON *array, struct wukong_target *t)
{
    const cJSON *o;
    size_t n = cJSON_IsArray(array) ? (size_t)cJSON_GetArraySize(array) : 0;
    t->map = arena_alloc(a, (n + 1) * sizeof(*t->map));
    if (!t->map || !n)
        return;
    cJSON_ArrayForEach (o, array)
        t->map[t->map_count++] =
            (struct wukong_network_map){decode_text(a, o, "from"), decode_text(a, o, "to")};
}

static void decode_references(struct arena *a, const cJSON *array, struct wukong_target *t)
{
    const cJSON *o;
    size_t n = cJSON_IsArray(array) ? (size_t)cJSON_GetArraySize(array) : 0;
    t->references = arena_alloc(a, (n + 1) * sizeof(*t->references));
    if (!t->references || !n)
        return;
    cJSON_ArrayForEach (o, array)
        t->references[t->reference_count++] = (struct wukong_reference){
            (enum reference_kind)decode_choice(o, "kind", reference_kind_names, REFERENCE_KINDS),
            decode_text(a, o, "from"), decode_text(a, o, "to")};
}

static void decode_target(struct arena *a, const cJSON *o, struct wukong_target *t)
{
    t->present = cJSON_IsObject(o);
    wukong_pairs_read(a, json_get(o, "labels"), &t->labels);
    wukong_pairs_read(a, json_get(o, "annotations"), &t->annotations);
    decode_strings(a, json_get(o, "keepAnnotations"), &t->keep, &t->keep_count);
    const cJSON *network = json_get(o, "network");
    t->links = (enum links)decode_choice(network, "links", links_names, LINKS_COUNT);
    decode_map(a, json_get(network, "map"), t);
    t->cpu_shape = (enum cpu_shape)decode_choice(o, "cpuShape", cpu_shape_names, CPU_SHAPES);
    t->overrides = json_of(a, o, "overrides");
    decode_references(a, json_get(o, "references"), t);
}

static void decode_guest(struct arena *a, const cJSON *o, struct wukong_guest *g)
{
    g->present = cJSON_IsObject(o);
    g->hostname = decode_text(a, o, "hostname");
    g->cloud_init = (enum cloud_init)decode_choice(o, "cloudInit", cloud_init_names, CLOUD_INITS);
    g->user_data = decode_text(a, o, "userData");
    g->network_data = decode_text(a, o, "networkData");
    g->user_data_secret = decode_text(a, o, "userDataSecret");
    g->network_data_secret = decode_text(a, o, "networkDataSecret");
    g->reset_machine_id = tristate(o, "resetMachineId");
    g->reset_ssh_host_keys = tristate(o, "resetSSHHostKeys");
}

int wukong_decode_spec(struct arena *a, const cJSON *o, struct wukong_spec *ret, struct err *err)
{
    struct wukong_spec s = {0};
    if (!cJSON_IsObject(o))
        return err_set(err, ERR_INVALID, "spec is no object");
    s.has_cpu = decode_number(o, "cpu", &s.cpu);
    s.has_replicas = decode_number(o, "replicas", &s.replicas);
    s.memory = int_or_text(a, o, "memory");
    s.memory_bytes = quantity_bytes(s.memory);
    decode_source(a, json_get(o, "cloneSource"), &s.source);
    decode_disks(a, json_get(o, "disks"), &s);
    decode_networks(a, json_get(o, "networks"), &s);
    const cJSON *start = json_get(o, "startStrategy"), *ha = json_get(o, "highAvailability");
    s.start.auto_start = tristate(start, "autoStart");
    s.start.run_strategy =
        (enum run_strategy)decode_choice(start, "runStrategy", run_strategy_names, RUN_STRATEGIES);
    s.reclaim = (enum reclaim_policy)decode_choice(o, "reclaimPolicy", reclaim_policy_names,
                                                   RECLAIM_POLICIES);
    s.ha.present = cJSON_IsObject(ha);
    s.ha.restart_policy = (enum restart_policy)decode_choice(
        ha, "restartPolicy", restart_policy_names, RESTART_POLICIES);
    s.ha.anti_affinity = tristate(ha, "antiAffinity");
    wukong_pairs_read(a, json_get(ha, "nodeSelector"), &s.ha.node_selector);
    s.ha.tolerations = json_of(a, ha, "tolerations");
    s.ssh_key_secret = decode_text(a, o, "sshKeySecret");
    s.os_image = decode_text(a, o, "osImage");
    s.cloud_init_user = json_of(a, o, "cloudInitUser");
    decode_target(a, json_get(o, "target"), &s.target);
    decode_guest(a, json_get(o, "guest"), &s.guest);
    const cJSON *expires = json_get(o, "expires");
    s.expires.present = cJSON_IsObject(expires);
    s.expires.after = decode_text(a, expires, "after");
    s.expires.at = decode_text(a, expires, "at");
    s.expires.action = (enum expiry)decode_choice(expires, "action", expiry_names, EXPIRIES);
    if (a->failed)
        return err_set(err, ERR_LIMIT, "the spec needs more than %zu bytes", a->max);
    *ret = s;
    return 0;
}

static int64_t time_of(const cJSON *o, const char *path)
{
    int64_t ms = 0;
    const char *v = json_str(o, path);
    return v && str_to_time_ms(v, &ms) ? ms : 0;
}

int wukong_decode(struct arena *a, const cJSON *tree, struct wukong *ret, struct err *err)
{
    struct wukong w = {0};
    const cJSON *meta = json_get(tree, "metadata"), *item;
    w.name = decode_text(a, meta, "name");
    w.generate_name = decode_text(a, meta, "generateName");
    w.ns = decode_text(a, meta, "namespace");
    w.uid = decode_text(a, meta, "uid");
    w.resource_version = decode_text(a, meta, "resourceVersion");
    (void)decode_number(meta, "generation", &w.generation);
    w.created_ms = time_of(meta, "creationTimestamp");
    w.deleted_ms = time_of(meta, "deletionTimestamp");
    wukong_pairs_read(a, json_get(meta, "labels"), &w.labels);
    wukong_pairs_read(a, json_get(meta, "annotations"), &w.annotations);
    cJSON_ArrayForEach (item, json_get(meta, "finalizers")) {
        if (cJSON_IsString(item) && str_eq(item->valuestring, WUKONG_FINALIZER))
            w.has_finalizer = true;
    }
    if (wukong_decode_spec(a, json_get(tree, "spec"), &w.spec, err) < 0)
        return -1;
    *ret = w;
    return 0;
}
