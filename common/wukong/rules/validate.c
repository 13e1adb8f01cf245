#include "wukong/rules/validate.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "json/json.h"
#include "wukong/rules/checks.h"
#include "wukong/rules/schema.h"

/* --- The walk: tree and schema side by side --- */

/* Rules by what their place looks like, so that a value meets the few that may be its own and not
   the whole table: made anew for each walk, which costs less than two values would without it. */
#define INDEX_BUCKETS 256u
#define INDEX_RULES_MAX 512u
struct rule_index {
    uint16_t first[INDEX_BUCKETS], next[INDEX_RULES_MAX]; /* number of the rule + 1; 0: none */
};

struct walk {
    struct rule_index index;
    const cJSON *root;
    struct findings *findings;
    bool unknown_fields; /* report those and nothing else */
    size_t pattern_len, path_len;
    char pattern[PATH_MAX_BYTES]; /* "spec.disks[].size", as rules name places */
    char path[PATH_MAX_BYTES];    /* "spec.disks[1].size", as users read it */
};

static size_t append(char *text, size_t len, const char *more)
{
    size_t n = strlen(more);
    if (n >= PATH_MAX_BYTES - len)
        n = PATH_MAX_BYTES - 1 - len;
    memcpy(text + len, more, n);
    text[len + n] = '\0';
    return len + n;
}

static size_t bucket_of(const char *pattern, size_t n)
{
    if (n == 0)
        return 0;
    return (n * 31 + (unsigned char)pattern[n - 1] * 7 + (unsigned char)pattern[n / 2]) %
           INDEX_BUCKETS;
}

static void index_rules(struct rule_index *x)
{
    size_t count = rule_count();
    assert(count < INDEX_RULES_MAX);
    /* From the last on, so that each chain is in the tables' order. */
    for (size_t i = count; i-- > 0;) {
        const struct rule *rule = rule_at(i);
        if (!rule->check)
            continue;
        size_t bucket = bucket_of(rule->on, strlen(rule->on));
        x->next[i] = x->first[bucket];
        x->first[bucket] = (uint16_t)(i + 1);
    }
}

/* Rules of length alone, or all others. */
static void run_rules(const struct walk *w, const cJSON *value, bool lengths)
{
    size_t next;
    for (size_t i = w->index.first[bucket_of(w->pattern, w->pattern_len)]; i; i = next) {
        const struct rule *rule = rule_at(i - 1);
        next = w->index.next[i - 1];
        if ((rule->check == check_length) != lengths || strcmp(rule->on, w->pattern) != 0)
            continue;
        struct check c = {rule, w->root, w->path, w->findings};
        rule->check(&c, value);
    }
}

static bool holds_more_than(const cJSON *value, size_t max)
{
    const cJSON *item = value->child;
    for (size_t i = 0; item && i < max; i++)
        item = item->next;
    return item != NULL;
}

/* Judged before anything else about the value, which is not looked at any further when it holds too
   much: a list of a hundred thousand disks costs no more than to be refused. */
static bool is_too_long(const struct walk *w, const struct schema *s, const cJSON *value)
{
    size_t found = w->findings->count + w->findings->dropped;
    run_rules(w, value, true);
    if (!cJSON_IsArray(value) && !cJSON_IsObject(value))
        return false;
    if (w->findings->count + w->findings->dropped > found)
        return true;
    if (!s->max || !holds_more_than(value, s->max))
        return false;
    findings_add(w->findings, rule_find("too-many"), w->path, NULL, "at most %zu are allowed",
                 s->max);
    return true;
}

static void wrong_type(const struct walk *w, const struct schema *s, const cJSON *value)
{
    /* What cloudInitUser and guest hold may be a secret and is never repeated. */
    bool secret =
        str_starts(w->pattern, "spec.cloudInitUser.") || str_starts(w->pattern, "spec.guest.");
    CLEANUP_FREE char *text = secret  ? xstrdup("…")
                              : value ? json_print_start(value, FINDING_VALUE_MAX)
                                      : xstrdup("null");
    findings_add(w->findings, rule_find("type"), w->path, text, "%s; %s", schema_type_text(s->type),
                 schema_type_remedy(s->type));
}

static void walk_value(struct walk *w, const struct schema *s, const cJSON *value);

