package evil

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// running is a task of minutes that a volunteer runs behind a proxy.
type running struct {
	*stage
	proxy          *Proxy
	order, release canon.Digest
}

// endless gives the hub an order of one task that takes minutes.
func (s *stage) endless() (order, rel canon.Digest) {
	r := releaseOf("ada/endless", payloads.LoopSource, payloads.LoopModule)
	r.Limits.TaskFuel, r.Limits.SegmentFuel, r.Limits.Seconds = 1<<40, 1<<40, 60
	st, sig, err := r.Sign(key(s.t, "ada"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.send("/v1/releases", &wire.ReleaseAdmitted{}, client.Bytes("statement", st), client.Bytes("signature", sig), client.Bytes("source", payloads.LoopSource), client.Bytes("module", payloads.LoopModule))
	o := release.Order{Type: release.OrderType, Title: "Endless", ReleaseSHA256: canon.Sum(st), Input: release.Input{Range: &release.Range{From: 1, To: 2, Step: 1}},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 1, Of: 1}}, CompletePermille: 1000, Priority: 9, NotBefore: in(-time.Minute), Expires: in(12 * time.Hour)}
	ost, osig, err := o.Sign(key(s.t, "ada"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.send("/v1/orders", &wire.OrderAdmitted{}, client.Bytes("statement", ost), client.Bytes("signature", osig))
	return canon.Sum(ost), canon.Sum(st)
}

func (s *stage) send(path string, answer any, parts ...client.Part) {
	s.t.Helper()
	c, err := client.New(s.url, "")
	if err == nil {
		err = c.Post(s.t.Context(), path, answer, parts...)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// run starts a volunteer, which looks at the policy that often, and returns
// when the task runs.
func run(t *testing.T, engine *sandbox.Engine, a Attack, every time.Duration, before func(*stage)) *running {
	t.Helper()
	s := newStage(t)
	if before != nil {
		before(s)
	}
	r := &running{stage: s}
	r.order, r.release = s.endless()
	var err error
	if r.proxy, err = New(s.url, a); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.proxy)
	seed := sha256.Sum256([]byte("worker"))
	v, err := volunteer.New(volunteer.Options{Hub: server.URL, Key: ed25519.NewKeyFromSeed(seed[:]), Engine: engine, Log: slog.New(slog.DiscardHandler),
		Trust: volunteer.Trust{Root: &s.root, Follow: volunteer.Follow{Every: every}}, Retry: 50 * time.Millisecond, Linger: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		server.CloseClientConnections()
		<-done
		server.Close()
	})
	r.until("it runs", func(o Report) bool { return o.Running > 0 })
	return r
}

func (r *running) until(what string, is func(Report) bool) Report {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		o := r.proxy.Report()
		if is(o) {
			return o
		}
		if time.Now().After(end) {
			r.t.Fatalf("after a minute not yet: %s; %+v", what, o)
		}
	}
}

// ends waits until the lease comes back, for that reason and without a vote.
func (r *running) ends(reason string) {
	r.t.Helper()
	o := r.until("the lease comes back", func(o Report) bool { return len(o.Checks) > 0 })
	if o.Checks[0] != reason || slices.ContainsFunc(o.Votes, func(v Vote) bool { return v.Order == r.order.String() }) {
		r.t.Errorf("it ended by %q with votes %+v, not by %q", o.Checks, o.Votes, reason)
	}
}

// revocations end the endless task, each with the check that says so.
var revocations = []struct {
	name, check string
	revoke      func(r *running)
}{
	{"release", "revoked", func(r *running) {
		r.post(r.index(30, func(x *policy.Index) { x.Revoked = []canon.Digest{r.release} }))
	}},
	{"order", "revoked", func(r *running) {
		r.post(r.index(30, func(x *policy.Index) { x.Revoked = []canon.Digest{r.order} }))
	}},
	{"version", "floor", func(r *running) {
		r.post(r.index(30, func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "ada/endless", Version: 2}} }))
	}},
	{"everything", "halted", func(r *running) { r.post(r.index(30, func(x *policy.Index) { x.Halt = "a drill" })) }},
	{"key", "revoked", func(r *running) {
		p := r.next(func(p *policy.Policy) {
			p.RevokedKeys, p.Researchers[0].Key = []keys.PublicKey{r.keys[0]}, key(r.t, "ada 2").Public()
		}, "root 1", "root 3")[2]
		r.send("/v1/policy", &wire.PolicyAdmitted{}, client.Bytes("statement", p.Statement), client.Bytes("signature", p.Signatures))
	}},
}

// silent is a hub that ends nothing: it keeps kills to itself.
func silent(_ *Proxy, m object, _ []byte) []Frame {
	if m.kind() == "kill" {
		return []Frame{}
	}
	return nil
}

func newEngine(t *testing.T) *sandbox.Engine {
	engine, err := sandbox.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close(context.Background()) })
	return engine
}

// TestRevokedByTheHub: an honest hub ends at once what is revoked; the
// volunteer would look in five minutes.
func TestRevokedByTheHub(t *testing.T) {
	engine := newEngine(t)
	for _, c := range revocations {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, engine, Attack{}, 0, nil)
			began := time.Now()
			c.revoke(r)
			r.ends("(killed)")
			t.Logf("%s: ended after %v, by the hub", c.name, time.Since(began).Round(time.Millisecond))
		})
	}
}

// TestRevokedWithoutTheHub: a hub that says nothing cannot keep it running for
// longer than until the next look.
func TestRevokedWithoutTheHub(t *testing.T) {
	const every = time.Second
	engine := newEngine(t)
	for _, c := range revocations {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, engine, Attack{Message: silent}, every, nil)
			began := time.Now()
			c.revoke(r)
			r.ends(c.check)
			t.Logf("%s: ended after %v, by a look every %v", c.name, time.Since(began).Round(time.Millisecond), every)
		})
	}
}

// TestCutOff: whoever keeps every newer index from a volunteer has until the
// one at hand expires.
func TestCutOff(t *testing.T) {
	engine := newEngine(t)
	for name, late := range map[string]Answer{
		"the old one again":   {},
		"an error":            {Status: http.StatusServiceUnavailable},
		"nothing":             {Status: http.StatusNotFound},
		"nothing, for ever":   {Hang: true},
		"what is not an end":  {Endless: true},
		"a byte and a little": {Slow: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			first := map[string][]byte{}
			attack := Attack{Message: silent, Body: func(_ *Proxy, path string, body []byte) *Answer {
				if path != "/v1/index" && path != "/v1/policy" {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				was, again := first[path]
				if !again {
					first[path] = body
					return nil
				}
				a := late
				a.Body = was
				return &a
			}}
			var expires time.Time
			r := run(t, engine, attack, 500*time.Millisecond, func(s *stage) {
				s.post(s.index(21, func(x *policy.Index) {
					x.Expires = in(20 * time.Second) // by then it runs, on a busy machine too
					expires = x.Expires.Time()
				}))
			})
			revocations[0].revoke(r)
			r.ends("expiry")
			if early := time.Until(expires); early > 0 {
				t.Errorf("it ended %v before the index expires", early)
			}
			t.Logf("ended %v after the index expired", time.Since(expires).Round(time.Millisecond))
		})
	}
}
