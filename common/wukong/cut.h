/*
 * How the point in time of a clone is made. The worker decides by it, with what its record adds;
 * `kubectl wukong plan` foretells by it. Pure.
 */
#ifndef WUKONG_CUT_H
#define WUKONG_CUT_H

#include <stdbool.h>

#include "wukong/spec.h"

enum cut_mode {
    CUT_FROZEN,  /* the guest agent freezes the file systems */
    CUT_RUNNING, /* running, not frozen */
    CUT_OFFLINE, /* the source is stopped */
};

/* runs: the source has a VMI. agent: its guest agent is connected. slow: the cut of one of its
   disks outlasts a freeze, which would only stop the guest for nothing. */
static inline enum cut_mode cut_wanted(const struct wukong_effective *e, bool runs, bool agent,
                                       bool paused, bool slow)
{
    if (e->clone_type == CLONE_FULL || !runs)
        return CUT_OFFLINE;
    if (e->quiesce == QUIESCE_NEVER || e->method == METHOD_VM_SNAPSHOT || !agent || paused)
        return CUT_RUNNING;
    if (slow && e->quiesce != QUIESCE_REQUIRED)
        return CUT_RUNNING;
    return CUT_FROZEN;
}

#endif
