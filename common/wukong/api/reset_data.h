/*
 * spec.guest.resetMachineId and resetSSHHostKeys: what is added to the clone's user data, so that
 * cloud-init renews what makes two guests one. The data there are stay as they are, in an archive
 * beside what is added (cloud-init's documentation: user-data formats, "cloud config archive";
 * "merging user-data sections"). Where nothing can be added it is said what to do. Pure.
 */
#ifndef API_RESET_DATA_H
#define API_RESET_DATA_H

#include <stdbool.h>

#include "base/buf.h"
#include "wukong/api/spec.h"

/* KubeVirt takes no more of plain user data (types.go: cloudInitUserMaxLen). */
#define RESET_BYTES_MAX 2048

/* Whether guest asks for anything. */
bool reset_is_wanted(const struct wukong_guest *g);
/* The user data with what is added. NULL, or what stands in the way and what to do. given: NULL or
   "", there are none. */
const char *reset_user_data(const char *given, const struct wukong_guest *g, struct buf *out);

#endif
