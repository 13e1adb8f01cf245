/* The shell of the reflector: carries actions out; every decision is reflector_step's. */
#include "kube/reflector.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/list_splitter.h"
#include "kube/metrics.h"
#include "kube/path.h"
#include "kube/status.h"
#include "kube/watch_decoder.h"

/* Of a refusal; a Status with its causes. */
#define API_ERROR_BYTES (64 * KIB)

struct reflector {
    struct reflector_options o;
    char *ns, *name;
    uint32_t generation; /* the store's, of the list under way */
    struct reflector_state state;
    struct timer timer;
    struct kube_call *call;
    struct watch_decoder decoder;
    struct list_splitter splitter;
    struct reflector_input failure; /* why we ended the stream ourselves; kind FAILED if so */
    struct err failure_err;
    int64_t heard_ms;
    bool older; /* the kind is asked for in its older version */
    bool tried; /* and has not been served in the other since the last wait */
};

static void feed(struct reflector *r, const struct reflector_input *input);

static int64_t now_ms(const struct reflector *r)
{
    return clock_mono(r->o.clock);
}

static void feed_failure(struct reflector *r, const struct kube_status *status)
{
    if (r->o.failed)
        r->o.failed(r->o.arg, store_kind(r->o.store), &status->err);
    bool other = status->unserved && store_kind(r->o.store)->older_version && !r->tried &&
                 r->state.phase == REFLECTOR_LISTING;
    r->older ^= other;
    r->tried |= other;
    feed(r, &(struct reflector_input){.kind = REFLECTOR_FAILED,
                                      .why = status->err.kind,
                                      .retry_after_s = status->retry_after_s,
                                      .unserved = status->unserved,
                                      .other_version = other,
                                      .behind = status->too_large_rv});
}

/* Keeps why the stream is to be ended; on_done passes it on. */
static int give_up(struct reflector *r, const struct kube_status *status)
{
    r->failure = (struct reflector_input){
        .kind = REFLECTOR_FAILED, .why = status->err.kind, .retry_after_s = status->retry_after_s};
    r->failure_err = status->err;
    return -1;
}

/* What ended a stream: our own refusal of its content, or the response. */
static void stream_failed(struct reflector *r, const struct kube_response *response)
{
    struct kube_status status = {0};
    if (r->failure.kind == REFLECTOR_FAILED) {
        status.err = r->failure_err;
        status.retry_after_s = r->failure.retry_after_s;
    } else {
        kube_status_decode(response, &status);
        if (status.err.kind == ERR_NONE)
            (void)err_set(&status.err, ERR_UNAVAILABLE, "the stream was cut");
    }
    feed_failure(r, &status);
}

/* --- Lists --- */

/* One object that cannot be read is no failure of the stream: whoever may write one would else hide
   all others. NULL when not even its name is known; then it is only told. */
static struct kube_object *read_object(struct reflector *r, const char *json, size_t n)
{
    struct kube_object *o = NULL;
    struct err err = {0};
    if (kube_object_read(store_kind(r->o.store), json, n, &o, &err) == 0)
        return o;
    if (r->o.unreadable)
        r->o.unreadable(r->o.arg, store_kind(r->o.store), "", "", err.message);
    return NULL;
}

static void put(struct reflector *r, struct kube_object *o)
{
    if (o->unreadable && r->o.unreadable && store_is_news(r->o.store, o))
        r->o.unreadable(r->o.arg, o->kind, o->ns, o->name, o->unreadable);
    store_put(r->o.store, o);
}

static int list_item(void *arg, const char *json, size_t n, struct err *err)
{
    struct reflector *r = arg;
    (void)err;
    struct kube_object *o = read_object(r, json, n);
    if (o)
        put(r, o);
    return 0;
}

static int list_data(void *arg, const char *bytes, size_t n)
{
    struct reflector *r = arg;
    struct kube_status status = {0};
    if (list_splitter_feed(&r->splitter, bytes, n, list_item, r, &status.err) != 0)
        return give_up(r, &status);
    return 0;
}

static void list_done(void *arg, const struct kube_response *response)
{
    struct reflector *r = arg;
    CLEANUP_LIST_META struct list_meta meta = {0};
    struct kube_status status = {0};
    r->call = NULL;
    bool fine = response->code / 100 == 2 && response->err.kind == ERR_NONE &&
                r->failure.kind != REFLECTOR_FAILED;
    if (!fine) {
        stream_failed(r, response);
        return;
    }
    if (list_splitter_end(&r->splitter, &meta, &status.err) != 0) {
        feed_failure(r, &status);
        return;
    }
    feed(r, &(struct reflector_input){.kind = REFLECTOR_PAGE_IN,
                                      .version = meta.resource_version,
                                      .token = meta.continue_token});
}

