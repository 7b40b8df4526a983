package hub

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/release"
)

// astray is an outcome that lies from a segment on.
func astray(o sandbox.Outcome, from int) sandbox.Outcome {
	o.Links, o.Output = slices.Clone(o.Links), []byte("a lie")
	for i := from; i < len(o.Links); i++ {
		o.Links[i] = canon.Sum(append([]byte("lie"), o.Links[i][:]...))
	}
	return o
}

// climb offers checkpoints of a lane, as time goes by.
func (r *runner) climb(w *worker, l *wire.Lease, segments ...int) {
	r.t.Helper()
	for _, n := range segments {
		_, at := r.run(l, nil, n)
		if kept := w.offer(w.checkpoint(l, at, 0)); kept != uint32(n) {
			r.t.Fatalf("of %d segments the hub has %d", n, kept)
		}
		r.clock.advance(wire.KeptEvery)
	}
}

func (r *runner) auditOrder(order canon.Digest, sample int) *volunteer.AuditReport {
	r.t.Helper()
	report, err := volunteer.Audit(context.Background(), volunteer.AuditOptions{Key: workerKey(77), SamplePermille: sample, ReverifyOptions: volunteer.ReverifyOptions{
		Hub: r.url, Token: r.mint(Grant{Role: "auditor", Subject: "test", Life: time.Hour}), Order: order, Engine: r.engine,
		Trust: volunteer.Trust{Keys: []keys.PublicKey{seeded(r.t, 1).Public()}}, Now: r.clock.now}})
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// TestDispute: two transcripts differ from a segment on. An auditor runs that
// segment, and one before it as proof of the state, from a checkpoint that a
// lane has passed; the vote that has it wrong counts for nothing, now and after
// a restart, and the task goes on with the others.
func TestDispute(t *testing.T) {
	for name, rule := range map[string]release.Redundancy{
		"vote":     {Vote: &release.Vote{Agree: 2, Of: 3}},
		"adaptive": {Adaptive: &release.Adaptive{ErrorPPB: 100_000, ChecksPermille: 1000, FaultyPermille: 10, LiesPermille: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t, Options{UnsafeOneNetwork: true})
			r := newRunner(h)
			o := h.stepsOrder(1, 2, 3)
			o.Redundancy = rule
			order := h.submit(o, "")
			good, bad := h.join(1), h.join(2)
			l := good.want(1)
			whole, _ := r.run(l, nil, 0)
			all := len(whole.Links)
			at := all - 3 // the segment's number
			r.climb(good, l, 2, at-1, at)
			good.send(good.vote(l, whole, 0))
			await[*wire.Ack](good)
			b := bad.want(1)
			bad.send(bad.vote(b, astray(whole, at), 0))
			await[*wire.Ack](bad)

			report := r.auditOrder(order, 0)
			t.Logf("re-ran %d of %d segments", report.Ran, report.Segments)
			if report.Disputed != 1 || report.Refuted != 1 || report.Ran != 2 || report.Segments != uint64(all) || len(report.Verdicts) != 0 ||
				len(report.Liars) != 1 || report.Liars[0].Worker != workerID(2) {
				t.Fatalf("%+v", report)
			}
			if again := r.auditOrder(order, 0); again.Disputed != 0 || again.Ran != 0 {
				t.Errorf("audited again: %+v", again)
			}
			for range 2 {
				_, banned := h.machine.Trust("ada", workerID(2))
				if banned != (name == "adaptive") {
					t.Errorf("the liar is banned: %v", banned)
				}
				h.restart()
			}
			for n := 3; h.order(order).State != "done"; n++ {
				w := h.join(n)
				l := w.want(1)
				w.send(w.vote(l, whole, 0))
				await[*wire.Ack](w)
			}
			lines := h.resultLines(order, "")
			if len(lines) != 1 || lines[0].Transcript != whole.Transcript() || lines[0].Audited {
				t.Errorf("%+v", lines)
			}
			h.end()
			if c, err := Check(h.opt.Data, true); err != nil || len(c.Problems) > 0 || c.Refuted != 1 {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

// TestDisputeForged: a checkpoint whose links are right and whose state is not
// proves nothing against the honest: the auditor sees it, and begins at the start.
func TestDisputeForged(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	order := h.submit(h.stepsOrder(1, 2, 3), "")
	good, bad := h.join(1), h.join(2)
	l := good.want(1)
	whole, _ := r.run(l, nil, 0)
	good.send(good.vote(l, whole, 0))
	await[*wire.Ack](good)
	b := bad.want(1)
	_, forged := r.run(b, nil, 4)
	forged.State = append([]byte(nil), forged.State...)
	forged.State[9] ^= 1
	bad.offer(bad.checkpoint(b, forged, 0))
	// Its transcript goes on as the wrong state does.
	bad.send(bad.vote(b, astray(whole, 5), 0))
	await[*wire.Ack](bad)
	report := r.auditOrder(order, 0)
	if len(report.Liars) != 1 || report.Liars[0].Worker != workerID(2) || report.Refuted != 1 || report.Ran <= 6 {
		t.Fatalf("%+v", report)
	}
}

// TestRefutedAuthor: who handed a wrong segment on is caught, and not who went
// on from it.
func TestRefutedAuthor(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	o := h.stepsOrder(1, 2, 3)
	o.Redundancy = release.Redundancy{Adaptive: &release.Adaptive{ErrorPPB: 100_000, ChecksPermille: 1000, FaultyPermille: 10, LiesPermille: 100}}
	order := h.submit(o, "")
	liar := h.join(1)
	l := liar.want(1)
	whole, _ := r.run(l, nil, 0)
	wrong := astray(whole, 3)
	_, at := r.run(l, nil, 5)
	at.Links = wrong.Links[:5]
	liar.offer(liar.checkpoint(l, at, 0))
	liar.leave(l)
	misled := h.join(2)
	m := misled.want(1)
	if m.Checkpoint == (canon.Digest{}) {
		t.Fatal("nothing was handed on")
	}
	misled.send(misled.vote(m, wrong, 5))
	await[*wire.Ack](misled)
	good := h.join(3)
	g := good.want(1)
	good.send(good.vote(g, whole, 0))
	await[*wire.Ack](good)
	report := r.auditOrder(order, 0)
	if report.Refuted != 1 {
		t.Fatalf("%+v", report)
	}
	for n, want := range map[int]bool{1: true, 2: false, 3: false} {
		if _, banned := h.machine.Trust("ada", workerID(n)); banned != want {
			t.Errorf("worker %d is banned: %v", n, banned)
		}
	}
}

// TestAcceptedIsNotRefuted: what was accepted is overturned by a run of the whole
// task alone, to which the auditor turns by itself.
func TestAcceptedIsNotRefuted(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	r := newRunner(h)
	order := h.submit(h.stepsOrder(1, 2, 3), "")
	good := h.join(1)
	l := good.want(1)
	whole, _ := r.run(l, nil, 0)
	good.send(good.vote(l, whole, 0))
	await[*wire.Ack](good)
	for n := 2; n <= 3; n++ {
		w := h.join(n)
		l := w.want(1)
		w.send(w.vote(l, astray(whole, 4), 0))
		await[*wire.Ack](w)
	}
	eventually(t, "the lie is accepted", func() bool { return h.order(order).State == "done" })
	report := r.auditOrder(order, 0)
	lines := h.resultLines(order, "")
	if report.Refuted != 0 || report.Verdicts["overturned"] != 1 || len(lines) != 1 || lines[0].Transcript != whole.Transcript() || !lines[0].Audited {
		t.Fatalf("%+v, %+v", report, lines)
	}
}
