/*
 * What `why` says: what blocks a clone, until when, and what to do; from a Wukong's JSON. Pure.
 */
#ifndef CLI_WHY_H
#define CLI_WHY_H

#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

/* now_ms: wall clock, to say how long something lasts. */
void why_text(const cJSON *wukong, int64_t now_ms, struct buf *out);
/* The same for scripts, one JSON object: name, namespace, state (done, failed, deleting, waits,
   underWay, unseen, noClone), reason, and each line under its label's name; times are RFC 3339. */
void why_json(const cJSON *wukong, int64_t now_ms, struct buf *out);

#endif
