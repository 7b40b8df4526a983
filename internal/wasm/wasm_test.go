package wasm

import (
	"errors"
	"strings"
	"testing"
)

func TestUnsigned(t *testing.T) {
	for _, c := range []struct {
		bytes string
		want  uint64
		ok    bool
	}{
		{"\x00", 0, true}, {"\x7f", 127, true}, {"\x80\x01", 128, true}, {"\xff\xff\xff\xff\x0f", 1<<32 - 1, true},
		{"\x80\x80\x80\x80\x00", 0, true},      // padded: five bytes are allowed
		{"\x80\x80\x80\x80\x80\x00", 0, false}, // six are not
		{"\xff\xff\xff\xff\x1f", 0, false},     // bit 32
		{"\x80", 0, false}, {"", 0, false},
	} {
		r := reader{data: []byte(c.bytes), end: len(c.bytes)}
		if got := r.unsigned(32); (r.err == nil) != c.ok || (c.ok && got != c.want) {
			t.Errorf("%x: %d, %v", c.bytes, got, r.err)
		}
	}
}

func TestSigned(t *testing.T) {
	for _, c := range []struct {
		bytes string
		bits  uint
		want  int64
		ok    bool
	}{
		{"\x00", 32, 0, true}, {"\x7f", 32, -1, true}, {"\x40", 32, -64, true}, {"\x3f", 32, 63, true},
		{"\xff\xff\xff\xff\x07", 32, 1<<31 - 1, true}, {"\x80\x80\x80\x80\x78", 32, -1 << 31, true},
		{"\xff\xff\xff\xff\x0f", 32, 0, false}, {"\x80\x80\x80\x80\x70", 32, 0, false}, // over 32 bits
		{"\x80\x80\x80\x80\x80\x00", 32, 0, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 64, 1<<63 - 1, true},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", 64, -1 << 63, true},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 64, 0, false},
		{"\xff\xff\xff\xff\x0f", 33, 1<<32 - 1, true}, {"\x40", 33, -64, true},
	} {
		r := reader{data: []byte(c.bytes), end: len(c.bytes)}
		if got := r.signed(c.bits); (r.err == nil) != c.ok || (c.ok && got != c.want) {
			t.Errorf("%x in %d bits: %d, %v", c.bytes, c.bits, got, r.err)
		}
	}
}

// TestHostileCounts announces far more than there is: nothing may be allocated
// for it, which would show as a crash or minutes.
func TestHostileCounts(t *testing.T) {
	head := "\x00asm\x01\x00\x00\x00"
	for name, section := range map[string]string{
		"section longer than the file": "\x01\xff\xff\xff\xff\x0f",
		"types":                        "\x01\x05\xff\xff\xff\xff\x0f",
		"types within the limit":       "\x01\x03\x80\x80\x02",
		"name":                         "\x02\x06\x01\xff\xff\xff\xff\x0f",
		"body":                         "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x06\x01\xff\xff\xff\xff\x0f",
		"locals":                       "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x0b\x01\x09\x01\xff\xff\xff\xff\x0f\x7f\x0b\x0b",
		"sections twice":               "\x01\x01\x00\x01\x01\x00",
		"sections out of order":        "\x03\x01\x00\x01\x01\x00",
		"unknown section":              "\x0e\x01\x00",
		"bytes behind the content":     "\x01\x02\x00\x00",
		"function without code":        "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00",
		"code without function":        "\x01\x04\x01\x60\x00\x00\x0a\x04\x01\x02\x00\x0b",
	} {
		_, err := Decode([]byte(head + section))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode([]byte("\x00asm\x02\x00\x00\x00")); err == nil || !strings.Contains(err.Error(), "not a WebAssembly module") {
		t.Errorf("version 2: %v", err)
	}
}

func TestErrorNamesPlace(t *testing.T) {
	e := &Error{Offset: 0x2a, Func: 3, Name: "main", Msg: "SIMD are not accepted"}
	if got := e.Error(); got != "SIMD are not accepted, in function 3 (main) at offset 0x2a" {
		t.Error(got)
	}
}
