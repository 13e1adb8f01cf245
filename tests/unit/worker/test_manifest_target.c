/*
 * Proves what spec.target makes of a machine and its claims: labels and annotations where a Service
 * or a policy looks for them, annotations of the source's template that are asked for, and that
 * what is not the user's to set stays as it is.
 */
#include "manifest_test.h"

#define INSTANCE "spec.template.spec."
#define TEMPLATE "spec.template.metadata."

struct row {
    const char *name, *source, *labels, *spec;
    const char *expect[8];
    const char *said, *error;
    bool elsewhere;
};

#define CARRIED(annotations)                                                                       \
    "{'metadata':{},'templateAnnotations':{" annotations "},'spec':{'template':{'metadata':{},"    \
    "'spec':{'domain':{}}}}}"
#define KEEP(list) "'target':{'keepAnnotations':[" list "]}"

static const struct row rows[] = {
    {.name = "labels: on the machine and its template; the target's count before the Wukong's",
     .source = SOURCE("{'domain':{}}"),
     .labels = "{'app':'other','team':'a','argocd.argoproj.io/instance':'x','kubevirt.io':'y'}",
     .spec = "'target':{'labels':{'app':'shop'},'annotations':{'example.com/owner':'me'}}",
     .expect = {TEMPLATE "labels = {'app':'shop','team':'a'}", "metadata.labels.app = 'shop'",
                "metadata.labels.team = 'a'", "metadata.labels.kubevirt.io = -",
                "metadata.annotations = {'example.com/owner':'me'}",
                TEMPLATE "annotations = {'example.com/owner':'me'}"}},
    {.name = "our labels have the last word, whatever a Wukong says that nobody judged",
     .source = SOURCE("{'domain':{}}"),
     .labels = "{'vm.novasphere.dev/wukong-uid':'forged'}",
     .spec = "'target':{'labels':{'vm.novasphere.dev/wukong':'forged','kubevirt.io/vm':'x'}}",
     .expect = {TEMPLATE "labels = {}",
                "metadata.labels = {'vm.novasphere.dev/wukong-uid':'" UID
                "','vm.novasphere.dev/wukong':'clone','vm.novasphere.dev/clone':'0'}"}},
    {.name = "anti-affinity's label stands beside them",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'target':{'labels':{'app':'shop'}},'highAvailability':{'antiAffinity':true}",
     .expect = {TEMPLATE "labels = {'vm.novasphere.dev/wukong-uid':'" UID "','app':'shop'}"}},
    {.name = "nothing asked for, nothing kept",
     .source = CARRIED("'kubevirt.io/ignitiondata':'{}','example.com/a':'b'"),
     .expect = {TEMPLATE "annotations = -", "templateAnnotations = -"},
     .said = "annotation kubevirt.io/ignitiondata is left out"},
    {.name = "kept by key and by domain",
     .source = CARRIED("'kubevirt.io/ignitiondata':'{}','example.com/a':'b','example.com/c':'\xc3"
                       "\xa9','example.org/d':'e'"),
     .spec = KEEP("'kubevirt.io/ignitiondata','example.com/'"),
     .expect = {TEMPLATE "annotations = {'kubevirt.io/ignitiondata':'{}','example.com/a':'b',"
                         "'example.com/c':'\xc3\xa9'}",
                "metadata.annotations = -"},
     .said = "left out: example.org/d"},
    {.name = "the user's own value goes before the source's",
     .source = CARRIED("'example.com/a':'b'"),
     .spec = "'target':{'keepAnnotations':['example.com/a'],'annotations':{'example.com/a':'c'}}",
     .expect = {TEMPLATE "annotations = {'example.com/a':'c'}"}},
    {.name = "notes about the source are no part of a clone, though a capture held them",
     .source = CARRIED("'kubectl.kubernetes.io/last-applied-configuration':'{}'"),
     .spec = KEEP("'kubectl.kubernetes.io/'"),
     .expect = {TEMPLATE "annotations = -"}},
    {.name = "a hook sidecar of the same namespace",
     .source =
         CARRIED("'hooks.kubevirt.io/hookSidecars':'[{\\u0022image\\u0022:\\u0022a\\u0022}]'"),
     .spec = KEEP("'hooks.kubevirt.io/'"),
     .expect = {TEMPLATE "annotations[hooks.kubevirt.io/hookSidecars] = "
                         "'[{\\u0022image\\u0022:\\u0022a\\u0022}]'"}},
    {.name = "a hook sidecar that mounts a claim",
     .source = CARRIED("'hooks.kubevirt.io/hookSidecars':'[{\\u0022pvc\\u0022:{\\u0022name\\u0022:"
                       "\\u0022src\\u0022}}]'"),
     .spec = KEEP("'hooks.kubevirt.io/hookSidecars'"),
     .expect = {TEMPLATE "annotations = -"},
     .said = "hooks.kubevirt.io/hookSidecars is left out: it mounts a claim"},
    {.name = "a hook sidecar from another namespace",
     .source = CARRIED("'hooks.kubevirt.io/hookSidecars':'[]','example.com/a':'b'"),
     .elsewhere = true,
     .spec = KEEP("'hooks.kubevirt.io/hookSidecars','example.com/a'"),
     .expect = {TEMPLATE "annotations = {'example.com/a':'b'}"},
     .said = "hooks.kubevirt.io/hookSidecars is left out: it would run an image"},
    {.name = "what was too long to be carried",
     .source = CARRIED("'example.com/a':null"),
     .spec = KEEP("'example.com/a'"),
     .expect = {TEMPLATE "annotations = -"},
     .said = "annotation example.com/a is left out: with those before it, it is too long"},
    {.name = "an older worker's capture has names alone",
     .source = "{'metadata':{},'missedAnnotations':{'example.com/a':''},'spec':{'template':{'spec'"
               ":{'domain':{}}}}}",
     .spec = KEEP("'example.com/a'"),
     .expect = {TEMPLATE "annotations = -"},
     .said = "left out: example.com/a"},
};

