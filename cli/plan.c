#include "cli/plan.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/child_names.h"
#include "wukong/policy/schedule.h"
#include "wukong/rules/rules.h"
#include "wukong/rules/validate.h"

/* Windows and notBefore may each push the beginning behind the other's; two windows that never
   overlap would do so for ever. */
#define ROUNDS_MAX 64

const char *const plan_note_kind_names[] = {"refused", "waits", "later", "unknown", "warning"};
static_assert(ARRAY_LEN(plan_note_kind_names) == NOTE_KINDS, "one name each");
const char *const plan_verdict_names[] = {"runs", "refused", "waits", "unknown"};
static_assert(ARRAY_LEN(plan_verdict_names) == PLAN_VERDICTS, "one name each");

/* --- Notes --- */

static void add_note(struct plan *f, enum plan_note_kind kind, const char *subject,
                     const char *text)
{
    const char *copy = str_or(arena_strdup(f->arena, text), "");
    for (size_t i = 0; i < f->note_count; i++)
        if (f->notes[i].kind == kind && str_eq(f->notes[i].text, copy))
            return;
    if (f->note_count < PLAN_NOTES_MAX)
        f->notes[f->note_count++] =
            (struct plan_note){kind, str_or(arena_strdup(f->arena, subject), ""), copy};
}

void plan_note_add(struct plan *f, enum plan_note_kind kind, const char *subject,
                   const char *format, ...)
{
    CLEANUP_BUF struct buf text = BUF_INIT(64 * KIB);
    va_list args;
    va_start(args, format);
    (void)buf_vaddf(&text, format, args);
    va_end(args);
    add_note(f, kind, subject, text.data);
}

static bool rule_waits(const struct plan *f, const struct rule *rule)
{
    return rule->waits == RULE_WAITS ||
           (rule->waits == RULE_WAITS_TO_QUIESCE && f->in->e->quiesce == QUIESCE_REQUIRED);
}

static void add_findings(struct plan *f, const struct findings *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct finding *e = &l->items[i];
        enum plan_note_kind kind = e->severity == FINDING_ERROR
                                       ? (f->in->stored ? NOTE_WAITS : NOTE_REFUSED)
                                   : rule_waits(f, e->rule) ? NOTE_WAITS
                                                            : NOTE_WARNING;
        add_note(f, kind, e->field, e->message);
    }
}

static struct policy_request request_of(const struct plan *f)
{
    const struct plan_input *in = f->in;
    struct policy_request r = source_info_request(in->g, in->w, in->e, &f->disks, in->now_ms);
    r.user = in->user;
    r.groups = in->groups;
    r.group_count = in->group_count;
    return r;
}

static void judge_rules(struct plan *f)
{
    CLEANUP_FINDINGS struct findings findings, ignored;
    const struct plan_input *in = f->in;
    findings_init(&findings);
    findings_init(&ignored); /* disks_resolve's are among validate_source's */
    struct class_facts classes = in->g->classes;
    struct policy_request request = request_of(f);
    policy_raise_cuts(f->arena, in->g->policies, in->g->policy_count, &request, &classes);
    if (!in->stored)
        validate_create(in->tree, &findings);
    validate_source(in->w, in->e, &in->g->source, &classes, &findings);
    disks_resolve(f->arena, in->w, in->e, &in->g->source, &classes, &ignored, &f->disks);
    add_findings(f, &findings);
}

/* --- The point in time --- */

static void foresee_cut(struct plan *f)
{
    f->cut = cut_foresee_source(f->in->e, &f->in->g->source, &f->disks);
}

/* --- Names --- */

const char *plan_name(const struct wukong *w)
{
    return str_or(w->name, str_or(w->generate_name, ""));
}

/* The first disk of its driver names the group. */
static const char *named_by(const struct plan *f, size_t disk)
{
    const struct disk_plan *items = f->disks.items;
    for (size_t i = 0; items[disk].grouped && i < disk; i++)
        if (items[i].grouped && str_eq(items[i].driver, items[disk].driver))
            return items[i].name;
    return items[disk].name;
}

static void name_snapshots(struct plan *f)
{
    const struct wukong *w = f->in->w;
    const struct wukong_effective *e = f->in->e;
    bool by_kubevirt = e->method == METHOD_VM_SNAPSHOT && e->clone_type != CLONE_FULL;
    char name[NAME_BUF];
    f->items = arena_alloc(f->arena, (f->disks.count + 1) * sizeof *f->items);
    for (size_t i = 0; f->items && i < f->disks.count; i++) {
        const struct disk_plan *d = &f->disks.items[i];
        /* Without a method it is not known how, but a running machine is always cut. */
        f->items[i] = (struct plan_disk){
            .plan = d,
            .takes_snapshot = d->method ? disk_takes_snapshot(d->method) : e->needs_snapshot};
        if (!f->items[i].takes_snapshot || by_kubevirt || str_empty(w->uid))
            continue;
        name_snapshot(e->source_name, w->name, w->uid, 1, named_by(f, i), name);
        f->items[i].snapshot = arena_strdup(f->arena, name);
    }
    if (!by_kubevirt)
        return;
    name_snapshot(e->source_name, str_or(w->name, ""), w->uid, 1, NULL, name);
    f->vm_snapshot = str_empty(w->uid) ? "" : arena_strdup(f->arena, name);
}

