package rules

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

// Causes is what a webhook finds wrong.
type Causes []metav1.StatusCause

func (c *Causes) add(kind metav1.CauseType, field, format string, args ...any) {
	*c = append(*c, metav1.StatusCause{Type: kind, Field: field, Message: fmt.Sprintf(format, args...)})
}

const (
	invalid      = metav1.CauseTypeFieldValueInvalid
	required     = metav1.CauseTypeFieldValueRequired
	duplicate    = metav1.CauseTypeFieldValueDuplicate
	notSupported = metav1.CauseTypeFieldValueNotSupported
)

// reserved labels nobody but KubeVirt may set on a VMI or a template
// (validating-webhook/admitters/vmi-create-admitter.go restrictedVmiLabels).
var reserved = []string{"kubevirt.io/created-by", "kubevirt.io/migrationJobUID", "kubevirt.io/nodeName",
	"kubevirt.io/migrationTargetNodeName", "kubevirt.io/schedulable", "kubevirt.io/install-strategy"}

// IsKubeVirt says whether the user is one of KubeVirt's own ServiceAccounts
// (pkg/virt-api/webhooks/serviceaccounts.go).
func IsKubeVirt(user string) bool {
	for _, name := range []string{"api", "controller", "handler", "synchronization-controller"} {
		if user == "system:serviceaccount:kubevirt:kubevirt-"+name {
			return true
		}
	}
	return false
}

func reservedLabels(labels obj.M) map[string]any {
	found := map[string]any{}
	for _, key := range reserved {
		if v, there := labels[key]; there {
			found[key] = v
		}
	}
	return found
}

// VM validates a VirtualMachine (validating-webhook/admitters/vms-admitter.go). old is nil at
// creation. instancetype and preference are the specs that the VM names, nil where it names none or
// where they cannot be found: not being found is no error here.
func VM(vm, old, instancetype, preference obj.M, user string) Causes {
	if obj.Has(vm, "metadata", "deletionTimestamp") {
		return nil
	}
	template := obj.Map(vm, "spec", "template")
	if template == nil {
		return Causes{{Type: required, Field: "spec.template", Message: "missing virtual machine template."}}
	}
	copied := obj.Copy(vm)
	spec := obj.Map(copied, "spec", "template", "spec")
	if spec == nil {
		spec = obj.M{}
		obj.Set(copied, spec, "spec", "template", "spec")
	}
	if conflicts := ApplyInstancetype(spec, instancetype, preference); len(conflicts) > 0 {
		return conflicts
	}
	DefaultVMISpec(spec)
	if old == nil {
		if c := discontinued("spec.template.spec", spec); len(c) > 0 {
			return c
		}
	}
	var c Causes
	if len(reservedLabels(obj.Map(template, "metadata", "labels"))) > 0 && !IsKubeVirt(user) {
		c.add(notSupported, "spec.template.metadata.labels",
			"creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited")
	}
	c = append(c, VMISpec("spec.template.spec", spec)...)
	c = append(c, dataVolumeTemplates(obj.Map(vm, "spec"))...)
	c = append(c, runStrategy(obj.Map(vm, "spec"))...)
	c = append(c, liveUpdate(spec)...)
	if len(c) > 0 {
		return c
	}
	return snapshotLock(vm, old)
}

func runStrategy(spec obj.M) (c Causes) {
	running, strategy := obj.Has(spec, "running"), obj.Has(spec, "runStrategy")
	if running && strategy {
		c.add(invalid, "spec.running", "Running and RunStrategy are mutually exclusive. "+
			"Note that Running is deprecated, please use RunStrategy instead")
	}
	if !running && !strategy {
		c.add(invalid, "spec.running", "RunStrategy must be specified")
	}
	if strategy {
		switch s := obj.Str(spec, "runStrategy"); s {
		case Halted, Manual, Always, RerunOnFailure, Once:
		case "WaitAsReceiver":
			c.add(invalid, "spec.runStrategy", "Invalid RunStrategy (%s), %s feature gate is not enabled in "+
				"kubevirt resource", s, "DecentralizedLiveMigration")
		default:
			c.add(invalid, "spec.runStrategy", "Invalid RunStrategy (%s)", s)
		}
	}
	return c
}

