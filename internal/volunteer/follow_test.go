package volunteer

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// followed is a scene whose volunteer pins root keys, of which two of three
// sign; a clock key signs the index. Its time goes on, and ahead.
type followed struct {
	*scene
	ahead atomic.Int64
	t     *testing.T
	roots []keys.SecretKey
	clock keys.SecretKey
	chain []policy.Signed
}

func newFollowed(t *testing.T) *followed {
	s := newScene(t)
	f := &followed{scene: s, t: t, roots: []keys.SecretKey{testKey(t, 21), testKey(t, 22), testKey(t, 23)}, clock: testKey(t, 24)}
	start, began := s.now, time.Now()
	s.opt.Now = func() time.Time { return start.Add(time.Since(began) + time.Duration(f.ahead.Load())) }
	s.opt.Trust = Trust{Root: f.root(), Follow: Follow{Every: 100 * time.Millisecond, State: filepath.Join(t.TempDir(), "seen.json")}}
	f.add(nil)
	f.index(10, nil)
	return f
}

func (f *followed) root() *policy.Root {
	return &policy.Root{Keys: []keys.PublicKey{f.roots[0].Public(), f.roots[1].Public(), f.roots[2].Public()}, Threshold: 2}
}

// add signs the next policy of the chain, and serves them all.
func (f *followed) add(change func(*policy.Policy)) {
	f.t.Helper()
	p := policy.New(int64(len(f.chain))+1, *f.root(), f.now.Add(30*24*time.Hour), policy.Researcher{Name: "Alice", Key: f.signer.Public(), Prefix: "alice/",
		Ceilings: policy.Ceilings{TaskFuel: 1 << 50, MemoryPages: 1000, Seconds: 1000, Tasks: 1000}})
	p.ClockKey = f.clock.Public().String()
	if change != nil {
		change(p)
	}
	s, err := p.Sign(f.roots[0], f.roots[1])
	if err != nil {
		f.t.Fatal(err)
	}
	f.chain = append(f.chain, s)
	f.serveChain(f.chain)
}

func (f *followed) serveChain(chain []policy.Signed) {
	var all wire.PolicyChain
	for _, s := range chain {
		all.Policies = append(all.Policies, wire.SignedPolicy(s))
	}
	f.serveJSON("/v1/policy", all)
}

func (f *followed) serveJSON(path string, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		f.t.Fatal(err)
	}
	f.serve(path, data)
}

// index signs and serves an index that holds for an hour.
func (f *followed) index(sequence uint64, change func(*policy.Index)) {
	f.t.Helper()
	now := f.opt.Now()
	x := &policy.Index{Type: policy.IndexType, Sequence: sequence, PolicyVersion: 1, Floors: []policy.Floor{}, Revoked: []canon.Digest{},
		Issued: canon.TimeOf(now), Expires: canon.TimeOf(now.Add(time.Hour))}
	if change != nil {
		change(x)
	}
	st, sig, err := x.Sign(f.clock)
	if err != nil {
		f.t.Fatal(err)
	}
	f.serveJSON("/v1/index", wire.SignedIndex{Statement: st, Signature: sig})
}

// hide makes the hub have nothing there.
func (f *followed) hide(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, path)
}

// wantsSoon waits until the worker wants so many leases.
func wantsSoon(c *fakeConn, n uint32) {
	c.Helper()
	for c.want == nil || c.want.Leases != n {
		c.receive()
	}
}

// returned waits for a lease to come back.
func returned(c *fakeConn) *wire.Return {
	c.Helper()
	for {
		switch m := c.receive().(type) {
		case *wire.Return:
			return m
		case *wire.Progress, *wire.Want, *wire.Offer:
		default:
			c.Fatalf("the worker sent %#v where a return was wanted", m)
		}
	}
}

func TestFollow(t *testing.T) {
	f := newFollowed(t)
	f.start(t)
	c := f.accept(t)
	wantsSoon(c, 1)
	c.send(f.lease(1, 1))
	if r := next[*wire.Result](c); string(r.Output) != "6 -> 2,3\n" {
		t.Errorf("output %q", r.Output)
	}
	c.send(&wire.Ack{ID: wire.LeaseID{1}, Verdict: wire.Pending})
	var seen policy.Seen
	data, err := os.ReadFile(f.opt.Trust.Follow.State)
	if err != nil || json.Unmarshal(data, &seen) != nil || seen.Policy != 1 || seen.Index != 10 || seen.PolicySHA256 != canon.Sum(f.chain[0].Statement) {
		t.Errorf("remembered %s (%v)", data, err)
	}
	if i, s := strings.Index(f.fetched(), "/v1/policy"), strings.Index(f.fetched(), "/s/"); i < 0 || s < i {
		t.Errorf("not the policy first: %s", f.fetched())
	}
}

