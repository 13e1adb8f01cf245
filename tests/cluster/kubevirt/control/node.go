package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"

	"novasphere.dev/wukong/tests/cluster/kubevirt/guest"
	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// Prefix of the annotations by which a test makes a machine misbehave.
const Prefix = "standin.kubevirt.io/"

// Faults are the names of those annotations; no other is read.
var Faults = []string{"agent-delay", "backup", "boot-delay", "freeze-409", "freeze-500", "freeze-500-but-frozen",
	"freeze-late", "freeze-late-times", "freeze-slow", "handler-timeout", "migrating", "moving-volume", "no-agent",
	"paused", "torn-writes", "unfreeze-500", "unfreeze-lost", "windows", "write-interval"}

// Options of the node.
type Options struct {
	Data, State    string
	Interval       time.Duration // of a guest's records
	Boot           time.Duration // until a scheduled machine runs
	Agent          time.Duration // until its agent is connected
	Poll           time.Duration // of fsFreezeStatus (virt-launcher --qemu-fsfreeze-status-interval)
	HandlerTimeout time.Duration // of virt-api's call to virt-handler (rest/subresource.go: 10 s)
	Image          *guest.Image  // of the machines of QEMU; nil: guests are programs that write records
}

// Node plays the one node of the cluster: virt-handler with its launchers and guests.
type Node struct {
	cluster *Cluster
	opt     Options
	Log     *guest.FreezeLog

	mu     sync.Mutex
	guests map[string]*machine // by the VMI's UID
	faults map[string]int      // how often a counted fault has struck, by UID and annotation
}

// machine is a guest with what the launcher knows of it.
type machine struct {
	*guest.Guest
	real                 *guest.Machine // the process of QEMU; nil: the guest is a program that writes records
	namespace, name, uid string
	stopPoll             chan struct{}
	started              time.Time
}

// NodeName is the node that every machine runs on.
const NodeName = "standin-node"

// NewNode opens the freeze log and makes a node without guests.
func NewNode(c *Cluster, opt Options) (*Node, error) {
	if err := os.MkdirAll(opt.State, 0o755); err != nil {
		return nil, err
	}
	l, err := guest.OpenFreezeLog(filepath.Join(opt.State, "freeze-log.jsonl"))
	if err != nil {
		return nil, err
	}
	return &Node{cluster: c, opt: opt, Log: l, guests: map[string]*machine{}, faults: map[string]int{}}, nil
}

// Annotation reads one of ours from a VMI.
func Annotation(vmi obj.M, name string) (string, bool) {
	if !slices.Contains(Faults, name) {
		panic("no fault " + name)
	}
	v, ok := obj.Map(vmi, "metadata", "annotations")[Prefix+name].(string)
	return v, ok
}

// Milliseconds reads an annotation that holds a number of milliseconds.
func Milliseconds(vmi obj.M, name string, otherwise time.Duration) time.Duration {
	v, ok := Annotation(vmi, name)
	n, err := strconv.ParseFloat(v, 64)
	if !ok || err != nil {
		return otherwise
	}
	return time.Duration(n * float64(time.Millisecond))
}

// Switched says whether a yes/no annotation is set.
func Switched(vmi obj.M, name string) bool {
	v, ok := Annotation(vmi, name)
	return ok && v != "false" && v != "0"
}

// strikes says whether a fault happens now: a number is how many times it does, anything else but
// "false" means always.
func (n *Node) strikes(vmi obj.M, name string) bool {
	v, ok := Annotation(vmi, name)
	if !ok || v == "false" {
		return false
	}
	times, err := strconv.Atoi(v)
	if err != nil {
		return true
	}
	key := obj.Str(vmi, "metadata", "uid") + "|" + name + "|" + v
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.faults[key] >= times {
		return false
	}
	n.faults[key]++
	return true
}

// Machine is the guest of a VMI, nil when it has none.
func (n *Node) machine(uid string) *machine {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.guests[uid]
}

// Ensure starts the guest of a running VMI unless it runs.
func (n *Node) Ensure(ctx context.Context, vmi obj.M) (*machine, error) {
	uid := obj.Str(vmi, "metadata", "uid")
	if m := n.machine(uid); m != nil {
		m.SetTorn(Switched(vmi, "torn-writes"))
		m.SetPaused(rules.True(vmi, "Paused") || Switched(vmi, "paused"))
		return m, nil
	}
	g, real, err := n.startGuest(ctx, vmi)
	if err != nil {
		return nil, err
	}
	m := &machine{Guest: g, real: real, namespace: obj.Str(vmi, "metadata", "namespace"), name: obj.Str(vmi, "metadata", "name"),
		uid: uid, stopPoll: make(chan struct{}), started: time.Now()}
	m.SetPaused(rules.True(vmi, "Paused") || Switched(vmi, "paused"))
	n.mu.Lock()
	if other := n.guests[uid]; other != nil {
		n.mu.Unlock()
		g.Abandon()
		if real != nil {
			real.Kill()
		}
		return other, nil
	}
	n.guests[uid] = m
	n.mu.Unlock()
	go n.poll(ctx, m)
	return m, nil
}

