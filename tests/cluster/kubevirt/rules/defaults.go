// Package rules holds what KubeVirt decides about objects without asking anybody: defaults,
// validation, what a run strategy means. Pure functions over JSON trees.
package rules

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

// What an unconfigured KubeVirt decides (pkg/virt-config/virt-config.go).
const (
	Architecture    = "amd64"
	MachineType     = "q35"
	MaxHotplugRatio = 4
	CPUModel        = "host-model" // staging/src/kubevirt.io/api/core/v1: DefaultCPUModel
)

// PCITopology is written to every new template and VMI (vmi-mutator.go setDefaultPciTopologyVersion).
const PCITopology = "kubevirt.io/pci-topology-version"

// Finalizers that KubeVirt sets (staging/src/kubevirt.io/api/core/v1/types.go).
const (
	VMIFinalizer        = "kubevirt.io/foregroundDeleteVirtualMachine"
	ControllerFinalizer = "kubevirt.io/virtualMachineControllerFinalize"
)

// MutateVM is what a VirtualMachine goes through before it is stored
// (mutating-webhook/mutators/vm-mutator.go). newID gives random UUIDs.
func MutateVM(vm obj.M, create bool, newID func() string) {
	template := obj.Map(vm, "spec", "template")
	if template == nil || obj.Map(template, "spec") == nil {
		return // left to the validating webhook
	}
	spec := obj.Map(template, "spec")
	if create {
		// Only at creation: an update leaves the firmware as it is.
		if obj.Str(spec, "domain", "firmware", "uuid") == "" {
			obj.Set(spec, newID(), "domain", "firmware", "uuid")
		}
		if obj.Str(spec, "domain", "firmware", "serial") == "" {
			obj.Set(spec, newID(), "domain", "firmware", "serial")
		}
	}
	defaultArchitecture(spec)
	defaultMachine(spec)
	// The typed round trip of the original leaves these behind.
	obj.Default(spec, obj.M{}, "domain", "devices")
	obj.Default(spec, obj.M{}, "domain", "resources")
	if obj.Map(template, "metadata") == nil {
		template["metadata"] = obj.M{}
	}
	if _, there := obj.Map(template, "metadata")["creationTimestamp"]; !there {
		obj.Map(template, "metadata")["creationTimestamp"] = nil
	}
	if create && PCIeHotplug(spec) {
		obj.Default(template, "v3", "metadata", "annotations", PCITopology)
	}
}

// MutateNewVMI is what a VirtualMachineInstance goes through at creation
// (mutating-webhook/mutators/vmi-mutator.go, pkg/defaults/defaults.go).
func MutateNewVMI(vmi obj.M, now string, newID func() string) {
	spec := obj.Map(vmi, "spec")
	if spec == nil {
		return
	}
	DefaultVMISpec(spec)
	domain := obj.Map(spec, "domain")
	// core/v1/defaults.go SetDefaults_VirtualMachineInstance: a UUID but no serial.
	if obj.Str(domain, "firmware", "uuid") == "" {
		obj.Set(domain, newID(), "firmware", "uuid")
	}
	if obj.Map(domain, "features") == nil {
		domain["features"] = obj.M{}
	}
	obj.Default(domain, true, "features", "acpi", "enabled")
	for _, disk := range obj.List(domain, "devices", "disks") {
		if !obj.Has(disk, "disk") && !obj.Has(disk, "cdrom") && !obj.Has(disk, "lun") {
			disk["disk"] = obj.M{}
		}
		if obj.Map(disk, "disk") != nil { // defaults/amd64.go: the bus that a q35 machine gets
			obj.Default(disk, "sata", "disk", "bus")
		}
		if obj.Map(disk, "cdrom") != nil {
			obj.Default(disk, "sata", "cdrom", "bus")
			obj.Default(disk, true, "cdrom", "readonly")
			obj.Default(disk, "closed", "cdrom", "tray")
		}
		if obj.Map(disk, "lun") != nil {
			obj.Default(disk, "sata", "lun", "bus")
		}
	}
	if obj.Str(domain, "cpu", "model") == "" {
		obj.Set(domain, CPUModel, "cpu", "model")
	}
	status := obj.M{"phase": "Pending", "runtimeUser": int64(107),
		"phaseTransitionTimestamps": []any{obj.M{"phase": "Pending", "phaseTransitionTimestamp": now}}}
	if guest, ok := obj.Quantity(domain, "memory", "guest"); ok {
		status["memory"] = obj.M{"guestAtBoot": guest.String(), "guestCurrent": guest.String(),
			"guestRequested": guest.String()}
	}
	status["currentCPUTopology"] = obj.M{"cores": obj.Int(domain, "cpu", "cores"),
		"sockets": obj.Int(domain, "cpu", "sockets"), "threads": obj.Int(domain, "cpu", "threads")}
	if revision := obj.Str(vmi, "status", "virtualMachineRevisionName"); revision != "" {
		status["virtualMachineRevisionName"] = revision
	}
	defaultHotplug(spec)
	if PCIeHotplug(spec) {
		obj.Default(vmi, "v3", "metadata", "annotations", PCITopology)
	}
	obj.Append(vmi, VMIFinalizer, "metadata", "finalizers")
	vmi["status"] = status
}

