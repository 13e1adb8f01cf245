/*
 * Whether a Wukong may be acted upon at all, as far as its own text says: a clone from another
 * namespace must carry the webhook's stamp, so that one which reached the store without admission
 * reads nothing of anybody. Pure.
 */
#ifndef OBSERVE_STAMP_CHECK_H
#define OBSERVE_STAMP_CHECK_H

#include "base/mem.h"
#include "wukong/api/spec.h"

/* What the stamp of a clone from another namespace permits. */
struct stamp_check {
    const char *refusal; /* NULL: permitted; else why not and what to do */
    bool may_start;      /* the requester may start the source */
    const char *user;
    int64_t issued_ms;
    /* Bodies of the SubjectAccessReviews that ask for the requester's rights again. NULL: they
       cannot be asked for, or need not be: the groups are not known, or may_start is false. */
    const char *clone_review, *start_review;
};
/* The last verdict on one Wukong: a signature is verified once, not at every look.
   Zero-initialised; whoever holds it releases it. */
struct stamp_check_memory {
    char *stamp, *keys; /* what was judged */
    int64_t generation;
    bool known;
    struct stamp_check permit; /* owns its texts */
};
/* Verifies the stamp, or remembers what was found while generation, stamp and keys stay the same.
   keys: PEM of the webhook's public keys, NULL when they could not be read yet. What *ret points to
   lives as long as the call log's verdict and the arena. */
void stamp_check_remembered(struct stamp_check_memory *m, struct arena *a, const struct wukong *w,
                            const struct wukong_effective *e, const char *generate_name,
                            const char *stamp, const char *keys, int64_t now_ms,
                            struct stamp_check *ret);
void stamp_check_memory_release(struct stamp_check_memory *m);
/* Who asked for the clone, by a good stamp; ret_user NULL: not known. ret_groups NULL: the groups
   are not known. From the arena. */
void stamp_check_requester(struct arena *a, const struct wukong *w,
                           const struct wukong_effective *e, const char *generate_name,
                           const char *stamp, const char *keys, const char **ret_user,
                           const char *const **ret_groups, size_t *ret_group_count);

#endif
