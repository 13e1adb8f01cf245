package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A copier copies volumes in the background, one job per target claim.
type copier struct {
	mutex sync.Mutex
	jobs  map[string]*job
}

type job struct {
	mutex   sync.Mutex
	percent float64
	done    bool
	err     error
	stop    chan struct{}
}

func newCopier() *copier { return &copier{jobs: map[string]*job{}} }

func (c *copier) isRunning(key string) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.jobs[key] != nil
}

// advance starts the job if there is none and says how far it is. A failed job is forgotten, so that
// the next call begins anew.
func (c *copier) advance(key, from, to string, atLeast time.Duration) (float64, bool, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	j := c.jobs[key]
	if j == nil {
		j = &job{stop: make(chan struct{})}
		c.jobs[key] = j
		go j.run(from, to, atLeast)
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.err != nil {
		delete(c.jobs, key)
	}
	return j.percent, j.done, j.err
}

func (c *copier) cancel(key string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if j := c.jobs[key]; j != nil {
		close(j.stop)
		delete(c.jobs, key)
	}
}

func (j *job) run(from, to string, atLeast time.Duration) {
	err := j.copy(from, to, atLeast)
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.done, j.err = err == nil, err
}

func (j *job) copy(from, to string, atLeast time.Duration) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	room, err := target.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if room.Size() < size {
		return fmt.Errorf("target of %d bytes is smaller than the source of %d", room.Size(), size)
	}
	const parts = 50
	began := time.Now()
	for i := int64(0); i < parts; i++ {
		if err := copyRange(target, source, size*i/parts, size*(i+1)/parts); err != nil {
			return err
		}
		j.mutex.Lock()
		j.percent = 100 * float64(i+1) / parts
		j.mutex.Unlock()
		select {
		case <-j.stop:
			return errors.New("cancelled")
		case <-time.After(time.Until(began.Add(atLeast * time.Duration(i+1) / parts))):
		}
	}
	return nil
}

// copyRange copies the data between two offsets and leaves holes out: the target is new and reads as
// zeros.
func copyRange(target, source *os.File, at, end int64) error {
	for at < end {
		begin, err := unix.Seek(int(source.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && begin >= end {
			return nil
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(source.Fd()), begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		hole = min(hole, end)
		n, err := io.Copy(io.NewOffsetWriter(target, begin), io.NewSectionReader(source, begin, hole-begin))
		if err != nil {
			return err
		}
		if n < hole-begin {
			return io.ErrUnexpectedEOF
		}
		at = hole
	}
	return nil
}
