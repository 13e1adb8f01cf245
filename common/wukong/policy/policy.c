/* Reads a ClonePolicy. policy/policy_match.c tells whom it is about, policy/policy_judge.c judges.
 */
#include "wukong/policy/policy.h"

#include <assert.h>
#include <string.h>

#include "apimachinery/duration.h"
#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/rules/schema.h"
#include "wukong/rules/validate.h"

static const char *read_text(struct arena *a, const cJSON *o, const char *path)
{
    return arena_strdup(a, json_str(o, path));
}

static int choice_of(const char *v, const char *const *names, int count)
{
    for (int i = 1; v && i < count; i++)
        if (str_eq(v, names[i]))
            return i;
    return 0;
}

static int64_t read_number(const cJSON *o, const char *path)
{
    long long n = 0;
    return schema_integer(json_at(o, path), &n) ? n : 0;
}

static int64_t bytes(const cJSON *o, const char *path)
{
    CLEANUP_FREE char *v = json_text(json_at(o, path));
    return quantity_bytes(v);
}

static size_t list_size(const cJSON *list)
{
    return cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
}

static void read_strings(struct arena *a, const cJSON *list, const char ***ret, size_t *ret_count)
{
    const cJSON *v;
    *ret = arena_alloc(a, (list_size(list) + 1) * sizeof(**ret));
    if (!*ret || !cJSON_IsArray(list))
        return;
    cJSON_ArrayForEach (v, list) {
        if (cJSON_IsString(v))
            (*ret)[(*ret_count)++] = arena_strdup(a, v->valuestring);
    }
}

/* Sets broken once: the first reason is told. */
static void broken(struct arena *a, struct policy *p, const char *where, const char *why)
{
    if (!p->broken)
        p->broken = arena_printf(a, "%s: %s", where, why);
    if (!p->broken)
        p->broken = "it is too large";
}

static bool read_selector(struct arena *a, const cJSON *match, const char *path,
                          struct selector *ret, struct policy *p)
{
    struct err err;
    const cJSON *o = json_at(match, path);
    if (!o || cJSON_IsNull(o))
        return false;
    if (selector_decode(a, o, ret, &err) == 0)
        return true;
    broken(a, p, path, err.message);
    return false;
}

static void read_match(struct arena *a, const cJSON *o, struct policy_match *m, struct policy *p)
{
    const cJSON *list = json_get(o, "subjects"), *v;
    m->present = cJSON_IsObject(o);
    m->by_source_ns = read_selector(a, o, "source.namespaceSelector", &m->source_ns, p);
    m->by_source = read_selector(a, o, "source.virtualMachineSelector", &m->source, p);
    m->by_target_ns = read_selector(a, o, "target.namespaceSelector", &m->target_ns, p);
    m->subjects = arena_alloc(a, (list_size(list) + 1) * sizeof(*m->subjects));
    if (!m->subjects || !cJSON_IsArray(list))
        return;
    cJSON_ArrayForEach (v, list)
        m->subjects[m->subject_count++] = (struct policy_subject){
            .kind = (enum policy_subject_kind)choice_of(json_str(v, "kind"), policy_subject_names,
                                                        SUBJECTS),
            .name = str_or(read_text(a, v, "name"), ""),
            .ns = str_or(read_text(a, v, "namespace"), ""),
        };
}

static void read_rules(struct arena *a, const cJSON *o, struct policy *p)
{
    const cJSON *types = json_get(o, "cloneTypes"), *v;
    p->rules.clone_types_given = list_size(types) > 0;
    cJSON_ArrayForEach (v, types) {
        if (cJSON_IsString(v))
            p->rules.clone_types[choice_of(v->valuestring, clone_type_names, CLONE_TYPES)] = true;
    }
    p->rules.placement = (enum policy_placement)choice_of(json_str(o, "placement"),
                                                          policy_placement_names, PLACEMENTS);
    p->rules.require_source = (enum policy_require)choice_of(json_str(o, "requireSource"),
                                                             policy_require_names, REQUIRES);
    p->rules.quiesce =
        (enum quiesce)choice_of(json_str(o, "quiesce"), policy_quiesce_names, POLICY_QUIESCES);
    p->rules.consistency = (enum consistency)choice_of(
        json_str(o, "minimumConsistency"), policy_consistency_names, POLICY_CONSISTENCIES);
    p->rules.cut = (enum policy_cut)choice_of(json_str(o, "cutRule"), policy_least_cut_names,
                                              POLICY_LEAST_CUTS);
    p->rules.unknown_cut = (enum policy_cut)choice_of(json_str(o, "unknownDriverCutRule"),
                                                      policy_cut_names, POLICY_CUTS);
    read_strings(a, json_get(o, "storageClasses"), &p->rules.storage_classes,
                 &p->rules.storage_class_count);
    read_strings(a, json_get(o, "volumeSnapshotClasses"), &p->rules.snapshot_classes,
                 &p->rules.snapshot_class_count);
    p->rules.max_disk_bytes = bytes(o, "maxDiskSize");
    int64_t ns = 0;
    p->rules.max_lifetime = read_text(a, o, "maxLifetime");
    if (p->rules.max_lifetime && duration_parse(p->rules.max_lifetime, &ns))
        p->rules.max_lifetime_ms = ns / 1000000;
    p->rules.isolation = (enum policy_isolation)choice_of(json_str(o, "isolation"),
                                                          policy_isolation_names, ISOLATIONS);
    p->rules.max_replicas = read_number(o, "maxReplicas");
    read_strings(a, json_get(o, "requiredLabels"), &p->rules.labels, &p->rules.label_count);
    p->rules.overrides = (enum policy_overrides)choice_of(json_str(o, "overrides"),
                                                          policy_overrides_names, POLICY_OVERRIDES);
    read_strings(a, json_get(o, "overridePaths"), &p->rules.override_paths,
                 &p->rules.override_path_count);
}

