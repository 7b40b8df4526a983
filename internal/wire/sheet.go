package wire

import (
	"crypto/ed25519"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

// SheetType is the type of the statement that signs several votes at once.
const SheetType = "countersign.sheet/v1"

// MaxSheet is how many votes a sheet has at most: it is a message of their frame.
const MaxSheet = MaxBatch - 1

// Seal is a worker's signature of a vote: of the vote itself, or of a sheet on
// which it has a place.
type Seal struct {
	Signature Signature
	Place     *Place // nil: the vote itself is signed
}

// Place is where a vote stands on a sheet.
type Place struct {
	Votes uint32 `json:"votes"` // on the sheet, from 2
	Index uint32 `json:"index"` // of this one, from 0
	Path  []byte `json:"path"`  // hashes from its leaf to the root, LinkSize bytes each
}

// sheet is the canonical encoding of the statement that a worker signs.
func sheet(votes int, root tlog.Hash) []byte {
	w := newWriter()
	w.text("type", SheetType)
	w.number("votes", uint64(votes))
	w.text("root", canon.Digest(root).String())
	return w.end()
}

// SealResults signs the votes of results that go into one frame, with one
// signature. It returns the sheet that is to end the frame, if there are several.
func SealResults(results []*Result, worker ed25519.PrivateKey) (*Sheet, error) {
	for _, r := range results {
		r.Seal = Seal{}
	}
	switch len(results) {
	case 0:
		return nil, nil
	case 1:
		var err error
		results[0].Seal, err = SignVote(&results[0].Vote, worker)
		return nil, err
	}
	leaves, err := leavesOf(results)
	if err != nil {
		return nil, err
	}
	root, _ := grow(leaves, false)
	return &Sheet{Signature(ed25519.Sign(worker, sheet(len(leaves), root)))}, nil
}

// ResultFrame makes a frame of at most MaxSheet results, signed with one signature.
func ResultFrame(results []*Result, worker ed25519.PrivateKey) ([]byte, error) {
	sheet, err := SealResults(results, worker)
	if err != nil {
		return nil, err
	}
	all := make([]FromWorker, len(results), MaxBatch)
	for i, r := range results {
		all[i] = r
	}
	if sheet != nil {
		all = append(all, sheet)
	}
	return Frame(all...)
}

// OpenSheet checks the sheet of a frame from worker, if it has one, and gives the
// results on it their seals. Afterwards every result of the frame has a signature,
// and one with a place need not be checked again.
func OpenSheet(frame []FromWorker, worker Key) error {
	var results []*Result
	var s *Sheet
	for i, m := range frame {
		switch m := m.(type) {
		case *Result:
			if m.Seal.Signature == (Signature{}) {
				results = append(results, m)
			}
		case *Sheet:
			if s = m; i != len(frame)-1 {
				return canon.Fail(CodeMessage, "frame: a sheet that is not its end")
			}
		}
	}
	switch {
	case s != nil && len(results) < 2:
		return canon.Fail(CodeMessage, "sheet: it signs %d votes, at least 2 are needed", len(results))
	case s == nil && len(results) > 0:
		return canon.Fail(CodeMessage, "frame: %d votes without a signature, and no sheet at its end", len(results))
	case s == nil:
		return nil
	}
	leaves, err := leavesOf(results)
	if err != nil {
		return err
	}
	root, paths := grow(leaves, true)
	if !ed25519.Verify(worker[:], sheet(len(leaves), root), s.Signature[:]) {
		return canon.Fail(CodeVoteSignature, "sheet of %d votes: the signature is not worker %s's", len(leaves), worker)
	}
	for i, r := range results {
		r.Seal = Seal{s.Signature, &Place{uint32(len(leaves)), uint32(i), paths[i]}}
	}
	return nil
}

func leavesOf(results []*Result) ([]tlog.Hash, error) {
	if len(results) < 2 || len(results) > MaxSheet {
		return nil, canon.Fail("bounds", "sheet: %d votes, 2 to %d allowed", len(results), MaxSheet)
	}
	leaves := make([]tlog.Hash, len(results))
	statement := make([]byte, 0, 1024)
	for i, r := range results {
		statement = r.Vote.encode(statement[:0])
		leaves[i] = tlog.RecordHash(statement)
	}
	return leaves, nil
}

// maxDepth is how many hashes a path has at most.
const maxDepth = 6

// grow returns the root over leaves, and if wanted the paths from each to it.
func grow(leaves []tlog.Hash, wanted bool) (root tlog.Hash, paths [][]byte) {
	if len(leaves) == 1 {
		if wanted {
			paths = [][]byte{make([]byte, 0, maxDepth*LinkSize)}
		}
		return leaves[0], paths
	}
	half := below(len(leaves))
	left, first := grow(leaves[:half], wanted)
	right, second := grow(leaves[half:], wanted)
	for i := range first {
		first[i] = append(first[i], right[:]...)
	}
	for i := range second {
		second[i] = append(second[i], left[:]...)
	}
	return tlog.NodeHash(left, right), append(first, second...)
}

// VerifyVote checks a worker's seal of v.
func VerifyVote(v *Vote, worker Key, seal Seal) error {
	signed, err := v.Statement()
	if err != nil {
		return err
	}
	if p := seal.Place; p != nil {
		root, err := p.root(signed)
		if err != nil {
			return canon.Fail(CodeVoteSignature, "vote on task %d of order %s: %v", v.Task, v.Order.Short(), err)
		}
		signed = sheet(int(p.Votes), root)
	}
	if !ed25519.Verify(worker[:], signed, seal.Signature[:]) {
		return canon.Fail(CodeVoteSignature, "vote on task %d of order %s: the signature is not worker %s's", v.Task, v.Order.Short(), worker)
	}
	return nil
}

// root is the root to which the path of a leaf leads.
func (p *Place) root(leaf []byte) (tlog.Hash, error) {
	if p.Votes < 2 || p.Votes > MaxSheet || p.Index >= p.Votes || len(p.Path) != PathSize(p.Votes, p.Index) {
		return tlog.Hash{}, fmt.Errorf("place %d of %d on a sheet, with a path of %d bytes", p.Index, p.Votes, len(p.Path))
	}
	return climb(tlog.RecordHash(leaf), int(p.Index), int(p.Votes), p.Path), nil
}

// climb returns the root of a tree of n leaves with this one at i.
func climb(leaf tlog.Hash, i, n int, path []byte) tlog.Hash {
	if n == 1 {
		return leaf
	}
	rest, half := len(path)-LinkSize, below(n)
	sibling := tlog.Hash(path[rest:])
	if i < half {
		return tlog.NodeHash(climb(leaf, i, half, path[:rest]), sibling)
	}
	return tlog.NodeHash(sibling, climb(leaf, i-half, n-half, path[:rest]))
}

// below is the largest power of two below n.
func below(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// depth is how many hashes lead from leaf i of n to the root.
func depth(n, i uint32) (d int) {
	for ; n > 1; d++ {
		if half := uint32(below(int(n))); i < half {
			n = half
		} else {
			n, i = n-half, i-half
		}
	}
	return d
}

// PathSize is the length of the path of vote index on a sheet of votes.
func PathSize(votes, index uint32) int { return LinkSize * depth(votes, index) }
