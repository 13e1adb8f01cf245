package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const uid = "6f1c2f6e-6a0e-4c1d-9d0a-0c7b6a9f1e11"

func disk(t *testing.T, dir, name string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func summary(t *testing.T, path string) *Summary {
	t.Helper()
	s, err := SummarizeFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}

// The checksum covers every byte: whichever bit of a record flips, the slot counts as torn.
func TestEveryFlippedBitIsSeen(t *testing.T) {
	whole := Record{Number: 7, Time: time.Unix(1, 2), Guest: uid, Disk: 3}.Encode()
	if r, ok := Decode(whole[:]); !ok || r.Number != 7 || r.Guest != uid || r.Disk != 3 || r.Time.UnixNano() != 1000000002 {
		t.Fatalf("round trip: %+v %v", r, ok)
	}
	for bit := 0; bit < RecordSize*8; bit++ {
		b := whole
		b[bit/8] ^= 1 << (bit % 8)
		if _, ok := Decode(b[:]); ok {
			t.Fatalf("bit %d flipped unseen", bit)
		}
	}
}

// A skipped number, a torn slot and a record after the first empty slot are judged as documented.
func TestSummarize(t *testing.T) {
	record := func(n uint64) []byte {
		b := Record{Number: n, Time: time.Unix(int64(n), 0), Guest: uid}.Encode()
		return b[:]
	}
	cases := []struct {
		name  string
		bytes []byte
		want  Summary
	}{
		{"nothing", nil, Summary{OK: true}},
		{"two", append(record(1), record(2)...), Summary{Count: 2, First: 1, Last: 2, OK: true}},
		{"gap", append(record(1), record(3)...), Summary{Count: 2, First: 1, Last: 3}},
		{"half", append(record(1), record(2)[:TornAt]...), Summary{Count: 1, First: 1, Last: 1, Torn: 1}},
		{"after empty", bytes.Join([][]byte{record(1), make([]byte, RecordSize), record(2)}, nil),
			Summary{Count: 1, First: 1, Last: 1, OK: true}},
	}
	for _, c := range cases {
		got, err := Summarize(bytes.NewReader(c.bytes))
		if err != nil {
			t.Fatal(err)
		}
		if got.Count != c.want.Count || got.First != c.want.First || got.Last != c.want.Last ||
			got.Torn != c.want.Torn || got.OK != c.want.OK {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// While frozen nothing is written and all disks end with the same number; thawed it goes on.
func TestFreezeStopsAllDisksAtOneNumber(t *testing.T) {
	dir := t.TempDir()
	a, b := disk(t, dir, "a", 1<<20), disk(t, dir, "b", 1<<20)
	log, err := OpenFreezeLog(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := Start(Config{Name: "n", UID: uid, Disks: []string{a, b}, Interval: time.Millisecond, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	eventually(t, "records", func() bool { return g.Last() > 5 })
	if err := g.Freeze("me", 0); err != nil {
		t.Fatal(err)
	}
	first := summary(t, a)
	time.Sleep(20 * time.Millisecond)
	if sa, sb := summary(t, a), summary(t, b); sa.Last != sb.Last || sa.Last != first.Last || !sa.OK || !sb.OK {
		t.Fatalf("frozen: %+v %+v %+v", first, sa, sb)
	}
	for range 2 {
		if err := g.Unfreeze("you"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "goes on", func() bool { return g.Last() > first.Last+5 })
	file, _ := os.Open(filepath.Join(dir, "log"))
	defer file.Close()
	var events []string
	for in := bufio.NewScanner(file); in.Scan(); {
		var e Entry
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e.Event)
		if e.Event == EventThawed && (e.Freezer != "me" || e.User != "you" || e.FrozenMs < 20) {
			t.Errorf("thaw: %+v", e)
		}
	}
	want := []string{EventGuestStarted, EventFrozen, EventThawed, EventAlreadyThawed}
	if len(events) != len(want) {
		t.Fatalf("events: %v", events)
	}
	for i := range want {
		if events[i] != want[i] {
			t.Fatalf("events: %v", events)
		}
	}
}

// Windows holds its writes for so long and then goes on. Its agent calls it frozen until it is to thaw,
// and says once that it came too late; a watcher that restarts in between knows all of it.
func TestAGuestThatGoesOnByItself(t *testing.T) {
	dir := t.TempDir()
	path := disk(t, dir, "a", 1<<20)
	log, err := OpenFreezeLog(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Name: "n", UID: uid, Disks: []string{path}, Interval: time.Millisecond, Log: log,
		Holds: 60 * time.Millisecond, StateDir: dir}
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Freeze("me", 0); err != nil {
		t.Fatal(err)
	}
	if err := g.Unfreeze("me"); err != nil {
		t.Fatalf("in time: %v", err)
	}
	if err := g.Freeze("me", 0); err != nil {
		t.Fatal(err)
	}
	held := g.Last()
	eventually(t, "goes on", func() bool { return g.Last() > held })
	if !g.Frozen() {
		t.Error("the agent knows of it")
	}
	g.Abandon()
	again, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	held = again.Last()
	eventually(t, "goes on after a restart", func() bool { return again.Last() > held })
	for _, want := range []error{ErrGoneOn, nil} {
		if err := again.Unfreeze("me"); err != want {
			t.Errorf("thaw: %v, want %v", err, want)
		}
		if again.Frozen() {
			t.Error("frozen after the thaw")
		}
	}
}

// A copy taken while a torn-mode guest runs holds half a record sooner or later; one taken while it
// is frozen never does.
func TestTornModeTearsOnlyUnfrozenCopies(t *testing.T) {
	dir := t.TempDir()
	a := disk(t, dir, "a", 1<<20)
	g, err := Start(Config{UID: uid, Disks: []string{a}, Interval: 4 * time.Millisecond, Torn: true})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	eventually(t, "torn copy", func() bool { return summary(t, a).Torn == 1 })
	for i := 0; i < 10; i++ {
		if err := g.Freeze("me", 0); err != nil {
			t.Fatal(err)
		}
		if s := summary(t, a); !s.OK {
			t.Fatalf("frozen copy: %+v", s)
		}
		_ = g.Unfreeze("me")
		time.Sleep(3 * time.Millisecond)
	}
}

// The safety timer thaws; a second freeze neither prolongs nor shortens it; an unfreeze that failed
// in the agent has cancelled it (fsfreeze.go).
func TestSafetyTimer(t *testing.T) {
	g, err := Start(Config{UID: uid})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	freeze := func(seconds int32) {
		if err := g.Freeze("me", seconds); err != nil {
			t.Fatal(err)
		}
	}
	freeze(1)
	freeze(100)
	time.Sleep(1100 * time.Millisecond)
	if g.Frozen() {
		t.Fatal("the second freeze armed the timer anew")
	}
	freeze(1)
	g.DropSafetyTimer()
	time.Sleep(1100 * time.Millisecond)
	if !g.Frozen() {
		t.Fatal("the timer survived a failed unfreeze")
	}
	_ = g.Unfreeze("me")
	freeze(0)
	time.Sleep(50 * time.Millisecond)
	if !g.Frozen() {
		t.Fatal("0 seconds thawed")
	}
}

// A guest stays frozen, timer included, when its watcher restarts, and is forgotten when it stops.
func TestFrozenSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{UID: uid, StateDir: dir}
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Freeze("me", 1); err != nil {
		t.Fatal(err)
	}
	g.Abandon()
	again, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Frozen() {
		t.Fatal("thawed by a restart")
	}
	eventually(t, "safety thaw after restart", func() bool { return !again.Frozen() })
	if err := again.Freeze("me", 0); err != nil {
		t.Fatal(err)
	}
	again.Stop()
	third, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Stop()
	if third.Frozen() {
		t.Fatal("a stopped guest stayed frozen")
	}
}

// A clone goes on after what its disk holds, under its own name.
func TestCloneAppendsUnderItsOwnName(t *testing.T) {
	dir := t.TempDir()
	a := disk(t, dir, "a", 1<<20)
	g, err := Start(Config{UID: uid, Disks: []string{a}, Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "records", func() bool { return g.Last() >= 5 })
	g.Stop()
	last := g.Last()
	clone := "00000000-0000-4000-8000-000000000001"
	c, err := Start(Config{UID: clone, Disks: []string{a}, Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "clone's records", func() bool { return c.Last() >= last+5 })
	c.Stop()
	s := summary(t, a)
	if len(s.Guests) != 2 || s.Guests[0].Guest != uid || s.Guests[0].Last != last ||
		s.Guests[1].Guest != clone || s.Guests[1].First != last+1 || !s.OK {
		t.Fatalf("%+v", s)
	}
}
