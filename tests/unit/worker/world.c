#include "world_parts.h"

#include <stdio.h>

static const struct disk_plan restore_plans[DISKS] = {
    {.name = "root",
     .volume = "root",
     .claim = "src-root",
     .method = DISK_RESTORE,
     .storage_class = "fast"},
    {.name = "data",
     .volume = "data",
     .claim = "src-data",
     .method = DISK_RESTORE,
     .storage_class = "fast"},
};
const struct disk_plan world_lazy_plans[DISKS] = {
    {.name = "root",
     .volume = "root",
     .claim = "src-root",
     .method = DISK_RESTORE,
     .storage_class = "lazy"},
    {.name = "data",
     .volume = "data",
     .claim = "src-data",
     .method = DISK_RESTORE,
     .storage_class = "lazy"},
};
const char *const world_claims[DISKS] = {"w-root", "w-data"};
const char *const world_snapshots[DISKS] = {"s-root", "s-data"};
const char *const world_contents[DISKS] = {"c-root", "c-data"};

/* --- the world answers --- */

static void answer(struct world *w, const struct intent *i, bool ok, int code)
{
    struct call *c = call_log_get(&w->call_log, i->key);
    c->state = ok ? CALL_OK : CALL_FAILED;
    c->code = code;
    c->failures = ok ? 0 : c->failures + 1;
    c->kind = ok                          ? ERR_NONE
              : code == 409               ? ERR_CONFLICT
              : code == 429               ? ERR_THROTTLED
              : code >= 400 && code < 500 ? ERR_REFUSED
                                          : ERR_INTERNAL;
    c->sent_ms = c->sent_mono_ms = w->now;
    c->done_ms = c->done_mono_ms = w->now + 5;
    c->retry_ms = w->now + 500;
    if (i->mark_sent.kind)
        call_log_prove(&w->call_log, i->mark_sent)->sent_mono_ms = w->now;
    if (ok && i->mark_done.kind)
        call_log_prove(&w->call_log, i->mark_done)->done_mono_ms = w->now + 5;
}

static size_t index_of(const char *const *names, const char *name)
{
    return str_eq(names[0], name) ? 0 : 1;
}

static void do_freeze(struct world *w, const struct intent *i)
{
    assert_true(w->finalizer);
    /* Announced before it is sent, and not long before: the record tells when the guest's own timer
       has certainly run out. */
    assert_true(w->record.attempt.freeze.requested_ms != 0);
    assert_true(w->now - w->record.attempt.freeze.requested_ms < 15000);
    w->freezes++;
    if (w->freeze_code == 200 || w->lands) {
        w->frozen = true;
        w->gone_on = false;
        w->froze_ms = w->now;
        w->guest_timer = w->now + (w->vss ? 10000 : 60000);
    }
    answer(w, i, w->freeze_code == 200, w->freeze_code);
}

static void guest_goes_on(struct world *w)
{
    if (w->frozen)
        w->frozen_ms = w->now - w->froze_ms;
    w->frozen = false;
}

/* Of what VSS did the first answer tells, and no other (qga/vss-win32/requester.cpp: a thaw of what
   is not frozen works). */
static void do_thaw(struct world *w, const struct intent *i)
{
    const char *text = w->gone_on ? "unexpected return code 500, message: couldn't hold writes: "
                                    "fsfreeze is limited up to 10 seconds: "
                                  : w->thaw_text;
    int code = w->gone_on ? 500 : w->thaw_code;
    w->thaws++;
    w->gone_on = false;
    if (!w->thaw_code)
        guest_goes_on(w);
    answer(w, i, !code, code ? code : 200);
    struct call *c = call_log_get(&w->call_log, i->key);
    free(c->message);
    c->message = xstrdup(code ? str_or(text, "no answer") : NULL);
}

static void do_subresource(struct world *w, const struct intent *i)
{
    int code = 0;
    if (str_eq(i->sub, "freeze")) {
        do_freeze(w, i);
        return;
    }
    if (str_eq(i->sub, "unfreeze")) {
        do_thaw(w, i);
        return;
    } else if (str_eq(i->sub, "start")) {
        w->starts++;
        code = w->start_code;
        if (!code && str_eq(i->name, "src")) {
            w->source_off = false;
            (void)snprintf(w->vmi_uid, sizeof w->vmi_uid, "vmi-%d", w->starts);
        }
    } else if (str_eq(i->sub, "stop")) {
        w->stops++;
        code = w->stop_code;
        if (!str_eq(i->name, "w-vm"))
            w->source_off |= !code;
        else if (!code)
            w->vm_up = w->vm_ready = false, w->vm_stopped = true;
    }
    answer(w, i, !code, code ? code : 200);
}

