// Package control is what virt-controller, virt-handler and virt-launcher do: machines from their
// specs, guests, snapshots.
package control

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

func gvr(group, version, resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
}

// The resources that the stand-in reads and writes.
var (
	VMs               = gvr("kubevirt.io", "v1", "virtualmachines")
	VMIs              = gvr("kubevirt.io", "v1", "virtualmachineinstances")
	Snapshots         = gvr("snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshots")
	Contents          = gvr("snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshotcontents")
	Claims            = gvr("", "v1", "persistentvolumeclaims")
	Volumes           = gvr("", "v1", "persistentvolumes")
	Events            = gvr("", "v1", "events")
	StorageClasses    = gvr("storage.k8s.io", "v1", "storageclasses")
	VolumeSnapshots   = gvr("snapshot.storage.k8s.io", "v1", "volumesnapshots")
	SnapshotClasses   = gvr("snapshot.storage.k8s.io", "v1", "volumesnapshotclasses")
	Revisions         = gvr("apps", "v1", "controllerrevisions")
	AccessReviews     = gvr("authorization.k8s.io", "v1", "subjectaccessreviews")
	DataVolumes       = gvr("cdi.kubevirt.io", "v1beta1", "datavolumes")
	StorageProfiles   = gvr("cdi.kubevirt.io", "v1beta1", "storageprofiles")
	watched           = []schema.GroupVersionResource{VMs, VMIs, Snapshots, Contents, Claims, StorageClasses, VolumeSnapshots, SnapshotClasses}
	instancetypeGroup = "instancetype.kubevirt.io"
)

// Controller is the user in whose name KubeVirt's controllers act; its calls of the subresources are
// recorded under it.
const Controller = "system:serviceaccount:kubevirt:kubevirt-controller"

// Cluster is the API server as the stand-in sees it. Two clients, because field managers are named
// after the program: virt-controller's writes and virt-api's.
type Cluster struct {
	Dyn, API dynamic.Interface
	informer map[schema.GroupVersionResource]cache.SharedIndexInformer
	factory  dynamicinformer.DynamicSharedInformerFactory

	eventsMu sync.Mutex
	events   map[string]*eventSeen
}

// Connect makes the clients and the caches; Start runs the caches.
func Connect(config *rest.Config) (*Cluster, error) {
	c := &Cluster{informer: map[schema.GroupVersionResource]cache.SharedIndexInformer{},
		events: map[string]*eventSeen{}}
	var err error
	for name, into := range map[string]*dynamic.Interface{"virt-controller": &c.Dyn, "virt-api": &c.API} {
		own := rest.CopyConfig(config)
		own.UserAgent = name + "/standin"
		own.QPS, own.Burst = 400, 800
		if *into, err = dynamic.NewForConfig(own); err != nil {
			return nil, err
		}
	}
	c.factory = dynamicinformer.NewDynamicSharedInformerFactory(c.Dyn, 0)
	for _, r := range watched {
		c.informer[r] = c.factory.ForResource(r).Informer()
	}
	return c, nil
}

// Start fills the caches.
func (c *Cluster) Start(ctx context.Context) error {
	c.factory.Start(ctx.Done())
	for r, synced := range c.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("no list of %s", r.Resource)
		}
	}
	return nil
}

// On calls f for every object of a resource that appears, changes or goes.
func (c *Cluster) On(r schema.GroupVersionResource, f func(o obj.M)) {
	handle := func(x any) {
		if gone, ok := x.(cache.DeletedFinalStateUnknown); ok {
			x = gone.Obj
		}
		if u, ok := x.(*unstructured.Unstructured); ok {
			f(u.Object)
		}
	}
	_, _ = c.informer[r].AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: handle, UpdateFunc: func(_, x any) { handle(x) }, DeleteFunc: handle})
}

// Cached lists a resource from the cache; namespace "" means all. The objects are shared: read only.
func (c *Cluster) Cached(r schema.GroupVersionResource, namespace string) []obj.M {
	var out []obj.M
	for _, x := range c.informer[r].GetStore().List() {
		u := x.(*unstructured.Unstructured)
		if namespace == "" || u.GetNamespace() == namespace {
			out = append(out, u.Object)
		}
	}
	return out
}

// CachedOne finds an object in the cache; nil when it is not there.
func (c *Cluster) CachedOne(r schema.GroupVersionResource, namespace, name string) obj.M {
	key := name
	if namespace != "" {
		key = namespace + "/" + name
	}
	x, there, _ := c.informer[r].GetStore().GetByKey(key)
	if !there {
		return nil
	}
	return x.(*unstructured.Unstructured).Object
}

