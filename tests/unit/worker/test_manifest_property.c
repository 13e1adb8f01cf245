/*
 * Property: whatever machine is cloned, no claim, MAC address, UUID or serial of the source
 * survives in the clone, and everything else of its spec is equal byte for byte outside the paths
 * that manifest.h says are changed.
 *
 * Machines are drawn at random as text. Every claim, MAC, UUID and serial in them carries a marker
 * that nothing else contains, so that the search for survivors is a search for bytes and shares no
 * code with the builder; the text of each big number must stand in the result as it stood in the
 * source. The seed of a failing machine is printed; WUKONG_SEED=<n> runs that one alone.
 */
#include "manifest_test.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/rng.h"

#define MACHINES 3000
#define CLAIM_MARK "srcclaim"
#define MAC_MARK "0e:5c:ab"
#define UUID_MARK "5eedface"
#define SERIAL_MARK "SRCSERIAL"
#define VOLUMES_MAX 12

enum volume { V_PVC, V_DV, V_EPHEMERAL, V_DUMP, V_CLOUD_INIT, V_CONTAINER, V_EMPTY, V_SECRET };

struct machine {
    struct rng rng;
    struct buf text;
    size_t volume_count;
    enum volume kinds[VOLUMES_MAX];
    bool wanted[VOLUMES_MAX], has_disk[VOLUMES_MAX], is_filesystem[VOLUMES_MAX];
    char numbers[8][32];
    size_t number_count;
    bool stand_alone;
};

static bool chance(struct machine *m, unsigned percent)
{
    return rng_chance(&m->rng, percent * 10);
}

static void add(struct machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct machine *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vaddf(&m->text, format, args);
    va_end(args);
}

/* A number that a double cannot hold, or would print differently. */
static void add_number(struct machine *m, const char *key)
{
    char *number = m->numbers[m->number_count++ % ARRAY_LEN(m->numbers)];
    size_t size = sizeof m->numbers[0];
    int value = (int)rng_range(&m->rng, 100000, 999999);
    switch (rng_range(&m->rng, 0, 3)) {
    case 0:
        (void)snprintf(number, size, "9007199254%d993", value);
        break;
    case 1:
        (void)snprintf(number, size, "1%d.50", value);
        break;
    case 2:
        (void)snprintf(number, size, "%de40", value);
        break;
    default:
        (void)snprintf(number, size, "-%d0.0", value);
    }
    add(m, "'%s':%s,", key, number);
}

static void add_volume(struct machine *m, size_t i)
{
    const char *hot = chance(m, 30) ? ",'hotpluggable':true" : "";
    add(m, "%s{'name':'v%zu',", i ? "," : "", i);
    if (chance(m, 10))
        add(m, "'novel':{'x':[1,2,{}]},");
    switch (m->kinds[i]) {
    case V_PVC:
        add(m, "'persistentVolumeClaim':{'claimName':'" CLAIM_MARK "-%zu'%s}", i, hot);
        break;
    case V_DV:
        add(m, "'dataVolume':{'name':'" CLAIM_MARK "-%zu'%s}", i, hot);
        break;
    case V_EPHEMERAL:
        add(m, "'ephemeral':{'persistentVolumeClaim':{'claimName':'" CLAIM_MARK "-%zu'}}", i);
        break;
    case V_DUMP:
        add(m, "'memoryDump':{'claimName':'" CLAIM_MARK "-%zu','hotpluggable':true}", i);
        break;
    case V_CLOUD_INIT:
        add(m, "'cloudInitNoCloud':{'userData':'#cloud-config\\nhostname: x\\n\\u00e9'}");
        break;
    case V_CONTAINER:
        add(m, "'containerDisk':{'image':'quay.io/i:%zu'}", i);
        break;
    case V_EMPTY:
        add(m, "'emptyDisk':{'capacity':'%zuGi'}", i + 1);
        break;
    case V_SECRET:
        add(m, "'secret':{'secretName':'s%zu'}", i);
        break;
    }
    add(m, "}");
}

