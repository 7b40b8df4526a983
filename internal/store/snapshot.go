package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	factsFile   = "facts.db"
	snapshotDir = "snapshot-"    // and something at random, beside the facts
	oldSnapshot = 24 * time.Hour // nobody archives it any more
)

// Snapshot makes a data directory inside the store's own that has everything of
// this moment, and returns its path. What never changes is linked, not copied,
// so it takes the room of the facts and little time, and writers go on. The
// caller removes it; one that is left behind, the next start removes.
func (s *Store) Snapshot() (dir string, err error) {
	if err := sweepSnapshots(s.dir, oldSnapshot); err != nil {
		return "", err
	}
	dir, err = os.MkdirTemp(s.dir, snapshotDir)
	if err != nil {
		return "", fmt.Errorf("making a snapshot: %w", err)
	}
	if err := s.snapshot(dir); err != nil {
		return "", errors.Join(fmt.Errorf("making a snapshot: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

func (s *Store) snapshot(dir string) error {
	// Files are there before their records. They must not go before they are
	// linked, either.
	s.files.hold()
	defer s.files.release()
	if err := s.copyFacts(filepath.Join(dir, factsFile)); err != nil {
		return err
	}
	for _, folder := range []string{blobDir, fileDir, recordDir} {
		if err := linkAll(filepath.Join(s.dir, folder), filepath.Join(dir, folder)); err != nil {
			return err
		}
	}
	for _, name := range []string{keyFile, ringFile, logKeyFile} {
		if err := copyFile(filepath.Join(s.dir, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(dir)
}

// copyFacts writes the facts of one moment. It is on this disk and not to
// somebody's network, because the file of a store grows while it is read.
func (s *Store) copyFacts(path string) error {
	return writeFile(path, func(f *os.File) error {
		return s.db.View(func(tx *bolt.Tx) error {
			_, err := tx.WriteTo(f)
			return err
		})
	})
}

// linkAll links the files of a folder that are whole.
func linkAll(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), newSuffix) || strings.HasPrefix(f.Name(), tempPrefix) {
			continue
		}
		src, dst := filepath.Join(from, f.Name()), filepath.Join(to, f.Name())
		err := os.Link(src, dst)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a disk without links
			err = copyFile(src, dst)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a token's record that is over
			return err
		}
	}
	return syncDir(to)
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return writeFile(to, func(f *os.File) error {
		_, err := io.Copy(f, src)
		return err
	})
}

// sweepSnapshots removes what was left behind, if it is that old.
func sweepSnapshots(dir string, age time.Duration) error {
	all, err := filepath.Glob(filepath.Join(dir, snapshotDir+"*"))
	for _, path := range all {
		if info, e := os.Stat(path); e == nil && time.Since(info.ModTime()) >= age {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// hold keeps files that are removed until release.
func (f *files) hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holds++
}

func (f *files) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holds--; f.holds > 0 {
		return
	}
	for d := range f.gone {
		if _, back := f.held[d]; !back {
			_ = os.Remove(f.path(d)) // or at the next start
		}
	}
	clear(f.gone)
}
