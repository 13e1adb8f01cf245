// Package api is virt-api: the aggregated subresources and the admission webhooks, on one port.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"

	"novasphere.dev/wukong/tests/cluster/kubevirt/control"
	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// Server answers what the API server proxies or asks.
type Server struct {
	Cluster *control.Cluster
	Node    *control.Node
}

const group = "subresources.kubevirt.io"

// route is one subresource: its verb, and the media types that it produces (none: only */* will do).
type route struct {
	method   string
	produces []string
	handle   func(s *Server, w http.ResponseWriter, r *http.Request, namespace, name, user string)
}

var asJSON = []string{"application/json"}

// routes are virt-api's (pkg/virt-api/api.go), by resource/subresource.
var routes = map[string]route{
	"virtualmachineinstances/freeze":   {http.MethodPut, nil, (*Server).freeze},
	"virtualmachineinstances/unfreeze": {http.MethodPut, nil, (*Server).unfreeze},
	"virtualmachines/start":            {http.MethodPut, nil, (*Server).start},
	"virtualmachines/stop":             {http.MethodPut, nil, (*Server).stop},
	"virtualmachines/expand-spec":      {http.MethodGet, asJSON, (*Server).expandSpec},
	"expand-vm-spec":                   {http.MethodPut, asJSON, (*Server).expandVMSpec},
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if admit := webhooks[r.URL.Path]; admit != nil {
		s.review(w, r, admit)
		return
	}
	if s.discovery(w, r) {
		return
	}
	s.subresource(w, r)
}

// plain answers as go-restful does when a request never reaches a handler.
func plain(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}

