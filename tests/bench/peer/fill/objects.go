package main

import "fmt"

type m = map[string]any

type thing struct {
	resource string
	object   m
	status   m // nil: nothing to write
}

const at = "2026-11-26T08:00:00Z"

func meta(i int, name string, labels m) m {
	return m{"name": name, "namespace": fmt.Sprintf("load-%d", i%namespaces), "labels": labels,
		"annotations": m{"kubemacpool.io/transaction-timestamp": at, "description": "a virtual machine as people keep them"}}
}

func spec(i int) m {
	return m{
		"domain": m{
			"cpu": m{"cores": 2, "sockets": 1, "threads": 1}, "memory": m{"guest": "4Gi"},
			"machine":   m{"type": "q35"},
			"firmware":  m{"uuid": fmt.Sprintf("6a1a24a1-4061-4607-8bf4-a3963d0c%04x", i%65536), "serial": fmt.Sprintf("a55ca64c-6a6e-4f8e-bd84-c8a1f02f%04x", i%65536)},
			"resources": m{"requests": m{"memory": "4Gi", "cpu": "1"}},
			"devices": m{
				"disks": []any{m{"name": "root", "bootOrder": 1, "disk": m{"bus": "virtio"}}, m{"name": "data", "disk": m{"bus": "virtio"}},
					m{"name": "cloudinit", "disk": m{"bus": "virtio"}}},
				"interfaces": []any{m{"name": "default", "masquerade": m{}, "macAddress": fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255)}},
				"rng":        m{}},
			"features": m{"acpi": m{"enabled": true}}},
		"networks":     []any{m{"name": "default", "pod": m{}}},
		"nodeSelector": m{"kubernetes.io/arch": "amd64"}, "evictionStrategy": "LiveMigrate", "terminationGracePeriodSeconds": 180,
		"volumes": []any{
			m{"name": "root", "persistentVolumeClaim": m{"claimName": fmt.Sprintf("vm-%d-root", i)}},
			m{"name": "data", "persistentVolumeClaim": m{"claimName": fmt.Sprintf("vm-%d-data", i)}},
			m{"name": "cloudinit", "cloudInitNoCloud": m{"userData": "#cloud-config\nhostname: shop\nusers:\n- name: admin\n  sudo: ALL=(ALL) NOPASSWD:ALL\n"}}},
	}
}

func condition(kind, status string) m {
	return m{"type": kind, "status": status, "lastProbeTime": nil, "lastTransitionTime": at}
}

func machine(i int) thing {
	return thing{"virtualmachines", m{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
		"metadata": meta(i, fmt.Sprintf("vm-%d", i), m{"app": "shop", "kubevirt.io/os": "debian"}),
		"spec":     m{"runStrategy": "Always", "template": m{"metadata": m{"labels": m{"kubevirt.io/domain": fmt.Sprintf("vm-%d", i)}}, "spec": spec(i)}}},
		m{"created": true, "ready": true, "printableStatus": "Running", "observedGeneration": 1, "desiredGeneration": 1, "runStrategy": "Always",
			"conditions": []any{condition("Ready", "True"), condition("LiveMigratable", "True"), condition("StorageLiveMigratable", "True"), condition("AgentConnected", "True")},
			"volumeSnapshotStatuses": []any{m{"enabled": true, "name": "root"}, m{"enabled": true, "name": "data"},
				m{"enabled": false, "name": "cloudinit", "reason": "Snapshot is not supported for this volumeSource type [cloudinit]"}}}}
}