/* --- Cost --- */

static void count_objects(struct plan *f, const char *kind, int64_t count, bool temporary)
{
    if (count <= 0 || f->cost.count == PLAN_OBJECTS_MAX)
        return;
    f->cost.items[f->cost.count++] = (struct planned_count){kind, count, temporary};
    f->cost.objects += count;
}

static void count_cost(struct plan *f)
{
    int64_t n = f->in->e->replicas, snapshots = 0, copies = 0, volumes = 0, groups = 0;
    bool kept = f->in->e->clone_type == CLONE_LINKED;
    for (size_t i = 0; f->items && i < f->disks.count; i++) {
        const struct disk_plan *d = &f->disks.items[i];
        f->cost.claim_bytes += d->bytes * n;
        f->cost.snapshot_bytes += f->items[i].takes_snapshot ? d->source_bytes : 0;
        snapshots += f->items[i].takes_snapshot;
        groups += f->items[i].takes_snapshot && d->grouped && named_by(f, i) == d->name;
        copies += d->method == DISK_HANDLE_COPY;
        volumes += d->method == DISK_CDI_CLONE || d->method == DISK_CDI_SNAPSHOT;
    }
    count_objects(f, "VirtualMachineSnapshot", f->vm_snapshot != NULL, !kept);
    count_objects(f, "VolumeGroupSnapshot", groups, !kept);
    count_objects(f, "VolumeGroupSnapshotContent", groups, !kept);
    count_objects(f, "VolumeSnapshot", snapshots + copies, !kept);
    count_objects(f, "VolumeSnapshotContent", snapshots + copies, !kept);
    count_objects(f, "DataVolume", volumes * n, false);
    count_objects(f, "PersistentVolumeClaim", (int64_t)f->disks.count * n, false);
    count_objects(f, "VirtualMachine", n, false);
}

/* --- Policies and time --- */

static void add_finding(struct plan *f, const struct policy_finding *p)
{
    CLEANUP_BUF struct buf subject = BUF_INIT(KIB);
    static const enum plan_note_kind kinds[] = {[POLICY_AUDIT] = NOTE_WARNING,
                                                [POLICY_WARN] = NOTE_WARNING,
                                                [POLICY_WAIT] = NOTE_WAITS,
                                                [POLICY_DENY] = NOTE_REFUSED};
    enum plan_note_kind kind = kinds[p->effect];
    if (p->effect == POLICY_AUDIT)
        return; /* noted by the cluster, nothing to the user */
    if (p->effect == POLICY_WAIT && p->until_ms)
        kind = NOTE_LATER;
    if (p->effect == POLICY_DENY && f->in->stored)
        kind = NOTE_WAITS;
    buf_addf(&subject, "ClonePolicy %s", p->policy->name);
    add_note(f, kind, subject.data, p->text);
}

static void judge_policies(struct plan *f)
{
    const struct source_info *g = f->in->g;
    struct policy_request r = request_of(f);
    struct policy_findings *found = xcalloc(1, sizeof *found);
    f->policies = arena_alloc(f->arena, (g->policy_count + 1) * sizeof *f->policies);
    for (size_t i = 0; f->policies && i < g->policy_count; i++)
        if (policy_matches(&g->policies[i], &r))
            f->policies[f->policy_count++] = &g->policies[i];
    /* A stored Wukong has been admitted; at execution all of it is judged again. */
    for (int when = f->in->stored; when <= 1; when++) {
        policy_judge(f->arena, g->policies, g->policy_count, &r, NULL,
                     when ? POLICY_AT_EXECUTION : POLICY_AT_ADMISSION, found);
        for (size_t i = 0; i < found->count; i++)
            add_finding(f, &found->items[i]);
    }
    free(found);
}

/* The next time at which nothing that has a time holds it back; now_ms when nothing does. */
static int64_t next_opening(struct plan *f)
{
    struct policy_request r = request_of(f);
    struct policy_findings *found = xcalloc(1, sizeof *found);
    int64_t at = f->in->now_ms;
    for (int round = 0; round <= ROUNDS_MAX; round++) {
        struct schedule_verdict s = schedule_judge(&f->in->w->spec.source, at);
        r.now_ms = at;
        policy_judge(f->arena, f->in->g->policies, f->in->g->policy_count, &r, NULL,
                     POLICY_AT_EXECUTION, found);
        int64_t until = found->waiting && found->until_ms ? found->until_ms : 0;
        until = s.permitted_ms > until ? s.permitted_ms : until;
        if (until <= at || until == INT64_MAX) {
            at = until == INT64_MAX ? until : at;
            break;
        }
        at = round == ROUNDS_MAX ? INT64_MAX : until;
    }
    free(found);
    return at;
}

