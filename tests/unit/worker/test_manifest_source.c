/*
 * Proves that the source spec is the one that ran, whatever it is read from: the revision of a
 * running VM with the volumes plugged and unplugged since, a stand-alone VMI without what KubeVirt
 * put into it, or a stopped VM.
 */
#include "manifest_test.h"

struct row {
    const char *name, *revision, *vmi, *vm;
    const char *expect[8];
    const char *error;
};

#define PVC(name, claim) "{'name':'" name "','persistentVolumeClaim':{'claimName':'" claim "'}}"
#define DISK(name) "{'name':'" name "','disk':{'bus':'virtio'}}"
#define MACHINE(disks, volumes)                                                                    \
    "{'spec':{'runStrategy':'Always','dataVolumeTemplates':[{}],'template':{'metadata':{'labels':" \
    "{'app':'shop'},'creationTimestamp':null},'spec':{'domain':{'cpu':{'cores':2},'devices':{"     \
    "'disks':[" disks "]}},'volumes':[" volumes "]}}}}"
#define INSTANCE_OF(disks, volumes)                                                                \
    "{'metadata':{'name':'src'},'spec':{'domain':{'cpu':{'cores':2,'sockets':1},'devices':{"       \
    "'disks':[" disks "]}},'volumes':[" volumes "]}}"
#define IN "spec.template.spec."