// liveUpdate is vms-admitter.go validateLiveUpdateFeatures; the rollout strategy LiveUpdate is the default.
func liveUpdate(spec obj.M) (c Causes) {
	cpu := obj.Map(spec, "domain", "cpu")
	if s, most := obj.Int(cpu, "sockets"), obj.Int(cpu, "maxSockets"); s != 0 && most != 0 && s > most {
		c.add(invalid, "spec.template.spec.domain.cpu.sockets",
			"Number of sockets in CPU topology is greater than the maximum sockets allowed")
	}
	if most, ok := obj.Quantity(spec, "domain", "memory", "maxGuest"); ok {
		if why := LiveUpdateMemory(spec, &most); why != "" {
			c.add(invalid, "spec.template.spec.domain.memory.guest", "%s", why)
		}
	}
	return c
}

func dataVolumeTemplates(spec obj.M) (c Causes) {
	// pkg/storage/admitters/data-volume-template.go
	for i, template := range obj.List(spec, "dataVolumeTemplates") {
		field := fmt.Sprintf("spec.dataVolumeTemplate[%d]", i)
		name := obj.Str(template, "metadata", "name")
		if name == "" {
			c.add(required, field+".name", "'name' field must not be empty for DataVolumeTemplate entry %s.", field)
		}
		used := false
		for _, volume := range obj.List(spec, "template", "spec", "volumes") {
			used = used || name == obj.Str(volume, "dataVolume", "name") ||
				name == obj.Str(volume, "persistentVolumeClaim", "claimName")
		}
		if !used {
			c.add(required, field, "DataVolumeTemplate entry %s must be referenced in the VMI template's 'volumes' list", field)
		}
	}
	return c
}

// snapshotLock is pkg/storage/admitters/vm-storage-status.go validateSnapshotStatus.
func snapshotLock(vm, old obj.M) Causes {
	name := obj.Str(vm, "status", "snapshotInProgress")
	if old == nil || name == "" {
		return nil
	}
	volumes := []string{"spec", "template", "spec", "volumes"}
	if !equality.Semantic.DeepEqual(obj.List(old, volumes...), obj.List(vm, volumes...)) {
		return Causes{{Type: notSupported, Field: "spec",
			Message: fmt.Sprintf("Cannot update vm disks or volumes until snapshot %q completes", name)}}
	}
	same := false
	for _, key := range []string{"running", "runStrategy"} {
		if a, b := obj.Get(old, "spec", key), obj.Get(vm, "spec", key); a != nil && b != nil {
			same = a == b
			break
		}
	}
	if !same {
		return Causes{{Type: notSupported, Field: "spec",
			Message: fmt.Sprintf("Cannot update vm running state until snapshot %q completes", name)}}
	}
	return nil
}

// NewVMI validates a VirtualMachineInstance at creation
// (validating-webhook/admitters/vmi-create-admitter.go).
func NewVMI(vmi obj.M, user string) Causes {
	spec := obj.Map(vmi, "spec")
	c := discontinued("spec", spec)
	c = append(c, VMISpec("spec", spec)...)
	devices := map[string]bool{}
	for _, list := range []string{"disks", "filesystems"} {
		for _, device := range obj.List(spec, "domain", "devices", list) {
			devices[obj.Str(device, "name")] = true
		}
	}
	for i, volume := range obj.List(spec, "volumes") {
		if name := obj.Str(volume, "name"); !devices[name] && !obj.Has(volume, "memoryDump") {
			field := fmt.Sprintf("spec.domain.volumes[%d].name", i)
			c.add(invalid, field, "%s '%s' not found.", field, name)
		}
	}
	if request, ok := obj.Quantity(spec, "domain", "resources", "requests", "memory"); !ok || request.IsZero() {
		if !obj.Has(spec, "domain", "memory", "guest") && !obj.Has(spec, "domain", "memory", "hugepages") {
			c.add(required, "", "no memory requested, at least one of '%s', '%s' or '%s' must be set",
				"spec.domain.memory.guest", "spec.domain.memory.hugepages.pageSize",
				"spec.domain.resources.requests.memory")
		}
	}
	if len(reservedLabels(obj.Map(vmi, "metadata", "labels"))) > 0 && !IsKubeVirt(user) {
		c.add(notSupported, "metadata.labels",
			"creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited")
	}
	return c
}

// UpdateVMI is vmi-update-admitter.go: only KubeVirt changes a VMI's spec and reserved labels.
// handlerNode is the node name in the extra of the request's token.
func UpdateVMI(vmi, old obj.M, user string, handlerNode bool) Causes {
	if user == "system:serviceaccount:kubevirt:kubevirt-handler" && !handlerNode {
		return Causes{{Type: invalid,
			Message: "Node restriction failed, virt-handler service account is missing node name"}}
	}
	if IsKubeVirt(user) {
		return nil
	}
	if !equality.Semantic.DeepEqual(obj.Map(vmi, "spec"), obj.Map(old, "spec")) {
		return Causes{{Type: notSupported, Message: "update of VMI object is restricted"}}
	}
	if !equality.Semantic.DeepEqual(reservedLabels(obj.Map(vmi, "metadata", "labels")),
		reservedLabels(obj.Map(old, "metadata", "labels"))) {
		return Causes{{Type: notSupported,
			Message: "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited"}}
	}
	return nil
}

