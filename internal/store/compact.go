package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const compactBatch = 4 << 20 // bytes in a transaction

// Compact writes the facts of a data directory, which no hub has open, into a
// new file without the room that removed ones left, and puts it in the old
// one's place. It returns both sizes in bytes.
func Compact(dir string) (before, after int64, err error) {
	path := filepath.Join(dir, factsFile)
	if err := private(dir); err != nil {
		return 0, 0, fmt.Errorf("compacting %s: %w", dir, err)
	}
	temp := path + newSuffix
	if before, after, err = compact(path, temp); err != nil {
		return before, after, errors.Join(fmt.Errorf("compacting %s: %w", dir, err), removeIfThere(temp))
	}
	return before, after, nil
}

func compact(path, temp string) (before, after int64, err error) {
	if _, err := os.Stat(path); err != nil {
		return 0, 0, err // and make none
	}
	// Open to write, which nobody else may meanwhile.
	src, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if errors.Is(err, berrors.ErrTimeout) {
		return 0, 0, ErrInUse
	}
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if err := removeIfThere(temp); err != nil {
		return 0, 0, err
	}
	dst, err := bolt.Open(temp, 0o600, &bolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return 0, 0, err
	}
	err = bolt.Compact(dst, src, compactBatch)
	if err = errors.Join(err, dst.Sync(), dst.Close()); err != nil {
		return 0, 0, err
	}
	if before, after, err = sizes(path, temp); err != nil {
		return 0, 0, err
	}
	if err := os.Rename(temp, path); err != nil {
		return 0, 0, err
	}
	return before, after, syncDir(filepath.Dir(path))
}

func sizes(a, b string) (int64, int64, error) {
	x, err := os.Stat(a)
	if err != nil {
		return 0, 0, err
	}
	y, err := os.Stat(b)
	if err != nil {
		return 0, 0, err
	}
	return x.Size(), y.Size(), nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