// DefaultVMISpec is defaults.go SetDefaultVirtualMachineInstanceSpec.
func DefaultVMISpec(spec obj.M) {
	if obj.Map(spec, "domain") == nil {
		spec["domain"] = obj.M{}
	}
	domain := obj.Map(spec, "domain")
	obj.Default(domain, obj.M{}, "devices")
	obj.Default(domain, obj.M{}, "resources")
	defaultArchitecture(spec)
	defaultMachine(spec)
	if limit, ok := obj.Quantity(domain, "resources", "limits", "cpu"); ok && !limit.IsZero() {
		if request, ok := obj.Quantity(domain, "resources", "requests", "cpu"); !ok || request.IsZero() {
			obj.Set(domain, obj.Get(domain, "resources", "limits", "cpu"), "resources", "requests", "cpu")
		}
	}
	defaultGuestMemory(domain)
	defaultTopology(domain)
	obj.Default(spec, "None", "evictionStrategy")
	DefaultNetwork(spec)
	DefaultVolumeDisks(spec)
}

func defaultArchitecture(spec obj.M) {
	if obj.Str(spec, "architecture") == "" {
		spec["architecture"] = Architecture
	}
}

func defaultMachine(spec obj.M) {
	if obj.Str(spec, "domain", "machine", "type") == "" {
		obj.Set(spec, MachineType, "domain", "machine", "type")
	}
}

func defaultGuestMemory(domain obj.M) {
	if obj.Map(domain, "memory") == nil {
		domain["memory"] = obj.M{}
	}
	if obj.Has(domain, "memory", "guest") {
		return
	}
	for _, where := range []string{"requests", "limits"} {
		if q, ok := obj.Quantity(domain, "resources", where, "memory"); ok && !q.IsZero() {
			obj.Set(domain, q.String(), "memory", "guest")
			return
		}
	}
	if page, ok := obj.Quantity(domain, "memory", "hugepages", "pageSize"); ok {
		obj.Set(domain, page.String(), "memory", "guest")
	}
}

func defaultTopology(domain obj.M) {
	cpu := obj.Map(domain, "cpu")
	if cpu == nil {
		cpu = obj.M{}
		domain["cpu"] = cpu
	}
	if obj.Int(cpu, "cores") != 0 || obj.Int(cpu, "sockets") != 0 || obj.Int(cpu, "threads") != 0 {
		return
	}
	sockets := int64(1)
	if q, ok := obj.Quantity(domain, "resources", "limits", "cpu"); ok {
		sockets = q.Value()
	} else if q, ok := obj.Quantity(domain, "resources", "requests", "cpu"); ok {
		sockets = q.Value()
	}
	cpu["sockets"], cpu["cores"], cpu["threads"] = sockets, int64(1), int64(1)
}

// DefaultNetwork gives a spec without any network the pod network
// (pkg/network/vmispec/defaults.go).
func DefaultNetwork(spec obj.M) {
	if obj.Get(spec, "domain", "devices", "autoattachPodInterface") == false {
		return
	}
	if len(obj.List(spec, "networks")) > 0 || len(obj.List(spec, "domain", "devices", "interfaces")) > 0 {
		return
	}
	obj.Set(spec, []any{obj.M{"name": "default", "bridge": obj.M{}}}, "domain", "devices", "interfaces")
	spec["networks"] = []any{obj.M{"name": "default", "pod": obj.M{}}}
}

