package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Each operation can be made to fail a number of times per object, for ever, with a chosen code, and
// to be unsupported; the way is a class parameter.
func TestFailures(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("source", mib, origin{})
	s := b.mustSnapshot("source", v.VolumeId)
	calls := map[string]func(name string, pairs ...string) error{
		"create": func(name string, pairs ...string) error {
			_, err := b.volume(name, mib, origin{}, pairs...)
			return err
		},
		"restore": func(name string, pairs ...string) error {
			_, err := b.volume(name, mib, origin{snapshot: s.SnapshotId}, pairs...)
			return err
		},
		"clone": func(name string, pairs ...string) error {
			_, err := b.volume(name, mib, origin{volume: v.VolumeId}, pairs...)
			return err
		},
		"snapshot": func(name string, pairs ...string) error {
			_, err := b.snapshot(name, v.VolumeId, pairs...)
			return err
		},
		"expand": func(name string, pairs ...string) error {
			made, err := b.volume(name, mib, origin{}, pairs...)
			if err != nil {
				return err
			}
			_, err = b.driver.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
				VolumeId: made.VolumeId, CapacityRange: &csi.CapacityRange{RequiredBytes: 2 * mib}})
			return err
		},
		"delete-volume": func(name string, pairs ...string) error {
			made, err := b.volume(name, mib, origin{}, pairs...)
			if err != nil {
				return err
			}
			_, err = b.driver.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: made.VolumeId})
			return err
		},
		"delete-snapshot": func(name string, pairs ...string) error {
			made, err := b.snapshot(name, v.VolumeId, pairs...)
			if err != nil {
				return err
			}
			_, err = b.driver.DeleteSnapshot(t.Context(),
				&csi.DeleteSnapshotRequest{SnapshotId: made.SnapshotId})
			return err
		},
	}
	calls["group"] = func(name string, pairs ...string) error {
		_, err := b.group(name, []string{v.VolumeId}, pairs...)
		return err
	}
	calls["delete-group"] = func(name string, pairs ...string) error {
		made, err := b.group(name, []string{v.VolumeId}, pairs...)
		if err != nil {
			return err
		}
		return b.dropGroup(made.GroupSnapshotId)
	}
	for operation, unsupported := range operations {
		call := calls[operation]
		t.Run(operation, func(t *testing.T) {
			fault := func(kind string) string { return "fault-" + operation + "-" + kind }
			want := func(what string, err error, code codes.Code) {
				t.Helper()
				if status.Code(err) != code {
					t.Errorf("%s: got %v, want %v", what, err, code)
				}
			}
			want("none", call(operation+"-none"), codes.OK)
			for i := range 3 {
				err := call(operation+"-count", fault("fail-count"), "2")
				want(fmt.Sprint("call ", i), err, []codes.Code{codes.Internal, codes.Internal, codes.OK}[i])
			}
			for range 3 {
				want("for ever", call(operation+"-fail", fault("fail"), "true"), codes.Internal)
			}
			want("code", call(operation+"-code", fault("fail"), "true", fault("fail-code"),
				"resourceexhausted"), codes.ResourceExhausted)
			want("unsupported", call(operation+"-no", fault("unsupported"), "true"), unsupported)
			began := time.Now()
			want("late", call(operation+"-late", fault("delay-ms"), "30", fault("answer-ms"), "30"), codes.OK)
			if took := time.Since(began); took < 60*time.Millisecond {
				t.Errorf("took %v", took)
			}
			want("typo", call(operation+"-typo", fault("dely-ms"), "30"), codes.InvalidArgument)
			want("value", call(operation+"-value", fault("delay-ms"), "soon"), codes.InvalidArgument)
		})
	}
}

