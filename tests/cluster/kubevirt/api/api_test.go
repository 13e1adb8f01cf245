package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// A route that declares no media type answers only who takes anything (go-restful Route.matchesAccept;
// seen on v1.9: 406 for application/json).
func TestAcceptable(t *testing.T) {
	for _, c := range []struct {
		accept   string
		produces []string
		want     bool
	}{
		{"", nil, true}, {"*/*", nil, true}, {"application/json, */*", nil, true}, {"*/*;q=0.1", nil, true},
		{"application/json", nil, false}, {"text/plain", nil, false}, {"application/*", nil, false},
		{"application/json", asJSON, true}, {"application/json;q=0.5", asJSON, true}, {"text/plain", asJSON, false},
	} {
		if got := acceptable(c.accept, c.produces); got != c.want {
			t.Errorf("%q %v: %v", c.accept, c.produces, got)
		}
	}
}

// What is asked of the API server follows the path and the method (rest/authorizer.go).
func TestReviewAttributes(t *testing.T) {
	const base = "/apis/subresources.kubevirt.io/v1/namespaces/ns/"
	got, err := reviewAttributes(base+"virtualmachineinstances/a/freeze", http.MethodPut)
	if err != nil || got["verb"] != "update" || got["resource"] != "virtualmachineinstances" ||
		got["subresource"] != "freeze" || got["name"] != "a" || got["namespace"] != "ns" {
		t.Errorf("%v %v", got, err)
	}
	if got, err = reviewAttributes(base+"expand-vm-spec", http.MethodPut); err != nil || got["resource"] != "expand-vm-spec" {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{base + "pods/a/freeze", base + "pods", "/apis/subresources.kubevirt.io/v1"} {
		if _, err := reviewAttributes(bad, http.MethodPut); err == nil {
			t.Errorf("%s passed", bad)
		}
	}
}

// Without the aggregator's client certificate the user headers count for nothing.
func TestHeadersAloneAuthenticateNobody(t *testing.T) {
	r := httptest.NewRequest(http.MethodPut, "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/a/freeze", nil)
	r.Header.Set("X-Remote-User", "system:admin")
	r.Header.Set("X-Remote-Group", "system:masters")
	w := httptest.NewRecorder()
	(&Server{}).ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized || w.Body.String() != "request is not authenticated" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// A VMI's status is put back unless KubeVirt itself writes it; the rest of the update stands.
func TestStatusWritesAreReverted(t *testing.T) {
	q := request{operation: "UPDATE", object: obj.M{"status": obj.M{"phase": "Running"}},
		old: obj.M{"status": obj.M{"phase": "Pending"}}, user: "system:admin"}
	got := (&Server{}).mutateVMI(context.Background(), q)
	if len(got.patch) != 1 || got.patch[0]["path"] != "/status" || obj.Str(got.patch[0], "value", "phase") != "Pending" {
		t.Errorf("%+v", got)
	}
	q.user = "system:serviceaccount:kubevirt:kubevirt-controller"
	if got := (&Server{}).mutateVMI(context.Background(), q); len(got.patch) != 0 {
		t.Errorf("%+v", got)
	}
}

// At most ten causes are named; the rest is counted (pkg/util/webhooks/webhooks.go).
func TestRefusalsAreCut(t *testing.T) {
	causes := rules.Causes{}
	for i := 0; i < 12; i++ {
		causes = append(causes, metav1.StatusCause{Message: "m"})
	}
	s := invalidStatus(causes)
	if len(s.Details.Causes) != 10 || s.Code != 422 || !strings.HasSuffix(s.Message, ", and 2 more validation errors") {
		t.Errorf("%+v", s)
	}
}
