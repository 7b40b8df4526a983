package hub

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/internal/witness"
)

const (
	witnessWait = 5 * time.Second // of one question, and before publishing without enough of them
	firstAgain  = time.Second     // before a witness is asked again; it doubles from there
	lastAgain   = time.Minute
)

// notary signs checkpoints of the store's log, asks witnesses for their
// cosignatures, and knows what is published: docs/spec/log.md.
type notary struct {
	store  *store.Store
	key    translog.SecretKey
	keys   []translog.VKey // of the witnesses
	quorum int
	wait   time.Duration
	log    *slog.Logger
	fail   func(error)
	ended  context.Context
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu        sync.Mutex
	rounds    []*round             // not published yet, by size
	out       *translog.Checkpoint // published, or on its way to the disk to be published
	published *translog.Checkpoint // on disk, and what everybody sees
	witnessed *translog.Checkpoint // the newest of those that enough witnesses cosigned; nil: none
	changed   chan struct{}        // closed, and made again, when something was published
	wake      []chan struct{}      // of the witnesses: there is a new checkpoint
}

// round is a checkpoint on its way to be published.
type round struct {
	c     *translog.Checkpoint
	count int // cosignatures
}

// newNotary signs and publishes the log as it is, and begins to ask witnesses.
func newNotary(ctx context.Context, h *Hub) (*notary, error) {
	n := &notary{store: h.store, quorum: h.opt.WitnessQuorum, wait: h.opt.witnessWait, log: h.log, fail: h.fail, changed: make(chan struct{})}
	var err error
	if n.key, err = h.store.LogKey(h.opt.LogOrigin); err != nil {
		return nil, err
	}
	var remotes []*witness.Remote
	var keys []string
	for _, text := range h.opt.Witnesses {
		r, err := witness.NewRemote(text)
		if err != nil {
			return nil, err
		}
		remotes, keys, n.keys = append(remotes, r), append(keys, r.Key.String()), append(n.keys, r.Key)
	}
	if n.quorum == 0 && len(keys) > 0 {
		n.quorum = len(keys)/2 + 1
	}
	// It looks whether the keys are different, and enough.
	if _, err := translog.NewVerifier(n.key.VKey.String(), keys, n.quorum); err != nil {
		return nil, err
	}
	if err := n.load(); err != nil {
		return nil, err
	}
	n.ended, n.stop = context.WithCancel(ctx)
	if err := n.advance(); err != nil {
		return n, err
	}
	n.mu.Lock()
	published, changed := n.published, n.changed
	n.mu.Unlock()
	if published == nil {
		select {
		case <-changed:
		case <-h.failed:
			return n, h.failure
		}
	}
	for _, r := range remotes {
		wake := make(chan struct{}, 1)
		n.wake = append(n.wake, wake)
		n.done.Go(func() { n.ask(n.ended, r, wake) })
	}
	return n, nil
}

func (n *notary) close() {
	n.stop()
	n.done.Wait()
}

const (
	keptPublished = "checkpoint"
	keptWitnessed = "witnessed"
)

// load takes up what was published before, if it is of this key.
func (n *notary) load() error {
	defer func() { n.out = n.published }()
	for name, into := range map[string]**translog.Checkpoint{keptPublished: &n.published, keptWitnessed: &n.witnessed} {
		text, err := n.store.Published(name)
		if err != nil {
			return err
		}
		if text == nil {
			continue
		}
		c, err := translog.ParseCheckpoint(text)
		if err != nil {
			return fmt.Errorf("reading the checkpoint that was published last: %w", err)
		}
		if c.Origin != n.key.Name {
			continue // another log began
		}
		if err := n.still(c); err != nil {
			return err
		}
		again := translog.Sign(n.key, c.Size, c.Root)
		for _, k := range n.keys {
			if s, ok := translog.Cosignature(k, c, c.Signatures); ok {
				again.Signatures = append(again.Signatures, s)
			}
		}
		if name == keptPublished || n.enough(again) {
			*into = again
		}
	}
	return nil
}

