package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/release"
)

// stepsLimits make ten segments or so of a task that has a thousand steps.
var stepsLimits = release.Limits{TaskFuel: 1e9, SegmentFuel: 3e6, MemoryPages: payloads.Pages, Seconds: 60, OutputBytes: 65536}

// stepsOrder is an order on payloads/steps.
func (h *testHub) stepsOrder(tasks, agree, of int) *release.Order {
	h.t.Helper()
	r := sampleRelease()
	r.Name, r.ModuleSHA256, r.ModuleLength, r.SourceSHA256 = "ada/steps", canon.Sum(payloads.StepsModule), int64(len(payloads.StepsModule)), canon.Sum(payloads.StepsSource)
	r.Limits = stepsLimits
	st, sig, err := r.Sign(seeded(h.t, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	if status, code := h.post("/v1/releases", part{"statement", st}, part{"signature", sig}, part{"source", payloads.StepsSource}, part{"module", payloads.StepsModule}); status/100 != 2 {
		h.t.Fatalf("publishing: %d %s", status, code)
	}
	o := h.sampleOrder("1\n", 1)
	o.ReleaseSHA256 = canon.Sum(st)
	o.Input = release.Input{Range: &release.Range{From: 3000, To: 3000 + int64(tasks), Step: 1}}
	o.Redundancy.Vote = &release.Vote{Agree: agree, Of: of}
	return o
}

// runner runs leases for real.
type runner struct {
	*testHub
	engine *sandbox.Engine
}

func newRunner(h *testHub) *runner {
	e, err := sandbox.New(context.Background(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { e.Close(context.Background()) })
	return &runner{h, e}
}

// run runs a lease from where it stands, until it has so many segments (0: to
// its end).
func (r *runner) run(l *wire.Lease, from *sandbox.Checkpoint, until int) (sandbox.Outcome, *sandbox.Checkpoint) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last *sandbox.Checkpoint
	o, err := r.engine.Run(ctx, sandbox.Task{SHA256: canon.Sum(payloads.StepsModule), Module: payloads.StepsModule, Input: l.Input,
		Seed: sandbox.Seed(l.Order, l.Task), From: from,
		Limits: sandbox.Limits{Fuel: stepsLimits.TaskFuel, SegmentFuel: stepsLimits.SegmentFuel, MemoryPages: uint32(stepsLimits.MemoryPages), OutputBytes: uint32(stepsLimits.OutputBytes)},
		Checkpoint: func(c *sandbox.Checkpoint) {
			if last == nil || until == 0 || len(last.Links) < until {
				last = c
			}
			if len(c.Links) == until {
				cancel()
			}
		}})
	if err != nil || until == 0 && !o.End.Voted() {
		r.t.Fatalf("running task %d: %+v, %v", l.Task, o, err)
	}
	return o, last
}

func joinLinks(links []canon.Digest) (all []byte) {
	for _, l := range links {
		all = append(all, l[:]...)
	}
	return all
}

func (w *worker) checkpoint(l *wire.Lease, at *sandbox.Checkpoint, from uint32) *wire.Offer {
	w.t.Helper()
	p := wire.Checkpoint{State: at.State, Output: at.Output, Links: joinLinks(at.Links)}
	p.Reached = wire.Reached{Type: wire.CheckpointType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID, Module: canon.Sum(payloads.StepsModule),
		Input: canon.Sum(l.Input), Segments: uint32(len(at.Links)), Fuel: at.Fuel, Transcript: at.Links[len(at.Links)-1],
		State: canon.Sum(at.State), Output: canon.Sum(at.Output), From: from}
	return w.signOffer(l, p)
}

func (w *worker) signOffer(l *wire.Lease, p wire.Checkpoint) *wire.Offer {
	w.t.Helper()
	var err error
	if p.Signature, err = wire.SignReached(&p.Reached, w.key); err != nil {
		w.t.Fatal(err)
	}
	return &wire.Offer{Token: l.Token, Checkpoint: p}
}

// offer sends a checkpoint and returns what the hub has then.
func (w *worker) offer(o *wire.Offer) uint32 {
	w.t.Helper()
	w.send(o)
	k := await[*wire.Kept](w)
	if k.ID != o.Reached.Lease {
		w.t.Fatalf("the hub answers about lease %s, not %s", k.ID, o.Reached.Lease)
	}
	return k.Segments
}

func (w *worker) vote(l *wire.Lease, o sandbox.Outcome, from uint32) *wire.Result {
	w.t.Helper()
	v := wire.Vote{Type: wire.VoteType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID, Module: canon.Sum(payloads.StepsModule),
		Input: canon.Sum(l.Input), End: wire.End(o.End), Code: o.Code, Fuel: o.Fuel, Output: canon.Sum(o.Output),
		Segments: uint32(len(o.Links)), Transcript: o.Transcript(), From: from}
	r := w.sign(l, v, string(o.Output))
	r.Links = joinLinks(o.Links)
	return r
}

// fetch gets a lease's checkpoint, as a worker that goes on from it does.
func (h *testHub) fetch(l *wire.Lease) (*wire.CheckpointFile, *sandbox.Checkpoint) {
	h.t.Helper()
	data := h.body("/c/" + l.Checkpoint.String())
	f, err := wire.ParseCheckpointFile(data)
	if err != nil || canon.Sum(data) != l.Checkpoint {
		h.t.Fatalf("checkpoint %s: %v", l.Checkpoint, err)
	}
	if err := f.Verify(f.Worker); err != nil {
		h.t.Fatal(err)
	}
	at := &sandbox.Checkpoint{Fuel: f.Reached.Fuel, State: f.State, Output: f.Output}
	for i := 0; i < len(f.Links); i += wire.LinkSize {
		at.Links = append(at.Links, canon.Digest(f.Links[i:i+wire.LinkSize]))
	}
	return f, at
}

func (w *worker) leave(l *wire.Lease) {
	w.send(&wire.Want{Leases: 0})
	w.send(&wire.Return{ID: l.ID, Reason: wire.ReturnStopped})
	w.conn.Close(websocket.StatusNormalClosure, "") // fails if the hub is faster
}

// TestResumeByAnother: one visitor does half, leaves, and another does the
// rest. The result is that of an uninterrupted run.
func TestResumeByAnother(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	order := h.submit(h.stepsOrder(1, 1, 1), "")
	first := h.join(1)
	l := first.want(1)
	if l.Checkpoint != (canon.Digest{}) {
		t.Fatalf("a fresh lane is lent from %s", l.Checkpoint)
	}
	whole, _ := r.run(l, nil, 0)
	_, half := r.run(l, nil, len(whole.Links)/2)
	if kept := first.offer(first.checkpoint(l, half, 0)); int(kept) != len(half.Links) {
		t.Fatalf("the hub has %d segments of %d", kept, len(half.Links))
	}
	first.leave(l)

	second := h.join(2)
	again := second.want(1)
	if again.Task != l.Task || again.Lane != l.Lane {
		t.Fatalf("lent is %+v", again)
	}
	file, at := h.fetch(again)
	if file.Worker != first.id || len(at.Links) != len(half.Links) {
		t.Fatalf("the checkpoint is worker %s's, of %d segments", file.Worker, len(at.Links))
	}
	done, _ := r.run(again, at, 0)
	second.send(second.vote(again, done, uint32(len(at.Links))))
	if a := await[*wire.Ack](second); a.Verdict != wire.Agreed {
		t.Errorf("the vote is %s", a.Verdict)
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	lines := h.resultLines(order, "")
	if len(lines) != 1 || lines[0].Transcript != whole.Transcript() || int(lines[0].Segments) != len(whole.Links) || string(lines[0].Output) != string(whole.Output) || lines[0].Fuel != whole.Fuel {
		t.Errorf("%+v, want %+v", lines, whole)
	}
	eventually(t, "the checkpoint is gone", func() bool { now, _ := h.store.CheckpointBytes(); return now == 0 })
	if status, code := h.do("GET", "/c/"+again.Checkpoint.String(), "", "", nil); status != http.StatusNotFound || code != wire.CodeNotFound {
		t.Errorf("after the verdict the checkpoint is there: %d %s", status, code)
	}
	for _, metric := range []string{`countersign_hub_checkpoints_total{outcome="kept"} 1`, "countersign_hub_leases_resumed_total 1", "countersign_hub_checkpoint_bytes 0"} {
		if !strings.Contains(string(h.body("/metrics")), metric) {
			t.Errorf("no %s", metric)
		}
	}
	h.end()
	from := -1
	if err := Votes(h.opt.Data, func(_ wire.Key, v *wire.Vote) error { from = int(v.From); return nil }); err != nil || from != len(half.Links) {
		t.Errorf("the vote on disk is from %d, %v", from, err)
	}
}

// TestPoisonedLane: a lie in a checkpoint wins nothing, whoever goes on with it.
func TestPoisonedLane(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	order := h.submit(h.stepsOrder(1, 2, 3), "")
	liar := h.join(1)
	l := liar.want(1)
	whole, _ := r.run(l, nil, 0)
	_, half := r.run(l, nil, 4)
	half.State = append([]byte(nil), half.State...)
	half.State[9] ^= 1
	if kept := liar.offer(liar.checkpoint(l, half, 0)); kept != 4 {
		t.Fatalf("the hub has %d segments", kept)
	}
	liar.leave(l)

	misled := h.join(2)
	again := misled.want(1)
	_, at := h.fetch(again)
	wrong, _ := r.run(again, at, 0)
	if string(wrong.Output) == string(whole.Output) {
		t.Fatal("the lie changes nothing")
	}
	misled.send(misled.vote(again, wrong, 4))
	if a := await[*wire.Ack](misled); a.Verdict != wire.Pending {
		t.Errorf("the misled vote is %s", a.Verdict)
	}
	// The liar votes for what came of its lie, with the lease that it had: that
	// is no second voice.
	back := h.join(1)
	back.send(back.vote(l, wrong, 0))
	if a := await[*wire.Ack](back); a.Verdict != wire.Pending {
		t.Errorf("the liar's vote is %s", a.Verdict)
	}
	for n := 3; n <= 4; n++ {
		honest := h.join(n)
		l := honest.want(1)
		if l.Checkpoint != (canon.Digest{}) {
			t.Fatalf("worker %d is lent from %s", n, l.Checkpoint)
		}
		honest.send(honest.vote(l, whole, 0))
		await[*wire.Ack](honest)
		honest.send(&wire.Want{Leases: 0})
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	if lines := h.resultLines(order, ""); len(lines) != 1 || string(lines[0].Output) != string(whole.Output) || lines[0].Agree != 2 {
		t.Errorf("%+v", lines)
	}
}

// TestAuthorStaysInItsLane: it gets that one again, and no other.
func TestAuthorStaysInItsLane(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	d := h.submit(h.stepsOrder(1, 3, 5), "")
	author := h.join(1)
	l := author.want(1)
	_, at := r.run(l, nil, 3)
	author.offer(author.checkpoint(l, at, 0))
	author.send(&wire.Want{Leases: 0})
	author.send(&wire.Return{ID: l.ID, Reason: wire.ReturnStopped})
	eventually(t, "the lease is back", func() bool { return h.order(d).Leases == 0 })
	other := h.join(2)
	if got := other.want(1); got.Lane != l.Lane || got.Checkpoint == (canon.Digest{}) {
		t.Fatalf("lent is %+v", got)
	} else {
		author.send(&wire.Want{Leases: 1})
		next[*wire.Idle](author)
		// The lane is free again.
		other.leave(got)
	}
	if again := await[*wire.Lease](author); again.Lane != l.Lane {
		t.Errorf("the author is lent lane %d", again.Lane)
	}
}

// TestHostileCheckpoints: nothing that is not what its token says is kept, and
// nothing twice.
func TestHostileCheckpoints(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	h.submit(h.stepsOrder(2, 2, 3), "")
	w, other := h.join(1), h.join(2)
	l, theirs := w.want(1), other.want(1)
	_, at := r.run(l, nil, 3)
	files := func() int {
		entries, err := os.ReadDir(filepath.Join(h.opt.Data, "checkpoints"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	for name, spoil := range map[string]func(*wire.Offer){
		"state":     func(o *wire.Offer) { o.State = []byte("other") },
		"output":    func(o *wire.Offer) { o.Output = append(o.Output, '.') },
		"links":     func(o *wire.Offer) { o.Links = o.Links[wire.LinkSize:] },
		"signature": func(o *wire.Offer) { o.Signature[3]++ },
		"no token": func(o *wire.Offer) {
			*o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Lease[2]++ }))
			o.Token = "a.b.c"
		},
		"foreign token": func(o *wire.Offer) {
			*o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Lease = theirs.ID }))
			o.Token = theirs.Token
		},
		"other task":   func(o *wire.Offer) { *o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Task = 1 - r.Task })) },
		"other lane":   func(o *wire.Offer) { *o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Lane++ })) },
		"other lease":  func(o *wire.Offer) { *o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Lease[2]++ })) },
		"other module": func(o *wire.Offer) { *o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Module[2]++ })) },
		"other input":  func(o *wire.Offer) { *o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Input[2]++ })) },
		"fuel":         func(o *wire.Offer) { *o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Fuel = 1e9 + 1 })) },
		"segments":     func(o *wire.Offer) { *o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Segments = 9 })) },
		"long output": func(o *wire.Offer) {
			o.Output = make([]byte, 65537)
			*o = *w.signOffer(l, altered(o, func(r *wire.Reached) { r.Output = canon.Sum(o.Output) }))
		},
	} {
		h.clock.advance(wire.KeptEvery)
		o := w.checkpoint(l, at, 0)
		spoil(o)
		if kept := w.offer(o); kept != 0 || files() != 0 {
			t.Errorf("%s: the hub has %d segments in %d files", name, kept, files())
		}
	}
	// Its own token, another's connection.
	if kept := other.offer(w.checkpoint(l, at, 0)); kept != 0 || files() != 0 {
		t.Errorf("another offers it: %d", kept)
	}
	h.clock.advance(wire.KeptEvery)
	good := w.checkpoint(l, at, 0)
	for range 60 { // the same again is answered, and costs nothing
		if kept := w.offer(good); kept != 3 || files() != 1 {
			t.Fatalf("the hub has %d segments in %d files", kept, files())
		}
	}
	_, later := r.run(l, nil, 4)
	if kept := w.offer(w.checkpoint(l, later, 0)); kept != 3 {
		t.Errorf("%d are kept within 5 seconds", kept)
	}
	h.clock.advance(wire.KeptEvery)
	if kept := w.offer(w.checkpoint(l, later, 0)); kept != 4 || files() != 2 {
		t.Errorf("%d are kept after 5 seconds, %d files", kept, files())
	}
	if kept := w.offer(good); kept != 4 {
		t.Errorf("fewer segments are kept: %d", kept)
	}
	// The largest fits, one byte more ends the connection.
	huge := altered(good, func(r *wire.Reached) { r.Segments = wire.MaxSegments - 1 })
	huge.State, huge.Links = make([]byte, wire.MaxState), make([]byte, (wire.MaxSegments-1)*wire.LinkSize)
	huge.Reached.State, huge.Reached.Transcript = canon.Sum(huge.State), canon.Digest{}
	h.clock.advance(wire.KeptEvery)
	if kept := w.offer(w.signOffer(l, huge)); kept != wire.MaxSegments-1 {
		t.Errorf("the largest: %d", kept)
	}
	go w.conn.Write(context.Background(), websocket.MessageText, []byte(strings.Repeat(" ", wire.MaxToHub+10)))
	if _, err := w.recv(); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("too long: %v", err)
	}
	if got := len(strings.Split(h.log.String(), "checkpoint refused")) - 1; got != 15 {
		t.Errorf("%d refusals are logged", got)
	}
	h.end()
	if report, err := Check(h.opt.Data, true); err != nil || report.Lanes != 1 || len(report.Problems) != 0 {
		t.Errorf("check: %+v, %v", report, err)
	}
	if err := os.Truncate(filepath.Join(h.opt.Data, "checkpoints", furthestIn(t, h)), 100); err != nil {
		t.Fatal(err)
	}
	if report, err := Check(h.opt.Data, true); err != nil || len(report.Problems) != 1 {
		t.Errorf("check of a damaged checkpoint: %+v, %v", report, err)
	}
}

