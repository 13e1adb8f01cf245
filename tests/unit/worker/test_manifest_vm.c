/*
 * Proves the rules by which the source's spec becomes the clone's VirtualMachine: each row is one
 * rule. The expectations come from KubeVirt's API types (staging/src/kubevirt.io/api/core/v1) and
 * from what its admission refuses, not from this program.
 */
#include "apimachinery/dns_names.h"
#include "manifest_test.h"

struct row {
    const char *name, *source, *labels, *spec, *disks;
    const char *expect[8];
    const char *error;   /* part of the refusal's message */
    const char *warning; /* part of some warning */
};

#define VOLUME(name, kind) "{'name':'" name "'," kind "}"
#define PVC(name, claim) VOLUME(name, "'persistentVolumeClaim':{'claimName':'" claim "'}")
#define DISK(name) "{'name':'" name "','disk':{'bus':'virtio'}}"
#define DISKS(disks, volumes) "{'domain':{'devices':{'disks':[" disks "]}},'volumes':[" volumes "]}"
#define DOMAIN(domain) "{'domain':" domain "}"
#define INSTANCE "spec.template.spec."

static const struct row rows[] = {
    /* --- metadata --- */
    {.name = "name, namespace, kind",
     .source = SOURCE(DOMAIN("{}")),
     .expect = {"apiVersion = 'kubevirt.io/v1'", "kind = 'VirtualMachine'",
                "metadata.name = 'clone-vm'", "metadata.namespace = 'lab'"}},
    {.name = "a batch's second machine",
     .source = SOURCE(DOMAIN("{}")),
     .spec = "'replicas':3",
     .expect = {"metadata.name = 'clone-vm-1'", INSTANCE "hostname = 'clone-vm-1'",
                "metadata.labels[vm.novasphere.dev/clone] = '1'"}},
    {.name = "our labels",
     .source = SOURCE(DOMAIN("{}")),
     .expect = {"metadata.labels = {'vm.novasphere.dev/wukong-uid':'" UID
                "','vm.novasphere.dev/wukong':'clone','vm.novasphere.dev/clone':'0'}"}},
    {.name = "the Wukong's labels, but none by which a tool tracks",
     .source = SOURCE(DOMAIN("{}")),
     .labels = "{'team':'red','app.kubernetes.io/name':'db','app.kubernetes.io/instance':'argo',"
               "'argocd.argoproj.io/instance':'argo','kustomize.toolkit.fluxcd.io/name':'f',"
               "'helm.toolkit.fluxcd.io/name':'f','helm.sh/chart':'c','app.kubernetes.io/"
               "managed-by':'Helm','applyset.kubernetes.io/part-of':'k','kapp.k14s.io/app':'1'}",
     .expect = {"metadata.labels = {'vm.novasphere.dev/wukong-uid':'" UID
                "','vm.novasphere.dev/wukong':'clone','vm.novasphere.dev/clone':'0',"
                "'team':'red','app.kubernetes.io/name':'db'}"}},
    {.name = "our labels win",
     .source = SOURCE(DOMAIN("{}")),
     .labels = "{'vm.novasphere.dev/wukong-uid':'forged','vm.novasphere.dev/clone':'7'}",
     .expect = {"metadata.labels[vm.novasphere.dev/wukong-uid] = '" UID "'",
                "metadata.labels[vm.novasphere.dev/clone] = '0'"}},
    {.name = "what the source hands down",
     .source = "{'metadata':{'labels':{'vm.kubevirt.io/template':'rhel9'},'annotations':{'vm."
               "kubevirt.io/os':'rhel9'}},'spec':{'template':{'metadata':{'annotations':{'kubevirt."
               "io/pci-topology-version':'v3'}},'spec':{'domain':{}}}}}",
     .expect = {"metadata.labels[vm.kubevirt.io/template] = 'rhel9'",
                "metadata.annotations = {'vm.kubevirt.io/os':'rhel9'}",
                "spec.template.metadata = {'annotations':{'kubevirt.io/pci-topology-version':"
                "'v3'}}"}},
    {.name = "reclaimPolicy Delete: the Wukong owns the machine",
     .source = SOURCE(DOMAIN("{}")),
     .spec = "'reclaimPolicy':'Delete'",
     .expect = {"metadata.ownerReferences = [{'apiVersion':'vm.novasphere.dev/v1alpha1','kind':"
                "'Wukong','name':'clone','uid':'" UID "','controller':true}]"}},
    {.name = "reclaimPolicy defaults to Delete",
     .source = SOURCE(DOMAIN("{}")),
     .expect = {"metadata.ownerReferences.#0.uid = '" UID "'"}},
    {.name = "reclaimPolicy Retain: until the record knows the machine",
     .source = SOURCE(DOMAIN("{}")),
     .spec = "'reclaimPolicy':'Retain'",
     .expect = {"metadata.ownerReferences.#0.uid = '" UID "'"}},

    /* --- volumes --- */
    {.name = "claim",
     .source = SOURCE(DISKS(DISK("root"), PVC("root", "src-root"))),
     .disks = "root",
     .expect = {INSTANCE "volumes = [{'name':'root','persistentVolumeClaim':{'claimName':"
                         "'clone-root'}}]",
                INSTANCE "domain.devices.disks = [" DISK("root") "]"}},
    /* A capture that whoever may edit the snapshot has edited. */
    {.name = "two volumes of one name",
     .source = SOURCE(DISKS(DISK("root"), PVC("root", "c1") "," VOLUME("root", "'ephemeral':{}"))),
     .disks = "root",
     .error = "two volumes of the source are named \"root\""},
    {.name = "a claim that is no object",
     .source = SOURCE(DISKS(DISK("root"), VOLUME("root", "'persistentVolumeClaim':'c1'"))),
     .disks = "root",
     .error = "root"},
    {.name = "claim keeps its other members",
     .source = SOURCE(DISKS(DISK("d"), VOLUME("d", "'persistentVolumeClaim':{'claimName':'x',"
                                                   "'readOnly':true,'hotpluggable':true}"))),
     .disks = "d",
     .expect = {INSTANCE "volumes.#0.persistentVolumeClaim = {'claimName':'clone-d','readOnly':"
                         "true,'hotpluggable':true}"}},
    {.name = "DataVolume becomes a claim",
     .source = SOURCE(
         DISKS(DISK("d"), VOLUME("d", "'dataVolume':{'name':'src-dv','hotpluggable':true}"))),
     .disks = "d",
     .expect = {INSTANCE "volumes = [{'name':'d','persistentVolumeClaim':{'claimName':'clone-d',"
                         "'hotpluggable':true}}]"}},
    {.name = "dataVolumeTemplates are dropped",
     .source = SOURCE_WITH("'dataVolumeTemplates':[{'metadata':{'name':'src-dv'}}]",
                           DISKS(DISK("d"), VOLUME("d", "'dataVolume':{'name':'src-dv'}"))),
     .disks = "d",
     .expect = {"spec.dataVolumeTemplates = -"}},
    {.name = "unwanted: volume and disk go, and a warning names it",
     .source = SOURCE(
         DISKS(DISK("root") "," DISK("data"), PVC("root", "src-root") "," PVC("data", "src-data"))),
     .disks = "root",
     .expect = {INSTANCE "volumes.#1 = -", INSTANCE "domain.devices.disks = [" DISK("root") "]"},
     .warning = "disk \"data\" of the source is left out"},
    {.name = "unwanted boot disk: the warning says so",
     .source = SOURCE(DISKS("{'name':'a','disk':{}},{'name':'b','disk':{},'bootOrder':1}",
                            PVC("a", "src-a") "," PVC("b", "src-b"))),
     .disks = "a",
     .warning = "\"b\" of the source is left out; the source boots from it"},
    {.name = "unwanted filesystem goes with its volume",
     .source = SOURCE("{'domain':{'devices':{'filesystems':[{'name':'share','virtiofs':{}}]}},"
                      "'volumes':[" PVC("share", "src-share") "]}"),
     .expect = {INSTANCE "volumes = []", INSTANCE "domain.devices.filesystems = []"}},
    {.name = "wanted filesystem",
     .source = SOURCE("{'domain':{'devices':{'filesystems':[{'name':'share','virtiofs':{}}]}},"
                      "'volumes':[" PVC("share", "src-share") "]}"),
     .disks = "share",
     .expect = {INSTANCE "volumes.#0.persistentVolumeClaim.claimName = 'clone-share'",
                INSTANCE "domain.devices.filesystems.#0.name = 'share'"}},
    {.name = "ephemeral: our claim under it, and a warning",
     .source = SOURCE(
         DISKS(DISK("e"), VOLUME("e", "'ephemeral':{'persistentVolumeClaim':{'claimName':'x',"
                                      "'readOnly':true}}"))),
     .disks = "e",
     .expect = {INSTANCE "volumes.#0.ephemeral.persistentVolumeClaim = {'claimName':'clone-e',"
                         "'readOnly':true}"},
     .warning = "disk \"e\" is ephemeral"},
    {.name = "unwanted ephemeral goes",
     .source = SOURCE(
         DISKS(DISK("e"), VOLUME("e", "'ephemeral':{'persistentVolumeClaim':{'claimName':'x'}}"))),
     .expect = {INSTANCE "volumes = []", INSTANCE "domain.devices.disks = []"}},
    {.name = "memory dump goes",
     .source = SOURCE(
         DISKS(DISK("r"), PVC("r", "x") "," VOLUME("m", "'memoryDump':{'claimName':'dump'}"))),
     .disks = "r",
     .expect = {INSTANCE "volumes.#1 = -"},
     .warning = "volume \"m\" of the source is left out: it is a dump of the source's memory"},
    {.name = "memory dump asked for",
     .source = SOURCE(DISKS("", VOLUME("m", "'memoryDump':{'claimName':'dump'}"))),
     .disks = "m",
     .error =
         "\"m\" of the source cannot be cloned, it is a dump of the source's memory and no disk: "
         "remove it from spec.disks"},
    {.name = "utility volumes go",
     .source = SOURCE("{'domain':{},'utilityVolumes':[{'name':'u','claimName':'src-u'}]}"),
     .expect = {INSTANCE "utilityVolumes = -"},
     .warning = "utilityVolumes of the source are left out"},
    {.name = "volumes without a claim stay as they are",
     .source = SOURCE(DISKS(
         DISK("i") "," DISK("c"),
         VOLUME("i", "'containerDisk':{'image':'quay.io/x'}") "," VOLUME(
             "c", "'cloudInitNoCloud':{'userData':'#cloud-config'}") "," VOLUME("e",
                                                                                "'emptyDisk':{'capa"
                                                                                "city':'1Gi'}"))),
     .expect = {INSTANCE "volumes = [{'name':'i','containerDisk':{'image':'quay.io/x'}},{'name':"
                         "'c','cloudInitNoCloud':{'userData':'#cloud-config'}},{'name':'e',"
                         "'emptyDisk':{'capacity':'1Gi'}}]",
                INSTANCE "domain.devices.disks = [" DISK("i") "," DISK("c") "]"}},
    {.name = "an empty CD-ROM drive stays",
     .source = SOURCE(DISKS("{'name':'tray','cdrom':{'bus':'sata'}}", "")),
     .expect = {INSTANCE "domain.devices.disks = [{'name':'tray','cdrom':{'bus':'sata'}}]"}},
    {.name = "hostDisk is refused by name",
     .source = SOURCE(DISKS(DISK("h"), VOLUME("h", "'hostDisk':{'path':'/d','type':'Disk'}"))),
     .error = "volume \"h\" of the source: it is a hostDisk"},
    {.name = "a disk that the source has not",
     .source = SOURCE(DISKS(DISK("root"), PVC("root", "src-root"))),
     .disks = "rot",
     .error = "no disk \"rot\" with a claim; it has: root"},
    {.name = "a disk without claim",
     .source = SOURCE(DISKS(DISK("i"), VOLUME("i", "'containerDisk':{'image':'x'}"))),
     .disks = "i",
     .error = "no disk \"i\" with a claim; it has: none"},
    {.name = "one disk twice",
     .source = SOURCE(DISKS(DISK("root"), PVC("root", "src-root"))),
     .disks = "root root",
     .error = "\"root\" is named twice"},
    {.name = "our claim would be the source's",
     .source = SOURCE(DISKS(DISK("root"), PVC("root", "clone-root"))),
     .disks = "root",
     .error = "\"clone-root\", which is the source's own: choose another metadata.name"},
    {.name = "a claim where nobody expects one",
     .source = SOURCE("{'domain':{'devices':{'futureDisk':{'claimName':'src-root'}}}}"),
     .error = "spec.template.spec.domain.devices.futureDisk.claimName of the source names "
              "\"src-root\""},
    {.name = "a claim of an unknown kind of volume",
     .source = SOURCE(DISKS(DISK("n"), VOLUME("n", "'novel':{'claimName':'src-n'}"))),
     .error = "volume \"n\" of the source: this version of Wukong does not know its type"},
    {.name = "an unknown kind of volume without a claim",
     .source = SOURCE(DISKS(DISK("n"), VOLUME("n", "'novel':{'x':'y'}"))),
     .error = "volume \"n\" of the source: this version of Wukong does not know its type"},
    {.name = "a claim in an unknown member beside a known type",
     .source = SOURCE(DISKS(DISK("n"), VOLUME("n", "'emptyDisk':{},'novel':{'claimName':'c'}"))),
     .error = "spec.template.spec.volumes.[].novel.claimName of the source names \"c\""},
    {.name = "a volume of two types",
     .source = SOURCE(DISKS(DISK("n"), VOLUME("n", "'containerDisk':{'image':'x'},'secret':{}"))),
     .error = "volume \"n\" of the source: this version of Wukong does not know its type"},
    {.name = "devices by resource claim stay as they are",
     .source = SOURCE("{'resourceClaims':[{'name':'pgpu','resourceClaimTemplateName':'t'}],"
                      "'networks':[{'name':'n','resourceClaim':{'claimName':'pgpu'}}],'domain':{"
                      "'devices':{'gpus':[{'name':'g','claimName':'pgpu','requestName':'gpu'}],"
                      "'hostDevices':[{'name':'h','claimName':'pgpu'}]}}}"),
     .expect = {INSTANCE "domain.devices.gpus.#0.claimName = 'pgpu'",
                INSTANCE "domain.devices.hostDevices.#0.claimName = 'pgpu'",
                INSTANCE "networks.#0.resourceClaim.claimName = 'pgpu'"},
     .warning = "the clone asks for the source's gpus"},
    {.name = "a claim of a device is no claim of its parts",
     .source = SOURCE("{'domain':{'devices':{'gpus':[{'name':'g','disk':{'claimName':'c'}}]}}}"),
     .error = "domain.devices.gpus.[].disk.claimName of the source names \"c\""},
    {.name = "an ACPI table goes with the volume that holds it",
     .source = SOURCE("{'domain':{'firmware':{'acpi':{'slicNameRef':'m','msdmNameRef':'s'}}},"
                      "'volumes':[{'name':'m','memoryDump':{'claimName':'d'}},{'name':'s','secret'"
                      ":{'secretName':'x'}}]}"),
     .expect = {INSTANCE "domain.firmware.acpi = {'msdmNameRef':'s'}"}},
    {.name = "a DataVolume in an unknown place",
     .source = SOURCE("{'domain':{'novel':{'dataVolume':{'name':'src-n'}}}}"),
     .error = "spec.template.spec.domain.novel.dataVolume of the source"},

    /* --- persistent state --- */
    {.name = "persistent TPM",
     .source = SOURCE(DOMAIN("{'devices':{'tpm':{'persistent':true}}}")),
     .error = "persistent TPM (domain.devices.tpm.persistent: true)"},
    {.name = "TPM without state",
     .source = SOURCE(DOMAIN("{'devices':{'tpm':{}}}")),
     .expect = {INSTANCE "domain.devices.tpm = {}"}},
    {.name = "TPM switched off",
     .source = SOURCE(DOMAIN("{'devices':{'tpm':{'enabled':false,'persistent':true}}}")),
     .expect = {INSTANCE "domain.devices.tpm.enabled = false"}},
    {.name = "persistent EFI",
     .source = SOURCE(DOMAIN("{'firmware':{'bootloader':{'efi':{'persistent':true}}}}")),
     .error = "persistent EFI variables (domain.firmware.bootloader.efi.persistent: true)"},
    {.name = "EFI without state",
     .source = SOURCE(DOMAIN("{'firmware':{'bootloader':{'efi':{'secureBoot':false}}}}")),
     .expect = {INSTANCE "domain.firmware.bootloader = {'efi':{'secureBoot':false}}"}},

    /* --- boot order --- */
    {.name = "boot disk: first; what had an order follows",
     .source = SOURCE("{'domain':{'devices':{'disks':[{'name':'a','bootOrder':1},{'name':'b'}],"
                      "'interfaces':[{'name':'n','bootOrder':2}]}},'volumes':[" PVC(
                          "a", "x") "," PVC("b", "y") "]}"),
     .disks = "a b*",
     .expect = {INSTANCE "domain.devices.disks = [{'name':'a','bootOrder':2},{'name':'b',"
                         "'bootOrder':1}]",
                INSTANCE "domain.devices.interfaces.#0.bootOrder = 3"}},
    {.name = "boot disk that is first already",
     .source = SOURCE(DISKS("{'name':'a','bootOrder':1},{'name':'b','bootOrder':2}",
                            PVC("a", "x") "," PVC("b", "y"))),
     .disks = "a* b",
     .expect = {INSTANCE "domain.devices.disks.#0.bootOrder = 1",
                INSTANCE "domain.devices.disks.#1.bootOrder = 2"}},
    {.name = "boot disk without an entry in disks",
     .source = SOURCE(DISKS("", PVC("a", "x"))),
     .disks = "a*",
     .expect = {INSTANCE "domain.devices.disks = [{'name':'a','disk':{},'bootOrder':1}]"}},
    {.name = "no boot disk named: as the source",
     .source = SOURCE(DISKS("{'name':'a','bootOrder':5}", PVC("a", "x"))),
     .disks = "a",
     .expect = {INSTANCE "domain.devices.disks.#0.bootOrder = 5"}},
    {.name = "a filesystem cannot boot",
     .source = SOURCE("{'domain':{'devices':{'filesystems':[{'name':'s','virtiofs':{}}]}},"
                      "'volumes':[" PVC("s", "x") "]}"),
     .disks = "s*",
     .error = "\"s\" is shared as a filesystem and cannot boot"},

    /* --- instancetype --- */
    {.name = "instancetype and preference stay, their revisions go",
     .source = SOURCE_WITH("'instancetype':{'kind':'VirtualMachineInstancetype','name':'small',"
                           "'revisionName':'src-small-1'},'preference':{'name':'linux',"
                           "'revisionName':'src-linux-1'}",
                           DOMAIN("{}")),
     .expect = {"spec.instancetype = {'kind':'VirtualMachineInstancetype','name':'small'}",
                "spec.preference = {'name':'linux'}"}},

    /* --- the rest --- */
    {.name = "hostname is the clone's, subdomain stays",
     .source = SOURCE("{'hostname':'src','subdomain':'db','domain':{}}"),
     .expect = {INSTANCE "hostname = 'clone-vm'", INSTANCE "subdomain = 'db'"}},
    {.name = "numbers past 2^53 and unknown fields",
     .source = SOURCE_WITH("'novel':{'big':9007199254740993,'e':1.10}",
                           "{'domain':{},'terminationGracePeriodSeconds':18446744073709551615}"),
     .expect = {"spec.novel = {'big':9007199254740993,'e':1.10}",
                INSTANCE "terminationGracePeriodSeconds = 18446744073709551615"}},
    {.name = "network data that matches MAC addresses",
     .source = SOURCE(
         DISKS(DISK("c"), VOLUME("c", "'cloudInitNoCloud':{'networkData':'match: {macaddress: "
                                      "0e:00:00:00:00:01}'}"))),
     .warning = "network data of \"c\" name MAC addresses"},
    {.name = "what is said of annotations that stay behind",
     .source = "{'metadata':{},'missedAnnotations':{'hooks.kubevirt.io/hookSidecars':''},'spec':{"
               "'template':{'spec':{'domain':{}}}}}",
     .expect = {"missedAnnotations = -"},
     .warning = "no hook sidecar runs beside the clone"},
    {.name = "what is said of the hostname is the source's",
     .source = SOURCE("{'hostname':'db','domain':{}}"),
     .warning = "hostname \"db\" of the source is not kept"},
    {.name = "host devices",
     .source = SOURCE(DOMAIN("{'devices':{'gpus':[{'name':'g','deviceName':'nvidia.com/A10'}]}}")),
     .expect = {INSTANCE "domain.devices.gpus.#0.name = 'g'"},
     .warning = "the source's gpus"},
    {.name = "no domain",
     .source = "{'metadata':{},'spec':{'template':{'spec':{}}}}",
     .error = "no spec.template.spec.domain"},
};

