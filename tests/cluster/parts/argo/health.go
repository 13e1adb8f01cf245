package main

import (
	"os"

	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	script "wukong.novasphere.dev/tests/chart/health"
)

// healthScript judges the kind Wukong by a script, as argocd-cm would have it; other kinds are left to
// the engine.
type healthScript string

func loadHealth(path string) (healthScript, error) {
	text, err := os.ReadFile(path)
	return healthScript(text), err
}

func (s healthScript) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	if object.GetKind() != "Wukong" {
		return nil, nil
	}
	state, message, err := script.Run(string(s), object.Object)
	if err != nil {
		return nil, err
	}
	return &health.HealthStatus{Status: health.HealthStatusCode(state), Message: message}, nil
}
