/* Whose clones a ClonePolicy is about. What it says of them is in policy/policy_judge.c. */
#include "wukong/policy/policy.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define ACCOUNT_PREFIX "system:serviceaccount:"

/* What is not known: matches, but does not exclude. */
enum known { NO, YES, UNKNOWN };

static bool in_groups(const char *name, const struct policy_request *r)
{
    size_t low = 0, high = r->groups_sorted && name ? r->group_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(r->groups[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (r->groups_sorted)
        return name && low < r->group_count && str_eq(r->groups[low], name);
    for (size_t i = 0; i < r->group_count; i++)
        if (str_eq(name, r->groups[i]))
            return true;
    return false;
}

static enum known subject_is(const struct policy_subject *s, const struct policy_request *r)
{
    if (!r->user)
        return UNKNOWN;
    switch (s->kind) {
    case SUBJECT_USER:
        return str_eq(s->name, r->user) ? YES : NO;
    case SUBJECT_GROUP:
        if (!r->groups)
            return UNKNOWN;
        return in_groups(s->name, r) ? YES : NO;
    case SUBJECT_ACCOUNT: {
        CLEANUP_FREE char *full = xasprintf(ACCOUNT_PREFIX "%s:%s", s->ns, s->name);
        return str_eq(full, r->user) ? YES : NO;
    }
    case SUBJECT_UNSET:
    case SUBJECTS:
        break;
    }
    return UNKNOWN;
}

static enum known one_of_subjects(const struct policy_match *m, const struct policy_request *r)
{
    enum known best = m->subject_count ? NO : YES;
    for (size_t i = 0; i < m->subject_count; i++) {
        enum known k = subject_is(&m->subjects[i], r);
        if (k == YES)
            return YES;
        if (k == UNKNOWN)
            best = UNKNOWN;
    }
    return best;
}

static enum known selects(bool given, const struct selector *s, const struct wukong_pairs *labels)
{
    if (!given)
        return YES;
    if (!labels)
        return UNKNOWN;
    return selector_matches(s, labels) ? YES : NO;
}

static enum known match(const struct policy_match *m, const struct policy_request *r)
{
    const enum known parts[] = {
        one_of_subjects(m, r),
        selects(m->by_source_ns, &m->source_ns, r->source_ns_labels),
        selects(m->by_source, &m->source, r->source_labels),
        selects(m->by_target_ns, &m->target_ns, r->target_ns_labels),
    };
    enum known all = YES;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i] == NO)
            return NO;
        if (parts[i] == UNKNOWN)
            all = UNKNOWN;
    }
    return all;
}

/* An empty exclude says nothing; it does not exclude everything. */
static bool says_something(const struct policy_match *m)
{
    return m->present && (m->subject_count || m->by_source_ns || m->by_source || m->by_target_ns);
}

bool policy_matches(const struct policy *p, const struct policy_request *r)
{
    if (!r->effective->is_clone)
        return false;
    if (!p->broken && says_something(&p->exclude) && match(&p->exclude, r) == YES)
        return false;
    return match(&p->match, r) != NO;
}
