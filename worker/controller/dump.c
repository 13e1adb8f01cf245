#include "controller/dump.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "observe/observe.h"

/* Room that is kept for the end of a list. */
#define DUMP_END (4u * KIB)
#define DUMP_ARENA (32u * MIB)

/* --- an object as the API server would show it --- */

/* The member of that path, "a.b[c.d]", without the "{}" or "[]" that says what it must be. Takes
   value over; nothing is done when a parent is no object. */
static void put_at(cJSON *tree, const char *path, cJSON *value)
{
    size_t end = strlen(path);
    if (str_ends(path, "{}") || str_ends(path, "[]"))
        end -= 2;
    for (size_t i = 0; tree && i < end;) {
        bool quoted = path[i] == '[';
        i += quoted;
        size_t n = strcspn(path + i, quoted ? "]" : ".[");
        n = n < end - i ? n : end - i;
        CLEANUP_FREE char *key = xstrndup(path + i, n);
        i += n + quoted;
        i += i < end && path[i] == '.';
        cJSON *next = cJSON_GetObjectItemCaseSensitive(tree, key);
        if (i >= end && !next && cJSON_IsObject(tree)) {
            (void)cJSON_AddItemToObject(tree, key, TAKE(value));
            break;
        }
        tree = next ? next : cJSON_IsObject(tree) ? cJSON_AddObjectToObject(tree, key) : NULL;
    }
    cJSON_Delete(value);
}

static void put_text(cJSON *tree, const char *path, const char *text)
{
    if (text)
        put_at(tree, path, cJSON_CreateString(text));
}

static void put_time(cJSON *tree, const char *path, int64_t unix_ms)
{
    char text[TIME_TEXT_MAX];
    if (!unix_ms)
        return;
    time_to_str(unix_ms, false, text);
    put_text(tree, path, text);
}

/* A field is a string, or the text of some JSON: whichever is read back as the same text. */
static void put_field(cJSON *tree, const char *path, const char *text)
{
    cJSON *value = NULL;
    if (!text)
        return;
    if ((*text == '{' || *text == '[') && json_read(text, strlen(text), &value, NULL) == 0) {
        CLEANUP_FREE char *again = json_print(value);
        if (str_eq(again, text)) {
            put_at(tree, path, value);
            return;
        }
    }
    cJSON_Delete(value);
    put_text(tree, path, text);
}

static cJSON *object_tree(const struct kube_object *o)
{
    const struct kube_kind *k = o->kind;
    cJSON *tree = cJSON_CreateObject();
    CLEANUP_FREE char *packed = kube_object_decompress(o);
    CLEANUP_FREE char *version = xasprintf("%s%s%s", k->group, *k->group ? "/" : "", k->version);
    put_text(tree, "apiVersion", version);
    put_text(tree, "kind", k->kind);
    put_text(tree, "metadata.name", o->name);
    put_text(tree, "metadata.namespace", *o->ns ? o->ns : NULL);
    put_text(tree, "metadata.uid", o->uid);
    put_text(tree, "metadata.resourceVersion", o->resource_version);
    if (o->generation)
        put_at(tree, "metadata.generation", cJSON_CreateNumber((double)o->generation));
    put_time(tree, "metadata.creationTimestamp", o->created_ms);
    put_time(tree, "metadata.deletionTimestamp", o->deleted_ms);
    if (o->owner_uid) {
        cJSON *owner = cJSON_CreateObject(), *owners = cJSON_CreateArray();
        put_text(owner, "kind", o->owner_kind);
        put_text(owner, "name", o->owner_name);
        put_text(owner, "uid", o->owner_uid);
        put_at(owner, "controller", cJSON_CreateTrue());
        (void)cJSON_AddItemToArray(owners, owner);
        put_at(tree, "metadata.ownerReferences", owners);
    }
    for (size_t i = 0; i < KUBE_FIELDS_MAX && k->fields[i]; i++)
        put_field(tree, k->fields[i], str_eq(k->fields[i], k->packed) ? packed : o->field[i]);
    if (o->label && k->label_path) {
        put_field(tree, k->label_path, o->label);
    } else if (o->label && k->label_key) {
        CLEANUP_FREE char *path = xasprintf("metadata.labels[%s]", k->label_key);
        put_text(tree, path, o->label);
    }
    return tree;
}

/* --- what a look reads --- */

struct reading {
    const struct cache_reader *caches;
    struct json_writer *w;
    const struct kube_object **seen;
    size_t count, cap;
    bool (*visit)(void *arg, const struct kube_object *o); /* of the look */
    void *visit_arg;
};

static void note_object(struct reading *r, const struct kube_object *o)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->seen[i] == o)
            return;
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->seen = xrealloc(r->seen, r->cap * sizeof(struct kube_object *));
    }
    r->seen[r->count++] = o;
    CLEANUP_JSON cJSON *tree = object_tree(o);
    json_tree(r->w, NULL, tree);
}

static const struct kube_object *noted_get(void *arg, enum worker_kind kind, const char *ns,
                                           const char *name)
{
    struct reading *r = arg;
    const struct kube_object *o = r->caches->get(r->caches->arg, kind, ns, name);
    if (o)
        note_object(r, o);
    return o;
}

static bool noted_visit(void *arg, const struct kube_object *o)
{
    struct reading *r = arg;
    note_object(r, o);
    return r->visit(r->visit_arg, o);
}

