package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// broken is the smallest change that violates just one invariant.
type broken struct {
	invariant string // the first column of its row in the spec
	what      string // is broken
	file      string
	old, new  string // old stands there once
	test      string // that has to fail, as in the spec, and which of its subtests: "meter: TestGolden/loop"
}

const (
	failed   = "failed as it should"
	survived = "DID NOT FAIL"
)

// named is the test as the spec names it, without subtests.
func (b *broken) named() string { return b.pkg() + ": " + b.top() }

func (b *broken) pkg() string {
	pkg, _, _ := strings.Cut(b.test, ": ")
	return pkg
}

func (b *broken) top() string {
	name, _, _ := strings.Cut(b.pattern(), "/")
	return name
}

func (b *broken) pattern() string {
	_, pattern, _ := strings.Cut(b.test, ": ")
	return pattern
}

// apply returns the file with the break in it.
func (b *broken) apply(root string) ([]byte, error) {
	code, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		return nil, fmt.Errorf("breaking the code: %w", err)
	}
	if n := bytes.Count(code, []byte(b.old)); n != 1 {
		return nil, fmt.Errorf("breaking %s: %q stands there %d times, once is wanted: the code has changed, and the break has to", b.file, b.old, n)
	}
	return bytes.Replace(code, []byte(b.old), []byte(b.new), 1), nil
}

// fails runs the test on the broken code.
func (b *broken) fails(ctx context.Context, root string) (string, error) {
	code, err := b.apply(root)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "countersign-breaks")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := b.overlay(root, dir, code)
	if err != nil {
		return "", err
	}
	said, err := test(ctx, root, b.pkg(), anchored(b.pattern()), overlay)
	switch {
	case err != nil:
		return "", err
	case said.of[b.top()] == "fail":
		return failed, nil
	case said.of[b.top()] == "pass":
		return survived, nil
	}
	return "", fmt.Errorf("%s gave no verdict: does it build, and end in %v?\n%s", b.test, limit(b.pkg()), said.text)
}

// overlay tells the go command to take the broken file for the one in the tree.
func (b *broken) overlay(root, dir string, code []byte) (string, error) {
	original, err := filepath.Abs(filepath.Join(root, b.file))
	if err != nil {
		return "", err
	}
	file, list := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: file}})
	if err != nil {
		return "", err
	}
	return list, errors.Join(os.WriteFile(file, code, 0o600), os.WriteFile(list, replace, 0o600))
}
