/* What a status says must be true, and may only go forward. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkers/checkers.h"
#include "wukong/api/spec.h"

static int64_t number(const cJSON *o, const char *path)
{
    int64_t n = 0;
    return json_int(o, path, &n) ? n : 0;
}

static int64_t percent(const cJSON *clone)
{
    int64_t n = 0;
    for (const char *p = str_or(json_str(clone, "progress"), "0"); *p >= '0' && *p <= '9'; p++)
        n = n * 10 + (*p - '0');
    return n;
}

static bool final_phase(const char *phase)
{
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

/* --- the thaw is owed until the guest is thawed --- */

static void debt_closed(struct sim *s, const struct seen_wukong *k, const cJSON *before)
{
    const char *uid = json_str(before, "freeze.vmiUID");
    for (const struct machine *m = s->cluster.machines; m; m = m->next) {
        if (!str_eq(m->vmi_uid, uid) || !uid)
            continue;
        if (m->frozen_by == FREEZER_OURS)
            sim_violation(s, "thaw-is-owed-until-thawed",
                          "%s says that %s is thawed, it is frozen since %" PRId64 " ms", k->name,
                          m->name, s->now_ms - m->frozen_ms);
        if (freeze_is_coming(&s->cluster, m))
            sim_violation(s, "thaw-is-owed-until-thawed",
                          "%s says that %s is thawed, a freeze is still on its way to the guest",
                          k->name, m->name);
    }
}

/* What is told of a freeze that is over: no less than the guest was held. A worker that takes over
   has only times of another clock. */
static void check_told(struct sim *s, const struct seen_wukong *k, const struct machine *m,
                       const cJSON *after)
{
    int64_t held = machine_held_ms(m) - k->held_before_ms;
    if (json_at(after, "freeze.thawedTime") &&
        number(after, "freezeMilliseconds") + 2 * s->clocks_off_ms < held)
        sim_violation(s, "told-is-never-less-than-frozen",
                      "%s tells of %" PRId64 " ms, %s was frozen for %" PRId64 " ms", k->name,
                      number(after, "freezeMilliseconds"), m->name, held);
}

static void check_debt(struct sim *s, struct seen_wukong *k, const cJSON *before,
                       const cJSON *after)
{
    const char *was = json_str(before, "freeze.requestedTime");
    const char *is = json_str(after, "freeze.requestedTime");
    bool owed = was && !json_at(before, "freeze.thawedTime");
    const struct machine *m = machine_find(&s->cluster, k->source_ns, str_or(k->source, ""));
    if (m && is && !str_eq(was, is))
        k->held_before_ms = machine_held_ms(m);
    if (is && !str_eq(was, is)) {
        k->asked_ms = s->now_ms;
        k->refused = false;
    }
    if (!owed)
        return;
    if (m)
        check_told(s, k, m, after);
    if (json_at(after, "freeze.thawedTime") || !is || !str_eq(was, is))
        debt_closed(s, k, before);
}

/* --- consistency is what the snapshots hold --- */

struct cuts {
    unsigned count, frozen, running, pending, torn, grouped;
    bool joined, stale;
    int64_t least, most, first_ms, last_ms;
};

static void add_cut(struct cuts *c, const struct physical *p)
{
    if (!c->count || p->records < c->least)
        c->least = p->records;
    if (!c->count || p->records > c->most)
        c->most = p->records;
    if (!c->count || p->cut_ms < c->first_ms)
        c->first_ms = p->cut_ms;
    if (p->cut_ms > c->last_ms)
        c->last_ms = p->cut_ms;
    c->count++;
    c->frozen += p->frozen;
    c->pending += p->pending;
    c->torn += p->torn;
    c->grouped += p->grouped;
    c->running += p->running;
    c->joined |= p->joined;
    c->stale |= p->stale;
}

static void add_snapshot(struct sim *s, struct cuts *c, const struct api_object *o)
{
    char content[300];
    if (!o)
        return;
    (void)snprintf(content, sizeof content, "snapcontent-%s", o->uid);
    const struct api_object *vsc = api_find(&s->api, API_CONTENT, "", content);
    const struct physical *p = vsc ? physical_of_content(&s->cluster, vsc) : NULL;
    if (p)
        add_cut(c, p);
}