func instance(i int) thing {
	s := spec(i)
	return thing{"virtualmachineinstances", m{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
		"metadata": meta(i, fmt.Sprintf("vm-%d", i), m{"kubevirt.io/domain": fmt.Sprintf("vm-%d", i), "kubevirt.io/nodeName": "node-1"}), "spec": s,
		"status": m{"phase": "Running", "nodeName": "node-1", "qosClass": "Burstable", "launcherContainerImageVersion": "quay.io/kubevirt/virt-launcher:v1.9.0",
			"activePods": m{"0a4ae3c6-1111-4b9b-8a46-2c2d0a7b0001": "node-1"}, "virtualMachineRevisionName": fmt.Sprintf("revision-start-vm-%d-1", i),
			"conditions":  []any{condition("Ready", "True"), condition("LiveMigratable", "True"), condition("AgentConnected", "True")},
			"guestOSInfo": m{"id": "debian", "name": "Debian GNU/Linux", "prettyName": "Debian GNU/Linux 12 (bookworm)", "version": "12", "kernelRelease": "6.1.0-28-amd64", "machine": "x86_64"},
			"interfaces":  []any{m{"name": "default", "mac": fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255), "ipAddress": "10.244.0.17", "ipAddresses": []any{"10.244.0.17"}, "infoSource": "domain, guest-agent", "interfaceName": "enp1s0", "queueCount": 1}},
			"volumeStatus": []any{
				m{"name": "root", "target": "vda", "persistentVolumeClaimInfo": m{"accessModes": []any{"ReadWriteMany"}, "capacity": m{"storage": "40Gi"}, "claimName": fmt.Sprintf("vm-%d-root", i), "filesystemOverhead": "0.055", "requests": m{"storage": "40Gi"}, "volumeMode": "Block"}},
				m{"name": "data", "target": "vdb", "persistentVolumeClaimInfo": m{"accessModes": []any{"ReadWriteMany"}, "capacity": m{"storage": "40Gi"}, "claimName": fmt.Sprintf("vm-%d-data", i), "filesystemOverhead": "0.055", "requests": m{"storage": "40Gi"}, "volumeMode": "Block"}},
				m{"name": "cloudinit", "target": "vdc", "size": 1048576}}}},
		nil}
}

func diskName(i, d int) string {
	return fmt.Sprintf("vm-%d-%s", i, []string{"root", "data"}[d])
}

func claim(i, d int) thing {
	return thing{"persistentvolumeclaims", m{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": meta(i, diskName(i, d), m{"app": "shop"}),
		"spec":     m{"accessModes": []any{"ReadWriteMany"}, "volumeMode": "Block", "storageClassName": "file", "resources": m{"requests": m{"storage": "40Gi"}}, "volumeName": fmt.Sprintf("pvc-6a1a24a1-4061-4607-8bf4-%08x%04x", i, d)}},
		m{"phase": "Bound", "accessModes": []any{"ReadWriteMany"}, "capacity": m{"storage": "40Gi"}}}
}

func snapshot(i, d int) thing {
	return thing{"volumesnapshots", m{"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
		"metadata": meta(i, diskName(i, d)+"-daily", m{"app": "shop"}),
		"spec":     m{"source": m{"persistentVolumeClaimName": diskName(i, d)}, "volumeSnapshotClassName": "file"}},
		m{"readyToUse": true, "creationTime": at, "restoreSize": "40Gi", "boundVolumeSnapshotContentName": fmt.Sprintf("snapcontent-6a1a24a1-4061-4607-8bf4-%08x%04x", i, d)}}
}