static void unknown_field(const struct walk *w, const struct schema *s, const cJSON *value)
{
    const char *names[64];
    size_t count = 0;
    if (findings_full(w->findings)) {
        findings_add(w->findings, rule_find("unknown-field"), w->path, NULL, NULL);
        return;
    }
    for (size_t i = 0; i < s->count && count < ARRAY_LEN(names); i++)
        names[count++] = s->fields[i].name;
    const char *near = findings_suggest(value->string, names, count);
    CLEANUP_FREE char *name = xasprintf("\"%.*s\"", FINDING_VALUE_MAX + 4, value->string);
    if (near)
        findings_add(w->findings, rule_find("unknown-field"), w->path, name, "did you mean \"%s\"?",
                     near);
    else
        findings_add(w->findings, rule_find("unknown-field"), w->path, name, NULL);
}

/* Enters a member (after a dot, but at the root) or an item and restores both paths afterwards. */
static void walk_into(struct walk *w, const struct schema *s, const cJSON *value, bool member,
                      const char *pattern, const char *path)
{
    size_t pattern_len = w->pattern_len, path_len = w->path_len;
    if (member && path_len) {
        w->pattern_len = append(w->pattern, w->pattern_len, ".");
        w->path_len = append(w->path, w->path_len, ".");
    }
    w->pattern_len = append(w->pattern, w->pattern_len, pattern);
    w->path_len = append(w->path, w->path_len, path);
    walk_value(w, s, value);
    w->pattern[w->pattern_len = pattern_len] = '\0';
    w->path[w->path_len = path_len] = '\0';
}

static void walk_object(struct walk *w, const struct schema *s, const cJSON *value)
{
    const cJSON *member;
    /* In the order of the schema, so that findings come in a fixed order. */
    for (size_t i = 0; i < s->count; i++) {
        member = json_get(value, s->fields[i].name);
        if (!member || cJSON_IsNull(member))
            continue;
        walk_into(w, &s->fields[i], member, true, s->fields[i].name, s->fields[i].name);
    }
    if (!w->unknown_fields)
        return;
    cJSON_ArrayForEach (member, value) {
        if (schema_field(s, member->string))
            continue;
        size_t path_len = w->path_len;
        if (path_len)
            w->path_len = append(w->path, w->path_len, ".");
        w->path_len = append(w->path, w->path_len, member->string);
        unknown_field(w, s, member);
        w->path[w->path_len = path_len] = '\0';
    }
}

static void walk_array(struct walk *w, const struct schema *s, const cJSON *value)
{
    char index[32];
    const cJSON *item;
    size_t i = 0;
    assert(s->count == 1);
    cJSON_ArrayForEach (item, value) {
        snprintf(index, sizeof(index), "[%zu]", i++);
        walk_into(w, s->fields, item, false, "[]", index);
    }
}

static void walk_value(struct walk *w, const struct schema *s, const cJSON *value)
{
    if (!schema_fits(s->type, value)) {
        if (!w->unknown_fields)
            wrong_type(w, s, value);
        return;
    }
    if (!w->unknown_fields && is_too_long(w, s, value))
        return;
    if (w->unknown_fields && s->max && holds_more_than(value, s->max))
        return;
    if (!w->unknown_fields)
        run_rules(w, value, false);
    if (s->type == SCHEMA_OBJECT)
        walk_object(w, s, value);
    else if (s->type == SCHEMA_ARRAY)
        walk_array(w, s, value);
}

static void walk_root(const struct schema *s, const char *prefix, const cJSON *object,
                      bool unknown_fields, struct findings *l)
{
    CLEANUP_FREE struct walk *w = xcalloc(1, sizeof(*w));
    w->root = object;
    w->findings = l;
    w->unknown_fields = unknown_fields;
    w->pattern_len = append(w->pattern, 0, prefix);
    index_rules(&w->index);
    walk_value(w, s, object);
}

void validate_create(const cJSON *object, struct findings *l)
{
    walk_root(&schema_wukong, "", object, false, l);
}

void validate_unknown_fields(const cJSON *object, struct findings *l)
{
    walk_root(&schema_wukong, "", object, true, l);
}

void validate_policy(const cJSON *object, struct findings *l)
{
    walk_root(&schema_policy, "ClonePolicy:", object, false, l);
}

void validate_policy_unknown_fields(const cJSON *object, struct findings *l)
{
    walk_root(&schema_policy, "ClonePolicy:", object, true, l);
}
