package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const mib = 1 << 20

// A bench is one driver on a folder of its own, called directly.
type bench struct {
	*testing.T
	folder string
	driver *controller
}

func newBench(t *testing.T) *bench {
	t.Parallel()
	b := &bench{T: t, folder: t.TempDir()}
	b.restart()
	return b
}

// restart is what a new process sees of the folder.
func (b *bench) restart() {
	b.Helper()
	store, err := openStore(b.folder)
	if err != nil {
		b.Fatal(err)
	}
	all, _ := parseFeatures("", "")
	b.driver = newController(all, store)
}

func (b *bench) file(id string) string {
	if id[:4] == "vol-" {
		return filepath.Join(b.folder, "volumes", id+".img")
	}
	return filepath.Join(b.folder, "snapshots", id+".img")
}

func (b *bench) read(id string) []byte {
	b.Helper()
	data, err := os.ReadFile(b.file(id))
	if err != nil {
		b.Fatal(err)
	}
	return data
}

func (b *bench) write(id string, at int64, data []byte) {
	b.Helper()
	file, err := os.OpenFile(b.file(id), os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(data, at); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) setFaults(text string) {
	b.Helper()
	path := filepath.Join(b.folder, "faults.json")
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		b.Fatal(err)
	}
}

func mountable() []*csi.VolumeCapability {
	return []*csi.VolumeCapability{{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{
			Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER}}}
}

func volumeRequest(name string, size int64, from origin, pairs ...string) *csi.CreateVolumeRequest {
	r := &csi.CreateVolumeRequest{Name: name, VolumeCapabilities: mountable(),
		CapacityRange: &csi.CapacityRange{RequiredBytes: size}, Parameters: dict(pairs)}
	if from != (origin{}) {
		r.VolumeContentSource = volumeAnswer(&record{SourceSnapshot: from.snapshot,
			SourceVolume: from.volume}).ContentSource
	}
	return r
}

func dict(pairs []string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func (b *bench) volume(name string, size int64, from origin, pairs ...string) (*csi.Volume, error) {
	answer, err := b.driver.CreateVolume(b.Context(), volumeRequest(name, size, from, pairs...))
	return answer.GetVolume(), err
}

func (b *bench) snapshot(name, volume string, pairs ...string) (*csi.Snapshot, error) {
	answer, err := b.driver.CreateSnapshot(b.Context(), &csi.CreateSnapshotRequest{Name: name,
		SourceVolumeId: volume, Parameters: dict(pairs)})
	return answer.GetSnapshot(), err
}

func must[T any](t testing.TB) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func (b *bench) mustVolume(name string, size int64, from origin, pairs ...string) *csi.Volume {
	b.Helper()
	return must[*csi.Volume](b)(b.volume(name, size, from, pairs...))
}

func (b *bench) mustSnapshot(name, volume string, pairs ...string) *csi.Snapshot {
	b.Helper()
	return must[*csi.Snapshot](b)(b.snapshot(name, volume, pairs...))
}

func (b *bench) wantCode(err error, code codes.Code) {
	b.Helper()
	if status.Code(err) != code {
		b.Fatalf("got %v, want %v", err, code)
	}
}

// csi.proto: a repeated call with the same name answers with the same object; the same name with
// another size or source is ALREADY_EXISTS; deletion of what is gone is success.
func TestSameNameIsSameObject(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("pvc-1", mib, origin{})
	if again := b.mustVolume("pvc-1", mib, origin{}); again.VolumeId != v.VolumeId {
		t.Fatalf("a second volume %s beside %s", again.VolumeId, v.VolumeId)
	}
	_, err := b.volume("pvc-1", 2*mib, origin{})
	b.wantCode(err, codes.AlreadyExists)
	other := b.mustVolume("pvc-2", mib, origin{})
	_, err = b.volume("pvc-1", mib, origin{volume: other.VolumeId})
	b.wantCode(err, codes.AlreadyExists)

	s := b.mustSnapshot("snap", v.VolumeId)
	again := b.mustSnapshot("snap", v.VolumeId)
	if again.SnapshotId != s.SnapshotId ||
		!again.CreationTime.AsTime().Equal(s.CreationTime.AsTime()) {
		t.Fatalf("%v, then %v", s, again)
	}
	_, err = b.snapshot("snap", other.VolumeId)
	b.wantCode(err, codes.AlreadyExists)

	for range 2 {
		_, err = b.driver.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: s.SnapshotId})
		b.wantCode(err, codes.OK)
		_, err = b.driver.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.VolumeId})
		b.wantCode(err, codes.OK)
	}
	for _, id := range []string{s.SnapshotId, v.VolumeId} {
		if _, err := os.Stat(b.file(id)); !os.IsNotExist(err) {
			t.Fatalf("%s is still there: %v", id, err)
		}
	}
	if b.mustVolume("pvc-1", mib, origin{}).VolumeId == v.VolumeId {
		t.Fatal("a handle was used twice")
	}
}