static void do_delete(struct world *w, const struct intent *i)
{
    if (i->kind == &worker_kinds[KIND_VM])
        w->vm = w->vm_up = w->vm_ready = false;
    if (i->kind == &worker_kinds[KIND_PVC] && !w->claims_stay) {
        size_t k = index_of(world_claims, i->name);
        w->claim[k] = w->bound[k] = w->owned[k] = false;
    }
    if (i->kind == &worker_kinds[KIND_SNAPSHOT] && w->snapshots_stay) {
        w->snapshot_deleting = true;
    } else if (i->kind == &worker_kinds[KIND_SNAPSHOT]) {
        size_t k = index_of(world_snapshots, i->name);
        w->torn |= w->claim[k] && !w->bound[k];
        assert_false(w->parent[k]);
        w->snapshot[k] = w->cut[k] = w->ready[k] = false;
    }
    answer(w, i, true, 200);
}

static void land(struct world *w, const struct kube_kind *kind, const char *name)
{
    if (kind == &worker_kinds[KIND_SNAPSHOT])
        w->snapshot[index_of(world_snapshots, name)] = true;
    if (kind == &worker_kinds[KIND_PVC]) {
        w->claim[index_of(world_claims, name)] = true;
        w->claim_ms[index_of(world_claims, name)] = w->now;
    }
    if (kind == &worker_kinds[KIND_VM])
        w->vm = w->vm_owned = true;
}

static void do_create(struct world *w, const struct intent *i)
{
    if (i->kind == &worker_kinds[KIND_SNAPSHOT] && w->refuse_snapshots) {
        answer(w, i, false, w->refuse_snapshots);
        return;
    }
    if (!w->slow_ms) {
        land(w, i->kind, i->name);
        answer(w, i, true, 201);
        return;
    }
    for (size_t k = 0; k < ARRAY_LEN(w->slow); k++) {
        if (w->slow[k].due)
            continue;
        w->slow[k].due = w->now + w->slow_ms;
        w->slow[k].kind = i->kind;
        (void)snprintf(w->slow[k].name, sizeof w->slow[k].name, "%s", i->name);
        w->slow[k].call = i->key.kind;
        struct call *c = call_log_get(&w->call_log, i->key);
        c->state = CALL_FLYING;
        c->sent_ms = c->sent_mono_ms = w->now;
        return;
    }
    fail_msg("too many slow creates");
}

static void land_slow(struct world *w)
{
    for (size_t k = 0; k < ARRAY_LEN(w->slow); k++) {
        if (!w->slow[k].due || w->now < w->slow[k].due)
            continue;
        land(w, w->slow[k].kind, w->slow[k].name);
        struct call *c =
            call_log_get(&w->call_log, call_key_named(w->slow[k].call, w->slow[k].name));
        c->state = CALL_OK;
        c->done_ms = w->now;
        w->slow[k].due = 0;
    }
}

static void do_patch(struct world *w, const struct intent *i)
{
    if (i->kind == &worker_kinds[KIND_PVC] && w->refuse_owner) {
        answer(w, i, false, w->refuse_owner);
        return;
    }
    if (i->kind == &worker_kinds[KIND_PVC])
        w->owned[index_of(world_claims, i->name)] = true;
    if (i->kind == &worker_kinds[KIND_CONTENT])
        w->parent[index_of(world_contents, i->name)] = strstr(i->body, "Retain") != NULL;
    if (i->kind == &worker_kinds[KIND_VM])
        w->vm_owned = !str_eq(i->body, "none");
    answer(w, i, true, 200);
}

