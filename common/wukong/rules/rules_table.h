/* What the tables of rules are written with; see rules/rules.h. */
#ifndef RULES_RULES_TABLE_H
#define RULES_RULES_TABLE_H

#include "base/mem.h"
#include "wukong/api/spec.h"
#include "wukong/rules/checks.h"
#include "wukong/rules/rules.h"

/* Arguments of the checks. */
#define RANGE(low, high) (&(const struct check_range){low, high})
#define LENGTH(low, high) (&(const struct check_length){low, high})
#define CHOICES(names) (&(const struct check_choices){names, ARRAY_LEN(names)})

/* One table to a file, in the order in which they are judged and listed. */
extern const struct rule rules_spec[], rules_spec_source[], rules_spec_disks[],
    rules_spec_machine[], rules_spec_target[], rules_spec_guest[], rules_update[], rules_source[],
    rules_policy[];
extern const size_t rules_spec_count, rules_spec_source_count, rules_spec_disks_count,
    rules_spec_machine_count, rules_spec_target_count, rules_spec_guest_count, rules_update_count,
    rules_source_count, rules_policy_count;

#endif