// Every name that is told is a parameter, and no parameter is left untold.
func TestNames(t *testing.T) {
	values := []string{"1", "true", "Internal", timeZero}
	for _, name := range faultNames() {
		accepted := false
		for _, value := range values {
			_, err := parseFaults(map[string]string{prefix + name: value})
			accepted = accepted || err == nil
		}
		if !accepted {
			t.Errorf("%s is no parameter", name)
		}
	}
	if n, want := len(faultNames()), len(operations)*len(kinds)+len(special); n != want {
		t.Errorf("%d names, want %d", n, want)
	}
	if _, err := parseFaults(map[string]string{prefix + "grow-fail": "true"}); err == nil {
		t.Error("a fault that does nothing is accepted")
	}
}

// waitForCut returns when the snapshot of that name exists, whether or not a caller was told.
func (b *bench) waitForCut(name string) *record {
	b.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		b.driver.store.mutex.Lock()
		snapshot := b.driver.store.snapshots.byName[name]
		b.driver.store.mutex.Unlock()
		if snapshot != nil {
			return snapshot
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.Fatal("no cut")
	return nil
}

// The cut lies after fault-snapshot-delay-ms and before fault-snapshot-answer-ms. A delay ends when
// faults.json no longer asks for it: a test holds a call and lets it go.
func TestHoldBeforeAndAfterTheCut(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	b.setFaults(`{"fault-snapshot-delay-ms": 3600000}`)
	done := make(chan *csi.Snapshot, 1)
	go func() {
		s, err := b.snapshot("s", v.VolumeId)
		if err != nil {
			t.Error(err)
		}
		done <- s
	}()
	time.Sleep(100 * time.Millisecond)
	b.write(v.VolumeId, 0, []byte("in"))
	released := time.Now()
	b.setFaults(`{"fault-snapshot-answer-ms": 3600000}`)
	b.waitForCut("s")
	b.write(v.VolumeId, 8, []byte("out"))
	select {
	case s := <-done:
		t.Fatalf("not held: %v", s)
	case <-time.After(100 * time.Millisecond):
	}
	b.setFaults(`{}`)
	s := <-done
	if s == nil {
		t.FailNow()
	}
	if data := b.read(s.SnapshotId); string(data[:2]) != "in" || data[8] != 0 {
		t.Errorf("%q", data[:16])
	}
	if s.CreationTime.AsTime().Before(released) {
		t.Errorf("cut at %v, released at %v", s.CreationTime.AsTime(), released)
	}
}

// Asynchronous drivers answer with the cut made and ready_to_use false. The same call says later
// that it is ready, as does the list; until then nothing can be restored from it.
func TestReadyLater(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	slow := []string{"fault-snapshot-ready-ms", "3600000"}
	s := b.mustSnapshot("s", v.VolumeId, slow...)
	if s.ReadyToUse || s.CreationTime == nil || s.SizeBytes != mib {
		t.Fatalf("%v", s)
	}
	listed := func() bool {
		return must[*csi.ListSnapshotsResponse](t)(b.driver.ListSnapshots(t.Context(),
			&csi.ListSnapshotsRequest{SnapshotId: s.SnapshotId})).Entries[0].Snapshot.ReadyToUse
	}
	_, err := b.volume("r", mib, origin{snapshot: s.SnapshotId})
	b.wantCode(err, codes.Unavailable)
	b.restart()
	if b.mustSnapshot("s", v.VolumeId, slow...).ReadyToUse || listed() {
		t.Fatal("ready after a restart")
	}
	const short = 50 * time.Millisecond
	b.setFaults(`{"fault-snapshot-ready-ms": 50}`)
	time.Sleep(short - min(short, time.Since(s.CreationTime.AsTime())))
	again := b.mustSnapshot("s", v.VolumeId, slow...)
	if !again.ReadyToUse || !listed() {
		t.Error("not ready in time")
	}
	if !again.CreationTime.AsTime().Equal(s.CreationTime.AsTime()) {
		t.Error("the cut moved")
	}
	b.mustVolume("r", mib, origin{snapshot: s.SnapshotId})
}

// A driver may answer a request that it has only stored: what is written after its answer is in the
// snapshot, and until the cut it is not ready. Killed in between, it cuts when it is back.
func TestCutLate(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	b.write(v.VolumeId, 0, []byte("before"))
	late := []string{"fault-snapshot-cut-late-ms", "300"}
	s := b.mustSnapshot("s", v.VolumeId, late...)
	if s.ReadyToUse || s.CreationTime == nil || s.SizeBytes != mib {
		t.Fatalf("%v", s)
	}
	_, err := b.volume("r", mib, origin{snapshot: s.SnapshotId})
	b.wantCode(err, codes.Unavailable)
	b.write(v.VolumeId, 0, []byte("after!"))
	b.restart()
	gone := b.mustSnapshot("gone", v.VolumeId, late...)
	must[*csi.DeleteSnapshotResponse](t)(b.driver.DeleteSnapshot(t.Context(),
		&csi.DeleteSnapshotRequest{SnapshotId: gone.SnapshotId}))
	for !b.mustSnapshot("s", v.VolumeId, late...).ReadyToUse {
		time.Sleep(10 * time.Millisecond)
	}
	if got := string(b.read(s.SnapshotId)[:6]); got != "after!" {
		t.Errorf("the snapshot holds %q", got)
	}
	time.Sleep(400 * time.Millisecond)
	if _, err := os.Stat(b.file(gone.SnapshotId)); !os.IsNotExist(err) {
		t.Errorf("a deleted snapshot was cut: %v", err)
	}
}

func TestMissingFields(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	s := b.mustSnapshot("s", v.VolumeId, "fault-snapshot-no-creation-time", "true",
		"fault-snapshot-no-size", "true")
	if s.CreationTime != nil || s.SizeBytes != 0 || !s.ReadyToUse {
		t.Errorf("%v", s)
	}
	b.mustVolume("r", 0, origin{snapshot: s.SnapshotId})
}

// What a driver tells of the cut's time may be anything, and stays what it was after a restart.
func TestCreationTimes(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	made := b.driver.store.volumes.byID[v.VolumeId].MadeTime
	b.restart()
	for told, want := range map[string]func(cut time.Time) time.Time{
		timeZero:   func(time.Time) time.Time { return time.Unix(0, 0) },
		timeVolume: func(time.Time) time.Time { return made },
		"-3600":    func(cut time.Time) time.Time { return cut.Add(-time.Hour) },
		"3600":     func(cut time.Time) time.Time { return cut.Add(time.Hour) },
	} {
		s := b.mustSnapshot(told, v.VolumeId, "fault-snapshot-creation-time", told)
		cut := b.driver.store.snapshots.byName[told].CutTime
		if got := s.CreationTime.AsTime(); !got.Equal(want(cut)) || !s.ReadyToUse {
			t.Errorf("%s: %v, cut at %v", told, got, cut)
		}
	}
	_, err := b.snapshot("s", v.VolumeId, "fault-snapshot-creation-time", "yesterday")
	b.wantCode(err, codes.InvalidArgument)
}

// A snapshot that volumes depend on is not deleted before the last of them.
func TestKeptByClones(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	kept := []string{"fault-snapshot-kept-by-clones", "true"}
	s := b.mustSnapshot("s", v.VolumeId, kept...)
	r := b.mustVolume("r", mib, origin{snapshot: s.SnapshotId})
	remove := func(id string) error {
		_, err := b.driver.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: id})
		return err
	}
	b.wantCode(remove(s.SnapshotId), codes.FailedPrecondition)
	if _, err := os.Stat(b.file(s.SnapshotId)); err != nil {
		t.Error(err)
	}
	b.wantCode(remove(b.mustSnapshot("unused", v.VolumeId, kept...).SnapshotId), codes.OK)
	must[*csi.DeleteVolumeResponse](t)(b.driver.DeleteVolume(t.Context(),
		&csi.DeleteVolumeRequest{VolumeId: r.VolumeId}))
	b.wantCode(remove(s.SnapshotId), codes.OK)
}

