package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// decide stores a vote and a verdict on it, which can be withdrawn.
func decide(t testing.TB, s *Store, task uint64, output string, round uint32) {
	t.Helper()
	v := sampleVote(task, byte(round)+1, output)
	put(t, s, v, output)
	wait(t, func(done func(error)) error {
		return s.PutVerdict(Verdict{Order: v.Order, Task: task, Outcome: v.Outcome(), Agree: 1, Evidence: &Evidence{Round: round, At: v.At, Behind: []wire.Key{v.Worker}}}, done)
	})
}

func wait(t testing.TB, f func(done func(error)) error) {
	t.Helper()
	c := make(chan error, 1)
	if err := f(func(err error) { c <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-c; err != nil {
		t.Fatal(err)
	}
}

func withdraw(s *Store, task uint64, done func(error)) error {
	return s.Withdraw(canon.Sum([]byte("order")), task, 0, func(gone *Verdict, err error) {
		if gone == nil || gone.Task != task {
			err = fmt.Errorf("withdrawn was %+v, %w", gone, err)
		}
		done(err)
	})
}

// read returns all that was decided after a cursor, in pages of n.
func read(t testing.TB, s *Store, after uint64, n int) (lines []string, cursor uint64) {
	t.Helper()
	for {
		page, next, err := s.DecidedAfter(canon.Sum([]byte("order")), after, n, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			line := fmt.Sprintf("%d: %d %s round %d", d.Seq, d.Task, d.Output, d.Round)
			if d.Withdrawn {
				line = fmt.Sprintf("%d: %d withdrawn", d.Seq, d.Task)
			}
			lines = append(lines, line)
		}
		if next == after {
			return lines, after
		}
		after = next
	}
}

// TestDecided: a reader gets what was decided in its order, from wherever it was,
// over withdrawals, audits, restarts and compaction, and nothing that holds no more.
func TestDecided(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	order := canon.Sum([]byte("order"))
	for _, task := range []uint64{7, 2, 300, 5} {
		decide(t, s, task, fmt.Sprint("of ", task), 0)
	}
	decide(t, s, 7, "again", 0) // it has a verdict
	for _, n := range []int{1, 2, 100} {
		got, cursor := read(t, s, 0, n)
		if want := []string{"1: 7 of 7 round 0", "2: 2 of 2 round 0", "3: 300 of 300 round 0", "4: 5 of 5 round 0"}; !slices.Equal(got, want) || cursor != 4 {
			t.Errorf("%q, then %d", got, cursor)
		}
	}
	wait(t, func(done func(error)) error { return withdraw(s, 2, done) })
	if got, _ := read(t, s, 4, 100); !slices.Equal(got, []string{"5: 2 withdrawn"}) {
		t.Errorf("after a withdrawal: %q", got)
	}
	wait(t, func(done func(error)) error { return withdraw(s, 5, done) })
	decide(t, s, 5, "better", 1)
	vote := sampleVote(300, 1, "of 300")
	audit := Verdict{Order: order, Task: 300, Outcome: vote.Outcome(), Agree: 1,
		Evidence: &Evidence{At: time.UnixMilli(1), Audit: &Signed{Statement: []byte("audit")}}}
	wait(t, func(done func(error)) error { return s.PutAudit(audit, []byte("of 300"), done) })
	closed(t, s)
	if _, _, err := Compact(dir); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer closed(t, s)
	want := []string{"1: 7 of 7 round 0", "5: 2 withdrawn", "7: 5 better round 1", "8: 300 of 300 round 0"}
	for after := range uint64(10) {
		var rest []string
		for _, line := range want {
			if line[0]-'0' > byte(after) {
				rest = append(rest, line)
			}
		}
		if got, _ := read(t, s, after, 1); !slices.Equal(got, rest) {
			t.Errorf("after %d: %q, want %q", after, got, rest)
		}
	}
	if last, err := s.LastDecision(order); err != nil || last != 8 {
		t.Errorf("the last is %d, %v", last, err)
	}
	decide(t, s, 1000, "x", 0)
	if got, _ := read(t, s, 8, 1); !slices.Equal(got, []string{"9: 1000 x round 0"}) {
		t.Errorf("after compaction: %q", got)
	}
}

// TestMigrateDecided: a store of before there was an order of decision gets one,
// also if it is interrupted, and its verdicts are the same.
func TestMigrateDecided(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	for _, task := range []uint64{7, 2, 300} {
		decide(t, s, task, fmt.Sprint("of ", task), 0)
	}
	wait(t, func(done func(error)) error { return withdraw(s, 7, done) })
	decide(t, s, 7, "other", 1)
	older := func(leave bool) {
		t.Helper()
		if err := s.db.Update(func(tx *bolt.Tx) error {
			for _, name := range [][]byte{bucketDecided, bucketTimeline, bucketPauses} {
				if leave && string(name) == string(bucketDecided) {
					continue // numbered, and not said so
				}
				if err := tx.DeleteBucket(name); err != nil {
					return err
				}
			}
			return tx.Bucket(bucketMeta).Put(keySchema, []byte("countersign-store/4"))
		}); err != nil {
			t.Fatal(err)
		}
		closed(t, s)
	}
	for _, interrupted := range []bool{false, true} {
		older(interrupted)
		if _, err := Open(dir, &Options{ReadOnly: true}); err == nil {
			t.Error("an old store is read as a new one")
		}
		s = open(t, dir)
		want := []string{"1: 2 of 2 round 0", "2: 7 other round 1", "3: 300 of 300 round 0"}
		if got, _ := read(t, s, 0, 2); !slices.Equal(got, want) {
			t.Errorf("interrupted %v: %q, want %q", interrupted, got, want)
		}
	}
	closed(t, s)
	if s, err := Open(dir, &Options{ReadOnly: true}); err != nil {
		t.Error(err)
	} else {
		closed(t, s)
	}
}

// TestTimeline: moments stay in order, none is there twice in a row, and the last are kept.
func TestTimeline(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	order := canon.Sum([]byte("order"))
	put := func(state string) {
		wait(t, func(done func(error)) error {
			return s.PutMoment(order, Moment{At: time.UnixMilli(5), State: state}, done)
		})
	}
	put("running")
	closed(t, s)
	s = open(t, dir)
	defer closed(t, s)
	put("running")
	put("paused")
	all, err := s.Timeline(order)
	if err != nil || len(all) != 2 || all[0].State != "running" || all[1].State != "paused" {
		t.Errorf("%+v, %v", all, err)
	}
	for i := range MaxMoments {
		put(fmt.Sprint(i))
	}
	if all, err = s.Timeline(order); err != nil || len(all) != MaxMoments || all[MaxMoments-1].State != fmt.Sprint(MaxMoments-1) {
		t.Errorf("%d moments, %v", len(all), err)
	}
}

// FuzzDecision: what is read from the disk is written so.
func FuzzDecision(f *testing.F) {
	f.Add(encodeDecision(Decision{7, 1, true, true}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDecision(make([]byte, 8), data)
		if err != nil {
			return
		}
		if again, err := decodeDecision(make([]byte, 8), encodeDecision(d)); err != nil || again != d {
			t.Errorf("%+v, then %+v, %v", d, again, err)
		}
	})
}
