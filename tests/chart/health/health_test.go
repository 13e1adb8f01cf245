// The test judges docs/argocd/health.lua; what the answer should be comes from kstatus, the library that
// Flux and others judge objects with: the same object must look the same to both.
package health

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// run judges by the script that the documentation gives to Argo CD.
func run(t *testing.T, object map[string]any) (state, message string) {
	t.Helper()
	script, err := os.ReadFile("../../../docs/argocd/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	state, message, err = Run(string(script), object)
	if err != nil {
		t.Fatal(err)
	}
	return state, message
}

func wukong(generation int64, wukongStatus map[string]any) map[string]any {
	object := map[string]any{
		"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
		"metadata": map[string]any{"name": "x", "namespace": "ns", "generation": generation},
		"spec":     map[string]any{"cloneSource": map[string]any{"type": "vmi", "vmiName": "src"}},
	}
	if wukongStatus != nil {
		object["status"] = wukongStatus
	}
	return object
}

func condition(kind, value, message string) any {
	return map[string]any{"type": kind, "status": value, "reason": "R", "message": message}
}

// Every combination of generation and the three conditions that decide.
func TestAgreesWithKstatus(t *testing.T) {
	same := map[status.Status]string{
		status.InProgressStatus: "Progressing", status.FailedStatus: "Degraded", status.CurrentStatus: "Healthy",
	}
	seen := map[string]int{}
	values := []string{"", "True", "False", "Unknown"}
	for _, observed := range []int64{-1, 1, 2} {
		for _, reconciling := range values {
			for _, stalled := range values {
				for _, ready := range values[1:] {
					conditions := []any{condition("Ready", ready, "m"), condition("SnapshotTaken", "True", "s")}
					if reconciling != "" {
						conditions = append(conditions, condition("Reconciling", reconciling, "r"))
					}
					if stalled != "" {
						conditions = append(conditions, condition("Stalled", stalled, "f"))
					}
					name := fmt.Sprintf("observed %d reconciling %q stalled %q ready %q", observed, reconciling, stalled, ready)
					object := wukong(2, map[string]any{"observedGeneration": observed, "conditions": conditions})
					result, err := status.Compute(&unstructured.Unstructured{Object: object})
					if err != nil {
						t.Fatal(err)
					}
					got, _ := run(t, object)
					if got != same[result.Status] {
						t.Errorf("%s: %s, kstatus %s (%s)", name, got, result.Status, result.Message)
					}
					seen[got]++
				}
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("the combinations reach only %v", seen)
	}
}

func TestMessages(t *testing.T) {
	for _, row := range []struct {
		name, state, message string
		status               string
	}{
		{"the schema's default", "Progressing", "Waiting for the first look", `{"observedGeneration": -1}`},
		{"progress is shown", "Progressing", "45%: Restoring", `{"observedGeneration": 1, "cloneStatus": {"progress": "45%"},
			"conditions": [{"type": "Reconciling", "status": "True", "message": "Restoring"}]}`},
		{"failure says why", "Degraded", "no class", `{"observedGeneration": 1,
			"conditions": [{"type": "Ready", "status": "False", "message": "x"}, {"type": "Stalled", "status": "True", "message": "no class"}]}`},
		{"a stopped clone is healthy", "Healthy", "Cloned", `{"observedGeneration": 1, "phase": "Stopped",
			"conditions": [{"type": "Ready", "status": "True", "message": ""}]}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			var decoded map[string]any
			if err := json.Unmarshal([]byte(row.status), &decoded); err != nil {
				t.Fatal(err)
			}
			state, message := run(t, wukong(1, decoded))
			if state != row.state || message != row.message {
				t.Errorf("%s %q, want %s %q", state, message, row.state, row.message)
			}
		})
	}
}

func TestTheCreatorsWukongIsLeftAlone(t *testing.T) {
	object := wukong(1, nil)
	object["spec"] = map[string]any{"cpu": int64(1)}
	if state, _ := run(t, object); state != "Healthy" {
		t.Errorf("%s", state)
	}
}
