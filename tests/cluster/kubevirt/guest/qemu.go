package guest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Image is how machines of QEMU are started: the part "guest" of the bed (tests/guest/image).
type Image struct {
	Program string `json:"program"` // qemu-system-x86_64
	Folder  string `json:"folder"`  // of vmlinuz and initrd
	Accel   string `json:"accel"`   // kvm or tcg, with its options
	CPU     string `json:"cpu"`
}

// Disk is one disk of a machine.
type Disk struct{ Path, Serial string }

// Hardware is what a VMI's spec says of its machine.
type Hardware struct {
	Name, UUID, Serial string
	CPUs, MemoryMiB    int
	Disks              []Disk
	MACs               []string
	// Seed are the files of cloud-init's NoCloud disk, by name; nil: there is none.
	Seed map[string]string
}

// Machine is a QEMU process. It ends with the stand-in, as no bed may leave one behind.
type Machine struct {
	socketAgent
	command *exec.Cmd
	qmp     net.Conn
	agentUp atomic.Bool
	ended   chan struct{}
}

const agentPort = "org.qemu.guest_agent.0"

// StartMachine starts a machine whose sockets and console lie in folder:
//
//	agent    of the guest's agent, the stand-in's alone
//	test     of a second agent, for the tests
//	console  what the guest wrote to its serial console, each line after the host's clock
func StartMachine(image Image, h Hardware, folder string) (*Machine, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	args, err := qemuArguments(image, h, folder)
	if err != nil {
		return nil, err
	}
	m := &Machine{socketAgent: socketAgent{path: filepath.Join(folder, "agent")},
		// A guest's processor is never in a hurry: the control plane and its cases go first.
		command: exec.Command("nice", append([]string{"-n", "5", image.Program}, args...)...), ended: make(chan struct{})}
	for _, name := range []string{"agent", "test", "qmp"} {
		_ = os.Remove(filepath.Join(folder, name))
	}
	console, err := m.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	failures, err := os.Create(filepath.Join(folder, "qemu.log"))
	if err != nil {
		return nil, err
	}
	defer failures.Close()
	fmt.Fprintln(failures, m.command.Args)
	m.command.Stderr = failures
	m.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go m.watch(console, filepath.Join(folder, "console"), started)
	if err := <-started; err != nil {
		return nil, err
	}
	if err := m.connect(filepath.Join(folder, "qmp")); err != nil {
		m.Kill()
		text, _ := os.ReadFile(failures.Name())
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return m, nil
}

// watch starts the process and stays on its thread: the parent whose death ends it is that thread
// (prctl(2), PR_SET_PDEATHSIG).
func (m *Machine) watch(console io.Reader, path string, started chan<- error) {
	runtime.LockOSThread()
	err := m.command.Start()
	started <- err
	if err != nil {
		return
	}
	copyConsole(console, path)
	_ = m.command.Wait()
	m.agentUp.Store(false)
	close(m.ended)
}

func copyConsole(in io.Reader, path string) {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		defer out.Close()
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err == nil {
			now := time.Now().UnixMilli()
			fmt.Fprintf(out, "%d.%03d %s\n", now/1000, now%1000, lines.Text())
		}
	}
	_, _ = io.Copy(io.Discard, in) // after a line that is too long
}

