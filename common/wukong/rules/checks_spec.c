/*
 * Fields against each other: the CRD's CEL rules, said again for the webhook, the worker and lint.
 * Each condition is the negation of the rule of the same id in charts/wukong/files/crds.
 */
#include "wukong/rules/checks.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "json/json.h"
#include "wukong/api/child_names.h"
#include "wukong/api/selector.h"
#include "wukong/rules/schema.h"

/* has(o.name): null is pruned before CEL sees it. */
static bool has_value(const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    return v && !cJSON_IsNull(v);
}

static bool is(const cJSON *o, const char *name, const char *value)
{
    return str_eq(json_str(o, name), value);
}

static bool is_true(const cJSON *o, const char *name)
{
    return cJSON_IsTrue(json_get(o, name));
}

static bool clones(const struct check *c)
{
    return has_value(json_get(c->root, "spec"), "cloneSource");
}

static char *show_value(const cJSON *v)
{
    return v ? json_print_start(v, FINDING_VALUE_MAX) : NULL;
}

static long long replicas(const cJSON *root)
{
    long long n = 1;
    return schema_integer(json_at(root, "spec.replicas"), &n) ? n : 1;
}

/* --- Names of children --- */

/* The name, or the longest that generateName can become (names.SimpleNameGenerator: at most 58
   characters and five random ones). */
static size_t name_length(const cJSON *root)
{
    const char *name = json_str(root, "metadata.name");
    const char *generate = json_str(root, "metadata.generateName");
    if (!str_empty(name))
        return strlen(name);
    if (str_empty(generate))
        return 0;
    size_t n = strlen(generate);
    return (n > 58 ? 58 : n) + 5;
}

void check_name_required(struct check *c, const cJSON *v)
{
    if (!name_length(v))
        check_fail(c, NULL, NULL);
}

void check_name_vm(struct check *c, const cJSON *v)
{
    long long n = replicas(v);
    size_t name = name_length(v), suffix = n > 10 ? 6 : n > 1 ? 5 : 3;
    if (!clones(c) || name + suffix <= LIMIT_DNS_LABEL)
        return;
    CLEANUP_FREE char *text = show_value(json_at(v, "metadata.name"));
    check_fail(c, text, "it has %zu, of which the VM's name adds %zu", name + suffix, suffix);
}

void check_name_disks(struct check *c, const cJSON *v)
{
    long long n = replicas(v);
    size_t name = name_length(v), suffix = n > 10 ? 7 : n > 1 ? 6 : 1, i = 0;
    const cJSON *disk;
    if (!clones(c))
        return;
    cJSON_ArrayForEach (disk, json_at(v, "spec.disks")) {
        if (i == LIMIT_DISKS)
            break; /* disks-count's to report */
        const cJSON *disk_name = json_get(disk, "name");
        if (cJSON_IsString(disk_name) &&
            name + suffix + strlen(disk_name->valuestring) > LIMIT_DNS_LABEL) {
            char place[40];
            snprintf(place, sizeof(place), "spec.disks[%zu].name", i);
            CLEANUP_FREE char *text = show_value(disk_name);
            check_fail_at(c, place, text, "it would have %zu",
                          name + suffix + strlen(disk_name->valuestring));
        }
        i++;
    }
}

/* --- With and without a cloneSource --- */

void check_required_without_clone(struct check *c, const cJSON *v)
{
    if (!clones(c) && !has_value(v, c->rule->field + 1))
        check_fail(c, NULL, NULL);
}

/* For each item of the list, whether the member is there. */
static void each_item(struct check *c, const cJSON *list, bool wanted, const char *member)
{
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach (item, list) {
        if (cJSON_IsObject(item) && has_value(item, member) != wanted) {
            char place[64];
            snprintf(place, sizeof(place), "[%zu].%s", i, member);
            check_fail_at(c, place, NULL, NULL);
        }
        i++;
    }
}

void check_disks_required_without_clone(struct check *c, const cJSON *v)
{
    if (!clones(c))
        each_item(c, v, true, c->rule->arg);
}

void check_disks_forbidden_without_clone(struct check *c, const cJSON *v)
{
    if (!clones(c))
        each_item(c, v, false, c->rule->arg);
}

void check_disks_forbidden_with_clone(struct check *c, const cJSON *v)
{
    if (clones(c))
        each_item(c, v, false, c->rule->arg);
}

void check_forbidden_with_clone(struct check *c, const cJSON *v)
{
    if (clones(c) && !(cJSON_IsArray(v) && !v->child))
        check_fail(c, NULL, NULL);
}

void check_forbidden_without_clone(struct check *c, const cJSON *v)
{
    (void)v;
    if (!clones(c))
        check_fail(c, NULL, NULL);
}

void check_replicas_without_clone(struct check *c, const cJSON *v)
{
    long long n;
    if (!clones(c) && schema_integer(v, &n) && n != 1)
        check_fail(c, NULL, NULL);
}

