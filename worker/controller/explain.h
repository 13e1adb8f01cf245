/*
 * `wukong-worker --explain FILE`: what the worker would do, told of objects that somebody has
 * saved. FILE is a List as `kubectl get -o json` prints it: the Wukong, its source, the claims,
 * snapshots, contents and classes; or what GET /debug/clones?name=… answers (dump.h). Nothing is
 * asked of any cluster and nothing is sent. The worker's own call log is empty, as after a
 * restart, so a clone under way is first said to read.
 */
#ifndef CONTROLLER_EXPLAIN_H
#define CONTROLLER_EXPLAIN_H

#include "base/buf.h"
#include "base/err.h"

/* A List larger than this is refused. */
#define EXPLAIN_MAX (64u * MIB)

/* Appends a paragraph for each Wukong of the List that is a clone. A member "now" of the List (RFC
   3339) is the time that is meant; without it now_ms (wall) is. ERR_INVALID for what is no List. */
WUKONG_CHECK int explain_list(const char *text, size_t len, int64_t now_ms, struct buf *out,
                              struct err *err);
/* "-" is standard input. Prints to standard output; 0, or 1 with a message. */
int explain_file(const char *path);

#endif
