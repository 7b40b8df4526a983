// Command corpus rewrites modules that other people publish, and has V8 and
// wazero look at what comes out: make corpus.
//
// It is a Go module of its own, as nothing of it belongs to the product.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/countersign/countersign/meter"
)

func main() {
	dir := flag.String("dir", "", "the folder of packages that fetch.sh filled")
	out := flag.String("o", "", "the page to write, beside printing it")
	flag.Parse()
	if err := run(*dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	sources, err := find(dir)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var results []result
	for i, s := range sources {
		r := rewrite(s)
		if r.code != nil {
			if err := os.WriteFile(filepath.Join(tmp, fmt.Sprint(i)), r.code, 0o600); err != nil {
				return err
			}
			r.wazero = compiles(r.code)
			r.code = nil
		}
		results = append(results, r)
		fmt.Fprintf(os.Stderr, "%d of %d: %s %s: %s\n", i+1, len(sources), s.pack, s.name, r.outcome())
	}
	if err := askV8(tmp, results); err != nil {
		return err
	}
	page := heading() + table(results)
	fmt.Print(page)
	if out == "" {
		return nil
	}
	return os.WriteFile(out, []byte(page), 0o644)
}

// result is what became of one module.
type result struct {
	source
	code    []byte // metered
	before  int    // bytes of what was metered: the source, or that without imports
	size    int    // metered
	speed   float64
	refused string // what Rewrite says, if it refuses the module
	reason  string // the kind of refusal
	bug     bool   // the refusal, or what came out, is wrong
	wazero  error
	v8      string // its verdict
}

func heading() string {
	return fmt.Sprintf("# Other people's modules\n\n`make corpus` wrote this page on %s, on %s with %d processors: modules of npm and Debian packages, and libraries compiled from Debian's sources (bench/corpus/compile.sh), rewritten as libraries.\n"+
		"What comes out is validated by V8 and compiled by wazero. Where a module is refused for its imports of floats, it is tried again with bodies in place of its imports, for its code.\n\n",
		time.Now().UTC().Format("2006-01-02"), runtime.GOARCH, runtime.NumCPU())
}

// pages is as much memory as there can be: the corpus is about code.
const pages = 65536

// floatImports is the refusal after which a module's code is tried alone.
const floatImports = "floats in the types of imported functions"

// rewrite meters a module, or what can be metered of it.
func rewrite(s source) (r result) {
	r = result{source: s}
	defer func() {
		if p := recover(); p != nil {
			r.bug, r.refused = true, fmt.Sprintf("panic: %v", p)
		}
	}()
	err := r.measure(s.code)
	var e *meter.Error
	if !errors.As(err, &e) || string(e.Feature) != floatImports {
		r.refuse(err)
		return r
	}
	r.refuse(err)
	if code, err := withoutImports(s.code); err != nil {
		r.bug, r.refused = true, "taking the imports out: "+err.Error()
	} else if err := r.measure(code); err != nil {
		r.refuse(err)
	}
	return r
}

// measure meters a module several times, and keeps what comes out and the best time.
func (r *result) measure(source []byte) error {
	best := time.Duration(1 << 62)
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; {
		runtime.GC()
		start := time.Now()
		code, _, err := meter.Rewrite(source, &meter.Options{Library: true, MemoryPages: pages})
		best = min(best, time.Since(start))
		if err != nil {
			return err
		}
		r.code, r.before, r.size = code, len(source), len(code)
	}
	r.speed = float64(len(source)) / best.Seconds() / 1e6
	return nil
}

// refuse writes down why. A module that people use is well-formed, so a refusal
// without a feature is our mistake, or one of our limits.
func (r *result) refuse(err error) {
	if err == nil {
		return
	}
	r.refused = err.Error()
	var e *meter.Error
	if errors.As(err, &e) && e.Feature != "" {
		r.reason = string(e.Feature)
		return
	}
	r.reason = "limits"
	r.bug = !limit.MatchString(err.Error())
}

// askV8 has node validate every metered module.
func askV8(dir string, results []result) error {
	out, err := exec.Command("node", "validate.mjs", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("running node: %w\n%s", err, out)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(out), []byte("\n")) {
		var i int
		var verdict string
		if _, err := fmt.Sscanf(string(line), "%d %s", &i, &verdict); err != nil {
			return fmt.Errorf("reading what node says, %q: %w", line, err)
		}
		results[i].v8 = verdict
	}
	return nil
}
