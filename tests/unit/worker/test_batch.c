/*
 * A machine of a batch that has been ready survives the failure of the others: what is noted of it,
 * what is made anew, what stays when that comes to nothing.
 */
#include "call_name.h"
#include "world.h"

#include "decide/batch.h"
#include "decide/decide_internal.h"
#include "decide/last_look.h"

#define NOW 1790000000000

static const struct disk_plan plan = {
    .name = "root", .volume = "root", .claim = "src-root", .method = DISK_RESTORE};
static const struct disk_plan copied = {
    .name = "root", .volume = "root", .claim = "src-root", .method = DISK_CSI_CLONE};

/* Of three machines the first is there and ready, the second's claim fails, the third has none. */
struct batch {
    struct arena arena;
    struct call_log call_log;
    struct wukong wukong;
    struct disk_state disk;
    struct claim_state claims[3];
    struct target_state targets[3];
    struct leftover ours[5];
    struct clone_state v;
    struct decision d;
};

static void make(struct batch *b)
{
    *b = (struct batch){.disk = {.plan = &plan}};
    arena_init(&b->arena, MIB);
    static const char *const vms[] = {"w-vm-0", "w-vm-1", "w-vm-2"};
    static const char *const claims[] = {"w-vm-0-root", "w-vm-1-root", "w-vm-2-root"};
    for (int64_t i = 0; i < 3; i++) {
        b->claims[i] = (struct claim_state){.name = claims[i],
                                            .exists = i < 2,
                                            .ours = i < 2,
                                            .sourced = true,
                                            .owned = true,
                                            .bound = i == 0,
                                            .created_ms = NOW - 200000,
                                            .error = i == 1 ? "no space" : NULL};
        b->targets[i] = (struct target_state){
            .index = i,
            .claims = &b->claims[i],
            .vm = {.name = vms[i], .uid = vms[i], .exists = i < 2, .ours = i < 2, .up = i == 0}};
    }
    for (size_t i = 0; i < 4; i++)
        b->ours[i] = (struct leftover){.kind = i % 2 ? KIND_PVC : KIND_VM,
                                       .ns = "ns",
                                       .name = i % 2 ? claims[i / 2] : vms[i / 2],
                                       .uid = i % 2 ? claims[i / 2] : vms[i / 2]};
    b->ours[4] = (struct leftover){.kind = KIND_SNAPSHOT, .ns = "ns", .name = "s", .uid = "s"};
    b->wukong = (struct wukong){.name = "w", .ns = "ns", .uid = UID, .has_finalizer = true};
    b->v = (struct clone_state){.arena = &b->arena,
                                .now = {NOW, NOW},
                                .wukong = &b->wukong,
                                .call_log = &b->call_log,
                                .disks = &b->disk,
                                .disk_count = 1,
                                .targets = b->targets,
                                .target_count = 3,
                                .ours = b->ours,
                                .ours_count = 5,
                                .record = {.attempts = 1, .attempt.cut_ms = NOW - 300000}};
    b->v.effective = (struct wukong_effective){
        .is_clone = true, .replicas = 3, .retry_limit = 2, .auto_start = true, .source_ns = "ns"};
    b->v.source.vm_exists = true;
    b->v.source.vm_name = b->v.source.vmi_name = "src";
    b->d = (struct decision){.intents = {.arena = &b->arena}, .record = b->v.record};
}

static void drop(struct batch *b)
{
    call_log_release(&b->call_log);
    arena_release(&b->arena);
}

static bool deletes(const struct batch *b, const char *name)
{
    for (size_t i = 0; i < b->d.intents.count; i++)
        if (b->d.intents.items[i].verb == INTENT_DELETE && str_eq(b->d.intents.items[i].name, name))
            return true;
    return false;
}

static void test_what_is_ready_is_noted(void **state)
{
    (void)state;
    struct batch b;
    make(&b);
    batch_note_ready(&b.v, &b.d);
    assert_int_equal(b.d.record.ready_count, 1);
    assert_int_equal(b.d.record.ready[0].index, 0);
    assert_string_equal(b.d.record.ready[0].vm_uid, "w-vm-0");
    assert_int_equal(b.d.record.ready[0].cut_ms, b.v.record.attempt.cut_ms);
    assert_string_equal(batch_survivors(&b.v, &b.d), "; 1 of 3 machines are ready and stay");
    drop(&b);
}

