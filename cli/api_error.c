#include "cli/api_error.h"

#include "base/str.h"
#include "json/json.h"

static bool field_errors(const cJSON *details, struct buf *out)
{
    const cJSON *causes = json_get(details, "causes"), *cause;
    int n = cJSON_IsArray(causes) ? cJSON_GetArraySize(causes) : 0;
    if (n == 0)
        return false;
    buf_addf(out, "The %s \"%s\" is invalid: %s", str_or(json_str(details, "kind"), "request"),
             str_or(json_str(details, "name"), ""), n > 1 ? "\n" : "");
    cJSON_ArrayForEach (cause, causes)
        buf_addf(out, "%s%s: %s\n", n > 1 ? "* " : "", str_or(json_str(cause, "field"), "?"),
                 str_or(json_str(cause, "message"), "?"));
    return true;
}

void api_error_text(const struct kube_status *status, const char *body, struct buf *out)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    if (status->code == 0) {
        buf_addf(out, "Unable to connect to the server: %s\n", status->err.message);
        return;
    }
    if (status->code == 401) {
        buf_adds(out, "error: You must be logged in to the server (Unauthorized)\n");
        return;
    }
    if (body && json_read(body, strlen(body), &tree, &err) < 0)
        tree = NULL;
    if (str_eq(json_str(tree, "reason"), "Invalid") && field_errors(json_get(tree, "details"), out))
        return;
    const char *message = str_or(json_str(tree, "message"), status->err.message);
    buf_addf(out, "Error from server (%s): %s\n",
             str_or(json_str(tree, "reason"), err_kind_name(status->err.kind)), message);
}
