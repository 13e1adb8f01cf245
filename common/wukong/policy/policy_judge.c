#include "wukong/policy/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apimachinery/duration.h"
#include "apimachinery/quantity.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/overrides.h"

#define TEXT_MAX 1536

/* --- Findings --- */

struct zone_memo {
    const char *name; /* borrowed from the policies */
    struct zone *zone;
    int status;
};

struct judge {
    struct zone_memo *zones;
    struct arena *a;
    const struct policy *p;
    const struct policy_request *r;
    const struct policy_usage *usage;
    enum policy_when when;
    struct policy_findings *ret;
};

static void push_verdict(struct judge *j, const char *rule, enum policy_effect effect,
                         int64_t until_ms, const char *text)
{
    if (effect == POLICY_DENY)
        j->ret->denied = true;
    if (effect == POLICY_WAIT) {
        bool first = !j->ret->waiting;
        j->ret->waiting = true;
        if (first || (until_ms && j->ret->until_ms && until_ms > j->ret->until_ms) || !until_ms)
            j->ret->until_ms = until_ms;
    }
    if (effect == POLICY_WAIT && str_eq(rule, POLICY_RULE_WINDOWS)) {
        j->ret->awaits_window = true;
        if (until_ms > j->ret->window_until_ms)
            j->ret->window_until_ms = until_ms;
    }
    bool mild = effect == POLICY_AUDIT || effect == POLICY_WARN;
    if (j->ret->count == POLICY_FINDINGS_MAX || (mild && j->ret->mild == POLICY_MILD_MAX)) {
        j->ret->dropped++;
        return;
    }
    j->ret->mild += mild;
    j->ret->items[j->ret->count++] =
        (struct policy_finding){j->p, rule, effect, str_or(arena_strdup(j->a, text), ""), until_ms};
}

