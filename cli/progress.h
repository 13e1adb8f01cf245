/*
 * What `status` and `why` print, from a Wukong's JSON. Pure: the terminal's width and whether it is
 * one are given.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

enum progress_state { PROGRESS_RUNNING, PROGRESS_SUCCEEDED, PROGRESS_FAILED, PROGRESS_NO_CLONE };

enum progress_state progress_state(const cJSON *wukong);
/* The clone and a bar per disk, no line wider than width (at least 20 columns). */
void progress_bars(const cJSON *wukong, unsigned width, struct buf *out);
/* One line, for pipes and logs: name, phase, progress, step, and why it waits. */
void progress_line(const cJSON *wukong, struct buf *out);
/* The blocking reason, what it means and what to do. */
void progress_why(const cJSON *wukong, struct buf *out);

#endif
