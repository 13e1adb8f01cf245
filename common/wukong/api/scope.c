#include "wukong/api/scope.h"

#include <string.h>

#include "apimachinery/dns_names.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

/* A namespace has 63 characters at most. */
#define NAMES_TEXT_MAX (SCOPE_NAMESPACES_MAX * 66)

static int add_namespace(struct scope *s, const char *name, size_t n, struct err *err)
{
    CLEANUP_FREE char *copy = xstrndup(name, n);
    if (!name_is_dns_label(copy))
        return err_set(err, ERR_INVALID, "\"%.80s\" is not the name of a namespace", copy);
    if (s->count && scope_covers(s, copy))
        return err_set(err, ERR_INVALID, "namespace \"%s\" is named twice", copy);
    if (s->count == SCOPE_NAMESPACES_MAX)
        return err_set(err, ERR_INVALID, "more than %d namespaces: serve all of them instead",
                       SCOPE_NAMESPACES_MAX);
    s->names[s->count++] = TAKE(copy);
    return 0;
}

int scope_parse(const char *names, struct scope *ret, struct err *err)
{
    *ret = (struct scope){0};
    if (str_empty(names))
        return 0;
    ret->names = xcalloc(SCOPE_NAMESPACES_MAX, sizeof *ret->names);
    for (;;) {
        size_t n = strcspn(names, ",");
        if (add_namespace(ret, names, n, err) < 0)
            return -1;
        if (!names[n])
            return 0;
        names += n + 1;
    }
}

void scope_copy(const struct scope *from, struct scope *ret)
{
    *ret = (struct scope){.count = from->count};
    if (from->count)
        ret->names = xcalloc(from->count, sizeof *ret->names);
    for (size_t i = 0; i < from->count; i++)
        ret->names[i] = xstrdup(from->names[i]);
}

void scope_release(struct scope *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->names[i]);
    free(s->names);
    *s = (struct scope){0};
}

bool scope_covers(const struct scope *s, const char *ns)
{
    for (size_t i = 0; i < s->count; i++)
        if (str_eq(s->names[i], ns))
            return true;
    return !s->count;
}

char *scope_refusal(const struct scope *s, const char *ns)
{
    CLEANUP_BUF struct buf list = BUF_INIT(NAMES_TEXT_MAX);
    for (size_t i = 0; i < s->count; i++)
        buf_addf(&list, "%s%s", i ? ", " : "", s->names[i]);
    return xasprintf("this installation of Wukong Clone serves the namespaces %s and not \"%s\" "
                     "(chart value watchNamespaces)",
                     str_or(list.data, ""), str_or(ns, ""));
}
