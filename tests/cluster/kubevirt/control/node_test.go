package control

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"novasphere.dev/wukong/tests/cluster/kubevirt/guest"
	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// The body must name a Go duration, which is cut to whole seconds (pkg/virt-handler/rest/lifecycle.go).
func TestUnfreezeTimeout(t *testing.T) {
	for _, c := range []struct {
		body string
		want int32
		err  string
	}{
		{`{"unfreezeTimeout":"5m0s"}`, 300, ""}, {`{"unfreezeTimeout":"500ms"}`, 0, ""},
		{`{"unfreezeTimeout":"1999ms"}`, 1, ""}, {`{"unfreezeTimeout":"0s"}`, 0, ""},
		{`unfreezeTimeout: 7s`, 7, ""},
		{``, 0, "Unfreeze timeout in freeze request is not set"}, {`{}`, 0, "Unfreeze timeout in freeze request is not set"},
		{`{"unfreezeTimeout":null}`, 0, "Unfreeze timeout in freeze request is not set"},
		{`{"unfreezeTimeout":"30"}`, 0, "failed to unmarshal unfreeze timeout"},
		{`{"unfreezeTimeout":30}`, 0, "failed to unmarshal unfreeze timeout"},
		{`garbage`, 0, "failed to unmarshal unfreeze timeout"},
	} {
		got, err := unfreezeTimeout([]byte(c.body))
		if got != c.want || (err == nil) != (c.err == "") || (err != nil && err.Error() != c.err) {
			t.Errorf("%q: %d %v", c.body, got, err)
		}
	}
}

func annotated(values map[string]any) obj.M {
	annotations := obj.M{}
	for key, value := range values {
		annotations[Prefix+key] = value
	}
	return obj.M{"metadata": obj.M{"uid": "u", "name": "n", "namespace": "ns", "annotations": annotations},
		"status": obj.M{"phase": "Running"}}
}

// A number is how often a fault strikes, any other word means always.
func TestCountedFaults(t *testing.T) {
	n := &Node{faults: map[string]int{}}
	twice, always := annotated(map[string]any{"freeze-500": "2"}), annotated(map[string]any{"freeze-500": "true"})
	for i, want := range []bool{true, true, false, false} {
		if got := n.strikes(twice, "freeze-500"); got != want {
			t.Errorf("strike %d: %v", i, got)
		}
		if !n.strikes(always, "freeze-500") || n.strikes(annotated(nil), "freeze-500") || n.strikes(annotated(map[string]any{"freeze-500": "false"}), "freeze-500") {
			t.Errorf("strike %d of the others", i)
		}
	}
}

// The list of migrated volumes and the destination are there before any migration; cancelled, all is as before.
func TestMovedVolume(t *testing.T) {
	vmi := annotated(map[string]any{"moving-volume": "data=there"})
	obj.Set(vmi, []any{obj.M{"name": "root", "persistentVolumeClaim": obj.M{"claimName": "r"}},
		obj.M{"name": "data", "persistentVolumeClaim": obj.M{"claimName": "here"}}}, "spec", "volumes")
	before := obj.Copy(vmi)
	claim := func() string { return rules.ClaimOf(obj.List(vmi, "spec", "volumes")[1]) }
	for range 2 {
		moveVolume(vmi)
		moved := obj.List(vmi, "status", "migratedVolumes")
		if claim() != "there" || len(moved) != 1 || obj.Str(moved[0], "volumeName") != "data" ||
			obj.Str(moved[0], "sourcePVCInfo", "claimName") != "here" ||
			obj.Str(moved[0], "destinationPVCInfo", "claimName") != "there" || !rules.True(vmi, "VolumesChange") ||
			rules.Migrating(vmi) {
			t.Fatalf("%v", vmi)
		}
	}
	obj.Delete(vmi, "metadata", "annotations")
	moveVolume(vmi)
	obj.Delete(before, "metadata", "annotations")
	if claim() != "here" || obj.Has(vmi, "status", "migratedVolumes") || rules.True(vmi, "VolumesChange") {
		t.Errorf("%v, was %v", vmi, before)
	}
}

// A persistent TPM or EFI has a claim of its VM, and nothing else has.
func TestStateClaim(t *testing.T) {
	v := &VMIController{Cluster: &Cluster{}}
	vmi := annotated(nil)
	obj.Set(vmi, obj.M{}, "spec", "domain", "devices", "tpm")
	if v.stateClaim(vmi) != nil {
		t.Error("a TPM that forgets needs no claim")
	}
	for _, path := range [][]string{{"devices", "tpm"}, {"firmware", "bootloader", "efi"}} {
		vmi := annotated(nil)
		owner := obj.M{"kind": "VirtualMachine", "name": "n"}
		obj.Append(vmi, owner, "metadata", "ownerReferences")
		obj.Set(vmi, true, append(append([]string{"spec", "domain"}, path...), "persistent")...)
		claim := v.stateClaim(vmi)
		owners := obj.List(claim, "metadata", "ownerReferences")
		if obj.Str(claim, "metadata", "labels", StateLabel) != "n" || len(owners) != 1 ||
			obj.Str(owners[0], "kind") != "VirtualMachine" {
			t.Errorf("%v: %v", path, claim)
		}
	}
}

