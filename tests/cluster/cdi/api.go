package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// api is the cluster as the stand-in sees it: always the live object, never a cache, so that no rule
// has to reckon with old news.
type api struct {
	client dynamic.Interface
	// emitted maps what an Event says to the name of the object that says it.
	mutex   sync.Mutex
	emitted map[string]string
}

func newAPI(client dynamic.Interface) *api {
	return &api{client: client, emitted: map[string]string{}}
}

func (a *api) of(gvr schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return a.client.Resource(gvr)
	}
	return a.client.Resource(gvr).Namespace(namespace)
}

func decode[T any](from *unstructured.Unstructured) (*T, error) {
	into := new(T)
	return into, runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, into)
}

// get returns nil without an error for what does not exist, or whose kind is not served.
func get[T any](ctx context.Context, a *api, gvr schema.GroupVersionResource, namespace, name string) (
	*T, error) {
	found, err := a.of(gvr, namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decode[T](found)
}

func list[T any](ctx context.Context, a *api, gvr schema.GroupVersionResource, namespace string,
	options metav1.ListOptions) ([]*T, error) {
	found, err := a.of(gvr, namespace).List(ctx, options)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*T
	for i := range found.Items {
		one, err := decode[T](&found.Items[i])
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func create[T any](ctx context.Context, a *api, gvr schema.GroupVersionResource, namespace string,
	object *T) (*T, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	// The server refuses neither, but a status and a null time are not ours to send.
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	made, err := a.of(gvr, namespace).Create(ctx, &unstructured.Unstructured{Object: content},
		metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return decode[T](made)
}

// patch sends a merge patch that is refused if the object changed since it was read.
func (a *api) patch(ctx context.Context, gvr schema.GroupVersionResource, meta *metav1.ObjectMeta,
	change map[string]any, subresources ...string) error {
	metadata, _ := change["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		change["metadata"] = metadata
	}
	metadata["resourceVersion"] = meta.ResourceVersion
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	done, err := a.of(gvr, meta.Namespace).Patch(ctx, meta.Name, types.MergePatchType, body,
		metav1.PatchOptions{}, subresources...)
	if err == nil {
		meta.ResourceVersion = done.GetResourceVersion()
	}
	return err
}

// annotate sets annotations (or removes those whose value is nil) where they differ; it says whether
// it had to write.
func (a *api) annotate(ctx context.Context, gvr schema.GroupVersionResource, meta *metav1.ObjectMeta,
	wanted map[string]*string) (bool, error) {
	change := map[string]any{}
	for key, value := range wanted {
		old, has := meta.Annotations[key]
		if value == nil && has {
			change[key] = nil
		} else if value != nil && (!has || old != *value) {
			change[key] = *value
		}
	}
	if len(change) == 0 {
		return false, nil
	}
	err := a.patch(ctx, gvr, meta, map[string]any{"metadata": map[string]any{"annotations": change}})
	if err != nil {
		return false, err
	}
	if meta.Annotations == nil {
		meta.Annotations = map[string]string{}
	}
	for key, value := range change {
		if value == nil {
			delete(meta.Annotations, key)
		} else {
			meta.Annotations[key] = value.(string)
		}
	}
	return true, nil
}

func (a *api) setFinalizer(ctx context.Context, gvr schema.GroupVersionResource,
	meta *metav1.ObjectMeta, finalizer string, wanted bool) (bool, error) {
	kept, had := []string{}, false
	for _, f := range meta.Finalizers {
		if f == finalizer {
			had = true
		} else {
			kept = append(kept, f)
		}
	}
	if had == wanted {
		return false, nil
	}
	if wanted {
		kept = append(kept, finalizer)
	}
	err := a.patch(ctx, gvr, meta, map[string]any{"metadata": map[string]any{"finalizers": kept}})
	if err == nil {
		meta.Finalizers = kept
	}
	return true, err
}

func (a *api) delete(ctx context.Context, gvr schema.GroupVersionResource, meta *metav1.ObjectMeta) error {
	err := a.of(gvr, meta.Namespace).Delete(ctx, meta.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &meta.UID}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// event tells of an object. What was told before is counted, as client-go's recorder does
// (tools/record/events_cache.go).
func (a *api) event(ctx context.Context, kind, version string, meta *metav1.ObjectMeta,
	component, eventType, reason, message string) {
	key := fmt.Sprint(meta.UID, component, eventType, reason, message)
	now := metav1.Now()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if name, told := a.emitted[key]; told {
		old, err := get[corev1.Event](ctx, a, events, meta.Namespace, name)
		if err == nil && old != nil {
			err = a.patch(ctx, events, &old.ObjectMeta,
				map[string]any{"count": old.Count + 1, "lastTimestamp": now.UTC().Format(time.RFC3339)})
			if err == nil {
				return
			}
		}
	}
	name := fmt.Sprintf("%s.%x", meta.Name, sha256.Sum256([]byte(key+now.String())))[:len(meta.Name)+17]
	_, err := create(ctx, a, events, meta.Namespace, &corev1.Event{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{Namespace: meta.Namespace, Name: name},
		InvolvedObject: corev1.ObjectReference{APIVersion: version, Kind: kind,
			Namespace: meta.Namespace, Name: meta.Name, UID: meta.UID,
			ResourceVersion: meta.ResourceVersion},
		Source: corev1.EventSource{Component: component}, Type: eventType, Reason: reason,
		Message: message, Count: 1, FirstTimestamp: now, LastTimestamp: now})
	if err != nil {
		log.Printf("event %s about %s/%s: %v", reason, meta.Namespace, meta.Name, err)
		return
	}
	a.emitted[key] = name
}

func (a *api) claimEvent(ctx context.Context, claim *corev1.PersistentVolumeClaim, eventType, reason,
	message string) {
	a.event(ctx, "PersistentVolumeClaim", "v1", &claim.ObjectMeta, "clone-populator", eventType, reason,
		message)
}

func (a *api) volumeEvent(ctx context.Context, dv *DataVolume, eventType, reason, message string) {
	component := "datavolume-pvc-clone-controller"
	if dv.Spec.Source != nil && dv.Spec.Source.Snapshot != nil {
		component = "datavolume-snapshot-clone-controller"
	}
	a.event(ctx, "DataVolume", group+"/v1beta1", &dv.ObjectMeta, component, eventType, reason, message)
}
