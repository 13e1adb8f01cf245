#include "webhook/admission_review.h"

#include <assert.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/writer.h"
#include "wukong/api/spec.h"

const char *const admission_review_operation_names[ADMISSION_REVIEW_OPS] = {"CREATE", "UPDATE",
                                                                            "DELETE", "CONNECT"};

#define ADMISSION_REVIEW_API_VERSION "admission.k8s.io/v1"
#define ADMISSION_REVIEW_KIND "AdmissionReview"

void admission_review_release(struct admission_review *r)
{
    cJSON_Delete(r->tree);
    *r = (struct admission_review){0};
}

static bool read_operation(const char *text, enum admission_review_operation *ret)
{
    for (size_t i = 0; i < ADMISSION_REVIEW_OPS; i++)
        if (str_eq(text, admission_review_operation_names[i])) {
            *ret = (enum admission_review_operation)i;
            return true;
        }
    return false;
}

/* A JSON null stands for "no object". */
static cJSON *object_of(const cJSON *request, const char *name)
{
    const cJSON *o = json_get(request, name);
    return cJSON_IsObject(o) ? (cJSON *)o : NULL;
}

static int read_request(const cJSON *request, struct admission_review *r, struct err *err)
{
    r->uid = json_str(request, "uid");
    r->user_info = json_get(request, "userInfo");
    r->user = str_or(json_str(request, "userInfo.username"), "");
    if (!cJSON_IsObject(request) || str_empty(r->uid))
        return err_set(err, ERR_INVALID, "request.uid is missing");
    if (!read_operation(json_str(request, "operation"), &r->operation))
        return err_set(err, ERR_INVALID,
                       "request.operation is none of CREATE, UPDATE, DELETE, "
                       "CONNECT");
    if (!cJSON_IsObject(r->user_info))
        return err_set(err, ERR_INVALID, "request.userInfo is missing");
    r->name = str_or(json_str(request, "name"), NULL);
    r->ns = str_or(json_str(request, "namespace"), "");
    r->subresource = str_or(json_str(request, "subResource"), "");
    r->group = str_or(json_str(request, "resource.group"), "");
    r->version = str_or(json_str(request, "resource.version"), "");
    r->resource = str_or(json_str(request, "resource.resource"), "");
    r->dry_run = json_bool(request, "dryRun", false);
    r->object = object_of(request, "object");
    r->old_object = object_of(request, "oldObject");
    bool needs_object =
        r->operation == ADMISSION_REVIEW_CREATE || r->operation == ADMISSION_REVIEW_UPDATE;
    if (needs_object && !r->object)
        return err_set(err, ERR_INVALID, "request.object is missing");
    if (r->operation == ADMISSION_REVIEW_UPDATE && !r->old_object)
        return err_set(err, ERR_INVALID, "request.oldObject is missing");
    return 0;
}

/* --- Without reading it --- */

/* Past the string that begins at the quote, or to the end of the text. */
static size_t string_end(const char *text, size_t len, size_t at)
{
    for (at++; at < len && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at < len ? at + 1 : len;
}

/* At most as many as there are commas and brackets outside of strings. */
static bool has_too_many_values(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t at = 0; at < len && count <= LIMIT_REVIEW_VALUES;) {
        char c = text[at];
        count += c == ',' || c == '[' || c == '{';
        at = c == '"' ? string_end(text, len, at) : at + 1;
    }
    return count > LIMIT_REVIEW_VALUES;
}

char *admission_review_uid(const char *text, size_t len)
{
    size_t depth = 0, end;
    bool key = false, in_request = false, at_uid = false;
    for (size_t at = 0; at < len; at = end) {
        char c = text[at];
        end = c == '"' ? string_end(text, len, at) : at + 1;
        depth += c == '{' || c == '[';
        depth -= depth && (c == '}' || c == ']');
        if (c == '"' && at_uid && !key)
            return end - at > 2 && !memchr(text + at, '\\', end - at)
                       ? xstrndup(text + at + 1, end - at - 2)
                       : NULL;
        if (c == '"' && key && depth == 1)
            in_request = end - at == 9 && memcmp(text + at, "\"request\"", 9) == 0;
        if (c == '"' && key)
            at_uid =
                depth == 2 && in_request && end - at == 5 && memcmp(text + at, "\"uid\"", 5) == 0;
        if (c == '"' || c == ':' || c == '[')
            key = false;
        else if (c == '{' || c == ',')
            key = true;
    }
    return NULL;
}