static void foresee_start(struct plan *f)
{
    struct schedule_verdict s = schedule_judge(&f->in->w->spec.source, f->in->now_ms);
    int64_t at = next_opening(f);
    if (s.permitted_ms)
        add_note(f, s.permitted_ms == INT64_MAX ? NOTE_WAITS : NOTE_LATER,
                 s.reason == REASON_NOT_BEFORE ? "spec.cloneSource.notBefore"
                                               : "spec.cloneSource.window",
                 s.why);
    if (at == INT64_MAX)
        add_note(f, NOTE_WAITS, "windows",
                 "the windows of all policies are never open at one time");
    f->start_ms = at == f->in->now_ms ? 0 : at;
}

/* --- Quota --- */

struct wanted {
    const char *resource;
    int64_t amount;
};

static void check_quota(struct plan *f, const cJSON *quota, const char *resource, int64_t amount)
{
    const cJSON *hard = json_get(json_at(quota, "status.hard"), resource);
    const char *used = cJSON_GetStringValue(json_get(json_at(quota, "status.used"), resource));
    struct quantity max, have;
    char left[QUANTITY_PRINT_MAX], wants[QUANTITY_PRINT_MAX];
    if (!cJSON_IsString(hard) || quantity_parse(hard->valuestring, &max) != QUANTITY_OK ||
        quantity_parse(str_or(used, "0"), &have) != QUANTITY_OK)
        return;
    int64_t room = quantity_value(&max) - quantity_value(&have);
    if (amount <= room)
        return;
    CLEANUP_FREE char *subject =
        xasprintf("ResourceQuota %s", str_or(json_str(quota, "metadata.name"), "?"));
    quantity_print(room > 0 ? room : 0, left);
    quantity_print(amount, wants);
    plan_note_add(f, NOTE_WAITS, subject,
                  "%s: the clone needs %s, %s of %s are left; raise the quota or free some of it",
                  resource, wants, left, hard->valuestring);
}

/* What a ResourceQuota counts of claims (kubernetes pkg/quota/v1/evaluator/core/
   persistent_volume_claims.go), and of objects. Quotas with scopes count Pods, or claims of one
   VolumeAttributesClass. */
static void check_quotas(struct plan *f)
{
    const cJSON *quota;
    int64_t claims = (int64_t)f->disks.count * f->in->e->replicas;
    cJSON_ArrayForEach (quota, json_get(f->in->quotas, "items")) {
        if (json_at(quota, "spec.scopes.#0") || json_at(quota, "spec.scopeSelector"))
            continue;
        check_quota(f, quota, "requests.storage", f->cost.claim_bytes);
        check_quota(f, quota, "persistentvolumeclaims", claims);
        check_quota(f, quota, "count/persistentvolumeclaims", claims);
        check_quota(f, quota, "count/virtualmachines.kubevirt.io", f->in->e->replicas);
        for (size_t i = 0; i < f->disks.count; i++) {
            const char *class = f->disks.items[i].storage_class;
            int64_t bytes = 0, count = 0;
            for (size_t k = 0; k < f->disks.count; k++) {
                bool same = str_eq(f->disks.items[k].storage_class, class);
                bytes += same ? f->disks.items[k].bytes * f->in->e->replicas : 0;
                count += same ? f->in->e->replicas : 0;
            }
            CLEANUP_FREE char *storage =
                xasprintf("%s.storageclass.storage.k8s.io/requests.storage", str_or(class, ""));
            CLEANUP_FREE char *number = xasprintf(
                "%s.storageclass.storage.k8s.io/persistentvolumeclaims", str_or(class, ""));
            check_quota(f, quota, storage, bytes);
            check_quota(f, quota, number, count);
        }
    }
}

/* --- Gates --- */

static void add_gates(struct plan *f)
{
    const struct wukong_source *s = &f->in->w->spec.source;
    for (size_t i = 0; i < s->gate_count; i++)
        plan_note_add(f, NOTE_WARNING, "spec.cloneSource.gates",
                      "before the snapshot it waits until condition %s turns True", s->gates[i]);
}

/* --- All together --- */

static bool any(const struct plan *f, enum plan_note_kind kind)
{
    for (size_t i = 0; i < f->note_count; i++)
        if (f->notes[i].kind == kind)
            return true;
    return false;
}

void plan_conclude(struct plan *f)
{
    bool blind = any(f, NOTE_UNKNOWN) && !f->in->admission_known;
    f->verdict = any(f, NOTE_REFUSED) ? PLAN_REFUSED
                 : any(f, NOTE_WAITS) ? PLAN_WAITS
                 : blind              ? PLAN_UNKNOWN
                                      : PLAN_RUNS;
}

void plan_build(const struct plan_input *in, struct arena *arena, struct plan *f)
{
    f->in = in;
    f->arena = arena;
    judge_rules(f);
    f->known = f->disks.count > 0;
    foresee_cut(f);
    name_snapshots(f);
    count_cost(f);
    judge_policies(f);
    foresee_start(f);
    check_quotas(f);
    add_gates(f);
    plan_conclude(f);
}