func (s *Server) subresource(w http.ResponseWriter, r *http.Request) {
	allowed, reason, err := s.authorize(r)
	if err != nil {
		log.Printf("access review: %v", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if !allowed {
		plain(w, http.StatusUnauthorized, reason)
		return
	}
	// /apis/subresources.kubevirt.io/v1/namespaces/NS/RESOURCE/NAME/SUBRESOURCE or …/NS/expand-vm-spec
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(part) < 6 || part[1] != group || part[2] != "v1" || part[3] != "namespaces" {
		plain(w, http.StatusNotFound, "404: Page Not Found")
		return
	}
	key, name := strings.Join(part[5:], "/"), ""
	if len(part) == 8 {
		key, name = part[5]+"/"+part[7], part[6]
	}
	to, known := routes[key]
	switch {
	case !known:
		plain(w, http.StatusNotFound, "404: Page Not Found")
	case r.Method != to.method:
		plain(w, http.StatusMethodNotAllowed, "405: Method Not Allowed")
	case !acceptable(r.Header.Get("Accept"), to.produces):
		plain(w, http.StatusNotAcceptable, "406: Not Acceptable")
	default:
		to.handle(s, w, r, part[4], name, user(r))
	}
}

// acceptable is go-restful's Route.matchesAccept: a route that declares no media type is acceptable only
// to who takes anything.
func acceptable(accept string, produces []string) bool {
	if accept == "" {
		return true
	}
	for _, kind := range strings.Split(accept, ",") {
		kind, _, _ = strings.Cut(kind, ";")
		kind = strings.TrimSpace(kind)
		if kind == "*/*" {
			return true
		}
		for _, have := range produces {
			if have == kind {
				return true
			}
		}
	}
	return false
}

func user(r *http.Request) string { return r.Header.Get("X-Remote-User") }

// authorize is rest/authorizer.go: only the aggregator's client certificate speaks for a user, and what
// the user may is asked of the API server.
func (s *Server) authorize(r *http.Request) (bool, string, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false, "request is not authenticated", nil
	}
	attributes, err := reviewAttributes(r.URL.Path, r.Method)
	if err != nil {
		return false, err.Error(), nil
	}
	if user(r) == "" {
		return false, "a valid user header is required for authorization", nil
	}
	groups := []any{}
	for _, g := range r.Header.Values("X-Remote-Group") {
		groups = append(groups, g)
	}
	if len(groups) == 0 {
		return false, "a valid group header is required for authorization", nil
	}
	extra := obj.M{}
	for key, values := range r.Header {
		if rest, is := strings.CutPrefix(strings.ToLower(key), "x-remote-extra-"); is {
			if plainKey, err := url.PathUnescape(rest); err == nil {
				rest = plainKey
			}
			list := []any{}
			for _, v := range values {
				list = append(list, v)
			}
			extra[rest] = list
		}
	}
	review, err := s.Cluster.Create(r.Context(), control.AccessReviews, obj.M{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": obj.M{},
		"spec": obj.M{"user": user(r), "groups": groups, "extra": extra, "resourceAttributes": attributes}})
	if err != nil {
		return false, "", err
	}
	return obj.Bool(review, "status", "allowed"), obj.Str(review, "status", "reason"), nil
}

// reviewAttributes says what a request asks for (authorizer.go generateAccessReview).
func reviewAttributes(path, method string) (obj.M, error) {
	part := strings.Split(path, "/")
	verb := map[string]string{http.MethodGet: "get", http.MethodHead: "get", http.MethodPut: "update",
		http.MethodPost: "create", http.MethodPatch: "patch", http.MethodDelete: "delete"}[method]
	if verb == "" {
		return nil, fmt.Errorf("unknown http verb in request: %v", method)
	}
	switch {
	case len(part) >= 9:
		if part[6] != "virtualmachineinstances" && part[6] != "virtualmachines" {
			return nil, fmt.Errorf("unknown resource type %s", part[6])
		}
		return obj.M{"group": part[2], "version": part[3], "namespace": part[5], "resource": part[6], "name": part[7],
			"subresource": strings.Join(part[8:], "/"), "verb": verb}, nil
	case len(part) == 7:
		if part[6] != "expand-vm-spec" {
			return nil, fmt.Errorf("unknown resource type %s", part[6])
		}
		return obj.M{"group": part[2], "version": part[3], "namespace": part[5], "resource": part[6], "verb": verb}, nil
	}
	return nil, fmt.Errorf("unknown api endpoint: %s", path)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// writeError answers with a Status; what is no API error is an internal one.
func writeError(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	s.Kind, s.APIVersion = "Status", "v1"
	writeJSON(w, int(s.Code), s)
}

const maxBody = 4 << 20

func body(r *http.Request) ([]byte, error) { return io.ReadAll(io.LimitReader(r.Body, maxBody)) }

func (s *Server) vm(ctx context.Context, namespace, name string) (obj.M, error) {
	vm, err := s.Cluster.Get(ctx, control.VMs, namespace, name)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("unable to retrieve vm [%s]: %v", name, err))
	}
	if vm == nil {
		return nil, apierrors.NewNotFound(control.Resource("virtualmachine"), name)
	}
	return vm, nil
}

func (s *Server) vmi(ctx context.Context, namespace, name string) (obj.M, error) {
	vmi, err := s.Cluster.Get(ctx, control.VMIs, namespace, name)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("unable to retrieve vmi [%s]: %v", name, err))
	}
	if vmi == nil {
		return nil, apierrors.NewNotFound(control.Resource("virtualmachineinstance"), name)
	}
	return vmi, nil
}

// freeze ignores dryRun and any content type, as the original does; success is 200 without a body.
func (s *Server) freeze(w http.ResponseWriter, r *http.Request, namespace, name, user string) {
	vmi, err := s.vmi(r.Context(), namespace, name)
	if err != nil {
		writeError(w, err)
		return
	}
	b, err := body(r)
	if err != nil {
		writeError(w, apierrors.NewInternalError(err))
		return
	}
	if err := s.Node.Freeze(vmi, b, user); err != nil {
		writeError(w, err)
	}
}