int admission_review_read(const char *bytes, size_t len, struct admission_review *ret,
                          struct err *err)
{
    CLEANUP_ADMISSION_REVIEW struct admission_review r = {0};
    if (has_too_many_values(bytes, len))
        return err_set(err, ERR_LIMIT,
                       "the object has more than %d fields and items, which no valid one has; "
                       "remove some",
                       LIMIT_REVIEW_VALUES);
    if (json_parse(bytes, len, true, &r.tree, err) < 0)
        return -1;
    if (!str_eq(json_str(r.tree, "apiVersion"), ADMISSION_REVIEW_API_VERSION) ||
        !str_eq(json_str(r.tree, "kind"), ADMISSION_REVIEW_KIND))
        return err_set(err, ERR_INVALID,
                       "only " ADMISSION_REVIEW_API_VERSION " " ADMISSION_REVIEW_KIND " is served");
    if (read_request(json_get(r.tree, "request"), &r, err) < 0)
        return -1;
    *ret = r;
    r.tree = NULL;
    return 0;
}

static void write_causes(struct json_writer *w, const struct findings *l)
{
    json_array(w, "causes");
    for (size_t i = 0; i < l->count; i++) {
        const struct finding *finding = &l->items[i];
        if (finding->severity != FINDING_ERROR)
            continue;
        json_object(w, NULL);
        json_string(w, "reason", finding_reason_names[finding->reason]);
        json_string(w, "message", finding->message);
        json_string(w, "field", finding->field);
        json_end(w);
    }
    json_end(w);
}

static void write_status(struct json_writer *w, const struct admission_review_answer *a)
{
    json_object(w, "status");
    json_string(w, "status", "Failure");
    json_number(w, "code", a->code);
    json_string(w, "reason", a->reason);
    json_string(w, "message", a->message);
    if (a->findings) {
        json_object(w, "details");
        json_stringf(w, "name", "%.*s", LIMIT_DNS_SUBDOMAIN, str_or(a->name, ""));
        json_string(w, "group", WUKONG_GROUP);
        json_string(w, "kind", str_or(a->kind, WUKONG_KIND));
        write_causes(w, a->findings);
        json_end(w);
    }
    json_end(w);
}

static size_t runes(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* The API server drops what exceeds its total silently; here the last one says that there is more.
 */
static void write_warnings(struct json_writer *w, const struct admission_review_answer *a)
{
    static const char more[] = "more warnings were left out";
    size_t used = 0, room = ADMISSION_REVIEW_WARNINGS_MAX - sizeof more;
    json_array(w, "warnings");
    for (size_t i = 0; i < a->warning_count; i++) {
        size_t n = runes(a->warnings[i]);
        if (used + n > room) {
            json_string(w, NULL, more);
            break;
        }
        used += n;
        json_string(w, NULL, a->warnings[i]);
    }
    json_end(w);
}

static void write_annotation(struct json_writer *w, const char *key, const char *value)
{
    if (value)
        json_stringf(w, key, "%.*s", ADMISSION_REVIEW_ANNOTATION_MAX, value);
}

void admission_review_write_answer(const char *uid, const struct admission_review_answer *a,
                                   struct buf *out)
{
    assert(a->allowed || (a->code >= 400 && a->message));
    assert(!a->patch || a->allowed);
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    json_string(&w, "kind", ADMISSION_REVIEW_KIND);
    json_string(&w, "apiVersion", ADMISSION_REVIEW_API_VERSION);
    json_object(&w, "response");
    json_string(&w, "uid", uid);
    json_boolean(&w, "allowed", a->allowed);
    if (!a->allowed)
        write_status(&w, a);
    if (a->patch) {
        size_t n = strlen(a->patch);
        CLEANUP_FREE char *encoded = xmalloc((n + 2) / 3 * 4 + 1);
        EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)a->patch, (int)n);
        json_string(&w, "patch", encoded);
        json_string(&w, "patchType", "JSONPatch");
    }
    if (a->decision || a->source || a->policies) {
        json_object(&w, "auditAnnotations");
        write_annotation(&w, "decision", a->decision);
        write_annotation(&w, "source", a->source);
        write_annotation(&w, "policies", a->policies);
        json_end(&w);
    }
    if (a->warning_count)
        write_warnings(&w, a);
    json_end(&w);
    json_end(&w);
}