// furthestIn names the file of the one lane's furthest checkpoint, behind which
// are two that the lane has passed.
func furthestIn(t *testing.T, h *testHub) (name string) {
	entries, err := os.ReadDir(filepath.Join(h.opt.Data, "checkpoints"))
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	size := int64(-1)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Size() > size {
			name, size = e.Name(), info.Size()
		}
	}
	return name
}

func altered(o *wire.Offer, change func(*wire.Reached)) wire.Checkpoint {
	p := o.Checkpoint
	change(&p.Reached)
	return p
}

// TestCheckpointRoom: a hub that has no room goes on without, and says so once.
func TestCheckpointRoom(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true, CheckpointBytes: 6000})
	r := newRunner(h)
	h.submit(h.stepsOrder(4, 1, 1), "")
	w := h.join(1)
	w.send(&wire.Want{Leases: 4})
	var leases []*wire.Lease
	for range 4 {
		leases = append(leases, await[*wire.Lease](w))
	}
	kept := 0
	for _, l := range leases {
		_, at := r.run(l, nil, 2)
		if w.offer(w.checkpoint(l, at, 0)) == 2 {
			kept++
		}
	}
	if kept != 1 || strings.Count(h.log.String(), "there is no room") != 1 || !strings.Contains(string(h.body("/metrics")), `checkpoints_total{outcome="full"} 3`) {
		t.Errorf("%d kept; the log:\n%s", kept, h.log)
	}
}

