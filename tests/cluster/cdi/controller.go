package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// controller is cdi-deployment: it watches in order to know when to look, and looks at live objects.
type controller struct {
	api    *api
	signer *signer
	copier *copier
	// data are the folders of the CSI drivers, state is our own.
	data  []string
	state string

	queue   workqueue.TypedRateLimitingInterface[key]
	volumes cache.SharedIndexInformer
	claims  cache.SharedIndexInformer
}

type key struct{ kind, namespace, name string }

const (
	volumeKey  = "DataVolume"
	claimKey   = "PersistentVolumeClaim"
	profileKey = "StorageProfile"
)

const workers = 4

func newController(a *api, s *signer, data []string, state string) *controller {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[key](50*time.Millisecond, 15*time.Second)
	return &controller{api: a, signer: s, copier: newCopier(), data: data, state: state,
		queue: workqueue.NewTypedRateLimitingQueue[key](limiter)}
}

// faults are what a test asks for in STATE/faults.json, read anew each time.
type faults struct {
	// ErrorIn and HoldIn name a step (SnapshotClone, CSIClone, HostClone, PrepClaim, Rebind, Snapshot):
	// it fails each time; it is never done.
	ErrorIn string `json:"errorIn"`
	HoldIn  string `json:"holdIn"`
	// CopyMS is how long a byte copy takes at least.
	CopyMS int `json:"copyMs"`
}

func (c *controller) faults() (faults, error) {
	var f faults
	data, err := os.ReadFile(filepath.Join(c.state, "faults.json"))
	if err != nil {
		return f, nil
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("faults.json: %w", err)
	}
	return f, nil
}

func (c *controller) findFile(handle string) (string, error) {
	for _, folder := range c.data {
		path := filepath.Join(folder, "volumes", handle+".img")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no file of volume %s in %s", handle, strings.Join(c.data, ", "))
}

func (c *controller) run(ctx context.Context) error {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(c.api.client, 0)
	watch := func(gvr schema.GroupVersionResource, react func(*unstructured.Unstructured)) cache.SharedIndexInformer {
		informer := factory.ForResource(gvr).Informer()
		see := func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if u, ok := object.(*unstructured.Unstructured); ok {
				react(u)
			}
		}
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: see,
			UpdateFunc: func(_, now any) { see(now) }, DeleteFunc: see})
		if err != nil {
			log.Fatal(err) // only when the informer has ended
		}
		return informer
	}
	profile := func(u *unstructured.Unstructured) { c.queue.Add(key{profileKey, "", u.GetName()}) }
	c.volumes = watch(dataVolumes, func(u *unstructured.Unstructured) {
		c.queue.Add(key{volumeKey, u.GetNamespace(), u.GetName()})
		c.queue.Add(key{claimKey, u.GetNamespace(), u.GetName()})
	})
	c.claims = watch(claims, c.seenSource)
	watch(snapshots, c.seenSource)
	classes := watch(storageClasses, profile)
	watch(storageProfiles, profile)
	watch(snapshotClasses, func(*unstructured.Unstructured) {
		for _, name := range classes.GetStore().ListKeys() {
			c.queue.Add(key{profileKey, "", name})
		}
	})
	factory.Start(ctx.Done())
	for gvr, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%s could not be listed", gvr.Resource)
		}
	}
	for range workers {
		go func() {
			for c.work(ctx) {
			}
		}()
	}
	<-ctx.Done()
	c.queue.ShutDown()
	return nil
}

// seenSource wakes whom a claim or a snapshot concerns: the target claim that it is a temporary object
// of, its own DataVolume, and those that are cloned from it.
func (c *controller) seenSource(u *unstructured.Unstructured) {
	if owner := u.GetLabels()[labelOwner]; owner != "" {
		for _, object := range c.claims.GetStore().List() {
			if claim := object.(*unstructured.Unstructured); string(claim.GetUID()) == owner {
				c.queue.Add(key{claimKey, claim.GetNamespace(), claim.GetName()})
			}
		}
		return
	}
	if u.GetKind() == "PersistentVolumeClaim" {
		if owner := metav1.GetControllerOf(u); owner != nil && owner.Kind == "DataVolume" {
			c.queue.Add(key{volumeKey, u.GetNamespace(), owner.Name})
			c.queue.Add(key{claimKey, u.GetNamespace(), u.GetName()})
		}
	}
	for _, object := range c.volumes.GetStore().List() {
		dv, err := decode[DataVolume](object.(*unstructured.Unstructured))
		if err != nil || dv.Status.Phase == phaseSucceeded {
			continue
		}
		s, err := dv.source()
		if err == nil && s.kind == u.GetKind() && s.namespace == u.GetNamespace() && s.name == u.GetName() {
			c.queue.Add(key{volumeKey, dv.Namespace, dv.Name})
			c.queue.Add(key{claimKey, dv.Namespace, dv.Name})
		}
	}
}

func (c *controller) work(ctx context.Context) bool {
	k, quit := c.queue.Get()
	if quit {
		return false
	}
	defer c.queue.Done(k)
	again, err := c.reconcile(ctx, k)
	switch {
	case apierrors.IsConflict(err):
		// The object changed while we looked: look again.
		c.queue.AddAfter(k, 20*time.Millisecond)
	case err != nil:
		log.Printf("%s %s/%s: %v", k.kind, k.namespace, k.name, err)
		c.queue.AddRateLimited(k)
	default:
		c.queue.Forget(k)
		if again > 0 {
			c.queue.AddAfter(k, again)
		}
	}
	return true
}

func (c *controller) reconcile(ctx context.Context, k key) (time.Duration, error) {
	switch k.kind {
	case volumeKey:
		return c.reconcileVolume(ctx, k.namespace, k.name)
	case claimKey:
		return c.reconcileClaim(ctx, k.namespace, k.name)
	}
	return 0, c.reconcileProfile(ctx, k.name)
}
