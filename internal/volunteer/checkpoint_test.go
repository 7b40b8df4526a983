package volunteer

import (
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/interval"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/release"
)

// steps makes the release one of payloads/steps, in segments of so much fuel.
func (s *scene) steps(t *testing.T, segment uint64) {
	s.serve("/m/"+canon.Sum(payloads.StepsModule).String(), payloads.StepsModule)
	s.rel.ModuleSHA256, s.rel.ModuleLength = canon.Sum(payloads.StepsModule), int64(len(payloads.StepsModule))
	s.rel.Limits.SegmentFuel, s.rel.Limits.OutputBytes = segment, 65536
	s.publishAll(t)
}

// whole runs a task from start to end, and notes where it stood.
func (s *scene) whole(t *testing.T, task uint64, input string) (o sandbox.Outcome, at []*sandbox.Checkpoint) {
	t.Helper()
	o, err := s.opt.Engine.Run(t.Context(), sandbox.Task{Module: payloads.StepsModule, Input: []byte(input), Seed: sandbox.Seed(s.orderID, task),
		Limits: limitsOf(&s.rel), Checkpoint: func(c *sandbox.Checkpoint) { at = append(at, c) }})
	if err != nil || o.End != sandbox.Exit || len(at) < 3 {
		t.Fatalf("%+v after %d checkpoints, %v", o, len(at), err)
	}
	return o, at
}

// file is a checkpoint as another worker left it.
func (s *scene) file(t *testing.T, l *wire.Lease, at *sandbox.Checkpoint, author ed25519.PrivateKey, spoil func(*wire.CheckpointFile)) {
	t.Helper()
	f := &wire.CheckpointFile{Worker: wire.KeyOf(author.Public().(ed25519.PublicKey)), Checkpoint: wire.Checkpoint{State: at.State, Output: at.Output, Links: bytesOf(at.Links)}}
	f.Reached = wire.Reached{Type: wire.CheckpointType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: wire.LeaseID{9}, Module: s.rel.ModuleSHA256, Input: canon.Sum(l.Input),
		Segments: uint32(len(at.Links)), Fuel: at.Fuel, Transcript: at.Links[len(at.Links)-1], State: canon.Sum(at.State), Output: canon.Sum(at.Output)}
	if spoil != nil {
		spoil(f)
	}
	f.Reached.State, f.Reached.Output = canon.Sum(f.State), canon.Sum(f.Output)
	var err error
	if f.Signature, err = wire.SignReached(&f.Reached, author); err != nil {
		t.Fatal(err)
	}
	data, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	l.Checkpoint = canon.Sum(data)
	s.serve("/c/"+l.Checkpoint.String(), data)
}

var another = ed25519.NewKeyFromSeed(func() []byte { s := sha256.Sum256([]byte("another")); return s[:] }())

// TestGoOn: a worker that goes on comes to what one that did all comes to, and
// says what was not its own.
func TestGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		author ed25519.PrivateKey
		from   uint32
	}{"of another": {another, 3}, "of its own": {nil, 0}} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.steps(t, 3_000_000)
			if c.author == nil {
				c.author = s.opt.Key
			}
			const input = "3000\n"
			whole, at := s.whole(t, 10, input)
			s.start(t)
			conn := s.accept(t)
			wants(conn, 1)
			l := s.lease(1, 10)
			s.file(t, l, at[2], c.author, nil)
			conn.send(l)
			r := next[*wire.Result](conn)
			if r.Vote.From != c.from || r.Vote.Transcript != whole.Transcript() || int(r.Vote.Segments) != len(whole.Links) || string(r.Links) != string(bytesOf(whole.Links)) ||
				r.Vote.Fuel != whole.Fuel || string(r.Output) != string(whole.Output) {
				t.Errorf("%+v, want %+v", r.Vote, whole)
			}
			conn.send(&wire.Ack{ID: l.ID, Verdict: wire.Pending})
		})
	}
}