// VMISpec is vmi-create-admitter.go ValidateVirtualMachineInstanceSpec, as far as a clone can meet it.
// What is accepted there although it is wrong (a firmware UUID that is none, guest memory 0, a claim
// that does not exist) is accepted here.
func VMISpec(field string, spec obj.M) (c Causes) {
	domain := obj.Map(spec, "domain")
	if hostname := obj.Str(spec, "hostname"); hostname != "" {
		if errs := validation.IsDNS1123Label(hostname); len(errs) > 0 {
			c.add(invalid, field+".hostname", "%s does not conform to the kubernetes DNS_LABEL rules : %s",
				field+".hostname", strings.Join(errs, ", "))
		}
	}
	if subdomain := obj.Str(spec, "subdomain"); subdomain != "" {
		if errs := validation.IsDNS1123Subdomain(subdomain); len(errs) > 0 {
			c.add(invalid, field+".subdomain", "%s does not conform to the kubernetes DNS_SUBDOMAIN rules : %s",
				field+".subdomain", strings.Join(errs, ", "))
		}
	}
	c = append(c, memory(field+".domain", domain)...)
	c = append(c, machine(field, spec)...)
	c = append(c, processors(field+".domain", domain)...)
	c = append(c, Network(field, spec)...)
	c = append(c, disksOfVolumes(field, spec)...)
	c = append(c, disks(field+".domain.devices.disks", obj.List(domain, "devices", "disks"))...)
	c = append(c, volumes(field+".volumes", obj.List(spec, "volumes"))...)
	if s := obj.Str(spec, "evictionStrategy"); obj.Has(spec, "evictionStrategy") {
		switch s {
		case "None", "LiveMigrate", "LiveMigrateIfPossible", "External":
		default:
			c.add(invalid, field+".evictionStrategy", "%s is set with an unrecognized option: %s",
				field+".evictionStrategy", s)
		}
	}
	return c
}

func memory(field string, domain obj.M) (c Causes) {
	request, _ := obj.Quantity(domain, "resources", "requests", "memory")
	limit, hasLimit := obj.Quantity(domain, "resources", "limits", "memory")
	where := field + ".resources.requests.memory"
	switch {
	case request.Sign() < 0:
		c.add(invalid, where, "%s '%s': must be greater than or equal to 0.", where, request.String())
	case request.Sign() > 0 && request.Value() < 1000000:
		c.add(invalid, where, "%s '%s': must be greater than or equal to 1M.", where, request.String())
	}
	if limit.Sign() < 0 {
		c.add(invalid, field+".resources.limits.memory", "%s '%s': must be greater than or equal to 0.",
			field+".resources.limits.memory", limit.String())
	}
	if hasLimit && limit.Sign() > 0 && request.Cmp(limit) > 0 {
		c.add(invalid, where, "%s '%s' is greater than %s '%s'", where, request.String(),
			field+".resources.limits.memory", limit.String())
	}
	if obj.Map(domain, "memory", "hugepages") == nil {
		return c
	}
	text := obj.Str(domain, "memory", "hugepages", "pageSize")
	page, ok := obj.Quantity(domain, "memory", "hugepages", "pageSize")
	if !ok || page.Sign() <= 0 {
		c.add(invalid, field+".memory.hugepages.pageSize", "%s '%s': quantities must match the regular expression "+
			"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'", field+".memory.hugepages.pageSize", text)
		return c
	}
	size := request.Value()
	if guest, ok := obj.Quantity(domain, "memory", "guest"); size == 0 && ok {
		size = guest.Value()
	}
	if size == 0 {
		size = limit.Value()
	}
	if size != 0 && size < page.Value() {
		c.add(invalid, where, "%s '%s' must be equal to or larger than page size %s '%s'", where, request.String(),
			field+".memory.hugepages.pageSize", text)
	} else if size%page.Value() != 0 {
		c.add(invalid, where, "%s '%s' is not a multiple of the page size %s '%s'", where, request.String(),
			field+".memory.hugepages.pageSize", text)
	}
	return c
}

