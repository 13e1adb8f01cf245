// kube-apiserver and kube-controller-manager in one binary, so that their common 100 MB is linked once.
// argv[0] decides which of the two this process is, like in Kubernetes' former hyperkube.
//
// The two branches are the main functions of cmd/kube-apiserver/apiserver.go and
// cmd/kube-controller-manager/controller-manager.go.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	default:
		fmt.Fprintf(os.Stderr, "%s: call it kube-apiserver or kube-controller-manager\n", name)
		os.Exit(2)
	}
}
