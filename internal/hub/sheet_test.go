package hub

import (
	"bytes"
	"context"
	"testing"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// several takes n leases and sends votes on them in one frame, which spoil may
// change.
func (w *worker) several(n int, spoil func([]*wire.Result)) {
	w.t.Helper()
	w.send(&wire.Want{Leases: uint32(n)})
	var results []*wire.Result
	for range n {
		l := await[*wire.Lease](w)
		v := voteFor(l, honest(l))
		results = append(results, &wire.Result{Vote: v, Output: []byte(honest(l)), Links: v.Transcript[:]})
	}
	frame, err := wire.ResultFrame(results, w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	if spoil != nil { // after signing
		sheet := frame[bytes.LastIndexByte(frame, '\n'):]
		spoil(results)
		for _, r := range results {
			r.Seal = wire.Seal{}
		}
		all := make([]wire.FromWorker, len(results))
		for i, r := range results {
			all[i] = r
		}
		if frame, err = wire.Frame(all...); err != nil {
			w.t.Fatal(err)
		}
		frame = append(frame, sheet...)
	}
	if err := w.conn.Write(context.Background(), websocket.MessageText, frame); err != nil {
		w.t.Fatal(err)
	}
}

// TestSheets: votes that one signature signs count each, are on disk each with
// what shows that its worker signed it, and stand on their own afterwards.
func TestSheets(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	o := h.rangeOrder(4)
	o.Redundancy.Vote = &release.Vote{Agree: 2, Of: 3}
	d := h.submit(o, "")
	for n := range 2 {
		w := h.join(n)
		w.several(4, nil)
		for range 4 {
			await[*wire.Ack](w)
		}
	}
	eventually(t, "four results", func() bool { return len(h.resultLines(d, "")) == 4 })
	h.restart()
	votes := 0
	err := h.store.Votes(func(v store.Vote) error {
		votes++
		if v.Seal.Place == nil || v.Seal.Place.Votes != 4 {
			t.Errorf("task %d is sealed as %+v", v.Task, v.Seal)
		}
		return wire.VerifyVote(&v.Vote, v.Worker, v.Seal)
	})
	if err != nil || votes != 8 {
		t.Errorf("%d votes (%v)", votes, err)
	}
}

// TestSheetsThatLie: a vote that the sheet does not sign ends the connection, and
// none of its frame is taken.
func TestSheetsThatLie(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(4), "")
	for name, spoil := range map[string]func([]*wire.Result){
		"fuel":  func(all []*wire.Result) { all[2].Vote.Fuel++ },
		"order": func(all []*wire.Result) { all[0], all[1] = all[1], all[0] },
	} {
		w := h.join(len(name))
		w.several(3, spoil)
		if e := await[*wire.Error](w); e.Code != wire.CodeVoteSignature {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if n := h.stored.Load(); n != 0 {
		t.Errorf("%d votes were taken", n)
	}
}

// TestTokensAreShared: leases of one frame and order have one token, which is
// good for each of them.
func TestTokensAreShared(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(40), "")
	other := h.rangeOrder(40)
	other.Title = "other"
	h.submit(other, "")
	w := h.join(1)
	w.several(4, nil) // a worker that has voted may hold more
	w.send(&wire.Want{Leases: 8})
	tokens := map[string]bool{}
	for range 8 {
		l := await[*wire.Lease](w)
		tokens[l.Token] = true
		if got, err := h.tokens.readLease(l.Token, l.ID); err != nil || got.Order != l.Order || got.Task != l.Task || got.Lane != l.Lane || got.Worker != w.id {
			t.Errorf("lease %s of task %d: its token says %+v, %v", l.ID, l.Task, got, err)
		}
		if _, err := h.tokens.readLease(l.Token, wire.LeaseID{1}); err == nil {
			t.Error("the token is good for any lease")
		}
	}
	if len(tokens) > 4 {
		t.Errorf("8 leases have %d tokens", len(tokens))
	}
}