// TestRevokedInMotion: what runs ends when a look shows that it may not any
// more, without a word of the hub.
func TestRevokedInMotion(t *testing.T) {
	other := testKey(t, 30)
	for name, c := range map[string]struct {
		check  string
		want   uint32 // afterwards
		revoke func(*followed)
	}{
		"release": {"revoked", 1, func(f *followed) {
			f.index(11, func(x *policy.Index) { x.Revoked = []canon.Digest{f.relID} })
		}},
		"order": {"revoked", 1, func(f *followed) {
			f.index(11, func(x *policy.Index) { x.Revoked = []canon.Digest{f.orderID} })
		}},
		"floor": {"floor", 1, func(f *followed) {
			f.index(11, func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "alice/factor", Version: 2}} })
		}},
		"halt": {"halted", 0, func(f *followed) { f.index(11, func(x *policy.Index) { x.Halt = "a test" }) }},
		"key": {"revoked", 1, func(f *followed) {
			f.add(func(p *policy.Policy) {
				p.RevokedKeys, p.Researchers[0].Key = []keys.PublicKey{f.signer.Public()}, other.Public()
			})
		}},
		"key that is no researcher's": {"signature_unknown_key", 1, func(f *followed) {
			f.add(func(p *policy.Policy) { p.Researchers[0].Key = other.Public() })
		}},
		"ceiling": {"ceiling", 1, func(f *followed) {
			f.add(func(p *policy.Policy) { p.Researchers[0].Ceilings.TaskFuel = 1000 })
		}},
		"prefix": {"name_prefix", 1, func(f *followed) { f.add(func(p *policy.Policy) { p.Researchers[0].Prefix = "bob/" }) }},
		"log": {translog.ClassInclusion, 1, func(f *followed) {
			f.add(func(p *policy.Policy) { p.LogKey = logKey(f.t, translog.LogKey, 8).VKey.String() })
		}},
		"clock key": {"signature_unknown_key", 0, func(f *followed) {
			f.add(func(p *policy.Policy) { p.ClockKey = other.Public().String() })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFollowed(t)
			f.loop(t, 600)
			f.start(t)
			conn := f.accept(t)
			wantsSoon(conn, 1)
			conn.send(f.lease(1, 1))
			for {
				if p, ok := conn.receive().(*wire.Progress); ok && p.Fuel > 0 {
					break // it runs
				}
			}
			began := time.Now()
			c.revoke(f)
			r := returned(conn)
			t.Logf("%v until the lease was returned", time.Since(began).Round(time.Millisecond))
			if r.Reason != wire.ReturnRefused || r.Check != c.check {
				t.Errorf("%+v, want check %s", r, c.check)
			}
			if c.want == 0 {
				wantsSoon(conn, 0)
			}
			// Nor does it begin again.
			conn.send(f.lease(2, 1))
			if r := returned(conn); r.Check != c.check && name != "log" {
				t.Errorf("lent again: %+v", r)
			}
		})
	}
}

// TestIndexExpires: a hub that withholds indexes keeps a volunteer going until
// the last one expires, and no longer.
func TestIndexExpires(t *testing.T) {
	f := newFollowed(t)
	f.loop(t, 600)
	f.start(t)
	c := f.accept(t)
	wantsSoon(c, 1)
	f.hide("/v1/index")
	c.send(f.lease(1, 1))
	for runs := 0; runs < 2; { // for a second, in which it looks ten times
		if p, ok := c.receive().(*wire.Progress); !ok {
			t.Fatalf("before the index expires: %#v", p)
		} else if p.Fuel > 0 {
			runs++
		}
	}
	f.ahead.Store(int64(time.Hour))
	if r := returned(c); r.Reason != wire.ReturnRefused || r.Check != "expiry" {
		t.Errorf("%+v", r)
	}
	wantsSoon(c, 0)
	f.index(11, nil)
	wantsSoon(c, 1)
}

// TestNeverBack: what was seen is remembered, and a hub with older statements
// gets nothing to run, however well they are signed.
func TestNeverBack(t *testing.T) {
	for name, c := range map[string]struct {
		check string
		lie   func(*followed)
	}{
		"policy":            {"rollback", func(f *followed) { f.serveChain(f.chain[:1]) }},
		"index":             {"rollback", func(f *followed) { f.index(9, nil) }},
		"no index":          {"index_missing", func(f *followed) { f.hide("/v1/index") }},
		"no policy":         {"", func(f *followed) { f.hide("/v1/policy") }},
		"an empty chain":    {"policy_chain", func(f *followed) { f.serveChain(nil) }},
		"not JSON":          {"encoding", func(f *followed) { f.serve("/v1/policy", []byte("<html>")) }},
		"an endless policy": {"too_large", func(f *followed) { f.serve("/v1/policy", bytes.Repeat([]byte(" "), maxPolicyBody+1)) }},
		"an endless index":  {"too_large", func(f *followed) { f.serve("/v1/index", bytes.Repeat([]byte(" "), maxIndexBody+1)) }},
		"an index by a researcher": {"signature_unknown_key", func(f *followed) {
			f.clock = f.signer
			f.index(12, nil)
		}},
		"a policy by one root": {"threshold", func(f *followed) {
			f.roots[1] = f.roots[0]
			f.chain = f.chain[:1]
			f.root()
			p, err := policy.Parse(f.chain[0].Statement)
			if err != nil {
				f.t.Fatal(err)
			}
			p.Version = 2
			s, err := p.Sign(f.roots[0], f.roots[0])
			if err != nil {
				f.t.Fatal(err)
			}
			f.serveChain(append(slices.Clone(f.chain), s))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFollowed(t)
			f.add(nil)
			stop := f.start(t)
			before := f.accept(t)
			wantsSoon(before, 1)
			go stop()
			before.closed()
			stop()
			c.lie(f)
			f.start(t)
			conn := f.accept(t)
			wants(conn, 0)
			conn.send(f.lease(1, 1))
			if r := returned(conn); c.check != "" && r.Check != c.check || r.Reason == wire.ReturnStopped {
				t.Errorf("%+v, want check %q", r, c.check)
			}
			if strings.Contains(f.fetched(), "/m/") {
				t.Error("a module was fetched")
			}
		})
	}
}

