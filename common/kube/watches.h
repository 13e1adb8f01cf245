/*
 * struct watches: what keeps a store equal to what the API server has of a kind: one reflector for
 * all namespaces, or one for each of those that may be looked into. Whoever has rights in some
 * namespaces alone must not ask about all of them. The store is shared, so that its readers need
 * not know.
 */
#ifndef KUBE_WATCHES_H
#define KUBE_WATCHES_H

#include "kube/reflector.h"

struct watches;

/* each: of every reflector; its ns and name are those of a single one, when count is 0. Else there
   is one for each namespace: of a cluster-scoped kind, the objects of those names (the Namespaces
   themselves). Names are copied, everything else in each is borrowed for the life of the watches.
 */
struct watches *watches_new(const struct reflector_options *each, const char *const *namespaces,
                            size_t count);
/* NULL does nothing. The store keeps its objects. */
void watches_free(struct watches *w);
void watches_start(struct watches *w);
/* reflector.h says what each means of one; here of all of them. */
void watches_refresh(struct watches *w);
bool watches_synced(const struct watches *w);
bool watches_served(const struct watches *w);
/* The version in which the kind is served. */
const char *watches_version(const struct watches *w);
/* How long ago the API server was last heard of, or the start, of the one that is silent for
   longest. A bookmark is news, and the end of a watch; a stream that fails is none. */
int64_t watches_age_ms(const struct watches *w);
/* That is longer than a sound watch can take: REFLECTOR_STALE_MS. */
bool watches_stale(const struct watches *w);

#endif
