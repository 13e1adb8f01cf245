#include "apimachinery/dns_names.h"

#include <string.h>

#include "base/limits.h"
#include "base/str.h"

/* [a-z0-9]([-a-z0-9]*[a-z0-9])? over n bytes. */
static bool label_shape(const char *s, size_t n)
{
    if (n == 0 || !name_char_is_lower(s[0]) || !name_char_is_lower(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!name_char_is_lower(s[i]) && s[i] != '-')
            return false;
    return true;
}

static bool subdomain_shape(const char *s, size_t n)
{
    for (const char *end = s + n;;) {
        const char *dot = memchr(s, '.', (size_t)(end - s));
        if (!label_shape(s, (size_t)((dot ? dot : end) - s)))
            return false;
        if (!dot)
            return true;
        s = dot + 1;
    }
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9] */
static bool qualified_shape(const char *s, size_t n)
{
    if (n == 0 || !name_char_is_alnum(s[0]) || !name_char_is_alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!name_char_is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
            return false;
    return true;
}

const char *name_dns_label_error(const char *s)
{
    if (str_empty(s))
        return "must not be empty";
    if (strlen(s) > LIMIT_DNS_LABEL)
        return "must be no more than 63 bytes";
    if (!label_shape(s, strlen(s)))
        return "must consist of lower case letters, digits or '-', and start and end with a letter "
               "or digit";
    return NULL;
}

const char *name_dns_subdomain_error(const char *s)
{
    if (str_empty(s))
        return "must not be empty";
    if (strlen(s) > LIMIT_DNS_SUBDOMAIN)
        return "must be no more than 253 bytes";
    if (!subdomain_shape(s, strlen(s)))
        return "must consist of lower case letters, digits, '-' or '.', and each part start and "
               "end with a letter or digit";
    return NULL;
}

const char *name_qualified_error(const char *s)
{
    if (!s)
        return "must not be empty";
    const char *slash = strchr(s, '/'), *name = slash ? slash + 1 : s;
    if (slash && strchr(name, '/'))
        return "must have at most one '/'";
    if (slash &&
        ((size_t)(slash - s) > LIMIT_DNS_SUBDOMAIN || !subdomain_shape(s, (size_t)(slash - s))))
        return "the part before '/' must be a DNS name in lower case, such as example.com";
    if (strlen(name) > LIMIT_DNS_LABEL)
        return "the name must be no more than 63 bytes";
    if (!qualified_shape(name, strlen(name)))
        return "the name must consist of letters, digits, '-', '_' or '.', and start and end with "
               "a letter or digit";
    return NULL;
}

const char *name_label_value_error(const char *s)
{
    if (!s)
        return "must be a string";
    if (strlen(s) > LIMIT_DNS_LABEL)
        return "must be no more than 63 bytes";
    if (*s && !qualified_shape(s, strlen(s)))
        return "must be empty or consist of letters, digits, '-', '_' or '.', and start and end "
               "with a letter or digit";
    return NULL;
}

bool name_is_dns_label(const char *s)
{
    return name_dns_label_error(s) == NULL;
}

bool name_is_dns_subdomain(const char *s)
{
    return name_dns_subdomain_error(s) == NULL;
}

bool name_is_qualified(const char *s)
{
    return name_qualified_error(s) == NULL;
}

bool name_is_label_value(const char *s)
{
    return name_label_value_error(s) == NULL;
}
