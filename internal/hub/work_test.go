package hub

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/release"
)

// TestOrderCompletes is the whole way: a file of numbers, three volunteers
// that run the real module, results that are right.
func TestOrderCompletes(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	engine, err := sandbox.New(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(context.Background())
	input, err := os.ReadFile("../../payloads/factor/golden/input.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../payloads/factor/golden/output.txt")
	if err != nil {
		t.Fatal(err)
	}
	o := h.sampleOrder(string(input), 3)
	order := h.submit(o, string(input))
	run := func(l *wire.Lease) string {
		out, err := engine.Run(context.Background(), sandbox.Task{Module: payloads.FactorModule, SHA256: canon.Sum(payloads.FactorModule), Input: l.Input,
			Seed: sandbox.Seed(l.Order, l.Task), Limits: sandbox.Limits{Fuel: 1e10, MemoryPages: payloads.Pages, OutputBytes: 65536}})
		if err != nil || out.End != sandbox.Exit {
			t.Errorf("task %d: %s, %v", l.Task, out.End, err)
		}
		return string(out.Output)
	}
	for n := range 3 {
		h.volunteer(n, 2, run)
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	var got strings.Builder
	results := h.resultLines(order, "")
	for i, r := range results {
		if r.Task != uint64(i) || r.End != wire.EndExit || r.Agree < 2 {
			t.Errorf("result %d: %+v", i, r)
		}
		got.Write(r.Output)
	}
	if got.String() != string(want) {
		t.Errorf("results\n%s\nwant\n%s", got.String(), want)
	}
	if from := h.resultLines(order, "?from=4"); len(from) != len(results)-4 || from[0].Task != 4 {
		t.Errorf("from task 4: %d results", len(from))
	}
	if file := h.body("/v1/orders/" + order.String() + "/input"); string(file) != string(input) {
		t.Errorf("the input file comes back as %q", file)
	}
	info := h.order(order)
	if info.Tasks != o.Tasks() || info.Accepted != o.Tasks() || info.Votes < 2*o.Tasks() {
		t.Errorf("%+v", info)
	}
	h.end()
	report, err := Check(h.opt.Data, true)
	if err != nil || len(report.Problems) != 0 || uint64(report.Verdicts) != o.Tasks() {
		t.Errorf("check: %+v, %v", report, err)
	}
}

func TestLiarIsOutvoted(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(40), "")
	h.volunteer(1, 3, func(l *wire.Lease) string { return "a lie" })
	for n := range 3 {
		h.volunteer(10+n, 3, honest)
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	for _, r := range h.resultLines(order, "") {
		if want := fmt.Sprintf("output of %d %d\n", r.Task+1, r.Task+2); string(r.Output) != want {
			t.Errorf("task %d: accepted %q", r.Task, r.Output)
		}
	}
}

// TestUndecided: nobody agrees with anybody.
func TestUndecided(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	for n := range 9 {
		h.volunteer(n, 1, func(*wire.Lease) string { return fmt.Sprint("mine is ", n) })
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	if r := h.resultLines(order, ""); len(r) != 1 || r[0].End != wire.Undecided || r[0].Agree != 1 || len(r[0].Output) != 0 {
		t.Errorf("%+v", r)
	}
	if info := h.order(order); info.Undecided != 1 || info.Accepted != 0 {
		t.Errorf("%+v", info)
	}
}

// TestOneWorkerOneLane: whoever asks for more gets one lane of each task, and
// so does a network.
func TestOneWorkerOneLane(t *testing.T) {
	for _, oneNetwork := range []bool{true, false} {
		h := startHub(t, Options{UnsafeOneNetwork: oneNetwork})
		h.submit(h.rangeOrder(3), "")
		w := h.join(1)
		w.send(&wire.Want{Leases: 10})
		seen := map[uint64]bool{}
		for range 3 {
			l := next[*wire.Lease](w)
			if seen[l.Task] {
				t.Errorf("two lanes of task %d go to one worker", l.Task)
			}
			seen[l.Task] = true
		}
		next[*wire.Idle](w)
		other := h.join(2)
		other.send(&wire.Want{Leases: 10})
		if oneNetwork {
			next[*wire.Lease](other)
		} else {
			next[*wire.Idle](other)
		}
	}
}

func TestReclaim(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		vanish        bool
		before, after time.Duration
	}{
		{"deadline", false, 60*time.Second + job.DefaultGrace - 1, 1},
		{"vanished", true, job.DefaultReclaim - 1, 1},
	} {
		h := startHub(t, Options{UnsafeOneNetwork: true})
		h.clock.stop()
		o := h.rangeOrder(1)
		o.Redundancy.Vote = &release.Vote{Agree: 1, Of: 1}
		h.submit(o, "")
		first := h.join(1)
		lost := first.want(1)
		if lost.Seconds != 90 {
			t.Errorf("lent for %d seconds", lost.Seconds)
		}
		if c.vanish {
			first.conn.CloseNow()
			eventually(t, "the first worker is gone", func() bool { return h.Status().Workers == 0 })
		}
		second := h.join(2)
		second.send(&wire.Want{Leases: 1})
		next[*wire.Idle](second)
		h.clock.advance(c.before)
		h.work(func(m *job.Machine) []job.Action { return m.Tick(h.now()) })
		if strings.Contains(h.log.String(), "lease reclaimed") {
			t.Errorf("%s: reclaimed too early", c.name)
		}
		h.clock.advance(c.after)
		if l := next[*wire.Lease](second); l.Task != lost.Task {
			t.Errorf("%s: lent task %d", c.name, l.Task)
		}
		if !c.vanish {
			if k := await[*wire.Kill](first); k.Scope != wire.KillLease || k.Target != lost.ID.String() {
				t.Errorf("%s: the first worker is told %+v", c.name, k)
			}
			// Late, but its token is good: the vote decides the task.
			first.send(first.result(lost, honest(lost)))
			if a := await[*wire.Ack](first); a.Verdict != wire.Agreed {
				t.Errorf("%s: the late vote is %s", c.name, a.Verdict)
			}
		}
	}
}

// TestResultAfterReconnect: a worker whose connection broke comes back, shows
// that it still has its lease, and delivers.
func TestResultAfterReconnect(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	w := h.join(1)
	l := w.want(1)
	w.conn.CloseNow()
	eventually(t, "the worker is gone", func() bool { return h.Status().Workers == 0 })
	w = h.join(1)
	w.send(&wire.Progress{ID: l.ID, Permille: 500, Text: "halfway there", Fuel: 3})
	eventually(t, "the progress text is shown", func() bool { return h.order(order).Text == "halfway there" })
	h.clock.advance(job.DefaultReclaim + time.Second)
	h.work(func(m *job.Machine) []job.Action { return m.Tick(h.now()) })
	if h.Status().Leases != 1 {
		t.Error("the lease is gone")
	}
	w.send(w.result(l, "x"))
	if a := await[*wire.Ack](w); a.ID != l.ID || a.Verdict != wire.Pending {
		t.Errorf("%+v", a)
	}
}

// TestRestart: what was acknowledged is there after a restart, and a lease of
// before is still good.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	key := h.Key()
	input := "1\n2\n3\n4\n5\n"
	o := h.sampleOrder(input, 2)
	order := h.submit(o, input)
	a, b := h.join(1), h.join(2)
	la := a.want(1)
	lb := b.want(1)
	if la.Task != lb.Task {
		t.Fatalf("tasks %d and %d", la.Task, lb.Task)
	}
	a.send(&wire.Want{})
	b.send(&wire.Want{})
	a.send(a.result(la, honest(la)))
	if k := await[*wire.Ack](a); k.Verdict != wire.Pending {
		t.Errorf("%+v", k)
	}
	h.restart()
	if h.Key() != key {
		t.Error("the hub has another key")
	}
	b = h.join(2)
	b.send(b.result(lb, honest(lb)))
	if k := await[*wire.Ack](b); k.Verdict != wire.Agreed {
		t.Errorf("with the vote of before the restart: %+v", k)
	}
	h.restart()
	if r := h.resultLines(order, ""); len(r) != 1 || r[0].Task != la.Task || string(r[0].Output) != honest(la) || r[0].Agree != 2 {
		t.Errorf("%+v", r)
	}
	if info := h.order(order); info.Votes != 2 || info.Accepted != 1 || info.State != "running" {
		t.Errorf("%+v", info)
	}
	for n := range 2 {
		h.volunteer(10+n, 2, honest)
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
}

func TestVoteRefusals(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(100), "")
	other := h.join(50)
	foreign := other.want(1)
	spoil := func(f func(*wire.Vote)) func(*worker, *wire.Lease) *wire.Result {
		return func(w *worker, l *wire.Lease) *wire.Result {
			v := w.result(l, "x").Vote
			f(&v)
			return w.sign(l, v, "x")
		}
	}
	token := func(f func(*job.Lease)) func(*worker, *wire.Lease) *wire.Result {
		return func(w *worker, l *wire.Lease) *wire.Result {
			claims, err := h.tokens.readLease(l.Token, l.ID)
			if err != nil {
				t.Fatal(err)
			}
			claims.Since, claims.Until = h.clock.now(), h.clock.now().Add(time.Minute)
			f(&claims)
			r := w.result(l, "x")
			if r.Token, err = h.tokens.leases([]job.Lease{claims}); err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	cases := map[string]struct {
		code string
		make func(*worker, *wire.Lease) *wire.Result
		held bool // it is refused of a lease that the worker holds, too
	}{
		"garbled token": {wire.CodeLeaseInvalid, func(w *worker, l *wire.Lease) *wire.Result {
			r := w.result(l, "x")
			r.Token = r.Token[:len(r.Token)-4] + "AAAA"
			return r
		}, false},
		"no token": {wire.CodeLeaseToken, func(w *worker, l *wire.Lease) *wire.Result {
			r := w.result(l, "x")
			r.Token = ""
			return r
		}, false},
		"another worker's lease": {wire.CodeLeaseInvalid, func(w *worker, l *wire.Lease) *wire.Result { return w.result(foreign, "x") }, true},
		"expired token":          {wire.CodeLeaseInvalid, token(func(l *job.Lease) { l.Since, l.Until = l.Since.Add(-time.Hour), l.Since.Add(-time.Hour) }), false},
		"signature": {wire.CodeVoteSignature, func(w *worker, l *wire.Lease) *wire.Result {
			r := w.result(l, "x")
			r.Vote.Fuel++
			return r
		}, true},
		"other task":        {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.Task++ }), true},
		"other lane":        {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.Lane++ }), true},
		"other order":       {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.Order[0]++ }), true},
		"other lease":       {wire.CodeLeaseInvalid, token(func(l *job.Lease) { l.ID[0]++ }), false},
		"other module":      {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.Module[0]++ }), true},
		"other input":       {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.Input[0]++ }), true},
		"other output":      {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.Output[0]++ }), true},
		"much fuel":         {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.Fuel = 1e10 + 1 }), true},
		"fuel not all used": {wire.CodeVoteMismatch, spoil(func(v *wire.Vote) { v.End = wire.EndFuel }), true},
		"long output":       {wire.CodeVoteMismatch, func(w *worker, l *wire.Lease) *wire.Result { return w.result(l, strings.Repeat("x", 65537)) }, true},
		"unknown order":     {wire.CodeUnknownOrder, token(func(l *job.Lease) { l.Order[0]++ }), false},
		"task out of range": {wire.CodeVoteMismatch, token(func(l *job.Lease) { l.Task = 100 }), false},
	}
	n := 100
	try := func(name, code string, make func(*worker, *wire.Lease) *wire.Result, held bool) {
		n++
		w := h.join(n)
		l := w.want(1)
		if !held { // only the token speaks for it
			w.send(&wire.Return{ID: l.ID, Reason: wire.ReturnStopped})
		}
		w.send(make(w, l))
		if r := await[*wire.Refused](w); r.Code != code {
			t.Errorf("%s (held: %v): refused with %s (%s), want %s", name, held, r.Code, r.Message, code)
		}
		w.conn.CloseNow()
	}
	for name, c := range cases {
		try(name, c.code, c.make, false)
		if c.held {
			try(name, c.code, c.make, true)
		}
	}
	if votes := h.Status().Votes; votes != 0 {
		t.Errorf("%d votes were taken", votes)
	}
	if !strings.Contains(h.log.String(), "vote refused") {
		t.Error("the log says nothing")
	}
}

