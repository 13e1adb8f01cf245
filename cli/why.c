#include "cli/why.h"

#include "base/str.h"
#include "cli/progress.h"
#include "cli/terminal_text.h"
#include "json/json.h"
#include "json/writer.h"
#include "wukong/api/conditions.h"
#include "wukong/api/reasons.h"
#include "wukong/api/spec.h"

struct telling {
    const cJSON *wukong, *clone;
    const char *name, *ns;
    int64_t now_ms;
    struct buf *out;
    struct json_writer *json; /* NULL: text */
    const char *list;         /* the array that is open in json; NULL: none */
};

/* What a label of the text is called in JSON; lists: there may be several lines of it. */
static const struct {
    const char *label, *key;
    bool lists;
} labels[] = {
    {"machine:", "machines", true},   {"data:", "consistency", false},
    {"cut by:", "cutBy", false},      {"frozen:", "frozen", false},
    {"expires:", "expires", false},   {"until:", "until", false},
    {"gives up:", "givesUp", false},  {"gate:", "gates", true},
    {"also:", "also", true},          {"last error:", "lastError", false},
    {"attempts:", "attempts", false}, {"what to do:", "whatToDo", false},
    {"", "command", false},           {"once more:", "retryCommand", false},
    {"because:", "message", false},   {"step:", "step", false},
};

static void close_list(struct telling *t)
{
    if (t->list)
        json_end(t->json);
    t->list = NULL;
}

static void write_line(struct telling *t, const char *label, const char *text)
{
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        if (!str_eq(labels[i].label, label))
            continue;
        if (!str_eq(t->list, labels[i].key))
            close_list(t);
        if (labels[i].lists && !t->list)
            json_array(t->json, labels[i].key);
        if (labels[i].lists)
            t->list = labels[i].key;
        json_string(t->json, labels[i].lists ? NULL : labels[i].key, text);
        return;
    }
}

/* The first line of the text. */
static void tell_state(struct telling *t, const char *state, const char *reason, const char *text)
{
    if (!t->json) {
        buf_adds(t->out, text);
        return;
    }
    json_string(t->json, "state", state);
    json_string(t->json, "reason", reason);
}

/* "Name: what it says", the second line indented. */
static void tell_line(struct telling *t, const char *label, const char *text)
{
    if (t->json) {
        write_line(t, label, text);
        return;
    }
    buf_addf(t->out, "  %-11s ", label);
    terminal_text_add(t->out, text);
    buf_addc(t->out, '\n');
}

static void tell_time(struct telling *t, const char *label, int64_t at_ms)
{
    char when[TIME_TEXT_MAX], length[TERMINAL_TEXT_WAIT_MAX];
    CLEANUP_BUF struct buf text = BUF_INIT(KIB);
    int64_t left = at_ms - t->now_ms;
    time_to_str(at_ms, false, when);
    if (t->json) {
        write_line(t, label, when);
        return;
    }
    terminal_text_wait(left < 0 ? -left : left, length);
    buf_addf(&text, "%s (%s%s%s)", when, left < 0 ? "" : "in ", length, left < 0 ? " ago" : "");
    tell_line(t, label, text.data);
}

static void tell_machines(struct telling *t)
{
    const cJSON *target, *targets = json_get(t->clone, "targets");
    if (!cJSON_IsArray(targets) || !targets->child)
        tell_line(t, "machine:", str_or(json_str(t->wukong, "status.vmName"), "?"));
    else
        cJSON_ArrayForEach (target, targets)
            tell_line(t, "machine:", str_or(json_str(target, "vmName"), "?"));
}

