/*
 * Proves that a projection keeps exactly the fields that its kind names, in the object's own text,
 * and that the store finds objects by name and label, tells its listeners each change once,
 * and turns a relist into upserts and deletes. The store is driven by op-scripts and against a
 * model.
 */
#include "test.h"

#include "base/buf.h"
#include "base/rng.h"
#include "base/str.h"
#include "json/json.h"
#include "kube/metrics.h"
#include "kube/store.h"

static const struct kube_kind kind = {
    .group = "",
    .version = "v1",
    .resource = "things",
    .kind = "Thing",
    .fields = {"status.phase", "spec", "metadata.annotations[a.b/c]", "spec.count", "status.none",
               "spec.flag"},
    .label_key = "app.x/owner",
};

static struct kube_object *project(const char *text)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct kube_object *o = NULL;
    struct err err = {0};
    if (json_parse(text, strlen(text), true, &tree, &err) != 0)
        fail_msg("%s", err.message);
    return kube_object_project(&kind, tree, &o, &err) == 0 ? o : NULL;
}

static void test_projection(void **state)
{
    (void)state;
    CLEANUP_FREE struct kube_object *o = project(
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"uid\":\"u1\",\"resourceVersion\":"
        "\"5\","
        "\"generation\":3,\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"deletionTimestamp\":"
        "\"2026-01-02T03:04:06Z\",\"finalizers\":[\"f\"],\"annotations\":{\"a.b/c\":\"note\"},"
        "\"labels\":{\"app.x/owner\":\"w1\"},\"ownerReferences\":[{\"uid\":\"o1\",\"kind\":\"A\","
        "\"name\":\"first\"},{\"uid\":\"o2\",\"kind\":\"B\",\"name\":\"second\",\"controller\":"
        "true}"
        "]},\"spec\":{\"count\":9007199254740993,\"flag\":true,\"list\":[1,\"x\"]},"
        "\"status\":{\"phase\":\"Bo\\\"und\",\"none\":null,\"more\":1}}");
    assert_non_null(o);
    assert_ptr_equal(o->kind, &kind);
    assert_string_equal(o->ns, "n");
    assert_string_equal(o->name, "a");
    assert_string_equal(o->uid, "u1");
    assert_string_equal(o->resource_version, "5");
    assert_int_equal(o->generation, 3);
    assert_true(o->created_ms == 1767323045000);
    assert_true(o->deleted_ms == 1767323046000);
    assert_string_equal(o->owner_uid, "o2");
    assert_string_equal(o->owner_kind, "B");
    assert_string_equal(o->owner_name, "second");
    assert_string_equal(o->label, "w1");
    assert_string_equal(kube_object_field(o, "status.phase"), "Bo\"und");
    assert_string_equal(kube_object_field(o, "metadata.annotations[a.b/c]"), "note");
    assert_string_equal(kube_object_field(o, "spec.count"), "9007199254740993");
    assert_string_equal(kube_object_field(o, "spec.flag"), "true");
    assert_string_equal(kube_object_field(o, "spec"),
                        "{\"count\":9007199254740993,\"flag\":true,\"list\":[1,\"x\"]}");
    assert_null(kube_object_field(o, "status.none"));
    assert_null(kube_object_field(o, "status.more"));
}

