/*
 * struct cache_reader: how the state looks things up. A thin face over common/kube's stores, so
 * that the view can be built from plain arrays in a test.
 */
#ifndef OBSERVE_CACHE_READER_H
#define OBSERVE_CACHE_READER_H

#include "observe/resources.h"

struct cache_reader {
    /* The object, or NULL. Borrowed until the event loop goes on. */
    const struct kube_object *(*get)(void *arg, enum worker_kind kind, const char *ns,
                                     const char *name);
    /* Calls visit for each object of the kind whose label (kind->label_key or label_path) is the
       value; NULL: for every object. Stops when visit returns false. */
    void (*each)(void *arg, enum worker_kind kind, const char *label,
                 bool (*visit)(void *visit_arg, const struct kube_object *o), void *visit_arg);
    /* The API server serves the kind. */
    bool (*served)(void *arg, enum worker_kind kind);
    void *arg;
};

#endif
