#include "controller/status.h"

#include <stdio.h>

#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "observe/queries.h"
#include "observe/resources.h"
#include "wukong/api/child_names.h"
#include "wukong/api/conditions.h"

static void write_time(struct json_writer *w, const char *key, int64_t ms, bool with_ms)
{
    char text[TIME_TEXT_MAX];
    if (!ms)
        return;
    time_to_str(ms, with_ms, text);
    json_string(w, key, text);
}

static void write_size(struct json_writer *w, const char *key, int64_t bytes)
{
    if (bytes > 0)
        json_stringf(w, key, "%lld", (long long)bytes);
}

/* --- conditions --- */

static const cJSON *old_condition(const struct clone_state *v, const char *type)
{
    return condition_find(json_get(v->status, "conditions"), type);
}

static bool always_dropped(enum condition_type t)
{
    return t == COND_RECONCILING || t == COND_STALLED || t == COND_AWAITING_GATES;
}

static void write_condition(struct json_writer *w, const struct clone_state *v, const char *type,
                            const struct condition *c)
{
    static const char *const words[] = {"", "False", "True", "Unknown"};
    const cJSON *old = old_condition(v, type);
    const char *status = words[c->status];
    json_object(w, NULL);
    json_string(w, "type", type);
    json_string(w, "status", status);
    json_string(w, "reason", reason_table[c->reason].name);
    json_string(w, "message", str_or(c->message, ""));
    json_number(w, "observedGeneration", v->wukong->generation);
    if (old && str_eq(json_str(old, "status"), status) && json_str(old, "lastTransitionTime"))
        json_string(w, "lastTransitionTime", json_str(old, "lastTransitionTime"));
    else
        write_time(w, "lastTransitionTime", v->now.wall_ms, false);
    json_end(w);
}

static void write_conditions(struct json_writer *w, const struct clone_state *v,
                             const struct decision *d)
{
    json_array(w, "conditions");
    for (enum condition_type t = 0; t < CONDITION_TYPES; t++) {
        const char *type = condition_type_names[t];
        if (d->conditions[t].status != CONDITION_ABSENT)
            write_condition(w, v, type, &d->conditions[t]);
        else if (d->keep_conditions && !always_dropped(t))
            json_tree(w, NULL, old_condition(v, type));
    }
    json_end(w);
}

/* --- cloneStatus --- */

static void write_freeze(struct json_writer *w, const struct clone_record *r)
{
    if (!r->attempt.freeze.requested_ms)
        return;
    json_object(w, "freeze");
    json_string(w, "vmiUID", r->attempt.freeze.vmi_uid);
    write_time(w, "requestedTime", r->attempt.freeze.requested_ms, true);
    write_time(w, "deadlineTime", r->attempt.freeze.deadline_ms, true);
    write_time(w, "acknowledgedTime", r->attempt.freeze.acknowledged_ms, true);
    write_time(w, "thawedTime", r->attempt.freeze.thawed_ms, true);
    json_end(w);
}

static void write_error(struct json_writer *w, const struct clone_record *r)
{
    if (!r->error.reason)
        return;
    json_object(w, "lastError");
    json_string(w, "reason", r->error.reason);
    json_string(w, "message", r->error.message);
    json_string(w, "disk", r->error.disk);
    write_time(w, "time", r->error.at_ms, true);
    json_number(w, "attempt", r->error.attempt);
    if (r->error.in_a_row > 1)
        json_number(w, "inARow", r->error.in_a_row);
    if (r->error.terminal)
        json_boolean(w, "terminal", true);
    if (r->error.froze)
        json_number(w, "freezeMilliseconds", r->error.freeze_ms);
    json_end(w);
}

static const char *disk_phase(const struct clone_state *v, size_t disk)
{
    size_t bound = 0, there = 0;
    for (size_t t = 0; t < v->target_count; t++) {
        there += v->targets[t].claims[disk].exists && v->targets[t].claims[disk].ours;
        bound += v->targets[t].claims[disk].bound;
    }
    const struct snapshot_state *s = &v->disks[disk].snapshot;
    if (v->target_count && bound == v->target_count)
        return "Bound";
    if (there)
        return "Restoring";
    if (s->exists && s->ready)
        return "SnapshotReady";
    bool cut = v->disks[disk].group ? clone_disk_is_cut(&v->disks[disk]) : s->exists && s->cut;
    return cut ? "SnapshotCut" : "Pending";
}

/* Restoring goes on to 100 with what CDI counts, over all replicas; from 0 when it copies the claim
   itself, since no snapshot came before. */
