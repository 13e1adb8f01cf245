/*
 * Proves that no type of volume of KubeVirt's API can be forgotten: the table of
 * wukong/api/volumes.h and the schemas of VirtualMachine and VirtualMachineInstance name the same
 * types, and the page names each with its fate. What is malformed is of the unknown type, which is
 * refused.
 */
#include "support.h"
#include "wukong/api/volumes.h"

static char *read_file(const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4 * MIB);
    FILE *f = fopen(path, "r");
    char part[4096];
    size_t n;
    if (!f)
        fail_msg("%s cannot be read", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(&text, part, n);
    fclose(f);
    return buf_take(&text);
}

static const struct volume_type *type_named(const char *member)
{
    for (size_t i = 0; i < volume_type_count; i++)
        if (str_eq(volume_types[i].member, member))
            return &volume_types[i];
    return NULL;
}

static void check_schema(const char *file, const char *path)
{
    CLEANUP_FREE char *name = xasprintf(CRDS "/%s", file);
    CLEANUP_FREE char *text = read_file(name);
    CLEANUP_JSON cJSON *crd = parse_yaml(text);
    const cJSON *version = json_at(crd, "spec.versions.#0");
    const cJSON *volume = json_at(json_at(version, "schema.openAPIV3Schema"), path), *member;
    size_t count = 0;
    assert_non_null(volume);
    cJSON_ArrayForEach (member, volume) {
        if (str_eq(member->string, "name"))
            continue;
        count++;
        if (!type_named(member->string))
            fail_msg("the table does not know %s of %s", member->string, file);
    }
    /* And none that the schema does not. */
    for (size_t i = 0; i < volume_type_count; i++)
        if (!json_get(volume, volume_types[i].member))
            fail_msg("%s does not know %s", file, volume_types[i].member);
    assert_int_equal(count, volume_type_count);
}

static void test_schema(void **state)
{
    (void)state;
    check_schema("kubevirt.io_virtualmachines.yaml",
                 "properties.spec.properties.template.properties.spec.properties.volumes.items."
                 "properties");
    check_schema("kubevirt.io_virtualmachineinstances.yaml",
                 "properties.spec.properties.volumes.items.properties");
}

/* A row without words says nothing to the user, so it must be a copy or carried over. */
static void test_table(void **state)
{
    (void)state;
    static const char *const words[VOLUME_FATES] = {
        [VOLUME_REFUSED] = "refused",
        [VOLUME_COPIED] = "cloned",
        [VOLUME_CARRIED] = "kept",
        [VOLUME_DROPPED] = "left out",
    };
    CLEANUP_FREE char *page = read_file(PAGE);
    for (size_t i = 0; i < volume_type_count; i++) {
        const struct volume_type *t = &volume_types[i];
        bool silent = (t->fate == VOLUME_COPIED || t->fate == VOLUME_CARRIED) &&
                      (t->elsewhere == VOLUME_COPIED || t->elsewhere == VOLUME_CARRIED);
        assert_int_equal(t->words == NULL, silent);
        assert_int_equal(t->claim != NULL, t->fate == VOLUME_COPIED);
        assert_int_equal(t->fate == VOLUME_COPIED, t->elsewhere == VOLUME_COPIED);
        CLEANUP_FREE char *row = t->fate == t->elsewhere
                                     ? xasprintf("| `%s` | %s |", t->member, words[t->fate])
                                     : xasprintf("| `%s` | %s; from another namespace %s |",
                                                 t->member, words[t->fate], words[t->elsewhere]);
        if (!strstr(page, row))
            fail_msg("%s has no row %s", PAGE, row);
    }
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *volume, *type, *claim;
    } rows[] = {
        {"{name: a, persistentVolumeClaim: {claimName: c}}", "persistentVolumeClaim", "c"},
        {"{name: a, dataVolume: {name: c}}", "dataVolume", "c"},
        {"{name: a, ephemeral: {persistentVolumeClaim: {claimName: c}}}", "ephemeral", "c"},
        {"{name: a, memoryDump: {claimName: c}}", "memoryDump", NULL},
        {"{name: a, configMap: {name: c}, novel: {claimName: c}}", "configMap", NULL},
        {"{name: a, secret: null, emptyDisk: {}}", "emptyDisk", NULL},
        {"{name: a}", "", NULL},
        {"{name: a, novel: {claimName: c}}", "", NULL},
        {"{name: a, persistentVolumeClaim: {}}", "", NULL},
        {"{name: a, persistentVolumeClaim: {claimName: \"\"}}", "", NULL},
        {"{name: a, persistentVolumeClaim: c}", "", NULL},
        {"{name: a, ephemeral: {}}", "", NULL},
        {"{name: a, emptyDisk: {}, persistentVolumeClaim: {claimName: c}}", "", NULL},
        {"{name: a, persistentVolumeClaim: {claimName: c}, dataVolume: {name: d}}", "", NULL},
        {"a", "", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP_JSON cJSON *volume = parse_yaml(rows[i].volume);
        const struct volume_type *type = volume_type_of(volume);
        if (!str_eq(type->member, rows[i].type) || !str_eq(volume_claim(volume), rows[i].claim))
            fail_msg("%s is a \"%s\"", rows[i].volume, type->member);
        assert_int_equal(!*type->member, type->fate == VOLUME_REFUSED &&
                                             type->elsewhere == VOLUME_REFUSED && !*type->member);
    }
    assert_int_equal(volume_type_of(NULL)->fate, VOLUME_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests_name("volumes", tests, NULL, NULL);
}
