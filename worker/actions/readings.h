/*
 * Recent reads of one clone, kept for others that ask the same: all clones of a source read the
 * same machine and claims. Each reading is kept only for a moment, so that it is still fresh when
 * another clone uses it. Their number has a limit.
 */
#ifndef ACTIONS_READINGS_H
#define ACTIONS_READINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "observe/call_log.h"

#define READING_KEPT_MS 5000
#define READINGS_MAX 256
/* Of all their bodies; one that is larger is not kept at all. */
#define READINGS_BYTES_MAX (8u << 20)

struct reading {
    char *key;
    int64_t sent_ms, sent_mono_ms, done_ms, done_mono_ms; /* as struct call's */
    int code;
    char *reason, *message; /* of a 404; NULL: it was answered */
    char *version;
    struct shared_text *body; /* of an answer */
    struct reading *older, *newer;
};
/* Zero-initialised; whoever holds it releases it. */
struct readings {
    struct reading *oldest, *newest;
    size_t count, bytes;
};

/* An answer to that question which was asked at `since` or later and is young enough; NULL: none.
   Lives until the next call. Both times are monotonic. */
const struct reading *readings_find(struct readings *all, const char *key, int64_t since_ms,
                                    int64_t now_ms);
/* Keeps the answer to c, a body or a 404, in place of an older one. */
void readings_keep(struct readings *all, const char *key, const struct call *c, int64_t now_ms);
/* Gives it to c, as if the API server had answered c. */
void reading_give(const struct reading *r, struct call *c);
void readings_release(struct readings *all);

#endif
