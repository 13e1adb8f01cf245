// Differential test: the same generated questions go to the C library (through driver.c) and to the
// Go libraries that Kubernetes itself uses. Any difference is printed with its seed and fails.
//
//	go run . -driver PATH -n 20000 [-seed N] [-only quantity,duration,…]
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A topic makes questions and knows Go's answer.
type topic struct {
	name   string
	verb   string
	ask    func(r *rand.Rand) []string
	answer func(args []string) string
	// same compares the two answers; nil: as text.
	same func(args []string, ours, theirs string) bool
}

var topics = []topic{
	{"quantity", "q", askQuantity, answerQuantity, sameQuantity},
	{"duration", "d", askDuration, answerDuration, nil},
	{"names", "n", askName, answerNames, nil},
	{"selector", "s", askSelector, answerSelector, nil},
	{"cron", "c", askCron, answerCron, sameCron},
	{"yaml", "y", askYAML, answerYAML, sameJSON},
}

func encode(args []string) string {
	var b strings.Builder
	for _, a := range args {
		b.WriteByte(' ')
		if a == "" {
			b.WriteByte('-')
		} else {
			b.WriteString(hex.EncodeToString([]byte(a)))
		}
	}
	return b.String()
}

// Runs one topic in chunks, so that memory stays small; returns the number of differences.
func run(t topic, driver string, n int, seed int64) (int, error) {
	const chunk = 20000
	r := rand.New(rand.NewSource(seed))
	differences := 0
	for done := 0; done < n; done += chunk {
		count := min(chunk, n-done)
		questions := make([][]string, count)
		var in bytes.Buffer
		for i := range questions {
			questions[i] = t.ask(r)
			in.WriteString(t.verb + encode(questions[i]) + "\n")
		}
		asked := in.Bytes()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, driver)
		cmd.Stdin = &in
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			// A crash or an endless loop: the questions are kept, to be played again.
			path := filepath.Join(os.TempDir(), "wukong-diff-"+t.name)
			_ = os.WriteFile(path, asked, 0o600)
			return differences, fmt.Errorf("%s: driver: %w; its questions are in %s", t.name, err, path)
		}
		lines := bufio.NewReaderSize(bytes.NewReader(out), 1<<20)
		for _, q := range questions {
			ours, err := lines.ReadString('\n')
			if err != nil && err != io.EOF {
				return differences, err
			}
			ours = strings.TrimSpace(ours)
			theirs := t.answer(q)
			equal := ours == theirs
			if t.same != nil {
				equal = t.same(q, ours, theirs)
			}
			if !equal {
				differences++
				if differences <= 20 {
					fmt.Printf("%s: %q: ours %q, Go's %q\n", t.name, q, ours, theirs)
				}
			}
		}
	}
	return differences, nil
}

func main() {
	driver := flag.String("driver", "", "path of the driver program")
	n := flag.Int("n", 20000, "questions for each topic")
	seed := flag.Int64("seed", 1, "seed; 0 takes the clock")
	only := flag.String("only", "", "topics, separated by commas")
	flag.Parse()
	if *driver == "" {
		fmt.Fprintln(os.Stderr, "diff: -driver is missing")
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = time.Now().UnixNano()
	}
	failed := false
	for _, t := range topics {
		if *only != "" && !strings.Contains(","+*only+",", ","+t.name+",") {
			continue
		}
		start := time.Now()
		differences, err := run(t, *driver, *n, *seed)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%-9s %8d questions, seed %d: %d differences (%.1fs)\n", t.name, *n, *seed,
			differences, time.Since(start).Seconds())
		failed = failed || differences > 0
	}
	if failed {
		os.Exit(1)
	}
}

// sameJSON compares two documents by structure.
func sameJSON(_ []string, ours, theirs string) bool {
	if ours == theirs {
		return true
	}
	a, errA := decode(ours)
	b, errB := decode(theirs)
	return errA == nil && errB == nil && equal(a, b)
}

func decode(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func equal(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			other, there := y[k]
			if !there || !equal(x[k], other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case json.Number:
		y, ok := b.(json.Number)
		return ok && equalNumber(x.String(), y.String())
	}
	return a == b
}

// Digits must agree to the last one; a number written with a point or an exponent on one side is a
// float on both (Go writes 2e18 as 2000000000000000000).
func equalNumber(a, b string) bool {
	if a == b {
		return true
	}
	if !strings.ContainsAny(a+b, ".eE") {
		return false
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}
