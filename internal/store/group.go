package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrClosed is a write after Close.
var ErrClosed = errors.New("the store is closed")

const (
	maxQueue  = 8192     // writes waiting; more writers wait
	maxQueued = 64 << 20 // bytes of their values
	maxGroup  = 4096     // writes in a transaction
	maxBytes  = 16 << 20 // of values in a transaction
)

// write is one fact on its way to the disk.
type write struct {
	apply func(*bolt.Tx) error // on bbolt's errors only: they spoil the group
	done  func(error)
	size  int
	now   bool // do not wait for room: submitted by the one that makes room
}

// group commits writes in groups. One goroutine writes, another tells the
// writers, so that the next group is on its way to the disk meanwhile.
type group struct {
	db      *bolt.DB
	mu      sync.Mutex
	more    *sync.Cond // there is something to write, or the end has come
	room    *sync.Cond
	queue   []write
	queued  int // bytes
	closed  bool
	failed  error // after a failed commit nothing is written any more
	told    chan told
	landed  func()        // after each group
	stalled atomic.Bool   // there is no room on the disk
	closing chan struct{} // closed: no more waiting for room
	hurried sync.Once
	stopped sync.WaitGroup
}

type told struct {
	writes []write
	err    error
}

func startGroup(db *bolt.DB, landed func()) *group {
	if landed == nil {
		landed = func() {}
	}
	g := &group{db: db, landed: landed, told: make(chan told, 1), closing: make(chan struct{})}
	g.more, g.room = sync.NewCond(&g.mu), sync.NewCond(&g.mu)
	g.stopped.Go(g.commit)
	g.stopped.Go(g.tell)
	return g
}

// submit queues a write. done is called exactly once, in the order of
// submission, when the write is durable or has failed; never by submit itself.
// If submit returns an error, done is not called.
func (g *group) submit(w write) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for (len(g.queue) >= maxQueue || g.queued >= maxQueued) && !g.closed && !w.now {
		g.room.Wait()
	}
	if g.closed {
		return ErrClosed
	}
	g.queue = append(g.queue, w)
	g.queued += w.size
	g.more.Signal()
	return nil
}

// take waits for writes and returns those of one transaction.
func (g *group) take() []write {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) == 0 && !g.closed {
		g.more.Wait()
	}
	n, size := 0, 0
	for n < len(g.queue) && n < maxGroup && (n == 0 || size < maxBytes) {
		size += g.queue[n].size
		n++
	}
	g.queued -= size
	writes := append([]write(nil), g.queue[:n]...)
	g.queue = append(g.queue[:0], g.queue[n:]...)
	clear(g.queue[len(g.queue):cap(g.queue)])
	g.room.Broadcast()
	return writes
}

func (g *group) commit() {
	defer close(g.told)
	for writes := g.take(); len(writes) > 0; writes = g.take() {
		if g.failed == nil {
			g.failed = g.write(writes)
		}
		var err error
		if g.failed != nil {
			// The machine's state would run ahead of the disk if later facts
			// were written without these.
			err = fmt.Errorf("writing facts: %w", g.failed)
		}
		g.told <- told{writes, err}
	}
}

// write commits one transaction. A full disk is a disk that is slow: it is
// tried again until there is room, or the store is closed.
func (g *group) write(writes []write) error {
	for {
		err := g.db.Update(func(tx *bolt.Tx) error {
			for _, w := range writes {
				if err := w.apply(tx); err != nil {
					return err
				}
			}
			return nil
		})
		g.stalled.Store(unwritten(err))
		if !unwritten(err) {
			return err
		}
		select {
		case <-g.closing:
			return err
		case <-time.After(retryEvery):
		}
	}
}

func (g *group) tell() {
	for t := range g.told {
		for _, w := range t.writes {
			w.done(t.err)
		}
		g.landed()
	}
}

// hurry ends waiting for room on the disk: what finds none fails from now on.
func (g *group) hurry() { g.hurried.Do(func() { close(g.closing) }) }

// stop writes what is queued, and returns the error of the first failed commit.
func (g *group) stop() error {
	g.mu.Lock()
	g.closed = true
	g.hurry()
	g.more.Broadcast()
	g.room.Broadcast()
	g.mu.Unlock()
	g.stopped.Wait()
	return g.failed
}

// wait turns a submission into a call that returns when the write is durable.
func (g *group) wait(w write) error {
	result := make(chan error, 1)
	w.done = func(err error) { result <- err }
	if err := g.submit(w); err != nil {
		return err
	}
	return <-result
}
