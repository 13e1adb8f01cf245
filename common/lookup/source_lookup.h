/*
 * From lookups to facts: which lookups the judgement of a source needs, and what their answers say
 * in terms of common/wukong. The webhook judges by it, and `kubectl wukong plan` plans by it.
 * Pure.
 */
#ifndef LOOKUP_SOURCE_LOOKUP_H
#define LOOKUP_SOURCE_LOOKUP_H

#include "lookup/lookup.h"
#include "wukong/policy/policy.h"
#include "wukong/source/facts.h"

/* What is known without looking, from caches; all of it may be NULL and 0. */
struct source_known {
    const struct class_facts *classes;
    const struct policy *policies;
    size_t policy_count;
    bool policies_incomplete; /* there are more than could be read */
    bool cdi_known;           /* classes->cdi was looked up a moment ago */
};

struct source_info {
    struct source_facts source;
    struct class_facts classes;
    const struct policy *policies;
    size_t policy_count;
    struct wukong_pairs source_labels, source_ns_labels, target_ns_labels;
    bool source_labels_known, source_ns_labels_known, target_ns_labels_known;
    bool policies_incomplete; /* nothing may be allowed on their account */
    bool incomplete;          /* something could not be read; the worker reads it again */
};

/* Asks for whatever is missing; facts of what is there are filled in. Call again until no lookup is
   pending. live: ask for classes, policies and CDI instead of using what is known. */
void look_up_source(const struct source_known *known, const struct wukong *w,
                    const struct wukong_effective *e, const char *ns, bool live,
                    struct lookups *lookups, struct arena *a, struct source_info *ret);
/* Who clones what where, as policies ask it: what was gathered is filled in, and borrowed. */
struct policy_request source_info_request(const struct source_info *g, const struct wukong *w,
                                          const struct wukong_effective *e,
                                          const struct disks *disks, int64_t now_ms);

#endif
