/*
 * Proves what an UPDATE may change and what not, field by field; that quantities count by value;
 * that what the mutating webhook restores may be absent; and ratcheting: an untouched old mistake
 * never blocks an update, a touched one does.
 */
#include "rows_update.h"
#include "wukong/rules/rules.h"

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(update_rows); i++) {
        const struct update_row *r = &update_rows[i];
        CLEANUP_JSON cJSON *old = parse_yaml(r->old);
        CLEANUP_JSON cJSON *new = parse_yaml(r->new);
        CLEANUP_FINDINGS struct findings l;
        findings_init(&l);
        validate_update(old, new, &l);
        check_messages(&l);
        bool found = !r->rule && l.errors == 0;
        for (size_t k = 0; k < l.count && r->rule; k++)
            found = found ||
                    (str_eq(l.items[k].rule->id, r->rule) && str_eq(l.items[k].field, r->field));
        if (!found) {
            print_findings(&l);
            fail_msg("row %zu: %s -> %s", i, r->old, r->new);
        }
    }
}

static void test_every_rule_has_a_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < rule_count(); i++) {
        bool found = rule_at(i)->group != RULE_UPDATE;
        for (size_t k = 0; k < ARRAY_LEN(update_rows); k++)
            found = found || str_eq(update_rows[k].rule, rule_at(i)->id);
        if (!found)
            fail_msg("rule %s has no row", rule_at(i)->id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_rule_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
