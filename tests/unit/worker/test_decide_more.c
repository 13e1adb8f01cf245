/*
 * Proves the promises at their edges: what happens between two requests, on a cache that lags, to a
 * source that changes under the clone. Each test names the promise of the product's description;
 * the interleaving that once broke it, or could, is in its comment.
 */
#include "world.h"

/* Rounds until the guest is frozen; the freeze has been answered then. */
static void until_frozen(struct world *w)
{
    for (int i = 0; i < 100 && !w->frozen; i++)
        run(w, 1);
    assert_true(w->frozen);
}

static void check_condition(const struct world *w, const char *type, const char *reason,
                            const char *part)
{
    const cJSON *c = condition(w, type);
    if (!c)
        fail_msg("no condition %s", type);
    if (!str_eq(json_str(c, "reason"), reason) || !strstr(json_str(c, "message"), part))
        fail_msg("%s: %s: %s", type, json_str(c, "reason"), json_str(c, "message"));
}

/* --- WaitForFirstConsumer: the snapshots stay until the claims are bound. --- */

static void test_snapshots_wait_for_consumer(void **state)
{
    (void)state;
    static const struct disk_plan lazy[DISKS] = {
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
    struct world w = new_world();
    w.plans = lazy;
    w.wait_for_consumer = w.not_started = true;
    succeeds(&w, 100);
    run(&w, 100);
    world_restart(&w);
    run(&w, 100);
    assert_false(w.torn);
    assert_true(w.snapshot[0] && w.snapshot[1] && w.finalizer);
    assert_string_equal(json_str(condition(&w, "TemporariesCleaned"), "status"), "False");
    /* The user starts the machine: the claims bind, the snapshots go. */
    w.not_started = false;
    run(&w, 50);
    assert_clean(&w);
    assert_false(w.finalizer);
    assert_string_equal(json_str(condition(&w, "TemporariesCleaned"), "status"), "True");
    world_release(&w);
}

/* Deleting the Wukong then: claims (with their machine) first, snapshots after, finalizer last. */
static void test_consumer_never_came(void **state)
{
    (void)state;
    static const struct disk_plan lazy[DISKS] = {
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
    struct world w = new_world();
    w.plans = lazy;
    w.wait_for_consumer = w.not_started = true;
    succeeds(&w, 100);
    w.deleted = true;
    run(&w, 100);
    assert_false(w.torn);
    assert_false(w.finalizer || w.vm || w.claim[0]);
    assert_clean(&w);
    world_release(&w);
}

/* --- Gates --- */

/* The gate opens once; between that and the snapshot other steps run, and AwaitingGates must not be
   asked for anew. It stays True until SnapshotTaken says that the application may go on, which
   False would do as well as True. */
static void test_gate_opens_once(void **state)
{
    (void)state;
    struct world w = new_world();
    w.gate = "example.com/flushed";
    run(&w, 30);
    assert_int_equal(w.freezes, 0);
    assert_string_equal(json_str(condition(&w, "AwaitingGates"), "status"), "True");
    w.gate_ms = w.now + 1000;
    w.now += 1000;
    /* The freeze has to wait for something else. */
    w.foreign_snapshot = true;
    run(&w, 30);
    assert_string_equal(json_str(condition(&w, "AwaitingGates"), "status"), "True");
    assert_string_equal(json_str(condition(&w, "SnapshotTaken"), "status"), "Unknown");
    check_condition(&w, "Ready", "SourceBusy", "VirtualMachineSnapshot theirs");
    w.foreign_snapshot = false;
    for (int i = 0; i < 60 && !w.record.cut_ms; i++) {
        assert_string_not_equal(str_or(json_str(condition(&w, "SnapshotTaken"), "status"), ""),
                                "False");
        run(&w, 1);
    }
    succeeds(&w, 60);
    assert_int_equal(w.freezes, 1);
    assert_null(json_str(condition(&w, "AwaitingGates"), "status"));
    assert_string_equal(json_str(condition(&w, "SnapshotTaken"), "status"), "True");
    world_release(&w);
}

/* A gate that was open before it was asked for does not count, nor does it in the next attempt. */
static void test_gate_anew_in_every_attempt(void **state)
{
    (void)state;
    struct world w = new_world();
    w.gate = "example.com/flushed";
    w.gate_ms = w.now - 60000;
    run(&w, 50);
    assert_int_equal(w.freezes, 0);
    w.freeze_code = 409;
    w.gate_ms = w.now + 1000;
    w.now += 1000;
    for (int i = 0; i < 100 && !w.record.error.reason; i++)
        run(&w, 1);
    run(&w, 2);
    assert_string_equal(json_str(condition(&w, "SnapshotTaken"), "status"), "False");
    assert_null(json_str(condition(&w, "AwaitingGates"), "status"));
    run(&w, 500);
    assert_int_equal(w.freezes, 1);
    assert_int_equal(w.record.attempts, 2);
    assert_string_equal(json_str(condition(&w, "AwaitingGates"), "status"), "True");
    world_release(&w);
}

/* The first attempt gets its time when it begins, which may be long after its gates were asked for:
   they are not closed by that, not even where no freeze is owed. */
static void test_gate_of_a_guest_without_agent(void **state)
{
    (void)state;
    struct world w = new_world();
    w.gate = "example.com/flushed";
    w.agent = false;
    run(&w, 30);
    w.gate_ms = w.now += 5000;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempts, 1);
    world_release(&w);
}

/* Between the first cut and the last the source migrates, or the window shuts before the caches
   show the snapshots: an application that is released then, and asked anew later, has written
   between two cuts. Snapshots that are under way do not wait for a migration, either. */
static void test_gate_holds_until_the_last_cut(void **state)
{
    (void)state;
    static const struct {
        bool agent, slow, restarted, migrating, window_shuts;
    } rows[] = {
        {.migrating = true},
        {.agent = true, .migrating = true}, /* frozen, and thawed before the last cut */
        {.slow = true, .migrating = true},
        {.slow = true, .window_shuts = true},
        {.restarted = true, .migrating = true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.gate = "example.com/flushed";
        w.agent = rows[i].agent;
        w.slow_ms = rows[i].slow ? 3000 : 0;
        w.storage_stuck = true;
        run(&w, 30);
        w.gate_ms = w.now += 1000;
        for (int n = 0; n < 100 && !w.snapshot[0] && !w.slow[0].due; n++)
            run(&w, 1);
        w.migrating = rows[i].migrating;
        w.closed_until = rows[i].window_shuts ? w.now + 30000 : 0;
        if (rows[i].restarted)
            world_restart(&w);
        for (int n = 0; n < 400; n++) {
            run(&w, 1);
            if (!str_eq(json_str(condition(&w, "AwaitingGates"), "status"), "True"))
                fail_msg("row %zu: released after %d rounds", i, n);
        }
        w.storage_stuck = false;
        w.migrating = rows[i].migrating && !rows[i].restarted; /* nothing is known of disks yet */
        succeeds(&w, 100);
        assert_int_equal(w.record.attempts, 1);
        world_release(&w);
    }
}

/* --- The freeze --- */

#define ASKED 1790000000000

/* A guest that was frozen at ASKED, when the monotonic clock said 5 s. */
static struct clone_view frozen_view(struct arena *a, struct memo *memo, bool answered,
                                     int64_t wall_ms, int64_t mono_ms)
{
    struct call *c = memo_slot(memo, "freeze/1790000000000");
    c->state = answered ? CALL_OK : CALL_FAILED;
    c->kind = answered ? ERR_NONE : ERR_AMBIGUOUS;
    c->sent_ms = ASKED;
    c->sent_mono_ms = 5000;
    static const struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
    struct clone_view v = {.arena = a,
                           .memo = memo,
                           .now = {wall_ms, mono_ms},
                           .wukong = &wukong,
                           .unfreeze_timeout_ms = 60000};
    v.source = (struct view_source){.vmi_exists = true, .vmi_uid = "u", .vmi_name = "src"};
    v.record.freeze.requested_ms = ASKED;
    v.record.freeze.deadline_ms = ASKED + 60000;
    v.record.freeze.vmi_uid = "u";
    v.record.source_vmi = "src";
    return v;
}

static bool sends_a_thaw(const struct decision *d)
{
    for (size_t i = 0; i < d->intents.count; i++)
        if (str_eq(d->intents.items[i].sub, "unfreeze"))
            return true;
    return false;
}

/* The wall clock is set, and the guest does not care: forward, and it still stands still; back, and
   its own timer has thawed it. */
static void test_the_clock_is_set(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms, mono_ms;
        bool thawed, holds;
    } rows[] = {
        {ASKED + 1000, 6000, false, true},           {ASKED + 500000, 6000, false, false},
        {ASKED + 500000, 5000 + 66000, true, false}, {ASKED + 66000, 5000 + 66000, true, false},
        {ASKED + 1000, 5000 + 59000, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int answered = 0; answered < 2; answered++) {
            CLEANUP_ARENA struct arena a;
            struct memo memo = {0};
            arena_init(&a, 64 * KIB);
            struct clone_view v =
                frozen_view(&a, &memo, answered, rows[i].wall_ms, rows[i].mono_ms);
            struct decision d = {.intents = {.arena = &a}, .record = v.record};
            bool holds = view_freeze_holds(&v);
            oblige_thaw(&v, &d, true);
            if (holds != (answered && rows[i].holds) ||
                (d.record.freeze.thawed_ms != 0) != rows[i].thawed ||
                sends_a_thaw(&d) != !rows[i].thawed)
                fail_msg("row %zu, %d", i, answered);
            memo_release(&memo);
        }
}

/* Required is Required: all snapshots cut, but the last one was seen only after the guest had been
   thawed, or a KubeVirt snapshot came in between. */
static void test_required_is_kept(void **state)
{
    (void)state;
    for (int foreign = 0; foreign < 2; foreign++) {
        struct world w = new_world();
        w.quiesce = QUIESCE_REQUIRED;
        w.storage_stuck = true;
        until_frozen(&w);
        run(&w, 2);
        if (foreign) {
            w.foreign_snapshot = true;
            run(&w, 1);
        } else {
            w.now += 59000;
        }
        w.storage_stuck = false;
        w.cut[0] = w.cut[1] = true;
        run(&w, 3);
        w.foreign_snapshot = false;
        assert_int_not_equal(w.record.consistency, CONSISTENCY_CRASH_PER_DISK);
        succeeds(&w, 300);
        assert_int_equal(w.record.attempts, 2);
        assert_int_equal(w.record.consistency, CONSISTENCY_FILESYSTEM);
        assert_clean(&w);
        world_release(&w);
    }
}

/* Announced, then something held the steps before it up: a freeze that is sent so late could
   outlive the time at which the record calls the guest thawed (asserted in the world's freeze). */
static void test_late_freeze_is_not_sent(void **state)
{
    (void)state;
    struct world w = new_world();
    while (!w.record.freeze.requested_ms)
        (void)turn(&w);
    w.migrating = true;
    w.now += 200;
    run(&w, 400);
    w.migrating = false;
    succeeds(&w, 400);
    assert_clean(&w);
    world_release(&w);
}

/* While the guest is frozen nothing may hold up the thaw: window, migration, agent. */
static void test_nothing_prolongs_the_freeze(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct world w = new_world();
        w.quiesce = what == 2 ? QUIESCE_REQUIRED : QUIESCE_IF_AVAILABLE;
        until_frozen(&w);
        w.closed_until = what == 0 ? w.now + 600000 : 0;
        w.migrating = what == 1;
        w.agent = what != 2;
        if (what == 3)
            w.source_deleting = true;
        for (int i = 0; i < 15; i++)
            run(&w, 1);
        if (w.frozen)
            fail_msg("case %d: still frozen after 3 s", what);
        if (what < 3)
            succeeds(&w, 100);
        world_release(&w);
    }
}

/* A VMI that is being deleted still runs for its grace period: it is thawed, so that it can shut
   down. */
static void test_dying_guest_is_thawed(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_stuck = true;
    until_frozen(&w);
    w.source_deleting = true;
    run(&w, 5);
    assert_int_equal(w.thaws, 1);
    assert_false(w.frozen);
    world_release(&w);
}

/* 429 says that the request was not even looked at: there is nothing to thaw, and a thaw could hit
   somebody else's freeze. */
static void test_throttled_freeze_needs_no_thaw(void **state)
{
    (void)state;
    struct world w = new_world();
    w.freeze_code = 429;
    run(&w, 60);
    assert_true(w.freezes > 0);
    assert_int_equal(w.thaws, 0);
    world_release(&w);
}

/* Decided not to freeze (no agent), snapshots on their way; then the agent connects. A freeze now
   would come after the cut, and the clone be called FilesystemConsistent. */
static void test_no_freeze_after_the_snapshots(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct world w = new_world();
        w.agent = false;
        w.slow_ms = 1000;
        for (int i = 0; i < 100 && !w.slow[0].due; i++)
            run(&w, 1);
        assert_true(w.slow[0].due != 0);
        w.agent = true;
        if (killed)
            world_restart(&w);
        succeeds(&w, 300);
        assert_int_equal(w.freezes, 0);
        assert_int_equal(w.record.consistency, CONSISTENCY_CRASH_PER_DISK);
        world_release(&w);
    }
}

