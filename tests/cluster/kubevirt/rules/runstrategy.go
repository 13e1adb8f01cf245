package rules

import (
	"k8s.io/apimachinery/pkg/api/equality"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

// Run strategies.
const (
	Halted         = "Halted"
	Manual         = "Manual"
	Always         = "Always"
	RerunOnFailure = "RerunOnFailure"
	Once           = "Once"
)

// RunStrategy is the VM's, also when it is written as the older `running`.
func RunStrategy(vm obj.M) string {
	if s := obj.Str(vm, "spec", "runStrategy"); s != "" {
		return s
	}
	if obj.Bool(vm, "spec", "running") {
		return Always
	}
	return Halted
}

// Final says whether the VMI has ended.
func Final(vmi obj.M) bool {
	phase := obj.Str(vmi, "status", "phase")
	return phase == "Succeeded" || phase == "Failed"
}

// Action is what the VM controller does next about the VMI.
type Action int

const (
	Nothing Action = iota
	StartVMI
	StopVMI
	StopAndRequestStart // a failed VMI of RerunOnFailure
	HaltedToAlways      // a start request, paused, of a halted VM
)

// Next is vm.go syncRunStrategy; vmi is nil when there is none.
func Next(vm, vmi obj.M) Action {
	strategy := RunStrategy(vm)
	stop := stopRequested(vm, vmi)
	switch strategy {
	case Always:
		if vmi == nil {
			return StartVMI
		}
		if stop || Final(vmi) {
			return StopVMI
		}
	case RerunOnFailure:
		if vmi == nil {
			// Started once when the strategy is new to the VM, afterwards only on request.
			if startRequested(vm) || obj.Str(vm, "status", "runStrategy") != strategy {
				return StartVMI
			}
			return Nothing
		}
		if obj.Str(vmi, "status", "phase") == "Failed" {
			return StopAndRequestStart
		}
		if stop || Final(vmi) {
			return StopVMI
		}
	case Manual:
		if vmi == nil && startRequested(vm) {
			return StartVMI
		}
		if vmi != nil && stop {
			return StopVMI
		}
	case Halted:
		if vmi != nil {
			return StopVMI
		}
		if startRequested(vm) {
			return HaltedToAlways
		}
	case Once:
		if vmi == nil {
			return StartVMI
		}
	}
	return Nothing
}

func firstRequest(vm obj.M) obj.M {
	requests := obj.List(vm, "status", "stateChangeRequests")
	if len(requests) == 0 {
		return nil
	}
	return requests[0]
}

func startRequested(vm obj.M) bool { return obj.Str(firstRequest(vm), "action") == "Start" }

func stopRequested(vm, vmi obj.M) bool {
	r := firstRequest(vm)
	return vmi != nil && obj.Str(r, "action") == "Stop" && obj.Str(r, "uid") != "" &&
		obj.Str(r, "uid") == obj.Str(vmi, "metadata", "uid")
}

// FirstRequestDone is vm.go isTrimFirstChangeRequestNeeded.
func FirstRequestDone(vm, vmi obj.M) bool {
	r := firstRequest(vm)
	switch obj.Str(r, "action") {
	case "Stop":
		return vmi == nil || obj.Str(r, "uid") != obj.Str(vmi, "metadata", "uid")
	case "Start":
		return vmi != nil && !obj.Has(vmi, "metadata", "deletionTimestamp") && !Final(vmi)
	}
	return false
}

// Condition finds a condition by type; nil when absent.
func Condition(o obj.M, kind string) obj.M {
	for _, c := range obj.List(o, "status", "conditions") {
		if obj.Str(c, "type") == kind {
			return c
		}
	}
	return nil
}

// True says whether the condition is there and true.
func True(o obj.M, kind string) bool { return obj.Str(Condition(o, kind), "status") == "True" }

// PrintableStatus is vm.go setPrintableStatus: the first that fits. unbound: one of the VM's claims is
// there and not bound.
func PrintableStatus(vm, vmi obj.M, unbound bool) string {
	phase := obj.Str(vmi, "status", "phase")
	switch {
	case obj.Has(vm, "metadata", "deletionTimestamp"):
		return "Terminating"
	case vmi != nil && !Final(vmi) && obj.Has(vmi, "metadata", "deletionTimestamp"):
		return "Stopping"
	case vmi != nil && Migrating(vmi):
		return "Migrating"
	case phase == "Running" && True(vmi, "Paused"):
		return "Paused"
	case phase == "Running":
		return "Running"
	case obj.Str(Condition(vmi, "Synchronized"), "reason") == "FailedPvcNotFound":
		return "ErrorPvcNotFound"
	case obj.Str(Condition(vmi, "PodScheduled"), "reason") == "Unschedulable":
		return "ErrorUnschedulable"
	case unbound && setToStart(vm, vmi):
		return "WaitingForVolumeBinding"
	case vmi != nil && !Final(vmi):
		return "Starting"
	}
	return "Stopped"
}

func setToStart(vm, vmi obj.M) bool {
	switch s := RunStrategy(vm); s {
	case Always:
		return true
	case Manual:
		if vmi != nil {
			return !stopRequested(vm, vmi)
		}
		return startRequested(vm)
	case RerunOnFailure:
		if vmi != nil {
			return obj.Str(vmi, "status", "phase") != "Succeeded"
		}
		return startRequested(vm) || obj.Str(vm, "status", "runStrategy") != s
	case Once:
		return vmi == nil
	}
	return false
}

// Migrating is pkg/util/migrations IsMigrating.
func Migrating(vmi obj.M) bool {
	state := obj.Map(vmi, "status", "migrationState")
	return state != nil && obj.Has(state, "startTimestamp") && !obj.Bool(state, "completed")
}

// RestartRequired compares what runs with what the VM says now, without what can be changed live
// (vm.go syncRestartRequired under the rollout strategy LiveUpdate).
func RestartRequired(ran, now, vmi obj.M) bool {
	if ran == nil {
		return false
	}
	a, b := obj.Copy(obj.Map(ran, "template", "spec")), obj.Copy(obj.Map(now, "template", "spec"))
	if a == nil || b == nil {
		return false
	}
	for _, path := range [][]string{{"nodeSelector"}, {"affinity"}, {"tolerations"},
		{"domain", "cpu", "sockets"}, {"domain", "memory", "guest"}} {
		obj.Delete(a, path...)
		obj.Delete(b, path...)
	}
	uuid := obj.Str(b, "domain", "firmware", "uuid")
	if uuid != "" && uuid == obj.Str(vmi, "spec", "domain", "firmware", "uuid") {
		obj.Set(a, uuid, "domain", "firmware", "uuid")
	}
	hot := hotpluggable(a, b)
	strip(a, hot)
	strip(b, hot)
	return !equality.Semantic.DeepEqual(a, b)
}

// hotpluggable names the volumes that come and go without a restart.
func hotpluggable(specs ...obj.M) map[string]bool {
	out := map[string]bool{}
	for _, spec := range specs {
		for _, volume := range obj.List(spec, "volumes") {
			if obj.Bool(volume, "persistentVolumeClaim", "hotpluggable") || obj.Bool(volume, "dataVolume", "hotpluggable") {
				out[obj.Str(volume, "name")] = true
			}
		}
	}
	return out
}

func strip(spec obj.M, names map[string]bool) {
	for _, path := range [][]string{{"volumes"}, {"domain", "devices", "disks"}} {
		items := obj.List(spec, path...)
		kept := items[:0]
		for _, item := range items {
			if !names[obj.Str(item, "name")] {
				kept = append(kept, item)
			}
		}
		obj.Set(spec, obj.Anys(kept), path...)
	}
}

// StartAnswer is what the subresource start makes of a VM (rest/lifecycle.go StartVMRequestHandler).
type StartAnswer struct {
	Conflict string // the reason of a 409
	Spec     bool   // spec.runStrategy or spec.running is switched
	Requests []obj.M
}

// Start decides a start request.
func Start(vm, vmi obj.M, paused bool) StartAnswer {
	phase := obj.Str(vmi, "status", "phase")
	if vmi != nil && !Final(vmi) && phase != "" && phase != "Unknown" {
		return StartAnswer{Conflict: "VM is already running"}
	}
	start := obj.M{"action": "Start"}
	if paused {
		start["data"] = obj.M{"paused": "true"}
	}
	switch strategy := RunStrategy(vm); strategy {
	case Halted:
		if paused {
			return StartAnswer{Requests: []obj.M{start}}
		}
		return StartAnswer{Spec: true}
	case RerunOnFailure, Manual:
		if strategy == RerunOnFailure && phase == "Failed" {
			return StartAnswer{Conflict: strategy + " does not support starting VM from failed state"}
		}
		if phase == "Succeeded" || phase == "Failed" {
			return StartAnswer{Requests: []obj.M{{"action": "Stop", "uid": obj.Str(vmi, "metadata", "uid")}, start}}
		}
		return StartAnswer{Requests: []obj.M{start}}
	default:
		return StartAnswer{Conflict: strategy + " does not support manual start requests"}
	}
}

// Stop decides a stop request (StopVMRequestHandler); grace is nil when the request names none.
func Stop(vm, vmi obj.M, grace *int64) StartAnswer {
	gone := vmi == nil || Final(vmi)
	stop := []obj.M{{"action": "Stop", "uid": obj.Str(vmi, "metadata", "uid")}}
	switch strategy := RunStrategy(vm); strategy {
	case Halted:
		if gone {
			return StartAnswer{Conflict: "VM is not running"}
		}
		old := obj.Get(vmi, "spec", "terminationGracePeriodSeconds")
		if grace == nil || (old != nil && *grace >= obj.Int(vmi, "spec", "terminationGracePeriodSeconds")) {
			return StartAnswer{Conflict: strategy + " only supports manual stop requests with a shorter graceperiod"}
		}
		return StartAnswer{Requests: stop}
	case RerunOnFailure, Manual:
		if gone {
			return StartAnswer{Conflict: "VM is not running"}
		}
		return StartAnswer{Requests: stop}
	default:
		return StartAnswer{Spec: true}
	}
}