static void add_devices(struct machine *m)
{
    const char *comma = "";
    add(m, "'devices':{'rng':{},'disks':[");
    for (size_t i = 0; i < m->volume_count; i++) {
        if (!m->has_disk[i] || m->is_filesystem[i])
            continue;
        add(m, "%s{'name':'v%zu','disk':{'bus':'virtio'},'serial':'disk%zu'}", comma, i, i);
        comma = ",";
    }
    add(m, "],'filesystems':[");
    comma = "";
    for (size_t i = 0; i < m->volume_count; i++) {
        if (!m->is_filesystem[i])
            continue;
        add(m, "%s{'name':'v%zu','virtiofs':{}}", comma, i);
        comma = ",";
    }
    add(m, "],'interfaces':[");
    int64_t nics = rng_range(&m->rng, 0, 4);
    for (int64_t i = 0; i < nics; i++) {
        add(m, "%s{'name':'n%d','model':'virtio'", i ? "," : "", (int)i);
        if (chance(m, 70))
            add(m, ",'macAddress':'" MAC_MARK ":00:00:%02x'", (unsigned)i);
        add(m, ",'ports':[{'port':%d}]}", (int)i + 1);
    }
    add(m, "]}");
}

static void add_domain(struct machine *m)
{
    add(m, "'domain':{");
    add_number(m, "novelNumber");
    if (chance(m, 70))
        add(m, "'cpu':{'cores':2,%s'model':'host-model'},", chance(m, 50) ? "'maxSockets':8," : "");
    if (chance(m, 70))
        add(m, "'memory':{'guest':'2Gi'%s},", chance(m, 50) ? ",'maxGuest':'8Gi'" : "");
    if (chance(m, 60))
        add(m,
            "'firmware':{'uuid':'" UUID_MARK "-b3ef-428c-8861-06e72d69f223','serial':'" SERIAL_MARK
            "','bootloader':{'efi':{'persistent':false}}},");
    if (chance(m, 60))
        add(m,
            "'resources':{'requests':{'cpu':'2','memory':'2Gi','x/y':'1'},'limits':{'cpu':'3'}},");
    add_devices(m);
    add(m, "}");
}

static void add_instance(struct machine *m)
{
    add(m, "{");
    add_number(m, "terminationGracePeriodSeconds");
    if (chance(m, 50))
        add(m, "'hostname':'srchost',");
    if (chance(m, 30))
        add(m, "'utilityVolumes':[{'name':'u','claimName':'" CLAIM_MARK "-u'}],");
    if (chance(m, 50))
        add(m, "'nodeSelector':{'zone':'a'},'tolerations':[{'key':'k','tolerationSeconds':9}],");
    if (chance(m, 30))
        add(m, "'novel':{'deep':[[{'e':''}],null,true]},");
    add_domain(m);
    add(m, ",'networks':[{'name':'n0','pod':{}}],'volumes':[");
    for (size_t i = 0; i < m->volume_count; i++)
        add_volume(m, i);
    add(m, "]}");
}

static void draw(struct machine *m)
{
    m->volume_count = (size_t)rng_range(&m->rng, 0, VOLUMES_MAX);
    for (size_t i = 0; i < m->volume_count; i++) {
        m->kinds[i] = (enum volume)rng_range(&m->rng, V_PVC, V_SECRET);
        m->wanted[i] = m->kinds[i] <= V_EPHEMERAL && chance(m, 60);
        m->has_disk[i] = m->kinds[i] != V_DUMP && chance(m, 85);
        m->is_filesystem[i] = m->has_disk[i] && m->kinds[i] == V_PVC && chance(m, 15);
    }
    m->stand_alone = chance(m, 30);
    buf_clear(&m->text);
    if (m->stand_alone) {
        add(m, "{'metadata':{'name':'src','labels':{'kubevirt.io/nodeName':'n1','app':'shop'},"
               "'annotations':{'kubevirt.io/pci-topology-version':'v3'}},'spec':");
        add_instance(m);
        add(m, "}");
        return;
    }
    add(m, "{'metadata':{'labels':{'app':'shop','vm.kubevirt.io/os':'l'}},'spec':{'runStrategy':"
           "'Manual',");
    add_number(m, "novel");
    if (chance(m, 40))
        add(m, "'instancetype':{'name':'small','revisionName':'src-small-1'},");
    if (chance(m, 40))
        add(m, "'dataVolumeTemplates':[{'metadata':{'name':'" CLAIM_MARK "-t'},'spec':{'source':{"
               "'pvc':{'name':'" CLAIM_MARK "-x'}}}}],");
    add(m, "'template':{'metadata':{'labels':{'app':'shop'}},'spec':");
    add_instance(m);
    add(m, "}}}");
}

