package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// groupController cuts several volumes at one point in time (csi.proto, service GroupController). It
// is served only when the driver was started with the capability "groups".
type groupController struct {
	csi.UnimplementedGroupControllerServer
	*controller
}

func (g *groupController) GroupControllerGetCapabilities(context.Context,
	*csi.GroupControllerGetCapabilitiesRequest) (*csi.GroupControllerGetCapabilitiesResponse, error) {
	return &csi.GroupControllerGetCapabilitiesResponse{
		Capabilities: []*csi.GroupControllerServiceCapability{{
			Type: &csi.GroupControllerServiceCapability_Rpc{
				Rpc: &csi.GroupControllerServiceCapability_RPC{
					Type: csi.GroupControllerServiceCapability_RPC_CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT,
				}}}}}, nil
}

func (g *groupController) CreateVolumeGroupSnapshot(ctx context.Context,
	request *csi.CreateVolumeGroupSnapshotRequest) (*csi.CreateVolumeGroupSnapshotResponse, error) {
	if request.Name == "" || len(request.SourceVolumeIds) == 0 {
		return nil, status.Error(codes.InvalidArgument, "name or source volumes are missing")
	}
	if _, err := parseFaults(request.Parameters); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	g.store.mutex.Lock()
	existing := g.store.groups.byName[request.Name]
	g.store.mutex.Unlock()
	if existing != nil {
		return g.answerCreate(request, existing)
	}
	call := operationCall{store: g.store, kind: "group", operation: "group", name: request.Name,
		parameters: request.Parameters, ids: request.SourceVolumeIds}
	return perform(ctx, call, func() (*csi.CreateVolumeGroupSnapshotResponse, error) {
		g.store.mutex.Lock()
		group := g.store.groups.byName[request.Name]
		g.store.mutex.Unlock()
		if group == nil {
			var err error
			if group, err = g.cutGroup(request); err != nil {
				return nil, err
			}
		}
		return g.answerCreate(request, group)
	})
}

