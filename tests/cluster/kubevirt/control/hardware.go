package control

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"novasphere.dev/wukong/tests/cluster/kubevirt/guest"
	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
)

// startMachine starts the VMI as a process of QEMU (--qemu).
func (n *Node) startMachine(ctx context.Context, vmi obj.M) (*guest.Machine, error) {
	disks, err := n.disks(ctx, vmi)
	if err != nil {
		return nil, err
	}
	// Paths of sockets are short (unix(7): 108 bytes), so the folder's name is.
	folder := filepath.Join(n.opt.State, "m", obj.Str(vmi, "metadata", "uid")[:8])
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	name := obj.Str(vmi, "metadata", "namespace") + "_" + obj.Str(vmi, "metadata", "name")
	if err := os.WriteFile(filepath.Join(folder, "name"), []byte(name+"\n"), 0o644); err != nil {
		return nil, err
	}
	h := hardware(vmi, name)
	for _, disk := range disks {
		h.Disks = append(h.Disks, guest.Disk{Path: disk.path, Serial: serialOf(vmi, disk.volume)})
	}
	return guest.StartMachine(*n.opt.Image, h, folder)
}

// hardware is what the spec says of the machine but its disks.
func hardware(vmi obj.M, name string) guest.Hardware {
	domain := obj.Map(vmi, "spec", "domain")
	h := guest.Hardware{Name: name, UUID: obj.Str(domain, "firmware", "uuid"), Serial: obj.Str(domain, "firmware", "serial"),
		CPUs: 1, MemoryMiB: 256}
	for _, factor := range []string{"sockets", "cores", "threads"} {
		h.CPUs *= max(1, int(obj.Int(domain, "cpu", factor)))
	}
	if memory, ok := obj.Quantity(domain, "memory", "guest"); ok {
		h.MemoryMiB = int(memory.Value() >> 20)
	}
	for _, iface := range obj.List(vmi, "status", "interfaces") {
		h.MACs = append(h.MACs, obj.Str(iface, "mac"))
	}
	h.Seed = seedOf(vmi)
	return h
}

func serialOf(vmi obj.M, volume string) string {
	for _, disk := range obj.List(vmi, "spec", "domain", "devices", "disks") {
		if obj.Str(disk, "name") == volume {
			return obj.Str(disk, "serial")
		}
	}
	return ""
}

// seedOf gives the files of cloud-init's NoCloud disk. The instance is named after the firmware, so a
// clone is a new one (pkg/virt-launcher/virtwrap/manager.go hands cloudinit.ReadCloudInitVolumeDataSource
// the UUID of the firmware), and the host is named after the VMI (pkg/cloud-init).
func seedOf(vmi obj.M) map[string]string {
	for _, volume := range obj.List(vmi, "spec", "volumes") {
		source := obj.Map(volume, "cloudInitNoCloud")
		if source == nil {
			continue
		}
		hostname := obj.Str(vmi, "spec", "hostname")
		if hostname == "" {
			hostname = obj.Str(vmi, "metadata", "name")
		}
		files := map[string]string{"meta-data": fmt.Sprintf("{\"instance-id\": %q, \"local-hostname\": %q}\n",
			obj.Str(vmi, "spec", "domain", "firmware", "uuid"), hostname)}
		for name, field := range map[string]string{"user-data": "userData", "network-config": "networkData"} {
			text := obj.Str(source, field)
			if encoded := obj.Str(source, field+"Base64"); encoded != "" {
				if plain, err := base64.StdEncoding.DecodeString(encoded); err == nil {
					text = string(plain)
				}
			}
			if text != "" || name == "user-data" {
				files[name] = text
			}
		}
		return files
	}
	return nil
}

// grace is how long a machine may take to shut down.
func grace(vmi obj.M) time.Duration {
	return time.Duration(obj.Int(vmi, "spec", "terminationGracePeriodSeconds")) * time.Second
}

// machineAgent: libvirt's channel to the agent is open, and nobody has asked the stand-in to deny it.
func machineAgent(m *machine) (bool, time.Duration) {
	// It is looked at again: QEMU tells of the port, and no watch brings that here.
	return m.real.AgentUp(), time.Second
}

// ended: the machine is off although nobody stopped it; virt-handler reports that (pkg/virt-handler/vm.go).
func (m *machine) ended() bool { return m.real != nil && m.real.Ended() }
