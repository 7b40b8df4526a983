package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

const trustDir = "../testdata/vectors/trust"

// trustVector is one case of the whole chain of trust: see the folder's README.
type trustVector struct {
	Name      string          `json:"name"`
	Class     string          `json:"class"`
	Now       string          `json:"now"`
	Roots     []string        `json:"roots"`
	Threshold int             `json:"threshold"`
	Floor     int64           `json:"floor"`
	Seen      policy.Seen     `json:"seen"`
	Chain     []policy.Signed `json:"chain"`
	Index     *signedFile     `json:"index"`
	Kind      string          `json:"kind"` // release, order or "": nothing is opened
	Target    *signedFile     `json:"target"`
	Named     *signedFile     `json:"named"` // the release that the order names
}

type signedFile struct {
	Statement []byte `json:"statement"`
	Signature []byte `json:"signature"`
}

// TestTrustVectors opens every vector: policy chain, index, then a statement.
func TestTrustVectors(t *testing.T) {
	if *update {
		writeTrustVectors(t)
	}
	index, err := os.ReadFile(filepath.Join(trustDir, "INDEX"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.Atoi(strings.TrimSpace(string(index)))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(trustDir, "*.json"))
	if err != nil || len(files) != want {
		t.Fatalf("%d vectors, INDEX says %d (%v)", len(files), want, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v trustVector
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		t.Run(v.Name, func(t *testing.T) {
			got := "ok"
			if err := v.open(t); err != nil {
				if got = canon.ClassOf(err); got != v.Class {
					t.Log(err)
				}
			}
			if got != v.Class {
				t.Errorf("got %s, want %s", got, v.Class)
			}
		})
	}
	t.Logf("%d trust vectors", len(files))
}

func (v *trustVector) open(t *testing.T) error {
	at, err := time.Parse(time.RFC3339, v.Now)
	if err != nil {
		t.Fatal(err)
	}
	root := policy.Root{Threshold: v.Threshold, Floor: v.Floor}
	for _, k := range v.Roots {
		key, err := keys.ParsePublicKey([]byte(k))
		if err != nil {
			t.Fatal(err)
		}
		root.Keys = append(root.Keys, key)
	}
	p, seen, err := root.Open(v.Chain, v.Seen, at)
	if err != nil {
		return err
	}
	trust := policy.Trust{Policy: p}
	if v.Index != nil {
		if trust.Index, _, err = p.OpenIndex(v.Index.Statement, v.Index.Signature, seen, at); err != nil {
			return err
		}
	}
	if err := trust.Current(at); err != nil {
		return err
	}
	good := func(s *signedFile) (*Release, error) {
		r, _, err := Open(s.Statement, s.Signature, p, at)
		if err != nil {
			return nil, err
		}
		return r, trust.GoodRelease(canon.Sum(s.Statement), r.Name, r.Version)
	}
	switch v.Kind {
	case "release":
		_, err = good(v.Target)
	case "order":
		if _, _, err = OpenOrder(v.Target.Statement, v.Target.Signature, p, func(canon.Digest) (*Release, error) { return good(v.Named) }, at); err == nil {
			err = trust.Good("order", canon.Sum(v.Target.Statement))
		}
	}
	return err
}

// trusts builds vectors around a standard scene: roots A, B, C (2 of 3), a
// clock, the researcher Ada, two policies, an index.
type trusts struct {
	t             *testing.T
	a, b, c, x    keys.SecretKey // root keys, and one that is none
	clock, clock2 keys.SecretKey
	ada, bob      keys.SecretKey
	root          policy.Root
	all           []trustVector
}

func (b *trusts) policy(version int64, change func(*policy.Policy)) *policy.Policy {
	p := policy.New(version, b.root, now.Add(300*24*time.Hour), policy.Researcher{Name: "Ada", Key: b.ada.Public(), Prefix: "ada/",
		Ceilings: policy.Ceilings{TaskFuel: 1e9, MemoryPages: 32, Seconds: 60, Tasks: 1e6}})
	p.ClockKey = b.clock.Public().String()
	if change != nil {
		change(p)
	}
	return p
}

func (b *trusts) sign(p *policy.Policy, by ...keys.SecretKey) policy.Signed {
	data, err := canon.Encode(p)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.signBytes(data, by...)
}

func (b *trusts) signBytes(data []byte, by ...keys.SecretKey) policy.Signed {
	s := policy.Signed{Statement: data, Signatures: []byte{}}
	for _, k := range by {
		s.Signatures = append(s.Signatures, keys.Sign(k, data, "countersign.policy/v1")...)
	}
	return s
}

func (b *trusts) one() []policy.Signed { return []policy.Signed{b.sign(b.policy(1, nil), b.a, b.b)} }

func (b *trusts) two() []policy.Signed {
	return append(b.one(), b.sign(b.policy(2, nil), b.b, b.c))
}

func (b *trusts) index(change func(*policy.Index)) *policy.Index {
	x := &policy.Index{Type: policy.IndexType, Sequence: 7, PolicyVersion: 1, Floors: []policy.Floor{}, Revoked: []canon.Digest{},
		Issued: canon.TimeOf(now.Add(-time.Hour)), Expires: canon.TimeOf(now.Add(11 * time.Hour))}
	if change != nil {
		change(x)
	}
	return x
}

func (b *trusts) indexBy(k keys.SecretKey, change func(*policy.Index)) *signedFile {
	data, err := canon.Encode(b.index(change))
	if err != nil {
		b.t.Fatal(err)
	}
	return &signedFile{data, keys.Sign(k, data, "countersign.index/v1")}
}

func (b *trusts) add(name, class string, chain []policy.Signed) *trustVector {
	v := trustVector{Name: name, Class: class, Now: canon.TimeOf(now).String(), Threshold: 2, Chain: chain, Index: b.indexBy(b.clock, nil)}
	for _, k := range b.root.Keys {
		v.Roots = append(v.Roots, k.String())
	}
	b.all = append(b.all, v)
	return &b.all[len(b.all)-1]
}

func writeTrustVectors(t *testing.T) {
	b := &trusts{t: t, a: seeded(t, 21), b: seeded(t, 22), c: seeded(t, 23), x: seeded(t, 24), clock: seeded(t, 25), clock2: seeded(t, 26), ada: seeded(t, 7), bob: seeded(t, 8)}
	b.root = policy.Root{Keys: []keys.PublicKey{b.a.Public(), b.b.Public(), b.c.Public()}, Threshold: 2}
	b.chains()
	b.bundles()
	b.policies()
	b.indexes()
	b.targets()
	old, err := filepath.Glob(filepath.Join(trustDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range b.all {
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(v.Name, " ", "-") + ".json"
		if err := os.WriteFile(filepath.Join(trustDir, name), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(trustDir, "INDEX"), []byte(strconv.Itoa(len(b.all))+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (b *trusts) chains() {
	b.add("good one policy", "ok", b.one())
	b.add("good two policies", "ok", b.two())
	b.add("good signed by all three", "ok", []policy.Signed{b.sign(b.policy(1, nil), b.c, b.a, b.b)})
	b.add("good with a signature by a stranger", "ok", []policy.Signed{b.sign(b.policy(1, nil), b.x, b.a, b.b)})
	b.add("good chain that begins later", "ok", []policy.Signed{b.sign(b.policy(5, nil), b.a, b.b)})
	b.add("good same policy and index as seen", "ok", b.two()).Seen = policy.Seen{Policy: 2, PolicySHA256: canon.Sum(b.two()[1].Statement), ClockKey: b.clock.Public().String(), Index: 7}
	b.add("good policy before expired", "ok", []policy.Signed{b.sign(b.policy(1, func(p *policy.Policy) { p.Expires = canon.TimeOf(now) }), b.a, b.b), b.sign(b.policy(2, nil), b.a, b.b)})
	b.add("chain empty", "policy_chain", []policy.Signed{})
	b.add("chain too long", "policy_chain", slices.Repeat(b.one(), policy.MaxChain+1))
	b.add("chain with a gap", "policy_chain", append(b.one(), b.sign(b.policy(3, nil), b.a, b.b)))
	b.add("chain with the same policy twice", "policy_chain", append(b.one(), b.one()...))
	b.add("fast forward of the version", "policy_chain", append(b.one(), b.sign(b.policy(1<<31-1, nil), b.a, b.b)))
	b.add("rollback in the chain", "policy_chain", []policy.Signed{b.two()[1], b.one()[0]})
	b.add("rollback under the floor", "rollback", b.one()).Floor = 2
	b.add("rollback under what was seen", "rollback", b.one()).Seen = policy.Seen{Policy: 2}
	b.add("rollback another policy of the version seen", "rollback", b.one()).Seen = policy.Seen{Policy: 1, PolicySHA256: canon.Sum(nil)}
	b.add("rollback another way past what was seen", "rollback", b.two()).Seen = policy.Seen{Policy: 1, PolicySHA256: canon.Sum(nil)}
	b.add("rollback chain begins after what was seen", "rollback", b.two()[1:]).Seen = policy.Seen{Policy: 1, PolicySHA256: canon.Sum(b.one()[0].Statement)}
	v := b.add("good chain begins at the floor after what was seen", "ok", b.two()[1:])
	v.Seen, v.Floor = policy.Seen{Policy: 1, PolicySHA256: canon.Sum(b.one()[0].Statement)}, 2
	b.add("expiry of the policy", "expiry", []policy.Signed{b.sign(b.policy(1, func(p *policy.Policy) { p.Expires = canon.TimeOf(now) }), b.a, b.b)})
	b.add("expiry of the policy too far ahead", "expiry", []policy.Signed{b.sign(b.policy(1, func(p *policy.Policy) { p.Expires = canon.TimeOf(now.Add(366*24*time.Hour + time.Second)) }), b.a, b.b)})
	// Rotation: x comes for c, under the thresholds of both.
	rotated := func(p *policy.Policy) {
		p.RootKeys = []keys.PublicKey{b.a.Public(), b.b.Public(), b.x.Public()}
	}
	strangers := func(p *policy.Policy) {
		p.RootKeys, p.Threshold = []keys.PublicKey{b.x.Public()}, 1
	}
	b.add("good rotation of a root key", "ok", append(b.one(), b.sign(b.policy(2, rotated), b.a, b.b), b.sign(b.policy(3, rotated), b.a, b.x)))
	b.add("rotation without the old threshold", "threshold", append(b.one(), b.sign(b.policy(2, rotated), b.a, b.x)))
	b.add("rotation without the new threshold", "threshold", append(b.one(), b.sign(b.policy(2, rotated), b.a, b.c)))
	b.add("rotation by a root key that went", "threshold", append(b.one(), b.sign(b.policy(2, rotated), b.a, b.b), b.sign(b.policy(3, rotated), b.a, b.c)))
	b.add("rotation to strangers by one stolen key", "threshold", append(b.one(), b.sign(b.policy(2, strangers), b.a, b.x)))
	b.add("compromise at the threshold is not defended", "ok", append(b.one(), b.sign(b.policy(2, strangers), b.a, b.b, b.x)))
}

func (b *trusts) bundles() {
	p := b.policy(1, nil)
	good := b.sign(p, b.a, b.b)
	bundle := func(name, class string, signatures []byte) {
		b.add("signatures "+name, class, []policy.Signed{{Statement: good.Statement, Signatures: signatures}})
	}
	bundle("none", "threshold", []byte{})
	bundle("below the threshold", "threshold", b.sign(p, b.a).Signatures)
	bundle("duplicate signer", "threshold", b.sign(p, b.a, b.a).Signatures)
	bundle("by strangers", "threshold", b.sign(p, b.x, b.ada, b.clock).Signatures)
	bundle("wrong role researcher", "threshold", b.sign(p, b.a, b.ada).Signatures)
	bundle("wrong role clock", "threshold", b.sign(p, b.a, b.clock).Signatures)
	bundle("of another policy", "threshold", b.sign(b.policy(2, nil), b.a, b.b).Signatures)
	bundle("one of them altered", "threshold", bytes.Replace(good.Signatures, []byte("trusted comment: countersign"), []byte("trusted comment: Countersign"), 1))
	bundle("too many", "too_large", bytes.Repeat(b.sign(p, b.a).Signatures, keys.MaxSignatures+1))
	bundle("endless data", "too_large", bytes.Repeat([]byte("untrusted comment: x\n"), keys.MaxBundle/21+1))
	long := bytes.Replace(b.sign(p, b.a).Signatures, []byte("untrusted comment: "), []byte("untrusted comment: "+strings.Repeat("x", keys.MaxSignature)), 1)
	bundle("one of them too large", "too_large", append(long, b.sign(p, b.b).Signatures...))
	bundle("cut short", "signature_malformed", good.Signatures[:len(good.Signatures)-1])
	bundle("blank line between", "signature_malformed", slices.Concat(b.sign(p, b.a).Signatures, []byte("\n"), b.sign(p, b.b).Signatures))
	bundle("carriage returns", "signature_malformed", bytes.ReplaceAll(good.Signatures, []byte("\n"), []byte("\r\n")))
	legacy := bytes.Replace(b.sign(p, b.a).Signatures, []byte("\nRU"), []byte("\nRW"), 1)
	bundle("legacy label", "signature_legacy", append(legacy, b.sign(p, b.b, b.c).Signatures...))
}

// vkey is a key of a log or witness that follows from the name; under is the
// name that it goes by, if it is another.
func (b *trusts) vkey(alg translog.Algorithm, name string, under ...string) string {
	seed := sha256.Sum256([]byte(name))
	k, err := translog.NewKey(alg, append(under, name)[0], seed[:])
	if err != nil {
		b.t.Fatal(err)
	}
	return k.VKey.String()
}

func (b *trusts) policies() {
	made := func(name, class string, change func(*policy.Policy)) {
		b.add("policy "+name, class, []policy.Signed{b.sign(b.policy(1, change), b.a, b.b)})
	}
	text := func(name, class, old, new string) {
		data, err := canon.Encode(b.policy(1, nil))
		if err != nil || !bytes.Contains(data, []byte(old)) {
			b.t.Fatalf("%s: %v", name, err)
		}
		b.add("policy "+name, class, []policy.Signed{b.signBytes(bytes.Replace(data, []byte(old), []byte(new), 1), b.a, b.b)})
	}
	made("good with origins and revoked keys", "ok", func(p *policy.Policy) {
		p.Origins = []string{"http://localhost:8080", "https://a.example"}
		p.RevokedKeys = []keys.PublicKey{b.x.Public()}
	})
	made("bounds version 0", "bounds", func(p *policy.Policy) { p.Version = 0 })
	made("bounds version large", "bounds", func(p *policy.Policy) { p.Version = 1 << 31 })
	made("bounds no root keys", "bounds", func(p *policy.Policy) { p.RootKeys = []keys.PublicKey{} })
	made("bounds threshold 0", "bounds", func(p *policy.Policy) { p.Threshold = 0 })
	made("bounds threshold over the keys", "bounds", func(p *policy.Policy) { p.Threshold = 4 })
	made("bounds root key twice", "bounds", func(p *policy.Policy) { p.RootKeys = []keys.PublicKey{b.a.Public(), b.b.Public(), b.a.Public()} })
	made("bounds no researchers", "bounds", func(p *policy.Policy) { p.Researchers = []policy.Researcher{} })
	made("bounds researcher without name", "bounds", func(p *policy.Policy) { p.Researchers[0].Name = "" })
	made("bounds prefix", "bounds", func(p *policy.Policy) { p.Researchers[0].Prefix = "Ada/" })
	made("bounds ceiling 0", "bounds", func(p *policy.Policy) { p.Researchers[0].Ceilings.Tasks = 0 })
	made("good ceiling over 32 bits", "ok", func(p *policy.Policy) { p.Researchers[0].Ceilings.MemoryPages = 1<<32 + 16 })
	made("bounds one key two roles", "bounds", func(p *policy.Policy) { p.Researchers[0].Key = b.a.Public() })
	made("bounds clock key of a researcher", "bounds", func(p *policy.Policy) { p.ClockKey = b.ada.Public().String() })
	made("bounds clock key is no key", "bounds", func(p *policy.Policy) { p.ClockKey = "RWnone" })
	made("bounds revoked key has a role", "bounds", func(p *policy.Policy) { p.RevokedKeys = []keys.PublicKey{b.ada.Public()} })
	log, one, two := b.vkey(translog.LogKey, "log.example"), b.vkey(translog.WitnessKey, "one.example"), b.vkey(translog.WitnessKey, "two.example")
	logged := func(name, class, key string, quorum int, witnesses ...string) {
		made(name, class, func(p *policy.Policy) {
			p.LogKey, p.Quorum, p.Witnesses = key, quorum, append([]string{}, witnesses...)
		})
	}
	logged("good with a log", "ok", log, 0)
	logged("good with a log and witnesses", "ok", log, 2, one, two)
	logged("good with witnesses that need not cosign", "ok", log, 0, one)
	logged("bounds log key long", "bounds", strings.Repeat("x", 201), 0)
	logged("bounds log key of a witness", "bounds", one, 0)
	logged("bounds log key with a wrong id", "bounds", strings.Replace(log, "+", "+0", 1), 0)
	logged("bounds log key altered", "bounds", strings.Replace(log, "log.", "log,", 1), 0)
	logged("bounds witness is a log", "bounds", log, 0, log)
	logged("bounds witness twice", "bounds", log, 0, one, one)
	logged("bounds witness twice under another name", "bounds", log, 0, one, b.vkey(translog.WitnessKey, "one.example", "three.example"))
	logged("bounds witness under the name of the log", "bounds", log, 0, b.vkey(translog.WitnessKey, "log.example"))
	logged("bounds witness without a log", "bounds", "", 0, one)
	logged("bounds quorum without a log", "bounds", "", 1)
	logged("bounds quorum over the witnesses", "bounds", log, 3, one, two)
	var many []string
	for i := range 17 {
		many = append(many, b.vkey(translog.WitnessKey, fmt.Sprintf("w%d.example", i)))
	}
	logged("bounds seventeen witnesses", "bounds", log, 0, many...)
	logged("good with sixteen witnesses", "ok", log, 16, many[:16]...)
	made("bounds origin with a path", "bounds", func(p *policy.Policy) { p.Origins = []string{"https://a.example/x"} })
	made("bounds origin pattern", "bounds", func(p *policy.Policy) { p.Origins = []string{"https://*.example"} })
	made("bounds origin in upper case", "bounds", func(p *policy.Policy) { p.Origins = []string{"https://A.example"} })
	made("bounds origins not ascending", "bounds", func(p *policy.Policy) { p.Origins = []string{"https://b.example", "https://a.example"} })
	text("domain of an index", "encoding", policy.Type, policy.IndexType)
	text("encoding unknown member", "encoding", `"log_key": ""`, `"log_key": "",`+"\n"+`  "more": 1`)
	text("encoding duplicate member", "encoding", `"threshold": 2`, `"threshold": 1,`+"\n"+`  "threshold": 2`)
	text("encoding other case", "encoding", `"threshold"`, `"Threshold"`)
	text("encoding float", "encoding", `"threshold": 2`, `"threshold": 2.0`)
	text("encoding escape", "encoding", `"log_key": ""`, `"log_key": "\u0041"`)
	text("encoding quorum as text", "encoding", `"witness_quorum": 0`, `"witness_quorum": "0"`)
	text("encoding null list", "encoding", `"origins": []`, `"origins": null`)
	text("encoding object for a list", "encoding", `"origins": []`, `"origins": {}`)
	text("encoding number in a list", "encoding", `"origins": []`, "\"origins\": [\n    1\n  ]")
	text("encoding trailing space", "encoding", "Z\"\n}\n", "Z\"\n}\n ")
	text("encoding byte order mark", "encoding", "{\n  \"type\"", "\ufeff{\n  \"type\"")
	text("encoding look alike", "encoding", `"name": "Ada"`, "\"name\": \"\u0410da\"")
	text("encoding legacy key label", "encoding", `"RW`, `"RU`)
	text("too large", "too_large", `"log_key": ""`, `"log_key": "`+strings.Repeat("x", policy.MaxBytes)+`"`)
}

func (b *trusts) indexes() {
	with := func(name, class string, f *signedFile) *trustVector {
		v := b.add("index "+name, class, b.two())
		v.Index = f
		return v
	}
	made := func(name, class string, change func(*policy.Index)) *trustVector {
		return with(name, class, b.indexBy(b.clock, change))
	}
	with("missing", "index_missing", nil)
	v := b.add("index not needed without a clock key", "ok", []policy.Signed{b.sign(b.policy(1, func(p *policy.Policy) { p.ClockKey = "" }), b.a, b.b)})
	v.Index = nil
	b.add("index without a clock key", "signature_unknown_key", []policy.Signed{b.sign(b.policy(1, func(p *policy.Policy) { p.ClockKey = "" }), b.a, b.b)})
	with("wrong role root", "signature_unknown_key", b.indexBy(b.a, nil))
	with("wrong role researcher", "signature_unknown_key", b.indexBy(b.ada, nil))
	f := b.indexBy(b.clock, nil)
	f.Statement = bytes.Replace(f.Statement, []byte(`"sequence": 7`), []byte(`"sequence": 8`), 1)
	with("altered", "signature_invalid", f)
	f = b.indexBy(b.clock, nil)
	f.Signature = []byte("untrusted comment: x\n")
	with("signature malformed", "signature_malformed", f)
	f = b.indexBy(b.clock, nil)
	f.Signature = bytes.Replace(f.Signature, []byte("\nRU"), []byte("\nRW"), 1)
	with("signature legacy", "signature_legacy", f)
	f = b.indexBy(b.clock, nil)
	f.Signature = bytes.Repeat([]byte("x"), keys.MaxSignature+1)
	with("signature endless", "too_large", f)
	junk := bytes.Repeat([]byte("x"), policy.MaxIndex+1)
	with("endless data", "too_large", &signedFile{junk, keys.Sign(b.clock, junk, "x")})
	p, err := canon.Encode(b.policy(2, nil))
	if err != nil {
		b.t.Fatal(err)
	}
	with("domain of a policy", "encoding", &signedFile{p, keys.Sign(b.clock, p, "x")})
	x, err := canon.Encode(b.index(nil))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, sub := range map[string][2]string{"float": {`"sequence": 7`, `"sequence": 7.0`}, "halt as a boolean": {`"halt": ""`, `"halt": false`}, "null": {`"floors": []`, `"floors": null`}, "unknown member": {`"halt": ""`, `"halt": "",` + "\n" + `  "go": 1`}} {
		data := bytes.Replace(x, []byte(sub[0]), []byte(sub[1]), 1)
		with("encoding "+name, "encoding", &signedFile{data, keys.Sign(b.clock, data, "x")})
	}
	digests := []canon.Digest{canon.Sum([]byte("a")), canon.Sum([]byte("b"))}
	slices.SortFunc(digests, func(x, y canon.Digest) int { return bytes.Compare(x[:], y[:]) })
	made("good with lists", "ok", func(x *policy.Index) {
		x.Floors, x.Revoked = []policy.Floor{{Name: "ada/factor", Version: 3}, {Name: "bob", Version: 1}}, digests
	})
	made("bounds sequence 0", "bounds", func(x *policy.Index) { x.Sequence = 0 })
	made("bounds policy version 0", "bounds", func(x *policy.Index) { x.PolicyVersion = 0 })
	made("bounds floor name", "bounds", func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "Ada", Version: 3}} })
	made("bounds floor version 0", "bounds", func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "ada", Version: 0}} })
	made("bounds floors not ascending", "bounds", func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "b", Version: 3}, {Name: "a", Version: 3}} })
	made("bounds floor twice", "bounds", func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "a", Version: 3}, {Name: "a", Version: 4}} })
	made("bounds revoked not ascending", "bounds", func(x *policy.Index) { x.Revoked = []canon.Digest{digests[1], digests[0]} })
	made("bounds revoked twice", "bounds", func(x *policy.Index) { x.Revoked = []canon.Digest{digests[0], digests[0]} })
	made("bounds halt long", "bounds", func(x *policy.Index) { x.Halt = strings.Repeat("h", 201) })
	made("bounds more than 24 hours", "bounds", func(x *policy.Index) { x.Expires = canon.TimeOf(x.Issued.Time().Add(24*time.Hour + time.Second)) })
	made("bounds expires when issued", "bounds", func(x *policy.Index) { x.Expires = x.Issued })
	made("freeze", "expiry", func(x *policy.Index) { x.Expires = canon.TimeOf(now) })
	made("good in its last second", "ok", func(x *policy.Index) { x.Expires = canon.TimeOf(now.Add(time.Second)) })
	made("from the future", "expiry", func(x *policy.Index) {
		x.Issued, x.Expires = canon.TimeOf(now.Add(24*time.Hour)), canon.TimeOf(now.Add(48*time.Hour))
	})
	made("mix and match", "policy_version", func(x *policy.Index) { x.PolicyVersion = 3 })
	made("good names the policy", "ok", func(x *policy.Index) { x.PolicyVersion = 2 })
	seen := func(clock keys.SecretKey, n uint64) policy.Seen {
		return policy.Seen{ClockKey: clock.Public().String(), Index: n}
	}
	made("rollback", "rollback", nil).Seen = seen(b.clock, 8)
	made("good higher than seen", "ok", nil).Seen = seen(b.clock, 6)
	made("good after fast forward by a clock key that went", "ok", nil).Seen = seen(b.clock2, canon.MaxInteger)
	made("fast forward by the same clock key", "rollback", nil).Seen = seen(b.clock, canon.MaxInteger)
	with("by a clock key that went", "signature_unknown_key", b.indexBy(b.clock2, nil))
}

