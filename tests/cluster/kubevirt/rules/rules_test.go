package rules

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

func tree(t *testing.T, text string) obj.M {
	t.Helper()
	var m obj.M
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func vm(t *testing.T, domain, rest string) obj.M {
	return tree(t, `{"spec":{"runStrategy":"Halted","template":{"spec":{"domain":{`+domain+`}`+rest+`}}}}`)
}

func fields(c Causes) string {
	var out []string
	for _, cause := range c {
		out = append(out, cause.Field+": "+cause.Message)
	}
	return strings.Join(out, "\n")
}

// Each rule refuses what breaks it, naming the field; the same VM without the mistake passes.
func TestVMRefusals(t *testing.T) {
	const devices = `"devices":{"disks":[{"name":"root"}]}`
	const volumes = `,"volumes":[{"name":"root","persistentVolumeClaim":{"claimName":"c"}}]`
	if c := VM(vm(t, devices, volumes), nil, nil, nil, "me"); len(c) > 0 {
		t.Fatalf("a good VM: %s", fields(c))
	}
	cases := []struct{ name, domain, rest, field, text string }{
		{"hostname", devices, volumes + `,"hostname":"A.b"`, "spec.template.spec.hostname", "DNS_LABEL"},
		{"subdomain", devices, volumes + `,"subdomain":"_"`, "spec.template.spec.subdomain", "DNS_SUBDOMAIN"},
		{"disk without volume", devices, ``, "spec.template.spec.domain.devices.disks[0].name",
			"spec.template.spec.domain.devices.disks[0].Name 'root' not found."},
		{"volume twice", devices, `,"volumes":[{"name":"root","emptyDisk":{"capacity":"1"}},{"name":"root","emptyDisk":{"capacity":"1"}}]`,
			"spec.template.spec.volumes[1].name", "must not have the same Name"},
		{"no source", devices, `,"volumes":[{"name":"root"}]`, "spec.template.spec.volumes[0]", "exactly one source type"},
		{"two sources", devices, `,"volumes":[{"name":"root","emptyDisk":{"capacity":"1"},"configMap":{"name":"x"}}]`,
			"spec.template.spec.volumes[0]", "exactly one source type"},
		{"empty cloud-init", devices, `,"volumes":[{"name":"root","cloudInitNoCloud":{}}]`,
			"spec.template.spec.volumes[0].cloudInitNoCloud", "at least one userdatasource"},
		{"host disk", devices, `,"volumes":[{"name":"root","hostDisk":{"path":"/x","type":"Disk"}}]`,
			"spec.template.spec.volumes[0]", "HostDisk feature gate is not enabled"},
		{"disk twice", `"devices":{"disks":[{"name":"root"},{"name":"root"}]}`, volumes,
			"spec.template.spec.domain.devices.disks[1].name", "must not have the same Name"},
		{"boot order twice", `"devices":{"disks":[{"name":"root","bootOrder":1},{"name":"b","bootOrder":1}]}`,
			`,"volumes":[{"name":"root","emptyDisk":{"capacity":"1"}},{"name":"b","emptyDisk":{"capacity":"1"}}]`,
			"spec.template.spec.domain.devices.disks[1].bootOrder", "already set"},
		{"boot order 0", `"devices":{"disks":[{"name":"root","bootOrder":0}]}`, volumes,
			"spec.template.spec.domain.devices.disks[0].bootOrder", "> 0"},
		{"ide", `"devices":{"disks":[{"name":"root","disk":{"bus":"ide"}}]}`, volumes,
			"spec.template.spec.domain.devices.disks[0].disk.bus", "IDE bus is not supported"},
		{"max sockets", devices + `,"cpu":{"sockets":4,"maxSockets":2}`, volumes, "spec.template.spec.domain.cpu.sockets",
			"Number of sockets in CPU topology is greater"},
		{"max guest", devices + `,"memory":{"guest":"4Gi","maxGuest":"2Gi"}`, volumes,
			"spec.template.spec.domain.memory.guest", "Guest memory is greater than the configured maxGuest memory"},
		{"small requests", devices + `,"resources":{"requests":{"memory":"1k"}}`, volumes,
			"spec.template.spec.domain.resources.requests.memory", "greater than or equal to 1M"},
		{"requests over limits", devices + `,"resources":{"requests":{"memory":"2Gi"},"limits":{"memory":"1Gi"}}`, volumes,
			"spec.template.spec.domain.resources.requests.memory", "is greater than"},
		{"hugepages", devices + `,"memory":{"guest":"3Mi","hugepages":{"pageSize":"2Mi"}}`, volumes,
			"spec.template.spec.domain.resources.requests.memory", "is not a multiple of the page size"},
		{"dedicated with cores", devices + `,"cpu":{"cores":2,"dedicatedCpuPlacement":true},"resources":{"requests":{"cpu":"2"}}`,
			volumes, "spec.template.spec.domain.cpu.dedicatedCpuPlacement", "must not be provided at the same time"},
		{"machine", devices + `,"machine":{"type":"pc-i440fx"}`, volumes, "spec.template.spec.domain.machine.type",
			"is not supported"},
		{"architecture", devices, volumes + `,"architecture":"mips"`, "spec.template.spec.architecture", "unsupported"},
		{"eviction", devices, volumes + `,"evictionStrategy":"Never"`, "spec.template.spec.evictionStrategy", "unrecognized"},
		{"mac", `"devices":{"disks":[{"name":"root"}],"interfaces":[{"name":"n","bridge":{},"macAddress":"x"}]}`,
			volumes + `,"networks":[{"name":"n","pod":{}}]`, "spec.template.spec.domain.devices.interfaces[0].macAddress",
			"malformed MAC address (x)"},
		{"two bindings", `"devices":{"disks":[{"name":"root"}],"interfaces":[{"name":"n","bridge":{},"masquerade":{}}]}`,
			volumes + `,"networks":[{"name":"n","pod":{}}]`, "spec.template.spec.domain.devices.interfaces[0]",
			"exactly one binding method"},
		{"interface without network", `"devices":{"disks":[{"name":"root"}],"interfaces":[{"name":"n","bridge":{}}]}`,
			volumes, "spec.template.spec.domain.devices.interfaces[0].name", "'n' not found."},
		{"network without interface", devices, volumes + `,"networks":[{"name":"n","pod":{}}]`,
			"spec.template.spec.networks[0].name", "'n' not found."},
		{"network twice", `"devices":{"disks":[{"name":"root"}],"interfaces":[{"name":"n","bridge":{}}]}`,
			volumes + `,"networks":[{"name":"n","multus":{"networkName":"a"}},{"name":"n","multus":{"networkName":"b"}}]`,
			"spec.template.spec.networks[1].name", "every network must have a unique name"},
		{"slirp", `"devices":{"disks":[{"name":"root"}],"interfaces":[{"name":"n","slirp":{}}]}`,
			volumes + `,"networks":[{"name":"n","pod":{}}]`, "spec.template.spec.domain.devices.interfaces[0].slirp",
			"discontinued"},
	}
	for _, c := range cases {
		got := fields(VM(vm(t, c.domain, c.rest), nil, nil, nil, "me"))
		if !strings.Contains(got, c.field+": ") || !strings.Contains(got, c.text) {
			t.Errorf("%s: want %s with %q, got\n%s", c.name, c.field, c.text, got)
		}
	}
}

// Reserved labels pass for KubeVirt's own accounts and for nobody else; a template is required.
func TestTemplateAndLabels(t *testing.T) {
	if got := fields(VM(tree(t, `{"spec":{"runStrategy":"Halted"}}`), nil, nil, nil, "me")); !strings.Contains(got, "missing virtual machine template.") {
		t.Error(got)
	}
	for _, label := range reserved {
		machine := vm(t, `"devices":{}`, "")
		obj.Set(machine, "x", "spec", "template", "metadata", "labels", label)
		if c := VM(machine, nil, nil, nil, "me"); len(c) != 1 || c[0].Field != "spec.template.metadata.labels" {
			t.Errorf("%s: %s", label, fields(c))
		}
		if c := VM(machine, nil, nil, nil, "system:serviceaccount:kubevirt:kubevirt-controller"); len(c) != 0 {
			t.Errorf("%s as KubeVirt: %s", label, fields(c))
		}
	}
}

// A VM that is being snapshotted keeps its volumes and its run strategy; everything else may change.
func TestSnapshotLock(t *testing.T) {
	base := `{"spec":{"runStrategy":"Always","template":{"spec":{"domain":{"devices":{}},"volumes":[{"name":"a","emptyDisk":{"capacity":"1"}}]}}},"status":{"snapshotInProgress":"s"}}`
	for _, c := range []struct {
		name, want string
		change     func(obj.M)
	}{
		{"label", "", func(m obj.M) { obj.Set(m, "y", "metadata", "labels", "x") }},
		{"hostname", "", func(m obj.M) { obj.Set(m, "h", "spec", "template", "spec", "hostname") }},
		{"strategy", `Cannot update vm running state until snapshot "s" completes`,
			func(m obj.M) { obj.Set(m, "Halted", "spec", "runStrategy") }},
		{"strategy to running", `Cannot update vm running state until snapshot "s" completes`,
			func(m obj.M) { obj.Delete(m, "spec", "runStrategy"); obj.Set(m, true, "spec", "running") }},
		{"volumes", `Cannot update vm disks or volumes until snapshot "s" completes`,
			func(m obj.M) { obj.Set(m, []any{}, "spec", "template", "spec", "volumes") }},
	} {
		now := tree(t, base)
		c.change(now)
		got := VM(now, tree(t, base), nil, nil, "system:admin")
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || got[0].Message != c.want) {
			t.Errorf("%s: %s", c.name, fields(got))
		}
		free := obj.Copy(now)
		obj.Delete(free, "status", "snapshotInProgress")
		if got := VM(free, tree(t, base), nil, nil, "system:admin"); len(got) > 0 {
			t.Errorf("%s without a snapshot: %s", c.name, fields(got))
		}
	}
}

