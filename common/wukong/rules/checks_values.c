#include "wukong/rules/checks.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apimachinery/dns_names.h"
#include "apimachinery/duration.h"
#include "apimachinery/quantity.h"
#include "base/str.h"
#include "calendar/cron.h"
#include "json/json.h"
#include "wukong/rules/schema.h"

/* The CRD's maxLength of quantities (an API server refuses quantity() rules without one). */
#define QUANTITY_CRD_MAX 32
#define CRON_CRD_MAX 128
#define MINUTE_NS (INT64_C(60) * 1000000000)
#define WEEK_NS (7 * 24 * 60 * MINUTE_NS)
#define YEAR_NS (366 * 24 * 60 * MINUTE_NS)

static char *quote_value(const cJSON *v)
{
    return v ? json_print_start(v, FINDING_VALUE_MAX) : NULL;
}

void check_int_range(struct check *c, const cJSON *v)
{
    const struct check_range *r = c->rule->arg;
    long long n;
    if (schema_integer(v, &n) && n >= r->min && n <= r->max)
        return;
    CLEANUP_FREE char *text = quote_value(v);
    check_fail(c, text, NULL);
}

void check_length(struct check *c, const cJSON *v)
{
    const struct check_length *l = c->rule->arg;
    size_t n = cJSON_IsString(v) ? str_characters(v->valuestring) : (size_t)cJSON_GetArraySize(v);
    if (n >= l->min && n <= l->max)
        return;
    if (cJSON_IsString(v)) {
        CLEANUP_FREE char *text = quote_value(v);
        check_fail(c, text, "it has %zu", n);
    } else {
        char text[32];
        snprintf(text, sizeof(text), "%zu", n);
        check_fail(c, text, NULL);
    }
}

void check_secret_length(struct check *c, const cJSON *v)
{
    const struct check_length *l = c->rule->arg;
    size_t n = str_characters(v->valuestring);
    if (n < l->min || n > l->max)
        check_fail(c, "\"…\"", "it has %zu", n);
}

static void choose(struct check *c, const char *suffix, const cJSON *v)
{
    const struct check_choices *k = c->rule->arg;
    for (size_t i = 0; i < k->count; i++)
        if (k->names[i] && str_eq(v->valuestring, k->names[i]))
            return;
    CLEANUP_FREE char *text = quote_value(v);
    CLEANUP_FREE char *path = xasprintf("%s%s", c->path, suffix);
    findings_add_unsupported(c->findings, c->rule, path, text, k->names, k->count);
}

void check_choice(struct check *c, const cJSON *v)
{
    choose(c, "", v);
}

void check_choice_items(struct check *c, const cJSON *v)
{
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach (item, v) {
        char suffix[32];
        snprintf(suffix, sizeof(suffix), "[%zu]", i++);
        if (cJSON_IsString(item))
            choose(c, suffix, item);
    }
}

static void check_named(struct check *c, const cJSON *v, const char *why)
{
    if (!why)
        return;
    CLEANUP_FREE char *text = quote_value(v);
    check_fail(c, text, "it %s", why);
}

void check_dns_label(struct check *c, const cJSON *v)
{
    check_named(c, v, name_dns_label_error(v->valuestring));
}

void check_dns_subdomain(struct check *c, const cJSON *v)
{
    check_named(c, v, name_dns_subdomain_error(v->valuestring));
}

/* names.go NameIsDNSSubdomain with prefix: what stands before the random part may end in '-'. */
void check_generate_name(struct check *c, const cJSON *v)
{
    CLEANUP_FREE char *name = xstrdup(v->valuestring);
    size_t n = strlen(name);
    if (n && name[n - 1] == '-')
        name[n - 1] = 'a';
    check_named(c, v, n ? name_dns_subdomain_error(name) : NULL);
}

