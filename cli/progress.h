/*
 * What `status` and `why` print, from a Wukong's JSON. Pure: the terminal's size and what it can
 * show are given.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

enum progress_state { PROGRESS_RUNNING, PROGRESS_SUCCEEDED, PROGRESS_FAILED, PROGRESS_NO_CLONE };

struct progress_screen {
    unsigned columns, rows; /* what may be filled; at least 20 and 3 are used */
    bool colour, ascii;
};

enum progress_state progress_state(const cJSON *wukong);
/* What a command that has shown it exits with: CLI_OK, CLI_FAILED or CLI_UNDER_WAY. */
int progress_exit_code(const cJSON *wukong);
/* The clone, a bar per disk, one for the machines of a batch, and what it waits for. No line is
   wider than the columns, and there are no more lines than rows: of too many disks those that are
   done are left out first, and counted. */
void progress_bars(const cJSON *wukong, const struct progress_screen *screen, struct buf *out);
/* One line without any escape, for pipes and logs: name, phase, progress, step, disks and machines
   that are done, and why it waits. */
void progress_line(const cJSON *wukong, struct buf *out);
/* The same as one JSON object, for scripts. */
void progress_json(const cJSON *wukong, struct buf *out);

#endif
