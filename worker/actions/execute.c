#include "actions/execute.h"

#include <assert.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "json/json.h"
#include "json/pick.h"
#include "json/writer.h"
#include "kube/path.h"
#include "kube/status.h"
#include "observe/pods_digest.h"
#include "observe/resources.h"
#include "wukong/api/spec.h"

struct metric metric_writes = {
    .name = "wukong_worker_writes_total",
    .help = "Requests sent that change something, by intent.",
    .kind = METRIC_COUNTER,
    .labels = {"intent"},
};

/* Objects in one answer to a list: each may be a third of a megabyte of somebody's annotations. */
#define LIST_PAGE "10"
/* For who needs no more of them (Kubernetes' API concepts, "Alternate representations"). */
#define METADATA_ONLY "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

static const struct verb_info {
    enum kube_method method;
    bool writes;  /* needs the lease */
    bool repeats; /* may be sent again at once after it worked: decide() asks only when it means it
                   */
    const char *content_type;
} verbs[INTENT_VERBS] = {
    [INTENT_READ] = {KUBE_GET, false, true, NULL},
    [INTENT_DRY_RUN] = {KUBE_POST, true, true, "application/json"},
    [INTENT_PROBE] = {KUBE_POST, false, true, "application/json"},
    [INTENT_CREATE] = {KUBE_POST, true, false, "application/json"},
    [INTENT_DELETE] = {KUBE_DELETE, true, false, "application/json"},
    [INTENT_PATCH] = {KUBE_PATCH, true, false, "application/merge-patch+json"},
    [INTENT_SUBRESOURCE] = {KUBE_PUT, true, true, "application/json"},
    [INTENT_LIST] = {KUBE_GET, false, true, NULL},
    [INTENT_PODS] = {KUBE_GET, false, true, NULL},
    [INTENT_EXPAND] = {KUBE_PUT, false, true, "application/json"},
    [INTENT_ASK] = {KUBE_POST, false, true, "application/json"},
    [INTENT_STATUS] = {KUBE_PATCH, true, true, "application/apply-patch+yaml"},
    [INTENT_FINALIZER] = {KUBE_PATCH, true, false, "application/apply-patch+yaml"},
    [INTENT_EVENT] = {KUBE_POST, true, false, "application/json"},
};

struct execution {
    struct execution *next,
        **back;               /* in executor.flying; back NULL: it is among another's joined */
    struct execution *joined; /* the same question of other owners; linked by next */
    char *question;           /* of a request whose answer is shared; else NULL */
    struct kube_op *op;
    struct executor *x;
    struct call_log *call_log;
    void *owner;
    unsigned *owner_flights;
    enum intent_verb verb;
    char *reads; /* READ of an object that is looked into: "VirtualMachine ns/name"; else NULL */
    bool copies; /* and of which others are made */
    const struct kube_kind *kind;
    char *object,
        *uid;        /* "namespace/name[/subresource]", and its UID where the request names one */
    int64_t sent_ms; /* monotonic */
    bool shows;      /* its answer is the object itself, as the owner knows it */
    bool keeps;      /* its answer is looked at */
    struct freeze_proof mark_done;
    struct call_key key;
    char texts[]; /* of the key */
};

static int64_t wall(const struct executor *x)
{
    return clock_wall(x->clock);
}

static void fail_slot(struct executor *x, struct call *c, enum err_kind kind, int code,
                      const char *reason, const char *message, int64_t retry_after_s)
{
    int64_t wait = CALL_BACKOFF_MS;
    for (unsigned i = 0; i < c->failures && wait < CALL_BACKOFF_MAX_MS; i++)
        wait *= 2;
    wait = rng_jitter(x->rng, wait < CALL_BACKOFF_MAX_MS ? wait : CALL_BACKOFF_MAX_MS, 50);
    if (wait < retry_after_s * 1000)
        wait = retry_after_s * 1000;
    c->state = CALL_FAILED;
    c->quota = false;
    c->failures++;
    c->kind = kind;
    c->code = code;
    c->done_ms = wall(x);
    c->done_mono_ms = clock_mono(x->clock);
    c->retry_ms = c->done_ms + wait;
    c->retry_mono_ms = c->done_mono_ms + wait;
    free(c->reason);
    free(c->message);
    c->reason = xstrdup(str_or(reason, ""));
    c->message = xstrdup(str_or(message, "no answer"));
}

