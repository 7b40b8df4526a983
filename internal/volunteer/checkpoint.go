package volunteer

import (
	"context"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/interval"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// maxOffers bounds the checkpoints that are kept for a hub that does not
// answer. Each has up to 3 MiB.
const maxOffers = 16

// trail is how far a task has come, and what the hub knows of it.
type trail struct {
	from   uint32 // segments that are not this worker's
	at     *sandbox.Checkpoint
	told   int           // segments of the last offer
	toldAt time.Time     // of that offer; at first, when the task began
	cost   time.Duration // of that offer: making and sending it
}

// resume fetches and verifies the checkpoint that a lease names.
func (v *Volunteer) resume(t *task, r *release.Release) (*sandbox.Checkpoint, error) {
	l := t.lease
	t.reached.toldAt = time.Now()
	if l.Checkpoint == (canon.Digest{}) {
		return nil, nil
	}
	f, err := v.source.checkpoint(t.ctx, l.Checkpoint)
	if err != nil {
		return nil, err
	}
	at := &f.Reached
	switch fail := func(what string) (*sandbox.Checkpoint, error) {
		return nil, canon.Fail(wire.CodeCheckpoint, "checkpoint %s: %s", l.Checkpoint.Short(), what)
	}; {
	case at.Order != l.Order || at.Task != l.Task:
		return fail("it is of another task")
	case at.Module != r.ModuleSHA256:
		return fail("it is of another module")
	case at.Input != t.sum:
		return fail("it is on another input")
	case at.Fuel > r.Limits.TaskFuel || len(f.Output) > int(r.Limits.OutputBytes):
		return fail("it is beyond the release's limits")
	}
	// What this worker signed before, it can sign again.
	t.reached.from = at.Segments
	if f.Worker == v.key {
		t.reached.from = at.From
	}
	from := standing(f)
	t.reached.told = len(from.Links)
	return from, nil
}

// standing is where a run goes on from a checkpoint.
func standing(f *wire.CheckpointFile) *sandbox.Checkpoint {
	links := make([]canon.Digest, 0, f.Reached.Segments)
	for link := range slices.Chunk(f.Links, wire.LinkSize) {
		links = append(links, canon.Digest(link))
	}
	return &sandbox.Checkpoint{Fuel: f.Reached.Fuel, Links: links, State: f.State, Output: f.Output}
}

// checkpoint fetches a checkpoint and makes sure that it is what its author
// signed. It is of use once, and not kept.
func (s *source) checkpoint(ctx context.Context, digest canon.Digest) (*wire.CheckpointFile, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	data, err := s.read(ctx, "/c/"+digest.String(), wire.MaxCheckpointFile, "too_large")
	if err != nil {
		return nil, err
	}
	if got := canon.Sum(data); got != digest {
		return nil, canon.Fail(wire.CodeCheckpoint, "the hub sent a checkpoint of digest %s instead of %s", got.Short(), digest.Short())
	}
	f, err := wire.ParseCheckpointFile(data)
	if err != nil {
		return nil, &canon.Error{Class: wire.CodeCheckpoint, Msg: "checkpoint " + digest.Short(), Err: err}
	}
	return f, f.Verify(f.Worker)
}

// pass notes the end of a segment, and offers it to the hub when it is time.
func (v *Volunteer) pass(t *task, r *release.Release, at *sandbox.Checkpoint) {
	t.mu.Lock()
	t.reached.at = at
	due := time.Since(t.reached.toldAt) >= v.every(t.reached.cost)
	t.mu.Unlock()
	if due {
		v.offer(t, r)
	}
}

// every is how long to wait between checkpoints that cost so much.
func (v *Volunteer) every(cost time.Duration) time.Duration {
	if v.opt.CheckpointEvery > 0 {
		return v.opt.CheckpointEvery
	}
	visit := time.Duration(v.visit.Load()) * time.Second
	if visit == 0 {
		visit = wire.DefaultVisit
	}
	return interval.Every(cost, visit)
}

// offer sends how far the task has come, if the hub was not told yet.
func (v *Volunteer) offer(t *task, r *release.Release) {
	t.mu.Lock()
	at := t.reached.at
	if at == nil || len(at.Links) <= t.reached.told {
		t.mu.Unlock()
		return
	}
	began := time.Now()
	o, err := v.makeOffer(t, r, at)
	t.reached.told, t.reached.toldAt = len(at.Links), time.Now()
	t.reached.cost = t.reached.toldAt.Sub(began)
	t.mu.Unlock()
	if err != nil {
		v.log.Warn("no checkpoint can be made", "order", t.lease.Order.Short(), "task", t.lease.Task, "error", err)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.offers[t.lease.ID] != nil || len(v.offers) < maxOffers {
		v.offers[t.lease.ID] = o
	}
	v.send(o)
}

func (v *Volunteer) makeOffer(t *task, r *release.Release, at *sandbox.Checkpoint) (*wire.Offer, error) {
	l := t.lease
	p := wire.Checkpoint{State: at.State, Output: at.Output, Links: bytesOf(at.Links)}
	if bad := v.opt.Misbehave; bad != nil && bad.Checkpoint != nil {
		p.State = bad.Checkpoint(l, p.State)
	}
	p.Reached = wire.Reached{Type: wire.CheckpointType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID,
		Module: r.ModuleSHA256, Input: t.sum, Segments: uint32(len(at.Links)), Fuel: at.Fuel,
		Transcript: at.Links[len(at.Links)-1], State: canon.Sum(p.State), Output: canon.Sum(at.Output), From: t.reached.from}
	var err error
	p.Signature, err = wire.SignReached(&p.Reached, v.opt.Key)
	return &wire.Offer{Token: l.Token, Checkpoint: p}, err
}

func bytesOf(links []canon.Digest) []byte {
	all := make([]byte, 0, len(links)*wire.LinkSize)
	for _, l := range links {
		all = append(all, l[:]...)
	}
	return all
}

// kept takes the hub's answer: what it has, it has on disk, and the rest it
// does not want.
func (v *Volunteer) kept(m *wire.Kept) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.offers[m.ID]
	if o == nil {
		return
	}
	v.log.Debug("checkpoint answered", "order", o.Reached.Order.Short(), "task", o.Reached.Task, "segments", o.Reached.Segments, "kept", m.Segments)
	delete(v.offers, m.ID)
	v.check()
}

// cost adds what sending an offer took.
func (v *Volunteer) cost(id wire.LeaseID, d time.Duration) {
	v.mu.Lock()
	t := v.held[id]
	v.mu.Unlock()
	if t != nil {
		t.mu.Lock()
		t.reached.cost += d
		t.mu.Unlock()
	}
}
