package volunteer

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// chunked makes the order one of a file that is a single chunk, too long for a
// lease, and returns a lease of it, the chunk, and where it is fetched.
func (s *scene) chunked(t *testing.T) (l *wire.Lease, chunk []byte, path string) {
	t.Helper()
	chunk = bytes.Repeat([]byte("1\n"), 50_000)
	rule, err := release.SplitChunks(bytes.NewReader(chunk), 1<<20, func(uint64, release.Span, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	s.order.Input = release.Input{Chunks: rule}
	s.publishAll(t)
	l = s.lease(1, 0)
	l.Input, l.Proof = nil, nil
	path = fmt.Sprintf("/i/%s/0", s.orderID)
	s.serve(path, chunk)
	return l, chunk, path
}

func TestLongInput(t *testing.T) {
	s := newScene(t)
	l, chunk, _ := s.chunked(t)
	s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(l)
	r := next[*wire.Result](c)
	if r.Vote.Input != canon.Sum(chunk) || r.Vote.End != wire.EndExit {
		t.Errorf("%+v", r.Vote)
	}
	c.send(&wire.Ack{ID: l.ID, Verdict: wire.Pending})
}

func TestLongInputRefused(t *testing.T) {
	for name, spoil := range map[string]func(s *scene, l *wire.Lease, chunk []byte, path string){
		"altered":          func(s *scene, _ *wire.Lease, chunk []byte, path string) { chunk[70_000] = '2'; s.serve(path, chunk) },
		"short":            func(s *scene, _ *wire.Lease, chunk []byte, path string) { s.serve(path, chunk[2:]) },
		"long":             func(s *scene, _ *wire.Lease, chunk []byte, path string) { s.serve(path, append(chunk, '\n')) },
		"in the lease too": func(_ *scene, l *wire.Lease, chunk []byte, _ string) { l.Input = chunk[:2] },
		"with a proof":     func(_ *scene, l *wire.Lease, _ []byte, _ string) { l.Proof = make([]byte, 32) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			l, chunk, path := s.chunked(t)
			spoil(s, l, chunk, path)
			s.opt.Misbehave = &Misbehave{Outcome: func(_ *wire.Lease, o sandbox.Outcome) sandbox.Outcome {
				t.Errorf("it ran: %+v", o.End)
				return o
			}}
			s.start(t)
			c := s.accept(t)
			wants(c, 1)
			c.send(l)
			if r := next[*wire.Return](c); r.Reason != wire.ReturnRefused || r.Check != "input" {
				t.Errorf("%+v", r)
			}
		})
	}
}
