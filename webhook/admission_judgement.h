/*
 * The judgement of one review while it is made, and the steps of it that stand in files of their
 * own. Only the admission_*.c files use this; everybody else calls admission_judge.
 */
#ifndef WEBHOOK_ADMISSION_JUDGEMENT_H
#define WEBHOOK_ADMISSION_JUDGEMENT_H

#include "lookup/source_lookup.h"
#include "webhook/admission.h"
#include "webhook/admission_review.h"
#include "webhook/json_patch.h"
#include "wukong/rules/validate.h"

#define ADMISSION_WARNINGS_MAX 64

struct judgement {
    const struct admission_context *c;
    struct lookups *lookups;
    struct admission_review review;
    struct arena arena;
    struct wukong w;
    struct wukong_effective e;
    struct findings findings;
    struct json_patch patch;
    bool pending, may_start, is_clone;
    bool asks_who; /* a policy selects by subject: the worker must know the requester too */
    const char *wukong_uid; /* NULL at CREATE: it has none yet */
    bool start_known;       /* may_start was answered, or nobody has to start the source */
    const char **groups;    /* NULL: not known */
    size_t group_count;
    const char *denial;    /* 403 */
    const char *undecided; /* 503 */
    const char *decided_by;
    const char *policies; /* names of those that found something */
    const char *warnings[ADMISSION_WARNINGS_MAX];
    size_t warning_count;
};
/* --- admission_rights.c: may the user clone this source? --- */

/* True when the source may be read. The reviews ask for the *requesting* user. */
bool admission_may_clone(struct judgement *j);
/* Refuses for now: an answer that was not given is no refusal, and a stamp that says "may not"
   could not be renewed. */
void admission_start_unknown(struct judgement *j);
/* The worker would have to start a foreign VM on behalf of a user who may not. */
void admission_check_start(struct judgement *j, const struct source_info *g);

/* --- admission_policy.c: what the ClonePolicies say --- */

/* All of the user's groups, or none: with one left out, a policy for it would be off for its
   members. */
void admission_read_groups(struct judgement *j);
/* Raises the cut that the policies ask for; before the disks are planned. */
void admission_raise_cuts(struct judgement *j, struct source_info *g);
void admission_judge_policies(struct judgement *j, const struct source_info *g);
/* Of an edit of spec.expires. */
void admission_judge_lifetime(struct judgement *j, const struct source_info *g);

/* --- admission_stamp.c: what the webhook writes down for the worker --- */

/* Stamps an admitted clone from another namespace, and any clone when a policy asks who; takes a
   stamp off anything else. */
void admission_write_stamp(struct judgement *j);
/* Puts the stored stamp back, which a user's manifest lacks. */
void admission_restore_stamp(struct judgement *j);
/* The stamp is the webhook's own: as it was, or as the mutating endpoint has just written it. */
void admission_check_stamp_kept(struct judgement *j, bool anew);

static inline void admission_warn(struct judgement *j, const char *text)
{
    if (text && j->warning_count < ADMISSION_WARNINGS_MAX)
        j->warnings[j->warning_count++] = text;
}

#endif
