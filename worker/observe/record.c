#include "observe/record.h"

#include <assert.h>

#include "apimachinery/dns_names.h"
#include "apimachinery/quantity.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/reasons.h"

const char *const clone_phase_names[CLONE_PHASES] = {
    [PHASE_NONE] = "",           [PHASE_PENDING] = "Pending",
    [PHASE_CLONING] = "Cloning", [PHASE_SUCCEEDED] = "Succeeded",
    [PHASE_FAILED] = "Failed",
};

static int64_t read_time(const cJSON *o, const char *path)
{
    int64_t ms;
    return str_to_time_ms(json_str(o, path), &ms) ? ms : 0;
}

/* All are counts; one that somebody has written must not overflow when it is added to. */
static int64_t read_int(const cJSON *o, const char *path)
{
    int64_t v;
    return json_int(o, path, &v) && v >= 0 && v < INT64_MAX / 4 ? v : 0;
}

static const char *read_text(struct arena *a, const cJSON *o, const char *path)
{
    return arena_strdup(a, json_str(o, path));
}

static unsigned read_enum(const cJSON *o, const char *path, const char *const *names, unsigned n)
{
    const char *word = json_str(o, path);
    for (unsigned i = 0; word && i < n; i++)
        if (names[i] && str_eq(word, names[i]))
            return i;
    return 0;
}

static int64_t read_percent(const cJSON *o)
{
    const char *text = json_str(o, "progress");
    int64_t v = 0;
    for (; text && *text >= '0' && *text <= '9' && v <= 100; text++)
        v = v * 10 + (*text - '0');
    return v > 100 ? 100 : v;
}

static void read_members(struct arena *a, const cJSON *o, struct attempt *r)
{
    const cJSON *list = json_get(o, "sharedWith"), *m;
    size_t n = (size_t)cJSON_GetArraySize(list);
    struct share_member *members = n ? arena_alloc(a, n * sizeof *members) : NULL;
    if (!members)
        return;
    cJSON_ArrayForEach (m, list) {
        struct share_member one = {read_text(a, m, "uid"), read_text(a, m, "name"),
                                   read_text(a, m, "round")};
        if (one.uid && one.attempt_id)
            members[r->member_count++] = one;
    }
    r->members = members;
}

static void read_machines(struct arena *a, const cJSON *o, struct clone_record *r)
{
    const cJSON *list = json_get(o, "targets"), *t;
    size_t n = (size_t)cJSON_GetArraySize(list);
    const char **uids = n ? arena_alloc(a, n * sizeof *uids) : NULL;
    if (!uids)
        return;
    cJSON_ArrayForEach (t, list)
        uids[r->vm_uid_count++] = read_text(a, t, "vmUID");
    r->vm_uids = uids;
}

/* While it is the last error that tells of it, and from then on the method that was taken instead.
 */
static bool read_cloning_refused(const cJSON *o)
{
    const cJSON *d;
    bool refused =
        str_eq(json_str(o, "lastError.reason"), reason_table[REASON_CLONING_REFUSED].name);
    cJSON_ArrayForEach (d, json_get(o, "disks"))
        refused |= str_eq(json_str(d, "method"), disk_method_names[DISK_RESTORE]);
    return refused;
}

/* A copy by CDI's host is written by that name, whatever CDI was asked to copy from. */
static enum disk_method read_method(const cJSON *d)
{
    const char *word = json_str(d, "method");
    if (str_eq(word, DISK_METHOD_HOST_COPY))
        return json_get(d, "cutRule") ? DISK_CDI_SNAPSHOT : DISK_CDI_CLONE;
    return (enum disk_method)read_enum(d, "method", disk_method_names, DISK_METHODS);
}

static bool read_disk(struct arena *a, const cJSON *d, struct record_disk *ret)
{
    *ret = (struct record_disk){
        .name = read_text(a, d, "name"),
        .volume = read_text(a, d, "volume"),
        .claim = read_text(a, d, "sourcePVC"),
        .storage_class = read_text(a, d, "storageClass"),
        .bytes = quantity_bytes(json_str(d, "size")),
        .method = read_method(d),
        .grouped =
            str_eq(json_str(d, "snapshotMethod"), snapshot_method_names[METHOD_GROUP_SNAPSHOT]),
    };
    const char *rule = json_str(d, "cutRule");
    return name_is_dns_subdomain(ret->name) && name_is_dns_subdomain(ret->claim) &&
           !str_empty(ret->volume) && ret->method != DISK_METHOD_NONE &&
           (!rule || cut_rule_find(rule, &ret->cut));
}

static void read_disks(struct arena *a, const cJSON *o, struct clone_record *r)
{
    const cJSON *list = json_get(o, "disks"), *d;
    size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
    if (!n || n > LIMIT_DISKS)
        return;
    struct record_disk *disks = arena_alloc(a, n * sizeof *disks);
    size_t count = 0;
    cJSON_ArrayForEach (d, list)
        if (!read_disk(a, d, &disks[count++]))
            return;
    r->disks = disks;
    r->disk_count = count;
}

