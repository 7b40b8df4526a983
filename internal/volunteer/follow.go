package volunteer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

const (
	defaultEvery = 5 * time.Minute
	// The first looks, until one succeeds, are this far apart.
	firstLooks = 2 * time.Second
	maxState   = 4 << 10
	// Base64 and the rest of JSON around the largest statements.
	maxPolicyBody = policy.MaxChain * (policy.MaxBytes + keys.MaxBundle) * 3 / 2
	maxIndexBody  = (policy.MaxIndex + keys.MaxSignature) * 3 / 2
)

// follower keeps up with the policy and the index of a hub, from pinned root
// keys. What it has seen it never goes back behind: docs/spec/statement.md.
type follower struct {
	source *source // to fetch with; its trust is not asked
	root   policy.Root
	opt    Follow
	now    func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	seen    policy.Seen
	current *believed // nil: nothing has been verified yet
	sum     canon.Digest
	kept    policy.Seen // what the state file has
	problem error       // of the last look

	retry time.Duration // after a look that failed
}

func newFollower(trust *Trust, hub *client.Client, now func() time.Time, log *slog.Logger) (*follower, error) {
	f := &follower{source: newSource(hub, nil), root: *trust.Root, opt: trust.Follow, now: now, log: log, retry: firstLooks}
	if f.opt.Every == 0 {
		f.opt.Every = defaultEvery
	}
	if err := f.root.Check(); err != nil {
		return nil, err
	}
	var err error
	f.seen, err = loadSeen(f.opt.State)
	f.kept, f.problem = f.seen, errNotLooked
	return f, err
}

var errNotLooked = errors.New("policy and index have not been fetched yet")

// at is anchor's; policy and index hold now or not at all, whatever time a
// statement is looked at for.
func (f *follower) at(time.Time) (*believed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return nil, f.problem
	}
	err := f.current.Current(f.now())
	if canon.ClassOf(err) == "index_missing" && f.problem != nil {
		err = f.problem // says why
	}
	return f.current, err
}

// allowed is why nothing may run now, or nil.
func (f *follower) allowed() error {
	b, err := f.at(f.now())
	if err != nil {
		return err
	}
	return b.Good("everything", canon.Digest{})
}

// look fetches policy and index, and goes by them if they verify. What was
// verified before holds on otherwise, until it expires. It reports whether
// anything is new.
func (f *follower) look(ctx context.Context) (fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	fresh, err = f.verify(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = err
	return fresh, err
}

func (f *follower) verify(ctx context.Context) (bool, error) {
	var chain wire.PolicyChain
	if err := f.fetch(ctx, "/v1/policy", maxPolicyBody, &chain); err != nil {
		return false, fmt.Errorf("policy: %w", err)
	}
	all := make([]policy.Signed, len(chain.Policies))
	for i, s := range chain.Policies {
		all[i] = policy.Signed(s)
	}
	f.mu.Lock()
	was, seen, sum := f.current, f.seen, f.sum
	f.mu.Unlock()

	p, seen, err := f.root.Open(all, seen, f.now())
	if err != nil {
		return false, err
	}
	b := &believed{Trust: policy.Trust{Policy: p}}
	if was != nil && sameLog(was.Policy, p) {
		b.log = was.log // so that what was proved stays proved
	} else if b.log, err = p.Log(); err != nil {
		return false, err
	}
	if was != nil && was.Policy.ClockKey == p.ClockKey {
		b.Index = was.Index
	}
	var late error
	if p.ClockKey != "" {
		var x *policy.Index
		if x, seen, late = f.index(ctx, p, seen); late == nil {
			b.Index = x
		}
	}
	// A policy counts also when the index does not: it may be the one that
	// revokes a key.
	fresh := was == nil || sum != seen.PolicySHA256 || was.Index != b.Index && (was.Index == nil || b.Index == nil || was.Index.Sequence != b.Index.Sequence)
	f.mu.Lock()
	f.current, f.seen, f.sum = b, seen, seen.PolicySHA256
	f.mu.Unlock()
	if fresh {
		attrs := []any{"policy", p.Version, "expires", p.Expires}
		if b.Index != nil {
			attrs = append(attrs, "index", b.Index.Sequence, "index_expires", b.Index.Expires)
		}
		f.log.Info("trust verified", attrs...)
	}
	return fresh, errors.Join(late, f.keep(seen))
}

// keep writes the state file when there is something new to remember. A disk
// that takes nothing keeps no revocation from counting; it is tried again.
func (f *follower) keep(seen policy.Seen) error {
	if seen == f.kept {
		return nil
	}
	// Another volunteer with the same file may have seen more.
	other, err := loadSeen(f.opt.State)
	if err == nil {
		err = saveSeen(f.opt.State, later(seen, other))
	}
	if err == nil {
		f.kept = seen
	}
	return err
}

// later is what whoever has seen both has seen.
func later(a, b policy.Seen) policy.Seen {
	if b.Policy > a.Policy || b.Policy == a.Policy && b.ClockKey == a.ClockKey && b.Index > a.Index {
		return b
	}
	return a
}

func sameLog(a, b *policy.Policy) bool {
	return a.LogKey == b.LogKey && a.Quorum == b.Quorum && slices.Equal(a.Witnesses, b.Witnesses)
}

func (f *follower) index(ctx context.Context, p *policy.Policy, seen policy.Seen) (*policy.Index, policy.Seen, error) {
	var s wire.SignedIndex
	err := f.fetch(ctx, "/v1/index", maxIndexBody, &s)
	var api *client.APIError
	if errors.As(err, &api) && api.Status == http.StatusNotFound {
		return nil, seen, canon.Fail("index_missing", "policy version %d names a clock key, and the hub has no index", p.Version)
	}
	if err != nil {
		return nil, seen, fmt.Errorf("index: %w", err)
	}
	return p.OpenIndex(s.Statement, s.Signature, seen, f.now())
}

func (f *follower) fetch(ctx context.Context, path string, limit int64, into any) error {
	data, err := f.source.read(ctx, path, limit, "too_large")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return canon.Fail("encoding", "%s is not what a hub sends: %v", path, err)
	}
	return nil
}