// start and stop, for every strategy with and without a machine (rest/lifecycle.go).
func TestStartStop(t *testing.T) {
	machine := func(phase string) obj.M {
		if phase == "" {
			return nil
		}
		return obj.M{"metadata": obj.M{"uid": "u"}, "status": obj.M{"phase": phase}}
	}
	describe := func(a StartAnswer) string {
		switch {
		case a.Conflict != "":
			return a.Conflict
		case a.Spec:
			return "spec"
		}
		var names []string
		for _, r := range a.Requests {
			names = append(names, obj.Str(r, "action")+obj.Str(r, "uid"))
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct{ strategy, phase, start, stop string }{
		{Halted, "", "spec", "VM is not running"},
		{Halted, "Running", "VM is already running", "Halted only supports manual stop requests with a shorter graceperiod"},
		{Always, "", "Always does not support manual start requests", "spec"},
		{Always, "Running", "VM is already running", "spec"},
		{Once, "", "Once does not support manual start requests", "spec"},
		{Manual, "", "Start", "VM is not running"},
		{Manual, "Running", "VM is already running", "Stopu"},
		{Manual, "Succeeded", "Stopu Start", "VM is not running"},
		{Manual, "Failed", "Stopu Start", "VM is not running"},
		{RerunOnFailure, "", "Start", "VM is not running"},
		{RerunOnFailure, "Running", "VM is already running", "Stopu"},
		{RerunOnFailure, "Succeeded", "Stopu Start", "VM is not running"},
		{RerunOnFailure, "Failed", "RerunOnFailure does not support starting VM from failed state", "VM is not running"},
	} {
		vm := obj.M{"spec": obj.M{"runStrategy": c.strategy}}
		if got := describe(Start(vm, machine(c.phase), false)); got != c.start {
			t.Errorf("start %s %s: %s", c.strategy, c.phase, got)
		}
		if got := describe(Stop(vm, machine(c.phase), nil)); got != c.stop {
			t.Errorf("stop %s %s: %s", c.strategy, c.phase, got)
		}
	}
}

// What the VM controller does next (vm.go syncRunStrategy).
func TestNext(t *testing.T) {
	for _, c := range []struct {
		name, vm, vmi string
		want          Action
	}{
		{"always", `{"spec":{"runStrategy":"Always"}}`, ``, StartVMI},
		{"always, ended", `{"spec":{"runStrategy":"Always"}}`, `{"status":{"phase":"Succeeded"}}`, StopVMI},
		{"running true", `{"spec":{"running":true}}`, ``, StartVMI},
		{"running false", `{"spec":{"running":false}}`, `{"status":{"phase":"Running"}}`, StopVMI},
		{"rerun, new", `{"spec":{"runStrategy":"RerunOnFailure"}}`, ``, StartVMI},
		{"rerun, ended well", `{"spec":{"runStrategy":"RerunOnFailure"},"status":{"runStrategy":"RerunOnFailure"}}`, ``, Nothing},
		{"rerun, failed", `{"spec":{"runStrategy":"RerunOnFailure"}}`, `{"status":{"phase":"Failed"}}`, StopAndRequestStart},
		{"manual", `{"spec":{"runStrategy":"Manual"}}`, ``, Nothing},
		{"manual, asked", `{"spec":{"runStrategy":"Manual"},"status":{"stateChangeRequests":[{"action":"Start"}]}}`, ``, StartVMI},
		{"manual, stop of another", `{"spec":{"runStrategy":"Manual"},"status":{"stateChangeRequests":[{"action":"Stop","uid":"x"}]}}`,
			`{"metadata":{"uid":"u"},"status":{"phase":"Running"}}`, Nothing},
		{"manual, stop", `{"spec":{"runStrategy":"Manual"},"status":{"stateChangeRequests":[{"action":"Stop","uid":"u"}]}}`,
			`{"metadata":{"uid":"u"},"status":{"phase":"Running"}}`, StopVMI},
		{"once, ended", `{"spec":{"runStrategy":"Once"}}`, `{"status":{"phase":"Succeeded"}}`, Nothing},
	} {
		var vmi obj.M
		if c.vmi != "" {
			vmi = tree(t, c.vmi)
		}
		if got := Next(tree(t, c.vm), vmi); got != c.want {
			t.Errorf("%s: %d", c.name, got)
		}
	}
}

// The class is the profile's, the driver's only one, or the first that bears the default annotation,
// whatever it says; two without it are an error.
func TestSnapshotClass(t *testing.T) {
	storage := tree(t, `{"metadata":{"name":"sc"},"provisioner":"d"}`)
	a, b := tree(t, `{"metadata":{"name":"a"},"driver":"d"}`), tree(t, `{"metadata":{"name":"b"},"driver":"d"}`)
	marked := tree(t, `{"metadata":{"name":"m","annotations":{"snapshot.storage.kubernetes.io/is-default-class":"false"}},"driver":"d"}`)
	other := tree(t, `{"metadata":{"name":"o"},"driver":"x"}`)
	profile := tree(t, `{"status":{"snapshotClass":"b"}}`)
	for _, c := range []struct {
		name    string
		profile obj.M
		classes []obj.M
		want    string
		err     bool
	}{
		{"none", nil, []obj.M{other}, "", false},
		{"only", nil, []obj.M{other, a}, "a", false},
		{"marked false", nil, []obj.M{a, marked}, "m", false},
		{"ambiguous", nil, []obj.M{a, b}, "", true},
		{"profile", profile, []obj.M{a, b}, "b", false},
		{"profile names what is not there", profile, []obj.M{a}, "", false},
	} {
		got, err := SnapshotClass(storage, c.profile, c.classes)
		if got != c.want || (err != nil) != c.err {
			t.Errorf("%s: %q %v", c.name, got, err)
		}
	}
}

// A deadline of 0 never comes; a snapshot that succeeded cannot miss it; one that failed stays failed.
func TestDeadline(t *testing.T) {
	long := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		name, spec, phase string
		want              bool
	}{
		{"default", `{}`, "InProgress", true},
		{"none", `{"failureDeadline":"0s"}`, "InProgress", false},
		{"longer", `{"failureDeadline":"2h"}`, "InProgress", false},
		{"succeeded", `{}`, "Succeeded", false},
		{"failed", `{"failureDeadline":"2h"}`, "Failed", true},
	} {
		s := tree(t, `{"metadata":{"creationTimestamp":"`+long+`"},"spec":`+c.spec+`,"status":{"phase":"`+c.phase+`"}}`)
		if got := DeadlineExceeded(s, time.Now()); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// A changed spec needs a restart unless the change can be made live (vm.go syncRestartRequired).
func TestRestartRequired(t *testing.T) {
	base := `{"template":{"spec":{"hostname":"a","domain":{"cpu":{"sockets":1,"cores":1},"memory":{"guest":"1Gi"},"devices":{}},"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}}}`
	for _, c := range []struct {
		name   string
		change func(obj.M)
		want   bool
	}{
		{"nothing", func(obj.M) {}, false},
		{"strategy", func(m obj.M) { obj.Set(m, "Halted", "runStrategy") }, false},
		{"sockets", func(m obj.M) { obj.Set(m, int64(2), "template", "spec", "domain", "cpu", "sockets") }, false},
		{"memory", func(m obj.M) { obj.Set(m, "2Gi", "template", "spec", "domain", "memory", "guest") }, false},
		{"cores", func(m obj.M) { obj.Set(m, int64(2), "template", "spec", "domain", "cpu", "cores") }, true},
		{"hostname", func(m obj.M) { obj.Set(m, "b", "template", "spec", "hostname") }, true},
		{"cold volume", func(m obj.M) {
			obj.Append(m, obj.M{"name": "w", "persistentVolumeClaim": obj.M{"claimName": "d"}}, "template", "spec", "volumes")
		}, true},
		{"hot volume", func(m obj.M) {
			obj.Append(m, obj.M{"name": "w", "persistentVolumeClaim": obj.M{"claimName": "d", "hotpluggable": true}}, "template", "spec", "volumes")
			obj.Append(m, obj.M{"name": "w"}, "template", "spec", "domain", "devices", "disks")
		}, false},
	} {
		now := tree(t, base)
		c.change(now)
		if got := RestartRequired(tree(t, base), now, nil); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Hotplug defaults: four times the sockets and, from 1Gi on, four times the memory
// (pkg/defaults/defaults.go, seen on v1.9).
func TestNewVMIDefaults(t *testing.T) {
	for _, c := range []struct{ guest, want string }{{"1Gi", "4Gi"}, {"512Mi", ""}, {"1073741825", ""}} {
		vmi := tree(t, `{"metadata":{},"spec":{"domain":{"devices":{},"memory":{"guest":"`+c.guest+`"}}}}`)
		MutateNewVMI(vmi, "now", func() string { return "id" })
		if got := obj.Str(vmi, "spec", "domain", "memory", "maxGuest"); got != c.want {
			t.Errorf("%s: maxGuest %q", c.guest, got)
		}
		if got := obj.Int(vmi, "spec", "domain", "cpu", "maxSockets"); got != 4 {
			t.Errorf("maxSockets %d", got)
		}
		if c := NewVMI(vmi, "me"); len(c) > 0 {
			t.Errorf("its own defaults are refused: %s", fields(c))
		}
	}
}

// Both the VM and the instancetype saying a thing is a conflict; the order of memory's checks shows only
// the first.
func TestInstancetypeConflicts(t *testing.T) {
	kind := tree(t, `{"cpu":{"guest":2},"memory":{"guest":"1Gi"}}`)
	for _, c := range []struct{ domain, field string }{
		{`"cpu":{"cores":1}`, "spec.template.spec.domain.cpu.cores"},
		{`"cpu":{"sockets":1}`, "spec.template.spec.domain.cpu.sockets"},
		{`"memory":{"guest":"1Gi"}`, "spec.template.spec.domain.memory.guest"},
		{`"resources":{"requests":{"memory":"1Gi"}}`, "spec.template.spec.domain.resources.requests.memory"},
		{`"resources":{"limits":{"cpu":"1"}}`, "spec.template.spec.domain.resources.limits.cpu"},
	} {
		got := VM(vm(t, `"devices":{},`+c.domain, ""), nil, kind, nil, "me")
		if len(got) != 1 || got[0].Field != c.field ||
			got[0].Message != "VM field(s) "+c.field+" conflicts with selected instance type" {
			t.Errorf("%s: %s", c.domain, fields(got))
		}
	}
	if got := VM(vm(t, `"devices":{}`, ""), nil, kind, nil, "me"); len(got) > 0 {
		t.Errorf("without conflict: %s", fields(got))
	}
}

// The first status that fits is printed (vm.go setPrintableStatus).
func TestPrintableStatus(t *testing.T) {
	always := `{"spec":{"runStrategy":"Always"}}`
	for _, c := range []struct {
		want, vm, vmi string
		unbound       bool
	}{
		{"Stopped", `{"spec":{"runStrategy":"Halted"}}`, ``, false},
		{"Starting", always, `{"status":{"phase":"Scheduling"}}`, false},
		{"WaitingForVolumeBinding", always, `{"status":{"phase":"Scheduling"}}`, true},
		{"Running", always, `{"status":{"phase":"Running"}}`, true},
		{"Paused", always, `{"status":{"phase":"Running","conditions":[{"type":"Paused","status":"True"}]}}`, false},
		{"Migrating", always, `{"status":{"phase":"Running","migrationState":{"startTimestamp":"t"}}}`, false},
		{"Running", always, `{"status":{"phase":"Running","migrationState":{"startTimestamp":"t","completed":true}}}`, false},
		{"Stopping", always, `{"metadata":{"deletionTimestamp":"t"},"status":{"phase":"Running"}}`, false},
		{"Terminating", `{"metadata":{"deletionTimestamp":"t"}}`, `{"status":{"phase":"Running"}}`, false},
		{"ErrorPvcNotFound", always, `{"status":{"phase":"Pending","conditions":[{"type":"Synchronized","status":"False","reason":"FailedPvcNotFound"}]}}`, false},
	} {
		var vmi obj.M
		if c.vmi != "" {
			vmi = tree(t, c.vmi)
		}
		if got := PrintableStatus(tree(t, c.vm), vmi, c.unbound); got != c.want {
			t.Errorf("want %s, got %s", c.want, got)
		}
	}
}
