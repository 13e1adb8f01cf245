package control

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// VMIController is pkg/virt-controller/watch/vmi plus the node's part: it brings a VMI from Pending to
// Running and to its end. There are no launcher Pods; what they decide is decided here.
type VMIController struct {
	*Cluster
	Node  *Node
	Queue *Queue
}

// NewVMIController makes the controller and hooks it to the caches.
func NewVMIController(c *Cluster, n *Node) *VMIController {
	v := &VMIController{Cluster: c, Node: n}
	v.Queue = NewQueue("vmi", v.reconcile)
	c.On(VMIs, func(o obj.M) {
		if c.CachedOne(VMIs, obj.Str(o, "metadata", "namespace"), obj.Str(o, "metadata", "name")) == nil {
			n.Stop(obj.Str(o, "metadata", "uid"), 0)
		}
		v.Queue.Add(Key(o))
	})
	c.On(Claims, func(o obj.M) {
		for _, vmi := range c.Cached(VMIs, obj.Str(o, "metadata", "namespace")) {
			if obj.Str(vmi, "status", "phase") == "Running" {
				continue
			}
			for _, volume := range obj.List(vmi, "spec", "volumes") {
				if rules.ClaimOf(volume) == obj.Str(o, "metadata", "name") {
					v.Queue.Add(Key(vmi))
				}
			}
		}
	})
	return v
}

func (v *VMIController) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := SplitKey(key)
	vmi, err := v.Get(ctx, VMIs, namespace, name)
	if err != nil || vmi == nil {
		return 0, err
	}
	before := obj.Copy(vmi)
	var again time.Duration
	switch phase := obj.Str(vmi, "status", "phase"); {
	case rules.Deleting(vmi):
		v.end(vmi)
	case phase == "" || phase == "Pending":
		again, err = v.pending(ctx, vmi)
	case phase == "Scheduling":
		again, err = v.scheduling(ctx, vmi)
	case phase == "Scheduled":
		again = v.boot(ctx, vmi)
	case phase == "Running":
		again, err = v.running(ctx, vmi)
	}
	if err != nil {
		return 0, err
	}
	if !equality.Semantic.DeepEqual(before, vmi) {
		if _, err := v.Update(ctx, VMIs, vmi); err != nil {
			return 0, err
		}
	}
	return again, nil
}

func setPhase(vmi obj.M, phase string) {
	if obj.Str(vmi, "status", "phase") == phase {
		return
	}
	obj.Set(vmi, phase, "status", "phase")
	obj.Append(vmi, obj.M{"phase": phase, "phaseTransitionTimestamp": Now()}, "status", "phaseTransitionTimestamps")
}

// end shuts the guest down: first the phase is final, then the finalizers go. The VM's controller sees
// the phase in between (vm.go updateStatus removes its finalizer only from a final VMI).
func (v *VMIController) end(vmi obj.M) {
	v.Node.Stop(obj.Str(vmi, "metadata", "uid"), grace(vmi))
	if !rules.Final(vmi) {
		if obj.Str(vmi, "status", "phase") == "Running" {
			setPhase(vmi, "Succeeded")
		} else {
			setPhase(vmi, "Failed")
		}
		SetCondition(vmi, "Ready", "False", "PodTerminating", "virt-launcher pod is terminating")
		DropCondition(vmi, "AgentConnected")
		obj.Delete(vmi, "status", "fsFreezeStatus")
		return
	}
	kept := []any{}
	for _, f := range obj.Strings(vmi, "metadata", "finalizers") {
		if f != rules.VMIFinalizer && f != rules.ControllerFinalizer {
			kept = append(kept, f)
		}
	}
	obj.Set(vmi, kept, "metadata", "finalizers")
}

// claims finds the VMI's claims; missing names the first that is not there, unbound that one is not
// bound yet.
func (v *VMIController) claims(ctx context.Context, vmi obj.M) (missing string, unbound []obj.M, err error) {
	for _, volume := range obj.List(vmi, "spec", "volumes") {
		name := rules.ClaimOf(volume)
		if name == "" || obj.Bool(volume, "persistentVolumeClaim", "hotpluggable") ||
			obj.Bool(volume, "dataVolume", "hotpluggable") {
			continue
		}
		claim, err := v.Get(ctx, Claims, obj.Str(vmi, "metadata", "namespace"), name)
		if err != nil {
			return "", nil, err
		}
		if claim == nil {
			return name, nil, nil
		}
		if obj.Str(claim, "status", "phase") != "Bound" {
			unbound = append(unbound, claim)
			continue
		}
		populated, err := v.populated(ctx, claim)
		if err != nil {
			return "", nil, err
		}
		if !populated {
			unbound = append(unbound, claim)
		}
	}
	return "", unbound, nil
}

