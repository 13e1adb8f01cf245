package main

import (
	"context"
	"log"
	"maps"
	"os"
	"strconv"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type controller struct {
	csi.UnimplementedControllerServer
	features features
	store    *store
	// shareBlocks lets copies be reflinks where the file system can.
	shareBlocks bool
}

func newController(features features, store *store) *controller {
	c := &controller{features: features, store: store, shareBlocks: true}
	for _, snapshot := range store.snapshots.list() {
		if !snapshot.CutDue.IsZero() {
			go c.cutLater(snapshot)
		}
	}
	return c
}

// perform runs one operation with its faults. As in real drivers it goes on when the caller has given
// up: the sidecar's next call finds it under way (Aborted) or done. Work is idempotent.
func perform[T any](ctx context.Context, call operationCall, work func() (T, error)) (T, error) {
	type outcome struct {
		answer T
		err    error
	}
	var none T
	key := call.kind + " " + call.name
	if !call.store.begin(key) {
		return none, status.Errorf(codes.Aborted, "an operation with %s is under way", call.name)
	}
	done := make(chan outcome, 1)
	go func() {
		err := call.before()
		var answer T
		if err == nil {
			if answer, err = work(); err == nil {
				err = call.pause("-answer-ms")
			}
		}
		// First, so that the caller's next call is not refused.
		call.store.end(key)
		done <- outcome{answer, err}
	}()
	select {
	case o := <-done:
		if _, isStatus := status.FromError(o.err); !isStatus {
			o.err = status.Error(codes.Internal, o.err.Error())
		}
		return o.answer, o.err
	case <-ctx.Done():
		return none, status.FromContextError(ctx.Err()).Err()
	}
}

func (c *controller) ControllerGetCapabilities(context.Context,
	*csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	type rpc = csi.ControllerServiceCapability_RPC_Type
	answer := &csi.ControllerGetCapabilitiesResponse{}
	add := func(declared bool, kind rpc) {
		if declared {
			answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{
				Type: &csi.ControllerServiceCapability_Rpc{
					Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}}})
		}
	}
	add(true, csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME)
	add(c.features.snapshots, csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT)
	add(c.features.snapshots && c.features.listSnapshots,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS)
	add(c.features.clones, csi.ControllerServiceCapability_RPC_CLONE_VOLUME)
	add(c.features.expansion, csi.ControllerServiceCapability_RPC_EXPAND_VOLUME)
	return answer, nil
}

func checkCapabilities(capabilities []*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return status.Error(codes.InvalidArgument, "volume capabilities are missing")
	}
	for _, capability := range capabilities {
		if capability.GetMount() == nil && capability.GetBlock() == nil {
			return status.Error(codes.InvalidArgument, "a volume capability has no access type")
		}
		if capability.GetAccessMode() == nil {
			return status.Error(codes.InvalidArgument, "a volume capability has no access mode")
		}
	}
	return nil
}

// An origin is what a new volume is filled from: a snapshot, a volume, or nothing.
type origin struct {
	snapshot, volume string
}

func originOf(source *csi.VolumeContentSource) origin {
	return origin{snapshot: source.GetSnapshot().GetSnapshotId(),
		volume: source.GetVolume().GetVolumeId()}
}

func (o origin) operation() string {
	switch {
	case o.snapshot != "":
		return "restore"
	case o.volume != "":
		return "clone"
	}
	return "create"
}

func (c *controller) CreateVolume(ctx context.Context, request *csi.CreateVolumeRequest) (
	*csi.CreateVolumeResponse, error) {
	if request.Name == "" {
		return nil, status.Error(codes.InvalidArgument, "name is missing")
	}
	if err := checkCapabilities(request.VolumeCapabilities); err != nil {
		return nil, err
	}
	from := originOf(request.VolumeContentSource)
	if request.VolumeContentSource != nil && from == (origin{}) {
		return nil, status.Error(codes.InvalidArgument, "the content source names nothing")
	}
	if from.snapshot != "" && !c.features.snapshots || from.volume != "" && !c.features.clones {
		return nil, status.Errorf(codes.InvalidArgument, "%s is not supported", from.operation())
	}
	if answer, err := c.existingVolume(request, from); answer != nil || err != nil {
		return answer, err
	}
	call := operationCall{store: c.store, kind: "volume", operation: from.operation(), name: request.Name,
		parameters: request.Parameters, ids: []string{from.snapshot, from.volume}}
	return perform(ctx, call, func() (*csi.CreateVolumeResponse, error) {
		// An earlier call may have come to its end since we looked.
		if answer, err := c.existingVolume(request, from); answer != nil || err != nil {
			return answer, err
		}
		return c.createVolume(request, from)
	})
}

