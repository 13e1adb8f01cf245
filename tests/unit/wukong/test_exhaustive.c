/*
 * Runs the whole engine over every combination of small values of the fields that speak to one
 * another, and over random trees of any shape. Invariants, not expectations: nothing crashes; the
 * mutating patch changes no verdict and, once applied, has nothing more to do; an object that is
 * clean may always be updated to itself; what is clean decodes to known enums and a positive count.
 */
#include "base/rng.h"
#include "support.h"
#include "wukong/api/spec.h"
#include "wukong/rules/rules.h"

struct dimension {
    const char *field;     /* "" : at the top of the spec */
    const char *values[8]; /* "-": the field is absent */
};

/* clang-format off */
static const struct dimension dimensions[] = {
    {"type", {"-", "vm", "vmi", "null", "5"}},
    {"vmName", {"-", "a", "\"\"", "5"}},
    {"vmiName", {"-", "a", "[]"}},
    {"cloneType", {"-", "full", "linked", "running", "copy"}},
    {"quiesce", {"-", "Required", "Never"}},
    {"snapshotMethod", {"-", "Auto", "VirtualMachineSnapshot"}},
    {"volumeSnapshotClassName", {"-", "a"}},
    {"stopSourceAfter", {"-", "true", "{}"}},
    {"disks", {"-", "[]", "[{name: a}]", "[{name: a}, {name: a, size: 1}]"}},
    {"replicas", {"-", "2", "0"}},
};
/* clang-format on */

static bool in_source(const char *field)
{
    return !str_eq(field, "disks") && !str_eq(field, "replicas");
}

static void build(const size_t *choice, struct buf *out)
{
    buf_clear(out);
    buf_adds(out, "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w, "
                  "namespace: prod}, "
                  "spec: {cloneSource: {");
    for (int source = 1; source >= 0; source--) {
        for (size_t i = 0; i < ARRAY_LEN(dimensions); i++) {
            const struct dimension *d = &dimensions[i];
            if (in_source(d->field) == source && !str_eq(d->values[choice[i]], "-"))
                buf_addf(out, "%s: %s, ", d->field, d->values[choice[i]]);
        }
        buf_adds(out, source ? "}, " : "}}");
    }
}

/* As the webhook does, and then nothing is left to be written. */
static void apply(cJSON *object)
{
    cJSON *source = (cJSON *)json_at(object, "spec.cloneSource");
    const struct source_defaults d = wukong_source_defaults(object, NULL, "prod");
    if (d.clone_type)
        cJSON_AddStringToObject(source, "cloneType", d.clone_type);
    if (d.ns)
        cJSON_AddStringToObject(source, "namespace", d.ns);
    const struct source_defaults again = wukong_source_defaults(object, NULL, "prod");
    assert_true(!again.clone_type && !again.ns);
}

static bool same_findings(const struct findings *a, const struct findings *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].rule != b->items[i].rule || !str_eq(a->items[i].field, b->items[i].field))
            return false;
    return true;
}

static void check_clean(const cJSON *object)
{
    CLEANUP_ARENA struct arena a;
    struct wukong w;
    struct err err;
    arena_init(&a, MIB);
    assert_int_equal(wukong_decode(&a, object, &w, &err), 0);
    struct wukong_effective e = wukong_resolve_defaults(&w.spec, w.ns);
    assert_true(e.source_type != SOURCE_UNSET && e.source_name);
    assert_true(e.clone_type != CLONE_UNSET && e.replicas >= 1 && e.deadline_s >= 1);
    assert_false(e.source_type == SOURCE_VMI && e.clone_type == CLONE_FULL);
}

static void check_object(const char *text, size_t *clean)
{
    CLEANUP_JSON cJSON *object = parse_yaml(text);
    CLEANUP_FINDINGS struct findings before, after, update;
    findings_init(&before);
    findings_init(&after);
    findings_init(&update);
    validate_create(object, &before);
    check_messages(&before);
    validate_update(object, object, &update);
    if (update.count)
        fail_msg("an update to itself is refused: %s", text);
    apply(object);
    validate_create(object, &after);
    if (!same_findings(&before, &after)) {
        print_findings(&before);
        print_findings(&after);
        fail_msg("the defaults change the verdict: %s", text);
    }
    if (!before.errors) {
        check_clean(object);
        (*clean)++;
    }
}

static void test_combinations(void **state)
{
    (void)state;
    size_t choice[ARRAY_LEN(dimensions)] = {0}, total = 0, clean = 0;
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    for (;;) {
        /* One in 29 (a number that divides no dimension): all combinations take minutes under
           sanitizers, and every pair of values still meets. */
        if (total++ % 29 == 0) {
            build(choice, &text);
            check_object(text.data, &clean);
        }
        size_t i = 0;
        while (i < ARRAY_LEN(dimensions)) {
            choice[i]++;
            if (choice[i] < ARRAY_LEN(dimensions[i].values) && dimensions[i].values[choice[i]])
                break;
            choice[i++] = 0;
        }
        if (i == ARRAY_LEN(dimensions))
            break;
    }
    print_message("    %zu combinations, %zu of those tried are clean\n", total, clean);
    assert_true(clean > 10);
}

