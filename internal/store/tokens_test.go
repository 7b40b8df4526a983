package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
)

// TestRing: a ring is the hub's key until it is rotated, and what is written is
// read again.
func TestRing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	ring, err := LoadTokenKeys(dir)
	if err != nil || len(ring) != 1 || !ring[0].Key.Equal(s.Key()) || !ring[0].Until.IsZero() {
		t.Fatalf("%+v, %v", ring, err)
	}
	made, err := RotateTokenKey(dir, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ring, err = LoadTokenKeys(dir)
	if err != nil || len(ring) != 2 || !ring[0].Key.Equal(made[0].Key) || !ring[1].Key.Equal(s.Key()) || ring[1].Good(now.Add(time.Hour)) || !ring[1].Good(now.Add(time.Hour-time.Second)) {
		t.Fatalf("%+v, %v", ring, err)
	}
	if info, err := os.Stat(filepath.Join(dir, ringFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if made, err = RotateTokenKey(dir, now, 0); err != nil || len(made) != 1 {
		t.Errorf("%+v, %v", made, err)
	}
	if _, err := RotateTokenKey(dir, now, -1); err == nil {
		t.Error("an overlap below 0")
	}
	file := filepath.Join(dir, ringFile)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seed := strings.Repeat("0a", 32)
	for name, text := range map[string]string{
		"empty": "", "two that sign": string(good) + string(good), "none that signs": seed + " 2030-01-01T00:00:00Z\n", "no time": string(good) + seed + "\n",
		"short": "0a -\n", "no hex": strings.Repeat("x", 64) + " -\n", "five": string(good) + strings.Repeat(seed+" 2030-01-01T00:00:00Z\n", 4),
		"no such time": string(good) + seed + " 2030-02-30T00:00:00Z\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if ring, err := LoadTokenKeys(dir); err == nil {
			t.Errorf("%s: read as %+v", name, ring)
		}
	}
	if err := os.WriteFile(file, good, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTokenKeys(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("keys that others may read: %v", err)
	}
}

// TestSpend: the first use is the only one, after reopening too, and is
// forgotten when the token has expired.
func TestSpend(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	spend := func(id byte, want bool) {
		t.Helper()
		if first, err := s.Spend(TokenID{id}, now.Add(time.Duration(id)*time.Hour), now); err != nil || first != want {
			t.Errorf("token %d: first %v, %v", id, first, err)
		}
	}
	spend(1, true)
	spend(1, false)
	spend(2, true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	spend(1, false)
	spend(2, false)
	late := now.Add(90 * time.Minute)
	if _, err := s.Spend(TokenID{3}, late.Add(time.Hour), late); err != nil {
		t.Fatal(err)
	}
	spend(1, true) // it has been forgotten; nobody accepts it any more
	spend(2, false)
}

func TestTokenRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	if all, err := s.TokenRecords(now); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	a := TokenRecord{ID: strings.Repeat("0a", 16), Role: "site", Subject: "x", Origin: "https://a.example", Rate: 3, Expires: canon.TimeOf(now.Add(time.Hour))}
	b := TokenRecord{ID: strings.Repeat("0b", 16), Role: "operator", Subject: "y", Expires: canon.TimeOf(now.Add(time.Minute))}
	for _, r := range []TokenRecord{a, b} {
		if err := PutTokenRecord(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.TokenRecords(now); err != nil || len(all) != 2 || all[0] != a || all[1] != b {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := s.TokenRecords(now.Add(time.Minute)); err != nil || len(all) != 1 || all[0] != a {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Join(dir, recordDir, b.ID+recordEnd)); !os.IsNotExist(err) {
		t.Errorf("the record of a token that is over: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, recordDir, a.ID+recordEnd), bytes.Repeat([]byte("{"), 9999), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TokenRecords(now); err == nil {
		t.Error("a damaged record is read")
	}
}