/* Restarted between the first snapshot and the cut, with no freeze on record: the new worker knows
   of no disks until it has read them back. */
static void test_restarted_before_the_cut(void **state)
{
    (void)state;
    struct world w = new_world();
    w.agent = false;
    w.storage_stuck = true;
    for (int i = 0; i < 100 && !w.snapshot[0]; i++)
        run(&w, 1);
    world_restart(&w);
    w.storage_stuck = false;
    succeeds(&w, 100);
    assert_int_equal(w.record.attempts, 1);
    world_release(&w);
}

/* A VirtualMachineSnapshot succeeds without a disk that KubeVirt could not snapshot: a clone
   without it, or one that waits for ever, is not what was asked for. */
static void test_vm_snapshot_leaves_disk_out(void **state)
{
    (void)state;
    static const struct disk_plan plan[2] = {{.name = "root", .method = DISK_RESTORE},
                                             {.name = "data", .method = DISK_RESTORE}};
    struct view_disk disks[2] = {{.plan = &plan[0], .snapshot = {.name = "s-root"}},
                                 {.plan = &plan[1]}};
    struct clone_view v = {
        .disks = disks,
        .disk_count = 2,
        .vm_snapshot_phase = "InProgress",
        .vm_snapshot = {.name = "vms", .ns = "ns", .exists = true, .ours = true}};
    struct why why = {0};
    assert_int_equal(observe_vm_snapshot(&v, &why), STEP_WAIT);
    v.vm_snapshot_phase = "Succeeded";
    assert_int_equal(observe_vm_snapshot(&v, &why), STEP_FAILED);
    assert_string_equal(why.disk, "data");
    disks[1].snapshot.name = "s-data";
    assert_int_equal(observe_vm_snapshot(&v, &why), STEP_WAIT);
}

