/*
 * Whether cloud-init of a source can renew what spec.guest wishes (wukong/api/reset_data.h). Pure.
 */
#ifndef SOURCE_GUEST_RESET_H
#define SOURCE_GUEST_RESET_H

#include <cjson/cJSON.h>

#include "wukong/api/reset_data.h"

/* In a clone of that instance, as the source has it; NULL: it can, else what stands in the way and
   what to do. */
const char *reset_refusal(const cJSON *instance, const struct wukong_guest *g);

#endif
