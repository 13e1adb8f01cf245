/*
 * struct store: the cached projections of one kind, by namespace and name, and by the value of
 * kind->label_key. A relist is a generation: store_mark, then store_put for every listed object,
 * then store_sweep removes what was not listed, so that a relist becomes upserts and deletes
 * (client-go tools/cache/delta_fifo.go Replace). Depends on base and object.h; no network, no time.
 *
 * The store owns its objects. A pointer from a look-up is borrowed until the event loop goes on.
 * Listeners and visitors must not change the store.
 */
#ifndef KUBE_STORE_H
#define KUBE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kube/object.h"

#define STORE_LISTENERS_MAX 4

/* old NULL: added; new NULL: deleted. Another UID under the same name is a delete, then an add.
   Both are borrowed for the call. The store already shows the new state. */
struct store_listener {
    void (*changed)(void *arg, const struct kube_object *before, const struct kube_object *after);
    void *arg;
};

struct store;

/* kind is borrowed for ever (static data). */
struct store *store_new(const struct kube_kind *kind);
/* NULL does nothing. Calls no listener. */
void store_free(struct store *s);
const struct kube_kind *store_kind(const struct store *s);
void store_listen(struct store *s, struct store_listener listener);

/* False when the store has this object in this version already. */
bool store_is_news(const struct store *s, const struct kube_object *o);
/* Takes ownership of the object. One with the same UID and resourceVersion as the stored one
   changes nothing and calls nobody. */
void store_put(struct store *s, struct kube_object *o);
/* False when it is not there. */
bool store_remove(struct store *s, const char *ns, const char *name);
/* Which objects somebody lists; NULL: of any namespace, of any name. */
struct store_scope {
    const char *ns, *name;
};
/* Begins a generation, which has a number. Several who list different scopes may be in one each. */
uint32_t store_mark(struct store *s);
/* Removes what is in the scope and was not put since that mark. Returns how many. */
size_t store_sweep(struct store *s, struct store_scope scope, uint32_t generation);

/* ns "" or NULL for cluster-scoped kinds. NULL when absent. */
const struct kube_object *store_get(const struct store *s, const char *ns, const char *name);
/* Every object, or those whose label has the value; the order is that of arrival. Stops when visit
   returns false. */
void store_each(const struct store *s, bool (*visit)(void *arg, const struct kube_object *o),
                void *arg);
void store_each_label(const struct store *s, const char *value,
                      bool (*visit)(void *arg, const struct kube_object *o), void *arg);
size_t store_count(const struct store *s);
/* How many are markers of what cannot be read. */
size_t store_unreadable(const struct store *s);
/* Bytes held for the objects, with their index entries. */
size_t store_bytes(const struct store *s);

#endif