/* --- What may differ, taken out of both trees before they are compared. --- */

static void cut(cJSON *tree, const char *parent, const char *name)
{
    cJSON *o = (cJSON *)json_at(tree, parent);
    if (cJSON_IsObject(o))
        cJSON_DeleteItemFromObjectCaseSensitive(o, name);
}

static void cut_each(cJSON *tree, const char *list, const char *name)
{
    for (cJSON *item = (cJSON *)json_at(tree, list) ? ((cJSON *)json_at(tree, list))->child : NULL;
         item; item = item->next)
        cJSON_DeleteItemFromObjectCaseSensitive(item, name);
}

static void cut_if_empty(cJSON *tree, const char *parent, const char *name)
{
    const cJSON *o = json_get(json_at(tree, parent), name);
    if (o && !o->child)
        cut(tree, parent, name);
}

static void cut_named(cJSON *tree, const char *list, const char *name)
{
    cJSON *array = (cJSON *)json_at(tree, list), *next;
    for (cJSON *item = array ? array->child : NULL; item; item = next) {
        next = item->next;
        if (str_eq(json_str(item, "name"), name))
            cJSON_Delete(cJSON_DetachItemViaPointer(array, item));
    }
}

#define SPEC "spec.template.spec"

static void cut_changed(const struct machine *m, const struct wukong_spec *w, cJSON *tree)
{
    static const char *const sizes[] = {"sockets", "cores", "threads"};
    cut(tree, "", "metadata");
    cut(tree, "", "apiVersion");
    cut(tree, "", "kind");
    cut(tree, "spec.template", "metadata");
    cut(tree, "spec", "runStrategy");
    cut(tree, "spec", "dataVolumeTemplates");
    cut(tree, "spec.instancetype", "revisionName");
    cut(tree, SPEC, "hostname");
    cut(tree, SPEC, "utilityVolumes");
    cut(tree, SPEC ".domain.firmware", "uuid");
    cut(tree, SPEC ".domain.firmware", "serial");
    cut_if_empty(tree, SPEC ".domain", "firmware");
    cut(tree, SPEC ".domain.cpu", "maxSockets");
    cut(tree, SPEC ".domain.memory", "maxGuest");
    cut_each(tree, SPEC ".domain.devices.interfaces", "macAddress");
    for (size_t i = 0; w->has_cpu && i < ARRAY_LEN(sizes); i++)
        cut(tree, SPEC ".domain.cpu", sizes[i]);
    if (w->has_cpu) {
        cut(tree, SPEC ".domain.resources.requests", "cpu");
        cut(tree, SPEC ".domain.resources.limits", "cpu");
        cut_if_empty(tree, SPEC ".domain.resources", "limits");
    }
    if (w->memory) {
        cut(tree, SPEC ".domain.memory", "guest");
        cut(tree, SPEC ".domain.resources.requests", "memory");
    }
    cut_if_empty(tree, SPEC ".domain", "cpu"); /* An override makes one. */
    cut_if_empty(tree, SPEC ".domain", "memory");
    for (size_t i = 0; i < m->volume_count; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "v%zu", i);
        if (m->kinds[i] > V_DUMP)
            continue;
        cut_named(tree, SPEC ".volumes", name);
        if (m->wanted[i])
            continue;
        cut_named(tree, SPEC ".domain.devices.disks", name);
        cut_named(tree, SPEC ".domain.devices.filesystems", name);
    }
}

