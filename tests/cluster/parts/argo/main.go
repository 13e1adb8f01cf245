// argo-sync does to a folder of manifests what Argo CD's application controller does to an
// Application with automated sync: the engine is Argo CD's own (gitops-engine, as Argo CD 3.2 pins
// it). It tracks by annotation, dry-runs, applies wave by wave, prunes, judges health with the script
// that argocd-cm would hold, and compares again.
//
// usage: argo-sync --kubeconfig F --namespace N --folder DIR --health LUA [--prune] [--server-side]
//
// Prints one JSON object; exits 1 when the sync did not succeed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Argo CD's own name and form: <app>:<group>/<kind>:<namespace>/<name>
// (argo-cd util/argo/resource_tracking.go). Annotations are the default since Argo CD 3.0.
const trackingAnnotation = "argocd.argoproj.io/tracking-id"

// The field manager of Argo CD's server-side applies (argo-cd common/common.go).
const manager = "argocd-controller"

type answer struct {
	Error   string                         `json:"error,omitempty"`
	Results map[string]string              `json:"results"`
	Drift   map[string]string              `json:"drift"`
	Health  map[string]health.HealthStatus `json:"health"`
}

type options struct {
	namespace, folder   string
	prune, serverSide   bool
	application, script string
}

func name(key kube.ResourceKey) string { return key.Kind + "/" + key.Name }

func (o *options) read() ([]*unstructured.Unstructured, error) {
	var found []*unstructured.Unstructured
	paths, err := filepath.Glob(filepath.Join(o.folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		items, err := kube.SplitYAML(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, items...)
	}
	for _, item := range found {
		annotations := item.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[trackingAnnotation] = fmt.Sprintf("%s:%s/%s:%s/%s", o.application,
			item.GroupVersionKind().Group, item.GetKind(), o.namespace, item.GetName())
		item.SetAnnotations(annotations)
	}
	return found, nil
}

// The id names the object that carries it: what KubeVirt or the worker copied elsewhere is not ours.
func (o *options) manages(r *cache.Resource) bool {
	key := r.ResourceKey()
	id, _ := r.Info.(string)
	return id == fmt.Sprintf("%s:%s/%s:%s/%s", o.application, key.Group, key.Kind, key.Namespace, key.Name)
}

// What Argo CD shows as OutOfSync: by its own comparison, or by the API server's dry run with the
// answers of mutating webhooks counted in (ServerSideDiff=true,IncludeMutationWebhook=true).
func (o *options) drift(config *rest.Config, clusters cache.ClusterCache, targets []*unstructured.Unstructured) (map[string]string, error) {
	live, err := clusters.GetManagedLiveObjs(targets, o.manages)
	if err != nil {
		return nil, err
	}
	result := sync.Reconcile(targets, live, o.namespace, clusters)
	drift := map[string]string{}
	applier, cleanup, err := kube.ManageServerSideDiffDryRuns(config, clusters.GetOpenAPISchema(),
		tracing.NopTracer{}, logr.Discard(), nil)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	compare := map[string][]diff.Option{"client": {diff.WithLogr(logr.Discard())}}
	if o.serverSide {
		compare["server"] = []diff.Option{diff.WithLogr(logr.Discard()), diff.WithServerSideDiff(true),
			diff.WithIgnoreMutationWebhook(false), diff.WithManager(manager),
			diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier))}
	}
	for way, how := range compare {
		for i, target := range result.Target {
			key := kube.GetResourceKey(first(target, result.Live[i]))
			if target == nil || result.Live[i] == nil {
				drift[way+" "+name(key)] = "only in one place"
				continue
			}
			found, err := diff.Diff(target, result.Live[i], how...)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name(key), err)
			}
			if found.Modified {
				drift[way+" "+name(key)] = fmt.Sprintf("live %s\nwanted %s", found.NormalizedLive, found.PredictedLive)
			}
		}
	}
	return drift, nil
}

func first(a, b *unstructured.Unstructured) *unstructured.Unstructured {
	if a != nil {
		return a
	}
	return b
}

