package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/internal/canon"
)

const (
	blobDir    = "blobs"
	tempPrefix = "incoming-"
)

// blobs are files named by their digest.
type blobs struct{ dir string }

// openBlobs clears away what a crash left half written.
func openBlobs(dir string, readOnly bool) (*blobs, error) {
	b := &blobs{filepath.Join(dir, blobDir)}
	if readOnly {
		return b, nil
	}
	files, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), tempPrefix) {
			if err := os.Remove(filepath.Join(b.dir, f.Name())); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func (b *blobs) path(d canon.Digest) string { return filepath.Join(b.dir, d.String()) }

// BlobWriter takes a blob's bytes. Commit or Abort ends it.
type BlobWriter struct {
	blobs *blobs
	file  *os.File
	hash  hash.Hash
}

// CreateBlob begins a blob whose digest is not known yet.
func (s *Store) CreateBlob() (*BlobWriter, error) {
	f, err := os.CreateTemp(s.blobs.dir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("creating a blob: %w", err)
	}
	return &BlobWriter{s.blobs, f, sha256.New()}, nil
}

func (w *BlobWriter) Write(p []byte) (int, error) {
	w.hash.Write(p)
	return w.file.Write(p)
}

// Commit makes the blob durable under its digest.
func (w *BlobWriter) Commit() (canon.Digest, error) {
	d := canon.Digest(w.hash.Sum(nil))
	err := errors.Join(w.file.Sync(), w.file.Close())
	if err == nil {
		err = os.Rename(w.file.Name(), w.blobs.path(d))
	}
	if err == nil {
		err = syncDir(w.blobs.dir)
	}
	if err != nil {
		return d, errors.Join(fmt.Errorf("writing blob %s: %w", d.Short(), err), os.Remove(w.file.Name()))
	}
	return d, nil
}

// Abort throws the bytes away.
func (w *BlobWriter) Abort() error {
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}

// PutBlob makes data durable under its digest.
func (s *Store) PutBlob(data []byte) (canon.Digest, error) {
	w, err := s.CreateBlob()
	if err != nil {
		return canon.Digest{}, err
	}
	if _, err := w.Write(data); err != nil {
		return canon.Digest{}, errors.Join(fmt.Errorf("writing a blob: %w", err), w.Abort())
	}
	return w.Commit()
}

// Blob reads a blob of up to limit bytes and checks its digest.
func (s *Store) Blob(d canon.Digest, limit int64) ([]byte, error) {
	f, err := os.Open(s.blobs.path(d))
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", d.Short(), err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading blob %s: %w", d.Short(), err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("reading blob %s: more than %d bytes", d.Short(), limit)
	case canon.Sum(data) != d:
		return nil, fmt.Errorf("reading blob %s: its bytes have changed on disk", d.Short())
	}
	return data, nil
}

// OpenBlob opens a blob that is too large to be read at once. Its bytes are
// not checked.
func (s *Store) OpenBlob(d canon.Digest) (*os.File, error) {
	f, err := os.Open(s.blobs.path(d))
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", d.Short(), err)
	}
	return f, nil
}

// CheckBlobs hashes every blob and calls bad for each that is not what its
// name says. It returns how many there are.
func (s *Store) CheckBlobs(bad func(name string, err error)) (int, error) {
	files, err := os.ReadDir(s.blobs.dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, file := range files {
		if strings.HasPrefix(file.Name(), tempPrefix) {
			continue // a crash left it; the next start clears it away
		}
		n++
		if err := s.checkBlob(file.Name()); err != nil {
			bad(file.Name(), err)
		}
	}
	return n, nil
}

func (s *Store) checkBlob(name string) error {
	want, err := canon.ParseDigest(name)
	if err != nil {
		return errors.New("its name is no digest")
	}
	f, err := s.OpenBlob(want)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := canon.Digest(h.Sum(nil)); got != want {
		return fmt.Errorf("its sha256 is %s", got)
	}
	return nil
}

// newSuffix is that of a file which is not whole yet.
const newSuffix = ".new"

// writeFile makes a new file durable, readable by its owner alone.
func writeFile(path string, fill func(*os.File) error) error {
	temp := path + newSuffix
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}