// A backup thaws whoever froze the guest, once, and is over when its annotation is gone.
func TestBackup(t *testing.T) {
	vmi := annotated(map[string]any{"backup": "nightly"})
	backup := func() obj.M { return obj.Map(vmi, "status", "changedBlockTracking", "backupStatus") }
	if !beginsBackup(vmi) || beginsBackup(vmi) || obj.Str(backup(), "backupName") != "nightly" ||
		obj.Bool(backup(), "completed") {
		t.Errorf("%v", vmi)
	}
	obj.Delete(vmi, "metadata", "annotations")
	if beginsBackup(vmi) || !obj.Bool(backup(), "completed") || obj.Str(backup(), "endTimestamp") == "" {
		t.Errorf("%v", vmi)
	}
	log, err := guest.OpenFreezeLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := guest.Start(guest.Config{UID: "u", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	if err := g.Freeze("me", 0); err != nil {
		t.Fatal(err)
	}
	(&Node{}).BackUp(&machine{Guest: g})
	if g.Frozen() {
		t.Error("still frozen")
	}
}

// virt-api gives up on the node, makes one error of whatever the node says, and the call goes on.
func TestViaHandler(t *testing.T) {
	n := &Node{opt: Options{HandlerTimeout: 30 * time.Millisecond}}
	message := func(err error) string {
		var status apierrors.APIStatus
		if !errors.As(err, &status) || status.Status().Code != 500 || status.Status().Reason != "InternalError" {
			t.Fatalf("%v", err)
		}
		return status.Status().Message
	}
	if err := n.viaHandler(annotated(nil), "freeze", func() error { return nil }); err != nil {
		t.Error(err)
	}
	want := `Internal error occurred: unexpected return code 400 (400 Bad Request), message: server error. command Freeze failed: "x"`
	if got := message(n.viaHandler(annotated(nil), "freeze", func() error { return launcherError("Freeze", "x") })); got != want {
		t.Error(got)
	}
	landed := make(chan bool, 1)
	got := message(n.viaHandler(annotated(nil), "freeze", func() error {
		time.Sleep(80 * time.Millisecond)
		landed <- true
		return nil
	}))
	if want := `Internal error occurred: Put "https://127.0.0.1:8186/v1/namespaces/ns/virtualmachineinstances/n/freeze": ` +
		`context deadline exceeded (Client.Timeout exceeded while awaiting headers)`; got != want {
		t.Error(got)
	}
	select {
	case <-landed:
	case <-time.After(5 * time.Second):
		t.Error("the call was given up on the node too")
	}
}

// A VolumeSnapshot that is gone, or never made because the snapshot is, takes readiness; an error is named.
func TestJudge(t *testing.T) {
	ready := obj.M{"volumeSnapshotName": "a", "creationTime": "t", "readyToUse": true}
	cut := obj.M{"volumeSnapshotName": "b", "creationTime": "t", "readyToUse": false}
	uncut := obj.M{"volumeSnapshotName": "c"}
	broken := obj.M{"volumeSnapshotName": "d", "error": obj.M{"message": "no"}}
	for _, c := range []struct {
		name           string
		p              progress
		created, ready bool
		message        string
	}{
		{"nothing to cut", progress{}, true, true, ""},
		{"ready", progress{statuses: []any{ready}}, true, true, ""},
		{"cut", progress{statuses: []any{ready, cut}}, true, false, ""},
		{"one uncut", progress{statuses: []any{ready, uncut}}, false, false, ""},
		{"error", progress{statuses: []any{broken}}, false, false, "VolumeSnapshot d error: no"},
		{"gone", progress{statuses: []any{ready}, deleted: []string{"x"}}, false, false, "VolumeSnapshots (x) missing"},
		{"skipped", progress{skipped: []string{"x"}}, false, false, "VolumeSnapshots (x) skipped because vm snapshot is deleted"},
	} {
		created, isReady, message := c.p.judge()
		if created != c.created || isReady != c.ready || message != c.message {
			t.Errorf("%s: %v %v %q", c.name, created, isReady, message)
		}
	}
}

// The machine is what its spec says; cloud-init's instance is named after the firmware, so that a clone
// with a firmware of its own is a new one.
func TestHardware(t *testing.T) {
	vmi := annotated(nil)
	obj.Set(vmi, obj.M{"cpu": obj.M{"sockets": int64(1), "cores": int64(2), "threads": int64(1)},
		"memory":   obj.M{"guest": "512Mi"},
		"firmware": obj.M{"uuid": "f-1", "serial": "s-1"},
		"devices":  obj.M{"disks": []any{obj.M{"name": "data", "serial": "DATA1"}}}}, "spec", "domain")
	obj.Set(vmi, []any{obj.M{"mac": "02:00:00:00:00:01"}}, "status", "interfaces")
	if h := hardware(vmi, "x"); h.CPUs != 2 || h.MemoryMiB != 512 || h.UUID != "f-1" || h.Serial != "s-1" ||
		len(h.MACs) != 1 || h.Seed != nil {
		t.Errorf("%+v", h)
	}
	if serialOf(vmi, "data") != "DATA1" || serialOf(vmi, "root") != "" {
		t.Error("serials")
	}
	obj.Set(vmi, []any{obj.M{"name": "ci", "cloudInitNoCloud": obj.M{"userDataBase64": "I2Nsb3Vk"}}}, "spec", "volumes")
	seed := hardware(vmi, "x").Seed
	if seed["user-data"] != "#cloud" || seed["meta-data"] != "{\"instance-id\": \"f-1\", \"local-hostname\": \"n\"}\n" {
		t.Errorf("%v", seed)
	}
}