func TestDuplicateVotes(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(1), "")
	w := h.join(1)
	l := w.want(1)
	for range 2 {
		w.send(w.result(l, "x"))
		if a := await[*wire.Ack](w); a.ID != l.ID || a.Verdict != wire.Pending {
			t.Errorf("%+v", a)
		}
	}
	w.send(w.result(l, "y"))
	if r := await[*wire.Refused](w); r.Code != wire.CodeVoteDuplicate {
		t.Errorf("%+v", r)
	}
	if votes := h.Status().Votes; votes != 1 {
		t.Errorf("%d votes", votes)
	}
	// Two others agree; then the same vote again is late.
	for n := range 2 {
		h.volunteer(10+n, 1, honest)
	}
	eventually(t, "the task has a verdict", func() bool { return h.Status().Results == 1 })
	w.send(w.result(l, "x"))
	if a := await[*wire.Ack](w); a.Verdict != wire.Late {
		t.Errorf("%+v", a)
	}
}

// TestReturnRefused: a worker in front of which a check fails is how an
// operator learns that something was altered on the way.
func TestReturnRefused(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.clock.stop() // the worker rests for a second
	order := h.submit(h.rangeOrder(1), "")
	w := h.join(1)
	l := w.want(1)
	w.send(&wire.Return{ID: l.ID, Reason: wire.ReturnRefused, Check: "module_sha256", Detail: "the bytes are not the signed ones"})
	for _, want := range []string{"level=WARN", "check=module_sha256", "the bytes are not the signed ones", "worker=" + w.id.String(), "order=" + order.String(), "release=" + l.Release.String()} {
		eventually(t, "the log has "+want, func() bool { return strings.Contains(h.log.String(), want) })
	}
	if h.Status().Leases != 0 {
		t.Error("the lease is still lent")
	}
	h.clock.advance(time.Second)
	if again := await[*wire.Lease](w); again.Task != l.Task {
		t.Errorf("%+v", again)
	}
}

