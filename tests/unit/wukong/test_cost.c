/*
 * Proves what a judgement costs when somebody means harm: whichever list or object of the schema is
 * made as long as a request can carry, whatever stands in it, the rules take a moment and say one
 * thing about its length; every list has a length that is judged; and twice as many findings, or
 * twice as long an old and new object, take about twice the time.
 */
#include "support.h"

#include <time.h>

#include "wukong/rules/checks.h"
#include "wukong/rules/rules.h"
#include "wukong/rules/schema.h"

#define LONG 30000
/* Sanitizers and a busy machine included; what was quadratic here took minutes. */
#define CPU_MAX_S 2.0

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- Every list of the schema, made long --- */

static cJSON *item_of(const struct schema *s, long i)
{
    char name[32];
    snprintf(name, sizeof(name), "d%ld", i);
    if (s->type != SCHEMA_OBJECT)
        return cJSON_CreateString(name);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", name);
    return item;
}

/* Of the shape that the schema gives the place, but long. */
static cJSON *long_value(const struct schema *s)
{
    cJSON *value = s->type == SCHEMA_ARRAY ? cJSON_CreateArray() : cJSON_CreateObject();
    for (long i = 0; i < LONG; i++) {
        char key[32];
        snprintf(key, sizeof(key), "k%ld", i);
        cJSON *item = s->type == SCHEMA_ARRAY ? item_of(s->fields, i) : cJSON_CreateString("v");
        if (s->type == SCHEMA_ARRAY) {
            cJSON_AddItemToArray(value, item);
        } else {
            /* At the front: cJSON looks a name up before it adds it behind. */
            item->string = cJSON_malloc(strlen(key) + 1);
            memcpy(item->string, key, strlen(key) + 1);
            cJSON_InsertItemInArray(value, 0, item);
        }
    }
    return value;
}

static size_t judge_long(const cJSON *tree, bool policy, const char *where)
{
    CLEANUP_FINDINGS struct findings l, updated;
    findings_init(&l);
    findings_init(&updated);
    double began = cpu_s();
    if (policy) {
        validate_policy(tree, &l);
        validate_policy_unknown_fields(tree, &l);
    } else {
        validate_create(tree, &l);
        validate_unknown_fields(tree, &l);
        validate_update(tree, tree, &updated);
    }
    double took = cpu_s() - began;
    if (took > CPU_MAX_S)
        fail_msg("%s with %d takes %.1f s", where, LONG, took);
    size_t found = 0;
    for (size_t i = 0; i < l.count; i++)
        found += str_eq(l.items[i].field, where);
    return found;
}

struct place {
    const struct schema *steps[12];
    size_t depth;
    bool policy;
};

/* The tree down to the place, one item in each list on the way. */
static void plant(const struct place *p)
{
    cJSON *root = cJSON_CreateObject(), *at = root;
    char where[256] = "";
    for (size_t i = 1; i < p->depth; i++) {
        const struct schema *s = p->steps[i];
        bool last = i + 1 == p->depth, item = p->steps[i - 1]->type == SCHEMA_ARRAY;
        cJSON *next = last                      ? long_value(s)
                      : s->type == SCHEMA_ARRAY ? cJSON_CreateArray()
                                                : cJSON_CreateObject();
        size_t n = strlen(where);
        snprintf(where + n, sizeof(where) - n, "%s%s", item ? "[0]" : n ? "." : "", s->name);
        if (item)
            cJSON_AddItemToArray(at, next);
        else
            cJSON_AddItemToObject(at, s->name, next);
        at = next;
    }
    const struct schema *s = p->steps[p->depth - 1];
    size_t found = judge_long(root, p->policy, where);
    bool free_length = s->type == SCHEMA_STRING_MAP && p->depth == 3; /* labels, annotations */
    if (!free_length && found != 1)
        fail_msg("%s with %d: %zu findings about it", where, LONG, found);
    cJSON_Delete(root);
}