func (s *Server) unfreeze(w http.ResponseWriter, r *http.Request, namespace, name, user string) {
	vmi, err := s.vmi(r.Context(), namespace, name)
	if err == nil {
		err = s.Node.Unfreeze(vmi, user)
	}
	if err != nil {
		writeError(w, err)
	}
}

// options are what the body of a start or stop may say.
type options struct {
	DryRun      []string `json:"dryRun"`
	Paused      bool     `json:"paused"`
	GracePeriod *int64   `json:"gracePeriod"`
}

func decodeOptions(r *http.Request) (o options, err error) {
	b, err := body(r)
	if err != nil {
		return o, apierrors.NewInternalError(err)
	}
	err = yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 1024).Decode(&o)
	if err != nil && !errors.Is(err, io.EOF) {
		return o, apierrors.NewBadRequest(fmt.Sprintf("Can not unmarshal Request body to struct, error: %s", err))
	}
	return o, nil
}

func (s *Server) start(w http.ResponseWriter, r *http.Request, namespace, name, _ string) {
	s.startStop(w, r, namespace, name, true, func(vm, vmi obj.M, o options) rules.StartAnswer {
		return rules.Start(vm, vmi, o.Paused)
	})
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request, namespace, name, _ string) {
	s.startStop(w, r, namespace, name, false, func(vm, vmi obj.M, o options) rules.StartAnswer {
		return rules.Stop(vm, vmi, o.GracePeriod)
	})
}

func (s *Server) startStop(w http.ResponseWriter, r *http.Request, namespace, name string, start bool,
	decide func(vm, vmi obj.M, o options) rules.StartAnswer) {
	vm, err := s.vm(r.Context(), namespace, name)
	if err != nil {
		writeError(w, err)
		return
	}
	vmi, err := s.Cluster.Get(r.Context(), control.VMIs, namespace, name)
	if err != nil {
		writeError(w, err)
		return
	}
	o, err := decodeOptions(r)
	if err != nil {
		writeError(w, err)
		return
	}
	answer := decide(vm, vmi, o)
	if answer.Conflict != "" {
		writeError(w, apierrors.NewConflict(control.Resource("virtualmachine"), name, errors.New(answer.Conflict)))
		return
	}
	patch, sub, err := changePatch(vm, start, answer)
	if err != nil {
		writeError(w, apierrors.NewInternalError(err))
		return
	}
	_, err = s.Cluster.API.Resource(control.VMs).Namespace(namespace).Patch(r.Context(), name, types.JSONPatchType,
		patch, metav1.PatchOptions{DryRun: o.DryRun}, sub...)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case strings.Contains(err.Error(), "the server rejected our request due to an error in our request") ||
		strings.Contains(err.Error(), "testing value"):
		writeError(w, apierrors.NewConflict(control.Resource("virtualmachine"), name, err))
	default:
		// Whatever admission says becomes an internal error, a snapshot's lock included.
		writeError(w, apierrors.NewInternalError(err))
	}
}

// changePatch is rest/lifecycle.go getRunningPatch and getChangeRequestJson.
func changePatch(vm obj.M, start bool, answer rules.StartAnswer) (patch []byte, sub []string, err error) {
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	var ops []op
	if answer.Spec {
		if was := obj.Get(vm, "spec", "runStrategy"); was != nil {
			to := rules.Halted
			if start {
				to = rules.Always
			}
			ops = []op{{"test", "/spec/runStrategy", was}, {"replace", "/spec/runStrategy", to}}
		} else {
			ops = []op{{"test", "/spec/running", obj.Get(vm, "spec", "running")}, {"replace", "/spec/running", start}}
		}
	} else {
		sub = []string{"status"}
		have := obj.List(vm, "status", "stateChangeRequests")
		switch {
		case len(obj.Map(vm, "status")) == 0:
			ops = []op{{"add", "/status", obj.M{"stateChangeRequests": answer.Requests}}}
		case len(have) == 0:
			ops = []op{{"add", "/status/stateChangeRequests", answer.Requests}}
		case len(answer.Requests) == 1 && obj.Str(answer.Requests[0], "action") == "Stop":
			ops = []op{{"test", "/status/stateChangeRequests", have}, {"replace", "/status/stateChangeRequests", answer.Requests}}
		default:
			return nil, nil, errors.New("unable to complete request: stop/start already underway")
		}
	}
	patch, err = json.Marshal(ops)
	return patch, sub, err
}

