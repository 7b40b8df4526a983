// Package terminal keeps what programs print from doing more to the terminal that
// shows it. A terminal obeys control characters: it can be made to show what is
// not there, and some to type.
package terminal

import (
	"bytes"
	"io"
	"os"
	"unicode"

	"golang.org/x/term"
)

// Text is what to write to w: text as it is, or, where w is a terminal, with "?"
// for each control character but new lines and tabs, and U+FFFD for each byte that
// is no UTF-8.
func Text(w io.Writer, text []byte) []byte {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return bytes.Map(shown, text)
	}
	return text
}

func shown(r rune) rune {
	if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
		return '?'
	}
	return r
}
