/*
 * Proves that each lookup goes where it went by hand, and that the right which it needs is named
 * as RBAC names it, its subresource included.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "lookup/lookup.h"

static void test_paths_and_rights(void **state)
{
    (void)state;
    static const struct {
        enum lookup_kind kind;
        const char *path, *verb, *resource, *sub, *ns, *name;
    } rows[LOOKUP_KINDS] = {
        {LOOKUP_MAY_CLONE, "/apis/authorization.k8s.io/v1/subjectaccessreviews", "create",
         "subjectaccessreviews", NULL, NULL, NULL},
        {LOOKUP_MAY_START, "/apis/authorization.k8s.io/v1/subjectaccessreviews", "create",
         "subjectaccessreviews", NULL, NULL, NULL},
        {LOOKUP_VM, "/apis/kubevirt.io/v1/namespaces/ns/virtualmachines/n", "get",
         "virtualmachines", NULL, "ns", "n"},
        {LOOKUP_VMI, "/apis/kubevirt.io/v1/namespaces/ns/virtualmachineinstances/n", "get",
         "virtualmachineinstances", NULL, "ns", "n"},
        {LOOKUP_EXPANDED,
         "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachines/n/expand-spec", "get",
         "virtualmachines", "expand-spec", "ns", "n"},
        {LOOKUP_CLAIM, "/api/v1/namespaces/ns/persistentvolumeclaims/n", "get",
         "persistentvolumeclaims", NULL, "ns", "n"},
        {LOOKUP_SOURCE_NAMESPACE, "/api/v1/namespaces/ns", "get", "namespaces", NULL, NULL, "ns"},
        {LOOKUP_TARGET_NAMESPACE, "/api/v1/namespaces/ns", "get", "namespaces", NULL, NULL, "ns"},
        {LOOKUP_CDI, "/apis/cdi.kubevirt.io/v1beta1", "get", NULL, NULL, NULL, NULL},
        {LOOKUP_PROFILE, "/apis/cdi.kubevirt.io/v1beta1/storageprofiles/n", "get",
         "storageprofiles", NULL, NULL, "n"},
        {LOOKUP_STORAGE_CLASSES, "/apis/storage.k8s.io/v1/storageclasses", "list", "storageclasses",
         NULL, NULL, NULL},
        {LOOKUP_SNAPSHOT_CLASSES, "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses", "list",
         "volumesnapshotclasses", NULL, NULL, NULL},
        {LOOKUP_GROUP_CLASSES, "/apis/groupsnapshot.storage.k8s.io/v1/volumegroupsnapshotclasses",
         "list", "volumegroupsnapshotclasses", NULL, NULL, NULL},
        {LOOKUP_DRIVERS, "/apis/storage.k8s.io/v1/csidrivers", "list", "csidrivers", NULL, NULL,
         NULL},
        {LOOKUP_POLICIES, "/apis/vm.novasphere.dev/v1alpha1/clonepolicies", "list", "clonepolicies",
         NULL, NULL, NULL},
    };
    struct lookups all = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct lookup *k = lookups_get(&all, rows[i].kind, "ns", "n");
        const struct look_right r = look_right(k);
        assert_string_equal(k->path, rows[i].path);
        assert_string_equal(r.verb, rows[i].verb);
        if (!str_eq(r.kind ? r.kind->resource : NULL, rows[i].resource) ||
            !str_eq(r.sub, rows[i].sub) || !str_eq(r.ns, rows[i].ns) ||
            !str_eq(r.name, rows[i].name))
            fail_msg("%s: %s/%s %s %s", lookup_kind_names[rows[i].kind],
                     str_or(r.kind ? r.kind->resource : NULL, "-"), str_or(r.sub, "-"),
                     str_or(r.ns, "-"), str_or(r.name, "-"));
    }
    lookups_release(&all);
}

/* Whoever asks about himself asks at another place, and needs another right. */
static void test_own_access(void **state)
{
    (void)state;
    struct lookups all = {0};
    const struct lookup *k = lookups_own_access(&all, LOOKUP_MAY_CLONE, "ns", "n");
    assert_string_equal(k->path, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    assert_string_equal(look_right(k).kind->resource, "selfsubjectaccessreviews");
    lookups_release(&all);
}

/* What is no name at all leads nowhere. */
static void test_no_path(void **state)
{
    (void)state;
    struct lookups all = {0};
    assert_null(lookups_get(&all, LOOKUP_VM, "ns", ".."));
    assert_null(lookups_get(&all, LOOKUP_VM, "ns", ""));
    assert_int_equal(all.count, 0);
    lookups_release(&all);
}

/* What a cluster does not serve in its newest version is asked for in the older one, once. */
static void test_older_version(void **state)
{
    (void)state;
    static const char older[] =
        "/apis/groupsnapshot.storage.k8s.io/v1beta2/volumegroupsnapshotclasses";
    struct lookups all = {0};
    struct lookup *k = lookups_get(&all, LOOKUP_GROUP_CLASSES, NULL, NULL);
    bool known = true;
    k->sent = true;
    lookup_answered(k, 404, xstrdup("404 page not found"));
    assert_true(lookups_pending(&all));
    assert_false(k->sent);
    assert_string_equal(k->path, older);
    k->sent = true;
    lookup_answered(k, 200, xstrdup("{\"items\":[]}"));
    assert_false(lookups_pending(&all));
    assert_non_null(lookup_tree(k));
    lookups_release(&all);
    k = lookups_get(&all, LOOKUP_GROUP_CLASSES, NULL, NULL);
    lookup_answered(k, 404, NULL);
    lookup_answered(k, 404, NULL);
    assert_false(lookup_exists(k, &known));
    assert_true(known);
    lookups_release(&all);
    k = lookups_get(&all, LOOKUP_SNAPSHOT_CLASSES, NULL, NULL);
    lookup_answered(k, 404, NULL);
    assert_false(lookups_pending(&all));
    lookups_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_and_rights),
        cmocka_unit_test(test_older_version),
        cmocka_unit_test(test_own_access),
        cmocka_unit_test(test_no_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
