#include "webhook/admission_judgement.h"

#include "base/mem.h"
#include "base/str.h"
#include "wukong/source/disks.h"

/* Beyond these a user's groups count as not known. */
#define REQUESTER_GROUPS_MAX 4096

static int compare_groups(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void admission_read_groups(struct judgement *j)
{
    const cJSON *group = NULL, *all = json_get(j->review.user_info, "groups");
    size_t n = cJSON_IsArray(all) ? (size_t)cJSON_GetArraySize(all) : 0;
    j->group_count = 0;
    j->groups =
        n <= REQUESTER_GROUPS_MAX ? arena_alloc(&j->arena, (n + 1) * sizeof *j->groups) : NULL;
    if (!j->groups || !n)
        return;
    cJSON_ArrayForEach (group, all)
        if (cJSON_IsString(group))
            j->groups[j->group_count++] = group->valuestring;
}

/* The same in an order in which policies find one fast. */
static const char **sorted_groups(struct judgement *j)
{
    const char **sorted =
        j->groups ? arena_alloc(&j->arena, (j->group_count + 1) * sizeof *sorted) : NULL;
    if (!sorted || !j->group_count)
        return sorted;
    memcpy(sorted, j->groups, j->group_count * sizeof *sorted);
    qsort(sorted, j->group_count, sizeof *sorted, compare_groups);
    return sorted;
}

static struct policy_request request_of(struct judgement *j, const struct source_info *g,
                                        const struct disks *disks)
{
    struct policy_request r = source_info_request(g, &j->w, &j->e, disks, j->c->now_ms);
    r.user = j->review.user;
    r.groups = sorted_groups(j);
    r.group_count = j->group_count;
    r.groups_sorted = true;
    return r;
}

void admission_raise_cuts(struct judgement *j, struct source_info *g)
{
    struct policy_request r = request_of(j, g, NULL);
    policy_raise_cuts(&j->arena, g->policies, g->policy_count, &r, &g->classes);
}

/* What was found, in words; `denied` decides, however much of the words was kept. */
static void tell_findings(struct judgement *j, const struct policy_findings *f)
{
    CLEANUP_BUF struct buf names = BUF_INIT(KIB), denial = BUF_INIT(16u * KIB);
    for (size_t i = 0; i < f->count; i++) {
        const struct policy_finding *item = &f->items[i];
        if (i == 0 || f->items[i - 1].policy != item->policy)
            buf_addf(&names, "%s%s", names.len ? "," : "", item->policy->name);
        if (item->effect == POLICY_DENY)
            buf_addf(&denial, "%s%s", denial.len ? "; " : "", item->text);
        else if (item->effect == POLICY_WARN || item->effect == POLICY_WAIT)
            admission_warn(j, item->text);
    }
    if (names.len)
        j->policies = arena_strdup(&j->arena, names.data);
    if (f->denied && !j->denial) {
        const char *text = denial.len ? arena_strdup(&j->arena, denial.data) : NULL;
        j->decided_by = "ClonePolicy";
        j->denial =
            str_or(text, "a ClonePolicy does not allow this clone; ask the cluster's admin");
    }
}

static bool policies_unknown(struct judgement *j, const struct source_info *g)
{
    if (!g->policies_incomplete)
        return false;
    j->decided_by = "PoliciesUnknown";
    j->undecided = "not all ClonePolicies could be read, and one that is missing may deny this "
                   "clone; ask the cluster's admin to have fewer or shorter ones";
    return true;
}

void admission_judge_policies(struct judgement *j, const struct source_info *g)
{
    if (policies_unknown(j, g))
        return;
    if (!g->policy_count)
        return;
    for (size_t i = 0; i < g->policy_count; i++)
        j->asks_who |= g->policies[i].match.subject_count || g->policies[i].exclude.subject_count;
    struct disks disks = {0};
    CLEANUP_FINDINGS struct findings ignored; /* reported by validate_source */
    findings_init(&ignored);
    disks_resolve(&j->arena, &j->w, &j->e, &g->source, &g->classes, &ignored, &disks);
    struct policy_request request = request_of(j, g, &disks);
    struct policy_findings *f = xcalloc(1, sizeof *f);
    policy_judge(&j->arena, g->policies, g->policy_count, &request, NULL, POLICY_AT_ADMISSION, f);
    tell_findings(j, f);
    free(f);
}

void admission_judge_lifetime(struct judgement *j, const struct source_info *g)
{
    if (policies_unknown(j, g))
        return;
    struct policy_request request = request_of(j, g, NULL);
    struct policy_findings *f = xcalloc(1, sizeof *f);
    int64_t ended_ms;
    /* Lives are counted from the end of the clone. */
    if (str_to_time_ms(json_str(j->review.old_object, "status.cloneStatus.completionTime"),
                       &ended_ms))
        request.now_ms = ended_ms;
    policy_judge_lifetime(&j->arena, g->policies, g->policy_count, &request, f);
    tell_findings(j, f);
    free(f);
}
