package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// villain is a kind of hostile client. All of them come from one network.
type villain struct {
	name  string
	many  int // of them at once
	act   func(*mob, context.Context, int)
	about string
}

var villains = []villain{
	{"flood", 20, (*mob).flood, "joined, full frames of messages without a pause"},
	{"votes", 20, (*mob).lie, "joined, results that are signed wrongly"},
	{"replays", 20, (*mob).replay, "joined, a good vote again and again"},
	{"checkpoints", 20, (*mob).fill, "joined, checkpoints of a mebibyte for their leases"},
	{"lengths", 20, (*mob).lengths, "frames that say they are 2 to the 62 bytes, and of 5 MiB"},
	{"half-open", 150, (*mob).halfOpen, "connections that never join, and headers that never end"},
	{"silent", 20, (*mob).silent, "joined, make the hub answer and read nothing"},
	{"churn", 20, (*mob).churn, "join and leave again"},
	{"many", 1000, (*mob).many, "connections that stay, five times what one network may have"},
	{"http", 20, (*mob).requests, "requests without a pause"},
}

// mob is hostile clients, counted.
type mob struct {
	stage
	did atomic.Int64 // whatever their kind does
}

// misbehave is the whole of a hostile process.
func misbehave(ctx context.Context, name, address string, d time.Duration, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for _, v := range villains {
		if v.name != name {
			continue
		}
		m := &mob{stage: stage{address: address}}
		var all sync.WaitGroup
		for i := range v.many {
			all.Go(func() {
				for ctx.Err() == nil {
					v.act(m, ctx, i)
					pauseFor(ctx, 10*time.Millisecond) // one that was thrown out comes again
				}
			})
		}
		all.Wait()
		fmt.Fprintln(out, m.did.Load())
		return nil
	}
	return fmt.Errorf("there is no villain %q", name)
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (m *mob) from(n int) string { return fmt.Sprintf("203.0.113.%d", n%250+1) }

// joined runs f on a connection that has joined, while another goroutine reads
// if anybody does.
func (m *mob) joined(ctx context.Context, n int, f func(*worker) error) {
	w, err := m.join(ctx, uint64(1_000_000+n), m.from(n))
	if err != nil {
		return
	}
	defer w.conn.CloseNow()
	for err == nil && ctx.Err() == nil {
		err = f(w)
	}
}

func (m *mob) reading(ctx context.Context, w *worker) {
	go func() {
		for {
			if _, err := w.receive(ctx); err != nil {
				return
			}
		}
	}()
}

func (m *mob) flood(ctx context.Context, n int) {
	var once sync.Once
	frame := make([]wire.FromWorker, wire.MaxBatch)
	for i := range frame {
		frame[i] = &wire.Want{Leases: uint32(i % 2)}
	}
	m.joined(ctx, n, func(w *worker) error {
		once.Do(func() { m.reading(ctx, w) })
		m.did.Add(wire.MaxBatch)
		return w.send(ctx, frame...)
	})
}

// lease waits for the first lease.
func (m *mob) lease(ctx context.Context, w *worker) (*wire.Lease, error) {
	if err := w.send(ctx, &wire.Want{Leases: 1}); err != nil {
		return nil, err
	}
	for {
		all, err := w.receive(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			if l, ok := x.(*wire.Lease); ok {
				return l, nil
			}
		}
	}
}

func (m *mob) lie(ctx context.Context, n int)    { m.vote(ctx, n, 1) }
func (m *mob) replay(ctx context.Context, n int) { m.vote(ctx, n, 0) }

// vote sends one vote again and again, with a signature that is so wrong.
func (m *mob) vote(ctx context.Context, n int, wrong byte) {
	var frame []wire.FromWorker
	m.joined(ctx, n, func(w *worker) error {
		if frame == nil {
			l, err := m.lease(ctx, w)
			if err != nil {
				return err
			}
			m.reading(ctx, w)
			r, err := w.signed(l)
			if err != nil {
				return err
			}
			r.Seal.Signature[7] += wrong
			for range wire.MaxBatch {
				frame = append(frame, r)
			}
		}
		m.did.Add(wire.MaxBatch)
		return w.send(ctx, frame...)
	})
}

func (m *mob) fill(ctx context.Context, n int) {
	var offer *wire.Offer
	m.joined(ctx, n, func(w *worker) error {
		if offer == nil {
			l, err := m.lease(ctx, w)
			if err != nil {
				return err
			}
			m.reading(ctx, w)
			state := make([]byte, 1<<20)
			p := wire.Checkpoint{State: state, Links: transcript[:]}
			p.Reached = wire.Reached{Type: wire.CheckpointType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID, Module: moduleSum, Input: canon.Sum(l.Input),
				Segments: 1, Fuel: 7, Transcript: transcript, State: canon.Sum(state), Output: canon.Sum(nil)}
			if p.Signature, err = wire.SignReached(&p.Reached, w.key); err != nil {
				return err
			}
			offer = &wire.Offer{Token: l.Token, Checkpoint: p}
		}
		m.did.Add(1)
		return w.send(ctx, offer)
	})
}

// shakeHands opens a WebSocket by hand, to send what no library would.
func (m *mob) shakeHands(ctx context.Context, n int, most int) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.address)
	if err != nil {
		return nil, err
	}
	if most > 0 {
		_ = conn.(*net.TCPConn).SetReadBuffer(most) // a larger one only fills later
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\nX-Forwarded-For: %s\r\n\r\n",
		wire.WorkPath, m.address, wire.Subprotocol, m.from(n))
	_, err = conn.Read(make([]byte, 4096))
	return conn, err
}

