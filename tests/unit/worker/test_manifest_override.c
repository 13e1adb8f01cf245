/*
 * Proves what the Wukong may ask for beyond its source: size, networks, placement, access, start.
 * Honoured or refused by name, never silently ignored. What KubeVirt refuses together (a request
 * beside another topology, maxSockets below sockets) may not stand together in a body.
 */
#include "manifest_test.h"

#define INSTANCE "spec.template.spec."

struct row {
    const char *name, *source, *spec;
    const char *expect[8];
    const char *error;
    bool expand, start;
};

/* The bounds are KubeVirt's defaults for 2 sockets and 1Gi. */
#define SIZED                                                                                      \
    "{'domain':{'cpu':{'cores':2,'sockets':2,'threads':2,'maxSockets':8,'model':'host-model'},"    \
    "'memory':{'guest':'1Gi','maxGuest':'4Gi'},'resources':{'requests':{'cpu':'2','memory':"       \
    "'1Gi'},'limits':{'cpu':'4','memory':'2Gi','example.com/fpga':'1'}}}}"
#define CLOUD_INIT(kind) "{'domain':{},'volumes':[{'name':'ci','" kind "':{'userData':'x'}}]}"

static const struct row rows[] = {
    /* --- cpu and memory --- */
    {.name = "no override: the source's size, without its bounds",
     .source = SOURCE(SIZED),
     .expect = {INSTANCE "domain.cpu = {'cores':2,'sockets':2,'threads':2,'model':'host-model'}",
                INSTANCE "domain.memory = {'guest':'1Gi'}",
                INSTANCE "domain.resources = {'requests':{'cpu':'2','memory':'1Gi'},'limits':{"
                         "'cpu':'4','memory':'2Gi','example.com/fpga':'1'}}"}},
    {.name = "what is empty stays empty",
     .source = SOURCE("{'domain':{'cpu':{},'memory':{},'resources':{'requests':{}}}}"),
     .expect = {INSTANCE "domain.cpu = {}", INSTANCE "domain.memory = {}",
                INSTANCE "domain.resources = {'requests':{}}"}},
    {.name = "cpu scales the topology and drops what contradicts it",
     .source = SOURCE(SIZED),
     .spec = "'cpu':6",
     .expect = {INSTANCE "domain.cpu = {'cores':2,'sockets':3,'threads':1,'model':'host-model'}",
                INSTANCE "domain.memory = {'guest':'1Gi'}",
                INSTANCE "domain.resources = {'requests':{'memory':'1Gi'},'limits':{'memory':"
                         "'2Gi','example.com/fpga':'1'}}"}},
    {.name = "memory is the guest's, and the requests follow from it",
     .source = SOURCE(SIZED),
     .spec = "'memory':'8Gi'",
     .expect = {INSTANCE "domain.memory = {'guest':'8Gi'}",
                INSTANCE "domain.resources = {'requests':{'cpu':'2'},'limits':{'cpu':'4',"
                         "'example.com/fpga':'1'}}"}},
    {.name = "both",
     .source = SOURCE(SIZED),
     .spec = "'cpu':1,'memory':'512Mi'",
     .expect = {INSTANCE "domain.cpu.sockets = 1", INSTANCE "domain.memory.guest = '512Mi'",
                INSTANCE "domain.resources = {'limits':{'example.com/fpga':'1'}}"}},
    {.name = "both on a source that gives neither",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'cpu':2,'memory':'2Gi'",
     .expect = {INSTANCE "domain.cpu = {'sockets':2,'cores':1,'threads':1}",
                INSTANCE "domain.memory = {'guest':'2Gi'}"}},
    {.name = "a source with requests alone",
     .source = SOURCE("{'domain':{'resources':{'requests':{'memory':'1Gi'}}}}"),
     .spec = "'memory':'2Gi'",
     .expect = {INSTANCE "domain.memory.guest = '2Gi'", INSTANCE "domain.resources = {}"}},
    {.name = "dedicated CPUs: no request beside the topology",
     .source = SOURCE("{'domain':{'cpu':{'dedicatedCpuPlacement':true},'resources':{'requests':{"
                      "'cpu':'4'},'limits':{'cpu':'4'}}}}"),
     .spec = "'cpu':8",
     .expect = {INSTANCE "domain.cpu = {'dedicatedCpuPlacement':true,'sockets':8,'cores':1,"
                         "'threads':1}",
                INSTANCE "domain.resources = {}"}},
    {.name = "huge pages: a multiple",
     .source = SOURCE("{'domain':{'memory':{'hugepages':{'pageSize':'1Gi'}}}}"),
     .spec = "'memory':'3Gi'",
     .expect = {INSTANCE "domain.memory = {'hugepages':{'pageSize':'1Gi'},'guest':'3Gi'}"}},
    {.name = "huge pages: no multiple",
     .source = SOURCE("{'domain':{'memory':{'hugepages':{'pageSize':'1Gi'}}}}"),
     .spec = "'memory':'1536Mi'",
     .error = "spec.memory: 1536Mi is no multiple of the source's hugepages.pageSize 1Gi"},
    {.name = "instancetype: an override needs expand-vm-spec",
     .source = SOURCE_WITH("'instancetype':{'name':'small'}", "{'domain':{}}"),
     .spec = "'cpu':2",
     .expand = true},
    {.name = "instancetype: memory too",
     .source = SOURCE_WITH("'instancetype':{'name':'small'}", "{'domain':{}}"),
     .spec = "'memory':'2Gi'",
     .expand = true},
    {.name = "instancetype without override",
     .source = SOURCE_WITH("'instancetype':{'name':'small'}", "{'domain':{}}"),
     .expect = {"spec.instancetype.name = 'small'", INSTANCE "domain.cpu = -"}},
    {.name = "a preference alone hinders nothing",
     .source = SOURCE_WITH("'preference':{'name':'linux'}", "{'domain':{}}"),
     .spec = "'cpu':2",
     .expect = {"spec.preference.name = 'linux'", INSTANCE "domain.cpu.sockets = 2"}},

    /* --- networks --- */
    {.name = "networks replace the source's; the Pod network stays first",
     .source = SOURCE("{'domain':{'devices':{'interfaces':[{'name':'old','bridge':{}}]}},"
                      "'networks':[{'name':'old','multus':{'networkName':'x'}}]}"),
     .spec = "'networks':[{'name':'blue','type':'bridge','nadName':'blue-nad'}]",
     .expect = {INSTANCE "networks = [{'name':'default','pod':{}},{'name':'blue','multus':{"
                         "'networkName':'blue-nad'}}]",
                INSTANCE "domain.devices.interfaces.#0.name = 'default'",
                INSTANCE "domain.devices.interfaces.#0.masquerade = {}",
                INSTANCE "domain.devices.interfaces.#1.bridge = {}",
                INSTANCE "domain.devices.interfaces.#2 = -"}},
    {.name = "primary: no Pod network, Multus' default",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'fast','type':'sriov','nadName':'vf','primary':true}]",
     .expect = {INSTANCE "networks = [{'name':'fast','multus':{'networkName':'vf','default':true}}"
                         "]",
                INSTANCE "domain.devices.interfaces.#0.sriov = {}",
                INSTANCE "domain.devices.interfaces.#1 = -"}},
    {.name = "default is the Pod network",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'default','ipConfig':{'mode':'dhcp'}}]",
     .expect = {INSTANCE "networks = [{'name':'default','pod':{}}]"}},
    {.name = "an interface of that name keeps its model and ports",
     .source = SOURCE("{'domain':{'devices':{'interfaces':[{'name':'blue','masquerade':{},'model':"
                      "'e1000','ports':[{'port':22}]}]}},'networks':[{'name':'blue','pod':{}}]}"),
     .spec = "'networks':[{'name':'blue','type':'bridge','nadName':'n','primary':true}]",
     .expect = {INSTANCE "domain.devices.interfaces.#0.model = 'e1000'",
                INSTANCE "domain.devices.interfaces.#0.ports = [{'port':22}]",
                INSTANCE "domain.devices.interfaces.#0.masquerade = -",
                INSTANCE "domain.devices.interfaces.#0.bridge = {}"}},
    {.name = "no nadName",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'blue','type':'bridge'}]",
     .error = "spec.networks[0].nadName: required for a clone"},
    {.name = "vlanId",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'a','type':'bridge','nadName':'n'},{'name':'b','type':'bridge',"
             "'nadName':'n','vlanId':7}]",
     .error = "spec.networks[1].vlanId: a clone makes no networks"},
    {.name = "bridgeName",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'a','type':'bridge','nadName':'n','bridgeName':'br0'}]",
     .error = "spec.networks[0].bridgeName: a clone makes no networks"},
    {.name = "physicalInterface",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'a','type':'ovs','nadName':'n','physicalInterface':'eth0'}]",
     .error = "spec.networks[0].physicalInterface: a clone makes no networks"},
    {.name = "static address",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'networks':[{'name':'a','type':'bridge','nadName':'n','ipConfig':{'mode':'static',"
             "'address':'10.0.0.2/24'}}]",
     .error = "spec.networks[0].ipConfig: a clone keeps the guest's own network configuration"},

    /* --- highAvailability --- */
    {.name = "nodeSelector and tolerations are added to the source's",
     .source = SOURCE("{'domain':{},'nodeSelector':{'zone':'a','disk':'ssd'},'tolerations':[{'key':"
                      "'x'}]}"),
     .spec = "'highAvailability':{'nodeSelector':{'zone':'b'},'tolerations':[{'key':'y',"
             "'tolerationSeconds':9007199254740993}]}",
     .expect = {INSTANCE "nodeSelector = {'zone':'b','disk':'ssd'}",
                INSTANCE "tolerations = [{'key':'x'},{'key':'y','tolerationSeconds':"
                         "9007199254740993}]"}},
    {.name = "antiAffinity: the batch's machines on different nodes",
     .source = SOURCE("{'domain':{},'affinity':{'podAntiAffinity':{'requiredDuringScheduling"
                      "IgnoredDuringExecution':[{'topologyKey':'rack'}]}}}"),
     .spec = "'highAvailability':{'antiAffinity':true}",
     .expect = {INSTANCE "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution "
                         "= [{'topologyKey':'rack'},{'labelSelector':{'matchLabels':{'vm."
                         "novasphere.dev/wukong-uid':'" UID "'}},'topologyKey':'kubernetes.io/"
                         "hostname'}]",
                "spec.template.metadata.labels = {'vm.novasphere.dev/wukong-uid':'" UID "'}"}},
    {.name = "restartPolicy Always",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'highAvailability':{'restartPolicy':'Always'}",
     .expect = {"spec.runStrategy = 'Always'"}},
    {.name = "restartPolicy OnFailure",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'highAvailability':{'restartPolicy':'OnFailure'}",
     .expect = {"spec.runStrategy = 'RerunOnFailure'"}},
    {.name = "restartPolicy Never",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'highAvailability':{'restartPolicy':'Never'}",
     .expect = {"spec.runStrategy = 'Once'"}},
    {.name = "restartPolicy against runStrategy",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'highAvailability':{'restartPolicy':'OnFailure'},'startStrategy':{'runStrategy':"
             "'Always'}",
     .error = "spec.highAvailability.restartPolicy: OnFailure contradicts "
              "spec.startStrategy.runStrategy: Always"},

    /* --- access --- */
    {.name = "sshKeySecret through the NoCloud drive",
     .source = SOURCE(CLOUD_INIT("cloudInitNoCloud")),
     .spec = "'sshKeySecret':'keys'",
     .expect = {INSTANCE "accessCredentials = [{'sshPublicKey':{'source':{'secret':{'secretName':"
                         "'keys'}},'propagationMethod':{'noCloud':{}}}}]",
                INSTANCE "volumes.#0.cloudInitNoCloud.userData = 'x'"}},
    {.name = "sshKeySecret through the ConfigDrive",
     .source = SOURCE(CLOUD_INIT("cloudInitConfigDrive")),
     .spec = "'sshKeySecret':'keys'",
     .expect = {INSTANCE
                "accessCredentials.#0.sshPublicKey.propagationMethod = {'configDrive':{}}"}},
    {.name = "sshKeySecret without cloud-init",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'sshKeySecret':'keys'",
     .error = "spec.sshKeySecret: the source has no cloud-init volume"},
    {.name = "cloudInitUser",
     .source = SOURCE(CLOUD_INIT("cloudInitNoCloud")),
     .spec = "'cloudInitUser':{'name':'joe'}",
     .error = "spec.cloudInitUser: a clone keeps the source's cloud-init data"},

    /* --- start --- */
    {.name = "default: started",
     .source = SOURCE("{'domain':{}}"),
     .expect = {"spec.runStrategy = 'Always'", "spec.running = -"}},
    {.name = "the source's own strategy does not count",
     .source = SOURCE_WITH("'running':true", "{'domain':{}}"),
     .expect = {"spec.runStrategy = 'Always'", "spec.running = -"}},
    {.name = "a strategy",
     .source = SOURCE_WITH("'runStrategy':'Halted'", "{'domain':{}}"),
     .spec = "'startStrategy':{'runStrategy':'RerunOnFailure'}",
     .expect = {"spec.runStrategy = 'RerunOnFailure'"}},
    {.name = "not to be started",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'startStrategy':{'autoStart':false,'runStrategy':'RerunOnFailure'}",
     .expect = {"spec.runStrategy = 'Halted'"}},
    {.name = "Manual is started by a call",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'startStrategy':{'autoStart':true,'runStrategy':'Manual'}",
     .expect = {"spec.runStrategy = 'Manual'"},
     .start = true},
    {.name = "Manual, not to be started",
     .source = SOURCE("{'domain':{}}"),
     .spec = "'startStrategy':{'autoStart':false,'runStrategy':'Manual'}",
     .expect = {"spec.runStrategy = 'Manual'"}},
};

static void run_row(const struct row *row)
{
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    CLEANUP_JSON cJSON *source = parse(row->source);
    fixture_init(&f, NULL, row->spec);
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
    if (vm.needs_expand != row->expand || vm.needs_start != row->start)
        fail_msg("%s: needs_expand %d, needs_start %d", row->name, vm.needs_expand, vm.needs_start);
    if (row->expand) {
        assert_int_equal(vm.body.len, 0);
        return;
    }
    CLEANUP_JSON cJSON *body = NULL;
    assert_int_equal(json_parse(vm.body.data, vm.body.len, true, &body, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(row->expect) && row->expect[i]; i++)
        check_path(row->name, body, row->expect[i]);
}

static void test_overrides(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        run_row(&rows[i]);
}

/* The whole way of an override on an instancetype: expand the source, then build again. KubeVirt's
   answer is the VirtualMachine with the instancetype's size filled in and both matchers gone. */
static void test_expand(void **state)
{
    (void)state;
    CLEANUP_FIXTURE struct wukong_fixture f;
    struct err err = {0};
    CLEANUP_BUF struct buf body = BUF_INIT(MANIFEST_BODY_MAX);
    CLEANUP_JSON cJSON *source = parse(
        "{'metadata':{'labels':{'vm.kubevirt.io/template':'t'}},'spec':{'instancetype':{'name':"
        "'small','revisionName':'src-small-1'},'preference':{'name':'linux'},'template':{"
        "'metadata':{},'spec':{'domain':{}}}}}");
    fixture_init(&f, NULL, "'cpu':3");
    assert_true(manifest_needs_expand(source, &f.wukong.spec));
    assert_int_equal(manifest_expand_body(source, "src", "prod", &body, &err), 0);
    CLEANUP_JSON cJSON *sent = NULL;
    assert_int_equal(json_parse(body.data, body.len, true, &sent, &err), 0);
    check_path("sent", sent, "apiVersion = 'kubevirt.io/v1'");
    check_path("sent", sent, "kind = 'VirtualMachine'");
    check_path("sent", sent, "metadata = {'name':'src','namespace':'prod'}");
    check_path("sent", sent, "spec.instancetype.revisionName = 'src-small-1'");
    check_path("sent", sent, "spec.runStrategy = 'Halted'");

    CLEANUP_JSON cJSON *answer = parse(
        "{'apiVersion':'kubevirt.io/v1','kind':'VirtualMachine','metadata':{'name':'src'},'spec':{"
        "'runStrategy':'Halted','template':{'metadata':{'creationTimestamp':null},'spec':{"
        "'domain':{'cpu':{'sockets':1,'maxSockets':4},'memory':{'guest':'2Gi','maxGuest':'8Gi'}"
        "}}}}}");
    CLEANUP_JSON cJSON *expanded = NULL;
    assert_int_equal(manifest_source_expanded(source, answer, &expanded, &err), 0);
    assert_false(manifest_needs_expand(expanded, &f.wukong.spec));
    check_path("kept", expanded, "metadata.labels[vm.kubevirt.io/template] = 't'");

    struct manifest_request r = {.wukong = &f.wukong, .effective = &f.effective};
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    assert_int_equal(manifest_vm_body(expanded, &r, &vm, &err), 0);
    CLEANUP_JSON cJSON *made = NULL;
    assert_int_equal(json_parse(vm.body.data, vm.body.len, true, &made, &err), 0);
    check_path("made", made, INSTANCE "domain.cpu = {'sockets':3,'cores':1,'threads':1}");
    check_path("made", made, INSTANCE "domain.memory = {'guest':'2Gi'}");
    check_path("made", made, "spec.instancetype = -");
    check_path("made", made, "spec.template.metadata = {}");
}

/* An answer that still has a matcher would bring the conflict back; one without template is none.
 */
static void test_expand_bad_answer(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "{'spec':{'instancetype':{'name':'small'},'template':{'spec':{'domain':{}}}}}",
        "{'spec':{'preference':{'name':'linux'},'template':{'spec':{'domain':{}}}}}",
        "{'kind':'Status'}",
    };
    CLEANUP_JSON cJSON *source = parse(SOURCE("{'domain':{}}"));
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct err err = {0};
        CLEANUP_JSON cJSON *answer = parse(answers[i]), *expanded = NULL;
        assert_int_equal(manifest_source_expanded(source, answer, &expanded, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
        assert_null(expanded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_expand_bad_answer),
    };
    return cmocka_run_group_tests_name("target_override", tests, NULL, NULL);
}