static void read_ready(struct arena *a, const cJSON *o, struct clone_record *r)
{
    const cJSON *list = json_get(o, "targets"), *t;
    size_t n = (size_t)cJSON_GetArraySize(list);
    struct ready_target *ready = n ? arena_alloc(a, n * sizeof *ready) : NULL;
    int64_t index = 0;
    if (!ready)
        return;
    cJSON_ArrayForEach (t, list) {
        struct ready_target one = {
            index++, read_text(a, t, "vmUID"), read_time(t, "readyTime"),
            read_time(t, "snapshotTime"),
            (enum consistency)read_enum(t, "consistency", consistency_names, CONSISTENCIES)};
        if (one.vm_uid && one.ready_ms)
            ready[r->ready_count++] = one;
    }
    r->ready = ready;
}

static struct attempt read_attempt(struct arena *a, const cJSON *o)
{
    struct attempt r = {
        .begun_ms = read_time(o, "attemptTime"),
        .progress = read_percent(o),
        .source_uid = read_text(a, o, "sourceUID"),
        .freeze = {.requested_ms = read_time(o, "freeze.requestedTime"),
                   .deadline_ms = read_time(o, "freeze.deadlineTime"),
                   .acknowledged_ms = read_time(o, "freeze.acknowledgedTime"),
                   .thawed_ms = read_time(o, "freeze.thawedTime"),
                   .vmi_uid = read_text(a, o, "freeze.vmiUID")},
        .cut_ms = read_time(o, "cutTime"),
        .snapshot_ms = read_time(o, "snapshotTime"),
        .freeze_ms = read_int(o, "freezeMilliseconds"),
        .froze = json_at(o, "freezeMilliseconds") != NULL,
        .consistency =
            (enum consistency)read_enum(o, "consistency", consistency_names, CONSISTENCIES),
        .owned = json_bool(o, "childrenOwned", false),
        .shared = {.uid = read_text(a, o, "shared.uid"),
                   .name = read_text(a, o, "shared.name"),
                   .attempt = read_int(o, "shared.attempt")},
        .shared_until_ms = read_time(o, "sharedUntil"),
    };
    read_members(a, o, &r);
    (void)str_to_i64(json_str(o, "snapshotSize"), &r.snapshot_bytes);
    return r;
}

struct clone_record record_read(struct arena *a, const cJSON *o)
{
    struct clone_record r = {
        .phase = (enum clone_phase)read_enum(o, "phase", clone_phase_names, CLONE_PHASES),
        .attempts = read_int(o, "attempts"),
        .attempt = read_attempt(a, o),
        .start_ms = read_time(o, "startTime"),
        .completion_ms = read_time(o, "completionTime"),
        .source_vmi = read_text(a, o, "sourceVMI"),
        .started = {.at_ms = read_time(o, "sourceStarted.time"),
                    .vmi_uid = read_text(a, o, "sourceStarted.vmiUID")},
        .expired = {.at_ms = read_time(o, "expired.time"),
                    .action = (enum expiry)read_enum(o, "expired.action", expiry_names, EXPIRIES),
                    .done_ms = read_time(o, "expired.doneTime")},
        .labelled = json_bool(o, "claimsLabelled", false),
        .vm_snapshot_uid = read_text(a, o, "vmSnapshotUID"),
        .retry_token = read_text(a, o, "retryToken"),
        .error = {.reason = read_text(a, o, "lastError.reason"),
                  .message = read_text(a, o, "lastError.message"),
                  .disk = read_text(a, o, "lastError.disk"),
                  .at_ms = read_time(o, "lastError.time"),
                  .attempt = read_int(o, "lastError.attempt"),
                  .in_a_row = read_int(o, "lastError.inARow"),
                  .terminal = json_bool(o, "lastError.terminal", false),
                  .freeze_ms = read_int(o, "lastError.freezeMilliseconds"),
                  .froze = json_at(o, "lastError.freezeMilliseconds") != NULL},
    };
    read_ready(a, o, &r);
    read_disks(a, o, &r);
    r.repair.count = read_int(o, "repairs");
    r.repair.target = read_int(o, "repairing");
    read_machines(a, o, &r);
    r.cloning_refused = read_cloning_refused(o);
    r.groups_refused.message = read_text(a, o, "groupSnapshotRefused.message");
    r.groups_refused.attempt = read_int(o, "groupSnapshotRefused.attempt");
    return r;
}

int64_t record_expires(const struct clone_record *r, const struct wukong_effective *e)
{
    if (!e->expiry)
        return 0;
    if (e->expires_at_ms)
        return e->expires_at_ms;
    return record_final(r) && r->completion_ms ? r->completion_ms + e->expires_after_ms : 0;
}

bool share_begun(const struct clone_record *r)
{
    return r->attempt.source_uid || r->attempt.freeze.requested_ms || r->attempt.cut_ms ||
           r->attempt.shared.uid;
}