// A caller that gives up finds the operation under way, then done: it is not begun a second time.
func TestCallerGivesUp(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	request := &csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: v.VolumeId}
	b.setFaults(`{"fault-snapshot-answer-ms": 3600000}`)
	_, err := b.driver.CreateSnapshot(contextFor(t, 50*time.Millisecond), request)
	b.wantCode(err, codes.DeadlineExceeded)
	cut := b.waitForCut("s").CutTime
	answer := must[*csi.CreateSnapshotResponse](t)(b.driver.CreateSnapshot(t.Context(), request))
	if !answer.Snapshot.CreationTime.AsTime().Equal(cut) {
		t.Error("cut a second time")
	}

	request = &csi.CreateSnapshotRequest{Name: "t", SourceVolumeId: v.VolumeId}
	b.setFaults(`{"fault-snapshot-delay-ms": 3600000}`)
	_, err = b.driver.CreateSnapshot(contextFor(t, 50*time.Millisecond), request)
	b.wantCode(err, codes.DeadlineExceeded)
	_, err = b.driver.CreateSnapshot(t.Context(), request)
	b.wantCode(err, codes.Aborted)
	b.setFaults(`{}`)
	b.waitForCut("t")
}

// faults.json overrides class parameters at the very next call, also those of objects made before;
// an entry of its own aims at one volume only.
func TestFaultsFile(t *testing.T) {
	b := newBench(t)
	v, w := b.mustVolume("v", mib, origin{}), b.mustVolume("w", mib, origin{})
	b.setFaults(`{"fault-snapshot-fail": true, "fault-snapshot-fail-code": "Unavailable"}`)
	_, err := b.snapshot("s", v.VolumeId, "fault-snapshot-fail", "false")
	b.wantCode(err, codes.Unavailable)
	b.setFaults(fmt.Sprintf(`{"%s": {"fault-snapshot-fail": true}}`, v.VolumeId))
	_, err = b.snapshot("s", v.VolumeId)
	b.wantCode(err, codes.Internal)
	b.mustSnapshot("t", w.VolumeId)
	b.setFaults(`{"fault-snapshot-ready-ms": 3600000}`)
	if b.mustSnapshot("t", w.VolumeId).ReadyToUse {
		t.Error("ready")
	}
	b.setFaults(`{"fault-snapshot-fial": true}`)
	_, err = b.snapshot("s", v.VolumeId)
	b.wantCode(err, codes.InvalidArgument)
	b.setFaults(`{}`)
	b.mustSnapshot("s", v.VolumeId)
	if !b.mustSnapshot("t", w.VolumeId).ReadyToUse {
		t.Error("not ready")
	}
}