static const struct row rows[] = {
    {.name = "running VM: the revision, not the VMI's resolved defaults",
     .revision = MACHINE(DISK("root"), PVC("root", "r")),
     .vmi = INSTANCE_OF(DISK("root"), PVC("root", "r")),
     .expect = {IN "domain.cpu = {'cores':2}", IN "volumes = [" PVC("root", "r") "]",
                "runStrategy = 'Always'", "spec.runStrategy = -", "spec.dataVolumeTemplates = -",
                "spec.template.metadata = {}", "metadata = {}"}},
    {.name = "annotations: what decides on PCI addresses comes along, the rest is carried beside",
     .vm =
         "{'metadata':{'name':'src'},'spec':{'template':{'metadata':{'annotations':{'hooks."
         "kubevirt."
         "io/hookSidecars':'x','kubevirt.io/placePCIDevicesOnRootComplex':'true','vm.kubevirt.io/os"
         "':'l','kubectl.kubernetes.io/last-applied-configuration':'y'}},'spec':{'domain':{}}}}}",
     .expect =
         {"templateAnnotations = {'hooks.kubevirt.io/hookSidecars':'x'}",
          "spec.template.metadata.annotations = {'kubevirt.io/placePCIDevicesOnRootComplex':'true'"
          ",'vm.kubevirt.io/os':'l'}"}},
    {.name = "annotations of a machine that runs: those of its revision",
     .revision =
         "{'spec':{'template':{'metadata':{'annotations':{'a/b':'x'}},'spec':{'domain':{}}}}}",
     .vmi = "{'metadata':{'name':'src','annotations':{'c/d':'x'}},'spec':{'domain':{}}}",
     .expect = {"templateAnnotations = {'a/b':'x'}"}},
    {.name = "annotations of a stand-alone instance",
     .vmi = "{'metadata':{'name':'src','annotations':{'c/d':'x'}},'spec':{'domain':{}}}",
     .expect = {"templateAnnotations = {'c/d':'x'}"}},
    {.name = "hot-plugged: added with its disk, at the end",
     .revision = MACHINE(DISK("root"), PVC("root", "r")),
     .vmi = INSTANCE_OF(DISK("root") ",{'name':'hot','disk':{'bus':'scsi'},'serial':'hot'}",
                        PVC("root", "r") ",{'name':'hot','dataVolume':{'name':'h','hotpluggable':"
                                         "true}}"),
     .expect = {IN "volumes = [" PVC("root", "r") ",{'name':'hot','dataVolume':{'name':'h',"
                                                  "'hotpluggable':true}}]",
                IN "domain.devices.disks = [" DISK("root") ",{'name':'hot','disk':{'bus':'scsi'},"
                                                           "'serial':'hot'}]"}},
    {.name = "unplugged: gone with its disk",
     .revision = MACHINE(DISK("root") "," DISK("old"), PVC("root", "r") "," PVC("old", "o")),
     .vmi = INSTANCE_OF(DISK("root"), PVC("root", "r")),
     .expect = {IN "volumes = [" PVC("root", "r") "]",
                IN "domain.devices.disks = [" DISK("root") "]"}},
    {.name = "added to the VM, not plugged yet: not there",
     .revision = MACHINE(DISK("root"), PVC("root", "r")),
     .vmi = INSTANCE_OF(DISK("root"), PVC("root", "r")),
     .vm = MACHINE(DISK("root") "," DISK("new"), PVC("root", "r") "," PVC("new", "n")),
     .expect = {IN "volumes.#1 = -"}},
    {.name = "ejected CD-ROM: the empty drive stays",
     .revision =
         MACHINE(DISK("root") ",{'name':'cd','cdrom':{}}", PVC("root", "r") "," PVC("cd", "iso")),
     .vmi = INSTANCE_OF(DISK("root") ",{'name':'cd','cdrom':{}}", PVC("root", "r")),
     .expect = {IN "volumes = [" PVC("root", "r") "]",
                IN "domain.devices.disks.#1 = {'name':'cd','cdrom':{}}"}},
    {.name = "volume migration: the claim in use now",
     .revision = MACHINE(DISK("root"), PVC("root", "old-claim")),
     .vmi = INSTANCE_OF(DISK("root"), PVC("root", "new-claim")),
     .expect = {IN "volumes = [" PVC("root", "new-claim") "]"}},
    {.name = "memory dump in progress: listed as what it is",
     .revision = MACHINE("", ""),
     .vmi = INSTANCE_OF("", "{'name':'dump','memoryDump':{'claimName':'d'}}"),
     .expect = {IN "volumes.#0.name = 'dump'", IN "domain.devices.disks = []"}},
    {.name = "hot-plugged CPU and memory, where the revision sets them",
     .revision = "{'spec':{'template':{'spec':{'domain':{'cpu':{'sockets':2,'cores':1},'memory':{"
                 "'guest':'2Gi'}}}}}}",
     .vmi = "{'spec':{'domain':{'cpu':{'sockets':4,'cores':1,'maxSockets':8},'memory':{'guest':"
            "'4Gi','maxGuest':'8Gi'}}}}",
     .expect = {IN "domain.cpu = {'sockets':4,'cores':1}", IN "domain.memory = {'guest':'4Gi'}"}},
    {.name = "the same memory in other words: the revision's",
     .revision = "{'spec':{'template':{'spec':{'domain':{'memory':{'guest':'2048Mi'}}}}}}",
     .vmi = "{'spec':{'domain':{'memory':{'guest':'2Gi'}}}}",
     .expect = {IN "domain.memory.guest = '2048Mi'"}},
    {.name = "hot-plugged interface",
     .revision = "{'spec':{'template':{'spec':{'domain':{'devices':{'interfaces':[{'name':'a'}]}},"
                 "'networks':[{'name':'a','pod':{}}]}}}}",
     .vmi = "{'spec':{'domain':{'devices':{'interfaces':[{'name':'a'},{'name':'b','bridge':{}}]}},"
            "'networks':[{'name':'a','pod':{}},{'name':'b','multus':{'networkName':'n'}}]}}",
     .expect = {IN "domain.devices.interfaces.#1 = {'name':'b','bridge':{}}",
                IN "networks.#1 = {'name':'b','multus':{'networkName':'n'}}"}},
    {.name = "the default interface is left to KubeVirt",
     .revision = "{'spec':{'template':{'spec':{'domain':{'devices':{}}}}}}",
     .vmi = "{'spec':{'domain':{'devices':{'interfaces':[{'name':'default','masquerade':{}}]}},"
            "'networks':[{'name':'default','pod':{}}]}}",
     .expect = {IN "domain.devices = {}", IN "networks = -"}},
    {.name = "labels and annotations: vm.kubevirt.io/ alone, but not the name",
     .revision = "{'spec':{'template':{'metadata':{'labels':{'app':'shop','vm.kubevirt.io/flavor':"
                 "'s','vm.kubevirt.io/name':'src','kubevirt.io/domain':'src'},'annotations':{'k8s."
                 "ovn.org/ip':'1','vm.kubevirt.io/os':'rhel9','kubevirt.io/pci-topology-version':"
                 "'v3'}},'spec':{'domain':{}}}}}",
     .vmi = "{'spec':{'domain':{}}}",
     .vm = "{'metadata':{'labels':{'app':'shop','vm.kubevirt.io/template':'t'},'annotations':{"
           "'kubectl.kubernetes.io/last-applied-configuration':'{}','vm.kubevirt.io/x':'y'},'uid':"
           "'u','finalizers':['f']},'spec':{'template':{'spec':{}}}}",
     .expect = {"metadata = {'labels':{'vm.kubevirt.io/template':'t'},'annotations':{'vm.kubevirt."
                "io/x':'y'}}",
                "spec.template.metadata = {'labels':{'vm.kubevirt.io/flavor':'s'},'annotations':{"
                "'vm.kubevirt.io/os':'rhel9','kubevirt.io/pci-topology-version':'v3'}}"}},
    {.name = "PCI topology as it runs",
     .revision = "{'spec':{'template':{'spec':{'domain':{}}}}}",
     .vmi = "{'metadata':{'annotations':{'kubevirt.io/pci-topology-version':'v2','kubevirt.io/"
            "pci-interface-slot-count':'8','kubevirt.io/latest-observed-api-version':'v1'}},"
            "'spec':{'domain':{}}}",
     .expect = {"spec.template.metadata.annotations = {'kubevirt.io/pci-topology-version':'v2',"
                "'kubevirt.io/pci-interface-slot-count':'8'}"}},
    {.name = "instancetype pinned in status",
     .revision = "{'spec':{'instancetype':{'name':'small'},'preference':{'name':'linux'},"
                 "'template':{'spec':{'domain':{}}}}}",
     .vmi = "{'spec':{'domain':{}}}",
     .vm = "{'spec':{'template':{'spec':{}}},'status':{'instancetypeRef':{'name':'small',"
           "'controllerRevisionRef':{'name':'small-1'}},'preferenceRef':{'name':'other',"
           "'controllerRevisionRef':{'name':'other-1'}}}}",
     .expect = {"spec.instancetype.revisionName = 'small-1'",
                "spec.preference = {'name':'linux'}"}},
    {.name = "instancetype pinned in spec",
     .vm = "{'spec':{'instancetype':{'name':'small','revisionName':'small-0'},'template':{'spec':{"
           "'domain':{}}}}}",
     .expect = {"spec.instancetype.revisionName = 'small-0'"}},
    {.name = "pinned in both: spec's wins",
     .vm = "{'spec':{'instancetype':{'name':'small','revisionName':'small-0'},'template':{'spec':{"
           "'domain':{}}}},'status':{'instancetypeRef':{'name':'small','controllerRevisionRef':{"
           "'name':'small-1'}}}}",
     .expect = {"spec.instancetype.revisionName = 'small-0'"}},
    {.name = "stand-alone VMI: its spec is the template",
     .vmi = "{'metadata':{'name':'src','labels':{'kubevirt.io/nodeName':'n1','app':'shop','vm."
            "kubevirt.io/os':'l'},'annotations':{'kubevirt.io/pci-topology-version':'v3','kubevirt."
            "io/storage-observed-api-version':'v1'}},'spec':{'architecture':'amd64','domain':{"
            "'machine':{'type':'q35'},'firmware':{'uuid':'u'}},'volumes':[" PVC("root", "r") "]}}",
     .expect = {"metadata = {}",
                "spec.template.metadata = {'labels':{'vm.kubevirt.io/os':'l'},'annotations':{"
                "'kubevirt.io/pci-topology-version':'v3'}}",
                IN "architecture = 'amd64'", IN "domain.machine.type = 'q35'",
                IN "volumes = [" PVC("root", "r") "]", "spec.instancetype = -"}},
    {.name = "stand-alone VMI: KubeVirt's node selectors go, the user's stay",
     .vmi = "{'spec':{'domain':{},'nodeSelector':{'kubevirt.io/sev':'','cpu-model.node.kubevirt.io/"
            "X':'true','zone':'a','kubernetes.io/hostname':'n1'}}}",
     .expect = {IN "nodeSelector = {'zone':'a','kubernetes.io/hostname':'n1'}"}},
    {.name = "stopped VM",
     .vm = MACHINE(DISK("root"), PVC("root", "r")),
     .expect = {IN "volumes = [" PVC("root", "r") "]", "spec.runStrategy = -",
                "spec.template.metadata = {}"}},
    {.name = "stopped VM whose last instance has ended",
     .revision = "{'spec':{'template':{'spec':{'domain':{'cpu':{'cores':1}}}}}}",
     .vmi = "{'spec':{'domain':{'cpu':{'cores':1}}},'status':{'phase':'Succeeded'}}",
     .vm = "{'spec':{'template':{'spec':{'domain':{'cpu':{'cores':2}}}}}}",
     .expect = {IN "domain.cpu.cores = 2"}},
    {.name = "running VM without its revision",
     .vmi = "{'spec':{'domain':{}},'status':{'phase':'Running'}}",
     .vm = "{'metadata':{'name':'src'},'spec':{'template':{'spec':{'domain':{}}}}}",
     .error = "\"src\" runs, but the ControllerRevision that it was started from"},
    {.name = "nothing at all", .error = "neither a VirtualMachine nor"},
    {.name = "unknown fields and big numbers",
     .vm = "{'spec':{'novel':9007199254740993,'template':{'spec':{'domain':{},'x':1e400}}}}",
     .expect = {"spec.novel = 9007199254740993", IN "x = 1e400"}},
    {.name = "persistent TPM from a preference shows in the VMI alone",
     .revision = "{'spec':{'preference':{'name':'win'},'template':{'spec':{'domain':{}}}}}",
     .vmi = "{'spec':{'domain':{'devices':{'tpm':{'persistent':true}}}}}",
     .error = "persistent TPM"},
    {.name = "persistent EFI of a stopped VM",
     .vm = "{'spec':{'template':{'spec':{'domain':{'firmware':{'bootloader':{'efi':{'persistent':"
           "true}}}}}}}}",
     .error = "persistent EFI"},
    {.name = "hot-plugged hostDisk",
     .vmi = "{'spec':{'domain':{},'volumes':[{'name':'h','hostDisk':{'path':'/x'}}]}}",
     .error = "volume \"h\" of the source: it is a hostDisk"},
    {.name = "a revision without spec",
     .revision = "{'spec':{}}",
     .vmi = "{'spec':{'domain':{}}}",
     .error = "ControllerRevision of the running machine holds no data.spec.template.spec"},
    {.name = "a VMI without spec",
     .vmi = "{'metadata':{'name':'x'}}",
     .error = "\"x\" has no spec"},
    {.name = "a VM without template", .vm = "{'spec':{}}", .error = "has no spec.template.spec"},
};

