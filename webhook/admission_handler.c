#include "webhook/admission_handler.h"

#include <assert.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "webhook/admission.h"
#include "webhook/admission_review.h"
#include "webhook/metrics.h"

/* Rounds of lookups: rights, source, claims and classes, live lists; and some air. */
#define ROUNDS_MAX 8

struct sent_lookup {
    struct job *job;
    struct lookup *lookup;
    struct kube_op *op;
};

struct job {
    struct admission_handler *admission_handler;
    struct server_request *request;
    struct admission_context context;
    struct admission_review review; /* read once, however many rounds of lookups follow */
    struct lookups lookups;
    struct sent_lookup sent[LOOKUPS_SENT_MAX];
    size_t sent_count, open_count;
    unsigned rounds;
    struct timer timer;
    int64_t began_ms, deadline_ms;
};

struct admission_handler {
    struct admission_handler_options o;
};

static int64_t now_mono(const struct admission_handler *r)
{
    return clock_mono(r->o.client->clock);
}

static void answer_text(struct server_request *request, int code, const char *text,
                        unsigned retry_after_s)
{
    char *body = xasprintf("%s\n", text);
    server_answer(request, (struct server_answer){.code = code,
                                                  .body = body,
                                                  .len = strlen(body),
                                                  .retry_after_s = retry_after_s});
}

/* --- One review ------------------------------------------------------------------------------ */

static void job_free(struct job *j)
{
    timer_cancel(j->admission_handler->o.client->timers, &j->timer);
    for (size_t i = 0; i < j->sent_count; i++)
        kube_op_cancel(j->sent[i].op);
    lookups_release(&j->lookups);
    admission_review_release(&j->review);
    free(j);
}

static void log_result(const struct job *j, const struct admission_result *r)
{
    enum log_level level =
        r->verdict == VERDICT_MALFORMED || r->verdict == VERDICT_UNDECIDED ? LOG_WARN : LOG_INFO;
    log_event(level, "admission judged", LOG_S("wukong", r->log_name), LOG_S("uid", r->uid),
              LOG_S("user", r->user), LOG_S("source", r->source), LOG_S("policies", r->policies),
              LOG_S("verdict", admission_verdict_names[r->verdict]), LOG_S("reason", r->reason),
              LOG_S("operation", r->operation),
              LOG_S("endpoint", j->context.endpoint == ADMISSION_MUTATE ? "mutate" : "validate"),
              LOG_I("looks", j->lookups.count),
              LOG_I("ms", now_mono(j->admission_handler) - j->began_ms));
}

static void job_answer(struct job *j, const struct admission_result *r, struct buf *out)
{
    bool malformed = r->verdict == VERDICT_MALFORMED;
    webhook_count_review(j->context.endpoint == ADMISSION_MUTATE ? "mutate" : "validate",
                         r->operation, admission_verdict_names[r->verdict], r->reason,
                         (double)(now_mono(j->admission_handler) - j->began_ms) / 1000,
                         j->lookups.count != 0);
    log_result(j, r);
    size_t len = out->len;
    struct server_answer a = {.code = malformed ? 400 : 200,
                              .content_type = malformed ? NULL : "application/json",
                              .body = buf_take(out),
                              .len = len};
    struct server_request *request = j->request;
    job_free(j);
    server_answer(request, a);
}

static void job_judge(struct job *j);

static void on_lookup(void *arg, const struct kube_reply *reply)
{
    struct sent_lookup *s = arg;
    struct job *j = s->job;
    s->op = NULL;
    j->open_count--;
    bool good = reply->status.err.kind == ERR_NONE;
    webhook_count_lookup(lookup_kind_names[s->lookup->kind], reply->status.code);
    lookup_answered(s->lookup, reply->status.code, good ? xstrdup(reply->body) : NULL);
    if (s->lookup->kind == LOOKUP_CDI)
        class_cache_see_cdi(j->admission_handler->o.class_cache, reply->status.code);
    if (j->open_count == 0)
        job_judge(j);
}

static void send_lookup(struct job *j, struct lookup *k)
{
    struct sent_lookup *s = &j->sent[j->sent_count++];
    *s = (struct sent_lookup){.job = j, .lookup = k};
    k->sent = true;
    j->open_count++;
    int64_t left_ms = j->deadline_ms - now_mono(j->admission_handler);
    struct kube_request request = {.method = k->body ? KUBE_POST : KUBE_GET,
                                   .path = k->path,
                                   .content_type = k->body ? "application/json" : NULL,
                                   .body = k->body,
                                   .body_len = k->body ? strlen(k->body) : 0,
                                   .deadline_ms = left_ms > 1 ? left_ms : 1,
                                   .response_max = LIMIT_REPLY_BYTES};
    s->op =
        kube_call_any(j->admission_handler->o.client, &request, (struct kube_answer){on_lookup, s});
}