/* By what the disks were, or are to be, cut: a group, single snapshots, or both; and why. */
static void tell_method(struct telling *t)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    const char *reason = json_str(t->clone, "snapshotMethodReason");
    const char *refused = json_str(t->clone, "groupSnapshotRefused.message");
    bool group = false, single = false;
    const cJSON *disk;
    cJSON_ArrayForEach (disk, json_get(t->clone, "disks")) {
        const char *method = json_str(disk, "snapshotMethod");
        group |= str_eq(method, snapshot_method_names[METHOD_GROUP_SNAPSHOT]);
        single |= str_eq(method, snapshot_method_names[METHOD_VOLUME_SNAPSHOT]);
    }
    if (!group && !single)
        return;
    buf_addf(&text, "%s%s%s", group ? snapshot_method_names[METHOD_GROUP_SNAPSHOT] : "",
             group && single ? " and " : "",
             single ? snapshot_method_names[METHOD_VOLUME_SNAPSHOT] : "");
    /* The reason says it, too, once the disks are planned again. */
    if (reason)
        buf_addf(&text, ", because %s", reason);
    else if (refused)
        buf_addf(&text, ", because a VolumeGroupSnapshot failed: %s", refused);
    tell_line(t, "cut by:", text.data);
}

static void tell_expiry(struct telling *t)
{
    int64_t at_ms;
    if (str_to_time_ms(json_str(t->clone, "expiresTime"), &at_ms))
        tell_time(t, "expires:", at_ms);
}

static void tell_success(struct telling *t)
{
    int64_t frozen;
    CLEANUP_BUF struct buf text = BUF_INIT(KIB);
    buf_addf(&text, "%s is done.\n", t->name);
    tell_state(t, "done", NULL, text.data);
    tell_machines(t);
    tell_line(t, "data:", str_or(json_str(t->clone, "consistency"), "consistency unknown"));
    tell_method(t);
    if (json_int(t->clone, "freezeMilliseconds", &frozen)) {
        buf_clear(&text);
        buf_addf(&text, "%lld ms", (long long)frozen);
        tell_line(t, "frozen:", text.data);
    }
    tell_expiry(t);
}

/* When the wait ends by itself, as the worker knows it, else when the clone is given up. */
static void tell_until(struct telling *t)
{
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    struct err err = {0};
    int64_t at_ms;
    arena_init(&a, 4 * MIB);
    if (str_to_time_ms(json_str(t->clone, "waitingUntil"), &at_ms)) {
        tell_time(t, "until:", at_ms);
        return;
    }
    if (!str_to_time_ms(json_str(t->clone, "startTime"), &at_ms) ||
        wukong_decode(&a, t->wukong, &w, &err) < 0)
        return;
    tell_time(t, "gives up:", at_ms + wukong_resolve_defaults(&w.spec, t->ns).deadline_s * 1000);
}

/* Which gates are open, which not: the message names only the first. */
static void tell_gates(struct telling *t)
{
    const cJSON *gate;
    cJSON_ArrayForEach (gate, json_at(t->wukong, "spec.cloneSource.gates")) {
        CLEANUP_BUF struct buf text = BUF_INIT(KIB);
        const char *type = cJSON_GetStringValue(gate);
        buf_addf(&text, "%s is %s", str_or(type, "?"),
                 str_or(json_str(condition_find(json_at(t->wukong, "status.conditions"),
                                                str_or(type, "")),
                                 "status"),
                        "not set"));
        tell_line(t, "gate:", text.data);
    }
}

/* Conditions that are not as they should be and say something else than Ready. */
static void tell_conditions(struct telling *t, const char *known)
{
    static const char *const types[] = {"PolicyAllowed",     "SourceReady", "SnapshotReady",
                                        "SnapshotTaken",     "DisksReady",  "VirtualMachineReady",
                                        "TemporariesCleaned"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const cJSON *c = condition_find(json_at(t->wukong, "status.conditions"), types[i]);
        const char *message = json_str(c, "message");
        const char *status = json_str(c, "status");
        bool wanting = str_eq(status, "False") || str_eq(status, "Unknown");
        if (!wanting || str_empty(message) || str_eq(message, known))
            continue;
        CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
        buf_addf(&text, "%s (%s): %s", types[i], str_or(json_str(c, "reason"), "?"), message);
        tell_line(t, "also:", text.data);
    }
}

static void tell_error(struct telling *t, const char *reason)
{
    const char *error = json_str(t->clone, "lastError.reason");
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    int64_t attempts;
    if (error && !str_eq(error, reason)) {
        buf_addf(&text, "%s: %s", error, str_or(json_str(t->clone, "lastError.message"), ""));
        tell_line(t, "last error:", text.data);
    }
    if (json_int(t->clone, "attempts", &attempts) && attempts > 1) {
        buf_clear(&text);
        buf_addf(&text, "%lld", (long long)attempts);
        tell_line(t, "attempts:", text.data);
    }
}