func (g *groupController) answerCreate(request *csi.CreateVolumeGroupSnapshotRequest, group *record) (
	*csi.CreateVolumeGroupSnapshotResponse, error) {
	if !sameSet(group.SourceVolumes, request.SourceVolumeIds) {
		return nil, status.Errorf(codes.AlreadyExists, "group snapshot %s exists with other sources",
			request.Name)
	}
	answer, err := g.groupAnswer(group)
	if err != nil {
		return nil, err
	}
	return &csi.CreateVolumeGroupSnapshotResponse{GroupSnapshot: answer}, nil
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// cutLock holds up the writers of all volumes while it is held alone: guests hold it with others for
// each write (tests/cluster/kubevirt/guest). It stands for what an array does to writes while it cuts a
// consistency group.
func (g *groupController) cutLock() (func(), error) {
	file, err := os.OpenFile(filepath.Join(g.store.folder, "cut.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// cutGroup makes all copies, or none that anybody learns of.
func (g *groupController) cutGroup(request *csi.CreateVolumeGroupSnapshotRequest) (*record, error) {
	faults, err := g.store.faults(request.Parameters, request.SourceVolumeIds...)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	apart := faults.duration("group-not-atomic-ms")
	if apart == 0 {
		release, err := g.cutLock()
		if err != nil {
			return nil, err
		}
		defer release()
	}
	group := &record{ID: newID("group-"), Name: request.Name, Parameters: request.Parameters,
		SourceVolumes: slices.Clone(request.SourceVolumeIds), CutTime: time.Now()}
	var members []*record
	for i, id := range request.SourceVolumeIds {
		if i > 0 {
			time.Sleep(apart)
		}
		var member *record
		if member, err = g.copyMember(group, id); err != nil {
			break
		}
		members = append(members, member)
	}
	g.store.mutex.Lock()
	defer g.store.mutex.Unlock()
	// The members' records come before the group's: a kill in between leaves members of a group that
	// is not there, which the next start removes.
	for _, member := range members {
		if err == nil {
			err = g.store.snapshots.put(member)
		}
	}
	if err == nil {
		err = g.store.groups.put(group)
	}
	if err != nil {
		for _, member := range members {
			_ = g.store.snapshots.drop(member)
		}
		return nil, err
	}
	return group, nil
}

// copyMember copies one volume; the group knows the copy, nobody else does yet.
func (g *groupController) copyMember(group *record, id string) (*record, error) {
	g.store.mutex.Lock()
	volume := g.store.volumes.byID[id]
	g.store.mutex.Unlock()
	if volume == nil {
		return nil, status.Errorf(codes.NotFound, "volume %s does not exist", id)
	}
	parameters := onlyFaults(volume.Parameters)
	if parameters == nil {
		parameters = map[string]string{}
	}
	maps.Copy(parameters, group.Parameters)
	member := &record{ID: newID("snap-"), Name: group.ID + "/" + id, Parameters: parameters,
		SourceVolume: id, Group: group.ID, MadeTime: volume.MadeTime, CutTime: time.Now()}
	var err error
	if member.Size, err = g.copyVolume(id, g.store.snapshots.path(member.ID)); err != nil {
		return nil, err
	}
	group.Members = append(group.Members, member.ID)
	return member, nil
}

// groupAnswer tells of the group as it is now. CSI wants every source volume in the list (spec.md,
// CreateVolumeGroupSnapshot); the faults leave some of them out, or tell of none for a while.
func (g *groupController) groupAnswer(group *record) (*csi.VolumeGroupSnapshot, error) {
	faults, err := g.store.faults(group.Parameters, group.SourceVolumes...)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	answer := &csi.VolumeGroupSnapshot{GroupSnapshotId: group.ID, ReadyToUse: true,
		CreationTime: timestamppb.New(group.CutTime)}
	if time.Since(group.CutTime) < faults.duration("group-empty-list-ms") {
		answer.ReadyToUse = false
		return answer, nil
	}
	for _, id := range group.Members {
		g.store.mutex.Lock()
		member := g.store.snapshots.byID[id]
		g.store.mutex.Unlock()
		if member == nil {
			return nil, status.Errorf(codes.NotFound, "snapshot %s of group %s is gone", id, group.ID)
		}
		told, err := g.snapshotAnswer(member)
		if err != nil {
			return nil, err
		}
		answer.ReadyToUse = answer.ReadyToUse && told.ReadyToUse
		answer.Snapshots = append(answer.Snapshots, told)
	}
	if faults.bool("group-short-list") {
		answer.Snapshots = answer.Snapshots[:len(answer.Snapshots)-1]
	}
	return answer, nil
}

func (g *groupController) DeleteVolumeGroupSnapshot(ctx context.Context,
	request *csi.DeleteVolumeGroupSnapshotRequest) (*csi.DeleteVolumeGroupSnapshotResponse, error) {
	if request.GroupSnapshotId == "" {
		return nil, status.Error(codes.InvalidArgument, "group snapshot id is missing")
	}
	g.store.mutex.Lock()
	group := g.store.groups.byID[request.GroupSnapshotId]
	g.store.mutex.Unlock()
	if group == nil {
		return &csi.DeleteVolumeGroupSnapshotResponse{}, nil
	}
	for _, id := range request.SnapshotIds {
		if !slices.Contains(group.Members, id) {
			return nil, status.Errorf(codes.InvalidArgument, "snapshot %s is not of group %s", id, group.ID)
		}
	}
	call := operationCall{store: g.store, kind: "group", operation: "delete-group", name: group.Name,
		parameters: group.Parameters, ids: group.SourceVolumes}
	return perform(ctx, call, func() (*csi.DeleteVolumeGroupSnapshotResponse, error) {
		return &csi.DeleteVolumeGroupSnapshotResponse{}, g.dropGroup(group)
	})
}

// dropGroup removes the group and its members. The group's record goes first: members without it are
// removed by the next start.
func (g *groupController) dropGroup(group *record) error {
	g.store.mutex.Lock()
	defer g.store.mutex.Unlock()
	if g.store.groups.byID[group.ID] == nil {
		return nil
	}
	for _, id := range group.Members {
		if member := g.store.snapshots.byID[id]; member != nil {
			if err := g.keptByClones(g.store.snapshots, member); err != nil {
				return err
			}
		}
	}
	if err := g.store.groups.drop(group); err != nil {
		return err
	}
	return g.store.dropMembers(group.ID)
}

func (g *groupController) GetVolumeGroupSnapshot(_ context.Context,
	request *csi.GetVolumeGroupSnapshotRequest) (*csi.GetVolumeGroupSnapshotResponse, error) {
	if request.GroupSnapshotId == "" {
		return nil, status.Error(codes.InvalidArgument, "group snapshot id is missing")
	}
	g.store.mutex.Lock()
	group := g.store.groups.byID[request.GroupSnapshotId]
	g.store.mutex.Unlock()
	if group == nil {
		return nil, status.Errorf(codes.NotFound, "group snapshot %s does not exist",
			request.GroupSnapshotId)
	}
	answer, err := g.groupAnswer(group)
	if err != nil {
		return nil, err
	}
	return &csi.GetVolumeGroupSnapshotResponse{GroupSnapshot: answer}, nil
}
