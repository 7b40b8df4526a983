package wasm

import (
	"fmt"
	"unicode/utf8"
)

// reader reads a part of a file; the first error sticks, and all reads after it
// return zero values, so that decoders need no check after every read.
type reader struct {
	data []byte // the whole file
	pos  int
	end  int
	err  *Error
}

func (r *reader) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: at, Func: -1, Msg: fmt.Sprintf(format, args...)}
		r.pos = r.end
	}
}

// refuse fails for a feature, of which detail is the part that was met.
func (r *reader) refuse(at int, f Feature, detail string, args ...any) {
	if r.err == nil {
		r.fail(at, "not accepted: %s (%s)", f, fmt.Sprintf(detail, args...))
		r.err.Feature = f
	}
}

func (r *reader) left() int { return r.end - r.pos }

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.fail(r.pos, "unexpected end")
		return 0
	}
	r.pos++
	return r.data[r.pos-1]
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail(r.pos, "unexpected end: %d bytes wanted, %d left", n, r.left())
		return nil
	}
	r.pos += int(n)
	return r.data[r.pos-int(n) : r.pos : r.pos]
}

// unsigned reads an unsigned LEB128 integer of at most bits bits, in at most
// ⌈bits/7⌉ bytes.
func (r *reader) unsigned(bits uint) uint64 {
	start := r.pos
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if shift+7 > bits && (b&0x80 != 0 || b>>(bits-shift) != 0) {
			r.fail(start, "integer does not fit %d bits", bits)
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
}

// signed reads a signed LEB128 integer of at most bits bits.
func (r *reader) signed(bits uint) int64 {
	start := r.pos
	var v int64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if shift+7 > bits { // the last byte: what is over bits must repeat the sign
			top := int8(b<<1) >> (bits - shift)
			if b&0x80 != 0 || (top != 0 && top != -1) {
				r.fail(start, "integer does not fit %d bits", bits)
				return 0
			}
		}
		v |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			if shift+7 < 64 && b&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
}

// u32 is most of what a module consists of, and mostly one byte long.
func (r *reader) u32() uint32 {
	if r.pos < r.end && r.data[r.pos] < 0x80 {
		r.pos++
		return uint32(r.data[r.pos-1])
	}
	return uint32(r.unsigned(32))
}

// count reads the length of a vector whose elements take at least one byte.
func (r *reader) count(what string, limit int) int {
	start := r.pos
	n := r.u32()
	if uint64(n) > uint64(limit) {
		r.fail(start, "%d %s, at most %d allowed", n, what, limit)
		return 0
	}
	if uint64(n) > uint64(r.left()) {
		r.fail(start, "%d %s announced, %d bytes left", n, what, r.left())
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	start := r.pos
	n := r.u32()
	if n > MaxName {
		r.fail(start, "name of %d bytes, at most %d allowed", n, MaxName)
		return ""
	}
	b := r.bytes(n)
	if !utf8.Valid(b) {
		r.fail(start, "name is not UTF-8")
		return ""
	}
	return string(b)
}

// Signed reads a signed LEB128 integer of 64 bits at the start of data; 0 where
// there is none.
func Signed(data []byte) int64 {
	r := reader{data: data, end: len(data)}
	return r.signed(64)
}
