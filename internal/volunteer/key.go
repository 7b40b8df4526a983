package volunteer

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
)

// A worker's key file is one line: this, and the seed in hex.
const keyPrefix = "countersign-worker-key/v1 "

// EncodeKey returns the content of a worker's key file.
func EncodeKey(key ed25519.PrivateKey) []byte {
	return []byte(keyPrefix + hex.EncodeToString(key.Seed()) + "\n")
}

// DecodeKey reads a worker's key file.
func DecodeKey(file []byte) (ed25519.PrivateKey, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(string(file)), keyPrefix)
	seed, err := hex.DecodeString(text)
	if !ok || err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("not a worker's key file: want one line %q and 64 hex digits", strings.TrimSpace(keyPrefix))
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
