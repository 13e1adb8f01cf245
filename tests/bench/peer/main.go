// The same admission as wukong-webhook, written as a Go team would write it today: controller-runtime,
// typed objects, field.ErrorList, informers for classes. It exists to be measured against and is no
// part of the product: there is no stamp, no ClonePolicy and no rotation of certificates, all of
// which would only make it slower.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

type handler struct {
	decoder admission.Decoder
	facts   *facts
	mutate  bool
}

func (h *handler) Handle(ctx context.Context, r admission.Request) admission.Response {
	if r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
		return admission.Allowed("")
	}
	w, old := &Wukong{}, &Wukong{}
	if err := h.decoder.Decode(r, w); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	var found errs
	var warnings []string
	if r.Operation == admissionv1.Update {
		if err := h.decoder.DecodeRaw(r.OldObject, old); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		found, warnings = ValidateUpdate(old, w)
	} else {
		found, warnings = Validate(w)
		if denied, err := h.source(ctx, r, w, &found, &warnings); err != nil {
			return admission.Errored(http.StatusServiceUnavailable, err).WithWarnings(warnings...)
		} else if denied {
			return admission.Denied("user \"" + r.UserInfo.Username + "\" may not clone from that namespace").WithWarnings(warnings...)
		}
	}
	if len(found) > 0 {
		status := apierrors.NewInvalid(schema.GroupKind{Group: groupVersion.Group, Kind: "Wukong"}, r.Name, found)
		response := admission.Denied("")
		response.Result = &status.ErrStatus
		return response.WithWarnings(warnings...)
	}
	if h.mutate {
		return h.patch(r, w, old).WithWarnings(warnings...)
	}
	return admission.Allowed("").WithWarnings(warnings...)
}

// source judges a source that can be named at all.
func (h *handler) source(ctx context.Context, r admission.Request, w *Wukong, found *errs, warnings *[]string) (denied bool, err error) {
	c := w.Spec.CloneSource
	if c == nil || (c.Type != "vm" && c.Type != "vmi") || (c.VMName == nil && c.VMIName == nil) {
		return false, nil
	}
	name, ns := valueOr(c.VMIName, valueOr(c.VMName, "")), valueOr(c.Namespace, r.Namespace)
	if len(subdomain(nil, &name, "")) > 0 || len(label(nil, &ns, "")) > 0 {
		return false, nil
	}
	if ns != r.Namespace {
		if allowed, err := h.facts.mayClone(ctx, r.UserInfo, ns, name); err != nil || !allowed {
			return err == nil, err
		}
	}
	*found, *warnings, err = h.facts.judge(ctx, w, ns, *found, *warnings)
	return false, err
}

func (h *handler) patch(r admission.Request, w, old *Wukong) admission.Response {
	c := w.Spec.CloneSource
	if c == nil {
		return admission.Allowed("")
	}
	if o := old.Spec.CloneSource; o != nil {
		c.CloneType = orDefault(c.CloneType, o.CloneType)
		if c.Namespace == nil {
			c.Namespace = o.Namespace
		}
	} else {
		c.CloneType = effectiveType(c)
		if c.Namespace == nil {
			c.Namespace = &r.Namespace
		}
	}
	changed, err := json.Marshal(w)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(r.Object.Raw, changed)
}

func main() {
	port := flag.Int("port", 9443, "TLS port")
	certs := flag.String("cert-dir", "", "folder with tls.crt and tls.key")
	probes := flag.String("health", "127.0.0.1:8081", "address of /readyz")
	cacheSources := flag.Bool("cache-sources", false, "read VMs, VMIs and PVCs through informers, controller-runtime's default")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	log := ctrl.Log.WithName("peer")

	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	scheme.AddKnownTypes(groupVersion, &Wukong{})
	manager, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:                 scheme,
		Metrics:                server.Options{BindAddress: "0"},
		HealthProbeBindAddress: *probes,
		WebhookServer:          webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: *port, CertDir: *certs}),
		Client:                 client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		log.Error(err, "manager")
		os.Exit(1)
	}
	f := &facts{cached: manager.GetCache(), source: manager.GetAPIReader(), access: manager.GetClient()}
	ctx := ctrl.SetupSignalHandler()
	watched := []client.Object{&storagev1.StorageClass{}, &storagev1.CSIDriver{}, unstructuredOf(snapshotClassKind)}
	if *cacheSources {
		f.source = manager.GetClient()
		watched = append(watched, unstructuredOf(vmKind), unstructuredOf(vmiKind), &corev1.PersistentVolumeClaim{})
	}
	for _, o := range watched {
		if _, err := manager.GetCache().GetInformer(ctx, o); err != nil {
			log.Error(err, "informer")
			os.Exit(1)
		}
	}
	decoder := admission.NewDecoder(scheme)
	for path, mutate := range map[string]bool{"/mutate": true, "/validate": false} {
		manager.GetWebhookServer().Register(path, &webhook.Admission{Handler: &handler{decoder, f, mutate}})
	}
	_ = manager.AddReadyzCheck("webhook", manager.GetWebhookServer().StartedChecker())
	_ = manager.AddReadyzCheck("caches", func(r *http.Request) error {
		if !manager.GetCache().WaitForCacheSync(r.Context()) {
			return http.ErrServerClosed
		}
		return nil
	})
	_ = manager.AddHealthzCheck("ping", healthz.Ping)
	if err := manager.Start(ctx); err != nil {
		log.Error(err, "start")
		os.Exit(1)
	}
}
