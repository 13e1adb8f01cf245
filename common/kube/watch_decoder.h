/*
 * struct watch_decoder: bytes of a watch stream, in any cuts, to lines to events. Pure, bounded: of
 * a line past its maximum the rest is left out. A watch stream is one JSON object per line
 * (apimachinery pkg/apis/meta/v1/watch.go WatchEvent).
 */
#ifndef KUBE_WATCH_DECODER_H
#define KUBE_WATCH_DECODER_H

#include <stddef.h>

#include "base/buf.h"

struct watch_decoder {
    struct buf line; /* the unfinished one */
};

void watch_decoder_init(struct watch_decoder *d, size_t line_max);
void watch_decoder_release(struct watch_decoder *d);
/* Forgets an unfinished line: the stream was cut and a new one begins. */
void watch_decoder_reset(struct watch_decoder *d);
/*
 * Calls line for each line completed by these bytes, without its end; empty lines are skipped.
 * line's own failure (-1, err filled) ends it. The bytes are borrowed for the call and not
 * NUL-terminated.
 */
WUKONG_CHECK int watch_decoder_feed(struct watch_decoder *d, const char *bytes, size_t n,
                                    int (*line)(void *arg, const char *line, size_t n,
                                                struct err *err),
                                    void *arg, struct err *err);

enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK, WATCH_ERROR };

struct watch_event {
    enum watch_type type;
    const char *object; /* its JSON, within the line; cut off where the line was */
    size_t len;
};

/* The object is not looked into: whatever somebody has put there, the stream goes on.
   ERR_INVALID: no JSON, an unknown type, or no object. */
WUKONG_CHECK int watch_event_read(const char *line, size_t n, struct watch_event *ret,
                                  struct err *err);

#endif
