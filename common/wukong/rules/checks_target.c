/* Checks of spec.target; see rules/checks.h. */
#include "wukong/rules/checks.h"

#include <inttypes.h>
#include <string.h>

#include "apimachinery/dns_names.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/marks.h"
#include "wukong/api/overrides.h"
#include "wukong/api/reset_data.h"
#include "wukong/rules/schema.h"

static void fail_at_key(struct check *c, const char *key, const char *detail)
{
    if (findings_full(c->findings)) {
        check_fail_at(c, "", NULL, NULL);
        return;
    }
    CLEANUP_FREE char *suffix = xasprintf("[%.*s]", LIMIT_DNS_SUBDOMAIN + 64, key);
    CLEANUP_FREE char *text = xasprintf("\"%.*s\"", FINDING_VALUE_MAX + 4, key);
    check_fail_at(c, suffix, text, detail ? "%s" : NULL, detail);
}

void check_marks_reserved(struct check *c, const cJSON *v)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, v)
        if (mark_is_reserved(item->string))
            fail_at_key(c, item->string, NULL);
}

/* Keys of annotations are labels' whatever their case (apimachinery
   pkg/api/validation/objectmeta.go ValidateAnnotations). */
static const char *annotation_key_error(const char *key)
{
    CLEANUP_FREE char *lower = xstrdup(key);
    for (char *p = lower; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return name_qualified_error(lower);
}

void check_annotation_map(struct check *c, const cJSON *v)
{
    const struct check_length *l = c->rule->arg;
    const cJSON *item;
    cJSON_ArrayForEach (item, v) {
        const char *why = annotation_key_error(item->string);
        if (why)
            fail_at_key(c, item->string, why);
        else if (cJSON_IsString(item) && str_characters(item->valuestring) > l->max)
            fail_at_key(c, item->string, "its value is longer");
    }
}

void check_marks_size(struct check *c, const cJSON *v)
{
    const struct check_range *r = c->rule->arg;
    const cJSON *item;
    int64_t bytes = 0;
    cJSON_ArrayForEach (item, v)
        if (cJSON_IsString(item))
            bytes += (int64_t)(strlen(item->string) + strlen(item->valuestring));
    if (bytes > r->max)
        check_fail(c, NULL, "they have %" PRId64, bytes);
}

void check_keep(struct check *c, const cJSON *v)
{
    const char *why;
    size_t n = strlen(v->valuestring);
    if (n && v->valuestring[n - 1] == '/') {
        CLEANUP_FREE char *domain = xstrndup(v->valuestring, n - 1);
        why = name_dns_subdomain_error(domain);
    } else {
        why = name_qualified_error(v->valuestring);
    }
    CLEANUP_FREE char *text = json_print_start(v, FINDING_VALUE_MAX);
    if (why)
        check_fail(c, text, "%s", why);
}

void check_required_label(struct check *c, const cJSON *v)
{
    const char *why = name_qualified_error(v->valuestring);
    CLEANUP_FREE char *text = json_print_start(v, FINDING_VALUE_MAX);
    if (why)
        check_fail(c, text, "%s", why);
    else if (mark_is_reserved(v->valuestring))
        check_fail(c, text, "KubeVirt, Kubernetes, this operator or a tool that prunes owns it");
}

void check_keep_notes(struct check *c, const cJSON *v)
{
    const char *key = v->valuestring;
    CLEANUP_FREE char *text = json_print_start(v, FINDING_VALUE_MAX);
    if (!annotation_is_inherited(key) && !annotation_is_missed(key))
        check_fail(c, text, NULL);
}

/* --- network, cpuShape --- */

void check_map_with_networks(struct check *c, const cJSON *v)
{
    const cJSON *networks = json_at(c->root, "spec.networks");
    if (v->child && cJSON_IsArray(networks) && networks->child)
        check_fail(c, NULL, NULL);
}

void check_links_sriov(struct check *c, const cJSON *v)
{
    const cJSON *n;
    if (!str_eq(v->valuestring, "Down"))
        return;
    cJSON_ArrayForEach (n, json_at(c->root, "spec.networks"))
        if (str_eq(json_str(n, "type"), "sriov")) {
            check_fail(c, "\"Down\"", "spec.networks names one");
            return;
        }
}

void check_cpu_shape(struct check *c, const cJSON *v)
{
    const cJSON *cpu = json_at(c->root, "spec.cpu");
    CLEANUP_FREE char *text = json_print_start(v, FINDING_VALUE_MAX);
    if (!cpu || cJSON_IsNull(cpu))
        check_fail(c, text, NULL);
}

/* --- references --- */

static bool same_reference(const cJSON *a, const cJSON *b)
{
    const char *kind = json_str(a, "kind"), *from = json_str(a, "from");
    return kind && from && str_eq(kind, json_str(b, "kind")) && str_eq(from, json_str(b, "from"));
}

void check_unique_references(struct check *c, const cJSON *v)
{
    const cJSON *item, *other;
    char suffix[32];
    size_t i = 0;
    cJSON_ArrayForEach (item, v) {
        for (other = v->child; other != item && !same_reference(other, item); other = other->next)
            ;
        (void)snprintf(suffix, sizeof suffix, "[%zu]", i++);
        if (other == item)
            continue;
        CLEANUP_FREE char *text = json_print_start(json_get(item, "from"), FINDING_VALUE_MAX);
        check_fail_at(c, suffix, text, NULL);
    }
}

void check_reference_namespace(struct check *c, const cJSON *v)
{
    const char *to = json_str(v, "to");
    bool named = str_eq(json_str(v, "kind"), "Secret") || str_eq(json_str(v, "kind"), "ConfigMap");
    if (!named || !to || !strchr(to, '/'))
        return;
    CLEANUP_FREE char *text = json_print_start(json_get(v, "to"), FINDING_VALUE_MAX);
    check_fail(c, text, NULL);
}

/* --- overrides --- */

void check_overrides_size(struct check *c, const cJSON *v)
{
    CLEANUP_FREE char *text = json_print(v);
    size_t n = strlen(text);
    if (n > OVERRIDES_BYTES_MAX)
        check_fail(c, NULL, "it has %zu", n);
}

void check_overrides_depth(struct check *c, const cJSON *v)
{
    size_t n = overrides_depth(v);
    if (n > OVERRIDES_DEPTH_MAX)
        check_fail(c, NULL, "it has %zu", n);
}

static void fail_at_place(void *arg, const struct override_place *place)
{
    struct check *c = arg;
    CLEANUP_FREE char *suffix = xasprintf(".%s", place->path);
    check_fail_at(c, suffix, NULL, place->remedy ? "%s" : NULL, place->remedy);
}

void check_overrides_places(struct check *c, const cJSON *v)
{
    const enum override_fault *fault = c->rule->arg;
    overrides_each(v, *fault, fail_at_place, c);
}

/* Names of fields with dots between them, as the CRD's pattern has it. */
static bool is_field_path(const char *path)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (strlen(path) >= OVERRIDES_PATH_MAX)
        return false;
    for (;; path++) {
        size_t n = strspn(path, letters);
        path += n;
        if (!n || !*path || *path != '.')
            return n && !*path;
    }
}

