package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
)

// What needs a cluster is in tests/cluster/cases/test_cdi.py.

var source = sourceRef{"VolumeSnapshot", "from", "snap"}

func permit() payload {
	return payload{Operation: "Clone", Name: "snap", Namespace: "from", Resource: source.tokenResource(),
		Params: map[string]string{"targetNamespace": "to", "targetName": "dv"}}
}

// A token is good for its issuer, its time and its key only (pkg/token/token.go).
func TestTokenIsCheckedWhole(t *testing.T) {
	folder := t.TempDir()
	ours, err := newSigner(folder)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ours.now = func() time.Time { return now }
	token, err := ours.sign(shortIssuer, shortLifetime, permit())
	if err != nil {
		t.Fatal(err)
	}
	again, err := newSigner(folder) // a restart
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.verify(shortIssuer, token)
	if err != nil || !reflect.DeepEqual(*got, permit()) {
		t.Fatalf("%v, %v", got, err)
	}
	other, err := newSigner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	forged := encoding.EncodeToString([]byte(strings.Replace(string(decoded(t, parts[1])), "snap", "else", 1)))
	for name, check := range map[string]func() error{
		"issuer": func() error { _, err := ours.verify(longIssuer, token); return err },
		"key":    func() error { _, err := other.verify(shortIssuer, token); return err },
		"body":   func() error { _, err := ours.verify(shortIssuer, parts[0]+"."+forged+"."+parts[2]); return err },
		"algorithm": func() error {
			_, err := ours.verify(shortIssuer, encoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+parts[1]+".")
			return err
		},
		"shape": func() error { _, err := ours.verify(shortIssuer, "forged"); return err },
		"expired": func() error {
			late := *ours
			late.now = func() time.Time { return now.Add(shortLifetime + tokenLeeway + 2*time.Second) }
			_, err := late.verify(shortIssuer, token)
			return err
		},
		"too early": func() error {
			early := *ours
			early.now = func() time.Time { return now.Add(-tokenLeeway - 2*time.Second) }
			_, err := early.verify(shortIssuer, token)
			return err
		},
	} {
		if check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func decoded(t *testing.T, part string) []byte {
	data, err := encoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A token permits one source, one target and, once extended, one UID (validateTokenData).
func TestTokenFitsOneClone(t *testing.T) {
	p := permit()
	if !p.fits(source, "to", "dv", "any") {
		t.Error("its own clone is refused")
	}
	p.Params["uid"] = "u"
	for name, fits := range map[string]bool{
		"source name":      p.fits(sourceRef{"VolumeSnapshot", "from", "other"}, "to", "dv", "u"),
		"source namespace": p.fits(sourceRef{"VolumeSnapshot", "other", "snap"}, "to", "dv", "u"),
		"source kind":      p.fits(sourceRef{"PersistentVolumeClaim", "from", "snap"}, "to", "dv", "u"),
		"target namespace": p.fits(source, "other", "dv", "u"),
		"target name":      p.fits(source, "to", "other", "u"),
		"uid":              p.fits(source, "to", "dv", "v"),
	} {
		if fits {
			t.Errorf("another %s fits", name)
		}
	}
	p.Operation = "Upload"
	if p.fits(source, "to", "dv", "u") {
		t.Error("another operation fits")
	}
}

// Which grants permit a clone from another namespace, and that the question is asked for the
// requesting user with groups and extra (authorize_utils.go).
func TestWhoMayClone(t *testing.T) {
	signer, err := newSigner("")
	if err != nil {
		t.Fatal(err)
	}
	cluster := newAPI(fake.NewSimpleDynamicClient(runtime.NewScheme(), &unstructured.Unstructured{
		Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "from"}}}))
	for _, row := range []struct {
		name, kind, from string
		granted          []string
		annotations      map[string]string
		allowed, token   bool
		asked            int
	}{
		{name: "nothing granted", kind: "snapshot", from: "from", asked: 2},
		{name: "source", kind: "snapshot", from: "from", granted: []string{"datavolumes/source"}, allowed: true, token: true, asked: 1},
		{name: "pods only, snapshot", kind: "snapshot", from: "from", granted: []string{"pods"}, asked: 3},
		{name: "pods and pvcs", kind: "snapshot", from: "from", granted: []string{"pods", "pvcs"}, allowed: true, token: true, asked: 3},
		{name: "pods only, claim", kind: "pvc", from: "from", granted: []string{"pods"}, allowed: true, token: true, asked: 2},
		{name: "same namespace", kind: "snapshot", from: "to", allowed: true, token: true},
		{name: "no such namespace", kind: "pvc", from: "nowhere"},
		{name: "populated before", kind: "pvc", from: "from", annotations: map[string]string{annPrePopulated: "x"}, allowed: true, asked: 2},
		{name: "a token brought along", kind: "pvc", from: "from", granted: []string{"pods"}, annotations: map[string]string{annCloneToken: "mine"}, allowed: true, token: true, asked: 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			asked := 0
			h := newAdmission(cluster, signer)
			h.review = func(_ context.Context, r *authv1.SubjectAccessReview) (bool, error) {
				asked++
				a := r.Spec.ResourceAttributes
				if r.Spec.User != "alice" || len(r.Spec.Groups) != 1 || len(r.Spec.Extra["k"]) != 1 ||
					a.Namespace != row.from || a.Name != "snap" || a.Verb != "create" {
					t.Errorf("asked %+v", r.Spec)
				}
				resource := a.Resource
				if a.Subresource != "" {
					resource += "/" + a.Subresource
				}
				for _, granted := range row.granted {
					if granted == resource {
						return true, nil
					}
				}
				return false, nil
			}
			if row.from == "to" {
				ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace",
					"metadata": map[string]any{"name": "to"}}}
				_, _ = cluster.client.Resource(namespaces).Create(t.Context(), ns, metav1.CreateOptions{})
			}
			dv := &DataVolume{}
			dv.Name, dv.Namespace, dv.Annotations = "dv", "to", row.annotations
			from := &ObjectSource{row.from, "snap"}
			dv.Spec.Source = &DataVolumeSource{Snapshot: from}
			if row.kind == "pvc" {
				dv.Spec.Source = &DataVolumeSource{PVC: from}
			}
			answer := h.mutate(t.Context(), &admissionv1.AdmissionRequest{Operation: admissionv1.Create,
				UserInfo: authenticationv1.UserInfo{Username: "alice", Groups: []string{"g"},
					Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}}, dv)
			if answer.Allowed != row.allowed || asked != row.asked {
				t.Fatalf("allowed %v, asked %d: %v", answer.Allowed, asked, answer.Result)
			}
			var patch []struct{ Value map[string]string }
			_ = json.Unmarshal(answer.Patch, &patch)
			if row.token != (len(patch) == 1 && patch[0].Value[annCloneToken] != "") ||
				row.token && patch[0].Value[annCloneToken] == "mine" {
				t.Errorf("patch %s", answer.Patch)
			}
		})
	}
}

