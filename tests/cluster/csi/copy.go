package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// copyFile makes dst hold what src holds now and returns the size. Where the file system can share
// blocks this is one atomic step (ioctl_ficlone(2)). Elsewhere the data ranges are copied in
// ascending order while writers go on: an unfrozen writer's records may be torn in the copy, as they
// are on storage whose snapshot is not atomic for the guest's caches. Holes stay holes.
func copyFile(dst *os.File, src *os.File, share bool) (int64, error) {
	if share && unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		info, err := dst.Stat()
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	info, err := src.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	if err := dst.Truncate(size); err != nil {
		return 0, err
	}
	for at := int64(0); at < size; {
		begin, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || (err == nil && begin >= size) {
			break // nothing but a hole is left
		}
		if err != nil {
			return 0, err
		}
		end, err := unix.Seek(int(src.Fd()), begin, unix.SEEK_HOLE)
		if err != nil {
			return 0, err
		}
		end = min(end, size)
		// NewSectionReader and NewOffsetWriter use pread and pwrite, so the offsets above are not
		// disturbed.
		n, err := io.Copy(io.NewOffsetWriter(dst, begin), io.NewSectionReader(src, begin, end-begin))
		if err != nil {
			return 0, err
		}
		if n < end-begin {
			return 0, io.ErrUnexpectedEOF
		}
		at = end
	}
	return size, nil
}
