// Package canon is the one canonical JSON encoding of statements and votes:
// docs/spec/statement.md, section "Encoding".
//
// A value has one encoding, and Decode accepts only that one: it decodes,
// encodes again and compares. What that single comparison refuses need not be
// listed rule by rule, and cannot be forgotten.
package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// MaxInteger is the largest integer a statement may hold, 2⁵³−1: the largest
// that JavaScript represents exactly, with all below it.
const MaxInteger = 1<<53 - 1

// Encode returns the canonical encoding of v, a struct whose fields are in the
// order of the specification. It fails when v holds text other than printable
// ASCII, or a number out of range.
func Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	if err := check(buf.Bytes()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Decode reads the canonical encoding of a statement of type typ into v, a
// pointer to a struct. data longer than limit bytes is refused unread.
// Errors are of class too_large or encoding.
func Decode(data []byte, limit int, typ string, v any) error {
	if len(data) > limit {
		return Fail("too_large", "%s: %d bytes, at most %d allowed", typ, len(data), limit)
	}
	if err := check(data); err != nil {
		return err
	}
	if got, ok := typeOf(data); !ok {
		return Fail("encoding", "not a statement: the first member must be \"type\"")
	} else if got != typ {
		return Fail("encoding", "statement of type %q where %q is wanted", got, typ)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &Error{Class: "encoding", Msg: "decoding " + typ, Err: plain(err)}
	}
	again, err := Encode(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		line, col := firstDifference(data, again)
		return Fail("encoding", "%s is not in canonical form: line %d, column %d", typ, line, col)
	}
	return nil
}

var typeMember = regexp.MustCompile(`\A\{\n  "type": "([a-z0-9./-]{1,64})"`)

// typeOf reads the first member, which names the type in every statement.
func typeOf(data []byte) (string, bool) {
	m := typeMember.FindSubmatch(data[:min(len(data), 128)])
	if m == nil {
		return "", false
	}
	return string(m[1]), true
}

// TypeOf returns the statement type that data claims to be, for messages and
// for choosing a decoder; nothing of data has been verified.
func TypeOf(data []byte) (string, bool) { return typeOf(data) }

// check refuses bytes, texts and numbers that no canonical encoding has: what
// the comparison after decoding cannot see, because Go would write the same
// escape, null or 2⁵³+1 again.
func check(data []byte) error {
	for i, b := range data {
		if b != '\n' && (b < 0x20 || b > 0x7e) {
			return Fail("encoding", "byte 0x%02x at offset %d: only printable ASCII is allowed", b, i)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &Error{Class: "encoding", Msg: "not JSON", Err: plain(err)}
		}
		if err := checkToken(tok); err != nil {
			return err
		}
	}
}

func checkToken(tok json.Token) error {
	switch v := tok.(type) {
	case nil:
		return Fail("encoding", "null: a member that is absent is left out")
	case json.Number:
		if u, err := strconv.ParseUint(v.String(), 10, 64); err != nil || u > MaxInteger {
			return Fail("encoding", "number %s: only integers from 0 to 2^53-1 are allowed", v)
		}
	case string:
		if i := strings.IndexFunc(v, func(r rune) bool { return r < 0x20 || r > 0x7e }); i >= 0 {
			return Fail("encoding", "text %.80q: only printable ASCII is allowed", v)
		}
	}
	return nil
}

// plain drops encoding/json's Go type names, which say nothing to the person
// who wrote the file.
func plain(err error) error {
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) {
		return fmt.Errorf("member %q cannot be a %s", te.Field, te.Value)
	}
	return err
}

func firstDifference(a, b []byte) (line, col int) {
	line, col = 1, 1
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		col++
		if a[i] == '\n' {
			line, col = line+1, 1
		}
	}
	return line, col
}
