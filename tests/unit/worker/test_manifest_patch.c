/*
 * Proves that spec.target.overrides is RFC 7386 (each example of its appendix), that no patch takes
 * or changes what makes the clone another machine than its source, whatever it holds, and that what
 * an API server dropped of it is told.
 *
 * Patches are drawn at random from the words of the protected places; the seed of a failing one is
 * printed, WUKONG_SEED=<n> runs that one alone.
 */
#include "manifest_test.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/rng.h"
#include "wukong/api/overrides.h"

#define PATCHES 6000
#define AT "spec.template.spec."

/* A source with something at each protected place. */
static const char machine[] = SOURCE_WITH(
    "'runStrategy':'Always'",
    "{'hostname':'src','subdomain':'sub','evictionStrategy':'LiveMigrate','accessCredentials':[],"
    "'volumes':[{'name':'root','persistentVolumeClaim':{'claimName':'src-root'}}],"
    "'networks':[{'name':'a','pod':{}}],'domain':{'cpu':{'cores':2},'memory':{'guest':'2Gi'},"
    "'firmware':{'uuid':'x','serial':'y','bootloader':{'bios':{}}},'devices':{'rng':{},"
    "'autoattachPodInterface':true,'disks':[{'name':'root','disk':{'bus':'virtio'}}],"
    "'filesystems':[{'name':'f'}],'interfaces':[{'name':'a','masquerade':{},"
    "'macAddress':'02:00:00:00:00:01'}]}}}");

/* 0, or -1 with err; body is the machine's spec. */
static int build(const char *spec, cJSON **ret, struct err *err)
{
    CLEANUP_FIXTURE struct wukong_fixture f;
    CLEANUP_JSON cJSON *source = parse(machine);
    static const struct manifest_disk disk = {"root", "clone-root", false};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    fixture_init(&f, NULL, spec);
    struct manifest_request r = {
        .wukong = &f.wukong, .effective = &f.effective, .disks = &disk, .disk_count = 1};
    manifest_vm_init(&vm);
    if (manifest_vm_body(source, &r, &vm, err) < 0)
        return -1;
    return json_parse(vm.body.data, vm.body.len, true, ret, err);
}

static const struct {
    const char *patch;
    const char *expect[3];
} taken[] = {
    {"{'template':{'spec':{'evictionStrategy':'None','domain':{'cpu':{'model':'x'}}}}}",
     {AT "evictionStrategy = 'None'", AT "domain.cpu = {'cores':2,'model':'x'}"}},
    {"{'template':{'spec':{'subdomain':null,'nodeSelector':{'a.b/c':'d'}}}}",
     {AT "subdomain = -", AT "nodeSelector = {'a.b/c':'d'}"}},
    {"{'template':{'spec':{'domain':{'devices':{'rng':null},'firmware':{'bootloader':{'bios':null,"
     "'efi':{'secureBoot':false}}}}}}}",
     {AT "domain.devices.rng = -", AT "domain.firmware.bootloader = {'efi':{'secureBoot':false}}"}},
    {"{'template':{'spec':{'accessCredentials':[{'sshPublicKey':{'source':{'secret':{'secretName':"
     "'s'}}}}]}}}",
     {AT "accessCredentials.#0.sshPublicKey.source.secret.secretName = 's'"}},
    {"{'template':{'spec':{'domain':{'devices':{'gpus':[{'name':'g','claimName':'c'}]}}}}}",
     {AT "domain.devices.gpus.#0.claimName = 'c'"}},
    {"{}", {AT "evictionStrategy = 'LiveMigrate'"}},
};