// TestBadCheckpoints: what is not what it should be is not gone on from.
func TestBadCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		check string
		spoil func(*wire.CheckpointFile)
		after func(*scene, *wire.Lease)
	}{
		"order":    {"checkpoint", func(f *wire.CheckpointFile) { f.Reached.Order[0]++ }, nil},
		"task":     {"checkpoint", func(f *wire.CheckpointFile) { f.Reached.Task++ }, nil},
		"module":   {"checkpoint", func(f *wire.CheckpointFile) { f.Reached.Module[0]++ }, nil},
		"input":    {"checkpoint", func(f *wire.CheckpointFile) { f.Reached.Input[0]++ }, nil},
		"fuel":     {"checkpoint", func(f *wire.CheckpointFile) { f.Reached.Fuel = 1<<40 + 1 }, nil},
		"output":   {"checkpoint", func(f *wire.CheckpointFile) { f.Output = make([]byte, 65537) }, nil},
		"segments": {"checkpoint", func(f *wire.CheckpointFile) { f.Reached.Segments++ }, nil},
		"links":    {"checkpoint", func(f *wire.CheckpointFile) { f.Links[len(f.Links)-1]++ }, nil},
		"worker":   {"checkpoint", func(f *wire.CheckpointFile) { f.Worker[0]++ }, nil},
		"digest":   {"checkpoint", nil, func(s *scene, l *wire.Lease) { s.alter("/c/"+l.Checkpoint.String(), `"lane":1`, `"lane":2`) }},
		"no file":  {"checkpoint", nil, func(s *scene, l *wire.Lease) { s.serve("/c/"+l.Checkpoint.String(), []byte("{}")) }},
		"too long": {"too_large", nil, func(s *scene, l *wire.Lease) {
			s.serve("/c/"+l.Checkpoint.String(), make([]byte, wire.MaxCheckpointFile+1))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.steps(t, 3_000_000)
			_, at := s.whole(t, 10, "3000\n")
			s.start(t)
			conn := s.accept(t)
			wants(conn, 1)
			l := s.lease(1, 10)
			s.file(t, l, at[2], another, c.spoil)
			if c.after != nil {
				c.after(s, l)
			}
			conn.send(l)
			if r := next[*wire.Return](conn); r.Reason != wire.ReturnRefused || r.Check != c.check {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestHandOn: checkpoints come at their interval, each good, and the last one
// when the volunteer is stopped, before the lease is returned.
func TestHandOn(t *testing.T) {
	s := newScene(t)
	s.steps(t, 3_000_000)
	s.opt.CheckpointEvery = 200 * time.Millisecond
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	l := s.lease(1, 11)
	began := time.Now()
	c.send(l)
	segments := uint32(0)
	check := func(o *wire.Offer) {
		t.Helper()
		if err := o.Verify(wire.KeyOf(s.opt.Key.Public().(ed25519.PublicKey))); err != nil {
			t.Fatal(err)
		}
		r := o.Reached
		if o.Token != l.Token || r.Lease != l.ID || r.Order != l.Order || r.Task != l.Task || r.Lane != 1 || r.From != 0 || r.Segments <= segments {
			t.Fatalf("%+v after %d segments", r, segments)
		}
		segments = r.Segments
		c.send(&wire.Kept{ID: l.ID, Segments: segments})
	}
	for range 3 {
		check(next[*wire.Offer](c))
	}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("three checkpoints within %v", took)
	}
	told := segments
	// It stops between two, and has come further than it told.
	time.Sleep(150 * time.Millisecond)
	go stop()
	wants(c, 0)
	for {
		switch m := c.receive().(type) {
		case *wire.Offer:
			check(m)
			continue
		case *wire.Progress:
			continue
		case *wire.Return:
			if m.ID != l.ID || m.Reason != wire.ReturnStopped {
				t.Errorf("%+v", m)
			}
		default:
			t.Fatalf("%#v", m)
		}
		break
	}
	c.closed()
	stop()
	if segments == told {
		t.Errorf("the last checkpoint has %d segments, as the one before", segments)
	}
}

// TestOfferAgain: a checkpoint that was not answered is offered again on the
// next connection, and after its lease.
func TestOfferAgain(t *testing.T) {
	s := newScene(t)
	s.steps(t, 60_000_000)
	s.opt.CheckpointEvery, s.opt.Linger = time.Millisecond, 50*time.Millisecond
	s.start(t)
	c := s.accept(t)
	wants(c, 1)
	l := s.lease(1, 11)
	c.send(l)
	first := next[*wire.Offer](c)
	c.conn.Close(websocket.StatusGoingAway, "")
	c = s.accept(t)
	for {
		o, ok := c.receive().(*wire.Offer)
		if !ok {
			continue
		}
		if o.Reached.Lease != l.ID || o.Reached.Segments < first.Reached.Segments {
			t.Errorf("%+v", o.Reached)
		}
		return
	}
}

// TestEvery: the hub's word on visits decides, within reason.
func TestEvery(t *testing.T) {
	s := newScene(t)
	v, err := New(s.opt)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.every(time.Second); got != interval.Every(time.Second, time.Minute) {
		t.Errorf("not known: %v", got)
	}
	v.visit.Store(600)
	if got := v.every(time.Second); got != interval.Every(time.Second, 10*time.Minute) || got < 30*time.Second {
		t.Errorf("ten minutes: %v", got)
	}
}

// BenchmarkOffer is what a checkpoint costs a worker beside its network.
func BenchmarkOffer(b *testing.B) {
	for name, size := range map[string]int{"state=16": 16, "state=64KiB": 1 << 16, "state=1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			v := &Volunteer{opt: Options{Key: another}}
			t := newTask(&wire.Lease{Token: "a.b.c", Input: []byte("1\n")})
			at := &sandbox.Checkpoint{State: make([]byte, size), Links: make([]canon.Digest, 600)}
			for b.Loop() {
				o, err := v.makeOffer(t, new(release.Release), at)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := wire.Encode(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
