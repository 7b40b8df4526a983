package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// packages has the folders of the packages that the spec names tests of: that of
// the Go module, and the package's in it.
var packages = map[string][2]string{
	"meter":   {".", "./meter"},
	"wasm":    {".", "./internal/wasm"},
	"sandbox": {".", "./internal/sandbox"},
	"proof":   {".", "./test/proof"},
	"nans":    {"bench/meter", "./nans"},
}

// limit is how long a package's tests may take; those of proof run thousands of
// modules on three engines.
func limit(pkg string) time.Duration {
	if pkg == "proof" {
		return 20 * time.Minute
	}
	return 5 * time.Minute
}

// verdicts are what tests said about themselves: "pass" or "fail". Code that does
// not build, a test that does not exist and one that takes too long say neither.
type verdicts struct {
	of   map[string]string
	text string // the end of what was printed
}

// test runs the tests of a package whose names match, with an overlay if there is
// one.
func test(ctx context.Context, root, pkg, match, overlay string) (verdicts, error) {
	// -vet=off: what is broken on purpose need not be good style.
	args := []string{"test", "-json", "-vet=off", "-count=1", "-failfast", "-timeout", limit(pkg).String(), "-run", match}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages[pkg][1])...)
	cmd.Dir = filepath.Join(root, packages[pkg][0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with the tests, and what they start
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return verdicts{}, err
	}
	return read(out), ctx.Err()
}

// read finds the verdicts in what the go command printed.
func read(out []byte) verdicts {
	v := verdicts{of: map[string]string{}}
	var lines []string
	for _, line := range bytes.Split(out, []byte("\n")) {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		if e.Test != "" && (e.Action == "pass" || e.Action == "fail") {
			v.of[e.Test] = e.Action
		}
		if e.Output != "" {
			lines = append(lines, e.Output)
		}
	}
	v.text = strings.Join(lines[max(0, len(lines)-20):], "")
	return v
}

// anchored is a -run expression for just this test; a subtest's name is a regular
// expression already.
func anchored(pattern string) string {
	name, sub, ok := strings.Cut(pattern, "/")
	if ok {
		return "^" + name + "$/" + sub
	}
	return "^" + name + "$"
}
