package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Agent is what freezes and thaws a guest that is a machine of its own. A guest without one is the
// program that writes records.
type Agent interface {
	Freeze() error
	Thaw() error
}

// socketAgent speaks to qemu-ga over the socket behind its virtio port, one command at a time, as
// libvirt does (QEMU docs/interop/qemu-ga.rst).
type socketAgent struct {
	path string
	mu   sync.Mutex
}

// A command waits for as long as the guest takes (libvirt: VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK). The
// end keeps a dead guest from holding a test up for ever.
const agentPatience = 5 * time.Minute

// run sends one command and returns its answer. What earlier callers left unread is skipped:
// guest-sync-delimited answers with the number that it was asked with, after a byte 0xFF.
func (a *socketAgent) run(command string, patience time.Duration) (json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	conn, err := net.Dial("unix", a.path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	id := rand.Int64N(1 << 31)
	if _, err := fmt.Fprintf(conn, "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%d}}\n", id); err != nil {
		return nil, err
	}
	for {
		if _, err := in.ReadBytes(0xff); err != nil {
			return nil, err
		}
		var got int64
		answer, err := readAnswer(in)
		if err == nil && json.Unmarshal(answer, &got) == nil && got == id {
			break
		}
		var net net.Error
		if errors.As(err, &net) {
			return nil, err
		}
	}
	if _, err := fmt.Fprintf(conn, "{\"execute\":%q}\n", command); err != nil {
		return nil, err
	}
	return readAnswer(in)
}

func readAnswer(in *bufio.Reader) (json.RawMessage, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var answer struct {
		Return json.RawMessage `json:"return"`
		Error  *struct {
			Desc string `json:"desc"`
		} `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, errors.New(answer.Error.Desc)
	}
	return answer.Return, nil
}

// Freeze freezes all file systems of the guest.
func (a *socketAgent) Freeze() error {
	_, err := a.run("guest-fsfreeze-freeze", agentPatience)
	return err
}

// Thaw thaws them; a guest that is not frozen answers that it has thawed none.
func (a *socketAgent) Thaw() error {
	_, err := a.run("guest-fsfreeze-thaw", agentPatience)
	return err
}
