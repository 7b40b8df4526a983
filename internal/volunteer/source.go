package volunteer

import (
	"container/list"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/release"
)

// source fetches what a task needs from a hub, and verifies it: statements
// against trust and the digest they were asked for by, modules against their
// release. Bytes are kept; statements are verified again at each use, because
// they expire.
type source struct {
	hub   *client.Client
	trust anchor
	turn  chan struct{} // holds one token: one fetch at a time, so that nothing is fetched twice
	kept  map[canon.Digest]*list.Element
	used  *list.List // of kept, the one used last first
	size  int

	provedMu sync.Mutex
	proved   map[canon.Digest]bool // entries of the log
	provedBy *translog.Verifier    // whose log that is
}

// signed is a statement with its signature, neither of them verified.
type signed struct{ statement, signature []byte }

// kept is a module, or a statement with its signature.
type kept struct {
	digest canon.Digest
	signed
}

const (
	maxKept = 64 << 20 // bytes
	// Statements and modules are fetched within this time or not at all.
	fetchTimeout = 2 * time.Minute
)

func newSource(hub *client.Client, trust anchor) *source {
	s := &source{hub: hub, trust: trust, turn: make(chan struct{}, 1), kept: map[canon.Digest]*list.Element{}, used: list.New(), proved: map[canon.Digest]bool{}}
	s.turn <- struct{}{}
	return s
}

// opened is a verified order and its verified release.
type opened struct {
	order   *release.Order
	release *release.Release
	signed  struct{ order, release signed }
	log     *translog.Verifier // that has the release; nil: none was asked
}

// order returns an order and its release, verified.
func (s *source) order(ctx context.Context, digest canon.Digest, now time.Time) (o opened, err error) {
	b, err := s.trust.at(now)
	if err != nil {
		return o, err
	}
	o.log = b.log
	if o.signed.order, err = s.statement(ctx, digest); err != nil {
		return o, fmt.Errorf("order %s: %w", digest.Short(), err)
	}
	o.order, err = b.openOrder(o.signed.order, func(d canon.Digest) (*release.Release, error) {
		err := s.release(ctx, b, d, now, &o)
		return o.release, err
	}, now)
	if err != nil {
		return o, fmt.Errorf("order %s: %w", digest.Short(), err)
	}
	return o, nil
}

func (s *source) release(ctx context.Context, b *believed, digest canon.Digest, now time.Time, o *opened) error {
	st, err := s.statement(ctx, digest)
	if err == nil {
		o.signed.release = st
		o.release, err = b.openRelease(st, now)
	}
	if err == nil {
		err = s.logged(ctx, b.log, digest, st, now)
	}
	if err != nil {
		return fmt.Errorf("release %s: %w", digest.Short(), err)
	}
	return nil
}

// statement returns the statement of that digest; its signature is not
// verified.
func (s *source) statement(ctx context.Context, digest canon.Digest) (signed, error) {
	return s.get(ctx, digest, func(ctx context.Context) (st signed, err error) {
		path := "/s/" + digest.String()
		if st.statement, err = s.read(ctx, path, release.MaxStatement, "too_large"); err != nil {
			return st, err
		}
		if got := canon.Sum(st.statement); got != digest {
			return st, canon.Fail("statement_sha256", "the hub sent a statement of digest %s instead", got.Short())
		}
		st.signature, err = s.read(ctx, path+".minisig", keys.MaxSignature, "too_large")
		return st, err
	})
}

// module returns the bytes of a verified release's module.
func (s *source) module(ctx context.Context, r *release.Release) ([]byte, error) {
	m, err := s.get(ctx, r.ModuleSHA256, func(ctx context.Context) (m signed, err error) {
		if m.statement, err = s.read(ctx, "/m/"+r.ModuleSHA256.String(), r.ModuleLength, "module_length"); err != nil {
			return m, err
		}
		return m, r.CheckModule(m.statement)
	})
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", r.ModuleSHA256.Short(), err)
	}
	// What is kept was checked for the release that it was fetched for.
	return m.statement, r.CheckModule(m.statement)
}

// read stops at the first byte too many, which is a failure of that class.
func (s *source) read(ctx context.Context, path string, limit int64, class string) ([]byte, error) {
	body, err := s.hub.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s from the hub: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, canon.Fail(class, "reading %s from the hub: more than %d bytes", path, limit)
	}
	return data, nil
}

func (s *source) get(ctx context.Context, digest canon.Digest, fetch func(context.Context) (signed, error)) (signed, error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return signed{}, context.Cause(ctx)
	}
	defer func() { s.turn <- struct{}{} }()
	if e, ok := s.kept[digest]; ok {
		s.used.MoveToFront(e)
		return e.Value.(kept).signed, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	got, err := fetch(ctx)
	if err != nil {
		return signed{}, err
	}
	s.keep(kept{digest, got})
	return got, nil
}

func (s *source) keep(k kept) {
	s.size += len(k.statement) + len(k.signature)
	s.kept[k.digest] = s.used.PushFront(k)
	for s.size > maxKept && s.used.Len() > 1 {
		last := s.used.Remove(s.used.Back()).(kept)
		delete(s.kept, last.digest)
		s.size -= len(last.statement) + len(last.signature)
	}
}