static void compose(const struct judge *j, char out[TEXT_MAX], const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void compose(const struct judge *j, char out[TEXT_MAX], const char *format, va_list args)
{
    int n = snprintf(out, TEXT_MAX, "ClonePolicy \"%.253s\": ", j->p->name);
    size_t len = (size_t)n;
    n = vsnprintf(out + len, TEXT_MAX - len, format, args);
    len += (size_t)n;
    if (j->p->message && len < TEXT_MAX)
        snprintf(out + len, TEXT_MAX - len, " (%.*s)", (int)(TEXT_MAX - len - 4), j->p->message);
}

/* The policy's actions say what follows; denied: what follows of Deny. */
static void push_by_actions(struct judge *j, const char *rule, enum policy_effect denied,
                            int64_t until_ms, const char *text)
{
    if (j->p->deny)
        push_verdict(j, rule, denied, until_ms, text);
    if (j->p->warn)
        push_verdict(j, rule, POLICY_WARN, until_ms, text);
    if (j->p->audit)
        push_verdict(j, rule, POLICY_AUDIT, until_ms, text);
}

/* A rule is broken. */
static void refuse_request(struct judge *j, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void refuse_request(struct judge *j, const char *rule, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    compose(j, text, format, args);
    va_end(args);
    push_by_actions(j, rule, POLICY_DENY, 0, text);
}

/* A limit or a window holds the clone back. A policy that does not deny does not hold back either.
 */
static void hold_back(struct judge *j, const char *rule, int64_t until_ms, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void hold_back(struct judge *j, const char *rule, int64_t until_ms, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    compose(j, text, format, args);
    va_end(args);
    push_by_actions(j, rule, POLICY_WAIT, until_ms, text);
}

/* --- Rules --- */

static void join_items(const char *const *items, size_t count, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", items[i]);
}

static bool in_list(const char *const *items, size_t count, const char *value)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(items[i], value))
            return true;
    return count == 0;
}

static void judge_kind(struct judge *j)
{
    const struct policy *p = j->p;
    const struct wukong_effective *e = j->r->effective;
    const char *allowed[CLONE_TYPES];
    char list[64];
    size_t count = 0;
    for (int i = 1; i < CLONE_TYPES; i++)
        if (p->rules.clone_types[i])
            allowed[count++] = clone_type_names[i];
    join_items(allowed, count, list, sizeof(list));
    if (p->rules.clone_types_given && !p->rules.clone_types[e->clone_type])
        refuse_request(j, "cloneTypes", "cloneType %s is not allowed; use one of: %s",
                       str_or(clone_type_names[e->clone_type], "(none)"), list);
    if (p->rules.placement == PLACEMENT_SAME && e->cross_namespace)
        refuse_request(j, "placement",
                       "the source is in namespace %.63s; create the Wukong there, clones across "
                       "namespaces are not allowed",
                       str_or(e->source_ns, ""));
    if (p->rules.quiesce == QUIESCE_REQUIRED && e->quiesce != QUIESCE_REQUIRED &&
        e->clone_type != CLONE_FULL)
        refuse_request(j, "quiesce", "quiesce %s is not allowed; set quiesce to Required",
                       quiesce_names[e->quiesce]);
    if (p->rules.quiesce == QUIESCE_IF_AVAILABLE && e->quiesce == QUIESCE_NEVER)
        refuse_request(j, "quiesce", "quiesce Never is not allowed; set IfAvailable or Required");
    if (p->rules.max_replicas && e->replicas > p->rules.max_replicas)
        refuse_request(j, "maxReplicas", "replicas %" PRId64 " is not allowed; at most %" PRId64,
                       e->replicas, p->rules.max_replicas);
}

static void judge_lifetime(struct judge *j)
{
    const struct wukong_effective *e = j->r->effective;
    int64_t max = j->p->rules.max_lifetime_ms;
    if (!max)
        return;
    if (!e->expiry)
        refuse_request(j, "maxLifetime",
                       "the clone must expire; set expires.after to at most %.32s",
                       j->p->rules.max_lifetime);
    else if (e->expires_after_ms > max || e->expires_at_ms > j->r->now_ms + max)
        refuse_request(j, "maxLifetime", "the clone may live for %.32s at most; set %s",
                       j->p->rules.max_lifetime,
                       e->expires_at_ms ? "an earlier expires.at" : "a shorter expires.after");
}

static void judge_overrides(struct judge *j)
{
    const char *text = j->r->wukong->spec.target.overrides;
    const struct policy *p = j->p;
    char left[OVERRIDES_PATH_MAX];
    CLEANUP_JSON cJSON *patch = NULL;
    struct err err;
    bool limited = p->rules.overrides == POLICY_OVERRIDES_FORBIDDEN || p->rules.override_path_count;
    if (!limited || !text || json_read(text, strlen(text), &patch, &err) < 0)
        return;
    if (p->rules.overrides == POLICY_OVERRIDES_FORBIDDEN && patch->child)
        refuse_request(j, "overrides", "target.overrides is not allowed; remove it");
    else if (overrides_leave(patch, p->rules.override_paths, p->rules.override_path_count, left))
        refuse_request(j, "overridePaths",
                       "target.overrides may not change %.255s; remove that, or ask for it in the "
                       "policy's overridePaths",
                       left);
}

/* What the Wukong asks for beyond its source. */
static void judge_target(struct judge *j)
{
    const struct wukong *w = j->r->wukong;
    if (j->p->rules.isolation == ISOLATION_REQUIRED && w->spec.target.links != LINKS_DOWN)
        refuse_request(
            j, "isolation",
            "the clone must start with its links down; set target.network.links to Down");
    judge_overrides(j);
    for (size_t i = 0; i < j->p->rules.label_count; i++) {
        const char *key = j->p->rules.labels[i];
        if (!wukong_pairs_get(&w->spec.target.labels, key) && !wukong_pairs_get(&w->labels, key))
            refuse_request(j, "requiredLabels",
                           "the clone must bear the label %.317s; set it in target.labels", key);
    }
}

static void judge_source(struct judge *j)
{
    const struct source_facts *s = j->r->source;
    const struct wukong_effective *e = j->r->effective;
    enum policy_require need = j->p->rules.require_source;
    /* The worker waits for the source in any case. */
    if (j->when != POLICY_AT_ADMISSION || !s || !s->looked_up || need <= REQUIRE_NONE)
        return;
    bool exists =
        e->source_type == SOURCE_VM ? s->machine.vm_exists : machine_has_instance(&s->machine);
    if (!exists)
        refuse_request(j, "requireSource", "the source %.63s/%.63s does not exist; create it first",
                       str_or(e->source_ns, ""), str_or(e->source_name, ""));
    else if (need == REQUIRE_RUNNING && !str_eq(s->machine.phase, "Running"))
        refuse_request(j, "requireSource", "the source %.63s/%.63s is not running; start it first",
                       str_or(e->source_ns, ""), str_or(e->source_name, ""));
}

static void judge_disk(struct judge *j, const char *name, const char *storage_class,
                       const char *snapshot_class, bool grouped, int64_t bytes)
{
    const struct policy *p = j->p;
    char list[512], size[QUANTITY_PRINT_MAX], max[QUANTITY_PRINT_MAX];
    const char *const *classes = p->rules.storage_classes;
    if (storage_class && !in_list(classes, p->rules.storage_class_count, storage_class)) {
        join_items(classes, p->rules.storage_class_count, list, sizeof(list));
        refuse_request(j, "storageClasses",
                       "disk %.63s: storage class %.63s is not allowed; use one of: %s", name,
                       storage_class, list);
    }
    classes = p->rules.snapshot_classes;
    if (snapshot_class && !in_list(classes, p->rules.snapshot_class_count, snapshot_class)) {
        join_items(classes, p->rules.snapshot_class_count, list, sizeof(list));
        refuse_request(j, "volumeSnapshotClasses",
                       "disk %.63s: Volume%sSnapshotClass %.63s is not allowed; use one of: %s",
                       name, grouped ? "Group" : "", snapshot_class, list);
    }
    if (p->rules.max_disk_bytes && bytes > p->rules.max_disk_bytes) {
        quantity_print(bytes, size);
        quantity_print(p->rules.max_disk_bytes, max);
        refuse_request(j, "maxDiskSize", "disk %.63s: %s is not allowed; at most %s", name, size,
                       max);
    }
}

/* What the worker finds when it cuts is judged there. */
static void judge_consistency(struct judge *j)
{
    const struct cut_foreseen *f = &j->r->cut;
    enum consistency least = j->p->rules.consistency;
    if (f->best != CONSISTENCY_UNKNOWN && !consistency_meets(f->best, least))
        refuse_request(j, "minimumConsistency",
                       "the snapshot would be %s, because %s, and at least %s is demanded: %s",
                       consistency_names[f->best], str_or(f->because, "the guest is not frozen"),
                       consistency_names[least], str_or(f->remedy, "set quiesce to Required"));
}

enum consistency policy_least_consistency(const struct policy *policies, size_t count,
                                          const struct policy_request *r)
{
    enum consistency least = CONSISTENCY_UNKNOWN;
    for (size_t i = 0; i < count; i++) {
        const struct policy *p = &policies[i];
        if (!p->deny || p->broken || consistency_meets(least, p->rules.consistency) ||
            !policy_matches(p, r))
            continue;
        least = p->rules.consistency;
    }
    return least;
}

/* A policy that denies has raised the rule, if the class was known when the disk was planned. */
static void judge_cut(struct judge *j, const struct disk_plan *d)
{
    const struct policy *p = j->p;
    bool by_kubevirt = j->r->effective->method == METHOD_VM_SNAPSHOT && d->driver;
    if (!disk_takes_snapshot(d->method) || (!d->snapshot_class && !by_kubevirt))
        return;
    if (p->rules.unknown_cut == POLICY_CUT_REFUSE && !d->cut.known)
        refuse_request(
            j, "unknownDriverCutRule",
            "disk %.63s: Wukong does not know whether driver %.63s cuts a snapshot before it "
            "answers; use another driver, or ask the admin to annotate the class "
            "with " CUT_RULE_ANNOTATION,
            d->name, str_or(d->driver, "(none)"));
    bool unknown = p->rules.unknown_cut == POLICY_CUT_READY && !d->cut.known;
    if (!p->deny && d->cut.rule == CUT_RULE_CREATED &&
        (unknown || p->rules.cut == POLICY_CUT_READY))
        refuse_request(j, unknown ? "unknownDriverCutRule" : "cutRule",
                       "disk %.63s: driver %.63s counts its snapshot as cut before it is ready",
                       d->name, str_or(d->driver, "(none)"));
}

/* A policy that lists the classes that may be used, and leaves this one out; NULL: none. */
static const char *barred_by(const struct policy *policies, size_t count,
                             const struct policy_request *r, const char *class)
{
    for (size_t i = 0; i < count; i++) {
        const struct policy *p = &policies[i];
        if (!p->broken &&
            !in_list(p->rules.snapshot_classes, p->rules.snapshot_class_count, class) &&
            policy_matches(p, r))
            return p->name;
    }
    return NULL;
}

static bool any_lists_classes(const struct policy *policies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (policies[i].rules.snapshot_class_count)
            return true;
    return false;
}

void policy_raise_cuts(struct arena *a, const struct policy *policies, size_t count,
                       const struct policy_request *r, struct class_facts *c)
{
    bool all = false, unknown = false, bars = any_lists_classes(policies, count);
    for (size_t i = 0; i < count; i++) {
        const struct policy *p = &policies[i];
        bool asks = p->rules.cut == POLICY_CUT_READY || p->rules.unknown_cut == POLICY_CUT_READY;
        if (!asks || !p->deny || p->broken || !policy_matches(p, r))
            continue;
        all |= p->rules.cut == POLICY_CUT_READY;
        unknown |= p->rules.unknown_cut == POLICY_CUT_READY;
    }
    struct snapshot_class_facts *raised =
        all || unknown || bars ? arena_alloc(a, (c->snapshot_class_count + 1) * sizeof *raised)
                               : NULL;
    for (size_t i = 0; raised && i < c->snapshot_class_count; i++) {
        raised[i] = c->snapshot_classes[i];
        if (bars && raised[i].group)
            raised[i].barred_by = barred_by(policies, count, r, raised[i].name);
        if (raised[i].cut.rule != CUT_RULE_CREATED || !(all || (unknown && !raised[i].cut.known)))
            continue;
        raised[i].cut.rule = CUT_RULE_READY;
        raised[i].cut.origin = CUT_BY_POLICY;
        raised[i].cut.why = NULL;
    }
    if (raised)
        c->snapshot_classes = raised;
}

/* The plan when it is known, else what the spec says of itself. */
static void judge_disks(struct judge *j)
{
    const struct wukong_spec *spec = &j->r->wukong->spec;
    if (j->r->disks) {
        for (size_t i = 0; i < j->r->disks->count; i++) {
            const struct disk_plan *d = &j->r->disks->items[i];
            judge_disk(j, d->name, d->storage_class, d->snapshot_class, d->grouped, d->bytes);
            judge_cut(j, d);
        }
        return;
    }
    for (size_t i = 0; i < spec->disk_count; i++)
        judge_disk(j, str_or(spec->disks[i].name, ""), spec->disks[i].storage_class, NULL, false,
                   spec->disks[i].size_bytes);
    if (spec->source.snapshot_class)
        judge_disk(j, "(all)", NULL, spec->source.snapshot_class, false, 0);
    if (spec->source.group_class)
        judge_disk(j, "(all)", NULL, spec->source.group_class, true, 0);
}

/* --- Limits and windows --- */

static bool not_its_turn(const struct judge *j, const char *rule)
{
    return j->usage->behind && j->usage->behind(j->usage->arg, j->p, rule);
}

/* The texts hold no figure that changes while a clone waits: a thousand that wait are written once.
 */
static void judge_slots(struct judge *j)
{
    const struct policy_usage *u = j->usage;
    const struct {
        const char *rule, *what;
        int64_t limit, now;
    } table[] = {
        {"concurrentPerCluster", "in the cluster", j->p->limits.per_cluster, u->cluster},
        {"concurrentPerSource", "of one source", j->p->limits.per_source, u->source},
        {"concurrentPerTargetNamespace", "into one namespace", j->p->limits.per_target_ns,
         u->target_ns},
        {"concurrentPerStorageClass", "into one storage class", j->p->limits.per_storage_class,
         u->storage_class},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].limit && (table[i].now >= table[i].limit || not_its_turn(j, table[i].rule)))
            hold_back(j, table[i].rule, 0,
                      "at most %" PRId64 " clones %s at once; it waits for its turn",
                      table[i].limit, table[i].what);
}

