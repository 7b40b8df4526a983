package terminal

import (
	"bytes"
	"testing"
)

func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"12 -> 2,2,3\n\tgrün ✓\n": "12 -> 2,2,3\n\tgrün ✓\n",
		"\x1b[2Jgone\r\n":         "?[2Jgone?\n",
		"\x1b]0;title\x07":        "?]0;title?",
		"\u009b31m":               "?31m", // one character that some terminals take for \x1b[
		"\x9b31m\xff":             "\ufffd31m\ufffd",
		"\x00\x7f":                "??",
		"\u202eevil":              "?evil", // right to left
	} {
		if got := bytes.Map(shown, []byte(text)); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := Text(&bytes.Buffer{}, []byte(text)); string(got) != text {
			t.Errorf("%q to no terminal: %q", text, got)
		}
	}
}
