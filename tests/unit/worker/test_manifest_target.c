/*
 * Proves what spec.target makes of a machine and its claims: labels and annotations where a Service
 * or a policy looks for them, annotations of the source's template that are asked for, and that
 * what is not the user's to set stays as it is.
 */
#include "manifest_test.h"

#define INSTANCE "spec.template.spec."
#define TEMPLATE "spec.template.metadata."

struct row {
    const char *name, *source, *labels, *spec;
    const char *expect[8];
    const char *said, *error;
    bool elsewhere, start;
};

#define CARRIED(annotations)                                                                       \
    "{'metadata':{},'templateAnnotations':{" annotations "},'spec':{'template':{'metadata':{},"    \
    "'spec':{'domain':{}}}}}"
#define CLOUD(data)                                                                                \
    "{'metadata':{},'spec':{'template':{'metadata':{},'spec':{'domain':{'devices':{'disks':[{"     \
    "'name':'ci','disk':{}}]}},'volumes':[{'name':'ci','cloudInitNoCloud':{'userData':'" data      \
    "','networkData':'version: 2'}}]}}}}"
#define INHERITED(strategy)                                                                        \
    "{'metadata':{},'runStrategy':'" strategy "','spec':{'template':{'metadata':{},'spec':{"       \
    "'domain':{}}}}}"
#define REFERENCES(items) "'target':{'references':[" items "]}"
#define KEEP(list) "'target':{'keepAnnotations':[" list "]}"

