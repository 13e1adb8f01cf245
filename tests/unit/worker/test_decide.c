/*
 * Proves the order of a clone and its promises on a world of a few variables: each round builds a
 * view by hand, asks clone_decide, and lets the world answer the intents. No cluster, no sockets.
 * What must hold is from the product's description: the freeze is announced before it is sent, the
 * thaw follows the cut at once and is owed on every path, nothing is left after a failure, a finished
 * clone is never run again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "worker/decide.h"
#include "worker/status.h"
#include "worker/steps.h"

#define DISKS 2
#define UID "11111111-2222-3333-4444-555555555555"

struct world {
    int64_t now;
    /* the Wukong */
    bool finalizer, deleted;
    struct clone_record record;
    struct memo memo;
    enum quiesce quiesce;
    /* the source */
    bool source_gone, agent, frozen;
    int freezes, thaws;
    int freeze_code; /* answer to the next freezes: 200, 409, 500 */
    bool lands;      /* a freeze that answers 500 takes effect all the same */
    int64_t guest_timer;
    /* storage */
    bool snapshot[DISKS], cut[DISKS], ready[DISKS], snapshot_deleting;
    bool storage_stuck; /* snapshots are never cut */
    bool claim[DISKS], bound[DISKS], owned[DISKS];
    bool vm, vm_ready;
    int frozen_at_cut; /* how many disks were cut while frozen */
    int events, status_writes, rounds;
    char last_event[64];
};

static const struct disk_plan plans[DISKS] = {
    {.name = "root", .volume = "root", .claim = "src-root", .method = DISK_RESTORE},
    {.name = "data", .volume = "data", .claim = "src-data", .method = DISK_RESTORE},
};
static const char *const claim_names[DISKS] = {"w-root", "w-data"};
static const char *const snapshot_names[DISKS] = {"s-root", "s-data"};

/* The pure core asks for bodies; here they need no content. */
#include "worker/bodies.h"

const struct body_read *body_reads(const struct clone_view *v, size_t *ret_count)
{
    (void)v;
    static const struct body_read one = {KIND_VMI, "ns", "src", "read/vmi/src", NULL};
    *ret_count = 1;
    return &one;
}

static struct intent *add(const struct clone_view *v, struct decision *d, enum intent_verb verb,
                          int kind, const char *name, const char *slot)
{
    struct intent *i = intents_add(&d->intents, verb, &worker_kinds[kind], v->wukong->ns, name,
                                   "%s/%s", slot, name);
    i->body = "{}";
    return i;
}

void body_create_snapshot(const struct clone_view *v, struct decision *d, size_t disk)
{
    add(v, d, INTENT_CREATE, KIND_SNAPSHOT, snapshot_names[disk], "create/snapshot");
}
void body_create_vm_snapshot(const struct clone_view *v, struct decision *d)
{
    add(v, d, INTENT_CREATE, KIND_VM_SNAPSHOT, "vms", "create/vmsnapshot");
}
void body_create_claim(const struct clone_view *v, struct decision *d, const struct view_target *t,
                       size_t disk)
{
    add(v, d, INTENT_CREATE, KIND_PVC, t->claims[disk].name, "create/claim");
}
void body_create_vm(const struct clone_view *v, struct decision *d, const struct view_target *t)
{
    add(v, d, INTENT_CREATE, KIND_VM, t->vm.name, "create/vm");
}
void body_dry_run_claim(const struct clone_view *v, struct decision *d,
                        const struct view_target *t, size_t disk)
{
    add(v, d, INTENT_DRY_RUN, KIND_PVC, t->claims[disk].name, "dry/claim");
}
void body_dry_run_vm(const struct clone_view *v, struct decision *d, const struct view_target *t)
{
    add(v, d, INTENT_DRY_RUN, KIND_VM, t->vm.name, "dry/vm");
}
void body_own_claim(const struct clone_view *v, struct decision *d, const struct view_target *t,
                    size_t disk)
{
    add(v, d, INTENT_PATCH, KIND_PVC, t->claims[disk].name, "own");
}
void body_event(const struct clone_view *v, struct decision *d, bool warning, const char *what,
                const char *format, ...)
{
    (void)warning;
    (void)format;
    add(v, d, INTENT_EVENT, KIND_EVENT, what, "event");
}

