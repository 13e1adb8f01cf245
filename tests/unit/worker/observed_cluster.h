/*
 * The caches of a made-up cluster, and the state that is built of them: what the tests named
 * test_view_* stand on. Objects are JSON with ' for ".
 */
#ifndef TESTS_UNIT_WORKER_OBSERVED_CLUSTER_H
#define TESTS_UNIT_WORKER_OBSERVED_CLUSTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "actions/create.h"
#include "actions/event.h"
#include "base/str.h"
#include "clones/clone_table.h"
#include "controller/status.h"
#include "json/json.h"
#include "observe/observe.h"
#include "steps/steps.h"
#include "wukong/api/child_names.h"

#define UID "11111111-2222-3333-4444-555555555555"
#define NOW 1790000000000 /* 2026-09-21T14:13:20Z */
#define OBJECTS_MAX 64

/* The labels of disk "root" of the first machine, and the snapshot that the clone takes of it. */
#define MADE                                                                                       \
    "'vm.novasphere.dev/clone':'0','vm.novasphere.dev/disk':'root','vm.novasphere.dev/wukong-uid'"
#define SNAPSHOT "snapshot-src-w-11111111-1-root"
#define VM_SNAPSHOT "snapshot-src-w-11111111-1"

struct cluster {
    struct {
        enum worker_kind kind;
        struct kube_object *object;
    } items[OBJECTS_MAX];
    size_t count, visits[WORKER_KINDS]; /* objects that the state was shown, by kind */
    struct call_log call_log;
    struct arena arena;
    struct clone_state state;
};

static inline void put(struct cluster *c, enum worker_kind kind, const char *json)
{
    struct err err = {0};
    cJSON *tree = NULL;
    CLEANUP_FREE char *text = xstrdup(json);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(text, strlen(text), true, &tree, &err) < 0)
        fail_msg("%s in %s", err.message, text);
    assert_true(c->count < OBJECTS_MAX);
    assert_int_equal(
        kube_object_project(&worker_kinds[kind], tree, &c->items[c->count].object, &err), 0);
    c->items[c->count++].kind = kind;
    cJSON_Delete(tree);
}

static inline const struct kube_object *get(void *arg, enum worker_kind kind, const char *ns,
                                            const char *name)
{
    struct cluster *c = arg;
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].kind == kind && str_eq(c->items[i].object->name, name) &&
            str_eq(c->items[i].object->ns, str_or(ns, "")))
            return c->items[i].object;
    return NULL;
}

static inline void each(void *arg, enum worker_kind kind, const char *label,
                        bool (*visit)(void *visit_arg, const struct kube_object *o),
                        void *visit_arg)
{
    struct cluster *c = arg;
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].kind == kind && (!label || str_eq(c->items[i].object->label, label)) &&
            ++c->visits[kind] && !visit(visit_arg, c->items[i].object))
            return;
}

static inline bool served(void *arg, enum worker_kind kind)
{
    (void)arg, (void)kind;
    return true;
}

static inline void wukong(struct cluster *c, const char *spec, const char *status)
{
    CLEANUP_FREE char *text =
        xasprintf("{'metadata':{'name':'w','namespace':'ns','uid':'" UID "','resourceVersion':'7',"
                  "'generation':1,'finalizers':['vm.novasphere.dev/clone']},'spec':%s,'status':%s}",
                  spec, status);
    put(c, KIND_WUKONG, text);
}

static inline void build(struct cluster *c)
{
    const struct cache_reader caches = {get, each, served, c};
    const struct observe_settings settings = {.unfreeze_timeout_ms = 60000};
    struct err err = {0};
    arena_init_soft(&c->arena, 16 * MIB);
    c->state = (struct clone_state){.arena = &c->arena};
    assert_int_equal(observe_clone(&c->state, &caches, get(c, KIND_WUKONG, "ns", "w"), &c->call_log,
                                   (struct now){NOW, 1}, &settings, &err),
                     0);
}

static inline void drop(struct cluster *c)
{
    clone_state_release(&c->state);
    arena_release(&c->arena);
    call_log_release(&c->call_log);
    for (size_t i = 0; i < c->count; i++)
        free(c->items[i].object);
    *c = (struct cluster){0};
}

#define OF_VMI "{'cloneSource':{'type':'vmi','vmiName':'src'}}"
#define PAST_CUT                                                                                   \
    "{'cloneStatus':{'phase':'Cloning','attempts':1,'attemptTime':'2026-09-21T14:00:00.000Z',"     \
    "'sourceUID':'u1','sourceVMI':'src','cutTime':'2026-09-21T14:01:00.000Z'}}"
#define DISK(method, pvc)                                                                          \
    "{\"name\":\"root\",\"volume\":\"root\",\"claim\":\"src-root\",\"method\":" method pvc "}"
#define SOURCE "{\"metadata\":{},\"spec\":{\"template\":{\"spec\":{\"domain\":{\"devices\":{}}}}}}"

/* The first snapshot, which the clone made, and the capture that it bears. */
static inline void carrier(struct cluster *c, const char *capture)
{
    put(c, KIND_SNAPSHOT,
        "{'metadata':{'name':'" SNAPSHOT "','namespace':'ns','uid':'s1','labels':{" MADE ":'" UID
        "','vm.novasphere.dev/attempt':'1',"
        "'vm.novasphere.dev/disk-index':'0'}},'spec':{},'status':{}}");
    struct call *call = call_log_get(&c->call_log, call_key_named(CALL_READ_CARRIER, SNAPSHOT));
    cJSON *tree = cJSON_CreateObject();
    cJSON *meta = cJSON_AddObjectToObject(tree, "metadata");
    cJSON *notes = cJSON_AddObjectToObject(meta, "annotations");
    (void)cJSON_AddStringToObject(meta, "name", SNAPSHOT);
    (void)cJSON_AddStringToObject(notes, "vm.novasphere.dev/source-spec", capture);
    call->state = CALL_OK;
    call->body = json_print(tree);
    call->body_len = strlen(call->body);
    call->done_ms = NOW;
    cJSON_Delete(tree);
}

#endif