func TestExpiresWhileRunning(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	o := h.rangeOrder(5)
	o.Expires = canon.TimeOf(h.clock.now().Add(time.Minute))
	order := h.submit(o, "")
	w := h.join(1)
	l := w.want(1)
	h.clock.advance(time.Minute + time.Second)
	if k := await[*wire.Kill](w); k.Scope != wire.KillOrder || k.Target != order.String() {
		t.Errorf("%+v", k)
	}
	w.send(w.result(l, "x"))
	if r := await[*wire.Refused](w); r.Code != wire.CodeOrderEnded {
		t.Errorf("%+v", r)
	}
	if info := h.order(order); info.State != "expired" {
		t.Errorf("%+v", info)
	}
}

// TestManyWorkers has the race detector look at everything at once.
func TestManyWorkers(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	var orders []canon.Digest
	for i := range int64(3) {
		o := h.rangeOrder(60)
		o.Title = fmt.Sprint("order ", i)
		o.Priority = int(i)
		orders = append(orders, h.submit(o, ""))
	}
	for n := range 8 {
		h.volunteer(n, 5, honest)
	}
	var others sync.WaitGroup
	others.Go(func() {
		for n := range 5 { // come, take a lease, and vanish
			w := h.join(20 + n)
			w.send(&wire.Want{Leases: 2})
			w.conn.CloseNow()
		}
	})
	others.Go(func() {
		for range 30 {
			h.Status()
			h.body("/metrics")
			h.body("/v1/orders")
		}
	})
	others.Wait()
	h.clock.advance(job.DefaultReclaim)
	for _, o := range orders {
		eventually(t, "order "+o.Short()+" is done", func() bool { return h.order(o).State == "done" })
		if r := h.resultLines(o, ""); len(r) != 60 {
			t.Errorf("%d results", len(r))
		}
	}
}

// TestDecidedWhileClosing: votes that reach the disk as the hub closes may decide
// a task too late for that to be written. That is no failure.
func TestDecidedWhileClosing(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	h.end()
	h.decide(job.Decide{Order: order})
	select {
	case <-h.failed:
		t.Errorf("the hub has failed: %v", h.failure)
	default:
	}
}
