package evil

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// stage is an honest hub with two researchers' work.
type stage struct {
	t     *testing.T
	url   string
	keys  []keys.PublicKey
	truth Truth
	world World

	root   policy.Root
	chain  []policy.Signed // two versions
	logKey string
	must   string // an order that is voted on without an attack; "": any
}

func in(d time.Duration) canon.Time { return canon.TimeOf(time.Now().Add(d)) }

func key(t *testing.T, name string) keys.SecretKey {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	k, err := keys.Generate(bytes.NewReader(append(seed[:], seed[:]...)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ada, grace := key(t, "ada"), key(t, "grace")
	ceilings := policy.Ceilings{TaskFuel: 1 << 40, MemoryPages: payloads.Pages, Seconds: 60, Tasks: 1 << 20}
	s := &stage{t: t, keys: []keys.PublicKey{ada.Public(), grace.Public()}, truth: Truth{}}
	s.trustChain(policy.Researcher{Name: "Ada", Key: ada.Public(), Prefix: "ada/", Ceilings: ceilings},
		policy.Researcher{Name: "Grace", Key: grace.Public(), Prefix: "grace/", Ceilings: ceilings})
	h, err := hub.New(t.Context(), hub.Options{Data: filepath.Join(t.TempDir(), "data"), Root: s.root, Policies: s.chain, Log: slog.New(slog.DiscardHandler),
		UnsafeOneNetwork: true, MaxConnections: 1000, MaxPerNetwork: 1000, Reclaim: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.Run(ctx, l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		<-served
		h.Close()
	})
	s.url, s.logKey = "http://"+l.Addr().String(), h.LogKey().String()
	s.post(s.index(20, nil))
	s.publish(ada, "ada/factor", payloads.FactorSource, payloads.FactorModule)
	s.publish(grace, "grace/loop", payloads.LoopSource, payloads.LoopModule)
	return s
}

func releaseOf(name string, source, module []byte) release.Release {
	return release.Release{Type: release.Type, Name: name, Version: 1, ModuleSHA256: canon.Sum(module), ModuleLength: int64(len(module)),
		SourceSHA256: canon.Sum(source), ABI: release.ABI, CostTable: release.CostTable, Purpose: "For a hub that lies.", Expires: in(24 * time.Hour),
		Limits: release.Limits{TaskFuel: 2_000_000, SegmentFuel: 2_000_000, MemoryPages: payloads.Pages, Seconds: 30, OutputBytes: 1000}}
}

// publish releases a module and orders a thousand short tasks of it.
func (s *stage) publish(key keys.SecretKey, name string, source, module []byte) {
	s.t.Helper()
	c, err := client.New(s.url, "")
	if err != nil {
		s.t.Fatal(err)
	}
	r := releaseOf(name, source, module)
	st, sig, err := r.Sign(key)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Post(s.t.Context(), "/v1/releases", &wire.ReleaseAdmitted{}, client.Bytes("statement", st), client.Bytes("signature", sig),
		client.Bytes("source", source), client.Bytes("module", module)); err != nil {
		s.t.Fatal(err)
	}
	var file strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&file, "%d\n", 1000*(len(s.world.Orders)+10)+i)
	}
	var inputs []string
	lines, err := release.Split(strings.NewReader(file.String()), 1, func(_ uint64, _ release.Span, input []byte) error {
		inputs = append(inputs, canon.Sum(input).String())
		s.world.Inputs = append(s.world.Inputs, bytes.Clone(input))
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	o := release.Order{Type: release.OrderType, Title: name, ReleaseSHA256: canon.Sum(st), Input: release.Input{Lines: lines},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 2, Of: 3}}, CompletePermille: 1000, NotBefore: in(-time.Minute), Expires: in(12 * time.Hour)}
	ost, osig, err := o.Sign(key)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Post(s.t.Context(), "/v1/orders", &wire.OrderAdmitted{}, client.Bytes("statement", ost), client.Bytes("signature", osig), client.Bytes("input", []byte(file.String()))); err != nil {
		s.t.Fatal(err)
	}
	s.world.Orders = append(s.world.Orders, canon.Sum(ost).String())
	s.world.Releases = append(s.world.Releases, canon.Sum(st).String())
	s.world.Modules = append(s.world.Modules, canon.Sum(module).String())
	s.truth[canon.Sum(ost).String()] = struct {
		Module string
		Inputs []string
	}{canon.Sum(module).String(), inputs}
}

const (
	patience = 2 * time.Second // for something to come of an attack that came about
	stopTime = 10 * time.Second
	mustTime = time.Minute // for what must come
)

// visit lets a native volunteer work behind a proxy until something has come
// of it, what must come in any case, and stops it. ran is every task that was run.
func (s *stage) visit(p *Proxy, engine *sandbox.Engine, trust volunteer.Trust, n int, must func(Report) bool) (ran []Vote, r Report, took time.Duration, err error) {
	server := httptest.NewServer(p)
	defer server.Close()
	seed := sha256.Sum256(fmt.Appendf(nil, "worker %d", n))
	var mu = make(chan struct{}, 1)
	v, err := volunteer.New(volunteer.Options{Hub: server.URL, Key: ed25519.NewKeyFromSeed(seed[:]), Trust: trust,
		Engine: engine, Slots: 2, Log: slog.New(slog.DiscardHandler), Retry: 50 * time.Millisecond, Linger: 200 * time.Millisecond,
		Misbehave: &volunteer.Misbehave{Outcome: func(l *wire.Lease, o sandbox.Outcome) sandbox.Outcome {
			mu <- struct{}{}
			ran = append(ran, Vote{Order: l.Order.String(), Task: l.Task, Module: s.moduleOf(l.Release), Input: canon.Sum(l.Input).String()})
			<-mu
			return o
		}}})
	if err != nil {
		return nil, r, 0, err
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- v.Run(ctx) }()
	for until, came := began.Add(stopTime), false; time.Now().Before(until) || !must(r) && time.Since(began) < mustTime; {
		if r = p.Report(); r.Attacked > 0 && !came {
			until, came = time.Now().Add(patience), true
		}
		if took = time.Since(began); len(r.Checks) > 0 || r.Left > 1 || r.Attacked > 0 && len(r.Votes) > 6 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	server.CloseClientConnections()
	select {
	case <-done:
	case <-time.After(stopTime):
		return ran, r, took, errHung
	}
	mu <- struct{}{}
	r.Votes = p.Report().Votes
	return ran, r, took, nil
}

func (s *stage) moduleOf(rel canon.Digest) string {
	for i, d := range s.world.Releases {
		if d == rel.String() {
			return s.world.Modules[i]
		}
	}
	return "of release " + rel.String()
}

// TestNative sets every attack on the native volunteer that pins researchers.
func TestNative(t *testing.T) {
	s := newStage(t)
	trust := volunteer.Trust{Keys: s.keys}
	s.suffer(append([]Attack{{Name: "none"}}, s.world.Attacks()...), func() volunteer.Trust { return trust })
}

// stopped reports whether what must stop the attack did.
func (a *Attack) stopped(r Report) bool {
	got := r.Outcome()
	return len(a.Stops) == 0 || slices.ContainsFunc(a.Stops, func(s string) bool { return strings.Contains(got, s) })
}

// suffer sets attacks on the native volunteer, one after the other. The first
// is none, and lets it work.
func (s *stage) suffer(attacks []Attack, trust func() volunteer.Trust) {
	t := s.t
	engine, err := sandbox.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(context.Background())
	before := runtime.NumGoroutine()
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "attack\twhat stopped it\ttime")
	breaches := 0
	for n, a := range attacks {
		p, err := New(s.url, a)
		if err != nil {
			t.Fatal(err)
		}
		done := func(r Report) bool {
			if n == 0 {
				return slices.ContainsFunc(r.Votes, func(v Vote) bool { return s.must == "" || v.Order == s.must })
			}
			return r.Attacked > 0 && a.stopped(r)
		}
		ran, r, took, err := s.visit(p, engine, trust(), n, done)
		if err == nil {
			err = s.truth.Breach(append(ran, r.Votes...))
		}
		if err != nil {
			breaches++
			t.Errorf("%s: %v", a.Name, err)
		}
		if n == 0 && !done(r) {
			t.Fatalf("without an attack nothing was done: %+v", r)
		}
		if n > 0 && r.Attacked == 0 {
			t.Errorf("%s: the attack never came about", a.Name)
		}
		if !a.stopped(r) {
			t.Errorf("%s: stopped by %q, not by %q", a.Name, r.Outcome(), a.Stops)
		}
		fmt.Fprintf(w, "%s\t%s\t%v\n", a.Name, r.Outcome(), took.Round(time.Millisecond))
	}
	w.Flush()
	fmt.Fprintf(&table, "%d attacks, %d breaches\n", len(attacks)-1, breaches)
	t.Log("\n" + table.String())
	http.DefaultClient.CloseIdleConnections()
	for end := time.Now().Add(stopTime); runtime.NumGoroutine() > before+10; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before: attacks leak them", runtime.NumGoroutine(), before)
		}
	}
}
