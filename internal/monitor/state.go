package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/translog"
)

// remembered is the content of a state file.
type remembered struct {
	Origin string    `json:"origin"`
	Size   int64     `json:"size"`
	Root   tlog.Hash `json:"root"`
}

// loadState reads a state file; nil if there is none.
func loadState(path, origin string) (*remembered, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var r remembered
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil && r.Origin != origin {
		err = fmt.Errorf("it is of the log %q, not of %q", r.Origin, origin)
	}
	if err == nil && r.Size < 0 {
		err = errors.New("its size is negative")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the remembered checkpoint %s: %w", path, err)
	}
	return &r, nil
}

// saveState replaces the state file, so that it is whole at every moment.
func saveState(path string, c *translog.Checkpoint) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(remembered{c.Origin, c.Size, c.Root}, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".log-state-*")
	if err != nil {
		return fmt.Errorf("remembering the checkpoint: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("remembering the checkpoint: %w", err), os.Remove(f.Name()))
	}
	return nil
}
