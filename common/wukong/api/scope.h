/*
 * struct scope: the namespaces that an installation serves: all of them, or some that its rights
 * are limited to (chart value watchNamespaces). Pure.
 */
#ifndef API_SCOPE_H
#define API_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Each has a dozen watches of its own, and a connection for each of them. */
#define SCOPE_NAMESPACES_MAX 32

struct scope {
    char **names; /* in the order given */
    size_t count; /* 0: all namespaces */
};

/* names: "a,b"; NULL or "": all. ERR_INVALID for what is no namespace's name, for a name that comes
   twice, and for more than SCOPE_NAMESPACES_MAX. To be released either way. */
WUKONG_CHECK int scope_parse(const char *names, struct scope *ret, struct err *err);
void scope_copy(const struct scope *from, struct scope *ret);
void scope_release(struct scope *s);
bool scope_covers(const struct scope *s, const char *ns);
/* Why nothing is done for a clone that needs this namespace; free it. */
char *scope_refusal(const struct scope *s, const char *ns);

#endif