func qemuArguments(image Image, h Hardware, folder string) ([]string, error) {
	socket := func(id string) string {
		return fmt.Sprintf("socket,id=%s,path=%s,server=on,wait=off", id, filepath.Join(folder, id))
	}
	args := []string{"-name", h.Name, "-machine", "pc", "-accel", image.Accel, "-cpu", image.CPU,
		"-smp", fmt.Sprint(max(1, h.CPUs)), "-m", fmt.Sprint(max(128, h.MemoryMiB)), "-nodefaults", "-no-user-config",
		"-display", "none", "-rtc", "base=utc", "-serial", "stdio", "-device", "virtio-rng-pci",
		"-kernel", filepath.Join(image.Folder, "vmlinuz"), "-initrd", filepath.Join(image.Folder, "initrd"),
		"-append", "console=ttyS0 quiet loglevel=4 root=/dev/vda ro net.ifnames=0 mitigations=off nowatchdog",
		"-chardev", socket("agent"), "-chardev", socket("test"), "-qmp", "unix:" + filepath.Join(folder, "qmp") + ",server=on,wait=off",
		"-device", "virtio-serial-pci", "-device", "virtserialport,id=agent,chardev=agent,name=" + agentPort,
		"-device", "virtserialport,chardev=test,name=wukong.test"}
	// KubeVirt gives a machine its firmware's UUID and serial in the first table of SMBIOS
	// (pkg/virt-launcher/virtwrap/converter: sysinfo).
	args = append(args, "-uuid", h.UUID, "-smbios", "type=1,manufacturer=KubeVirt,uuid="+h.UUID+",serial="+h.Serial)
	for i, disk := range h.Disks {
		// The test's machine need not survive a loss of power: a flush costs nothing.
		args = append(args, "-drive", fmt.Sprintf("if=none,id=d%d,format=raw,cache=unsafe,file=%s", i, disk.Path))
		device := fmt.Sprintf("virtio-blk-pci,drive=d%d", i)
		if disk.Serial != "" {
			device += ",serial=" + disk.Serial
		}
		args = append(args, "-device", device)
	}
	for i, mac := range h.MACs {
		args = append(args, "-netdev", fmt.Sprintf("user,id=n%d,restrict=on", i),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=n%d,mac=%s,romfile=", i, mac))
	}
	if h.Seed == nil {
		return args, nil
	}
	seed := filepath.Join(folder, "seed")
	if err := os.MkdirAll(seed, 0o755); err != nil {
		return nil, err
	}
	for name, text := range h.Seed {
		if err := os.WriteFile(filepath.Join(seed, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	// QEMU shows the folder as a FAT file system with the label that cloud-init looks for.
	return append(args, "-blockdev", "driver=vvfat,node-name=seed,read-only=on,label=CIDATA,dir="+seed,
		"-device", "virtio-blk-pci,drive=seed"), nil
}

// connect begins to listen to QEMU, which tells when the agent opens and closes its port; libvirt
// makes AgentConnected of that (docs/interop/qmp: VSERPORT_CHANGE).
func (m *Machine) connect(path string) error {
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m.qmp, err = net.Dial("unix", path); err == nil {
			break
		}
		select {
		case <-m.ended:
			return fmt.Errorf("QEMU ended at once")
		default:
		}
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(m.qmp, `{"execute":"qmp_capabilities"}`); err != nil {
		return err
	}
	go func() {
		decoder := json.NewDecoder(m.qmp)
		for {
			var event struct {
				Event string `json:"event"`
				Data  struct {
					ID   string `json:"id"`
					Open bool   `json:"open"`
				} `json:"data"`
			}
			if decoder.Decode(&event) != nil {
				return
			}
			if event.Event == "VSERPORT_CHANGE" && event.Data.ID == "agent" {
				m.agentUp.Store(event.Data.Open)
			}
		}
	}()
	return nil
}

// AgentUp says whether the guest's agent has opened its port.
func (m *Machine) AgentUp() bool { return m.agentUp.Load() }

// Ended says whether the machine is off, by whomever.
func (m *Machine) Ended() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

// PowerDown asks the guest to shut down and waits; after grace, and without an agent, it is cut off.
func (m *Machine) PowerDown(grace time.Duration) {
	if grace > 0 && m.AgentUp() {
		// guest-shutdown is not answered when it works.
		go func() { _, _ = m.run("guest-shutdown", grace) }()
		select {
		case <-m.ended:
			return
		case <-time.After(grace):
		}
	}
	m.Kill()
}

// Kill cuts the machine off.
func (m *Machine) Kill() {
	_ = m.command.Process.Kill()
	<-m.ended
}
