// Package guest plays what runs inside a virtual machine: a writer that appends numbered records to
// its disk files, and the agent that freezes and thaws it. It knows nothing of Kubernetes.
package guest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"time"
)

// RecordSize is the size of one record. Records lie one after the other from offset 0 of a disk.
//
//	0  8  magic "WKGUEST1"
//	8  8  number, little endian, from 1, the same on every disk of a guest for one round of writing
//	16 8  time of the round, nanoseconds since 1970, little endian
//	24 16 the guest: the VMI's UID
//	40 4  index of the disk among the guest's disks, little endian
//	44 16 zero
//	60 4  CRC-32C of the bytes before, little endian
const RecordSize = 64

// TornAt is where a writer in torn mode pauses: the first half of a record is on the disk then.
const TornAt = RecordSize / 2

var (
	magic = []byte("WKGUEST1")
	table = crc32.MakeTable(crc32.Castagnoli)
)

// Record is one line of a guest's diary.
type Record struct {
	Number uint64
	Time   time.Time
	Guest  string
	Disk   uint32
}

// Encode gives the record's bytes.
func (r Record) Encode() [RecordSize]byte {
	var b [RecordSize]byte
	copy(b[:], magic)
	binary.LittleEndian.PutUint64(b[8:], r.Number)
	binary.LittleEndian.PutUint64(b[16:], uint64(r.Time.UnixNano()))
	id, err := hex.DecodeString(strings.ReplaceAll(r.Guest, "-", ""))
	if err == nil {
		copy(b[24:40], id)
	}
	binary.LittleEndian.PutUint32(b[40:], r.Disk)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], table))
	return b
}

// Decode reads one slot; ok is false when its checksum does not fit.
func Decode(b []byte) (r Record, ok bool) {
	if len(b) != RecordSize || !bytes.Equal(b[:8], magic) ||
		binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], table) {
		return Record{}, false
	}
	id := hex.EncodeToString(b[24:40])
	return Record{
		Number: binary.LittleEndian.Uint64(b[8:]),
		Time:   time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:]))),
		Guest:  strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-"),
		Disk:   binary.LittleEndian.Uint32(b[40:]),
	}, true
}

// Share is what one guest wrote to a disk.
type Share struct {
	Guest     string `json:"guest"`
	Count     int    `json:"count"`
	First     uint64 `json:"first"`
	Last      uint64 `json:"last"`
	FirstTime string `json:"firstTime"`
	LastTime  string `json:"lastTime"`
	Gaps      int    `json:"gaps"`
	Disk      uint32 `json:"disk"`
}

// Summary is what a disk holds. OK: no slot is torn and no guest skipped a number.
type Summary struct {
	Count  int      `json:"count"`
	First  uint64   `json:"first"`
	Last   uint64   `json:"last"`
	Torn   int      `json:"torn"`
	TornAt []int64  `json:"tornAt,omitempty"`
	OK     bool     `json:"ok"`
	Size   int64    `json:"size"`
	End    int64    `json:"end"`
	Guests []*Share `json:"guests"`
}

// Summarize reads slots until the first empty one or the end of the disk.
func Summarize(in io.Reader) (*Summary, error) {
	s := &Summary{Guests: []*Share{}}
	shares := map[string]*Share{}
	var empty, slot [RecordSize]byte
	for {
		n, err := io.ReadFull(in, slot[:])
		if errors.Is(err, io.EOF) || (n == RecordSize && slot == empty) {
			break
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		r, ok := Decode(slot[:n])
		at := s.End
		s.End += RecordSize
		if !ok {
			s.Torn++
			if len(s.TornAt) < 16 {
				s.TornAt = append(s.TornAt, at)
			}
			if n < RecordSize {
				break
			}
			continue
		}
		s.add(shares, r)
	}
	s.OK = s.Torn == 0
	for _, share := range s.Guests {
		s.OK = s.OK && share.Gaps == 0
	}
	return s, nil
}

func (s *Summary) add(shares map[string]*Share, r Record) {
	when := r.Time.UTC().Format(time.RFC3339Nano)
	if s.Count == 0 {
		s.First = r.Number
	}
	s.Count++
	s.Last = r.Number
	share := shares[r.Guest]
	if share == nil {
		share = &Share{Guest: r.Guest, First: r.Number, FirstTime: when, Disk: r.Disk}
		shares[r.Guest] = share
		s.Guests = append(s.Guests, share)
	} else if r.Number != share.Last+1 {
		share.Gaps++
	}
	share.Count++
	share.Last = r.Number
	share.LastTime = when
}

// SummarizeFile summarizes a disk file.
func SummarizeFile(path string) (*Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s, err := Summarize(io.Reader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.Size = info.Size()
	return s, nil
}