static const struct row rows[] = {
    {.name = "labels: on the machine and its template; the target's count before the Wukong's",
     .source = SOURCE("{'domain':{}}"),
     .labels = "{'app':'other','team':'a','argocd.argoproj.io/instance':'x','kubevirt.io':'y'}",
     .spec = "'target':{'labels':{'app':'shop'},'annotations':{'example.com/owner':'me'}}",
     .expect = {TEMPLATE "labels = {'app':'shop','team':'a'}", "metadata.labels.app = 'shop'",
                "metadata.labels.team = 'a'", "metadata.labels.kubevirt.io = -",
                "metadata.annotations = {'example.com/owner':'me'}",
                TEMPLATE "annotations = {'example.com/owner':'me'}"}},
    {.name = "our labels have the last word, whatever a Wukong says that nobody judged",
     .source = SOURCE("{'domain':{}}"),
     .labels = "{'vm.novasphere.dev/wukong-uid':'forged'}",
     .spec = "'target':{'labels':{'vm.novasphere.dev/wukong':'forged','kubevirt.io/vm':'x'}}",
     .expect = {TEMPLATE "labels = {}",
                "metadata.labels = {'vm.novasphere.dev/wukong-uid':'" UID
                "','vm.novasphere.dev/wukong':'clone','vm.novasphere.dev/clone':'0'}"}},
    {.name = "anti-affinity's label stands beside them",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'target':{'labels':{'app':'shop'}},'highAvailability':{'antiAffinity':true}",
     .expect = {TEMPLATE "labels = {'vm.novasphere.dev/wukong-uid':'" UID "','app':'shop'}"}},
    {.name = "nothing asked for, nothing kept",
     .source = CARRIED("'kubevirt.io/ignitiondata':'{}','example.com/a':'b'"),
     .expect = {TEMPLATE "annotations = -", "templateAnnotations = -"},
     .said = "annotation kubevirt.io/ignitiondata is left out"},
    {.name = "kept by key and by domain",
     .source = CARRIED("'kubevirt.io/ignitiondata':'{}','example.com/a':'b','example.com/c':'\xc3"
                       "\xa9','example.org/d':'e'"),
     .spec = KEEP("'kubevirt.io/ignitiondata','example.com/'"),
     .expect = {TEMPLATE "annotations = {'kubevirt.io/ignitiondata':'{}','example.com/a':'b',"
                         "'example.com/c':'\xc3\xa9'}",
                "metadata.annotations = -"},
     .said = "left out: example.org/d"},
    {.name = "the user's own value goes before the source's",
     .source = CARRIED("'example.com/a':'b'"),
     .spec = "'target':{'keepAnnotations':['example.com/a'],'annotations':{'example.com/a':'c'}}",
     .expect = {TEMPLATE "annotations = {'example.com/a':'c'}"}},
    {.name = "notes about the source are no part of a clone, though a capture held them",
     .source = CARRIED("'kubectl.kubernetes.io/last-applied-configuration':'{}'"),
     .spec = KEEP("'kubectl.kubernetes.io/'"),
     .expect = {TEMPLATE "annotations = -"}},
    {.name = "a hook sidecar of the same namespace",
     .source =
         CARRIED("'hooks.kubevirt.io/hookSidecars':'[{\\u0022image\\u0022:\\u0022a\\u0022}]'"),
     .spec = KEEP("'hooks.kubevirt.io/'"),
     .expect = {TEMPLATE "annotations[hooks.kubevirt.io/hookSidecars] = "
                         "'[{\\u0022image\\u0022:\\u0022a\\u0022}]'"}},
    {.name = "a hook sidecar that mounts a claim",
     .source = CARRIED("'hooks.kubevirt.io/hookSidecars':'[{\\u0022pvc\\u0022:{\\u0022name\\u0022:"
                       "\\u0022src\\u0022}}]'"),
     .spec = KEEP("'hooks.kubevirt.io/hookSidecars'"),
     .expect = {TEMPLATE "annotations = -"},
     .said = "hooks.kubevirt.io/hookSidecars is left out: it mounts a claim"},
    {.name = "a hook sidecar from another namespace",
     .source = CARRIED("'hooks.kubevirt.io/hookSidecars':'[]','example.com/a':'b'"),
     .elsewhere = true,
     .spec = KEEP("'hooks.kubevirt.io/hookSidecars','example.com/a'"),
     .expect = {TEMPLATE "annotations = {'example.com/a':'b'}"},
     .said = "hooks.kubevirt.io/hookSidecars is left out: it would run an image"},
    {.name = "what was too long to be carried",
     .source = CARRIED("'example.com/a':null"),
     .spec = KEEP("'example.com/a'"),
     .expect = {TEMPLATE "annotations = -"},
     .said = "annotation example.com/a is left out: with those before it, it is too long"},
    /* --- networks --- */
    {.name = "links down: each interface, but for one that is being unplugged",
     .source = SOURCE("{'domain':{'devices':{'interfaces':[{'name':'a','bridge':{},'state':'up'},{"
                      "'name':'b','masquerade':{}},{'name':'c','bridge':{},'state':'absent'}]}},"
                      "'networks':[{'name':'a','multus':{'networkName':'x'}},{'name':'b','pod':{}},"
                      "{'name':'c','multus':{'networkName':'y'}}]}"),
     .spec = "'target':{'network':{'links':'Down'}}",
     .expect = {INSTANCE "domain.devices.interfaces.#0.state = 'down'",
                INSTANCE "domain.devices.interfaces.#1.state = 'down'",
                INSTANCE "domain.devices.interfaces.#2.state = 'absent'"}},
    {.name = "links down: the interface that KubeVirt would have added",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'target':{'network':{'links':'Down'}}",
     .expect = {INSTANCE "domain.devices.interfaces.#0.state = 'down'",
                INSTANCE "domain.devices.interfaces.#0.masquerade = {}",
                INSTANCE "networks = [{'name':'default','pod':{}}]"}},
    {.name = "links down: no interface, none added",
     .source = SOURCE("{'domain':{'devices':{'autoattachPodInterface':false}}}"),
     .spec = "'target':{'network':{'links':'Down'}}",
     .expect = {INSTANCE "domain.devices.interfaces = -", INSTANCE "networks = -"}},
    {.name = "links down: those of spec.networks",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'lan','nadName':'n'}],'target':{'network':{'links':'Down'}}",
     .expect = {INSTANCE "domain.devices.interfaces.#0.state = 'down'",
                INSTANCE "domain.devices.interfaces.#1.state = 'down'"}},
    {.name = "links down: SR-IOV",
     .source = SOURCE("{'domain':{'devices':{'interfaces':[{'name':'fast','sriov':{}}]}},'networks'"
                      ":[{'name':'fast','multus':{'networkName':'vf'}}]}"),
     .spec = "'target':{'network':{'links':'Down'}}",
     .error = "cannot set the link of SR-IOV interface \"fast\" down"},
    {.name = "links down: SR-IOV that goes to the Pod network",
     .source = SOURCE("{'domain':{'devices':{'interfaces':[{'name':'fast','sriov':{}}]}},'networks'"
                      ":[{'name':'fast','multus':{'networkName':'vf'}}]}"),
     .spec = "'target':{'network':{'links':'Down','map':[{'from':'vf','to':'pod'}]}}",
     .expect = {INSTANCE "domain.devices.interfaces.#0.state = 'down'",
                INSTANCE "domain.devices.interfaces.#0.masquerade = {}",
                INSTANCE "domain.devices.interfaces.#0.sriov = -"}},
    {.name = "links that are kept",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'target':{'network':{'links':'Keep'}}",
     .expect = {INSTANCE "domain.devices.interfaces = -", INSTANCE "networks = -"}},
    {.name = "map: by name, by what it is attached to, and the Pod network",
     .source =
         SOURCE("{'domain':{'devices':{'interfaces':[{'name':'a','bridge':{},'model':'e1000'},{"
                "'name':'b','macvtap':{}},{'name':'c','masquerade':{},'ports':[{'port':22}]}]}},"
                "'networks':[{'name':'a','multus':{'networkName':'prod-vlan','default':true}},{"
                "'name':'b','multus':{'networkName':'prod/dmz'}},{'name':'c','pod':{"
                "'vmNetworkCIDR':'10.11.0.0/16'}}]}"),
     .spec = "'target':{'network':{'map':[{'from':'a','to':'test-vlan'},{'from':'prod/dmz','to':"
             "'lab/dmz'},{'from':'pod','to':'lan'}]}}",
     .expect = {INSTANCE "networks = [{'name':'a','multus':{'networkName':'test-vlan','default':"
                         "true}},{'name':'b','multus':{'networkName':'lab/dmz'}},{'name':'c',"
                         "'multus':{'networkName':'lan'}}]",
                INSTANCE "domain.devices.interfaces.#0.bridge = {}",
                INSTANCE "domain.devices.interfaces.#0.model = 'e1000'",
                INSTANCE "domain.devices.interfaces.#1.macvtap = {}",
                INSTANCE "domain.devices.interfaces.#2.bridge = {}",
                INSTANCE "domain.devices.interfaces.#2.masquerade = -"}},
    {.name = "map: a name goes before a NetworkAttachmentDefinition of that name",
     .source = SOURCE("{'domain':{'devices':{'interfaces':[{'name':'a','bridge':{}},{'name':'b',"
                      "'bridge':{}}]}},'networks':[{'name':'a','multus':{'networkName':'b'}},{"
                      "'name':'b','multus':{'networkName':'c'}}]}"),
     .spec = "'target':{'network':{'map':[{'from':'b','to':'x'},{'from':'a','to':'y'}]}}",
     .expect = {INSTANCE "networks.#0.multus.networkName = 'y'",
                INSTANCE "networks.#1.multus.networkName = 'x'"}},
    {.name = "map: what the source has not",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'target':{'network':{'map':[{'from':'prod-vlan','to':'x'}]}}",
     .error = "spec.target.network.map[0].from: the source has no network \"prod-vlan\""},
    {.name = "map: two Pod networks",
     .source = SOURCE("{'domain':{'devices':{'interfaces':[{'name':'a','bridge':{}},{'name':'b',"
                      "'masquerade':{}}]}},'networks':[{'name':'a','multus':{'networkName':'x'}},{"
                      "'name':'b','pod':{}}]}"),
     .spec = "'target':{'network':{'map':[{'from':'x','to':'pod'}]}}",
     .error = "2 networks would be the Pod network"},

    /* --- cpuShape --- */
    {.name = "cpu: cores where the source has cores",
     .source = SOURCE("{'domain':{'cpu':{'cores':4,'sockets':1,'threads':1}}}"),
     .spec = "'cpu':8",
     .expect = {INSTANCE "domain.cpu = {'cores':8,'sockets':1,'threads':1}"}},
    {.name = "cpu: cores of Windows, which has one CPU",
     .source = SOURCE("{'domain':{'features':{'hyperv':{}}}}"),
     .spec = "'cpu':8",
     .expect = {INSTANCE "domain.cpu = {'cores':8,'sockets':1,'threads':1}"}},
    {.name = "cpu: sockets of several cores",
     .source = SOURCE("{'domain':{'cpu':{'cores':4,'sockets':2}}}"),
     .spec = "'cpu':16",
     .expect = {INSTANCE "domain.cpu = {'cores':4,'sockets':4,'threads':1}"}},
    {.name = "cpu: threads stay while they divide",
     .source = SOURCE("{'domain':{'cpu':{'cores':4,'threads':2}}}"),
     .spec = "'cpu':6",
     .expect = {INSTANCE "domain.cpu = {'cores':3,'sockets':1,'threads':2}"}},
    {.name = "cpu: fewer than the sockets' cores",
     .source = SOURCE("{'domain':{'cpu':{'cores':4,'sockets':2}}}"),
     .spec = "'cpu':2",
     .expect = {INSTANCE "domain.cpu = {'cores':1,'sockets':2,'threads':1}"}},
    {.name = "cpu: what no shape of the source divides",
     .source = SOURCE("{'domain':{'cpu':{'cores':4,'sockets':2}}}"),
     .spec = "'cpu':7",
     .expect = {INSTANCE "domain.cpu = {'cores':7,'sockets':1,'threads':1}"}},
    {.name = "cpuShape Sockets",
     .source = SOURCE("{'domain':{'cpu':{'cores':4}}}"),
     .spec = "'cpu':8,'target':{'cpuShape':'Sockets'}",
     .expect = {INSTANCE "domain.cpu = {'cores':1,'sockets':8,'threads':1}"}},
    {.name = "cpuShape Cores",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'cpu':8,'target':{'cpuShape':'Cores'}",
     .expect = {INSTANCE "domain.cpu = {'cores':8,'sockets':1,'threads':1}"}},
    {.name = "a topology that nobody could have written",
     .source =
         SOURCE("{'domain':{'cpu':{'cores':-1,'sockets':9223372036854775807,'threads':'x'}}}"),
     .spec = "'cpu':8",
     .expect = {INSTANCE "domain.cpu = {'cores':1,'sockets':8,'threads':1}"}},

    /* --- runStrategy --- */
    {.name = "Once",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'startStrategy':{'runStrategy':'Once'}",
     .expect = {"spec.runStrategy = 'Once'"}},
    {.name = "Inherit: the source's",
     .source = INHERITED("RerunOnFailure"),
     .spec = "'startStrategy':{'runStrategy':'Inherit'}",
     .expect = {"spec.runStrategy = 'RerunOnFailure'", "runStrategy = -"}},
    {.name = "Inherit: a source that says nothing",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'startStrategy':{'runStrategy':'Inherit'}",
     .expect = {"spec.runStrategy = 'Always'"}},
    {.name = "Inherit, and not to be started",
     .source = INHERITED("Once"),
     .spec = "'startStrategy':{'runStrategy':'Inherit','autoStart':false}",
     .expect = {"spec.runStrategy = 'Halted'"}},
    {.name = "Inherit Manual: started by a call",
     .source = INHERITED("Manual"),
     .spec = "'startStrategy':{'runStrategy':'Inherit'}",
     .expect = {"spec.runStrategy = 'Manual'"},
     .start = true},
    /* --- references --- */
    {.name = "a ConfigMap and a network under other names",
     .source =
         SOURCE("{'domain':{'devices':{'interfaces':[{'name':'n','bridge':{}}]}},'networks':[{"
                "'name':'n','multus':{'networkName':'lab/lan'}}],'volumes':[{'name':'c',"
                "'configMap':{'name':'a'}},{'name':'d','sysprep':{'configMap':{'name':'a'}}}]}"),
     .spec = REFERENCES("{'kind':'ConfigMap','from':'a','to':'b'},"
                        "{'kind':'NetworkAttachmentDefinition','from':'lan','to':'other/wan'}"),
     .expect = {INSTANCE "volumes.#0.configMap.name = 'b'",
                INSTANCE "volumes.#1.sysprep.configMap.name = 'b'",
                INSTANCE "networks = [{'name':'n','multus':{'networkName':'other/wan'}}]",
                INSTANCE "domain.devices.interfaces.#0.bridge = {}"}},
    {.name = "a network that is mapped",
     .source = SOURCE("{'domain':{},'networks':[{'name':'n','multus':{'networkName':'lan'}}]}"),
     .spec =
         "'target':{'references':[{'kind':'NetworkAttachmentDefinition','from':'lan','to':'x'}],"
         "'network':{'map':[{'from':'n','to':'y'}]}}",
     .expect = {INSTANCE "networks.#0.multus.networkName = 'y'"}},
    {.name = "a name that the source has for another kind",
     .source = SOURCE("{'domain':{},'volumes':[{'name':'c','configMap':{'name':'a'}}]}"),
     .spec = REFERENCES("{'kind':'Secret','from':'a','to':'b'}"),
     .error = "references[0].from: the source names no Secret \"a\""},
    /* --- guest --- */
    {.name = "hostname",
     .source = SOURCE("{'hostname':'src','domain':{}}"),
     .spec = "'guest':{'hostname':'shop-test'}",
     .expect = {INSTANCE "hostname = 'shop-test'"},
     .said = "hostname \"src\" of the source is not kept: the clone's is guest.hostname"},
    {.name = "hostname of a replica",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'replicas':3,'guest':{'hostname':'shop'}",
     .expect = {INSTANCE "hostname = 'shop-0'"}},
    {.name = "cloud-init dropped, with its disk; nothing is said of its data",
     .source = CLOUD("#cloud-config\\nfs_setup: [{device: /dev/vda, overwrite: true}]"),
     .spec = "'guest':{'cloudInit':'Drop'}",
     .expect = {INSTANCE "volumes = []", INSTANCE "domain.devices.disks = []"}},
    {.name = "cloud-init replaced, the network data of the source gone with it",
     .source = CLOUD("#cloud-config\\npassword: x"),
     .spec = "'guest':{'cloudInit':'Replace','userData':'#cloud-config','networkDataSecret':'n'}",
     .expect = {INSTANCE "volumes = [{'name':'ci','cloudInitNoCloud':{'userData':'#cloud-config',"
                         "'networkDataSecretRef':{'name':'n'}}}]"}},
    {.name = "cloud-init where the source has none",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'guest':{'cloudInit':'Replace','userDataSecret':'u'}",
     .expect = {INSTANCE "volumes = [{'name':'wukong-cloud-init','cloudInitNoCloud':{'secretRef':{"
                         "'name':'u'}}}]",
                INSTANCE "domain.devices.disks.#0.name = 'wukong-cloud-init'"}},
    {.name = "cloud-init data in a Secret of the user's, from another namespace",
     .source = SOURCE("{'domain':{}}"),
     .elsewhere = true,
     .spec = "'guest':{'cloudInit':'Replace','userDataSecret':'u'}",
     .expect = {INSTANCE "volumes.#0.cloudInitNoCloud.secretRef.name = 'u'"}},
    {.name = "a cloned disk that would be formatted",
     .source = CLOUD("#cloud-config\\nfs_setup: [{device: /dev/vda, overwrite: true}]"),
     .error = "formats /dev/vda in the clone: what was cloned there is lost: set "
              "spec.guest.cloudInit to Drop"},
    {.name = "and somebody who wants it so",
     .source = CLOUD("#cloud-config\\nfs_setup: [{device: /dev/vda, overwrite: true}]"),
     .spec = "'guest':{'cloudInit':'Rerun'}",
     .expect = {INSTANCE "volumes.#0.name = 'ci'"},
     .said = "formats /dev/vda in the clone"},
    {.name = "a machine-id and host keys of its own, beside what the source does",
     .source = CLOUD("#cloud-config\\npassword: x"),
     .spec = "'guest':{'resetMachineId':true,'resetSSHHostKeys':true}",
     .expect = {INSTANCE
                "volumes.#0.cloudInitNoCloud = {'userData':'#cloud-config-archive\\n[{"
                "\\u0022content\\u0022:\\u0022#cloud-config\\\\npassword: x\\u0022},{\\u0022content"
                "\\u0022:\\u0022#cloud-config\\\\nssh_deletekeys: true\\\\n\\u0022},{\\u0022content"
                "\\u0022:\\u0022#cloud-config\\\\nmerge_how: [{name: list, settings: "
                "[append]}, {name: dict, settings: [no_replace, recurse_list]}]\\\\n"
                "bootcmd: [[cloud-init-per, instance, wukong-machine-id, sh, -c, "
                "\\u0027rm -f /etc/machine-id /var/lib/dbus/machine-id; "
                "systemd-machine-id-setup\\u0027]]\\\\n\\u0022}]','networkData':'version: 2'}"}},
    {.name = "to base64, and what is no YAML",
     .source = SOURCE("{'domain':{},'volumes':[{'name':'ci','cloudInitConfigDrive':{"
                      "'userDataBase64':'IyEvYmluL3NoCg=='}}]}"),
     .spec = "'guest':{'resetSSHHostKeys':true}",
     .expect = {INSTANCE "volumes.#0.cloudInitConfigDrive.userDataBase64 = -", INSTANCE
                "volumes.#0.cloudInitConfigDrive.userData = '#cloud-config-archive\\n[{"
                "\\u0022content\\u0022:\\u0022#!/bin/sh\\\\n\\u0022},{\\u0022content\\u0022:"
                "\\u0022#cloud-config\\\\nssh_deletekeys: true\\\\n\\u0022}]'"}},
    {.name = "user data in a Secret",
     .source = SOURCE("{'domain':{},'volumes':[{'name':'ci','cloudInitNoCloud':{'secretRef':{"
                      "'name':'s'}}}]}"),
     .spec = "'guest':{'resetMachineId':true}",
     .error = "spec.guest: the user data are in a Secret"},
    {.name = "no cloud-init",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'guest':{'resetMachineId':true}",
     .error = "has no cloud-init volume"},
    {.name = "several parts already",
     .source = CLOUD("Content-Type: multipart/mixed"),
     .spec = "'guest':{'resetMachineId':true}",
     .error = "neither #cloud-config nor a script"},
    {.name = "an older worker's capture has names alone",
     .source = "{'metadata':{},'missedAnnotations':{'example.com/a':''},'spec':{'template':{'spec'"
               ":{'domain':{}}}}}",
     .spec = KEEP("'example.com/a'"),
     .expect = {TEMPLATE "annotations = -"},
     .said = "left out: example.com/a"},
};