// Concurrent first calls make one object: all others are answered Aborted or with the same one.
func TestConcurrentCallsMakeOneObject(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if _, err := b.snapshot("s", v.VolumeId); err != nil && status.Code(err) != codes.Aborted {
				t.Error(err)
			}
			if _, err := b.volume("w", mib, origin{}); err != nil && status.Code(err) != codes.Aborted {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for folder, want := range map[string]int{"volumes": 2, "snapshots": 1} {
		files, _ := filepath.Glob(filepath.Join(b.folder, folder, "*.img"))
		if len(files) != want {
			t.Errorf("%s: %v", folder, files)
		}
	}
}

// A snapshot and a clone hold the bytes of their time, whatever is written afterwards on either
// side, and a restored volume is a volume of its own. Both ways of copying.
func TestPointInTime(t *testing.T) {
	for _, share := range []bool{true, false} {
		t.Run(fmt.Sprintf("share=%v", share), func(t *testing.T) {
			b := newBench(t)
			b.driver.shareBlocks = share
			v := b.mustVolume("v", 4*mib, origin{})
			b.write(v.VolumeId, 3*mib+17, []byte("before"))
			want := b.read(v.VolumeId)
			start := time.Now()
			s := b.mustSnapshot("s", v.VolumeId)
			end := time.Now()
			c := b.mustVolume("c", 0, origin{volume: v.VolumeId})
			b.write(v.VolumeId, 3*mib+17, []byte("after!"))
			b.write(v.VolumeId, 0, []byte("after!"))
			r := b.mustVolume("r", 0, origin{snapshot: s.SnapshotId})
			for _, id := range []string{s.SnapshotId, c.VolumeId, r.VolumeId} {
				if !bytes.Equal(b.read(id), want) {
					t.Errorf("%s is not what the volume was", id)
				}
			}
			b.write(r.VolumeId, 0, []byte("other"))
			if !bytes.Equal(b.read(s.SnapshotId), want) {
				t.Error("writing to a restored volume changed the snapshot")
			}
			if s.SizeBytes != 4*mib || r.CapacityBytes != 4*mib || !s.ReadyToUse {
				t.Errorf("%v, %v", s, r)
			}
			if cut := s.CreationTime.AsTime(); cut.Before(start) || cut.After(end) {
				t.Errorf("cut at %v, called from %v to %v", cut, start, end)
			}
		})
	}
}

const recordSize = 512

func writeRecords(file *os.File, stop <-chan struct{}, stopped chan<- struct{}) {
	defer close(stopped)
	record := make([]byte, recordSize)
	for n := uint64(0); ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		binary.LittleEndian.PutUint64(record, n+1)
		binary.LittleEndian.PutUint32(record[recordSize-4:], crc32.ChecksumIEEE(record[:recordSize-4]))
		if _, err := file.WriteAt(record, int64(n)*recordSize); err != nil {
			panic(err)
		}
		time.Sleep(20 * time.Microsecond)
	}
}

