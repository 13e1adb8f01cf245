package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// admission is cdi-apiserver: the two webhooks for DataVolumes (pkg/apiserver/webhooks).
type admission struct {
	api    *api
	signer *signer
	// review asks whether a user may do something; a seam for tests.
	review func(context.Context, *authv1.SubjectAccessReview) (bool, error)
}

func newAdmission(a *api, s *signer) *admission {
	return &admission{api: a, signer: s, review: a.subjectAccessReview}
}

func (a *api) subjectAccessReview(ctx context.Context, review *authv1.SubjectAccessReview) (bool, error) {
	review.TypeMeta = metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"}
	answer, err := create(ctx, a, accessReviews, "", review)
	return err == nil && answer.Status.Allowed, err
}

func (h *admission) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/datavolume-mutate", serve(h.mutate))
	mux.Handle("/datavolume-validate", serve(h.validate))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "OK") })
	return mux
}

type admitter func(context.Context, *admissionv1.AdmissionRequest, *DataVolume) *admissionv1.AdmissionResponse

// serve is admissionHandler.ServeHTTP (handler.go).
func serve(admit admitter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
		if err != nil || r.Header.Get("Content-Type") != "application/json" {
			return
		}
		var review admissionv1.AdmissionReview
		if err = json.Unmarshal(body, &review); err == nil && review.Request == nil {
			err = fmt.Errorf("AdmissionReview.Request is nil")
		}
		dv := &DataVolume{}
		if err == nil {
			err = json.Unmarshal(review.Request.Object.Raw, dv)
		}
		if err != nil {
			review.Response = refusedFor(err)
		} else {
			review.Response = admit(r.Context(), review.Request, dv)
		}
		if review.Request != nil {
			review.Response.UID = review.Request.UID
			log.Printf("%s %s %s/%s by %s: allowed %v, %v", r.URL.Path, review.Request.Operation,
				review.Request.Namespace, review.Request.Name, review.Request.UserInfo.Username,
				review.Response.Allowed, review.Response.Result)
		}
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	})
}

func refusedFor(err error) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{
		Result: &metav1.Status{Message: err.Error(), Code: http.StatusBadRequest}}
}

func refused(kind metav1.CauseType, field, message string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		// toRejectedAdmissionResponse puts a blank before each cause's message.
		Message: " " + message, Code: http.StatusUnprocessableEntity,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{
			{Type: kind, Message: message, Field: field}}}}}
}

func allowed() *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// mutate is dataVolumeMutatingWebhook.Admit (datavolume-mutate.go) with AuthorizeUser
// (staging/src/kubevirt.io/containerized-data-importer-api/pkg/apis/core/v1beta1/authorize.go).
func (h *admission) mutate(ctx context.Context, request *admissionv1.AdmissionRequest,
	dv *DataVolume) *admissionv1.AdmissionResponse {
	if dv.DeletionTimestamp != nil {
		return allowed()
	}
	if dv.Namespace == "" {
		dv.Namespace = request.Namespace
	}
	target := dv.Name
	if target == "" {
		target = request.Name
	}
	source, err := dv.source()
	if err != nil {
		return allowed() // not a clone: nothing to authorise
	}
	_, prePopulated := dv.Annotations[annPrePopulated]
	_, static := dv.Annotations[annCheckStaticVolume]
	noTokenOkay := prePopulated || static

	namespace, err := get[corev1.Namespace](ctx, h.api, namespaces, "", source.namespace)
	if err == nil && namespace == nil {
		if noTokenOkay {
			return allowed()
		}
		err = fmt.Errorf("namespaces %q not found", source.namespace)
	}
	if err != nil {
		return refusedFor(err)
	}
	may, err := h.mayClone(ctx, request, source, dv.Namespace)
	if err != nil {
		return refusedFor(err)
	}
	if !may {
		if noTokenOkay {
			return allowed()
		}
		return refused(metav1.CauseTypeFieldValueInvalid, "spec.source.PVC.namespace", fmt.Sprintf(
			"User %s has insufficient permissions in clone source namespace %s",
			request.UserInfo.Username, source.namespace))
	}
	// A token is added at create time only; on update the webhook merely asks again.
	if request.Operation != admissionv1.Create {
		return allowed()
	}
	token, err := h.signer.sign(shortIssuer, shortLifetime, payload{Operation: "Clone",
		Name: source.name, Namespace: source.namespace, Resource: source.tokenResource(),
		Params: map[string]string{"targetNamespace": dv.Namespace, "targetName": target}})
	if err != nil {
		return refusedFor(err)
	}
	return withAnnotation(dv, annCloneToken, token)
}

