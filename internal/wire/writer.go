package wire

import (
	"encoding/hex"
	"strconv"
)

// writer writes the canonical encoding of a flat statement.
type writer struct{ b []byte }

func newWriter() *writer { return &writer{append(make([]byte, 0, 800), "{\n"...)} }

func (w *writer) name(name string) {
	w.b = append(append(append(w.b, "  \""...), name...), `": `...)
}

func (w *writer) text(name, value string) {
	w.name(name)
	w.b = append(append(append(w.b, '"'), value...), "\",\n"...)
}

func (w *writer) hex(name string, value []byte) {
	w.name(name)
	w.b = append(hex.AppendEncode(append(w.b, '"'), value), "\",\n"...)
}

func (w *writer) number(name string, value uint64) {
	w.name(name)
	w.b = append(strconv.AppendUint(w.b, value, 10), ",\n"...)
}

func (w *writer) end() []byte { return append(w.b[:len(w.b)-2], "\n}\n"...) }
