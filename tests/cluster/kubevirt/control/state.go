package control

import (
	"context"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// StateLabel names the machine whose TPM or EFI variables a claim holds; it begins the claim's name, too
// (pkg/storage/backend-storage/backend-storage.go).
const StateLabel = "persistent-state-for"

// keepsState says whether a machine has a TPM or EFI variables that outlive it (backend-storage.go
// IsBackendStorageNeeded). What a preference adds is in the VMI by then.
func keepsState(vmi obj.M) bool {
	return obj.Bool(vmi, "spec", "domain", "devices", "tpm", "persistent") ||
		obj.Bool(vmi, "spec", "domain", "firmware", "bootloader", "efi", "persistent")
}

// stateClaim is the claim that a new machine's state needs: of the class of its first disk, and its VM's,
// so that it is there while the VM is stopped. nil: it needs none.
func (v *VMIController) stateClaim(vmi obj.M) obj.M {
	if !keepsState(vmi) {
		return nil
	}
	namespace, name := obj.Str(vmi, "metadata", "namespace"), obj.Str(vmi, "metadata", "name")
	claim := obj.M{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": obj.M{"namespace": namespace, "generateName": StateLabel + "-" + name + "-",
			"labels": obj.M{StateLabel: name}},
		"spec": obj.M{"accessModes": []any{"ReadWriteOnce"},
			"resources": obj.M{"requests": obj.M{"storage": "10Mi"}}}}
	owners := obj.List(vmi, "metadata", "ownerReferences")
	if len(owners) == 0 {
		owners = []obj.M{Owner("kubevirt.io/v1", "VirtualMachineInstance", vmi)}
	}
	for _, owner := range owners {
		obj.Append(claim, obj.Copy(owner), "metadata", "ownerReferences")
	}
	for _, volume := range obj.List(vmi, "spec", "volumes") {
		disk := v.CachedOne(Claims, namespace, rules.ClaimOf(volume))
		if class := obj.Str(disk, "spec", "storageClassName"); class != "" {
			obj.Set(claim, class, "spec", "storageClassName")
			break
		}
	}
	return claim
}

// keepState makes that claim unless it is there (backend-storage.go CreatePVCForVMI).
func (v *VMIController) keepState(ctx context.Context, vmi obj.M) error {
	claim := v.stateClaim(vmi)
	if claim == nil {
		return nil
	}
	for _, have := range v.Cached(Claims, obj.Str(vmi, "metadata", "namespace")) {
		if obj.Str(have, "metadata", "labels", StateLabel) == obj.Str(vmi, "metadata", "name") {
			return nil
		}
	}
	_, err := v.Create(ctx, Claims, claim)
	return err
}
