package evil

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// The hub's trust: two of three root keys sign, and there is a clock.
var rootNames = []string{"root 1", "root 2", "root 3"}

// trustChain makes two versions of a policy; the first had one researcher.
func (s *stage) trustChain(researchers ...policy.Researcher) {
	s.root = policy.Root{Threshold: 2}
	for _, name := range rootNames {
		s.root.Keys = append(s.root.Keys, key(s.t, name).Public())
	}
	for version := int64(1); version <= 2; version++ {
		p := policy.New(version, s.root, time.Now().Add(30*24*time.Hour), researchers[:version]...)
		p.ClockKey = key(s.t, "clock").Public().String()
		s.chain = append(s.chain, s.sign(p, "root 1", "root 2"))
	}
}

func (s *stage) sign(p *policy.Policy, names ...string) policy.Signed {
	statement, err := p.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.signBytes(statement, names...)
}

func (s *stage) signBytes(statement []byte, names ...string) policy.Signed {
	signed := policy.Signed{Statement: statement}
	for _, name := range names {
		signed.Signatures = append(signed.Signatures, keys.Sign(key(s.t, name), statement, "")...)
	}
	return signed
}

// next is the chain with one more version, which is the last but for a change.
func (s *stage) next(change func(*policy.Policy), names ...string) []policy.Signed {
	p, err := policy.Parse(s.chain[len(s.chain)-1].Statement)
	if err != nil {
		s.t.Fatal(err)
	}
	p.Version++
	if change != nil {
		change(p)
	}
	return append(slices.Clone(s.chain), s.sign(p, names...))
}

// index is one by the clock, which holds for some hours.
func (s *stage) index(sequence uint64, change func(*policy.Index)) wire.SignedIndex {
	return s.indexBy("clock", sequence, change)
}

func (s *stage) indexBy(name string, sequence uint64, change func(*policy.Index)) wire.SignedIndex {
	x := &policy.Index{Type: policy.IndexType, Sequence: sequence, PolicyVersion: 1, Floors: []policy.Floor{}, Revoked: []canon.Digest{}, Issued: in(0), Expires: in(6 * time.Hour)}
	if change != nil {
		change(x)
	}
	statement, signature, err := x.Sign(key(s.t, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return wire.SignedIndex{Statement: statement, Signature: signature}
}

// post gives the hub an index.
func (s *stage) post(x wire.SignedIndex) {
	c, err := client.New(s.url, "")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Post(s.t.Context(), "/v1/index", &wire.IndexAdmitted{}, client.Bytes("statement", x.Statement), client.Bytes("signature", x.Signature)); err != nil {
		s.t.Fatal(err)
	}
}

// work is a signed order of a signed release, and a lease of it.
type work struct {
	files          map[string][]byte
	order, release canon.Digest
	lease          []byte
}

// work makes what the hub never admitted: an order over a range by one key, of
// a release of payloads/factor by another one.
func (s *stage) work(by, orderBy string, change func(*release.Release, *release.Order)) work {
	w := work{files: map[string][]byte{}}
	r := releaseOf("ada/factor", payloads.FactorSource, payloads.FactorModule)
	r.Purpose = "Uninvited."
	o := release.Order{Type: release.OrderType, Title: "Uninvited", Input: release.Input{Range: &release.Range{From: 1, To: 3, Step: 1}},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 2, Of: 3}}, CompletePermille: 1000, NotBefore: in(-time.Minute), Expires: in(12 * time.Hour)}
	if change != nil {
		change(&r, &o)
	}
	st, sig, err := r.Sign(key(s.t, by))
	if err != nil {
		s.t.Fatal(err)
	}
	w.release = w.serve(st, sig)
	o.ReleaseSHA256 = w.release
	if st, sig, err = o.Sign(key(s.t, orderBy)); err != nil {
		s.t.Fatal(err)
	}
	w.order = w.serve(st, sig)
	w.lend()
	return w
}

func (w *work) serve(statement, signature []byte) canon.Digest {
	d := canon.Sum(statement)
	w.files["/s/"+d.String()], w.files["/s/"+d.String()+".minisig"] = statement, signature
	return d
}

func (w *work) lend() {
	data, err := wire.Encode(&wire.Lease{Token: "e30.e30.e30", ID: wire.LeaseID(w.order[:16]), Order: w.order, Release: w.release, Input: []byte("1 2\n"), Seconds: 30})
	if err != nil {
		panic(err) // it is well-formed
	}
	w.lease = data
}

// lies is an attack by a hub that serves a chain and an index, nil for its
// own, and lends work that nobody asked for.
func (s *stage) lies(name, stop string, chain []policy.Signed, x *wire.SignedIndex, w work, before ...string) Attack {
	a := Attack{Name: name, Files: maps.Clone(w.files)}
	if stop != "" {
		a.Stops = []string{stop}
	}
	if chain != nil {
		a.Files["/v1/policy"] = s.encode(chainOf(chain))
	}
	if x != nil {
		a.Files["/v1/index"] = s.encode(x)
	}
	for _, m := range before {
		a.Uninvited = append(a.Uninvited, []byte(m))
	}
	a.Uninvited = append(a.Uninvited, w.lease)
	return a
}

func chainOf(chain []policy.Signed) (all wire.PolicyChain) {
	for _, p := range chain {
		all.Policies = append(all.Policies, wire.SignedPolicy(p))
	}
	return all
}

func (s *stage) encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// damaged is what the hub serves as policy or index, damaged.
func damaged(path string, w work, stops ...string) (all []Attack) {
	name := strings.TrimPrefix(path, "/v1/")
	for _, a := range bodies(name, []string{path}, stops) {
		switch strings.TrimPrefix(a.Name, name+": ") {
		case "one byte more", "another one":
			continue // a line more is the same JSON, and there is no other one
		case "a byte in the middle altered": // it may be the comment that nobody signs
			a.Name, a.Body = name+": a byte of the statement altered", flipAt(path, 50)
		}
		a.Files, a.Uninvited = w.files, [][]byte{w.lease}
		all = append(all, a)
	}
	return all
}

func flipAt(path string, i int) func(*Proxy, string, []byte) *Answer {
	return func(_ *Proxy, asked string, body []byte) *Answer {
		if asked != path {
			return nil
		}
		b := bytes.Clone(body)
		b[i] ^= 1
		return &Answer{Body: b}
	}
}
