package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Config is what a guest is made of.
type Config struct {
	Namespace, Name, UID string
	Disks                []string // paths of the disk files, in the order of the VMI's disks
	Interval             time.Duration
	Torn                 bool // write each record in two halves with a pause between
	// Holds is how long the guest holds its writes at most when it is frozen (VSS of Windows); 0: until
	// it is thawed.
	Holds time.Duration
	// CutLock is a file that is held for each write, so that a driver can cut several disks at one point
	// in time (tests/cluster/csi/group.go); "": none.
	CutLock  string
	StateDir string // where a frozen guest is remembered; "": nowhere
	Log      *FreezeLog
	// Agent of a guest that is a machine of its own; nil: the guest is the writer of records here.
	Agent Agent
}

// Guest is one running machine. Its freeze and thaw are those of virt-launcher
// (pkg/virt-launcher/virtwrap/storage/fsfreeze.go).
type Guest struct {
	cfg   Config
	files []*os.File
	cut   *os.File // the cut lock; nil: none
	ends  []int64  // offset of the next slot, per disk
	next  uint64   // number of the next record

	mu      sync.Mutex // held while a round is written: whoever holds it sees whole records
	state   frozen
	timer   *time.Timer
	release *time.Timer // by which the guest goes on writing although nobody has thawed it
	stopped bool
	paused  bool
	full    bool
	done    chan struct{}
	wg      sync.WaitGroup
}

// frozen is kept on disk too: a guest stays frozen when what watches it restarts.
type frozen struct {
	Frozen  bool      `json:"frozen"`
	Since   time.Time `json:"since"`
	Freezer string    `json:"freezer"`
	Until   time.Time `json:"until"` // zero: no safety timer
	// Released: the guest has gone on writing, and its agent does not know of it until it is to thaw.
	Released bool `json:"released,omitempty"`
}

// ErrGoneOn is what the agent of a Windows guest answers to a thaw that comes too late. It says so once:
// to thaw what VSS does not hold works (QEMU qga/vss-win32/requester.cpp, requester_thaw).
var ErrGoneOn = errors.New("couldn't hold writes: fsfreeze is limited up to 10 seconds: ")

// Start opens the disks, finds the end of what they hold and begins to write.
func Start(cfg Config) (*Guest, error) {
	g := &Guest{cfg: cfg, done: make(chan struct{}), next: 1}
	for _, path := range cfg.Disks {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			g.closeFiles()
			return nil, err
		}
		g.files = append(g.files, f)
		summary, err := Summarize(f)
		if err != nil {
			g.closeFiles()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		g.ends = append(g.ends, summary.End)
		if summary.Last >= g.next {
			g.next = summary.Last + 1
		}
	}
	if cfg.CutLock != "" {
		f, err := os.OpenFile(cfg.CutLock, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			g.closeFiles()
			return nil, err
		}
		g.cut = f
	}
	g.recall()
	g.log(Entry{Event: EventGuestStarted, Last: g.next - 1})
	if len(g.files) > 0 && cfg.Interval > 0 {
		g.wg.Add(1)
		go g.run()
	}
	return g, nil
}

// Stop ends the guest as a power-off would.
func (g *Guest) Stop() {
	g.mu.Lock()
	if g.stopped {
		g.mu.Unlock()
		return
	}
	g.stopped = true
	g.disarm()
	close(g.done)
	last := g.next - 1
	g.mu.Unlock()
	g.wg.Wait()
	g.closeFiles()
	if path := g.statePath(); path != "" {
		_ = os.Remove(path)
	}
	g.log(Entry{Event: EventGuestStopped, Last: last})
}

// Abandon ends the process side of a guest but not its state: a new watcher takes it up.
func (g *Guest) Abandon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	g.stopped = true
	g.disarm()
	close(g.done)
}

// Frozen says whether the agent calls the file systems frozen now.
func (g *Guest) Frozen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.Frozen
}

// Last is the number of the last record written.
func (g *Guest) Last() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next - 1
}

// SetPaused stops and resumes the CPUs; a paused guest writes nothing.
func (g *Guest) SetPaused(paused bool) {
	g.mu.Lock()
	g.paused = paused
	g.mu.Unlock()
}

// SetTorn switches the writer between whole records and halves.
func (g *Guest) SetTorn(torn bool) {
	g.mu.Lock()
	g.cfg.Torn = torn
	g.mu.Unlock()
}

// Freeze stops the writer between two rounds. A guest that is frozen stays as it is: its safety timer is
// not armed anew. seconds 0: no safety timer. (fsfreeze.go FreezeVMI)
func (g *Guest) Freeze(user string, seconds int32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return errors.New("guest is gone")
	}
	if g.state.Frozen {
		g.log(Entry{Event: EventStillFrozen, User: user, Freezer: g.state.Freezer, Last: g.next - 1})
		return nil
	}
	if g.cfg.Agent != nil {
		if err := g.cfg.Agent.Freeze(); err != nil {
			return err
		}
	}
	// Whoever holds the lock finds every record whole, and a pwrite is seen by every reader at once:
	// there is nothing left to flush, and no fsync of the test machine's disk in the freeze's time.
	g.disarm()
	now := time.Now()
	g.state = frozen{Frozen: true, Since: now, Freezer: user}
	// A negative timeout fires at once, as time.After does with one.
	if seconds != 0 {
		d := time.Duration(seconds) * time.Second
		g.state.Until = now.Add(d)
		g.arm(d)
	}
	if g.cfg.Holds > 0 {
		g.armRelease(g.cfg.Holds)
	}
	g.remember()
	g.log(Entry{Event: EventFrozen, User: user, TimeoutSeconds: seconds, Last: g.next - 1})
	return nil
}

