/*
 * The status of a Wukong as JSON, from a decision; and whether it is worth a write. Pure.
 */
#ifndef WORKER_STATUS_H
#define WORKER_STATUS_H

#include "base/buf.h"
#include "worker/decide.h"

enum status_change {
    STATUS_SAME, /* the cluster shows it already */
    STATUS_SOFT, /* progress, step, wording: may wait a moment, so that a clone is no storm */
    STATUS_HARD, /* the record, or what people and scripts wait for */
};

/* Soft changes are written at most this often. */
#define STATUS_SOFT_MS 1000

/* Writes the whole status object. Conditions keep their lastTransitionTime while their status
   stays. */
void status_write(const struct clone_view *v, const struct decision *d, struct buf *out);
/* Compares what status_write wrote with what the view shows. */
enum status_change status_compare(const struct clone_view *v, const cJSON *next);

#endif
