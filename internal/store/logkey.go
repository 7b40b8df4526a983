package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign/countersign/internal/translog"
)

const logKeyFile = "log.key"

// LogKey reads the key of the transparency log, and makes one for a log that
// has none, under that origin ("": one that follows from the key). It refuses
// a key of another origin: that would be another log.
func (s *Store) LogKey(origin string) (translog.SecretKey, error) {
	k, err := LoadLogKey(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s.makeLogKey(origin)
	}
	if err == nil && origin != "" && origin != k.Name {
		err = fmt.Errorf("reading the log's key: the log in %s is %q and not %q: its origin cannot be changed; another log begins when %s is moved away",
			s.dir, k.Name, origin, filepath.Join(s.dir, logKeyFile))
	}
	return k, err
}

func (s *Store) makeLogKey(origin string) (translog.SecretKey, error) {
	k, err := translog.GenerateKey(translog.LogKey, origin)
	if err == nil {
		err = writeFile(filepath.Join(s.dir, logKeyFile), func(f *os.File) error {
			_, err := f.Write(k.File())
			return err
		})
	}
	if err != nil {
		return k, fmt.Errorf("making the log's key: %w", err)
	}
	return k, nil
}

// LoadLogKey reads the log's key of a data directory that a running hub may
// have open.
func LoadLogKey(dir string) (k translog.SecretKey, err error) {
	path := filepath.Join(dir, logKeyFile)
	info, err := os.Stat(path)
	if err != nil {
		return k, fmt.Errorf("reading the log's key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return k, fmt.Errorf("reading the log's key: others may read %s (mode %v): run chmod 600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return k, fmt.Errorf("reading the log's key: %w", err)
	}
	if k, err = translog.ParseKeyFile(translog.LogKey, text); err != nil {
		return k, fmt.Errorf("reading the log's key: %s: %w", path, err)
	}
	return k, nil
}