func (b *trusts) targets() {
	r := sampleRelease()
	st, sig, err := r.Sign(b.ada)
	if err != nil {
		b.t.Fatal(err)
	}
	rel := &signedFile{st, sig}
	// A release on the page, with the index changed.
	release := func(name, class string, f *signedFile, change func(*policy.Index)) *trustVector {
		v := b.add("release "+name, class, b.two())
		v.Kind, v.Target, v.Index = "release", f, b.indexBy(b.clock, change)
		return v
	}
	by := func(k keys.SecretKey, change func(*Release)) *signedFile {
		r := sampleRelease()
		if change != nil {
			change(r)
		}
		st, sig, err := r.Sign(k)
		if err != nil {
			b.t.Fatal(err)
		}
		return &signedFile{st, sig}
	}
	release("good", "ok", rel, nil)
	release("arbitrary software", "signature_unknown_key", by(b.x, nil), nil)
	release("wrong role root", "signature_unknown_key", by(b.a, nil), nil)
	release("wrong role clock", "signature_unknown_key", by(b.clock, nil), nil)
	release("of another prefix", "name_prefix", by(b.ada, func(r *Release) { r.Name = "bob/factor" }), nil)
	release("over the fuel ceiling", "ceiling", by(b.ada, func(r *Release) { r.Limits.TaskFuel = 1e9 + 1 }), nil)
	release("over the memory ceiling", "ceiling", by(b.ada, func(r *Release) { r.Limits.MemoryPages = 33 }), nil)
	release("over the time ceiling", "ceiling", by(b.ada, func(r *Release) { r.Limits.Seconds = 61 }), nil)
	release("at its floor", "ok", rel, func(x *policy.Index) { x.Floors = []policy.Floor{{Name: r.Name, Version: r.Version}} })
	release("under its floor", "floor", rel, func(x *policy.Index) { x.Floors = []policy.Floor{{Name: r.Name, Version: r.Version + 1}} })
	release("under the floor of another name", "ok", rel, func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "ada", Version: 9}} })
	release("revoked", "revoked", rel, func(x *policy.Index) { x.Revoked = []canon.Digest{canon.Sum(st)} })
	release("halted", "halted", rel, func(x *policy.Index) { x.Halt = "wrong results" })
	v := release("by a revoked key", "revoked", by(b.bob, nil), nil)
	v.Chain = []policy.Signed{b.sign(b.policy(1, func(p *policy.Policy) { p.RevokedKeys = []keys.PublicKey{b.bob.Public()} }), b.a, b.b)}

	order := func(name, class string, k keys.SecretKey, named *signedFile, change func(*Order), index func(*policy.Index)) *trustVector {
		o := sampleOrder(b.t)
		o.ReleaseSHA256 = canon.Sum(named.Statement)
		if change != nil {
			change(o)
		}
		st, sig, err := o.Sign(k)
		if err != nil {
			b.t.Fatal(err)
		}
		v := b.add("order "+name, class, b.two())
		v.Kind, v.Target, v.Named = "order", &signedFile{st, sig}, named
		v.Index = b.indexBy(b.clock, index)
		return v
	}
	order("good", "ok", b.ada, rel, nil, nil)
	order("by a stranger", "signature_unknown_key", b.x, rel, nil, nil)
	order("of a release that is revoked", "revoked", b.ada, rel, nil, func(x *policy.Index) { x.Revoked = []canon.Digest{canon.Sum(st)} })
	order("of a release under its floor", "floor", b.ada, rel, nil, func(x *policy.Index) { x.Floors = []policy.Floor{{Name: r.Name, Version: 4}} })
	order("with too many tasks", "ceiling", b.ada, rel, func(o *Order) { o.Input = Input{Range: &Range{0, 1e6 + 1, 1}} }, nil)
	v = order("of another researcher's release", "name_prefix", b.bob, rel, nil, nil)
	v.Chain = []policy.Signed{b.sign(b.policy(1, func(p *policy.Policy) {
		bob := p.Researchers[0]
		bob.Name, bob.Key, bob.Prefix = "Bob", b.bob.Public(), "bob/"
		p.Researchers = append(p.Researchers, bob)
	}), b.a, b.b)}
	v = order("revoked", "revoked", b.ada, rel, nil, nil)
	d := canon.Sum(v.Target.Statement)
	v.Index = b.indexBy(b.clock, func(x *policy.Index) { x.Revoked = []canon.Digest{d} })
	order("halted", "halted", b.ada, rel, nil, func(x *policy.Index) { x.Halt = "stop" })
	slices.SortFunc(b.all, func(x, y trustVector) int { return strings.Compare(x.Name, y.Name) })
}
