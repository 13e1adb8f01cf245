#include "admission_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "apimachinery/dns_names.h"
#include "apply_patch.h"
#include "base/mem.h"
#include "base/str.h"
#include "certs/authority.h"
#include "certs/secret.h"
#include "json/writer.h"
#include "webhook/admission_review.h"

char *world_key, *world_public_key;

int world_setup(void **state)
{
    (void)state;
    struct err err = {0};
    return authority_new_key(&world_key, &world_public_key, &err);
}

int world_teardown(void **state)
{
    (void)state;
    free(world_key);
    free(world_public_key);
    return 0;
}

char *world_quotes(const char *text)
{
    char *copy = xstrdup(text);
    for (char *at = copy; at && *at; at++)
        if (*at == '\'')
            *at = '"';
    return copy;
}

void judged_release(struct judged *j)
{
    cJSON_Delete(j->answer);
    cJSON_Delete(j->object);
    free(j->text);
    *j = (struct judged){0};
}

const char *judged_str(const struct judged *j, const char *path)
{
    return str_or(json_str(j->response, path), "");
}

int judged_causes(const struct judged *j)
{
    const cJSON *causes = json_at(j->response, "status.details.causes");
    return causes ? cJSON_GetArraySize(causes) : 0;
}

bool judged_has_cause(const struct judged *j, const char *field, const char *text)
{
    const cJSON *cause = NULL;
    cJSON_ArrayForEach (cause, json_at(j->response, "status.details.causes")) {
        if (str_eq(json_str(cause, "field"), field) && strstr(json_str(cause, "message"), text))
            return true;
    }
    return false;
}

bool judged_warns(const struct judged *j, const char *text)
{
    const cJSON *warning = NULL;
    cJSON_ArrayForEach (warning, json_get(j->response, "warnings")) {
        if (strstr(warning->valuestring, text))
            return true;
    }
    return false;
}

/* --- The API server's check ------------------------------------------------------------------ */

static void check_annotations(const cJSON *response)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach (item, json_get(response, "auditAnnotations")) {
        assert_true(cJSON_IsString(item));
        /* The key becomes <webhook>/<key>, which must be a qualified name. */
        CLEANUP_FREE char *key = xasprintf("mwukong.vm.novasphere.dev/%s", item->string);
        assert_true(name_is_qualified(key));
    }
}

static void check_warnings(const cJSON *response)
{
    size_t total = 0;
    const cJSON *item = NULL;
    cJSON_ArrayForEach (item, json_get(response, "warnings")) {
        assert_true(cJSON_IsString(item));
        assert_true(strlen(item->valuestring) <= 120);
        assert_true(strlen(item->valuestring) > 0);
        assert_false(str_starts(item->valuestring, "Warning"));
        total += strlen(item->valuestring);
    }
    assert_true(total <= 4096);
}

static void check_status(const cJSON *response)
{
    const cJSON *status = json_get(response, "status");
    int64_t code = 0;
    if (json_bool(response, "allowed", false)) {
        assert_null(status);
        return;
    }
    assert_true(json_int(status, "code", &code));
    assert_true(code >= 400 && code < 600);
    assert_string_equal(json_str(status, "status"), "Failure");
    assert_non_null(json_str(status, "reason"));
    assert_true(strlen(json_str(status, "message")) > 0);
    if (code != 422)
        return;
    /* kubectl drops the message and prints the causes under kind and name. */
    assert_string_equal(json_str(status, "reason"), "Invalid");
    assert_string_equal(json_str(status, "details.kind"), "Wukong");
    assert_string_equal(json_str(status, "details.group"), "vm.novasphere.dev");
    const cJSON *cause = NULL;
    assert_true(cJSON_GetArraySize(json_at(status, "details.causes")) > 0);
    cJSON_ArrayForEach (cause, json_at(status, "details.causes")) {
        assert_true(str_starts(json_str(cause, "reason"), "FieldValue"));
        assert_true(strlen(json_str(cause, "field")) > 0);
        assert_true(strlen(json_str(cause, "message")) > 10);
        assert_non_null(strstr(json_str(status, "message"), json_str(cause, "message")));
    }
}

static void check_patch(enum admission_endpoint endpoint, struct judged *j)
{
    const char *patch = json_str(j->response, "patch"), *type = json_str(j->response, "patchType");
    assert_true((patch == NULL) == (type == NULL));
    if (!patch)
        return;
    assert_int_equal(endpoint, ADMISSION_MUTATE);
    assert_string_equal(type, "JSONPatch");
    assert_true(json_bool(j->response, "allowed", false));
    CLEANUP_FREE char *text = base64_decode_text(patch);
    assert_non_null(text);
    assert_true(json_patch_apply(j->object, text));
    assert_true(strcmp(text, "[]") != 0);
    j->patched = true;
}

static void verify(enum admission_endpoint endpoint, const char *uid, struct judged *j)
{
    struct err err = {0};
    assert_int_equal(json_parse(j->text, strlen(j->text), true, &j->answer, &err), 0);
    assert_string_equal(json_str(j->answer, "apiVersion"), "admission.k8s.io/v1");
    assert_string_equal(json_str(j->answer, "kind"), "AdmissionReview");
    j->response = json_get(j->answer, "response");
    assert_true(cJSON_IsObject(j->response));
    assert_string_equal(json_str(j->response, "uid"), uid);
    assert_true(cJSON_IsBool(json_get(j->response, "allowed")));
    check_status(j->response);
    check_annotations(j->response);
    check_warnings(j->response);
    check_patch(endpoint, j);
}

