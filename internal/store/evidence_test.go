package store

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// TestWithdraw: a verdict by credibility keeps what lost, is found by who is
// behind it, and gives way to one of a later round.
func TestWithdraw(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	order := canon.Sum([]byte("order"))
	a, b := sampleVote(1, 1, "lie"), sampleVote(1, 2, "right")
	put(t, s, a, "lie")
	put(t, s, b, "right")
	first := Verdict{Order: order, Task: 1, Outcome: a.Outcome(), Agree: 1, Evidence: &Evidence{DoubtPPB: 900, At: time.UnixMilli(1000),
		Behind: []wire.Key{a.Worker}, Caught: []wire.Key{b.Worker}}}
	putVerdictNow(t, s, first)
	page, err := s.Behind(a.Worker, nil, 9)
	if err != nil || len(page) != 1 || !reflect.DeepEqual(page[0].Verdict, first) || len(page[0].Votes) != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	if more, err := s.Behind(a.Worker, &first, 9); err != nil || len(more) != 0 {
		t.Fatalf("after the last: %+v, %v", more, err)
	}
	done := make(chan error, 1)
	if err := s.Withdraw(order, 1, 0, func(err error) { done <- err }); err != nil || <-done != nil {
		t.Fatal(err)
	}
	if page, err := s.Behind(a.Worker, nil, 9); err != nil || len(page) != 0 {
		t.Fatalf("%+v, %v", page, err)
	}
	second := Verdict{Order: order, Task: 1, Outcome: b.Outcome(), Agree: 1, Evidence: &Evidence{DoubtPPB: 1, Round: 1, At: time.UnixMilli(2000), Behind: []wire.Key{b.Worker}}}
	putVerdictNow(t, s, second)
	results, err := s.Results(order, 0, 9, 1000)
	if err != nil || len(results) != 1 || string(results[0].Output) != "right" || !reflect.DeepEqual(results[0].Verdict, second) {
		t.Fatalf("%+v, %v", results, err)
	}
	var all []Withdrawal
	if err := s.Withdrawals(func(w Withdrawal) error { all = append(all, w); return nil }); err != nil || len(all) != 1 || all[0] != (Withdrawal{order, 1, 1}) {
		t.Fatalf("%+v, %v", all, err)
	}
}

// TestDamagedEvidence: every cut of a record is an error, and no panic.
func TestDamagedEvidence(t *testing.T) {
	v := sampleVote(1, 1, "x")
	key := taskKey(v.Order, v.Task)
	evidence := &Evidence{Behind: []wire.Key{v.Worker}, Passed: []wire.Key{v.Worker}}
	for _, verdict := range []Verdict{
		{Outcome: v.Outcome(), Agree: 2, Evidence: evidence},
		{Undecided: true, Agree: 2, Evidence: evidence},
		{Undecided: true, Stopped: true, Evidence: &Evidence{Round: 1}},
	} {
		whole := encodeVerdict(verdict)
		back, err := decodeVerdict(key, whole)
		if err != nil || back.Undecided != verdict.Undecided || back.Stopped != verdict.Stopped || back.Evidence.Round != verdict.Evidence.Round {
			t.Fatalf("%+v is read as %+v (%v)", verdict, back, err)
		}
		for n := 3; n < len(whole); n++ {
			if _, err := decodeVerdict(key, whole[:n]); err == nil {
				t.Errorf("%d of %d bytes are taken", n, len(whole))
			}
		}
	}
}

// TestCredit: votes that won earn their fuel, of what was taken over the share
// of the rest; removing the votes changes nothing.
func TestCredit(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	right, wrong, late := sampleVote(1, 1, "right"), sampleVote(1, 2, "wrong"), sampleVote(1, 3, "right")
	right.From, late.From = 0, late.Segments/2
	for _, v := range []Vote{right, wrong, late} {
		put(t, s, v, "")
	}
	putVerdictNow(t, s, Verdict{Order: right.Order, Task: 1, Outcome: right.Outcome(), Agree: 2})
	put(t, s, sampleVote(2, 1, "open"), "")
	want := map[wire.Key]Credit{right.Worker: {right.Worker, 1, right.Fuel}, late.Worker: {late.Worker, 1, right.Fuel / 2}}
	if got, err := s.Credits(); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
	done := make(chan error, 1)
	if err := s.PutEnded(right.Order, time.UnixMilli(1), func(err error) { done <- err }); err != nil || <-done != nil {
		t.Fatal(err)
	}
	if n, err := s.Prune(right.Order); err != nil || n != 4 {
		t.Fatalf("%d, %v", n, err)
	}
	if got, err := s.Credits(); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("after the votes went: %v, %v; want %v", got, err, want)
	}
}

// TestLinks: the links of a task go with its verdict, unless transcripts differ,
// and otherwise with its votes.
func TestLinks(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "data"))
	defer closed(t, s)
	a, b := sampleVote(1, 1, "a"), sampleVote(2, 1, "a")
	other := sampleVote(2, 2, "b")
	other.Transcript = canon.Sum([]byte("other links"))
	for _, v := range []Vote{a, b, other} {
		done := make(chan error, 1)
		if err := s.PutLinks(&v, []byte{byte(v.Task), v.Worker[0]}, func(err error) { done <- err }); err != nil || <-done != nil {
			t.Fatal(err)
		}
		put(t, s, v, "")
	}
	for _, task := range []uint64{1, 2} {
		putVerdictNow(t, s, Verdict{Order: a.Order, Task: task, Outcome: a.Outcome(), Agree: 1})
	}
	late := sampleVote(1, 9, "late")
	late.Transcript = canon.Sum([]byte("late links"))
	done := make(chan error, 1)
	if err := s.PutLinks(&late, []byte("late"), func(err error) { done <- err }); err != nil || <-done != nil {
		t.Fatal(err)
	}
	look := func(want map[*Vote]string) {
		t.Helper()
		for v, links := range want {
			if got, err := s.Links(v.Order, v.Task, v.Transcript); err != nil || string(got) != links {
				t.Errorf("task %d, worker %d: %q, %v; want %q", v.Task, v.Worker[0], got, err, links)
			}
		}
	}
	look(map[*Vote]string{&a: "", &late: "", &b: "\x02\x01", &other: "\x02\x02"})
	if err := s.PutEnded(a.Order, time.UnixMilli(1), func(err error) { done <- err }); err != nil || <-done != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(a.Order); err != nil {
		t.Fatal(err)
	}
	look(map[*Vote]string{&b: "", &other: ""})
}
