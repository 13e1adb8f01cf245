#include "worker/permit.h"

#include "base/str.h"
#include "wukong/stamp.h"

const char *permit_cross_namespace(struct arena *a, const struct wukong *w,
                                   const struct wukong_effective *e, const char *generate_name,
                                   const char *stamp, const char *keys,
                                   bool *ret_may_start)
{
    if (!keys)
        return "the webhook's public key is not known yet (ConfigMap of the admission stamps)";
    struct stamp expected = {
        .ns = w->ns,
        .name = w->name,
        .generate_name = generate_name,
        .source_kind = source_type_names[e->source_type],
        .source_ns = e->source_ns,
        .source_name = e->source_name,
    };
    struct stamp found = {0};
    enum stamp_verdict verdict = stamp_verify(stamp, keys, &expected, w->created_ms, a, &found);
    if (verdict != STAMP_GOOD)
        return arena_printf(a,
                            "clones from another namespace need the webhook's admission stamp (%s); "
                            "delete the Wukong and create it again",
                            stamp_verdict_names[verdict]);
    *ret_may_start = found.may_start;
    return NULL;
}