static void ok_slot(struct executor *x, struct call *c, int code)
{
    c->state = CALL_OK;
    c->failures = 0;
    c->code = code;
    c->done_ms = wall(x);
    c->done_mono_ms = clock_mono(x->clock);
    free(c->reason);
    free(c->message);
    c->reason = c->message = NULL;
}

/* What a failed answer of this verb still means: an Event that exists was sent by an earlier life,
   what is gone already needs no deletion, and a probe has its answer. */
static bool as_good_as_done(enum intent_verb verb, enum err_kind kind)
{
    return ((verb == INTENT_EVENT || verb == INTENT_PROBE) && kind == ERR_EXISTS) ||
           (verb == INTENT_DELETE && kind == ERR_NOT_FOUND);
}

static void unlink_and_free(struct execution *e)
{
    if (e->back)
        *e->back = e->next;
    if (e->back && e->next)
        e->next->back = e->back;
    free(e->question);
    free(e->reads);
    free(e->object);
    free(e->uid);
    free(e);
}

void executor_cancel(struct executor *x)
{
    while (x->flying) {
        struct execution *e = x->flying;
        kube_op_cancel(e->op);
        while (e->joined) {
            struct execution *j = e->joined;
            e->joined = j->next;
            unlink_and_free(j);
        }
        unlink_and_free(e);
    }
    x->in_flight = 0;
    readings_release(&x->readings);
}

/* Whatever a user has put there, it is told by name, and costs this clone alone. What a copy is
   made of must not be changed on the way. */
static char *describe_unreadable(const struct execution *e, const struct kube_reply *reply)
{
    static const char *const copied[] = {"spec", "data"};
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_BUF struct buf part = BUF_INIT(reply->body_len + 64);
    struct err err = {0};
    if (!e->reads)
        return NULL;
    if (json_read(reply->body, reply->body_len, &tree, &err) < 0)
        return xasprintf("%s cannot be read: %s", e->reads, err.message);
    if (e->copies &&
        json_pick(reply->body, reply->body_len, copied, ARRAY_LEN(copied), &part, &err) == 0 &&
        json_is_odd(part.data, part.len))
        return xasprintf("%s cannot be copied: a text in it holds U+0000 or half a character",
                         e->reads);
    return NULL;
}

/* What is kept of an answer; NULL: nothing. */
static char *kept_body(const struct execution *e, const struct kube_reply *reply)
{
    if (reply->status.err.kind != ERR_NONE)
        return NULL;
    if (e->verb == INTENT_PODS)
        return pods_digest(reply->body, reply->body_len);
    return e->keeps ? xstrndup(reply->body, reply->body_len) : NULL;
}

/* The text at that path of the answer; NULL: none. */
static char *answered_text(const struct kube_reply *reply, const char *at)
{
    const char *const path[] = {at};
    CLEANUP_BUF struct buf part = BUF_INIT(reply->body_len + 64);
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    if (json_pick(reply->body, reply->body_len, path, 1, &part, &err) < 0 ||
        json_read(part.data, part.len, &tree, &err) < 0)
        return NULL;
    return xstrdup(json_str(tree, path[0]));
}

/* What the worker has done to the cluster, one line for each request that changes something,
   whatever came of it: the only trace where the API server keeps no audit log. */
static void log_write_ended(const struct execution *e, const struct kube_reply *reply)
{
    const struct kube_status *status = &reply->status;
    const char *name = NULL, *uid = NULL;
    if (!verbs[e->verb].writes || e->verb == INTENT_DRY_RUN)
        return;
    if (e->x->whose)
        e->x->whose(e->owner, &name, &uid);
    CLEANUP_FREE char *made =
        e->verb == INTENT_CREATE ? answered_text(reply, "metadata.uid") : NULL;
    log_event(LOG_INFO, "written", LOG_S("verb", intent_verb_names[e->verb]),
              LOG_S("resource", e->kind->resource), LOG_S("object", e->object),
              LOG_S("object_uid", str_or(e->uid, made)), LOG_S("wukong", name), LOG_S("uid", uid),
              LOG_I("code", status->code), LOG_S("error", status->reason),
              LOG_I("ms", clock_mono(e->x->clock) - e->sent_ms));
}

static void keep_body(const struct execution *e, struct call *c, char *body, size_t len)
{
    if (!e->question) {
        call_set_body(c, body, len);
        return;
    }
    /* Whoever joined shares the text of the one that asked, too. */
    const struct reading *r =
        e->back ? NULL : readings_find(&e->x->readings, e->question, e->sent_ms, c->done_mono_ms);
    struct shared_text *text = r && r->body ? r->body : shared_text_new(body, len);
    call_share_body(c, text);
    if (!r || text != r->body)
        shared_text_drop(text);
    free(body);
}

