package control

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"novasphere.dev/wukong/tests/cluster/kubevirt/obj"
	"novasphere.dev/wukong/tests/cluster/kubevirt/rules"
)

// reconcileContent is snapshot.go updateVMSnapshotContent: freeze, one VolumeSnapshot after the other,
// thaw once every VolumeSnapshot says when it was cut.
func (s *SnapshotController) reconcileContent(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := SplitKey(key)
	content, err := s.Get(ctx, Contents, namespace, name)
	if err != nil || content == nil {
		return 0, err
	}
	snapshot, err := s.Get(ctx, Snapshots, namespace, obj.Str(content, "spec", "virtualMachineSnapshotName"))
	if err != nil {
		return 0, err
	}
	if snapshot == nil || rules.Terminating(snapshot, time.Now()) {
		if err := s.unfreezeSource(ctx, snapshot); err != nil {
			log.Printf("content %s: %v", key, err)
		}
		changed, err := s.SetFinalizer(ctx, Contents, content, contentProtection, false)
		if err != nil {
			if apierrors.IsNotFound(err) {
				return 0, nil
			}
			return 0, err
		}
		content = changed
		if snapshot != nil && rules.ShouldDeleteContent(snapshot, content) {
			return 0, nil
		}
	}
	if rules.Deleting(content) {
		return retryInterval, nil
	}
	next := obj.Copy(content)
	if obj.Map(next, "status") == nil {
		next["status"] = obj.M{}
	}
	p, err := s.cut(ctx, content, snapshot)
	if err != nil {
		return 0, err
	}
	if p.freezeError != "" {
		// The time makes the status differ every second, so the next event comes sooner than the retry.
		obj.Set(next, obj.M{"time": Now(), "message": p.freezeError}, "status", "error")
		obj.Set(next, false, "status", "readyToUse")
		return retryInterval, s.updateContent(ctx, content, next)
	}
	created, ready, message := p.judge()
	if created && !obj.Has(next, "status", "creationTime") {
		// Stamped at the thaw, not at the cut.
		obj.Set(next, Now(), "status", "creationTime")
		if err := s.unfreezeSource(ctx, snapshot); err != nil {
			return 0, err
		}
	}
	switch {
	case message != "" && !ready:
		if obj.Str(next, "status", "error", "message") != message {
			obj.Set(next, obj.M{"time": Now(), "message": message}, "status", "error")
		}
	case message == "":
		obj.Delete(next, "status", "error")
	}
	obj.Set(next, ready, "status", "readyToUse")
	if len(p.statuses) > 0 {
		obj.Set(next, p.statuses, "status", "volumeSnapshotStatus")
	} else {
		obj.Delete(next, "status", "volumeSnapshotStatus")
	}
	return 0, s.updateContent(ctx, content, next)
}

func (s *SnapshotController) updateContent(ctx context.Context, old, next obj.M) error {
	if equality.Semantic.DeepEqual(obj.Map(old, "status"), obj.Map(next, "status")) {
		return nil
	}
	_, err := s.UpdateStatus(ctx, Contents, next)
	return err
}

// progress is what one look at the VolumeSnapshots of a content found.
type progress struct {
	statuses         []any
	deleted, skipped []string
	freezeError      string
}

func (p *progress) judge() (created, ready bool, message string) {
	if len(p.deleted) > 0 {
		return false, false, fmt.Sprintf("VolumeSnapshots (%s) missing", strings.Join(p.deleted, ","))
	}
	if len(p.skipped) > 0 {
		return false, false, fmt.Sprintf("VolumeSnapshots (%s) skipped because vm snapshot is deleted", strings.Join(p.skipped, ","))
	}
	created, ready = true, true
	for _, x := range p.statuses {
		status := x.(obj.M)
		created = created && obj.Has(status, "creationTime")
		ready = ready && obj.Bool(status, "readyToUse")
		if text := obj.Str(status, "error", "message"); text != "" {
			return created, ready, fmt.Sprintf("VolumeSnapshot %s error: %s", obj.Str(status, "volumeSnapshotName"), text)
		}
	}
	return created, ready, ""
}

// cut looks at each VolumeSnapshot and makes those that are missing, after freezing the source once.
func (s *SnapshotController) cut(ctx context.Context, content, snapshot obj.M) (*progress, error) {
	p := &progress{}
	frozen := false
	for _, backup := range obj.List(content, "spec", "volumeBackups") {
		name := obj.Str(backup, "volumeSnapshotName")
		if name == "" {
			continue
		}
		vs, err := s.Get(ctx, VolumeSnapshots, obj.Str(content, "metadata", "namespace"), name)
		if err != nil {
			return nil, err
		}
		if vs == nil {
			if obj.Has(content, "status", "creationTime") {
				s.Event(ctx, content, "Warning", "VolumeSnapshotMissing", "VolumeSnapshot %s no longer exists", name)
				p.deleted = append(p.deleted, name)
				continue
			}
			if snapshot == nil || rules.Deleting(snapshot) {
				p.skipped = append(p.skipped, name)
				continue
			}
			if !frozen {
				src, err := s.source(ctx, snapshot)
				if err != nil {
					return nil, err
				}
				if src == nil {
					return nil, fmt.Errorf("unable to get snapshot source")
				}
				if err := src.freeze(); err != nil {
					p.freezeError = err.Error()
					return p, nil
				}
				frozen = true
			}
			if vs, err = s.createVolumeSnapshot(ctx, content, backup); err != nil {
				return nil, err
			}
		}
		status := obj.M{"volumeSnapshotName": name}
		for _, key := range []string{"readyToUse", "creationTime"} {
			if v := obj.Get(vs, "status", key); v != nil {
				status[key] = v
			}
		}
		if e := obj.Map(vs, "status", "error"); e != nil {
			status["error"] = obj.Copy(e)
		}
		p.statuses = append(p.statuses, status)
	}
	return p, nil
}