static unsigned restored_percent(const struct clone_state *v, size_t disk)
{
    unsigned from = v->disks[disk].plan->method == DISK_CDI_CLONE ? 0 : 60;
    unsigned done = 0;
    for (size_t t = 0; t < v->target_count; t++)
        done += v->targets[t].claims[disk].done_percent;
    return from + (100 - from) * done / (100 * (unsigned)v->target_count);
}

static unsigned disk_percent(const struct clone_state *v, size_t disk, const char *phase)
{
    static const struct {
        const char *phase;
        unsigned percent;
    } rows[] = {{"Bound", 100}, {"SnapshotReady", 50}, {"SnapshotCut", 25}};
    if (str_eq(phase, "Restoring"))
        return restored_percent(v, disk);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(rows[i].phase, phase))
            return rows[i].percent;
    return 0;
}

/* CDI takes a slower way without a word when storage does not fit. */
static const char *disk_method(const struct clone_state *v, size_t disk)
{
    for (size_t t = 0; t < v->target_count; t++)
        if (v->targets[t].claims[disk].host_copied)
            return DISK_METHOD_HOST_COPY;
    return disk_method_names[v->disks[disk].plan->method];
}

/* What the cluster no longer shows (a finished clone's plan) stays as it was written. */
static bool keep_old(struct json_writer *w, const struct clone_state *v, const char *key)
{
    if (v->disk_count)
        return false;
    json_tree(w, key, json_get(json_get(v->status, "cloneStatus"), key));
    return true;
}

static void write_disks(struct json_writer *w, const struct clone_state *v)
{
    if (keep_old(w, v, "disks"))
        return;
    json_array(w, "disks");
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct disk_plan *p = v->disks[i].plan;
        const char *phase = disk_phase(v, i);
        json_object(w, NULL);
        json_string(w, "name", p->name);
        json_string(w, "volume", p->volume);
        json_string(w, "sourcePVC", p->claim);
        write_size(w, "size", p->bytes);
        json_string(w, "phase", phase);
        json_stringf(w, "progress", "%u%%", disk_percent(v, i, phase));
        json_string(w, "storageClass", p->storage_class);
        json_string(w, "method", disk_method(v, i));
        if (disk_takes_snapshot(p->method))
            json_string(w, "cutRule", cut_rule_names[p->cut.rule]);
        if (disk_takes_snapshot(p->method) && !clone_uses_vm_snapshot(v))
            json_string(
                w, "snapshotMethod",
                snapshot_method_names[p->grouped ? METHOD_GROUP_SNAPSHOT : METHOD_VOLUME_SNAPSHOT]);
        json_end(w);
    }
    json_end(w);
}

#define METHOD_REASON_MAX 2048

/* An object of the API server's takes 1.5 MiB at most, its managedFields included, which name each
   entry once more. Beyond this many claims those of each target are left out: a record that cannot
   be stored would stop the clone. */
#define STATUS_CLAIMS_MAX 1024

static void write_ready(struct json_writer *w, const struct clone_record *r, int64_t index)
{
    for (size_t i = 0; i < r->ready_count; i++) {
        if (r->ready[i].index != index)
            continue;
        write_time(w, "readyTime", r->ready[i].ready_ms, true);
        write_time(w, "snapshotTime", r->ready[i].cut_ms, true);
        json_string(w, "consistency", consistency_names[r->ready[i].consistency]);
    }
}

static void write_targets(struct json_writer *w, const struct clone_state *v,
                          const struct clone_record *r)
{
    bool with_disks = v->target_count * v->disk_count <= STATUS_CLAIMS_MAX;
    if (keep_old(w, v, "targets"))
        return;
    json_array(w, "targets");
    for (size_t t = 0; t < v->target_count; t++) {
        const struct target_state *target = &v->targets[t];
        json_object(w, NULL);
        json_string(w, "vmName", target->vm.name);
        json_string(w, "vmUID",
                    target->vm.exists && target->vm.ours ? target->vm.uid
                                                         : record_vm_uid(&v->record, t));
        json_string(w, "phase",
                    !target->vm.exists ? "Pending"
                    : target->vm.ready ? "Ready"
                                       : str_or(target->vm.printable, "Created"));
        write_ready(w, r, target->index);
        if (with_disks)
            json_array(w, "disks");
        for (size_t i = 0; with_disks && i < v->disk_count; i++) {
            const struct claim_state *c = &target->claims[i];
            json_object(w, NULL);
            json_string(w, "name", v->disks[i].plan->name);
            json_string(w, "pvc", c->name);
            json_string(w, "phase",
                        !c->exists || !c->ours ? "Pending"
                        : c->bound             ? "Bound"
                                               : "Restoring");
            json_end(w);
        }
        if (with_disks)
            json_end(w);
        json_end(w);
    }
    json_end(w);
}