/* What the API server itself knows, whatever the caches show. */
static void do_list(struct world *w, const struct intent *i)
{
    /* A worker that serves some namespaces alone may list in no others. */
    assert_true(i->ns || i->kind->cluster_scoped);
    bool any = (i->kind == &worker_kinds[KIND_SNAPSHOT] && (w->snapshot[0] || w->snapshot[1])) ||
               (i->kind == &worker_kinds[KIND_PVC] && (w->claim[0] || w->claim[1])) ||
               (i->kind == &worker_kinds[KIND_VM] && w->vm);
    answer(w, i, true, 200);
    struct call *c = call_log_get(&w->call_log, i->key);
    free(c->body);
    c->body = xstrdup(any ? "{\"items\":[{}]}" : "{\"items\":[]}");
    c->body_len = strlen(c->body);
}

static void do_pods(struct world *w, const struct intent *i)
{
    const char *pods = i->key.kind == CALL_PODS_BEFORE ? w->pods : w->pods_after;
    bool first = w->pods_paged && str_empty(i->token);
    int code = str_empty(i->token) ? 0 : w->pods_code;
    w->pods_code = str_empty(i->token) ? w->pods_code : 0;
    answer(w, i, !code, code ? code : 200);
    if (code)
        return;
    struct call *c = call_log_get(&w->call_log, i->key);
    free(c->body);
    c->body = first ? xstrdup("{\"next\":\"more\",\"pods\":[]}")
                    : xasprintf("{\"next\":\"\",\"pods\":[%s]}", str_or(pods, ""));
    c->body_len = strlen(c->body);
}

/* Where the caches lag, the API server knows more. What the look after a full clone finds is said
   by the tests of that. */
static char *claims_now(const struct world *w)
{
    struct buf text = BUF_INIT(4096);
    for (size_t i = 0; i < DISKS; i++)
        buf_addf(&text, "%s{\"name\":\"%s\",\"persistentVolumeClaim\":{\"claimName\":\"%s%s\"}}",
                 i ? "," : "", w->plans[i].volume, w->plans[i].claim,
                 w->moved && !i ? "-moved" : "");
    return buf_take(&text);
}

static void do_read(struct world *w, const struct intent *i)
{
    bool after = i->key.kind == CALL_LOOK_AFTER_VMI && w->clone_type != CLONE_FULL;
    bool after_vm = i->key.kind == CALL_LOOK_AFTER_VM || i->key.kind == CALL_LOOK_COPIED_VM;
    CLEANUP_FREE char *claims = claims_now(w);
    if (after && (w->source_gone || w->source_off) && !w->unseen_uid) {
        answer(w, i, false, 404);
        return;
    }
    answer(w, i, true, 200);
    struct call *c = call_log_get(&w->call_log, i->key);
    if (!after && !after_vm)
        return;
    free(c->body);
    c->body =
        after ? xasprintf("{\"metadata\":{\"uid\":\"%s\"},\"spec\":{\"volumes\":[%s]},"
                          "\"status\":{\"phase\":\"Running\"%s}}",
                          str_or(w->unseen_uid, w->vmi_uid), claims, str_or(w->after_status, ""))
              : xasprintf("{\"spec\":{\"template\":{\"spec\":{\"volumes\":[%s]}}},"
                          "\"status\":{%s}}",
                          claims, str_or(w->after_vm, ""));
    c->body_len = strlen(c->body);
}

static void do_dry_snapshot(struct world *w, const struct intent *i)
{
    answer(w, i, !w->dry_snapshot, w->dry_snapshot ? w->dry_snapshot : 201);
    if (w->dry_snapshot == 409)
        call_log_get(&w->call_log, i->key)->kind = ERR_EXISTS;
}

