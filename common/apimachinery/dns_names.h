/*
 * What Kubernetes takes for a name (apimachinery pkg/util/validation). NULL is never valid.
 */
#ifndef APIMACHINERY_DNS_NAMES_H
#define APIMACHINERY_DNS_NAMES_H

#include <stdbool.h>

/* A letter or digit as a DNS label has them, and as a qualified name has them. */
static inline bool name_char_is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
static inline bool name_char_is_alnum(char c)
{
    return name_char_is_lower(c) || (c >= 'A' && c <= 'Z');
}

bool name_is_dns_label(const char *s);     /* RFC 1123 label: namespaces, disks, services */
bool name_is_dns_subdomain(const char *s); /* RFC 1123 subdomain: most object names */
bool name_is_qualified(const char *s);     /* label and annotation keys, condition types */
bool name_is_label_value(const char *s);
/* Why not, as apimachinery words it, shortened; static; NULL when it is one. */
const char *name_dns_label_error(const char *s);
const char *name_dns_subdomain_error(const char *s);
const char *name_qualified_error(const char *s);
const char *name_label_value_error(const char *s);

#endif
