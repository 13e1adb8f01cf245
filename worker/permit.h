/*
 * Whether a Wukong may be acted upon at all, as far as its own text says: a clone from another
 * namespace must carry the webhook's stamp, so that one which reached the store without admission
 * reads nothing of anybody. Pure.
 */
#ifndef WORKER_PERMIT_H
#define WORKER_PERMIT_H

#include "base/mem.h"
#include "wukong/spec.h"

/* NULL: permitted. Else why not and what to do, from the arena. keys: PEM of the webhook's public
   keys, NULL when they could not be read yet. ret_may_start: the requester may start the source. */
const char *permit_cross_namespace(struct arena *a, const struct wukong *w,
                                   const struct wukong_effective *e, const char *generate_name,
                                   const char *stamp, const char *keys, bool *ret_may_start);
/* The last verdict of permit_cross_namespace on one Wukong: a signature is verified once, not at
   every look. Zero-initialised; whoever holds it releases it. */
struct permit_memo {
    char *stamp, *keys; /* what was judged */
    int64_t generation;
    char *refusal;
    bool known, may_start;
};
/* The same as permit_cross_namespace, remembered while generation, stamp and keys stay the same.
   What it returns lives as long as the memo's verdict. */
const char *permit_remembered(struct permit_memo *m, struct arena *a, const struct wukong *w,
                              const struct wukong_effective *e, const char *generate_name,
                              const char *stamp, const char *keys, bool *ret_may_start);
void permit_memo_release(struct permit_memo *m);
/* Who asked for the clone, by a good stamp; ret_user NULL: not known. ret_groups NULL: the groups
   are not known. From the arena. */
void permit_requester(struct arena *a, const struct wukong *w, const struct wukong_effective *e,
                      const char *generate_name, const char *stamp, const char *keys,
                      const char **ret_user, const char *const **ret_groups,
                      size_t *ret_group_count);

#endif
