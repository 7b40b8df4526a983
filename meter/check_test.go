package meter

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/payloads"
)

// checked makes sure that Check accepts what Rewrite makes of source, and
// returns that.
func checked(t testing.TB, name string, source []byte, opt Options) []byte {
	t.Helper()
	module, report, err := Rewrite(source, &opt)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c, err := Check(module, &opt)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return module
	}
	if c.Report.Charges != report.Charges || c.Report.ModuleBytes != len(module) {
		t.Errorf("%s: report %+v, rewriting had %+v", name, c.Report, report)
	}
	opt.MemoryPages = 0 // what the module declares
	c, err = Check(module, &opt)
	if err != nil {
		t.Errorf("%s, without a limit: %v", name, err)
		return module
	}
	opt.MemoryPages = c.Report.MemoryPages
	if again, _, err := Rewrite(c.Source, &opt); err != nil || !bytes.Equal(again, module) {
		t.Errorf("%s: its candidate gives another module (%v)", name, err)
	}
	if _, err := Check(source, &opt); err == nil {
		t.Errorf("%s: the source passes for metered", name)
	}
	return module
}

// files reads files, by their names.
func files(t testing.TB, pattern string, atLeast int) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) < atLeast {
		t.Fatalf("%s: %d files (%v)", pattern, len(names), err)
	}
	all := map[string][]byte{}
	for _, f := range names {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = data
	}
	return all
}

// goldenSources assembles the golden files.
func goldenSources(t testing.TB) map[string][]byte {
	t.Helper()
	sources := files(t, "testdata/golden/*.wat", 13)
	for name, src := range sources {
		sources[name] = assemble(t, string(src))
	}
	return sources
}

func payloadSources() map[string][]byte {
	return map[string][]byte{"factor": payloads.FactorSource, "loop": payloads.LoopSource}
}

// everyLocal has loops of both types whose stores are made canonical behind them,
// and then a NaN of each type that is made canonical where it is stored: a function
// with as many locals of the metering as there can be.
const everyLocal = `(module (memory (export "memory") 1)
  (func (export "f") (param $a i32) (param $x f64) (local $i i32)
    (loop
      (f64.store (i32.add (local.get $a) (local.get $i))
        (f64.sqrt (f64.mul (f64.load (i32.add (local.get $a) (local.get $i))) (f64.load offset=8 (i32.add (local.get $a) (local.get $i))))))
      (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 512))))
    (loop
      (f32.store (i32.add (local.get $a) (local.get $i))
        (f32.sqrt (f32.mul (f32.load (i32.add (local.get $a) (local.get $i))) (f32.load offset=8 (i32.add (local.get $a) (local.get $i))))))
      (br_if 0 (i32.ne (local.tee $i (i32.sub (local.get $i) (i32.const 8))) (i32.const 0))))
    (f32.store (local.get $a) (f32.demote_f64 (local.get $x)))
    (v128.store (local.get $a) (f64x2.sqrt (f64x2.splat (local.get $x))))
    (v128.store (local.get $a) (f32x4.sqrt (f32x4.splat (f32.const -1))))))`

func TestCheckAccepts(t *testing.T) {
	sources := goldenSources(t)
	maps.Copy(sources, payloadSources())
	maps.Copy(sources, files(t, "../bench/meter/kernels/*.wasm", 10))
	for name, source := range sources {
		checked(t, name, source, Options{MemoryPages: 200})
	}
	checked(t, "deferring", assemble(t, deferring), Options{Library: true})
	checked(t, "every local", assemble(t, everyLocal), Options{Library: true})
	// Longer than what may be written again, and with integers that are longer
	// than they need be.
	checked(t, "many functions", manyFactors(t), Options{})
	for seed := range uint64(1000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		checked(t, "random", g.module(), Options{})
	}
	for seed := range uint64(1000) {
		checked(t, "random floats", floatModule(rand.New(rand.NewPCG(seed, 2))), Options{Library: true})
	}
}

// TestCheckSpecSuite checks what Rewrite makes of every module of the suite.
func TestCheckSpecSuite(t *testing.T) {
	n := 0
	eachSpecModule(t, func(name string, source []byte) {
		opt := Options{Library: true, MemoryPages: wasm.MaxPages}
		if _, _, err := Rewrite(source, &opt); err != nil {
			return
		}
		n++
		checked(t, name, source, opt)
	})
	if n < 2000 {
		t.Errorf("%d modules of the suite were metered", n)
	}
}

