/*
 * Proves that every rule of the table reaches the user: each row of the rules' own tests is sent
 * through the judgement of both endpoints, with the source, its claims and the classes looked up as
 * the API server would serve them, and comes back as a cause (or a warning) with its field. Every
 * answer passes the API server's own check on the way (admission_world.c), and is recorded for the
 * real one when WUKONG_ANSWERS is set (tests/webhook/verify). The rows about sources are written
 * out as JSON lines when WUKONG_ROWS is set: tests/cluster/cases/test_source_rules.py makes real
 * objects of them.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../wukong/rows_rules.h"
#include "../wukong/rows_source.h"
#include "../wukong/rows_update.h"
#include "admission_world.h"
#include "base/mem.h"
#include "json/writer.h"
#include "wukong/rules/rules.h"

/* --- The API server's view of a row's cluster --- */

#define NS "/namespaces/prod/"
#define CLASS(name, driver, expansion)                                                             \
    "{'metadata':{'name':'" name "'},'provisioner':'" driver "','allowVolumeExpansion':" expansion \
    "}"
#define LATE_CLASS                                                                                 \
    "{'metadata':{'name':'late'},'provisioner':'d.csi','allowVolumeExpansion':true,"               \
    "'volumeBindingMode':'WaitForFirstConsumer'}"
#define STORAGE_LIST                                                                               \
    "{'items':[" CLASS("fast", "d.csi", "true") "," CLASS("fixed", "d.csi", "false") "," CLASS(    \
        "slow", "e.csi", "true") "," CLASS("local", "local", "false") "," LATE_CLASS "]}"
#define ANNOTATED(name, annotation)                                                                \
    "{'metadata':{'name':'" name "','annotations':{'vm.novasphere.dev/" annotation "'}},"          \
    "'driver':'d.csi','deletionPolicy':'Retain'}"
#define SNAPSHOT_LIST                                                                              \
    "{'items':[{'metadata':{'name':'snap','annotations':{"                                         \
    "'snapshot.storage.kubernetes.io/is-default-class':'true'}},'driver':'d.csi',"                 \
    "'deletionPolicy':'Retain'}," ANNOTATED("never", "cut-rule':'Refuse") "," ANNOTATED(           \
        "long", "cut-outlasts-freeze':'true") "," ANNOTATED("files",                               \
                                                            "cut-rule':'WhileFrozen") "]}"
#define GROUP_LIST                                                                                 \
    "{'items':[{'metadata':{'name':'group'},'driver':'d.csi','deletionPolicy':'Delete'}]}"
#define DRIVER_LIST "{'items':[{'metadata':{'name':'d.csi'}},{'metadata':{'name':'e.csi'}}]}"
#define NOTHING "{'items':[]}"

struct served {
    struct route routes[16];
    size_t count;
    char *texts[16];
    size_t text_count;
};

static void serve(struct served *s, const char *path, int code, const char *body)
{
    assert_true(s->count + 1 < ARRAY_LEN(s->routes));
    s->routes[s->count++] = (struct route){path, code, body};
}

/* A YAML text of a row, as the JSON that is served; NULL is 404. */
static void serve_yaml(struct served *s, const char *path, const char *yaml)
{
    if (!yaml)
        return;
    CLEANUP_JSON cJSON *tree = parse_yaml(yaml);
    assert_true(s->text_count < ARRAY_LEN(s->texts));
    s->texts[s->text_count] = json_print(tree);
    serve(s, path, 200, s->texts[s->text_count++]);
}

/* What the caches say and what a live list says is the same here. */
static void serve_cluster(struct served *s, enum cluster kind)
{
    int code = kind == UNKNOWN ? 500 : 200;
    serve(s, "/apis/storage.k8s.io/v1/storageclasses", code, STORAGE_LIST);
    serve(s, "/apis/storage.k8s.io/v1/csidrivers", code, kind == NOT_CSI ? NOTHING : DRIVER_LIST);
    serve(s, "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses", kind == NO_API ? 404 : code,
          kind == NO_CLASS ? NOTHING : SNAPSHOT_LIST);
    serve(s, "/apis/groupsnapshot.storage.k8s.io/v1/volumegroupsnapshotclasses",
          kind == NO_API ? 404 : code, kind == NO_CLASS ? NOTHING : GROUP_LIST);
    if (kind == WITH_CDI)
        serve(s, "/apis/cdi.kubevirt.io/v1beta1", 200, "{}");
}

static void serve_row(struct served *s, const struct source_row *r)
{
    static const char *const claims[] = {"/api/v1" NS "persistentvolumeclaims/web-root",
                                         "/api/v1" NS "persistentvolumeclaims/web-data",
                                         "/api/v1" NS "persistentvolumeclaims/a"};
    *s = (struct served){0};
    serve_yaml(s, "/apis/kubevirt.io/v1" NS "virtualmachines/web", r->vm);
    serve_yaml(s, "/apis/kubevirt.io/v1" NS "virtualmachineinstances/web", r->vmi);
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        serve_yaml(s, claims[i], r->pvc);
    serve_cluster(s, r->cluster);
}

static void served_release(struct served *s)
{
    for (size_t i = 0; i < s->text_count; i++)
        free(s->texts[i]);
}

/* --- What must come back --- */

static const char *json_of(const char *yaml, char **ret)
{
    CLEANUP_JSON cJSON *tree = parse_yaml(yaml);
    return *ret = json_print(tree);
}

