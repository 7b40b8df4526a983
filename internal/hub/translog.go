package hub

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
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

// proof proves that the log has a statement.
func (n *notary) proof(d canon.Digest) ([]byte, error) {
	index, err := n.index(d)
	if err != nil {
		return nil, err
	}
	c, witnessed := n.current()
	if witnessed != nil && index < witnessed.Size {
		c = witnessed
	}
	if index >= c.Size {
		return nil, refusal(wire.CodeNotFound, "statement %s is under no published checkpoint yet", d.Short())
	}
	p := translog.Proof{Index: index, Checkpoint: c}
	err = n.store.ViewLog(func(v store.LogView) error {
		p.Path, err = tlog.ProveRecord(c.Size, index, v)
		return err
	})
	return p.Encode(), err
}

// anyPage lets any page read what is public and changes.
func anyPage(w http.ResponseWriter, contentType string) {
	head := w.Header()
	head.Set("Content-Type", contentType)
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (h *Hub) getProof(w http.ResponseWriter, d canon.Digest) error {
	proof, err := h.notary.proof(d)
	if err != nil {
		return err
	}
	anyPage(w, "text/plain; charset=utf-8")
	w.Write(proof) // fails if the client left
	return nil
}

func (h *Hub) getLogCheckpoint(w http.ResponseWriter, r *http.Request) error {
	c, _ := h.notary.current()
	anyPage(w, "text/plain; charset=utf-8")
	w.Write(c.Encode())
	return nil
}

func (h *Hub) getLogTile(w http.ResponseWriter, r *http.Request) error {
	// The path as it came: one that was cleaned is another one.
	t, ok := translog.ParseTilePath(strings.TrimPrefix(r.URL.EscapedPath(), "/log/tile/"))
	c, _ := h.notary.current()
	if !ok || !translog.Covered(t, c.Size) {
		return refusal(wire.CodeNotFound, "the log has no tile %s", printable(r.URL.Path, 100))
	}
	var data []byte
	if err := h.store.ViewLog(func(v store.LogView) (err error) {
		if t.L == translog.EntryLevel {
			data, err = bundle(v, t)
		} else {
			data, err = tlog.ReadTileData(t, v)
		}
		return err
	}); err != nil {
		return err
	}
	deadlines(w, downloadTimeout, downloadTimeout)
	immutable(w, "application/octet-stream")
	if t.L == translog.EntryLevel {
		return compressed(w, r, data)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}

// bundle is the entries of a tile, each after its length.
func bundle(v store.LogView, t tlog.Tile) (data []byte, err error) {
	for i := range int64(t.W) {
		entry, err := v.Entry(t.N<<translog.TileHeight + i)
		if err != nil {
			return nil, err
		}
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(entry))), entry...)
	}
	return data, nil
}

// compressed answers with gzip to those that take it.
func compressed(w http.ResponseWriter, r *http.Request, data []byte) error {
	w.Header().Add("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Write(data)
		return nil
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // anybody may ask
	if err != nil {
		return err
	}
	if _, err := z.Write(data); err != nil {
		return nil // the client left
	}
	z.Close()
	return nil
}
