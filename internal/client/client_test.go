package client

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// serve returns a client of a hub that answers everything so.
func serve(t *testing.T, status int, body string) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	c, err := New(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hostile are texts, as JSON has them, that a terminal would obey, or show as
// something else than they are.
var hostile = []string{`\u001b[2J`, `\u001B]0;x\u0007`, "\x1b[2J", `\n`, `\r`, `\b`, `\u009b31m`, "\u009b31m", "\x9b", `\u202e`, "grün", `\u0000`, `\u007f`, "\x7f", `\ud83d\ude00`}

// TestPrintable: whatever texts a hub sends, they are printable ASCII or refused.
func TestPrintable(t *testing.T) {
	const good = `{"title":"A \"b\" \\ \/ \u003cc\u003e ~", "text" : "x"}` + "\r\n\t"
	reads := map[string]struct {
		body func(json string) string
		read func(c *Client) error
	}{
		"order": {func(s string) string { return s }, func(c *Client) error {
			_, err := c.Order(t.Context(), canon.Digest{})
			return err
		}},
		"results": {func(s string) string { return `{"task":1}` + "\n" + strings.TrimSpace(s) + "\n" }, func(c *Client) error {
			return c.Results(t.Context(), canon.Digest{}, 0, func(wire.ResultLine) error { return nil })
		}},
		"votes": {func(s string) string { return strings.TrimSpace(s) + "\n" }, func(c *Client) error {
			return c.Votes(t.Context(), canon.Digest{}, func(wire.VoteLine) error { return nil })
		}},
		"event": {func(s string) string {
			return "event: order\ndata: " + strings.TrimSpace(s) + "\n\nevent: end\ndata: {}\n\n"
		}, func(c *Client) error {
			_, _, err := c.Follow(t.Context(), canon.Digest{}, 0, func(Followed) error { return nil })
			return err
		}},
	}
	for name, r := range reads {
		if err := r.read(serve(t, 200, r.body(good))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range hostile {
			err := r.read(serve(t, 200, r.body(`{"title":"`+text+`"}`)))
			if err == nil || !strings.Contains(err.Error(), "not printable ASCII") {
				t.Errorf("%s: %q: %v", name, text, err)
			}
		}
	}
}

// TestRefusal: an error's sentence is shown if it is fit to be, and nothing of
// what else a hub may say.
func TestRefusal(t *testing.T) {
	get := func(c *Client) string {
		_, err := c.Order(t.Context(), canon.Digest{})
		if err == nil {
			t.Fatal("no error")
		}
		return err.Error()
	}
	if got := get(serve(t, 409, `{"error":{"code":"state","message":"it is done"}}`)); got != "the hub refuses: it is done (state)" {
		t.Error(got)
	}
	for _, text := range hostile {
		got := get(serve(t, 409, `{"error":{"code":"state","message":"`+text+`"}}`))
		if !strings.HasSuffix(got, ": 409 Conflict (http)") {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := get(serve(t, 500, strings.Repeat(" ", maxRefusal)+"{}")); !strings.HasSuffix(got, ": 500 Internal Server Error (http)") {
		t.Error(got)
	}
}

// TestReason: the words behind a status are the hub's too.
func TestReason(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			fmt.Fprint(conn, "HTTP/1.1 404 \x1b[2Jgone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			conn.Close()
		}
	}()
	c, err := New("http://"+l.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Order(t.Context(), canon.Digest{}); err == nil || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("%q", err)
	}
}

// TestTooLong: an answer without end is not read to its end.
func TestTooLong(t *testing.T) {
	if _, err := serve(t, 200, `{"title":"`+strings.Repeat("x", maxAnswer)+`"}`).Order(t.Context(), canon.Digest{}); err == nil || !strings.Contains(err.Error(), "more than 16777216 bytes") {
		t.Error(err)
	}
}

// FuzzDecode: what is read has no text that is not printable.
func FuzzDecode(f *testing.F) {
	for _, text := range hostile {
		f.Add([]byte(`{"a":"` + text + `"}`))
	}
	f.Add([]byte(`["\\u001b", "\\\u001b", "\u00`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if decode(data, &v) != nil {
			return
		}
		var look func(v any)
		text := func(s string) {
			for _, r := range s {
				if r < 0x20 || r > 0x7e {
					t.Fatalf("%q has %q", data, r)
				}
			}
		}
		look = func(v any) {
			switch v := v.(type) {
			case string:
				text(v)
			case []any:
				for _, e := range v {
					look(e)
				}
			case map[string]any:
				for k, e := range v {
					text(k)
					look(e)
				}
			}
		}
		look(v)
		if !json.Valid(data) {
			t.Fatalf("%q is not JSON", data)
		}
	})
}