/* One line per judgement for tests/webhook/verify, which asks the API server's own code. */
static void record(enum admission_endpoint endpoint, const char *request, const char *answer)
{
    const char *path = getenv("WUKONG_ANSWERS");
    if (!path)
        return;
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    CLEANUP_BUF struct buf line = BUF_INIT(2 * LIMIT_REPLY_BYTES);
    struct json_writer w = json_writer(&line);
    json_object(&w, NULL);
    json_boolean(&w, "mutating", endpoint == ADMISSION_MUTATE);
    json_string(&w, "request", request);
    json_string(&w, "answer", answer);
    json_end(&w);
    fprintf(file, "%s\n", line.data);
    fclose(file);
}

/* --- The world ------------------------------------------------------------------------------- */

static void answer(const struct world *w, struct lookup *k, struct judged *ret)
{
    size_t at = strlen(ret->asked);
    snprintf(ret->asked + at, sizeof ret->asked - at, "%s\n", k->path);
    k->sent = true;
    if (k->body) {
        at = strlen(ret->bodies);
        snprintf(ret->bodies + at, sizeof ret->bodies - at, "%s\n", k->body);
        bool yes = k->kind == LOOKUP_MAY_START ? w->may_start : w->may_clone;
        int code = k->kind == LOOKUP_MAY_START && w->start_code ? w->start_code
                   : w->access_code                             ? w->access_code
                                                                : 201;
        lookup_answered(k, code,
                        code == 201
                            ? xasprintf("{\"status\":{\"allowed\":%s}}", yes ? "true" : "false")
                            : NULL);
        return;
    }
    for (const struct route *r = w->routes; r && r->path; r++)
        if (str_eq(r->path, k->path)) {
            lookup_answered(k, r->code, r->code == 200 ? world_quotes(r->body) : NULL);
            return;
        }
    lookup_answered(k, 404, NULL);
}

void world_judge_bytes(const struct world *w, enum admission_endpoint endpoint, const char *bytes,
                       struct judged *ret)
{
    struct lookups lookups = {0};
    struct admission_context c = {.endpoint = endpoint,
                                  .now_ms = w->now_ms ? w->now_ms : WORLD_NOW,
                                  .classes = &w->classes,
                                  .policies = w->policies,
                                  .policy_count = w->policy_count,
                                  .policies_incomplete = w->policies_incomplete,
                                  .stamp_key = w->no_stamp_key ? NULL : world_key,
                                  .stamp_public_key = world_public_key,
                                  .scope = w->scope,
                                  .no_cross_namespace = w->no_cross_namespace};
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_REPLY_BYTES);
    CLEANUP_ADMISSION_REVIEW struct admission_review kept = {0};
    if (endpoint == ADMISSION_VALIDATE) /* the other one reads the bytes in every round */
        c.review = &kept;
    unsigned rounds = 0;
    for (;; rounds++) {
        assert_true(rounds < 8);
        ret->result = admission_judge(&c, bytes, strlen(bytes), &lookups, &out);
        if (ret->result.verdict != VERDICT_PENDING)
            break;
        assert_int_equal(out.len, 0);
        assert_true(lookups_pending(&lookups));
        if (w->out_of_time)
            c.out_of_time = true;
        for (size_t i = 0; i < lookups.count && !w->out_of_time; i++)
            if (!lookups.items[i]->done)
                answer(w, lookups.items[i], ret);
    }
    lookups_release(&lookups);
    ret->text = buf_take(&out);
}

void world_judge(const struct world *w, enum admission_endpoint endpoint, const char *operation,
                 const char *ns, const char *object, const char *old, struct judged *ret)
{
    *ret = (struct judged){0};
    CLEANUP_FREE char *object_text = world_quotes(object), *old_text = world_quotes(old);
    CLEANUP_FREE char *info = w->user_info ? world_quotes(w->user_info)
                                           : xasprintf("{\"username\":\"%s\",\"groups\":[\"system:"
                                                       "authenticated\"]}",
                                                       str_or(w->user, "alice"));
    struct err err = {0};
    if (object_text)
        assert_int_equal(json_parse(object_text, strlen(object_text), true, &ret->object, &err), 0);
    CLEANUP_FREE char *bytes = xasprintf(
        "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":"
        "\"%s\",\"kind\":{\"group\":\"vm.novasphere.dev\",\"version\":\"v1alpha1\",\"kind\":"
        "\"Wukong\"},\"resource\":{\"group\":\"vm.novasphere.dev\",\"version\":\"v1alpha1\","
        "\"resource\":\"wukongs\"},\"name\":\"%s\",\"namespace\":\"%s\",\"operation\":\"%s\","
        "\"userInfo\":%s,\"object\":%s,\"oldObject\":%s,\"dryRun\":false,\"options\":null}}",
        WORLD_UID, str_or(json_str(ret->object, "metadata.name"), ""), ns, operation, info,
        object_text ? object_text : "null", old_text ? old_text : "null");
    world_judge_bytes(w, endpoint, bytes, ret);
    if (ret->result.verdict == VERDICT_MALFORMED)
        fail_msg("malformed: %s", ret->text);
    record(endpoint, bytes, ret->text);
    verify(endpoint, WORLD_UID, ret);
}
