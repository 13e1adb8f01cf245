#include "kube/path.h"

#include <inttypes.h>

#include "base/str.h"

/* RFC 3986 section 2.3. */
static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void escape_segment(struct buf *out, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (unreserved(*p)) {
            (void)buf_addc(out, (char)*p);
            continue;
        }
        const char triple[3] = {'%', hex[*p >> 4], hex[*p & 15]};
        (void)buf_add(out, triple, sizeof triple);
    }
}

void kube_path_segment(struct buf *out, const char *segment)
{
    if (str_empty(segment) || str_eq(segment, ".") || str_eq(segment, "..")) {
        buf_release(out);
        out->failed = true;
        return;
    }
    (void)buf_addc(out, '/');
    escape_segment(out, segment);
}

void kube_path_query(struct buf *out, const char *key, const char *value)
{
    if (!value)
        return;
    /* Escaped segments hold no question mark. */
    (void)buf_addc(out, strchr(out->data, '?') ? '&' : '?');
    escape_segment(out, key);
    (void)buf_addc(out, '=');
    escape_segment(out, value);
}

void kube_path_query_int(struct buf *out, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    kube_path_query(out, key, text);
}

void kube_path_resource(struct buf *out, const char *group, const char *version,
                        const char *resource, const char *ns, const char *name, const char *sub)
{
    kube_path_segment(out, str_empty(group) ? "api" : "apis");
    if (!str_empty(group))
        kube_path_segment(out, group);
    kube_path_segment(out, version);
    if (!str_empty(ns)) {
        kube_path_segment(out, "namespaces");
        kube_path_segment(out, ns);
    }
    kube_path_segment(out, resource);
    if (name)
        kube_path_segment(out, name);
    if (sub)
        kube_path_segment(out, sub);
}

void kube_path_kind(struct buf *out, const struct kube_kind *kind, const char *ns, const char *name,
                    const char *sub)
{
    kube_path_resource(out, kind->group, kind->version, kind->resource, ns, name, sub);
}