// TestEndedOrderDropsCheckpoints: they are of no use any more.
func TestEndedOrderDropsCheckpoints(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	order := h.submit(h.stepsOrder(1, 1, 1), "")
	w := h.join(1)
	l := w.want(1)
	_, at := r.run(l, nil, 2)
	w.offer(w.checkpoint(l, at, 0))
	if status, code := h.do("POST", "/v1/kill", "application/json", h.token(), strings.NewReader(`{"scope":"order","target":"`+order.String()+`","reason":"x"}`)); status != http.StatusNoContent {
		t.Fatal(status, code)
	}
	eventually(t, "the checkpoint is gone", func() bool { now, _ := h.store.CheckpointBytes(); return now == 0 })
}

// TestVisits: a hub tells how long visitors stay who had work.
func TestVisits(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(1000), "")
	visit := func(n int, d time.Duration, works bool) uint32 {
		w := h.connect(n, nil)
		w.send(wire.SignJoin(w.hello, w.key, "test/1"))
		told := next[*wire.Welcome](w).Visit
		if works {
			w.want(1)
		}
		h.clock.advance(d)
		w.conn.Close(websocket.StatusNormalClosure, "") // fails if the hub is faster
		eventually(t, "the visit has ended", func() bool { return h.Status().Workers == 0 })
		return told
	}
	for n := range fewVisits {
		if told := visit(n, 90*time.Second, true); told != 0 {
			t.Errorf("after %d visits the hub says %d", n, told)
		}
	}
	visit(100, time.Hour, false) // had no work, and counts for nothing
	if told := visit(101, 90*time.Second, true); told < 90 || told > 92 {
		t.Errorf("the hub says %d seconds", told)
	}
	var v visits
	for range 1000 {
		v.observe(time.Minute)
	}
	for range 200 {
		v.observe(10 * time.Second)
	}
	if s := v.seconds(); s < 10 || s > 14 {
		t.Errorf("after a change the mean is %d", s)
	}
	if v = (visits{n: 99}); v.seconds() != 1 {
		t.Errorf("the least is %d", v.seconds())
	}
}