static const struct {
    const char *patch, *error;
} refused[] = {
    /* The parents of what is protected. */
    {"{'template':null}", "overrides.template: this object holds"},
    {"{'template':{'spec':null}}", "overrides.template.spec: this object holds"},
    {"{'template':{'spec':[]}}", "overrides.template.spec: this object holds"},
    {"{'template':{'spec':{'domain':{'devices':'x'}}}}", "domain.devices: this object holds"},
    {"{'template':{'spec':{'domain':{'firmware':null}}}}", "domain.firmware: this object holds"},
    /* What is protected. */
    {"{'runStrategy':'Halted'}", "overrides.runStrategy: a patch changes no"},
    {"{'running':true}", "use startStrategy"},
    {"{'dataVolumeTemplates':[]}", "use disks"},
    {"{'template':{'metadata':{'labels':{'a':'b'}}}}", "use target.labels"},
    {"{'template':{'spec':{'volumes':[{'name':'x','secret':{'secretName':'s'}}]}}}", "use disks"},
    {"{'template':{'spec':{'domain':{'devices':{'disks':null}}}}}", "use disks"},
    {"{'template':{'spec':{'domain':{'devices':{'interfaces':[]}}}}}", "use target.network"},
    {"{'template':{'spec':{'domain':{'devices':{'autoattachPodInterface':null}}}}}",
     "use target.network"},
    {"{'template':{'spec':{'domain':{'firmware':{'serial':'y'}}}}}", "each clone has its own"},
    {"{'template':{'spec':{'hostname':'src'}}}", "use guest.hostname"},
    /* As Go's decoder reads them. */
    {"{'Template':{'SPEC':{'HostName':'src'}}}", "Template.SPEC.HostName: a patch changes no"},
    {"{'template':{'\\u017fpec':{'hostname':'src'}}}", "no field of a VirtualMachine"},
    {"{'':1}", "no field of a VirtualMachine"},
    /* Claims, wherever a new KubeVirt may take them. */
    {"{'template':{'spec':{'new':[{'deep':{'claimName':'src-root'}}]}}}", "names no Persistent"},
    {"{'template':{'spec':{'new':{'dataVolume':{'name':'src-root'}}}}}", "names no Persistent"},
    /* Too deep. */
    {"{'a':{'b':{'c':{'d':{'e':{'f':{'g':{'h':[[[[[[[[[1]]]]]]]]]}}}}}}}}", "16 levels"},
    {"[]", "must be an object"},
    {"'text'", "must be an object"},
    {"7", "must be an object"},
};

static void test_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *body = NULL;
        CLEANUP_FREE char *spec = xasprintf("'target':{'overrides':%s}", taken[i].patch);
        if (build(spec, &body, &err) < 0)
            fail_msg("%s: %s", taken[i].patch, err.message);
        for (size_t k = 0; k < ARRAY_LEN(taken[i].expect) && taken[i].expect[k]; k++)
            check_path(taken[i].patch, body, taken[i].expect[k]);
    }
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *body = NULL;
        CLEANUP_FREE char *spec = xasprintf("'target':{'overrides':%s}", refused[i].patch);
        if (build(spec, &body, &err) == 0 || !strstr(err.message, refused[i].error))
            fail_msg("%s: %s", refused[i].patch, body ? "not refused" : err.message);
        assert_int_equal(err.kind, ERR_REFUSED);
    }
}

static void test_large(void **state)
{
    (void)state;
    for (int large = 0; large <= 1; large++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *body = NULL;
        CLEANUP_BUF struct buf spec = BUF_INIT(4 * MIB);
        buf_adds(&spec, "'target':{'overrides':{'template':{'spec':{'nodeSelector':{'a':'");
        for (size_t n = large ? OVERRIDES_BYTES_MAX : OVERRIDES_BYTES_MAX - 100; n > 0; n--)
            buf_addc(&spec, 'x');
        buf_adds(&spec, "'}}}}}");
        assert_int_equal(build(spec.data, &body, &err), large ? -1 : 0);
    }
}