void check_field_path(struct check *c, const cJSON *v)
{
    CLEANUP_FREE char *text = json_print_start(v, FINDING_VALUE_MAX);
    if (!is_field_path(v->valuestring))
        check_fail(c, text, NULL);
}

/* --- expires --- */

void check_expires_one(struct check *c, const cJSON *v)
{
    const cJSON *after = json_get(v, "after"), *at = json_get(v, "at");
    bool has_after = after && !cJSON_IsNull(after), has_at = at && !cJSON_IsNull(at);
    if (has_after == has_at)
        check_fail(c, NULL, has_at ? "both are set" : "none is set");
}

/* --- guest --- */

static bool has_member(const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    return v && !cJSON_IsNull(v);
}

void check_data_bytes(struct check *c, const cJSON *v)
{
    const struct check_length *l = c->rule->arg;
    size_t n = strlen(v->valuestring);
    if (n < l->min || n > l->max)
        check_fail(c, "\"…\"", "it has %zu", n);
}

void check_guest_replace(struct check *c, const cJSON *v)
{
    bool user = has_member(v, "userData") || has_member(v, "userDataSecret");
    bool network = has_member(v, "networkData") || has_member(v, "networkDataSecret");
    bool replace = str_eq(json_str(v, "cloudInit"), "Replace");
    if (replace ? !user : user || network)
        check_fail(c, NULL, NULL);
}

void check_guest_one(struct check *c, const cJSON *v)
{
    if (has_member(v, c->rule->field + 1) && has_member(v, c->rule->arg))
        check_fail(c, NULL, NULL);
}

void check_guest_ssh(struct check *c, const cJSON *v)
{
    if (str_eq(json_str(v, "cloudInit"), "Drop") &&
        has_member(json_get(c->root, "spec"), "sshKeySecret"))
        check_fail(c, "\"Drop\"", NULL);
}

void check_guest_reset(struct check *c, const cJSON *v)
{
    static const char *const members[] = {"resetMachineId", "resetSSHHostKeys"};
    bool none = str_eq(json_str(v, "cloudInit"), "Drop") || has_member(v, "userDataSecret");
    for (size_t i = 0; i < ARRAY_LEN(members) && none; i++) {
        CLEANUP_FREE char *suffix = xasprintf(".%s", members[i]);
        if (json_bool(v, members[i], false))
            check_fail_at(c, suffix, "true", NULL);
    }
}

void check_guest_reset_data(struct check *c, const cJSON *v)
{
    CLEANUP_BUF struct buf out = BUF_INIT(64 * KIB);
    const struct wukong_guest g = {
        .reset_machine_id = json_bool(v, "resetMachineId", false) ? TRI_TRUE : TRI_FALSE,
        .reset_ssh_host_keys = json_bool(v, "resetSSHHostKeys", false) ? TRI_TRUE : TRI_FALSE,
    };
    const char *data = json_str(v, "userData");
    const char *why = data && reset_is_wanted(&g) ? reset_user_data(data, &g, &out) : NULL;
    if (why)
        check_fail(c, NULL, "%s", why);
}

void check_guest_hostname_length(struct check *c, const cJSON *v)
{
    const char *hostname = json_str(v, "hostname");
    long long n = 1;
    (void)schema_integer(json_at(c->root, "spec.replicas"), &n);
    size_t suffix = n > 10 ? 3 : n > 1 ? 2 : 0;
    if (hostname && suffix && strlen(hostname) + suffix > LIMIT_DNS_LABEL)
        check_fail(c, NULL, "it would have %zu", strlen(hostname) + suffix);
}
