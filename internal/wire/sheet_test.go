package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

// manyResults are votes that differ in their tasks, not signed yet.
func manyResults(t testing.TB, n int) []*Result {
	all := make([]*Result, n)
	for i := range all {
		all[i] = testResult(t)
		all[i].Vote.Task, all[i].Seal = uint64(i), Seal{}
	}
	return all
}

// TestSheet: each vote of a sheet of any size can be shown alone, and its path is
// RFC 6962's.
func TestSheet(t *testing.T) {
	worker := KeyOf(testWorker.Public().(ed25519.PublicKey))
	for n := 2; n <= MaxSheet; n++ {
		results := manyResults(t, n)
		frame := sealed(t, results)
		if err := OpenSheet(frame, worker); err != nil {
			t.Fatalf("sheet of %d: %v", n, err)
		}
		var leaves []tlog.Hash
		for _, r := range results {
			statement, _ := r.Vote.Statement()
			leaves = append(leaves, tlog.RecordHash(statement))
		}
		root := tree(leaves)
		for i, r := range results {
			if p := r.Seal.Place; p == nil || p.Index != uint32(i) || p.Votes != uint32(n) || len(p.Path) != PathSize(p.Votes, p.Index) {
				t.Fatalf("vote %d of %d: place %+v", i, n, p)
			}
			if got := climb(leaves[i], i, n, r.Seal.Place.Path); got != root {
				t.Fatalf("vote %d of %d: its path does not lead to the root of RFC 6962", i, n)
			}
			if err := VerifyVote(&r.Vote, worker, r.Seal); err != nil {
				t.Fatalf("vote %d of %d: %v", i, n, err)
			}
		}
		spoiled(t, results, worker)
	}
}

// tree is the root of RFC 6962, section 2.1, as it stands there.
func tree(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return tlog.NodeHash(tree(leaves[:k]), tree(leaves[k:]))
}

// spoiled checks that nothing of a vote on a sheet can be changed.
func spoiled(t *testing.T, results []*Result, worker Key) {
	t.Helper()
	r := results[len(results)/2]
	for name, spoil := range map[string]func(*Vote, *Seal){
		"vote":      func(v *Vote, _ *Seal) { v.Fuel++ },
		"signature": func(_ *Vote, s *Seal) { s.Signature[0]++ },
		"votes":     func(_ *Vote, s *Seal) { s.Place.Votes++ },
		"too many":  func(_ *Vote, s *Seal) { s.Place.Votes = MaxSheet + 1 },
		"index":     func(_ *Vote, s *Seal) { s.Place.Index = (s.Place.Index + 1) % s.Place.Votes },
		"outside":   func(_ *Vote, s *Seal) { s.Place.Index = s.Place.Votes },
		"path":      func(_ *Vote, s *Seal) { s.Place.Path[0]++ },
		"short":     func(_ *Vote, s *Seal) { s.Place.Path = s.Place.Path[1:] },
		"alone":     func(_ *Vote, s *Seal) { s.Place = nil },
	} {
		v, s := r.Vote, r.Seal
		s.Place = &Place{s.Place.Votes, s.Place.Index, bytes.Clone(s.Place.Path)}
		spoil(&v, &s)
		if err := VerifyVote(&v, worker, s); canon.ClassOf(err) != CodeVoteSignature {
			t.Errorf("sheet of %d, spoiled %s: %v", len(results), name, err)
		}
	}
}

// sealed is the frame of results as a hub reads it; results become what is read.
func sealed(t testing.TB, results []*Result) []FromWorker {
	t.Helper()
	text, err := ResultFrame(results, testWorker)
	if err != nil {
		t.Fatal(err)
	}
	read, err := DecodeFromWorker(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		results[i] = read[i].(*Result)
	}
	return read
}

func TestSealResultsBounds(t *testing.T) {
	if sheet, err := SealResults(nil, testWorker); err != nil || sheet != nil {
		t.Errorf("nothing to sign: %v, %v", sheet, err)
	}
	one := manyResults(t, 1)
	if sheet, err := SealResults(one, testWorker); err != nil || sheet != nil || one[0].Seal.Signature == (Signature{}) {
		t.Errorf("one vote: %v, %v", sheet, err)
	}
	if _, err := SealResults(manyResults(t, MaxSheet+1), testWorker); canon.ClassOf(err) != "bounds" {
		t.Errorf("too many votes: %v", err)
	}
}

func (v *vector) openSheet(t *testing.T) error {
	frame, err := DecodeFromWorker([]byte(v.Message))
	if err != nil {
		return err
	}
	worker, err := ParseKey(v.Worker)
	if err != nil {
		t.Fatal(err)
	}
	return OpenSheet(frame, worker)
}

// sheetVectors are frames of three votes, and what can be wrong with them.
func sheetVectors(t *testing.T) (all []vector) {
	add := func(name, class string, edit func([]FromWorker) []FromWorker) {
		results := manyResults(t, 3)
		sheet, err := SealResults(results, testWorker)
		if err != nil {
			t.Fatal(err)
		}
		frame := []FromWorker{results[0], results[1], results[2], sheet}
		if edit != nil {
			frame = edit(frame)
		}
		text, err := Frame(frame...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, vector{Name: "sheet " + name, Kind: "sheet", Class: class, Seed: hex.EncodeToString(testWorker.Seed()),
			Worker: hex.EncodeToString(testWorker.Public().(ed25519.PublicKey)), Message: string(text)})
	}
	add("good", "ok", nil)
	add("bare", "ok", func(f []FromWorker) []FromWorker { f[0].(*Result).Token = ""; return f })
	add("with others", "ok", func(f []FromWorker) []FromWorker {
		return slices.Insert(f, 1, FromWorker(&Want{Leases: 3}), FromWorker(testResult(t)))
	})
	add("altered", CodeVoteSignature, func(f []FromWorker) []FromWorker { f[1].(*Result).Vote.Fuel++; return f })
	add("swapped", CodeVoteSignature, func(f []FromWorker) []FromWorker { f[0], f[1] = f[1], f[0]; return f })
	add("left out", CodeVoteSignature, func(f []FromWorker) []FromWorker { return f[1:] })
	add("of one vote", CodeMessage, func(f []FromWorker) []FromWorker { return f[2:] })
	add("of no vote", CodeMessage, func(f []FromWorker) []FromWorker { return []FromWorker{&Want{}, f[3]} })
	add("missing", CodeMessage, func(f []FromWorker) []FromWorker { return f[:3] })
	add("not at the end", CodeMessage, func(f []FromWorker) []FromWorker { return append(f, &Want{}) })
	add("twice", CodeMessage, func(f []FromWorker) []FromWorker { return append(f, f[3]) })
	return all
}

func FuzzOpenSheet(f *testing.F) {
	for _, n := range []int{1, 2, 5} {
		text, err := ResultFrame(manyResults(f, n), testWorker)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	worker := KeyOf(testWorker.Public().(ed25519.PublicKey))
	f.Fuzz(func(t *testing.T, text string) {
		frame, err := DecodeFromWorker([]byte(text))
		if err != nil || OpenSheet(frame, worker) != nil {
			return
		}
		for _, m := range frame {
			if r, ok := m.(*Result); ok && r.Seal.Place != nil && VerifyVote(&r.Vote, worker, r.Seal) != nil {
				t.Errorf("a vote of a good sheet does not stand alone: %s", strings.SplitN(text, "\n", 2)[0])
			}
		}
	})
}
