package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// ErrFull is a checkpoint for which there is no room.
var ErrFull = errors.New("there is no room for more checkpoints")

const (
	fileDir                = "checkpoints"
	defaultCheckpointBytes = 4 << 30
	// networkShare is the part of it that one network's workers may fill.
	networkShare = 4
)

// files are what checkpoints hold, by digest: bytes that are worth keeping for
// a while only, and no more than max of them.
type files struct {
	dir  string
	max  int64
	mu   sync.Mutex
	held map[canon.Digest]room
	nets map[netip.Prefix]int64
	all  int64

	holds int                   // snapshots that are being made
	gone  map[canon.Digest]bool // removed meanwhile
}

// room is what a file takes, and whose it is.
type room struct {
	bytes int64
	net   netip.Prefix
}

// take counts a file, under f.mu.
func (f *files) take(d canon.Digest, r room) {
	f.held[d] = r
	f.nets[r.net] += r.bytes
	f.all += r.bytes
}

// openFiles finds the files that records name, and clears away all others: a
// crash came between a file and its record.
func (s *Store) openFiles(limit int64) (*files, error) {
	if limit == 0 {
		limit = defaultCheckpointBytes
	}
	f := &files{dir: filepath.Join(s.dir, fileDir), max: limit, held: map[canon.Digest]room{}, nets: map[netip.Prefix]int64{}, gone: map[canon.Digest]bool{}}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	named, err := s.named()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		d, err := canon.ParseDigest(e.Name())
		net, is := named[d]
		if err != nil || !is {
			if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		f.take(d, room{info.Size(), net})
	}
	return f, nil
}

// named has the file of each lane's furthest checkpoint and of what lanes have
// passed, and their networks.
func (s *Store) named() (map[canon.Digest]netip.Prefix, error) {
	type lane struct {
		order canon.Digest
		task  uint64
		lane  uint32
	}
	best := map[lane]Checkpoint{}
	err := s.Checkpoints(func(c Checkpoint) error {
		if at := (lane{c.Order, c.Task, c.Lane}); c.Segments > best[at].Segments {
			best[at] = c
		}
		return nil
	})
	named := map[canon.Digest]netip.Prefix{}
	for _, c := range best {
		named[c.File] = c.Net
	}
	if err == nil {
		err = s.EachState(func(c Checkpoint) error { named[c.File] = c.Net; return nil })
	}
	return named, err
}

func (f *files) path(d canon.Digest) string { return filepath.Join(f.dir, d.String()) }

// put makes a file durable. One that is there is not written again.
func (f *files) put(d canon.Digest, net netip.Prefix, data []byte) error {
	n := int64(len(data))
	f.mu.Lock()
	_, there := f.held[d]
	full := f.all+n > f.max || f.nets[net]+n > f.max/networkShare
	if !there && !full {
		f.take(d, room{n, net})
	}
	f.mu.Unlock()
	if there {
		return nil
	}
	if full {
		return ErrFull
	}
	err := writeFile(f.path(d), func(file *os.File) error {
		_, err := file.Write(data)
		return err
	})
	if err != nil {
		f.remove([]canon.Digest{d})
		_ = os.Remove(f.path(d) + newSuffix) // or at the next start
		if NoRoom(err) {
			return ErrFull
		}
		return fmt.Errorf("writing checkpoint %s: %w", d.Short(), err)
	}
	return nil
}

// roomy reports whether there is room for what auditors may want, beside what
// lanes go on from: half of the room is for that alone.
func (f *files) roomy(net netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all <= f.max/2 && f.nets[net] <= f.max/networkShare/2
}

// remove forgets files. One that cannot be removed is cleared away at the next
// start.
func (f *files) remove(all []canon.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range all {
		r := f.held[d]
		f.all -= r.bytes
		if f.nets[r.net] -= r.bytes; f.nets[r.net] == 0 {
			delete(f.nets, r.net)
		}
		delete(f.held, d)
		if f.holds > 0 {
			f.gone[d] = true
		} else {
			_ = os.Remove(f.path(d))
		}
	}
}

// CheckpointFile reads the file of a checkpoint and checks its digest. The
// error wraps fs.ErrNotExist when it is not there (any more).
func (s *Store) CheckpointFile(d canon.Digest) ([]byte, error) {
	file, err := os.Open(s.files.path(d))
	if err != nil {
		return nil, fmt.Errorf("reading checkpoint %s: %w", d.Short(), err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, wire.MaxCheckpointFile))
	if err != nil {
		return nil, fmt.Errorf("reading checkpoint %s: %w", d.Short(), err)
	}
	if canon.Sum(data) != d {
		return nil, fmt.Errorf("reading checkpoint %s: its bytes have changed on disk: %w", d.Short(), fs.ErrNotExist)
	}
	return data, nil
}

// CheckpointBytes is how many bytes of checkpoints there are, and may be.
func (s *Store) CheckpointBytes() (now, most int64) {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	return s.files.all, s.files.max
}
