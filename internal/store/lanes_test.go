package store

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

func sampleCheckpoint(task uint64, lane uint32, worker byte, segments uint32) (Checkpoint, []byte) {
	file := bytes.Repeat([]byte{byte(task), byte(lane), worker, byte(segments)}, 25)
	return Checkpoint{Order: canon.Sum([]byte("order")), Task: task, Lane: lane, Worker: wire.Key{worker}, Net: netip.MustParsePrefix("10.1.2.0/24"),
		Segments: segments, File: canon.Sum(file)}, file
}

// putCheckpointNow stores a checkpoint and waits.
func putCheckpointNow(t *testing.T, s *Store, c Checkpoint, file []byte) bool {
	t.Helper()
	type result struct {
		kept bool
		err  error
	}
	told := make(chan result, 1)
	if err := s.PutCheckpoint(c, file, func(kept bool, err error) { told <- result{kept, err} }); err != nil {
		t.Fatal(err)
	}
	r := <-told
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.kept
}

func checkpoints(t *testing.T, s *Store) (all []Checkpoint) {
	t.Helper()
	if err := s.Checkpoints(func(c Checkpoint) error { all = append(all, c); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// onDisk counts checkpoint files, and checks that the store counts them too.
func onDisk(t *testing.T, s *Store) (n int) {
	t.Helper()
	entries, err := os.ReadDir(s.files.dir)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := s.CheckpointBytes(); now != int64(100*len(entries)) {
		t.Errorf("the store counts %d bytes in %d files of 100", now, len(entries))
	}
	return len(entries)
}

func has(t *testing.T, s *Store, d canon.Digest) bool {
	t.Helper()
	_, err := s.CheckpointFile(d)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// TestCheckpointsOfALane: the furthest is there, what the lane has passed and all
// authors are, and a restart changes nothing.
func TestCheckpointsOfALane(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	a, fileA := sampleCheckpoint(7, 2, 1, 4)
	b, fileB := sampleCheckpoint(7, 2, 2, 9)
	late, lateFile := sampleCheckpoint(7, 2, 3, 9)
	other, otherFile := sampleCheckpoint(7, 3, 4, 1)
	for i, put := range []struct {
		c    Checkpoint
		file []byte
		kept bool
		n    int
	}{{a, fileA, true, 1}, {a, fileA, true, 1}, {b, fileB, true, 2}, {late, lateFile, false, 2}, {a, fileA, false, 2}, {other, otherFile, true, 3}} {
		if kept := putCheckpointNow(t, s, put.c, put.file); kept != put.kept || onDisk(t, s) != put.n {
			t.Errorf("checkpoint %d: kept %v, %d files", i, kept, onDisk(t, s))
		}
	}
	for range 2 {
		if got := checkpoints(t, s); len(got) != 3 || got[0] != a || got[1] != b || got[2] != other {
			t.Errorf("%+v", got)
		}
		if !has(t, s, a.File) || !has(t, s, b.File) || !has(t, s, other.File) || onDisk(t, s) != 3 {
			t.Error("the wrong files are there")
		}
		closed(t, s)
		// What a crash left.
		if err := os.WriteFile(filepath.Join(dir, fileDir, canon.Sum(nil).String()), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fileDir, "x.new"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	if err := os.WriteFile(s.files.path(b.File), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if has(t, s, b.File) {
		t.Error("a file that has changed is read")
	}
	closed(t, s)
}

// TestVerdictRemovesCheckpoints: and one that comes behind is not kept.
func TestVerdictRemovesCheckpoints(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	for task := range uint64(3) {
		for lane := range uint32(2) {
			c, file := sampleCheckpoint(task, lane, 1, 5)
			putCheckpointNow(t, s, c, file)
		}
	}
	putVerdictNow(t, s, Verdict{Order: canon.Sum([]byte("order")), Task: 1, Undecided: true})
	if n := len(checkpoints(t, s)); n != 4 || onDisk(t, s) != 4 {
		t.Errorf("%d records and %d files are left", n, onDisk(t, s))
	}
	if c, file := sampleCheckpoint(1, 5, 1, 5); putCheckpointNow(t, s, c, file) || onDisk(t, s) != 4 {
		t.Error("kept behind the verdict")
	}
	dropped := make(chan error, 1)
	if err := s.DropCheckpoints(canon.Sum([]byte("order")), func(err error) { dropped <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-dropped; err != nil || len(checkpoints(t, s)) != 0 || onDisk(t, s) != 0 {
		t.Errorf("%v, %+v", err, checkpoints(t, s))
	}
}

// TestCheckpointCap: no more bytes than allowed, across restarts.
func TestCheckpointCap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	opt := &Options{LockWait: 20 * time.Millisecond, CheckpointBytes: 250 * networkShare}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	for lane := range uint32(2) {
		c, file := sampleCheckpoint(1, lane, 1, 5)
		putCheckpointNow(t, s, c, file)
	}
	for range 2 {
		c, file := sampleCheckpoint(2, 0, 1, 5)
		if err := s.PutCheckpoint(c, file, func(bool, error) { t.Error("told") }); !errors.Is(err, ErrFull) || onDisk(t, s) != 2 {
			t.Errorf("over the cap: %v", err)
		}
		closed(t, s)
		if s, err = Open(dir, opt); err != nil {
			t.Fatal(err)
		}
	}
	// Another network has room, until all is full.
	for n := range byte(9) {
		c, file := sampleCheckpoint(3, uint32(n), n, 5)
		c.Net = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, n / 2, 0}), 24)
		err := s.PutCheckpoint(c, file, func(bool, error) {})
		if full := n == 8; full != errors.Is(err, ErrFull) {
			t.Errorf("checkpoint %d of other networks: %v", n, err)
		}
	}
	putVerdictNow(t, s, Verdict{Order: canon.Sum([]byte("order")), Task: 1, Undecided: true})
	if c, file := sampleCheckpoint(2, 0, 1, 5); !putCheckpointNow(t, s, c, file) {
		t.Error("not kept although there is room")
	}
	closed(t, s)
}

// TestCheckpointWhileClosing: a checkpoint that is kept is not lost because it is
// offered again to a store that closes; one that is not kept is gone at the next start.
func TestCheckpointWhileClosing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	c, file := sampleCheckpoint(1, 0, 1, 5)
	putCheckpointNow(t, s, c, file)
	closed(t, s)
	fresh, other := sampleCheckpoint(1, 0, 1, 6)
	for _, again := range []struct {
		c    Checkpoint
		file []byte
	}{{c, file}, {fresh, other}} {
		if err := s.PutCheckpoint(again.c, again.file, func(bool, error) { t.Error("told") }); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed store: %v", err)
		}
	}
	s = open(t, dir)
	defer closed(t, s)
	if !has(t, s, c.File) || has(t, s, fresh.File) || onDisk(t, s) != 1 {
		t.Errorf("kept: %v, not kept: %v, files: %d", has(t, s, c.File), has(t, s, fresh.File), onDisk(t, s))
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	c, _ := sampleCheckpoint(1, 2, 3, 4)
	value, err := encodeAuthor(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(laneKey(c.Order, c.Task, c.Lane), c.Worker[:]...), value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		c, err := decodeAuthor(key, value)
		if err != nil {
			return
		}
		again, err := encodeAuthor(c)
		if err != nil || !bytes.Equal(again[:authorFixed], value[:authorFixed]) {
			t.Fatalf("decoded %+v, encoded differently (%v)", c, err)
		}
	})
}

// TestStates: of what lanes have passed, eight are kept of a task, well spread;
// they go with the verdict, unless transcripts differ, and then with the votes.
func TestStates(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	order := canon.Sum([]byte("order"))
	for task := range uint64(2) {
		for n := range uint32(40) {
			c, file := sampleCheckpoint(task, 0, 1, n+1)
			putCheckpointNow(t, s, c, file)
		}
		all, err := s.States(order, task)
		if err != nil || len(all) != maxStates+1 || all[maxStates].Segments != 40 {
			t.Fatalf("%+v, %v", all, err)
		}
		last := uint32(0)
		for _, c := range all {
			if c.Segments-last > 16 || !has(t, s, c.File) {
				t.Errorf("%d segments behind %d", c.Segments, last)
			}
			last = c.Segments
		}
	}
	for i := range byte(2) { // task 1 is disputed
		v := Vote{Vote: wire.Vote{Order: order, Task: 1, Transcript: canon.Digest{i}}, Worker: wire.Key{i}}
		told := make(chan error, 1)
		if err := s.PutLinks(&v, []byte{i}, func(err error) { told <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-told; err != nil {
			t.Fatal(err)
		}
	}
	for task, want := range []int{0, maxStates} {
		putVerdictNow(t, s, Verdict{Order: order, Task: uint64(task), Undecided: true})
		if all, err := s.States(order, uint64(task)); err != nil || len(all) != want {
			t.Errorf("task %d: %d are left, %v", task, len(all), err)
		}
	}
	if n := onDisk(t, s); n != maxStates {
		t.Errorf("%d files are left", n)
	}
}