func machine(field string, spec obj.M) (c Causes) {
	kinds := map[string][]string{"amd64": {"q35*", "pc-q35*"}, "arm64": {"virt*"}, "s390x": {"s390-ccw-virtio*"}}
	architecture := obj.Str(spec, "architecture")
	machine := obj.Str(spec, "domain", "machine", "type")
	allowed, known := kinds[architecture]
	if !known {
		c.add(invalid, field+".architecture", "unsupported architecture: %s", architecture)
		return c
	}
	for _, pattern := range allowed {
		if ok, _ := path.Match(pattern, machine); ok || machine == "" {
			return c
		}
	}
	c.add(invalid, field+".domain.machine.type", "%s is not supported: %s (allowed values: %v)",
		field+".domain.machine.type", machine, allowed)
	return c
}

func processors(field string, domain obj.M) (c Causes) {
	cpu := obj.Map(domain, "cpu")
	request, hasRequest := obj.Quantity(domain, "resources", "requests", "cpu")
	limit, hasLimit := obj.Quantity(domain, "resources", "limits", "cpu")
	requests, limits := field+".resources.requests.cpu", field+".resources.limits.cpu"
	if request.Sign() < 0 {
		c.add(invalid, requests, "%s '%s': must be greater than or equal to 0.", requests, request.String())
	}
	if limit.Sign() < 0 {
		c.add(invalid, limits, "%s '%s': must be greater than or equal to 0.", limits, limit.String())
	}
	if hasLimit && hasRequest && limit.Sign() > 0 && request.Cmp(limit) > 0 {
		c.add(invalid, requests, "%s '%s' is greater than %s '%s'", requests, request.String(), limits, limit.String())
	}
	if obj.Bool(cpu, "dedicatedCpuPlacement") {
		cores := obj.Int(cpu, "cores") > 0
		switch {
		case !hasRequest && !hasLimit && !cores:
			c.add(invalid, field+".cpu.dedicatedCpuPlacement", "either %s or %s or %s must be provided when "+
				"DedicatedCPUPlacement is true ", requests, limits, field+".cpu.cores")
		case (hasRequest || hasLimit) && cores:
			c.add(invalid, field+".cpu.dedicatedCpuPlacement", "%s or %s must not be provided at the same time "+
				"with %s when DedicatedCPUPlacement is true ", requests, limits, field+".cpu.cores")
		}
	}
	if most := obj.Int(cpu, "maxSockets"); most != 0 && obj.Int(cpu, "sockets") > most {
		c.add(invalid, field+".cpu.sockets",
			"Number of sockets in CPU topology is greater than the maximum sockets allowed")
	}
	return c
}

// disksOfVolumes is vmi-create-admitter.go validateBootOrder, which also matches disks to volumes.
func disksOfVolumes(field string, spec obj.M) (c Causes) {
	have := map[string]bool{}
	for _, volume := range obj.List(spec, "volumes") {
		have[obj.Str(volume, "name")] = true
	}
	orders := map[int64]bool{}
	for i, disk := range obj.List(spec, "domain", "devices", "disks") {
		at := fmt.Sprintf("%s.domain.devices.disks[%d]", field, i)
		if name := obj.Str(disk, "name"); !have[name] {
			if !obj.Has(disk, "cdrom") {
				c.add(invalid, at+".name", "%s '%s' not found.", at+".Name", name)
			} else {
				c.add(invalid, at+".name", "%s feature gate not enabled, cannot define an empty CD-ROM disk",
					"DeclarativeHotplugVolumes")
			}
		}
		if obj.Has(disk, "bootOrder") {
			order := obj.Int(disk, "bootOrder")
			if orders[order] {
				c.add(invalid, at+".bootOrder", "Boot order for %s already set for a different device.", at+".bootOrder")
			}
			orders[order] = true
		}
	}
	for i, iface := range obj.List(spec, "domain", "devices", "interfaces") {
		at := fmt.Sprintf("%s.domain.devices.interfaces[%d].bootOrder", field, i)
		if !obj.Has(iface, "bootOrder") {
			continue
		}
		order := obj.Int(iface, "bootOrder")
		if order < 1 {
			c.add(invalid, at, "%s must have a boot order > 0, if supplied", fmt.Sprintf("%s[%d]", field, i))
		} else if orders[order] {
			c.add(invalid, at, "Boot order for %s already set for a different device.", at)
		}
		orders[order] = true
	}
	return c
}

var serial = regexp.MustCompile(`^[A-Za-z0-9_.+-]+$`)

