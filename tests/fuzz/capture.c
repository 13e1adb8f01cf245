/*
 * A capture that a tenant has edited on the first snapshot of his clone, read back by a worker that
 * was restarted: through the state, the decision and every body that is made of it, and through the
 * record of the disks that the claims then say. The first byte chooses the clone and how far it is.
 * Beyond not crashing: what is made stands in the clone's namespace, and of a capture that was
 * refused nothing is made.
 */
#include <assert.h>

#include "../unit/worker/observed_cluster.h"
#include "actions/create.h"
#include "decide/decide.h"

static const char *const specs[] = {
    OF_VMI,
    "{'cloneSource':{'type':'vm','vmName':'src'},'cpu':4,'memory':'8Gi','replicas':3}",
    "{'cloneSource':{'type':'vm','vmName':'src','cloneType':'full'},'disks':[{'name':'root','size':"
    "'9Gi','boot':true}]}",
    "{'cloneSource':{'type':'vmi','vmiName':'src','namespace':'other'},'networks':[{'name':'n',"
    "'type':'bridge','nadName':'x'}]}",
};

static void put_carrier(struct cluster *c, const char *ns, const char *text)
{
    CLEANUP_FREE char *snapshot = xasprintf(
        "{'metadata':{'name':'" SNAPSHOT "','namespace':'%s','uid':'s1','labels':{" MADE ":'" UID
        "','vm.novasphere.dev/attempt':'1','vm.novasphere.dev/disk-index':'0'}},'spec':{},"
        "'status':{'boundVolumeSnapshotContentName':'c1','readyToUse':true,'restoreSize':'1Gi'}}",
        ns);
    put(c, KIND_SNAPSHOT, snapshot);
    put(c, KIND_CONTENT,
        "{'metadata':{'name':'c1','uid':'c1'},'spec':{'volumeSnapshotRef':{'uid':'s1'},'driver':'d'"
        ","
        "'deletionPolicy':'Delete'},'status':{'creationTime':1790000000000000000,'snapshotHandle':"
        "'h','readyToUse':true}}");
    struct call *call = call_log_get(&c->call_log, call_key_named(CALL_READ_CARRIER, SNAPSHOT));
    cJSON *tree = cJSON_CreateObject();
    cJSON *notes =
        cJSON_AddObjectToObject(cJSON_AddObjectToObject(tree, "metadata"), "annotations");
    (void)cJSON_AddStringToObject(notes, "vm.novasphere.dev/source-spec", text);
    call->state = CALL_OK;
    call->body = json_print(tree);
    call->body_len = strlen(call->body);
    call->done_ms = NOW;
    cJSON_Delete(tree);
}

/* All that a decision could ask for by now or later. */
static void build_bodies(const struct clone_state *v, struct decision *d)
{
    size_t n = 0;
    for (size_t t = 0; t < v->target_count; t++) {
        const struct target_state *one = &v->targets[t];
        for (size_t k = 0; k < v->disk_count; k++) {
            create_claim(v, d, one, k);
            create_dry_run_claim(v, d, one, k);
            (void)create_claim_changed(v, one, k);
        }
        create_vm(v, d, one);
        create_dry_run_vm(v, d, one);
        (void)create_vm_changed(
            v, one, call_log_find(v->call_log, call_key_named(CALL_CREATE_VM, one->vm.name)));
    }
    for (size_t k = 0; k < v->disk_count; k++) {
        create_snapshot(v, d, k);
        if (v->disks[k].plan->method != DISK_HANDLE_COPY)
            continue;
        create_content_copy(v, d, k);
        create_snapshot_copy(v, d, k);
    }
    (void)needed_objects(v, &n);
}

static void check_intents(const struct clone_state *v, const struct decision *d)
{
    for (size_t i = 0; i < d->intents.count; i++) {
        const struct intent *one = &d->intents.items[i];
        bool makes = one->verb == INTENT_CREATE || one->verb == INTENT_DRY_RUN;
        if (makes && (one->kind == &worker_kinds[KIND_VM] || one->kind == &worker_kinds[KIND_PVC]))
            assert(str_eq(one->ns, v->wukong->ns));
        assert(one->verb != INTENT_CREATE || one->kind == &worker_kinds[KIND_EVENT] ||
               v->capture.present || one->kind != &worker_kinds[KIND_VM]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct cluster c = {0};
    unsigned spec = data[0] % ARRAY_LEN(specs);
    CLEANUP_FREE char *text = xstrndup((const char *)data + 1, size - 1);
    wukong(&c, specs[spec], PAST_CUT);
    put(&c, KIND_STORAGE_CLASS, "{'metadata':{'name':'fast','uid':'c9'},'provisioner':'d'}");
    if (data[0] & 0x10)
        put(&c, KIND_PVC,
            "{'metadata':{'name':'w-root','namespace':'ns','uid':'p1','labels':{" MADE ":'" UID
            "','vm.novasphere.dev/attempt':'1'}},'spec':{'dataSource':{'name':'" SNAPSHOT
            "'}},'status':{'phase':'Bound'}}");
    if (data[0] & 0x20)
        put(&c, KIND_VMI,
            "{'metadata':{'name':'src','namespace':'ns','uid':'u1'},'spec':{},'status':{'phase':"
            "'Running'}}");
    put_carrier(&c, spec == 3 ? "other" : "ns", text);
    build(&c);
    struct decision d = {.intents = {.arena = &c.arena}};
    clone_decide(&c.state, &d);
    if (!arena_full(&c.arena))
        check_intents(&c.state, &d);
    struct decision all = {.intents = {.arena = &c.arena}};
    build_bodies(&c.state, &all);
    if (!arena_full(&c.arena))
        check_intents(&c.state, &all);
    drop(&c);
    return 0;
}