static void job_judge(struct job *j)
{
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_REPLY_BYTES);
    /* By the clock that dates the object: a stamp is good around its creation. */
    j->context.now_ms =
        clock_wall(j->admission_handler->o.client->clock) - skew_ms(j->admission_handler->o.skew);
    j->context.classes = class_cache_classes(j->admission_handler->o.class_cache);
    j->context.cdi_known = class_cache_cdi_known(j->admission_handler->o.class_cache);
    j->context.policies =
        class_cache_policies(j->admission_handler->o.class_cache, &j->context.policy_count,
                             &j->context.policies_incomplete);
    j->context.stamp_key = keeper_stamp_key(j->admission_handler->o.keeper);
    j->context.stamp_public_key = keeper_stamp_public_key(j->admission_handler->o.keeper);
    j->context.out_of_time |= ++j->rounds > ROUNDS_MAX;
    struct admission_result r =
        admission_judge(&j->context, j->request->body, j->request->body_len, &j->lookups, &out);
    if (r.verdict != VERDICT_PENDING) {
        job_answer(j, &r, &out);
        return;
    }
    assert(!j->context.out_of_time);
    for (size_t i = 0; i < j->lookups.count; i++)
        if (!j->lookups.items[i]->sent)
            send_lookup(j, j->lookups.items[i]);
    assert(j->open_count > 0);
}

/* The caller will not wait any longer: judge with what is known. */
static void on_deadline(void *arg)
{
    struct job *j = arg;
    for (size_t i = 0; i < j->sent_count; i++) {
        kube_op_cancel(j->sent[i].op);
        j->sent[i].op = NULL;
        if (!j->sent[i].lookup->done) {
            webhook_count_lookup(lookup_kind_names[j->sent[i].lookup->kind], 0);
            lookup_answered(j->sent[i].lookup, 0, NULL);
        }
    }
    j->open_count = 0;
    j->context.out_of_time = true;
    job_judge(j);
}

/* --- Requests -------------------------------------------------------------------------------- */

/* "5s": the API server rounds the rest of its deadline up to whole seconds. 0: nothing that it
 * sends. */
static int64_t timeout_named(const char *text)
{
    uint64_t seconds = 0;
    size_t n = text ? strlen(text) : 0;
    if (n < 2 || n > 8 || text[n - 1] != 's')
        return 0;
    char digits[8];
    memcpy(digits, text, n - 1);
    digits[n - 1] = '\0';
    if (!str_to_u64(digits, &seconds))
        return 0;
    return seconds > 60 ? 60000 : (int64_t)seconds * 1000;
}

static int64_t timeout_ms(const char *text)
{
    int64_t named = timeout_named(text);
    int64_t all = named ? named : ADMISSION_TIMEOUT_MS;
    int64_t margin = all / ADMISSION_MARGIN_PART;
    int64_t ms = all - (margin > ADMISSION_MARGIN_MS ? margin : ADMISSION_MARGIN_MS);
    return ms > ADMISSION_TIMEOUT_MS_MAX ? ADMISSION_TIMEOUT_MS_MAX : ms;
}

void admission_handler_handle(void *admission_handler, struct server_request *request)
{
    struct admission_handler *r = admission_handler;
    bool mutate = str_eq(request->path, ADMISSION_MUTATE_PATH);
    if (!mutate && !str_eq(request->path, ADMISSION_VALIDATE_PATH)) {
        answer_text(request, 404,
                    "there are two paths, " ADMISSION_MUTATE_PATH " and " ADMISSION_VALIDATE_PATH,
                    0);
        return;
    }
    if (!str_eq(request->method, "POST")) {
        answer_text(request, 405, "an AdmissionReview is sent with POST", 0);
        return;
    }
    if (r->o.client_required && !request->client_verified) {
        webhook_count_review(mutate ? "mutate" : "validate", "", "unauthenticated", "", 0, false);
        answer_text(request, 401, "a client certificate of the API server is required", 0);
        return;
    }
    if (!class_cache_synced(r->o.class_cache)) {
        /* client-go repeats this unseen (rest/with_retry.go), perhaps at another replica. */
        answer_text(request, 503, "the caches are not filled yet", 1);
        return;
    }
    struct job *j = xcalloc(1, sizeof *j);
    j->admission_handler = r;
    j->request = request;
    j->began_ms = now_mono(r);
    j->deadline_ms = request->began_ms + timeout_ms(request->query);
    j->context.review = &j->review;
    j->context.endpoint = mutate ? ADMISSION_MUTATE : ADMISSION_VALIDATE;
    j->context.scope = r->o.scope;
    j->context.no_cross_namespace = r->o.no_cross_namespace;
    timer_init(&j->timer, on_deadline, j);
    timer_arm(r->o.client->timers, &j->timer, j->deadline_ms);
    job_judge(j);
}

struct admission_handler *admission_handler_new(const struct admission_handler_options *options)
{
    struct admission_handler *r = xcalloc(1, sizeof *r);
    r->o = *options;
    return r;
}

void admission_handler_free(struct admission_handler *r)
{
    free(r);
}
