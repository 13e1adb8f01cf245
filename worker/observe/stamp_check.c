#include "observe/stamp_check.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/access.h"
#include "wukong/stamp/stamp.h"

static enum stamp_verdict verify(struct arena *a, const struct wukong *w,
                                 const struct wukong_effective *e, const char *generate_name,
                                 const char *stamp, const char *keys, struct stamp *ret)
{
    const struct stamp expected = {
        .ns = w->ns,
        .name = w->name,
        .generate_name = generate_name,
        .uid = w->uid,
        .source_kind = source_type_names[e->source_type],
        .source_ns = e->source_ns,
        .source_name = e->source_name,
    };
    return stamp_verify(stamp, keys, &expected, w->created_ms, a, ret);
}

/* The question that the webhook asked, for the same user, in the same words. */
static char *review(const struct stamp *s, enum access_right right)
{
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    CLEANUP_JSON cJSON *groups = cJSON_CreateStringArray(s->groups, (int)s->group_count);
    const struct access_question q = {.right = right,
                                      .ns = s->source_ns,
                                      .name = s->source_name,
                                      .user = str_or(s->requester, ""),
                                      .groups = groups};
    access_write(&q, &body);
    return buf_take(&body);
}

/* A true stamp of this very clone, dated by another clock than its creation, or kept for it by
   somebody: which, nobody can tell from here. */
static char *late_text(int64_t issued_ms, int64_t created_ms)
{
    int64_t s = (issued_ms - created_ms) / 1000;
    return xasprintf(
        "the webhook dated its admission stamp %lld s %s the Wukong's creation, and the worker "
        "accepts %d s: either the clock of the webhook's node is wrong (metric "
        "wukong_clock_skew_seconds), or the stamp belongs to another Wukong of this name; set the "
        "clock right, then delete the Wukong and create it again",
        (long long)llabs(s), s > 0 ? "after" : "before", STAMP_WINDOW_MS / 1000);
}

static void judge_stamp(struct stamp_check_memory *m, struct arena *a, const struct wukong *w,
                        const struct wukong_effective *e, const char *generate_name)
{
    struct stamp found = {0};
    struct stamp_check *p = &m->permit;
    if (str_empty(m->keys)) {
        p->refusal =
            xstrdup("the webhook's public key is not known yet (ConfigMap of the admission "
                    "stamps)");
        return;
    }
    enum stamp_verdict verdict = verify(a, w, e, generate_name, m->stamp, m->keys, &found);
    if (verdict == STAMP_LATE) {
        p->refusal = late_text(found.issued_ms, w->created_ms);
        return;
    }
    if (verdict != STAMP_GOOD) {
        p->refusal = xasprintf("clones from another namespace need the webhook's admission stamp "
                               "(%s); delete the Wukong and create it again",
                               stamp_verdict_names[verdict]);
        return;
    }
    p->may_start = found.may_start;
    p->issued_ms = found.issued_ms;
    p->user = xstrdup(found.requester);
    p->clone_review = found.groups ? review(&found, ACCESS_CLONE) : NULL;
    p->start_review = found.groups && found.may_start ? review(&found, ACCESS_START) : NULL;
}

void stamp_check_remembered(struct stamp_check_memory *m, struct arena *a, const struct wukong *w,
                            const struct wukong_effective *e, const char *generate_name,
                            const char *stamp, const char *keys, int64_t now_ms,
                            struct stamp_check *ret)
{
    bool same = m->known && m->generation == w->generation && str_eq(m->stamp, str_or(stamp, "")) &&
                str_eq(m->keys, str_or(keys, ""));
    if (!same) {
        stamp_check_memory_release(m);
        m->stamp = xstrdup(str_or(stamp, ""));
        m->keys = xstrdup(str_or(keys, ""));
        m->generation = w->generation;
        m->known = true;
        judge_stamp(m, a, w, e, generate_name);
    }
    *ret = m->permit;
    int64_t longest = ret->clone_review ? STAMP_AGE_MAX_MS : STAMP_BLIND_AGE_MAX_MS;
    if (!ret->refusal && now_ms - ret->issued_ms > longest)
        ret->refusal = "the admission stamp is too old; somebody who may clone the source must ask "
                       "again: set the annotation " WUKONG_RETRY_ANNOTATION " to a new value";
}

void stamp_check_memory_release(struct stamp_check_memory *m)
{
    free(m->stamp);
    free(m->keys);
    free((char *)m->permit.refusal);
    free((char *)m->permit.user);
    free((char *)m->permit.clone_review);
    free((char *)m->permit.start_review);
    *m = (struct stamp_check_memory){0};
}

void stamp_check_requester(struct arena *a, const struct wukong *w,
                           const struct wukong_effective *e, const char *generate_name,
                           const char *stamp, const char *keys, const char **ret_user,
                           const char *const **ret_groups, size_t *ret_group_count)
{
    struct stamp found = {0};
    bool good =
        keys && e->source_name && verify(a, w, e, generate_name, stamp, keys, &found) == STAMP_GOOD;
    *ret_user = good ? found.requester : NULL;
    *ret_groups = good ? found.groups : NULL;
    *ret_group_count = good ? found.group_count : 0;
}
