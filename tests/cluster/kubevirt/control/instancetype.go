package control

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// FindMatched is pkg/instancetype/find: the spec that a VM's instancetype or preference means: a revision
// that it names, else the one that its status pins, else the object of today. nil when it names none.
func (c *Cluster) FindMatched(ctx context.Context, vm obj.M, what string) (obj.M, error) {
	matcher := obj.Map(vm, "spec", what)
	if matcher == nil {
		return nil, nil
	}
	revision := obj.Str(matcher, "revisionName")
	if revision == "" {
		revision = obj.Str(vm, "status", what+"Ref", "controllerRevisionRef", "name")
	}
	if revision != "" {
		r, err := c.Get(ctx, Revisions, obj.Str(vm, "metadata", "namespace"), revision)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, apierrors.NewNotFound(Revisions.GroupResource(), revision)
		}
		return obj.Map(r, "data", "spec"), nil
	}
	o, err := c.matched(ctx, vm, what)
	if err != nil {
		return nil, err
	}
	return obj.Map(o, "spec"), nil
}

func (c *Cluster) matched(ctx context.Context, vm obj.M, what string) (obj.M, error) {
	matcher := obj.Map(vm, "spec", what)
	resource, namespaced, err := rules.MatcherKind(matcher, what)
	if err != nil {
		return nil, err
	}
	namespace := ""
	if namespaced {
		namespace = obj.Str(vm, "metadata", "namespace")
	}
	r := gvr(instancetypeGroup, "v1beta1", resource)
	o, err := c.Get(ctx, r, namespace, obj.Str(matcher, "name"))
	if err == nil && o == nil {
		err = apierrors.NewNotFound(r.GroupResource(), obj.Str(matcher, "name"))
	}
	return o, err
}

// pin stores the instancetype of today for a VM and names it in the VM's status
// (pkg/instancetype/revision/store.go). It says whether the status changed.
func (c *Cluster) pin(ctx context.Context, vm obj.M, what string) (bool, error) {
	matcher := obj.Map(vm, "spec", what)
	if matcher == nil {
		return false, nil
	}
	ref := obj.Map(vm, "status", what+"Ref")
	name := obj.Str(matcher, "revisionName")
	if ref != nil && obj.Str(ref, "name") == obj.Str(matcher, "name") && (name == "" || name == obj.Str(ref, "controllerRevisionRef", "name")) &&
		obj.Has(ref, "controllerRevisionRef", "name") {
		return false, nil
	}
	if name == "" {
		o, err := c.matched(ctx, vm, what)
		if err != nil {
			return false, err
		}
		name = rules.InstancetypeRevisionName(obj.Str(vm, "metadata", "name"), o)
		data := obj.Copy(o)
		for _, key := range []string{"labels", "annotations", "finalizers", "ownerReferences", "managedFields"} {
			obj.Delete(data, "metadata", key)
		}
		_, err = c.Create(ctx, Revisions, obj.M{"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": int64(0),
			"metadata": obj.M{"name": name, "namespace": obj.Str(vm, "metadata", "namespace"),
				"labels": obj.M{
					"instancetype.kubevirt.io/object-name":    obj.Str(o, "metadata", "name"),
					"instancetype.kubevirt.io/object-kind":    obj.Str(o, "kind"),
					"instancetype.kubevirt.io/object-uid":     obj.Str(o, "metadata", "uid"),
					"instancetype.kubevirt.io/object-version": "v1beta1"},
				"ownerReferences": []any{Owner("kubevirt.io/v1", "VirtualMachine", vm)}},
			"data": data})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return false, err
		}
	}
	next := obj.M{"name": obj.Str(matcher, "name"), "controllerRevisionRef": obj.M{"name": name}}
	if kind := obj.Str(matcher, "kind"); kind != "" {
		next["kind"] = kind
	}
	obj.Set(vm, next, "status", what+"Ref")
	return true, nil
}

// Expand resolves instancetype and preference into the VM (pkg/instancetype/expand/expand.go).
func (c *Cluster) Expand(ctx context.Context, vm obj.M) (obj.M, error) {
	if !obj.Has(vm, "spec", "instancetype") && !obj.Has(vm, "spec", "preference") {
		return vm, nil
	}
	instancetype, err := c.FindMatched(ctx, vm, "instancetype")
	if err != nil {
		return nil, err
	}
	preference, err := c.FindMatched(ctx, vm, "preference")
	if err != nil {
		return nil, err
	}
	out := obj.Copy(vm)
	spec := obj.Map(out, "spec", "template", "spec")
	if spec == nil {
		spec = obj.M{}
		obj.Set(out, spec, "spec", "template", "spec")
	}
	rules.DefaultVolumeDisks(spec)
	rules.DefaultNetwork(spec)
	if conflicts := rules.ApplyInstancetype(spec, instancetype, preference); len(conflicts) > 0 {
		fields := ""
		for i, cause := range conflicts {
			if i > 0 {
				fields += ", "
			}
			fields += cause.Field
		}
		return nil, conflictError("VM field(s) " + fields + " conflicts with selected instance type")
	}
	rules.DefaultVMISpec(spec)
	for _, what := range []string{"instancetype", "preference"} {
		obj.Delete(out, "spec", what)
		obj.Delete(out, "status", what+"Ref")
	}
	return out, nil
}

type conflictError string

func (e conflictError) Error() string { return string(e) }

// asMap decodes what a ControllerRevision carries.
func asMap(v any) obj.M {
	switch t := v.(type) {
	case obj.M:
		return t
	case string:
		var m obj.M
		if json.Unmarshal([]byte(t), &m) == nil {
			return m
		}
	}
	return nil
}
