package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/payloads"
)

const warmUp = 2 * time.Second

// leasesOf is how many leases each of n workers holds.
func leasesOf(n int) uint32 { return uint32(min(max(20_000/n, 2), wire.MaxWant)) }

// row is what was measured of a number of workers.
type row struct {
	perSecond float64 // votes acknowledged
	p50, p99  float64 // milliseconds from a vote's frame to the lease that comes for it
	perFrame  float64 // acknowledgements in a frame of the hub's
	hubCPU    float64 // cores
}

// crew is workers, each with a connection.
type crew struct {
	workers []*worker
	ctx     context.Context
	stop    context.CancelFunc
	all     sync.WaitGroup
	failed  chan error
}

type worker struct {
	conn   *websocket.Conn
	key    ed25519.PrivateKey
	since  []time.Time // when the votes were sent whose place no lease has taken yet
	waits  []time.Duration
	acks   atomic.Int64
	frames atomic.Int64
	count  *atomic.Bool  // measuring now
	held   atomic.Uint64 // the task that it holds
}

// crew connects n workers that have joined.
func (s *stage) crew(ctx context.Context, n int) (*crew, error) {
	c := &crew{workers: make([]*worker, n), failed: make(chan error, 1)}
	c.ctx, c.stop = context.WithCancel(ctx)
	next := atomic.Int64{}
	errs := make([]error, 16)
	var dialling sync.WaitGroup
	for i := range errs {
		dialling.Go(func() {
			for w := next.Add(1) - 1; w < int64(n) && errs[i] == nil; w = next.Add(1) - 1 {
				c.workers[w], errs[i] = s.join(c.ctx, uint64(w), "")
			}
		})
	}
	dialling.Wait()
	if err := errors.Join(errs...); err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

// join connects a worker, from an address that a proxy would tell, or from here.
func (s *stage) join(ctx context.Context, n uint64, from string) (*worker, error) {
	opt := &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}}
	if from != "" {
		opt.HTTPHeader = http.Header{"X-Forwarded-For": {from}}
	}
	conn, _, err := websocket.Dial(ctx, "ws://"+s.address+wire.WorkPath, opt)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(wire.MaxToWorker)
	seed := binary.BigEndian.AppendUint64(make([]byte, 24), n)
	w := &worker{conn: conn, key: ed25519.NewKeyFromSeed(seed)}
	all, err := w.receive(ctx)
	if err != nil {
		return nil, err
	}
	hello, ok := all[0].(*wire.Hello)
	if !ok {
		return nil, fmt.Errorf("%T instead of hello", all[0])
	}
	if err := w.send(ctx, wire.SignJoin(hello, w.key, "bench/1")); err != nil {
		return nil, err
	}
	if all, err = w.receive(ctx); err != nil {
		return nil, err
	}
	if _, ok := all[0].(*wire.Welcome); !ok {
		return nil, fmt.Errorf("%T instead of welcome", all[0])
	}
	return w, nil
}

func (c *crew) leave() {
	c.stop()
	for _, w := range c.workers {
		if w != nil {
			w.conn.CloseNow()
		}
	}
	c.all.Wait()
}

// grind lets n workers vote for a while.
func (s *stage) grind(ctx context.Context, n int, d time.Duration) (*row, error) {
	c, err := s.crew(ctx, n)
	if err != nil {
		return nil, err
	}
	defer c.leave()
	var count atomic.Bool
	for _, w := range c.workers {
		w.count = &count
		c.all.Go(func() { w.work(c) })
	}
	if err := c.pause(warmUp); err != nil {
		return nil, err
	}
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	count.Store(true)
	begin := time.Now()
	if err := c.pause(d); err != nil {
		return nil, err
	}
	count.Store(false)
	took := time.Since(begin)
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	c.leave()
	return c.result(took, after-before)
}

