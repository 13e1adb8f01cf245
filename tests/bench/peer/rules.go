package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The static rules of common/wukong/rules/rules_spec*.c, by the same libraries as Kubernetes' own
// validation. Each function appends what it finds to a field.ErrorList, as is usual in Go.

type errs = field.ErrorList

var (
	sourceTypes    = []string{"vm", "vmi"}
	cloneTypes     = []string{"full", "linked", "running"}
	quiesces       = []string{"Required", "IfAvailable", "Never"}
	methods        = []string{"Auto", "VirtualMachineSnapshot", "VolumeSnapshot"}
	reclaims       = []string{"Delete", "Retain"}
	runStrategies  = []string{"Always", "RerunOnFailure", "Manual"}
	networkTypes   = []string{"bridge", "macvlan", "sriov", "ovs"}
	ipModes        = []string{"static", "dhcp"}
	restarts       = []string{"Always", "OnFailure", "Never"}
	operators      = []string{"", "Equal", "Exists", "Lt", "Gt"}
	effects        = []string{"", "NoSchedule", "PreferNoSchedule", "NoExecute"}
	reservedGates  = sets.New("Ready", "Reconciling", "Stalled", "SourceReady", "PolicyAllowed", "AwaitingGates", "SnapshotReady", "SnapshotTaken", "DisksReady", "VirtualMachineReady", "TemporariesCleaned")
	durationFormat = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)
	cronParser     = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
)

func choice(p *field.Path, v string, allowed []string) errs {
	for _, a := range allowed {
		if v == a {
			return nil
		}
	}
	return errs{field.NotSupported(p, v, allowed)}
}

func optional(p *field.Path, v string, allowed []string) errs {
	if v == "" {
		return nil
	}
	return choice(p, v, allowed)
}

func subdomain(p *field.Path, v *string, what string) (l errs) {
	if v == nil {
		return nil
	}
	for _, m := range validation.IsDNS1123Subdomain(*v) {
		l = append(l, field.Invalid(p, *v, "must be the name of a "+what+"; "+m))
	}
	return l
}

func label(p *field.Path, v *string, what string) (l errs) {
	if v == nil {
		return nil
	}
	for _, m := range validation.IsDNS1123Label(*v) {
		l = append(l, field.Invalid(p, *v, "must be "+what+"; "+m))
	}
	return l
}

func between(p *field.Path, v *int32, min, max int32, how string) errs {
	if v == nil || (*v >= min && *v <= max) {
		return nil
	}
	return errs{field.Invalid(p, *v, fmt.Sprintf("must be between %d and %d; %s", min, max, how))}
}

func atMost(p *field.Path, v *string, max int) errs {
	if v == nil || utf8.RuneCountInString(*v) <= max {
		return nil
	}
	return errs{field.TooLong(p, "", max)}
}

func items(p *field.Path, n, max int) errs {
	if n <= max {
		return nil
	}
	return errs{field.TooMany(p, n, max)}
}