static void bad_label(struct check *c, const cJSON *item, const char *bad_key,
                      const char *bad_value)
{
    if (findings_full(c->findings)) {
        check_fail_at(c, "", NULL, NULL);
        return;
    }
    CLEANUP_FREE char *suffix = xasprintf("[%.*s]", LIMIT_DNS_SUBDOMAIN + 64, item->string);
    CLEANUP_FREE char *key = xasprintf("\"%.*s\"", FINDING_VALUE_MAX + 4, item->string);
    CLEANUP_FREE char *text = quote_value(item);
    if (bad_key)
        check_fail_at(c, suffix, key, "its key: %s", bad_key);
    else
        check_fail_at(c, suffix, text, "its value %s", bad_value);
}

void check_label_map(struct check *c, const cJSON *v)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, v) {
        const char *bad_key = name_qualified_error(item->string);
        const char *bad_value =
            !bad_key && cJSON_IsString(item) ? name_label_value_error(item->valuestring) : NULL;
        if (bad_key || bad_value)
            bad_label(c, item, bad_key, bad_value);
    }
}

/* isQuantity(string(self)) && !matches('[num]$') && >= 1, as the CRD has it. 1.1Gi is no whole
   number of bytes either, and Kubernetes rounds it up. */
void check_quantity(struct check *c, const cJSON *v)
{
    CLEANUP_FREE char *text = json_text(v);
    CLEANUP_FREE char *printed = quote_value(v);
    struct quantity q, one = quantity_from_int(1);
    enum quantity_error e = quantity_parse(text, &q);
    size_t n = strlen(text);
    if (cJSON_IsString(v) && str_characters(text) > QUANTITY_CRD_MAX)
        check_fail(c, printed, "it has more than %d characters", QUANTITY_CRD_MAX);
    else if (e != QUANTITY_OK)
        check_fail(c, printed, "%s", quantity_error_text(e));
    else if (n && strchr("num", text[n - 1]))
        check_fail(c, printed, "the suffixes n, u and m make fractions of a byte");
    else if (q.sign <= 0)
        check_fail(c, printed, "it is not above zero");
    else if (quantity_compare(&q, &one) < 0)
        check_fail(c, printed, "it is less than one byte");
}

/* Fewer bytes than the argument: somebody forgot the unit. */
void check_quantity_unit(struct check *c, const cJSON *v)
{
    const struct check_range *r = c->rule->arg;
    CLEANUP_FREE char *text = json_text(v);
    struct quantity q;
    if (quantity_parse(text, &q) != QUANTITY_OK || q.sign <= 0)
        return;
    int64_t bytes = quantity_value(&q);
    if (bytes < r->min)
        check_fail(c, NULL, "%.32s is %" PRId64 " bytes", text, bytes);
}

void check_cron(struct check *c, const cJSON *v)
{
    struct cron ignored;
    struct err err;
    CLEANUP_FREE char *text = quote_value(v);
    if (str_characters(v->valuestring) > CRON_CRD_MAX)
        check_fail(c, text, "it has more than %d characters", CRON_CRD_MAX);
    else if (cron_parse(v->valuestring, &ignored, &err) < 0)
        check_fail(c, text, "%s", err.message);
    else if (ignored.every_s)
        check_fail(c, text, "@every has no fixed start, so no window begins");
}

/* A schedule that parses and never comes: February 30th. Which year is asked does not matter, as
   the search goes on for five years and so meets every kind of year but 2100's. */
void check_cron_fires(struct check *c, const cJSON *v)
{
    struct cron cron;
    struct err err;
    int64_t at;
    const int64_t some_day_s = 1767225600; /* 2026-01-01 */
    if (strlen(v->valuestring) > CRON_CRD_MAX)
        return; /* check_cron's to report */
    if (cron_parse(v->valuestring, &cron, &err) < 0 || cron.every_s)
        return;
    if (cron_next(&cron, NULL, some_day_s, &at))
        return;
    CLEANUP_FREE char *text = quote_value(v);
    check_fail(c, text, NULL);
}

/* self.matches('^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$') of the CRD. */
static bool plain_duration(const char *s)
{
    do {
        size_t n = strspn(s, "0123456789");
        if (!n)
            return false;
        s += n;
        if (*s == '.') {
            n = strspn(++s, "0123456789");
            if (!n)
                return false;
            s += n;
        }
        if (str_starts(s, "ms"))
            s += 2;
        else if (*s && strchr("smh", *s))
            s++;
        else
            return false;
    } while (*s);
    return true;
}