/* --- the view of the world --- */

static void see(struct world *w, struct clone_view *v, struct arena *a)
{
    *v = (struct clone_view){.arena = a, .now = {w->now, w->now}, .memo = &w->memo,
                             .record = w->record, .slots_free = true,
                             .unfreeze_timeout_ms = 60000};
    struct wukong *wukong = arena_alloc(a, sizeof *wukong);
    *wukong = (struct wukong){.name = "w", .ns = "ns", .uid = UID, .generation = 1,
                              .deleted_ms = w->deleted ? 1 : 0, .has_finalizer = w->finalizer};
    v->wukong = wukong;
    v->effective = (struct wukong_effective){
        .is_clone = true, .source_type = SOURCE_VMI, .source_name = "src", .source_ns = "ns",
        .clone_type = CLONE_RUNNING, .quiesce = w->quiesce, .method = METHOD_VOLUME_SNAPSHOT,
        .needs_snapshot = true, .deadline_s = 3600, .retry_limit = 5, .replicas = 1,
        .auto_start = true, .run_strategy = RUN_ALWAYS, .reclaim = RECLAIM_DELETE};
    v->source = (struct view_source){
        .vmi_exists = !w->source_gone, .vmi_name = "src", .vmi_uid = "vmi-uid", .phase = "Running",
        .running = !w->source_gone, .agent = w->agent, .stand_alone = true,
        .freeze_status = w->frozen ? "frozen" : NULL};
    v->capture.present = true;
    v->capture.sealed = w->snapshot[0];
    v->disks = arena_alloc(a, DISKS * sizeof *v->disks);
    v->disk_count = DISKS;
    v->targets = arena_alloc(a, sizeof *v->targets);
    v->target_count = 1;
    v->targets[0].vm = (struct seen_vm){.name = "w-vm", .uid = w->vm ? "vm-uid" : NULL,
                                        .exists = w->vm, .ours = w->vm, .ready = w->vm_ready};
    v->targets[0].claims = arena_alloc(a, DISKS * sizeof(struct seen_claim));
    v->ours = arena_alloc(a, 16 * sizeof *v->ours);
    for (size_t i = 0; i < DISKS; i++) {
        v->disks[i].plan = &plans[i];
        v->disks[i].snapshot = (struct seen_snapshot){
            .name = snapshot_names[i], .ns = "ns", .uid = snapshot_names[i],
            .exists = w->snapshot[i], .ours = w->snapshot[i], .cut = w->cut[i],
            .cut_ms = w->cut[i] ? w->now : 0, .ready = w->ready[i]};
        v->targets[0].claims[i] = (struct seen_claim){
            .name = claim_names[i], .uid = claim_names[i], .exists = w->claim[i],
            .ours = w->claim[i], .bound = w->bound[i], .owned = w->owned[i],
            .sourced = true};
        if (w->claim[i])
            v->ours[v->ours_count++] =
                (struct view_leftover){.kind = KIND_PVC, .ns = "ns", .name = claim_names[i],
                                       .uid = claim_names[i]};
        if (w->snapshot[i])
            v->ours[v->ours_count++] =
                (struct view_leftover){.kind = KIND_SNAPSHOT, .ns = "ns",
                                       .name = snapshot_names[i], .uid = snapshot_names[i]};
    }
    if (w->vm)
        v->ours[v->ours_count++] = (struct view_leftover){.kind = KIND_VM, .ns = "ns",
                                                          .name = "w-vm", .uid = "vm-uid"};
}

/* --- the world answers --- */