// eachSpecModule calls each for every valid module of the specification's suite.
func eachSpecModule(t *testing.T, each func(name string, module []byte)) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"v1", "v2"} {
		names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest", version, "testdata/*.json"))
		if err != nil || len(names) < 50 {
			t.Fatalf("%s: %d files (%v)", version, len(names), err)
		}
		for _, file := range names {
			for name, module := range specModules(t, file) {
				each(version+" "+name, module)
			}
		}
	}
}

// TestCheckLookalikes has sources with what looks like metering, and corners of
// the format that rewriting makes uniform.
func TestCheckLookalikes(t *testing.T) {
	const canonical = `(local.set 1 (if (result f32) (i32.eqz (f32.ge (local.tee 1 (%s)) (local.get 1))) (then (f32.const nan)) (else (local.get 1))))`
	for name, wat := range map[string]string{
		"fuel of its own": within("(global (mut i64) (i64.const 0))", `(global.set 0 (i64.sub (global.get 0) (i64.const 5)))
			(if (i64.lt_s (global.get 0) (i64.const 0)) (then (call $fine)))`),
		"stack of its own": within("(global (mut i32) (i32.const 0))", `(global.set 0 (i32.sub (global.get 0) (i32.const 64)))
			(if (i32.lt_s (global.get 0) (i32.const 0)) (then unreachable)) (global.set 0 (i32.add (global.get 0) (i32.const 64)))`),
		"balance of its own": within("", `(local i64) (loop (local.set 0 (i64.sub (local.get 0) (i64.const 7))) (if (i64.lt_s (local.get 0) (i64.const 0)) (then (call $fine))) (br_if 0 (i32.const 0)))`),
		"branches out":       within("", `(loop (if (i32.const 0) (then (return)) (else (br 2))) (block (br_if 2 (i32.const 0)) (br_table 0 1 2 2 (i32.const 0))) (br 0))`),
		"a block around":     within("", `(block (loop (br_if 0 (i32.const 0)) (br 1)))`),
		"helpers of its own": within(`(func $bulk (param i32) (result i32) (local.get 0)) (func $grow (param i32) (result i32) (memory.grow (local.get 0)))`,
			`(memory.fill (i32.const 0) (i32.const 0) (call $bulk (i32.const 1))) (drop (call $grow (i32.const 1))) (memory.copy (i32.const 0) (i32.const 0) (call $grow (i32.const 1)))`),
		"start":          within(`(func $s) (start $s)`, ``),
		"start is entry": `(module (memory (export "memory") 1) (func $s (export "_start")) (start $s))`,
		"import exported": command(`(import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32))) (export "y" (func $y)) (table 2 funcref)
			(elem (i32.const 0) $y) (global funcref (ref.func $y))` + memory),
		"empty locals":  `(module (memory (export "memory") 1) (func (export "_start") (local) (local i64 i64) (loop (br_if 0 (i32.const 0)))))`,
		"no names":      `(module (memory (export "memory") 1) (func (export "_start")))`,
		"deep":          within("", strings.Repeat("(block ", 999)+"(loop (br_if 0 (i32.const 0)) (return))"+strings.Repeat(")", 999)),
		"unreachable":   within("", `(return) (loop (br 0) (call $fine) (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (return) (br 1)) (unreachable) (call $main)`),
		"many results":  within(`(func $two (param i32) (result i32 f64) (loop (br_if 0 (local.get 0))) (i32.const 1) (f64.const 2))`, `(call $two (i32.const 0)) (drop) (drop)`),
		"own canonical": within(`(func (param f32) (result f32) (local f32) `+strings.Replace(canonical, "%s", "local.get 0", 1)+` (local.get 1))`, ""),
		"operands below a counted loop": within("", `(local i32 i32 i32) (i32.const 7) (local.get 1) (i32.const 3) (i32.sub) (i32.const 4) (i32.sub (local.get 1) (i32.const 2))
			(loop (br_if 0 (i32.ne (local.tee 0 (i32.add (local.get 0) (i32.const 8))) (local.get 1)))) (i32.sub) (i32.sub) (i32.sub) (drop)`),
		"counted after its step": within("", `(local i64 i64) (i64.const 1)
			(loop (local.get 0) (local.set 0 (i64.sub (local.get 0) (i64.const 2))) (br_if 0 (i64.ne (i64.sub (local.get 1) (i64.const 5))))) (drop)`),
		"blocks like those around a loop": within("", `(local i32) (block (loop (block (loop (br_if 1 (i32.lt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))) (br_if 0 (local.get 0)))
			(br 2)) (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br 0)))`),
		"branches out of a loop": within("", `(local i32) (block (loop (if (local.get 0) (then (br 2))) (br_if 1 (local.get 0)) (block (br_table 0 1 2 3 (local.get 0)))
			(block (br_if 2 (i32.eqz (local.get 0)))) (br_if 0 (local.get 0))))`),
		"active segments":      within(`(data $d (i32.const 0) "0123")`, `(memory.init $d (i32.const 8) (i32.const 0) (i32.const 0)) (data.drop $d)`),
		"an empty segment":     within(`(data $d "")`, `(memory.init $d (i32.const 8) (i32.const 0) (i32.const 0)) (data.drop $d)`),
		"an empty one of two":  within(`(data $d (i32.const 0) "0123") (data $e "")`, `(memory.init $e (i32.const 8) (i32.const 0) (i32.const 0)) (data.drop $d)`),
		"an empty one, unused": within(`(data $d (i32.const 0) "0123") (data $e "")`, `(data.drop $d)`),
		"small loops": within("", `(local i32) (block (loop (br_if 1 (i32.eqz (local.get 0))) (br_if 0 (i32.eqz (local.tee 0 (i32.add (local.get 0) (i32.const 3)))))))
			(loop (if (i32.eqz (local.get 0)) (then (return))) (br_if 0 (i32.eqz (local.tee 0 (i32.add (local.get 0) (i32.const 3))))))`),
		"canonical NaN":  within(lookalike("local.get 0"), ""),
		"twice the same": within(lookalike("(f32.add (local.get 0) (local.get 0))"), ""),
	} {
		checked(t, name, assemble(t, wat), Options{})
	}
}

// lookalike is a function that makes a NaN canonical exactly as metering does,
// in its last local, and with code that costs nothing behind it.
func lookalike(value string) string {
	return `(func (param f32) (result f32) (local f32) ` + value + ` local.tee 1 local.get 1 f32.ge i32.eqz if f32.const nan local.set 1 end local.get 1)`
}

// TestCheckEncodings has sources that no assembler writes.
func TestCheckEncodings(t *testing.T) {
	long := bytes.Replace(assemble(t, within("", "(loop (br_if 0 (i32.const 0)) (br 1) (nop) (nop) (nop))")), []byte{opBr, 1, 1, 1, 1}, []byte{opBr, 0x81, 0x80, 0x00, 1}, 1)
	if !bytes.Contains(long, []byte{opBr, 0x81, 0x80, 0x00}) {
		t.Fatal("the branch is not where it is looked for")
	}
	checked(t, "long branch", long, Options{})
	for name, change := range map[string]func(*wasm.Module){
		"no room in names": func(m *wasm.Module) {
			m.Imports = []wasm.Import{{Module: "m", Name: strings.Repeat("n", wasm.MaxName)}}
			m.Exports[1].Index = 2
		},
		"names of nothing": func(m *wasm.Module) { m.Names = wasm.Names{Funcs: map[uint32]string{77: "x"}} },
		"name of module":   func(m *wasm.Module) { m.Names = wasm.Names{Module: "x"} },
		"as many types": func(m *wasm.Module) {
			for len(m.Types) < wasm.MaxTypes-1 {
				m.Types = append(m.Types, wasm.FuncType{Results: []wasm.ValType{wasm.I32}})
			}
		},
		"as many data segments": func(m *wasm.Module) {
			m.HasDataCount, m.Segs = true, make([]wasm.Segment, wasm.MaxSegs-1)
			m.Segs[0].Expr = wasm.Const{opI32Const, 0, opEnd}
			m.Code[1].Code = []byte{opMisc, 0x09, 0, opEnd} // data.drop
		},
		"empty runs of locals": func(m *wasm.Module) {
			m.Code[1] = wasm.Body{Locals: []wasm.Local{{Count: 0, Type: wasm.I64}, {Count: 2, Type: wasm.I64}, {Count: 0, Type: wasm.F32}},
				Code: []byte{opLoop, noType, opI32Const, 0, opBrIf, 0, opEnd, opEnd}}
		},
	} {
		m, err := wasm.Decode(assemble(t, within("", "")))
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		checked(t, name, m.Encode(), Options{Library: true})
	}
}

// TestCheckRefuses has modules that are not metered, and the limit of another.
func TestCheckRefuses(t *testing.T) {
	good := checked(t, "factor", payloads.FactorSource, Options{MemoryPages: 16})
	for want, c := range map[string]struct {
		module []byte
		opt    *Options
	}{
		"not a WebAssembly module":         {[]byte("text"), nil},
		`last import is not "countersign"`: {payloads.FactorSource, nil},
		"not what metering gives":          {good, &Options{MemoryPages: 15}},
		"needs 2 pages of memory":          {good, &Options{MemoryPages: 1}},
	} {
		_, err := Check(c.module, c.opt)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "checking the metering: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// FuzzCheck makes sure that nothing panics, that what is accepted is what Rewrite
// gives, and that what Rewrite gives is accepted.
func FuzzCheck(f *testing.F) {
	for _, source := range goldenSources(f) {
		f.Add(checked(f, "seed", source, Options{}))
		f.Add(source)
	}
	f.Add(payloads.FactorModule)
	f.Fuzz(func(t *testing.T, module []byte) {
		late := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("still busy after a minute with %x", module)) })
		defer late.Stop()
		if out, _, err := Rewrite(module, &Options{Library: true}); err == nil {
			if _, err := Check(out, &Options{Library: true}); err != nil {
				t.Fatalf("metered, and refused: %v", err)
			}
		}
		for _, library := range []bool{false, true} {
			c, err := Check(module, &Options{Library: library})
			if err != nil {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("refused by %T: %v", err, err)
				}
				continue
			}
			again, _, err := Rewrite(c.Source, &Options{Library: library, MemoryPages: c.Report.MemoryPages})
			if err != nil || !bytes.Equal(again, module) {
				t.Fatalf("accepted, and its source gives another module (%v)", err)
			}
		}
	})
}
