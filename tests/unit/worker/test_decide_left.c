/*
 * Proves what the cleanup does before it deletes a VolumeSnapshot, and in which order: nothing of it,
 * physical snapshot included, may outlive it, and KubeVirt must not be kept from thawing its guest.
 */
#include "world.h"

struct left_row {
    const char *name;
    struct view_leftover snapshot; /* beside it a VirtualMachineSnapshot, unless kind is 0 */
    bool vm_snapshot, hasty;
    const char *sent; /* the keys of what is sent, joined */
};

/* One look at a Wukong that was deleted before it began, with these leftovers. */
static void sends(const struct left_row *row)
{
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 * MIB);
    struct memo memo = {0};
    struct view_leftover ours[2] = {row->snapshot};
    struct wukong wukong = {.name = "w", .ns = "ns", .uid = UID, .generation = 1};
    struct clone_view v = {.arena = &a, .now = {1000000, 1000000}, .memo = &memo, .wukong = &wukong,
                           .ours = ours, .ours_count = row->vm_snapshot ? 2 : 1};
    ours[0].kind = KIND_SNAPSHOT;
    ours[0].ns = "ns";
    ours[0].name = ours[0].uid = "s";
    ours[1] = (struct view_leftover){.kind = KIND_VM_SNAPSHOT, .ns = "ns", .name = "v", .uid = "v",
                                     .hasty = row->hasty};
    struct decision d = {.intents = {.arena = &a}};
    CLEANUP_BUF struct buf sent = BUF_INIT(4096);
    assert_false(oblige_remove_snapshots(&v, &d));
    for (size_t i = 0; i < d.intents.count; i++)
        buf_addf(&sent, "%s%s", i ? " " : "", d.intents.items[i].key);
    if (!str_eq(str_or(sent.data, ""), row->sent))
        fail_msg("%s: %s", row->name, str_or(sent.data, ""));
    assert_true(d.again_ms > v.now.wall_ms);
    memo_release(&memo);
}

static void test_before_a_snapshot_is_deleted(void **state)
{
    (void)state;
    static const char delete[] = "delete/volumesnapshots/s";
    static const char vms[] = "delete/virtualmachinesnapshots/v";
    static const struct left_row rows[] = {
        {"nothing stands in the way", {.content = "c"}, false, false, delete},
        {"its content is not known", {.look = "c"}, false, false, "read/content/s"},
        {"its content would outlive it", {.content = "c", .content_retains = true}, false, false,
         "policy/c"},
        {"its content is still to come", {.content_awaited = true}, false, false, ""},
        {"the driver has not answered", {.content = "c", .being_cut = true}, false, false, ""},
        {"a claim is being made of it", {.content = "c", .in_use = true}, false, false, ""},
        {"it was overlooked", {.content = "c", .deleting = true, .stuck = "c"}, false, false, "nudge/c"},
        {"it is going", {.content = "c", .deleting = true}, false, false, ""},
        /* KubeVirt's, deleted by the garbage collector: everything is due before. */
        {"KubeVirt's: labelled first", {.content = "c", .unlabelled = true}, true, false, "label/s"},
        {"KubeVirt's: it goes by its owner", {.content = "c"}, true, false, vms},
        {"KubeVirt's, Retain", {.content = "c", .content_retains = true}, true, false, "policy/c"},
        {"KubeVirt's, a claim is being made", {.content = "c", .in_use = true}, true, false, ""},
        {"KubeVirt's, going with its owner", {.content = "c", .deleting = true}, true, false, vms},
        /* KubeVirt keeps the guest frozen until its snapshot goes. */
        {"frozen: the driver is not waited for", {.content = "c", .being_cut = true}, true, true, vms},
        {"frozen: labelled all the same", {.content = "c", .being_cut = true, .unlabelled = true}, true,
         true, "label/s"},
        {"frozen: a content just made is", {.content_awaited = true, .created_ms = 999000}, true, true,
         ""},
        {"frozen: but not for long", {.content_awaited = true, .created_ms = 990000}, true, true, vms},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        sends(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_a_snapshot_is_deleted),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