// GetRequiredSpace (pkg/util/util.go): whole MiB, then 6 % of them.
func TestInflate(t *testing.T) {
	block := corev1.PersistentVolumeBlock
	for _, row := range []struct {
		size int64
		mode *corev1.PersistentVolumeMode
		want int64
	}{
		{1 << 30, nil, 1138166334},
		{1<<30 + 1, nil, 1139277824},
		{64 << 20, nil, 71135396},
		{64<<20 + 1, &block, 64<<20 + 1},
	} {
		got := inflate(row.size, row.mode)
		if got.Value() != row.want {
			t.Errorf("%d: %d, want %d", row.size, got.Value(), row.want)
		}
	}
}

// Who uses a claim: Pods that may write and have not ended (GetPodsUsingPVCs); instances stand for
// their launcher Pods.
func TestUsersOfAClaim(t *testing.T) {
	pod := func(name, phase string, readOnly bool) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"namespace": "ns", "name": name},
			"spec": map[string]any{
				"containers": []any{map[string]any{"name": "c", "volumeMounts": []any{
					map[string]any{"name": "v", "mountPath": "/v", "readOnly": readOnly}}}},
				"volumes": []any{map[string]any{"name": "v",
					"persistentVolumeClaim": map[string]any{"claimName": "disk"}}}},
			"status": map[string]any{"phase": phase}}}
	}
	vmi := func(name, phase, kind, field string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "kubevirt.io/v1",
			"kind": "VirtualMachineInstance", "metadata": map[string]any{"namespace": "ns", "name": name},
			"spec":   map[string]any{"volumes": []any{map[string]any{"name": "v", kind: map[string]any{field: "disk"}}}},
			"status": map[string]any{"phase": phase}}}
	}
	for _, row := range []struct {
		name    string
		objects []runtime.Object
		want    []string
	}{
		{"nobody", nil, nil},
		{"a writer", []runtime.Object{pod("p", "Running", false)}, []string{"p"}},
		{"a writer that is to be scheduled", []runtime.Object{pod("p", "Pending", false)}, []string{"p"}},
		{"a reader", []runtime.Object{pod("p", "Running", true)}, nil},
		{"ended", []runtime.Object{pod("p", "Succeeded", false), pod("q", "Failed", false)}, nil},
		{"a machine", []runtime.Object{vmi("m", "Running", "persistentVolumeClaim", "claimName")}, []string{"virt-launcher-m"}},
		{"a machine by DataVolume", []runtime.Object{vmi("m", "Scheduling", "dataVolume", "name")}, []string{"virt-launcher-m"}},
		{"a machine that ended", []runtime.Object{vmi("m", "Succeeded", "dataVolume", "name")}, nil},
	} {
		client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[schema.GroupVersionResource]string{pods: "PodList", instances: "VirtualMachineInstanceList"}, row.objects...)
		c := &controller{api: newAPI(client)}
		claim := &corev1.PersistentVolumeClaim{}
		claim.Namespace, claim.Name = "ns", "disk"
		got, err := c.usersOf(t.Context(), claim)
		if err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v, %v", row.name, got, err)
		}
	}
}

