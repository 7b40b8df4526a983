package evil

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// TestFollower sets every attack on policy, index and what they rule on the
// native volunteer that pins root keys and remembers what it saw: version 2 of
// the policy and index 20. The hub lends though nothing was asked for.
func TestFollower(t *testing.T) {
	s := newStage(t)
	good := s.work("ada", "ada", nil)
	s.world.Releases, s.world.Modules = append(s.world.Releases, good.release.String()), append(s.world.Modules, s.world.Modules[0])
	s.truth[good.order.String()] = struct {
		Module string
		Inputs []string
	}{s.world.Modules[0], []string{canon.Sum([]byte("1 2\n")).String()}}
	s.must = good.order.String()
	attacks := []Attack{s.lies("none", "", nil, nil, good)}
	attacks = append(attacks, damaged("/v1/policy", good, "encoding", "threshold", "signature_malformed", "policy_chain", "too_large")...)
	attacks = append(attacks, damaged("/v1/index", good, "encoding", "signature_malformed", "signature_invalid", "signature_unknown_key", "index_missing", "too_large")...)
	attacks = append(attacks, s.policies(good)...)
	attacks = append(attacks, s.indexes(good)...)
	attacks = append(attacks, s.statements()...)

	state := filepath.Join(t.TempDir(), "seen")
	seen := fmt.Appendf(nil, `{"policy": 2, "policy_sha256": %q, "clock_key": %q, "index": 20}`, canon.Sum(s.chain[1].Statement), key(t, "clock").Public())
	s.suffer(attacks, func() volunteer.Trust {
		if err := os.WriteFile(state, seen, 0o600); err != nil {
			t.Fatal(err)
		}
		return volunteer.Trust{Root: &s.root, Follow: volunteer.Follow{State: state, Every: 100 * time.Millisecond}}
	})
}

// policies are false policies, and true ones that a hub ignores.
func (s *stage) policies(w work) (all []Attack) {
	at := func(name, stop string, chain []policy.Signed) {
		all = append(all, s.lies("policy: "+name, stop, chain, nil, w))
	}
	two := rootNames[:2]
	at("the one before", "rollback", s.chain[:1])
	at("another one of the same version", "rollback", []policy.Signed{s.chain[0], s.signBytes(bytes.Replace(s.chain[1].Statement, []byte(`"Ada"`), []byte(`"Eve"`), 1), two...)})
	at("none", "policy_chain", []policy.Signed{})
	at("sixty-five", "policy_chain", slices.Repeat(s.chain[:1], 65))
	at("the same one twice", "policy_chain", append(slices.Clone(s.chain), s.chain[1]))
	at("a version left out", "policy_chain", s.next(func(p *policy.Policy) { p.Version++ }, two...))
	at("without the ones before", "rollback", s.next(nil, two...)[2:])
	at("by one root key", "threshold", s.next(nil, "root 1"))
	at("by one root key twice", "threshold", s.next(nil, "root 1", "root 1"))
	at("by a root key, the clock and a researcher", "threshold", s.next(nil, "root 1", "clock", "ada"))
	at("by nobody", "threshold", s.next(nil))
	at("by a stolen root key that names itself alone", "threshold", s.next(func(p *policy.Policy) {
		p.RootKeys, p.Threshold = []keys.PublicKey{key(s.t, "root 1").Public()}, 1
	}, "root 1"))
	at("by strangers that it names as roots", "threshold", s.next(func(p *policy.Policy) {
		p.RootKeys = []keys.PublicKey{key(s.t, "eve 1").Public(), key(s.t, "eve 2").Public()}
	}, "eve 1", "eve 2"))
	at("that new root keys did not sign", "threshold", s.next(func(p *policy.Policy) {
		p.RootKeys = []keys.PublicKey{key(s.t, "root 1").Public(), key(s.t, "root 4").Public()}
	}, two...))
	at("expired", "expiry", s.next(func(p *policy.Policy) { p.Expires = in(-time.Minute) }, two...))
	at("that expires in years", "expiry", s.next(func(p *policy.Policy) { p.Expires = in(400 * 24 * time.Hour) }, two...))
	more := s.next(nil, two...)
	more[2] = s.signBytes(bytes.Replace(more[2].Statement, []byte(`"log_key"`), []byte("\"evil\": 1,\n  \"log_key\""), 1), two...)
	at("with a member that is none", "encoding", more)
	at("an index", "threshold", append(slices.Clone(s.chain), policy.Signed{Statement: s.index(21, nil).Statement, Signatures: s.index(21, nil).Signature}))

	at("that revokes the researcher's key", "revoked", s.next(func(p *policy.Policy) {
		p.RevokedKeys, p.Researchers[0].Key = []keys.PublicKey{s.keys[0]}, key(s.t, "ada 2").Public()
	}, two...))
	at("that has another researcher", "signature_unknown_key", s.next(func(p *policy.Policy) { p.Researchers[0].Key = key(s.t, "ada 2").Public() }, two...))
	at("that gives the researcher another prefix", "name_prefix", s.next(func(p *policy.Policy) { p.Researchers[0].Prefix = "ada/other/" }, two...))
	at("that lowers the ceiling", "ceiling", s.next(func(p *policy.Policy) { p.Researchers[0].Ceilings.TaskFuel = 1000 }, two...))
	at("with another clock key, and the old clock's index", "signature_unknown_key", s.next(func(p *policy.Policy) { p.ClockKey = key(s.t, "clock 2").Public().String() }, two...))
	at("that names the log, and a release that is not in it", "(fault)", s.next(func(p *policy.Policy) { p.LogKey = s.logKey }, two...))
	return all
}