/* The owner may be gone when it has been told. */
static void settle_call(struct execution *e, const struct kube_reply *reply)
{
    struct executor *x = e->x;
    const struct kube_status *status = &reply->status;
    struct call *c = call_log_get(e->call_log, e->key);
    const char *written = NULL;
    x->in_flight--;
    (*e->owner_flights)--;
    log_write_ended(e, reply);
    CLEANUP_FREE char *strange =
        status->err.kind == ERR_NONE ? describe_unreadable(e, reply) : NULL;
    CLEANUP_FREE char *kept = kept_body(e, reply);
    if (strange) {
        fail_slot(x, c, ERR_INVALID, status->code, CALL_UNREADABLE, strange, 0);
    } else if (status->err.kind == ERR_NONE && e->verb == INTENT_PODS && !kept) {
        fail_slot(x, c, ERR_INVALID, status->code, "", "the list of Pods cannot be read", 0);
    } else if (status->err.kind == ERR_NONE || as_good_as_done(e->verb, status->err.kind)) {
        ok_slot(x, c, status->code);
        if (e->mark_done.kind)
            call_log_prove(e->call_log, e->mark_done)->done_mono_ms = c->done_mono_ms;
        if (kept) {
            size_t len = e->verb == INTENT_PODS ? strlen(kept) : reply->body_len;
            keep_body(e, c, TAKE(kept), len);
            free(c->version);
            c->version = e->reads ? answered_text(reply, "metadata.resourceVersion") : NULL;
        }
        if (e->shows)
            written = reply->body;
    } else {
        fail_slot(x, c, status->err.kind, status->code, status->reason, status->err.message,
                  status->retry_after_s);
        c->quota = status->quota;
        if (call_kinds[e->key.kind].urgent && c->retry_ms > c->done_ms + CALL_URGENT_MS) {
            c->retry_ms = c->done_ms + CALL_URGENT_MS;
            c->retry_mono_ms = c->done_mono_ms + CALL_URGENT_MS;
        }
    }
    if (e->question && e->back && (call_ok(c) ? c->shared != NULL : call_was_absent(c)))
        readings_keep(&x->readings, e->question, c, c->done_mono_ms);
    x->ended(x->arg, e->owner, written, written ? reply->body_len : 0);
    unlink_and_free(e);
}

static void execution_done(void *arg, const struct kube_reply *reply)
{
    struct execution *e = arg;
    struct execution *joined = e->joined;
    e->joined = NULL;
    settle_call(e, reply);
    while (joined) {
        struct execution *j = joined;
        joined = j->next;
        settle_call(j, reply);
    }
}

static bool may_send(const struct executor *x, const struct intent *i, const struct call *c)
{
    /* The wall clock may be set back by an hour. */
    int64_t now = clock_mono(x->clock);
    if (verbs[i->verb].writes && !x->may_write(x->arg))
        return false;
    if (!c || c->state == CALL_NONE)
        return true;
    if (c->state == CALL_FLYING)
        return false;
    if (c->state == CALL_FAILED)
        return now >= c->retry_mono_ms;
    if (i->verb == INTENT_EVENT)
        return false;
    return verbs[i->verb].repeats || now >= c->done_mono_ms + CALL_SETTLE_MS;
}

static void write_apply(struct json_writer *w, const struct intent *i)
{
    json_string(w, "apiVersion", WUKONG_API_VERSION);
    json_string(w, "kind", i->kind->kind);
    json_object(w, "metadata");
    json_string(w, "name", i->name);
    json_string(w, "namespace", i->ns);
    /* Without it an apply would bring back an object that was deleted meanwhile. */
    json_string(w, "uid", i->uid);
    json_string(w, "resourceVersion", i->version);
    if (i->verb == INTENT_FINALIZER) {
        json_array(w, "finalizers");
        if (!str_empty(i->body))
            json_string(w, NULL, i->body);
        json_end(w);
    }
    json_end(w);
    if (i->verb == INTENT_STATUS)
        json_raw(w, "status", i->body);
}

