package guest

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeAgent answers on a socket as qemu-ga does: first what an earlier caller left unread.
func fakeAgent(t *testing.T, answers map[string]string) *socketAgent {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "{\"return\": {}}\n\xff{\"return\": 1}\n")
			for in := bufio.NewScanner(conn); in.Scan(); {
				command := strings.TrimPrefix(in.Text(), "\xff")
				if _, rest, is := strings.Cut(command, `"id":`); is {
					fmt.Fprintf(conn, "\xff{\"return\": %s}\n", strings.TrimRight(rest, "}"))
					continue
				}
				for name, answer := range answers {
					if strings.Contains(command, name) {
						fmt.Fprintln(conn, answer)
					}
				}
			}
			conn.Close()
		}
	}()
	return &socketAgent{path: path}
}

// A caller takes the answer to its own question, and the guest's words when that is a refusal.
func TestAgentAnswers(t *testing.T) {
	agent := fakeAgent(t, map[string]string{
		"guest-fsfreeze-freeze": `{"return": 2}`,
		"guest-fsfreeze-thaw":   `{"error": {"class": "GenericError", "desc": "the hook has failed"}}`})
	if err := agent.Freeze(); err != nil {
		t.Error(err)
	}
	if err := agent.Thaw(); err == nil || err.Error() != "the hook has failed" {
		t.Errorf("thaw: %v", err)
	}
}

// An agent that says nothing does not hold its caller for ever.
func TestSilentAgent(t *testing.T) {
	agent := fakeAgent(t, nil)
	if _, err := agent.run("guest-ping", 50*time.Millisecond); err == nil {
		t.Error("a silent agent has answered")
	}
}

type refusing struct{ froze, thawed error }

func (r *refusing) Freeze() error { return r.froze }
func (r *refusing) Thaw() error   { return r.thawed }

// What the agent refuses has not happened: the guest is as it was, and the caller is told so.
func TestRefusedFreezeAndThaw(t *testing.T) {
	agent := &refusing{froze: fmt.Errorf("no")}
	g, err := Start(Config{UID: uid, Agent: agent})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	if g.Freeze("me", 0) == nil || g.Frozen() {
		t.Error("frozen against the agent's word")
	}
	agent.froze, agent.thawed = nil, fmt.Errorf("no")
	if g.Freeze("me", 0) != nil || !g.Frozen() {
		t.Error("not frozen")
	}
	if g.Unfreeze("me") == nil || !g.Frozen() {
		t.Error("thawed against the agent's word")
	}
	agent.thawed = nil
	if g.Unfreeze("me") != nil || g.Frozen() {
		t.Error("not thawed")
	}
}