// populated: a claim of a DataVolume is usable once the DataVolume has succeeded
// (containerized-data-importer-api IsPopulated).
func (c *Cluster) populated(ctx context.Context, claim obj.M) (bool, error) {
	for _, ref := range obj.List(claim, "metadata", "ownerReferences") {
		if obj.Str(ref, "kind") != "DataVolume" || !obj.Bool(ref, "controller") {
			continue
		}
		if obj.Str(claim, "metadata", "annotations", "cdi.kubevirt.io/storage.populatedFor") == obj.Str(ref, "name") {
			return true, nil
		}
		dv, err := c.Get(ctx, DataVolumes, obj.Str(claim, "metadata", "namespace"), obj.Str(ref, "name"))
		if err != nil || dv == nil {
			return dv == nil && err == nil, err
		}
		return obj.Str(dv, "status", "phase") == "Succeeded", nil
	}
	return true, nil
}

func (v *VMIController) pending(ctx context.Context, vmi obj.M) (time.Duration, error) {
	setPhase(vmi, "Pending")
	for _, key := range []string{"kubevirt.io/latest-observed-api-version", "kubevirt.io/storage-observed-api-version"} {
		obj.Set(vmi, "v1", "metadata", "annotations", key)
	}
	missing, _, err := v.claims(ctx, vmi)
	if err != nil {
		return 0, err
	}
	if missing != "" {
		// vmi/datavolumes.go: the claim may still come.
		message := fmt.Sprintf("PVC %s/%s does not exist, waiting for it to appear", obj.Str(vmi, "metadata", "namespace"), missing)
		if rules.Condition(vmi, "Synchronized") == nil {
			v.Event(ctx, vmi, "Normal", "FailedPvcNotFound", "%s", message)
		}
		SetCondition(vmi, "Synchronized", "False", "FailedPvcNotFound", message)
		SetCondition(vmi, "PodScheduled", "False", "Unschedulable", message)
		SetCondition(vmi, "Ready", "False", "PodNotExists", "virt-launcher pod has not yet been scheduled")
		return 5 * time.Second, nil
	}
	if err := v.keepState(ctx, vmi); err != nil {
		return 0, err
	}
	DropCondition(vmi, "Synchronized")
	DropCondition(vmi, "PodScheduled")
	setPhase(vmi, "Scheduling")
	SetCondition(vmi, "Ready", "False", "GuestNotRunning", "Guest VM is not reported as running")
	return 0, nil
}

// scheduling waits for the claims, and does for those that wait for their first consumer what a
// scheduler does: it names a node.
func (v *VMIController) scheduling(ctx context.Context, vmi obj.M) (time.Duration, error) {
	missing, unbound, err := v.claims(ctx, vmi)
	if err != nil {
		return 0, err
	}
	if missing != "" {
		setPhase(vmi, "Pending")
		return time.Second, nil
	}
	for _, claim := range unbound {
		class := v.CachedOne(StorageClasses, "", obj.Str(claim, "spec", "storageClassName"))
		const selected = "volume.kubernetes.io/selected-node"
		if obj.Str(class, "volumeBindingMode") == "WaitForFirstConsumer" && !obj.Has(claim, "metadata", "annotations", selected) {
			patch := fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, obj.Str(claim, "metadata", "uid"), selected, NodeName)
			if err := v.Patch(ctx, Claims, obj.Str(claim, "metadata", "namespace"), obj.Str(claim, "metadata", "name"), patch); err != nil {
				return 0, err
			}
		}
	}
	if len(unbound) > 0 {
		SetCondition(vmi, "PodScheduled", "False", "Unschedulable", "pod has unbound PersistentVolumeClaims")
		return 5 * time.Second, nil
	}
	DropCondition(vmi, "PodScheduled")
	obj.Set(vmi, NodeName, "metadata", "labels", "kubevirt.io/nodeName")
	obj.Set(vmi, NodeName, "status", "nodeName")
	obj.Set(vmi, obj.M{obj.Str(vmi, "metadata", "uid"): NodeName}, "status", "activePods")
	obj.Set(vmi, "Unix", "status", "migrationTransport")
	v.volumeStatus(vmi)
	setPhase(vmi, "Scheduled")
	return 0, nil
}