static bool has_warning(const struct manifest_vm *vm, const char *part)
{
    for (size_t i = 0; i < vm->warning_count; i++)
        if (strstr(vm->warnings[i], part))
            return true;
    for (size_t i = 0; i < vm->difference_count; i++)
        if (strstr(vm->differences[i], part))
            return true;
    return false;
}

static void run_row(const struct row *row)
{
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct disk_list disks;
    struct err err = {0};
    CLEANUP_JSON cJSON *source = parse(row->source);
    CLEANUP_FREE char *before = json_print(source);
    fixture_init(&f, row->labels, row->spec);
    disk_list_init(&disks, row->disks);
    struct manifest_request r = {.wukong = &f.wukong,
                                 .effective = &f.effective,
                                 .index = f.effective.replicas > 1,
                                 .disks = disks.items,
                                 .disk_count = disks.count};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    int status = manifest_vm_body(source, &r, &vm, &err);
    if (row->error) {
        if (status == 0 || !strstr(err.message, row->error))
            fail_msg("%s: wanted an error with: %s; got %s", row->name, row->error,
                     status ? err.message : "none");
        return;
    }
    if (status < 0)
        fail_msg("%s: %s", row->name, err.message);
    CLEANUP_JSON cJSON *body = NULL;
    assert_int_equal(json_parse(vm.body.data, vm.body.len, true, &body, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(row->expect) && row->expect[i]; i++)
        check_path(row->name, body, row->expect[i]);
    if (row->warning && !has_warning(&vm, row->warning))
        fail_msg("%s: no warning with: %s", row->name, row->warning);
    if (!row->warning && vm.warning_count && !strstr(row->name, "goes"))
        fail_msg("%s: unexpected warning: %s", row->name, vm.warnings[0]);
    CLEANUP_FREE char *after = json_print(source);
    assert_string_equal(before, after);
}

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        run_row(&rows[i]);
}