// Faults of a StorageClass that speak of snapshots hold for the snapshots of its volumes; the
// VolumeSnapshotClass has the last word.
func TestFaultsOfTheSourceVolume(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{}, "fault-snapshot-fail", "true", "kind", "ignored")
	_, err := b.snapshot("s", v.VolumeId)
	b.wantCode(err, codes.Internal)
	b.mustSnapshot("s", v.VolumeId, "fault-snapshot-fail", "false")
}

// A driver without a capability does not declare it and refuses what needs it.
func TestWithoutCapabilities(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	s := b.mustSnapshot("s", v.VolumeId)
	less, err := parseFeatures("", "snapshots,clones,expansion")
	if err != nil {
		t.Fatal(err)
	}
	b.driver.features = less
	capabilities, _ := b.driver.ControllerGetCapabilities(t.Context(), nil)
	if len(capabilities.Capabilities) != 1 {
		t.Errorf("%v", capabilities)
	}
	_, err = b.snapshot("t", v.VolumeId)
	b.wantCode(err, codes.Unimplemented)
	_, err = b.volume("r", mib, origin{snapshot: s.SnapshotId})
	b.wantCode(err, codes.InvalidArgument)
	_, err = b.volume("c", mib, origin{volume: v.VolumeId})
	b.wantCode(err, codes.InvalidArgument)
	_, err = b.driver.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{})
	b.wantCode(err, codes.Unimplemented)
	if _, err := parseFeatures("", "snapshot"); err == nil {
		t.Error("a misspelt capability was taken")
	}
}