/* --- cloneSource --- */

/* The argument is the type that needs the rule's field, or with which it may not stand. */
void check_source_name_required(struct check *c, const cJSON *v)
{
    if (is(v, "type", c->rule->arg) && !has_value(v, c->rule->field + 1))
        check_fail(c, NULL, NULL);
}

void check_source_name_forbidden(struct check *c, const cJSON *v)
{
    if (is(v, "type", c->rule->arg) && has_value(v, c->rule->field + 1))
        check_fail(c, NULL, NULL);
}

void check_vmi_full(struct check *c, const cJSON *v)
{
    if (is(v, "type", "vmi") && is(v, "cloneType", "full"))
        check_fail(c, "\"full\"", NULL);
}

void check_stop_source_after(struct check *c, const cJSON *v)
{
    if (is_true(v, "stopSourceAfter") && !(is(v, "type", "vm") && is(v, "cloneType", "running")))
        check_fail(c, "true", NULL);
}

static bool vm_snapshot(const cJSON *source)
{
    return is(source, "snapshotMethod", "VirtualMachineSnapshot");
}

void check_vmsnapshot_clone_type(struct check *c, const cJSON *v)
{
    bool running = has_value(v, "cloneType") ? is(v, "cloneType", "running") : is(v, "type", "vmi");
    if (vm_snapshot(v) && !running)
        check_fail(c, "\"VirtualMachineSnapshot\"", NULL);
}

void check_vmsnapshot_quiesce(struct check *c, const cJSON *v)
{
    if (!vm_snapshot(v) || !has_value(v, "quiesce") || is(v, "quiesce", "IfAvailable"))
        return;
    CLEANUP_FREE char *text = show_value(json_get(v, "quiesce"));
    check_fail(c, text, NULL);
}

void check_vmsnapshot_class(struct check *c, const cJSON *v)
{
    if (vm_snapshot(v) && has_value(v, "volumeSnapshotClassName"))
        check_fail(c, NULL, NULL);
}

void check_vmsnapshot_selection(struct check *c, const cJSON *v)
{
    const cJSON *disks = json_get(v, "disks");
    if (vm_snapshot(json_get(v, "cloneSource")) && cJSON_IsArray(disks) && disks->child)
        check_fail(c, NULL, NULL);
}

static bool group_snapshot(const cJSON *source)
{
    return is(source, "snapshotMethod", "VolumeGroupSnapshot");
}

static bool is_full(const cJSON *source)
{
    return has_value(source, "cloneType") ? is(source, "cloneType", "full")
                                          : is(source, "type", "vm");
}

void check_group_clone_type(struct check *c, const cJSON *v)
{
    if (group_snapshot(v) && is_full(v))
        check_fail(c, "\"VolumeGroupSnapshot\"", NULL);
}

void check_group_method_class(struct check *c, const cJSON *v)
{
    bool may_group =
        group_snapshot(v) ||
        ((!has_value(v, "snapshotMethod") || is(v, "snapshotMethod", "Auto")) && !is_full(v));
    if (!may_group && has_value(v, "volumeGroupSnapshotClassName"))
        check_fail(c, NULL, NULL);
}

void check_method_group_class(struct check *c, const cJSON *v)
{
    if (group_snapshot(v) && has_value(v, "volumeSnapshotClassName"))
        check_fail(c, NULL, NULL);
}

void check_quiesce_full(struct check *c, const cJSON *v)
{
    if (is_full(v) && is(v, "quiesce", "Required"))
        check_fail(c, NULL, NULL);
}

/* --- The rest of the spec --- */

void check_start_strategy(struct check *c, const cJSON *v)
{
    const cJSON *run = json_get(v, "runStrategy");
    if (!clones(c) || !cJSON_IsFalse(json_get(v, "autoStart")) || !cJSON_IsString(run) ||
        str_eq(run->valuestring, "Manual") || str_eq(run->valuestring, "Inherit"))
        return;
    CLEANUP_FREE char *text = show_value(run);
    check_fail(c, text, "autoStart is false");
}

static const char *source_of(const cJSON *disk)
{
    const char *source = json_str(disk, "sourceDisk");
    return source ? source : json_str(disk, "name");
}

/* What is known of the disks before this one that have the same source. */
struct disk_source {
    const char *source, *name;
    size_t at;
};