static struct call *looked_at(struct batch *b, struct call_key key, enum call_state state, int code)
{
    struct call *c = call_log_get(&b->call_log, key);
    c->state = state;
    c->code = code;
    c->done_ms = b->v.now.wall_ms;
    return c;
}

/* What the caches do not show ready is read before anything is taken away: a watch may hang. */
static void test_the_api_server_has_the_last_word(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "read/virtualmachines/w-vm-1", "read/persistentvolumeclaims/w-vm-1-root",
        "read/virtualmachines/w-vm-2", "read/persistentvolumeclaims/w-vm-2-root"};
    struct batch b;
    make(&b);
    b.v.record.attempt.cut_ms = 0;
    assert_true(last_look(&b.v, &b.d)); /* nothing is made before the cut */
    b.v.record.attempt.cut_ms = NOW - 300000;
    assert_false(last_look(&b.v, &b.d));
    assert_int_equal(b.d.intents.count, ARRAY_LEN(keys));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        assert_int_equal(b.d.intents.items[i].verb, INTENT_READ);
        assert_string_equal(call_name(&b.d.intents.items[i].key), keys[i]);
        assert_false(last_look(&b.v, &b.d));
        (void)looked_at(&b, b.d.intents.items[i].key, i < 2 ? CALL_OK : CALL_FAILED,
                        i < 2 ? 200 : 404);
    }
    assert_true(last_look(&b.v, &b.d));
    /* What was there may be otherwise by now; a read that always fails tells nothing. */
    b.v.now.wall_ms += LOOK_FRESH_MS;
    assert_false(last_look(&b.v, &b.d));
    for (size_t i = 0; i < 2; i++)
        looked_at(&b, b.d.intents.items[i].key, CALL_FAILED, 503)->failures = 6;
    assert_true(last_look(&b.v, &b.d));
    drop(&b);
}

/* A machine of an earlier run is of that run's cut: the whole is worth no more. */
static void test_the_weakest_is_told(void **state)
{
    (void)state;
    static const struct {
        enum consistency ready, now, told;
    } rows[] = {
        {CONSISTENCY_CRASH_PER_DISK, CONSISTENCY_FILESYSTEM, CONSISTENCY_CRASH_PER_DISK},
        {CONSISTENCY_FILESYSTEM, CONSISTENCY_CRASH, CONSISTENCY_CRASH},
        {CONSISTENCY_UNKNOWN, CONSISTENCY_FILESYSTEM, CONSISTENCY_FILESYSTEM},
        {CONSISTENCY_OFFLINE, CONSISTENCY_FILESYSTEM, CONSISTENCY_FILESYSTEM},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct batch b;
        make(&b);
        const struct ready_target one = {0, "w-vm-0", 1, 1, rows[i].ready};
        b.v.record.ready = &one;
        b.v.record.ready_count = 1;
        b.d.record.attempt.consistency = rows[i].now;
        batch_tell_weakest(&b.v, &b.d);
        assert_int_equal(b.d.record.attempt.consistency, rows[i].told);
        drop(&b);
    }
}

/* A copy of a claim is good only if the source stayed stopped: nobody has looked yet. */
static void test_copies_are_proven_first(void **state)
{
    (void)state;
    struct batch b;
    struct why why = {0};
    make(&b);
    b.disk.plan = &copied;
    b.v.record.attempt.consistency = CONSISTENCY_OFFLINE;
    batch_note_ready(&b.v, &b.d);
    assert_int_equal(b.d.record.ready_count, 0);
    assert_false(batch_take_stock(&b.v, &b.d, &why));
    assert_int_equal(b.d.intents.count, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(b.d.intents.items[i].verb, INTENT_READ);
        struct call *look = call_log_get(&b.call_log, b.d.intents.items[i].key);
        look->state = CALL_FAILED;
        look->code = 404;
        assert_false(batch_take_stock(&b.v, &b.d, &why));
    }
    assert_int_equal(b.d.intents.items[2].verb, INTENT_PODS);
    struct call *c = call_log_get(&b.call_log, b.d.intents.items[2].key);
    c->state = CALL_OK;
    c->body = xstrdup("{\"next\":\"\",\"pods\":[]}");
    c->body_len = strlen(c->body);
    assert_true(batch_take_stock(&b.v, &b.d, &why));
    assert_int_equal(b.d.record.ready_count, 1);
    drop(&b);
}

