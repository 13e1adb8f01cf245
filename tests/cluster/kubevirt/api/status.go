package api

import (
	"fmt"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

const mostCauses = 10

// invalidStatus is the 422 of an admission refusal: all messages in one, and each with its field.
func invalidStatus(causes rules.Causes) metav1.Status {
	shown := causes[:min(len(causes), mostCauses)]
	messages := make([]string, 0, len(shown))
	for _, cause := range shown {
		messages = append(messages, cause.Message)
	}
	text := strings.Join(messages, ", ")
	if rest := len(causes) - len(shown); rest > 0 {
		text = fmt.Sprintf("%s, and %v more validation errors", text, rest)
	}
	return metav1.Status{Message: text, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity,
		Details: &metav1.StatusDetails{Causes: shown}}
}