func (n *Node) startGuest(ctx context.Context, vmi obj.M) (*guest.Guest, *guest.Machine, error) {
	config := guest.Config{Namespace: obj.Str(vmi, "metadata", "namespace"), Name: obj.Str(vmi, "metadata", "name"),
		UID: obj.Str(vmi, "metadata", "uid"), StateDir: n.opt.State, Log: n.Log}
	if n.opt.Image != nil {
		real, err := n.startMachine(ctx, vmi)
		if err != nil {
			return nil, nil, err
		}
		config.Agent = real
		g, err := guest.Start(config)
		return g, real, err
	}
	disks, err := n.disks(ctx, vmi)
	if err != nil {
		return nil, nil, err
	}
	for _, disk := range disks {
		config.Disks = append(config.Disks, disk.path)
	}
	config.Interval, config.Torn = Milliseconds(vmi, "write-interval", n.opt.Interval), Switched(vmi, "torn-writes")
	config.Holds = Milliseconds(vmi, "windows", 0)
	config.CutLock = filepath.Join(n.opt.Data, "cut.lock")
	g, err := guest.Start(config)
	return g, nil, err
}

// Stop ends the guest of a VMI that goes; a machine may take grace to shut down.
func (n *Node) Stop(uid string, grace time.Duration) {
	n.mu.Lock()
	m := n.guests[uid]
	delete(n.guests, uid)
	n.mu.Unlock()
	if m != nil {
		close(m.stopPoll)
		if m.real != nil {
			m.real.PowerDown(grace)
		}
		m.Guest.Stop()
	}
}

// disk is a volume of a VMI and its file.
type disk struct{ volume, path string }

// disks are the files behind a VMI's claims, in the order of its volumes.
func (n *Node) disks(ctx context.Context, vmi obj.M) ([]disk, error) {
	var out []disk
	namespace := obj.Str(vmi, "metadata", "namespace")
	for _, volume := range obj.List(vmi, "spec", "volumes") {
		claimName := rules.ClaimOf(volume)
		if claimName == "" || obj.Has(volume, "memoryDump") || obj.Bool(volume, "persistentVolumeClaim", "readOnly") {
			continue
		}
		claim, err := n.cluster.Get(ctx, Claims, namespace, claimName)
		if err != nil || claim == nil {
			return nil, fmt.Errorf("claim %s: %w", claimName, errors.Join(err, errors.New("not there")))
		}
		pv, err := n.cluster.Get(ctx, Volumes, "", obj.Str(claim, "spec", "volumeName"))
		if err != nil || pv == nil {
			return nil, fmt.Errorf("volume of claim %s: %w", claimName, errors.Join(err, errors.New("not there")))
		}
		handle := obj.Str(pv, "spec", "csi", "volumeHandle")
		if handle == "" {
			continue // a volume of another kind has no file to write to
		}
		out = append(out, disk{obj.Str(volume, "name"), filepath.Join(n.opt.Data, "volumes", handle+".img")})
	}
	return out, nil
}

// agentConnected: the agent answers a while after the start, unless the machine has none.
func (n *Node) agentConnected(vmi obj.M, m *machine) (bool, time.Duration) {
	if Switched(vmi, "no-agent") {
		return false, 0
	}
	if m.real != nil {
		return machineAgent(m)
	}
	if left := Milliseconds(vmi, "agent-delay", n.opt.Agent) - time.Since(m.started); left > 0 {
		return false, left
	}
	return true, 0
}

// poll shows the file systems' state in the VMI as virt-launcher's agent poller does: not at once, but
// at the next tick (pkg/virt-launcher/virtwrap/agent-poller).
func (n *Node) poll(ctx context.Context, m *machine) {
	ticker := time.NewTicker(n.opt.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.stopPoll:
			return
		case <-ticker.C:
		}
		vmi := n.cluster.CachedOne(VMIs, m.namespace, m.name)
		if vmi == nil || obj.Str(vmi, "metadata", "uid") != m.uid || rules.Condition(vmi, "AgentConnected") == nil {
			continue
		}
		was, is := obj.Str(vmi, "status", "fsFreezeStatus"), ""
		if m.Frozen() {
			is = "frozen"
		}
		if was == is {
			continue
		}
		value := "null"
		if is != "" {
			value = strconv.Quote(is)
		}
		_ = n.cluster.Patch(ctx, VMIs, m.namespace, m.name,
			fmt.Sprintf(`{"metadata":{"uid":%q},"status":{"fsFreezeStatus":%s}}`, m.uid, value))
	}
}

// LauncherError is an error as the launcher reports it; virt-handler answers 400 with it.
type LauncherError struct{ text string }

func (e LauncherError) Error() string { return e.text }

// launcherError is pkg/virt-handler/cmd-client/errors.go's text.
func launcherError(command, message string) error {
	return LauncherError{fmt.Sprintf("server error. command %s failed: %q", command, message)}
}

