package translog

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

const (
	// MaxProof is the longest proof that is looked at, in bytes.
	MaxProof    = 16 << 10
	maxPath     = 63
	proofHeader = "c2sp.org/tlog-proof@v1"
	indexPrefix = "index "
)

// Proof says that a log has an entry.
type Proof struct {
	Index      int64
	Path       tlog.RecordProof
	Checkpoint *Checkpoint
}

// Encode returns the proof's text.
func (p *Proof) Encode() []byte {
	text := fmt.Appendf(nil, "%s\n%s%d\n", proofHeader, indexPrefix, p.Index)
	for _, h := range p.Path {
		text = append(append(text, encodeBase64(h[:])...), '\n')
	}
	return append(append(text, '\n'), p.Checkpoint.Encode()...)
}

// ParseProof reads a proof. Errors are of class too_large or log_proof.
func ParseProof(text []byte) (*Proof, error) {
	if len(text) > MaxProof {
		return nil, canon.Fail(ClassTooLarge, "a log proof of %d bytes, at most %d allowed", len(text), MaxProof)
	}
	l, p := lines{text}, &Proof{}
	if header, ok := l.next(); !ok || header != proofHeader {
		return nil, malformed("a log proof that does not begin with %s", proofHeader)
	}
	index, _ := l.next()
	var ok bool
	if p.Index, ok = numberAfter(indexPrefix, index); !ok {
		return nil, malformed("a log proof whose second line is no index")
	}
	hashes, err := parseHashes(&l)
	if err != nil {
		return nil, err
	}
	p.Path = hashes
	if p.Checkpoint, err = ParseCheckpoint(l.rest); err != nil {
		return nil, err
	}
	if !bytes.Equal(p.Encode(), text) {
		return nil, malformed("a log proof that is not in its one form")
	}
	return p, nil
}

func numberAfter(prefix, line string) (int64, bool) {
	number, ok := strings.CutPrefix(line, prefix)
	if !ok {
		return 0, false
	}
	return decodeNumber(number)
}

// parseHashes reads hashes, one a line, up to and with an empty line.
func parseHashes(l *lines) (all []tlog.Hash, err error) {
	for {
		line, ok := l.next()
		if ok && line == "" {
			return all, nil
		}
		h, good := decodeBase64(line, tlog.HashSize)
		if !ok || !good || len(all) == maxPath {
			return nil, malformed("a line %.60q where a hash should be", line)
		}
		all = append(all, tlog.Hash(h))
	}
}

// Request asks a witness to cosign: tlog-witness, add-checkpoint.
type Request struct {
	Old        int64 // size of the checkpoint that the witness cosigned last
	Path       tlog.TreeProof
	Checkpoint *Checkpoint
}

const (
	// MaxRequest is the longest request that a witness reads, in bytes.
	MaxRequest = 64 << 10
	oldPrefix  = "old "
)

// Encode returns the request's body.
func (r *Request) Encode() []byte {
	text := fmt.Appendf(nil, "%s%d\n", oldPrefix, r.Old)
	for _, h := range r.Path {
		text = append(append(text, encodeBase64(h[:])...), '\n')
	}
	return append(append(text, '\n'), r.Checkpoint.Encode()...)
}

// ParseRequest reads a request. Errors are of class log_proof.
func ParseRequest(text []byte) (*Request, error) {
	l, r := lines{text}, &Request{}
	old, _ := l.next()
	var ok bool
	if r.Old, ok = numberAfter(oldPrefix, old); !ok {
		return nil, malformed("a request whose first line is no size")
	}
	hashes, err := parseHashes(&l)
	if err != nil {
		return nil, err
	}
	r.Path = hashes
	if r.Checkpoint, err = ParseCheckpoint(l.rest); err != nil {
		return nil, err
	}
	if !bytes.Equal(r.Encode(), text) {
		return nil, malformed("a request that is not in its one form")
	}
	return r, nil
}
