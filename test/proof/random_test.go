package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
)

var (
	seeds = flag.Int("seeds", 100, "random modules to try")
	first = flag.Int("first", 1, "the seed to begin with")
)

// batch is how many modules one process of node gets.
const batch = 50

// TestRandomModules has Binaryen make modules up. Metered they give the same
// results, traps, memory and fuel on every engine; and the same results, traps
// and memory as before, where the source was made free of NaNs, whose bits may
// be any before.
func TestRandomModules(t *testing.T) {
	if _, err := exec.LookPath("wasm-opt"); err != nil {
		t.Fatal("wasm-opt is needed: apt-get install binaryen")
	}
	counts := map[string]int{}
	for from := *first; from < *first+*seeds; from += batch {
		r := &random{t: t, counts: counts, dir: t.TempDir()}
		for seed := from; seed < min(from+batch, *first+*seeds); seed++ {
			r.make(seed)
		}
		r.run()
	}
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf("random modules: %s: %d\n", n, counts[n])
	}
	if counts["compared"]*2 < *seeds {
		t.Errorf("only %d of %d random modules were compared", counts["compared"], *seeds)
	}
}

type random struct {
	t      *testing.T
	counts map[string]int
	dir    string
	cases  []randomCase
}

// randomCase is one module before and after, with the same steps for both.
type randomCase struct {
	seed            int
	exact           bool // no NaNs before: both must agree in every bit
	source, metered []step
}

// make lets Binaryen turn bytes into a module, and meters it.
func (r *random) make(seed int) {
	exact := seed%2 == 0
	source, err := r.generate(seed, exact)
	if err != nil {
		r.t.Errorf("seed %d: %v", seed, err)
		return
	}
	m, err := wasm.Decode(source)
	if err == nil {
		err = m.Validate()
	}
	if err != nil {
		// Binaryen has rules of its own for references.
		r.counts["not valid WebAssembly 2.0"]++
		return
	}
	source = adapted(m, exact)
	out, _, err := rewrite(source)
	if err != nil {
		r.t.Errorf("seed %d: %v", seed, err)
		return
	}
	if twice, _, err := rewrite(source); err != nil || !bytes.Equal(out, twice) {
		r.t.Errorf("seed %d: rewriting again gives another module (%v)", seed, err)
	}
	steps := exportSteps(m)
	r.cases = append(r.cases, randomCase{seed, exact, r.place(steps, seed, "source", source), r.place(steps, seed, "metered", out)})
	r.counts["modules"]++
}

func (r *random) place(steps []step, seed int, what string, code []byte) []step {
	path := filepath.Join(r.dir, fmt.Sprintf("%d.%s.wasm", seed, what))
	if err := os.WriteFile(path, code, 0o600); err != nil {
		r.t.Fatal(err)
	}
	steps = slices.Clone(steps)
	steps[0].File = path
	return steps
}

// generate makes a module of 2.0's features, with and without references, as
// what Binaryen makes with them is often not valid.
func (r *random) generate(seed int, exact bool) ([]byte, error) {
	in, out := filepath.Join(r.dir, "seed"), filepath.Join(r.dir, "module.wasm")
	if err := os.WriteFile(in, seedBytes(seed), 0o600); err != nil {
		return nil, err
	}
	args := strings.Fields("--translate-to-fuzz --mvp-features --enable-bulk-memory --enable-sign-ext --enable-nontrapping-float-to-int --enable-mutable-globals --enable-multivalue")
	if seed%4 == 3 {
		args = append(args, "--enable-reference-types")
	}
	if exact {
		args = append(args, "--denan") // which leaves those of vectors
	} else {
		args = append(args, "--enable-simd")
	}
	if text, err := exec.Command("wasm-opt", append(args, in, "-o", out)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("wasm-opt: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// seedBytes are 1 to 16 KiB that follow from the seed.
func seedBytes(seed int) []byte {
	var data []byte
	for i := uint64(0); len(data) < 1024<<(seed%5); i++ {
		block := sha256.Sum256(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(seed)), i))
		data = append(data, block[:]...)
	}
	return data
}

// adapted keeps the imports that log integers, which come first, and gives every
// other imported function an empty body in its place: they log floats.
func adapted(m *wasm.Module, exact bool) []byte {
	var funcs []uint32
	var code []wasm.Body
	kept := 0
	for kept < len(m.Imports) && logged[m.Imports[kept].Name] {
		kept++
	}
	for _, im := range m.Imports[kept:] {
		funcs = append(funcs, im.Type)
		code = append(code, wasm.Body{Code: []byte{byte(wasm.OpUnreachable), byte(wasm.OpEnd)}[emptyFrom(m.Types[im.Type]):]})
	}
	for i := range m.Segs {
		// wazero does not drop active segments, so that a source can read their
		// data again where a metered module traps, as the specification has it.
		if exact && m.Segs[i].Expr != nil {
			m.Segs[i].Data = nil
		}
	}
	m.Imports, m.Funcs, m.Code = m.Imports[:kept], append(funcs, m.Funcs...), append(code, m.Code...)
	return m.Encode()
}

// logged are the functions of Binaryen's host that are there.
var logged = map[string]bool{"log-i32": true, "log-i64": true}

// emptyFrom leaves the unreachable out where there is nothing to return.
func emptyFrom(t wasm.FuncType) int {
	if len(t.Results) == 0 {
		return 1
	}
	return 0
}

// hangLimit is Binaryen's export that starts its count of loops and calls
// anew, after which a function ends by itself.
const hangLimit = "hangLimitInitializer"

// exportSteps call every exported function in order, and look at the memory.
func exportSteps(m *wasm.Module) []step {
	steps := []step{{Op: "module", Refuel: 1000}}
	for _, x := range m.Exports {
		if x.Kind != wasm.ExportFunc || x.Name == hangLimit {
			continue
		}
		steps = append(steps, step{Op: "call", Field: hangLimit, Refuel: 1000})
		st := step{Op: "call", Field: x.Name, Refuel: 1000}
		f := m.FuncType(x.Index)
		for i, p := range f.Params {
			st.Args = append(st.Args, someValue(p, i))
		}
		for _, r := range f.Results {
			st.Types = append(st.Types, r.String())
		}
		steps = append(steps, st)
	}
	return append(steps, step{Op: "memory", Refuel: 1000})
}

// someValue is a fixed argument: 2.5 where it is a float.
func someValue(kind wasm.ValType, i int) value {
	v := value{Type: kind.String(), Lo: fmt.Sprint(i + 3), Hi: "0x400400000000"}
	switch kind {
	case wasm.F32:
		v.Lo = "0x40200000"
	case wasm.F64:
		v.Lo = "0x4004000000000000"
	case wasm.FuncRef, wasm.ExternRef:
		v.Lo = "null"
	}
	return v
}

// keep writes the modules of a failing case where they can be looked at.
func (c randomCase) keep(dir string) {
	for what, steps := range map[string][]step{"source": c.source, "metered": c.metered} {
		if code, err := os.ReadFile(steps[0].File); err == nil {
			os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.%s.wasm", c.seed, what)), code, 0o600)
		}
	}
}