// countRecords returns how many records, numbered without a gap, the data begins with.
func countRecords(data []byte) uint64 {
	for n := uint64(0); ; n++ {
		at := int(n) * recordSize
		if at+recordSize > len(data) {
			return n
		}
		r := data[at : at+recordSize]
		if binary.LittleEndian.Uint64(r) != n+1 ||
			binary.LittleEndian.Uint32(r[recordSize-4:]) != crc32.ChecksumIEEE(r[:recordSize-4]) {
			return n
		}
	}
}

// A writer is not held up by a snapshot. What it had written before the call is in the copy; what it
// writes after the answer is not.
func TestSnapshotBesideAWriter(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", 64*mib, origin{})
	file, err := os.OpenFile(b.file(v.VolumeId), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go writeRecords(file, stop, stopped)
	for i := range 10 {
		time.Sleep(5 * time.Millisecond)
		before := countRecords(b.read(v.VolumeId))
		s := b.mustSnapshot(fmt.Sprint("s", i), v.VolumeId)
		after := countRecords(b.read(v.VolumeId))
		got := countRecords(b.read(s.SnapshotId))
		if got < before || got > after {
			t.Errorf("%d records, but %d before and %d after", got, before, after)
		}
	}
	close(stop)
	<-stopped
	first := countRecords(b.read(b.mustSnapshot("s0", v.VolumeId).SnapshotId))
	if last := countRecords(b.read(v.VolumeId)); last <= first {
		t.Errorf("the writer stood still: %d, then %d", first, last)
	}
}

// Copies of a sparse volume take the space of its data only, and the data lies where it was.
func TestSparse(t *testing.T) {
	for _, share := range []bool{true, false} {
		t.Run(fmt.Sprintf("share=%v", share), func(t *testing.T) {
			b := newBench(t)
			b.driver.shareBlocks = share
			const size = 1 << 30
			v := b.mustVolume("v", size, origin{})
			places := []int64{0, 5 * mib, size / 2, size - 4096}
			for _, at := range places {
				b.write(v.VolumeId, at, bytes.Repeat([]byte{byte(at>>20) | 1}, 4096))
			}
			s := b.mustSnapshot("s", v.VolumeId)
			r := b.mustVolume("r", 2*size, origin{snapshot: s.SnapshotId})
			for id, wantSize := range map[string]int64{v.VolumeId: size, s.SnapshotId: size,
				r.VolumeId: 2 * size} {
				info, err := os.Stat(b.file(id))
				if err != nil {
					t.Fatal(err)
				}
				used := info.Sys().(*syscall.Stat_t).Blocks * 512
				if info.Size() != wantSize || used > mib {
					t.Errorf("%s: %d bytes, %d used", id, info.Size(), used)
				}
				file, err := os.Open(b.file(id))
				if err != nil {
					t.Fatal(err)
				}
				for _, at := range places {
					page := make([]byte, 4096)
					if _, err := file.ReadAt(page, at); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(page, bytes.Repeat([]byte{byte(at>>20) | 1}, 4096)) {
						t.Errorf("%s: other bytes at %d", id, at)
					}
				}
				file.Close()
			}
		})
	}
}

// Sizes of volumes made from something: csi.proto, CreateVolumeRequest.capacity_range; the text of
// OutOfRange is the one users see in the claim's Events.
func TestSizes(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", 2*mib, origin{})
	b.write(v.VolumeId, 2*mib-4, []byte("last"))
	s := b.mustSnapshot("s", v.VolumeId)
	for _, row := range []struct {
		name       string
		from       origin
		least      int64
		most       int64
		parameters []string
		want       int64
		code       codes.Code
	}{
		{name: "nothing asked, nothing to copy", want: 1 << 30},
		{name: "exactly what is asked", least: 12345, want: 12345},
		{name: "limit below the default", most: mib, code: codes.OutOfRange},
		{name: "limit below the least", least: 2 * mib, most: mib, code: codes.InvalidArgument},
		{name: "the snapshot's", from: origin{snapshot: s.SnapshotId}, want: 2 * mib},
		{name: "as the snapshot", from: origin{snapshot: s.SnapshotId}, least: 2 * mib, want: 2 * mib},
		{name: "larger", from: origin{snapshot: s.SnapshotId}, least: 3*mib + 1, want: 3*mib + 1},
		{name: "one byte less", from: origin{snapshot: s.SnapshotId}, least: 2*mib - 1, code: codes.OutOfRange},
		{name: "limit below the snapshot", from: origin{snapshot: s.SnapshotId}, most: mib, code: codes.OutOfRange},
		{name: "larger clone", from: origin{volume: v.VolumeId}, least: 5 * mib, want: 5 * mib},
		{name: "smaller clone", from: origin{volume: v.VolumeId}, least: mib, code: codes.OutOfRange},
		{name: "larger without growing", from: origin{snapshot: s.SnapshotId}, least: 3 * mib,
			parameters: []string{"fault-grow-unsupported", "true"}, code: codes.InvalidArgument},
		{name: "as large without growing", from: origin{snapshot: s.SnapshotId}, least: 2 * mib,
			parameters: []string{"fault-grow-unsupported", "true"}, want: 2 * mib},
		{name: "no such snapshot", from: origin{snapshot: "snap-0"}, code: codes.NotFound},
		{name: "no such volume", from: origin{volume: "vol-0"}, code: codes.NotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			request := volumeRequest(row.name, row.least, row.from, row.parameters...)
			request.CapacityRange.LimitBytes = row.most
			answer, err := b.driver.CreateVolume(t.Context(), request)
			if status.Code(err) != row.code || answer.GetVolume().GetCapacityBytes() != row.want {
				t.Fatalf("got %v, %v", answer, err)
			}
			if err != nil {
				return
			}
			info, err := os.Stat(b.file(answer.Volume.VolumeId))
			if err != nil || info.Size() != row.want {
				t.Fatalf("file: %v, %v", info, err)
			}
			if row.from == (origin{}) {
				return
			}
			data := b.read(answer.Volume.VolumeId)
			if string(data[2*mib-4:2*mib]) != "last" ||
				bytes.ContainsFunc(data[2*mib:], func(r rune) bool { return r != 0 }) {
				t.Error("not the source's bytes followed by zeros")
			}
		})
	}
	_, err := b.volume("text", mib, origin{snapshot: s.SnapshotId})
	want := fmt.Sprintf("requested volume size %d is less than the size %d for the source snapshot", mib, 2*mib)
	if status.Convert(err).Message() != want {
		t.Errorf("got %q, want %q", status.Convert(err).Message(), want)
	}
	files, _ := filepath.Glob(filepath.Join(b.folder, "volumes", "*.img"))
	if len(files) != len(b.driver.store.volumes.byID) {
		t.Errorf("%d files of %d volumes: refused calls left some", len(files),
			len(b.driver.store.volumes.byID))
	}
}

