/* A Wukong that came out of a backup without its status: what is over stays over. Pure. */
#ifndef DECIDE_RESTORED_H
#define DECIDE_RESTORED_H

#include "decide/decide.h"

/* It bears the restorer's label and no status of a clone. */
bool restored_again(const struct clone_state *v);
/* Ends it; nothing is touched. The retry annotation clones it all the same. */
void restored_end(const struct clone_state *v, struct decision *d);

#endif
