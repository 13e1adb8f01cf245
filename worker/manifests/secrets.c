/*
 * A clone from another namespace runs the software of the source's owner, under names that he
 * wrote: he could have any Secret and ServiceAccount token of the clone's namespace that he can
 * guess the name of. It gets those that the Wukong names (cloneSource.allowSecrets), and the rest
 * is left out. That is judged here, on what was captured: what the source's owner adds after the
 * Wukong was admitted is left out as well.
 */
#include "manifests/build.h"

#include <strings.h>

#include "base/str.h"
#include "wukong/source/dependencies.h"

/* A bound, not a rule: LIMIT_OBJECT_BYTES could name more, none does. */
#define DENIED_MAX 1024

struct denial {
    const struct manifest_build *b;
    struct dependency need; /* the first that is denied */
};

static int find_denied(void *arg, const struct dependency *need)
{
    struct denial *d = arg;
    if (!dependency_is_denied(need, &d->b->w->spec))
        return 0;
    d->need = *need;
    return 1;
}

static void remove_member(cJSON *item, const char *path)
{
    const char *dot = strrchr(path, '.');
    CLEANUP_FREE char *parent = xstrndup(path, dot ? (size_t)(dot - path) : 0);
    /* {"name": …} holds nothing else: the reference is its parent. */
    if (dot && str_eq(dot, ".name"))
        remove_member(item, parent);
    else
        tree_remove(dot ? tree_at(item, parent) : item, dot ? dot + 1 : path);
}

static void take_away(struct manifest_build *b, const struct dependency *need)
{
    char text[DEPENDENCY_DENIED_MAX];
    dependency_denied_text(need, text);
    build_warn(b, "%s", text);
    cJSON *list = need->list ? tree_at(b->instance, need->list) : NULL;
    cJSON *item = (cJSON *)need->item;
    if (need->loss == LOSES_MEMBER)
        remove_member(item, need->path);
    else if (str_eq(need->list, "volumes"))
        build_drop_volume(b, list, item);
    else
        cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
}

int build_secrets(struct manifest_build *b, struct err *err)
{
    struct denial d = {.b = b};
    if (!b->r->effective->cross_namespace)
        return 0;
    for (int i = 0; dependencies_each(b->instance, b->w->ns, find_denied, &d) != 0; i++) {
        if (i == DENIED_MAX)
            return err_set(err, ERR_LIMIT, "the source names more than %d Secrets", DENIED_MAX);
        take_away(b, &d.need);
    }
    return 0;
}

/* --- The last look --- */

/* Where the machine names Secrets, as far as it is known: what target.references has put there it
   may have there, and nowhere else. */
struct secrets_audit {
    const struct manifest_build *b;
    const cJSON *places[DENIED_MAX];
    size_t count;
};

static int note_place(void *arg, const struct dependency *need)
{
    struct secrets_audit *a = arg;
    if (str_eq(need->kind, reference_kind_names[REFERENCE_SECRET]) && a->count < DENIED_MAX)
        a->places[a->count++] = json_at(need->item, need->path);
    return 0;
}

static bool was_renamed(const struct secrets_audit *a, const cJSON *node)
{
    const struct wukong_target *t = &a->b->w->spec.target;
    bool known = false, named = false;
    for (size_t i = 0; i < a->count; i++)
        known |= a->places[i] == node;
    for (size_t i = 0; i < t->reference_count; i++)
        named |= t->references[i].kind == REFERENCE_SECRET &&
                 str_eq(t->references[i].to, node->valuestring);
    return known && named;
}

static bool names_secret(const char *key)
{
    return key && (strcasestr(key, "secret") || strcasestr(key, "serviceaccount"));
}

/* Keys of these are free text, and none of them reaches the guest. */
static bool is_placement(const char *key)
{
    static const char *const members[] = {"metadata", "nodeSelector", "affinity", "tolerations",
                                          "topologySpreadConstraints"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (str_eq(key, members[i]))
            return true;
    return false;
}

static bool is_allowed(const struct secrets_audit *a, const cJSON *node)
{
    const struct manifest_build *b = a->b;
    const char *name = node->valuestring;
    const struct wukong_guest *g = &b->w->spec.guest;
    return str_empty(name) || str_eq(name, b->w->spec.ssh_key_secret) ||
           str_eq(name, g->user_data_secret) || str_eq(name, g->network_data_secret) ||
           wukong_allows_secret(&b->w->spec.source, name) || was_renamed(a, node);
}

/* holder: the nearest key above. */
static int audit_secrets(const struct secrets_audit *a, const cJSON *node, const char *holder,
                         int depth, struct err *err)
{
    for (const cJSON *m = node->child; m; m = m->next) {
        const char *key = m->string ? m->string : holder;
        bool reference = names_secret(m->string) || (!m->string && names_secret(holder)) ||
                         (str_eq(m->string, "name") && names_secret(holder));
        if (is_placement(m->string))
            continue;
        if (reference && cJSON_IsString(m) && !is_allowed(a, m))
            return err_set(err, ERR_REFUSED,
                           "the source names \"%.100s\" in %.63s, and this version of Wukong does "
                           "not know that field: remove it from the source, or name it in "
                           "cloneSource.allowSecrets",
                           m->valuestring, key);
        if (depth == LIMIT_JSON_DEPTH)
            return err_set(err, ERR_LIMIT, "the source spec is nested deeper than %d levels",
                           LIMIT_JSON_DEPTH);
        if (audit_secrets(a, m, key, depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

int build_audit_secrets(const struct manifest_build *b, struct err *err)
{
    if (!b->r->effective->cross_namespace)
        return 0;
    struct secrets_audit *a = xcalloc(1, sizeof *a);
    a->b = b;
    (void)dependencies_each(b->instance, b->w->ns, note_place, a);
    int status = audit_secrets(a, b->instance, NULL, 0, err);
    free(a);
    return status;
}