/* The rule strikes in this answer: an error is a cause of its field, a warning names it. */
static bool told(const struct judged *j, const struct rule *rule, const char *field,
                 const char *word)
{
    if (rule->severity == FINDING_ERROR)
        return j->result.verdict == VERDICT_INVALID && judged_has_cause(j, field, word ? word : "");
    return judged_warns(j, word ? word : field);
}

/* --- For the real API server --- */

#define ROW_BYTES (64u * KIB)

static FILE *rows_file;

static void tree_of_yaml(struct json_writer *w, const char *key, const char *yaml)
{
    CLEANUP_JSON cJSON *tree = parse_yaml(yaml);
    json_tree(w, key, tree);
}

static void tree_of_list(struct json_writer *w, const char *key, const char *list)
{
    CLEANUP_FREE char *text = world_quotes(list);
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    assert_int_equal(json_parse(text, strlen(text), true, &tree, &err), 0);
    json_tree(w, key, json_get(tree, "items"));
}

/* The first line is what the cluster of every row has. */
static void record_cluster(void)
{
    const char *path = getenv("WUKONG_ROWS");
    if (!path)
        return;
    CLEANUP_BUF struct buf line = BUF_INIT(ROW_BYTES);
    struct json_writer w = json_writer(&line);
    rows_file = fopen(path, "w");
    assert_non_null(rows_file);
    json_object(&w, NULL);
    tree_of_list(&w, "StorageClass", STORAGE_LIST);
    tree_of_list(&w, "VolumeSnapshotClass", SNAPSHOT_LIST);
    tree_of_list(&w, "VolumeGroupSnapshotClass", GROUP_LIST);
    tree_of_list(&w, "CSIDriver", DRIVER_LIST);
    json_end(&w);
    fprintf(rows_file, "%s\n", line.data);
}

static void record_row(const struct source_row *r)
{
    static const char *const clusters[] = {"normal",          "CDI",     "no snapshot class",
                                           "no snapshot API", "not CSI", "unknown"};
    static_assert(ARRAY_LEN(clusters) == UNKNOWN + 1, "a name for each cluster");
    if (!rows_file)
        return;
    CLEANUP_BUF struct buf line = BUF_INIT(ROW_BYTES);
    struct json_writer w = json_writer(&line);
    json_object(&w, NULL);
    json_string(&w, "cluster", clusters[r->cluster]);
    json_string(&w, "rule", r->rule);
    json_string(&w, "field", r->field);
    json_string(&w, "word", r->word);
    tree_of_yaml(&w, "Wukong", r->wukong);
    tree_of_yaml(&w, "VirtualMachine", r->vm);
    tree_of_yaml(&w, "VirtualMachineInstance", r->vmi);
    tree_of_yaml(&w, "PersistentVolumeClaim", r->pvc);
    json_end(&w);
    fprintf(rows_file, "%s\n", line.data);
}

static void test_static_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rule_rows); i++) {
        const struct rule_row *r = &rule_rows[i];
        const struct rule *rule = rule_find(r->rule);
        /* ClonePolicies do not come to the webhook; another kind never reaches it either. */
        if (str_starts(r->rule, "policy-"))
            continue;
        for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
            CLEANUP_FREE char *full = expand(r->refused);
            CLEANUP_FREE char *object = NULL;
            struct world w = {.classes = cluster(NORMAL)};
            CLEANUP_JUDGED struct judged j;
            world_judge(&w, (enum admission_endpoint)e, "CREATE", "prod", json_of(full, &object),
                        NULL, &j);
            if (!told(&j, rule, r->field, NULL))
                fail_msg("row %zu, %s: %s", i, r->rule, j.text);
        }
    }
}

static void test_source_rules(void **state)
{
    (void)state;
    record_cluster();
    for (size_t i = 0; i < ARRAY_LEN(source_rows); i++) {
        const struct source_row *r = &source_rows[i];
        record_row(r);
        for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
            struct served s;
            serve_row(&s, r);
            CLEANUP_FREE char *object = NULL;
            struct world w = {
                .classes = cluster(r->cluster), .routes = s.routes, .may_clone = true};
            CLEANUP_JUDGED struct judged j;
            json_of(r->wukong, &object);
            world_judge(&w, (enum admission_endpoint)e, "CREATE",
                        strstr(object, "team") ? "team" : "prod", object, NULL, &j);
            bool good = r->rule ? told(&j, rule_find(r->rule), r->field, r->word)
                                : j.result.verdict == VERDICT_ALLOWED;
            if (!good)
                fail_msg("row %zu, %s: %s", i, r->rule ? r->rule : "good", j.text);
            served_release(&s);
        }
    }
    if (rows_file)
        assert_int_equal(fclose(rows_file), 0);
}

static void test_update_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(update_rows); i++) {
        const struct update_row *r = &update_rows[i];
        for (int e = ADMISSION_MUTATE; e <= ADMISSION_VALIDATE; e++) {
            CLEANUP_FREE char *object = NULL, *old = NULL;
            struct world w = {.classes = cluster(NORMAL)};
            CLEANUP_JUDGED struct judged j;
            json_of(r->new, &object);
            world_judge(&w, (enum admission_endpoint)e, "UPDATE", "prod", object,
                        json_of(r->old, &old), &j);
            bool good = r->rule ? told(&j, rule_find(r->rule), r->field, NULL)
                                : j.result.verdict == VERDICT_ALLOWED;
            if (!good)
                fail_msg("row %zu, %s: %s", i, r->rule ? r->rule : "good", j.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_rules),
        cmocka_unit_test(test_source_rules),
        cmocka_unit_test(test_update_rules),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