static void run_row(const struct row *row)
{
    struct err err = {0};
    CLEANUP_JSON cJSON *revision = row->revision ? parse(row->revision) : NULL;
    CLEANUP_JSON cJSON *vmi = row->vmi ? parse(row->vmi) : NULL;
    CLEANUP_JSON cJSON *vm = row->vm ? parse(row->vm) : NULL;
    CLEANUP_JSON cJSON *source = NULL;
    struct manifest_source in = {.revision_data = revision, .vmi = vmi, .vm = vm};
    int status = manifest_source_spec(&in, &source, &err);
    if (row->error) {
        if (status == 0 || !strstr(err.message, row->error))
            fail_msg("%s: wanted an error with: %s; got %s", row->name, row->error,
                     status ? err.message : "none");
        return;
    }
    if (status < 0)
        fail_msg("%s: %s", row->name, err.message);
    for (size_t i = 0; i < ARRAY_LEN(row->expect) && row->expect[i]; i++)
        check_path(row->name, source, row->expect[i]);
}

static void test_sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        run_row(&rows[i]);
}

/* Every kind of volume is told apart, with its claim, device and boot order. */
static void test_volumes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *claim;
    } wanted[] = {
        {"pvc", "c1"},  {"dv", "c2"}, {"eph", "c3"}, {"dump", NULL},
        {"host", NULL}, {"ci", NULL}, {"fs", "c5"},
    };
    CLEANUP_JSON cJSON *source = parse(SOURCE(
        "{'domain':{'devices':{'disks':[{'name':'pvc','lun':{},'bootOrder':2},{'name':'dv','cdrom':"
        "{}}],'filesystems':[{'name':'fs','virtiofs':{}}]}},'volumes':[" PVC(
            "pvc", "c1") ",{'name':'dv','dataVolume':{'name':'c2','hotpluggable':true}},{'name':"
                         "'eph','ephemeral':{'persistentVolumeClaim':{'claimName':'c3'}}},{'name':"
                         "'dump','memoryDump':{'claimName':'c4'}},{'name':'host','hostDisk':{"
                         "'path':'/x'}},{'name':'ci','cloudInitNoCloud':{}}," PVC("fs",
                                                                                  "c5") "]}"));
    struct manifest_volume got[ARRAY_LEN(wanted)];
    assert_int_equal(manifest_volumes(source, NULL, 0), ARRAY_LEN(wanted));
    assert_int_equal(manifest_volumes(source, got, ARRAY_LEN(got)), ARRAY_LEN(wanted));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        assert_string_equal(got[i].name, wanted[i].name);
        assert_true(str_eq(got[i].claim, wanted[i].claim));
    }
    assert_int_equal(got[0].boot_order, 2);
    assert_true(got[0].lun);
    assert_true(got[1].cdrom);
    assert_true(got[1].hotpluggable);
    assert_false(got[0].hotpluggable);
    assert_true(got[6].filesystem);
}