static void obey(struct world *w, const struct intent *i)
{
    const struct call *c = call_log_find(&w->call_log, i->key);
    if (call_failed(c) && w->now < c->retry_ms)
        return;
    if (c && c->state == CALL_FLYING)
        return;
    w->calls++;
    w->sent += i->verb != INTENT_EVENT && i->verb != INTENT_READ && i->verb != INTENT_LIST &&
               i->verb != INTENT_DRY_RUN && i->verb != INTENT_PODS && i->verb != INTENT_PROBE;
    if (w->unreachable)
        answer(w, i, false, 0);
    else if (i->verb == INTENT_SUBRESOURCE)
        do_subresource(w, i);
    else if (i->verb == INTENT_PODS)
        do_pods(w, i);
    else if (i->verb == INTENT_LIST)
        do_list(w, i);
    else if (i->verb == INTENT_READ)
        do_read(w, i);
    else if (i->verb == INTENT_PROBE)
        answer(w, i, !w->probe_refused, w->probe_refused ? 403 : w->missing ? 201 : 409);
    else if (i->verb == INTENT_DELETE)
        do_delete(w, i);
    else if (i->verb == INTENT_CREATE)
        do_create(w, i);
    else if (i->verb == INTENT_PATCH)
        do_patch(w, i);
    else if (i->verb == INTENT_DRY_RUN && i->kind == &worker_kinds[KIND_SNAPSHOT])
        do_dry_snapshot(w, i);
    else if (i->verb == INTENT_FINALIZER)
        w->finalizer = !str_empty(i->body);
    else if (i->verb == INTENT_EVENT && !c) {
        w->events++;
        w->leftovers += str_eq(i->name, "Leftovers");
        w->thaw_warnings += str_eq(i->name, "ThawFails");
        w->warned_of_thaws += str_eq(i->name, "GuestThawed");
        (void)snprintf(w->last_event, sizeof w->last_event, "%s", i->name);
        answer(w, i, true, 201);
    } else
        answer(w, i, true, 200);
}

static void nature(struct world *w)
{
    land_slow(w);
    if (w->frozen && w->now >= w->guest_timer) {
        w->gone_on = w->vss;
        guest_goes_on(w);
    }
    for (size_t i = 0; i < DISKS; i++) {
        if (w->snapshot[i] && w->cut[i] && !w->storage_unready)
            w->ready[i] = true;
        if (w->snapshot[i] && !w->storage_stuck && !w->cut[i]) {
            w->cut[i] = true;
            w->frozen_at_cut += w->frozen;
        }
        bool consumed = !w->wait_for_consumer || (w->vm && !w->not_started);
        bool from_claim = w->plans[i].method == DISK_CSI_CLONE;
        if (w->claim[i] && (w->ready[i] || from_claim) && consumed && !w->claims_stuck)
            w->bound[i] = true;
    }
    if (w->vm && w->bound[0] && w->bound[1] && !w->not_started && !w->vm_stopped)
        w->vm_up = true, w->vm_ready = !w->probe_fails;
}

struct arena persistent;

/* The same text keeps its place, so that an unchanged world compares equal. */
static const char *lasting(const char *old, const char *text)
{
    return str_eq(old, text) ? old : arena_strdup(&persistent, text);
}

static void write_status(struct world *w, const struct decision *d)
{
    bool arms = d->record.attempt.freeze.requested_ms != w->record.attempt.freeze.requested_ms;
    struct clone_record old = w->record;
    w->record = d->record;
    w->record.error.reason = lasting(old.error.reason, d->record.error.reason);
    w->record.error.message = lasting(old.error.message, d->record.error.message);
    w->record.error.disk = lasting(old.error.disk, d->record.error.disk);
    w->record.attempt.source_uid = lasting(old.attempt.source_uid, d->record.attempt.source_uid);
    w->record.attempt.freeze.vmi_uid =
        lasting(old.attempt.freeze.vmi_uid, d->record.attempt.freeze.vmi_uid);
    w->record.source_vmi = lasting(old.source_vmi, d->record.source_vmi);
    w->record.started.vmi_uid = lasting(old.started.vmi_uid, d->record.started.vmi_uid);
    w->record.retry_token = lasting(old.retry_token, d->record.retry_token);
    w->status_writes += memcmp(&old, &w->record, sizeof old) != 0;
    if (arms)
        (void)call_log_prove(&w->call_log, (struct freeze_proof){
                                               PROOF_ARMED, w->record.attempt.freeze.requested_ms});
}

/* The application's gate condition is somebody else's field: it survives our applies. */
static void set_status(struct world *w, const char *text)
{
    cJSON *tree = NULL;
    assert_int_equal(json_parse(text, strlen(text), true, &tree, NULL), 0);
    if (w->gate && w->gate_ms) {
        char when[TIME_TEXT_MAX];
        time_to_str(w->gate_ms, false, when);
        cJSON *c = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(c, "type", w->gate);
        (void)cJSON_AddStringToObject(c, "status", "True");
        (void)cJSON_AddStringToObject(c, "lastTransitionTime", when);
        (void)cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(tree, "conditions"), c);
    }
    if (json_equal(w->status, tree)) {
        cJSON_Delete(tree);
        return;
    }
    cJSON_Delete(w->status);
    w->status = tree;
}

