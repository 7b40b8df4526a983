// Package hub joins the state machine, the store and the sockets: it admits
// what researchers signed, lends it to workers, takes their votes, and answers
// over HTTP. The protocol is docs/spec/wire.md; who decides what is
// docs/spec/job.md.
//
// One mutex guards the machine and the list of sessions. It is never held over
// a disk or a network: what the machine wants done is queued, and done by the
// store's and the sessions' own goroutines.
package hub

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/policy"
)

// Options of New. Data and Root are needed, and Policies at the first start;
// everything else has a default.
type Options struct {
	Data string      // directory of the store; made if it is not there
	Root policy.Root // who signs the policy
	// Policies are signed policies, in ascending order, beside those in Data.
	Policies []policy.Signed

	Title  string // of the page
	Origin string // where visitors reach the hub: the origin of its own pages, if not ""

	Log *slog.Logger     // nil: none
	Now func() time.Time // nil: time.Now

	// AllowOrigins are the origins (scheme://host) of pages that may open a
	// worker connection, beside the hub's own. Where the policy names origins,
	// only those of them that are in both.
	AllowOrigins []string
	// SiteTokens asks pages of other origins for a site token: docs/spec/token.md.
	SiteTokens bool
	// PrivateResults shows results and input files to auditors only.
	PrivateResults bool
	// TrustedProxies may say in X-Forwarded-For who their client is.
	TrustedProxies []netip.Prefix
	// MaxConnections and MaxPerNetwork bound worker connections.
	MaxConnections, MaxPerNetwork int
	// MaxRequests bounds the HTTP requests a second of one network; 0: 500, and
	// no bound with UnsafeOneNetwork.
	MaxRequests int

	// LeaseGrace and Reclaim are job.Config's Grace and Reclaim.
	LeaseGrace, Reclaim time.Duration
	// CheckpointBytes bounds what is kept for workers to go on from, of one
	// network a quarter of it; 0: 4 GiB.
	CheckpointBytes int64
	// ReserveBytes is how much room the disk must have for anything to be lent
	// or admitted; 0: 64 MiB.
	ReserveBytes uint64
	// KeepFinished is how long the votes of orders that have ended are kept; 0:
	// for ever. No less than MinKeep.
	KeepFinished time.Duration
	// UnsafeOneNetwork lets one machine make verdicts alone: job.Config.
	UnsafeOneNetwork bool

	// LogOrigin names the transparency log when its key is made; "": a name that
	// follows from the key.
	LogOrigin string
	// Witnesses, each URL,VKEY, are asked to cosign the log's checkpoints.
	Witnesses []string
	// WitnessQuorum is how many of them a checkpoint waits for; 0: more than half.
	WitnessQuorum int

	pingEvery, witnessWait, eventTimeout time.Duration // of tests that do not want to wait
}

const (
	defaultMaxConnections = 20_000
	defaultMaxPerNetwork  = 1024
	defaultMaxRequests    = 500
	defaultReserve        = 64 << 20
	tickEvery             = 200 * time.Millisecond
	maxAdmissions         = 2 // at the same time: each may compile 32 MiB
)

// Hub is a running hub. Close ends it.
type Hub struct {
	opt       Options
	log       *slog.Logger
	now       func() time.Time
	trust     atomic.Pointer[trusted]
	turn      sync.Mutex // of policies, indexes and what changes tokens
	snapshots sync.Mutex // one is made at a time
	store     *store.Store
	engine    *sandbox.Engine
	key       ed25519.PrivateKey
	id        wire.Key
	tokens    *tokens
	sites     sites
	catalog   *catalog
	modules   *moduleCache
	limits    *limits
	metrics   *metrics
	notary    *notary
	handler   http.Handler
	page      atomic.Pointer[http.Handler]
	admits    chan struct{} // as many as admissions may go on
	stored    atomic.Uint64 // votes on disk
	results   atomic.Uint64 // verdicts concluded
	pending   atomic.Int64  // verdicts on their way to the disk
	fullAt    atomic.Int64  // when it was last said that there is no room

	landed []landed // votes that became durable together; of the store's goroutine that tells

	mu       sync.Mutex
	landing  bool       // what is sent is written when all that landed is counted
	woken    []*session // to be written to then
	machine  *job.Machine
	sessions map[job.SessionID]*session
	last     job.SessionID
	closing  bool
	visits   visits
	halt     string     // an operator's reason, or ""
	distrust string     // the policy's or index's reason to halt, or ""
	short    bool       // of room on the disk
	suspects []wire.Key // whose verdicts are to be weighed again
	warned   string     // the warning about trust that was logged last

	since      time.Time       // it started
	ctx        context.Context // ends with Close
	stop       context.CancelFunc
	streaming  context.Context // ends when the hub shuts down
	endStreams context.CancelFunc
	running    sync.WaitGroup // the ticker
	serving    sync.WaitGroup // sessions; added to under mu, while not closing
	doubts     chan struct{}  // there are suspects
	failed     chan struct{}  // closed when the disk has failed
	failure    error
	failing    sync.Once
}