func (m *mob) lengths(ctx context.Context, n int) {
	conn, err := m.shakeHands(ctx, n, 0)
	if err != nil {
		return
	}
	defer conn.Close()
	m.did.Add(1)
	length := uint64(1 << 62)
	if n%2 == 0 {
		length = 5 << 20
	}
	frame := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, length)
	if _, err := conn.Write(append(frame, 0, 0, 0, 0)); err != nil {
		return
	}
	junk := bytes.Repeat([]byte(" "), 64<<10)
	for ctx.Err() == nil {
		if _, err := conn.Write(junk); err != nil {
			return
		}
	}
}

func (m *mob) halfOpen(ctx context.Context, n int) {
	var conn net.Conn
	var err error
	if n%2 == 0 {
		conn, err = m.shakeHands(ctx, n, 0)
	} else if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", m.address); err == nil {
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\nX-Slow: ", m.from(n))
	}
	if err != nil {
		return
	}
	defer conn.Close()
	m.did.Add(1)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, _ = io.Copy(io.Discard, conn) // until the hub has enough
}

func (m *mob) silent(ctx context.Context, n int) {
	frame := make([]wire.FromWorker, wire.MaxBatch)
	m.joined(ctx, n, func(w *worker) error {
		if frame[0] == nil {
			for i := range frame { // each is refused, with a message
				frame[i] = &wire.Offer{Token: "a.b.c", Checkpoint: m.nonsense(w)}
			}
		}
		m.did.Add(wire.MaxBatch)
		return w.send(ctx, frame...)
	})
}

func (m *mob) nonsense(w *worker) wire.Checkpoint {
	p := wire.Checkpoint{Links: transcript[:]}
	p.Reached = wire.Reached{Type: wire.CheckpointType, Segments: 1, Transcript: transcript}
	return p
}

func (m *mob) churn(ctx context.Context, n int) {
	w, err := m.join(ctx, uint64(1_000_000+n), m.from(n))
	if err == nil {
		w.conn.CloseNow()
	}
	m.did.Add(1)
}

func (m *mob) many(ctx context.Context, n int) {
	m.did.Add(1)
	m.joined(ctx, n, func(w *worker) error { _, err := w.receive(ctx); return err })
	pauseFor(ctx, time.Second)
}

func (m *mob) requests(ctx context.Context, n int) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address+"/v1/orders", nil)
	if err != nil {
		return
	}
	q.Header.Set("X-Forwarded-For", m.from(n))
	for ctx.Err() == nil {
		m.did.Add(1)
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, a.Body)
		a.Body.Close()
	}
}

// signed is a vote of a worker's with a signature and a token of its own.
func (w *worker) signed(l *wire.Lease) (r *wire.Result, err error) {
	r = w.vote(l)
	r.Token = l.Token
	r.Seal, err = wire.SignVote(&r.Vote, w.key)
	return r, err
}
