#include "wukong/api/policy_names.h"

#include <assert.h>

#include "base/mem.h"

const char *const policy_placement_names[] = {NULL, "SameNamespace", "Any"};
static_assert(ARRAY_LEN(policy_placement_names) == PLACEMENTS, "one name each");
const char *const policy_require_names[] = {NULL, "None", "Exists", "Running"};
static_assert(ARRAY_LEN(policy_require_names) == REQUIRES, "one name each");
const char *const policy_outside_names[] = {NULL, "Wait", "Deny"};
static_assert(ARRAY_LEN(policy_outside_names) == OUTSIDES, "one name each");
const char *const policy_action_names[] = {NULL, "Deny", "Warn", "Audit"};
static_assert(ARRAY_LEN(policy_action_names) == ACTIONS, "one name each");
const char *const policy_isolation_names[] = {NULL, "Required"};
static_assert(ARRAY_LEN(policy_isolation_names) == ISOLATIONS, "one name each");
const char *const policy_overrides_names[] = {NULL, "Forbidden"};
static_assert(ARRAY_LEN(policy_overrides_names) == POLICY_OVERRIDES, "one name each");
const char *const policy_subject_names[] = {NULL, "User", "Group", "ServiceAccount"};
static_assert(ARRAY_LEN(policy_subject_names) == SUBJECTS, "one name each");
const char *const policy_quiesce_names[] = {NULL, "Required", "IfAvailable"};
static_assert(ARRAY_LEN(policy_quiesce_names) == POLICY_QUIESCES, "one name each");
const char *const policy_consistency_names[] = {
    [CONSISTENCY_UNKNOWN] = NULL,
    [CONSISTENCY_FILESYSTEM] = "FilesystemConsistent",
    [CONSISTENCY_CRASH] = "CrashConsistent",
    [CONSISTENCY_CRASH_PER_DISK] = "CrashConsistentPerDisk",
};
static_assert(ARRAY_LEN(policy_consistency_names) == POLICY_CONSISTENCIES, "one name each");
const char *const policy_least_cut_names[] = {NULL, "Ready"};
static_assert(ARRAY_LEN(policy_least_cut_names) == POLICY_LEAST_CUTS, "one name each");
const char *const policy_cut_names[] = {NULL, "Ready", "Refuse"};
static_assert(ARRAY_LEN(policy_cut_names) == POLICY_CUTS, "one name each");
static_assert((int)QUIESCE_IF_AVAILABLE == POLICY_QUIESCES - 1, "Never is no demand");