// pause waits, unless a worker fails.
func (c *crew) pause(d time.Duration) error {
	select {
	case err := <-c.failed:
		return err
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (c *crew) result(took, cpu time.Duration) (*row, error) {
	var acks, frames int64
	var waits []time.Duration
	for _, w := range c.workers {
		acks, frames, waits = acks+w.acks.Load(), frames+w.frames.Load(), append(waits, w.waits...)
	}
	if acks == 0 || len(waits) == 0 {
		return nil, errors.New("no vote was acknowledged")
	}
	slices.Sort(waits)
	at := func(share float64) float64 { return waits[int(share*float64(len(waits)-1))].Seconds() * 1000 }
	return &row{perSecond: float64(acks) / took.Seconds(), p50: at(0.5), p99: at(0.99), perFrame: float64(acks) / float64(frames), hubCPU: cpu.Seconds() / took.Seconds()}, nil
}

// work answers leases with votes until the connection ends.
func (w *worker) work(c *crew) {
	err := w.send(c.ctx, &wire.Want{Leases: leasesOf(len(c.workers))})
	for err == nil {
		err = w.turn(c.ctx)
	}
	if c.ctx.Err() == nil {
		select {
		case c.failed <- err:
		default:
		}
	}
}

// turn reads a frame and sends what it asks for.
func (w *worker) turn(ctx context.Context) error {
	all, err := w.receive(ctx)
	if err != nil {
		return err
	}
	now, acks := time.Now(), 0
	var results []*wire.Result
	for _, m := range all {
		switch m := m.(type) {
		case *wire.Lease:
			w.leased(now)
			results = append(results, w.vote(m))
		case *wire.Ack:
			acks++
		case *wire.Refused:
			return fmt.Errorf("a vote is refused: %s", m.Message)
		case *wire.Error:
			return fmt.Errorf("the hub closes: %s", m.Message)
		}
	}
	if acks > 0 && w.count.Load() {
		w.acks.Add(int64(acks))
		w.frames.Add(1)
	}
	if len(results) == 0 {
		return nil
	}
	for range results {
		w.since = append(w.since, time.Now())
	}
	return w.deliver(ctx, results)
}

// deliver sends votes: one alone, or several with the sheet that signs them.
func (w *worker) deliver(ctx context.Context, results []*wire.Result) error {
	for part := range slices.Chunk(results, wire.MaxSheet) {
		frame, err := wire.ResultFrame(part, w.key)
		if err != nil {
			return err
		}
		if err := w.conn.Write(ctx, websocket.MessageText, frame); err != nil {
			return err
		}
	}
	return nil
}

// leased notes how long this lease was waited for.
func (w *worker) leased(now time.Time) {
	if len(w.since) == 0 {
		return // one of the first
	}
	if w.count.Load() {
		w.waits = append(w.waits, now.Sub(w.since[0]))
	}
	w.since = w.since[1:]
}

var (
	output     = []byte("an answer\n")
	outputSum  = canon.Sum(output)
	moduleSum  = canon.Sum(payloads.FactorModule)
	transcript = canon.Sum([]byte("a link"))
)

func (w *worker) vote(l *wire.Lease) *wire.Result {
	v := wire.Vote{Type: wire.VoteType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID, Module: moduleSum, Input: canon.Sum(l.Input),
		End: wire.EndExit, Fuel: 7, Output: outputSum, Segments: 1, Transcript: transcript}
	return &wire.Result{Vote: v, Output: output, Links: transcript[:]}
}

var frames = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (w *worker) receive(ctx context.Context) ([]wire.FromHub, error) {
	_, r, err := w.conn.Reader(ctx)
	if err != nil {
		return nil, err
	}
	b := frames.Get().(*bytes.Buffer)
	defer frames.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(r); err != nil {
		return nil, err
	}
	return wire.DecodeFromHub(b.Bytes())
}

// send writes a frame of at most wire.MaxBatch messages.
func (w *worker) send(ctx context.Context, all ...wire.FromWorker) error {
	frame, err := wire.Frame(all...)
	if err != nil {
		return err
	}
	return w.conn.Write(ctx, websocket.MessageText, frame)
}