func (v *VMIController) volumeStatus(vmi obj.M) {
	var out []any
	for i, volume := range obj.List(vmi, "spec", "volumes") {
		entry := obj.M{"name": obj.Str(volume, "name"), "target": fmt.Sprintf("vd%c", 'a'+i%26)}
		if name := rules.ClaimOf(volume); name != "" {
			claim := v.CachedOne(Claims, obj.Str(vmi, "metadata", "namespace"), name)
			info := obj.M{"claimName": name, "filesystemOverhead": "0"}
			if modes := obj.Get(claim, "spec", "accessModes"); modes != nil {
				info["accessModes"] = modes
			}
			if mode := obj.Str(claim, "spec", "volumeMode"); mode != "" {
				info["volumeMode"] = mode
			}
			if capacity := obj.Map(claim, "status", "capacity"); capacity != nil {
				info["capacity"] = obj.Copy(capacity)
			}
			if requests := obj.Map(claim, "spec", "resources", "requests"); requests != nil {
				info["requests"] = obj.Copy(requests)
			}
			entry["persistentVolumeClaimInfo"] = info
		}
		out = append(out, entry)
	}
	if len(out) > 0 {
		obj.Set(vmi, out, "status", "volumeStatus")
	}
}

// boot turns a scheduled machine into a running one after a while.
func (v *VMIController) boot(ctx context.Context, vmi obj.M) time.Duration {
	stamps := obj.List(vmi, "status", "phaseTransitionTimestamps")
	delay := Milliseconds(vmi, "boot-delay", v.Node.opt.Boot)
	if len(stamps) > 0 {
		since, err := time.Parse(time.RFC3339, obj.Str(stamps[len(stamps)-1], "phaseTransitionTimestamp"))
		// Stamps are whole seconds: a short delay is simply slept.
		if left := delay - time.Since(since); err == nil && delay > time.Second && left > 0 {
			return left
		}
	}
	if delay <= time.Second {
		time.Sleep(delay)
	}
	setPhase(vmi, "Running")
	SetCondition(vmi, "Ready", "True", "", "")
	SetCondition(vmi, "LiveMigratable", "True", "", "")
	v.Event(ctx, vmi, "Normal", "Started", "VirtualMachineInstance started.")
	obj.Set(vmi, obj.Str(vmi, "spec", "domain", "machine", "type"), "status", "machine", "type")
	obj.Set(vmi, "Burstable", "status", "qosClass")
	var interfaces []any
	for i, iface := range obj.List(vmi, "spec", "domain", "devices", "interfaces") {
		mac := obj.Str(iface, "macAddress")
		if mac == "" {
			sum := sha256.Sum256([]byte(fmt.Sprint(obj.Str(vmi, "metadata", "uid"), i)))
			mac = fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", sum[0], sum[1], sum[2], sum[3], sum[4])
		}
		interfaces = append(interfaces, obj.M{"name": obj.Str(iface, "name"), "mac": mac, "infoSource": "domain",
			"ipAddress": fmt.Sprintf("10.0.2.%d", 2+i), "ipAddresses": []any{fmt.Sprintf("10.0.2.%d", 2+i)},
			"podInterfaceName": fmt.Sprintf("eth%d", i)})
	}
	if len(interfaces) > 0 {
		obj.Set(vmi, interfaces, "status", "interfaces")
	}
	return 0
}

// guestOS is what the agent tells of the system (the ids are QEMU's, qga/commands-win32.c and os-release).
func guestOS(vmi obj.M) obj.M {
	if Switched(vmi, "windows") {
		return obj.M{"name": "Microsoft Windows", "id": "mswindows", "versionId": "2022",
			"prettyName": "Windows Server 2022 Standard"}
	}
	return obj.M{"name": "Debian GNU/Linux", "id": "debian", "versionId": "12",
		"prettyName": "Debian GNU/Linux 12 (bookworm)"}
}