// TestPolicyNamesTheLog: with a log in the policy, a release needs its proof.
func TestPolicyNamesTheLog(t *testing.T) {
	f := newFollowed(t)
	f.chain = nil
	f.add(func(p *policy.Policy) { p.LogKey = logKey(t, translog.LogKey, 8).VKey.String() })
	f.start(t)
	c := f.accept(t)
	wantsSoon(c, 1)
	c.send(f.lease(1, 1))
	if r := returned(c); r.Reason != wire.ReturnFault || !strings.Contains(r.Detail, "tlog-proof") {
		t.Errorf("without a proof: %+v", r)
	}
	f.logRelease(t, "")
	c.send(f.lease(2, 1))
	if r := next[*wire.Result](c); string(r.Output) != "6 -> 2,3\n" {
		t.Errorf("output %q", r.Output)
	}
	c.send(&wire.Ack{ID: wire.LeaseID{2}, Verdict: wire.Pending})
	f.add(func(p *policy.Policy) { p.LogKey = logKey(t, translog.LogKey, 9).VKey.String() })
	for id := byte(3); ; id++ {
		c.send(f.lease(id, 1))
		m := c.receive()
		for ; ; m = c.receive() {
			if _, going := m.(*wire.Progress); !going {
				break
			}
		}
		if r, ok := m.(*wire.Return); ok {
			if r.Check == translog.ClassInclusion && id < 200 {
				continue // the policy came between check and answer: proved by the log before
			}
			if r.Check != translog.ClassSignature {
				t.Errorf("under a policy with another log: %+v", r)
			}
			return
		}
		c.send(&wire.Ack{ID: wire.LeaseID{id}, Verdict: wire.Pending}) // before the next look
	}
}

// TestSharedState: a volunteer that saw less takes nothing from the file that
// another one writes, too.
func TestSharedState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	seen := func(version int64, index uint64) policy.Seen {
		return policy.Seen{Policy: version, PolicySHA256: canon.Sum([]byte{byte(version)}), ClockKey: "RW", Index: index}
	}
	for i, c := range []struct{ write, want policy.Seen }{
		{seen(2, 10), seen(2, 10)}, {seen(2, 9), seen(2, 10)}, {seen(1, 30), seen(2, 10)}, {seen(2, 11), seen(2, 11)}, {seen(3, 5), seen(3, 5)},
	} {
		f := &follower{opt: Follow{State: path}} // each has its own memory
		if err := f.keep(c.write); err != nil {
			t.Fatal(err)
		}
		if got, err := loadSeen(path); err != nil || got != c.want {
			t.Errorf("step %d: the file has %+v (%v), want %+v", i, got, err, c.want)
		}
	}
}

func TestSeenState(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "seen.json")
	if seen, err := loadSeen(path); err != nil || seen != (policy.Seen{}) {
		t.Errorf("no file: %+v, %v", seen, err)
	}
	want := policy.Seen{Policy: 3, PolicySHA256: canon.Sum([]byte("x")), ClockKey: "RW", Index: 7}
	if err := saveSeen(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := loadSeen(path); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, text := range map[string]string{"text": "hello", "large": "{}" + strings.Repeat(" ", maxState)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadSeen(path); err == nil || !strings.Contains(err.Error(), "is not a volunteer's state") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := saveSeen(filepath.Join(dir, "none", "x"), want); err == nil {
		t.Error("kept in no folder")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".seen-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestStateIsTriedAgain: work goes on while the state cannot be written, and
// it is written when it can be.
func TestStateIsTriedAgain(t *testing.T) {
	f := newFollowed(t)
	dir := filepath.Join(t.TempDir(), "later")
	f.opt.Trust.Follow.State = filepath.Join(dir, "seen.json")
	f.start(t)
	wantsSoon(f.accept(t), 1)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if seen, err := loadSeen(f.opt.Trust.Follow.State); err == nil && seen.Index == 10 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the state was never written")
		}
	}
}
