#include "kube/event.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <uthash.h>

/* Calls for Events at one time: they must not crowd out what matters. */
#define CALLS_MAX 4
/* Answers that lead to another attempt for the same Event at once: EXISTS, NOT_FOUND. */
#define ATTEMPTS_MAX 3

static const struct kube_kind event_kind = {
    .group = "", .version = "v1", .resource = "events", .kind = "Event"};

/* How much one object may say: a token bucket. */
struct speaker {
    int64_t milli_tokens, at_ms;
    UT_hash_handle hh; /* in the order of last use */
    char uid[];
};

struct entry {
    struct event_recorder *owner;
    char *name, *ns, *message, *reason, *api_version, *kind, *object, *uid;
    bool cluster_scoped, warning, known, waiting, dirty;
    unsigned attempts;
    int64_t count, first_ms, last_ms;
    struct kube_op *op;
    struct entry *next; /* in the line of unsent ones */
    UT_hash_handle hh;  /* by name, in the order of last use */
};

struct event_recorder {
    struct kube_client client;
    char *component, *host;
    struct entry *entries, *first, *last;
    struct speaker *speakers;
    size_t waiting, calls;
    uint64_t dropped;
};

static void free_entry(struct event_recorder *r, struct entry *e)
{
    char *const owned[] = {e->name,        e->ns,   e->message, e->reason,
                           e->api_version, e->kind, e->object,  e->uid};
    HASH_DEL(r->entries, e);
    kube_op_cancel(e->op);
    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        free(owned[i]);
    free(e);
}

/* The least recently used one that is not on its way. */
static void forget_oldest(struct event_recorder *r)
{
    struct entry *e = r->entries;
    while (e && (e->op || e->waiting))
        e = e->hh.next;
    if (e)
        free_entry(r, e);
}

static struct entry *find_entry(struct event_recorder *r, const char *name)
{
    struct entry *e = NULL;
    HASH_FIND_STR(r->entries, name, e);
    if (e) { /* to the end of the order */
        HASH_DEL(r->entries, e);
        HASH_ADD_KEYPTR(hh, r->entries, e->name, strlen(e->name), e);
    }
    return e;
}

static void add_entry(struct event_recorder *r, struct entry *e)
{
    HASH_ADD_KEYPTR(hh, r->entries, e->name, strlen(e->name), e);
}

static size_t entry_count(const struct event_recorder *r)
{
    return HASH_COUNT(r->entries);
}

static struct speaker *find_speaker(struct event_recorder *r, const char *uid, int64_t now)
{
    struct speaker *s = NULL;
    size_t n = strlen(uid);
    HASH_FIND(hh, r->speakers, uid, n, s);
    if (s) {
        HASH_DEL(r->speakers, s);
    } else {
        s = xcalloc(1, sizeof *s + n + 1);
        memcpy(s->uid, uid, n);
        s->milli_tokens = EVENTS_BURST * INT64_C(1000);
        s->at_ms = now;
        if (HASH_COUNT(r->speakers) >= EVENTS_MAX) {
            struct speaker *oldest = r->speakers;
            HASH_DEL(r->speakers, oldest);
            free(oldest);
        }
    }
    HASH_ADD_KEYPTR(hh, r->speakers, s->uid, n, s);
    return s;
}

static void free_speakers(struct event_recorder *r)
{
    while (r->speakers) {
        struct speaker *s = r->speakers;
        HASH_DEL(r->speakers, s);
        free(s);
    }
}
#pragma GCC diagnostic pop

static bool may_speak(struct event_recorder *r, const char *uid, int64_t now)
{
    struct speaker *s = find_speaker(r, uid, now);
    int64_t earned = (now - s->at_ms) * 1000 / EVENTS_REFILL_MS;
    s->milli_tokens += earned;
    if (s->milli_tokens > EVENTS_BURST * INT64_C(1000))
        s->milli_tokens = EVENTS_BURST * INT64_C(1000);
    s->at_ms += earned * EVENTS_REFILL_MS / 1000; /* the rest of a token is kept */
    if (s->milli_tokens < 1000)
        return false;
    s->milli_tokens -= 1000;
    return true;
}