// An operation as Argo CD's controller runs it (argo-cd controller/sync.go SyncAppState): compared anew
// at each step, with a context that goes on where the last one stood, until its phase is final.
func (o *options) sync(config *rest.Config, clusters cache.ClusterCache, targets []*unstructured.Unstructured, override health.HealthOverride) ([]common.ResourceSyncResult, error) {
	var results []common.ResourceSyncResult
	phase, message, began := common.OperationPhase(""), "", metav1.Now()
	for end := time.Now().Add(2 * time.Minute); !phase.Completed(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			return results, fmt.Errorf("not done after two minutes: %s", message)
		}
		live, err := clusters.GetManagedLiveObjs(targets, o.manages)
		if err != nil {
			return results, err
		}
		state, cleanup, err := sync.NewSyncContext("revision", sync.Reconcile(targets, live, o.namespace, clusters),
			config, config, &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}, o.namespace,
			clusters.GetOpenAPISchema(),
			sync.WithInitialState(phase, message, results, began), sync.WithPrune(o.prune),
			sync.WithHealthOverride(override), sync.WithLogr(logr.Discard()),
			sync.WithServerSideApply(o.serverSide), sync.WithServerSideApplyManager(manager))
		if err != nil {
			return results, err
		}
		state.Sync()
		phase, message, results = state.GetState()
		cleanup()
	}
	if phase != common.OperationSucceeded {
		return results, fmt.Errorf("%s: %s", phase, message)
	}
	return results, nil
}

func (o *options) run(config *rest.Config) (answer, error) {
	ret := answer{Results: map[string]string{}, Health: map[string]health.HealthStatus{}}
	override, err := loadHealth(o.script)
	if err != nil {
		return ret, err
	}
	targets, err := o.read()
	if err != nil {
		return ret, err
	}
	clusters := cache.NewClusterCache(config, cache.SetLogr(logr.Discard()),
		cache.SetNamespaces([]string{o.namespace}),
		cache.SetPopulateResourceInfoHandler(func(un *unstructured.Unstructured, _ bool) (any, bool) {
			id := un.GetAnnotations()[trackingAnnotation]
			return id, id != ""
		}))
	if err := clusters.EnsureSynced(); err != nil {
		return ret, err
	}
	defer clusters.Invalidate()
	results, failed := o.sync(config, clusters, targets, override)
	for _, r := range results {
		ret.Results[name(r.ResourceKey)] = fmt.Sprintf("%s: %s", r.Status, r.Message)
		if r.Status == common.ResultCodeSyncFailed {
			failed = fmt.Errorf("%s: %s", name(r.ResourceKey), r.Message)
		}
	}
	if failed != nil {
		return ret, failed
	}
	// The cache learns of what was applied through its watch; a new one has no such doubt.
	clusters.Invalidate()
	if err := clusters.EnsureSynced(); err != nil {
		return ret, err
	}
	if ret.Drift, err = o.drift(config, clusters, targets); err != nil {
		return ret, err
	}
	live, err := clusters.GetManagedLiveObjs(targets, o.manages)
	if err != nil {
		return ret, err
	}
	for key, object := range live {
		status, err := health.GetResourceHealth(object, override)
		if err != nil {
			return ret, err
		}
		if status != nil {
			ret.Health[name(key)] = *status
		}
	}
	return ret, nil
}

func main() {
	o := options{application: "clones"}
	kubeconfig := flag.String("kubeconfig", "", "credentials")
	flag.StringVar(&o.namespace, "namespace", "", "of the manifests")
	flag.StringVar(&o.folder, "folder", "", "of the manifests")
	flag.StringVar(&o.script, "health", "", "health.lua of the kind Wukong")
	flag.BoolVar(&o.prune, "prune", false, "delete what is no longer in the folder")
	flag.BoolVar(&o.serverSide, "server-side", false, "sync option ServerSideApply, and compare by dry run too")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	var ret answer
	if err == nil {
		// Argo CD's own defaults (argo-cd common/common.go K8sClientConfigQPS and Burst).
		config.QPS, config.Burst = 50, 100
		ret, err = o.run(config)
	}
	if err != nil {
		ret.Error = err.Error()
	}
	encoder := json.NewEncoder(os.Stdout)
	_ = encoder.Encode(ret)
	if err != nil {
		os.Exit(1)
	}
}