// withAnnotation replaces whatever token the user brought along.
func withAnnotation(dv *DataVolume, key, value string) *admissionv1.AdmissionResponse {
	annotations := map[string]string{}
	for k, v := range dv.Annotations {
		annotations[k] = v
	}
	annotations[key] = value
	patch, err := json.Marshal([]map[string]any{
		{"op": "add", "path": "/metadata/annotations", "value": annotations}})
	if err != nil {
		return refusedFor(err)
	}
	kind := admissionv1.PatchTypeJSONPatch
	return &admissionv1.AdmissionResponse{Allowed: true, Patch: patch, PatchType: &kind}
}

// mayClone asks for the requesting user, groups and extra passed on (authorize_utils.go).
func (h *admission) mayClone(ctx context.Context, request *admissionv1.AdmissionRequest,
	source sourceRef, targetNamespace string) (bool, error) {
	if source.namespace == targetNamespace {
		return true, nil
	}
	ask := func(attributes authv1.ResourceAttributes) (bool, error) {
		attributes.Namespace, attributes.Name, attributes.Verb = source.namespace, source.name, "create"
		spec := authv1.SubjectAccessReviewSpec{User: request.UserInfo.Username,
			Groups: request.UserInfo.Groups, ResourceAttributes: &attributes}
		for key, values := range request.UserInfo.Extra {
			if spec.Extra == nil {
				spec.Extra = map[string]authv1.ExtraValue{}
			}
			spec.Extra[key] = authv1.ExtraValue(values)
		}
		return h.review(ctx, &authv1.SubjectAccessReview{Spec: spec})
	}
	may, err := ask(authv1.ResourceAttributes{Group: group, Resource: "datavolumes", Subresource: "source"})
	if may || err != nil {
		return may, err
	}
	// A claim may be cloned by who may create pods there. For a snapshot both "pods" and "pvcs" are
	// wanted, and the latter is no resource's name: only wildcard roles have it
	// (getImplicitResourceAttributesSnapshot).
	implicit := []string{"pods"}
	if source.kind == "VolumeSnapshot" {
		implicit = append(implicit, "pvcs")
	}
	for _, resource := range implicit {
		if may, err = ask(authv1.ResourceAttributes{Resource: resource}); !may || err != nil {
			return false, err
		}
	}
	return true, nil
}

// validate is dataVolumeValidatingWebhook.Admit (datavolume-validate.go).
func (h *admission) validate(ctx context.Context, request *admissionv1.AdmissionRequest,
	dv *DataVolume) *admissionv1.AdmissionResponse {
	if request.Operation == admissionv1.Update {
		old := &DataVolume{}
		if err := json.Unmarshal(request.OldObject.Raw, old); err != nil {
			return refusedFor(err)
		}
		if !apiequality.Semantic.DeepEqual(dv.Spec, old.Spec) || !sameSpec(request) {
			return refused(metav1.CauseTypeFieldValueDuplicate, "DataVolume.Spec",
				"Cannot update DataVolume Spec")
		}
	}
	if request.Operation == admissionv1.Create {
		claim, err := get[corev1.PersistentVolumeClaim](ctx, h.api, claims, dv.Namespace, dv.Name)
		if err != nil {
			return refusedFor(err)
		}
		if claim != nil && claim.Annotations[annPopulatedFor] != dv.Name {
			if owner := metav1.GetControllerOf(claim); owner == nil || owner.Kind != "DataVolume" {
				return refused(metav1.CauseTypeFieldValueDuplicate, "DataVolume.Name",
					fmt.Sprintf("Destination PVC %s/%s already exists", claim.Namespace, claim.Name))
			}
		}
	}
	if field, message := checkSpec(&dv.Spec); message != "" {
		return refused(metav1.CauseTypeFieldValueInvalid, field, message)
	}
	return allowed()
}

