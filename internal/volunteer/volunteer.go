// Package volunteer runs a hub's tasks natively: as a worker that votes
// (docs/spec/wire.md), and again afterwards, to compare with what was accepted.
//
// It trusts a hub no more than a browser does: releases and orders are verified
// against Trust, modules against their release, and only then something runs.
package volunteer

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
)

// Options of New. Hub, Key, Trust and Engine are needed.
type Options struct {
	Hub    string // its base URL
	Key    ed25519.PrivateKey
	Trust  Trust
	Engine *sandbox.Engine

	Slots int    // tasks at the same time; 0: 1
	Share int    // percent of a processor for each slot; 0: 100
	Agent string // program and version
	Log   *slog.Logger

	Now func() time.Time // nil: time.Now
	// Retry is the first delay before connecting again; it doubles from there.
	// 0: a second.
	Retry time.Duration
	// Linger is how long to wait, when stopping, for results to be
	// acknowledged. 0: 5 seconds.
	Linger time.Duration

	// CheckpointEvery is the least time between checkpoints of a task. 0: what
	// is best for the visits that the hub sees.
	CheckpointEvery time.Duration

	// Acknowledged, if any, is told of every vote that the hub has on disk.
	Acknowledged func(*wire.Result, wire.Verdict)
	// Misbehave, if any, makes this a bad volunteer. It is for simulations.
	Misbehave *Misbehave
}

// Misbehave has the ways in which simulated volunteers are bad.
type Misbehave struct {
	// Outcome replaces what a task came to before it is signed.
	Outcome func(*wire.Lease, sandbox.Outcome) sandbox.Outcome
	// Checkpoint replaces the state of a checkpoint before it is signed.
	Checkpoint func(*wire.Lease, []byte) []byte
	// Left says at the hub's answer to a checkpoint whether to disappear so.
	Left func(*wire.Kept) bool
	// Vanish says at a lease whether to disappear: the connection is cut, and
	// Run returns ErrVanished without another word to the hub.
	Vanish func(*wire.Lease) bool
}

// ErrVanished is what Run returns when Misbehave.Vanish or Left said so.
var ErrVanished = errors.New("the volunteer vanished")

const (
	defaultAgent  = "countersign-native/0.1.0"
	defaultLinger = 5 * time.Second
	defaultRetry  = 5 * time.Second
	maxRetry      = time.Minute
	maxHint       = 10 * time.Minute // however long the hub wants to be left alone
	// A connection that lasted this long was a good one.
	goodConnection = 10 * time.Second
)

// Causes for which a running task is cancelled.
var (
	errStopped = errors.New("the volunteer stops")
	errKilled  = errors.New("killed")
)

// Volunteer is one worker of a hub.
type Volunteer struct {
	opt      Options
	log      *slog.Logger
	url      string // of the worker connection
	hub      *client.Client
	source   *source
	follower *follower     // nil: what is trusted does not change
	slots    chan struct{} // holds a token for each slot that is free
	tasks    sync.WaitGroup
	key      wire.Key
	visit    atomic.Uint32 // seconds, as the hub says

	mu       sync.Mutex
	out      *outbox // of the connection; nil: there is none
	held     map[wire.LeaseID]*task
	results  map[wire.LeaseID]*wire.Result // not acknowledged
	bare     map[wire.LeaseID]bool         // of results: sent without a token, which the hub may ask for
	offers   map[wire.LeaseID]*wire.Offer  // the last of each lease, not answered
	returns  []*wire.Return                // to send when there is a connection
	stopping bool
	barred   string          // why nothing may run, as it was told last
	settled  context.Context // ends when stopping and nothing is left to say
	settle   context.CancelFunc
}

