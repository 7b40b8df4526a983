package hub

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/release"
)

func (h *testHub) pause(key keys.SecretKey, d canon.Digest, sequence uint64, paused bool) (status int, code string) {
	h.t.Helper()
	p := release.NewPause(d, paused, "looking at it", h.clock.now())
	p.Sequence = sequence
	st, sig, err := p.Sign(key)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.post("/v1/pauses", part{"statement", st}, part{"signature", sig})
}

// TestPause: a pause reaches workers at once, what was on its way is taken, it
// holds over a restart, and no old word ends it.
func TestPause(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	a, b := h.join(1), h.join(2)
	la, lb := a.want(1), b.want(1)
	key := seeded(t, 1)
	if _, code := h.pause(seeded(t, 2), order, 7, true); code != "signature_unknown_key" {
		t.Errorf("a stranger pauses: %s", code)
	}
	if _, code := h.pause(key, canon.Sum(nil), 7, true); code != wire.CodeUnknownOrder {
		t.Errorf("a pause of nothing: %s", code)
	}
	if status, code := h.pause(key, order, 7, true); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	for _, w := range []*worker{a, b} {
		if k := await[*wire.Kill](w); k.Scope != wire.KillOrder || k.Target != order.String() || k.Reason != "the order is paused: looking at it" {
			t.Errorf("%+v", k)
		}
	}
	if info := h.order(order); info.State != "paused" || info.Reason != "looking at it" || info.Leases != 0 {
		t.Errorf("%+v", info)
	}
	a.send(a.result(la, honest(la))) // it was done when the word came
	if ack := await[*wire.Ack](a); ack.Verdict != wire.Pending {
		t.Errorf("%+v", ack)
	}
	b.send(&wire.Return{ID: lb.ID, Reason: wire.ReturnKilled})
	h.restart()
	if info := h.order(order); info.State != "paused" || info.Votes != 1 {
		t.Errorf("after a restart: %+v", info)
	}
	c := h.join(3)
	c.send(&wire.Want{Leases: 1})
	next[*wire.Idle](c)
	for _, old := range []uint64{1, 6, 7} {
		if status, code := h.pause(key, order, old, false); code != "rollback" || status != http.StatusConflict {
			t.Errorf("number %d again: %d %s", old, status, code)
		}
	}
	if status, _ := h.pause(key, order, 8, false); status != http.StatusCreated {
		t.Error(status)
	}
	l := next[*wire.Lease](c)
	c.send(c.result(l, honest(l)))
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	h.end()
	if report, err := Check(h.opt.Data, true); err != nil || len(report.Problems) > 0 || report.Pauses != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestPauseAgain: the same statement again changes nothing, and is no error.
func TestPauseAgain(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	st, sig, err := release.NewPause(order, true, "x", h.clock.now()).Sign(seeded(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		if status, code := h.post("/v1/pauses", part{"statement", st}, part{"signature", sig}); status != want {
			t.Errorf("%d %s, want %d", status, code, want)
		}
	}
}

// TestOperatorPause: researcher and operator each have a word of their own.
func TestOperatorPause(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(3), "")
	token := h.mint(Grant{Role: "operator", Subject: "test", Life: time.Hour})
	say := func(paused bool) {
		t.Helper()
		body, err := json.Marshal(wire.PauseRequest{Order: order, Paused: paused, Reason: "too warm"})
		if err != nil {
			t.Fatal(err)
		}
		if status, code := h.do("POST", "/v1/pause", "application/json", token, strings.NewReader(string(body))); status != http.StatusNoContent {
			t.Fatalf("%d %s", status, code)
		}
	}
	state := func(want string) {
		t.Helper()
		if info := h.order(order); info.State != want {
			t.Errorf("%s, want %s", info.State, want)
		}
	}
	say(true)
	state("paused")
	h.pause(seeded(t, 1), order, 1, false)
	state("paused") // a researcher does not end an operator's pause
	h.restart()
	state("paused")
	h.pause(seeded(t, 1), order, 2, true)
	say(false)
	state("paused") // nor an operator a researcher's
	h.pause(seeded(t, 1), order, 3, false)
	state("running")
	h.restart()
	state("running")
	if status, code := h.stop(seeded(t, 1), "order", order); status != http.StatusCreated {
		t.Fatal(status, code)
	}
	say(true)
	state("stopped")
	body := strings.NewReader(`{"order":"` + canon.Sum(nil).String() + `","paused":true,"reason":"x"}`)
	if _, code := h.do("POST", "/v1/pause", "application/json", token, body); code != wire.CodeUnknownOrder {
		t.Error(code)
	}
}