/* Why Auto takes what it takes: each reason once, in the order of the disks. */
static void write_method_reason(struct json_writer *w, const struct clone_state *v)
{
    CLEANUP_BUF struct buf text = BUF_INIT(64 * KIB);
    if (keep_old(w, v, "snapshotMethodReason"))
        return;
    for (size_t i = 0; i < v->disk_count && text.len < METHOD_REASON_MAX; i++) {
        const char *why = v->disks[i].plan->method_why;
        if (why && !strstr(text.data, why))
            buf_addf(&text, "%s%s", text.len ? "; " : "", why);
    }
    if (text.len)
        json_string(w, "snapshotMethodReason", text.data);
}

static void write_groups_refused(struct json_writer *w, const struct clone_record *r)
{
    if (!r->groups_refused.message)
        return;
    json_object(w, "groupSnapshotRefused");
    json_string(w, "message", r->groups_refused.message);
    if (r->groups_refused.attempt)
        json_number(w, "attempt", r->groups_refused.attempt);
    json_end(w);
}

static void write_group_name(struct json_writer *w, const struct clone_state *v)
{
    const char *old = json_str(json_get(v->status, "cloneStatus"), "groupSnapshotName");
    if (v->group_count && v->groups[0].exists && v->groups[0].ours)
        json_string(w, "groupSnapshotName", v->groups[0].name);
    else if (v->record.attempt.cut_ms)
        json_string(w, "groupSnapshotName", old);
}

static void write_snapshot_names(struct json_writer *w, const struct clone_state *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->disk_count; i++)
        n += v->disks[i].snapshot.exists && v->disks[i].snapshot.ours;
    /* While they are being removed the names stay as they were written at the cut. */
    if (!n || (v->record.attempt.cut_ms && n < v->disk_count)) {
        const cJSON *old = json_get(v->status, "cloneStatus");
        if (v->record.attempt.cut_ms) {
            json_string(w, "snapshotName", json_str(old, "snapshotName"));
            json_tree(w, "snapshotNames", json_get(old, "snapshotNames"));
        }
        return;
    }
    const char *first = NULL;
    json_array(w, "snapshotNames");
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct snapshot_state *s = &v->disks[i].snapshot;
        if (!s->exists || !s->ours)
            continue;
        json_string(w, NULL, s->name);
        first = first ? first : s->name;
    }
    json_end(w);
    json_string(w, "snapshotName", first);
}

static void write_shared(struct json_writer *w, const struct clone_record *r)
{
    if (r->attempt.shared.uid) {
        json_object(w, "shared");
        json_string(w, "uid", r->attempt.shared.uid);
        json_string(w, "name", r->attempt.shared.name);
        json_number(w, "attempt", r->attempt.shared.attempt);
        json_end(w);
    }
    if (!r->attempt.member_count)
        return;
    write_time(w, "sharedUntil", r->attempt.shared_until_ms, true);
    json_array(w, "sharedWith");
    for (size_t i = 0; i < r->attempt.member_count; i++) {
        json_object(w, NULL);
        json_string(w, "uid", r->attempt.members[i].uid);
        json_string(w, "name", r->attempt.members[i].name);
        json_string(w, "round", r->attempt.members[i].attempt_id);
        json_end(w);
    }
    json_end(w);
}

