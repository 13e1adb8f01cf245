#include "wukong/rules/rules.h"

#include <assert.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "wukong/api/policy_names.h"
#include "wukong/api/spec.h"
#include "wukong/rules/checks.h"

#define RANGE(low, high) (&(const struct check_range){low, high})
#define LENGTH(low, high) (&(const struct check_length){low, high})
#define CHOICES(names) (&(const struct check_choices){names, ARRAY_LEN(names)})

/* core/v1 Toleration; Lt and Gt are Kubernetes 1.35's. */
static const char *const toleration_operators[] = {"", "Equal", "Exists", "Lt", "Gt"};
static const char *const toleration_effects[] = {"", "NoSchedule", "PreferNoSchedule", "NoExecute"};

/*
 * Columns: id, severity, reason, on, field, condition, message, remedy, check, argument. The first
 * letter is the group: S schema (one value by itself), C static (fields against each other), U
 * update, F facts of the cluster, P policy. A message that is empty comes from the check.
 */
/* clang-format off */
#define ROW(g, id, sev, rea, on, field, cond, msg, remedy, check, arg) \
    {id, g, FINDING_##sev, FINDING_##rea, on, field, cond, msg, remedy, check, arg},
#define S(...) ROW(RULE_SCHEMA, __VA_ARGS__)
#define C(...) ROW(RULE_STATIC, __VA_ARGS__)
#define U(...) ROW(RULE_UPDATE, __VA_ARGS__, NULL, NULL)
#define F(...) ROW(RULE_SOURCE, __VA_ARGS__, NULL, NULL)
#define P(...) ROW(RULE_POLICY, __VA_ARGS__)
/* clang-format on */

const struct rule rules[] = {
#include "wukong/rules/rules_static.inc"
#include "wukong/rules/rules_update.inc"
#include "wukong/rules/rules_facts.inc"
#include "wukong/rules/rules_policy.inc"
};
const size_t rule_count = ARRAY_LEN(rules);

const struct rule *rule_find(const char *id)
{
    for (size_t i = 0; i < rule_count; i++)
        if (str_eq(rules[i].id, id))
            return &rules[i];
    assert(0 && "no such rule");
    abort();
}