func quantityOf(v *intstr.IntOrString) (resource.Quantity, error) {
	text := v.String()
	if len(text) > 32 || strings.HasSuffix(text, "n") || strings.HasSuffix(text, "u") || strings.HasSuffix(text, "m") {
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	return resource.ParseQuantity(text)
}

func quantity(p *field.Path, v *intstr.IntOrString) errs {
	if v == nil {
		return nil
	}
	q, err := quantityOf(v)
	if err != nil || q.Sign() <= 0 || q.Value() < 1 {
		return errs{field.Invalid(p, v.String(), "must be a quantity of bytes above zero; write for example 4Gi")}
	}
	return nil
}

func unitWarning(what string, v *intstr.IntOrString) []string {
	if v == nil {
		return nil
	}
	if q, err := quantityOf(v); err == nil && q.Value() < 1<<20 {
		return []string{what + ": " + v.String() + " looks as if its unit were missing; write for example 4Gi"}
	}
	return nil
}

// Validate judges a whole Wukong as at CREATE.
func Validate(w *Wukong) (l errs, warnings []string) {
	l = append(l, validateMeta(w)...)
	p := field.NewPath("spec")
	l = append(l, between(p.Child("cpu"), w.Spec.CPU, 1, 64, "set cpu to 1-64, such as 4")...)
	l = append(l, quantity(p.Child("memory"), w.Spec.Memory)...)
	warnings = append(warnings, unitWarning("spec.memory", w.Spec.Memory)...)
	if w.Spec.CloneSource != nil {
		more, said := validateSource(&w.Spec, p.Child("cloneSource"))
		l, warnings = append(l, more...), append(warnings, said...)
		l = append(l, forbiddenWithClone(&w.Spec, p)...)
	} else {
		l = append(l, requiredWithoutClone(&w.Spec, p)...)
	}
	l = append(l, validateDisks(w, p.Child("disks"))...)
	for i := range w.Spec.Disks {
		warnings = append(warnings, unitWarning(p.Child("disks").Index(i).Child("size").String(), w.Spec.Disks[i].Size)...)
	}
	l = append(l, between(p.Child("replicas"), w.Spec.Replicas, 1, 100, "set a number of VMs, such as 3, or leave it out")...)
	l = append(l, optional(p.Child("reclaimPolicy"), w.Spec.ReclaimPolicy, reclaims)...)
	if s := w.Spec.StartStrategy; s != nil {
		l = append(l, optional(p.Child("startStrategy", "runStrategy"), s.RunStrategy, runStrategies)...)
		if w.Spec.CloneSource != nil && s.AutoStart != nil && !*s.AutoStart && s.RunStrategy != "" && s.RunStrategy != "Manual" {
			l = append(l, field.Invalid(p.Child("startStrategy", "runStrategy"), s.RunStrategy, "autoStart false leaves the clone stopped, runStrategy "+s.RunStrategy+" starts it; remove runStrategy or set it to Manual, or set autoStart to true"))
		}
	}
	l = append(l, atMost(p.Child("osImage"), w.Spec.OSImage, 4096)...)
	l = append(l, subdomain(p.Child("sshKeySecret"), w.Spec.SSHKeySecret, "Secret")...)
	l = append(l, validateUser(w.Spec.CloudInitUser, p.Child("cloudInitUser"))...)
	if u := w.Spec.CloudInitUser; u != nil && u.Password != "" {
		warnings = append(warnings, "spec.cloudInitUser.password: everyone who can read the Wukong can read this password; use passwordHash or sshKeySecret")
	}
	l = append(l, validateNetworks(w.Spec.Networks, w.Spec.CloneSource != nil, p.Child("networks"))...)
	l = append(l, validateAvailability(w.Spec.HighAvailability, w.Spec.CloneSource != nil, p.Child("highAvailability"))...)
	l = append(l, validateGPUs(w.Spec.GPUs, p.Child("gpus"))...)
	l = append(l, atMost(p.Child("restoreFromSnapshot"), w.Spec.RestoreFromSnapshot, 253)...)
	return l, warnings
}

func validateMeta(w *Wukong) (l errs) {
	p := field.NewPath("metadata")
	if w.Name == "" && w.GenerateName == "" {
		l = append(l, field.Required(p.Child("name"), "a Wukong needs a name; set metadata.name or metadata.generateName"))
	}
	if w.Name != "" {
		l = append(l, subdomain(p.Child("name"), &w.Name, "Wukong")...)
	}
	if w.GenerateName != "" {
		sample := strings.TrimSuffix(w.GenerateName, "-") + "-x"
		l = append(l, subdomain(p.Child("generateName"), &sample, "Wukong")...)
	}
	l = append(l, metavalidation.ValidateLabels(w.Labels, p.Child("labels"))...)
	if w.Spec.CloneSource == nil {
		return l
	}
	replicas := int32(1)
	if w.Spec.Replicas != nil {
		replicas = *w.Spec.Replicas
	}
	name := w.Name
	if name == "" {
		name = w.GenerateName + "xxxxx"
	}
	vm := name + "-vm"
	if replicas > 1 {
		vm = fmt.Sprintf("%s-vm-%d", name, replicas-1)
	}
	if len(vm) > validation.DNS1123LabelMaxLength {
		l = append(l, field.Invalid(p.Child("name"), w.Name, "the name of the new VM, \""+vm+"\", must not exceed 63 characters; choose a shorter metadata.name"))
	}
	for i, d := range w.Spec.Disks {
		claim := name + "-" + d.Name
		if replicas > 1 {
			claim = vm + "-" + d.Name
		}
		if len(claim) > validation.DNS1123LabelMaxLength {
			l = append(l, field.Invalid(field.NewPath("spec", "disks").Index(i).Child("name"), d.Name, "the name of the new PVC, \""+claim+"\", must not exceed 63 characters; choose a shorter metadata.name or disk name"))
		}
	}
	return l
}

func requiredWithoutClone(s *WukongSpec, p *field.Path) (l errs) {
	if s.CPU == nil {
		l = append(l, field.Required(p.Child("cpu"), "cpu is required without cloneSource; set cpu to 1-64, or add a cloneSource"))
	}
	if s.Memory == nil {
		l = append(l, field.Required(p.Child("memory"), "memory is required without cloneSource; set memory to a quantity such as 4Gi, or add a cloneSource"))
	}
	for i, d := range s.Disks {
		at := p.Child("disks").Index(i)
		if d.Size == nil {
			l = append(l, field.Required(at.Child("size"), "each disk needs a size without cloneSource; set size to a quantity such as 20Gi, or add a cloneSource"))
		}
		if d.StorageClassName == nil {
			l = append(l, field.Required(at.Child("storageClassName"), "each disk needs a storageClassName without cloneSource; name a StorageClass, or add a cloneSource"))
		}
		if d.SourceDisk != nil {
			l = append(l, field.Forbidden(at.Child("sourceDisk"), "sourceDisk names a disk of the clone's source; remove sourceDisk, or add a cloneSource"))
		}
	}
	if s.Replicas != nil && *s.Replicas > 1 {
		l = append(l, field.Forbidden(p.Child("replicas"), "replicas above 1 need a cloneSource; remove replicas, or add a cloneSource"))
	}
	return l
}

func forbiddenWithClone(s *WukongSpec, p *field.Path) (l errs) {
	if s.OSImage != nil {
		l = append(l, field.Forbidden(p.Child("osImage"), "a clone takes its operating system from the source; remove osImage, or remove cloneSource"))
	}
	if s.CloudInitUser != nil {
		l = append(l, field.Forbidden(p.Child("cloudInitUser"), "a clone keeps the cloud-init data of its source and the users on its disks; remove cloudInitUser, and use sshKeySecret or add the user in the source"))
	}
	if s.RestoreFromSnapshot != nil {
		l = append(l, field.Forbidden(p.Child("restoreFromSnapshot"), "Wukong either clones a VM or restores it; remove restoreFromSnapshot, or remove cloneSource"))
	}
	if len(s.GPUs) > 0 {
		l = append(l, field.Forbidden(p.Child("gpus"), "a clone keeps the devices of its source; remove gpus, or remove cloneSource"))
	}
	for i, d := range s.Disks {
		if d.Image != nil {
			l = append(l, field.Forbidden(p.Child("disks").Index(i).Child("image"), "a cloned disk takes its data from the source, not from an image; remove image, or remove cloneSource"))
		}
	}
	return l
}

func effectiveType(c *CloneSource) string {
	if c.CloneType != "" {
		return c.CloneType
	}
	if c.Type == "vmi" {
		return "running"
	}
	return "full"
}

func validateSource(s *WukongSpec, p *field.Path) (l errs, warnings []string) {
	c := s.CloneSource
	switch c.Type {
	case "":
		l = append(l, field.Required(p.Child("type"), "cloneSource needs a type; set type to vm or vmi"))
	case "vm":
		if c.VMName == nil {
			l = append(l, field.Required(p.Child("vmName"), "type vm needs vmName; set vmName to the VirtualMachine to clone, or use type vmi"))
		}
		if c.VMIName != nil {
			l = append(l, field.Forbidden(p.Child("vmiName"), "type vm goes with vmName alone; remove vmiName, or use type vmi"))
		}
	case "vmi":
		if c.VMIName == nil {
			l = append(l, field.Required(p.Child("vmiName"), "type vmi needs vmiName; set vmiName to the running VirtualMachineInstance to clone, or use type vm"))
		}
		if c.VMName != nil {
			l = append(l, field.Forbidden(p.Child("vmName"), "type vmi goes with vmiName alone; remove vmName, or use type vm"))
		}
		if c.CloneType == "full" {
			l = append(l, field.Invalid(p.Child("cloneType"), c.CloneType, "a full clone needs a stopped source and a VMI is running; use cloneType running or linked, or type vm with vmName"))
		}
	default:
		l = append(l, choice(p.Child("type"), c.Type, sourceTypes)...)
	}
	l = append(l, subdomain(p.Child("vmName"), c.VMName, "VirtualMachine")...)
	l = append(l, subdomain(p.Child("vmiName"), c.VMIName, "VirtualMachineInstance")...)
	l = append(l, label(p.Child("namespace"), c.Namespace, "the name of a namespace")...)
	l = append(l, optional(p.Child("cloneType"), c.CloneType, cloneTypes)...)
	l = append(l, optional(p.Child("quiesce"), c.Quiesce, quiesces)...)
	l = append(l, optional(p.Child("snapshotMethod"), c.SnapshotMethod, methods)...)
	l = append(l, subdomain(p.Child("volumeSnapshotClassName"), c.VolumeSnapshotClassName, "VolumeSnapshotClass")...)
	if c.Quiesce == "Required" && effectiveType(c) == "full" {
		warnings = append(warnings, "spec.cloneSource.quiesce: quiesce has no effect on a full clone, whose source is stopped; remove it")
	}
	if c.StopSourceAfter && !(c.Type == "vm" && c.CloneType == "running") {
		l = append(l, field.Invalid(p.Child("stopSourceAfter"), true, "stopSourceAfter applies only to type vm with cloneType running; remove it, or set both"))
	}
	l = append(l, validateMethod(s, p)...)
	l = append(l, between(p.Child("deadlineSeconds"), c.DeadlineSeconds, 1, 604800, "set seconds, such as 3600, or leave it out")...)
	l = append(l, between(p.Child("retryLimit"), c.RetryLimit, 0, 100, "set a number of attempts, such as 5, or leave it out")...)
	l = append(l, validateTiming(c, p)...)
	return l, warnings
}

func validateMethod(s *WukongSpec, p *field.Path) (l errs) {
	c := s.CloneSource
	if c.SnapshotMethod != "VirtualMachineSnapshot" {
		return nil
	}
	if effectiveType(c) != "running" {
		l = append(l, field.Invalid(p.Child("snapshotMethod"), c.SnapshotMethod, "snapshotMethod VirtualMachineSnapshot applies only to cloneType running; set cloneType to running, or use snapshotMethod Auto or VolumeSnapshot"))
	}
	if c.Quiesce != "" && c.Quiesce != "IfAvailable" {
		l = append(l, field.Invalid(p.Child("quiesce"), c.Quiesce, "snapshotMethod VirtualMachineSnapshot can honour only quiesce IfAvailable; set that, or use snapshotMethod Auto or VolumeSnapshot"))
	}
	if c.VolumeSnapshotClassName != nil {
		l = append(l, field.Forbidden(p.Child("volumeSnapshotClassName"), "snapshotMethod VirtualMachineSnapshot chooses the class itself; remove volumeSnapshotClassName, or use snapshotMethod Auto or VolumeSnapshot"))
	}
	if len(s.Disks) > 0 {
		l = append(l, field.Forbidden(field.NewPath("spec", "disks"), "snapshotMethod VirtualMachineSnapshot takes all disks of the source as they are; remove disks, or use snapshotMethod Auto or VolumeSnapshot"))
	}
	return l
}

func validateTiming(c *CloneSource, p *field.Path) (l errs) {
	if w := c.Window; w != nil {
		at := p.Child("window")
		if w.Schedule == "" {
			l = append(l, field.Required(at.Child("schedule"), "a window needs a schedule; set a cron schedule such as \"0 22 * * *\""))
		} else if s, err := cronParser.Parse(w.Schedule); err != nil || len(w.Schedule) > 128 || strings.HasPrefix(w.Schedule, "@every") || strings.Contains(w.Schedule, "TZ=") {
			l = append(l, field.Invalid(at.Child("schedule"), w.Schedule, "must be a cron schedule of five fields or @daily and its like; write minute, hour, day, month and weekday, such as \"0 22 * * *\""))
		} else if s.Next(time.Now()).IsZero() {
			l = append(l, field.Invalid(at.Child("schedule"), w.Schedule, "the schedule does not occur within five years; choose a day that exists"))
		}
		if w.Duration == "" {
			l = append(l, field.Required(at.Child("duration"), "a window needs a duration; set for example 6h"))
		} else if d, err := time.ParseDuration(w.Duration); err != nil || !durationFormat.MatchString(w.Duration) || d < time.Minute || d > 168*time.Hour {
			l = append(l, field.Invalid(at.Child("duration"), w.Duration, "must be between 1m and 168h; write for example 6h or 1h30m"))
		}
		if w.TimeZone != nil {
			if _, err := time.LoadLocation(*w.TimeZone); err != nil || *w.TimeZone == "" || strings.EqualFold(*w.TimeZone, "Local") {
				l = append(l, field.Invalid(at.Child("timeZone"), *w.TimeZone, "must be an IANA time zone; write for example Asia/Shanghai, or leave it out for UTC"))
			}
		}
	}
	if c.NotBefore != nil {
		if _, err := time.Parse(time.RFC3339, *c.NotBefore); err != nil {
			l = append(l, field.Invalid(p.Child("notBefore"), *c.NotBefore, "must be a date and time with time zone; write for example 2026-01-02T22:00:00Z"))
		}
	}
	at := p.Child("gates")
	l = append(l, items(at, len(c.Gates), 8)...)
	seen := sets.New[string]()
	for i, g := range c.Gates {
		if seen.Has(g) {
			l = append(l, field.Duplicate(at.Index(i), g))
		}
		seen.Insert(g)
		for _, m := range validation.IsQualifiedName(g) {
			l = append(l, field.Invalid(at.Index(i), g, "must be a condition type; "+m))
		}
		if reservedGates.Has(g) {
			l = append(l, field.Invalid(at.Index(i), g, "must not be a condition that the clone itself sets; choose a type of your own such as example.com/DatabaseFlushed"))
		}
	}
	return l
}

func validateDisks(w *Wukong, p *field.Path) (l errs) {
	disks := w.Spec.Disks
	l = append(l, items(p, len(disks), 64)...)
	names, sources, boots := sets.New[string](), sets.New[string](), 0
	for i := range disks {
		d, at := &disks[i], p.Index(i)
		if d.Name == "" {
			l = append(l, field.Required(at.Child("name"), "each disk needs a name; set the name of the source's volume, or a new one with sourceDisk"))
		} else {
			l = append(l, label(at.Child("name"), &d.Name, "a lower case name of at most 63 characters")...)
			if names.Has(d.Name) {
				l = append(l, field.Duplicate(at.Child("name"), d.Name))
			}
			names.Insert(d.Name)
		}
		source := d.Name
		if d.SourceDisk != nil {
			source = *d.SourceDisk
		}
		if w.Spec.CloneSource != nil && sources.Has(source) {
			l = append(l, field.Duplicate(at.Child("sourceDisk"), source))
		}
		sources.Insert(source)
		if d.Boot {
			boots++
		}
		l = append(l, quantity(at.Child("size"), d.Size)...)
		l = append(l, subdomain(at.Child("storageClassName"), d.StorageClassName, "StorageClass")...)
		l = append(l, label(at.Child("sourceDisk"), d.SourceDisk, "the name of a volume of the source")...)
		l = append(l, atMost(at.Child("image"), d.Image, 4096)...)
	}
	if boots > 1 {
		l = append(l, field.Invalid(p, boots, "at most one disk can be the boot disk; leave boot true on one of them"))
	}
	return l
}

func validateUser(u *CloudInitUser, p *field.Path) (l errs) {
	if u == nil {
		return nil
	}
	if u.Name == "" {
		l = append(l, field.Required(p.Child("name"), "cloudInitUser needs a name; set the login name"))
	}
	l = append(l, atMost(p.Child("name"), &u.Name, 256)...)
	l = append(l, atMost(p.Child("password"), &u.Password, 1024)...)
	l = append(l, atMost(p.Child("passwordHash"), &u.PasswordHash, 1024)...)
	l = append(l, atMost(p.Child("sudo"), &u.Sudo, 1024)...)
	l = append(l, atMost(p.Child("shell"), &u.Shell, 1024)...)
	l = append(l, items(p.Child("groups"), len(u.Groups), 64)...)
	for i := range u.Groups {
		l = append(l, atMost(p.Child("groups").Index(i), &u.Groups[i], 256)...)
	}
	return l
}

func nadName(v string) bool {
	parts := strings.Split(v, "/")
	for _, part := range parts {
		if len(validation.IsDNS1123Subdomain(part)) > 0 {
			return false
		}
	}
	return len(parts) <= 2
}

func ip(p *field.Path, v *string) errs {
	if v == nil {
		return nil
	}
	if _, err := netip.ParseAddr(*v); err != nil {
		return errs{field.Invalid(p, *v, "must be an IP address; write for example 192.168.1.1")}
	}
	return nil
}

func validateNetworks(networks []Network, clone bool, p *field.Path) (l errs) {
	l = append(l, items(p, len(networks), 64)...)
	seen := sets.New[string]()
	for i := range networks {
		n, at := &networks[i], p.Index(i)
		if n.Name == "" {
			l = append(l, field.Required(at.Child("name"), "each network needs a name; set a name such as lan"))
		} else {
			l = append(l, label(at.Child("name"), &n.Name, "a lower case name of at most 63 characters")...)
			if seen.Has(n.Name) {
				l = append(l, field.Duplicate(at.Child("name"), n.Name))
			}
			seen.Insert(n.Name)
		}
		if clone && (n.NADName == nil || n.VLANID != nil || n.BridgeName != nil || n.PhysicalInterface != nil) {
			l = append(l, field.Forbidden(at, "a clone joins an existing NetworkAttachmentDefinition (nadName), which decides VLAN, bridge and interface; set nadName and remove vlanId, bridgeName and physicalInterface"))
		}
		l = append(l, optional(at.Child("type"), n.Type, networkTypes)...)
		if n.NADName != nil && !nadName(*n.NADName) {
			l = append(l, field.Invalid(at.Child("nadName"), *n.NADName, "must name a NetworkAttachmentDefinition; write name or namespace/name"))
		}
		l = append(l, between(at.Child("vlanId"), n.VLANID, 1, 4094, "set the VLAN's number")...)
		l = append(l, atMost(at.Child("bridgeName"), n.BridgeName, 253)...)
		l = append(l, atMost(at.Child("physicalInterface"), n.PhysicalInterface, 253)...)
		l = append(l, validateIP(n.IPConfig, clone, at.Child("ipConfig"))...)
	}
	return l
}

func validateIP(c *IPConfig, clone bool, p *field.Path) (l errs) {
	if c == nil {
		return nil
	}
	if c.Mode == "" {
		l = append(l, field.Required(p.Child("mode"), "ipConfig needs a mode; set mode to static or dhcp"))
	} else {
		l = append(l, choice(p.Child("mode"), c.Mode, ipModes)...)
	}
	if c.Mode == "static" && c.Address == nil {
		l = append(l, field.Required(p.Child("address"), "mode static needs an address such as 192.168.1.10/24; set address, or use mode dhcp"))
	}
	if clone && (c.Mode == "static" || c.Address != nil || c.Gateway != nil || len(c.DNSServers) > 0) {
		l = append(l, field.Invalid(p.Child("mode"), c.Mode, "a clone keeps its guest's network configuration, and Wukong cannot change it; remove ipConfig, or leave nothing but mode dhcp in it"))
	}
	if c.Address != nil {
		if _, err := netip.ParsePrefix(*c.Address); err != nil {
			l = append(l, field.Invalid(p.Child("address"), *c.Address, "must be an IP address with prefix length; write for example 192.168.1.10/24"))
		}
	}
	l = append(l, ip(p.Child("gateway"), c.Gateway)...)
	l = append(l, items(p.Child("dnsServers"), len(c.DNSServers), 16)...)
	for i := range c.DNSServers {
		l = append(l, ip(p.Child("dnsServers").Index(i), &c.DNSServers[i])...)
	}
	return l
}

func validateAvailability(h *HighAvailability, clone bool, p *field.Path) (l errs) {
	if h == nil {
		return nil
	}
	if h.RestartPolicy != nil {
		if clone {
			l = append(l, field.Forbidden(p.Child("restartPolicy"), "startStrategy.runStrategy decides when a clone is restarted; remove restartPolicy and set startStrategy.runStrategy"))
		}
		l = append(l, choice(p.Child("restartPolicy"), *h.RestartPolicy, restarts)...)
	}
	l = append(l, items(p.Child("nodeSelector"), len(h.NodeSelector), 64)...)
	l = append(l, metavalidation.ValidateLabels(h.NodeSelector, p.Child("nodeSelector"))...)
	l = append(l, items(p.Child("tolerations"), len(h.Tolerations), 64)...)
	for i := range h.Tolerations {
		t, at := &h.Tolerations[i], p.Child("tolerations").Index(i)
		l = append(l, atMost(at.Child("key"), &t.Key, 316)...)
		l = append(l, choice(at.Child("operator"), t.Operator, operators)...)
		l = append(l, atMost(at.Child("value"), &t.Value, 63)...)
		l = append(l, choice(at.Child("effect"), t.Effect, effects)...)
	}
	return l
}

func validateGPUs(gpus []GPU, p *field.Path) (l errs) {
	l = append(l, items(p, len(gpus), 32)...)
	for i := range gpus {
		g, at := &gpus[i], p.Index(i)
		if g.Name == "" {
			l = append(l, field.Required(at.Child("name"), "each GPU needs a name; set a name such as gpu1"))
		}
		if g.DeviceName == "" {
			l = append(l, field.Required(at.Child("deviceName"), "each GPU needs a deviceName; set the resource's name, such as nvidia.com/GA102GL_A10"))
		}
		l = append(l, atMost(at.Child("name"), &g.Name, 253)...)
		l = append(l, atMost(at.Child("deviceName"), &g.DeviceName, 253)...)
	}
	return l
}

// ValidateUpdate adds what may not change; findings that the old object has too are ratcheted away.
func ValidateUpdate(old, w *Wukong) (l errs, warnings []string) {
	found, warnings := Validate(w)
	if len(found) > 0 {
		before, _ := Validate(old)
		known := sets.New[string]()
		for _, e := range before {
			known.Insert(e.Error())
		}
		for _, e := range found {
			if !known.Has(e.Error()) {
				l = append(l, e)
			}
		}
	}
	p := field.NewPath("spec")
	a, b := old.Spec.CloneSource, w.Spec.CloneSource
	if (a == nil) != (b == nil) {
		return append(l, field.Forbidden(p.Child("cloneSource"), "cloneSource cannot be added or removed after creation; create another Wukong")), warnings
	}
	if a != nil {
		l = append(l, immutableSource(a, b, timingFixed(old), p.Child("cloneSource"))...)
		l = append(l, immutableDisks(old.Spec.Disks, w.Spec.Disks, p.Child("disks"))...)
	}
	if valueOr(old.Spec.Replicas, 1) != valueOr(w.Spec.Replicas, 1) {
		l = append(l, field.Forbidden(p.Child("replicas"), "replicas is immutable; restore the old value, or create another Wukong"))
	}
	return l, warnings
}

func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func timingFixed(old *Wukong) bool {
	if old.Status.CloneStatus.Phase == "Failed" {
		return false
	}
	for _, c := range old.Status.Conditions {
		if c.Type == "SnapshotTaken" && c.Status == "True" {
			return true
		}
	}
	return false
}

func immutableSource(a, b *CloneSource, timing bool, p *field.Path) (l errs) {
	fixed := func(same bool, name, why string) {
		if !same {
			l = append(l, field.Forbidden(p.Child(name), why+"; restore the old value, or create another Wukong"))
		}
	}
	fixed(a.Type == b.Type, "type", "the source is immutable")
	fixed(valueOr(a.VMName, "") == valueOr(b.VMName, ""), "vmName", "the source is immutable")
	fixed(valueOr(a.VMIName, "") == valueOr(b.VMIName, ""), "vmiName", "the source is immutable")
	fixed(b.Namespace == nil || valueOr(a.Namespace, "") == *b.Namespace, "namespace", "the source is immutable")
	fixed(b.CloneType == "" || effectiveType(a) == effectiveType(b), "cloneType", "cloneType is immutable")
	fixed(orDefault(a.Quiesce, "IfAvailable") == orDefault(b.Quiesce, "IfAvailable"), "quiesce", "this field is immutable")
	fixed(orDefault(a.SnapshotMethod, "Auto") == orDefault(b.SnapshotMethod, "Auto"), "snapshotMethod", "this field is immutable")
	fixed(valueOr(a.VolumeSnapshotClassName, "") == valueOr(b.VolumeSnapshotClassName, ""), "volumeSnapshotClassName", "this field is immutable")
	fixed(a.StopSourceAfter == b.StopSourceAfter, "stopSourceAfter", "this field is immutable")
	fixed(a.AllowUnsnapshottable == b.AllowUnsnapshottable, "allowUnsnapshottable", "this field is immutable")
	if timing {
		why := "this field is immutable once the snapshot is taken"
		fixed(valueOr(a.DeadlineSeconds, 3600) == valueOr(b.DeadlineSeconds, 3600), "deadlineSeconds", why)
		fixed(valueOr(a.RetryLimit, 5) == valueOr(b.RetryLimit, 5), "retryLimit", why)
		fixed(valueOr(a.NotBefore, "") == valueOr(b.NotBefore, ""), "notBefore", why)
		fixed(strings.Join(a.Gates, ",") == strings.Join(b.Gates, ","), "gates", why)
	}
	return l
}

func sameSize(a, b *intstr.IntOrString) bool {
	if a == nil || b == nil || *a == *b {
		return a == b || (a != nil && b != nil)
	}
	x, errX := quantityOf(a)
	y, errY := quantityOf(b)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

func immutableDisks(a, b []Disk, p *field.Path) errs {
	changed := len(a) != len(b)
	old := map[string]*Disk{}
	for i := range a {
		old[a[i].Name] = &a[i]
	}
	for i := range b {
		o, n := old[b[i].Name], &b[i]
		changed = changed || o == nil || !sameSize(o.Size, n.Size) || o.Boot != n.Boot ||
			valueOr(o.SourceDisk, "") != valueOr(n.SourceDisk, "") ||
			valueOr(o.StorageClassName, "") != valueOr(n.StorageClassName, "")
	}
	if !changed {
		return nil
	}
	return errs{field.Forbidden(p, "disks of a clone are immutable (sizes are compared by value); restore the old list, or create another Wukong")}
}
