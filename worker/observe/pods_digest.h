/*
 * A page of a list of Pods, reduced to what the worker asks of it: who may write to which claims.
 * The executor keeps the digest instead of the page, which may hold 50 Pods of any size.
 */
#ifndef OBSERVE_PODS_DIGEST_H
#define OBSERVE_PODS_DIGEST_H

#include <stddef.h>

/* {"next": token of the next page, "pods": [{name, of: UID of its VMI, claims: […]}]}, of the Pods
   that may write to a claim; NULL when the answer cannot be read. To be freed. */
char *pods_digest(const char *list, size_t len);

#endif