static void read_limits(const cJSON *o, struct policy *p)
{
    p->limits.per_cluster = read_number(o, "concurrentPerCluster");
    p->limits.per_source = read_number(o, "concurrentPerSource");
    p->limits.per_target_ns = read_number(o, "concurrentPerTargetNamespace");
    p->limits.per_storage_class = read_number(o, "concurrentPerStorageClass");
    p->limits.retained_snapshots = read_number(o, "retainedSnapshotsPerSource");
    p->limits.storage_bytes = bytes(o, "storagePerTargetNamespace");
}

static void read_windows(struct arena *a, const cJSON *list, struct policy *p)
{
    const cJSON *v;
    int64_t ns;
    struct err err;
    p->windows = arena_alloc(a, (list_size(list) + 1) * sizeof(*p->windows));
    if (!p->windows || !cJSON_IsArray(list))
        return;
    cJSON_ArrayForEach (v, list) {
        struct policy_window w = {.schedule = read_text(a, v, "schedule"),
                                  .duration = read_text(a, v, "duration"),
                                  .time_zone = read_text(a, v, "timeZone")};
        if (!w.schedule || !w.duration)
            broken(a, p, "windows", "schedule or duration is missing");
        else if (cron_parse(w.schedule, &w.cron, &err) < 0)
            broken(a, p, "windows", err.message);
        else if (!duration_parse(w.duration, &ns))
            broken(a, p, "windows", "duration is no duration");
        else
            w.duration_ms = ns / 1000000;
        p->windows[p->window_count++] = w;
    }
}

static void read_actions(const cJSON *list, struct policy *p)
{
    const cJSON *v;
    cJSON_ArrayForEach (v, list) {
        int action =
            cJSON_IsString(v) ? choice_of(v->valuestring, policy_action_names, ACTIONS) : 0;
        p->deny = p->deny || action == ACTION_DENY;
        p->warn = p->warn || action == ACTION_WARN;
        p->audit = p->audit || action == ACTION_AUDIT;
    }
    /* The schema's default; also what is left when the list cannot be read. */
    if (!p->deny && !p->warn && !p->audit)
        p->deny = true;
}

void policy_decode(struct arena *a, const cJSON *tree, struct policy *ret)
{
    struct policy p = {.name = str_or(read_text(a, tree, "metadata.name"), "(unnamed)"),
                       .uid = read_text(a, tree, "metadata.uid"),
                       .generation = read_number(tree, "metadata.generation")};
    const cJSON *spec = json_get(tree, "spec");
    CLEANUP_FINDINGS struct findings l;
    findings_init(&l);
    validate_policy(tree, &l);
    for (size_t i = 0; i < l.count && !p.broken; i++)
        if (l.items[i].severity == FINDING_ERROR)
            broken(a, &p, l.items[i].field, l.items[i].message);
    read_match(a, json_get(spec, "match"), &p.match, &p);
    read_match(a, json_get(spec, "exclude"), &p.exclude, &p);
    read_rules(a, json_get(spec, "rules"), &p);
    read_limits(json_get(spec, "limits"), &p);
    read_windows(a, json_get(spec, "windows"), &p);
    read_actions(json_get(spec, "validationActions"), &p);
    p.outside = (enum policy_outside)choice_of(json_str(spec, "outsideWindow"),
                                               policy_outside_names, OUTSIDES);
    p.message = read_text(a, spec, "message");
    if (a->failed)
        p = (struct policy){.name = "(too large)", .broken = "it is too large", .deny = true};
    *ret = p;
}

bool policy_limits_lifetime(const struct policy *policies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (policies[i].rules.max_lifetime_ms)
            return true;
    return false;
}
