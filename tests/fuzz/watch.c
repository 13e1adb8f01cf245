/*
 * Bytes of a server in random cuts, through the same code as in a reflector: watch lines to events
 * to objects in a store, list items likewise. The first two bytes choose the cuts. Beyond not
 * crashing: whatever the cuts, the same pieces come out, each within its limit.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/list_splitter.h"
#include "kube/status.h"
#include "kube/store.h"
#include "kube/watch_decoder.h"

#define PIECE_MAX 4000

static const struct kube_kind kind = {
    .group = "g",
    .version = "v1",
    .resource = "things",
    .kind = "Thing",
    .fields = {"spec", "status.phase", "metadata.annotations[a.b/c]"},
    .label_key = "l"};

struct sink {
    struct store *store; /* NULL: only count */
    uint64_t pieces, hash;
};

static bool same(const struct kube_object *a, const struct kube_object *b)
{
    bool equal = str_eq(a->ns, b->ns) && str_eq(a->name, b->name) && str_eq(a->uid, b->uid) &&
                 str_eq(a->resource_version, b->resource_version) && str_eq(a->label, b->label) &&
                 str_eq(a->owner_uid, b->owner_uid) && a->deleted_ms == b->deleted_ms;
    for (size_t i = 0; i < KUBE_FIELDS_MAX && kind.fields[i]; i++)
        equal = equal && str_eq(a->field[i], b->field[i]);
    return equal;
}

/* What a whole parse can read must be read, and as the same: an object that is refused is one that
   its owner can hide from us, and an object that is refused as a failure stops all others. */
static void compare(const char *text, size_t n, const struct kube_object *o)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct kube_object *whole = NULL;
    struct err err = {0};
    /* No server writes a member's name with escapes, and json_pick does not look for that. */
    if (memchr(text, '\\', n) || json_read(text, n, &tree, &err) != 0 ||
        kube_object_project(&kind, tree, &whole, &err) != 0)
        return;
    assert(o && !o->unreadable && same(o, whole));
    free(whole);
}

static struct kube_object *read_object(const char *text, size_t n)
{
    struct kube_object *o = NULL;
    struct err err = {0};
    if (kube_object_read(&kind, text, n, &o, &err) != 0)
        assert(err.kind != ERR_NONE && !o);
    else
        assert(*o->name && strlen(o->name) <= LIMIT_DNS_SUBDOMAIN);
    compare(text, n, o);
    return o;
}

static void note(struct sink *s, const char *text, size_t n)
{
    assert(n <= PIECE_MAX);
    s->pieces++;
    s->hash = s->hash * 31 + str_hash64(text, n);
}

static int on_line(void *arg, const char *line, size_t n, struct err *err)
{
    struct sink *s = arg;
    struct watch_event e = {0};
    note(s, line, n);
    if (!s->store || watch_event_read(line, n, &e, err) != 0)
        return 0;
    if (e.type == WATCH_ERROR) {
        struct kube_status status;
        CLEANUP_JSON cJSON *tree = NULL;
        if (json_read(e.object, e.len, &tree, err) == 0) {
            kube_status_from_tree(tree, &status);
            assert(status.err.kind != ERR_NONE);
        }
        return 0;
    }
    struct kube_object *o = read_object(e.object, e.len);
    if (o && e.type == WATCH_DELETED) {
        (void)store_remove(s->store, o->ns, o->name);
        free(o);
    } else if (o) {
        store_put(s->store, o);
    }
    return 0;
}

static int on_item(void *arg, const char *json, size_t n, struct err *err)
{
    struct sink *s = arg;
    (void)err;
    note(s, json, n);
    struct kube_object *o = s->store ? read_object(json, n) : NULL;
    if (o)
        store_put(s->store, o);
    return 0;
}

static size_t cut(struct rng *rng, size_t left)
{
    size_t piece = (size_t)rng_range(rng, 1, rng_chance(rng, 500) ? 8 : 2000);
    return piece < left ? piece : left;
}

static struct sink run_watch(const char *p, size_t n, struct rng *rng, struct store *store)
{
    struct sink s = {.store = store};
    struct watch_decoder d;
    struct err err = {0};
    watch_decoder_init(&d, PIECE_MAX);
    while (n > 0) {
        size_t piece = rng ? cut(rng, n) : n;
        if (watch_decoder_feed(&d, p, piece, on_line, &s, &err) != 0)
            break;
        p += piece;
        n -= piece;
    }
    watch_decoder_release(&d);
    return s;
}

static struct sink run_list(const char *p, size_t n, struct rng *rng, struct store *store)
{
    struct sink s = {.store = store};
    struct list_splitter l;
    CLEANUP_LIST_META struct list_meta meta = {0};
    struct err err = {0};
    bool fine = true;
    list_splitter_init(&l, PIECE_MAX);
    while (n > 0 && fine) {
        size_t piece = rng ? cut(rng, n) : n;
        fine = list_splitter_feed(&l, p, piece, on_item, &s, &err) == 0;
        p += piece;
        n -= piece;
    }
    if (fine && list_splitter_end(&l, &meta, &err) == 0) {
        assert(meta.resource_version && *meta.resource_version);
        s.hash = s.hash * 31 + 1;
    }
    list_splitter_release(&l);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct rng rng;
    const char *p = (const char *)data + 2;
    size_t n = size - 2;
    struct store *store = store_new(&kind);
    rng_seed(&rng, (uint64_t)data[0] << 8 | data[1]);
    struct sink a = run_watch(p, n, &rng, store), b = run_watch(p, n, NULL, NULL);
    assert(a.pieces == b.pieces && a.hash == b.hash);
    uint32_t generation = store_mark(store);
    struct sink c = run_list(p, n, &rng, store), d = run_list(p, n, NULL, NULL);
    assert(c.pieces == d.pieces && c.hash == d.hash);
    (void)store_sweep(store, (struct store_scope){0}, generation);
    store_free(store);
    return 0;
}
