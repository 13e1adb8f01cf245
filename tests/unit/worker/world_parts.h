/* What the files of the world share; tests include world.h. */
#ifndef WORLD_PARTS_H
#define WORLD_PARTS_H

#include "world.h"

extern const char *const world_claims[DISKS], *const world_snapshots[DISKS],
                                                  *const world_contents[DISKS];

/* The state of this moment. */
void world_see(struct world *w, struct clone_state *v, struct arena *a);

#endif
