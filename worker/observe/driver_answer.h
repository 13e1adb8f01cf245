/*
 * What the error of a CSI driver says of the next try. The sidecars pass a driver's error on in
 * Events and in status.error as "rpc error: code = NAME desc = TEXT" (grpc-go, status.Error). Pure.
 */
#ifndef OBSERVE_DRIVER_ANSWER_H
#define OBSERVE_DRIVER_ANSWER_H

#include <stdbool.h>

enum driver_answer {
    /* No code: the sidecar's own words. They may be true of the next try, too, or not. */
    DRIVER_UNKNOWN,
    /* The driver works on it, or may do it later. external-provisioner gives a driver 10 s and
       calls again while it works (--timeout; "DeadlineExceeded", then "Aborted: … in progress"). */
    DRIVER_GOES_ON,
    /* The same request gets the same answer (CSI specification, error tables of CreateVolume and
       CreateSnapshot): until somebody has changed something, it comes to nothing. */
    DRIVER_SETTLED,
};

/* text NULL: DRIVER_UNKNOWN. */
enum driver_answer driver_answer(const char *text);
/* The driver cannot do what was asked at all, or not with this source (InvalidArgument,
   Unimplemented): another way may do. */
bool driver_cannot(const char *text);

#endif