func (c *controller) existingVolume(request *csi.CreateVolumeRequest, from origin) (
	*csi.CreateVolumeResponse, error) {
	c.store.mutex.Lock()
	defer c.store.mutex.Unlock()
	volume := c.store.volumes.byName[request.Name]
	if volume == nil {
		return nil, nil
	}
	least, most := request.CapacityRange.GetRequiredBytes(), request.CapacityRange.GetLimitBytes()
	same := from == origin{volume.SourceSnapshot, volume.SourceVolume}
	if !same || volume.Size < least || most > 0 && volume.Size > most {
		return nil, status.Errorf(codes.AlreadyExists,
			"volume %s exists with another size or source", request.Name)
	}
	return &csi.CreateVolumeResponse{Volume: volumeAnswer(volume)}, nil
}

func volumeAnswer(volume *record) *csi.Volume {
	answer := &csi.Volume{VolumeId: volume.ID, CapacityBytes: volume.Size}
	switch {
	case volume.SourceSnapshot != "":
		answer.ContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
			Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: volume.SourceSnapshot}}}
	case volume.SourceVolume != "":
		answer.ContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
			Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: volume.SourceVolume}}}
	}
	return answer
}

// openOrigin opens what a volume is filled from, so that its deletion meanwhile does no harm.
func (c *controller) openOrigin(from origin) (*os.File, int64, error) {
	c.store.mutex.Lock()
	defer c.store.mutex.Unlock()
	kind, shelf, id := "snapshot", c.store.snapshots, from.snapshot
	if from.volume != "" {
		kind, shelf, id = "volume", c.store.volumes, from.volume
	}
	source := shelf.byID[id]
	if source == nil {
		return nil, 0, status.Errorf(codes.NotFound, "source %s %s does not exist", kind, id)
	}
	if from.snapshot != "" {
		ready, err := c.isReady(source)
		if err != nil {
			return nil, 0, err
		}
		if !ready {
			return nil, 0, status.Errorf(codes.Unavailable, "snapshot %s is not ready to use yet", id)
		}
	}
	file, err := os.Open(shelf.path(id))
	return file, source.Size, err
}

// chooseSize follows csi.proto, CapacityRange: zero means that the caller does not care.
func (c *controller) chooseSize(request *csi.CreateVolumeRequest, from origin, sourceSize int64) (
	int64, error) {
	least, most := request.CapacityRange.GetRequiredBytes(), request.CapacityRange.GetLimitBytes()
	if least < 0 || most < 0 || most > 0 && most < least {
		return 0, status.Errorf(codes.InvalidArgument, "capacity range %d to %d", least, most)
	}
	size := least
	if size == 0 {
		size = sourceSize
	}
	if size == 0 {
		size = 1 << 30
	}
	if size < sourceSize {
		return 0, status.Errorf(codes.OutOfRange,
			"requested volume size %d is less than the size %d for the source %s",
			size, sourceSize, map[bool]string{true: "snapshot", false: "volume"}[from.snapshot != ""])
	}
	if most > 0 && size > most {
		return 0, status.Errorf(codes.OutOfRange, "size %d is above the limit %d", size, most)
	}
	if from != (origin{}) && size > sourceSize {
		faults, err := c.store.faults(request.Parameters)
		if err != nil {
			return 0, err
		}
		if !c.features.expansion || faults.bool("grow-unsupported") {
			return 0, status.Errorf(codes.InvalidArgument,
				"size %d differs from the source's %d and expansion is not supported", size, sourceSize)
		}
	}
	return size, nil
}

func (c *controller) createVolume(request *csi.CreateVolumeRequest, from origin) (
	*csi.CreateVolumeResponse, error) {
	volume := &record{ID: newID("vol-"), Name: request.Name, Parameters: request.Parameters,
		SourceSnapshot: from.snapshot, SourceVolume: from.volume, MadeTime: time.Now()}
	var source *os.File
	var sourceSize int64
	if from != (origin{}) {
		var err error
		if source, sourceSize, err = c.openOrigin(from); err != nil {
			return nil, err
		}
		defer source.Close()
	}
	size, err := c.chooseSize(request, from, sourceSize)
	if err != nil {
		return nil, err
	}
	volume.Size = size
	path := c.store.volumes.path(volume.ID)
	if err := c.fill(path, source, size); err != nil {
		os.Remove(path)
		return nil, err
	}
	c.store.mutex.Lock()
	defer c.store.mutex.Unlock()
	if err := c.store.volumes.put(volume); err != nil {
		return nil, err
	}
	return &csi.CreateVolumeResponse{Volume: volumeAnswer(volume)}, nil
}

