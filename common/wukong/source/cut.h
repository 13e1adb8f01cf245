/*
 * How the point in time of a clone is made. The worker decides by it, with what its record adds;
 * `kubectl wukong plan` foretells by it. Pure.
 */
#ifndef SOURCE_CUT_H
#define SOURCE_CUT_H

#include <stdbool.h>

#include "wukong/api/spec.h"
#include "wukong/source/disks.h"
#include "wukong/source/facts.h"

enum cut_mode {
    CUT_FROZEN,  /* the guest agent freezes the file systems */
    CUT_RUNNING, /* running, not frozen */
    CUT_OFFLINE, /* the source is stopped */
};

/* Of how many moments the snapshots of these disks are. CSI promises an order of writes to
   snapshots of a group alone (the CSI specification, CreateVolumeGroupSnapshot), and not every
   driver keeps it. */
size_t cut_moments(const struct disk_plan *const *plans, size_t count);
/* Of a source that is cut so; quiesced: it was frozen to the last cut. */
static inline enum consistency cut_consistency(enum cut_mode mode, bool quiesced, size_t moments)
{
    if (mode == CUT_OFFLINE)
        return CONSISTENCY_OFFLINE;
    if (quiesced)
        return CONSISTENCY_FILESYSTEM;
    return moments > 1 ? CONSISTENCY_CRASH_PER_DISK : CONSISTENCY_CRASH;
}

/* True when what was got is at least that; UNKNOWN asks for nothing. */
static inline bool consistency_meets(enum consistency got, enum consistency least)
{
    static const int worth[CONSISTENCIES] = {[CONSISTENCY_FILESYSTEM] = 3,
                                             [CONSISTENCY_CRASH] = 2,
                                             [CONSISTENCY_CRASH_PER_DISK] = 1,
                                             [CONSISTENCY_OFFLINE] = 4};
    return worth[got] >= worth[least];
}

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

/* How a point in time will be made, as far as that can be told before. */
struct cut_foreseen {
    bool known;         /* the source was found: mode says something */
    bool starts_source; /* it is stopped, and started for the clone */
    enum cut_mode mode;
    /* The most that it can be worth. quiesce Required counts as kept: without the freeze that clone
       waits. UNKNOWN: no telling. */
    enum consistency best;
    const char *because, *remedy; /* why best is less than FILESYSTEM, and what helps; else NULL */
};
/* Of a source that is seen so; disks: those of the plan, NULL or empty: not known. */
struct cut_foreseen cut_foresee(const struct wukong_effective *e, bool runs, bool agent,
                                bool paused, const struct disks *disks);
/* The same by facts. A source that is stopped and will be started is given time for its agent, so
   one is expected. */
struct cut_foreseen cut_foresee_source(const struct wukong_effective *e,
                                       const struct source_facts *s, const struct disks *disks);

#endif