static void judge_limits(struct judge *j)
{
    static const char retained[] = "retainedSnapshotsPerSource";
    static const char storage[] = "storagePerTargetNamespace";
    const struct policy_usage *u = j->usage;
    char wanted[QUANTITY_PRINT_MAX], max[QUANTITY_PRINT_MAX];
    if (j->when != POLICY_AT_EXECUTION || !u)
        return;
    judge_slots(j);
    int64_t snapshots = u->snapshots_wanted ? u->snapshots_wanted : 1;
    int64_t limit = j->p->limits.retained_snapshots;
    if (limit && j->r->effective->clone_type == CLONE_LINKED &&
        (snapshots > limit - u->retained_snapshots || not_its_turn(j, retained)))
        hold_back(j, retained, 0,
                  "linked clones of one source may keep %" PRId64
                  " snapshots and this one needs %" PRId64 "; it waits until others are removed",
                  limit, snapshots);
    limit = j->p->limits.storage_bytes;
    if (!limit ||
        (u->storage_bytes_wanted <= limit - u->storage_bytes && !not_its_turn(j, storage)))
        return;
    quantity_print(u->storage_bytes_wanted, wanted);
    quantity_print(limit, max);
    hold_back(j, storage, 0,
              "clones in one namespace may hold %s and this one needs %s; it waits until others "
              "are removed",
              max, wanted);
}