/* IfAvailable falls back before the retries are used up. */
static void test_falls_back_with_few_retries(void **state)
{
    (void)state;
    struct world w = new_world();
    w.freeze_code = 500;
    w.retry_limit = 1;
    succeeds(&w, 3000);
    assert_int_equal(w.record.consistency, CONSISTENCY_CRASH_PER_DISK);
    assert_clean(&w);
    world_release(&w);
}

/* The API server refuses the snapshots (quota): the guest is thawed at once. */
static void test_refused_snapshots_thaw(void **state)
{
    (void)state;
    struct world w = new_world();
    w.refuse_snapshots = 403;
    until_frozen(&w);
    run(&w, 5);
    assert_false(w.frozen);
    w.refuse_snapshots = 0;
    /* The next attempt's snapshots have other names. */
    memo_forget(&w.memo, "create/snapshot/");
    succeeds(&w, 300);
    assert_int_equal(w.record.consistency, CONSISTENCY_FILESYSTEM);
    world_release(&w);
}

/* --- Nothing is left --- */

/* Deleted while a create is under way: its object appears after everything else is gone. */
static void test_deleted_while_creating(void **state)
{
    (void)state;
    for (int at = 0; at < 60; at++) {
        struct world w = new_world();
        w.slow_ms = 900;
        run(&w, at);
        bool finished = w.record.phase == PHASE_SUCCEEDED;
        w.deleted = true;
        for (int i = 0; i < 1000 && w.finalizer; i++)
            run(&w, 1);
        assert_false(w.finalizer);
        /* Without the finalizer the Wukong is gone and nobody looks any more. */
        for (size_t k = 0; k < ARRAY_LEN(w.slow); k++)
            if (w.slow[k].due)
                fail_msg("round %d: %s was under way when the Wukong went", at, w.slow[k].name);
        if (!finished)
            assert_false(w.vm || w.claim[0] || w.claim[1]);
        assert_clean(&w);
        world_release(&w);
    }
}