static void check_duration(struct check *c, const cJSON *v, int64_t max_ns)
{
    int64_t ns;
    CLEANUP_FREE char *text = quote_value(v);
    if (str_characters(v->valuestring) > 32)
        check_fail(c, text, "it has more than 32 characters");
    else if (!plain_duration(v->valuestring) || !duration_parse(v->valuestring, &ns))
        check_fail(c, text, "it is no duration in the units h, m, s and ms");
    else if (ns < MINUTE_NS)
        check_fail(c, text, "it is too short");
    else if (ns > max_ns)
        check_fail(c, text, "it is too long");
}

void check_window_duration(struct check *c, const cJSON *v)
{
    check_duration(c, v, WEEK_NS);
}

void check_lifetime(struct check *c, const cJSON *v)
{
    check_duration(c, v, YEAR_NS);
}

void check_time_zone(struct check *c, const cJSON *v)
{
    struct err err;
    CLEANUP_FREE char *text = quote_value(v);
    CLEANUP_ZONE struct zone *zone = NULL;
    size_t n = str_characters(v->valuestring);
    if (n < 1 || n > 64)
        check_fail(c, text, "it must have 1 to 64 characters");
    else if (zone_load(v->valuestring, &zone, &err) < 0 && err.kind != ERR_UNAVAILABLE)
        check_fail(c, text, "%s", err.message);
}

void check_time_zone_known(struct check *c, const cJSON *v)
{
    struct err err;
    CLEANUP_ZONE struct zone *zone = NULL;
    if (strlen(v->valuestring) > LIMIT_DNS_SUBDOMAIN)
        return; /* check_time_zone's to report */
    if (zone_load(v->valuestring, &zone, &err) < 0 && err.kind == ERR_UNAVAILABLE)
        check_fail(c, NULL, "%s", err.message);
}

/* go-openapi strfmt's date-time, which is what `format: date-time` is checked with: RFC 3339 with
   upper or lower case T and Z, and a fraction of any length. */
void check_date_time(struct check *c, const cJSON *v)
{
    int64_t ms;
    if (str_to_time_ms(v->valuestring, &ms))
        return;
    CLEANUP_FREE char *text = quote_value(v);
    check_fail(c, text, NULL);
}

void check_condition_type(struct check *c, const cJSON *v)
{
    size_t n = str_characters(v->valuestring);
    CLEANUP_FREE char *text = quote_value(v);
    const char *why = name_qualified_error(v->valuestring);
    if (n < 1 || n > 316)
        check_fail(c, text, "it must have 1 to 316 characters");
    else if (why)
        check_fail(c, text, "%s", why);
}

void check_gate_reserved(struct check *c, const cJSON *v)
{
    static const char *const own[] = {
        "Ready",
        "Reconciling",
        "Stalled",
        "SourceReady",
        "PolicyAllowed",
        "AwaitingGates",
        "SnapshotReady",
        "SnapshotTaken",
        "DisksReady",
        "VirtualMachineReady",
        "TemporariesCleaned",
    };
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (!str_eq(v->valuestring, own[i]))
            continue;
        CLEANUP_FREE char *text = quote_value(v);
        check_fail(c, text, NULL);
    }
}

static bool is_ip(const char *s, int *ret_bits)
{
    unsigned char b[16];
    *ret_bits = strchr(s, ':') ? 128 : 32;
    return inet_pton(*ret_bits == 128 ? AF_INET6 : AF_INET, s, b) == 1;
}

/* Longer than any, so that what is cut is none. */
#define ADDRESS_TEXT_MAX 128

void check_address(struct check *c, const cJSON *v)
{
    CLEANUP_FREE char *text = quote_value(v);
    CLEANUP_FREE char *host = xstrndup(v->valuestring, ADDRESS_TEXT_MAX);
    char *slash = strchr(host, '/');
    int bits;
    uint64_t prefix;
    if (slash)
        *slash++ = '\0';
    if (!is_ip(host, &bits))
        check_fail(c, text, "it is no IP address");
    else if (!slash)
        check_fail(c, text, "the prefix length is missing");
    else if (!str_to_u64(slash, &prefix) || prefix > (uint64_t)bits)
        check_fail(c, text, "its prefix length is not between 0 and %d", bits);
}

