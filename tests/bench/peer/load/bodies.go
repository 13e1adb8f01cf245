package main

import (
	"encoding/json"
	"fmt"
)

type m = map[string]any

// review wraps an object as kube-apiserver does (apiserver/pkg/admission/plugin/webhook/request).
func review(operation, ns string, object, old m) []byte {
	kind := m{"group": "vm.novasphere.dev", "version": "v1alpha1", "kind": "Wukong"}
	resource := m{"group": "vm.novasphere.dev", "version": "v1alpha1", "resource": "wukongs"}
	request := m{
		"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": kind, "resource": resource,
		"requestKind": kind, "requestResource": resource,
		"name": object["metadata"].(m)["name"], "namespace": ns, "operation": operation, "dryRun": false,
		"userInfo": m{"username": "wukong-bed-admin", "groups": []any{"system:masters", "system:authenticated"},
			"extra": m{"authentication.kubernetes.io/credential-id": []any{"X509SHA256=5f3f7a"}}},
		"object": object, "oldObject": nil,
		"options": m{"kind": operation + "Options", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-client-side-apply"},
	}
	if old != nil {
		request["oldObject"] = old
	}
	body, err := json.Marshal(m{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
	if err != nil {
		panic(err)
	}
	return body
}

// object is a Wukong as it reaches admission: with managedFields and kubectl's annotation, which are
// the larger part of a real one.
func object(name, ns string, spec m) m {
	applied, _ := json.Marshal(m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong", "metadata": m{"name": name}, "spec": spec})
	fields := m{}
	for k := range spec {
		fields["f:"+k] = m{}
	}
	return m{
		"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
		"metadata": m{"name": name, "namespace": ns, "uid": "e0d2ef6c-7f0b-4d0e-9a55-0d5c3a1f0001",
			"generation": 1, "creationTimestamp": "2026-11-26T08:00:00Z",
			"labels":      m{"app.kubernetes.io/name": "shop", "app.kubernetes.io/managed-by": "kubectl"},
			"annotations": m{"kubectl.kubernetes.io/last-applied-configuration": string(applied)},
			"managedFields": []any{m{"manager": "kubectl-client-side-apply", "operation": "Update",
				"apiVersion": "vm.novasphere.dev/v1alpha1", "time": "2026-11-26T08:00:00Z", "fieldsType": "FieldsV1",
				"fieldsV1": m{"f:metadata": m{"f:annotations": m{".": m{}, "f:kubectl.kubernetes.io/last-applied-configuration": m{}},
					"f:labels": m{".": m{}, "f:app.kubernetes.io/name": m{}}}, "f:spec": fields}}}},
		"spec": spec,
	}
}

func cloneSpec(source string) m {
	return m{
		"cloneSource": m{"type": "vmi", "vmiName": source, "namespace": "shop", "cloneType": "running",
			"quiesce": "IfAvailable", "snapshotMethod": "Auto", "deadlineSeconds": 3600, "retryLimit": 5,
			"stopSourceAfter": false, "allowUnsnapshottable": false,
			"window": m{"schedule": "0 22 * * *", "duration": "6h", "timeZone": "Asia/Shanghai"},
			"gates":  []any{"example.com/DatabaseFlushed"}},
		"disks":    []any{m{"name": "root", "size": "40Gi", "boot": true}, m{"name": "data", "size": "100Gi", "storageClassName": "file"}},
		"replicas": 1, "reclaimPolicy": "Delete", "startStrategy": m{"autoStart": true},
		"highAvailability": m{"nodeSelector": m{"disktype": "ssd"},
			"tolerations": []any{m{"key": "dedicated", "operator": "Equal", "value": "vms", "effect": "NoSchedule"}}},
	}
}

// vmSpec is what the VM creator that shares the kind is sent: no source, nothing to look up.
func vmSpec() m {
	return m{
		"cpu": 4, "memory": "8Gi", "osImage": "https://images.example.com/debian-12.qcow2",
		"sshKeySecret":  "keys",
		"cloudInitUser": m{"name": "admin", "passwordHash": "$6$rounds=4096$abc$def", "groups": []any{"sudo", "adm"}, "shell": "/bin/bash"},
		"disks": []any{m{"name": "root", "size": "40Gi", "storageClassName": "file", "boot": true},
			m{"name": "data", "size": "100Gi", "storageClassName": "file"}},
		"networks": []any{m{"name": "lan", "type": "bridge", "nadName": "default/lan", "vlanId": 100, "bridgeName": "br0",
			"ipConfig": m{"mode": "static", "address": "192.168.1.10/24", "gateway": "192.168.1.1", "dnsServers": []any{"192.168.1.1", "1.1.1.1"}}}},
		"highAvailability": m{"restartPolicy": "Always", "nodeSelector": m{"disktype": "ssd"}},
	}
}

// tenMistakes is refused without a look-up: its source cannot be named.
func tenMistakes() m {
	return m{
		"cpu": 0, "memory": "four",
		"cloneSource": m{"type": "vmi", "vmName": "shop", "cloneType": "runing", "quiesce": "Always", "stopSourceAfter": true,
			"window": m{"schedule": "61 22 * * *", "duration": "6d"}, "retryLimit": 101},
		"disks":    []any{m{"name": "Root", "size": "-1Gi"}, m{"name": "data", "size": "10Gi", "image": "x"}},
		"replicas": 0, "osImage": "x",
		"networks": []any{m{"name": "lan", "type": "vxlan", "vlanId": 4095}},
	}
}

func with(spec m, change func(m)) m {
	change(spec)
	return spec
}

var mixes = map[string]func() [][]byte{
	// Half of them valid; nothing that needs the API server.
	"cached": func() (l [][]byte) {
		old := func() m { return object("copy", "shop", cloneSpec("shop-db")) }
		labelled := old()
		labelled["metadata"].(m)["labels"].(m)["team"] = "blue"
		shrunk := object("copy", "shop", with(cloneSpec("shop-web"), func(s m) {
			s["disks"] = []any{m{"name": "root", "size": "30Gi"}}
			s["replicas"] = 200
		}))
		l = append(l, review("UPDATE", "shop", labelled, old()))
		l = append(l, review("UPDATE", "shop", shrunk, old()))
		l = append(l, review("CREATE", "shop", object("vm", "shop", vmSpec()), nil))
		l = append(l, review("CREATE", "shop", object("wrong", "shop", tenMistakes()), nil))
		return l
	},
	// A running source of another namespace with two claims: one SubjectAccessReview, VM, VMI, 2 PVCs.
	"live": func() (l [][]byte) {
		for i := range 20 {
			source := fmt.Sprintf("vm-%d", 20*i) // of those that fill puts into load-0
			spec := with(cloneSpec(source), func(s m) {
				s["cloneSource"].(m)["namespace"] = "load-0"
				delete(s, "disks")
			})
			l = append(l, review("CREATE", "shop", object("copy", "shop", spec), nil))
		}
		return l
	},
}