/* Whatever a retry waits for, it is said; what is being removed is no wait. */
static void test_a_retry_that_waits_says_so(void **state)
{
    (void)state;
    static const struct {
        size_t ready, held;
        enum clone_type type;
        bool told;
    } rows[] = {
        {0, 0, CLONE_RUNNING, false},
        {1, 0, CLONE_RUNNING, true},
        {1, 0, CLONE_LINKED, true},
        {0, 1, CLONE_RUNNING, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct batch b;
        make(&b);
        b.v.record.ready_count = rows[i].ready;
        b.v.held_count = rows[i].held;
        b.v.effective.clone_type = rows[i].type;
        batch_tell_retry(&b.v, &b.d);
        assert_int_equal(b.d.intents.count, rows[i].told);
        drop(&b);
    }
}

/* What is about to be repaired is read first; each read is answered. */
static void answer_reads(struct batch *b)
{
    b->d = (struct decision){.intents = {.arena = &b->arena}, .record = b->v.record};
    assert_false(batch_repaired(&b->v, &b->d));
    assert_true(b->d.intents.count);
    for (size_t i = 0; i < b->d.intents.count; i++) {
        assert_int_equal(b->d.intents.items[i].verb, INTENT_READ);
        (void)looked_at(b, b->d.intents.items[i].key, CALL_OK, 200);
    }
}

/* A sidecar's next try has worked while the worker was away: the machine runs, and stays. One of
   which something was asked to go is not ready, whatever a cache shows. */
static void test_what_has_come_good_is_not_repaired(void **state)
{
    (void)state;
    for (int asked = 0; asked <= 1; asked++) {
        struct batch b;
        make(&b);
        b.v.record.repair.target = 2;
        b.claims[1].bound = b.targets[1].vm.up = true;
        if (asked)
            (void)looked_at(&b, call_key_object(CALL_DELETE, "virtualmachines", NULL, "w-vm-1"),
                            CALL_OK, 200);
        batch_note_ready(&b.v, &b.d);
        assert_int_equal(b.d.record.ready_count, 1);
        b.d = (struct decision){.intents = {.arena = &b.arena}, .record = b.v.record};
        assert_false(batch_repaired(&b.v, &b.d));
        assert_int_equal(b.d.record.repair.target, asked ? 2 : 0);
        assert_int_equal(deletes(&b, "w-vm-1-root"), asked);
        b.v.record = b.d.record;
        batch_note_ready(&b.v, &b.d);
        assert_int_equal(b.d.record.ready_count, asked ? 1 : 2);
        drop(&b);
    }
}

/* The attempt was given up, and the worker died before anything was removed. Machines that run by
   now stay, unless what was copied is worthless, or something of them was asked to go. */
static void test_an_abort_is_taken_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *reason;
        bool terminal, runs, asked, stays;
    } rows[] = {
        {"restored after all", "RestoreFailed", false, true, false, true},
        {"started after all", "VirtualMachineFailed", false, true, false, true},
        {"late, and there", "DeadlineExceeded", true, true, false, true},
        {"late, and not there", "DeadlineExceeded", true, false, false, false},
        {"asked to go", "RestoreFailed", false, true, true, false},
        {"the copies are worthless", "SourceStarted", false, true, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct batch b;
        make(&b);
        b.v.target_count = 1;
        b.v.ours_count = 2;
        b.v.effective.replicas = 1;
        b.targets[0].vm.up = rows[i].runs;
        b.v.record.error.reason = rows[i].reason;
        b.v.record.error.attempt = 1;
        b.call_log.cleaning_mono_ms = NOW;
        b.v.record.error.terminal = rows[i].terminal;
        if (rows[i].asked)
            (void)looked_at(&b, call_key_object(CALL_DELETE, "virtualmachines", NULL, "w-vm-0"),
                            CALL_OK, 200);
        b.d.record = b.v.record;
        after_failure(&b.v, &b.d);
        if (deletes(&b, "w-vm-0-root") == rows[i].stays ||
            record_aborted(&b.d.record) == rows[i].stays || b.d.persist_first != rows[i].stays)
            fail_msg("%s: deletes %d, aborted %d", rows[i].name, deletes(&b, "w-vm-0-root"),
                     record_aborted(&b.d.record));
        drop(&b);
    }
}

