package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

func (b *bench) group(name string, volumes []string, pairs ...string) (*csi.VolumeGroupSnapshot, error) {
	driver := &groupController{controller: b.driver}
	answer, err := driver.CreateVolumeGroupSnapshot(b.Context(), &csi.CreateVolumeGroupSnapshotRequest{
		Name: name, SourceVolumeIds: volumes, Parameters: dict(pairs)})
	return answer.GetGroupSnapshot(), err
}

func (b *bench) mustGroup(name string, volumes []string, pairs ...string) *csi.VolumeGroupSnapshot {
	b.Helper()
	return must[*csi.VolumeGroupSnapshot](b)(b.group(name, volumes, pairs...))
}

func (b *bench) dropGroup(id string, members ...string) error {
	driver := &groupController{controller: b.driver}
	_, err := driver.DeleteVolumeGroupSnapshot(b.Context(),
		&csi.DeleteVolumeGroupSnapshotRequest{GroupSnapshotId: id, SnapshotIds: members})
	return err
}

// threeVolumes hold "before" followed by their number.
func (b *bench) threeVolumes() []string {
	b.Helper()
	var ids []string
	for i := range 3 {
		v := b.mustVolume(fmt.Sprint("v", i), mib, origin{})
		b.write(v.VolumeId, 0, []byte(fmt.Sprint("before", i)))
		ids = append(ids, v.VolumeId)
	}
	return ids
}

// A group has one member for each volume, which holds what that volume held, outlives a restart and
// what is written later, and is made once for a name.
func TestGroup(t *testing.T) {
	b := newBench(t)
	ids := b.threeVolumes()
	g := b.mustGroup("g", ids)
	for i, id := range ids {
		b.write(id, 0, []byte("after!"))
		member := g.Snapshots[i]
		if member.SourceVolumeId != id || member.GroupSnapshotId != g.GroupSnapshotId || !member.ReadyToUse {
			t.Errorf("member %d is %v", i, member)
		}
		if got, want := string(b.read(member.SnapshotId)[:7]), fmt.Sprint("before", i); got != want {
			t.Errorf("member %d holds %q, want %q", i, got, want)
		}
	}
	b.restart()
	again := b.mustGroup("g", []string{ids[2], ids[0], ids[1]})
	if again.GroupSnapshotId != g.GroupSnapshotId || len(again.Snapshots) != 3 {
		t.Errorf("the second call made %v of %v", again, g)
	}
	_, err := b.group("g", ids[:2])
	b.wantCode(err, codes.AlreadyExists)
	_, err = b.group("h", []string{ids[0], "vol-none"})
	b.wantCode(err, codes.NotFound)
	if n := len(b.driver.store.snapshots.list()); n != 3 {
		t.Errorf("%d snapshots are there, want 3: a group that failed has left some", n)
	}
}

// Members go with their group and not before; who deletes it twice is told that it is gone.
func TestGroupDeletion(t *testing.T) {
	b := newBench(t)
	ids := b.threeVolumes()
	g := b.mustGroup("g", ids)
	_, err := b.driver.DeleteSnapshot(t.Context(),
		&csi.DeleteSnapshotRequest{SnapshotId: g.Snapshots[0].SnapshotId})
	b.wantCode(err, codes.InvalidArgument)
	b.wantCode(b.dropGroup(g.GroupSnapshotId, "snap-none"), codes.InvalidArgument)
	for range 2 {
		if err := b.dropGroup(g.GroupSnapshotId, g.Snapshots[0].SnapshotId); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := os.ReadDir(filepath.Join(b.folder, "snapshots"))
	if len(files) > 0 {
		t.Errorf("%v is left", files)
	}
}

// Members without a group are what a kill leaves between two writes: the next start removes them.
func TestMembersWithoutGroup(t *testing.T) {
	b := newBench(t)
	g := b.mustGroup("g", b.threeVolumes())
	if err := os.Remove(filepath.Join(b.folder, "groups", g.GroupSnapshotId+".json")); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if n := len(b.driver.store.snapshots.list()); n != 0 {
		t.Errorf("%d members outlived their group", n)
	}
}

// Guests are held up for the whole cut, and only by it: with the fault group-not-atomic-ms they write
// between the copies of two volumes.
func TestGroupIsAtomic(t *testing.T) {
	b := newBench(t)
	ids := b.threeVolumes()
	lock, err := os.OpenFile(filepath.Join(b.folder, "cut.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.group("g", ids)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("the cut was made (%v) while a guest was writing", err)
	case <-time.After(50 * time.Millisecond):
	}
	b.mustGroup("apart", ids, "fault-group-not-atomic-ms", "1")
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What drivers are known to tell of a group that is not what CSI asks for.
func TestGroupListFaults(t *testing.T) {
	b := newBench(t)
	ids := b.threeVolumes()
	if short := b.mustGroup("short", ids, "fault-group-short-list", "true"); len(short.Snapshots) != 2 {
		t.Errorf("%v", short.Snapshots)
	}
	empty := b.mustGroup("empty", ids, "fault-group-empty-list-ms", "60000")
	if len(empty.Snapshots) != 0 || empty.ReadyToUse {
		t.Errorf("%v", empty)
	}
	b.setFaults(`{"fault-group-empty-list-ms": 0}`)
	if full := b.mustGroup("empty", ids); len(full.Snapshots) != 3 || !full.ReadyToUse {
		t.Errorf("%v", full)
	}
	unready := b.mustGroup("unready", ids, "fault-snapshot-ready-ms", "60000")
	if unready.ReadyToUse || unready.Snapshots[0].ReadyToUse {
		t.Errorf("%v", unready)
	}
}

// The capability is declared when it is switched on, and by nothing else.
func TestGroupsAreSwitchedOn(t *testing.T) {
	for with, want := range map[string]int{"": 2, "groups": 3} {
		features, err := parseFeatures(with, "")
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := (&identity{features: features}).GetPluginCapabilities(t.Context(), nil)
		if len(answer.Capabilities) != want {
			t.Errorf("with %q: %v", with, answer.Capabilities)
		}
	}
}
