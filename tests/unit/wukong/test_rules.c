/*
 * Proves, rule by rule, that each static rule of the table refuses what its condition names and
 * lets through the nearest object that keeps it; that every rule with a check has such a row; and
 * that a spec with many mistakes is told all of them at once.
 */
#include "rows_rules.h"
#include "wukong/rules/rules.h"

static void judge(const char *text, struct findings *l)
{
    CLEANUP_FREE char *full = expand(text);
    CLEANUP_JSON cJSON *tree = parse_yaml(full);
    findings_init(l);
    if (str_eq(json_str(tree, "kind"), "ClonePolicy"))
        validate_policy(tree, l);
    else
        validate_create(tree, l);
    check_messages(l);
}

static const struct finding *find(const struct findings *l, const char *rule, const char *field)
{
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->items[i].rule->id, rule) && (!field || str_eq(l->items[i].field, field)))
            return &l->items[i];
    return NULL;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rule_rows); i++) {
        const struct rule_row *r = &rule_rows[i];
        const struct rule *rule = rule_find(r->rule);
        CLEANUP_FINDINGS struct findings bad, good;
        judge(r->refused, &bad);
        judge(r->accepted, &good);
        const struct finding *e = find(&bad, r->rule, r->field);
        if (!e || e->severity != rule->severity || findings_has(&good, r->rule) || good.errors) {
            print_findings(&bad);
            print_findings(&good);
            fail_msg("row %zu, %s: %s", i, r->rule, e ? "the good one is refused" : r->refused);
        }
        /* Value, rule, remedy: the remedy stands in the message. */
        if (!str_empty(rule->remedy))
            assert_non_null(strstr(e->message, rule->remedy));
    }
}

/* A machine without time zones is not this one. */
static const char *const elsewhere[] = {"window-time-zone-unknown", "unknown-field"};

static void test_every_rule_has_a_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < rule_count(); i++) {
        bool found = !rule_at(i)->check;
        for (size_t k = 0; k < ARRAY_LEN(rule_rows); k++)
            found = found || str_eq(rule_rows[k].rule, rule_at(i)->id);
        for (size_t k = 0; k < ARRAY_LEN(elsewhere); k++)
            found = found || str_eq(elsewhere[k], rule_at(i)->id);
        if (!found)
            fail_msg("rule %s has no row", rule_at(i)->id);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(rule_at(i)->id, rule_at(k)->id);
        assert_true(*rule_at(i)->condition);
    }
}

static void test_ten_mistakes_ten_causes(void **state)
{
    (void)state;
    CLEANUP_FINDINGS struct findings l;
    judge(WUKONG("{cpu: 0, memory: 1XB, replicas: 0, reclaimPolicy: x, cloneSource: {type: vmi, "
                 "vmiName: A, cloneType: lnked, retryLimit: -1, gates: [Ready]}, "
                 "disks: [{name: B, size: 0}]}"),
          &l);
    assert_int_equal(l.errors, 10);
    CLEANUP_BUF struct buf text = BUF_INIT(64 * KIB);
    findings_message(&l, &text);
    assert_int_equal(text.data[0], '[');
    for (size_t i = 0; i < l.count; i++)
        assert_non_null(strstr(text.data, l.items[i].message));
}

/* The forms are apimachinery's field.Error (util/validation/field/errors.go). */
static void test_form_of_messages(void **state)
{
    (void)state;
    static const struct {
        const char *text, *rule, *message;
    } forms[] = {
        {CLONE(", cloneType: lnked"), "clone-type",
         "Unsupported value: \"lnked\": supported values: \"full\", \"linked\", \"running\" (did "
         "you mean \"linked\"?)"},
        {CLONE(", cloneType: LINKED"), "clone-type",
         "Unsupported value: \"LINKED\": supported values: \"full\", \"linked\", \"running\" (did "
         "you mean \"linked\"?)"},
        {CLONE(", cloneType: copy"), "clone-type",
         "Unsupported value: \"copy\": supported values: \"full\", \"linked\", \"running\""},
        {CLONE_AND("cpu: 65"), "cpu-range",
         "Invalid value: 65: must be a whole number of cores between 1 and 64; set cpu to 1-64, "
         "such as 4"},
        {WUKONG("{cloneSource: {type: vm}}"), "source-vm-name",
         "Required value: type vm needs vmName; set vmName to the VirtualMachine to clone, or use "
         "type vmi"},
        {CLONE(", vmName: a"), "source-vmi-only",
         "Forbidden: type vmi goes with vmiName alone; remove vmName, or use type vm"},
        {CLONE_AND("disks: [{name: a}, {name: a}]"), "disk-name-unique",
         "Duplicate value: \"a\": each disk needs its own name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        CLEANUP_FINDINGS struct findings l;
        judge(forms[i].text, &l);
        const struct finding *e = find(&l, forms[i].rule, NULL);
        assert_non_null(e);
        assert_true(str_starts(e->message, forms[i].message));
    }
}

/* A secret never comes back in a message; a long value is cut at a character. */
static void test_values_in_messages(void **state)
{
    (void)state;
    CLEANUP_FINDINGS struct findings l, m;
    judge(USER(", password: 12345"), &l);
    assert_true(findings_has(&l, "type"));
    for (size_t i = 0; i < l.count; i++)
        assert_null(strstr(l.items[i].message, "12345"));
    judge("@osImage 5000", &m);
    const struct finding *e = find(&m, "osimage-length", NULL);
    assert_non_null(e);
    assert_true(strlen(e->message) < 300);
}

static void test_unknown_fields(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *tree =
        parse_yaml(WUKONG("{cloneSource: {type: vmi, vminame: a, zzz: 1}, disk: [], status: {}}"));
    CLEANUP_FINDINGS struct findings l;
    findings_init(&l);
    validate_unknown_fields(tree, &l);
    assert_int_equal(l.count, 4);
    const struct finding *e = find(&l, "unknown-field", "spec.cloneSource.vminame");
    assert_non_null(e);
    assert_non_null(strstr(e->message, "did you mean \"vmiName\"?"));
    e = find(&l, "unknown-field", "spec.cloneSource.zzz");
    assert_non_null(e);
    assert_null(strstr(e->message, "did you mean"));
    assert_non_null(find(&l, "unknown-field", "spec.disk"));
    assert_non_null(find(&l, "unknown-field", "spec.status"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_rule_has_a_row),
        cmocka_unit_test(test_ten_mistakes_ten_causes),
        cmocka_unit_test(test_form_of_messages),
        cmocka_unit_test(test_values_in_messages),
        cmocka_unit_test(test_unknown_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
