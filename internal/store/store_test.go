package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, &Options{LockWait: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func sampleVote(task uint64, worker byte, output string) Vote {
	return Vote{Vote: wire.Vote{Type: wire.VoteType, Order: canon.Sum([]byte("order")), Task: task, Lane: 3, Lease: wire.LeaseID{1, worker},
		Module: canon.Sum([]byte("module")), Input: canon.Sum([]byte("input")), End: wire.EndExit, Code: 2, Fuel: 1 << 52,
		Output: canon.Sum([]byte(output)), Segments: 1 << 14, Transcript: canon.Sum([]byte("links")), From: 9}, Worker: wire.Key{worker}, Seal: wire.Seal{Signature: wire.Signature{9}}, Net: netip.MustParsePrefix("10.1.2.0/24"),
		At: time.UnixMilli(1_800_000_000_123)}
}

// put stores a vote and waits.
func put(t testing.TB, s *Store, v Vote, output string) Put {
	t.Helper()
	type result struct {
		Put
		error
	}
	c := make(chan result, 1)
	if err := s.PutVote(v, []byte(output), func(p Put, err error) { c <- result{p, err} }); err != nil {
		t.Fatal(err)
	}
	r := <-c
	if r.error != nil {
		t.Fatal(r.error)
	}
	return r.Put
}

func putVerdictNow(t testing.TB, s *Store, v Verdict) {
	t.Helper()
	c := make(chan error, 1)
	if err := s.PutVerdict(v, func(err error) { c <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-c; err != nil {
		t.Fatal(err)
	}
}

func votes(t testing.TB, s *Store) (all []Vote) {
	t.Helper()
	if err := s.Votes(func(v Vote) error { all = append(all, v); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	key := s.Key()
	at := time.UnixMilli(1_800_000_000_000)
	for i, text := range []string{"first", "second"} {
		st := Statement{Bytes: []byte(text), Signature: []byte("sig " + text), At: at, Input: canon.Digest{byte(i)}}
		if fresh, err := s.PutStatement(Order, st); err != nil || !fresh {
			t.Fatal(fresh, err)
		}
		if fresh, err := s.PutStatement(Order, st); err != nil || fresh {
			t.Fatal(fresh, err)
		}
	}
	kills := []Kill{{Scope: wire.KillAll, Reason: "stop", Operator: "me", At: at.UTC()}, {Scope: wire.KillAll, Resume: true, At: at.UTC()}}
	for _, k := range kills {
		if err := s.PutKill(k); err != nil {
			t.Fatal(err)
		}
	}
	a, b := sampleVote(7, 1, "out"), sampleVote(7, 2, "out")
	b.Net = netip.MustParsePrefix("2001:db8:1::/48")
	b.End, b.Code = wire.EndTrap, 0
	put(t, s, a, "out")
	put(t, s, b, "out")
	verdict := Verdict{Order: a.Order, Task: 7, Outcome: a.Outcome(), Agree: 2}
	putVerdictNow(t, s, verdict)
	lost := Verdict{Order: a.Order, Task: 8, Undecided: true, Agree: 1}
	putVerdictNow(t, s, lost)
	blob, err := s.PutBlob([]byte("blob"))
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)

	s = open(t, dir)
	defer closed(t, s)
	if !key.Equal(s.Key()) {
		t.Error("the key has changed")
	}
	seen := map[string]uint64{}
	if err := s.Statements(Order, func(st Statement) error {
		seen[string(st.Bytes)] = st.Seq
		if string(st.Signature) != "sig "+string(st.Bytes) || !st.At.Equal(at) || st.Digest != canon.Sum(st.Bytes) {
			t.Errorf("statement %+v", st)
		}
		if st.Seq == 2 && st.Input != (canon.Digest{1}) {
			t.Errorf("input %s", st.Input)
		}
		return nil
	}); err != nil || seen["first"] != 1 || seen["second"] != 2 || len(seen) != 2 {
		t.Errorf("%v, %v", seen, err)
	}
	var back []Kill
	if err := s.Kills(func(k Kill) error { back = append(back, k); return nil }); err != nil || len(back) != 2 || back[0] != kills[0] || back[1] != kills[1] {
		t.Errorf("%+v, %v", back, err)
	}
	if got := votes(t, s); len(got) != 2 || !sameVote(got[0], a) || !sameVote(got[1], b) {
		t.Errorf("votes\n%+v\nwant\n%+v\n%+v", got, a, b)
	}
	var verdicts []Verdict
	if err := s.Verdicts(func(v Verdict) error { verdicts = append(verdicts, v); return nil }); err != nil || len(verdicts) != 2 || verdicts[0] != verdict || verdicts[1] != lost {
		t.Errorf("%+v, %v", verdicts, err)
	}
	if data, err := s.Blob(blob, 4); err != nil || string(data) != "blob" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := s.Blob(blob, 3); err == nil {
		t.Error("a blob over the limit was read")
	}
}

func sameVote(a, b Vote) bool {
	if !a.At.Equal(b.At) {
		return false
	}
	a.At = b.At
	return a == b
}

func TestFirstVoteStays(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	first := sampleVote(1, 1, "a")
	if p := put(t, s, first, "a"); p != Stored {
		t.Errorf("first: %v", p)
	}
	again := first
	again.Lane, again.Lease = 5, wire.LeaseID{77}
	if p := put(t, s, again, "a"); p != Same {
		t.Errorf("again: %v", p)
	}
	if p := put(t, s, sampleVote(1, 1, "b"), "b"); p != Conflict {
		t.Errorf("otherwise: %v", p)
	}
	if got := votes(t, s); len(got) != 1 || !sameVote(got[0], first) {
		t.Errorf("%+v", got)
	}
}

func TestOutputs(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	order := canon.Sum([]byte("order"))
	for task := range uint64(3) {
		put(t, s, sampleVote(task, 1, "right"), "right")
		put(t, s, sampleVote(task, 2, "wrong"), "wrong")
	}
	won := Verdict{Order: order, Task: 1, Outcome: func() wire.Outcome { v := sampleVote(1, 1, "right"); return v.Outcome() }(), Agree: 2}
	putVerdictNow(t, s, won)
	putVerdictNow(t, s, Verdict{Order: order, Task: 1, Undecided: true}) // too late
	putVerdictNow(t, s, Verdict{Order: order, Task: 2, Undecided: true, Agree: 1})
	put(t, s, sampleVote(1, 3, "late"), "late")
	page, err := s.Results(order, 0, 10, 1000)
	if err != nil || len(page) != 2 || page[0].Verdict != won || string(page[0].Output) != "right" || !page[1].Undecided || page[1].Output != nil {
		t.Errorf("%+v, %v", page, err)
	}
	if page, err := s.Results(order, 2, 10, 1000); err != nil || len(page) != 1 || page[0].Task != 2 {
		t.Errorf("from 2: %+v, %v", page, err)
	}
	if page, err := s.Results(order, 0, 10, 5); err != nil || len(page) != 1 {
		t.Errorf("5 bytes: %+v, %v", page, err)
	}
	if page, err := s.Results(order, 0, 1, 1000); err != nil || len(page) != 1 {
		t.Errorf("one: %+v, %v", page, err)
	}
	kept := 0
	if err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketOutputs).ForEach(func(_, _ []byte) error { kept++; return nil })
	}); err != nil || kept != 3 {
		t.Errorf("%d outputs are kept (%v), want both of task 0 and the winner of task 1", kept, err)
	}
}

// TestGroupOrder: many writers at once are told in the order in which they
// submitted, each once, and everything is there afterwards.
func TestGroupOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	const writers, each = 16, 300
	var told [writers][]uint64
	var all sync.WaitGroup
	all.Add(writers * each)
	for w := range writers {
		go func() {
			for i := range uint64(each) {
				v := sampleVote(i, byte(w), "x")
				if err := s.PutVote(v, []byte("x"), func(p Put, err error) {
					if p != Stored || err != nil {
						t.Errorf("vote %d of %d: %v, %v", i, w, p, err)
					}
					told[w] = append(told[w], i)
					all.Done()
				}); err != nil {
					t.Error(err)
					all.Done()
				}
			}
		}()
	}
	all.Wait()
	for w := range told {
		for i, n := range told[w] {
			if uint64(i) != n {
				t.Fatalf("writer %d was told of %d as number %d", w, n, i)
			}
		}
	}
	closed(t, s)
	s = open(t, dir)
	defer closed(t, s)
	if got := len(votes(t, s)); got != writers*each {
		t.Errorf("%d votes, want %d", got, writers*each)
	}
}

