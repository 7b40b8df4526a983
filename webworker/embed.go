// Package webworker holds the browser volunteer as the hub serves it: the
// loader script, one file, and a page to start it on. The TypeScript sources
// are in src; what the loader does, and what it cannot protect, is in
// README.md. `make web` builds dist, which is committed, so that a hub needs
// no Node to be built.
package webworker

import (
	"crypto/sha512"
	_ "embed"
	"encoding/base64"
	"strings"
)

// Loader is the script that embedding pages include: loader, frame and runner
// in one file.
//
//go:embed dist/countersign.js
var Loader []byte

//go:embed dist/results.js
var results []byte

//go:embed dist/frame.sha256
var frameHash string

// Integrity is the subresource-integrity value of Loader, for the integrity
// attribute of the embedding tag.
func Integrity() string {
	sum := sha512.Sum384(Loader)
	return "sha384-" + base64.StdEncoding.EncodeToString(sum[:])
}

// FrameHash is the CSP source of the frame's inline script. A srcdoc frame
// inherits the policy of the page around it, so every embedding page with a
// policy has to allow it.
func FrameHash() string { return strings.TrimSpace(frameHash) }

// CSP is the content security policy of the hub's own page. Each source is
// there for one thing: the loader and style sheet ('self'), the frame's script
// (its hash), compiling what was verified ('wasm-unsafe-eval'), the runner
// (blob:), the hub's socket and files (connect-src 'self'), and the runner's
// leash (connect-src blob:).
func CSP() string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' '" + FrameHash() + "' 'wasm-unsafe-eval'",
		"style-src 'self'",
		"img-src 'self'",
		"connect-src 'self' blob:",
		"worker-src blob:",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types countersign",
	}, "; ")
}

// resultsCSP is the policy of the page of results, which runs nobody's program.
const resultsCSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