static void answer(struct world *w, const struct intent *i, bool ok, int code)
{
    struct call *c = memo_slot(&w->memo, i->key);
    c->state = ok ? CALL_OK : CALL_FAILED;
    c->code = code;
    c->kind = ok ? ERR_NONE : code == 409 ? ERR_CONFLICT : ERR_INTERNAL;
    c->sent_ms = w->now;
    c->done_ms = w->now + 5;
    c->retry_ms = w->now + 500;
    if (i->mark_sent)
        memo_slot(&w->memo, i->mark_sent)->state = CALL_OK;
}

static size_t index_of(const char *const *names, const char *name)
{
    return str_eq(names[0], name) ? 0 : 1;
}

static void do_subresource(struct world *w, const struct intent *i)
{
    if (str_eq(i->sub, "freeze")) {
        assert_true(w->finalizer);
        /* Announced before it is sent. */
        assert_true(w->record.freeze.requested_ms != 0);
        w->freezes++;
        if (w->freeze_code == 200 || w->lands) {
            w->frozen = true;
            w->guest_timer = w->now + 60000;
        }
        answer(w, i, w->freeze_code == 200, w->freeze_code);
    } else if (str_eq(i->sub, "unfreeze")) {
        w->thaws++;
        w->frozen = false;
        answer(w, i, true, 200);
    }
}

static void do_delete(struct world *w, const struct intent *i)
{
    if (i->kind == &worker_kinds[KIND_VM])
        w->vm = w->vm_ready = false;
    if (i->kind == &worker_kinds[KIND_PVC]) {
        size_t k = index_of(claim_names, i->name);
        w->claim[k] = w->bound[k] = w->owned[k] = false;
    }
    if (i->kind == &worker_kinds[KIND_SNAPSHOT]) {
        size_t k = index_of(snapshot_names, i->name);
        w->snapshot[k] = w->cut[k] = w->ready[k] = false;
    }
    answer(w, i, true, 200);
}

static void do_create(struct world *w, const struct intent *i)
{
    if (i->kind == &worker_kinds[KIND_SNAPSHOT])
        w->snapshot[index_of(snapshot_names, i->name)] = true;
    if (i->kind == &worker_kinds[KIND_PVC])
        w->claim[index_of(claim_names, i->name)] = true;
    if (i->kind == &worker_kinds[KIND_VM])
        w->vm = true;
    answer(w, i, true, 201);
}

static void obey(struct world *w, const struct intent *i)
{
    const struct call *c = memo_find(&w->memo, i->key);
    if (call_failed(c) && w->now < c->retry_ms)
        return;
    if (i->verb == INTENT_SUBRESOURCE)
        do_subresource(w, i);
    else if (i->verb == INTENT_DELETE)
        do_delete(w, i);
    else if (i->verb == INTENT_CREATE)
        do_create(w, i);
    else if (i->verb == INTENT_PATCH)
        w->owned[index_of(claim_names, i->name)] = true;
    else if (i->verb == INTENT_FINALIZER)
        w->finalizer = !str_empty(i->body);
    else if (i->verb == INTENT_EVENT && !c) {
        w->events++;
        (void)snprintf(w->last_event, sizeof w->last_event, "%s", i->name);
        answer(w, i, true, 201);
    } else
        answer(w, i, true, 200);
}

static void nature(struct world *w)
{
    if (w->frozen && w->now >= w->guest_timer)
        w->frozen = false;
    for (size_t i = 0; i < DISKS; i++) {
        if (w->snapshot[i] && w->cut[i])
            w->ready[i] = true;
        if (w->snapshot[i] && !w->storage_stuck && !w->cut[i]) {
            w->cut[i] = true;
            w->frozen_at_cut += w->frozen;
        }
        if (w->claim[i] && w->ready[i])
            w->bound[i] = true;
    }
    if (w->vm && w->bound[0] && w->bound[1])
        w->vm_ready = true;
}

