package control

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
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
