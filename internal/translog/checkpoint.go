package translog

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

const (
	// MaxCheckpoint is the longest checkpoint that is looked at, in bytes.
	MaxCheckpoint = 16 << 10
	maxSignatures = 32
	signatureMark = "— "
)

// Checkpoint is a log's size and root. Nothing of it is to be believed before
// a Verifier has opened it.
type Checkpoint struct {
	Origin     string
	Size       int64
	Root       tlog.Hash
	Signatures []Signature
}

// Signature is a line under a checkpoint.
type Signature struct {
	Name  string
	ID    uint32
	Bytes []byte
}

// Body is what is signed.
func (c *Checkpoint) Body() []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n", c.Origin, c.Size, encodeBase64(c.Root[:]))
}

// Encode returns the checkpoint with its signatures.
func (c *Checkpoint) Encode() []byte {
	text := append(c.Body(), '\n')
	for _, s := range c.Signatures {
		text = append(text, s.Encode()...)
	}
	return text
}

// Encode returns the signature's line.
func (s Signature) Encode() []byte {
	return fmt.Appendf(nil, "%s%s %s\n", signatureMark, s.Name, encodeBase64(append(binary.BigEndian.AppendUint32(nil, s.ID), s.Bytes...)))
}

func malformed(format string, args ...any) error { return canon.Fail(ClassForm, format, args...) }

// ParseCheckpoint reads a checkpoint. Errors are of class log_proof.
func ParseCheckpoint(text []byte) (*Checkpoint, error) {
	if len(text) > MaxCheckpoint {
		return nil, malformed("a checkpoint of %d bytes, at most %d allowed", len(text), MaxCheckpoint)
	}
	l := lines{text}
	origin, _ := l.next()
	size, _ := l.next()
	root, _ := l.next()
	empty, ok := l.next()
	if !ok || empty != "" {
		return nil, malformed("a checkpoint has three lines and an empty one before its signatures")
	}
	c := &Checkpoint{Origin: origin}
	if !ValidName(origin) {
		return nil, malformed("a checkpoint of the origin %.80q", origin)
	}
	if c.Size, ok = decodeNumber(size); !ok {
		return nil, malformed("a checkpoint of the size %.20q", size)
	}
	hash, ok := decodeBase64(root, tlog.HashSize)
	if !ok {
		return nil, malformed("a checkpoint of the root %.60q", root)
	}
	c.Root = tlog.Hash(hash)
	var err error
	if c.Signatures, err = ParseSignatures(l.rest); err != nil {
		return nil, err
	}
	if len(c.Signatures) == 0 {
		return nil, malformed("a checkpoint without a signature")
	}
	if !bytes.Equal(c.Encode(), text) {
		return nil, malformed("a checkpoint that is not in its one form")
	}
	return c, nil
}

// ParseSignatures reads signature lines, which may be none.
func ParseSignatures(text []byte) (all []Signature, err error) {
	for l := (lines{text}); len(l.rest) > 0; {
		line, ok := l.next()
		name, encoded, _ := strings.Cut(strings.TrimPrefix(line, signatureMark), " ")
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(raw) < 5 || !ValidName(name) {
			return nil, malformed("a signature line %.60q", line)
		}
		s := Signature{name, binary.BigEndian.Uint32(raw), raw[4:]}
		if string(s.Encode()) != line+"\n" {
			return nil, malformed("a signature line %.60q", line)
		}
		if all = append(all, s); len(all) > maxSignatures {
			return nil, malformed("more than %d signature lines", maxSignatures)
		}
	}
	return all, nil
}

// Sign returns a log's checkpoint.
func Sign(key SecretKey, size int64, root tlog.Hash) *Checkpoint {
	c := &Checkpoint{Origin: key.Name, Size: size, Root: root}
	c.Signatures = []Signature{{key.Name, key.ID, ed25519.Sign(key.private, c.Body())}}
	return c
}

// Cosign returns a witness's cosignature of a checkpoint.
func Cosign(key SecretKey, c *Checkpoint, at time.Time) Signature {
	seconds := uint64(at.Unix())
	signature := ed25519.Sign(key.private, cosigned(c.Body(), seconds))
	return Signature{key.Name, key.ID, append(binary.BigEndian.AppendUint64(nil, seconds), signature...)}
}

// cosigned is what a witness signs.
func cosigned(body []byte, seconds uint64) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", seconds), body...)
}

// by reports whether the line has the key's name and id.
func (s Signature) by(k VKey) bool { return s.Name == k.Name && s.ID == k.ID }

// verify checks the line's signature of a checkpoint's body, by the key that it
// names. A cosignature tells its time.
func (s Signature) verify(k VKey, body []byte) (at uint64, ok bool) {
	if k.alg == LogKey {
		return 0, ed25519.Verify(k.key[:], body, s.Bytes)
	}
	if len(s.Bytes) != 8+ed25519.SignatureSize {
		return 0, false
	}
	at = binary.BigEndian.Uint64(s.Bytes)
	return at, at < 1<<63 && ed25519.Verify(k.key[:], cosigned(body, at), s.Bytes[8:])
}
