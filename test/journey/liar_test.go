package journey

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// liar sets a variable to the URL of a hub that passes on what $COUNTERSIGN_HUB
// says, and lies about its log: liar NAME LIE
func liar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: liar NAME LIE")
	}
	lie, ok := lies[args[1]]
	if !ok {
		ts.Fatalf("no such lie: %s", args[1])
	}
	upstream, err := url.Parse(ts.Getenv("COUNTERSIGN_HUB"))
	ts.Check(err)
	old := map[string][]byte{} // as it was when the lie began
	for _, path := range []string{"/log/checkpoint"} {
		res, err := http.Get(upstream.String() + path)
		ts.Check(err)
		old[path], err = io.ReadAll(res.Body)
		ts.Check(err)
		ts.Check(res.Body.Close())
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.Director = func(r *http.Request) {
		r.URL.Scheme, r.URL.Host = upstream.Scheme, upstream.Host
		r.Header.Set("Accept-Encoding", "identity")
	}
	proxy.ModifyResponse = func(res *http.Response) error {
		if res.StatusCode == http.StatusSwitchingProtocols {
			return nil // what is said over a socket is passed on
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		status, body := lie(res.Request.URL.Path, body, old)
		if status != 0 {
			res.StatusCode, res.Status = status, http.StatusText(status)
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
		res.ContentLength = int64(len(body))
		res.Header.Del("Content-Length")
		return nil
	}
	server := httptest.NewServer(proxy)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// lies change an answer; a status of 0 leaves it as it was.
var lies = map[string]func(path string, body []byte, old map[string][]byte) (int, []byte){
	// The log as it was, for ever.
	"rewound": func(path string, body []byte, old map[string][]byte) (int, []byte) {
		if was, ok := old[path]; ok {
			return 0, was
		}
		return 0, body
	},
	"no-entries": func(path string, body []byte, _ map[string][]byte) (int, []byte) {
		if strings.HasPrefix(path, "/log/tile/entries/") {
			return http.StatusNotFound, nil
		}
		return 0, body
	},
	"entries-cut": func(path string, body []byte, _ map[string][]byte) (int, []byte) {
		if strings.HasPrefix(path, "/log/tile/entries/") {
			return 0, body[:len(body)-10]
		}
		return 0, body
	},
	"entry-altered": func(path string, body []byte, _ map[string][]byte) (int, []byte) {
		if strings.HasPrefix(path, "/log/tile/entries/") {
			return 0, bytes.Replace(body, []byte("Factors"), []byte("factors"), 1)
		}
		return 0, body
	},
	"tile-altered": func(path string, body []byte, _ map[string][]byte) (int, []byte) {
		if strings.HasPrefix(path, "/log/tile/0/") {
			body[5] ^= 1
		}
		return 0, body
	},
	"checkpoint-altered": func(path string, body []byte, _ map[string][]byte) (int, []byte) {
		if path == "/log/checkpoint" {
			return 0, bytes.Replace(body, []byte("\n3\n"), []byte("\n1\n"), 1)
		}
		return 0, body
	},
	"no-proof": func(path string, body []byte, _ map[string][]byte) (int, []byte) {
		if strings.HasSuffix(path, ".tlog-proof") {
			return http.StatusNotFound, nil
		}
		return 0, body
	},
	"nothing": func(_ string, body []byte, _ map[string][]byte) (int, []byte) { return 0, body },
}
