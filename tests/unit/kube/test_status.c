/*
 * Proves what each refusal is taken for. The bodies are those of kube-apiserver (1.35) and of
 * apimachinery pkg/api/errors/errors.go, which makes them.
 */
#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/status.h"

#define STATUS(code, reason, message, details)                                                     \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","           \
    "\"message\":\"" message "\",\"reason\":\"" reason "\",\"details\":{" details                  \
    "},\"code\":" code "}"

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        int line, code;
        const char *body;
        enum err_kind kind;
    } rows[] = {
        {__LINE__, 200, "{}", ERR_NONE},
        {__LINE__, 201, "{}", ERR_NONE},
        {__LINE__, 202, "", ERR_NONE},
        {__LINE__, 400, STATUS("400", "BadRequest", "strict decoding error", ""), ERR_REFUSED},
        {__LINE__, 401, STATUS("401", "Unauthorized", "Unauthorized", ""), ERR_UNAUTHORIZED},
        {__LINE__, 403, STATUS("403", "Forbidden", "pods is forbidden", ""), ERR_REFUSED},
        {__LINE__, 403,
         STATUS("403", "Forbidden", "pvc \\\"a\\\" is forbidden: status unknown for quota: q",
                "\"name\":\"a\""),
         ERR_UNAVAILABLE},
        {__LINE__, 404, STATUS("404", "NotFound", "pods \\\"a\\\" not found", "\"name\":\"a\""),
         ERR_NOT_FOUND},
        {__LINE__, 404, "404 page not found\n", ERR_NOT_FOUND},
        {__LINE__, 405, STATUS("405", "MethodNotAllowed", "x", ""), ERR_REFUSED},
        {__LINE__, 409, STATUS("409", "AlreadyExists", "pods \\\"a\\\" already exists", ""),
         ERR_EXISTS},
        {__LINE__, 409, STATUS("409", "Conflict", "the object has been modified", ""),
         ERR_CONFLICT},
        {__LINE__, 409, "VM is not running", ERR_CONFLICT},
        {__LINE__, 410, STATUS("410", "Expired", "The resourceVersion is too old", ""),
         ERR_EXPIRED},
        {__LINE__, 410, STATUS("410", "Gone", "too old resource version: 1 (2)", ""), ERR_EXPIRED},
        {__LINE__, 410, "", ERR_EXPIRED},
        {__LINE__, 413, "", ERR_REFUSED},
        {__LINE__, 415, "", ERR_REFUSED},
        {__LINE__, 422, STATUS("422", "Invalid", "x is invalid", ""), ERR_REFUSED},
        {__LINE__, 429, STATUS("429", "TooManyRequests", "slow down", ""), ERR_THROTTLED},
        {__LINE__, 500,
         STATUS("500", "",
                "failed to create typed patch object (n/a; kubevirt.io/v1, "
                "Kind=VirtualMachine): .spec.x: field not declared in schema",
                ""),
         ERR_REFUSED},
        {__LINE__, 500,
         STATUS("500", "InternalError", "Internal error occurred: failed calling webhook x", ""),
         ERR_UNAVAILABLE},
        {__LINE__, 500, STATUS("500", "InternalError", "etcdserver: request timed out", ""),
         ERR_AMBIGUOUS},
        {__LINE__, 500, STATUS("500", "ServerTimeout", "try again", "\"retryAfterSeconds\":2"),
         ERR_THROTTLED},
        {__LINE__, 502, "<html>bad gateway</html>", ERR_AMBIGUOUS},
        {__LINE__, 503, "", ERR_UNAVAILABLE},
        {__LINE__, 503, STATUS("503", "ServiceUnavailable", "x", "\"retryAfterSeconds\":1"),
         ERR_THROTTLED},
        {__LINE__, 504, STATUS("504", "Timeout", "request did not complete", ""), ERR_AMBIGUOUS},
        {__LINE__, 504,
         STATUS("504", "Timeout", "Timeout: Too large resource version: 9, current: 5",
                "\"causes\":[{\"reason\":\"ResourceVersionTooLarge\","
                "\"message\":\"Too large resource version\"}],\"retryAfterSeconds\":1"),
         ERR_EXPIRED},
        {__LINE__, 302, "", ERR_INTERNAL},
        {__LINE__, 409, "{\"kind\":\"Pod\",\"reason\":\"AlreadyExists\"}", ERR_CONFLICT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct kube_status s;
        struct kube_response r = {
            .code = rows[i].code, .body = rows[i].body, .body_len = strlen(rows[i].body)};
        kube_status_decode(&r, &s);
        if (s.err.kind != rows[i].kind)
            fail_msg("row at line %d: %s", rows[i].line, err_kind_name(s.err.kind));
        CHECK_ROW(&rows[i], s.err.kind == ERR_NONE || *s.err.message);
        CHECK_ROW(&rows[i], s.code == rows[i].code);
    }
}

static struct kube_status decode(int code, const char *body, int64_t header_s)
{
    struct kube_status s;
    struct kube_response r = {
        .code = code, .body = body, .body_len = strlen(body), .retry_after_s = header_s};
    kube_status_decode(&r, &s);
    return s;
}