static void tell_remedy(struct telling *t, enum reason reason, bool failed)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4 * KIB);
    const char *remedy = reason_table[reason].remedy;
    if (!failed)
        tell_line(t, "what to do:", remedy ? remedy : "Nothing: it continues by itself.");
    else if (remedy)
        tell_line(t, "what to do:", remedy);
    if (!failed)
        return;
    buf_addf(&text,
             "kubectl annotate wukong -n %s %s " WUKONG_RETRY_ANNOTATION
             "=\"$(date +%%s)\" --overwrite",
             t->ns, t->name);
    tell_line(t, "once more:", text.data);
}

static void tell_unseen(struct telling *t)
{
    CLEANUP_BUF struct buf text = BUF_INIT(KIB);
    buf_addf(&text, "The worker has not reconciled %s yet.\n", t->name);
    tell_state(t, "unseen", NULL, text.data);
    tell_line(t, "what to do:", "See whether the worker runs:");
    tell_line(t, "", "kubectl get deployment -A -l app.kubernetes.io/component=worker");
}

static void tell_waiting(struct telling *t, const cJSON *ready, bool failed)
{
    const char *reason = str_or(json_str(ready, "reason"), "Unknown");
    const char *message = str_or(json_str(ready, "message"), "");
    enum reason known = reason_find(reason);
    bool waits = reason_table[known].kind == REASON_WAITS;
    bool dying = json_str(t->wukong, "metadata.deletionTimestamp");
    CLEANUP_BUF struct buf text = BUF_INIT(4 * KIB);
    buf_addf(&text, "%s %s: %s\n", t->name,
             failed  ? "has failed"
             : dying ? "is being deleted"
             : waits ? "waits"
                     : "is under way",
             reason);
    tell_state(t,
               failed  ? "failed"
               : dying ? "deleting"
               : waits ? "waits"
                       : "underWay",
               reason, text.data);
    if (*message)
        tell_line(t, "because:", message);
    if (!failed && json_str(t->clone, "step"))
        tell_line(t, "step:", json_str(t->clone, "step"));
    if (known == REASON_AWAITING_GATES)
        tell_gates(t);
    if (!failed)
        tell_until(t);
    tell_method(t);
    tell_error(t, reason);
    tell_conditions(t, message);
    tell_remedy(t, known, failed);
}

static void tell(const cJSON *wukong, int64_t now_ms, struct buf *out, struct json_writer *json)
{
    const cJSON *ready = condition_find(json_at(wukong, "status.conditions"), "Ready");
    struct telling t = {.wukong = wukong,
                        .clone = json_at(wukong, "status.cloneStatus"),
                        .name = str_or(json_str(wukong, "metadata.name"), "?"),
                        .ns = str_or(json_str(wukong, "metadata.namespace"), "default"),
                        .now_ms = now_ms,
                        .out = out,
                        .json = json};
    CLEANUP_BUF struct buf text = BUF_INIT(KIB);
    if (json) {
        json_string(json, "name", t.name);
        json_string(json, "namespace", t.ns);
    }
    switch (progress_state(wukong)) {
    case PROGRESS_NO_CLONE:
        buf_addf(&text,
                 "%s has no cloneSource, so it is no clone and the worker leaves it alone.\n",
                 t.name);
        tell_state(&t, "noClone", NULL, text.data);
        break;
    case PROGRESS_SUCCEEDED:
        tell_success(&t);
        break;
    case PROGRESS_FAILED:
    case PROGRESS_RUNNING:
        if (!ready)
            tell_unseen(&t);
        else
            tell_waiting(&t, ready, progress_state(wukong) == PROGRESS_FAILED);
        break;
    }
    close_list(&t);
}

void why_text(const cJSON *wukong, int64_t now_ms, struct buf *out)
{
    tell(wukong, now_ms, out, NULL);
}

void why_json(const cJSON *wukong, int64_t now_ms, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    tell(wukong, now_ms, out, &w);
    json_end(&w);
}