// turn looks once, and returns how long to wait for the next.
func (f *follower) turn(ctx context.Context) time.Duration {
	wait := f.opt.Every/2 + rand.N(f.opt.Every/2)
	if _, err := f.look(ctx); err != nil && ctx.Err() == nil {
		f.log.Warn("policy and index could not be verified again", "check", canon.ClassOf(err), "error", err)
		wait = min(wait, f.retry)
		f.retry = min(2*f.retry, f.opt.Every)
		return wait
	}
	f.retry = firstLooks
	return min(wait, max(f.left()/2, firstLooks)) // before anything expires
}

// follow looks again and again until ctx ends, first after wait, and calls
// changed when what may run is another than before. At expiry it does so even
// if a look is under way, because a hub may never answer.
func (f *follower) follow(ctx context.Context, wait time.Duration, changed func()) {
	for ctx.Err() == nil {
		changed()
		expiry := time.AfterFunc(f.left(), changed)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait = f.turn(ctx)
		}
		expiry.Stop()
	}
}

// left is how long what is believed holds.
func (f *follower) left() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return time.Duration(1<<63 - 1)
	}
	end := f.current.Policy.Expires.Time()
	if x := f.current.Index; x != nil && x.Expires.Time().Before(end) {
		end = x.Expires.Time()
	}
	return max(0, end.Sub(f.now()))
}

// loadSeen reads a state file; a file that is not there has seen nothing.
func loadSeen(path string) (seen policy.Seen, err error) {
	if path == "" {
		return seen, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seen, nil
	}
	if err != nil {
		return seen, fmt.Errorf("reading what was seen before: %w", err)
	}
	if info.Size() > maxState {
		return seen, fmt.Errorf("%s is not a volunteer's state: it has %d bytes", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return seen, fmt.Errorf("reading what was seen before: %w", err)
	}
	if err := json.Unmarshal(data, &seen); err != nil {
		return seen, fmt.Errorf("%s is not a volunteer's state: %w; whoever removes it forgets which policy and index were seen", path, err)
	}
	return seen, nil
}

// saveSeen replaces the state file.
func saveSeen(path string, seen policy.Seen) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(seen, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".seen-*")
	if err != nil {
		return fmt.Errorf("keeping what was seen: %w", err)
	}
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keeping what was seen: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// want asks for leases, or for none where nothing may run. Under v.mu.
func (v *Volunteer) want() *wire.Want {
	if v.follower != nil && v.follower.allowed() != nil {
		return &wire.Want{Leases: 0}
	}
	return &wire.Want{Leases: uint32(v.opt.Slots)}
}

// trustChanged ends what may run no more, and asks for work or for none.
func (v *Volunteer) trustChanged() {
	err := v.follower.allowed()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.held {
		if t.by != nil {
			v.recheck(t)
		}
	}
	barred := ""
	if err != nil {
		barred = err.Error()
	}
	if v.barred == barred || v.stopping {
		return
	}
	if v.barred = barred; err != nil {
		v.log.Warn("nothing may run", "check", canon.ClassOf(err), "error", err)
	}
	v.send(v.want())
}

// goBy notes what a task is begun by, so that it ends when that is not good any
// more; it may not be by now.
func (v *Volunteer) goBy(t *task, o *opened) error {
	if v.follower == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	t.by = o
	return v.recheck(t)
}

// recheck cancels a task that may not run under what is believed now.
func (v *Volunteer) recheck(t *task) error {
	now := v.opt.Now()
	b, err := v.follower.at(now)
	if err == nil {
		err = b.still(t.by.signed.order, t.by.signed.release, now)
	}
	if err == nil && b.log != nil && b.log != t.by.log {
		err = canon.Fail(translog.ClassInclusion, "policy version %d asks for another log: the release has to be proved again", b.Policy.Version)
	}
	if err != nil {
		t.cancel(err)
	}
	return err
}
