package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// A record is what the driver knows of one volume or snapshot. It lies beside the file as
// <id>.json and appears by rename after the file is whole: the object exists when its record does.
type record struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Size int64  `json:"size"`
	// Parameters of the class that it was made by; faults are taken from them later, too.
	Parameters map[string]string `json:"parameters,omitempty"`
	// SourceSnapshot or SourceVolume of a volume, SourceVolume of a snapshot, SourceVolumes of a group.
	SourceSnapshot string   `json:"sourceSnapshot,omitempty"`
	SourceVolume   string   `json:"sourceVolume,omitempty"`
	SourceVolumes  []string `json:"sourceVolumes,omitempty"`
	// Members of a group, in the order of its source volumes, and the Group of a member.
	Members []string `json:"members,omitempty"`
	Group   string   `json:"group,omitempty"`
	// MadeTime of a volume; of a snapshot that of its volume, which may be gone by now.
	MadeTime time.Time `json:"madeTime,omitzero"`
	// CutTime of a snapshot: all that was written before it is in the copy.
	CutTime time.Time `json:"cutTime,omitzero"`
	// CutDue of a snapshot that was answered before it is cut (fault snapshot-cut-late-ms): until the
	// cut there is no file, and the snapshot is not ready. CutTime is what the driver told.
	CutDue time.Time `json:"cutDue,omitzero"`
}

// A shelf is one kind of object in one folder. It is guarded by the store's lock.
type shelf struct {
	kind   string // volume, snapshot or group
	folder string
	byID   map[string]*record
	byName map[string]*record
}

type store struct {
	folder    string
	mutex     sync.Mutex
	volumes   *shelf
	snapshots *shelf
	// groups have records and no files.
	groups *shelf
	// attempts counts the injected failures that an object's name has had.
	attempts map[string]int
	// busy holds the names that an operation is under way for.
	busy map[string]bool
}

func openStore(folder string) (*store, error) {
	s := &store{folder: folder, attempts: map[string]int{}, busy: map[string]bool{}}
	var err error
	if s.volumes, err = openShelf("volume", filepath.Join(folder, "volumes")); err != nil {
		return nil, err
	}
	if s.snapshots, err = openShelf("snapshot", filepath.Join(folder, "snapshots")); err != nil {
		return nil, err
	}
	if s.groups, err = openShelf("group", filepath.Join(folder, "groups")); err != nil {
		return nil, err
	}
	// What a killed predecessor made of a group that it never finished, or left of one that it removed.
	for _, snapshot := range s.snapshots.list() {
		if snapshot.Group != "" && s.groups.byID[snapshot.Group] == nil {
			if err := s.dropMembers(snapshot.Group); err != nil {
				return nil, err
			}
		}
	}
	data, err := os.ReadFile(s.attemptsPath())
	if err == nil {
		err = json.Unmarshal(data, &s.attempts)
	} else if os.IsNotExist(err) {
		err = nil
	}
	return s, err
}

func openShelf(kind, folder string) (*shelf, error) {
	s := &shelf{kind: kind, folder: folder, byID: map[string]*record{}, byName: map[string]*record{}}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		r := &record{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		s.byID[r.ID], s.byName[r.Name] = r, r
	}
	// What a killed predecessor left half done has no record.
	for _, entry := range entries {
		id, _, _ := strings.Cut(entry.Name(), ".")
		if s.byID[id] == nil {
			log.Printf("removing %s, which was never finished", filepath.Join(folder, entry.Name()))
			if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *shelf) path(id string) string { return filepath.Join(s.folder, id+".img") }

// newID gives a handle that says nothing of the object's name, and never the same one twice: as with
// real drivers, a name that is used again is another object.
func newID(prefix string) string {
	var bytes [8]byte
	_, _ = rand.Read(bytes[:]) // never fails, says its documentation
	return prefix + hex.EncodeToString(bytes[:])
}

// put makes the object exist. The caller has finished the file and holds the lock.
func (s *shelf) put(r *record) error {
	if err := writeJSON(filepath.Join(s.folder, r.ID+".json"), r); err != nil {
		return err
	}
	s.byID[r.ID], s.byName[r.Name] = r, r
	return nil
}

// drop makes the object cease to exist; the record goes first, so that a kill between the two steps
// leaves a file that the next start removes.
func (s *shelf) drop(r *record) error {
	if err := os.Remove(filepath.Join(s.folder, r.ID+".json")); err != nil && !os.IsNotExist(err) {
		return err
	}
	delete(s.byID, r.ID)
	delete(s.byName, r.Name)
	if err := os.Remove(s.path(r.ID)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// dropMembers removes all snapshots of one group. The caller holds the lock, or is alone.
func (s *store) dropMembers(group string) error {
	for _, member := range s.snapshots.list() {
		if member.Group != group {
			continue
		}
		if err := s.snapshots.drop(member); err != nil {
			return err
		}
	}
	return nil
}

// list returns the records in the order of their ids.
func (s *shelf) list() []*record {
	all := make([]*record, 0, len(s.byID))
	for _, r := range s.byID {
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all
}

func (s *store) attemptsPath() string { return filepath.Join(s.folder, "attempts.json") }

// countAttempt says whether this call is among the first `limit` of its key, and remembers it.
func (s *store) countAttempt(key string, limit int) (bool, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.attempts[key] >= limit {
		return false, nil
	}
	s.attempts[key]++
	return true, writeJSON(s.attemptsPath(), s.attempts)
}

// begin reserves a key for one operation; false if one is under way.
func (s *store) begin(key string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.busy[key] {
		return false
	}
	s.busy[key] = true
	return true
}

func (s *store) end(key string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.busy, key)
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