// DropSafetyTimer is what UnfreezeVMI does before it asks the agent: if the agent then fails, the
// guest stays frozen and nothing thaws it any more. (fsfreeze.go UnfreezeVMI)
func (g *Guest) DropSafetyTimer() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.disarm()
	g.state.Until = time.Time{}
	g.remember()
}

// Unfreeze resumes the writer; thawing what is thawed succeeds. Who comes after the guest has gone on by
// itself is told so.
func (g *Guest) Unfreeze(user string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.disarm()
	if g.cfg.Agent != nil {
		if err := g.cfg.Agent.Thaw(); err != nil {
			return err
		}
	}
	released := g.state.Released
	if released {
		g.state = frozen{}
		g.remember()
	}
	g.thaw(EventThawed, user)
	if released {
		return ErrGoneOn
	}
	return nil
}

func (g *Guest) thaw(event, user string) {
	if g.release != nil {
		g.release.Stop()
		g.release = nil
	}
	if !g.state.Frozen {
		g.log(Entry{Event: EventAlreadyThawed, User: user, Last: g.next - 1})
		return
	}
	was := g.state
	g.state = frozen{}
	g.remember()
	g.log(Entry{Event: event, User: user, Freezer: was.Freezer, Last: g.next - 1,
		FrozenMs: float64(time.Since(was.Since).Microseconds()) / 1000})
}

// armRelease lets the guest write again after d. The agent goes on calling it frozen.
func (g *Guest) armRelease(d time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.release == timer && !g.stopped && g.state.Frozen {
			g.state.Released = true
			g.remember()
			g.log(Entry{Event: EventReleased, Freezer: g.state.Freezer, Last: g.next - 1,
				FrozenMs: float64(time.Since(g.state.Since).Microseconds()) / 1000})
		}
	})
	g.release = timer
}

func (g *Guest) arm(d time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.timer == timer && !g.stopped {
			g.timer = nil
			if g.cfg.Agent != nil && g.cfg.Agent.Thaw() != nil {
				return // it stays frozen, as a guest does whose agent does not answer its launcher
			}
			g.thaw(EventSafetyThawed, "")
		}
	})
	g.timer = timer
}

func (g *Guest) disarm() {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
}

func (g *Guest) run() {
	defer g.wg.Done()
	ticker := time.NewTicker(g.cfg.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-g.done:
			return
		case <-ticker.C:
			g.round()
		}
	}
}

// round writes one record to every disk. It holds the lock throughout, torn mode included: a freeze
// is answered only when the round is whole.
func (g *Guest) round() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped || g.paused || g.full || g.state.Frozen && !g.state.Released {
		return
	}
	now := time.Now()
	for i, f := range g.files {
		info, err := f.Stat()
		if err != nil || g.ends[i]+RecordSize > info.Size() {
			g.full = true
			g.log(Entry{Event: "disk-full", Last: g.next - 1, Message: filepath.Base(f.Name())})
			return
		}
	}
	if !g.cfg.Torn {
		for i := range g.files {
			g.write(i, now, 0, RecordSize)
		}
	} else {
		for i := range g.files {
			g.write(i, now, 0, TornAt)
		}
		pause := time.NewTimer(g.cfg.Interval * 3 / 4)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-g.done: // a power-off in the middle of a write leaves the record torn
			return
		}
		for i := range g.files {
			g.write(i, now, TornAt, RecordSize)
		}
	}
	for i := range g.ends {
		g.ends[i] += RecordSize
	}
	g.next++
}

func (g *Guest) write(disk int, now time.Time, from, to int) {
	b := Record{Number: g.next, Time: now, Guest: g.cfg.UID, Disk: uint32(disk)}.Encode()
	if g.cut != nil && syscall.Flock(int(g.cut.Fd()), syscall.LOCK_SH) == nil {
		defer func() { _ = syscall.Flock(int(g.cut.Fd()), syscall.LOCK_UN) }()
	}
	if _, err := g.files[disk].WriteAt(b[from:to], g.ends[disk]+int64(from)); err != nil {
		g.full = true
		g.log(Entry{Event: "write-error", Message: err.Error(), Last: g.next - 1})
	}
}

func (g *Guest) closeFiles() {
	for _, f := range g.files {
		_ = f.Close()
	}
	if g.cut != nil {
		_ = g.cut.Close()
	}
}

func (g *Guest) log(e Entry) {
	e.Namespace, e.Name, e.UID = g.cfg.Namespace, g.cfg.Name, g.cfg.UID
	g.cfg.Log.Add(e)
}

func (g *Guest) statePath() string {
	if g.cfg.StateDir == "" {
		return ""
	}
	return filepath.Join(g.cfg.StateDir, "frozen-"+g.cfg.UID+".json")
}

func (g *Guest) remember() {
	path := g.statePath()
	if path == "" {
		return
	}
	if !g.state.Frozen {
		_ = os.Remove(path)
		return
	}
	b, err := json.Marshal(g.state)
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o644)
	}
	if err == nil {
		_ = os.Rename(path+".new", path)
	}
}

func (g *Guest) recall() {
	path := g.statePath()
	if path == "" {
		return
	}
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &g.state) != nil || !g.state.Frozen {
		return
	}
	if !g.state.Until.IsZero() {
		g.arm(max(0, time.Until(g.state.Until)))
	}
	if g.cfg.Holds > 0 && !g.state.Released {
		g.armRelease(max(0, g.cfg.Holds-time.Since(g.state.Since)))
	}
}