char *event_name(const struct event_about *about, bool warning, const char *reason,
                 const char *message)
{
    CLEANUP_FREE char *all =
        xasprintf("%s\n%d\n%s\n%s", str_or(about->uid, ""), warning, reason, message);
    /* ".", 16 digits */
    return xasprintf("%.*s.%016" PRIx64, LIMIT_DNS_SUBDOMAIN - 17, about->name,
                     str_hash64(all, strlen(all)));
}

/* --- Sending --- */

static void send_more(struct event_recorder *r);
static void send_entry(struct entry *e);

static char *create_body(const struct entry *e)
{
    struct event_recorder *r = e->owner;
    struct buf out = BUF_INIT(16 * KIB);
    struct json_writer w = json_writer(&out);
    char first[TIME_TEXT_MAX], last[TIME_TEXT_MAX];
    time_to_str(e->first_ms, false, first);
    time_to_str(e->last_ms, false, last);
    json_object(&w, NULL);
    json_string(&w, "apiVersion", "v1");
    json_string(&w, "kind", "Event");
    json_object(&w, "metadata");
    json_string(&w, "name", e->name);
    json_string(&w, "namespace", e->ns);
    json_end(&w);
    json_object(&w, "involvedObject");
    json_string(&w, "apiVersion", e->api_version);
    json_string(&w, "kind", e->kind);
    json_string(&w, "name", e->object);
    /* An Event about a cluster-scoped object lives in "default" but names no namespace. */
    json_string(&w, "namespace", e->cluster_scoped ? NULL : e->ns);
    json_string(&w, "uid", e->uid);
    json_end(&w);
    json_string(&w, "reason", e->reason);
    json_string(&w, "message", e->message);
    json_string(&w, "type", e->warning ? "Warning" : "Normal");
    json_string(&w, "firstTimestamp", first);
    json_string(&w, "lastTimestamp", last);
    json_number(&w, "count", e->count);
    json_object(&w, "source");
    json_string(&w, "component", r->component);
    json_string(&w, "host", r->host);
    json_end(&w);
    json_string(&w, "reportingComponent", r->component);
    json_string(&w, "reportingInstance", r->host);
    json_end(&w);
    return buf_take(&out);
}

static char *count_body(const struct entry *e)
{
    char last[TIME_TEXT_MAX];
    time_to_str(e->last_ms, false, last);
    return xasprintf("{\"count\":%" PRId64 ",\"lastTimestamp\":\"%s\"}", e->count, last);
}

static void stand_in_line(struct entry *e)
{
    struct event_recorder *r = e->owner;
    if (e->waiting)
        return;
    if (r->waiting >= EVENTS_WAITING_MAX) {
        r->dropped++;
        return;
    }
    e->waiting = true;
    e->next = NULL;
    *(r->last ? &r->last->next : &r->first) = e;
    r->last = e;
    r->waiting++;
}

static void call_ended(struct entry *e)
{
    struct event_recorder *r = e->owner;
    r->calls--;
    if (e->dirty) {
        e->dirty = false;
        e->attempts = 0;
        stand_in_line(e);
    }
    send_more(r);
}

static void on_found(void *arg, const struct kube_reply *reply)
{
    struct entry *e = arg;
    CLEANUP_JSON cJSON *tree = NULL;
    struct err ignored = {0};
    int64_t theirs = 0;
    e->op = NULL;
    if (reply->status.err.kind == ERR_NONE &&
        json_read(reply->body, reply->body_len, &tree, &ignored) == 0) {
        if (json_int(tree, "count", &theirs) && theirs > 0 && theirs < INT32_MAX / 2)
            e->count += theirs;
        e->known = true;
        send_entry(e);
        return;
    }
    e->owner->dropped++;
    call_ended(e);
}

