#include "worker/permit.h"

#include <stdlib.h>

#include "base/str.h"
#include "wukong/stamp.h"

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

const char *permit_cross_namespace(struct arena *a, const struct wukong *w,
                                   const struct wukong_effective *e, const char *generate_name,
                                   const char *stamp, const char *keys, bool *ret_may_start)
{
    if (!keys)
        return "the webhook's public key is not known yet (ConfigMap of the admission stamps)";
    struct stamp found = {0};
    enum stamp_verdict verdict = verify(a, w, e, generate_name, stamp, keys, &found);
    if (verdict != STAMP_GOOD)
        return arena_printf(
            a,
            "clones from another namespace need the webhook's admission stamp (%s); "
            "delete the Wukong and create it again",
            stamp_verdict_names[verdict]);
    *ret_may_start = found.may_start;
    return NULL;
}

const char *permit_remembered(struct permit_memo *m, struct arena *a, const struct wukong *w,
                              const struct wukong_effective *e, const char *generate_name,
                              const char *stamp, const char *keys, bool *ret_may_start)
{
    bool same = m->known && m->generation == w->generation && str_eq(m->stamp, str_or(stamp, "")) &&
                str_eq(m->keys, str_or(keys, ""));
    if (!same) {
        permit_memo_release(m);
        m->may_start = true;
        m->refusal =
            xstrdup(permit_cross_namespace(a, w, e, generate_name, stamp, keys, &m->may_start));
        m->stamp = xstrdup(str_or(stamp, ""));
        m->keys = xstrdup(str_or(keys, ""));
        m->generation = w->generation;
        m->known = true;
    }
    *ret_may_start = m->may_start;
    return m->refusal;
}

void permit_memo_release(struct permit_memo *m)
{
    free(m->stamp);
    free(m->keys);
    free(m->refusal);
    *m = (struct permit_memo){0};
}

void permit_requester(struct arena *a, const struct wukong *w, const struct wukong_effective *e,
                      const char *generate_name, const char *stamp, const char *keys,
                      const char **ret_user, const char *const **ret_groups,
                      size_t *ret_group_count)
{
    struct stamp found = {0};
    bool good =
        keys && e->source_name && verify(a, w, e, generate_name, stamp, keys, &found) == STAMP_GOOD;
    *ret_user = good ? found.requester : NULL;
    *ret_groups = good ? found.groups : NULL;
    *ret_group_count = good ? found.group_count : 0;
}