// wukong has run and succeeded, and its machine is gone again: what most of them are most of the time. The
// status is the one that the worker writes, so that it has nothing to write.
func wukong(i int) thing {
	name, source := fmt.Sprintf("copy-%d", i), fmt.Sprintf("vm-%d", i)
	const ms = "2026-11-26T08:00:00.000Z"
	done := func(kind, reason, message string) m {
		return m{"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at, "observedGeneration": 1}
	}
	disk := func(d string) m {
		return m{"name": d, "sourcePVC": source + "-" + d, "size": "42949672960", "phase": "Bound", "progress": "100%", "storageClass": "file", "method": "Restore"}
	}
	bound := func(d string) m { return m{"name": d, "phase": "Bound", "pvc": name + "-" + d} }
	return thing{"wukongs", m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong", "metadata": meta(i, name, m{"app": "shop"}),
		"spec": m{"cloneSource": m{"type": "vmi", "vmiName": source, "namespace": fmt.Sprintf("load-%d", i%namespaces), "cloneType": "running"}}},
		m{"observedGeneration": 1, "phase": "Stopped", "vmName": name + "-vm",
			"cloneStatus": m{"phase": "Succeeded", "progress": "100%", "attempts": 1, "attemptTime": ms, "startTime": ms, "completionTime": ms, "cutTime": ms,
				"snapshotTime": ms, "snapshotSize": "85899345920", "consistency": "FilesystemConsistent", "freezeMilliseconds": 214, "sourceVMI": source,
				"sourceUID": fmt.Sprintf("6a1a24a1-4061-4607-8bf4-a3963d0c%04x", i%65536), "snapshotName": "snapshot-" + source + "-" + name + "-6a1a24a1-1-root",
				"snapshotNames": []any{"snapshot-" + source + "-" + name + "-6a1a24a1-1-root", "snapshot-" + source + "-" + name + "-6a1a24a1-1-data"},
				"freeze":        m{"vmiUID": fmt.Sprintf("6a1a24a1-4061-4607-8bf4-a3963d0c%04x", i%65536), "requestedTime": ms, "deadlineTime": ms, "acknowledgedTime": ms, "thawedTime": ms},
				"disks":         []any{disk("root"), disk("data")}, "targets": []any{m{"vmName": name + "-vm", "phase": "Running", "disks": []any{bound("root"), bound("data")}}}},
			"conditions": []any{done("Ready", "Succeeded", "the clone is done"), done("SourceReady", "Ready", "the source can be cloned"),
				done("PolicyAllowed", "Ready", "permitted"), done("SnapshotReady", "Ready", "all snapshots are ready"), done("SnapshotTaken", "Taken", "the point in time is fixed"),
				done("DisksReady", "Ready", "all claims are there"), done("VirtualMachineReady", "Ready", "the new machine is there"), done("TemporariesCleaned", "Cleaned", "nothing temporary is left")}}}
}

// plainWukong belongs to the VM creator: the worker leaves it alone.
func plainWukong(namespace, prefix string, i int) thing {
	return thing{"wukongs", m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
		"metadata": m{"name": fmt.Sprint(prefix, i), "namespace": namespace},
		"spec":     m{"cpu": 2, "memory": "4Gi", "disks": []any{m{"name": "root", "size": "20Gi", "storageClassName": "file", "boot": true}}}}, nil}
}

// waitingWukong waits for its source: one status to be written and no more, until the deadline.
func waitingWukong(namespace, prefix string, i int) thing {
	return thing{"wukongs", m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
		"metadata": m{"name": fmt.Sprint(prefix, i), "namespace": namespace},
		"spec":     m{"cloneSource": m{"type": "vmi", "vmiName": fmt.Sprint("nobody-", prefix, i)}}}, nil}
}

// The stopped machines of --sources, with one disk each, and what asks for a clone of one of them.
func stopped(namespace string, i int) []thing {
	name := fmt.Sprintf("source-%d", i)
	s := spec(i)
	s["domain"].(m)["devices"].(m)["disks"] = []any{m{"name": "root", "disk": m{"bus": "virtio"}}}
	s["volumes"] = []any{m{"name": "root", "persistentVolumeClaim": m{"claimName": name + "-root"}}}
	vm := thing{"virtualmachines", m{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": meta(i, name, m{"app": "shop"}),
		"spec": m{"runStrategy": "Halted", "template": m{"metadata": m{}, "spec": s}}},
		m{"created": false, "ready": false, "printableStatus": "Stopped", "observedGeneration": 1, "desiredGeneration": 1, "runStrategy": "Halted",
			"conditions": []any{condition("Ready", "False")}}}
	disk := claim(i, 0)
	disk.object["metadata"] = meta(i, name+"-root", m{"app": "shop"})
	for _, o := range []thing{vm, disk} {
		o.object["metadata"].(m)["namespace"] = namespace
	}
	return []thing{vm, disk}
}

func cloneOf(i int) m {
	return m{"cloneSource": m{"type": "vm", "vmName": fmt.Sprintf("source-%d", i), "cloneType": "full"}, "startStrategy": m{"autoStart": false}}
}

func clone(namespace, prefix string, i, sources int) thing {
	return thing{"wukongs", m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
		"metadata": m{"name": fmt.Sprint(prefix, i), "namespace": namespace}, "spec": cloneOf(i % sources)}, nil}
}