/* --- Random trees --- */

static const char *const words[] = {"apiVersion",
                                    "kind",
                                    "metadata",
                                    "spec",
                                    "cloneSource",
                                    "type",
                                    "vmName",
                                    "disks",
                                    "name",
                                    "size",
                                    "window",
                                    "schedule",
                                    "duration",
                                    "timeZone",
                                    "gates",
                                    "networks",
                                    "ipConfig",
                                    "mode",
                                    "labels",
                                    "highAvailability",
                                    "tolerations",
                                    "nodeSelector",
                                    "gpus",
                                    "startStrategy",
                                    "runStrategy",
                                    "replicas",
                                    "cpu",
                                    "memory",
                                    "match",
                                    "exclude",
                                    "subjects",
                                    "source",
                                    "namespaceSelector",
                                    "matchLabels",
                                    "matchExpressions",
                                    "operator",
                                    "values",
                                    "key",
                                    "rules",
                                    "limits",
                                    "windows",
                                    "validationActions",
                                    "vm",
                                    "Wukong",
                                    "full",
                                    "1Gi",
                                    "@daily",
                                    "* * * * *",
                                    "6h",
                                    "",
                                    "\xc3\xa9"};

static cJSON *random_tree(struct rng *r, int depth)
{
    const char *word = words[rng_range(r, 0, ARRAY_LEN(words) - 1)];
    cJSON *node;
    switch (rng_range(r, 0, depth ? 8 : 4)) {
    case 0:
        return cJSON_CreateNull();
    case 1:
        return cJSON_CreateBool(rng_chance(r, 500));
    case 2:
        return cJSON_CreateNumber((double)rng_range(r, -5, 100) / (rng_chance(r, 300) ? 3 : 1));
    case 3:
        return cJSON_CreateRaw("9007199254740993");
    case 4:
        return cJSON_CreateString(word);
    case 5:
        node = cJSON_CreateArray();
        for (int64_t i = rng_range(r, 0, 3); i > 0; i--)
            cJSON_AddItemToArray(node, random_tree(r, depth - 1));
        return node;
    default:
        node = cJSON_CreateObject();
        for (int64_t i = rng_range(r, 1, 6); i > 0; i--) {
            const char *key = words[rng_range(r, 0, ARRAY_LEN(words) - 1)];
            if (!json_get(node, key))
                cJSON_AddItemToObject(node, key, random_tree(r, depth - 1));
        }
        return node;
    }
}

/* A good object with parts replaced by anything. */
static void graft(struct rng *r, cJSON *node)
{
    for (cJSON *child = node->child; child; child = child->next) {
        if (rng_chance(r, 60)) {
            cJSON *other = random_tree(r, 3);
            free(other->string);
            other->string = child->string ? xstrdup(child->string) : NULL;
            cJSON_ReplaceItemViaPointer(node, child, other);
            child = other;
        } else {
            graft(r, child);
        }
    }
}

static void test_random_trees(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 20260102);
    static const char good[] = "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: "
                               "{name: w, namespace: prod, labels: {a: b}}, spec:"
                               " {cloneSource: {type: vm, vmName: a, window: {schedule: "
                               "\"@daily\", duration: 1h, timeZone: CET}, gates: [a]},"
                               " disks: [{name: a, size: 1Gi}, {name: b}], networks: [{name: a, "
                               "nadName: b, ipConfig: {mode: dhcp}}],"
                               " highAvailability: {tolerations: [{key: a}], nodeSelector: {a: "
                               "b}}, startStrategy: {runStrategy: Manual}}}";
    for (int i = 0; i < 4000; i++) {
        CLEANUP_JSON cJSON *a = i % 2 ? random_tree(&r, 6) : parse_yaml(good);
        CLEANUP_JSON cJSON *b = i % 3 ? random_tree(&r, 6) : parse_yaml(good);
        CLEANUP_FINDINGS struct findings l;
        CLEANUP_BUF struct buf out = BUF_INIT(MIB);
        findings_init(&l);
        graft(&r, a);
        validate_create(a, &l);
        validate_unknown_fields(a, &l);
        validate_update(a, b, &l);
        validate_policy(a, &l);
        validate_policy_unknown_fields(a, &l);
        (void)wukong_source_defaults(a, b, "prod");
        findings_message(&l, &out);
        CLEANUP_ARENA struct arena arena;
        struct wukong w;
        struct err err;
        arena_init(&arena, MIB);
        if (wukong_decode(&arena, a, &w, &err) == 0)
            (void)wukong_resolve_defaults(&w.spec, w.ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_combinations),
        cmocka_unit_test(test_random_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
