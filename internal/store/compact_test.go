package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

// dump is all that stands in a store's file.
func dump(t *testing.T, dir string) map[string]string {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, factsFile), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string]string{}
	if err := db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			all[string(name)] = "sequence " + string(position(int64(b.Sequence())))
			return b.ForEach(func(k, v []byte) error { all[string(name)+"/"+string(k)] = string(v); return nil })
		})
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCompact: the file is smaller, has the same in it, and is a store.
func TestCompact(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	order := canon.Sum([]byte("order"))
	if _, _, err := Compact(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("beside a hub: %v", err)
	}
	output := bytes.Repeat([]byte("x"), 1<<20)
	for i := range 40 { // 40 MiB of outputs, removed again
		output[0] = byte(i)
		if err := s.group.wait(write{apply: func(tx *bolt.Tx) error {
			return tx.Bucket(bucketOutputs).Put(append(taskKey(order, uint64(i)), make([]byte, 32)...), output)
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutEnded(order, time.Now(), func(error) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(order); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutStatement(Release, Statement{Bytes: []byte("statement"), At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	was := dump(t, dir)
	before, after, err := Compact(dir)
	if err != nil || before < 40<<20 || after > 1<<20 {
		t.Errorf("from %d to %d bytes, %v", before, after, err)
	}
	is := dump(t, dir)
	for k, v := range was {
		if is[k] != v {
			t.Errorf("%q has changed", k)
		}
	}
	if len(is) != len(was) || len(was) < 20 {
		t.Errorf("%d records, were %d", len(is), len(was))
	}
	info, err := os.Stat(filepath.Join(dir, factsFile))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != after {
		t.Errorf("%v, %v", info, err)
	}
	if s, err = Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("compacted nothing")
	}
}

// TestPrune: votes and outputs without a verdict go, in several transactions;
// verdicts with their outputs, and other orders, stay.
func TestPrune(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "data"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	order := sampleVote(1, 1, "a").Order
	const tasks = pruneBatch/2 + 500
	for task := range uint64(tasks) {
		for worker := range byte(2) {
			text := string(rune('a' + int(worker)))
			if err := s.PutVote(sampleVote(task, worker, text), []byte(text), func(Put, error) {}); err != nil {
				t.Fatal(err)
			}
		}
	}
	accepted := sampleVote(3, 1, "b")
	if err := s.PutVerdict(Verdict{Order: order, Task: 3, Outcome: accepted.Outcome(), Agree: 1}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Prune(order); n != 0 || err != nil {
		t.Errorf("%d votes of an order that goes on are removed: %v", n, err)
	}
	if err := s.PutEnded(order, time.Now(), func(error) {}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Prune(order); n != 2*tasks || err != nil {
		t.Errorf("%d votes are removed, want %d: %v", n, 2*tasks, err)
	}
	if page, err := s.VotesOf(order, 0, 1); len(page) != 0 || err != nil {
		t.Errorf("%d votes are left, %v", len(page), err)
	}
	page, err := s.Results(order, 0, 10, 1<<20)
	if err != nil || len(page) != 1 || string(page[0].Output) != "b" {
		t.Errorf("%+v, %v", page, err)
	}
	outputs := 0
	if err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketOutputs).ForEach(func(k, v []byte) error { outputs++; return nil })
	}); err != nil || outputs != 1 {
		t.Errorf("%d outputs are left, %v", outputs, err)
	}
	if err := s.Ended(func(e Ended) error {
		if e.Order != order || !e.Pruned {
			t.Errorf("%+v", e)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
