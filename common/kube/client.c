#include "kube/client.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/writer.h"
#include "kube/path.h"

/* Waits before the second and third attempt of a GET that got no answer. */
static const int64_t read_again_ms[] = {200, 1000};

struct kube_op {
    struct kube_client client;
    struct kube_answer answer;
    struct kube_request request; /* its strings are owned below */
    char *path, *body, *content_type, *accept;
    struct kube_call *call;
    struct timer timer;
    int64_t until_ms;
    size_t reads;
    bool token_tried, answered;
};

static void op_free(struct kube_op *op)
{
    timer_cancel(op->client.timers, &op->timer);
    free(op->path);
    free(op->body);
    free(op->content_type);
    free(op->accept);
    free(op);
}

static void op_answer(struct kube_op *op, const struct kube_response *r, struct kube_status *status)
{
    bool fine = status->err.kind == ERR_NONE;
    if (op->request.method == KUBE_GET && status->err.kind == ERR_AMBIGUOUS)
        status->err.kind = ERR_UNAVAILABLE;
    struct kube_reply reply = {.body = fine ? r->body : "",
                               .body_len = fine ? r->body_len : 0,
                               .status = *status,
                               .refusal = fine ? "" : r->body,
                               .warnings = r->warnings};
    op->answered = true;
    op->answer.done(op->answer.arg, &reply);
    op_free(op);
}

static void op_send(void *arg);

static void op_done(void *arg, const struct kube_response *r)
{
    struct kube_op *op = arg;
    struct kube_status status;
    int64_t now = clock_mono(op->client.clock);
    op->call = NULL;
    kube_status_decode(r, &status);
    if (status.err.kind == ERR_UNAUTHORIZED && !op->token_tried && now < op->until_ms) {
        op->token_tried = true;
        op_send(op);
        return;
    }
    bool lost = op->request.method == KUBE_GET && r->code == 0 &&
                status.err.kind == ERR_UNAVAILABLE && op->reads < ARRAY_LEN(read_again_ms);
    if (lost && now + read_again_ms[op->reads] < op->until_ms) {
        timer_arm(op->client.timers, &op->timer, now + read_again_ms[op->reads++]);
        return;
    }
    op_answer(op, r, &status);
}

static void op_send(void *arg)
{
    struct kube_op *op = arg;
    int64_t left = op->until_ms - clock_mono(op->client.clock);
    op->request.deadline_ms = left > 0 ? left : 1;
    op->call = kube_submit(op->client.transport, &op->request);
}

/* A path that cannot be written is answered as what it is, but from the loop. */
static void op_refuse(void *arg)
{
    struct kube_op *op = arg;
    struct kube_response r = {.body = ""};
    struct kube_status status;
    (void)err_set(&r.err, ERR_INVALID, "a name that cannot be part of a path");
    kube_status_decode(&r, &status);
    op_answer(op, &r, &status);
}

struct kube_op *kube_call_any(const struct kube_client *c, const struct kube_request *request,
                              struct kube_answer answer)
{
    struct kube_op *op = xcalloc(1, sizeof *op);
    bool sound = request->path && request->path[0] == '/';
    int64_t deadline = request->deadline_ms ? request->deadline_ms
                       : c->deadline_ms     ? c->deadline_ms
                                            : KUBE_CALL_DEADLINE_MS;
    assert(answer.done);
    op->client = *c;
    op->answer = answer;
    op->request = *request;
    op->path = xstrdup(request->path);
    op->content_type = xstrdup(request->content_type);
    op->accept = xstrdup(request->accept);
    op->body = request->body ? xstrndup(request->body, request->body_len) : NULL;
    op->request.path = op->path;
    op->request.content_type = op->content_type;
    op->request.accept = op->accept;
    op->request.body = op->body;
    op->request.on_data = NULL;
    op->request.on_done = op_done;
    op->request.arg = op;
    op->request.urgent |= c->urgent;
    if (!op->request.response_max)
        op->request.response_max = LIMIT_REPLY_BYTES;
    op->until_ms = clock_mono(c->clock) + deadline;
    timer_init(&op->timer, sound ? op_send : op_refuse, op);
    if (sound)
        op_send(op);
    else
        timer_arm(c->timers, &op->timer, clock_mono(c->clock));
    return op;
}

void kube_op_cancel(struct kube_op *op)
{
    if (!op || op->answered)
        return;
    kube_cancel(op->client.transport, op->call);
    op_free(op);
}

static struct kube_op *call(const struct kube_client *c, enum kube_method method,
                            const struct buf *path, const char *content_type, const char *json,
                            struct kube_answer answer)
{
    return kube_call_any(c,
                         &(struct kube_request){
                             .method = method,
                             .path = buf_ok(path) ? path->data : NULL,
                             .content_type = json ? content_type : NULL,
                             .body = json,
                             .body_len = json ? strlen(json) : 0,
                         },
                         answer);
}

static void object_path(struct buf *path, struct kube_ref ref)
{
    kube_path_kind(path, ref.kind, ref.ns, ref.name ? ref.name : "", ref.sub);
}

struct kube_op *kube_get(const struct kube_client *c, struct kube_ref ref,
                         struct kube_answer answer)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    object_path(&path, ref);
    return call(c, KUBE_GET, &path, NULL, NULL, answer);
}

struct kube_op *kube_create(const struct kube_client *c, struct kube_ref ref, const char *json,
                            bool dry_run, struct kube_answer answer)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    kube_path_kind(&path, ref.kind, ref.ns, NULL, NULL);
    kube_path_query(&path, "dryRun", dry_run ? "All" : NULL);
    kube_path_query(&path, "fieldManager", c->field_manager);
    return call(c, KUBE_POST, &path, "application/json", json, answer);
}

struct kube_op *kube_apply(const struct kube_client *c, struct kube_ref ref, const char *json,
                           bool force, struct kube_answer answer)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    assert(c->field_manager);
    object_path(&path, ref);
    kube_path_query(&path, "fieldManager", c->field_manager);
    kube_path_query(&path, "force", force ? "true" : "false");
    /* JSON is YAML. */
    return call(c, KUBE_PATCH, &path, "application/apply-patch+yaml", json, answer);
}

struct kube_op *kube_update(const struct kube_client *c, struct kube_ref ref, const char *json,
                            struct kube_answer answer)
{
    CLEANUP_BUF struct buf path = BUF_INIT(LIMIT_PATH_BYTES);
    object_path(&path, ref);
    kube_path_query(&path, "fieldManager", c->field_manager);
    return call(c, KUBE_PUT, &path, "application/json", json, answer);
}