// DefaultVolumeDisks gives every volume without disk or filesystem a disk (pkg/util/util.go
// SetDefaultVolumeDisk): a volume without disk is accepted, a disk without volume is not.
func DefaultVolumeDisks(spec obj.M) {
	have := map[string]bool{}
	for _, list := range []string{"disks", "filesystems"} {
		for _, device := range obj.List(spec, "domain", "devices", list) {
			have[obj.Str(device, "name")] = true
		}
	}
	for _, volume := range obj.List(spec, "volumes") {
		if name := obj.Str(volume, "name"); !have[name] {
			obj.Append(spec, obj.M{"name": name}, "domain", "devices", "disks")
		}
	}
}

// defaultHotplug is defaults.go setupCPUHotplug and setupMemoryHotplug under the rollout strategy
// LiveUpdate, which is the default.
func defaultHotplug(spec obj.M) {
	cpu := obj.Map(spec, "domain", "cpu")
	if obj.Int(cpu, "maxSockets") == 0 {
		const maxVCPUs = 512
		sockets := obj.Int(cpu, "sockets")
		perSocket := max(1, obj.Int(cpu, "cores")) * max(1, obj.Int(cpu, "threads"))
		most := sockets * MaxHotplugRatio
		if most*perSocket > maxVCPUs {
			most = max(maxVCPUs/perSocket, sockets)
		}
		cpu["maxSockets"] = most
	}
	memory := obj.Map(spec, "domain", "memory")
	guest, ok := obj.Quantity(memory, "guest")
	if !ok || obj.Has(memory, "maxGuest") {
		return
	}
	most := resource.NewQuantity(guest.Value()*MaxHotplugRatio, resource.BinarySI)
	if LiveUpdateMemory(spec, most) == "" {
		memory["maxGuest"] = most.String()
	}
}

// LiveUpdateMemory says why memory cannot be plugged into this machine
// (pkg/liveupdate/memory/memory.go), "" when it can.
func LiveUpdateMemory(spec obj.M, maxGuest *resource.Quantity) string {
	domain := obj.Map(spec, "domain")
	switch {
	case obj.Has(domain, "cpu", "realtime"):
		return "Memory hotplug is not compatible with realtime VMs"
	case obj.Has(domain, "cpu", "numa", "guestMappingPassthrough"):
		return "Memory hotplug is not compatible with guest mapping passthrough"
	case obj.Has(domain, "launchSecurity"):
		return "Memory hotplug is not compatible with encrypted VMs"
	}
	alignment := int64(2 << 20)
	if obj.Str(domain, "memory", "hugepages", "pageSize") == "1Gi" {
		alignment = 1 << 30
	}
	unit := resource.NewQuantity(alignment, resource.BinarySI).String()
	guest, ok := obj.Quantity(domain, "memory", "guest")
	switch {
	case !ok:
		return "Guest memory must be configured when memory hotplug is enabled"
	case guest.Cmp(*maxGuest) > 0:
		return "Guest memory is greater than the configured maxGuest memory"
	case guest.Value()%alignment != 0:
		return "Guest memory must be " + unit + " aligned"
	case maxGuest.Value()%alignment != 0:
		return "MaxGuest must be " + unit + " aligned"
	case obj.Str(spec, "architecture") != "amd64":
		return "Memory hotplug is only available for x86_64 VMs"
	case guest.Value() < 1<<30:
		return "Memory hotplug is only available for VMs with at least 1Gi of guest memory"
	}
	return ""
}

// PCIeHotplug is defaults.go SupportsPCIeHotplug.
func PCIeHotplug(spec obj.M) bool {
	switch obj.Str(spec, "architecture") {
	case "amd64", "arm64", "":
	default:
		return false
	}
	machine := obj.Str(spec, "domain", "machine", "type")
	return machine == "" || strings.Contains(machine, "q35") || strings.HasPrefix(machine, "virt")
}