/* Those that KubeVirt took for a VirtualMachineSnapshot of ours. */
static void add_backups(struct sim *s, struct cuts *c, const struct api_object *o)
{
    const struct api_object *content =
        api_find(&s->api, API_VM_SNAPSHOT_CONTENT, o->ns,
                 json_str(o->tree, "status.virtualMachineSnapshotContentName"));
    const cJSON *b;
    if (!content)
        return;
    cJSON_ArrayForEach (b, json_at(content->tree, "spec.volumeBackups"))
        add_snapshot(s, c,
                     api_find(&s->api, API_SNAPSHOT, o->ns, json_str(b, "volumeSnapshotName")));
}

static void add_members(struct sim *s, struct cuts *c, const struct api_object *o)
{
    CLEANUP_FREE char *name = xasprintf("groupsnapcontent-%s", o->uid);
    const struct api_object *content = api_find(&s->api, API_GROUP_CONTENT, "", name);
    for (const struct physical *p = s->cluster.physicals; content && p; p = p->next)
        if (str_eq(p->content_uid, content->uid))
            add_cut(c, p);
}

static struct cuts cuts_of(struct sim *s, const struct seen_wukong *k, int64_t attempt)
{
    static const enum api_kind kinds[] = {API_SNAPSHOT, API_VM_SNAPSHOT, API_GROUP};
    struct cuts c = {0};
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, attempt);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        for (struct api_object *o = s->api.objects[kinds[i]]; o; o = o->hh.next) {
            const char *of = json_str(o->tree, "metadata.labels[vm.novasphere.dev/attempt]");
            if (checkers_owner(s, o->tree) != k || !str_eq(of, text))
                continue;
            if (o->kind == API_SNAPSHOT)
                add_snapshot(s, &c, o);
            else if (o->kind == API_GROUP)
                add_members(s, &c, o);
            else
                add_backups(s, &c, o);
        }
    return c;
}

static void check_claimed(struct sim *s, const struct seen_wukong *k, const char *consistency,
                          const struct cuts *c, const char *what)
{
    if (c->pending)
        sim_violation(s, "consistency-is-true", "%s claims %s; of %u %s %u are not cut yet",
                      k->name, consistency, c->count, what, c->pending);
    /* Who thaws beside us is seen too late, or not at all: below. */
    if (c->torn && !c->joined)
        sim_violation(s, "consistency-is-true",
                      "%s claims %s; of %u %s %u were copied while the guest wrote", k->name,
                      consistency, c->count, what, c->torn);
    if (c->stale)
        sim_violation(s, "disks-are-whole",
                      "%s claims %s; of %u %s some are of claims that did not hold what the guest "
                      "wrote",
                      k->name, consistency, c->count, what);
    /* Within the 5 s of KubeVirt's poll nobody can tell somebody else's freeze from none, and
       KubeVirt answers 200 to a second one: whoever made the first may thaw both. */
    if (str_eq(consistency, "FilesystemConsistent") && !c->joined &&
        (c->frozen != c->count || c->least != c->most))
        sim_violation(s, "consistency-is-true",
                      "%s claims FilesystemConsistent; of %u %s %u were cut while frozen, records "
                      "%" PRId64 " to %" PRId64,
                      k->name, c->count, what, c->frozen, c->least, c->most);
    bool one_moment = c->grouped == c->count && c->least == c->most;
    if (str_eq(consistency, "CrashConsistent") && c->count > 1 && !one_moment)
        sim_violation(s, "consistency-is-true",
                      "%s claims CrashConsistent of %u %s, cut one by one", k->name, c->count,
                      what);
    if (str_eq(consistency, "Offline") && (c->running || c->least != c->most))
        sim_violation(s, "consistency-is-true",
                      "%s claims Offline; of %u %s %u were cut while the source ran, records "
                      "%" PRId64 " to %" PRId64,
                      k->name, c->count, what, c->running, c->least, c->most);
}

static void count_consistency(struct sim *s, const char *word)
{
    s->filesystem += str_eq(word, "FilesystemConsistent");
    s->crash += word && str_starts(word, "CrashConsistent");
    s->offline += str_eq(word, "Offline");
}

/* Its agent came too late by seconds only: a worker's clock may be off by two. */
#define BOOT_MS 110000

