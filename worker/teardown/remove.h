/* What the files that remove objects share. */
#ifndef TEARDOWN_REMOVE_H
#define TEARDOWN_REMOVE_H

#include "teardown/teardown.h"

/* The physical snapshot that this clone has held is to go with its content; true: it will. */
bool leftover_gives_back(const struct clone_state *v, struct decision *d, const struct leftover *o);
/* Everything that must come before the deletion of a snapshot, a group or a content; true when it
   has. kubevirt_still_holds: only what takes no time. */
bool leftover_may_go(const struct clone_state *v, struct decision *d, const struct leftover *o,
                     bool hasty);
/* Of which kind the content is that holds its physical snapshots. */
enum worker_kind leftover_content_kind(const struct leftover *o);
/* Removes the VolumeGroupSnapshots of ours; true when none is left. */
bool remove_groups(const struct clone_state *v, struct decision *d);

#endif