static void each_place(struct place *p)
{
    const struct schema *s = p->steps[p->depth - 1];
    if (p->depth > 1 &&
        (s->type == SCHEMA_ARRAY || s->type == SCHEMA_OBJECT || s->type == SCHEMA_STRING_MAP))
        plant(p);
    for (size_t i = 0; i < s->count; i++) {
        assert_true(p->depth < ARRAY_LEN(p->steps));
        p->steps[p->depth++] = &s->fields[i];
        each_place(p);
        p->depth--;
    }
}

static void test_every_list_and_object(void **state)
{
    (void)state;
    each_place(&(struct place){.steps = {&schema_wukong}, .depth = 1});
    each_place(&(struct place){.steps = {&schema_policy}, .depth = 1, .policy = true});
}

/* --- Growth --- */

/* Labels, each of them wrong or each of them right; the members of old in the other order. */
static cJSON *labels(long n, bool good, bool backwards)
{
    CLEANUP_BUF struct buf text = BUF_INIT(16 * MIB);
    buf_adds(&text, "{\"metadata\":{\"name\":\"w\",\"labels\":{");
    for (long i = 0; i < n; i++)
        buf_addf(&text, "%s\"k%ld\":\"%s\"", i ? "," : "", backwards ? n - 1 - i : i,
                 good ? "v" : "-");
    buf_adds(&text, "}},\"spec\":{\"cloneSource\":{\"type\":\"vmi\",\"vmiName\":\"a\"}}}");
    cJSON *tree = NULL;
    struct err err;
    assert_int_equal(json_parse(text.data, text.len, true, &tree, &err), 0);
    return tree;
}

static double labels_cost(long n, bool good)
{
    double best = 1e9;
    CLEANUP_JSON cJSON *old = labels(n, good, true);
    CLEANUP_JSON cJSON *new = labels(n, good, false);
    for (int i = 0; i < 5; i++) {
        CLEANUP_FINDINGS struct findings l;
        findings_init(&l);
        double began = cpu_s();
        validate_update(old, new, &l);
        assert_true(json_equal(old, new));
        double took = cpu_s() - began;
        best = took < best ? took : best;
    }
    return best;
}

static void test_growth(void **state)
{
    (void)state;
    for (int good = 0; good <= 1; good++) {
        double one = labels_cost(4000, good), four = labels_cost(16000, good);
        if (four > one * 10 && four > 0.05)
            fail_msg("four times the labels: %.1f times the time", four / one);
    }
}

/* --- Findings past what is kept --- */

static void test_too_many_findings(void **state)
{
    (void)state;
    CLEANUP_JSON cJSON *tree = labels(2000, false, false);
    CLEANUP_FINDINGS struct findings l;
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    findings_init(&l);
    validate_create(tree, &l);
    assert_int_equal(l.count, FINDINGS_MAX);
    assert_int_equal(l.errors, 2000);
    assert_int_equal(l.dropped, 2000 - FINDINGS_MAX);
    findings_message(&l, &text);
    assert_non_null(strstr(text.data, ", and 1744 more]"));
}

/* Warnings alone never hide an error, and a rewind forgets exactly what came after. */
static void test_errors_after_warnings(void **state)
{
    (void)state;
    CLEANUP_FINDINGS struct findings l;
    findings_init(&l);
    struct findings_mark start = findings_mark(&l);
    for (int i = 0; i < 1000; i++)
        findings_add(&l, rule_find("memory-unit"), "spec.memory", NULL, NULL);
    assert_int_equal(l.errors, 0);
    findings_add(&l, rule_find("spec-required"), "spec", NULL, NULL);
    assert_int_equal(l.errors, 1);
    assert_true(findings_has(&l, "spec-required"));
    findings_rewind(&l, start);
    assert_int_equal(l.count + l.errors + l.warnings + l.dropped, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_list_and_object),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_too_many_findings),
        cmocka_unit_test(test_errors_after_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
