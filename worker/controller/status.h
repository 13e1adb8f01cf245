/*
 * The status of a Wukong as JSON, from a decision; and whether it is worth a write. Pure.
 */
#ifndef CONTROLLER_STATUS_H
#define CONTROLLER_STATUS_H

#include "base/buf.h"
#include "decide/decide.h"

enum status_change {
    STATUS_SAME, /* the cluster shows it already */
    STATUS_SOFT, /* progress, step, wording: may wait a moment, so that a clone is no storm */
    STATUS_HARD, /* the record, or what people and scripts wait for */
};

/* At most this often the worker writes soft changes of one Wukong. The pause grows with the number
   of running clones, so that all together never write more than a few would. When storage or the
   API server is slow, status writes must not make it slower. */
#define STATUS_SOFT_MS 1500
#define STATUS_SOFT_CLONES 16
int64_t status_pause_ms(size_t under_way);

/* Writes the whole status object. Conditions keep their lastTransitionTime while their status
   stays. */
void status_write(const struct clone_state *v, const struct decision *d, struct buf *out);
/* Compares what status_write wrote with what the state shows. */
enum status_change status_compare(const struct clone_state *v, const cJSON *next);

#endif
