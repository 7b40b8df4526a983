package hub

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// TestRetention: votes of an order that ended go after their time, and nothing
// else; results are the same, after a restart too, and the check knows.
func TestRetention(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true, KeepFinished: 30 * 24 * time.Hour})
	done := h.submit(h.rangeOrder(20), "")
	liar := 0
	for n := range 4 {
		h.volunteer(n, 4, func(l *wire.Lease) string {
			if n == liar {
				return fmt.Sprint("a lie about ", l.Task)
			}
			return honest(l)
		})
	}
	eventually(t, "the order is done", func() bool { return h.order(done).State == "done" })
	results := h.resultLines(done, "")
	h.restart()
	h.clock.advance(29 * 24 * time.Hour) // an order lives for a day
	open := h.submit(h.rangeOrder(5), "")
	w := h.join(9)
	l := w.want(1)
	w.send(w.result(l, honest(l)))
	eventually(t, "a vote on the other order", func() bool { return h.order(open).Votes == 1 })
	votes := h.Status().Votes
	if votes < 41 {
		t.Fatalf("%d votes", votes)
	}
	h.pruned()
	if got := h.Status().Votes; got != votes {
		t.Errorf("%d votes a day before, want %d", got, votes)
	}
	h.clock.advance(25 * time.Hour)
	h.pruned()
	for range 2 {
		if got := h.Status().Votes; got != 1 {
			t.Errorf("%d votes are left, want that of the other order", got)
		}
		if info := h.order(done); info.State != "done" || info.Votes != 0 || info.Accepted != 20 {
			t.Errorf("%+v", info)
		}
		if got := h.resultLines(done, ""); !reflect.DeepEqual(got, results) {
			t.Error("the results are others")
		}
		h.restart()
	}
	h.end()
	report, err := Check(h.opt.Data, true)
	if err != nil || len(report.Problems) != 0 || report.Pruned != 1 || report.Votes != 1 || report.Verdicts != 20 {
		t.Errorf("%+v, %v", report, err)
	}
	s, err := store.Open(h.opt.Data, &store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if page, err := s.VotesOf(done, 0, 10); err != nil || len(page) != 0 {
		t.Errorf("%d votes, %v", len(page), err)
	}
}

func (h *testHub) pruned() {
	h.t.Helper()
	if err := h.store.Sync(); err != nil {
		h.t.Fatal(err)
	}
	if err := h.prune(); err != nil {
		h.t.Fatal(err)
	}
}

// TestRetentionIsLongEnough: not shorter than results may come.
func TestRetentionIsLongEnough(t *testing.T) {
	_, err := New(context.Background(), Options{Data: t.TempDir() + "/data", Root: rootOf(t), Policies: policyOf(t, 1, seeded(t, 1).Public()), KeepFinished: MinKeep - 1})
	if err == nil || !strings.Contains(err.Error(), "results of what they lent may come") {
		t.Errorf("%v", err)
	}
}