func TestExpand(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	b.write(v.VolumeId, 0, []byte("data"))
	for _, row := range []struct{ ask, want int64 }{{3 * mib, 3 * mib}, {2 * mib, 3 * mib}, {3 * mib, 3 * mib}} {
		answer, err := b.driver.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
			VolumeId: v.VolumeId, CapacityRange: &csi.CapacityRange{RequiredBytes: row.ask}})
		if err != nil || answer.CapacityBytes != row.want || answer.NodeExpansionRequired ||
			int64(len(b.read(v.VolumeId))) != row.want {
			t.Fatalf("%d: %v, %v", row.ask, answer, err)
		}
	}
	b.restart()
	if s := b.mustSnapshot("s", v.VolumeId); s.SizeBytes != 3*mib {
		t.Fatalf("%v", s)
	}
	_, err := b.driver.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: "vol-0", CapacityRange: &csi.CapacityRange{RequiredBytes: mib}})
	b.wantCode(err, codes.NotFound)
}

// csi.proto, ListSnapshots: what does not exist is an empty list, not an error; pages join up.
func TestList(t *testing.T) {
	b := newBench(t)
	v, w := b.mustVolume("v", mib, origin{}), b.mustVolume("w", mib, origin{})
	for i := range 5 {
		b.mustSnapshot(fmt.Sprint("v", i), v.VolumeId)
	}
	only := b.mustSnapshot("w", w.VolumeId)
	list := must[*csi.ListSnapshotsResponse](t)
	seen, token, pages := map[string]bool{}, "", 0
	for {
		page := list(b.driver.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{
			MaxEntries: 2, StartingToken: token, SourceVolumeId: v.VolumeId}))
		for _, entry := range page.Entries {
			seen[entry.Snapshot.SnapshotId] = true
		}
		pages++
		if token = page.NextToken; token == "" {
			break
		}
	}
	if len(seen) != 5 || pages != 3 || seen[only.SnapshotId] {
		t.Errorf("%d snapshots on %d pages", len(seen), pages)
	}
	one := list(b.driver.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{SnapshotId: only.SnapshotId}))
	if len(one.Entries) != 1 || one.Entries[0].Snapshot.SourceVolumeId != w.VolumeId {
		t.Errorf("%v", one)
	}
	none := list(b.driver.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{SnapshotId: "snap-0"}))
	if len(none.Entries) != 0 {
		t.Errorf("%v", none)
	}
	_, err := b.driver.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{StartingToken: "x"})
	b.wantCode(err, codes.Aborted)
}