static struct arena persistent; /* strings of records live across rounds */

static void write_status(struct world *w, const struct decision *d)
{
    bool arms = d->record.freeze.requested_ms != w->record.freeze.requested_ms;
    w->record = d->record;
    w->record.error.reason = arena_strdup(&persistent, d->record.error.reason);
    w->record.error.message = arena_strdup(&persistent, d->record.error.message);
    w->record.source_uid = arena_strdup(&persistent, d->record.source_uid);
    w->record.freeze.vmi_uid = arena_strdup(&persistent, d->record.freeze.vmi_uid);
    w->record.source_vmi = arena_strdup(&persistent, d->record.source_vmi);
    w->status_writes++;
    if (arms) {
        CLEANUP_FREE char *key =
            xasprintf("armed/%lld", (long long)w->record.freeze.requested_ms);
        memo_slot(&w->memo, key)->state = CALL_OK;
    }
}

/* One round: look, decide, obey. Returns the decision's step for the caller to act on. */
static const char *turn(struct world *w)
{
    struct arena a;
    struct clone_view v;
    arena_init(&a, 4 * MIB);
    see(w, &v, &a);
    struct decision d = {.intents = {.arena = &a}};
    clone_decide(&v, &d);
    const char *step = arena_strdup(&persistent, str_or(d.step, "none"));
    CLEANUP_BUF struct buf text = BUF_INIT(1 * MIB);
    status_write(&v, &d, &text);
    CLEANUP_JSON cJSON *tree = NULL;
    if (w->rounds++ < 60)
        assert_int_equal(json_parse(text.data, text.len, true, &tree, NULL), 0);
    if (d.write_status)
        write_status(w, &d);
    for (size_t i = 0; i < d.intents.count; i++) {
        const struct intent *one = &d.intents.items[i];
        if (!d.persist_first || one->verb == INTENT_FINALIZER || one->verb == INTENT_READ)
            obey(w, one);
    }
    arena_release(&a);
    return step;
}

static void run(struct world *w, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        (void)turn(w);
        w->now += 200;
        nature(w);
    }
}

static struct world new_world(void)
{
    return (struct world){.now = 1790000000000, .agent = true, .freeze_code = 200,
                          .quiesce = QUIESCE_IF_AVAILABLE};
}

static int start(void **state)
{
    (void)state;
    arena_init(&persistent, 16 * MIB);
    return 0;
}
static int stop(void **state)
{
    (void)state;
    arena_release(&persistent);
    return 0;
}

static void assert_clean(const struct world *w)
{
    assert_false(w->frozen);
    for (size_t i = 0; i < DISKS; i++)
        assert_false(w->snapshot[i]);
}

static void test_happy(void **state)
{
    (void)state;
    struct world w = new_world();
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.record.consistency, CONSISTENCY_FILESYSTEM);
    assert_int_equal(w.freezes, 1);
    assert_int_equal(w.thaws, 1);
    assert_int_equal(w.frozen_at_cut, DISKS);
    assert_true(w.vm_ready && w.owned[0] && w.owned[1]);
    assert_int_equal(w.record.progress, 100);
    assert_false(w.finalizer);
    assert_clean(&w);
    memo_release(&w.memo);
}

static void test_never_again(void **state)
{
    (void)state;
    struct world w = new_world();
    run(&w, 40);
    w.vm = w.vm_ready = false;
    w.source_gone = true;
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.freezes, 1);
    assert_false(w.vm);
    memo_release(&w.memo);
}

static void test_no_agent(void **state)
{
    (void)state;
    struct world w = new_world();
    w.agent = false;
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    assert_int_equal(w.record.consistency, CONSISTENCY_CRASH);
    assert_int_equal(w.freezes, 0);
    memo_release(&w.memo);
    w = new_world();
    w.agent = false;
    w.quiesce = QUIESCE_REQUIRED;
    run(&w, 40);
    assert_int_equal(w.record.attempts, 0);
    w.agent = true;
    run(&w, 40);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    memo_release(&w.memo);
}