/* --- Watches --- */

static int watch_error(struct reflector *r, const struct watch_event *e, struct err *err)
{
    struct kube_status status = {0};
    CLEANUP_JSON cJSON *tree = NULL;
    if (json_read(e->object, e->len, &tree, err) != 0)
        return -1;
    kube_status_from_tree(tree, &status);
    *err = status.err;
    return give_up(r, &status);
}

static void feed_version(struct reflector *r, const char *version)
{
    feed(r, &(struct reflector_input){.kind = REFLECTOR_EVENT, .version = version});
}

static int bookmark(struct reflector *r, const struct watch_event *e, struct err *err)
{
    CLEANUP_JSON cJSON *tree = NULL;
    if (json_read(e->object, e->len, &tree, err) != 0)
        return -1;
    feed_version(r, json_str(tree, "metadata.resourceVersion"));
    return 0;
}

static int watch_line(void *arg, const char *line, size_t n, struct err *err)
{
    struct reflector *r = arg;
    struct watch_event e = {0};
    if (watch_event_read(line, n, &e, err) != 0)
        return -1;
    if (e.type == WATCH_ERROR)
        return watch_error(r, &e, err);
    if (e.type == WATCH_BOOKMARK)
        return bookmark(r, &e, err);
    struct kube_object *o = read_object(r, e.object, e.len);
    CLEANUP_FREE char *version = o ? xstrdup(o->resource_version) : NULL;
    if (o && e.type == WATCH_DELETED) {
        (void)store_remove(r->o.store, o->ns, o->name);
        free(o);
    } else if (o) {
        put(r, o);
    }
    feed_version(r, version);
    return 0;
}

static int watch_data(void *arg, const char *bytes, size_t n)
{
    struct reflector *r = arg;
    struct kube_status status = {0};
    if (watch_decoder_feed(&r->decoder, bytes, n, watch_line, r, &status.err) != 0)
        return r->failure.kind == REFLECTOR_FAILED ? -1 : give_up(r, &status);
    return 0;
}

static void watch_done(void *arg, const struct kube_response *response)
{
    struct reflector *r = arg;
    r->call = NULL;
    bool fine = response->code / 100 == 2 && response->err.kind == ERR_NONE &&
                r->failure.kind != REFLECTOR_FAILED && r->decoder.line.len == 0;
    if (fine) {
        feed(r, &(struct reflector_input){.kind = REFLECTOR_ENDED});
    } else {
        stream_failed(r, response);
    }
}

/* --- Actions --- */

static void send_action(struct reflector *r, const struct reflector_action *a)
{
    const struct kube_kind *kind = store_kind(r->o.store);
    bool watch = a->kind == REFLECTOR_DO_WATCH;
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_resource(&path, kind->group, reflector_version(r), kind->resource, r->ns, NULL, NULL);
    kube_path_query(&path, "labelSelector", kind->label_selector);
    assert(!kind->field_selector || !r->name);
    CLEANUP_FREE char *named = r->name ? xasprintf("metadata.name=%s", r->name) : NULL;
    kube_path_query(&path, "fieldSelector", named ? named : kind->field_selector);
    kube_path_query(&path, "resourceVersion", a->version);
    /* With a limit beside it a version alone means exactly that version (API concepts, "the
       resourceVersion parameter"): a relist would bring back the past, and the next watch would
       fail as the last one did. */
    if (!watch && a->version)
        kube_path_query(&path, "resourceVersionMatch", "NotOlderThan");
    if (watch) {
        kube_path_query(&path, "watch", "true");
        kube_path_query(&path, "allowWatchBookmarks", "true");
        kube_path_query_int(&path, "timeoutSeconds", a->timeout_s);
    } else {
        if (a->limit)
            kube_path_query_int(&path, "limit", a->limit);
        kube_path_query(&path, "continue", a->token);
    }
    /* Kinds are static and tokens are bounded by the state. */
    assert(buf_ok(&path));
    r->failure = (struct reflector_input){.kind = REFLECTOR_BEGIN};
    watch_decoder_reset(&r->decoder);
    list_splitter_reset(&r->splitter);
    if (!watch && !a->token)
        metric_add(&kube_metric_relists, 1, METRIC_LABELS(kind->resource));
    r->call = kube_submit(
        r->o.transport,
        &(struct kube_request){
            .method = KUBE_GET,
            .path = path.data,
            .deadline_ms = watch ? a->timeout_s * INT64_C(1000) + REFLECTOR_WATCH_GRACE_MS
                                 : REFLECTOR_LIST_DEADLINE_MS,
            .idle_ms = watch && !kind->no_bookmarks ? REFLECTOR_IDLE_MS : 0,
            .response_max = API_ERROR_BYTES,
            .on_data = watch ? watch_data : list_data,
            .on_done = watch ? watch_done : list_done,
            .arg = r,
        });
}

