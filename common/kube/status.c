#include "kube/status.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

static void copy(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from ? from : "");
    str_trim_utf8(to);
}
#define COPY(array, from) copy((array), sizeof(array), (from))

static bool has_cause(const struct kube_status *s, const char *reason)
{
    for (size_t i = 0; i < s->cause_count; i++)
        if (str_eq(s->causes[i].reason, reason))
            return true;
    return false;
}

static void ask_to_wait(struct kube_status *s, int64_t seconds)
{
    if (seconds > KUBE_RETRY_AFTER_S_MAX)
        seconds = KUBE_RETRY_AFTER_S_MAX;
    if (seconds > s->retry_after_s)
        s->retry_after_s = seconds;
}

static void read_tree(const cJSON *tree, struct kube_status *s)
{
    int64_t number;
    COPY(s->reason, json_str(tree, "reason"));
    COPY(s->message, json_str(tree, "message"));
    COPY(s->kind, json_str(tree, "details.kind"));
    COPY(s->name, json_str(tree, "details.name"));
    if (json_int(tree, "details.retryAfterSeconds", &number))
        ask_to_wait(s, number);
    if (json_int(tree, "code", &number) && s->code == 0 && number > 0 && number < 1000)
        s->code = (int)number;
    const cJSON *cause;
    cJSON_ArrayForEach (cause, json_at(tree, "details.causes")) {
        if (s->cause_count == KUBE_CAUSES_MAX)
            break;
        struct kube_cause *c = &s->causes[s->cause_count++];
        COPY(c->reason, json_str(cause, "reason"));
        COPY(c->field, json_str(cause, "field"));
        COPY(c->message, json_str(cause, "message"));
    }
}

static bool says(const struct kube_status *s, const char *text)
{
    return strstr(s->message, text) != NULL;
}

bool kube_says_quota(const char *message)
{
    return message && strstr(message, "exceeded quota");
}

static enum err_kind kind_of_403(struct kube_status *s)
{
    /* apiserver pkg/admission/plugin/resourcequota/controller.go: both are Forbidden, as a refusal
       by RBAC is; the second one passes. */
    s->quota = kube_says_quota(s->message);
    /* apiserver pkg/admission/plugin/namespace/lifecycle: cause NamespaceTerminating. */
    s->namespace_terminating = has_cause(s, "NamespaceTerminating");
    return says(s, "status unknown for quota") ? ERR_UNAVAILABLE : ERR_REFUSED;
}

static enum err_kind kind_of_500(const struct kube_status *s)
{
    /* apimachinery managedfields/internal/typeconverter.go: an apply with a field that the CRD does
       not know is answered 500 without a reason, and will be for ever. */
    if (says(s, "failed to create typed patch object"))
        return ERR_REFUSED;
    /* apiserver pkg/admission/plugin/webhook/errors: nothing has been written yet. */
    if (says(s, "failed calling webhook"))
        return ERR_UNAVAILABLE;
    return ERR_AMBIGUOUS;
}

static enum err_kind kind_of(struct kube_status *s)
{
    if (has_cause(s, "ResourceVersionTooLarge") || says(s, "Too large resource version")) {
        /* apiserver pkg/storage/errors.go NewTooLargeResourceVersionError: a 504. */
        s->too_large_rv = true;
        return ERR_EXPIRED;
    }
    if (str_eq(s->reason, "Expired") || str_eq(s->reason, "Gone"))
        return ERR_EXPIRED;
    switch (s->code) {
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return kind_of_403(s);
    case 404:
        s->unserved = str_empty(s->name);
        return ERR_NOT_FOUND;
    case 408:
        return ERR_AMBIGUOUS;
    case 409:
        return str_eq(s->reason, "AlreadyExists") ? ERR_EXISTS : ERR_CONFLICT;
    case 410:
        return ERR_EXPIRED;
    case 429:
        return ERR_THROTTLED;
    case 500:
        return s->retry_after_s > 0 ? ERR_THROTTLED : kind_of_500(s);
    case 502:
    case 504:
        return ERR_AMBIGUOUS;
    case 503:
        return s->retry_after_s > 0 ? ERR_THROTTLED : ERR_UNAVAILABLE;
    default:
        return s->code >= 400 && s->code < 500 ? ERR_REFUSED : ERR_INTERNAL;
    }
}

static void set_err(struct kube_status *s)
{
    enum err_kind kind = kind_of(s);
    if (*s->message)
        (void)err_set(&s->err, kind, "%s", s->message);
    else
        (void)err_set(&s->err, kind, "the API server answered %d", s->code);
}

/* Proxies answer with pages of their own; the first line of plain text is worth showing. */
static void read_plain(const struct kube_response *r, struct kube_status *s)
{
    size_t n = r->body ? strcspn(r->body, "\r\n<") : 0;
    if (n > 0 && n < 200)
        (void)snprintf(s->message, sizeof s->message, "the API server answered %d: %.*s", r->code,
                       (int)n, r->body);
}

void kube_status_decode(const struct kube_response *r, struct kube_status *ret)
{
    *ret = (struct kube_status){.code = r->code};
    ask_to_wait(ret, r->retry_after_s);
    if (r->code == 0) {
        ret->err = r->err;
        if (ret->err.kind == ERR_NONE)
            (void)err_set(&ret->err, ERR_AMBIGUOUS, "no answer");
        COPY(ret->message, ret->err.message);
        return;
    }
    if (r->code >= 200 && r->code < 300) {
        ret->err = r->err;
        return;
    }
    CLEANUP_JSON cJSON *tree = NULL;
    struct err ignored = {0};
    if (r->body_len > 0 && json_read(r->body, r->body_len, &tree, &ignored) == 0 &&
        str_eq(json_str(tree, "kind"), "Status"))
        read_tree(tree, ret);
    else
        read_plain(r, ret);
    set_err(ret);
}

void kube_status_from_tree(const cJSON *tree, struct kube_status *ret)
{
    *ret = (struct kube_status){0};
    if (!str_eq(json_str(tree, "kind"), "Status")) {
        (void)err_set(&ret->err, ERR_INTERNAL, "an error that is no Status");
        return;
    }
    read_tree(tree, ret);
    set_err(ret);
}