static void test_bare_projection(void **state)
{
    (void)state;
    CLEANUP_FREE struct kube_object *o = project(
        "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"ownerReferences\":[{\"uid\":\"o1\"}],"
        "\"deletionTimestamp\":\"whenever\"}}");
    assert_non_null(o);
    assert_string_equal(o->ns, "");
    assert_string_equal(o->resource_version, "");
    assert_string_equal(o->owner_uid, "o1");
    assert_null(o->owner_kind);
    assert_null(o->label);
    assert_true(o->deleted_ms != 0); /* a deletion is never missed */
    static const char *const refused[] = {"{}",
                                          "{\"metadata\":{\"name\":\"a\"}}",
                                          "{\"metadata\":{\"uid\":\"a\"}}",
                                          "{\"metadata\":{\"name\":\"\",\"uid\":\"u\"}}",
                                          "{\"metadata\":[]}",
                                          "[]"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_null(project(refused[i]));
}

static struct kube_object *make(const char *ns, const char *name, const char *uid, const char *rv,
                                const char *label)
{
    CLEANUP_FREE char *labels =
        label ? xasprintf("{\"app.x/owner\":\"%s\"}", label) : xstrdup("{}");
    CLEANUP_FREE char *text = xasprintf("{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\","
                                        "\"uid\":\"%s\",\"resourceVersion\":\"%s\",\"labels\":%s}}",
                                        ns, name, uid, rv, labels);
    return project(text);
}

static void note(void *arg, const struct kube_object *before, const struct kube_object *after)
{
    struct buf *out = arg;
    if (!before)
        buf_addf(out, "+%s%s ", after->uid, after->resource_version);
    else if (!after)
        buf_addf(out, "-%s%s ", before->uid, before->resource_version);
    else
        buf_addf(out, "%s%s>%s%s ", before->uid, before->resource_version, after->uid,
                 after->resource_version);
}

static bool note_name(void *arg, const struct kube_object *o)
{
    buf_addf(arg, "%s%s", o->uid, o->resource_version);
    return true;
}

/* Ops, one word each: p<name><uid><rv><label|-> put, d<name> delete, m mark, s sweep,
   g<name> get, l<label> list by label; all one character each. */
static void run_script(struct store *s, const char *script, struct buf *out)
{
    uint32_t generation = 0;
    for (const char *p = script; *p; p++) {
        char name[2] = {p[1]}, uid[2] = {0}, rv[2] = {0}, label[2] = {0};
        const struct kube_object *o = NULL;
        switch (*p) {
        case 'p':
            uid[0] = p[2];
            rv[0] = p[3];
            label[0] = p[4];
            store_put(s, make("n", name, uid, rv, label[0] == '-' ? NULL : label));
            p += 4;
            break;
        case 'd':
            buf_addf(out, "%s", store_remove(s, "n", name) ? "" : "absent ");
            p++;
            break;
        case 'm':
            generation = store_mark(s);
            break;
        case 's':
            buf_addf(out, "=%zu ", store_sweep(s, (struct store_scope){0}, generation));
            break;
        case 'g':
            o = store_get(s, "n", name);
            buf_addf(out, "[%s%s] ", o ? o->uid : "", o ? o->resource_version : "");
            p++;
            break;
        case 'l':
            buf_addc(out, '(');
            store_each_label(s, name, note_name, out);
            buf_adds(out, ") ");
            p++;
            break;
        default:
            break;
        }
    }
}

static void test_scripts(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *script, *out;
    } rows[] = {
        {__LINE__, "ga dA", "[] absent "},
        {__LINE__, "paA1- ga gA", "+A1 [A1] [] "},
        {__LINE__, "paA1- paA2- ga", "+A1 A1>A2 [A2] "},
        {__LINE__, "paA1- paA1- ga", "+A1 [A1] "},
        {__LINE__, "paA1- da ga da", "+A1 -A1 [] absent "},
        {__LINE__, "paA1- paB2- ga", "+A1 -A1 +B2 [B2] "},
        {__LINE__, "paA1x pbB1x lx ly", "+A1 +B1 (A1B1) () "},
        {__LINE__, "paA1x paA2y lx ly", "+A1 A1>A2 () (A2) "},
        {__LINE__, "paA1x paA2- lx", "+A1 A1>A2 () "},
        {__LINE__, "paA1x pbB1x pcC1x db lx da lx dc lx",
         "+A1 +B1 +C1 -B1 (A1C1) -A1 (C1) -C1 () "},
        {__LINE__, "paA1- pbB1- m paA1- pcC1- s ga gb gc", "+A1 +B1 +C1 -B1 =1 [A1] [] [C1] "},
        {__LINE__, "paA1- m paA2- s", "+A1 A1>A2 =0 "},
        {__LINE__, "paA1- m m paA1- s s", "+A1 =0 =0 "},
        {__LINE__, "paA1- m s", "+A1 -A1 =1 "},
        {__LINE__, "m paA1- m s", "+A1 -A1 =1 "},
        {__LINE__, "paA1- m paB2- s ga", "+A1 -A1 +B2 =0 [B2] "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store *s = store_new(&kind);
        CLEANUP_BUF struct buf out = BUF_INIT(1000);
        store_listen(s, (struct store_listener){note, &out});
        run_script(s, rows[i].script, &out);
        if (strcmp(out.data, rows[i].out) != 0)
            fail_msg("row at line %d: %s", rows[i].line, out.data);
        store_free(s);
    }
}

static void test_namespaces_and_bytes(void **state)
{
    (void)state;
    struct store *s = store_new(&kind);
    assert_int_equal(store_bytes(s), 0);
    store_put(s, make("a", "b", "1", "1", "x"));
    store_put(s, make("a", "c", "2", "1", NULL));
    assert_int_equal(store_count(s), 2);
    assert_null(store_get(s, "", "b"));
    assert_null(store_get(s, NULL, "b"));
    assert_non_null(store_get(s, "a", "b"));
    size_t two = store_bytes(s);
    assert_true(two > 2 * 50);
    assert_true(store_remove(s, "a", "b"));
    assert_true(store_bytes(s) < two);
    assert_true(store_remove(s, "a", "c"));
    assert_int_equal(store_bytes(s), 0);
    assert_int_equal(store_count(s), 0);
    CLEANUP_FREE char *huge = xmalloc(1000);
    memset(huge, 'a', 999);
    huge[999] = '\0';
    assert_null(store_get(s, huge, huge));
    store_free(s);
    store_free(NULL);
}

static void test_metrics(void **state)
{
    (void)state;
    struct store *s = store_new(&kind);
    store_put(s, make("a", "b", "1", "1", "x"));
    kube_metrics_register();
    kube_metrics_store(s, 1500);
    assert_true(metric_value(&kube_metric_store_age, METRIC_LABELS("things")) == 1.5);
    assert_true(metric_value(&kube_metric_store_objects, METRIC_LABELS("things")) == 1);
    assert_true(metric_value(&kube_metric_store_bytes, METRIC_LABELS("things")) ==
                (double)store_bytes(s));
    kube_metrics_observe(NULL, KUBE_POST, "/api/v1/x", 201, 30);
    kube_metrics_observe(NULL, KUBE_POST, "/api/v1/x", 0, 30);
    kube_metrics_observe(NULL, KUBE_GET, "/api/v1/x?watch=true", 200, 300000);
    assert_true(metric_value(&kube_metric_requests, METRIC_LABELS("POST", "201")) == 1);
    assert_true(metric_value(&kube_metric_requests, METRIC_LABELS("POST", "<error>")) == 1);
    assert_true(metric_value(&kube_metric_requests, METRIC_LABELS("GET", "200")) == 1);
    assert_true(metric_value(&kube_metric_request_seconds, METRIC_LABELS("POST")) == 2);
    assert_true(metric_value(&kube_metric_request_seconds, METRIC_LABELS("GET")) == 0);
    metric_reset_all();
    store_free(s);
}

#define NAMES 30

/* Random operations; an array of versions is the model. */
static void test_against_model(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    struct store *s = store_new(&kind);
    int model[NAMES] = {0}, listed[NAMES]; /* the version; 0: absent */
    for (unsigned step = 1; step < 3000; step++) {
        char name[32], uid[32], rv[32];
        int i = (int)rng_range(&rng, 0, NAMES - 1);
        snprintf(name, sizeof name, "o%d", i);
        snprintf(uid, sizeof uid, "u%d-%d", i, (int)rng_range(&rng, 0, 1));
        snprintf(rv, sizeof rv, "%u", step);
        if (rng_chance(&rng, 500)) {
            store_put(s, make("n", name, uid, rv, i % 2 ? "odd" : "even"));
            model[i] = (int)step;
        } else if (rng_chance(&rng, 900)) {
            assert_int_equal(store_remove(s, "n", name), model[i] != 0);
            model[i] = 0;
        } else {
            memset(listed, 0, sizeof listed);
            uint32_t generation = store_mark(s);
            for (int k = 0; k < NAMES; k++) {
                if (!rng_chance(&rng, 500))
                    continue;
                snprintf(name, sizeof name, "o%d", k);
                snprintf(uid, sizeof uid, "u%d-0", k);
                store_put(s, make("n", name, uid, rv, k % 2 ? "odd" : "even"));
                listed[k] = (int)step;
            }
            (void)store_sweep(s, (struct store_scope){0}, generation);
            memcpy(model, listed, sizeof model);
        }
        size_t count = 0, odd = 0;
        for (int k = 0; k < NAMES; k++) {
            snprintf(name, sizeof name, "o%d", k);
            const struct kube_object *o = store_get(s, "n", name);
            assert_int_equal(o ? strtol(o->resource_version, NULL, 10) : 0, model[k]);
            count += model[k] != 0;
            odd += model[k] != 0 && k % 2;
        }
        assert_int_equal(store_count(s), count);
        CLEANUP_BUF struct buf all = BUF_INIT(10000), labelled = BUF_INIT(10000);
        store_each(s, note_name, &all);
        store_each_label(s, "odd", note_name, &labelled);
        size_t dashes = 0;
        for (const char *p = labelled.data; *p; p++)
            dashes += *p == '-';
        assert_int_equal(dashes, odd);
    }
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_projection), cmocka_unit_test(test_bare_projection),
        cmocka_unit_test(test_scripts),    cmocka_unit_test(test_namespaces_and_bytes),
        cmocka_unit_test(test_metrics),    cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