// indexes are false indexes, and true ones that a hub ignores.
func (s *stage) indexes(w work) (all []Attack) {
	lie := func(name, stop string, x wire.SignedIndex, before ...string) {
		all = append(all, s.lies("index: "+name, stop, nil, &x, w, before...))
	}
	at := func(name, stop string, change func(*policy.Index)) { lie(name, stop, s.index(30, change)) }
	lie("the one before", "rollback", s.index(19, nil))
	lie("by another clock", "signature_unknown_key", s.indexBy("clock 2", 30, nil))
	lie("by a researcher", "signature_unknown_key", s.indexBy("ada", 30, nil))
	lie("by a root key", "signature_unknown_key", s.indexBy("root 1", 30, nil))
	lie("a policy", "signature_unknown_key", wire.SignedIndex{Statement: s.chain[1].Statement, Signature: s.chain[1].Signatures[:len(s.chain[1].Signatures)/2]})
	x := s.index(30, nil)
	lie("by nobody", "signature_malformed", wire.SignedIndex{Statement: x.Statement})
	lie("with another one's signature", "signature_invalid", wire.SignedIndex{Statement: s.index(31, nil).Statement, Signature: x.Signature})
	at("expired", "expiry", func(x *policy.Index) { x.Issued, x.Expires = in(-2*time.Hour), in(-time.Second) })
	at("that holds for more than a day", "expiry", func(x *policy.Index) { x.Issued, x.Expires = in(2*time.Hour), in(25*time.Hour) })
	at("for a later policy", "policy_version", func(x *policy.Index) { x.PolicyVersion = 3 })

	at("that revokes the release, lent all the same", "revoked", func(x *policy.Index) { x.Revoked = []canon.Digest{w.release} })
	at("that revokes the order, lent all the same", "revoked", func(x *policy.Index) { x.Revoked = []canon.Digest{w.order} })
	at("with a floor over the version that is lent", "floor", func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "ada/factor", Version: 2}} })
	halt := func(x *policy.Index) { x.Halt = "a drill" }
	at("that halts", "halted", halt)
	resume := `{"type":"resume"}`
	lie("that halts, and a halt that is lifted", "halted", s.index(30, halt), resume, resume)

	// What was believed once is not taken back by an older one.
	var looks atomic.Int64
	all = append(all, Attack{Name: "index: that halts, then an older one that does not", Stops: []string{"halted"}, Files: w.files, Uninvited: [][]byte{w.lease},
		Body: func(_ *Proxy, path string, _ []byte) *Answer {
			if path != "/v1/index" {
				return nil
			}
			if looks.Add(1) == 1 {
				return &Answer{Body: s.encode(s.index(30, halt))}
			}
			return &Answer{Body: s.encode(s.index(29, nil))}
		}})
	return all
}

// statements are releases and orders that their signers may not make.
func (s *stage) statements() (all []Attack) {
	at := func(name, stop, by, orderBy string, change func(*release.Release, *release.Order)) {
		all = append(all, s.lies("statement: "+name, stop, nil, nil, s.work(by, orderBy, change)))
	}
	at("a release of another researcher's name", "name_prefix", "grace", "grace", nil)
	at("an order of another researcher's release", "name_prefix", "ada", "grace", nil)
	at("a release by a stranger", "signature_unknown_key", "eve", "ada", nil)
	at("an order by a stranger", "signature_unknown_key", "ada", "eve", nil)
	at("a release by the clock", "signature_unknown_key", "clock", "ada", nil)
	at("a release by a root key", "signature_unknown_key", "root 1", "ada", nil)
	at("a release with more fuel than the ceiling", "ceiling", "ada", "ada", func(r *release.Release, _ *release.Order) { r.Limits.TaskFuel = 1<<40 + 1 })
	at("a release with more memory than the ceiling", "ceiling", "ada", "ada", func(r *release.Release, _ *release.Order) { r.Limits.MemoryPages++ })
	at("a release with more time than the ceiling", "ceiling", "ada", "ada", func(r *release.Release, _ *release.Order) { r.Limits.Seconds = 61 })
	at("an order with more tasks than the ceiling", "ceiling", "ada", "ada", func(_ *release.Release, o *release.Order) { o.Input.Range.To = 1<<20 + 2 })
	at("a release that has expired", "expiry", "ada", "ada", func(r *release.Release, _ *release.Order) { r.Expires = in(-time.Second) })
	at("an order that has expired", "expiry", "ada", "ada", func(_ *release.Release, o *release.Order) {
		o.NotBefore, o.Expires = in(-time.Hour), in(-time.Second)
	})
	other := canon.Sum([]byte("no module"))
	w := s.work("ada", "ada", func(r *release.Release, _ *release.Order) { r.ModuleSHA256 = other })
	w.files["/m/"+other.String()] = payloads.FactorModule
	return append(all, s.lies("statement: a release of another module", "module_sha256", nil, nil, w))
}