static void check_volumes(const struct machine *m, const cJSON *body)
{
    const cJSON *volume = json_at(body, SPEC ".volumes.#0");
    for (size_t i = 0; i < m->volume_count; i++) {
        if (m->kinds[i] <= V_DUMP && !m->wanted[i])
            continue;
        char name[32], claim[48];
        (void)snprintf(name, sizeof name, "v%zu", i);
        (void)snprintf(claim, sizeof claim, "clone-v%zu", i);
        assert_non_null(volume);
        assert_string_equal(json_str(volume, "name"), name);
        if (m->wanted[i]) {
            const char *path = m->kinds[i] == V_EPHEMERAL
                                   ? "ephemeral.persistentVolumeClaim.claimName"
                                   : "persistentVolumeClaim.claimName";
            assert_non_null(json_str(volume, path));
            assert_string_equal(json_str(volume, path), claim);
        }
        volume = volume->next;
    }
    assert_null(volume);
}

static void check_body(const struct machine *m, const struct wukong_fixture *f, const cJSON *source,
                       const struct manifest_vm *vm)
{
    static const char *const marks[] = {CLAIM_MARK,  MAC_MARK,  UUID_MARK,
                                        SERIAL_MARK, "srchost", "src-small-1"};
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (strstr(vm->body.data, marks[i]))
            fail_msg("%s survives", marks[i]);
    for (size_t i = 0; i < m->number_count; i++)
        if (!strstr(vm->body.data, m->numbers[i]))
            fail_msg("the number %s is gone", m->numbers[i]);
    CLEANUP_JSON cJSON *body = NULL;
    assert_int_equal(json_parse(vm->body.data, vm->body.len, true, &body, &err), 0);
    check_volumes(m, body);
    CLEANUP_JSON cJSON *before = cJSON_Duplicate(source, true);
    cut_changed(m, &f->wukong.spec, before);
    cut_changed(m, &f->wukong.spec, body);
    CLEANUP_FREE char *was = json_print(before), *is = json_print(body);
    if (!str_eq(was, is))
        fail_msg("was %s\nis  %s", was, is);
}

static cJSON *as_drawn(const struct machine *m, cJSON *drawn)
{
    if (!m->stand_alone)
        return cJSON_Duplicate(drawn, true);
    cJSON *tree = parse("{'spec':{'template':{}}}");
    cJSON_AddItemToObject((cJSON *)json_at(tree, "spec.template"), "spec",
                          cJSON_Duplicate(json_get(drawn, "spec"), true));
    return tree;
}

static void run_machine(uint64_t seed)
{
    struct machine m = {.text = BUF_INIT(MIB)};
    struct err err = {0};
    rng_seed(&m.rng, seed);
    draw(&m);
    CLEANUP_JSON cJSON *drawn = parse(m.text.data), *source = NULL;
    struct manifest_source in = {.vm = m.stand_alone ? NULL : drawn,
                                 .vmi = m.stand_alone ? drawn : NULL};
    if (manifest_source_spec(&in, &source, &err) < 0)
        fail_msg("%s", err.message);

    bool sized = !json_at(source, "spec.instancetype");
    CLEANUP_FREE char *spec =
        xasprintf("%s'replicas':3", sized && chance(&m, 50) ? "'cpu':6,'memory':'9Gi'," : "");
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, spec);
    CLEANUP_BUF struct buf wanted = BUF_INIT(4096);
    for (size_t i = 0; i < m.volume_count; i++)
        if (m.wanted[i])
            buf_addf(&wanted, "%sv%zu", wanted.len ? " " : "", i);
    struct disk_list disks;
    disk_list_init(&disks, wanted.data);
    struct manifest_request r = {.wukong = &f.wukong,
                                 .effective = &f.effective,
                                 .index = rng_range(&m.rng, 0, 2),
                                 .disks = disks.items,
                                 .disk_count = disks.count};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    if (manifest_vm_body(source, &r, &vm, &err) < 0)
        fail_msg("%s", err.message);
    CLEANUP_JSON cJSON *original = as_drawn(&m, drawn);
    check_body(&m, &f, original, &vm);
    buf_release(&m.text);
}