/* One round: look, decide, obey. Returns the decision's step for the caller to act on. */
const char *turn(struct world *w)
{
    struct arena a;
    struct clone_state v;
    arena_init(&a, 4 * MIB);
    if (w->deleted && !w->deleted_ms)
        w->deleted_ms = w->now;
    world_see(w, &v, &a);
    struct decision d = {.intents = {.arena = &a}};
    if (w->leaving)
        clone_decide_leaving(&v, &d);
    else
        clone_decide(&v, &d);
    const char *step = arena_strdup(&persistent, str_or(d.step, "none"));
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    status_write(&v, &d, &text);
    if (d.write_status) {
        write_status(w, &d);
        set_status(w, text.data);
    }
    for (size_t i = 0; i < d.intents.count; i++) {
        const struct intent *one = &d.intents.items[i];
        if (!d.persist_first || one->verb == INTENT_FINALIZER || one->verb == INTENT_READ)
            obey(w, one);
    }
    w->wake_ms = d.again_ms;
    arena_release(&a);
    return step;
}

/* When the worker looks by itself: at the decision's time, and when a failed call may be repeated.
 */
static int64_t wake_of(const struct world *w)
{
    int64_t at = w->wake_ms ? w->wake_ms : INT64_MAX;
    for (const struct call *c = w->call_log.calls; c; c = c->next)
        if (c->state == CALL_FAILED && c->retry_ms > w->now && c->retry_ms < at)
            at = c->retry_ms;
    return at;
}

static bool same_world(const struct world *a, const struct world *b)
{
    struct world x = *a, y = *b;
    x.now = y.now = x.wake_ms = y.wake_ms = 0;
    return memcmp(&x, &y, sizeof x) == 0;
}

/* The worker is woken by what changes and by its own timers, and by nothing else. */
void run(struct world *w, int rounds)
{
    bool changed = true;
    for (int i = 0; i < rounds; i++) {
        struct world before;
        memcpy(&before, w, sizeof before);
        if (changed || w->now >= wake_of(w))
            (void)turn(w);
        w->now += 200;
        nature(w);
        changed = !same_world(&before, w);
    }
}

struct world new_world(void)
{
    return (struct world){.now = 1790000000000,
                          .agent = true,
                          .freeze_code = 200,
                          .quiesce = QUIESCE_IF_AVAILABLE,
                          .clone_type = CLONE_RUNNING,
                          .reclaim = RECLAIM_DELETE,
                          .retry_limit = 5,
                          .vmi_uid = "vmi-uid",
                          .plans = restore_plans};
}

void world_restart(struct world *w)
{
    call_log_release(&w->call_log);
    w->call_log = (struct call_log){0};
}

void sim_cluster_release(struct world *w)
{
    call_log_release(&w->call_log);
    cJSON_Delete(w->status);
    w->status = NULL;
}

int world_start(void **state)
{
    (void)state;
    arena_init(&persistent, 64 * MIB);
    return 0;
}

int world_stop(void **state)
{
    (void)state;
    arena_release(&persistent);
    return 0;
}

void succeeds(struct world *w, int rounds)
{
    run(w, rounds);
    if (w->record.phase != PHASE_SUCCEEDED)
        fail_msg("phase %s, %s: %s", clone_phase_names[w->record.phase],
                 str_or(w->record.error.reason, "no reason"), str_or(w->record.error.message, ""));
}

const cJSON *condition(const struct world *w, const char *type)
{
    const cJSON *c;
    cJSON_ArrayForEach (c, json_get(w->status, "conditions"))
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

void assert_clean(const struct world *w)
{
    assert_false(w->frozen);
    for (size_t i = 0; i < DISKS; i++)
        assert_false(w->snapshot[i]);
}

void check_condition(const struct world *w, const char *type, const char *reason, const char *part)
{
    const cJSON *c = condition(w, type);
    if (!c)
        fail_msg("no condition %s", type);
    if (!str_eq(json_str(c, "reason"), reason) || !strstr(json_str(c, "message"), part))
        fail_msg("%s: %s: %s", type, json_str(c, "reason"), json_str(c, "message"));
}

void until_frozen(struct world *w)
{
    for (int i = 0; i < 100 && !w->frozen; i++)
        run(w, 1);
    assert_true(w->frozen);
}
