/*
 * Proves that what /debug/clones tells of a clone is what the worker sees: each object is read back
 * as the caches hold it, --explain takes the text as it was written and comes to the same decision,
 * and the table of all clones stays within its bound and says how many it leaves out.
 */
#include "observed_cluster.h"

#include "controller/dump.h"
#include "controller/explain.h"

static bool is_served(void *arg, enum worker_kind kind)
{
    (void)arg;
    return kind != KIND_STORAGE_PROFILE;
}

static struct cache_reader caches_of(struct cluster *c)
{
    return (struct cache_reader){get, each, is_served, c};
}

/* Everything a look at this clone reads: its source, claim, DataVolume, snapshot, Events, classes;
   and what belongs to others. */
static void fill(struct cluster *c)
{
    wukong(c, OF_VMI, PAST_CUT);
    put(c, KIND_VMI,
        "{'metadata':{'name':'src','namespace':'ns','uid':'u1','creationTimestamp':"
        "'2026-09-01T00:00:00Z'},'spec':{},'status':{'phase':'Running','conditions':[{'type':"
        "'AgentConnected','status':'True'}],'guestOSInfo':{'id':'[odd'}}}");
    carrier(c, "{\"source\":" SOURCE ",\"disks\":[" DISK("2", ",\"pvc\":{}") "]}");
    put(c, KIND_DATA_VOLUME,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'dv1','labels':{" MADE ":'" UID
        "'}},'status':{'phase':'CloneInProgress','progress':'45.00%'}}");
    put(c, KIND_PVC,
        "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','ownerReferences':[{"
        "'kind':'DataVolume','name':'w-root','uid':'dv1','controller':true}],'labels':{" MADE
        ":'" UID "'},'finalizers':['kubernetes.io/pvc-protection'],'deletionTimestamp':"
        "'2026-09-21T14:12:00Z'},'spec':{'accessModes':['ReadWriteOnce']},'status':{'phase':"
        "'Bound'}}");
    put(c, KIND_CLAIM_EVENT,
        "{'metadata':{'name':'e','namespace':'ns','uid':'e'},'message':'{not JSON',"
        "'involvedObject':{'name':'w-root','uid':'p1'}}");
    put(c, KIND_STORAGE_CLASS,
        "{'metadata':{'name':'fast','uid':'c1'},'provisioner':'d.csi','allowVolumeExpansion':"
        "true}");
    put(c, KIND_VM, "{'metadata':{'name':'others','namespace':'ns','uid':'o'},'spec':{}}");
}

static const struct kube_object *cached(struct cluster *c, const struct kube_object *o)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].object->kind == o->kind && str_eq(c->items[i].object->name, o->name))
            return c->items[i].object;
    fail_msg("nobody has put %s there", o->name);
    return NULL;
}

static void check_same(const struct kube_object *a, const struct kube_object *b)
{
    bool same = str_eq(a->ns, b->ns) && str_eq(a->uid, b->uid) && str_eq(a->label, b->label) &&
                str_eq(a->resource_version, b->resource_version) &&
                str_eq(a->owner_uid, b->owner_uid) && str_eq(a->owner_kind, b->owner_kind) &&
                a->generation == b->generation && a->created_ms == b->created_ms &&
                a->deleted_ms == b->deleted_ms;
    for (size_t i = 0; i < KUBE_FIELDS_MAX && a->kind->fields[i]; i++)
        same = same && ((!a->field[i] && !b->field[i]) || str_eq(a->field[i], b->field[i]));
    if (!same)
        fail_msg("%s %s is not read back as it is", a->kind->kind, a->name);
}

static void test_objects_are_read_back(void **state)
{
    (void)state;
    struct cluster c = {0};
    CLEANUP_BUF struct buf out = BUF_INIT(DUMP_MAX);
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    const cJSON *item;
    size_t count = 0;
    fill(&c);
    const struct cache_reader caches = caches_of(&c);
    dump_clone(NULL, get(&c, KIND_WUKONG, "ns", "w"), &caches, NOW, &out);
    assert_int_equal(json_parse(out.data, out.len, true, &tree, &err), 0);
    cJSON_ArrayForEach (item, json_get(tree, "items")) {
        for (size_t k = 0; k < WORKER_KINDS; k++) {
            if (!str_eq(json_str(item, "kind"), worker_kinds[k].kind) || k == KIND_EVENT)
                continue;
            struct kube_object *o = NULL;
            assert_int_equal(kube_object_project(&worker_kinds[k], item, &o, &err), 0);
            check_same(cached(&c, o), o);
            free(o);
            count++;
        }
    }
    /* All but the machine of others, which no look at this clone reads. */
    assert_int_equal(count, c.count - 1);
    assert_string_equal(json_str(tree, "unserved.#0"), "StorageProfile");
    drop(&c);
}

/* A user's dump is a test as it is. */
static void test_explain_takes_it_as_it_was_written(void **state)
{
    (void)state;
    struct cluster c = {0};
    CLEANUP_BUF struct buf out = BUF_INIT(DUMP_MAX);
    CLEANUP_BUF struct buf told = BUF_INIT(MIB);
    struct err err = {0};
    fill(&c);
    const struct cache_reader caches = caches_of(&c);
    dump_clone(NULL, get(&c, KIND_WUKONG, "ns", "w"), &caches, NOW, &out);
    if (explain_list(out.data, out.len, 0, &told, &err) < 0)
        fail_msg("%s in %s", err.message, out.data);
    assert_true(str_starts(told.data, "ns/w: phase Cloning, attempt 1"));
    /* The time of the dump is meant: the cut is 12 minutes ago, not 50 years ahead. */
    assert_non_null(strstr(told.data, "Preflight"));
    assert_non_null(strstr(told.data, "read/carrier/" SNAPSHOT));
    drop(&c);
}

static void test_table_is_bounded(void **state)
{
    (void)state;
    struct clone_table all = {0};
    for (int i = 0; i < 1000; i++) {
        CLEANUP_FREE char *name = xasprintf("w%d", i), *uid = xasprintf("uid-%d", i);
        clone_table_add(&all, "ns", name, uid)->is_clone = i != 7;
    }
    CLEANUP_BUF struct buf out = BUF_INIT(64u * KIB);
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    int64_t left_out = 0;
    dump_clones(&all, NOW, &out);
    assert_true(buf_ok(&out));
    assert_int_equal(json_parse(out.data, out.len, true, &tree, &err), 0);
    assert_true(json_int(tree, "leftOut", &left_out));
    int told = cJSON_GetArraySize(json_get(tree, "clones"));
    assert_true(told > 100);
    assert_int_equal(told + left_out, 999);
    clone_table_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_are_read_back),
        cmocka_unit_test(test_explain_takes_it_as_it_was_written),
        cmocka_unit_test(test_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