static cJSON *build(const struct wukong_fixture *f, const char *source_text, int64_t index,
                    struct manifest_vm *vm)
{
    struct err err = {0};
    cJSON *body = NULL;
    CLEANUP_JSON cJSON *source = parse(source_text);
    struct manifest_request r = {.wukong = &f->wukong, .effective = &f->effective, .index = index};
    manifest_vm_init(vm);
    if (manifest_vm_body(source, &r, vm, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(json_parse(vm->body.data, vm->body.len, true, &body, &err), 0);
    return body;
}

/* Each interface gets an address of its own, locally administered and unicast (IEEE 802: second
   lowest bit of the first byte set, lowest clear), another one in the next clone of the batch, and
   the same in a retry; so do UUID and serial. Everything else of firmware and interface stays. */
static void test_identity(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "spec.template.spec.domain.firmware.uuid",
        "spec.template.spec.domain.firmware.serial",
        "spec.template.spec.domain.devices.interfaces.#0.macAddress",
        "spec.template.spec.domain.devices.interfaces.#1.macAddress",
    };
    static const char source[] =
        SOURCE("{'domain':{'firmware':{'uuid':'5d307ca9-b3ef-428c-8861-06e72d69f223','serial':"
               "'S1','bootloader':{'bios':{}}},'devices':{'interfaces':[{'name':'a','macAddress':"
               "'0e:00:00:00:00:01','model':'virtio'},{'name':'b','sriov':{}}]}}}");
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, "'replicas':2");
    CLEANUP_MANIFEST_VM struct manifest_vm v0, again, v1;
    CLEANUP_JSON cJSON *first = build(&f, source, 0, &v0);
    CLEANUP_JSON cJSON *retry = build(&f, source, 0, &again);
    CLEANUP_JSON cJSON *second = build(&f, source, 1, &v1);
    assert_string_equal(v0.body.data, again.body.data);
    (void)retry;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const char *x = json_str(first, paths[i]), *y = json_str(second, paths[i]);
        assert_non_null(x);
        assert_non_null(y);
        assert_string_not_equal(x, y);
        assert_null(strstr(source, x));
        if (i >= 2)
            assert_int_equal(strtoul(x, NULL, 16) & 3, 2);
    }
    assert_string_not_equal(json_str(first, paths[2]), json_str(first, paths[3]));
    check_path("firmware", first, "spec.template.spec.domain.firmware.bootloader = {'bios':{}}");
    check_path("model", first, "spec.template.spec.domain.devices.interfaces.#0.model = 'virtio'");
    check_path("binding", first, "spec.template.spec.domain.devices.interfaces.#1.sriov = {}");
}

