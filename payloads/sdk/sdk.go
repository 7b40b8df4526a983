// Package sdk has what payloads in C, Go, Rust and AssemblyScript need, and a
// project in each language to start from; signer new writes it.
package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed c go rust as common
var files embed.FS

// Language is one that there is a project for.
type Language struct {
	Name, Title string
	Needs       string // to build a project
	Install     string // that, on Debian
	Pages       uint32 // of memory that the project's module declares

	main, sdk string            // where they are in a project
	built     string            // what building leaves beside modules
	files     map[string]string // of a project, beside the common ones; from here
}

var languages = []Language{
	{
		Name: "c", Title: "C", Needs: "clang, lld and wasi-libc", Pages: 16,
		Install: "apt-get install make clang-16 lld-16 wasi-libc libclang-rt-16-dev-wasm32",
		main:    "main.c", sdk: "countersign.h", built: "main.o",
		files: map[string]string{"main.c": "c/example/main.c", "countersign.h": "c/countersign.h"},
	},
	{
		Name: "go", Title: "Go", Needs: "Go 1.24 or newer", Pages: 256,
		Install: "apt-get install make, and Go from https://go.dev/dl",
		main:    "main.go", sdk: "countersign/countersign.go",
		files: map[string]string{"main.go": "go/example/main.go", "main_test.go": "go/example/main_test.go", "go.mod": "go/example/go.mod.txt",
			"countersign/countersign.go": "go/countersign.go", "countersign/host.go": "go/host.go", "countersign/native.go": "go/native.go"},
	},
	{
		Name: "rust", Title: "Rust", Needs: "rustc with a standard library for wasm32-wasi, and lld", Pages: 32,
		Install: "apt-get install make rustc libstd-rust-dev-wasm32 lld-16",
		main:    "src/main.rs", sdk: "src/countersign.rs",
		files: map[string]string{"src/main.rs": "rust/example/main.rs", "src/countersign.rs": "rust/src/lib.rs", "Cargo.toml": "rust/example/Cargo.toml"},
	},
	{
		Name: "as", Title: "AssemblyScript", Needs: "node and npm, which fetch the compiler", Pages: 16,
		Install: "apt-get install make nodejs npm",
		main:    "assembly/index.ts", sdk: "assembly/countersign.ts", built: "node_modules",
		files: map[string]string{"assembly/index.ts": "as/example/index.ts", "assembly/countersign.ts": "as/countersign.ts",
			"assembly/tsconfig.json": "as/example/tsconfig.json", "package.json": "as/example/package.json", "asconfig.json": "as/example/asconfig.json"},
	},
}

// Languages are all that there are.
func Languages() []Language { return slices.Clone(languages) }

// ByName returns the language of that name.
func ByName(name string) (Language, error) {
	var all []string
	for _, l := range languages {
		if l.Name == name {
			return l, nil
		}
		all = append(all, l.Name)
	}
	return Language{}, fmt.Errorf("language %q: there are %s", name, strings.Join(all, ", "))
}

// Project returns the files of a new project, by their paths. Its releases will
// have that name, of which the project has the last part; signer will write the
// first one's statement to that file.
func (l Language) Project(release, statement string) (map[string][]byte, error) {
	name := path.Base(release)
	fill := strings.NewReplacer("{{name}}", name, "{{release}}", release, "{{statement}}", statement,
		"{{crate}}", strings.ReplaceAll("payload-"+name, "-", "_"),
		"{{language}}", l.Title, "{{needs}}", l.Needs, "{{install}}", l.Install, "{{pages}}", fmt.Sprint(l.Pages),
		"{{main}}", l.main, "{{sdk}}", l.sdk, "{{built}}", l.built,
		`"github.com/countersign/countersign/payloads/sdk/go"`, `"example.com/`+name+`/countersign"`, `"../countersign.h"`, `"countersign.h"`)
	all := map[string][]byte{}
	add := func(to string, from ...string) error {
		for _, f := range from {
			text, err := fs.ReadFile(files, f)
			if err != nil {
				return err
			}
			all[to] = append(all[to], fill.Replace(string(text))...)
		}
		return nil
	}
	for _, f := range []string{"README.md", "job.toml", "input.txt", "expected.txt"} {
		if err := add(f, "common/"+f); err != nil {
			return nil, err
		}
	}
	for to, from := range l.files {
		if err := add(to, from); err != nil {
			return nil, err
		}
	}
	if err := add(".gitignore", "common/gitignore"); err != nil {
		return nil, err
	}
	return all, add("Makefile", "common/Makefile", l.Name+"/example/Makefile")
}