/* From the same snapshots, in the same attempt; the others are not touched. */
static void test_one_is_made_anew(void **state)
{
    (void)state;
    struct batch b;
    make(&b);
    struct why why = {.target = &b.targets[1]};
    why_set(&why, REASON_RESTORE_FAILED, "claim w-vm-1-root: no space");
    assert_true(batch_repair(&b.v, &b.d, &why));
    assert_true(b.d.persist_first);
    assert_int_equal(b.d.record.repair.count, 1);
    assert_int_equal(b.d.record.repair.target, 2);
    assert_int_equal(b.d.record.attempts, 1);
    assert_false(record_aborted(&b.d.record));
    b.v.record = b.d.record;
    answer_reads(&b);
    b.d = (struct decision){.intents = {.arena = &b.arena}, .record = b.v.record};
    assert_false(batch_repaired(&b.v, &b.d));
    assert_true(deletes(&b, "w-vm-1") && deletes(&b, "w-vm-1-root"));
    assert_false(deletes(&b, "w-vm-0") || deletes(&b, "w-vm-0-root") || deletes(&b, "s"));
    /* They are gone. */
    b.v.ours_count = 2;
    b.d = (struct decision){.intents = {.arena = &b.arena}, .record = b.v.record};
    assert_false(batch_repaired(&b.v, &b.d));
    assert_int_equal(b.d.record.repair.target, 0);
    b.v.record = b.d.record;
    assert_true(batch_repaired(&b.v, &b.d));
    drop(&b);
}

static void test_what_is_not_made_anew(void **state)
{
    (void)state;
    struct batch b;
    struct why why = {0};
    make(&b);
    why_set(&why, REASON_SNAPSHOT_LOST, "it is gone");
    assert_false(batch_repair(&b.v, &b.d, &why));
    why.target = &b.targets[1];
    b.v.record.repair.count = 2;
    assert_false(batch_repair(&b.v, &b.d, &why));
    b.v.record.repair.count = 0;
    /* No other is ready: the whole attempt is repeated, as ever. */
    b.targets[0].vm.up = false;
    assert_false(batch_repair(&b.v, &b.d, &why));
    drop(&b);
}

/* What stays is not removed, and neither is what its disks hang on. */
static void test_all_but_what_stays_is_removed(void **state)
{
    (void)state;
    struct batch b;
    make(&b);
    b.ours[0].stays = b.ours[1].stays = true;
    assert_false(teardown_remove_all(&b.v, &b.d));
    assert_true(deletes(&b, "w-vm-1") && deletes(&b, "w-vm-1-root"));
    assert_false(deletes(&b, "w-vm-0") || deletes(&b, "w-vm-0-root"));
    b.ours[2] = b.ours[4];
    b.v.ours_count = 3;
    b.ours[1].pending_claim = true;
    assert_true(teardown_remove_all(&b.v, &b.d));
    assert_false(deletes(&b, "s"));
    b.ours[1].pending_claim = false;
    b.v.effective.clone_type = CLONE_LINKED;
    assert_true(teardown_remove_all(&b.v, &b.d));
    assert_false(deletes(&b, "s"));
    b.v.effective.clone_type = CLONE_RUNNING;
    assert_false(teardown_remove_all(&b.v, &b.d));
    assert_true(deletes(&b, "s"));
    drop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_ready_is_noted),
        cmocka_unit_test(test_the_api_server_has_the_last_word),
        cmocka_unit_test(test_the_weakest_is_told),
        cmocka_unit_test(test_copies_are_proven_first),
        cmocka_unit_test(test_a_retry_that_waits_says_so),
        cmocka_unit_test(test_what_has_come_good_is_not_repaired),
        cmocka_unit_test(test_an_abort_is_taken_back),
        cmocka_unit_test(test_one_is_made_anew),
        cmocka_unit_test(test_what_is_not_made_anew),
        cmocka_unit_test(test_all_but_what_stays_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
