package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The writes of one clone of a stopped machine with one disk, the worker's and the storage's, sent one
// after the other without looking at anything in between: what the API server can take of exactly this.
//
//	fill --kubeconfig F --mix 1000 --namespace load-0

const (
	wukongAPI = "/apis/vm.novasphere.dev/v1alpha1/namespaces/"
	apply     = "application/apply-patch+yaml"
	plain     = "application/json"
)

// created sends a POST and returns the UID of what was made.
func (c *cluster) created(path string, body m) string {
	text, _ := json.Marshal(body)
	r, err := c.client.Post(c.host+path, plain, strings.NewReader(string(text)))
	if err != nil {
		fail(err.Error())
	}
	defer r.Body.Close()
	answer, _ := io.ReadAll(r.Body)
	var made struct{ Metadata struct{ UID string } }
	if r.StatusCode != http.StatusCreated || json.Unmarshal(answer, &made) != nil {
		fail(fmt.Sprintf("POST %s: HTTP %d: %.300s", path, r.StatusCode, answer))
	}
	c.writes.Add(1)
	return made.Metadata.UID
}

// statusOf is as large as the worker's own; `step` makes each differ from the one before.
func statusOf(name string, step int) m {
	var conditions []any
	for _, kind := range []string{"Ready", "Reconciling", "SourceReady", "PolicyAllowed", "SnapshotTaken", "SnapshotReady", "DisksReady", "VirtualMachineReady", "TemporariesCleaned"} {
		conditions = append(conditions, m{"type": kind, "status": "True", "reason": "Ready", "message": fmt.Sprintf("as far as step %d of this clone", step),
			"observedGeneration": 1, "lastTransitionTime": at})
	}
	return m{"observedGeneration": 1, "phase": "Creating", "vmName": name + "-vm", "conditions": conditions,
		"cloneStatus": m{"phase": "Cloning", "progress": fmt.Sprintf("%d%%", step*20), "step": "Disks", "attempts": 1, "startTime": at, "attemptTime": at,
			"sourceUID": "6a1a24a1-4061-4607-8bf4-a3963d0c0001", "consistency": "Offline", "snapshotTime": at, "cutTime": at,
			"disks":   []any{m{"name": "root", "sourcePVC": "source-root", "size": "42949672960", "phase": "Restoring", "progress": "60%", "storageClass": "file", "method": "Restore"}},
			"targets": []any{m{"vmName": name + "-vm", "phase": "Created", "disks": []any{m{"name": "root", "pvc": name + "-root", "phase": "Restoring"}}}}}}
}

func (c *cluster) applied(namespace, name, uid, sub, manager string, body m) {
	meta := m{"name": name, "namespace": namespace, "uid": uid}
	for key, value := range body {
		if key != "status" {
			meta[key] = value
		}
	}
	whole := m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong", "metadata": meta}
	if status, ok := body["status"]; ok {
		whole["status"] = status
	}
	c.send("PATCH", wukongAPI+namespace+"/wukongs/"+name+sub+"?force=true&fieldManager="+manager, apply, whole)
}

func (c *cluster) mix(namespace, prefix string, i int) {
	name := fmt.Sprint(prefix, i)
	uid := c.created(wukongAPI+namespace+"/wukongs", m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
		"metadata": m{"name": name, "namespace": namespace}, "spec": cloneOf(0)})
	finalizer := func(list ...any) {
		c.applied(namespace, name, uid, "", "mix-finalizer", m{"finalizers": append([]any{}, list...)})
	}
	told := 0
	status := func() {
		told++
		c.applied(namespace, name, uid, "/status", "mix-status", m{"status": statusOf(name, told)})
	}
	event := func(what string) {
		c.send("POST", "/api/v1/namespaces/"+namespace+"/events", plain, m{"apiVersion": "v1", "kind": "Event",
			"metadata":       m{"name": name + "-" + what, "namespace": namespace},
			"involvedObject": m{"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong", "namespace": namespace, "name": name, "uid": uid},
			"type":           "Normal", "reason": "SnapshotTaken", "message": "Offline; the guest was not frozen", "source": m{"component": "mix"},
			"firstTimestamp": at, "lastTimestamp": at, "count": 1})
	}
	finalizer("vm.novasphere.dev/mix")
	status()
	event("cut")
	c.send("POST", "/api/v1/namespaces/"+namespace+"/persistentvolumeclaims", plain, m{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": m{"name": name + "-root", "namespace": namespace},
		"spec": m{"accessModes": []any{"ReadWriteMany"}, "volumeMode": "Block", "storageClassName": "file", "resources": m{"requests": m{"storage": "40Gi"}},
			"dataSource": m{"kind": "PersistentVolumeClaim", "name": "source-0-root"}}})
	c.bind(namespace, name+"-root")
	vm := machine(0).object
	owner := c.created("/apis/kubevirt.io/v1/namespaces/"+namespace+"/virtualmachines", m{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
		"metadata": m{"name": name + "-vm", "namespace": namespace}, "spec": vm["spec"]})
	c.send("PATCH", "/api/v1/namespaces/"+namespace+"/persistentvolumeclaims/"+name+"-root", merge, m{"metadata": m{"ownerReferences": []any{
		m{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": name + "-vm", "uid": owner}}}})
	status()
	event("done")
	finalizer()
}
