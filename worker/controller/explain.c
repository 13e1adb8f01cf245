#include "controller/explain.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "controller/trace.h"
#include "json/json.h"
#include "observe/observe.h"

#define EXPLAIN_ARENA (32u * MIB)

/* What was saved, by kind. */
struct saved {
    const cJSON *unserved; /* names of kinds; NULL: all are served */
    struct kube_object **items;
    size_t count, cap;
};

static const struct kube_object *saved_get(void *arg, enum worker_kind kind, const char *ns,
                                           const char *name)
{
    const struct saved *s = arg;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i]->kind == &worker_kinds[kind] && str_eq(s->items[i]->name, name) &&
            str_eq(s->items[i]->ns, str_or(ns, "")))
            return s->items[i];
    return NULL;
}

static void saved_each(void *arg, enum worker_kind kind, const char *label,
                       bool (*visit)(void *visit_arg, const struct kube_object *o), void *visit_arg)
{
    const struct saved *s = arg;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i]->kind == &worker_kinds[kind] &&
            (!label || str_eq(s->items[i]->label, label)) && !visit(visit_arg, s->items[i]))
            return;
}

static bool saved_served(void *arg, enum worker_kind kind)
{
    const struct saved *s = arg;
    const cJSON *name;
    cJSON_ArrayForEach (name, s->unserved)
        if (cJSON_IsString(name) && str_eq(name->valuestring, worker_kinds[kind].kind))
            return false;
    return true;
}

static void saved_release(struct saved *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->items[i]);
    free(s->items);
}

/* Kinds that the worker does not look at are left out. */
static int save(struct saved *s, const cJSON *item, struct err *err)
{
    const char *version = str_or(json_str(item, "apiVersion"), ""), *slash = strchr(version, '/');
    size_t group = slash ? (size_t)(slash - version) : 0;
    for (size_t k = 0; k < WORKER_KINDS; k++) {
        const struct kube_kind *kind = &worker_kinds[k];
        if (!str_eq(json_str(item, "kind"), kind->kind) || strlen(kind->group) != group ||
            strncmp(kind->group, version, group) != 0)
            continue;
        if (s->count == s->cap) {
            s->cap = s->cap ? s->cap * 2 : 64;
            s->items = xrealloc(s->items, s->cap * sizeof(struct kube_object *));
        }
        if (kube_object_project(kind, item, &s->items[s->count], err) < 0)
            return -1;
        s->count++;
    }
    return 0;
}

static int explain_one(const struct saved *s, const struct kube_object *wukong, int64_t now_ms,
                       struct buf *out, struct err *err)
{
    const struct cache_reader caches = {saved_get, saved_each, saved_served, (void *)s};
    const struct observe_settings settings = {.unfreeze_timeout_ms = 60000};
    CLEANUP_FREE char *name = xasprintf("%s/%s", wukong->ns, wukong->name);
    CLEANUP_ARENA struct arena a;
    struct call_log call_log = {0};
    arena_init(&a, EXPLAIN_ARENA);
    struct clone_state v = {.arena = &a};
    int status =
        observe_clone(&v, &caches, wukong, &call_log, (struct now){now_ms, now_ms}, &settings, err);
    if (status == 0 && v.effective.is_clone) {
        struct decision d = {.intents = {.arena = &a}};
        clone_decide(&v, &d);
        trace_print(name, &v, &d, out);
    }
    clone_state_release(&v);
    call_log_release(&call_log);
    return status;
}

static int explain_all(const struct saved *s, int64_t now_ms, struct buf *out, struct err *err)
{
    size_t before = out->len;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i]->kind == &worker_kinds[KIND_WUKONG] &&
            explain_one(s, s->items[i], now_ms, out, err) < 0)
            return -1;
    if (out->len == before)
        return err_set(err, ERR_INVALID, "no Wukong with spec.cloneSource is among the items");
    return 0;
}

int explain_list(const char *text, size_t len, int64_t now_ms, struct buf *out, struct err *err)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct saved s = {0};
    const cJSON *item;
    int status = 0;
    if (json_read(text, len, &tree, err) < 0)
        return -1;
    if (!cJSON_IsArray(json_get(tree, "items")))
        return err_set(err, ERR_INVALID,
                       "this is no List: save one with kubectl get KINDS -n NAMESPACE -o json");
    (void)str_to_time_ms(json_str(tree, "now"), &now_ms);
    s.unserved = json_get(tree, "unserved");
    cJSON_ArrayForEach (item, json_get(tree, "items"))
        if (status == 0)
            status = save(&s, item, err);
    if (status == 0)
        status = explain_all(&s, now_ms, out, err);
    saved_release(&s);
    return status;
}

int explain_file(const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT(EXPLAIN_MAX);
    CLEANUP_BUF struct buf out = BUF_INIT(EXPLAIN_MAX);
    struct err err = {0};
    if (buf_read_file(&text, str_eq(path, "-") ? "/dev/stdin" : path, &err) < 0 ||
        explain_list(text.data, text.len, clock_wall(&clock_system), &out, &err) < 0) {
        (void)fprintf(stderr, "wukong-worker: --explain %s: %s\n", path, err.message);
        return 1;
    }
    (void)fputs(out.data, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
