package keys

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"
)

// Verify checks a signature file against message and returns the key of
// trusted that made it. Errors have a failure class of statement.md:
// too_large, signature_malformed, signature_legacy, signature_unknown_key or
// signature_invalid.
func Verify(trusted []PublicKey, message, signature []byte) (PublicKey, error) {
	s, err := parseSignature(signature)
	if err != nil {
		return PublicKey{}, err
	}
	r := minisign.NewReader(bytes.NewReader(message))
	if _, err := io.Copy(io.Discard, r); err != nil {
		panic("keys: reading from memory: " + err.Error())
	}
	known := false
	for _, k := range trusted {
		m := k.minisign()
		if m.ID() != s.KeyID {
			continue
		}
		known = true
		if r.Verify(m, canonicalSignature(s)) {
			return k, nil
		}
	}
	if !known {
		return PublicKey{}, fail("signature_unknown_key", "signature by key id %016X, which is not among the %d trusted keys", s.KeyID, len(trusted))
	}
	return PublicKey{}, fail("signature_invalid", "signature by key id %016X does not verify: the file was changed, or another key with this id signed it", s.KeyID)
}

// Threshold checks that at least k different keys of trusted signed message,
// one signature file each, and returns those keys. Signatures that do not
// verify, and further ones by the same Ed25519 key, count nothing.
func Threshold(trusted []PublicKey, k int, message []byte, signatures [][]byte) ([]PublicKey, error) {
	if k < 1 || k > len(trusted) {
		return nil, fmt.Errorf("threshold %d of %d keys cannot be met", k, len(trusted))
	}
	var signers []PublicKey
	var last error
	seen := map[[32]byte]bool{}
	for _, sig := range signatures {
		key, err := Verify(trusted, message, sig)
		if err != nil {
			last = err
			continue
		}
		if !seen[key.ed25519()] {
			seen[key.ed25519()] = true
			signers = append(signers, key)
		}
	}
	if len(signers) >= k {
		return signers, nil
	}
	if last == nil {
		last = fmt.Errorf("no further signatures")
	}
	return nil, fmt.Errorf("signed by %d of the %d keys needed: %w", len(signers), k, last)
}

// parseSignature reads the four lines and refuses every spelling but one, and
// the legacy algorithm before any arithmetic. (minisign.Reader.Verify accepts
// a legacy signature that was made over the 64-byte digest.)
func parseSignature(text []byte) (*minisign.Signature, error) {
	if len(text) > MaxSignature {
		return nil, fail("too_large", "signature: %d bytes, at most %d allowed", len(text), MaxSignature)
	}
	if bytes.IndexByte(text, '\r') >= 0 {
		return nil, fail("signature_malformed", "not a minisign signature: it has carriage returns")
	}
	var s minisign.Signature
	if err := s.UnmarshalText(text); err != nil {
		return nil, fail("signature_malformed", "not a minisign signature: %s", strings.TrimPrefix(err.Error(), "minisign: "))
	}
	if again := canonicalSignature(&s); !bytes.Equal(again, text) && !bytes.Equal(again, append(bytes.Clone(text), '\n')) {
		return nil, fail("signature_malformed", "not a minisign signature in its usual form: four lines, no carriage returns")
	}
	if s.Algorithm != minisign.HashEdDSA {
		return nil, fail("signature_legacy", "legacy signature (algorithm Ed): sign again with minisign 0.10 or later, without -l")
	}
	return &s, nil
}

func canonicalSignature(s *minisign.Signature) []byte { return []byte(s.String()) }