/* 500 although the guest froze: it is thawed, and the clone goes on as quiesce says. */
static void test_ambiguous_freeze(void **state)
{
    (void)state;
    for (int lands = 0; lands < 2; lands++) {
        struct world w = new_world();
        w.freeze_code = 500;
        w.lands = lands;
        run(&w, 5000);
        assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
        assert_int_equal(w.record.consistency, CONSISTENCY_CRASH);
        assert_true(w.thaws >= w.freezes);
        assert_clean(&w);
        memo_release(&w.memo);
        w = new_world();
        w.freeze_code = 500;
        w.lands = lands;
        w.quiesce = QUIESCE_REQUIRED;
        run(&w, 20000);
        assert_int_equal(w.record.phase, PHASE_FAILED);
        assert_string_equal(w.record.error.reason, "FreezeFailed");
        assert_int_equal(w.record.attempts, 6);
        assert_false(w.vm || w.claim[0] || w.claim[1]);
        assert_clean(&w);
        assert_false(w.finalizer);
        memo_release(&w.memo);
    }
}

/* The process dies between any two rounds: the memo is gone, everything else stays. */
static void test_killed_anywhere(void **state)
{
    (void)state;
    for (int at = 0; at < 30; at++) {
        struct world w = new_world();
        run(&w, at);
        memo_release(&w.memo);
        w.memo = (struct memo){0};
        run(&w, 2000);
        if (w.record.phase != PHASE_SUCCEEDED)
            fail_msg("killed after round %d: phase %s", at, clone_phase_names[w.record.phase]);
        assert_clean(&w);
        assert_true(w.vm_ready);
        memo_release(&w.memo);
    }
}

static void test_deleted_anywhere(void **state)
{
    (void)state;
    for (int at = 0; at < 30; at++) {
        struct world w = new_world();
        run(&w, at);
        bool finished = w.record.phase == PHASE_SUCCEEDED;
        w.deleted = true;
        run(&w, 2000);
        assert_clean(&w);
        assert_false(w.finalizer);
        /* A finished clone's VM is the garbage collector's business (ownerReference). */
        if (!finished)
            assert_false(w.vm || w.claim[0] || w.claim[1]);
        memo_release(&w.memo);
    }
}

static void test_storage_never_cuts(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_stuck = true;
    w.quiesce = QUIESCE_REQUIRED;
    /* 58 s is the margin before the guest's own timer; a round is 0.2 s. */
    run(&w, 300);
    assert_false(w.frozen);
    assert_true(w.thaws >= 1);
    run(&w, 20000);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_clean(&w);
    memo_release(&w.memo);
}

static void test_foreign_freeze(void **state)
{
    (void)state;
    struct world w = new_world();
    w.frozen = true;
    w.guest_timer = INT64_MAX;
    run(&w, 100);
    assert_int_equal(w.freezes, 0);
    assert_int_equal(w.thaws, 0);
    assert_true(w.frozen);
    w.frozen = false;
    run(&w, 100);
    assert_int_equal(w.record.phase, PHASE_SUCCEEDED);
    memo_release(&w.memo);
}

static void test_deadline(void **state)
{
    (void)state;
    struct world w = new_world();
    w.source_gone = true;
    run(&w, 3700 * 5);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_string_equal(w.record.error.reason, "DeadlineExceeded");
    memo_release(&w.memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_happy),
        cmocka_unit_test(test_never_again),
        cmocka_unit_test(test_no_agent),
        cmocka_unit_test(test_ambiguous_freeze),
        cmocka_unit_test(test_killed_anywhere),
        cmocka_unit_test(test_deleted_anywhere),
        cmocka_unit_test(test_storage_never_cuts),
        cmocka_unit_test(test_foreign_freeze),
        cmocka_unit_test(test_deadline),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