static void act(struct reflector *r, const struct reflector_action *a)
{
    switch (a->kind) {
    case REFLECTOR_DO_MARK:
        r->generation = store_mark(r->o.store);
        break;
    case REFLECTOR_DO_SWEEP:
        (void)store_sweep(r->o.store, (struct store_scope){r->ns, r->name}, r->generation);
        break;
    case REFLECTOR_DO_LIST:
    case REFLECTOR_DO_WATCH:
        assert(!r->call);
        send_action(r, a);
        break;
    case REFLECTOR_DO_WAIT:
        timer_arm(r->o.timers, &r->timer, now_ms(r) + a->delay_ms);
        break;
    }
}

static void feed(struct reflector *r, const struct reflector_input *input)
{
    bool synced = r->state.synced, served = r->state.served;
    /* Bytes of a stream that fails over and over are no news. */
    if (input->kind == REFLECTOR_PAGE_IN || input->kind == REFLECTOR_EVENT ||
        input->kind == REFLECTOR_ENDED || (input->kind == REFLECTOR_FAILED && input->unserved))
        r->heard_ms = now_ms(r);
    if (input->kind == REFLECTOR_PAGE_IN || input->kind == REFLECTOR_DUE)
        r->tried = false;
    struct reflector_actions actions = reflector_step(&r->state, r->o.rng, input, now_ms(r));
    for (size_t i = 0; i < actions.count; i++)
        act(r, &actions.items[i]);
    if (r->o.turned && (synced != r->state.synced || served != r->state.served))
        r->o.turned(r->o.arg);
}

static void on_timer_due(void *arg)
{
    feed(arg, &(struct reflector_input){.kind = REFLECTOR_DUE});
}

struct reflector *reflector_new(const struct reflector_options *options)
{
    struct reflector *r = xcalloc(1, sizeof *r);
    r->o = *options;
    r->ns = xstrdup(options->ns);
    r->name = xstrdup(options->name);
    reflector_state_init(&r->state);
    timer_init(&r->timer, on_timer_due, r);
    watch_decoder_init(&r->decoder, LIMIT_WATCH_LINE_BYTES);
    list_splitter_init(&r->splitter, LIMIT_OBJECT_BYTES);
    return r;
}

void reflector_free(struct reflector *r)
{
    if (!r)
        return;
    kube_cancel(r->o.transport, r->call);
    timer_cancel(r->o.timers, &r->timer);
    watch_decoder_release(&r->decoder);
    list_splitter_release(&r->splitter);
    free(r->ns);
    free(r->name);
    free(r);
}

void reflector_start(struct reflector *r)
{
    feed(r, &(struct reflector_input){.kind = REFLECTOR_BEGIN});
}

void reflector_refresh(struct reflector *r)
{
    if (r->state.phase == REFLECTOR_NEW)
        return;
    kube_cancel(r->o.transport, r->call);
    r->call = NULL;
    timer_cancel(r->o.timers, &r->timer);
    feed(r, &(struct reflector_input){.kind = REFLECTOR_REFRESH});
}

bool reflector_synced(const struct reflector *r)
{
    return r->state.synced;
}

bool reflector_served(const struct reflector *r)
{
    return r->state.served;
}

const char *reflector_version(const struct reflector *r)
{
    const struct kube_kind *kind = store_kind(r->o.store);
    return r->older ? kind->older_version : kind->version;
}

int64_t reflector_heard_ms(const struct reflector *r)
{
    return r->heard_ms;
}

const struct reflector_state *reflector_state_of(const struct reflector *r)
{
    return &r->state;
}
