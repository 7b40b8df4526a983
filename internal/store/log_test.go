package store

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

func admit(t testing.TB, s *Store, kind Kind, text string, at time.Time) canon.Digest {
	t.Helper()
	fresh, err := s.PutStatement(kind, Statement{Bytes: []byte(text), Signature: []byte("signature of " + text), At: at})
	if err != nil || !fresh {
		t.Fatalf("admitting %s: %v, %v", text, fresh, err)
	}
	return canon.Sum([]byte(text))
}

// logged returns the statements of the log in its order, after it made sure
// that its hashes are those of its entries, and that every statement that is
// on disk has exactly one leaf.
func logged(t testing.TB, s *Store) (texts []string) {
	t.Helper()
	if err := s.ViewLog(func(v LogView) error {
		var hashes []tlog.Hash
		own := tlog.HashReaderFunc(func(indexes []int64) (all []tlog.Hash, err error) {
			for _, i := range indexes {
				all = append(all, hashes[i])
			}
			return all, nil
		})
		for i := range v.Size() {
			entry, err := v.Entry(i)
			if err != nil {
				return err
			}
			st, sig, err := translog.SplitEntry(entry)
			if err != nil {
				return err
			}
			if string(sig) != "signature of "+string(st) {
				t.Errorf("leaf %d has the signature %q", i, sig)
			}
			if at, ok := v.Index(canon.Sum(st)); !ok || at != i {
				t.Errorf("leaf %d is found at %d, %v", i, at, ok)
			}
			more, err := tlog.StoredHashes(i, entry, own)
			if err != nil {
				return err
			}
			hashes = append(hashes, more...)
			texts = append(texts, string(st))
		}
		want, err := tlog.TreeHash(v.Size(), own)
		if err != nil {
			return err
		}
		if got, err := tlog.TreeHash(v.Size(), v); err != nil || got != want {
			t.Errorf("the stored root is %v (%v), the entries give %v", got, err, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, kind := range kinds {
		if err := s.Statements(kind, func(Statement) error { count++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if count != len(texts) {
		t.Errorf("%d statements, %d leaves", count, len(texts))
	}
	return texts
}

func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	now := time.UnixMilli(1_800_000_000_000)
	var want []string
	for i := range 300 { // more than a tile
		text := fmt.Sprintf("statement %d", i)
		admit(t, s, kinds[i%3], text, now)
		want = append(want, text)
	}
	if fresh, err := s.PutStatement(Release, Statement{Bytes: []byte("statement 0"), Signature: []byte("another"), At: now}); err != nil || fresh {
		t.Errorf("again: %v, %v", fresh, err)
	}
	if got := logged(t, s); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log has %d entries in another order", len(got))
	}
	if _, err := s.PutStatement(Release, Statement{Bytes: make([]byte, translog.MaxEntry-2), Signature: []byte("s"), At: now}); canon.ClassOf(err) != translog.ClassTooLarge {
		t.Errorf("a statement too long for the log: %v", err)
	}
	admit(t, s, Release, "one more", now)
	closed(t, s)
	s = open(t, dir)
	defer closed(t, s)
	if got := logged(t, s); len(got) != 301 {
		t.Errorf("after opening again: %d entries", len(got))
	}
}

// TestLogOfOldStore: what was admitted without a log gets its leaves at the
// next start, in the order of admission.
func TestLogOfOldStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	at := func(seconds int64) time.Time { return time.Unix(1_800_000_000+seconds, 0) }
	admit(t, s, Release, "release 1", at(1))
	admit(t, s, Order, "order 1", at(3))
	admit(t, s, Release, "release 2", at(2)) // the clock was set back
	admit(t, s, Stop, "stop 1", at(3))
	admit(t, s, Release, "release 3", at(9))
	admit(t, s, Release, "release 4", at(4)) // and again
	admit(t, s, Order, "order 2", at(9))
	if err := s.db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bucketLeaves, bucketLeafOf, bucketHashes, bucketPublished} {
			if err := tx.DeleteBucket(b); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	ro, err := Open(dir, &Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := ro.ViewLog(func(LogView) error { return nil }); err == nil {
		t.Error("a log was read that is not there")
	}
	closed(t, ro)
	s = open(t, dir)
	defer closed(t, s)
	want := "release 1, release 2, order 1, stop 1, release 3, release 4, order 2"
	if got := strings.Join(logged(t, s), ", "); got != want {
		t.Errorf("the log has\n%s, want\n%s", got, want)
	}
}

const crashDir = "COUNTERSIGN_STORE_CRASH"

// TestMain is also the process that TestLogCrash kills: it admits statements
// and says which are durable.
func TestMain(m *testing.M) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := Open(dir, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	n := 0
	if at := os.Getenv(crashDir + "_AT"); at != "" {
		afterStatement = func() {
			if n++; fmt.Sprint(n) == at {
				syscall.Kill(os.Getpid(), syscall.SIGKILL) // ourselves, between the statement and its leaf
				select {}
			}
		}
	}
	for i := 0; ; i++ {
		text := fmt.Sprintf("%s %d", filepath.Base(os.Args[0])+os.Getenv(crashDir+"_ROUND"), i)
		if _, err := s.PutStatement(kinds[i%3], Statement{Bytes: []byte(text), Signature: []byte("signature of " + text), At: time.Now()}); err != nil {
			os.Exit(1)
		}
		fmt.Println(text)
	}
}

// TestLogCrash kills a process that admits statements: between a statement and
// its leaf, and anywhere. Nothing is on disk without a leaf, and what was said
// to be durable is in the log.
func TestLogCrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var durable []string
	for round := range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s_ROUND=%d", crashDir, round))
		if round%2 == 0 {
			cmd.Env = append(cmd.Env, fmt.Sprintf("%s_AT=%d", crashDir, 1+7*round))
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			durable = append(durable, lines.Text())
			if said++; said == 20 && round%2 == 1 {
				cmd.Process.Kill() // ours; what it still says is read
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: %v", round, err)
		}
		s := open(t, dir)
		have := "\n" + strings.Join(logged(t, s), "\n") + "\n"
		for _, text := range durable {
			if !strings.Contains(have, "\n"+text+"\n") {
				t.Errorf("round %d: %q was durable and is not in the log", round, text)
			}
		}
		closed(t, s)
	}
	if len(durable) < 100 {
		t.Errorf("only %d statements", len(durable))
	}
}

func TestLogKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	k, err := s.LogKey("example.org/log")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.LogKey(""); err != nil || again.VKey != k.VKey {
		t.Errorf("again: %v", err)
	}
	if _, err := s.LogKey("example.org/other"); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
		t.Errorf("another origin: %v", err)
	}
	closed(t, s)
	path := filepath.Join(dir, logKeyFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadLogKey(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ToUpper(k.File()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadLogKey(dir); err == nil {
		t.Error("a damaged key was taken")
	}
	if _, err := LoadLogKey(t.TempDir()); err == nil {
		t.Error("a key was found where none is")
	}
}