// held is a lease and who holds it.
type held struct {
	by *worker
	*wire.Lease
}

// borrow takes n leases, with as many new workers as that takes, the first of
// which has the number first.
func (h *testHub) borrow(first, n int) (all []held) {
	h.t.Helper()
	for ; n > 0; n -= job.DefaultFirst {
		w := h.join(first + n)
		w.send(&wire.Want{Leases: uint32(n)})
		for range min(n, job.DefaultFirst) {
			all = append(all, held{w, await[*wire.Lease](w)})
		}
	}
	return all
}

// TestKillNineKeepsCheckpoints kills the real hub right behind its answers:
// what it said that it has, it has.
func TestKillNineKeepsCheckpoints(t *testing.T) {
	t.Parallel()
	const tasks = 24
	dir := t.TempDir()
	bin := filepath.Join(dir, "hub")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/hub").CombinedOutput(); err != nil {
		t.Fatalf("building cmd/hub: %v\n%s", err, out)
	}
	policyFile := filepath.Join(dir, "policy.json")
	if err := writePolicy(t, policyFile); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.Addr().String()
	socket.Close()
	hub := &process{t: t, args: []string{bin, "serve", "--data", filepath.Join(dir, "data"), "--policy", policyFile, "--root", rootOf(t).Keys[0].String(), "--listen", address, "--unsafe-one-network", "--log-level", "error"}}
	hub.start()
	defer func() { hub.kill() }()
	h := &testHub{t: t, clock: &clock{}, url: "http://" + address}
	r := newRunner(h)
	order := h.submit(h.stepsOrder(tasks, 1, 1), "")

	answered := map[uint64]uint32{}
	left := map[uint64]*wire.Lease{}
	for len(answered) < tasks {
		// Open lanes come first.
		for _, held := range h.borrow(1+100*len(answered), min(len(answered)+8, tasks)) {
			w, l := held.by, held.Lease
			_, at := r.run(l, nil, 1+int(l.Task)%4)
			if answered[l.Task] == 0 {
				if l.Checkpoint != (canon.Digest{}) {
					t.Errorf("task %d is lent from %s", l.Task, l.Checkpoint)
				}
				if answered[l.Task] = w.offer(w.checkpoint(l, at, 0)); int(answered[l.Task]) != len(at.Links) {
					t.Fatalf("task %d: the hub has %d of %d", l.Task, answered[l.Task], len(at.Links))
				}
				left[l.Task] = l
			}
		}
		hub.kill()
		hub.start()
	}
	for _, held := range h.borrow(10000, tasks) {
		l := held.Lease
		f, at := h.fetch(l)
		if f.Reached.Segments != answered[l.Task] || l.Lane != left[l.Task].Lane {
			t.Errorf("task %d: lent from %d segments in lane %d, the hub said %d in %d", l.Task, f.Reached.Segments, l.Lane, answered[l.Task], left[l.Task].Lane)
		}
		done, _ := r.run(l, at, 0)
		held.by.send(held.by.vote(l, done, f.Reached.Segments))
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	for _, line := range h.resultLines(order, "") {
		l := &wire.Lease{Order: order, Task: line.Task, Input: fmt.Append(nil, 3000+line.Task, "\n")}
		if whole, _ := r.run(l, nil, 0); whole.Transcript() != line.Transcript {
			t.Errorf("task %d came to another transcript", line.Task)
		}
	}
}
