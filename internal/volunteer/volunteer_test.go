package volunteer

import (
	"crypto/ed25519"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

func wants(c *fakeConn, n uint32) {
	c.Helper()
	if w := next[*wire.Want](c); w.Leases != n {
		c.Fatalf("the worker wants %d leases, not %d", w.Leases, n)
	}
}

func TestWork(t *testing.T) {
	s := newScene(t)
	type acked struct {
		task    uint64
		verdict wire.Verdict
	}
	acks := make(chan acked, 1)
	s.opt.Acknowledged = func(r *wire.Result, v wire.Verdict) { acks <- acked{r.Vote.Task, v} }
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	l := s.lease(1, 7)
	c.send(l)
	r := next[*wire.Result](c)

	const output = "12 -> 2,2,3\n7328499434 -> 2,17,257,838693\n"
	want := wire.Vote{Type: wire.VoteType, Order: s.orderID, Task: 7, Lane: 1, Lease: l.ID, Module: canon.Sum(payloads.FactorModule),
		Input: canon.Sum(l.Input), End: wire.EndExit, Fuel: r.Vote.Fuel, Output: canon.Sum([]byte(output)),
		Segments: 1, Transcript: canon.Digest(r.Links)}
	if r.Vote != want || string(r.Output) != output || r.Token != "" || r.Vote.Fuel < 1_000_000 {
		t.Errorf("%+v with output %q, want %+v", r.Vote, r.Output, want)
	}
	if err := wire.VerifyVote(&r.Vote, wire.KeyOf(s.opt.Key.Public().(ed25519.PublicKey)), r.Seal); err != nil {
		t.Error(err)
	}
	c.send(&wire.Ack{ID: l.ID, Verdict: wire.Agreed})
	if a := <-acks; a != (acked{7, wire.Agreed}) {
		t.Errorf("acknowledged: %v", a)
	}

	// A second lease of the release needs nothing from the hub.
	before := s.fetched()
	c.send(s.lease(2, 8))
	if r := next[*wire.Result](c); string(r.Output) != "97 -> 97\n" || s.fetched() != before {
		t.Errorf("output %q, fetched %s", r.Output, strings.TrimPrefix(s.fetched(), before))
	}
	c.send(&wire.Ack{ID: wire.LeaseID{2}, Verdict: wire.Pending})
	<-acks
	go stop()
	wants(c, 0)
	c.closed()
	stop()
}

// TestRefusals has everything that a lying hub can try; each must be refused by
// name before anything runs.
func TestRefusals(t *testing.T) {
	module := "/m/" + canon.Sum(payloads.FactorModule).String()
	for name, c := range map[string]struct {
		check string
		spoil func(t *testing.T, s *scene, l *wire.Lease)
	}{
		"unknown key": {"signature_unknown_key", func(t *testing.T, s *scene, _ *wire.Lease) {
			s.opt.Trust.Keys = []keys.PublicKey{testKey(t, 2).Public()}
		}},
		"altered order": {"statement_sha256", func(t *testing.T, s *scene, l *wire.Lease) { s.alter("/s/"+l.Order.String(), "Numbers", "Numbert") }},
		"altered order by its new name": {"signature_invalid", func(t *testing.T, s *scene, l *wire.Lease) {
			l.Order = s.rename(l.Order, "Numbers", "Numbert")
		}},
		"altered release by its new name": {"bounds", func(t *testing.T, s *scene, l *wire.Lease) {
			l.Release = s.rename(l.Release, "Factors", "Fattors")
		}},
		"release altered with its order": {"signature_invalid", func(t *testing.T, s *scene, l *wire.Lease) {
			l.Release = s.rename(l.Release, "Factors", "Fattors")
			s.order.ReleaseSHA256 = l.Release
			st, sig, err := s.order.Sign(s.signer)
			if err != nil {
				t.Fatal(err)
			}
			l.Order = s.publish(st, sig)
		}},
		"order by another key": {"signature_unknown_key", func(t *testing.T, s *scene, l *wire.Lease) {
			st, sig, err := s.order.Sign(testKey(t, 2))
			if err != nil {
				t.Fatal(err)
			}
			l.Order = s.publish(st, sig)
		}},
		"signature missing its comment": {"signature_malformed", func(t *testing.T, s *scene, l *wire.Lease) {
			s.serve("/s/"+l.Release.String()+".minisig", []byte("untrusted comment: x\n"))
		}},
		"long signature": {"too_large", func(t *testing.T, s *scene, l *wire.Lease) {
			s.serve("/s/"+l.Release.String()+".minisig", make([]byte, keys.MaxSignature+1))
		}},
		"long statement":   {"too_large", func(t *testing.T, s *scene, l *wire.Lease) { s.serve("/s/"+l.Order.String(), make([]byte, 16<<10+1)) }},
		"release as order": {"encoding", func(t *testing.T, s *scene, l *wire.Lease) { l.Order = l.Release }},
		"expired release": {"expiry", func(t *testing.T, s *scene, l *wire.Lease) {
			s.rel.Expires = canon.TimeOf(s.now)
			s.publishAll(t)
			l.Order, l.Release = s.orderID, s.relID
		}},
		"expired order": {"expiry", func(t *testing.T, s *scene, _ *wire.Lease) { s.now = s.order.Expires.Time() }},
		"altered module": {"module_sha256", func(t *testing.T, s *scene, _ *wire.Lease) {
			m := append([]byte(nil), payloads.FactorModule...)
			m[len(m)/2] ^= 1
			s.serve(module, m)
		}},
		"longer module": {"module_length", func(t *testing.T, s *scene, _ *wire.Lease) {
			s.serve(module, append(append([]byte(nil), payloads.FactorModule...), 0))
		}},
		"shorter module": {"module_length", func(t *testing.T, s *scene, _ *wire.Lease) { s.serve(module, payloads.FactorModule[:1000]) }},
		"task number":    {"input", func(_ *testing.T, _ *scene, l *wire.Lease) { l.Task = uint64(len(sceneInputs)) }},
		"input of a range": {"input", func(t *testing.T, s *scene, l *wire.Lease) {
			s.order.Input = release.Input{Range: &release.Range{From: 0, To: 100, Step: 10}}
			s.publishAll(t)
			l.Order, l.Task, l.Input = s.orderID, 3, []byte("30 41\n")
		}},
		"input that is not in the file":      {"input", func(_ *testing.T, _ *scene, l *wire.Lease) { l.Input = []byte("13\n") }},
		"input of another task":              {"input", func(_ *testing.T, _ *scene, l *wire.Lease) { l.Task = 7 }},
		"no proof":                           {"input", func(_ *testing.T, _ *scene, l *wire.Lease) { l.Proof = nil }},
		"release that the log does not have": {translog.ClassInclusion, func(t *testing.T, s *scene, l *wire.Lease) { s.logRelease(t, "another") }},
		"release of another log":             {translog.ClassSignature, func(t *testing.T, s *scene, l *wire.Lease) { s.logRelease(t, ""); s.trustLog(t, 9, 0) }},
		"log without witnesses":              {translog.ClassWitness, func(t *testing.T, s *scene, l *wire.Lease) { s.logRelease(t, ""); s.trustLog(t, 8, 1) }},
		"damaged proof": {translog.ClassForm, func(t *testing.T, s *scene, l *wire.Lease) {
			s.logRelease(t, "")
			s.alter("/s/"+l.Release.String()+".tlog-proof", "index", "Index")
		}},
		"endless proof": {"too_large", func(t *testing.T, s *scene, l *wire.Lease) {
			s.logRelease(t, "")
			s.serve("/s/"+l.Release.String()+".tlog-proof", make([]byte, translog.MaxProof+1))
		}},
		"name prefix": {"name_prefix", func(t *testing.T, s *scene, _ *wire.Lease) { s.trustPolicy("bob/", 1<<40) }},
		"ceiling":     {"ceiling", func(t *testing.T, s *scene, _ *wire.Lease) { s.trustPolicy("alice/", 1<<40-1) }},
		"not metered": {wire.CodeModuleInvalid, func(t *testing.T, s *scene, l *wire.Lease) {
			s.rel.ModuleSHA256, s.rel.ModuleLength = canon.Sum(payloads.FactorSource), int64(len(payloads.FactorSource))
			s.publishAll(t)
			s.serve("/m/"+canon.Sum(payloads.FactorSource).String(), payloads.FactorSource)
			l.Order, l.Release = s.orderID, s.relID
		}},
		"module too large a memory": {wire.CodeModuleInvalid, func(t *testing.T, s *scene, l *wire.Lease) {
			s.rel.Limits.MemoryPages--
			s.publishAll(t)
			l.Order, l.Release = s.orderID, s.relID
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			l := s.lease(1, 4)
			c.spoil(t, s, l)
			s.opt.Misbehave = &Misbehave{Outcome: func(_ *wire.Lease, o sandbox.Outcome) sandbox.Outcome {
				t.Errorf("it ran: %+v", o)
				return o
			}}
			s.start(t)
			conn := s.accept(t)
			wants(conn, 1)
			conn.send(l)
			if r := next[*wire.Return](conn); r.ID != l.ID || r.Reason != wire.ReturnRefused || r.Check != c.check || r.Detail == "" {
				t.Errorf("%+v, want check %q", r, c.check)
			}
		})
	}
}

func TestWhatDidNotVerifyIsNotKept(t *testing.T) {
	s := newScene(t)
	module := "/m/" + canon.Sum(payloads.FactorModule).String()
	s.serve(module, payloads.LoopModule[:100])
	s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	next[*wire.Return](c)
	s.serve(module, payloads.FactorModule)
	c.send(s.lease(2, 1))
	next[*wire.Result](c)
	c.send(&wire.Ack{ID: wire.LeaseID{2}, Verdict: wire.Pending})
}

// alter changes a file that the hub serves.
func (s *scene) alter(path, old, new string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := strings.Replace(string(s.files[path]), old, new, 1)
	if changed == string(s.files[path]) {
		panic(path + " has no " + old)
	}
	s.files[path] = []byte(changed)
	return s.files[path]
}

// rename serves an altered copy of a statement, with the old signature, under
// the digest that the copy has.
func (s *scene) rename(d canon.Digest, old, new string) canon.Digest {
	path := "/s/" + d.String()
	statement, sig := s.files[path], s.files[path+".minisig"]
	changed := s.alter(path, old, new)
	s.serve(path, statement)
	return s.publish(changed, sig)
}

func (s *scene) trustPolicy(prefix string, taskFuel uint64) {
	s.opt.Trust = Trust{Policy: policy.New(1, policy.Root{}, s.now.Add(time.Hour), policy.Researcher{Name: "Alice", Key: s.signer.Public(), Prefix: prefix,
		Ceilings: policy.Ceilings{TaskFuel: taskFuel, MemoryPages: 1000, Seconds: 1000, Tasks: 1000}})}
}

func TestWorkUnderAPolicy(t *testing.T) {
	s := newScene(t)
	s.trustPolicy("alice/", 1<<40)
	s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	if r := next[*wire.Result](c); string(r.Output) != "6 -> 2,3\n" {
		t.Errorf("output %q", r.Output)
	}
	c.send(&wire.Ack{ID: wire.LeaseID{1}, Verdict: wire.Pending})
}

func TestExpiredPolicy(t *testing.T) {
	s := newScene(t)
	s.trustPolicy("alice/", 1<<40)
	s.opt.Trust.Policy.Expires = canon.TimeOf(s.now)
	s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	if r := next[*wire.Return](c); r.Check != "expiry" {
		t.Errorf("%+v", r)
	}
}

// TestResultIsKeptUntilAcknowledged cuts the connection twice before the hub
// acknowledges.
func TestResultIsKeptUntilAcknowledged(t *testing.T) {
	s := newScene(t)
	acks := make(chan wire.LeaseID, 1)
	s.opt.Acknowledged = func(r *wire.Result, _ wire.Verdict) { acks <- r.Vote.Lease }
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	first := next[*wire.Result](c)
	for range 2 {
		c.conn.CloseNow()
		c = s.accept(t)
		again := next[*wire.Result](c)
		if again.Token != "a.b.c" || first.Token != "" {
			t.Fatalf("token %q, and at first %q", again.Token, first.Token)
		}
		if again.Token = ""; !reflect.DeepEqual(again, first) {
			t.Fatalf("%+v and then %+v", first, again)
		}
		wants(c, 1)
	}
	c.send(&wire.Ack{ID: wire.LeaseID{1}, Verdict: wire.Agreed})
	c.send(&wire.Ack{ID: wire.LeaseID{1}, Verdict: wire.Agreed}) // it was sent three times
	<-acks
	c.conn.CloseNow()
	c = s.accept(t)
	wants(c, 1) // and nothing before
	go stop()
	wants(c, 0)
	c.closed()
	stop()
	if len(acks) > 0 {
		t.Error("acknowledged twice")
	}
}

func TestStopWaitsForTheAcknowledgement(t *testing.T) {
	s := newScene(t)
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	next[*wire.Result](c)
	go stop()
	wants(c, 0)
	c.conn.CloseNow() // it must come back for the acknowledgement
	c = s.accept(t)
	next[*wire.Result](c)
	c.send(&wire.Refused{ID: wire.LeaseID{1}, Code: wire.CodeOrderEnded, Message: "over"})
	c.closed()
	stop()
}

func TestStopGivesUpOnASilentHub(t *testing.T) {
	s := newScene(t)
	s.opt.Linger = 50 * time.Millisecond
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	next[*wire.Result](c)
	stop()
}

func TestStopReturnsLeases(t *testing.T) {
	s := newScene(t)
	s.loop(t, 600)
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	c.send(s.lease(2, 2)) // more than was asked for: it waits
	p := c.receive().(*wire.Progress)
	if p.ID != (wire.LeaseID{1}) && p.ID != (wire.LeaseID{2}) {
		t.Errorf("%+v", p)
	}
	go stop()
	wants(c, 0)
	returned := map[wire.LeaseID]bool{}
	for range 2 {
		r := next[*wire.Return](c)
		if r.Reason != wire.ReturnStopped {
			t.Errorf("%+v", r)
		}
		returned[r.ID] = true
	}
	if !returned[wire.LeaseID{1}] || !returned[wire.LeaseID{2}] {
		t.Errorf("returned %v", returned)
	}
	c.closed()
	stop()
}

func TestKill(t *testing.T) {
	for name, kill := range map[string]func(s *scene) *wire.Kill{
		"all":   func(*scene) *wire.Kill { return &wire.Kill{Scope: wire.KillAll} },
		"order": func(s *scene) *wire.Kill { return &wire.Kill{Scope: wire.KillOrder, Target: s.orderID.String()} },
		"task": func(s *scene) *wire.Kill {
			return &wire.Kill{Scope: wire.KillTask, Target: wire.TaskTarget(s.orderID, 1)}
		},
		"release": func(s *scene) *wire.Kill { return &wire.Kill{Scope: wire.KillRelease, Target: s.relID.String()} },
		"lease":   func(*scene) *wire.Kill { return &wire.Kill{Scope: wire.KillLease, Target: wire.LeaseID{1}.String()} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.loop(t, 600)
			s.start(t)
			c := s.accept(t)
			wants(c, 1)
			c.send(s.lease(1, 1))
			c.receive()                                                            // progress: it runs
			for _, scope := range []wire.Scope{wire.KillOrder, wire.KillRelease} { // of something else
				c.send(&wire.Kill{Scope: scope, Target: canon.Sum(nil).String()})
			}
			c.send(&wire.Kill{Scope: wire.KillTask, Target: wire.TaskTarget(s.orderID, 9)})
			c.send(&wire.Kill{Scope: wire.KillLease, Target: wire.LeaseID{9}.String()})
			c.send(s.lease(2, 2))
			k := kill(s)
			k.Reason = "enough of this"
			c.send(k)
			r := next[*wire.Return](c)
			if r.Reason != wire.ReturnKilled || !strings.Contains(r.Detail, k.Reason) {
				t.Errorf("%+v", r)
			}
			if (name == "lease" || name == "task") && r.ID != (wire.LeaseID{1}) {
				t.Errorf("%v was killed", r.ID)
			}
			if name != "lease" && name != "task" { // the one that waited, too
				if r := next[*wire.Return](c); r.Reason != wire.ReturnKilled {
					t.Errorf("%+v", r)
				}
			}
			// Life goes on.
			c.send(&wire.Resume{})
			c.send(&wire.Idle{})
			c.send(s.lease(3, 3))
			for c.receive().(*wire.Progress).ID == (wire.LeaseID{1}) {
			}
		})
	}
}

