package rules

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

// ApplyInstancetype resolves an instancetype and a preference into a VMI's spec
// (pkg/instancetype/apply). What both the VM and the instancetype say is a conflict; then nothing is
// applied. Either may be nil.
func ApplyInstancetype(spec, instancetype, preference obj.M) (c Causes) {
	if instancetype != nil {
		if c = instancetypeConflicts(spec, instancetype); len(c) > 0 {
			return c
		}
		applyCPU(spec, instancetype, preference)
		applyMemory(spec, instancetype)
		for _, key := range []string{"nodeSelector", "schedulerName"} {
			if v := obj.Get(instancetype, key); v != nil {
				spec[key] = v
			}
		}
		if v := obj.Get(instancetype, "ioThreadsPolicy"); v != nil {
			obj.Set(spec, v, "domain", "ioThreadsPolicy")
		}
	}
	if preference != nil {
		applyPreference(spec, preference)
	}
	return nil
}

func instancetypeConflicts(spec, instancetype obj.M) (c Causes) {
	conflict := func(path string) {
		field := "spec.template.spec." + path
		c.add(invalid, field, "VM field(s) %s conflicts with selected instance type", field)
	}
	domain := obj.Map(spec, "domain")
	for _, where := range []string{"requests", "limits"} {
		if obj.Has(domain, "resources", where, "cpu") {
			conflict("domain.resources." + where + ".cpu")
		}
	}
	for _, key := range []string{"sockets", "cores", "threads"} {
		if obj.Int(domain, "cpu", key) != 0 {
			conflict("domain.cpu." + key)
		}
	}
	if obj.Str(domain, "cpu", "model") != "" && obj.Has(instancetype, "cpu", "model") {
		conflict("domain.cpu.model")
	}
	// applyMemory reports the first conflict alone.
	switch {
	case obj.Has(domain, "memory", "guest"):
		conflict("domain.memory.guest")
	case obj.Has(domain, "memory", "hugepages") && obj.Has(instancetype, "memory", "hugepages"):
		conflict("domain.memory.hugepages")
	case obj.Has(domain, "memory", "maxGuest") && obj.Has(instancetype, "memory", "maxGuest"):
		conflict("domain.memory.maxGuest")
	case obj.Has(domain, "resources", "requests", "memory"):
		conflict("domain.resources.requests.memory")
	case obj.Has(domain, "resources", "limits", "memory"):
		conflict("domain.resources.limits.memory")
	}
	return c
}

func applyCPU(spec, instancetype, preference obj.M) {
	guest := obj.Int(instancetype, "cpu", "guest")
	cores, sockets, threads := int64(1), int64(1), int64(1)
	switch obj.Str(preference, "cpu", "preferredCPUTopology") {
	case "preferCores", "cores":
		cores = guest
	case "preferThreads", "threads":
		threads = guest
	default:
		sockets = guest
	}
	obj.Set(spec, cores, "domain", "cpu", "cores")
	obj.Set(spec, sockets, "domain", "cpu", "sockets")
	obj.Set(spec, threads, "domain", "cpu", "threads")
	for from, to := range map[string]string{"model": "model", "maxSockets": "maxSockets",
		"dedicatedCPUPlacement": "dedicatedCpuPlacement", "isolateEmulatorThread": "isolateEmulatorThread",
		"numa": "numa", "realtime": "realtime"} {
		if v := obj.Get(instancetype, "cpu", from); v != nil {
			obj.Set(spec, v, "domain", "cpu", to)
		}
	}
}

func applyMemory(spec, instancetype obj.M) {
	guest, ok := obj.Quantity(instancetype, "memory", "guest")
	if !ok {
		return
	}
	obj.Set(spec, guest.String(), "domain", "memory", "guest")
	if percent := obj.Int(instancetype, "memory", "overcommitPercent"); percent > 0 {
		asked := int64(float32(guest.Value()) * (1 - float32(percent)/100))
		obj.Set(spec, resource.NewQuantity(asked, guest.Format).String(), "domain", "resources", "requests", "memory")
	}
	for _, key := range []string{"hugepages", "maxGuest"} {
		if v := obj.Get(instancetype, "memory", key); v != nil {
			obj.Set(spec, v, "domain", "memory", key)
		}
	}
}

// applyPreference fills in what the VM leaves open; a preference never conflicts.
func applyPreference(spec, preference obj.M) {
	if bus := obj.Str(preference, "devices", "preferredDiskBus"); bus != "" {
		for _, disk := range obj.List(spec, "domain", "devices", "disks") {
			if !obj.Has(disk, "cdrom") && !obj.Has(disk, "lun") {
				obj.Default(disk, bus, "disk", "bus")
			}
		}
	}
	if model := obj.Str(preference, "devices", "preferredInterfaceModel"); model != "" {
		for _, iface := range obj.List(spec, "domain", "devices", "interfaces") {
			obj.Default(iface, model, "model")
		}
	}
	applyState(spec, preference)
	if machine := obj.Str(preference, "machine", "preferredMachineType"); machine != "" {
		obj.Default(spec, machine, "domain", "machine", "type")
	}
	if s := obj.Str(preference, "preferredSubdomain"); s != "" {
		obj.Default(spec, s, "subdomain")
	}
}

// applyState gives a TPM and EFI to a machine that says nothing of them (pkg/instancetype/preference/apply/
// {tpm,firmware}.go).
func applyState(spec, preference obj.M) {
	if tpm := obj.Get(preference, "devices", "preferredTPM"); tpm != nil && !obj.Has(spec, "domain", "devices", "tpm") {
		obj.Set(spec, tpm, "domain", "devices", "tpm")
	}
	efi := obj.Get(preference, "firmware", "preferredEfi")
	if efi != nil && !obj.Has(spec, "domain", "firmware", "bootloader", "efi") && !obj.Has(spec, "domain", "firmware", "bootloader", "bios") {
		obj.Set(spec, efi, "domain", "firmware", "bootloader", "efi")
	}
}

// MatcherKind is the resource that an instancetype or preference matcher means; cluster-wide by
// default (pkg/instancetype/find/spec.go). what is "instancetype" or "preference".
func MatcherKind(matcher obj.M, what string) (resource string, namespaced bool, err error) {
	kind := obj.Str(matcher, "kind")
	single := "virtualmachine" + what
	cluster := "virtualmachinecluster" + what
	switch lower(kind) {
	case single, single + "s":
		return single + "s", true, nil
	case cluster, cluster + "s", "":
		return cluster + "s", false, nil
	}
	title := map[string]string{"instancetype": "Instancetype", "preference": "Preference"}[what]
	return "", false, fmt.Errorf("got unexpected kind in %sMatcher: %s", title, kind)
}

func lower(s string) string {
	b := []byte(s)
	for i, ch := range b {
		if 'A' <= ch && ch <= 'Z' {
			b[i] = ch + 'a' - 'A'
		}
	}
	return string(b)
}

// InstancetypeRevisionName is pkg/instancetype/revision/store.go GenerateName.
func InstancetypeRevisionName(vm string, o obj.M) string {
	return fmt.Sprintf("%s-%s-v1beta1-%s-%d", vm, obj.Str(o, "metadata", "name"),
		obj.Str(o, "metadata", "uid"), obj.Int(o, "metadata", "generation"))
}

// VMRevisionName names the record of what a VM was when it started (vm.go getVMRevisionName).
func VMRevisionName(vm obj.M) string {
	return fmt.Sprintf("revision-start-vm-%s-%d", obj.Str(vm, "metadata", "uid"), obj.Int(vm, "metadata", "generation"))
}