static void write_clone_status(struct json_writer *w, const struct clone_state *v,
                               const struct decision *d)
{
    const struct clone_record *r = &d->record;
    json_object(w, "cloneStatus");
    json_string(w, "phase", clone_phase_names[r->phase == PHASE_NONE ? PHASE_PENDING : r->phase]);
    json_stringf(w, "progress", "%lld%%", (long long)r->attempt.progress);
    json_string(w, "step", d->step);
    if (d->waiting_until_ms != INT64_MAX)
        write_time(w, "waitingUntil", d->waiting_until_ms, false);
    if (r->attempts)
        json_number(w, "attempts", r->attempts);
    write_time(w, "attemptTime", r->attempt.begun_ms, true);
    write_time(w, "startTime", r->start_ms, true);
    write_time(w, "completionTime", r->completion_ms, true);
    write_time(w, "expiresTime", record_expires(r, &v->effective), false);
    if (r->expired.at_ms) {
        json_object(w, "expired");
        write_time(w, "time", r->expired.at_ms, true);
        json_string(w, "action", expiry_names[r->expired.action]);
        write_time(w, "doneTime", r->expired.done_ms, true);
        json_end(w);
    }
    json_string(w, "sourceVMI", r->source_vmi);
    json_string(w, "sourceUID", r->attempt.source_uid);
    if (r->started.at_ms) {
        json_object(w, "sourceStarted");
        write_time(w, "time", r->started.at_ms, true);
        json_string(w, "vmiUID", r->started.vmi_uid);
        json_end(w);
    }
    write_snapshot_names(w, v);
    write_group_name(w, v);
    if (r->attempt.owned)
        json_boolean(w, "childrenOwned", true);
    if (r->labelled)
        json_boolean(w, "claimsLabelled", true);
    json_string(w, "vmSnapshotUID", r->vm_snapshot_uid);
    write_time(w, "snapshotTime",
               r->attempt.snapshot_ms ? r->attempt.snapshot_ms : r->attempt.cut_ms, true);
    write_time(w, "cutTime", r->attempt.cut_ms, true);
    write_size(w, "snapshotSize", r->attempt.snapshot_bytes);
    json_string(w, "consistency", consistency_names[r->attempt.consistency]);
    if (r->attempt.froze)
        json_number(w, "freezeMilliseconds", r->attempt.freeze_ms);
    write_freeze(w, r);
    write_shared(w, r);
    json_string(w, "retryToken", r->retry_token);
    write_disks(w, v);
    write_method_reason(w, v);
    write_groups_refused(w, r);
    write_targets(w, v, r);
    if (r->ready_count)
        json_number(w, "readyReplicas", (long long)r->ready_count);
    if (r->repair.count)
        json_number(w, "repairs", r->repair.count);
    if (r->repair.target)
        json_number(w, "repairing", r->repair.target);
    write_error(w, r);
    json_end(w);
}

void status_write(const struct clone_state *v, const struct decision *d, struct buf *out)
{
    char vm[NAME_BUF];
    struct json_writer w = json_writer(out);
    name_vm(v->wukong->name, v->effective.replicas, 0, vm);
    json_object(&w, NULL);
    json_number(&w, "observedGeneration", v->wukong->generation);
    json_string(&w, "phase", d->phase);
    json_string(&w, "vmName", vm);
    write_conditions(&w, v, d);
    write_clone_status(&w, v, d);
    json_end(&w);
}

/* --- comparison --- */

int64_t status_pause_ms(size_t under_way)
{
    size_t times = (under_way + STATUS_SOFT_CLONES - 1) / STATUS_SOFT_CLONES;
    return STATUS_SOFT_MS * (int64_t)(times ? times : 1);
}

/* Members of cloneStatus whose change alone may wait. */
static bool soft_member(const char *name)
{
    static const char *const soft[] = {
        "progress",          "step",          "disks",
        "targets",           "snapshotNames", "snapshotName",
        "groupSnapshotName", "phase",         "startTime",
        "waitingUntil",      "readyReplicas", "snapshotMethodReason"};
    for (size_t i = 0; i < ARRAY_LEN(soft); i++)
        if (str_eq(name, soft[i]))
            return true;
    return false;
}

static bool final_phase(const cJSON *clone_status)
{
    const char *phase = json_str(clone_status, "phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

static enum status_change compare_members(const cJSON *from, const cJSON *to,
                                          enum status_change worst)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, from) {
        if (json_equal(m, json_get(to, m->string)))
            continue;
        bool soft = soft_member(m->string) &&
                    !(str_eq(m->string, "phase") && final_phase(to) != final_phase(from));
        enum status_change change = soft ? STATUS_SOFT : STATUS_HARD;
        worst = change > worst ? change : worst;
    }
    return worst;
}

enum status_change status_compare(const struct clone_state *v, const cJSON *next)
{
    const cJSON *prev = v->status;
    enum status_change worst = STATUS_SAME;
    const cJSON *old_clone = json_get(prev, "cloneStatus");
    const cJSON *new_clone = json_get(next, "cloneStatus");
    worst = compare_members(new_clone, old_clone, worst);
    worst = compare_members(old_clone, new_clone, worst);
    static const char *const plain[] = {"observedGeneration", "phase", "vmName"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (!json_equal(json_get(prev, plain[i]), json_get(next, plain[i])) && worst < STATUS_SOFT)
            worst = STATUS_SOFT;
    for (enum condition_type t = 0; t < CONDITION_TYPES; t++) {
        const cJSON *a = condition_find(json_get(prev, "conditions"), condition_type_names[t]);
        const cJSON *b = condition_find(json_get(next, "conditions"), condition_type_names[t]);
        if (json_equal(a, b))
            continue;
        bool turned = !str_eq(json_str(a, "status"), json_str(b, "status"));
        bool hard = turned && (t == COND_READY || t == COND_STALLED) && a;
        worst = hard ? STATUS_HARD : worst < STATUS_SOFT ? STATUS_SOFT : worst;
    }
    return worst;
}