// disks is pkg/storage/admitters/disks.go ValidateDisks.
func disks(field string, list []obj.M) (c Causes) {
	seen := map[string]int{}
	for i, disk := range list {
		at := field + "[" + strconv.Itoa(i) + "]"
		name := obj.Str(disk, "name")
		if other, there := seen[name]; there {
			c.add(invalid, at+".name", "%s and %s[%d] must not have the same Name.", at, field, other)
		} else {
			seen[name] = i
		}
		targets := 0
		for _, kind := range []string{"disk", "lun", "cdrom"} {
			if !obj.Has(disk, kind) {
				continue
			}
			targets++
			switch bus := obj.Str(disk, kind, "bus"); {
			case bus == "ide":
				c.add(invalid, at+"."+kind+".bus", "IDE bus is not supported")
			case bus == "virtio" && kind == "cdrom":
				c.add(invalid, at+".cdrom.bus", "Bus type %s is invalid for CD-ROM device", bus)
			}
		}
		if targets > 1 {
			c.add(invalid, at, "%s can only have a single target type defined", at)
		}
		if obj.Has(disk, "bootOrder") && obj.Int(disk, "bootOrder") < 1 {
			c.add(invalid, at+".bootOrder", "%s must have a boot order > 0, if supplied", at)
		}
		if s := obj.Str(disk, "serial"); s != "" && !serial.MatchString(s) {
			c.add(invalid, at+".serial", "%s must be made up of the following characters [A-Za-z0-9_.+-], if specified", at)
		}
		if s := obj.Str(disk, "serial"); len([]rune(s)) > 256 {
			c.add(invalid, at+".serial", "%s must be less than or equal to %d in length, if specified", at, 256)
		}
		switch cache := obj.Str(disk, "cache"); cache {
		case "", "none", "writethrough", "writeback":
		default:
			c.add(invalid, at+".cache", "%s has invalid value %s", at+".cache", cache)
		}
		for _, why := range validation.IsDNS1123Label(name) {
			c.add(invalid, fmt.Sprintf("%s.domain.devices.disks[%d].name", field, i), "%s", why)
		}
	}
	return c
}

var volumeSources = []string{"hostDisk", "persistentVolumeClaim", "cloudInitNoCloud", "cloudInitConfigDrive",
	"sysprep", "containerDisk", "ephemeral", "emptyDisk", "dataVolume", "configMap", "secret", "downwardAPI",
	"serviceAccount", "downwardMetrics", "memoryDump", "containerPath"}

// volumes is vmi-create-admitter.go validateVolumes.
func volumes(field string, list []obj.M) (c Causes) {
	seen := map[string]int{}
	for i, volume := range list {
		at := field + "[" + strconv.Itoa(i) + "]"
		name := obj.Str(volume, "name")
		if other, there := seen[name]; there {
			c.add(invalid, at+".name", "%s and %s[%d] must not have the same Name.", at, field, other)
		} else {
			seen[name] = i
		}
		sources := 0
		for _, key := range volumeSources {
			if obj.Has(volume, key) {
				sources++
			}
		}
		if obj.Has(volume, "dataVolume") && obj.Str(volume, "dataVolume", "name") == "" {
			c.add(required, at+".name", "DataVolume 'name' must be set")
		}
		if sources != 1 {
			c.add(invalid, at, "%s must have exactly one source type set", at)
		}
		for _, kind := range []string{"cloudInitNoCloud", "cloudInitConfigDrive"} {
			if init := obj.Map(volume, kind); init != nil {
				c = append(c, cloudInit(at+"."+kind, init)...)
			}
		}
		if obj.Has(volume, "hostDisk") {
			c.add(invalid, at, "HostDisk feature gate is not enabled")
		}
	}
	return c
}

func cloudInit(at string, init obj.M) (c Causes) {
	user, network := 0, 0
	for _, key := range []string{"userData", "userDataBase64"} {
		if s := obj.Str(init, key); s != "" {
			user++
			if len(s) > 2048 {
				c.add(invalid, at, "%s userdata exceeds %d byte limit. Should use UserDataSecretRef for larger data.", at, 2048)
			}
		}
	}
	for _, key := range []string{"networkData", "networkDataBase64"} {
		if s := obj.Str(init, key); s != "" {
			network++
			if len(s) > 2048 {
				c.add(invalid, at, "%s networkdata exceeds %d byte limit. Should use NetworkDataSecretRef for larger data.", at, 2048)
			}
		}
	}
	if obj.Str(init, "secretRef", "name") != "" {
		user++
	}
	if obj.Str(init, "networkDataSecretRef", "name") != "" {
		network++
	}
	if user > 1 {
		c.add(invalid, at, "%s must have only one userdatasource set.", at)
	}
	if network > 1 {
		c.add(invalid, at, "%s must have only one networkdata source set.", at)
	}
	if user == 0 && network == 0 {
		c.add(invalid, at, "%s must have at least one userdatasource or one networkdatasource set.", at)
	}
	return c
}