/* The body as it goes over the wire; false: as it stands in the intent. */
static bool wrap_body(const struct intent *i, struct buf *out)
{
    struct json_writer w = json_writer(out);
    if (i->verb != INTENT_STATUS && i->verb != INTENT_FINALIZER && i->verb != INTENT_DELETE)
        return false;
    json_object(&w, NULL);
    if (i->verb == INTENT_DELETE) {
        json_string(&w, "apiVersion", "v1");
        json_string(&w, "kind", "DeleteOptions");
        json_object(&w, "preconditions");
        json_string(&w, "uid", i->uid);
        json_end(&w);
        json_string(&w, "propagationPolicy", "Background");
    } else {
        write_apply(&w, i);
    }
    json_end(&w);
    return true;
}

static bool build_path(const struct executor *x, const struct intent *i, struct buf *path)
{
    bool collection = i->verb == INTENT_CREATE || i->verb == INTENT_DRY_RUN ||
                      i->verb == INTENT_EVENT || i->verb == INTENT_EXPAND ||
                      i->verb == INTENT_LIST || i->verb == INTENT_PODS || i->verb == INTENT_ASK ||
                      i->verb == INTENT_PROBE;
    const char *sub = i->verb == INTENT_STATUS ? "status" : i->sub;
    kube_path_resource(path, i->kind->group, kube_client_version(x->client, i->kind),
                       i->kind->resource, i->ns, collection ? NULL : i->name, sub);
    if (i->verb == INTENT_STATUS || i->verb == INTENT_FINALIZER) {
        /* One manager per subject: an apply gives up what the same manager applied before. */
        CLEANUP_FREE char *manager =
            xasprintf("%s-%s", x->field_manager, i->verb == INTENT_STATUS ? "status" : "finalizer");
        kube_path_query(path, "fieldManager", manager);
        kube_path_query(path, "force", "true");
    }
    if (i->verb == INTENT_DRY_RUN || i->verb == INTENT_PROBE)
        kube_path_query(path, "dryRun", "All");
    if (i->verb == INTENT_LIST) {
        CLEANUP_FREE char *selector =
            i->uid ? xasprintf("%s=%s%s%s", WUKONG_UID_LABEL, i->uid, i->selector ? "," : "",
                               str_or(i->selector, ""))
                   : xstrdup(str_or(i->selector, ""));
        kube_path_query(path, "labelSelector", selector);
        kube_path_query(path, "limit", LIST_PAGE);
        if (i->from)
            kube_path_query(path, "continue", i->from);
    }
    if (i->verb == INTENT_PODS) {
        CLEANUP_FREE char *limit = xasprintf("%u", i->limit);
        /* They have let go of their claims. */
        kube_path_query(path, "fieldSelector", "status.phase!=Succeeded,status.phase!=Failed");
        kube_path_query(path, "limit", limit);
        if (!str_empty(i->token))
            kube_path_query(path, "continue", i->token);
    }
    return buf_ok(path);
}

/* What must be known of the request when its answer comes. */
static struct execution *begin_execution(struct executor *x, const struct intent *i,
                                         struct call_log *call_log, void *owner,
                                         unsigned *owner_flights)
{
    struct execution *e = xcalloc(1, sizeof *e + call_key_room(&i->key));
    *e = (struct execution){.x = x,
                            .call_log = call_log,
                            .owner = owner,
                            .owner_flights = owner_flights,
                            .verb = i->verb,
                            .shows = i->verb == INTENT_STATUS || i->verb == INTENT_FINALIZER ||
                                     i->kind == &worker_kinds[KIND_WUKONG],
                            .keeps = i->keeps_answer || i->verb == INTENT_READ ||
                                     i->verb == INTENT_LIST || i->verb == INTENT_EXPAND ||
                                     i->verb == INTENT_ASK,
                            .mark_done = i->mark_done};
    e->key = call_key_store(&i->key, e->texts);
    e->kind = i->kind;
    e->object = xasprintf("%s%s%s%s%s", str_or(i->ns, ""), i->ns ? "/" : "", str_or(i->name, ""),
                          i->sub ? "/" : "", str_or(i->sub, ""));
    e->uid = xstrdup(i->uid);
    e->sent_ms = clock_mono(x->clock);
    bool looked_into = i->kind >= worker_kinds && i->kind < worker_kinds + ALL_KINDS;
    e->copies = i->kind == &worker_kinds[KIND_VM] || i->kind == &worker_kinds[KIND_VMI] ||
                i->kind == &worker_kinds[KIND_PVC] || i->kind == &worker_kinds[KIND_REVISION];
    if (i->verb == INTENT_READ && !e->shows && looked_into)
        e->reads = xasprintf("%s %s%s%s", i->kind->kind, str_or(i->ns, ""), i->ns ? "/" : "",
                             str_or(i->name, ""));
    x->in_flight++;
    (*owner_flights)++;
    return e;
}

