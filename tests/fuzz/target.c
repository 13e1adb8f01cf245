/*
 * Any source, as VirtualMachine, instance or capture, made into a clone's VirtualMachine. The first
 * byte chooses what the Wukong asks for. Beyond not crashing: what comes out names none of the
 * source's claims for a disk of the clone, and carries our label.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "manifests/manifest.h"
#include "wukong/api/spec.h"

#define UID "0f8fad5b-d9cb-469f-a165-70867728950e"

static const char *const specs[] = {
    "{\"cloneSource\":{\"type\":\"vm\",\"vmName\":\"src\"}}",
    "{\"cloneSource\":{\"type\":\"vm\",\"vmName\":\"src\"},\"cpu\":4,\"memory\":\"8Gi\"}",
    ("{\"cloneSource\":{\"type\":\"vmi\",\"vmiName\":\"src\"},\"replicas\":3,\"networks\":[{"
     "\"name\":"
     "\"n\",\"type\":\"bridge\",\"nadName\":\"x\"}]}"),
    ("{\"cloneSource\":{\"type\":\"vm\",\"vmName\":\"src\",\"namespace\":\"other\"},\"disks\":[{"
     "\"name\":\"root\",\"boot\":true}],\"startStrategy\":{\"autoStart\":false}}"),
};

static cJSON *parse(const char *text, size_t n)
{
    cJSON *tree = NULL;
    struct err err = {0};
    return json_read(text, n, &tree, &err) < 0 ? NULL : tree;
}

static void build(const cJSON *source, const struct wukong *w, const struct wukong_effective *e)
{
    static const struct manifest_disk disks[] = {{"root", "copy-root", true},
                                                 {"data", "copy-data", false}};
    struct err err = {0};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    struct manifest_request r = {
        .wukong = w, .effective = e, .disks = disks, .disk_count = ARRAY_LEN(disks)};
    if (manifest_vm_body(source, &r, &vm, &err) < 0) {
        assert(err.kind != ERR_NONE);
        return;
    }
    if (vm.needs_expand)
        return;
    CLEANUP_JSON cJSON *body = parse(vm.body.data, vm.body.len);
    assert(str_eq(json_str(body, "metadata.labels[vm.novasphere.dev/wukong-uid]"), UID));
    assert(str_eq(json_str(body, "metadata.namespace"), w->ns));
    assert(strstr(vm.body.data, "\"copy-root\"") && strstr(vm.body.data, "\"copy-data\""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    CLEANUP_ARENA struct arena a;
    struct wukong w = {.name = "copy", .ns = "lab", .uid = UID};
    struct err err = {0};
    const char *text = specs[data[0] % ARRAY_LEN(specs)];
    CLEANUP_JSON cJSON *spec = parse(text, strlen(text));
    CLEANUP_JSON cJSON *given = parse((const char *)data + 1, size - 1);
    arena_init_soft(&a, 16 * MIB);
    if (!given || wukong_decode_spec(&a, spec, &w.spec, &err) < 0)
        return 0;
    const struct wukong_effective e = wukong_resolve_defaults(&w.spec, w.ns);
    build(given, &w, &e);
    const struct manifest_source forms[] = {
        {.vm = given}, {.vmi = given}, {.vm = given, .vmi = given, .revision_data = given}};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        CLEANUP_JSON cJSON *source = NULL;
        if (manifest_source_spec(&forms[i], &source, &err) == 0)
            build(source, &w, &e);
    }
    return 0;
}
