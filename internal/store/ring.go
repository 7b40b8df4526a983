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
	"time"

	"github.com/countersign/countersign/internal/canon"
)

const (
	ringFile   = "token.keys"
	maxRing    = 4
	maxOverlap = 366 * 24 * time.Hour
)

// TokenKey is a key of the ring that tokens are signed with: docs/spec/token.md.
type TokenKey struct {
	Key   ed25519.PrivateKey
	Until time.Time // tokens under it are good until then; zero: it is the one that signs
}

// Good reports whether tokens under the key count.
func (k TokenKey) Good(now time.Time) bool { return k.Until.IsZero() || now.Before(k.Until) }

// LoadTokenKeys reads the ring of a data directory that a running hub may have
// open, the key that signs first. A ring that was never rotated is the hub's key.
func LoadTokenKeys(dir string) ([]TokenKey, error) {
	path := filepath.Join(dir, ringFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := LoadKey(dir)
		return []TokenKey{{Key: key}}, err
	}
	if err != nil {
		return nil, fmt.Errorf("reading the token keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("reading the token keys: others may read %s (mode %v): run chmod 600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the token keys: %w", err)
	}
	ring, err := parseRing(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading the token keys: %s: %w", path, err)
	}
	return ring, nil
}

func parseRing(text string) (ring []TokenKey, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > maxRing {
		return nil, fmt.Errorf("%d keys, at most %d", len(lines), maxRing)
	}
	for i, line := range lines {
		seed, until, _ := strings.Cut(line, " ")
		var k TokenKey
		b, err := hex.DecodeString(seed)
		if err != nil || len(b) != ed25519.SeedSize {
			return nil, fmt.Errorf("line %d: want %d hex digits and until when the key counts", i+1, 2*ed25519.SeedSize)
		}
		k.Key = ed25519.NewKeyFromSeed(b)
		if (until == "-") != (i == 0) {
			return nil, fmt.Errorf("line %d: the first key signs, and no other", i+1)
		}
		if i > 0 {
			var t canon.Time
			if err := t.UnmarshalText([]byte(until)); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			k.Until = t.Time()
		}
		ring = append(ring, k)
	}
	return ring, nil
}

// RotateTokenKey makes a new key sign, and lets the one before count for
// overlap. Without an overlap no old key counts. The caller is the only one
// that rotates: a hub, or whoever has the store open.
func RotateTokenKey(dir string, now time.Time, overlap time.Duration) ([]TokenKey, error) {
	if overlap < 0 || overlap > maxOverlap {
		return nil, fmt.Errorf("rotating the token keys: an overlap of %s is not from 0 to %s", overlap, maxOverlap)
	}
	old, err := LoadTokenKeys(dir)
	if err != nil {
		return nil, err
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	ring := []TokenKey{{Key: ed25519.NewKeyFromSeed(seed)}}
	for i, k := range old {
		if i == 0 {
			k.Until = now.Add(overlap).UTC().Truncate(time.Second)
		}
		if overlap > 0 && k.Good(now) {
			ring = append(ring, k)
		}
	}
	if len(ring) > maxRing {
		return nil, fmt.Errorf("rotating the token keys: %d old ones still count: wait until %s, or rotate without overlap",
			maxRing, ring[len(ring)-1].Until.Format(time.RFC3339))
	}
	return ring, writeRing(dir, ring)
}

func writeRing(dir string, ring []TokenKey) error {
	err := writeFile(filepath.Join(dir, ringFile), func(f *os.File) error {
		for _, k := range ring {
			until := "-"
			if !k.Until.IsZero() {
				until = canon.TimeOf(k.Until).String()
			}
			if _, err := fmt.Fprintln(f, hex.EncodeToString(k.Key.Seed()), until); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing the token keys: %w", err)
	}
	return nil
}
