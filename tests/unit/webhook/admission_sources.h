/*
 * A source "db" in the Wukong's own namespace and in another, its classes, and what is asked of
 * them: what test_admission_source.c and test_admission_foreign.c stand on.
 */
#ifndef TESTS_UNIT_WEBHOOK_ADMISSION_SOURCES_H
#define TESTS_UNIT_WEBHOOK_ADMISSION_SOURCES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admission_world.h"
#include "base/mem.h"
#include "base/str.h"
#include "wukong/stamp/stamp.h"

#define WUKONG(name, more, source)                                                                 \
    "{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':'Wukong','metadata':{" name                 \
    ",'namespace':'team'" more "},'spec':{'cloneSource':{" source "}}}"
#define SIMPLE(source) WUKONG("'name':'w'", "", source)
#define OWN "'type':'vmi','vmiName':'db'"
#define FOREIGN "'type':'vmi','vmiName':'db','namespace':'prod'"

#define VM(ns) "/apis/kubevirt.io/v1/namespaces/" ns "/virtualmachines/db"
#define VMI(ns) "/apis/kubevirt.io/v1/namespaces/" ns "/virtualmachineinstances/db"
#define CLAIM(ns) "/api/v1/namespaces/" ns "/persistentvolumeclaims/db-root"
#define SAR "/apis/authorization.k8s.io/v1/subjectaccessreviews\n"
#define CDI "/apis/cdi.kubevirt.io/v1beta1"
#define LIVE_SC "/apis/storage.k8s.io/v1/storageclasses"
#define LIVE_VSC "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses"
#define LIVE_DRIVERS "/apis/storage.k8s.io/v1/csidrivers"

#define VMI_BODY                                                                                   \
    "{'metadata':{'name':'db','uid':'i1','labels':{'app':'db'}},'spec':{'volumes':[{'name':"       \
    "'root','persistentVolumeClaim':{'claimName':'db-root'}}],'domain':{'devices':{'disks':[{"     \
    "'name':'root','disk':{}}]}}},'status':{'phase':'Running'}}"
#define VM_BODY                                                                                    \
    "{'metadata':{'name':'db','uid':'v1'},'spec':{'runStrategy':'Halted','template':{'spec':{"     \
    "'volumes':[{'name':'root','persistentVolumeClaim':{'claimName':'db-root'}}],'domain':{"       \
    "'devices':{'disks':[{'name':'root','disk':{}}]}}}}},'status':{}}"
#define CLAIM_BODY                                                                                 \
    "{'metadata':{'name':'db-root'},'spec':{'storageClassName':'fast','volumeMode':'Block',"       \
    "'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'10Gi'}}},"                \
    "'status':{'phase':'Bound','capacity':{'storage':'10Gi'}}}"

static const struct route running[] = {
    {VMI("team"), 200, VMI_BODY},
    {CLAIM("team"), 200, CLAIM_BODY},
    {VMI("prod"), 200, VMI_BODY},
    {CLAIM("prod"), 200, CLAIM_BODY},
    {NULL, 0, NULL},
};

static const struct storage_class_facts storage[] = {
    {.name = "fast", .provisioner = "csi.example.com", .expansion = true}};
static const struct snapshot_class_facts snapshot[] = {
    {.name = "snap", .driver = "csi.example.com", .is_default = true}};
static const char *const drivers[] = {"csi.example.com"};
static const struct class_facts good_classes = {.looked_up = true,
                                                .snapshot_api = true,
                                                .drivers_known = true,
                                                .storage_classes = storage,
                                                .storage_class_count = 1,
                                                .snapshot_classes = snapshot,
                                                .snapshot_class_count = 1,
                                                .drivers = drivers,
                                                .driver_count = 1};

static inline void create(const struct world *w, enum admission_endpoint endpoint,
                          const char *object, struct judged *ret)
{
    world_judge(w, endpoint, "CREATE", "team", object, NULL, ret);
}

static inline enum stamp_verdict check_stamp(const cJSON *object, const struct stamp *expected,
                                             struct stamp *ret, struct arena *a)
{
    arena_init(a, MIB);
    return stamp_verify(json_str(object, "metadata.annotations[" WUKONG_STAMP_ANNOTATION "]"),
                        world_public_key, expected, WORLD_NOW + 1000, a, ret);
}

static inline void decode_policy(struct arena *a, const char *text, struct policy *ret)
{
    CLEANUP_FREE char *json = world_quotes(text);
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    arena_init(a, MIB);
    assert_int_equal(json_parse(json, strlen(json), true, &tree, &err), 0);
    policy_decode(a, tree, ret);
    assert_null(ret->broken);
}

#endif
