package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// source is one module of a package.
type source struct {
	pack, name string
	code       []byte
}

// embedded is a module in base64, as in scripts that carry their own, some with
// a space where base64 the program began a line.
var embedded = regexp.MustCompile(`AGFzbQE[A-Za-z0-9+/ ]{64,}={0,2}`)

// find returns every module below dir once, however often it is there.
func find(dir string) ([]source, error) {
	var all []source
	seen := map[[32]byte]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() { // Debian's links lead out of their package
			return err
		}
		codes, err := modules(path)
		if err != nil {
			return err
		}
		for i, code := range codes {
			if sum := sha256.Sum256(code); !seen[sum] {
				seen[sum] = true
				all = append(all, source{packageOf(dir, path), nameOf(path, i), code})
			}
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b source) int { return strings.Compare(a.pack, b.pack) })
	if err == nil && len(all) == 0 {
		err = errors.New("looking for modules: there is none in " + dir)
	}
	return all, err
}

// modules are those in one file: the file itself, or what a script embeds.
func modules(path string) ([][]byte, error) {
	switch filepath.Ext(path) {
	case ".wasm":
		code, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(code, []byte("\x00asm\x01\x00\x00\x00")) {
			return nil, err
		}
		return [][]byte{code}, nil
	case ".js", ".mjs", ".cjs":
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return decode(text), nil
	}
	return nil, nil
}

func decode(text []byte) [][]byte {
	var all [][]byte
	for _, m := range embedded.FindAll(text, -1) {
		code, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(string(m), "="), " ", ""))
		if err == nil {
			all = append(all, code)
		}
	}
	return all
}

// packageOf reads a package's folder, NAME_VERSION, as fetch.sh names it.
func packageOf(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	name, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	if scoped, ok := strings.CutPrefix(name, "_"); ok {
		name = "@" + strings.Replace(scoped, "_", "/", 1)
	}
	at := strings.LastIndexByte(name, '_')
	if at < 0 {
		return name
	}
	return name[:at] + " " + name[at+1:]
}

func nameOf(path string, i int) string {
	name := filepath.Base(path)
	if filepath.Ext(path) != ".wasm" {
		return fmt.Sprintf("%s #%d", name, i+1)
	}
	return name
}