/* Most windows name the zone of the one before, and reading its file is most of their cost. */
static int zone_of(struct zone_memo *memo, const char *name, const struct zone **ret)
{
    struct err err;
    if (!str_eq(memo->name, name)) {
        zone_free(memo->zone);
        *memo = (struct zone_memo){.name = name};
        memo->status = zone_load(name, &memo->zone, &err);
    }
    *ret = memo->zone;
    return memo->status;
}

/* One open window is enough. until: the earliest opening; 0 when none is known. */
static bool any_open(const struct judge *j, int64_t *ret_until_ms, const char **ret_why)
{
    *ret_until_ms = 0;
    *ret_why = NULL;
    for (size_t i = 0; i < j->p->window_count; i++) {
        const struct policy_window *w = &j->p->windows[i];
        struct window_state state;
        const struct zone *zone;
        if (zone_of(j->zones, str_or(w->time_zone, "UTC"), &zone) < 0) {
            *ret_why = "a time zone cannot be read";
            continue;
        }
        if (!cron_window(&w->cron, zone, w->duration_ms, j->r->now_ms, &state))
            continue;
        if (state.open)
            return true;
        if (state.until_ms && (!*ret_until_ms || state.until_ms < *ret_until_ms))
            *ret_until_ms = state.until_ms;
    }
    return false;
}

