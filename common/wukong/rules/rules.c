#include "wukong/rules/rules.h"

#include <assert.h>
#include <stdlib.h>

#include "base/str.h"
#include "wukong/rules/rules_table.h"

static const struct {
    const struct rule *rows;
    const size_t *count;
} tables[] = {
    {rules_spec, &rules_spec_count},
    {rules_spec_source, &rules_spec_source_count},
    {rules_spec_disks, &rules_spec_disks_count},
    {rules_spec_machine, &rules_spec_machine_count},
    {rules_spec_target, &rules_spec_target_count},
    {rules_spec_guest, &rules_spec_guest_count},
    {rules_update, &rules_update_count},
    {rules_source, &rules_source_count},
    {rules_policy, &rules_policy_count},
};

const struct rule *rule_at(size_t index)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        if (index < *tables[t].count)
            return &tables[t].rows[index];
        index -= *tables[t].count;
    }
    assert(0 && "past the last rule");
    abort();
}

size_t rule_count(void)
{
    size_t n = 0;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        n += *tables[t].count;
    return n;
}

const struct rule *rule_find(const char *id)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (size_t i = 0; i < *tables[t].count; i++)
            if (str_eq(tables[t].rows[i].id, id))
                return &tables[t].rows[i];
    assert(0 && "no such rule");
    abort();
}