/* A claim that an earlier attempt made, seen late, holds another point in time. */
static void test_earlier_claims_are_not_used(void **state)
{
    (void)state;
    struct clone_view v = {0};
    struct arena a;
    arena_init(&a, MIB);
    static const struct disk_plan plan = {.name = "root", .method = DISK_RESTORE};
    static const struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID};
    struct view_disk disk = {.plan = &plan};
    struct seen_claim claim = {
        .name = "w-root", .exists = true, .ours = true, .sourced = true, .earlier = true};
    struct view_target target = {.vm = {.name = "w-vm"}, .claims = &claim};
    v.arena = &a;
    v.wukong = &wukong;
    v.capture.present = true;
    v.disks = &disk;
    v.targets = &target;
    v.disk_count = v.target_count = 1;
    struct why why = {0};
    assert_int_equal(observe_disks(&v, &why), STEP_FAILED);
    claim.earlier = false;
    assert_int_equal(observe_disks(&v, &why), STEP_DONE);
    arena_release(&a);
}

/* --- The source --- */

/* Its user stops the source while the snapshots are being taken: the attempt fails, "Offline" would
   be a lie, and the cut of a stopped machine is not what a running clone promised. */
static void test_source_stops_before_the_cut(void **state)
{
    (void)state;
    for (int linked = 0; linked < 2; linked++) {
        struct world w = new_world();
        w.by_vm = true;
        w.clone_type = linked ? CLONE_LINKED : CLONE_RUNNING;
        w.storage_stuck = true;
        until_frozen(&w);
        w.source_off = true;
        w.frozen = false;
        run(&w, 3);
        assert_string_equal(w.record.error.reason, "SourceChanged");
        assert_int_equal(w.starts, 0);
        world_release(&w);
    }
}

