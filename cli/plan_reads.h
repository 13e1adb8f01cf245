/* What `plan` reads of a source to build the machine, and of what the machine names, with the
   user's own rights. */
#ifndef CLI_PLAN_READS_H
#define CLI_PLAN_READS_H

#include "cli/cluster.h"
#include "cli/plan.h"

/* Builds the machine, or notes what could not be read. */
void plan_read_machine(struct cluster *c, struct plan *f);
/* Notes what it names and does not find. */
void plan_read_needs(struct cluster *c, struct plan *f);

#endif
