/*
 * From look-ups to facts: which looks the judgement of a source needs, and what their answers say
 * in terms of common/wukong. Only admission.c uses this. Pure.
 */
#ifndef WEBHOOK_GATHER_H
#define WEBHOOK_GATHER_H

#include "webhook/admission.h"
#include "webhook/review.h"

struct gathered {
    struct source_facts source;
    struct class_facts classes;
    const struct policy *policies;
    size_t policy_count;
    struct wukong_pairs source_labels, source_ns_labels, target_ns_labels;
    bool source_labels_known, source_ns_labels_known, target_ns_labels_known;
    bool incomplete; /* something could not be read; the worker reads it again */
};

/* Asks for whatever is missing; facts of what is there are filled in. Call again until no look is
   pending. live: use live lists of classes and policies instead of the caches. */
void gather(const struct admission_context *c, const struct wukong *w,
            const struct wukong_effective *e, const char *ns, bool live, struct looks *looks,
            struct arena *a, struct gathered *ret);

#endif