/* A machine without firmware gets one, or it would get the legacy UUID, a hash of its name, from
   KubeVirt before 1.6. */
static void test_identity_without_firmware(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    CLEANUP_JSON cJSON *body = build(&f, SOURCE("{'domain':{}}"), 0, &vm);
    assert_non_null(json_str(body, "spec.template.spec.domain.firmware.uuid"));
    assert_non_null(json_str(body, "spec.template.spec.domain.firmware.serial"));
    assert_null(json_at(body, "spec.template.spec.domain.devices.interfaces"));
}

/* In another namespace the source's claim of the same name is another claim. */
static void test_same_name_elsewhere(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct disk_list disks;
    struct err err = {0};
    CLEANUP_JSON cJSON *source = parse(SOURCE(DISKS(DISK("root"), PVC("root", "clone-root"))));
    fixture_init(&f, NULL, NULL);
    f.effective.cross_namespace = true;
    disk_list_init(&disks, "root");
    struct manifest_request r = {.wukong = &f.wukong,
                                 .effective = &f.effective,
                                 .disks = disks.items,
                                 .disk_count = disks.count};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    assert_int_equal(manifest_vm_body(source, &r, &vm, &err), 0);
}

/* The Wukong's name as a label value is cut with a hash past 63 bytes (it may have 253). */
static void test_long_name(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    f.wukong.name = "a23456789.b23456789.c23456789.d23456789.e23456789.f23456789.g23456789";
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    CLEANUP_JSON cJSON *body = build(&f, SOURCE("{'domain':{}}"), 0, &vm);
    const char *label = json_str(body, "metadata.labels[vm.novasphere.dev/wukong]");
    assert_non_null(label);
    assert_true(strlen(label) <= 63);
    assert_true(name_is_label_value(label));
    check_path("owner", body,
               "metadata.ownerReferences.#0.name = "
               "'a23456789.b23456789.c23456789.d23456789.e23456789.f23456789.g23456789'");
}

