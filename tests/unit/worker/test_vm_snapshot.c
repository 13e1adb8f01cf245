/*
 * Proves what is said of a cut that KubeVirt made: its indications tell how its freeze began, and
 * FilesystemConsistent needs that nothing ended that freeze before the last cut, as far as the
 * worker can see: not the timer of a Windows guest, and nobody else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"
#include "observe/observe.h"
#include "observe/queries.h"
#include "steps/steps.h"

#define ATTEMPT_MS 1000000
#define MADE_MS 5000 /* mono: the request for the VirtualMachineSnapshot was sent */
#define ONLINE "[\"Online\",\"GuestAgent\"]"

static void made_and_looked(struct call_log *call_log, int code, int64_t looked_mono_ms)
{
    struct call *made = call_log_get(call_log, call_key_named(CALL_CREATE_VM_SNAPSHOT, "vms"));
    made->state = code == 0 ? CALL_FAILED : CALL_OK;
    made->code = code;
    made->sent_mono_ms = MADE_MS;
    struct call *look = call_log_get(call_log, call_key_numbered(CALL_LOOK_AFTER_VMI, 1));
    look->state = CALL_OK;
    look->code = 200;
    look->sent_mono_ms = looked_mono_ms;
}

static void test_what_is_said_of_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *indications, *os;
        int code;
        int64_t took_ms, thawed_ms;
        enum consistency expected;
    } rows[] = {
        {"Linux", ONLINE, "debian", 201, 60000, 0, CONSISTENCY_FILESYSTEM},
        {"a thaw in the last attempt", ONLINE, "debian", 201, 60000, ATTEMPT_MS - 1,
         CONSISTENCY_FILESYSTEM},
        {"thawed by others before the cut", ONLINE, "debian", 201, 60000, ATTEMPT_MS + 9000,
         CONSISTENCY_CRASH},
        {"Windows, within its timer", ONLINE, "mswindows", 201, 10000, 0, CONSISTENCY_FILESYSTEM},
        {"Windows, past its timer", ONLINE, "mswindows", 201, 10001, 0, CONSISTENCY_CRASH},
        {"Windows, made by an earlier request", ONLINE, "mswindows", 409, 100, 0,
         CONSISTENCY_CRASH},
        {"Windows, this worker did not see it made", ONLINE, "mswindows", 0, 100, 0,
         CONSISTENCY_CRASH},
        {"unknown guest, within the timer", ONLINE, NULL, 201, 9000, 0, CONSISTENCY_FILESYSTEM},
        {"unknown guest, past the timer", ONLINE, NULL, 201, 11000, 0, CONSISTENCY_CRASH},
        {"no agent", "[\"Online\",\"NoGuestAgent\"]", "debian", 201, 100, 0, CONSISTENCY_CRASH},
        {"stopped", "[]", NULL, 201, 60000, 0, CONSISTENCY_OFFLINE},
    };
    static const struct disk_plan plan = {.name = "root", .volume = "root", .claim = "src-root"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call_log call_log = {.foreign_thaw_ms = rows[i].thawed_ms};
        struct disk_state disk = {.plan = &plan};
        struct clone_state v = {.call_log = &call_log,
                                .effective = {.method = METHOD_VM_SNAPSHOT},
                                .source = {.guest_os = rows[i].os, .vmi_name = "src"},
                                .record = {.attempts = 1, .attempt.begun_ms = ATTEMPT_MS},
                                .vm_snapshot = {.name = "vms", .ns = "ns", .exists = true},
                                .vm_snapshot_indications = rows[i].indications,
                                .disks = &disk,
                                .disk_count = 1};
        made_and_looked(&call_log, rows[i].code, MADE_MS + rows[i].took_ms);
        enum consistency got = vm_snapshot_consistency(&v);
        call_log_release(&call_log);
        if (got != rows[i].expected)
            fail_msg("%s: %s, not %s", rows[i].name, consistency_names[got],
                     consistency_names[rows[i].expected]);
    }
}

/* KubeVirt thaws once all is cut: a guest that was shown frozen and is not, before that, was thawed
   by somebody else or by itself. */
static void test_a_thaw_before_the_cut_is_noted(void **state)
{
    (void)state;
    static const struct {
        const char *name, *freeze_status;
        bool made, cut;
        int64_t recorded_ms, shown_ms;
        bool thawed;
    } rows[] = {
        {"not frozen yet", NULL, true, false, 0, 0, false},
        {"frozen in the last attempt", NULL, true, false, 0, ATTEMPT_MS - 1, false},
        {"frozen", "frozen", true, false, 0, 0, false},
        {"frozen, then not", NULL, true, false, 0, ATTEMPT_MS + 1, true},
        {"all is cut", NULL, true, true, 0, ATTEMPT_MS + 1, false},
        {"the cut is recorded", NULL, true, false, ATTEMPT_MS + 9, ATTEMPT_MS + 1, false},
        {"not made yet", NULL, false, false, 0, ATTEMPT_MS + 1, false},
    };
    static const struct disk_plan plan = {.name = "root", .method = DISK_RESTORE};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call_log call_log = {.freeze_shown_ms = rows[i].shown_ms};
        struct disk_state disk = {.plan = &plan,
                                  .snapshot = {.exists = true, .ours = true, .cut = rows[i].cut}};
        struct clone_state v = {
            .call_log = &call_log,
            .now = {.wall_ms = ATTEMPT_MS + 10},
            .effective = {.method = METHOD_VM_SNAPSHOT},
            .source = {.freeze_status = rows[i].freeze_status},
            .record = {.attempt.begun_ms = ATTEMPT_MS, .attempt.cut_ms = rows[i].recorded_ms},
            .vm_snapshot = {.exists = rows[i].made},
            .disks = &disk,
            .disk_count = 1};
        observe_note_kubevirts_freeze(&v, &call_log);
        if ((call_log.foreign_thaw_ms != 0) != rows[i].thawed)
            fail_msg("%s: thawed %d", rows[i].name, call_log.foreign_thaw_ms != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thaw_before_the_cut_is_noted),
        cmocka_unit_test(test_what_is_said_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