// Get reads from the server; nil without error when the object, or its whole kind, is not there.
func (c *Cluster) Get(ctx context.Context, r schema.GroupVersionResource, namespace, name string) (obj.M, error) {
	u, err := c.Dyn.Resource(r).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return u.Object, nil
}

// Create posts an object.
func (c *Cluster) Create(ctx context.Context, r schema.GroupVersionResource, o obj.M) (obj.M, error) {
	u, err := c.Dyn.Resource(r).Namespace(obj.Str(o, "metadata", "namespace")).Create(ctx,
		&unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return u.Object, nil
}

// Update replaces an object; a stale one conflicts.
func (c *Cluster) Update(ctx context.Context, r schema.GroupVersionResource, o obj.M) (obj.M, error) {
	u, err := c.Dyn.Resource(r).Namespace(obj.Str(o, "metadata", "namespace")).Update(ctx,
		&unstructured.Unstructured{Object: o}, metav1.UpdateOptions{})
	if err != nil {
		return nil, err
	}
	return u.Object, nil
}

// UpdateStatus replaces an object's status.
func (c *Cluster) UpdateStatus(ctx context.Context, r schema.GroupVersionResource, o obj.M) (obj.M, error) {
	u, err := c.Dyn.Resource(r).Namespace(obj.Str(o, "metadata", "namespace")).UpdateStatus(ctx,
		&unstructured.Unstructured{Object: o}, metav1.UpdateOptions{})
	if err != nil {
		return nil, err
	}
	return u.Object, nil
}

// Patch merges into an object.
func (c *Cluster) Patch(ctx context.Context, r schema.GroupVersionResource, namespace, name, body string) error {
	_, err := c.Dyn.Resource(r).Namespace(namespace).Patch(ctx, name, types.MergePatchType, []byte(body),
		metav1.PatchOptions{})
	return err
}

// Delete removes an object if it is still the one with this UID.
func (c *Cluster) Delete(ctx context.Context, r schema.GroupVersionResource, o obj.M) error {
	uid := types.UID(obj.Str(o, "metadata", "uid"))
	err := c.Dyn.Resource(r).Namespace(obj.Str(o, "metadata", "namespace")).Delete(ctx,
		obj.Str(o, "metadata", "name"), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// SetFinalizer adds or removes one finalizer, on condition that nobody else changed the list.
func (c *Cluster) SetFinalizer(ctx context.Context, r schema.GroupVersionResource, o obj.M, name string, there bool) (obj.M, error) {
	list := obj.Strings(o, "metadata", "finalizers")
	kept := []any{}
	have := false
	for _, f := range list {
		have = have || f == name
		if f != name || there {
			kept = append(kept, f)
		}
	}
	if have == there {
		return o, nil
	}
	if there {
		kept = append(kept, name)
	}
	changed := obj.Copy(o)
	obj.Set(changed, kept, "metadata", "finalizers")
	return c.Update(ctx, r, changed)
}

// HasFinalizer says whether the object bears it.
func HasFinalizer(o obj.M, name string) bool {
	for _, f := range obj.Strings(o, "metadata", "finalizers") {
		if f == name {
			return true
		}
	}
	return false
}

// Owner is an owner reference to a controller.
func Owner(apiVersion, kind string, o obj.M) obj.M {
	return obj.M{"apiVersion": apiVersion, "kind": kind, "name": obj.Str(o, "metadata", "name"),
		"uid": obj.Str(o, "metadata", "uid"), "controller": true, "blockOwnerDeletion": true}
}

// ControlledBy says whether owner is o's controller.
func ControlledBy(o, owner obj.M) bool {
	for _, ref := range obj.List(o, "metadata", "ownerReferences") {
		if obj.Bool(ref, "controller") && obj.Str(ref, "uid") == obj.Str(owner, "metadata", "uid") {
			return true
		}
	}
	return false
}

// Key is namespace/name.
func Key(o obj.M) string {
	return obj.Str(o, "metadata", "namespace") + "/" + obj.Str(o, "metadata", "name")
}

// SplitKey undoes Key.
func SplitKey(key string) (namespace, name string) {
	namespace, name, _ = strings.Cut(key, "/")
	return
}

// Now is the time as Kubernetes writes it.
func Now() string { return time.Now().UTC().Format(time.RFC3339) }

// Queue runs one reconciler: one key at a time, several keys at once.
type Queue struct {
	name string
	q    workqueue.TypedRateLimitingInterface[string]
	do   func(ctx context.Context, key string) (time.Duration, error)
}

// NewQueue makes a queue; do returns when to come again (0: on the next event).
func NewQueue(name string, do func(ctx context.Context, key string) (time.Duration, error)) *Queue {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](20*time.Millisecond, 10*time.Second)
	return &Queue{name: name, q: workqueue.NewTypedRateLimitingQueue(limiter), do: do}
}

// Add asks for a key to be looked at.
func (q *Queue) Add(key string) { q.q.Add(key) }

// AddAfter asks for it later.
func (q *Queue) AddAfter(key string, d time.Duration) { q.q.AddAfter(key, d) }

// Run works until the context ends.
func (q *Queue) Run(ctx context.Context, workers int) {
	for i := 0; i < workers; i++ {
		go func() {
			for {
				key, shutdown := q.q.Get()
				if shutdown {
					return
				}
				again, err := q.do(ctx, key)
				switch {
				case apierrors.IsConflict(err):
					// Somebody else wrote in between: look again soon, however often it happens.
					q.q.AddAfter(key, 15*time.Millisecond)
				case err != nil:
					if !errors.Is(err, context.Canceled) {
						log.Printf("%s %s: %v", q.name, key, err)
					}
					q.q.AddRateLimited(key)
				default:
					q.q.Forget(key)
					if again > 0 {
						q.q.AddAfter(key, again)
					}
				}
				q.q.Done(key)
			}
		}()
	}
	go func() {
		<-ctx.Done()
		q.q.ShutDown()
	}()
}

type eventSeen struct {
	name  string
	count int64
}

// Event reports on an object; the same report again only raises the count.
func (c *Cluster) Event(ctx context.Context, o obj.M, kind, reason, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	namespace, uid := obj.Str(o, "metadata", "namespace"), obj.Str(o, "metadata", "uid")
	key := strings.Join([]string{uid, kind, reason, message}, "|")
	now := Now()
	c.eventsMu.Lock()
	defer c.eventsMu.Unlock()
	if seen := c.events[key]; seen != nil {
		seen.count++
		err := c.Patch(ctx, Events, namespace, seen.name, fmt.Sprintf(`{"count":%d,"lastTimestamp":%q}`, seen.count, now))
		if err == nil {
			return
		}
	}
	name := fmt.Sprintf("%s.%x", obj.Str(o, "metadata", "name"), time.Now().UnixNano())
	event := obj.M{"apiVersion": "v1", "kind": "Event",
		"metadata": obj.M{"name": name, "namespace": namespace},
		"type":     kind, "reason": reason, "message": message, "count": int64(1),
		"firstTimestamp": now, "lastTimestamp": now, "source": obj.M{"component": "virtualmachine-controller"},
		"involvedObject": obj.M{"apiVersion": obj.Str(o, "apiVersion"), "kind": obj.Str(o, "kind"), "namespace": namespace,
			"name": obj.Str(o, "metadata", "name"), "uid": uid, "resourceVersion": obj.Str(o, "metadata", "resourceVersion")}}
	if _, err := c.Create(ctx, Events, event); err == nil {
		c.events[key] = &eventSeen{name: name, count: 1}
	}
}

// SetCondition puts a condition into status.conditions; its transition time changes with its status.
func SetCondition(o obj.M, kind, status, reason, message string) {
	now := Now()
	list := obj.List(o, "status", "conditions")
	for _, c := range list {
		if obj.Str(c, "type") == kind {
			if obj.Str(c, "status") != status {
				c["lastTransitionTime"] = now
			}
			c["status"] = status
			setOrDelete(c, "reason", reason)
			setOrDelete(c, "message", message)
			obj.Set(o, obj.Anys(list), "status", "conditions")
			return
		}
	}
	c := obj.M{"type": kind, "status": status, "lastTransitionTime": now, "lastProbeTime": nil}
	setOrDelete(c, "reason", reason)
	setOrDelete(c, "message", message)
	obj.Set(o, obj.Anys(append(list, c)), "status", "conditions")
}

func setOrDelete(m obj.M, key, value string) {
	if value == "" {
		delete(m, key)
	} else {
		m[key] = value
	}
}

// DropCondition removes a condition.
func DropCondition(o obj.M, kind string) {
	list := obj.List(o, "status", "conditions")
	kept := list[:0]
	for _, c := range list {
		if obj.Str(c, "type") != kind {
			kept = append(kept, c)
		}
	}
	if len(kept) != len(obj.List(o, "status", "conditions")) {
		obj.Set(o, obj.Anys(kept), "status", "conditions")
	}
}

var listAll = metav1.ListOptions{}