// fill makes a file of `size` bytes that begins as source, if there is one.
func (c *controller) fill(path string, source *os.File, size int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if source != nil {
		if _, err := copyFile(file, source, c.shareBlocks); err != nil {
			return err
		}
	}
	return file.Truncate(size)
}

func (c *controller) DeleteVolume(ctx context.Context, request *csi.DeleteVolumeRequest) (
	*csi.DeleteVolumeResponse, error) {
	err := c.remove(ctx, "delete-volume", c.store.volumes, request.VolumeId)
	if err != nil {
		return nil, err
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (c *controller) remove(ctx context.Context, operation string, shelf *shelf, id string) error {
	if id == "" {
		return status.Error(codes.InvalidArgument, "id is missing")
	}
	c.store.mutex.Lock()
	object := shelf.byID[id]
	c.store.mutex.Unlock()
	if object == nil {
		return nil
	}
	call := operationCall{store: c.store, kind: shelf.kind, operation: operation, name: object.Name,
		parameters: object.Parameters, ids: []string{id}}
	_, err := perform(ctx, call, func() (any, error) {
		c.store.mutex.Lock()
		defer c.store.mutex.Unlock()
		if shelf.byID[id] == nil {
			return nil, nil
		}
		if err := c.keptByClones(shelf, object); err != nil {
			return nil, err
		}
		return nil, shelf.drop(object)
	})
	return err
}

// keptByClones refuses what some storage cannot do: to delete a snapshot from which volumes were
// restored that still depend on it. CSI has the code for it (spec.md, DeleteSnapshot: "Snapshot in
// use", FAILED_PRECONDITION); the caller holds the store's lock.
func (c *controller) keptByClones(shelf *shelf, object *record) error {
	if shelf != c.store.snapshots {
		return nil
	}
	faults, err := c.store.faults(object.Parameters, object.SourceVolume, object.ID)
	if err != nil || !faults.bool("snapshot-kept-by-clones") {
		return err
	}
	for _, volume := range c.store.volumes.list() {
		if volume.SourceSnapshot == object.ID {
			return status.Errorf(codes.FailedPrecondition, "snapshot %s is in use by volume %s", object.ID, volume.ID)
		}
	}
	return nil
}

func (c *controller) ValidateVolumeCapabilities(_ context.Context,
	request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if request.VolumeId == "" {
		return nil, status.Error(codes.InvalidArgument, "id is missing")
	}
	if err := checkCapabilities(request.VolumeCapabilities); err != nil {
		return nil, err
	}
	c.store.mutex.Lock()
	defer c.store.mutex.Unlock()
	if c.store.volumes.byID[request.VolumeId] == nil {
		return nil, status.Errorf(codes.NotFound, "volume %s does not exist", request.VolumeId)
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
			VolumeContext: request.VolumeContext, VolumeCapabilities: request.VolumeCapabilities,
			Parameters: request.Parameters}}, nil
}

func (c *controller) ControllerExpandVolume(ctx context.Context,
	request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	if !c.features.expansion {
		return nil, status.Error(codes.Unimplemented, "expand is not supported")
	}
	if request.VolumeId == "" || request.CapacityRange == nil {
		return nil, status.Error(codes.InvalidArgument, "id or capacity range is missing")
	}
	c.store.mutex.Lock()
	volume := c.store.volumes.byID[request.VolumeId]
	c.store.mutex.Unlock()
	if volume == nil {
		return nil, status.Errorf(codes.NotFound, "volume %s does not exist", request.VolumeId)
	}
	size, most := request.CapacityRange.RequiredBytes, request.CapacityRange.LimitBytes
	if most > 0 && size > most {
		return nil, status.Errorf(codes.OutOfRange, "size %d is above the limit %d", size, most)
	}
	call := operationCall{store: c.store, kind: "volume", operation: "expand", name: volume.Name,
		parameters: volume.Parameters, ids: []string{volume.ID}}
	return perform(ctx, call, func() (*csi.ControllerExpandVolumeResponse, error) {
		return c.expand(volume, size)
	})
}

func (c *controller) expand(volume *record, size int64) (*csi.ControllerExpandVolumeResponse, error) {
	c.store.mutex.Lock()
	defer c.store.mutex.Unlock()
	if c.store.volumes.byID[volume.ID] == nil {
		return nil, status.Errorf(codes.NotFound, "volume %s does not exist", volume.ID)
	}
	// It never shrinks: a volume that is large enough already is an answer (csi.proto,
	// ControllerExpandVolume).
	if size > volume.Size {
		if err := os.Truncate(c.store.volumes.path(volume.ID), size); err != nil {
			return nil, err
		}
		grown := *volume
		grown.Size = size
		if err := c.store.volumes.put(&grown); err != nil {
			return nil, err
		}
		volume = &grown
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: volume.Size}, nil
}

// ---- snapshots ----------------------------------------------------------------------------------

func (c *controller) CreateSnapshot(ctx context.Context, request *csi.CreateSnapshotRequest) (
	*csi.CreateSnapshotResponse, error) {
	if !c.features.snapshots {
		return nil, status.Error(codes.Unimplemented, "snapshot is not supported")
	}
	if request.Name == "" || request.SourceVolumeId == "" {
		return nil, status.Error(codes.InvalidArgument, "name or source volume is missing")
	}
	if _, err := parseFaults(request.Parameters); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	c.store.mutex.Lock()
	existing, volume := c.store.snapshots.byName[request.Name],
		c.store.volumes.byID[request.SourceVolumeId]
	c.store.mutex.Unlock()
	if existing != nil {
		return c.answerSnapshot(request, existing)
	}
	if volume == nil {
		return nil, status.Errorf(codes.NotFound, "volume %s does not exist", request.SourceVolumeId)
	}
	parameters := onlyFaults(volume.Parameters)
	if parameters == nil {
		parameters = map[string]string{}
	}
	maps.Copy(parameters, request.Parameters)
	call := operationCall{store: c.store, kind: "snapshot", operation: "snapshot", name: request.Name,
		parameters: parameters, ids: []string{volume.ID}}
	return perform(ctx, call, func() (*csi.CreateSnapshotResponse, error) {
		c.store.mutex.Lock()
		snapshot := c.store.snapshots.byName[request.Name]
		c.store.mutex.Unlock()
		if snapshot == nil {
			var err error
			if snapshot, err = c.cut(request, parameters); err != nil {
				return nil, err
			}
		}
		return c.answerSnapshot(request, snapshot)
	})
}

func (c *controller) answerSnapshot(request *csi.CreateSnapshotRequest, snapshot *record) (
	*csi.CreateSnapshotResponse, error) {
	if snapshot.SourceVolume != request.SourceVolumeId {
		return nil, status.Errorf(codes.AlreadyExists, "snapshot %s exists with another source",
			request.Name)
	}
	answer, err := c.snapshotAnswer(snapshot)
	if err != nil {
		return nil, err
	}
	return &csi.CreateSnapshotResponse{Snapshot: answer}, nil
}

// cut makes the point-in-time copy, or, of a driver that answers before it cuts, the promise of one.
func (c *controller) cut(request *csi.CreateSnapshotRequest, parameters map[string]string) (
	*record, error) {
	c.store.mutex.Lock()
	volume := c.store.volumes.byID[request.SourceVolumeId]
	c.store.mutex.Unlock()
	if volume == nil {
		return nil, status.Errorf(codes.NotFound, "volume %s does not exist", request.SourceVolumeId)
	}
	faults, err := c.store.faults(parameters, request.SourceVolumeId)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	// The time is read before the copy: all that was written up to here is in it.
	snapshot := &record{ID: newID("snap-"), Name: request.Name, Parameters: parameters,
		SourceVolume: request.SourceVolumeId, MadeTime: volume.MadeTime, CutTime: time.Now()}
	late := faults.duration("snapshot-cut-late-ms")
	if late > 0 {
		snapshot.CutDue, snapshot.Size = snapshot.CutTime.Add(late), volume.Size
	} else if snapshot.Size, err = c.copyVolume(volume.ID,
		c.store.snapshots.path(snapshot.ID)); err != nil {
		return nil, err
	}
	c.store.mutex.Lock()
	err = c.store.snapshots.put(snapshot)
	c.store.mutex.Unlock()
	if err == nil && late > 0 {
		go c.cutLater(snapshot)
	}
	return snapshot, err
}

// copyVolume copies what the volume holds now. Writers are not held up: who wants a quiet guest
// freezes it.
func (c *controller) copyVolume(id, path string) (int64, error) {
	source, err := os.Open(c.store.volumes.path(id))
	if err != nil {
		return 0, err
	}
	defer source.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	size, err := copyFile(file, source, c.shareBlocks)
	if err != nil {
		os.Remove(path)
	}
	return size, err
}

// cutLater is the node agent of a driver that stores the request and answers: OpenEBS LVM LocalPV
// does so (lvm-localpv pkg/driver/controller.go, CreateSnapshot). What it cannot cut stays pending.
func (c *controller) cutLater(pending *record) {
	time.Sleep(time.Until(pending.CutDue))
	path := c.store.snapshots.path(pending.ID)
	size, err := c.copyVolume(pending.SourceVolume, path+".late")
	c.store.mutex.Lock()
	defer c.store.mutex.Unlock()
	if err == nil && c.store.snapshots.byID[pending.ID] == nil {
		err = os.Remove(path + ".late")
	} else if err == nil {
		if err = os.Rename(path+".late", path); err == nil {
			cut := *pending
			cut.CutDue, cut.Size = time.Time{}, size
			err = c.store.snapshots.put(&cut)
		}
	}
	if err != nil {
		log.Printf("late cut of %s: %v", pending.ID, err)
	}
}

func (c *controller) isReady(snapshot *record) (bool, error) {
	faults, err := c.store.faults(snapshot.Parameters, snapshot.SourceVolume, snapshot.ID)
	if err != nil {
		return false, status.Error(codes.Internal, err.Error())
	}
	return snapshot.CutDue.IsZero() &&
		time.Since(snapshot.CutTime) >= faults.duration("snapshot-ready-ms"), nil
}

func (c *controller) snapshotAnswer(snapshot *record) (*csi.Snapshot, error) {
	faults, err := c.store.faults(snapshot.Parameters, snapshot.SourceVolume, snapshot.ID)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	ready, err := c.isReady(snapshot)
	if err != nil {
		return nil, err
	}
	answer := &csi.Snapshot{SnapshotId: snapshot.ID, SourceVolumeId: snapshot.SourceVolume,
		GroupSnapshotId: snapshot.Group,
		ReadyToUse:      ready, SizeBytes: snapshot.Size,
		CreationTime: timestamppb.New(faults.creationTime(snapshot.CutTime, snapshot.MadeTime))}
	if faults.bool("snapshot-no-creation-time") {
		answer.CreationTime = nil
	}
	if faults.bool("snapshot-no-size") {
		answer.SizeBytes = 0
	}
	return answer, nil
}

func (c *controller) DeleteSnapshot(ctx context.Context, request *csi.DeleteSnapshotRequest) (
	*csi.DeleteSnapshotResponse, error) {
	if !c.features.snapshots {
		return nil, status.Error(codes.Unimplemented, "snapshot is not supported")
	}
	c.store.mutex.Lock()
	snapshot := c.store.snapshots.byID[request.SnapshotId]
	c.store.mutex.Unlock()
	// csi.proto, DeleteSnapshot: a member goes with its group alone.
	if snapshot != nil && snapshot.Group != "" {
		return nil, status.Errorf(codes.InvalidArgument, "snapshot %s is a member of group %s",
			snapshot.ID, snapshot.Group)
	}
	err := c.remove(ctx, "delete-snapshot", c.store.snapshots, request.SnapshotId)
	if err != nil {
		return nil, err
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

func (c *controller) ListSnapshots(_ context.Context, request *csi.ListSnapshotsRequest) (
	*csi.ListSnapshotsResponse, error) {
	if !c.features.snapshots || !c.features.listSnapshots {
		return nil, status.Error(codes.Unimplemented, "listing of snapshots is not supported")
	}
	start := 0
	if request.StartingToken != "" {
		var err error
		start, err = strconv.Atoi(request.StartingToken)
		if err != nil || start < 0 {
			return nil, status.Errorf(codes.Aborted, "starting token %q", request.StartingToken)
		}
	}
	c.store.mutex.Lock()
	defer c.store.mutex.Unlock()
	answer, seen := &csi.ListSnapshotsResponse{}, 0
	for _, snapshot := range c.store.snapshots.list() {
		if request.SnapshotId != "" && request.SnapshotId != snapshot.ID ||
			request.SourceVolumeId != "" && request.SourceVolumeId != snapshot.SourceVolume {
			continue
		}
		seen++
		if seen <= start {
			continue
		}
		if most := int(request.MaxEntries); most > 0 && len(answer.Entries) == most {
			answer.NextToken = strconv.Itoa(seen - 1)
			break
		}
		entry, err := c.snapshotAnswer(snapshot)
		if err != nil {
			return nil, err
		}
		answer.Entries = append(answer.Entries,
			&csi.ListSnapshotsResponse_Entry{Snapshot: entry})
	}
	return answer, nil
}