static void noted_each(void *arg, enum worker_kind kind, const char *label,
                       bool (*visit)(void *visit_arg, const struct kube_object *o), void *visit_arg)
{
    struct reading *r = arg;
    r->visit = visit;
    r->visit_arg = visit_arg;
    r->caches->each(r->caches->arg, kind, label, noted_visit, r);
}

static bool noted_served(void *arg, enum worker_kind kind)
{
    const struct reading *r = arg;
    return r->caches->served(r->caches->arg, kind);
}

static bool goes_on(void *arg, const struct kube_object *o)
{
    (void)arg, (void)o;
    return true;
}

/* With a memory of its own, as --explain has it: an empty one, which the look may fill. What it
   would look up once it knows the disks is there too: the classes and drivers of the cluster, and
   the Events of the claims. */
static void write_items(struct json_writer *w, const struct kube_object *wukong,
                        const struct cache_reader *caches, int64_t now_ms)
{
    static const enum worker_kind of_disks[] = {KIND_STORAGE_CLASS, KIND_SNAPSHOT_CLASS,
                                                KIND_CSI_DRIVER, KIND_STORAGE_PROFILE};
    struct reading r = {.caches = caches, .w = w};
    const struct cache_reader noted = {noted_get, noted_each, noted_served, &r};
    const struct observe_settings settings = {.unfreeze_timeout_ms = 60000};
    struct call_log call_log = {0};
    struct err err = {0};
    CLEANUP_ARENA struct arena a;
    arena_init_soft(&a, DUMP_ARENA);
    struct clone_state v = {.arena = &a};
    json_array(w, "items");
    note_object(&r, wukong);
    if (observe_clone(&v, &noted, wukong, &call_log, (struct now){now_ms, now_ms}, &settings,
                      &err) < 0)
        log_event(LOG_DEBUG, "this worker cannot read the Wukong, so its dump ends here",
                  LOG_S("error", err.message));
    for (size_t i = 0; i < ARRAY_LEN(of_disks); i++)
        noted.each(noted.arg, of_disks[i], NULL, goes_on, NULL);
    for (size_t i = 0; i < r.count; i++)
        if (r.seen[i]->kind == &worker_kinds[KIND_PVC])
            noted.each(noted.arg, KIND_CLAIM_EVENT, r.seen[i]->uid, goes_on, NULL);
    json_end(w);
    clone_state_release(&v);
    call_log_release(&call_log);
    free(r.seen);
}

/* --- rows --- */

static void write_calls(struct json_writer *w, const struct call_log *call_log)
{
    static const char *const states[] = {"none", "under way", "done", "failed"};
    json_array(w, "calls");
    for (const struct call *c = call_log->calls; c; c = c->next) {
        CLEANUP_BUF struct buf key = BUF_INIT(KIB);
        call_key_print(&c->key, &key);
        json_object(w, NULL);
        json_string(w, "key", str_or(key.data, ""));
        json_string(w, "state", states[c->state]);
        json_number(w, "code", c->code);
        json_number(w, "failures", c->failures);
        if (c->message)
            json_string(w, "message", c->message);
        json_end(w);
    }
    json_end(w);
}

/* all: with its calls. */
static void write_row(struct json_writer *w, const struct clone *c, bool all)
{
    json_object(w, NULL);
    json_string(w, "name", c->key);
    json_string(w, "uid", c->uid);
    json_string(w, "source", str_or(c->source, ""));
    json_string(w, "step", str_or(c->step.step, ""));
    json_boolean(w, "started", c->started);
    json_boolean(w, "final", c->final);
    json_boolean(w, "succeeded", c->succeeded);
    json_boolean(w, "holdsSlot", c->usage.holds);
    json_boolean(w, "owesThaw", c->owes_thaw);
    json_boolean(w, "statusInDoubt", c->announced.base != NULL);
    json_number(w, "requestsUnderWay", c->flights);
    if (all)
        write_calls(w, &c->call_log);
    json_end(w);
}

static void begin_list(struct json_writer *w, int64_t now_ms)
{
    char now[TIME_TEXT_MAX];
    time_to_str(now_ms, true, now);
    json_object(w, NULL);
    json_string(w, "kind", "List");
    json_string(w, "now", now);
}

void dump_clones(const struct clone_table *all, int64_t now_ms, struct buf *out)
{
    struct json_writer w = json_writer(out);
    int64_t left_out = 0;
    struct clone *c, *next;
    begin_list(&w, now_ms);
    json_array(&w, "clones");
    HASH_ITER (by_key, all->by_key, c, next) {
        if (c->is_clone && out->len + DUMP_END < out->max)
            write_row(&w, c, false);
        else
            left_out += c->is_clone;
    }
    json_end(&w);
    json_number(&w, "leftOut", left_out);
    json_end(&w);
}

void dump_clone(const struct clone *c, const struct kube_object *wukong,
                const struct cache_reader *caches, int64_t now_ms, struct buf *out)
{
    struct json_writer w = json_writer(out);
    begin_list(&w, now_ms);
    json_array(&w, "clones");
    if (c)
        write_row(&w, c, true);
    json_end(&w);
    json_array(&w, "unserved");
    for (size_t k = 0; k < WORKER_KINDS; k++)
        if (!caches->served(caches->arg, (enum worker_kind)k))
            json_string(&w, NULL, worker_kinds[k].kind);
    json_end(&w);
    write_items(&w, wukong, caches, now_ms);
    json_end(&w);
}