static bool is_said(const struct manifest_vm *vm, const char *part)
{
    for (size_t i = 0; i < vm->difference_count; i++)
        if (strstr(vm->differences[i], part))
            return true;
    for (size_t i = 0; i < vm->warning_count; i++)
        if (strstr(vm->warnings[i], part))
            return true;
    return false;
}

static void run_row(const struct row *row)
{
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    CLEANUP_JSON cJSON *source = parse(row->source);
    fixture_init(&f, row->labels, row->spec);
    f.effective.cross_namespace = row->elsewhere;
    struct manifest_request r = {.wukong = &f.wukong, .effective = &f.effective};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    int status = manifest_vm_body(source, &r, &vm, &err);
    if (row->error) {
        if (status == 0 || !strstr(err.message, row->error) || err.kind != ERR_REFUSED)
            fail_msg("%s: wanted a refusal with: %s; got %s", row->name, row->error,
                     status ? err.message : "none");
        return;
    }
    if (status < 0)
        fail_msg("%s: %s", row->name, err.message);
    if (vm.needs_start != row->start)
        fail_msg("%s: needs_start %d", row->name, vm.needs_start);
    CLEANUP_JSON cJSON *body = NULL;
    assert_int_equal(json_parse(vm.body.data, vm.body.len, true, &body, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(row->expect) && row->expect[i]; i++)
        check_path(row->name, body, row->expect[i]);
    if (row->said && !is_said(&vm, row->said))
        fail_msg("%s: not said: %s", row->name, row->said);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        run_row(&rows[i]);
}

/* Claims bear them whichever way they are made: a policy on claims demands labels there. */
static void test_claims(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    CLEANUP_JSON cJSON *source =
        parse("{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':"
              "'1Gi'}}}}");
    fixture_init(&f, "{'team':'a','helm.sh/chart':'x'}",
                 "'target':{'labels':{'app':'shop','vm.novasphere.dev/disk':'forged'},"
                 "'annotations':{'a/b':'c','cdi.kubevirt.io/x':'y'}}");
    struct manifest_claim c = {.wukong = &f.wukong,
                               .name = "clone-root",
                               .disk = "root",
                               .source = source,
                               .origin = MANIFEST_FROM_SNAPSHOT,
                               .origin_name = "snap-1",
                               .origin_ns = "lab"};
    for (int datavolume = 0; datavolume <= 1; datavolume++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *tree = NULL;
        CLEANUP_BUF struct buf out = BUF_INIT(MANIFEST_BODY_MAX);
        assert_int_equal(datavolume ? manifest_datavolume_body(&c, &out, &err)
                                    : manifest_pvc_body(&c, &out, &err),
                         0);
        assert_int_equal(json_parse(out.data, out.len, true, &tree, &err), 0);
        check_path("claim", tree, "metadata.labels.app = 'shop'");
        check_path("claim", tree, "metadata.labels.team = 'a'");
        check_path("claim", tree, "metadata.labels[helm.sh/chart] = -");
        check_path("claim", tree, "metadata.labels[vm.novasphere.dev/disk] = 'root'");
        check_path("claim", tree, "metadata.annotations = {'a/b':'c'}");
    }
}

/* A KubeVirt that does not know the field drops it: what was to meet nobody would. */
static void test_links_match(void **state)
{
    (void)state;
    struct err err = {0};
    const struct wukong_target down = {.links = LINKS_DOWN}, keep = {0};
    CLEANUP_JSON cJSON *good = parse(SOURCE("{'domain':{'devices':{'interfaces':[{'name':'a',"
                                            "'state':'down'},{'name':'b','state':'absent'}]}}}"));
    CLEANUP_JSON cJSON *pruned = parse(
        SOURCE("{'domain':{'devices':{'interfaces':[{'name':'a','state':'down'},{'name':'b'}]}}}"));
    assert_int_equal(manifest_links_match(good, &down, &err), 0);
    assert_int_equal(manifest_links_match(pruned, &keep, &err), 0);
    assert_int_equal(manifest_links_match(pruned, &down, &err), -1);
    assert_non_null(strstr(err.message, "the link of interface \"b\" would not be down"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_links_match),
    };
    return cmocka_run_group_tests_name("manifest_target", tests, NULL, NULL);
}
