/*
 * ClonePolicy: what cluster admins allow. A policy grants nothing and only narrows, every policy
 * that matches must pass and the smallest limit wins, so there is no precedence. Decoding never
 * fails: a policy that cannot be read is `broken` and denies what it matches, and what it would
 * match when even that cannot be read is everything.
 *
 * The webhook judges what is decidable at admission (POLICY_AT_ADMISSION: rules, and windows with
 * outsideWindow Deny); the worker judges all of it again at execution, limits and windows included.
 * `kubectl wukong plan` and `lint --policy` use the same functions.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "calendar/cron.h"
#include "wukong/api/policy_names.h"
#include "wukong/api/selector.h"
#include "wukong/api/spec.h"
#include "wukong/rules/findings.h"
#include "wukong/source/cut.h"
#include "wukong/source/disks.h"

#define POLICY_WINDOWS_MAX 16
#define POLICY_SUBJECTS_MAX 64
#define POLICY_LIST_MAX 64
/* Name of the rule in a finding about windows. */
#define POLICY_RULE_WINDOWS "windows"

struct policy_subject {
    enum policy_subject_kind kind;
    const char *name, *ns;
};

/* Selectors that are absent match everything. */
struct policy_match {
    bool present;
    struct policy_subject *subjects;
    size_t subject_count;
    bool by_source_ns, by_source, by_target_ns; /* the selector is there */
    struct selector source_ns, source, target_ns;
};

struct policy_window {
    struct cron cron;
    int64_t duration_ms;
    const char *schedule, *duration, *time_zone;
};

struct policy {
    const char *name, *uid;
    int64_t generation;
    const char *broken; /* why it cannot be read; NULL when it can */
    struct policy_match match, exclude;
    struct {
        bool clone_types_given;
        bool clone_types[CLONE_TYPES];
        enum policy_placement placement;
        enum policy_isolation isolation;
        enum policy_require require_source;
        enum quiesce quiesce;
        enum consistency consistency;     /* the least; UNKNOWN: none is demanded */
        enum policy_cut cut, unknown_cut; /* of every snapshot; of drivers that nobody knows */
        const char **storage_classes, **snapshot_classes;
        size_t storage_class_count, snapshot_class_count;
        int64_t max_disk_bytes, max_replicas; /* 0: none */
        int64_t max_lifetime_ms;              /* of what a clone has made; 0: none */
        const char *max_lifetime;
        const char **labels; /* that each clone must bear */
        size_t label_count;
        enum policy_overrides overrides;
        const char **override_paths; /* that target.overrides may change; none: all */
        size_t override_path_count;
    } rules;
    struct {
        int64_t per_cluster, per_source, per_target_ns, per_storage_class; /* 0: none */
        int64_t retained_snapshots, storage_bytes;
    } limits;
    struct policy_window *windows;
    size_t window_count;
    enum policy_outside outside;
    bool deny, warn, audit;
    const char *message;
};

void policy_decode(struct arena *a, const cJSON *tree, struct policy *ret);

/* Who clones what where. Pointers that are NULL are not known; what is not known cannot exempt: a
   match by it counts as matching, an exclude by it as not excluding. */
struct policy_request {
    const char *user;
    const char *const *groups;
    size_t group_count;
    bool groups_sorted; /* by strcmp, so that the many of some users are found fast */
    const struct wukong_pairs *source_ns_labels, *source_labels, *target_ns_labels;
    const struct wukong *wukong;
    const struct wukong_effective *effective;
    const struct source_facts *source; /* NULL, or not looked_up: not known */
    const struct disks *disks;         /* NULL: not known */
    struct cut_foreseen cut;           /* best UNKNOWN: not known */
    int64_t now_ms;
};

/* How much is under way, this clone not counted; only for POLICY_AT_EXECUTION. */
struct policy_usage {
    int64_t cluster, source, target_ns, storage_class; /* the busiest class of this clone's */
    int64_t retained_snapshots, storage_bytes;         /* already there */
    int64_t storage_bytes_wanted;                      /* of this clone */
    int64_t snapshots_wanted;                          /* of this clone; 0: not known, one */
    /* An older clone waits for this limit already: it is not this one's turn. NULL: nobody waits.
     */
    bool (*behind)(void *arg, const struct policy *p, const char *rule);
    void *arg;
};

enum policy_when { POLICY_AT_ADMISSION, POLICY_AT_EXECUTION };
enum policy_effect { POLICY_AUDIT, POLICY_WARN, POLICY_WAIT, POLICY_DENY };

struct policy_finding {
    const struct policy *policy;
    const char *rule; /* "cloneTypes", "windows", …: where in the policy */
    enum policy_effect effect;
    const char *text; /* what is not allowed and what would be, then the policy's own message */
    int64_t until_ms; /* WAIT: when to look again; 0: when something changes */
};
#define POLICY_FINDINGS_MAX 128
/* Of these for what only warns or is written down: the rest is for what denies or holds back. */
#define POLICY_MILD_MAX 64
struct policy_findings {
    struct policy_finding items[POLICY_FINDINGS_MAX];
    size_t count, mild, matched; /* matched: how many policies applied */
    size_t dropped;              /* whose texts were not kept */
    /* These decide, not what was kept of the texts. */
    bool denied, waiting, awaits_window;
    int64_t window_until_ms; /* the latest opening of a window that is awaited */
    int64_t until_ms;        /* the latest until of all that wait; 0 when one has no time */
};

/* Raises the rules of classes, which are copied into a, to what the policies demand that match and
   deny, and marks the VolumeGroupSnapshotClasses that a policy does not list. To be done before the
   disks are planned. */
void policy_raise_cuts(struct arena *a, const struct policy *policies, size_t count,
                       const struct policy_request *r, struct class_facts *c);
/* The least consistency that one of those demands which match and deny; UNKNOWN: none. */
enum consistency policy_least_consistency(const struct policy *policies, size_t count,
                                          const struct policy_request *r);
bool policy_matches(const struct policy *p, const struct policy_request *r);
/* Every failing rule of every matching policy; texts live in a. usage NULL at admission. */
void policy_judge(struct arena *a, const struct policy *policies, size_t count,
                  const struct policy_request *r, const struct policy_usage *usage,
                  enum policy_when when, struct policy_findings *ret);
/* Only what they say of spec.expires, for an edit of it. r->now_ms is the clone's end, once it has
   one: from then on lives are counted. */
void policy_judge_lifetime(struct arena *a, const struct policy *policies, size_t count,
                           const struct policy_request *r, struct policy_findings *ret);
bool policy_limits_lifetime(const struct policy *policies, size_t count);

#endif
