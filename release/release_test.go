package release

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// seeded is a key that is the same in every run.
func seeded(t testing.TB, seed byte) keys.SecretKey {
	t.Helper()
	s, err := keys.Generate(bytes.NewReader(bytes.Repeat([]byte{seed}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func policyFor(k keys.SecretKey) *policy.Policy {
	return policy.New(1, policy.Root{}, now.Add(time.Hour), policy.Researcher{Name: "Ada", Key: k.Public(), Prefix: "ada/",
		Ceilings: policy.Ceilings{TaskFuel: 1e9, MemoryPages: 32, Seconds: 60, Tasks: 100}})
}

func sampleRelease() *Release {
	return &Release{Type: Type, Name: "ada/factor", Version: 3, ModuleSHA256: canon.Sum([]byte("module")), ModuleLength: 4096,
		SourceSHA256: canon.Sum([]byte("source")), ABI: ABI, CostTable: CostTable,
		Limits:  Limits{TaskFuel: 1e9, SegmentFuel: 1e9, MemoryPages: 16, Seconds: 60, OutputBytes: 65536},
		Purpose: "Factors integers by trial division.", Expires: canon.TimeOf(now.Add(30 * 24 * time.Hour))}
}

func TestOpen(t *testing.T) {
	key := seeded(t, 1)
	st, sig, err := sampleRelease().Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	r, who, err := Open(st, sig, policyFor(key), now)
	if err != nil || who.Name != "Ada" || *r != *sampleRelease() {
		t.Fatalf("got %+v, %v, %v", r, who, err)
	}
	if _, k, err := OpenPinned(st, sig, []keys.PublicKey{key.Public()}, now); err != nil || k != key.Public() {
		t.Fatalf("pinned: %v, %v", k, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	key := seeded(t, 1)
	for _, c := range []struct {
		name, class string
		spoil       func(*Release)
		at          time.Time
	}{
		{"expired", "expiry", nil, now.Add(30 * 24 * time.Hour)},
		{"far ahead", "expiry", func(r *Release) { r.Expires = canon.TimeOf(now.Add(91 * 24 * time.Hour)) }, now},
		{"other name", "name_prefix", func(r *Release) { r.Name = "bob/factor" }, now},
		{"fuel", "ceiling", func(r *Release) { r.Limits.TaskFuel++ }, now},
		{"memory", "ceiling", func(r *Release) { r.Limits.MemoryPages = 33 }, now},
		{"seconds", "ceiling", func(r *Release) { r.Limits.Seconds = 61 }, now},
	} {
		r := sampleRelease()
		if c.spoil != nil {
			c.spoil(r)
		}
		st, sig, err := r.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := Open(st, sig, policyFor(key), c.at); canon.ClassOf(err) != c.class || got != nil {
			t.Errorf("%s: got %v, %v; want class %s", c.name, got, err, c.class)
		}
	}
}

var releaseOutOfBounds = map[string]func(*Release){
	"pages over 32 bits":   func(r *Release) { r.Limits.MemoryPages = 1<<32 + 16 },
	"output over 32 bits":  func(r *Release) { r.Limits.OutputBytes = canon.MaxInteger },
	"seconds over 32 bits": func(r *Release) { r.Limits.Seconds = 1<<32 + 60 },
	"name empty":           func(r *Release) { r.Name = "" },
	"name long":            func(r *Release) { r.Name = strings.Repeat("a", 65) },
	"name upper case":      func(r *Release) { r.Name = "ada/Factor" },
	"name part empty":      func(r *Release) { r.Name = "ada//factor" },
	"name ends in dash":    func(r *Release) { r.Name = "ada/factor-" },
	"version zero":         func(r *Release) { r.Version = 0 },
	"version large":        func(r *Release) { r.Version = 1 << 31 },
	"module short":         func(r *Release) { r.ModuleLength = 7 },
	"module long":          func(r *Release) { r.ModuleLength = MaxModule + 1 },
	"abi":                  func(r *Release) { r.ABI = "countersign/2" },
	"cost table":           func(r *Release) { r.CostTable = "v0" },
	"fuel zero":            func(r *Release) { r.Limits.TaskFuel = 0 },
	"segment zero":         func(r *Release) { r.Limits.SegmentFuel = 0 },
	"segment over task":    func(r *Release) { r.Limits.SegmentFuel = r.Limits.TaskFuel + 1 },
	"memory zero":          func(r *Release) { r.Limits.MemoryPages = 0 },
	"memory large":         func(r *Release) { r.Limits.MemoryPages = 16385 },
	"seconds zero":         func(r *Release) { r.Limits.Seconds = 0 },
	"seconds large":        func(r *Release) { r.Limits.Seconds = 86401 },
	"output large":         func(r *Release) { r.Limits.OutputBytes = maxOutput + 1 },
	"purpose empty":        func(r *Release) { r.Purpose = "" },
	"purpose long":         func(r *Release) { r.Purpose = strings.Repeat("p", 201) },
}

func TestReleaseBounds(t *testing.T) {
	for name, spoil := range releaseOutOfBounds {
		r := sampleRelease()
		spoil(r)
		if _, err := r.Encode(); canon.ClassOf(err) != "bounds" {
			t.Errorf("%s: encoded (%v)", name, err)
		}
		raw, err := canon.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw); canon.ClassOf(err) != "bounds" {
			t.Errorf("%s: parsed (%v)", name, err)
		}
	}
}

func TestCheckModule(t *testing.T) {
	module := []byte("12345678")
	r := sampleRelease()
	r.ModuleSHA256, r.ModuleLength = canon.Sum(module), 8
	for data, class := range map[string]string{"12345678": "", "12345679": "module_sha256", "123456789": "module_length", "": "module_length"} {
		if err := r.CheckModule([]byte(data)); canon.ClassOf(err) != class {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestStop(t *testing.T) {
	key, other := seeded(t, 1), seeded(t, 2)
	st, sig, err := NewStop("order", canon.Sum([]byte("o")), "wrong numbers", now).Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) func(*Stop) (string, error) {
		return func(*Stop) (string, error) { return name, nil }
	}
	if s, _, err := OpenStop(st, sig, policyFor(key), named("ada/factor")); err != nil || s.Reason != "wrong numbers" {
		t.Fatal(err)
	}
	if _, _, err := OpenStop(st, sig, policyFor(key), named("bob/factor")); canon.ClassOf(err) != "name_prefix" {
		t.Errorf("a stop of somebody else's order: %v", err)
	}
	if _, _, err := OpenStop(st, sig, policyFor(other), named("ada/factor")); canon.ClassOf(err) != "signature_unknown_key" {
		t.Errorf("a stop by a stranger: %v", err)
	}
	if _, _, err := NewStop("world", canon.Sum(nil), "x", now).Sign(key); canon.ClassOf(err) != "bounds" {
		t.Errorf("target: %v", err)
	}
}

func TestPause(t *testing.T) {
	key, other := seeded(t, 1), seeded(t, 2)
	order := canon.Sum([]byte("o"))
	named := func(name string) func(canon.Digest) (string, error) {
		return func(d canon.Digest) (string, error) {
			if d != order {
				return "", canon.Fail("unknown_order", "no such order")
			}
			return name, nil
		}
	}
	for _, paused := range []bool{true, false} {
		st, sig, err := NewPause(order, paused, "wrong numbers", now).Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		if p, _, err := OpenPause(st, sig, policyFor(key), named("ada/factor")); err != nil || p.Paused != paused || p.Sequence != uint64(now.UnixMilli()) {
			t.Fatalf("%+v, %v", p, err)
		}
		if _, _, err := OpenPause(st, sig, policyFor(key), named("bob/factor")); canon.ClassOf(err) != "name_prefix" {
			t.Errorf("a pause of somebody else's order: %v", err)
		}
		if _, _, err := OpenPause(st, sig, policyFor(other), named("ada/factor")); canon.ClassOf(err) != "signature_unknown_key" {
			t.Errorf("a pause by a stranger: %v", err)
		}
		if _, err := ParseStop(st); canon.ClassOf(err) == "" {
			t.Error("a pause passes for a stop")
		}
	}
	for what, change := range map[string]func(*Pause){
		"no sequence":       func(p *Pause) { p.Sequence = 0 },
		"a sequence of 2⁵³": func(p *Pause) { p.Sequence = 1 << 53 },
		"no reason":         func(p *Pause) { p.Reason = "" },
		"another type":      func(p *Pause) { p.Type = StopType },
	} {
		p := NewPause(order, true, "x", now)
		change(p)
		if _, _, err := p.Sign(key); canon.ClassOf(err) != "bounds" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	r, err := sampleRelease().Encode()
	if err != nil {
		f.Fatal(err)
	}
	o, err := sampleOrder(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r)
	f.Add(o)
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := Parse(data); err == nil {
			if again, err := r.Encode(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("release: accepted, but encodes differently (%v)", err)
			}
		}
		if o, err := ParseOrder(data); err == nil {
			if again, err := o.Encode(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("order: accepted, but encodes differently (%v)", err)
			}
		}
		if s, err := ParseStop(data); err == nil {
			if again, err := canon.Encode(s); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("stop: accepted, but encodes differently (%v)", err)
			}
		}
	})
}