/* The source restarts while its guest is frozen, and the cache does not show it: the last disk is
   cut from a guest that nobody froze. The guest is thawed without waiting for the look that tells.
 */
static void test_source_restarts_unseen(void **state)
{
    (void)state;
    static const enum quiesce rows[] = {QUIESCE_IF_AVAILABLE, QUIESCE_REQUIRED, QUIESCE_NEVER};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w = new_world();
        w.quiesce = rows[i];
        w.unseen_uid = "vmi-uid-2";
        for (int k = 0; k < 100 && !w.record.error.reason; k++) {
            run(&w, 1);
            assert_int_equal(w.record.consistency, CONSISTENCY_UNKNOWN);
        }
        assert_string_equal(str_or(w.record.error.reason, ""), "SourceChanged");
        assert_int_equal(w.record.cut_ms, 0);
        assert_int_equal(w.thaws, w.freezes);
        w.unseen_uid = NULL;
        (void)snprintf(w.vmi_uid, sizeof w.vmi_uid, "vmi-uid-2");
        succeeds(&w, 600);
        assert_int_equal(w.record.attempts, 2);
        assert_int_equal(w.record.consistency, rows[i] == QUIESCE_NEVER ? CONSISTENCY_CRASH_PER_DISK
                                                                        : CONSISTENCY_FILESYSTEM);
        world_release(&w);
    }
}

static struct world stopped_source(void)
{
    struct world w = new_world();
    w.by_vm = w.source_off = w.stop_after = true;
    return w;
}

static void test_started_source_is_stopped(void **state)
{
    (void)state;
    struct world w = stopped_source();
    succeeds(&w, 100);
    assert_int_equal(w.starts, 1);
    assert_true(w.stops >= 1);
    assert_true(w.source_off);
    world_release(&w);
    /* Killed anywhere in between. */
    for (int at = 0; at < 30; at++) {
        w = stopped_source();
        run(&w, at);
        world_restart(&w);
        succeeds(&w, 1000);
        assert_true(w.source_off);
        world_release(&w);
    }
}