/* A guest that boots is not one without an agent. */
static void check_boot(struct sim *s, const struct seen_wukong *k, const cJSON *wukong,
                       const char *word, const struct cuts *c)
{
    const struct machine *m = machine_find(&s->cluster, k->source_ns, k->source);
    int64_t first = c->first_ms - SIM_EPOCH_MS;
    if (!m || !m->vmi_uid || !m->has_agent || m->settled || !c->count || first < m->started_ms ||
        !str_eq(word, "CrashConsistent") ||
        str_eq(json_str(wukong, "spec.cloneSource.quiesce"), "Never"))
        return;
    if (first < m->started_ms + BOOT_MS)
        sim_violation(s, "a-booting-guest-gets-time",
                      "%s was cut %" PRId64 " ms after its guest began to run, without its agent",
                      k->name, first - m->started_ms);
}

static void check_consistency(struct sim *s, const struct seen_wukong *k, const cJSON *before,
                              const cJSON *wukong)
{
    const cJSON *after = json_at(wukong, "status.cloneStatus");
    const char *word = json_str(after, "consistency");
    if (!word || !json_at(after, "cutTime") || json_at(before, "cutTime"))
        return;
    int64_t attempt;
    const struct seen_wukong *owner = checkers_snapshot_owner(s, k, after, &attempt);
    struct cuts c = cuts_of(s, owner, attempt);
    check_claimed(s, k, word, &c, "snapshots");
    check_boot(s, k, wukong, word, &c);
    checkers_restrictions_cut(s, k, wukong, c.first_ms, c.last_ms);
    checkers_restrictions_worth(s, k, word);
    count_consistency(s, word);
}

/* --- success means that the targets are there --- */

struct disks_query {
    struct sim *s;
    const struct seen_wukong *k;
    const struct api_object *vm;
    struct cuts cuts;
    bool waits; /* a claim that binds with its consumer, and the VM is not started */
};

/* A policy engine has made another claim of it: it does not hold what was cut for it. */
static void check_asked(const struct disks_query *q, const struct api_object *pvc,
                        const struct volume *v)
{
    int64_t records;
    const char *asked = pvc ? json_str(pvc->tree, SIM_ASKED_RECORDS) : NULL;
    if (asked && str_to_i64(asked, &records) && records != v->records)
        sim_violation(q->s, "disks-hold-what-was-cut",
                      "%s Succeeded, claim %s holds record %" PRId64 " instead of %s", q->k->name,
                      pvc->name, v->records, asked);
}

static void add_disk(void *arg, const char *volume, const char *claim)
{
    struct disks_query *q = arg;
    const struct api_object *pvc = api_find(&q->s->api, API_PVC, q->vm->ns, claim);
    const struct volume *v = volume_of_claim(&q->s->cluster, q->vm->ns, claim);
    (void)volume;
    if (v) {
        struct physical p = {.records = v->records,
                             .grouped = v->of && v->of->grouped,
                             .frozen = v->cut_frozen,
                             .running = v->cut_running,
                             .joined = v->cut_joined,
                             .stale = v->cut_stale};
        add_cut(&q->cuts, &p);
        check_asked(q, pvc, v);
        return;
    }
    /* CDI's DataVolume stands for a claim that it has not made yet. */
    const struct api_object *dv = api_find(&q->s->api, API_DATA_VOLUME, q->vm->ns, claim);
    bool live =
        str_eq(pvc ? json_str(pvc->tree, "spec.dataSource.kind") : NULL, "PersistentVolumeClaim") ||
        (dv && json_at(dv->tree, "spec.source.pvc") &&
         !str_eq(json_str(dv->tree, "status.phase"), "Succeeded"));
    if (live && !q->k->disturbed)
        sim_violation(q->s, "success-is-data", "%s Succeeded, claim %s hangs on a live claim",
                      q->k->name, claim);
    const char *class = pvc  ? json_str(pvc->tree, "spec.storageClassName")
                        : dv ? str_or(json_str(dv->tree, "spec.pvc.storageClassName"),
                                      json_str(dv->tree, "spec.storage.storageClassName"))
                             : NULL;
    bool late =
        str_eq(class, "late") && str_eq(json_str(q->vm->tree, "spec.runStrategy"), "Halted");
    q->waits |= late;
    if (!late && !q->k->disturbed)
        sim_violation(q->s, "success-is-true", "%s Succeeded, claim %s is %s", q->k->name, claim,
                      pvc ? "not bound" : "not there");
}

