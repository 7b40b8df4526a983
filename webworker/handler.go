package webworker

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Handler serves the page at "/", the loader at "/countersign.js", the page of
// results at "/results" with its script at "/results.js", and the pages' style
// sheet and icon at "/page.css" and "/icon.svg".
func Handler(data PageData) http.Handler {
	var page bytes.Buffer
	if err := Page(&page, data); err != nil {
		// The template and its data are ours, and nothing in them can fail.
		panic("webworker: " + err.Error())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", newFile("text/html; charset=utf-8", page.Bytes(), map[string]string{
		"Content-Security-Policy":    CSP(),
		"Cross-Origin-Opener-Policy": "same-origin",
		"Permissions-Policy":         "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), midi=(), payment=(), serial=(), usb=()",
	}))
	// Other sites include the loader, with its hash.
	mux.Handle("GET /countersign.js", newFile("text/javascript; charset=utf-8", Loader, map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Cross-Origin-Resource-Policy": "cross-origin",
	}))
	mux.Handle("GET /results", newFile("text/html; charset=utf-8", resultsPage, map[string]string{
		"Content-Security-Policy":    resultsCSP,
		"Cross-Origin-Opener-Policy": "same-origin",
	}))
	mux.Handle("GET /results.js", newFile("text/javascript; charset=utf-8", results, nil))
	mux.Handle("GET /page.css", newFile("text/css; charset=utf-8", pageCSS, nil))
	mux.Handle("GET /icon.svg", newFile("image/svg+xml", pageIcon, map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
	}))
	return mux
}

// file is one body with its headers, plain and compressed once.
type file struct {
	headers      map[string]string
	etag         string
	plain, small []byte
}

func newFile(contentType string, body []byte, headers map[string]string) *file {
	var small bytes.Buffer
	z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression) // fails only for an unknown level
	z.Write(body)                                             // a bytes.Buffer takes everything
	z.Close()
	sum := sha256.Sum256(body)
	f := &file{etag: hex.EncodeToString(sum[:12]), plain: body, small: small.Bytes(), headers: map[string]string{
		"Content-Type":           contentType,
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		// Page and loader belong together by hash, so neither may be older than the other.
		"Cache-Control": "no-cache",
	}}
	for name, value := range headers {
		f.headers[name] = value
	}
	return f
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range f.headers {
		w.Header().Set(name, value)
	}
	w.Header().Add("Vary", "Accept-Encoding")
	body, tag := f.plain, f.etag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Header.Get("Range") == "" {
		w.Header().Set("Content-Encoding", "gzip")
		body, tag = f.small, f.etag+"-gz"
	}
	w.Header().Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