// A copy has the source's bytes and holes, tells its progress, takes its time and can be cancelled.
func TestCopier(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "from"), filepath.Join(folder, "to")
	const size = 64 << 20
	data := make([]byte, size)
	copy(data[5<<20:], "here")
	copy(data[size-4:], "last")
	source, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	_ = source.Truncate(size)
	_, _ = source.WriteAt([]byte("here"), 5<<20)
	_, _ = source.WriteAt([]byte("last"), size-4)
	source.Close()
	if err := os.WriteFile(to, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCopier()
	deadline := time.Now().Add(10 * time.Second)
	wait := func(target string, atLeast time.Duration) (seen map[float64]bool, err error) {
		seen = map[float64]bool{}
		for time.Now().Before(deadline) {
			percent, done, err := c.advance("k", from, target, atLeast)
			seen[percent] = true
			if done || err != nil {
				return seen, err
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatal("never ended")
		return
	}
	if _, err := wait(to, 0); err == nil {
		t.Error("a target that is too small was taken")
	}
	if err := os.Truncate(to, size+4096); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	seen, err := wait(to, 300*time.Millisecond)
	if err != nil || time.Since(began) < 300*time.Millisecond || len(seen) < 5 {
		t.Errorf("%v after %v, %d steps", err, time.Since(began), len(seen))
	}
	got, _ := os.ReadFile(to)
	if !reflect.DeepEqual(got[:size], data) || len(got) != size+4096 {
		t.Error("other bytes")
	}
	_, _, _ = c.advance("cancelled", from, to, time.Hour)
	if !c.isRunning("cancelled") {
		t.Error("not running")
	}
	c.cancel("cancelled")
	if c.isRunning("cancelled") {
		t.Error("still running")
	}
}