// TestCloseWritesAll: what was submitted before Close is durable after it.
func TestCloseWritesAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	told := 0
	for i := range uint64(2000) {
		if err := s.PutVote(sampleVote(i, 1, "x"), nil, func(Put, error) { told++ }); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	if told != 2000 {
		t.Errorf("%d were told", told)
	}
	if err := s.PutVote(sampleVote(1, 2, "x"), nil, func(Put, error) { t.Error("told") }); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	s = open(t, dir)
	defer closed(t, s)
	if got := len(votes(t, s)); got != 2000 {
		t.Errorf("%d votes", got)
	}
}

// TestFailureStays: after a commit that fails nothing more is written, because
// it may follow from what was not.
func TestFailureStays(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	broken := errors.New("no space left")
	if err := s.group.wait(write{apply: func(*bolt.Tx) error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := s.PutStatement(Order, Statement{Bytes: []byte("x")}); !errors.Is(err, broken) {
		t.Errorf("afterwards: %v", err)
	}
	if err := s.Close(); !errors.Is(err, broken) {
		t.Errorf("close: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	base := t.TempDir()
	used := filepath.Join(base, "used")
	s := open(t, used)
	defer closed(t, s)
	loose := filepath.Join(base, "loose")
	if err := os.Mkdir(loose, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	spoil := func(name string, f func(dir string)) string {
		dir := filepath.Join(base, name)
		closed(t, open(t, dir))
		f(dir)
		return dir
	}
	future := spoil("future", func(dir string) {
		s := open(t, dir)
		if err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keySchema, []byte("countersign-store/9")) }); err != nil {
			t.Fatal(err)
		}
		closed(t, s)
	})
	openKey := spoil("openkey", func(dir string) {
		if err := os.Chmod(filepath.Join(dir, keyFile), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	badKey := spoil("badkey", func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("abc\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	for dir, want := range map[string]string{
		used: "another hub uses it", loose: "chmod 700", file: "not a directory", future: "schema", openKey: "chmod 600", badKey: "hex digits",
	} {
		s, err := Open(dir, &Options{LockWait: 20 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want an error with %q", dir, err, want)
		}
		if err == nil {
			closed(t, s)
		}
	}
	if _, err := Open(filepath.Join(base, "none"), &Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking at a store that is not there: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	if _, err := s.PutBlob([]byte("x")); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	defer closed(t, s)
	good, err := s.PutBlob([]byte("good"))
	if err != nil {
		t.Fatal(err)
	}
	bad, err := s.PutBlob([]byte("bad"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.blobs.path(bad), []byte("bat"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob(bad, 10); err == nil || !strings.Contains(err.Error(), "changed on disk") {
		t.Errorf("a changed blob: %v", err)
	}
	var names []string
	if n, err := s.CheckBlobs(func(name string, _ error) { names = append(names, name) }); n != 2 || err != nil || len(names) != 1 || names[0] != bad.String() {
		t.Errorf("%d blobs, bad %v, %v; good is %s", n, names, err, good)
	}
	if _, err := s.PutStatement(Release, Statement{Bytes: []byte("statement")}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketReleases)
		k, v := b.Cursor().First()
		v = bytes.Clone(v)
		v[len(v)-1]++
		return b.Put(k, v)
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Statements(Release, func(Statement) error { return nil }); err == nil {
		t.Error("a changed statement was read")
	}
}

// TestLeftovers: a crash in the middle of an upload leaves a file that the
// next start removes.
func TestLeftovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	w, err := s.CreateBlob()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	aborted, err := s.CreateBlob()
	if err != nil {
		t.Fatal(err)
	}
	if err := aborted.Abort(); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	defer closed(t, open(t, dir))
	files, err := os.ReadDir(filepath.Join(dir, blobDir))
	if err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
}

func FuzzDecodeVote(f *testing.F) {
	v := sampleVote(1, 2, "x")
	value, err := encodeVote(v)
	if err != nil {
		f.Fatal(err)
	}
	key := append(taskKey(v.Order, v.Task), v.Worker[:]...)
	f.Add(key, value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		v, err := decodeVote(key, value)
		if err != nil {
			return
		}
		again, err := encodeVote(v)
		if err != nil || !bytes.Equal(again[:voteFixed], value[:voteFixed]) {
			t.Fatalf("decoded %+v, encoded differently (%v)", v, err)
		}
	})
}

// BenchmarkVotes measures durable votes, from as many writers as a busy hub
// has sessions.
func BenchmarkVotes(b *testing.B) {
	for _, writers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "data"))
			defer closed(b, s)
			var next sync.Mutex
			n := uint64(0)
			var all sync.WaitGroup
			output := []byte("7328499434 -> 2,17,257,838693\n")
			digest := canon.Sum(output)
			b.ResetTimer()
			for range writers {
				all.Go(func() {
					for {
						next.Lock()
						i := n
						n++
						next.Unlock()
						if i >= uint64(b.N) {
							return
						}
						v := sampleVote(i*0x9e3779b97f4a7c15>>24, 1, "")
						binary.BigEndian.PutUint64(v.Worker[:], i)
						v.Output = digest
						put(b, s, v, string(output))
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "votes/s")
		})
	}
}

// TestVerdictsFromCallbacks: verdicts are submitted by the goroutine that tells
// writers. It must not wait for the room that it makes itself.
func TestVerdictsFromCallbacks(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	const n = 4 * maxQueue
	var all sync.WaitGroup
	all.Add(n)
	for w := range uint64(8) {
		go func() {
			for i := w; i < n; i += 8 {
				v := sampleVote(i, 1, "x")
				if err := s.PutVote(v, nil, func(Put, error) {
					if err := s.PutVerdict(Verdict{Order: v.Order, Task: v.Task, Outcome: v.Outcome(), Agree: 1}, func(error) { all.Done() }); err != nil {
						t.Error(err)
						all.Done()
					}
				}); err != nil {
					t.Error(err)
					all.Done()
				}
			}
		}()
	}
	told := make(chan struct{})
	go func() { all.Wait(); close(told) }()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("the store waits for itself")
	}
}

// TestVotesBeforeSheets: what was written when every vote was signed alone is read.
func TestVotesBeforeSheets(t *testing.T) {
	v := sampleVote(3, 1, "x")
	value, err := encodeVote(v)
	if err != nil {
		t.Fatal(err)
	}
	at := voteFixed // behind the time
	if value[at] != 0 {
		t.Fatalf("byte %d is %d, not of a vote without a sheet", at, value[at])
	}
	before := append([]byte{2}, append(bytes.Clone(value[1:at]), value[at+1:]...)...)
	key := append(taskKey(v.Order, v.Task), v.Worker[:]...)
	if got, err := decodeVote(key, before); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("read as %+v (%v), want %+v", got, err, v)
	}
	v.Seal.Place = &wire.Place{Votes: 5, Index: 2, Path: make([]byte, wire.PathSize(5, 2))}
	if value, err = encodeVote(v); err != nil {
		t.Fatal(err)
	}
	if got, err := decodeVote(key, value); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("on a sheet, read as %+v (%v), want %+v", got, err, v)
	}
	for n := range value[:len(value)-9] {
		if _, err := decodeVote(key, value[:n]); err == nil {
			t.Errorf("%d bytes of %d are a vote", n, len(value))
		}
	}
}
