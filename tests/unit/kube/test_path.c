/*
 * Proves that request paths are those of the Kubernetes API concepts page ("Resource URIs"), that
 * nothing in a name or value can leave its place (RFC 3986 section 2), and that what cannot be
 * written safely fails instead of being cut.
 */
#include "test.h"

#include "kube/path.h"

static void test_resources(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *group, *version, *resource, *ns, *name, *sub, *path;
    } rows[] = {
        {__LINE__, "", "v1", "persistentvolumeclaims", "ns1", "a", NULL,
         "/api/v1/namespaces/ns1/persistentvolumeclaims/a"},
        {__LINE__, "", "v1", "events", "ns1", NULL, NULL, "/api/v1/namespaces/ns1/events"},
        {__LINE__, "", "v1", "persistentvolumeclaims", NULL, NULL, NULL,
         "/api/v1/persistentvolumeclaims"},
        {__LINE__, "storage.k8s.io", "v1", "storageclasses", "", "fast", NULL,
         "/apis/storage.k8s.io/v1/storageclasses/fast"},
        {__LINE__, "vm.novasphere.dev", "v1alpha1", "wukongs", "n", "w", "status",
         "/apis/vm.novasphere.dev/v1alpha1/namespaces/n/wukongs/w/status"},
        {__LINE__, "subresources.kubevirt.io", "v1", "expand-vm-spec", "n", NULL, NULL,
         "/apis/subresources.kubevirt.io/v1/namespaces/n/expand-vm-spec"},
        {__LINE__, "", "v1", "pods", "../../x", "a/b?c#d%e", NULL,
         "/api/v1/namespaces/..%2F..%2Fx/pods/a%2Fb%3Fc%23d%25e"},
        {__LINE__, "", "v1", "pods", "n", "a b\n\xC3\xA4", NULL,
         "/api/v1/namespaces/n/pods/a%20b%0A%C3%A4"},
        {__LINE__, "", "v1", "pods", "n", "A-Z.a_z~09", NULL,
         "/api/v1/namespaces/n/pods/A-Z.a_z~09"},
        {__LINE__, "", "v1", "pods", "n", "...", NULL, "/api/v1/namespaces/n/pods/..."},
        {__LINE__, "", "v1", "pods", "n", "", NULL, NULL},
        {__LINE__, "", "v1", "pods", "n", ".", NULL, NULL},
        {__LINE__, "", "v1", "pods", "n", "..", NULL, NULL},
        {__LINE__, "", "v1", "pods", "..", "a", NULL, NULL},
        {__LINE__, "", "v1", "pods", "n", "a", "..", NULL},
        {__LINE__, "", "v1", "", "n", "a", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_PATH_BYTES);
        kube_path_resource(&b, rows[i].group, rows[i].version, rows[i].resource, rows[i].ns,
                           rows[i].name, rows[i].sub);
        CHECK_ROW(&rows[i], buf_ok(&b) == (rows[i].path != NULL));
        if (rows[i].path)
            assert_string_equal(b.data, rows[i].path);
    }
}

static void test_queries(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_segment(&b, "x?y");
    kube_path_query(&b, "absent", NULL);
    kube_path_query(&b, "labelSelector", "a=b,c in (d, e)&f");
    kube_path_query(&b, "empty", "");
    kube_path_query_int(&b, "limit", -500);
    assert_string_equal(b.data, "/x%3Fy?labelSelector=a%3Db%2Cc%20in%20%28d%2C%20e%29%26f"
                                "&empty=&limit=-500");
}

static void test_too_long(void **state)
{
    (void)state;
    CLEANUP_FREE char *name = xmalloc(LIMIT_PATH_BYTES + 1);
    memset(name, 'a', LIMIT_PATH_BYTES);
    name[LIMIT_PATH_BYTES] = '\0';
    CLEANUP_BUF struct buf b = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_resource(&b, "", "v1", "pods", "n", name, "status");
    assert_false(buf_ok(&b));
    kube_path_query(&b, "more", "1");
    assert_false(buf_ok(&b));
    assert_string_equal(b.data, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
