package store

import (
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// retryEvery is how often a write is tried again for which there is no room.
const retryEvery = 2 * time.Second

// NoRoom reports whether an error says that the disk is full.
func NoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) || errors.Is(err, ErrFull)
}

// unwritten reports whether a commit failed because bytes found no room, before
// anything was synced: then the facts are as they were, and it can be tried
// again. After a failed sync nobody knows what is on the disk.
func unwritten(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Op == "write" && NoRoom(p.Err)
}

// Stalled reports whether facts wait for room on the disk. They are written,
// and those who wait are told, when there is some.
func (s *Store) Stalled() bool { return s.group.stalled.Load() }

// Free is how many bytes the disk has left, where that can be known.
func (s *Store) Free() (bytes uint64, known bool) { return freeBytes(s.dir) }
