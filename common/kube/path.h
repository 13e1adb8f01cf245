/*
 * Request paths of the Kubernetes API. Every segment and query value is percent-encoded (RFC 3986:
 * all but unreserved characters), so that a name can neither leave its place nor be cut. A segment
 * that is empty, "." or ".." cannot be written safely at all: it marks the buffer as failed
 * (apimachinery pkg/api/validation/path refuses the last two as names, too), as an overlong path
 * does. One buf_ok at the end tells. The buffer's maximum should be LIMIT_PATH_BYTES.
 */
#ifndef KUBE_PATH_H
#define KUBE_PATH_H

#include "base/buf.h"
#include "kube/object.h"

/* Appends "/" and the escaped segment. */
void kube_path_segment(struct buf *out, const char *segment);
/* Appends "?key=value", or "&key=value" when there is a query already; a NULL value adds nothing.
 */
void kube_path_query(struct buf *out, const char *key, const char *value);
void kube_path_query_int(struct buf *out, const char *key, int64_t value);
/*
 * "/api/v1/…" for the group "", else "/apis/group/version/…". ns NULL or "": a cluster-scoped
 * object or the collection over all namespaces. name NULL: the collection. sub NULL: the object
 * itself.
 */
void kube_path_resource(struct buf *out, const char *group, const char *version,
                        const char *resource, const char *ns, const char *name, const char *sub);
/* The same from a kind, in its newest version. */
void kube_path_kind(struct buf *out, const struct kube_kind *kind, const char *ns, const char *name,
                    const char *sub);

#endif