/* Claims that wait for a consumer end the clone early; the source is stopped all the same. */
static void test_started_source_is_stopped_without_consumer(void **state)
{
    (void)state;
    static const struct disk_plan lazy[DISKS] = {
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
    struct world w = stopped_source();
    w.plans = lazy;
    w.wait_for_consumer = w.not_started = true;
    succeeds(&w, 100);
    assert_true(w.source_off);
    world_release(&w);
}

/* What somebody else started, or started anew, is not ours to stop. */
static void test_foreign_start_is_not_stopped(void **state)
{
    (void)state;
    struct world w = stopped_source();
    w.start_code = 409;
    run(&w, 10);
    w.source_off = false;
    succeeds(&w, 100);
    assert_int_equal(w.stops, 0);
    world_release(&w);
    w = stopped_source();
    w.storage_unready = true;
    run(&w, 2);
    w.stop_code = 500;
    for (int i = 0; i < 100 && !w.record.cut_ms; i++)
        run(&w, 1);
    (void)snprintf(w.vmi_uid, sizeof w.vmi_uid, "theirs");
    w.stop_code = 0;
    w.stops = 0;
    w.storage_unready = false;
    succeeds(&w, 200);
    assert_int_equal(w.stops, 0);
    world_release(&w);
}

/* A failed attempt does not stop what the next one would start again; the last one does. */
static void test_started_source_between_attempts(void **state)
{
    (void)state;
    struct world w = stopped_source();
    w.quiesce = QUIESCE_REQUIRED;
    w.freeze_code = 500;
    w.retry_limit = 1;
    run(&w, 20000);
    assert_int_equal(w.record.phase, PHASE_FAILED);
    assert_int_equal(w.starts, 1);
    assert_true(w.source_off);
    world_release(&w);
}

/* Deleted after the thaw, and before the record is known to say that all is cut: it may say so
   already, so the snapshot is not made anew. The next attempt freezes again. */
static void test_deleted_after_the_thaw(void **state)
{
    (void)state;
    struct world w = new_world();
    for (int i = 0; i < 100 && !w.thaws; i++)
        run(&w, 1);
    assert_true(w.thaws && !w.record.cut_ms);
    w.snapshot[0] = w.cut[0] = w.ready[0] = false;
    run(&w, 2);
    assert_false(w.snapshot[0]);
    succeeds(&w, 400);
    assert_int_equal(w.record.attempts, 2);
    assert_int_equal(w.record.consistency, CONSISTENCY_FILESYSTEM);
    world_release(&w);
}

/* --- Storage --- */

/* A snapshot that takes ten minutes to upload, then one transient Event of the claim: the time that
   a claim may fail counts from the claim, not from the cut. */
static void test_slow_storage_is_not_stuck(void **state)
{
    (void)state;
    struct world w = new_world();
    w.storage_unready = true;
    run(&w, 20);
    w.now += 600000;
    w.claims_stuck = true;
    w.claim_error = "rpc error: Unavailable";
    w.storage_unready = false;
    run(&w, 50);
    assert_int_equal(w.record.attempts, 1);
    w.claims_stuck = false;
    succeeds(&w, 50);
    assert_int_equal(w.record.attempts, 1);
    world_release(&w);
    /* And one that fails for two minutes is stuck. */
    w = new_world();
    w.claims_stuck = true;
    w.claim_error = "rpc error: NotFound";
    run(&w, 800);
    assert_int_equal(w.record.attempts, 2);
    world_release(&w);
}

/* A quota that CDI meets in the source's namespace is waited for, and told by its own reason. */
static void test_quota_of_a_claim_is_waited_for(void **state)
{
    (void)state;
    struct world w = new_world();
    w.claims_stuck = true;
    w.claim_error = "tmp-pvc-1 is forbidden: exceeded quota: q";
    run(&w, 800);
    assert_int_equal(w.record.attempts, 1);
    check_condition(&w, "Ready", "QuotaExceeded", "exceeded quota: q");
    w.claims_stuck = false;
    succeeds(&w, 50);
    assert_int_equal(w.record.attempts, 1);
    world_release(&w);
}

/* A right that is missing, as seen with CDI's DataVolumes, keeps the clone from ending: the user is
   told which claim and why, and it ends once the right is there. */
static void test_refused_owner_is_told(void **state)
{
    (void)state;
    struct world w = new_world();
    w.refuse_owner = 403;
    run(&w, 100);
    assert_int_equal(w.record.phase, PHASE_CLONING);
    check_condition(&w, "Ready", "Waiting", "w-root: ");
    w.refuse_owner = 0;
    succeeds(&w, 50);
    world_release(&w);
}

/* --- Ownership of the finished VM --- */

/* reclaimPolicy may change at any time; deleting the Wukong obeys what it says then. */
static void test_reclaim_policy_changes(void **state)
{
    (void)state;
    struct world w = new_world();
    succeeds(&w, 60);
    assert_true(w.vm_owned);
    w.reclaim = RECLAIM_RETAIN;
    run(&w, 3);
    assert_false(w.vm_owned);
    w.reclaim = RECLAIM_DELETE;
    run(&w, 3);
    assert_true(w.vm_owned);
    world_release(&w);
}

/* Seen thawed after the last moment of our freeze, and the record of that is on its way: a freeze
   that shows now is somebody else's, and is left alone. */
static void test_freeze_after_ours_is_not_thawed(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        CLEANUP_ARENA struct arena a;
        struct memo memo = {0};
        arena_init(&a, 64 * KIB);
        struct clone_view v = frozen_view(&a, &memo, false, ASKED + 500000, 500000);
        struct decision d = {.intents = {.arena = &a}, .record = v.record};
        CLEANUP_FREE char *key = xasprintf("thawed/%lld", (long long)v.record.freeze.requested_ms);
        v.source.freeze_status = "frozen";
        if (told)
            memo_slot(&memo, key)->state = CALL_OK;
        oblige_thaw(&v, &d, true);
        assert_int_equal(sends_a_thaw(&d), !told);
        assert_int_equal(d.record.freeze.thawed_ms != 0, told);
        memo_release(&memo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots_wait_for_consumer),
        cmocka_unit_test(test_consumer_never_came),
        cmocka_unit_test(test_gate_opens_once),
        cmocka_unit_test(test_the_clock_is_set),
        cmocka_unit_test(test_deleted_after_the_thaw),
        cmocka_unit_test(test_gate_anew_in_every_attempt),
        cmocka_unit_test(test_gate_of_a_guest_without_agent),
        cmocka_unit_test(test_gate_holds_until_the_last_cut),
        cmocka_unit_test(test_required_is_kept),
        cmocka_unit_test(test_late_freeze_is_not_sent),
        cmocka_unit_test(test_nothing_prolongs_the_freeze),
        cmocka_unit_test(test_dying_guest_is_thawed),
        cmocka_unit_test(test_throttled_freeze_needs_no_thaw),
        cmocka_unit_test(test_no_freeze_after_the_snapshots),
        cmocka_unit_test(test_restarted_before_the_cut),
        cmocka_unit_test(test_vm_snapshot_leaves_disk_out),
        cmocka_unit_test(test_falls_back_with_few_retries),
        cmocka_unit_test(test_refused_snapshots_thaw),
        cmocka_unit_test(test_deleted_while_creating),
        cmocka_unit_test(test_earlier_claims_are_not_used),
        cmocka_unit_test(test_source_stops_before_the_cut),
        cmocka_unit_test(test_source_restarts_unseen),
        cmocka_unit_test(test_freeze_after_ours_is_not_thawed),
        cmocka_unit_test(test_started_source_is_stopped),
        cmocka_unit_test(test_started_source_is_stopped_without_consumer),
        cmocka_unit_test(test_foreign_start_is_not_stopped),
        cmocka_unit_test(test_started_source_between_attempts),
        cmocka_unit_test(test_slow_storage_is_not_stuck),
        cmocka_unit_test(test_quota_of_a_claim_is_waited_for),
        cmocka_unit_test(test_refused_owner_is_told),
        cmocka_unit_test(test_reclaim_policy_changes),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
