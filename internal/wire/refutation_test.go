package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/canon"
)

func testRefutation() *Refutation {
	return &Refutation{Type: RefutationType, Order: canon.Sum([]byte("order")), Task: 12, Module: canon.Sum([]byte("module")), Input: canon.Sum([]byte("12\n")),
		Segment: 2, Before: testLink(2), Link: testLink(9), Transcript: testLink(3)}
}

func (v *vector) openRefutation(t *testing.T) error {
	r, err := ParseRefutation([]byte(v.Statement))
	if err != nil {
		return err
	}
	auditor, err := ParseKey(v.Worker)
	if err != nil {
		t.Fatal(err)
	}
	if v.Class == "ok" {
		sig, err := SignRefutation(r, ed25519.NewKeyFromSeed(unhex(t, v.Seed)))
		if err != nil || hex.EncodeToString(sig[:]) != v.Signature {
			t.Errorf("%s: signed as %x (%v)", v.Name, sig, err)
		}
	}
	return VerifyRefutation(r, auditor, Signature(unhex(t, v.Signature)))
}

func refutationVectors(t *testing.T) (all []vector) {
	add := func(name, class string, edit func(*Refutation), spoil func(statement string) string) {
		r := testRefutation()
		if edit != nil {
			edit(r)
		}
		statement, err := r.Statement()
		if err != nil {
			t.Fatal(err)
		}
		sig := ed25519.Sign(testWorker, statement)
		if spoil != nil {
			was := string(statement)
			if statement = []byte(spoil(was)); string(statement) == was {
				t.Fatalf("refutation %s: nothing is spoiled", name)
			}
		}
		all = append(all, vector{Name: "refutation " + name, Kind: "refutation", Class: class, Seed: hex.EncodeToString(testWorker.Seed()),
			Worker: hex.EncodeToString(testWorker.Public().(ed25519.PublicKey)), Statement: string(statement), Signature: hex.EncodeToString(sig)})
	}
	swap := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	none := canon.Digest{}.String()
	add("good", "ok", nil, nil)
	add("first segment", "ok", func(r *Refutation) { r.Segment, r.Before = 0, canon.Digest{} }, nil)
	add("largest", "ok", func(r *Refutation) { r.Task, r.Segment = MaxTask, MaxSegments-1 }, nil)
	add("altered", CodeVoteSignature, nil, swap(testLink(9).String(), testLink(8).String()))
	add("segment altered", CodeVoteSignature, nil, swap(`"segment": 2`, `"segment": 1`))
	add("compact", "encoding", nil, func(s string) string { return strings.ReplaceAll(s, "\n  ", "") })
	add("unknown member", "encoding", nil, swap(`"segment": 2,`, "\"segment\": 2,\n  \"from\": 1,"))
	add("is a vote", "encoding", nil, swap(RefutationType, VoteType))
	add("segment large", "bounds", nil, swap(`"segment": 2`, `"segment": 16384`))
	add("nothing before", "bounds", nil, swap(testLink(2).String(), none))
	add("before the first", "bounds", nil, swap(`"segment": 2`, `"segment": 0`))
	return all
}

// FuzzParseRefutation: what parses is written as it was read, and looking at
// links of any length does not panic.
func FuzzParseRefutation(f *testing.F) {
	r := testRefutation()
	statement, err := r.Statement()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(statement, testLinks(3))
	f.Fuzz(func(t *testing.T, data, links []byte) {
		r, err := ParseRefutation(data)
		if err != nil {
			return
		}
		if written, err := r.Statement(); err != nil || !bytes.Equal(written, data) {
			t.Fatalf("parsed %+v, written as %q (%v)", r, written, err)
		}
		if r.Refutes(links) && len(links) <= int(r.Segment)*LinkSize {
			t.Fatalf("%+v refutes what has no such segment", r)
		}
	})
}

// TestRefutes: a transcript is refuted if it has another link at the segment,
// behind the same one.
func TestRefutes(t *testing.T) {
	first, later := testRefutation(), testRefutation()
	first.Segment, first.Before = 0, canon.Digest{}
	same, astray := testRefutation(), testRefutation()
	same.Link = testLink(3)
	astray.Before = testLink(7)
	beyond := testRefutation()
	beyond.Segment, beyond.Before = 3, testLink(3)
	for name, c := range map[string]struct {
		r    *Refutation
		want bool
	}{"later": {later, true}, "first": {first, true}, "the right link": {same, false}, "behind another link": {astray, false}, "beyond its end": {beyond, false}} {
		if got := c.r.Refutes(testLinks(3)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