static int compare_sources(const void *a, const void *b)
{
    const struct disk_source *x = a, *y = b;
    if (!x->source || !y->source)
        return (x->source != NULL) - (y->source != NULL);
    int order = strcmp(x->source, y->source);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* For each disk whether an earlier one of another name has its source. The same name twice is
   disk-name-unique's to report. Owned by the caller. */
static bool *sources_taken(const cJSON *disks)
{
    size_t n = (size_t)cJSON_GetArraySize(disks), i = 0;
    CLEANUP_FREE struct disk_source *list = xcalloc(n, sizeof(*list));
    bool *taken = xcalloc(n, sizeof(*taken)), mixed = false;
    const cJSON *disk;
    cJSON_ArrayForEach (disk, disks) {
        list[i] = (struct disk_source){source_of(disk), json_str(disk, "name"), i};
        i++;
    }
    qsort(list, n, sizeof(*list), compare_sources);
    for (i = 1; i < n; i++) {
        if (!list[i].source || !str_eq(list[i].source, list[i - 1].source)) {
            mixed = false;
            continue;
        }
        mixed = mixed || !str_eq(list[i].name, list[i - 1].name);
        taken[list[i].at] = mixed;
    }
    return taken;
}

void check_disk_sources_unique(struct check *c, const cJSON *v)
{
    CLEANUP_FREE bool *taken = sources_taken(v);
    const cJSON *disk;
    size_t i = 0;
    cJSON_ArrayForEach (disk, v) {
        if (!taken[i++])
            continue;
        char place[48];
        snprintf(place, sizeof(place), "[%zu].%s", i - 1,
                 has_value(disk, "sourceDisk") ? "sourceDisk" : "name");
        CLEANUP_FREE char *text = xasprintf("\"%.*s\"", FINDING_VALUE_MAX + 4, source_of(disk));
        check_fail_at(c, place, text, NULL);
    }
}

void check_disk_boot_one(struct check *c, const cJSON *v)
{
    const cJSON *disk;
    size_t i = 0, boots = 0;
    cJSON_ArrayForEach (disk, v) {
        if (is_true(disk, "boot") && boots++) {
            char place[48];
            snprintf(place, sizeof(place), "[%zu].boot", i);
            check_fail_at(c, place, "true", NULL);
        }
        i++;
    }
}

void check_static_address(struct check *c, const cJSON *v)
{
    if (is(v, "mode", "static") && !has_value(v, "address"))
        check_fail(c, NULL, NULL);
}

/* Nothing creates a NetworkAttachmentDefinition for a clone, so one must be named, and what it
   decides cannot be said here again. */
void check_networks_with_clone(struct check *c, const cJSON *v)
{
    static const char *const decided[] = {"vlanId", "bridgeName", "physicalInterface"};
    if (!clones(c))
        return;
    for (size_t i = 0; i < ARRAY_LEN(decided); i++) {
        char place[32];
        snprintf(place, sizeof(place), ".%s", decided[i]);
        if (has_value(v, decided[i]))
            check_fail_at(c, place, NULL, NULL);
    }
    if (!has_value(v, "nadName"))
        check_fail_at(c, ".nadName", NULL, "it is missing");
}

void check_network_static_with_clone(struct check *c, const cJSON *v)
{
    static const char *const settings[] = {"address", "gateway", "dnsServers"};
    if (!clones(c))
        return;
    if (is(v, "mode", "static")) {
        check_fail(c, "\"static\"", NULL);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        const cJSON *setting = json_get(v, settings[i]);
        char place[32];
        snprintf(place, sizeof(place), ".%s", settings[i]);
        if (has_value(v, settings[i]) && !(cJSON_IsArray(setting) && !setting->child))
            check_fail_at(c, place, NULL, NULL);
    }
}

void check_ha_restart_with_clone(struct check *c, const cJSON *v)
{
    if (clones(c) && has_value(v, "restartPolicy"))
        check_fail(c, NULL, NULL);
}

void check_password_plain(struct check *c, const cJSON *v)
{
    if (has_value(v, "password"))
        check_fail(c, NULL, NULL);
}

/* --- ClonePolicy --- */

void check_actions(struct check *c, const cJSON *v)
{
    const cJSON *item;
    bool deny = false, warn = false;
    cJSON_ArrayForEach (item, v) {
        deny = deny || (cJSON_IsString(item) && str_eq(item->valuestring, "Deny"));
        warn = warn || (cJSON_IsString(item) && str_eq(item->valuestring, "Warn"));
    }
    CLEANUP_FREE char *text = show_value(v);
    if (deny && warn)
        check_fail(c, text, NULL);
}

void check_subject_namespace(struct check *c, const cJSON *v)
{
    if (has_value(v, "kind") && is(v, "kind", "ServiceAccount") != has_value(v, "namespace"))
        check_fail(c, "", NULL);
}

void check_policy_selectors(struct check *c, const cJSON *v)
{
    static const char *const places[] = {
        ".match.source.namespaceSelector",        ".match.source.virtualMachineSelector",
        ".match.target.namespaceSelector",        ".exclude.source.namespaceSelector",
        ".exclude.source.virtualMachineSelector", ".exclude.target.namespaceSelector",
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        CLEANUP_ARENA struct arena a;
        struct selector ignored;
        struct err err;
        arena_init(&a, MIB);
        if (selector_decode(&a, json_at(v, places[i] + 1), &ignored, &err) < 0)
            check_fail_at(c, places[i], "…", "%s", err.message);
    }
}
