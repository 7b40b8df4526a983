package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// stage is a hub on a socket, with a release and an order.
type stage struct {
	opt     hub.Options
	url     string
	address string
	client  *client.Client
	rel     release.Release
	order   canon.Digest
	end     func() error // of the hub that runs now
}

const (
	// reclaim is short, because a simulation has no time to wait for those who
	// vanished.
	reclaim = 250 * time.Millisecond
	// Limits of the release, ample for numbers.
	taskFuel, taskSeconds, outputBytes = 1 << 36, 120, 1 << 18
	// Short segments, where there are any.
	segmentFuel = 6_000_000
)

func newStage(ctx context.Context, c *cast, dir string) (*stage, error) {
	rootKey, err := keys.Generate(nil)
	if err != nil {
		return nil, err
	}
	root := policy.Root{Keys: []keys.PublicKey{rootKey.Public()}, Threshold: 1}
	p := policy.New(1, root, time.Now().Add(24*time.Hour), policy.Researcher{Name: "Fleet", Key: c.researcher.Public(), Prefix: "fleet/",
		Ceilings: policy.Ceilings{TaskFuel: taskFuel, MemoryPages: payloads.Pages, Seconds: taskSeconds, Tasks: maxTasks}})
	signed, err := p.Sign(rootKey)
	if err != nil {
		return nil, err
	}
	s := &stage{address: "127.0.0.1:0", opt: hub.Options{
		Data: filepath.Join(dir, "data"), Root: root, Policies: []policy.Signed{signed}, Log: c.opt.Log.With("hub", true), Reclaim: reclaim,
		MaxConnections: 2*c.opt.Volunteers + 64, MaxPerNetwork: 2*c.opt.Volunteers + 64,
		UnsafeOneNetwork: true, // all come from this machine
	}}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.publish(ctx, c); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func in(d time.Duration) canon.Time { return canon.TimeOf(time.Now().Add(d)) }

// start opens the data and serves it.
func (s *stage) start(ctx context.Context) error {
	h, err := hub.New(ctx, s.opt)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		return errors.Join(err, h.Close())
	}
	if s.client == nil { // at a restart everything stays where it was
		s.address = l.Addr().String()
		s.url = "http://" + s.address
		s.client, err = client.New(s.url, "")
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- h.Run(serving, l) }()
	s.end = sync.OnceValue(func() error {
		// A connection that was dialled and never used would keep the server
		// waiting for its request for 5 seconds.
		http.DefaultClient.CloseIdleConnections()
		stop()
		return errors.Join(<-served, h.Close())
	})
	return err
}

// restart takes the hub down in the middle of everything, and up again.
func (s *stage) restart(ctx context.Context) error {
	if err := s.end(); err != nil {
		return fmt.Errorf("taking the hub down: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("starting the hub again: %w", err)
	}
	return nil
}

func (s *stage) close() error { return s.end() }

// publish signs a release of the payload and an order, and submits them.
func (s *stage) publish(ctx context.Context, c *cast) error {
	source, module := c.opt.payload()
	segment := uint64(taskFuel)
	if c.opt.Steps != 0 {
		segment = segmentFuel
	}
	s.rel = release.Release{Type: release.Type, Name: "fleet/payload", Version: 1,
		ModuleSHA256: canon.Sum(module), ModuleLength: int64(len(module)), SourceSHA256: canon.Sum(source),
		ABI: release.ABI, CostTable: release.CostTable,
		Limits:  release.Limits{TaskFuel: taskFuel, SegmentFuel: segment, MemoryPages: payloads.Pages, Seconds: taskSeconds, OutputBytes: outputBytes},
		Purpose: "Work for a simulated fleet.", Expires: in(24 * time.Hour)}
	st, sig, err := s.rel.Sign(c.researcher)
	if err != nil {
		return err
	}
	var released wire.ReleaseAdmitted
	if err := s.client.Post(ctx, "/v1/releases", &released, client.Bytes("statement", st), client.Bytes("signature", sig),
		client.Bytes("source", source), client.Bytes("module", module)); err != nil {
		return fmt.Errorf("publishing the release: %w", err)
	}
	return s.submit(ctx, c, canon.Sum(st))
}

func (o *Options) redundancy() release.Redundancy {
	if o.Adaptive {
		terms := release.DefaultAdaptive
		return release.Redundancy{Adaptive: &terms}
	}
	return release.Redundancy{Vote: &release.Vote{Agree: o.Agree, Of: o.Of}}
}

func (s *stage) submit(ctx context.Context, c *cast, rel canon.Digest) error {
	lines, err := release.Split(bytes.NewReader(c.input), int64(c.opt.PerTask), func(uint64, release.Span, []byte) error { return nil })
	if err != nil {
		return err
	}
	o := release.Order{Type: release.OrderType, Title: fmt.Sprintf("A fleet's numbers, seed %d", c.opt.Seed), ReleaseSHA256: rel,
		Input: release.Input{Lines: lines}, Redundancy: c.opt.redundancy(),
		CompletePermille: 1000, NotBefore: in(-time.Minute), Expires: in(12 * time.Hour)}
	st, sig, err := o.Sign(c.researcher)
	if err != nil {
		return err
	}
	var admitted wire.OrderAdmitted
	if err := s.client.Post(ctx, "/v1/orders", &admitted, client.Bytes("statement", st), client.Bytes("signature", sig), client.Bytes("input", c.input)); err != nil {
		return fmt.Errorf("submitting the order: %w", err)
	}
	s.order = canon.Sum(st)
	return nil
}