/* RFC 7386, appendix A; its patches that are no object replace the whole, which nobody may here. */
static void test_rfc(void **state)
{
    (void)state;
    static const char *const examples[][3] = {
        {"{'a':'b'}", "{'a':'c'}", "{'a':'c'}"},
        {"{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}"},
        {"{'a':'b'}", "{'a':null}", "{}"},
        {"{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}"},
        {"{'a':['b']}", "{'a':'c'}", "{'a':'c'}"},
        {"{'a':'c'}", "{'a':['b']}", "{'a':['b']}"},
        {"{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}"},
        {"{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}"},
        {"{'e':null}", "{'a':1}", "{'e':null,'a':1}"},
        {"{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
        CLEANUP_JSON cJSON *target = parse(examples[i][0]);
        CLEANUP_JSON cJSON *patch = parse(examples[i][1]);
        CLEANUP_JSON cJSON *want = parse(examples[i][2]);
        overrides_apply(target, patch);
        if (!json_equal(target, want))
            fail_msg("example %zu", i);
    }
}

/* A field that the API server does not know is dropped with a 201: what was wished did not come. */
static void test_match(void **state)
{
    (void)state;
    static const struct {
        const char *patch, *stored, *place;
    } cases[] = {
        {"{'a':{'b':1}}", "{'a':{'b':2,'c':3}}", NULL},
        {"{'a':{'b':1}}", "{'a':{'c':3}}", "a.b"},
        {"{'a':{'b':[{'c':1}]}}", "{'a':{'b':[{'d':1}]}}", "a.b[].c"},
        {"{'a':{'b':[{'c':1}]}}", "{'a':{'b':[{'c':1,'d':1}]}}", NULL},
        /* Deleted, empty or zero: Go leaves it out. */
        {"{'a':{'b':null,'c':{},'d':[],'e':false,'f':0,'g':''}}", "{'a':{'h':1}}", NULL},
        {"{'a':{'b':{'c':1}}}", "{}", "a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        CLEANUP_FREE char *spec = xasprintf("'target':{'overrides':%s}", cases[i].patch);
        CLEANUP_FREE char *reply = xasprintf("{'spec':%s}", cases[i].stored);
        CLEANUP_JSON cJSON *tree = parse(reply);
        CLEANUP_FIXTURE struct wukong_fixture f;
        fixture_init(&f, NULL, spec);
        int status = manifest_overrides_match(tree, &f.wukong.spec.target, &err);
        CLEANUP_FREE char *told =
            xasprintf("overrides.%s: this KubeVirt", str_or(cases[i].place, ""));
        if ((status == 0) != !cases[i].place || (cases[i].place && !strstr(err.message, told)))
            fail_msg("%s: %s", cases[i].patch, status ? err.message : "taken");
    }
}

/* --- The property --- */

static const char *const words[] = {
    "template",
    "spec",
    "metadata",
    "domain",
    "devices",
    "firmware",
    "uuid",
    "serial",
    "volumes",
    "disks",
    "interfaces",
    "networks",
    "filesystems",
    "hostname",
    "runStrategy",
    "running",
    "preference",
    "instancetype",
    "dataVolumeTemplates",
    "autoattachPodInterface",
    "claimName",
    "utilityVolumes",
    "Spec",
    "DOMAIN",
    "cpu",
    "labels",
    "gpus",
    "a",
};

static void draw_value(struct rng *r, struct buf *out, int depth);

static void draw_object(struct rng *r, struct buf *out, int depth, const char *along)
{
    int64_t n = rng_range(r, 0, 3);
    uint64_t used = 0;
    buf_addc(out, '{');
    if (along)
        buf_addf(out, "'%.*s':", (int)strcspn(along, "."), along);
    if (along && strchr(along, '.') && rng_chance(r, 850))
        draw_object(r, out, depth + 1, strchr(along, '.') + 1);
    else if (along)
        draw_value(r, out, depth + 1);
    for (int64_t i = 0; i < n; i++) {
        size_t word = (size_t)rng_range(r, 0, (int64_t)ARRAY_LEN(words) - 1);
        size_t len = along ? strcspn(along, ".") : 0;
        if ((used >> word & 1) ||
            (len == strlen(words[word]) && along && memcmp(along, words[word], len) == 0))
            continue;
        buf_addf(out, "%s'%s':", used || along ? "," : "", words[word]);
        used |= UINT64_C(1) << word;
        draw_value(r, out, depth + 1);
    }
    buf_addc(out, '}');
}

static void draw_value(struct rng *r, struct buf *out, int depth)
{
    static const char *const leaves[] = {"null", "1", "'x'", "true", "[]", "{}", "[{'name':'x'}]"};
    if (depth < 5 && rng_chance(r, 350))
        draw_object(r, out, depth, NULL);
    else
        buf_adds(out, leaves[rng_range(r, 0, (int64_t)ARRAY_LEN(leaves) - 1)]);
}

/* Mostly towards what is protected: what goes elsewhere at once proves little. */
static void draw_patch(struct rng *r, struct buf *out)
{
    static const char *const ways[] = {
        "template.spec.domain.firmware.uuid",
        "template.spec.domain.devices.interfaces",
        "template.spec.domain.devices.a",
        "template.spec.domain.cpu",
        "template.spec.a",
        "a",
    };
    draw_object(r, out, 0, ways[rng_range(r, 0, (int64_t)ARRAY_LEN(ways) - 1)]);
}

static const char *const protected_paths[] = {
    "apiVersion",
    "kind",
    "metadata",
    "spec.runStrategy",
    "spec.running",
    "spec.instancetype",
    "spec.preference",
    "spec.dataVolumeTemplates",
    "spec.template.metadata",
    AT "hostname",
    AT "volumes",
    AT "utilityVolumes",
    AT "networks",
    AT "domain.firmware.uuid",
    AT "domain.firmware.serial",
    AT "domain.devices.disks",
    AT "domain.devices.filesystems",
    AT "domain.devices.interfaces",
    AT "domain.devices.autoattachPodInterface",
};

static bool try_patch(uint64_t seed, const cJSON *plain)
{
    struct rng r;
    struct err err = {0};
    CLEANUP_JSON cJSON *body = NULL;
    CLEANUP_BUF struct buf spec = BUF_INIT(64 * KIB);
    rng_seed(&r, seed);
    buf_adds(&spec, "'target':{'overrides':");
    draw_patch(&r, &spec);
    buf_addc(&spec, '}');
    if (build(spec.data, &body, &err) < 0) {
        if (err.kind != ERR_REFUSED || !strstr(err.message, "spec.target.overrides"))
            fail_msg("seed %" PRIu64 ": %s: %s", seed, spec.data, err.message);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(protected_paths); i++) {
        const cJSON *was = json_at(plain, protected_paths[i]);
        const cJSON *is = json_at(body, protected_paths[i]);
        if (was != is && !(was && is && json_equal(was, is)))
            fail_msg("seed %" PRIu64 ": %s: %s is another", seed, spec.data, protected_paths[i]);
    }
    return true;
}

static void test_protected_places_stay(void **state)
{
    (void)state;
    struct err err = {0};
    CLEANUP_JSON cJSON *plain = NULL;
    const char *one = getenv("WUKONG_SEED");
    size_t admitted = 0;
    assert_int_equal(build("", &plain, &err), 0);
    for (uint64_t seed = 1; seed <= PATCHES && !one; seed++)
        admitted += try_patch(seed, plain);
    if (one)
        (void)try_patch(strtoull(one, NULL, 10), plain);
    else if (admitted < PATCHES / 10 || admitted > PATCHES * 9 / 10)
        fail_msg("%zu of %d admitted: the draw proves little", admitted, PATCHES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_large), cmocka_unit_test(test_rfc),
        cmocka_unit_test(test_match), cmocka_unit_test(test_protected_places_stay),
    };
    return cmocka_run_group_tests_name("manifest_patch", tests, NULL, NULL);
}
