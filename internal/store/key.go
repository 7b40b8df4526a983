package store

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const keyFile = "hub.key"

// loadKey reads the hub's key, and makes one for a new store.
func loadKey(dir string, readOnly bool) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the hub's key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("reading the hub's key: others may read %s (mode %v): run chmod 600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the hub's key: %w", err)
	}
	seed, err := hex.DecodeString(strings.TrimSuffix(string(text), "\n"))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("reading the hub's key: %s is not %d hex digits", path, 2*ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	if err := writeFile(path, func(f *os.File) error {
		_, err := f.WriteString(hex.EncodeToString(seed) + "\n")
		return err
	}); err != nil {
		return nil, fmt.Errorf("making the hub's key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// LoadKey reads the key of a data directory that a running hub may have open.
func LoadKey(dir string) (ed25519.PrivateKey, error) { return loadKey(dir, true) }
