// verify hands every answer of the webhook that the unit tests saw to kube-apiserver's own code: the
// decoder, VerifyAdmissionResponse, the JSON patch library with which mutating/dispatcher.go applies
// patches, ToStatusErr for what the user reads, and the filter that writes warnings into headers.
//
// usage: verify FILE    one judgement per line: {"mutating", "request", "answer"}
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	webhookerrors "k8s.io/apiserver/pkg/admission/plugin/webhook/errors"
	webhookrequest "k8s.io/apiserver/pkg/admission/plugin/webhook/request"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/warning"
)

type line struct {
	Mutating bool   `json:"mutating"`
	Request  string `json:"request"`
	Answer   string `json:"answer"`
}

// What a user is told may not be cut by the API server's limits.
func checkWarnings(warnings []string) error {
	recorder := httptest.NewRecorder()
	handler := filters.WithWarningRecorder(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, text := range warnings {
			warning.AddWarning(r.Context(), "", text)
		}
	}))
	request := httptest.NewRequest(http.MethodPost, "/", nil)
	handler.ServeHTTP(recorder, request)
	sent := recorder.Result().Header.Values("Warning")
	if len(sent) != len(warnings) {
		return fmt.Errorf("of %d warnings %d reach the user", len(warnings), len(sent))
	}
	for i, text := range warnings {
		// A quoted string of RFC 9110 escapes " and \.
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
		if !strings.Contains(sent[i], quoted) {
			return fmt.Errorf("warning %q is sent as %s", text, sent[i])
		}
	}
	return nil
}

// applyPatch is what mutating/dispatcher.go does; a patch that changes nothing should not be there.
func applyPatch(object []byte, patch []byte, kind admissionv1.PatchType) ([]byte, error) {
	if kind != admissionv1.PatchTypeJSONPatch {
		return nil, fmt.Errorf("patchType %q", kind)
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	patched, err := operations.Apply(object)
	if err != nil {
		return nil, err
	}
	var before, after any
	if err := errors.Join(json.Unmarshal(object, &before), json.Unmarshal(patched, &after)); err != nil {
		return nil, err
	}
	if reflect.DeepEqual(before, after) {
		return nil, errors.New("the patch changes nothing")
	}
	return patched, nil
}

func checkDenial(status *metav1.Status) error {
	if status == nil {
		return errors.New("denied without a status")
	}
	message, code := status.Message, status.Code
	told := webhookerrors.ToStatusErr("vwukong.vm.novasphere.dev", status.DeepCopy()).ErrStatus
	if !strings.HasSuffix(told.Message, message) || message == "" || told.Code != code {
		return fmt.Errorf("the user would read %d %q", told.Code, told.Message)
	}
	switch {
	case code == http.StatusUnprocessableEntity:
		if status.Reason != metav1.StatusReasonInvalid || status.Details == nil || len(status.Details.Causes) == 0 {
			return errors.New("422 without causes: kubectl would print no field")
		}
	case code == http.StatusForbidden:
		if status.Reason != metav1.StatusReasonForbidden {
			return fmt.Errorf("403 with reason %q", status.Reason)
		}
	case code == http.StatusServiceUnavailable:
		if status.Reason != metav1.StatusReasonServiceUnavailable {
			return fmt.Errorf("503 with reason %q", status.Reason)
		}
	default:
		return fmt.Errorf("code %d", code)
	}
	return nil
}

// class names what kind of answer it was.
func class(l line, r *webhookrequest.AdmissionResponse) string {
	endpoint := "validating"
	if l.Mutating {
		endpoint = "mutating"
	}
	switch {
	case !r.Allowed:
		return fmt.Sprintf("%s %d", endpoint, r.Result.Code)
	case len(r.Patch) > 0:
		return endpoint + " patched"
	case len(r.Warnings) > 0:
		return endpoint + " allowed with warnings"
	}
	return endpoint + " allowed"
}

func check(decoder runtime.Decoder, l line) (string, error) {
	var asked admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(l.Request), &asked); err != nil {
		return "", err
	}
	review, _, err := decoder.Decode([]byte(l.Answer), nil, nil)
	if err != nil {
		return "", err
	}
	r, err := webhookrequest.VerifyAdmissionResponse(asked.Request.UID, l.Mutating, review)
	if err != nil {
		return "", err
	}
	if !r.Allowed {
		if err := checkDenial(r.Result); err != nil {
			return "", err
		}
	}
	if len(r.Patch) > 0 {
		if _, err := applyPatch(asked.Request.Object.Raw, r.Patch, r.PatchType); err != nil {
			return "", err
		}
	}
	for key := range r.AuditAnnotations {
		// webhook/validating/dispatcher.go adds the name of the webhook.
		if wrong := validation.IsQualifiedName("vwukong.vm.novasphere.dev/" + key); len(wrong) > 0 {
			return "", fmt.Errorf("audit annotation %q: %v", key, wrong)
		}
	}
	return class(l, r), checkWarnings(r.Warnings)
}

// Each class of answer must have been among those that were checked.
var wanted = []string{
	"mutating allowed", "mutating allowed with warnings", "mutating patched", "mutating 422", "mutating 403",
	"mutating 503", "validating allowed", "validating allowed with warnings", "validating 422", "validating 403",
	"validating 503",
}

func run(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	scheme := runtime.NewScheme()
	if err := admissionv1.AddToScheme(scheme); err != nil {
		return err
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	lines, seen := bufio.NewScanner(file), map[string]int{}
	lines.Buffer(nil, 64<<20)
	count := 0
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		found, err := check(decoder, l)
		if err != nil {
			return fmt.Errorf("%w\nmutating: %v\nrequest: %s\nanswer: %s", err, l.Mutating, l.Request, l.Answer)
		}
		seen[found]++
		count++
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for _, name := range wanted {
		fmt.Printf("%6d %s\n", seen[name], name)
		if seen[name] == 0 {
			return fmt.Errorf("no answer of class %q was recorded", name)
		}
	}
	fmt.Printf("verify: %d answers pass kube-apiserver's verification\n", count)
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: verify FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}
