package store

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// An archive is a tar of a data directory: the files that Snapshot makes, in
// any order, and nothing else.
var archiveName = regexp.MustCompile(`\A(facts\.db|hub\.key|token\.keys|log\.key|tokens/[0-9a-f]{32}\.json|(blobs|checkpoints)/[0-9a-f]{64})\z`)

// Archive writes a data directory that nobody writes to.
func Archive(w io.Writer, dir string) error {
	t := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if name = filepath.ToSlash(name); !archiveName.MatchString(name) {
			return nil // not ours, and not what Extract takes
		}
		return archiveFile(t, path, name)
	})
	if err = errors.Join(err, t.Close()); err != nil {
		return fmt.Errorf("archiving %s: %w", dir, err)
	}
	return nil
}

func archiveFile(t *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// Extract writes the files of an archive into a directory, which it makes, and
// makes them durable. It believes nothing of their contents.
func Extract(r io.Reader, dir string) error {
	for _, d := range []string{dir, filepath.Join(dir, blobDir), filepath.Join(dir, fileDir), filepath.Join(dir, recordDir)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return syncDir(dir)
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg || !archiveName.MatchString(h.Name) {
			return fmt.Errorf("reading the archive: %.100q is no file of a backup", h.Name)
		}
		if err := extractFile(t, filepath.Join(dir, filepath.FromSlash(h.Name))); err != nil {
			return fmt.Errorf("extracting %s: %w", h.Name, err)
		}
	}
}

func extractFile(r io.Reader, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return errors.New("it is there twice")
	}
	return writeFile(path, func(f *os.File) error {
		_, err := io.Copy(f, r)
		return err
	})
}
