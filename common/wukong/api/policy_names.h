/*
 * The words of a ClonePolicy: enums, and what the API calls their values. The rules read the words,
 * policy/policy.h the enums.
 */
#ifndef API_POLICY_NAMES_H
#define API_POLICY_NAMES_H

#include "wukong/api/spec.h"

#define POLICY_KIND "ClonePolicy"
#define POLICY_RESOURCE "clonepolicies"

enum policy_placement { PLACEMENT_UNSET, PLACEMENT_SAME, PLACEMENT_ANY, PLACEMENTS };
enum policy_require { REQUIRE_UNSET, REQUIRE_NONE, REQUIRE_EXISTS, REQUIRE_RUNNING, REQUIRES };
enum policy_outside { OUTSIDE_UNSET, OUTSIDE_WAIT, OUTSIDE_DENY, OUTSIDES };
enum policy_action { ACTION_UNSET, ACTION_DENY, ACTION_WARN, ACTION_AUDIT, ACTIONS };
enum policy_isolation { ISOLATION_UNSET, ISOLATION_REQUIRED, ISOLATIONS };
enum policy_overrides { POLICY_OVERRIDES_UNSET, POLICY_OVERRIDES_FORBIDDEN, POLICY_OVERRIDES };
enum policy_subject_kind { SUBJECT_UNSET, SUBJECT_USER, SUBJECT_GROUP, SUBJECT_ACCOUNT, SUBJECTS };
/* What a policy demands of snapshots; of all of them only POLICY_CUT_READY. */
enum policy_cut { POLICY_CUT_UNSET, POLICY_CUT_READY, POLICY_CUT_REFUSE, POLICY_CUTS };
#define POLICY_LEAST_CUTS 2
#define POLICY_CONSISTENCIES (CONSISTENCY_CRASH_PER_DISK + 1) /* Offline is no demand */
#define POLICY_QUIESCES 3 /* unset, Required, IfAvailable: quiesce_names without Never */

extern const char *const policy_placement_names[PLACEMENTS];
extern const char *const policy_require_names[REQUIRES];
extern const char *const policy_outside_names[OUTSIDES];
extern const char *const policy_action_names[ACTIONS];
extern const char *const policy_isolation_names[ISOLATIONS];
extern const char *const policy_overrides_names[POLICY_OVERRIDES];
extern const char *const policy_subject_names[SUBJECTS];
extern const char *const policy_quiesce_names[POLICY_QUIESCES];
extern const char *const policy_consistency_names[POLICY_CONSISTENCIES];
extern const char *const policy_least_cut_names[POLICY_LEAST_CUTS];
extern const char *const policy_cut_names[POLICY_CUTS];

#endif