// csi.proto, "field is REQUIRED": requests that lack one are INVALID_ARGUMENT.
func TestRequiredFields(t *testing.T) {
	b := newBench(t)
	v := b.mustVolume("v", mib, origin{})
	call := func(name string, f func() error) {
		t.Run(name, func(t *testing.T) {
			if err := f(); status.Code(err) != codes.InvalidArgument {
				t.Errorf("got %v", err)
			}
		})
	}
	ctx := t.Context()
	call("volume name", func() error { _, err := b.volume("", mib, origin{}); return err })
	call("volume capabilities", func() error {
		_, err := b.driver.CreateVolume(ctx, &csi.CreateVolumeRequest{Name: "x"})
		return err
	})
	call("access type", func() error {
		_, err := b.driver.CreateVolume(ctx, &csi.CreateVolumeRequest{Name: "x",
			VolumeCapabilities: []*csi.VolumeCapability{{}}})
		return err
	})
	call("empty source", func() error {
		r := volumeRequest("x", mib, origin{})
		r.VolumeContentSource = &csi.VolumeContentSource{}
		_, err := b.driver.CreateVolume(ctx, r)
		return err
	})
	call("snapshot name", func() error { _, err := b.snapshot("", v.VolumeId); return err })
	call("snapshot source", func() error { _, err := b.snapshot("s", ""); return err })
	call("volume id", func() error {
		_, err := b.driver.DeleteVolume(ctx, &csi.DeleteVolumeRequest{})
		return err
	})
	call("snapshot id", func() error {
		_, err := b.driver.DeleteSnapshot(ctx, &csi.DeleteSnapshotRequest{})
		return err
	})
	_, err := b.snapshot("s", "vol-0")
	b.wantCode(err, codes.NotFound)
	_, err = b.driver.ValidateVolumeCapabilities(ctx, &csi.ValidateVolumeCapabilitiesRequest{
		VolumeId: "vol-0", VolumeCapabilities: mountable()})
	b.wantCode(err, codes.NotFound)
}

func contextFor(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