/* Only of a machine that does not run, and that has a preference, KubeVirt is asked. */
static void test_hidden_state(void **state)
{
    (void)state;
    static const struct {
        const char *source, *vmi;
        bool hidden;
    } table[] = {
        {"{'spec':{'preference':{'name':'p'}}}", NULL, true},
        {"{'spec':{'preference':{'name':'p'}}}", "{'status':{'phase':'Succeeded'}}", true},
        {"{'spec':{'preference':{'name':'p'}}}", "{'status':{'phase':'Failed'}}", true},
        {"{'spec':{'preference':{'name':'p'}}}", "{'status':{'phase':'Running'}}", false},
        {"{'spec':{'preference':{'name':'p'}}}", "{'status':{'phase':'Scheduling'}}", false},
        {"{'spec':{'instancetype':{'name':'p'}}}", NULL, false},
        {"{'spec':{}}", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        CLEANUP_JSON cJSON *source = parse(table[i].source);
        CLEANUP_JSON cJSON *vmi = table[i].vmi ? parse(table[i].vmi) : NULL;
        assert_int_equal(manifest_hides_state(source, vmi), table[i].hidden);
    }
}

/* What is resolved is judged like a spec that says so itself. */
static void test_expanded_state(void **state)
{
    (void)state;
    static const struct {
        const char *domain, *error;
    } table[] = {
        {"{'devices':{'tpm':{'persistent':true}}}", "persistent TPM"},
        {"{'firmware':{'bootloader':{'efi':{'persistent':true}}}}", "persistent EFI"},
        {"{'devices':{'tpm':{'persistent':true,'enabled':false}}}", NULL},
        {"{'devices':{'tpm':{}}}", NULL},
    };
    CLEANUP_JSON cJSON *source = parse("{'metadata':{},'spec':{'preference':{'name':'p'}}}");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct err err = {0};
        cJSON *full = NULL;
        CLEANUP_FREE char *text =
            xasprintf("{'spec':{'template':{'spec':{'domain':%s}}}}", table[i].domain);
        CLEANUP_JSON cJSON *reply = parse(text);
        int status = manifest_source_expanded(source, reply, &full, &err);
        cJSON_Delete(full);
        assert_int_equal(status, table[i].error ? -1 : 0);
        if (table[i].error)
            assert_non_null(strstr(err.message, table[i].error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_hidden_state),
        cmocka_unit_test(test_expanded_state),
    };
    return cmocka_run_group_tests_name("target_source", tests, NULL, NULL);
}