static void judge_windows(struct judge *j)
{
    int64_t until;
    const char *why;
    char when[TIME_TEXT_MAX] = "never";
    if (!j->p->window_count || any_open(j, &until, &why))
        return;
    if (until)
        time_to_str(until, false, when);
    if (j->p->outside == OUTSIDE_DENY) {
        if (j->when == POLICY_AT_ADMISSION)
            refuse_request(j, POLICY_RULE_WINDOWS,
                           "clones are allowed only inside a window, which opens at %s%s%s", when,
                           why ? "; " : "", str_or(why, ""));
        /* Admitted in time and held up since: it waits for the next one rather than fail. */
        else
            hold_back(j, POLICY_RULE_WINDOWS, until,
                      "outside all windows; the next one opens at %s", when);
    } else if (j->when == POLICY_AT_EXECUTION) {
        hold_back(j, POLICY_RULE_WINDOWS, until, "outside all windows; the next one opens at %s",
                  when);
    }
}

void policy_judge_lifetime(struct arena *a, const struct policy *policies, size_t count,
                           const struct policy_request *r, struct policy_findings *ret)
{
    *ret = (struct policy_findings){0};
    for (size_t i = 0; i < count; i++) {
        struct judge j = {NULL, a, &policies[i], r, NULL, POLICY_AT_ADMISSION, ret};
        if (policies[i].broken || !policy_matches(&policies[i], r))
            continue;
        ret->matched++;
        judge_lifetime(&j);
    }
}

void policy_judge(struct arena *a, const struct policy *policies, size_t count,
                  const struct policy_request *r, const struct policy_usage *usage,
                  enum policy_when when, struct policy_findings *ret)
{
    ret->count = ret->mild = ret->matched = ret->dropped = 0;
    ret->denied = ret->waiting = ret->awaits_window = false;
    ret->until_ms = ret->window_until_ms = 0;
    struct zone_memo zones = {0};
    for (size_t i = 0; i < count; i++) {
        struct judge j = {&zones, a, &policies[i], r, usage, when, ret};
        if (!policy_matches(&policies[i], r))
            continue;
        ret->matched++;
        if (policies[i].broken) {
            char text[TEXT_MAX];
            snprintf(text, sizeof(text),
                     "ClonePolicy \"%.253s\" cannot be read, so it denies what it matches: %.512s; "
                     "ask the cluster's admin to correct it",
                     policies[i].name, policies[i].broken);
            push_verdict(&j, "broken", POLICY_DENY, 0, text);
            continue;
        }
        judge_kind(&j);
        judge_target(&j);
        judge_lifetime(&j);
        judge_source(&j);
        judge_consistency(&j);
        judge_disks(&j);
        judge_limits(&j);
        judge_windows(&j);
    }
    zone_free(zones.zone);
}
