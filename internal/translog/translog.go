// Package translog has the formats of the transparency log, docs/spec/log.md:
// entries, keys, checkpoints with their cosignatures, proofs, the paths of
// tiles, and what a witness is asked. They are C2SP's, read strictly: what is
// parsed encodes to the same bytes.
//
// The package moves bytes only. internal/store keeps a log, internal/hub
// serves it, internal/witness cosigns it, internal/monitor audits it.
package translog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/countersign/countersign/internal/canon"
)

// Failure classes of docs/spec/log.md.
const (
	ClassTooLarge  = "too_large"
	ClassForm      = "log_proof"
	ClassSignature = "log_signature"
	ClassInclusion = "log_inclusion"
	ClassWitness   = "log_witness"
	ClassRewound   = "log_rewound"
	ClassFork      = "log_fork"
	ClassWithheld  = "log_withheld"
	ClassEntry     = "log_entry"
)

// MaxEntry is the longest entry: a bundle has two bytes for its length.
const MaxEntry = 1<<16 - 1

// Entry returns the entry of a statement and its signature file. One that
// would be longer than MaxEntry is refused with class too_large.
func Entry(statement, signature []byte) ([]byte, error) {
	if n := 2 + len(statement) + len(signature); n > MaxEntry {
		return nil, canon.Fail(ClassTooLarge, "an entry of the transparency log would have %d bytes, at most %d are allowed", n, MaxEntry)
	}
	entry := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(statement)+len(signature)), uint16(len(statement)))
	return append(append(entry, statement...), signature...), nil
}

// SplitEntry returns the statement and the signature file of an entry, neither
// of them verified.
func SplitEntry(entry []byte) (statement, signature []byte, err error) {
	if len(entry) < 2 || len(entry) > MaxEntry || len(entry)-2 < int(binary.BigEndian.Uint16(entry)) {
		return nil, nil, canon.Fail(ClassEntry, "%d bytes are no entry of the log", len(entry))
	}
	n := 2 + int(binary.BigEndian.Uint16(entry))
	return entry[2:n], entry[n:], nil
}

// lines takes a text apart line by line.
type lines struct{ rest []byte }

// next returns the next line without its newline; ok is false at the end, and
// at a line that has no newline.
func (l *lines) next() (line string, ok bool) {
	before, after, found := bytes.Cut(l.rest, []byte("\n"))
	if !found {
		return "", false
	}
	l.rest = after
	return string(before), true
}

// decodeBase64 reads padded, canonical base64 of n bytes.
func decodeBase64(s string, n int) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) == n && encodeBase64(b) == s
}

func encodeBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// decodeNumber reads a number without leading zeros, up to 2^53-1.
func decodeNumber(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= canon.MaxInteger && strconv.FormatInt(n, 10) == s
}