// sameSpec also compares what the stand-in's types do not have.
func sameSpec(request *admissionv1.AdmissionRequest) bool {
	var before, after struct {
		Spec map[string]any `json:"spec"`
	}
	decoded := json.NewDecoder(bytes.NewReader(request.OldObject.Raw)).Decode(&before) == nil &&
		json.Unmarshal(request.Object.Raw, &after) == nil
	if !decoded {
		return false
	}
	// Quantities that are written in another way are equal; checked through the types.
	for _, part := range []string{"pvc", "storage"} {
		delete(before.Spec, part)
		delete(after.Spec, part)
	}
	return apiequality.Semantic.DeepEqual(before.Spec, after.Spec)
}

var knownModes = map[corev1.PersistentVolumeAccessMode]bool{corev1.ReadWriteOnce: true,
	corev1.ReadOnlyMany: true, corev1.ReadWriteMany: true, corev1.ReadWriteOncePod: true}

// checkSpec is validateDataVolumeSpec for clones: the first mistake only, as there.
func checkSpec(spec *DataVolumeSpec) (field, message string) {
	if spec.PVC == nil && spec.Storage == nil {
		return "spec.PVC", "Missing Data volume PVC"
	}
	if spec.PVC != nil && spec.Storage != nil {
		return "spec.PVC.Storage",
			"Duplicate storage definition, both target storage and target pvc defined"
	}
	if field, message := checkSize(spec); message != "" {
		return field, message
	}
	if spec.PVC != nil {
		modes := spec.PVC.AccessModes
		switch {
		case len(modes) == 0:
			return "spec.PVC.accessModes", "Required value: at least 1 access mode is required"
		case len(modes) > 1:
			return "spec.PVC.accessModes", "PVC multiple accessModes"
		case !knownModes[modes[0]]:
			return "spec.PVC.accessModes", fmt.Sprintf(`Unsupported value: "%s": supported values: `+
				`"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`, modes[0])
		}
	} else {
		for _, mode := range spec.Storage.AccessModes {
			if !knownModes[mode] {
				return "spec.PVC.accessModes", fmt.Sprintf(`Unsupported value: "%s": supported values: `+
					`"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`,
					spec.Storage.AccessModes[0])
			}
		}
	}
	if spec.Source == nil {
		return "spec.source",
			"Data volume should have either Source or SourceRef, or be externally populated"
	}
	if spec.Source.PVC == nil && spec.Source.Snapshot == nil {
		return "spec.source", "Missing Data volume source"
	}
	if spec.Source.PVC != nil && spec.Source.Snapshot != nil {
		return "spec.source", "Multiple Data volume sources"
	}
	if t := spec.ContentType; t != "" && t != "kubevirt" && t != "archive" {
		return "spec.contentType", "ContentType not one of: kubevirt, archive"
	}
	if s := spec.Source.PVC; s != nil && (s.Namespace == "" || s.Name == "") {
		return "spec.source.PVC", "spec.source.PVC source PVC is not valid"
	}
	if s := spec.Source.Snapshot; s != nil && (s.Namespace == "" || s.Name == "") {
		return "spec.source.Snapshot", "spec.source.Snapshot source snapshot is not valid"
	}
	return "", ""
}

// checkSize is validateStorageSize: a size may be left out only in `storage` of a clone.
func checkSize(spec *DataVolumeSpec) (field, message string) {
	name, resources := "PVC", corev1.VolumeResourceRequirements{}
	if spec.PVC != nil {
		resources = spec.PVC.Resources
	} else {
		name, resources = "Storage", spec.Storage.Resources
	}
	field = "spec." + name + ".resources.requests.size"
	size, given := resources.Requests[corev1.ResourceStorage]
	isClone := spec.Source != nil && (spec.Source.PVC != nil || spec.Source.Snapshot != nil)
	switch {
	case !given && (spec.Storage == nil || !isClone):
		return field, name + " size is missing"
	case given && size.Sign() <= 0:
		return field, name + " size can't be equal or less than zero"
	case given && size.Value() < 1<<20:
		return field, name + " size should be at least 1MiB"
	}
	return "", ""
}