static void test_details(void **state)
{
    (void)state;
    struct kube_status s =
        decode(422,
               STATUS("422", "Invalid", "Wukong \\\"a\\\" is invalid",
                      "\"name\":\"a\",\"kind\":\"Wukong\",\"causes\":["
                      "{\"reason\":\"FieldValueInvalid\",\"message\":\"Invalid value: 0\","
                      "\"field\":\"spec.replicas\"},{\"message\":\"second\"}]"),
               0);
    assert_string_equal(s.reason, "Invalid");
    assert_string_equal(s.kind, "Wukong");
    assert_string_equal(s.name, "a");
    assert_int_equal(s.cause_count, 2);
    assert_string_equal(s.causes[0].field, "spec.replicas");
    assert_string_equal(s.causes[0].message, "Invalid value: 0");
    assert_string_equal(s.causes[0].reason, "FieldValueInvalid");
    assert_string_equal(s.causes[1].field, "");
    assert_string_equal(s.err.message, "Wukong \"a\" is invalid");

    /* The longer of header and body. */
    assert_true(decode(429, "", 7).retry_after_s == 7);
    assert_true(decode(429, STATUS("429", "x", "x", "\"retryAfterSeconds\":3"), 7).retry_after_s ==
                7);
    assert_true(decode(429, STATUS("429", "x", "x", "\"retryAfterSeconds\":30"), 7).retry_after_s ==
                30);
    /* An age is not believed, wherever it stands. */
    assert_true(decode(429, "", INT64_MAX).retry_after_s == KUBE_RETRY_AFTER_S_MAX);
    assert_true(decode(429, "", -5).retry_after_s == 0);
    assert_true(decode(503, STATUS("503", "x", "x", "\"retryAfterSeconds\":9223372036854775807"), 0)
                    .retry_after_s == KUBE_RETRY_AFTER_S_MAX);
    assert_non_null(strstr(decode(503, "no endpoints\n<b>", 0).err.message, "no endpoints"));
}

static void test_forbidden(void **state)
{
    (void)state;
    struct kube_status quota =
        decode(403,
               STATUS("403", "Forbidden",
                      "persistentvolumeclaims \\\"q1\\\" is forbidden: exceeded quota: q, "
                      "requested: requests.storage=64Mi, used: requests.storage=0, limited: "
                      "requests.storage=1Mi",
                      "\"name\":\"q1\""),
               0);
    assert_true(quota.quota);
    assert_false(quota.namespace_terminating);
    struct kube_status rbac =
        decode(403,
               STATUS("403", "Forbidden",
                      "pods is forbidden: User \\\"u\\\" cannot list resource \\\"pods\\\"", ""),
               0);
    assert_false(rbac.quota);
    struct kube_status dying =
        decode(403,
               STATUS("403", "Forbidden",
                      "pods \\\"a\\\" is forbidden: unable to create new content in namespace n "
                      "because it is being terminated",
                      "\"causes\":[{\"reason\":\"NamespaceTerminating\",\"message\":\"namespace n "
                      "is being terminated\",\"field\":\"metadata.namespace\"}]"),
               0);
    assert_true(dying.namespace_terminating);
}

static void test_not_found_and_not_served(void **state)
{
    (void)state;
    assert_false(
        decode(404, STATUS("404", "NotFound", "pods \\\"a\\\" not found", "\"name\":\"a\""), 0)
            .unserved);
    assert_true(decode(404, "404 page not found\n", 0).unserved);
    assert_true(
        decode(404,
               STATUS("404", "NotFound", "the server could not find the requested resource", ""), 0)
            .unserved);
}

static void test_no_answer(void **state)
{
    (void)state;
    struct kube_status s;
    struct kube_response r = {.code = 0, .body = ""};
    (void)err_set(&r.err, ERR_UNAVAILABLE, "connection refused");
    kube_status_decode(&r, &s);
    assert_int_equal(s.err.kind, ERR_UNAVAILABLE);
    assert_string_equal(s.message, "connection refused");
}

/* Bodies are from outside: limits, odd types, cut characters. */
static void test_hostile(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(1 * MIB);
    buf_adds(&b, "{\"kind\":\"Status\",\"message\":\"");
    for (unsigned i = 0; i < 2000; i++)
        buf_adds(&b, "\xE2\x82\xAC");
    buf_adds(&b, "\",\"details\":{\"causes\":[");
    for (unsigned i = 0; i < 100; i++)
        buf_addf(&b, "%s{\"message\":\"m\"}", i ? "," : "");
    buf_adds(&b, "]}}");
    struct kube_status s = decode(422, b.data, 0);
    assert_int_equal(s.cause_count, KUBE_CAUSES_MAX);
    assert_int_equal(strlen(s.message) % 3, 0);
    static const char *const odd[] = {
        "[]",
        "null",
        "\"Status\"",
        "{\"kind\":5}",
        "{\"kind\":\"Status\",\"details\":[1]}",
        "{\"kind\":\"Status\",\"details\":{\"causes\":{\"a\":1},\"retryAfterSeconds\":\"x\"}}",
        "{\"kind\":\"Status\",\"details\":{\"causes\":[1,null]}}",
        "{",
        "\xFF\xFE",
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_int_equal(decode(422, odd[i], 0).err.kind, ERR_REFUSED);
}

static void test_watch_error(void **state)
{
    (void)state;
    struct kube_status s;
    CLEANUP_JSON cJSON *tree = NULL, *no_status = NULL;
    struct err err = {0};
    const char *text = STATUS("410", "Expired", "too old resource version: 1 (5)", "");
    assert_int_equal(json_parse(text, strlen(text), false, &tree, &err), 0);
    kube_status_from_tree(tree, &s);
    assert_int_equal(s.err.kind, ERR_EXPIRED);
    assert_int_equal(s.code, 410);
    assert_int_equal(json_parse("{}", 2, false, &no_status, &err), 0);
    kube_status_from_tree(no_status, &s);
    assert_int_equal(s.err.kind, ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),       cmocka_unit_test(test_details),
        cmocka_unit_test(test_forbidden),   cmocka_unit_test(test_not_found_and_not_served),
        cmocka_unit_test(test_no_answer),   cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_watch_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
