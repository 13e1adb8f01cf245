package guest

import (
	"encoding/json"
	"os"
	"sync"
	"time"
)

// Entry is one line of freeze-log.jsonl.
type Entry struct {
	Time      time.Time `json:"time"`
	Event     string    `json:"event"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name,omitempty"`
	UID       string    `json:"uid,omitempty"`
	User      string    `json:"user,omitempty"`
	// Code is the answer of the subresource, in request entries only.
	Code int `json:"code,omitempty"`
	// Freezer is who froze what is thawed here, and FrozenMs for how long.
	Freezer  string  `json:"freezer,omitempty"`
	FrozenMs float64 `json:"frozenMs,omitempty"`
	// TimeoutSeconds is the safety timer that a freeze armed; 0: none.
	TimeoutSeconds int32  `json:"timeoutSeconds,omitempty"`
	Last           uint64 `json:"last,omitempty"`
	Message        string `json:"message,omitempty"`
}

// Events of the log. The first two are requests as they arrived, with the answer; the others are
// what became of the guest.
const (
	EventFreezeRequest   = "freeze-request"
	EventUnfreezeRequest = "unfreeze-request"
	EventFrozen          = "frozen"
	EventStillFrozen     = "already-frozen"
	EventThawed          = "thawed"
	EventAlreadyThawed   = "already-thawed"
	EventSafetyThawed    = "safety-thawed"
	EventReleased        = "released" // the guest went on by itself
	EventGuestStarted    = "guest-started"
	EventGuestStopped    = "guest-stopped"
)

// FreezeLog appends entries to a file of JSON lines.
type FreezeLog struct {
	mu   sync.Mutex
	file *os.File
}

// OpenFreezeLog opens the file for appending; an empty path gives a log that drops everything.
func OpenFreezeLog(path string) (*FreezeLog, error) {
	if path == "" {
		return &FreezeLog{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &FreezeLog{file: f}, nil
}

// Add writes one entry; its time is now unless it has one.
func (l *FreezeLog) Add(e Entry) {
	if l == nil || l.file == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.file.Write(append(line, '\n'))
}
