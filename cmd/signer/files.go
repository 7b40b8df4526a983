package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// writeNew writes a file that must not exist yet: keys and statements are
// never overwritten by accident.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: choose another name, or remove it first", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// writeAll writes several new files, and none if one of them exists.
func writeAll(files map[string][]byte, mode os.FileMode) error {
	for path := range files {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s exists already: choose another name, or remove it first", path)
		}
	}
	for path, data := range files {
		if err := writeNew(path, data, mode); err != nil {
			return err
		}
	}
	return nil
}

// readCapped reads a file of at most limit bytes.
func readCapped(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return data, nil
}

// signatureOf is where minisign looks for a file's signature.
func signatureOf(path string) string { return path + ".minisig" }

func jsonFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "print JSON for programs")
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// fields prints aligned "name  value" lines.
func fields(w io.Writer, pairs ...any) {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		width = max(width, len(pairs[i].(string)))
	}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		fmt.Fprintf(w, "%s%s  %v\n", name, strings.Repeat(" ", width-len(name)), pairs[i+1])
	}
}

func must(c *cobra.Command, names ...string) {
	for _, n := range names {
		if err := c.MarkFlagRequired(n); err != nil {
			panic(err) // a flag that this program does not have
		}
	}
}

// replaceModule writes a file that may exist: a module can be built again.
func replaceModule(path string, data []byte) error {
	if err := replace(path, data); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}
