package canon

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest is a SHA-256, written as 64 lower-case hex digits.
type Digest [sha256.Size]byte

// Sum returns the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the hex form; upper case is refused, so that a digest has
// one spelling.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, Fail("encoding", "digest %.80q: want 64 hex digits", s)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil || d.String() != s {
		return Digest{}, Fail("encoding", "digest %q: want lower-case hex digits", s)
	}
	return d, nil
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short is the first 12 digits, for people.
func (d Digest) Short() string { return d.String()[:12] }

func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}