void check_ip(struct check *c, const cJSON *v)
{
    int bits;
    if (is_ip(v->valuestring, &bits))
        return;
    CLEANUP_FREE char *text = quote_value(v);
    check_fail(c, text, NULL);
}

/* "name" or "namespace/name", as Multus reads it. */
void check_nad_name(struct check *c, const cJSON *v)
{
    const char *slash = strchr(v->valuestring, '/'), *name = slash ? slash + 1 : v->valuestring;
    CLEANUP_FREE char *ns =
        slash ? xstrndup(v->valuestring, (size_t)(slash - v->valuestring)) : NULL;
    CLEANUP_FREE char *text = quote_value(v);
    if (ns && !name_is_dns_label(ns))
        check_fail(c, text, "the namespace before '/' %s", name_dns_label_error(ns));
    else if (!name_is_dns_subdomain(name))
        check_fail(c, text, "the name %s", name_dns_subdomain_error(name));
}

/* --- Lists whose items differ --- */

struct keyed {
    const char *key; /* NULL: none, and never a duplicate */
    size_t at;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (!x->key || !y->key)
        return (x->key != NULL) - (y->key != NULL);
    int order = strcmp(x->key, y->key);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* For each item whether an earlier one has its key: by sorting, so that a long list costs little
   more than a short one. Owned by the caller. */
static bool *find_repeated(const cJSON *list, const char *(*key_of)(const cJSON *item))
{
    size_t n = (size_t)cJSON_GetArraySize(list), i = 0;
    CLEANUP_FREE struct keyed *keys = xcalloc(n, sizeof(*keys));
    bool *again = xcalloc(n, sizeof(*again));
    const cJSON *item;
    cJSON_ArrayForEach (item, list) {
        keys[i] = (struct keyed){key_of(item), i};
        i++;
    }
    qsort(keys, n, sizeof(*keys), compare_keyed);
    for (i = 1; i < n; i++)
        again[keys[i].at] = keys[i].key && str_eq(keys[i].key, keys[i - 1].key);
    return again;
}

static const char *text_of(const cJSON *item)
{
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static const char *name_of(const cJSON *item)
{
    return json_str(item, "name");
}

static const char *from_of(const cJSON *item)
{
    return json_str(item, "from");
}

/* A list of strings that is a set. */
void check_unique_items(struct check *c, const cJSON *v)
{
    CLEANUP_FREE bool *again = find_repeated(v, text_of);
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach (item, v) {
        char suffix[32];
        snprintf(suffix, sizeof(suffix), "[%zu]", i);
        CLEANUP_FREE char *text = again[i] ? quote_value(item) : NULL;
        if (again[i++])
            check_fail_at(c, suffix, text, NULL);
    }
}

/* A list of objects that is a map by name. */
static void check_unique(struct check *c, const cJSON *v, const char *member,
                         const char *(*key_of)(const cJSON *item))
{
    CLEANUP_FREE bool *again = find_repeated(v, key_of);
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach (item, v) {
        char suffix[40];
        snprintf(suffix, sizeof(suffix), "[%zu].%s", i, member);
        CLEANUP_FREE char *text = again[i] ? quote_value(json_get(item, member)) : NULL;
        if (again[i++])
            check_fail_at(c, suffix, text, NULL);
    }
}

void check_unique_names(struct check *c, const cJSON *v)
{
    check_unique(c, v, "name", name_of);
}

void check_unique_from(struct check *c, const cJSON *v)
{
    check_unique(c, v, "from", from_of);
}

void check_required(struct check *c, const cJSON *v)
{
    const cJSON *member = json_get(v, c->rule->field + (*c->rule->field == '.'));
    if (!member || cJSON_IsNull(member))
        check_fail(c, NULL, NULL);
}

void check_equals(struct check *c, const cJSON *v)
{
    if (str_eq(v->valuestring, c->rule->arg))
        return;
    CLEANUP_FREE char *text = quote_value(v);
    check_fail(c, text, NULL);
}
