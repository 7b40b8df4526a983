package policy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
)

var now = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

func seeded(t testing.TB, seed byte) keys.SecretKey {
	t.Helper()
	s, err := keys.Generate(bytes.NewReader(bytes.Repeat([]byte{seed}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sample(t testing.TB) *Policy {
	root := Root{Keys: []keys.PublicKey{seeded(t, 1).Public(), seeded(t, 2).Public()}, Threshold: 2}
	return New(1, root, now.Add(300*24*time.Hour), Researcher{Name: "Ada", Key: seeded(t, 9).Public(), Prefix: "ada/",
		Ceilings: Ceilings{TaskFuel: 1e9, MemoryPages: 16, Seconds: 60, Tasks: 1000}})
}

func TestRoundTrip(t *testing.T) {
	p := sample(t)
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.Encode()
	if err != nil || !bytes.Equal(again, data) {
		t.Fatalf("%v\n%s\n%s", err, data, again)
	}
	if r := got.ByKey(p.Researchers[0].Key); r == nil || r.Name != "Ada" {
		t.Errorf("ByKey: %v", r)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		prefix, name string
		want         bool
	}{
		{"ada/", "ada/factor", true}, {"ada/", "ada/x/y", true}, {"ada/", "ada", false},
		{"ada/", "adam/factor", false}, {"ada", "ada", true}, {"ada", "ada/factor", false}, {"ada", "adam", false},
	} {
		r := Researcher{Prefix: c.prefix}
		if got := r.Covers(c.name); got != c.want {
			t.Errorf("prefix %q covers %q: %v", c.prefix, c.name, got)
		}
	}
}

func TestBounds(t *testing.T) {
	for name, spoil := range map[string]func(*Policy){
		"version 0":      func(p *Policy) { p.Version = 0 },
		"nobody":         func(p *Policy) { p.Researchers = []Researcher{} },
		"key twice":      func(p *Policy) { p.Researchers = append(p.Researchers, p.Researchers[0]) },
		"no name":        func(p *Policy) { p.Researchers[0].Name = "" },
		"no key":         func(p *Policy) { p.Researchers[0].Key = keys.PublicKey{} },
		"prefix empty":   func(p *Policy) { p.Researchers[0].Prefix = "" },
		"prefix /":       func(p *Policy) { p.Researchers[0].Prefix = "/" },
		"prefix case":    func(p *Policy) { p.Researchers[0].Prefix = "Ada/" },
		"prefix long":    func(p *Policy) { p.Researchers[0].Prefix = strings.Repeat("a", 64) + "/" },
		"ceiling 0":      func(p *Policy) { p.Researchers[0].Ceilings.Tasks = 0 },
		"ceiling 2^53":   func(p *Policy) { p.Researchers[0].Ceilings.TaskFuel = 1 << 53 },
		"too many":       func(p *Policy) { p.Researchers = make([]Researcher, maxResearchers+1) },
		"not this type":  func(p *Policy) { p.Type = "countersign.release/v1" },
		"version 2^31":   func(p *Policy) { p.Version = 1 << 31 },
		"name too long":  func(p *Policy) { p.Researchers[0].Name = strings.Repeat("a", 65) },
		"no memory":      func(p *Policy) { p.Researchers[0].Ceilings.MemoryPages = 0 },
		"no roots":       func(p *Policy) { p.RootKeys = []keys.PublicKey{} },
		"threshold 0":    func(p *Policy) { p.Threshold = 0 },
		"threshold 3":    func(p *Policy) { p.Threshold = 3 },
		"root is ada":    func(p *Policy) { p.RootKeys[0] = p.Researchers[0].Key },
		"root twice":     func(p *Policy) { p.RootKeys[0] = p.RootKeys[1] },
		"clock is root":  func(p *Policy) { p.ClockKey = p.RootKeys[0].String() },
		"clock no key":   func(p *Policy) { p.ClockKey = "x" },
		"revoked acts":   func(p *Policy) { p.RevokedKeys = []keys.PublicKey{p.Researchers[0].Key} },
		"no log key":     func(p *Policy) { p.LogKey = strings.Repeat("k", 201) },
		"no log":         func(p *Policy) { p.Witnesses = []string{"x"} },
		"quorum alone":   func(p *Policy) { p.Quorum = 1 },
		"17 witnesses":   func(p *Policy) { p.Witnesses = make([]string, 17) },
		"origin path":    func(p *Policy) { p.Origins = []string{"https://a.example/"} },
		"origin pattern": func(p *Policy) { p.Origins = []string{"https://*.example"} },
		"origins order":  func(p *Policy) { p.Origins = []string{"https://b.example", "https://a.example"} },
		"no time at all": func(p *Policy) { p.Researchers[0].Ceilings.Seconds = 0 },
	} {
		p := sample(t)
		spoil(p)
		if _, err := p.Encode(); canon.ClassOf(err) != "bounds" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCurrent(t *testing.T) {
	p := sample(t)
	for when, ok := range map[time.Time]bool{
		now: true, p.Expires.Time().Add(-time.Second): true, p.Expires.Time(): false,
		p.Expires.Time().Add(-367 * 24 * time.Hour): false,
	} {
		if err := p.Current(when); (err == nil) != ok {
			t.Errorf("at %s: %v", when, err)
		}
	}
}

// FuzzParse: what is taken has one form, and the rest an error of a class.
func FuzzParse(f *testing.F) {
	p, err := sample(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	x := Index{Type: IndexType, Sequence: 1, PolicyVersion: 1, Floors: []Floor{{Name: "ada/factor", Version: 2}}, Revoked: []canon.Digest{canon.Sum(p)},
		Issued: canon.TimeOf(now), Expires: canon.TimeOf(now.Add(time.Hour))}
	index, err := canon.Encode(&x)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p)
	f.Add(index)
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := Parse(data); err == nil {
			if again, err := p.Encode(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("policy: accepted, but encodes differently (%v)", err)
			}
		} else if canon.ClassOf(err) == "" {
			t.Fatalf("policy: an error without a class: %v", err)
		}
		if x, err := ParseIndex(data); err == nil {
			if again, err := canon.Encode(x); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("index: accepted, but encodes differently (%v)", err)
			}
		} else if canon.ClassOf(err) == "" {
			t.Fatalf("index: an error without a class: %v", err)
		}
	})
}

// FuzzOpen: a bundle of signatures that nobody made never meets the threshold.
func FuzzOpen(f *testing.F) {
	p := sample(f)
	s, err := p.Sign(seeded(f, 1), seeded(f, 2))
	if err != nil {
		f.Fatal(err)
	}
	root := Root{Keys: p.RootKeys, Threshold: p.Threshold}
	f.Add(s.Signatures)
	f.Fuzz(func(t *testing.T, bundle []byte) {
		altered := bytes.Replace(s.Statement, []byte("Ada"), []byte("Eve"), 1)
		if _, _, err := root.Open([]Signed{{altered, bundle}}, Seen{}, now); canon.ClassOf(err) == "" {
			t.Fatalf("an altered policy under a bundle: %v", err)
		}
	})
}
