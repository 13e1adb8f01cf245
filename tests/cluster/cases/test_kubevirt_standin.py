"""Proves that the KubeVirt stand-in is as strict as KubeVirt: each case names a rule of the original
(README of tests/cluster/kubevirt lists the sources) and shows it refuse or bite.

Cases that need only "kubevirt" are about the API alone and may be run on real KubeVirt; those that need
"kubevirt-standin" inject faults or read the stand-in's freeze log.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, records  # noqa: E402
from bedlib.machines import API, FAULT, SNAPSHOT, STORAGE, VM, VMI, Machines, spec_of  # noqa: E402


class Freeze(Machines):
    """rest/lifecycle.go and fsfreeze.go, and what virt-api v1.9 was seen to answer."""

    needs = ("kubevirt-standin", *STORAGE)

    def test_success_is_200_and_empty_and_stops_the_writer(self):
        self.start_vmi("root", "data")
        self.wait_for(lambda: self.writes("root"), 5, "records")
        code, body, headers = self.freeze()
        self.assertEqual((200, b"", None), (code, body, headers.get("Content-Type")))
        first, second = (records.read(self.volume_file(c)) for c in ("root", "data"))
        self.assertFalse(self.writes("root"))
        self.assertEqual(first.last(), second.last())
        self.assertEqual([], first.problems() + second.problems())
        code, body, headers = self.unfreeze()
        self.assertEqual((200, b""), (code, body))
        self.wait_for(lambda: self.writes("root"), 5, "records after the thaw")
        self.assertEqual(200, self.unfreeze()[0], "thawing what is thawed is a success")

    def test_accept_must_allow_anything(self):
        self.start_vmi()
        for verb in ("freeze", "unfreeze"):
            code, body, _ = self.call(verb, body={"unfreezeTimeout": "60s"}, accept="application/json")
            self.assertEqual(406, code)
            self.assertTrue(body.startswith(b"406: Not Acceptable"), body)
        self.assertEqual([], self.log_events("frozen"))
        self.assertEqual(200, self.freeze(accept="application/json, */*")[0])
        self.assertEqual(200, self.unfreeze()[0])

    def test_other_methods_and_unknown_machines(self):
        self.start_vmi()
        self.assertEqual(405, self.freeze(method="POST")[0])
        self.assert_status(self.freeze(name="none"), 404, 'virtualmachineinstance.kubevirt.io "none" not found')
        self.assert_status(self.unfreeze(name="none"), 404)

    def test_a_machine_that_does_not_run_conflicts(self):
        self.kube.create(self.vmi("src", "absent"))
        self.assert_status(self.freeze(), 409, '"src": VM is not running')
        self.assert_status(self.unfreeze(), 409, '"src": VMI is not running')

    def test_dry_run_is_ignored(self):
        self.start_vmi()
        self.assertEqual(200, self.freeze(query="?dryRun=All")[0])
        self.assertEqual(1, len(self.log_events("frozen")))
        self.unfreeze()

    def test_the_body_must_name_a_go_duration(self):
        self.start_vmi()
        for body in (None, {}, "garbage", {"unfreezeTimeout": "30"}, {"unfreezeTimeout": 30}):
            answer = self.call("freeze", body=body)
            status = self.assert_status(answer, 500, "Internal error occurred: unexpected return code 400 (400 Bad Request)")
            self.assertIn("unexpected return code 400", status["details"]["causes"][0]["message"])
        self.assertEqual([], self.log_events("frozen"))

    def test_any_content_type_and_a_chunked_body_are_taken(self):
        self.start_vmi()
        self.assertEqual(200, self.call("freeze", body=iter([b'{"unfreezeTimeout":', b'"60s"}']))[0])
        self.unfreeze()
        self.assertEqual(200, self.freeze(content_type="application/x-www-form-urlencoded")[0])
        self.unfreeze()

    def test_the_timeout_is_cut_to_seconds_and_0_means_none(self):
        self.start_vmi()
        self.assertEqual(200, self.freeze("500ms")[0])
        self.assertEqual(0, self.log_events("frozen")[-1].get("timeoutSeconds", 0))
        time.sleep(0.8)
        self.assertEqual([], self.log_events("thawed", "safety-thawed"))
        self.unfreeze()
        self.assertEqual(200, self.freeze("1900ms")[0])
        self.assertEqual(1, self.log_events("frozen")[-1]["timeoutSeconds"])
        self.wait_for(lambda: self.log_events("safety-thawed"), 3, "the safety timer")

    def test_a_second_freeze_shares_the_first_ones_timer(self):
        self.start_vmi()
        self.assertEqual(200, self.freeze("1s")[0])
        self.assertEqual(200, self.freeze("600s")[0])
        self.wait_for(lambda: self.log_events("safety-thawed"), 3, "the first one's timer")

    def test_the_status_lags_behind_the_guest(self):
        self.start_vmi()
        self.wait_for(lambda: self.log_events("guest-started"), 5, "the guest")
        self.freeze()
        began = time.monotonic()
        self.wait_for(lambda: self.status().get("fsFreezeStatus") == "frozen", 8, "the poll to see it frozen")
        self.unfreeze()
        self.wait_for(lambda: not self.status().get("fsFreezeStatus"), 8, "the poll to see it thawed")
        self.assertGreater(time.monotonic() - began, 4.5, "two polls are one interval apart")

    def test_rights_are_needed(self):
        self.start_vmi()
        alice = self.bed.user_client("alice")
        self.assert_status(self.freeze(client=alice), 403, "virtualmachineinstances/freeze")
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                          "metadata": {"name": "freezer", "namespace": self.namespace},
                          "rules": [{"apiGroups": ["subresources.kubevirt.io"], "verbs": ["update"],
                                     "resources": ["virtualmachineinstances/freeze"]}]})
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"name": "freezer", "namespace": self.namespace},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "freezer"},
                          "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}]})
        self.wait_for(lambda: self.freeze(client=alice)[0] == 200, 5, "alice's right")
        self.assertEqual("alice", self.log_events("frozen")[-1]["user"])
        self.assert_status(self.unfreeze(client=alice), 403)
        self.unfreeze()

    def test_discovery_names_the_subresources(self):
        listed = self.kube.request("GET", "/apis/subresources.kubevirt.io/v1")
        self.assertEqual("APIResourceList", listed["kind"])
        names = {r["name"] for r in listed["resources"]}
        self.assertLessEqual({"virtualmachineinstances/freeze", "virtualmachineinstances/unfreeze", "expand-vm-spec",
                              "virtualmachines/start", "virtualmachines/stop", "virtualmachines/expand-spec"}, names)
        self.assertEqual(404, self.kube.raw("GET", "/apis/subresources.kubevirt.io/v1alpha3")[0])


class Faults(Machines):
    """The annotations by which a case makes a machine misbehave."""

    needs = ("kubevirt-standin", *STORAGE)

    def test_409_and_500_without_effect(self):
        self.start_vmi(annotations={FAULT + "freeze-409": "1", FAULT + "freeze-500": "1"})
        self.assert_status(self.freeze(), 409)
        self.assert_status(self.freeze(), 500, "command Freeze failed")
        self.assertEqual([], self.log_events("frozen"))
        self.assertEqual(200, self.freeze()[0], "each struck once")
        self.unfreeze()
        events = [e["message"] for e in self.bed.events(self.namespace, "src") if e["reason"] == "FreezeError"]
        self.assertEqual(1, len(events), events)

    def test_500_although_frozen(self):
        self.start_vmi(annotations={FAULT + "freeze-500-but-frozen": "true"})
        self.assert_status(self.freeze(), 500)
        self.assertEqual(1, len(self.log_events("frozen")))
        self.assertEqual(200, self.unfreeze()[0])

    def test_a_late_freeze_lands_after_a_successful_unfreeze(self):
        self.start_vmi(annotations={FAULT + "freeze-late": "900", FAULT + "handler-timeout": "300"})
        began = time.monotonic()
        self.assert_status(self.freeze("2s"), 500, "context deadline exceeded")
        self.assertGreater(time.monotonic() - began, 0.28)
        self.assertEqual(200, self.unfreeze()[0])
        self.assertEqual([], self.log_events("frozen"))
        self.wait_for(lambda: self.log_events("frozen"), 3, "the late freeze")
        self.wait_for(lambda: self.log_events("safety-thawed"), 4, "its timer")

    def test_a_slow_freeze_is_waited_for(self):
        self.start_vmi(annotations={FAULT + "freeze-slow": "400"})
        began = time.monotonic()
        self.assertEqual(200, self.freeze()[0])
        self.assertGreater(time.monotonic() - began, 0.39)
        self.unfreeze()

    def test_an_unfreeze_that_fails_in_the_agent_drops_the_safety_timer(self):
        self.start_vmi(annotations={FAULT + "unfreeze-500": "2"})
        self.assertEqual(200, self.freeze("1s")[0])
        self.assert_status(self.unfreeze(), 500, "command Unfreeze failed")
        time.sleep(1.5)
        self.assertEqual([], self.log_events("thawed", "safety-thawed"))
        self.assert_status(self.unfreeze(), 500)
        self.assertEqual(200, self.unfreeze()[0])
        self.assertEqual(1, len(self.log_events("thawed")))

    def test_an_unfreeze_that_is_lost_leaves_the_safety_timer(self):
        self.start_vmi(annotations={FAULT + "unfreeze-lost": "true"})
        self.assertEqual(200, self.freeze("1s")[0])
        self.assert_status(self.unfreeze(), 500, "connection refused")
        self.wait_for(lambda: self.log_events("safety-thawed"), 3, "the safety timer")

    def test_no_agent_paused_migrating(self):
        self.start_vmi(agent=False, annotations={FAULT + "no-agent": "true"})
        time.sleep(0.3)
        self.assertIsNone(self.condition(VMI))
        self.assert_status(self.freeze(), 500, "agent is not connected")
        self.annotate(no_agent=None)
        self.running()
        self.annotate(paused="true")
        self.wait_for(lambda: self.condition(VMI, "Paused"), 5, "the pause")
        self.assert_status(self.freeze(), 500, "domain is not running")
        self.annotate(paused=None, migrating="true")
        self.wait_for(lambda: not self.condition(VMI, "Paused"), 5, "the resume")
        self.assert_status(self.freeze(), 500, "currently during migration")
        self.annotate(migrating=None)
        self.wait_for(lambda: self.freeze()[0] == 200, 5, "freeze after all")
        self.unfreeze()

    def test_a_frozen_guest_stays_frozen_when_the_stand_in_restarts(self):
        self.start_vmi("root")
        self.assertEqual(200, self.freeze("600s")[0])
        last = records.read(self.volume_file("root")).last()
        self.bed.kill("kubevirt")
        self.bed.start("kubevirt")
        self.wait_for(lambda: len(self.log_events("guest-started")) == 2, 10, "the guest to be found again")
        self.assertFalse(self.writes("root"))
        self.assertEqual(last, records.read(self.volume_file("root")).last())
        self.wait_for(lambda: self.unfreeze()[0] == 200, 10, "the aggregator to reach it")
        self.wait_for(lambda: self.writes("root"), 5, "records after the thaw")
        disk = records.read(self.volume_file("root"))
        self.assertEqual([], disk.problems())
        self.assertEqual(1, len(disk.guests()))

    def test_torn_writes_show_only_in_an_unfrozen_snapshot(self):
        self.start_vmi("root", annotations={FAULT + "torn-writes": "true", FAULT + "write-interval": "40"})
        path = self.volume_file("root")
        self.wait_for(lambda: records.read(path).torn, 5, "half a record")
        self.freeze()
        self.assertEqual([], records.read(path).problems())
        self.unfreeze()


class Admission(Machines):
    """vms-admitter.go, vmi-create-admitter.go and their mutators."""

    needs = ("kubevirt",)

    def refuse(self, obj, *texts, code=422):
        refusal = self.assert_refused(lambda: self.kube.create(obj), code)
        for text in texts:
            self.assertIn(text, refusal.message)
        return refusal

    def test_reserved_labels(self):
        text = "creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
        refusal = self.refuse(self.vm(labels={"kubevirt.io/nodeName": "n"}), text)
        self.assertIn("spec.template.metadata.labels", [c["field"] for c in refusal.causes()])
        self.refuse(self.vmi(labels={"kubevirt.io/created-by": "u"}), text)
        for name, label in (("a", "kubevirt.io/domain"), ("b", "kubevirt.io/vm"), ("c", "vm.kubevirt.io/name")):
            self.kube.create(self.vm(name, strategy="Halted", labels={label: "x"}))

    def test_run_strategy(self):
        self.refuse(self.vm(strategy=None), "RunStrategy must be specified")
        self.refuse(self.vm(running=True), "mutually exclusive")
        self.refuse(self.vm(strategy="Sometimes"), "Invalid RunStrategy (Sometimes)")

    def test_resolved_defaults_of_a_vmi_are_refused_on_an_override(self):
        spec = spec_of()
        spec["domain"]["cpu"] = {"sockets": 8, "cores": 1, "threads": 1, "maxSockets": 4}
        self.refuse(self.vm(spec=spec), "Number of sockets in CPU topology is greater than the maximum sockets allowed")
        spec = spec_of(memory="8Gi")
        spec["domain"]["memory"]["maxGuest"] = "4Gi"
        self.refuse(self.vm(spec=spec), "Guest memory is greater than the configured maxGuest memory")

    def test_disk_without_volume_refused_volume_without_disk_accepted(self):
        spec = spec_of("root")
        spec["volumes"] = []
        refusal = self.refuse(self.vm(spec=spec), "spec.template.spec.domain.devices.disks[0].Name 'root' not found.")
        self.assertEqual(1, len(refusal.causes()))
        spec = spec_of("root")
        spec["domain"]["devices"]["disks"] = []
        self.kube.create(self.vm("ok", spec=spec, strategy="Halted"))

    def test_hostname_is_a_label_and_a_vms_name_need_not_be(self):
        for hostname in ("A.b", "x" * 64):
            self.refuse(self.vm(spec=spec_of(hostname=hostname)), "does not conform to the kubernetes DNS_LABEL rules")
        self.kube.create(self.vm("with.dots", strategy="Halted"))
        self.kube.create(self.vm("n" * 64, strategy="Halted"))

    def test_every_mistake_is_named_at_once(self):
        spec = spec_of("root", hostname="A.b")
        spec["volumes"] = []
        self.assertEqual(3, len(self.refuse(self.vm(spec=spec, strategy=None)).causes()))

    def test_what_is_wrong_but_accepted(self):
        for index, change in enumerate((
                {"firmware": {"uuid": "not-a-uuid", "serial": "s" * 300}}, {"memory": {"guest": "0"}},
                {"memory": {"guest": "1500m"}}, {"memory": None},
                {"resources": {"limits": {"memory": "1Gi"}}, "memory": {"guest": "2Gi"}},
                {"resources": {"requests": {"memory": "64Mi"}}, "memory": {"guest": "2Gi"}})):
            spec = spec_of("absent")
            spec["domain"].update(change)
            self.kube.create(self.vm(f"odd-{index}", spec=spec, strategy="Halted"))
        same_mac = spec_of(networks=[{"name": "a", "pod": {}}, {"name": "b", "multus": {"networkName": "n"}}])
        same_mac["domain"]["devices"]["interfaces"] = [
            {"name": n, "bridge": {}, "macAddress": "02:00:00:00:00:01"} for n in "ab"]
        self.kube.create(self.vm("mac", spec=same_mac, strategy="Halted"))

    def test_malformed_mac_is_refused(self):
        spec = spec_of(networks=[{"name": "a", "pod": {}}])
        spec["domain"]["devices"]["interfaces"] = [{"name": "a", "bridge": {}, "macAddress": "02:00:zz"}]
        self.refuse(self.vm(spec=spec), "malformed MAC address (02:00:zz)")

    def test_a_new_vm_gets_uuid_serial_and_machine_once(self):
        made = self.kube.create(self.vm(strategy="Halted"))
        domain = made["spec"]["template"]["spec"]["domain"]
        self.assertTrue(domain["firmware"]["uuid"] and domain["firmware"]["serial"])
        self.assertEqual("q35", domain["machine"]["type"])
        self.assertEqual("v3", made["spec"]["template"]["metadata"]["annotations"]["kubevirt.io/pci-topology-version"])
        self.kube.patch(API, VM, self.namespace, "src",
                        {"spec": {"template": {"spec": {"domain": {"firmware": None}}}}})
        self.assertNotIn("firmware", self.get(VM)["spec"]["template"]["spec"]["domain"])

    def test_a_vmi_is_enriched(self):
        made = self.kube.create(self.vmi(spec=spec_of(memory="1Gi")))
        domain = made["spec"]["domain"]
        self.assertEqual({"cores": 1, "sockets": 1, "threads": 1, "maxSockets": 4, "model": "host-model"}, domain["cpu"])
        self.assertEqual("4Gi", domain["memory"]["maxGuest"])
        self.assertEqual({"acpi": {"enabled": True}}, domain["features"])
        self.assertTrue(domain["firmware"]["uuid"])
        self.assertNotIn("serial", domain["firmware"])
        self.assertEqual(({}, "amd64", "None"),
                         (domain["resources"], made["spec"]["architecture"], made["spec"]["evictionStrategy"]))
        ran = self.running()
        self.assertTrue(ran["metadata"]["labels"]["kubevirt.io/nodeName"])
        for key in ("latest-observed-api-version", "storage-observed-api-version", "pci-topology-version"):
            self.assertIn("kubevirt.io/" + key, ran["metadata"]["annotations"])
        small = self.kube.create(self.vmi("small"))
        self.assertNotIn("maxGuest", small["spec"]["domain"]["memory"])

    def test_nobody_but_kubevirt_writes_a_vmis_status(self):
        self.kube.create(self.vmi("src", "absent"))
        self.wait_for(lambda: self.status().get("phase") == "Pending", 5, "Pending")
        answer = self.kube.patch(API, VMI, self.namespace, "src",
                                 {"metadata": {"labels": {"x": "y"}}, "status": {"phase": "Running", "nodeName": "n"}})
        self.assertEqual(("y", "Pending", None), (answer["metadata"]["labels"]["x"], answer["status"]["phase"],
                                                  answer["status"].get("nodeName")))
        self.assert_refused(lambda: self.kube.patch(API, VMI, self.namespace, "src", {"spec": {"hostname": "x"}}),
                            422, "update of VMI object is restricted")
        self.assert_refused(lambda: self.kube.patch(API, VMI, self.namespace, "src",
                                                    {"metadata": {"labels": {"kubevirt.io/nodeName": "x"}}}), 422)
        plural = f"/apis/{API}/namespaces/{self.namespace}/virtualmachineinstances/src/status"
        self.assertEqual(404, self.kube.raw("GET", plural)[0], "a VMI has no status subresource")

    def test_unknown_fields(self):
        vm = self.vm(strategy="Halted", spec=spec_of(nosuchfield="x"))
        self.assert_refused(lambda: self.kube.apply(vm), 500, "field not declared in schema")
        made = self.kube.create(vm)
        self.assertNotIn("nosuchfield", made["spec"]["template"]["spec"])

    def test_lists_are_atomic(self):
        spec = spec_of("root")
        self.kube.apply(self.vm(strategy="Halted", spec=spec), manager="one")
        other = {"apiVersion": API, "kind": VM, "metadata": {"name": "src", "namespace": self.namespace},
                 "spec": {"template": {"spec": spec_of("data")}}}
        self.assert_refused(lambda: self.kube.apply(other, manager="two", force=False), 409)
        self.kube.apply(other, manager="two")
        volumes = self.get(VM)["spec"]["template"]["spec"]["volumes"]
        self.assertEqual(["data"], [v["name"] for v in volumes])

    def test_snapshots_of_other_kinds_and_changes_are_refused(self):
        def snapshot(name="s", kind=VM, group="kubevirt.io", **more):
            source = {"kind": kind, "name": "none"}
            if group:
                source["apiGroup"] = group
            return {"apiVersion": SNAPSHOT, "kind": "VirtualMachineSnapshot", "spec": {"source": source, **more},
                    "metadata": {"name": name, "namespace": self.namespace}}
        self.refuse(snapshot(kind=VMI), "invalid kind")
        self.refuse(snapshot(group=None), "missing apiGroup")
        self.refuse(snapshot(group="apps"), "invalid apiGroup")
        self.kube.create(snapshot())
        self.assert_refused(lambda: self.kube.apply(snapshot(failureDeadline="1m")), 422,
                            "spec in immutable after creation")
        self.wait_for(lambda: (self.condition("VirtualMachineSnapshot", "Progressing", "s", SNAPSHOT) or {})
                      .get("reason") == "Source does not exist", 5, "a snapshot may precede its source")


class Lifecycle(Machines):
    """vm.go: what runs, and what the VM says about it."""

    def test_always_makes_a_machine_and_its_record(self):
        vmi = self.start_vm("root")
        vm = self.get(VM)
        owner = vmi["metadata"]["ownerReferences"][0]
        self.assertEqual((VM, vm["metadata"]["uid"], True), (owner["kind"], owner["uid"], owner["controller"]))
        name = f"revision-start-vm-{vm['metadata']['uid']}-{vm['metadata']['generation']}"
        self.assertEqual(name, vmi["status"]["virtualMachineRevisionName"])
        revision = self.kube.get("apps/v1", "ControllerRevision", self.namespace, name)
        self.assertEqual(vm["spec"]["template"]["spec"], revision["data"]["spec"]["template"]["spec"])
        self.wait_for(lambda: self.status(VM).get("printableStatus") == "Running" and self.status(VM).get("ready"),
                      5, "the VM's status")
        self.assertEqual([{"name": "root", "enabled": True}], self.status(VM)["volumeSnapshotStatuses"])

    def test_a_deleted_machine_comes_back_under_always(self):
        before = self.start_vm("root")
        self.kube.delete(API, VMI, self.namespace, "src")
        self.wait_for(lambda: self.get().get("metadata", {}).get("uid") not in (None, before["metadata"]["uid"]),
                      10, "a new machine")
        self.running()
        self.wait_for(lambda: len(records.read(self.volume_file("root")).guests()) == 2, 5, "its first record")
        self.assertEqual([], records.read(self.volume_file("root")).problems())

    def test_a_change_while_running_requires_a_restart(self):
        vmi = self.start_vm("root")
        self.kube.patch(API, VM, self.namespace, "src", {"spec": {"template": {"spec": {"hostname": "new"}}}})
        self.wait_for(lambda: self.condition(VM, "RestartRequired"), 5, "RestartRequired")
        self.assertEqual(vmi["status"]["virtualMachineRevisionName"], self.status()["virtualMachineRevisionName"])
        self.assertNotIn("hostname", self.get()["spec"])

    def test_start_and_stop_of_each_strategy(self):
        def verb(what, **more):
            return self.call(what, plural="virtualmachines", **more)
        self.make_claim("root")
        self.kube.create(self.vm("src", "root", strategy="Halted"))
        self.assertEqual(406, verb("start", accept="application/json")[0])
        self.assert_status(verb("stop"), 409, "VM is not running")
        self.assertEqual(202, verb("start", body={"dryRun": ["All"]})[0])
        self.assertEqual("Halted", self.get(VM)["spec"]["runStrategy"])
        code, body, _ = verb("start")
        self.assertEqual((202, b""), (code, body))
        vm = self.get(VM)
        self.assertEqual("Always", vm["spec"]["runStrategy"])
        self.assertIn("virt-api", [m["manager"] for m in vm["metadata"]["managedFields"]])
        self.running()
        self.assert_status(verb("start"), 409, "VM is already running")
        self.assertEqual(202, verb("stop")[0])
        self.assertEqual("Halted", self.get(VM)["spec"]["runStrategy"])
        self.wait_for(lambda: not self.get(), 10, "the machine to go")
        self.wait_for(lambda: self.status(VM).get("printableStatus") == "Stopped", 5, "Stopped")
        self.assert_status(verb("start", name="none"), 404)
        self.kube.patch(API, VM, self.namespace, "src", {"spec": {"runStrategy": "Manual"}})
        self.assertEqual(202, verb("start")[0])
        self.running()
        self.assertEqual("Manual", self.get(VM)["spec"]["runStrategy"])
        self.wait_for(lambda: not self.status(VM).get("stateChangeRequests"), 5, "the request to be done")
        self.assertEqual(202, verb("stop")[0])
        self.wait_for(lambda: not self.get(), 10, "the machine to go")
        self.assertEqual("Manual", self.get(VM)["spec"]["runStrategy"])
        self.kube.patch(API, VM, self.namespace, "src", {"spec": {"runStrategy": "RerunOnFailure"}})
        self.running()
        self.kube.delete(API, VMI, self.namespace, "src")
        self.wait_for(lambda: not self.get(), 10, "the machine to go")
        time.sleep(0.5)
        self.assertEqual({}, self.get(), "RerunOnFailure does not restart what ended well")

    def test_running_is_flipped_where_it_is_what_the_vm_says(self):
        self.kube.create(self.vm(strategy=None, running=False))
        self.assertEqual(202, self.call("start", plural="virtualmachines")[0])
        self.assertTrue(self.get(VM)["spec"]["running"])
        self.running()
        self.assertEqual(202, self.call("stop", plural="virtualmachines")[0])
        self.assertFalse(self.get(VM)["spec"]["running"])

    def test_a_missing_claim_is_waited_for(self):
        self.kube.create(self.vm("src", "root"))
        self.wait_for(lambda: self.status(VM).get("printableStatus") == "ErrorPvcNotFound", 10, "the VM to say so")
        self.wait_for(lambda: [e for e in self.bed.events(self.namespace, "src") if e["reason"] == "FailedPvcNotFound"],
                      5, "the event")
        self.assertEqual("Pending", self.status()["phase"])
        self.make_claim("root")
        self.running()

    def test_a_claim_waits_for_its_first_consumer(self):
        self.kube.create(objects.claim(self.namespace, "root", storage_class="file-wffc"))
        self.kube.create(self.vm("src", "root", strategy="Halted"))
        time.sleep(0.5)
        self.assertIsNone(self.bound("root"))
        self.kube.patch(API, VM, self.namespace, "src", {"spec": {"runStrategy": "Always"}})
        self.running()
        self.assertTrue(self.claim("root")["metadata"]["annotations"]["volume.kubernetes.io/selected-node"])

    def test_a_deleted_vm_takes_its_machine_along(self):
        self.start_vm("root")
        self.assertIn("kubevirt.io/virtualMachineControllerFinalize", self.get(VM)["metadata"]["finalizers"])
        self.kube.delete(API, VM, self.namespace, "src")
        self.wait_for(lambda: not self.get(VM) and not self.get(), 15, "both to go")
        self.assertFalse(self.writes("root"))

    def test_an_instancetype_that_is_gone_shows_in_a_condition_only(self):
        vm = self.vm(instancetype={"kind": "VirtualMachineInstancetype", "name": "x", "revisionName": "gone"})
        vm["spec"]["template"]["spec"]["domain"].pop("memory")
        self.kube.create(vm)
        found = self.wait_for(lambda: self.condition(VM, "Failure"), 5, "the condition")
        self.assertEqual(("True", "FailedFindInstancetype"), (found["status"], found["reason"]))
        self.assertIn('controllerrevisions.apps "gone" not found', found["message"])
        self.assertEqual("Stopped", self.status(VM)["printableStatus"])


class Instancetypes(Machines):
    """pkg/instancetype"""

    needs = ("kubevirt",)

    def setUp(self):
        super().setUp()
        self.kube.create({"apiVersion": "instancetype.kubevirt.io/v1beta1", "kind": "VirtualMachineInstancetype",
                          "metadata": {"name": "small", "namespace": self.namespace},
                          "spec": {"cpu": {"guest": 2}, "memory": {"guest": "128Mi"}}})
        self.spec = spec_of()
        del self.spec["domain"]["memory"]
        self.matcher = {"kind": "VirtualMachineInstancetype", "name": "small"}

    def test_a_value_beside_it_conflicts(self):
        self.spec["domain"]["cpu"] = {"cores": 2}
        self.assert_refused(lambda: self.kube.create(self.vm(spec=self.spec, instancetype=self.matcher)), 422,
                            "VM field(s) spec.template.spec.domain.cpu.cores conflicts with selected instance type")

    def test_it_is_pinned_and_expanded(self):
        self.kube.create(self.vm(spec=self.spec, instancetype=self.matcher))
        vmi = self.running()
        self.assertEqual((2, "128Mi"), (vmi["spec"]["domain"]["cpu"]["sockets"], vmi["spec"]["domain"]["memory"]["guest"]))
        self.assertEqual("small", vmi["metadata"]["annotations"]["kubevirt.io/instancetype-name"])
        vm = self.get(VM)
        self.assertNotIn("revisionName", vm["spec"]["instancetype"])
        pinned = vm["status"]["instancetypeRef"]["controllerRevisionRef"]["name"]
        self.assertTrue(pinned.startswith("src-small-v1beta1-"), pinned)
        code, body, _ = self.call("expand-spec", plural="virtualmachines", method="GET", accept="application/json")
        self.assertEqual(200, code, body)
        expanded = json.loads(body)
        self.assertNotIn("instancetype", expanded["spec"])
        self.assertEqual(2, expanded["spec"]["template"]["spec"]["domain"]["cpu"]["sockets"])
        path = f"/apis/subresources.kubevirt.io/v1/namespaces/{self.namespace}/expand-vm-spec"
        again = self.kube.request("PUT", path, self.vm("other", spec=self.spec, instancetype={
            **self.matcher, "revisionName": pinned}))
        self.assertEqual("128Mi", again["spec"]["template"]["spec"]["domain"]["memory"]["guest"])
        gone = self.vm("other", spec=self.spec, instancetype={**self.matcher, "revisionName": "gone"})
        self.assert_refused(lambda: self.kube.request("PUT", path, gone), 400)

    def test_a_preference_gives_tpm_and_efi(self):
        self.kube.create({"apiVersion": "instancetype.kubevirt.io/v1beta1", "kind": "VirtualMachinePreference",
                          "metadata": {"name": "secure", "namespace": self.namespace},
                          "spec": {"devices": {"preferredTPM": {"persistent": True}},
                                   "firmware": {"preferredEfi": {"persistent": True}}}})
        matcher = {"kind": "VirtualMachinePreference", "name": "secure"}
        path = f"/apis/subresources.kubevirt.io/v1/namespaces/{self.namespace}/expand-vm-spec"
        spec = spec_of()
        expanded = self.kube.request("PUT", path, self.vm("other", spec=spec, preference=matcher))
        domain = expanded["spec"]["template"]["spec"]["domain"]
        self.assertEqual({"persistent": True}, domain["devices"]["tpm"])
        self.assertEqual({"persistent": True}, domain["firmware"]["bootloader"]["efi"])
        self.assertNotIn("preference", expanded["spec"])
        spec["domain"]["devices"]["tpm"] = {"persistent": False}
        expanded = self.kube.request("PUT", path, self.vm("other", spec=spec, preference=matcher))
        self.assertEqual({"persistent": False}, expanded["spec"]["template"]["spec"]["domain"]["devices"]["tpm"])

    def test_a_persistent_tpm_has_a_claim_of_its_own(self):
        spec = spec_of()
        spec["domain"]["devices"]["tpm"] = {"persistent": True}
        self.kube.create(self.vm("sealed", spec=spec))
        def claims():
            path = self.kube.path("v1", "PersistentVolumeClaim", self.namespace)
            found = self.kube.request("GET", path + "?labelSelector=persistent-state-for%3Dsealed")["items"]
            return found if len(found) == 1 else None
        made, = self.wait_for(claims, 30, "the claim of its state")
        self.assertEqual([("VirtualMachine", "sealed")],
                         [(o["kind"], o["name"]) for o in made["metadata"]["ownerReferences"]])
        self.assertTrue(made["metadata"]["name"].startswith("persistent-state-for-sealed-"))


if __name__ == "__main__":
    harness.main()
