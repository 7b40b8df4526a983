// Package countersign holds only this test of who may import whom.
package countersign

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/countersign/countersign/"

// layers lists our packages from the ground up. A package imports only from
// layers below its own, or from its own where within says so.
var layers = []struct {
	why      string
	within   bool
	packages []string
}{
	{"encodings and formats know nothing of what they are for", true,
		[]string{"internal/canon", "internal/wasm", "internal/abi", "internal/wire", "internal/interval", "internal/terminal", "internal/translog", "keys", "payloads", "webworker"}},
	{"statements and metering are usable without a hub", true,
		[]string{"policy", "release", "meter"}},
	{"running and deciding know nothing of each other, of disks or sockets", false,
		[]string{"internal/sandbox", "internal/job", "internal/client", "internal/witness", "internal/monitor"}},
	{"the store keeps facts and decides nothing", false,
		[]string{"internal/store"}},
	{"adapters join the parts to sockets", false,
		[]string{"internal/hub", "internal/volunteer"}},
	{"the fleet plays volunteers against a hub", false,
		[]string{"internal/fleet"}},
	{"benchmarks are no part of the product, and nothing imports them", false,
		[]string{"bench/checkpoints", "bench/hub"}},
	{"commands are flags and wiring", false,
		[]string{"cmd/signer", "cmd/hub", "cmd/verifysim"}},
	{"whole-system tests are no part of the product, and nothing imports them", false,
		[]string{"test/breaks", "test/conformance/wazero", "test/evil", "test/trust/opener", "test/journey", "test/proof", "test/toolchain"}},
}

// only says which packages alone may import something, and why.
var only = []struct {
	path     string // an import path, with all below it
	packages []string
	why      string
}{
	{"github.com/tetratelabs/wazero", []string{"internal/sandbox"}, "one place knows the engine, its errors and its limits"},
	{"go.etcd.io/bbolt", []string{"internal/store", "bench/hub"}, "one place knows what is on disk"},
	{"aead.dev/minisign", []string{"keys"}, "one place knows which signatures are refused"},
	{"github.com/golang-jwt/jwt/v5", []string{"internal/hub"}, "tokens are the hub's bookkeeping and authorise no code"},
	{"github.com/spf13/cobra", []string{"cmd/signer", "cmd/hub", "cmd/verifysim"}, "flags are wiring"},
	{module + "internal/store", []string{"internal/hub", "cmd/hub"}, "facts are reached through the hub"},
	{module + "internal/job", []string{"internal/hub", "bench/checkpoints", "internal/fleet"}, "one place decides, and two show how well"},
}

// never says what a package must not import, and why.
var never = []struct {
	pkg, path, why string
}{
	{"internal/job", "net", "the state machine does no I/O"},
	{"internal/job", "os", "the state machine does no I/O"},
	{"internal/job", "sync", "the state machine has one owner"},
	{"meter", "os", "bytes in, bytes out"},
	{"internal/wasm", "os", "bytes in, bytes out"},
}

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func list(t *testing.T) map[string]goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]goPackage{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}

func layerOf(pkg string) int {
	for i, l := range layers {
		for _, p := range l.packages {
			if pkg == p || strings.HasPrefix(pkg, p+"/") {
				return i
			}
		}
	}
	return -1
}

func TestLayers(t *testing.T) {
	all := list(t)
	for name, p := range all {
		if name == strings.TrimSuffix(module, "/") {
			continue
		}
		at := layerOf(name)
		if at < 0 {
			t.Errorf("%s is in no layer: give it a place in deps_test.go", name)
			continue
		}
		for _, imp := range p.Imports {
			dep, ours := strings.CutPrefix(imp, module)
			to := layerOf(dep)
			if !ours || to < at || (to == at && (layers[at].within || strings.HasPrefix(dep, name+"/"))) {
				continue
			}
			t.Errorf("%s imports %s: %s", name, dep, layers[at].why)
		}
	}
	for _, l := range layers {
		for _, p := range l.packages {
			if _, ok := all[p]; !ok {
				t.Errorf("layers name %s, which does not exist", p)
			}
		}
	}
}

func TestOnlyAndNever(t *testing.T) {
	all := list(t)
	for _, rule := range only {
		used := false
		for name, p := range all {
			for _, imp := range p.Imports {
				if imp != rule.path && !strings.HasPrefix(imp, rule.path+"/") {
					continue
				}
				used = true
				if !slices.Contains(rule.packages, name) {
					t.Errorf("%s imports %s, which only %v may: %s", name, imp, rule.packages, rule.why)
				}
			}
		}
		if !used {
			t.Errorf("nothing imports %s any more: remove its rule", rule.path)
		}
	}
	for _, rule := range never {
		p, ok := all[rule.pkg]
		if !ok {
			t.Errorf("a rule names %s, which does not exist", rule.pkg)
		}
		if slices.Contains(p.Imports, rule.path) {
			t.Errorf("%s imports %s: %s", rule.pkg, rule.path, rule.why)
		}
	}
}