static void on_sent(void *arg, const struct kube_reply *reply)
{
    struct entry *e = arg;
    struct event_recorder *r = e->owner;
    enum err_kind why = reply->status.err.kind;
    e->op = NULL;
    e->attempts++;
    if (why == ERR_EXISTS && e->attempts < ATTEMPTS_MAX) { /* a predecessor's, or our lost POST */
        struct kube_ref ref = {.kind = &event_kind, .ns = e->ns, .name = e->name};
        e->op = kube_get(&r->client, ref, (struct kube_answer){.done = on_found, .arg = e});
        return;
    }
    if (why == ERR_NOT_FOUND && e->known && e->attempts < ATTEMPTS_MAX) {
        /* It has outlived the server's --event-ttl: tell it anew. */
        e->known = false;
        e->count = 1;
        e->first_ms = e->last_ms;
        send_entry(e);
        return;
    }
    if (why == ERR_NONE)
        e->known = true;
    else
        r->dropped++;
    call_ended(e);
}

static void send_entry(struct entry *e)
{
    struct event_recorder *r = e->owner;
    struct kube_ref ref = {.kind = &event_kind, .ns = e->ns, .name = e->name};
    struct kube_answer answer = {.done = on_sent, .arg = e};
    CLEANUP_FREE char *body = e->known ? count_body(e) : create_body(e);
    e->op = e->known ? kube_patch(&r->client, ref, KUBE_PATCH_MERGE, body, answer)
                     : kube_create(&r->client, ref, body, false, answer);
}

static void send_more(struct event_recorder *r)
{
    while (r->first && r->calls < CALLS_MAX) {
        struct entry *e = r->first;
        r->first = e->next;
        if (!r->first)
            r->last = NULL;
        e->waiting = false;
        r->waiting--;
        r->calls++;
        e->attempts = 0;
        send_entry(e);
    }
}

/* --- Recording --- */

static struct entry *new_entry(struct event_recorder *r, const struct event_about *about,
                               bool warning, const char *reason, char *name, const char *message)
{
    if (entry_count(r) >= EVENTS_MAX)
        forget_oldest(r);
    struct entry *e = xcalloc(1, sizeof *e);
    e->owner = r;
    e->name = name;
    e->ns = xstrdup(str_or(about->ns, "default"));
    e->message = xstrdup(message);
    e->reason = xstrndup(reason, 128);
    e->api_version = xstrdup(about->api_version);
    e->kind = xstrdup(about->kind);
    e->object = xstrdup(about->name);
    e->uid = xstrdup(about->uid);
    e->warning = warning;
    e->cluster_scoped = str_empty(about->ns);
    add_entry(r, e);
    return e;
}

void event_record(struct event_recorder *r, const struct event_about *about, bool warning,
                  const char *reason, const char *format, ...)
{
    char message[EVENT_MESSAGE_MAX];
    int64_t now = clock_mono(r->client.clock);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    str_trim_utf8(message);
    if (!may_speak(r, str_or(about->uid, about->name), now)) {
        r->dropped++;
        return;
    }
    CLEANUP_FREE char *name = event_name(about, warning, reason, message);
    struct entry *e = find_entry(r, name);
    if (!e)
        e = new_entry(r, about, warning, reason, TAKE(name), message);
    e->count++;
    e->last_ms = clock_wall(r->client.clock);
    if (!e->first_ms)
        e->first_ms = e->last_ms;
    if (e->op)
        e->dirty = true;
    else
        stand_in_line(e);
    send_more(r);
}

struct event_recorder *event_recorder_new(const struct kube_client *client, const char *component,
                                          const char *host)
{
    struct event_recorder *r = xcalloc(1, sizeof *r);
    r->client = *client;
    r->component = xstrdup(component);
    r->host = xstrdup(host);
    return r;
}

void event_recorder_free(struct event_recorder *r)
{
    if (!r)
        return;
    while (r->entries)
        free_entry(r, r->entries);
    free_speakers(r);
    free(r->component);
    free(r->host);
    free(r);
}

uint64_t event_recorder_dropped(const struct event_recorder *r)
{
    return r->dropped;
}
