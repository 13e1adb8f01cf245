package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/uuid"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// request is what a webhook judges.
type request struct {
	operation   string
	object, old obj.M // old is nil at creation
	user        string
	nodeName    bool // the token carries a node's name
}

// verdict is a webhook's answer; patch holds JSON-patch operations.
type verdict struct {
	causes   rules.Causes
	patch    []obj.M
	warnings []string
}

type admit func(s *Server, ctx context.Context, q request) verdict

// webhooks by path (pkg/virt-operator/resource/generate/components/webhooks.go).
var webhooks = map[string]admit{
	"/virtualmachines-mutate":                  (*Server).mutateVM,
	"/virtualmachineinstances-mutate":          (*Server).mutateVMI,
	"/virtualmachines-validate":                (*Server).validateVM,
	"/virtualmachineinstances-validate-create": (*Server).validateNewVMI,
	"/virtualmachineinstances-validate-update": (*Server).validateVMIUpdate,
	"/virtualmachinesnapshots-validate":        (*Server).validateSnapshot,
}

func newID() string { return string(uuid.NewUUID()) }

func replace(path string, value any) obj.M {
	return obj.M{"op": "replace", "path": path, "value": value}
}

func (s *Server) mutateVM(_ context.Context, q request) verdict {
	if rules.Deleting(q.object) {
		return verdict{}
	}
	rules.MutateVM(q.object, q.old == nil, newID)
	return verdict{patch: []obj.M{replace("/spec", q.object["spec"]), replace("/metadata", q.object["metadata"])}}
}

// mutateVMI completes a new VMI, and puts back the status that anybody but KubeVirt tries to write: the
// kind has no status subresource (vmi-mutator.go).
func (s *Server) mutateVMI(_ context.Context, q request) verdict {
	if q.old == nil {
		rules.MutateNewVMI(q.object, time.Now().UTC().Format(time.RFC3339), newID)
		return verdict{patch: []obj.M{replace("/spec", q.object["spec"]), replace("/metadata", q.object["metadata"]),
			{"op": "add", "path": "/status", "value": q.object["status"]}}}
	}
	if !rules.IsKubeVirt(q.user) && !equality.Semantic.DeepEqual(q.object["status"], q.old["status"]) {
		if was := q.old["status"]; was != nil {
			return verdict{patch: []obj.M{{"op": "add", "path": "/status", "value": was}}}
		}
		return verdict{patch: []obj.M{{"op": "remove", "path": "/status"}}}
	}
	return verdict{}
}

func (s *Server) validateVM(ctx context.Context, q request) verdict {
	// What cannot be found is not held against the VM here; it shows in its conditions later.
	instancetype, _ := s.Cluster.FindMatched(ctx, q.object, "instancetype")
	preference, _ := s.Cluster.FindMatched(ctx, q.object, "preference")
	v := verdict{causes: rules.VM(q.object, q.old, instancetype, preference, q.user)}
	if obj.Has(q.object, "spec", "running") {
		v.warnings = []string{"spec.running is deprecated, please use spec.runStrategy instead."}
	}
	return v
}

func (s *Server) validateNewVMI(_ context.Context, q request) verdict {
	return verdict{causes: rules.NewVMI(q.object, q.user)}
}

func (s *Server) validateVMIUpdate(_ context.Context, q request) verdict {
	return verdict{causes: rules.UpdateVMI(q.object, q.old, q.user, q.nodeName)}
}

func (s *Server) validateSnapshot(_ context.Context, q request) verdict {
	return verdict{causes: rules.Snapshot(q.object, q.old)}
}

// review is the envelope: AdmissionReview in, AdmissionReview out
// (pkg/util/webhooks/webhooks.go).
func (s *Server) review(w http.ResponseWriter, r *http.Request, decide admit) {
	if r.Header.Get("Content-Type") != "application/json" {
		plain(w, http.StatusBadRequest, "contentType="+r.Header.Get("Content-Type")+", expect application/json")
		return
	}
	b, err := body(r)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	var in obj.M
	if err := utiljson.Unmarshal(b, &in); err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	q := request{operation: obj.Str(in, "request", "operation"), object: obj.Map(in, "request", "object"),
		user:     obj.Str(in, "request", "userInfo", "username"),
		nodeName: obj.Has(in, "request", "userInfo", "extra", "authentication.kubernetes.io/node-name")}
	if q.operation == "UPDATE" {
		q.old = obj.Map(in, "request", "oldObject")
	}
	writeJSON(w, http.StatusOK, obj.M{"apiVersion": obj.Str(in, "apiVersion"), "kind": "AdmissionReview",
		"response": respond(decide(s, r.Context(), q), obj.Str(in, "request", "uid"))})
}

// respond names at most ten causes (webhooks.go ToAdmissionResponse).
func respond(v verdict, uid string) obj.M {
	out := obj.M{"uid": uid, "allowed": true}
	if len(v.warnings) > 0 {
		list := []any{}
		for _, text := range v.warnings {
			list = append(list, text)
		}
		out["warnings"] = list
	}
	if len(v.causes) > 0 {
		out["allowed"] = false
		out["status"] = invalidStatus(v.causes)
		return out
	}
	if len(v.patch) > 0 {
		if patch, err := json.Marshal(v.patch); err == nil {
			out["patch"], out["patchType"] = patch, "JSONPatch"
		}
	}
	return out
}
