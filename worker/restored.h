/* A Wukong that came out of a backup without its status: what is over stays over. Pure. */
#ifndef WORKER_RESTORED_H
#define WORKER_RESTORED_H

#include "worker/decide.h"

/* It bears the restorer's label and no status of a clone. */
bool restored_again(const struct clone_view *v);
/* Ends it; nothing is touched. The retry annotation clones it all the same. */
void restored_end(const struct clone_view *v, struct decision *d);

#endif