static void take_off(struct executor *x, struct execution *e)
{
    e->next = x->flying;
    e->back = &x->flying;
    if (e->next)
        e->next->back = &e->next;
    x->flying = e;
}

static void mark_sent(struct executor *x, const struct intent *i, struct call_log *call_log)
{
    struct call *c = call_log_get(call_log, i->key);
    c->state = CALL_FLYING;
    c->sent_ms = wall(x);
    c->sent_mono_ms = clock_mono(x->clock);
    if (i->mark_sent.kind)
        call_log_prove(call_log, i->mark_sent)->sent_mono_ms = c->sent_mono_ms;
}

static char *question_of(const struct intent *i, const char *path)
{
    return i->shared ? xasprintf("%s\n%s", path, str_or(i->body, "")) : NULL;
}

/* True: another owner has asked the same, not before anything changed for this one, and knows the
   answer or will. */
static bool ask_beside(struct executor *x, const struct intent *i, const char *question,
                       struct call_log *call_log, void *owner, unsigned *owner_flights)
{
    const struct call *own = call_log_find(call_log, i->key);
    int64_t since = call_log->moved_mono_ms;
    if (own && own->sent_mono_ms >= since)
        since = own->sent_mono_ms + 1;
    const struct reading *r = readings_find(&x->readings, question, since, clock_mono(x->clock));
    if (r) {
        reading_give(r, call_log_get(call_log, i->key));
        x->ended(x->arg, owner, NULL, 0);
        return true;
    }
    for (struct execution *e = x->flying; e; e = e->next) {
        if (!str_eq(e->question, question) || e->sent_ms < since)
            continue;
        struct execution *j = begin_execution(x, i, call_log, owner, owner_flights);
        mark_sent(x, i, call_log);
        j->question = xstrdup(question);
        j->sent_ms = e->sent_ms;
        call_log_get(call_log, i->key)->sent_mono_ms = e->sent_ms;
        j->next = e->joined;
        e->joined = j;
        return true;
    }
    return false;
}

bool execute(struct executor *x, const struct intent *i, struct call_log *call_log, void *owner,
             unsigned *owner_flights)
{
    const struct verb_info *verb = &verbs[i->verb];
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    if (!may_send(x, i, call_log_find(call_log, i->key)))
        return false;
    bool wrapped = wrap_body(i, &body);
    if (!build_path(x, i, &path) || !buf_ok(&body)) {
        fail_slot(x, call_log_get(call_log, i->key), ERR_INTERNAL, 0, "TooLarge",
                  "the request is larger than it may be", 0);
        return false;
    }
    if (i->verb == INTENT_CREATE && !i->body)
        return false;
    CLEANUP_FREE char *question = question_of(i, path.data);
    if (question && ask_beside(x, i, question, call_log, owner, owner_flights))
        return true;
    if (x->may_spend && !x->may_spend(x->arg, owner, i))
        return false;
    struct execution *e = begin_execution(x, i, call_log, owner, owner_flights);
    e->question = TAKE(question);
    take_off(x, e);
    mark_sent(x, i, call_log);
    const char *text = wrapped ? body.data : i->body;
    struct kube_request request = {
        .method = verb->method,
        .path = path.data,
        .content_type = text ? verb->content_type : NULL,
        /* KubeVirt's subresources answer 406 to anything but this. */
        .accept = i->verb == INTENT_SUBRESOURCE ? "*/*"
                  : i->metadata_only            ? METADATA_ONLY
                                                : NULL,
        .body = text,
        .body_len = text ? strlen(text) : 0,
        .deadline_ms = i->timeout_ms ? i->timeout_ms : CALL_TIMEOUT_MS,
        .urgent = call_kinds[i->key.kind].urgent || i->urgent,
        .response_max = LIMIT_REPLY_BYTES,
    };
    if (verb->writes && i->verb != INTENT_DRY_RUN)
        x->writes++;
    if (verb->writes && i->verb != INTENT_DRY_RUN)
        metric_add(&metric_writes, 1, METRIC_LABELS(intent_verb_names[i->verb]));
    e->op = kube_call_any(x->client, &request, (struct kube_answer){execution_done, e});
    return true;
}