func (s *Server) expandSpec(w http.ResponseWriter, r *http.Request, namespace, name, _ string) {
	vm, err := s.vm(r.Context(), namespace, name)
	if err != nil {
		writeError(w, err)
		return
	}
	expanded, err := s.Cluster.Expand(r.Context(), vm)
	if err != nil {
		writeError(w, apierrors.NewInternalError(err))
		return
	}
	writeJSON(w, http.StatusOK, expanded)
}

// expandVMSpec is rest/expand.go ExpandSpecRequestHandler: every mistake is a bad request.
func (s *Server) expandVMSpec(w http.ResponseWriter, r *http.Request, namespace, _, _ string) {
	bad := func(format string, args ...any) { writeError(w, apierrors.NewBadRequest(fmt.Sprintf(format, args...))) }
	b, err := body(r)
	if err != nil {
		bad("%v", err)
		return
	}
	vm := obj.M{}
	if err := utiljson.Unmarshal(b, &vm); err != nil {
		bad("Can not unmarshal Request body to struct, error: %s", err)
		return
	}
	if kind := (&unstructured.Unstructured{Object: vm}).GroupVersionKind(); kind.Kind != "VirtualMachine" ||
		kind.Group != "kubevirt.io" || obj.Map(vm, "spec", "template") == nil {
		bad("Object is not a valid VirtualMachine")
		return
	}
	if own := obj.Str(vm, "metadata", "namespace"); own != "" && own != namespace {
		bad("VM namespace must be empty or %s", namespace)
		return
	}
	obj.Set(vm, namespace, "metadata", "namespace")
	expanded, err := s.Cluster.Expand(r.Context(), vm)
	if err != nil {
		bad("%v", err)
		return
	}
	writeJSON(w, http.StatusOK, expanded)
}

// discovery answers what the API server asks about the group; anybody may.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) bool {
	version := metav1.GroupVersionForDiscovery{GroupVersion: group + "/v1", Version: "v1"}
	apiGroup := metav1.APIGroup{TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: group,
		Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "":
		writeJSON(w, http.StatusOK, metav1.RootPaths{Paths: []string{"/apis", "/apis/" + group, "/apis/" + group + "/v1"}})
	case "/apis":
		writeJSON(w, http.StatusOK, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"},
			Groups: []metav1.APIGroup{apiGroup}})
	case "/apis/" + group:
		writeJSON(w, http.StatusOK, apiGroup)
	case "/apis/" + group + "/v1":
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
			GroupVersion: group + "/v1", APIResources: []metav1.APIResource{}}
		// Neither kinds nor verbs, as in the original.
		for _, name := range []string{"expand-vm-spec", "virtualmachineinstances/freeze", "virtualmachineinstances/unfreeze",
			"virtualmachines/start", "virtualmachines/stop", "virtualmachines/expand-spec"} {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: name, Namespaced: true})
		}
		writeJSON(w, http.StatusOK, list)
	case "/healthz", "/apis/" + group + "/v1/healthz":
		plain(w, http.StatusOK, "ok")
	case "/apis/" + group + "/v1/version":
		writeJSON(w, http.StatusOK, obj.M{"gitVersion": "v1.9.0-standin"})
	case "/openapi/v2", "/openapi/v3":
		plain(w, http.StatusNotFound, "404: Page Not Found")
	default:
		return false
	}
	return true
}