// New opens the data directory, loads its facts and begins to work; Handler or
// Run make it reachable.
func New(ctx context.Context, opt Options) (*Hub, error) {
	h := &Hub{
		opt: opt, log: opt.Log, now: opt.Now,
		catalog:  newCatalog(),
		modules:  newModuleCache(),
		admits:   make(chan struct{}, maxAdmissions),
		sessions: map[job.SessionID]*session{},
		sites:    sites{by: map[string]*rate.Limiter{}},
		doubts:   make(chan struct{}, 1),
		failed:   make(chan struct{}),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.opt.ReserveBytes == 0 {
		h.opt.ReserveBytes = defaultReserve
	}
	if h.opt.pingEvery == 0 {
		h.opt.pingEvery = pingEvery
	}
	if h.opt.eventTimeout == 0 {
		h.opt.eventTimeout = eventTimeout
	}
	if h.opt.witnessWait == 0 {
		h.opt.witnessWait = witnessWait
	}
	h.since = h.now()
	h.ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.streaming, h.endStreams = context.WithCancel(h.ctx)
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	h.running.Go(h.tick)
	h.running.Go(h.doubt)
	h.running.Go(h.retain)
	h.running.Go(h.giveBackMemory)
	return h, nil
}

func (h *Hub) open(ctx context.Context) (err error) {
	if len(h.opt.Root.Keys) == 0 {
		return errNoRoot
	}
	if k := h.opt.KeepFinished; k != 0 && k < MinKeep {
		return fmt.Errorf("finished orders are kept for %s: results of what they lent may come for %s", k, MinKeep)
	}
	if h.store, err = store.Open(h.opt.Data, &store.Options{CheckpointBytes: h.opt.CheckpointBytes, Landed: h.land}); err != nil {
		return err
	}
	if err := h.openTrust(); err != nil {
		return err
	}
	h.key = h.store.Key()
	h.id = wire.KeyOf(h.key.Public().(ed25519.PublicKey))
	if err := h.openTokens(); err != nil {
		return err
	}
	if h.engine, err = sandbox.New(ctx, nil); err != nil {
		return fmt.Errorf("starting the engine: %w", err)
	}
	h.limits = newLimits(h.opt)
	h.machine = job.New(job.Config{
		NewID:            newLeaseID,
		Key:              sha256.Sum256(append([]byte("countersign.permutation-key/v1\n"), h.key.Seed()...)),
		Grace:            h.opt.LeaseGrace,
		Reclaim:          h.opt.Reclaim,
		UnsafeOneNetwork: h.opt.UnsafeOneNetwork,
	})
	if err := h.load(); err != nil {
		return fmt.Errorf("loading %s: %w", h.opt.Data, err)
	}
	h.metrics = newMetrics(h)
	if h.notary, err = newNotary(h.ctx, h); err != nil {
		return fmt.Errorf("starting the transparency log: %w", err)
	}
	h.mu.Lock()
	h.perform(h.machine.Settle(h.now()))
	h.mu.Unlock()
	h.lookAtTrust()
	h.lookAtRoom()
	h.closeOrigins()
	h.repage()
	h.handler = h.routes()
	return nil
}

func newLeaseID() (id wire.LeaseID) {
	rand.Read(id[:]) // never fails
	return id
}

// Key is the hub's public key.
func (h *Hub) Key() wire.Key { return h.id }

// LogKey is the public key of the hub's transparency log.
func (h *Hub) LogKey() translog.VKey { return h.notary.key.VKey }

// Policy is what the hub admits by.
func (h *Hub) Policy() *policy.Policy { return h.trust.Load().Policy }

// Handler serves the whole hub: page, API and worker connections.
func (h *Hub) Handler() http.Handler { return h.handler }

// Close says goodbye to the workers, waits until everything is on disk, and
// closes the store.
func (h *Hub) Close() error {
	h.mu.Lock()
	h.closing = true
	for _, s := range h.sessions {
		s.leave(wire.CodeClosing, "the hub shuts down")
	}
	h.mu.Unlock()
	h.settle(closeTimeout)
	h.stop()
	if h.store != nil {
		h.store.StopWaiting()
	}
	h.serving.Wait()
	h.running.Wait()
	if h.notary != nil {
		h.notary.close()
	}
	var err error
	if h.store != nil {
		err = h.store.Close()
	}
	h.catalog.close()
	if h.engine != nil {
		err = errors.Join(err, h.engine.Close(context.Background()))
	}
	return err
}

// settle waits for the sessions to end, not longer than d.
func (h *Hub) settle(d time.Duration) {
	ended := make(chan struct{})
	go func() {
		h.serving.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(d):
	}
}

// fail ends the hub when its disk fails: what it knows would run ahead of what
// it could prove after a restart. A hub that closes has not failed: what the last
// votes decide, too late to be written, is decided again when it starts.
func (h *Hub) fail(err error) {
	if errors.Is(err, store.ErrClosed) {
		return
	}
	h.failing.Do(func() {
		h.failure = err
		h.log.Error("the store has failed; the hub ends", "error", err)
		close(h.failed)
	})
}

func (h *Hub) tick() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-t.C:
			h.lookAtTrust()
			h.lookAtRoom()
			h.work(func(m *job.Machine) []job.Action { return m.Tick(h.now()) })
		}
	}
}

// work lets f use the machine, and sees to what it wants done.
func (h *Hub) work(f func(*job.Machine) []job.Action) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.perform(f(h.machine))
}

// refusal is an error for whoever asked: a code and a sentence.
func refusal(code, format string, args ...any) error { return canon.Fail(code, format, args...) }