static bool is_said(const struct manifest_vm *vm, const char *part)
{
    for (size_t i = 0; i < vm->difference_count; i++)
        if (strstr(vm->differences[i], part))
            return true;
    for (size_t i = 0; i < vm->warning_count; i++)
        if (strstr(vm->warnings[i], part))
            return true;
    return false;
}

static void run_row(const struct row *row)
{
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    CLEANUP_JSON cJSON *source = parse(row->source);
    fixture_init(&f, row->labels, row->spec);
    f.effective.cross_namespace = row->elsewhere;
    struct manifest_request r = {.wukong = &f.wukong, .effective = &f.effective};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    int status = manifest_vm_body(source, &r, &vm, &err);
    if (row->error) {
        if (status == 0 || !strstr(err.message, row->error) || err.kind != ERR_REFUSED)
            fail_msg("%s: wanted a refusal with: %s; got %s", row->name, row->error,
                     status ? err.message : "none");
        return;
    }
    if (status < 0)
        fail_msg("%s: %s", row->name, err.message);
    CLEANUP_JSON cJSON *body = NULL;
    assert_int_equal(json_parse(vm.body.data, vm.body.len, true, &body, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(row->expect) && row->expect[i]; i++)
        check_path(row->name, body, row->expect[i]);
    if (row->said && !is_said(&vm, row->said))
        fail_msg("%s: not said: %s", row->name, row->said);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        run_row(&rows[i]);
}

/* Claims bear them whichever way they are made: a policy on claims demands labels there. */
static void test_claims(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    CLEANUP_JSON cJSON *source =
        parse("{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':"
              "'1Gi'}}}}");
    fixture_init(&f, "{'team':'a','helm.sh/chart':'x'}",
                 "'target':{'labels':{'app':'shop','vm.novasphere.dev/disk':'forged'},"
                 "'annotations':{'a/b':'c','cdi.kubevirt.io/x':'y'}}");
    struct manifest_claim c = {.wukong = &f.wukong,
                               .name = "clone-root",
                               .disk = "root",
                               .source = source,
                               .origin = MANIFEST_FROM_SNAPSHOT,
                               .origin_name = "snap-1",
                               .origin_ns = "lab"};
    for (int datavolume = 0; datavolume <= 1; datavolume++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *tree = NULL;
        CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
        assert_int_equal(datavolume ? manifest_datavolume_body(&c, &out, &err)
                                    : manifest_pvc_body(&c, &out, &err),
                         0);
        assert_int_equal(json_parse(out.data, out.len, true, &tree, &err), 0);
        check_path("claim", tree, "metadata.labels.app = 'shop'");
        check_path("claim", tree, "metadata.labels.team = 'a'");
        check_path("claim", tree, "metadata.labels[helm.sh/chart] = -");
        check_path("claim", tree, "metadata.labels[vm.novasphere.dev/disk] = 'root'");
        check_path("claim", tree, "metadata.annotations = {'a/b':'c'}");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_claims),
    };
    return cmocka_run_group_tests_name("manifest_target", tests, NULL, NULL);
}
