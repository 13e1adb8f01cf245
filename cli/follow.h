/*
 * Follows one Wukong to its end: a bar per disk in a terminal, a line per change anywhere else. The
 * watch is the worker's own (kube/reflector.h): one that is cut, expired (410) or unauthorized
 * (401) is begun again.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <cjson/cJSON.h>

#include "cli/cluster.h"

enum follow_how {
    FOLLOW_SHOWN,
    FOLLOW_QUIET, /* one line at the end */
};

/* Returns the exit code (cli.h). timeout_ms 0: as long as it takes. */
int follow_wukong(struct cluster *c, const char *name, int64_t timeout_ms, enum follow_how how);
/* Shows it once; returns the exit code of its state. */
int follow_show(const cJSON *wukong);

#endif
