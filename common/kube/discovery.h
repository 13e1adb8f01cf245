/*
 * struct discovery: which resources the API server serves, for the group versions one asks about.
 * Each is one small GET (/apis/<group>/<version>), refreshed every 5 minutes, while something is
 * unserved every 30 s, and on demand. A 404 is an answer: not served. While the server does not
 * answer, what was known stays.
 */
#ifndef KUBE_DISCOVERY_H
#define KUBE_DISCOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "kube/client.h"

#define DISCOVERY_GROUPS_MAX 16
#define DISCOVERY_RESOURCES_MAX 256
#define DISCOVERY_REFRESH_MS 300000
#define DISCOVERY_UNSERVED_MS 30000

struct discovery;

/* client and rng are borrowed. turned (may be NULL) is called when an answer has changed. */
struct discovery *discovery_new(const struct kube_client *client, struct rng *rng,
                                void (*turned)(void *arg), void *arg);
void discovery_free(struct discovery *d);
/* Asks about a group version from now on; the first answer comes later. A second call does nothing.
   False beyond DISCOVERY_GROUPS_MAX. */
bool discovery_want(struct discovery *d, const char *group, const char *version);
/* Ask again now. */
void discovery_refresh(struct discovery *d);
/* Every wanted group version has been answered at least once. */
bool discovery_ready(const struct discovery *d);
/* False also while unknown; resource NULL: the group version as such; "a/b": a subresource. */
bool discovery_served(const struct discovery *d, const char *group, const char *version,
                      const char *resource);

#endif
