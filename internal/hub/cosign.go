package hub

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/witness"
)

// settle publishes a checkpoint for which witnesses took too long.
func (n *notary) settle(size int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.rounds {
		if r.c.Size == size {
			n.log.Warn("a checkpoint is published without enough witnesses", "size", size, "cosigned", r.count, "needed", n.quorum)
			n.publish(r.c)
			return
		}
	}
}

// cosigned adds a cosignature to the checkpoint of that size.
func (n *notary) cosigned(size int64, s translog.Signature) {
	n.mu.Lock()
	defer n.mu.Unlock()
	add := func(c *translog.Checkpoint) *translog.Checkpoint {
		with := *c // what was given out does not change
		with.Signatures = append(append([]translog.Signature(nil), c.Signatures...), s)
		return &with
	}
	if n.out != nil && n.out.Size == size {
		n.publish(add(n.out))
		return
	}
	for _, r := range n.rounds {
		if r.c.Size == size {
			r.c = add(r.c)
			if r.count++; r.count >= n.quorum {
				n.publish(r.c)
			}
			return
		}
	}
}

// wants returns the newest checkpoint if the witness has not cosigned it.
func (n *notary) wants(k translog.VKey) *translog.Checkpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.newest()
	if _, has := translog.Cosignature(k, c, c.Signatures); has {
		return nil
	}
	bare := *c
	bare.Signatures = c.Signatures[:1:1] // the log's own
	return &bare
}

// ask asks one witness, for ever.
func (n *notary) ask(ctx context.Context, r *witness.Remote, wake <-chan struct{}) {
	again := firstAgain
	for {
		var timer <-chan time.Time
		if c := n.wants(r.Key); c != nil {
			if err := n.askOnce(ctx, r, c); err == nil {
				again = firstAgain
				continue // perhaps there is a newer one
			} else if ctx.Err() == nil {
				n.complain(r, c, err)
			}
			timer = time.After(again)
			again = min(2*again, lastAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer:
		}
	}
}

func (n *notary) askOnce(ctx context.Context, r *witness.Remote, c *translog.Checkpoint) error {
	ctx, cancel := context.WithTimeout(ctx, n.wait)
	defer cancel()
	s, err := r.Ask(ctx, c, n.prove)
	if err == nil {
		n.cosigned(c.Size, s)
	}
	return err
}

func (n *notary) complain(r *witness.Remote, c *translog.Checkpoint, err error) {
	if canon.ClassOf(err) == translog.ClassFork {
		n.log.Error("a witness has seen another log under this hub's log key: was the data directory restored from a backup, or the key stolen?", "witness", r.Key.Name, "size", c.Size, "error", err)
		return
	}
	n.log.Warn("a witness did not cosign", "witness", r.Key.Name, "size", c.Size, "error", err)
}

func (n *notary) prove(old, size int64) (path tlog.TreeProof, err error) {
	err = n.store.ViewLog(func(v store.LogView) error {
		path, err = tlog.ProveTree(size, old, v)
		return err
	})
	return path, err
}
