package webworker

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

var testData = PageData{
	Title:  `A "hub" <of> ours`,
	Origin: "https://hub.test",
	Root:   []string{"RWQROOT+/a", "RWQROOTb"}, Threshold: 2, Floor: 3,
	Researchers: []Researcher{
		{Name: "Ada <b>", Key: "RWQADA+/keyA", Prefix: "ada/"},
		{Name: "Bob", Key: "RWQBOB", Prefix: "bob/primes"},
	},
}

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler(testData).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestIntegrityIsOfTheLoader(t *testing.T) {
	sum := sha512.Sum384(Loader)
	if want := "sha384-" + base64.StdEncoding.EncodeToString(sum[:]); Integrity() != want {
		t.Errorf("Integrity() = %s, want %s", Integrity(), want)
	}
	if got := body(t, get(t, "/countersign.js")); got != string(Loader) {
		t.Error("what is served is not Loader")
	}
}

// The frame's document is in the loader, as text in a template literal. Its
// script must have the hash that pages allow.
func TestFrameHashIsOfTheFrameInTheLoader(t *testing.T) {
	m := regexp.MustCompile("(?s)=`<!doctype html>.*?<script>(.*)<\\\\/script>`").FindSubmatch(Loader)
	if m == nil {
		t.Fatal("no frame in the loader")
	}
	script := regexp.MustCompile("\\\\([`$\\\\])").ReplaceAll(m[1], []byte("$1"))
	sum := sha256.Sum256(script)
	if want := "sha256-" + base64.StdEncoding.EncodeToString(sum[:]); FrameHash() != want {
		t.Errorf("FrameHash() = %s, want %s", FrameHash(), want)
	}
	if !bytes.Contains(Loader, []byte(FrameHash())) {
		t.Error("the frame's own policy names another script")
	}
}

func TestLoaderIsSmall(t *testing.T) {
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if _, err := w.Write(Loader); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Logf("loader: %d bytes, %d gzipped", len(Loader), z.Len())
	if z.Len() > 32<<10 { // build.mjs says why not 20
		t.Errorf("loader: %d bytes gzipped, at most 32 KiB", z.Len())
	}
}

func TestPage(t *testing.T) {
	page := body(t, get(t, "/"))
	for _, want := range []string{
		`data-root="RWQROOT&#43;/a RWQROOTb" data-threshold="2" data-floor="3"`,
		`integrity="` + strings.ReplaceAll(Integrity(), "+", "&#43;") + `"`,
		`data-countersign data-target="#countersign"`,
		`<code class="key">RWQADA&#43;/keyA</code>`,
		`Ada &lt;b&gt;`,
		`<title>A &#34;hub&#34; &lt;of&gt; ours</title>`,
		`src="https://hub.test/countersign.js"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page has no %s", want)
		}
	}
	for _, never := range []string{"<b>", " style=", "<style", "onclick", "http-equiv"} {
		if strings.Contains(page, never) {
			t.Errorf("page has %s", never)
		}
	}
	// What the page loads; the example in it is text.
	for _, m := range regexp.MustCompile(`<(?:script|link|img)[^>]*?(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "/") || strings.HasPrefix(m[1], "//") {
			t.Errorf("page loads %s", m[1])
		}
	}
}

func TestPageWithoutResearchers(t *testing.T) {
	var b bytes.Buffer
	if err := Page(&b, PageData{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "lists no researchers") || !strings.Contains(b.String(), "<title>Countersign</title>") {
		t.Error("an empty page does not say so")
	}
}

// TestPageSaysWhatTheLogIsWorth: "unwitnessed" until somebody is asked.
func TestPageSaysWhatTheLogIsWorth(t *testing.T) {
	const key = "hub.example/log+01234567+AQ=="
	for _, c := range []struct {
		data        PageData
		want, never string
	}{
		{PageData{}, "<title>", "log"},
		{PageData{Log: key}, "<strong>unwitnessed</strong>", "cosign"},
		{PageData{Log: key, Witnesses: []string{"a", "b"}}, "asks 2 witnesses to cosign it", "unwitnessed"},
		{PageData{Log: key, Witnesses: []string{"a"}}, "asks 1 witness to cosign it", "unwitnessed"},
	} {
		var b bytes.Buffer
		if err := Page(&b, c.data); err != nil {
			t.Fatal(err)
		}
		if text := html.UnescapeString(b.String()); !strings.Contains(text, c.want) || strings.Contains(text, c.never) || strings.Count(text, key) != strings.Count(c.data.Log, key)*3 {
			t.Errorf("%+v: no %q, or %q, or not three times the key", c.data, c.want, c.never)
		}
	}
}

func TestHeaders(t *testing.T) {
	for path, want := range map[string]map[string]string{
		"/": {
			"Content-Type":               "text/html; charset=utf-8",
			"Content-Security-Policy":    CSP(),
			"Cross-Origin-Opener-Policy": "same-origin",
		},
		"/countersign.js": {
			"Content-Type":                "text/javascript; charset=utf-8",
			"Access-Control-Allow-Origin": "*",
		},
		"/results": {
			"Content-Type":               "text/html; charset=utf-8",
			"Content-Security-Policy":    resultsCSP,
			"Cross-Origin-Opener-Policy": "same-origin",
		},
		"/results.js": {"Content-Type": "text/javascript; charset=utf-8"},
		"/page.css":   {"Content-Type": "text/css; charset=utf-8"},
		"/icon.svg":   {"Content-Type": "image/svg+xml"},
	} {
		r := get(t, path)
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
		want["X-Content-Type-Options"] = "nosniff"
		want["Referrer-Policy"] = "no-referrer"
		want["Cache-Control"] = "no-cache"
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", path, name, got, value)
			}
		}
	}
	for _, must := range []string{"default-src 'none'", "'" + FrameHash() + "'", "worker-src blob:", "'wasm-unsafe-eval'", "connect-src 'self'"} {
		if !strings.Contains(CSP(), must) {
			t.Errorf("CSP has no %s", must)
		}
	}
	for _, never := range []string{"unsafe-inline", "unsafe-eval' ", "*", "data:"} {
		if strings.Contains(strings.ReplaceAll(CSP(), "'wasm-unsafe-eval'", ""), never) {
			t.Errorf("CSP has %s", never)
		}
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	if r := get(t, "/other"); r.StatusCode != http.StatusNotFound {
		t.Errorf("/other: status %d", r.StatusCode)
	}
	w := httptest.NewRecorder()
	Handler(testData).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /: status %d", w.Code)
	}
}

func TestCompressionAndTags(t *testing.T) {
	r := get(t, "/countersign.js", "Accept-Encoding", "gzip, br")
	if r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatal("not compressed")
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(plain, Loader) {
		t.Errorf("decompressed: %v", err)
	}
	tag := r.Header.Get("ETag")
	if again := get(t, "/countersign.js", "Accept-Encoding", "gzip", "If-None-Match", tag); again.StatusCode != http.StatusNotModified {
		t.Errorf("status %d for the same tag", again.StatusCode)
	}
	if other := get(t, "/countersign.js", "If-None-Match", tag); other.StatusCode != http.StatusOK {
		t.Error("the plain and the compressed body have one tag")
	}
}

// A lock file with addresses would send builders to one registry.
func TestLockFileNamesNoRegistry(t *testing.T) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(lock, []byte(`"resolved"`)) || bytes.Contains(lock, []byte("https://registry")) {
		t.Error("package-lock.json has addresses of a registry")
	}
}
