package hub

import (
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// outputsOrder follows another order and takes its outputs.
func (h *testHub) outputsOrder(prev *release.Order, perTask int64, permille int) *release.Order {
	h.t.Helper()
	st, err := prev.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	o := h.rangeOrder(1)
	o.After = &release.After{Order: canon.Sum(st), Permille: permille}
	o.Input = release.Input{Outputs: &release.Outputs{Tasks: int64(prev.Tasks()), PerTask: perTask}}
	return o
}

// TestChain: map, reduce and reduce again run through, restarts between them.
func TestChain(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	first := h.rangeOrder(5)
	second := h.outputsOrder(first, 2, 1000)
	third := h.outputsOrder(second, 10, 1000)
	for _, o := range []*release.Order{first, second, third} {
		h.submit(o, "")
	}
	a, b, c := third.After.Order, second.After.Order, idOf(t, third)
	if s := h.order(a).State; s != "queued" {
		t.Errorf("the second order is %s", s)
	}
	if status, code := h.do("GET", "/v1/orders/"+a.String()+"/input", "", "", nil); code != wire.CodeNotFound {
		t.Errorf("inputs that are not gathered: %d %s", status, code)
	}
	answer := func(l *wire.Lease) string { return "[" + string(l.Input) + "]" }
	h.volunteer(1, 4, answer)
	h.volunteer(2, 4, answer)
	h.done(b)
	h.done(a)
	h.restart()
	if s := h.order(a).State; s != "done" {
		t.Errorf("after a restart: %s", s)
	}
	h.volunteer(1, 4, answer)
	h.volunteer(2, 4, answer)
	h.done(c)
	got := h.resultLines(c, "")
	want := "[[[1 2\n][2 3\n]][[3 4\n][4 5\n]][[5 6\n]]]"
	if len(got) != 1 || string(got[0].Output) != want {
		t.Errorf("%+v, want %q", got, want)
	}
	file := h.body("/v1/orders/" + a.String() + "/input")
	h.restart()
	if string(h.body("/v1/orders/"+a.String()+"/input")) != string(file) {
		t.Error("the gathered inputs have changed")
	}
}

// TestGatherTooLong: outputs that do not fit stop the order, and say why.
func TestGatherTooLong(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	first := h.rangeOrder(3)
	second := h.outputsOrder(first, 3, 1000)
	h.submit(first, "")
	d := h.submit(second, "")
	long := func(*wire.Lease) string { return strings.Repeat("x", 30000) }
	h.volunteer(1, 4, long)
	h.volunteer(2, 4, long)
	eventually(t, "the order is stopped", func() bool { return h.order(d).State == "stopped" })
	if r := h.order(d).Reason; !strings.Contains(r, "longer than 65536 bytes") {
		t.Errorf("reason %q", r)
	}
}

// TestFollowRefused: an order that follows nothing, or counts wrongly.
func TestFollowRefused(t *testing.T) {
	h := startHub(t, Options{})
	first := h.rangeOrder(3)
	h.refused(h.outputsOrder(first, 3, 1000), wire.CodeUnknownOrder)
	h.submit(first, "")
	o := h.outputsOrder(first, 3, 1000)
	o.Input.Outputs.Tasks = 4
	h.refused(o, wire.CodeInput)
}

func (h *testHub) refused(o *release.Order, want string) {
	h.t.Helper()
	st, sig, err := o.Sign(seeded(h.t, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	if status, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}); code != want {
		h.t.Errorf("%d %s, want %s", status, code, want)
	}
}

func idOf(t *testing.T, o *release.Order) canon.Digest {
	t.Helper()
	st, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return canon.Sum(st)
}

func (h *testHub) done(d canon.Digest) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("order %s is done", d.Short()), func() bool { return h.order(d).State == "done" })
}
