package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// The test binary is the driver when it is told to be: the tests below run it as a process that
// they can kill.
func TestMain(m *testing.M) {
	if endpoint := os.Getenv("CSI_FILE_TEST_ENDPOINT"); endpoint != "" {
		err := run(endpoint, os.Getenv("CSI_FILE_TEST_DATA"), "test.csi", "groups", "")
		if err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type process struct {
	*exec.Cmd
	connection *grpc.ClientConn
}

func startProcess(t *testing.T, folder string) *process {
	t.Helper()
	endpoint := "unix://" + filepath.Join(folder, "csi.sock")
	p := &process{Cmd: exec.Command(os.Args[0])}
	p.Env = append(os.Environ(), "CSI_FILE_TEST_ENDPOINT="+endpoint, "CSI_FILE_TEST_DATA="+folder)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	var err error
	p.connection, err = grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, err := csi.NewIdentityClient(p.connection).Probe(ctx, &csi.ProbeRequest{})
		if err == nil {
			return p
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *process) kill() {
	p.connection.Close()
	_ = p.Process.Kill()
	_ = p.Wait()
}

// A driver that is killed goes on where it was: same handles, same cut, the same number of injected
// failures; a call that it was killed in is done anew.
func TestKilledProcessGoesOn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	p := startProcess(t, folder)
	controller := csi.NewControllerClient(p.connection)
	info, err := csi.NewIdentityClient(p.connection).GetPluginInfo(t.Context(), &csi.GetPluginInfoRequest{})
	if err != nil || info.Name != "test.csi" || info.VendorVersion == "" {
		t.Fatalf("%v, %v", info, err)
	}
	volume := must[*csi.CreateVolumeResponse](t)(controller.CreateVolume(t.Context(),
		volumeRequest("v", mib, origin{}))).Volume.VolumeId
	first := must[*csi.CreateSnapshotResponse](t)(controller.CreateSnapshot(t.Context(),
		&csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: volume})).Snapshot
	twice := &csi.CreateSnapshotRequest{Name: "twice", SourceVolumeId: volume,
		Parameters: dict([]string{"fault-snapshot-fail-count", "2"})}
	if _, err := controller.CreateSnapshot(t.Context(), twice); status.Code(err) != codes.Internal {
		t.Fatal(err)
	}
	held := &csi.CreateSnapshotRequest{Name: "held", SourceVolumeId: volume}
	faults := filepath.Join(folder, "faults.json")
	if err := os.WriteFile(faults, []byte(`{"fault-snapshot-delay-ms": 3600000}`), 0o644); err != nil {
		t.Fatal(err)
	}
	heldEnd := make(chan error, 1)
	go func() {
		_, err := controller.CreateSnapshot(t.Context(), held)
		heldEnd <- err
	}()
	time.Sleep(100 * time.Millisecond)
	p.kill()
	if err := <-heldEnd; err == nil {
		t.Fatal("a call survived the kill")
	}
	if err := os.Remove(faults); err != nil {
		t.Fatal(err)
	}

	p = startProcess(t, folder)
	controller = csi.NewControllerClient(p.connection)
	again := must[*csi.CreateSnapshotResponse](t)(controller.CreateSnapshot(t.Context(),
		&csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: volume})).Snapshot
	if again.SnapshotId != first.SnapshotId || !again.CreationTime.AsTime().Equal(first.CreationTime.AsTime()) {
		t.Errorf("%v, then %v", first, again)
	}
	for i, want := range []codes.Code{codes.Internal, codes.OK} {
		if _, err := controller.CreateSnapshot(t.Context(), twice); status.Code(err) != want {
			t.Errorf("call %d after the kill: %v", i, err)
		}
	}
	if _, err := controller.CreateSnapshot(t.Context(), held); err != nil {
		t.Error(err)
	}
}

// What has no record was never finished and is removed at the start.
func TestUnfinishedFilesAreRemoved(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	litter := []string{"volumes/vol-1.img", "snapshots/snap-1.img", "snapshots/snap-1.json.tmp"}
	for _, name := range litter {
		if err := os.WriteFile(filepath.Join(b.folder, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.restart()
	for _, name := range litter {
		if _, err := os.Stat(filepath.Join(b.folder, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.mustVolume("v", mib, origin{}).VolumeId != v.VolumeId {
		t.Error("the volume is lost")
	}
}

// Two drivers on one folder would each take the other's files for litter.
func TestFolderIsLocked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	startProcess(t, folder)
	if unlock, err := lockFolder(folder); err == nil {
		unlock()
		t.Error("a second driver may have the folder")
	}
}