// still makes sure that the log on disk goes on from what was published.
func (n *notary) still(c *translog.Checkpoint) error {
	return n.store.ViewLog(func(v store.LogView) error {
		if c.Size > v.Size() {
			return fmt.Errorf("the log on disk has %d entries, and %d were published", v.Size(), c.Size)
		}
		root, err := tlog.TreeHash(c.Size, v)
		if err == nil && root != c.Root {
			err = fmt.Errorf("the first %d entries of the log on disk are not those that were published", c.Size)
		}
		return err
	})
}

// enough reports whether as many witnesses as are needed cosigned.
func (n *notary) enough(c *translog.Checkpoint) bool {
	return n.quorum > 0 && len(c.Signatures) > n.quorum // the first is the log's own
}

// advance signs a checkpoint of everything that is on disk, unless there is
// one, and sees to its publication.
func (n *notary) advance() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var c *translog.Checkpoint
	if err := n.store.ViewLog(func(v store.LogView) error {
		if n.newest() != nil && n.newest().Size >= v.Size() {
			return nil
		}
		root, err := tlog.TreeHash(v.Size(), v)
		c = translog.Sign(n.key, v.Size(), root)
		return err
	}); err != nil {
		return err
	}
	if c != nil {
		size := c.Size
		n.rounds = append(n.rounds, &round{c: c})
		time.AfterFunc(n.wait, func() { n.settle(size) })
	}
	if n.out == nil || (n.quorum == 0 && c != nil) {
		n.publish(n.newest()) // somebody may look at once, even where there is nothing yet
	}
	for _, wake := range n.wake {
		select {
		case wake <- struct{}{}:
		default: // it is awake
		}
	}
	return nil
}

// newest is the largest checkpoint that was signed.
func (n *notary) newest() *translog.Checkpoint {
	if len(n.rounds) > 0 {
		return n.rounds[len(n.rounds)-1].c
	}
	return n.out
}

// publish makes c what everybody sees, as soon as it is on disk: a log that
// was seen must not be smaller after a crash. n.mu is held.
func (n *notary) publish(c *translog.Checkpoint) {
	if n.ended.Err() != nil {
		return
	}
	n.out = c
	for len(n.rounds) > 0 && n.rounds[0].c.Size <= c.Size {
		n.rounds = n.rounds[1:]
	}
	names := []string{keptPublished}
	if n.enough(c) {
		names = append(names, keptWitnessed)
	}
	err := n.store.PutPublished(c.Encode(), names, func(err error) {
		if err != nil {
			n.fail(err)
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.published = c
		if n.enough(c) {
			n.witnessed = c
		}
		close(n.changed)
		n.changed = make(chan struct{})
	})
	if err != nil {
		n.log.Debug("a checkpoint is not published", "error", err) // the store is closed
	}
}

// admitted waits until a checkpoint with the leaf of a statement is published,
// which is never long. A statement is lent after that.
func (n *notary) admitted(d canon.Digest) error {
	if err := n.advance(); err != nil {
		return err
	}
	index, err := n.index(d)
	if err != nil {
		return err
	}
	for {
		n.mu.Lock()
		size, changed := n.published.Size, n.changed
		n.mu.Unlock()
		if index < size {
			return nil
		}
		select {
		case <-changed:
		case <-n.ended.Done():
			return refusal(wire.CodeClosing, "the hub shuts down")
		}
	}
}

func (n *notary) index(d canon.Digest) (index int64, err error) {
	err = n.store.ViewLog(func(v store.LogView) error {
		var ok bool
		if index, ok = v.Index(d); !ok {
			return refusal(wire.CodeNotFound, "statement %s is not in the log", d.Short())
		}
		return nil
	})
	return index, err
}

// current returns what is published, and what of it is witnessed.
func (n *notary) current() (published, witnessed *translog.Checkpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.published, n.witnessed
}
