package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/countersign/countersign/internal/canon"
)

// codec visits the members of a message, to read them when in is set and to
// write them when not. So each message has one description of its members and
// their bounds, which holds in both directions. The first error stays.
type codec struct {
	in  *object
	out []byte
	err error
}

func (c *codec) failed(kind string) error {
	return canon.Fail(CodeMessage, "message %s: %v", kind, c.err)
}

func (c *codec) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *codec) open() { c.out = append(c.out, '{') }

// close ends the object. What was not visited by then is unknown.
func (c *codec) close() {
	if c.in == nil {
		c.out = append(c.out, '}')
	} else if name, found := c.in.rest(); found {
		c.fail("member %.40q is not known", name)
	}
}

// reading returns the member of that name and kind when the codec reads, and
// nil when it writes, after having written the name. It returns false when
// there is nothing more to do.
func (c *codec) reading(name string, kind valueKind) (*member, bool) {
	if c.err != nil {
		return nil, false
	}
	if c.in == nil {
		if c.out[len(c.out)-1] != '{' {
			c.out = append(c.out, ',')
		}
		c.out = append(append(append(c.out, '"'), name...), `":`...)
		return nil, true
	}
	m := c.in.find(name)
	if m == nil {
		c.fail("member %q is missing", name)
		return nil, false
	}
	m.taken = true
	if m.kind != kind {
		c.fail("member %q is not a %v", name, kind)
		return nil, false
	}
	return m, true
}

// text is printable ASCII of lo to hi characters.
func (c *codec) text(name string, s *string, lo, hi int) {
	m, ok := c.reading(name, isString)
	if !ok {
		return
	}
	if m != nil {
		*s = string(unescape(m.value))
	}
	if len(*s) < lo || len(*s) > hi {
		c.fail("member %q has %d characters, %d to %d allowed", name, len(*s), lo, hi)
	}
	if m == nil {
		c.quote(name, *s)
	}
}

func (c *codec) quote(name, s string) {
	c.out = append(c.out, '"')
	for _, b := range []byte(s) {
		if b < 0x20 || b > 0x7e {
			c.fail("member %q has the byte 0x%02x, which is not printable ASCII", name, b)
		}
		if b == '"' || b == '\\' {
			c.out = append(c.out, '\\')
		}
		c.out = append(c.out, b)
	}
	c.out = append(c.out, '"')
}

func unescape(s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	plain := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		plain = append(plain, s[i])
	}
	return plain
}

// token is a text of letters that need no escape anywhere.
func (c *codec) token(name string, s *string, lo, hi int) {
	c.text(name, s, lo, hi)
	for _, b := range []byte(*s) {
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '-' && b != '_' && b != '.' {
			c.fail("member %q has characters that no token has", name)
			return
		}
	}
}

// enum is one of some words.
func enum[T ~string](c *codec, name string, v *T, allowed ...T) {
	m, ok := c.reading(name, isString)
	if !ok {
		return
	}
	for _, word := range allowed {
		if m != nil && string(m.value) == string(word) {
			*v = word
			return
		}
		if m == nil && *v == word {
			c.quote(name, string(word))
			return
		}
	}
	if m != nil {
		c.fail("member %q cannot be %.40q", name, m.value)
	} else {
		c.fail("member %q cannot be %.40q", name, string(*v))
	}
}

// integer is a number of lo to hi.
func integer[T ~uint32 | ~uint64](c *codec, name string, v *T, lo, hi uint64) {
	m, ok := c.reading(name, isInteger)
	if !ok {
		return
	}
	n := uint64(*v)
	if m != nil {
		var err error
		if n, err = strconv.ParseUint(string(m.value), 10, 64); err != nil {
			c.fail("member %q: %.40s is too large", name, m.value)
			return
		}
	}
	if n < lo || n > hi {
		c.fail("member %q is %d, %d to %d allowed", name, n, lo, hi)
		return
	}
	if m == nil { // an encoder writes nothing: others may read the message
		c.out = strconv.AppendUint(c.out, n, 10)
		return
	}
	*v = T(n)
}

func (c *codec) boolean(name string, v *bool) {
	m, ok := c.reading(name, isBool)
	switch {
	case !ok:
	case m != nil:
		*v = m.value[0] == 't'
	default:
		c.out = strconv.AppendBool(c.out, *v)
	}
}

// hex is exactly len(b) bytes as lower-case hex digits.
func (c *codec) hex(name string, b []byte) {
	m, ok := c.reading(name, isString)
	switch {
	case !ok:
	case m == nil:
		c.out = append(hex.AppendEncode(append(c.out, '"'), b), '"')
	case !decodeHex(b, m.value):
		c.fail("member %q: want %d lower-case hex digits", name, 2*len(b))
	}
}

func decodeHex(dst, src []byte) bool {
	if len(src) != 2*len(dst) || bytes.ContainsAny(src, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(dst, src)
	return err == nil
}

// base64 is up to hi bytes.
func (c *codec) base64(name string, b *[]byte, hi int) {
	m, ok := c.reading(name, isString)
	if !ok {
		return
	}
	if m != nil {
		var err error
		if *b, err = decodeBase64(m.value, hi); err != nil {
			c.fail("member %q: %w", name, err)
		}
		return
	}
	if len(*b) > hi {
		c.fail("member %q has %d bytes, at most %d allowed", name, len(*b), hi)
	}
	c.out = append(base64.StdEncoding.AppendEncode(append(c.out, '"'), *b), '"')
}

func decodeBase64(src []byte, hi int) ([]byte, error) {
	if len(src) > base64.StdEncoding.EncodedLen(hi) {
		return nil, fmt.Errorf("more than %d bytes", hi)
	}
	dst, err := base64.StdEncoding.Strict().AppendDecode(make([]byte, 0, len(src)/4*3), src)
	if err != nil {
		return nil, errors.New("not padded base64")
	}
	if len(dst) > hi {
		return nil, fmt.Errorf("%d bytes, at most %d allowed", len(dst), hi)
	}
	return dst, nil
}

// object is a nested object whose members visit visits.
func (c *codec) object(name string, visit func(*codec)) {
	m, ok := c.reading(name, isObject)
	if !ok {
		return
	}
	sub := codec{out: c.out}
	if m != nil {
		sub.in = m.sub
	} else {
		sub.open()
	}
	visit(&sub)
	sub.close()
	c.out = sub.out
	if sub.err != nil {
		c.fail("member %q: %w", name, sub.err)
	}
}
