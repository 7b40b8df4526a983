// Package keys holds minisign keys and signatures as Countersign uses them:
// docs/spec/statement.md, section "Signatures".
//
// Files are those of the minisign program, in both directions. Only the
// prehashed algorithm ED is produced or accepted; keys are compared by all
// their bytes; secret keys are encrypted on disk.
package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"

	"github.com/countersign/countersign/internal/canon"
)

const publicKeyBytes = 2 + 8 + 32

// PublicKey is a minisign public key: algorithm, key id and Ed25519 key. It is
// comparable; == compares all 42 bytes. The zero PublicKey is no key.
type PublicKey struct{ raw [publicKeyBytes]byte }

// ParsePublicKey reads a key from its base64 line, or from a whole .pub file
// with its comment line.
func ParsePublicKey(text []byte) (PublicKey, error) {
	if len(text) > 1024 {
		return PublicKey{}, fmt.Errorf("public key: %d bytes is too long", len(text))
	}
	line := strings.TrimSuffix(string(text), "\n")
	if strings.HasPrefix(line, "untrusted comment:") {
		_, line, _ = strings.Cut(line, "\n")
	}
	line = strings.TrimSuffix(line, "\r")
	raw, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil || len(raw) != publicKeyBytes || strings.ContainsAny(line, "\r\n") {
		return PublicKey{}, fmt.Errorf("public key %.60q: want a minisign public key, 56 characters that start with RW", line)
	}
	if string(raw[:2]) != "Ed" {
		return PublicKey{}, fmt.Errorf("public key %s: algorithm %q is not Ed", line, raw[:2])
	}
	return PublicKey{raw: [publicKeyBytes]byte(raw)}, nil
}

// String is the base64 form, as minisign -P takes it.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k.raw[:]) }

// ID is the key id as minisign prints it. It identifies nothing: anybody can
// make a key with this id.
func (k PublicKey) ID() string { return fmt.Sprintf("%016X", k.minisign().ID()) }

// File is the content of a .pub file.
func (k PublicKey) File() []byte {
	return []byte("untrusted comment: minisign public key " + k.ID() + "\n" + k.String() + "\n")
}

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the base64 line alone, the form inside statements.
func (k *PublicKey) UnmarshalText(text []byte) error {
	v, err := ParsePublicKey(text)
	if err != nil {
		return err
	}
	if v.String() != string(text) {
		return fmt.Errorf("public key %.60q: want the base64 line alone", text)
	}
	*k = v
	return nil
}

// ed25519 is the key without its label, by which k-of-n tells keys apart.
func (k PublicKey) ed25519() [32]byte { return [32]byte(k.raw[10:]) }

func (k PublicKey) minisign() minisign.PublicKey {
	var m minisign.PublicKey
	if err := m.UnmarshalText([]byte(k.String())); err != nil {
		panic("keys: a parsed key does not parse: " + err.Error())
	}
	return m
}

// SecretKey signs. It holds its key in memory in the clear.
type SecretKey struct{ m minisign.PrivateKey }

// Generate returns a new key, with randomness from random (nil: crypto/rand).
func Generate(random io.Reader) (SecretKey, error) {
	if random == nil {
		random = rand.Reader
	}
	_, m, err := minisign.GenerateKey(random)
	if err != nil {
		return SecretKey{}, fmt.Errorf("generating a key: %w", err)
	}
	return SecretKey{m}, nil
}

// Public returns the public half.
func (s SecretKey) Public() PublicKey {
	k, err := ParsePublicKey([]byte(s.m.Public().(minisign.PublicKey).String()))
	if err != nil {
		panic("keys: a public key does not parse: " + err.Error())
	}
	return k
}

// Encrypt returns the content of a secret key file, encrypted with scrypt at
// minisign's own cost: about a second or three, and 1 GiB of memory.
func (s SecretKey) Encrypt(password string) ([]byte, error) {
	if password == "" {
		return nil, fmt.Errorf("encrypting a secret key: the password is empty")
	}
	data, err := minisign.EncryptKey(password, s.m)
	if err != nil {
		return nil, fmt.Errorf("encrypting a secret key: %w", err)
	}
	return append(data, '\n'), nil
}

// Decrypt reads a secret key file. A file that is not encrypted is refused.
func Decrypt(password string, file []byte) (SecretKey, error) {
	if len(file) > 4096 {
		return SecretKey{}, fmt.Errorf("secret key: %d bytes is too long", len(file))
	}
	file = bytes.TrimRight(file, "\r\n")
	var open minisign.PrivateKey
	if open.UnmarshalText(file) == nil {
		return SecretKey{}, fmt.Errorf("secret key is not encrypted: set a password with `minisign -C -s FILE`")
	}
	if !minisign.IsEncrypted(file) {
		return SecretKey{}, fmt.Errorf("not a minisign secret key")
	}
	m, err := minisign.DecryptKey(password, file)
	if err != nil {
		return SecretKey{}, fmt.Errorf("secret key: wrong password, or a damaged file")
	}
	s := SecretKey{m}
	if err := s.consistent(); err != nil {
		return SecretKey{}, err
	}
	return s, nil
}

// consistent makes sure that the public half in the file belongs to the secret
// half: signing with a wrong one gives the secret away.
func (s SecretKey) consistent() error {
	probe := []byte("countersign key check")
	if _, err := Verify([]PublicKey{s.Public()}, probe, Sign(s, probe, "check")); err != nil {
		return fmt.Errorf("secret key: its public half does not belong to it")
	}
	return nil
}

// Sign returns a signature file (algorithm ED) of message. The trusted comment
// is for people; a line break in it becomes a space.
func Sign(s SecretKey, message []byte, trustedComment string) []byte {
	r := minisign.NewReader(bytes.NewReader(message))
	if _, err := io.Copy(io.Discard, r); err != nil {
		panic("keys: reading from memory: " + err.Error())
	}
	comment := strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, trustedComment)
	return r.SignWithComments(s.m, comment, "signature from minisign secret key "+s.Public().ID())
}

// MaxSignature is the largest signature file that is looked at, in bytes.
const MaxSignature = 2048

func fail(class, format string, args ...any) error { return canon.Fail(class, format, args...) }