const (
	noAgent    = "LibvirtError(Code=86, Domain=10, Message='Guest agent is not responding: QEMU guest agent is not connected')"
	notRunning = "LibvirtError(Code=55, Domain=10, Message='Requested operation is not valid: domain is not running')"
	agentSays  = "LibvirtError(Code=86, Domain=10, Message='internal error: unable to execute QEMU agent command " +
		"'guest-fsfreeze-thaw': %v')"
	agentFails = "LibvirtError(Code=1, Domain=10, Message='internal error: unable to execute QEMU agent command')"
)

// unfreezeTimeout reads the body of a freeze (pkg/virt-handler/rest/lifecycle.go FreezeHandler): it must
// name a Go duration, which is cut to whole seconds.
func unfreezeTimeout(body []byte) (int32, error) {
	var request struct {
		UnfreezeTimeout *json.RawMessage `json:"unfreezeTimeout"`
	}
	err := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(body), 1024).Decode(&request)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, LauncherError{"failed to unmarshal unfreeze timeout"}
	}
	if request.UnfreezeTimeout == nil || string(*request.UnfreezeTimeout) == "null" {
		return 0, LauncherError{"Unfreeze timeout in freeze request is not set"}
	}
	var text string
	if json.Unmarshal(*request.UnfreezeTimeout, &text) != nil {
		return 0, LauncherError{"failed to unmarshal unfreeze timeout"}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, LauncherError{"failed to unmarshal unfreeze timeout"}
	}
	return int32(d.Seconds()), nil
}

// FreezeOnNode is virt-handler's and virt-launcher's part of a freeze. The context is the caller's
// patience: what happens on the node happens whether or not anybody still waits.
func (n *Node) FreezeOnNode(vmi obj.M, body []byte, user string) error {
	seconds, err := unfreezeTimeout(body)
	if err != nil {
		return err
	}
	fail := func(err error) error {
		if strings.HasPrefix(err.Error(), "server error") {
			n.cluster.Event(context.Background(), vmi, "Warning", "FreezeError", "Failed to freeze VMI: %s", err.Error())
		}
		return err
	}
	if rules.Migrating(vmi) || Switched(vmi, "migrating") {
		return fail(launcherError("Freeze", "failed to freeze VMI, VMI is currently during migration"))
	}
	m := n.machine(obj.Str(vmi, "metadata", "uid"))
	if m == nil {
		return fail(launcherError("Freeze", notRunning))
	}
	if rules.True(vmi, "Paused") || Switched(vmi, "paused") {
		return fail(launcherError("Freeze", notRunning))
	}
	if connected, _ := n.agentConnected(vmi, m); !connected {
		return fail(launcherError("Freeze", noAgent))
	}
	time.Sleep(Milliseconds(vmi, "freeze-slow", 0))
	if n.strikes(vmi, "freeze-500") {
		return fail(launcherError("Freeze", agentFails))
	}
	if err := m.Freeze(user, seconds); err != nil {
		return fail(launcherError("Freeze", err.Error()))
	}
	if n.strikes(vmi, "freeze-500-but-frozen") {
		return fail(launcherError("Freeze", agentFails))
	}
	return nil
}

// LateFreeze is a freeze whose answer nobody sees: it lands after the given time, whatever happened in
// between.
func (n *Node) LateFreeze(vmi obj.M, body []byte, user string, after time.Duration) {
	seconds, err := unfreezeTimeout(body)
	m := n.machine(obj.Str(vmi, "metadata", "uid"))
	if err != nil || m == nil {
		return
	}
	time.AfterFunc(after, func() { _ = m.Freeze(user, seconds) })
}

// UnfreezeOnNode is virt-handler's and virt-launcher's part of an unfreeze (fsfreeze.go UnfreezeVMI):
// the safety timer is gone even when the agent then fails.
func (n *Node) UnfreezeOnNode(vmi obj.M, user string) error {
	m := n.machine(obj.Str(vmi, "metadata", "uid"))
	if m == nil {
		return launcherError("Unfreeze", notRunning)
	}
	m.DropSafetyTimer()
	if rules.True(vmi, "Paused") || Switched(vmi, "paused") {
		return launcherError("Unfreeze", notRunning)
	}
	if connected, _ := n.agentConnected(vmi, m); !connected {
		return launcherError("Unfreeze", noAgent)
	}
	if n.strikes(vmi, "unfreeze-500") {
		return launcherError("Unfreeze", agentFails)
	}
	if err := m.Unfreeze(user); err != nil {
		return launcherError("Unfreeze", fmt.Sprintf(agentSays, err))
	}
	return nil
}

// BackUp is what the launcher does when a backup begins: it freezes, with no timer and unless the guest
// is frozen already, and thaws at once, whoever froze it (pkg/virt-launcher/virtwrap/storage/backup.go).
func (n *Node) BackUp(m *machine) {
	const user = "backup"
	if err := m.Freeze(user, 0); err == nil {
		_ = m.Unfreeze(user)
	}
}
