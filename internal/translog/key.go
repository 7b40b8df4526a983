package translog

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Algorithm is what a key signs: the first byte of its encoding.
type Algorithm byte

// Algorithms of signed notes that are known here.
const (
	LogKey     Algorithm = 1 // Ed25519 over the checkpoint's body
	WitnessKey Algorithm = 4 // timestamped Ed25519 cosignature
)

// MaxKeyName is the longest name of a key, in characters.
const MaxKeyName = 128

// ValidName reports whether a log or a witness can have the name.
func ValidName(name string) bool {
	if name == "" || len(name) > MaxKeyName {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '+' {
			return false
		}
	}
	return true
}

// VKey is the public key of a log or a witness, with its name. Two of them are
// the same key only if all of it is equal.
type VKey struct {
	Name string
	ID   uint32 // of name, algorithm and key: it tells keys apart and proves nothing
	alg  Algorithm
	key  [ed25519.PublicKeySize]byte
}

func newVKey(alg Algorithm, name string, key ed25519.PublicKey) VKey {
	sum := sha256.Sum256(append([]byte(name+"\n"+string(rune(alg))), key...))
	return VKey{name, binary.BigEndian.Uint32(sum[:]), alg, [ed25519.PublicKeySize]byte(key)}
}

// String is the key as people give it to each other: NAME+ID+BASE64.
func (k VKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.Name, k.ID, encodeBase64(append([]byte{byte(k.alg)}, k.key[:]...)))
}

// ParseVKey reads a public key for that algorithm.
func ParseVKey(alg Algorithm, text string) (VKey, error) {
	k, err := parseVKey(alg, text)
	if err != nil {
		return k, fmt.Errorf("%s %.60q: %w", alg.noun(), text, err)
	}
	return k, nil
}

func parseVKey(alg Algorithm, text string) (VKey, error) {
	name, rest, _ := strings.Cut(text, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	switch {
	case err != nil || !ValidName(name) || len(raw) != 1+ed25519.PublicKeySize:
		return VKey{}, errors.New("want NAME+ID+BASE64, as hub log-key and signer witness print it")
	case Algorithm(raw[0]) != alg:
		return VKey{}, fmt.Errorf("it is of algorithm %d, where %d is needed", raw[0], alg)
	}
	if k := newVKey(alg, name, raw[1:]); k.String() == text {
		return k, nil
	}
	return VKey{}, errors.New("its id is not that of its name and key: copy it again")
}

func (a Algorithm) noun() string {
	if a == LogKey {
		return "log key"
	}
	return "witness key"
}

// SecretKey signs as a log or a witness.
type SecretKey struct {
	VKey
	private ed25519.PrivateKey
}

// GenerateKey makes a key. Without a name it gets one that follows from the
// key.
func GenerateKey(alg Algorithm, name string) (SecretKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	return NewKey(alg, name, seed)
}

// NewKey makes the key that follows from a seed of 32 bytes.
func NewKey(alg Algorithm, name string, seed []byte) (SecretKey, error) {
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	if name == "" {
		name = defaultName(alg, public)
	}
	if !ValidName(name) {
		return SecretKey{}, fmt.Errorf("%.80q cannot be a key's name: want 1 to %d printable ASCII characters without space and +", name, MaxKeyName)
	}
	return SecretKey{newVKey(alg, name, public), private}, nil
}

func defaultName(alg Algorithm, key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	if alg == LogKey {
		return "countersign.log/" + hex.EncodeToString(sum[:8])
	}
	return "countersign.witness/" + hex.EncodeToString(sum[:8])
}

const secretPrefix = "PRIVATE+KEY+"

// File is the content of the key's file, one line in the form of
// golang.org/x/mod/sumdb/note.
func (k SecretKey) File() []byte {
	return fmt.Appendf(nil, "%s%s+%08x+%s\n", secretPrefix, k.Name, k.ID, encodeBase64(append([]byte{byte(k.alg)}, k.private.Seed()...)))
}

// ParseKeyFile reads what File returned.
func ParseKeyFile(alg Algorithm, text []byte) (SecretKey, error) {
	line, ours := strings.CutPrefix(strings.TrimSuffix(string(text), "\n"), secretPrefix)
	name, rest, _ := strings.Cut(line, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	raw, ok := decodeBase64(encoded, 1+ed25519.SeedSize)
	if !ours || !ok || Algorithm(raw[0]) != alg || name == "" {
		return SecretKey{}, fmt.Errorf("it has no secret %s", alg.noun())
	}
	k, err := NewKey(alg, name, raw[1:])
	if err != nil {
		return SecretKey{}, err
	}
	if secretPrefix+line+"\n" != string(k.File()) {
		return SecretKey{}, fmt.Errorf("the %s's id is not that of its name and key", alg.noun())
	}
	return k, nil
}