// moveVolume plays a volume migration that has been asked for and waits for its turn: virt-controller
// writes status.migratedVolumes and the condition VolumesChange and then points the volume at its
// destination, long before any migration starts (pkg/virt-controller/watch/vm/vm.go,
// handleVolumeUpdateRequest; pkg/virt-controller/watch/volume-migration). The guest goes on writing to
// the source. Without the annotation it is cancelled: the volume points back. The fault reads
// VOLUME=DESTINATION.
func moveVolume(vmi obj.M) {
	asked, _ := Annotation(vmi, "moving-volume")
	name, destination, is := strings.Cut(asked, "=")
	moved := obj.List(vmi, "status", "migratedVolumes")
	switch {
	case is && len(moved) == 0:
		if source := pointVolume(vmi, name, destination); source != "" {
			obj.Set(vmi, []any{obj.M{"volumeName": name, "sourcePVCInfo": obj.M{"claimName": source},
				"destinationPVCInfo": obj.M{"claimName": destination}}}, "status", "migratedVolumes")
			SetCondition(vmi, "VolumesChange", "True", "", "")
		}
	case !is && len(moved) > 0:
		pointVolume(vmi, obj.Str(moved[0], "volumeName"), obj.Str(moved[0], "sourcePVCInfo", "claimName"))
		obj.Delete(vmi, "status", "migratedVolumes")
		DropCondition(vmi, "VolumesChange")
	}
}

// pointVolume gives a volume another claim and returns the one that it had; "": there is no such volume.
func pointVolume(vmi obj.M, name, claim string) string {
	volumes := obj.List(vmi, "spec", "volumes")
	for _, volume := range volumes {
		if obj.Str(volume, "name") != name {
			continue
		}
		was := obj.Str(volume, "persistentVolumeClaim", "claimName")
		if was != "" {
			obj.Set(volume, claim, "persistentVolumeClaim", "claimName")
		}
		return was
	}
	return ""
}

// beginsBackup shows a VirtualMachineBackup in status.changedBlockTracking, as virt-handler does with
// what the launcher knows of it, and says whether it begins now. It runs for as long as its
// annotation is there. (VEP 25; staging/src/kubevirt.io/api/core/v1/types.go, ChangedBlockTrackingStatus)
func beginsBackup(vmi obj.M) bool {
	name, _ := Annotation(vmi, "backup")
	status := obj.Map(vmi, "status", "changedBlockTracking", "backupStatus")
	runs := status != nil && !obj.Bool(status, "completed")
	switch {
	case name != "" && obj.Str(status, "backupName") != name:
		obj.Set(vmi, obj.M{"state": "Enabled", "backupStatus": obj.M{"backupName": name, "startTimestamp": Now()}},
			"status", "changedBlockTracking")
		return true
	case name == "" && runs:
		status["completed"], status["endTimestamp"] = true, Now()
	}
	return false
}

// running keeps the guest alive and shows what its annotations make of it.
func (v *VMIController) running(ctx context.Context, vmi obj.M) (time.Duration, error) {
	m, err := v.Node.Ensure(ctx, vmi)
	if err != nil {
		v.Event(ctx, vmi, "Warning", "SyncFailed", "guest cannot start: %v", err)
		return time.Second, nil
	}
	if m.ended() {
		v.end(vmi)
		return 0, nil
	}
	if Switched(vmi, "paused") {
		SetCondition(vmi, "Paused", "True", "PausedByUser", "VMI was paused by user")
	} else if Condition := rules.Condition(vmi, "Paused"); Condition != nil && obj.Str(Condition, "reason") == "PausedByUser" {
		DropCondition(vmi, "Paused")
	}
	if Switched(vmi, "migrating") {
		if !rules.Migrating(vmi) {
			obj.Set(vmi, obj.M{"startTimestamp": Now(), "sourceNode": NodeName, "targetNode": "standin-node-2",
				"migrationUid": obj.Str(vmi, "metadata", "uid")}, "status", "migrationState")
		}
	} else if rules.Migrating(vmi) {
		obj.Set(vmi, true, "status", "migrationState", "completed")
		obj.Set(vmi, Now(), "status", "migrationState", "endTimestamp")
	}
	moveVolume(vmi)
	if beginsBackup(vmi) {
		v.Node.BackUp(m)
	}
	connected, left := v.Node.agentConnected(vmi, m)
	if connected {
		SetCondition(vmi, "AgentConnected", "True", "", "")
		obj.Set(vmi, guestOS(vmi), "status", "guestOSInfo")
	} else {
		// The condition goes when the agent does; it is never False.
		DropCondition(vmi, "AgentConnected")
		obj.Delete(vmi, "status", "guestOSInfo")
	}
	return left, nil
}