// TestDeadline: a run ends with the release's seconds, or the order's deadline if
// that is sooner.
func TestDeadline(t *testing.T) {
	for name, seconds := range map[string]struct{ release, order int }{"release": {1, 0}, "order": {600, 1}, "order, later": {1, 600}} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.order.DeadlineSeconds = seconds.order
			s.loop(t, uint32(seconds.release))
			s.start(t)
			c := s.accept(t)
			wants(c, 1)
			c.send(s.lease(1, 1))
			if r := next[*wire.Return](c); r.Reason != wire.ReturnDeadline || r.Check != "" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestHeldLeasesAreShown reconnects while a task runs.
func TestHeldLeasesAreShown(t *testing.T) {
	s := newScene(t)
	s.loop(t, 600)
	s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	c.receive()
	c.conn.CloseNow()
	c = s.accept(t)
	if p, ok := c.receive().(*wire.Progress); !ok || p.ID != (wire.LeaseID{1}) {
		t.Errorf("first comes %+v", p)
	}
	wants(c, 1)
	c.send(s.lease(1, 1)) // lent again: it is the same
	c.send(&wire.Kill{Scope: wire.KillAll})
	next[*wire.Return](c)
	c.send(s.lease(2, 2))
	if p, ok := c.receive().(*wire.Progress); !ok || p.ID != (wire.LeaseID{2}) {
		t.Errorf("%+v", p)
	}
}

func TestTooManyLeasesAreReturned(t *testing.T) {
	s := newScene(t)
	s.loop(t, 600)
	s.opt.Slots = 2
	s.start(t)
	c := s.accept(t)
	wants(c, 2)
	for id := range byte(6) {
		c.send(s.lease(id, uint64(id)))
	}
	for id := byte(4); id < 6; id++ {
		if r := next[*wire.Return](c); r.ID != (wire.LeaseID{id}) || r.Reason != wire.ReturnStopped {
			t.Errorf("%+v", r)
		}
	}
}

// TestBadHub has hubs that do not speak the protocol: the volunteer leaves, and
// tries again.
func TestBadHub(t *testing.T) {
	s := newScene(t)
	s.start(t)
	spoil := []func(c *fakeConn){
		func(c *fakeConn) { c.raw([]byte("{}")) },
		func(c *fakeConn) { c.send(&wire.Idle{}) },
		func(c *fakeConn) { c.send(&wire.Error{Code: wire.CodeConnections, Message: "too many"}) },
		func(c *fakeConn) {
			c.send(&wire.Hello{})
			next[*wire.Join](c)
			c.send(&wire.Hello{})
		},
		func(c *fakeConn) {
			if err := c.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"idle"}`)); err != nil {
				t.Error(err)
			}
		},
	}
	for _, f := range spoil {
		c := s.connection(t)
		f(c)
		c.closed()
	}
	for _, message := range []string{"nonsense", `{"type":"welcome","halted":false}`, `{"type":"error","code":"rate","message":"slow down"}`, strings.Repeat(" ", wire.MaxToWorker+1)} {
		c := s.accept(t)
		wants(c, 1)
		c.raw([]byte(message))
		c.closed()
	}
	wants(s.accept(t), 1)
}

func TestWrongSubprotocol(t *testing.T) {
	s := newScene(t)
	v, err := New(s.opt)
	if err != nil {
		t.Fatal(err)
	}
	v.url = s.URL + "/s/nothing-here"
	if err := v.connect(t.Context()); err == nil || !strings.Contains(err.Error(), "connecting to ") {
		t.Error(err)
	}
}

func TestMisbehave(t *testing.T) {
	s := newScene(t)
	s.opt.Misbehave = &Misbehave{
		Outcome: func(_ *wire.Lease, o sandbox.Outcome) sandbox.Outcome { o.Output = []byte("42\n"); return o },
		Vanish:  func(l *wire.Lease) bool { return l.Task == 5 },
	}
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	r := next[*wire.Result](c)
	if string(r.Output) != "42\n" || r.Vote.Output != canon.Sum(r.Output) || wire.VerifyVote(&r.Vote, wire.KeyOf(s.opt.Key.Public().(ed25519.PublicKey)), r.Seal) != nil {
		t.Errorf("%+v", r)
	}
	c.send(&wire.Ack{ID: wire.LeaseID{1}, Verdict: wire.Outvoted})
	c.send(s.lease(2, 5))
	c.closed()
	stop()
}

func TestPaceLeavesTheRest(t *testing.T) {
	s := newScene(t)
	for share, least := range map[int]time.Duration{100: 0, 50: 20 * time.Millisecond, 25: 60 * time.Millisecond} {
		s.opt.Share = share
		v, err := New(s.opt)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if n := v.pace(newTask(s.lease(1, 1)))(sandbox.Slice{Used: 1, Spent: 1, Busy: 20 * time.Millisecond}); n != 0 {
			t.Errorf("a slice of %d", n)
		}
		if took := time.Since(start); took < least {
			t.Errorf("a share of %d%%: it paused %v after 20 ms, not %v", share, took, least)
		}
	}
}

func TestOptions(t *testing.T) {
	s := newScene(t)
	for name, edit := range map[string]func(*Options){
		"no trust":  func(o *Options) { o.Trust = Trust{} },
		"slots":     func(o *Options) { o.Slots = 65 },
		"negative":  func(o *Options) { o.Slots = -1 },
		"share":     func(o *Options) { o.Share = 101 },
		"share neg": func(o *Options) { o.Share = -1 },
		"address":   func(o *Options) { o.Hub = "127.0.0.1:8080" },
	} {
		opt := s.opt
		edit(&opt)
		if _, err := New(opt); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestKeyFile(t *testing.T) {
	s := newScene(t)
	file := EncodeKey(s.opt.Key)
	key, err := DecodeKey(file)
	if err != nil || !key.Equal(s.opt.Key) {
		t.Errorf("%v from %q", err, file)
	}
	for _, bad := range []string{"", "countersign-worker-key/v1", string(file[:len(file)-3]), strings.TrimPrefix(string(file), keyPrefix), string(file) + string(file), strings.Replace(string(file), "v1", "v2", 1)} {
		if _, err := DecodeKey([]byte(bad)); err == nil {
			t.Errorf("%q is taken as a key", bad)
		}
	}
}

// TestTokenIsShownWhenAsked: a result goes without the lease's token, and once
// more with it, if the hub has forgotten what it lent; but not for ever.
func TestTokenIsShownWhenAsked(t *testing.T) {
	s := newScene(t)
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 1)
	c.send(s.lease(1, 1))
	ask := &wire.Refused{ID: wire.LeaseID{1}, Code: wire.CodeLeaseToken, Message: "show it"}
	if r := next[*wire.Result](c); r.Token != "" {
		t.Errorf("token %q comes unasked", r.Token)
	}
	c.send(ask)
	if r := next[*wire.Result](c); r.Token != "a.b.c" {
		t.Errorf("asked for the token, it shows %q", r.Token)
	}
	c.send(ask) // twice is a refusal
	go stop()
	wants(c, 0)
	c.closed()
	stop()
}

// TestVotesShareASignature: what waits goes in one frame, its votes on one sheet.
func TestVotesShareASignature(t *testing.T) {
	s := newScene(t)
	s.opt.Slots = 4
	stop := s.start(t)
	c := s.accept(t)
	wants(c, 4)
	for i := range byte(4) {
		c.send(s.lease(i+1, uint64(i)))
	}
	for range 4 {
		next[*wire.Result](c)
	}
	c.conn.CloseNow()
	c = s.accept(t) // all four wait now
	first := next[*wire.Result](c)
	if p := first.Seal.Place; p == nil || p.Votes != 4 {
		t.Errorf("four votes that wait are signed as %+v", first.Seal)
	}
	for i := range byte(4) {
		c.send(&wire.Ack{ID: wire.LeaseID{i + 1}, Verdict: wire.Pending})
	}
	go stop()
	c.closed()
	stop()
}