/* Every kind of reference is listed once, in the namespace where KubeVirt looks it up. */
static void test_needs(void **state)
{
    (void)state;
    static const struct manifest_dependency wanted[] = {
        {"ConfigMap", "cm", "lab", false},
        {"ConfigMap", "sys", "lab", false},
        {"Secret", "sec", "lab", true},
        {"Secret", "user", "lab", false},
        {"Secret", "net", "lab", false},
        {"Secret", "pull", "lab", false},
        {"ServiceAccount", "sa", "lab", false},
        {"Secret", "ssh", "lab", false},
        {"Secret", "pw", "lab", false},
        {"ResourceClaim", "gpu", "lab", false},
        {"Secret", "kernel", "lab", false},
        {"NetworkAttachmentDefinition", "blue", "lab", false},
        {"NetworkAttachmentDefinition", "red", "nets", false},
        {"VirtualMachineInstancetype", "small", "lab", false},
        {"VirtualMachineClusterPreference", "linux", NULL, false},
    };
    static const char source[] = SOURCE_WITH(
        "'instancetype':{'kind':'virtualmachineinstancetype','name':'small'},'preference':{"
        "'name':'linux'}",
        "{'domain':{'firmware':{'kernelBoot':{'container':{'imagePullSecret':'kernel'}}}},"
        "'accessCredentials':[{'sshPublicKey':{'source':{'secret':{'secretName':'ssh'}}}},"
        "{'userPassword':{'source':{'secret':{'secretName':'pw'}}}}],'resourceClaims':[{'name':'g',"
        "'resourceClaimName':'gpu'}],'networks':[{'name':'p','pod':{}},{'name':'b','multus':{"
        "'networkName':'blue'}},{'name':'r','multus':{'networkName':'nets/red'}}],'volumes':["
        "{'name':'1','configMap':{'name':'cm','optional':true}},{'name':'2','configMap':{'name':"
        "'cm'}},{'name':'3','secret':{'secretName':'sec','optional':true}},{'name':'4',"
        "'cloudInitNoCloud':{'secretRef':{'name':'user'},'networkDataSecretRef':{'name':'net'}}},"
        "{'name':'5','containerDisk':{'image':'i','imagePullSecret':'pull'}},{'name':'6',"
        "'serviceAccount':{'serviceAccountName':'sa'}},{'name':'7','sysprep':{'configMap':{'name':"
        "'sys'}}}]}");
    CLEANUP_FIXTURE struct wukong_fixture f;
    fixture_init(&f, NULL, NULL);
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    CLEANUP_JSON cJSON *body = build(&f, source, 0, &vm);
    assert_non_null(body);
    assert_int_equal(vm.need_count, ARRAY_LEN(wanted));
    for (size_t i = 0; i < vm.need_count; i++) {
        assert_string_equal(vm.needs[i].kind, wanted[i].kind);
        assert_string_equal(vm.needs[i].name, wanted[i].name);
        assert_true(str_eq(vm.needs[i].ns, wanted[i].ns));
        assert_int_equal(vm.needs[i].optional, wanted[i].optional);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_identity_without_firmware),
        cmocka_unit_test(test_same_name_elsewhere),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_needs),
    };
    return cmocka_run_group_tests_name("target_vm", tests, NULL, NULL);
}
