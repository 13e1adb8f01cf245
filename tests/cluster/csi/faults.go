package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	prefix = "fault-"
	// How often a delay looks whether faults.json has changed meanwhile.
	pollInterval = 20 * time.Millisecond
)

// The operations that faults can be asked for, and the gRPC code of "unsupported" for each.
var operations = map[string]codes.Code{
	"create":          codes.InvalidArgument,
	"restore":         codes.InvalidArgument,
	"clone":           codes.InvalidArgument,
	"snapshot":        codes.Unimplemented,
	"expand":          codes.Unimplemented,
	"delete-volume":   codes.Unimplemented,
	"delete-snapshot": codes.Unimplemented,
	"group":           codes.Unimplemented,
	"delete-group":    codes.Unimplemented,
}

// What can be asked for each operation; the value says how its parameter reads.
var kinds = map[string]func(string) error{
	"delay-ms":    wantNumber,
	"answer-ms":   wantNumber,
	"fail-count":  wantNumber,
	"fail":        wantBool,
	"fail-code":   wantCode,
	"unsupported": wantBool,
}

// Faults that only one operation has.
var special = map[string]func(string) error{
	"snapshot-ready-ms":         wantNumber,
	"snapshot-cut-late-ms":      wantNumber,
	"snapshot-no-creation-time": wantBool,
	"snapshot-creation-time":    wantCreationTime,
	"snapshot-no-size":          wantBool,
	"snapshot-kept-by-clones":   wantBool,
	"grow-unsupported":          wantBool,
	"group-short-list":          wantBool,
	"group-empty-list-ms":       wantNumber,
	"group-not-atomic-ms":       wantNumber,
}

// faultNames are all faults that there are, for who must have met each of them.
func faultNames() []string {
	names := slices.Collect(maps.Keys(special))
	for operation := range operations {
		for kind := range kinds {
			names = append(names, operation+"-"+kind)
		}
	}
	slices.Sort(names)
	return names
}

func wantNumber(v string) error {
	_, err := strconv.ParseUint(v, 10, 31)
	return err
}

func wantBool(v string) error {
	_, err := strconv.ParseBool(v)
	return err
}

// Words for a creation time that is not when the cut was made; else it is so many seconds too late.
const (
	timeZero   = "zero"
	timeVolume = "volume"
)

func wantCreationTime(v string) error {
	if v == timeZero || v == timeVolume {
		return nil
	}
	_, err := strconv.ParseInt(v, 10, 32)
	return err
}

func wantCode(v string) error {
	_, err := parseCode(v)
	return err
}

func parseCode(v string) (codes.Code, error) {
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		if strings.EqualFold(c.String(), v) {
			return c, nil
		}
	}
	return codes.Unknown, fmt.Errorf("no gRPC code %q", v)
}

// A faultSet is a set of parameters without their prefix, all of them known and well-formed.
type faultSet map[string]string

// parseFaults picks the faults out of a class's parameters. A key that is misspelt is an error: a
// test that injects nothing proves nothing.
func parseFaults(parameters map[string]string) (faultSet, error) {
	set := faultSet{}
	for _, key := range slices.Sorted(maps.Keys(parameters)) {
		fault, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		check := special[fault]
		for operation := range operations {
			if kind, ok := strings.CutPrefix(fault, operation+"-"); ok && kinds[kind] != nil {
				check = kinds[kind]
			}
		}
		if check == nil {
			return nil, fmt.Errorf("unknown parameter %s", key)
		}
		if err := check(parameters[key]); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", key, err)
		}
		set[fault] = parameters[key]
	}
	return set, nil
}

func (f faultSet) number(key string) int {
	n, _ := strconv.Atoi(f[key]) // checked by parseFaults
	return n
}

func (f faultSet) bool(key string) bool {
	b, _ := strconv.ParseBool(f[key]) // checked by parseFaults
	return b
}

// creationTime is what the driver tells of a cut of a volume. CSI wants the moment of the cut
// (csi.proto, Snapshot.creation_time). A PowerFlex volume's birth is told of its snapshots
// (csi-powerflex service/controller.go, CreateSnapshot), an array goes by a clock of its own, and 0
// seconds are 1970.
func (f faultSet) creationTime(cut, volumeMade time.Time) time.Time {
	switch told := f["snapshot-creation-time"]; told {
	case "":
		return cut
	case timeZero:
		return time.Unix(0, 0)
	case timeVolume:
		return volumeMade
	}
	return cut.Add(time.Duration(f.number("snapshot-creation-time")) * time.Second)
}

func (f faultSet) duration(key string) time.Duration {
	return time.Duration(f.number(key)) * time.Millisecond
}

// faults returns what holds for one call now: the class's parameters, overridden by faults.json,
// overridden by faults.json's own entry for one of the objects concerned.
func (s *store) faults(parameters map[string]string, ids ...string) (faultSet, error) {
	all := maps.Clone(parameters)
	if all == nil {
		all = map[string]string{}
	}
	data, err := os.ReadFile(filepath.Join(s.folder, "faults.json"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if err == nil {
		var file map[string]any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&file); err != nil {
			return nil, fmt.Errorf("faults.json: %w", err)
		}
		flatten(all, file)
		for _, id := range ids {
			if own, ok := file[id].(map[string]any); ok {
				flatten(all, own)
			}
		}
	}
	return parseFaults(all)
}

func flatten(into map[string]string, from map[string]any) {
	for key, value := range from {
		if _, nested := value.(map[string]any); !nested {
			into[key] = fmt.Sprint(value)
		}
	}
}

// onlyFaults is what an object passes on to those made from it.
func onlyFaults(parameters map[string]string) map[string]string {
	picked := maps.Clone(parameters)
	maps.DeleteFunc(picked, func(key, _ string) bool { return !strings.HasPrefix(key, prefix) })
	return picked
}

// An operationCall is one operation on one object, with the faults that apply to it.
type operationCall struct {
	store      *store
	kind       string // volume, snapshot or group: one operation at a time on each object
	operation  string
	name       string
	parameters map[string]string
	ids        []string
}

func (c operationCall) faults() (faultSet, error) {
	return c.store.faults(c.parameters, c.ids...)
}

// pause waits until the fault's time has passed. It looks at faults.json again and again, so that a
// test can hold a call for as long as it likes and let it go.
func (c operationCall) pause(kind string) error {
	began := time.Now()
	for {
		faults, err := c.faults()
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		left := faults.duration(c.operation+kind) - time.Since(began)
		if left <= 0 {
			return nil
		}
		time.Sleep(min(left, pollInterval))
	}
}

// before does the faults that come before the work.
func (c operationCall) before() error {
	faults, err := c.faults()
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if faults.bool(c.operation + "-unsupported") {
		return status.Errorf(operations[c.operation], "%s is not supported", c.operation)
	}
	if err := c.pause("-delay-ms"); err != nil {
		return err
	}
	if faults, err = c.faults(); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	code := codes.Internal
	if name := faults[c.operation+"-fail-code"]; name != "" {
		code, _ = parseCode(name) // checked by parseFaults
	}
	if faults.bool(c.operation + "-fail") {
		return status.Errorf(code, "injected failure of %s", c.operation)
	}
	limit := faults.number(c.operation + "-fail-count")
	failing, err := c.store.countAttempt(c.operation+" "+c.name, limit)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	if failing {
		return status.Errorf(code, "injected failure of %s, one of %d", c.operation, limit)
	}
	return nil
}