/* cmocka leaves a failing test by a jump, so the seed is printed by the teardown. */
static uint64_t failing;

static void test_property(void **state)
{
    (void)state;
    const char *one = getenv("WUKONG_SEED");
    uint64_t seed = 0;
    if (one && str_to_u64(one, &seed)) {
        run_machine(seed);
        return;
    }
    for (failing = 1; failing <= MACHINES; failing++)
        run_machine(failing);
    failing = 0;
}

/* --- Nonsense --- */

static size_t count_nodes(const cJSON *node)
{
    size_t n = 0;
    for (const cJSON *m = node->child; m; m = m->next)
        n += 1 + count_nodes(m);
    return n;
}

/* Replaces the nth node below, depth first. */
static bool spoil(cJSON *node, size_t *nth, const char *with)
{
    for (cJSON *m = node->child; m; m = m->next) {
        if (*nth == 0) {
            cJSON *value = parse(with);
            if (m->string)
                cJSON_ReplaceItemInObjectCaseSensitive(node, m->string, value);
            else
                cJSON_ReplaceItemViaPointer(node, m, value);
            return true;
        }
        --*nth;
        if (spoil(m, nth, with))
            return true;
    }
    return false;
}

static void run_nonsense(uint64_t seed)
{
    static const char *const values[] = {"null", "''",     "'x'",    "7",          "[]",
                                         "{}",   "[null]", "[[{}]]", "{'name':7}", "true"};
    struct machine m = {.text = BUF_INIT(MIB)};
    struct err err = {0};
    rng_seed(&m.rng, seed);
    draw(&m);
    CLEANUP_JSON cJSON *drawn = parse(m.text.data), *source = NULL;
    for (int64_t i = rng_range(&m.rng, 1, 4); i > 0; i--) {
        size_t nth = (size_t)rng_range(&m.rng, 0, (int64_t)count_nodes(drawn) - 1);
        (void)spoil(drawn, &nth, values[rng_range(&m.rng, 0, ARRAY_LEN(values) - 1)]);
    }
    buf_release(&m.text);
    struct manifest_source in = {.vm = m.stand_alone ? NULL : drawn,
                                 .vmi = m.stand_alone ? drawn : NULL};
    CLEANUP_JSON cJSON *whole = parse("{'spec':{'template':{'spec':{'domain':{'devices':{}}}}}}");
    if (m.stand_alone && chance(&m, 50))
        in.revision_data = whole;
    if (manifest_source_spec(&in, &source, &err) < 0)
        return;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL,
                 chance(&m, 50) ? "'cpu':2,'memory':'1Gi','networks':[{'name':'a','nadName':'b'}],"
                                  "'highAvailability':{'antiAffinity':true,'nodeSelector':{'a':"
                                  "'b'},'tolerations':[{'key':'t'}]}"
                                : NULL);
    struct manifest_request r = {.wukong = &f.wukong, .effective = &f.effective};
    struct disk_list disks;
    disk_list_init(&disks, "v0* v1");
    if (chance(&m, 50)) {
        r.disks = disks.items;
        r.disk_count = 2;
    }
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    if (manifest_vm_body(source, &r, &vm, &err) < 0) {
        assert_true(err.message[0] != '\0');
        return;
    }
    if (strstr(vm.body.data, CLAIM_MARK))
        fail_msg("a claim survives: %s", vm.body.data);
}

/* The spec may come from an annotation, which anyone who may edit snapshots can write: members of
   any type are refused or carried, nothing aborts, and still no claim survives. */
static void test_nonsense(void **state)
{
    (void)state;
    for (failing = 1; failing <= MACHINES; failing++)
        run_nonsense(failing);
    failing = 0;
}

static int print_seed(void **state)
{
    (void)state;
    if (failing)
        print_message("replay with WUKONG_SEED=%" PRIu64 "\n", failing);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_property, print_seed),
        cmocka_unit_test_teardown(test_nonsense, print_seed),
    };
    return cmocka_run_group_tests_name("target_property", tests, NULL, NULL);
}