// New returns a volunteer, which Run sets to work.
func New(opt Options) (*Volunteer, error) {
	if opt.Trust.empty() {
		return nil, errors.New("a volunteer needs root keys, a policy or keys to trust")
	}
	if opt.Slots == 0 {
		opt.Slots = 1
	}
	if opt.Share == 0 {
		opt.Share = 100
	}
	if opt.Slots < 1 || opt.Slots > wire.MaxWant {
		return nil, fmt.Errorf("%d slots: 1 to %d are possible", opt.Slots, wire.MaxWant)
	}
	if opt.Share < 1 || opt.Share > 100 {
		return nil, fmt.Errorf("a share of %d percent: 1 to 100 are possible", opt.Share)
	}
	opt.setDefaults()
	hub, err := client.New(opt.Hub, "")
	if err != nil {
		return nil, err
	}
	v := &Volunteer{
		opt: opt, log: opt.Log, url: strings.TrimRight(opt.Hub, "/") + wire.WorkPath, hub: hub,
		source:  newSource(hub, pinned{&opt.Trust}),
		slots:   make(chan struct{}, opt.Slots),
		held:    map[wire.LeaseID]*task{},
		results: map[wire.LeaseID]*wire.Result{}, bare: map[wire.LeaseID]bool{},
		offers: map[wire.LeaseID]*wire.Offer{},
		key:    wire.KeyOf(opt.Key.Public().(ed25519.PublicKey)),
	}
	if opt.Trust.Root != nil {
		if v.follower, err = newFollower(&opt.Trust, hub, opt.Now, opt.Log); err != nil {
			return nil, err
		}
		v.source.trust = v.follower
	}
	v.settled, v.settle = context.WithCancel(context.Background())
	for range opt.Slots {
		v.slots <- struct{}{}
	}
	return v, nil
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Agent == "" {
		o.Agent = defaultAgent
	}
	if o.Retry == 0 {
		o.Retry = defaultRetry
	}
	if o.Linger == 0 {
		o.Linger = defaultLinger
	}
}

// Run works until ctx ends, and then stops gracefully: running tasks end, their
// leases are returned, and results are delivered if the hub can be reached. It
// connects again whenever the connection is lost.
func (v *Volunteer) Run(ctx context.Context) error {
	linger, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	context.AfterFunc(ctx, func() { v.stop(linger, cut) })
	defer v.tasks.Wait()
	if v.follower != nil {
		following := make(chan struct{})
		defer func() { <-following }()
		wait := v.follower.turn(ctx)
		go func() {
			defer close(following)
			v.follower.follow(ctx, wait, v.trustChanged)
		}()
	}
	retry := v.opt.Retry
	for {
		began := time.Now()
		err := v.connect(linger)
		if errors.Is(err, ErrVanished) {
			v.cancelAll(errStopped)
			return err
		}
		if linger.Err() != nil || v.settled.Err() != nil {
			return nil
		}
		if time.Since(began) >= goodConnection {
			retry = v.opt.Retry
		}
		delay := pause(retry, err)
		v.log.Warn("no connection to the hub", "error", err, "again_in", delay.Round(time.Millisecond))
		retry = min(2*retry, maxRetry)
		select {
		case <-time.After(delay):
		case <-v.settled.Done():
		case <-linger.Done():
		}
	}
}

// pause is how long to wait before the next connection: some of the longest
// that is due, and what the hub asks for if that is more. All volunteers of a hub
// that restarts lose it at once; they must not come back at once.
func pause(longest time.Duration, err error) time.Duration {
	delay := longest/10 + rand.N(longest*9/10+1)
	var busy *busyError
	if errors.As(err, &busy) {
		hint := min(busy.retry, maxHint)
		delay = max(delay, hint+rand.N(hint/4+1))
	}
	return delay
}

// stop begins the end of Run, and cuts the connection if that takes too long.
func (v *Volunteer) stop(linger context.Context, cut context.CancelFunc) {
	v.mu.Lock()
	v.stopping = true
	v.send(&wire.Want{Leases: 0})
	v.check()
	v.mu.Unlock()
	v.cancelAll(errStopped)
	select {
	case <-v.settled.Done():
	case <-linger.Done():
	case <-time.After(v.opt.Linger):
		v.log.Warn("results were not acknowledged in time, and are lost", "results", v.unacknowledged())
		cut()
	}
}

func (v *Volunteer) unacknowledged() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.results)
}

// check notices, under v.mu, that nothing is left to do or say.
func (v *Volunteer) check() {
	if v.stopping && len(v.held) == 0 && len(v.results) == 0 && len(v.offers) == 0 && (v.out == nil || v.out.empty()) {
		v.settle()
	}
}