static void check_success(struct sim *s, const struct seen_wukong *k, const cJSON *clone)
{
    unsigned targets = 0;
    for (struct api_object *o = s->api.objects[API_VM]; o; o = o->hh.next) {
        struct disks_query q = {.s = s, .k = k, .vm = o};
        if (checkers_owner(s, o->tree) != k)
            continue;
        targets++;
        each_claim(json_at(o->tree, "spec.template.spec"), add_disk, &q);
        if (!q.waits)
            check_claimed(s, k, json_str(clone, "consistency"), &q.cuts, "disks");
    }
    if (targets != (unsigned)k->replicas && !k->disturbed)
        sim_violation(s, "success-is-true", "%s Succeeded with %u of %" PRId64 " VMs", k->name,
                      targets, k->replicas);
    if (!json_str(clone, "consistency"))
        sim_violation(s, "success-is-true", "%s Succeeded and says nothing of consistency",
                      k->name);
}

/* --- only forward --- */

static void check_forward(struct sim *s, struct seen_wukong *k, const cJSON *before,
                          const cJSON *after)
{
    const char *was = json_str(before, "phase"), *is = json_str(after, "phase");
    if (final_phase(was) && !str_eq(was, is)) {
        if (str_eq(was, "Succeeded") || !k->retried)
            sim_violation(s, "finished-never-runs-again", "%s went from %s to %s", k->name, was,
                          str_or(is, "nothing"));
        k->final = k->retried = false;
        /* Whatever it came out of, it was asked for since. */
        k->restored = false;
        k->attempts = k->progress = 0;
    }
    if (number(after, "attempts") < k->attempts)
        sim_violation(s, "only-forward", "%s went from attempt %" PRId64 " to %" PRId64, k->name,
                      k->attempts, number(after, "attempts"));
    if (number(after, "attempts") == k->attempts && percent(after) < k->progress)
        sim_violation(s, "only-forward", "%s went from %" PRId64 "%% to %" PRId64 "%%", k->name,
                      k->progress, percent(after));
    k->attempts = number(after, "attempts");
    k->progress = percent(after);
}

static void finished(struct sim *s, struct seen_wukong *k, const cJSON *wukong)
{
    const cJSON *clone = json_at(wukong, "status.cloneStatus");
    const char *phase = json_str(clone, "phase");
    k->final = true;
    k->succeeded = str_eq(phase, "Succeeded");
    k->final_ms = s->now_ms;
    free(k->retry);
    k->retry = xstrdup(json_str(wukong, "metadata.annotations[" WUKONG_RETRY_ANNOTATION "]"));
    /* The annotation may have been there already and not yet acted upon. */
    k->retried = k->retry && !str_eq(k->retry, json_str(clone, "retryToken"));
    sim_trace(s, "%s is %s: %s: %s", k->name, phase, str_or(json_str(clone, "consistency"), "-"),
              str_or(json_str(clone, "lastError.message"), "no error"));
    if (str_eq(phase, "Succeeded")) {
        s->succeeded++;
        check_success(s, k, clone);
    } else {
        s->failed++;
    }
}

/* Nobody is blamed who is not there. */
static void check_blame(struct sim *s, const struct seen_wukong *k, const cJSON *before,
                        const cJSON *after)
{
    static const char reason[] = "status.cloneStatus.lastError.reason";
    if (str_eq(json_str(after, reason), "ChangedByAdmission") &&
        !str_eq(json_str(before, reason), "ChangedByAdmission") && !s->copycats.mutates)
        sim_violation(s, "failures-are-explained", "%s: %s, and nothing changes claims", k->name,
                      json_str(after, "status.cloneStatus.lastError.message"));
}

void checkers_status(struct sim *s, struct seen_wukong *k, const cJSON *before, const cJSON *after)
{
    check_blame(s, k, before, after);
    const cJSON *old = json_at(before, "status.cloneStatus");
    const cJSON *new = json_at(after, "status.cloneStatus");
    checkers_shared(s, k, old, new);
    check_forward(s, k, old, new);
    check_debt(s, k, old, new);
    check_consistency(s, k, old, after);
    if (final_phase(json_str(new, "phase")) && !final_phase(json_str(old, "phase")))
        finished(s, k, after);
}
