package meter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/payloads"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestGolden compares the text of rewritten modules with what a person has
// read and found right.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.wat")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d golden files, 6 are expected (%v)", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := Rewrite(assemble(t, string(src)), &Options{MemoryPages: 16})
			if err != nil {
				t.Fatal(err)
			}
			path := inFile(t, out)
			tool(t, "wasm-validate", path)
			got := tool(t, "wasm2wat", path)
			golden := strings.TrimSuffix(f, ".wat") + ".metered"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("rewritten text differs from %s:\n%s", golden, got)
			}
		})
	}
}

// within is a module that is fine but for what stands in it.
func within(fields, body string) string {
	return `(module (type $v (func)) ` + fields + ` (memory (export "memory") 1) (func $fine) (func $main (export "_start") ` + body + `))`
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, wat, want string }{
		{"SIMD", within("", "(drop (v128.const i64x2 0 0))"), "SIMD are not accepted (opcode 0xfd), in function 1 (main) at offset 0x"},
		{"SIMD type", within("(func (param v128))", ""), "SIMD is not accepted (type v128)"},
		{"threads", within("", "(atomic.fence)"), "threads are not accepted (opcode 0xfe), in function 1 (main)"},
		{"shared memory", `(module (memory (export "memory") 1 1 shared) (func (export "_start")))`, "flags 0x03 is not accepted (threads"},
		{"memory64", `(module (memory (export "memory") i64 1) (func (export "_start")))`, "flags 0x04 is not accepted (threads, memory64)"},
		{"tail call", within("", "(return_call $fine)"), "tail calls are not accepted (opcode 0x12)"},
		{"tail call indirect", within("(table 1 funcref)", "(return_call_indirect (type $v) (i32.const 0))"), "tail calls are not accepted (opcode 0x13)"},
		{"exceptions", within("", "(try (do) (catch_all))"), "exceptions are not accepted (opcode 0x06)"},
		{"tag", within("(tag)", ""), "tag section"},
		{"ref.null", within("", "(drop (ref.null func))"), "reference types are not accepted (opcode 0xd0)"},
		{"ref.func", within("(elem declare func $fine)", "(drop (ref.func $fine))"), "element segment of kind 3 is not accepted"},
		{"externref", within("(func (param externref))", ""), "reference types are not accepted (type externref)"},
		{"externref table", within("(table 1 externref)", ""), "a table of externref is not accepted"},
		{"two tables", within("(table 1 funcref) (table 1 funcref)", ""), "2 tables, at most 1"},
		{"two memories", within("(memory 1)", ""), "2 memories, at most 1"},
		{"table.grow", within("(table 1 funcref)", "(drop (table.size 0))"), "bulk table operations are not accepted (opcode 0xfc10)"},
		{"start", within("(start $fine)", ""), "a start function is not accepted"},
		{"imported memory", `(module (import "m" "m" (memory 1)) (export "memory" (memory 0)) (func (export "_start")))`, `imported memory "m"."m" is not accepted`},
		{"imported global", `(module (import "m" "g" (global i32)) (memory (export "memory") 1) (func (export "_start")))`, `imported global "m"."g"`},
		{"imported table", `(module (import "m" "t" (table 1 funcref)) (memory (export "memory") 1) (func (export "_start")))`, `imported table "m"."t"`},
		{"unknown import", `(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))`, `import "env"."f" is not part of the ABI`},
		{"unknown WASI import", `(module (import "wasi_snapshot_preview1" "fd_open" (func)) (memory (export "memory") 1) (func (export "_start")))`, `import "wasi_snapshot_preview1"."fd_open" is not part`},
		{"import of another type", `(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i64))) (memory (export "memory") 1) (func (export "_start")))`, `has type (i64) → (), the ABI's is (i32) → ()`},
		{"refill", `(module (import "countersign" "refill" (func (param i64) (result i64))) (memory (export "memory") 1) (func (export "_start")))`, `is reserved for metering`},
		{"imported function in a table", `(module (import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32))) (table 1 funcref) (elem (i32.const 0) $e) (memory (export "memory") 1) (func (export "_start")))`, "imported function 0 in a table is not accepted"},
		{"reserved export", within(`(global (export "countersign_x") i32 (i32.const 0))`, ""), `names that start with countersign_ are reserved`},
		{"no _start", `(module (memory (export "memory") 1))`, "exports no function _start"},
		{"_start with a result", `(module (memory (export "memory") 1) (func (export "_start") (result i32) (i32.const 0)))`, "_start has type () → (i32)"},
		{"memory not exported", `(module (memory 1) (func (export "_start")))`, "does not export its memory"},
		{"too much memory", `(module (memory (export "memory") 300) (func (export "_start")))`, "needs 300 pages of memory, 256 are allowed"},
		{"extended constant", within("(global i32 (i32.add (i32.const 1) (i32.const 2)))", ""), "constant expression of several instructions"},
		{"nesting", within("", strings.Repeat("(block ", 1000)+strings.Repeat(")", 1000)), "nested deeper than 1000"},
		{"locals", within("", strings.Repeat("(local i32) ", 50001)), "50001 locals, at most 50000"},
	} {
		_, _, err := Rewrite(assemble(t, c.wat), nil)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// TestIndexBounds makes sure that nothing that does not exist in the source
// comes to exist by what metering adds.
func TestIndexBounds(t *testing.T) {
	for name, body := range map[string]string{
		"global 0":      "(drop (global.get 0))",
		"global set 0":  "(global.set 0 (i64.const 1000000))",
		"function 2":    "(call 2)",
		"function 5":    "(call 5)",
		"local 0":       "(drop (local.get 0))",
		"type 1":        "(call_indirect (type 1) (i32.const 0))",
		"label 1":       "(br 1)",
		"label 2 table": "(br_table 0 2 (i32.const 0))",
		"table 0":       "(call_indirect (type 0) (i32.const 0))",
		"data 0":        "(data.drop 0)",
	} {
		wat := within("", body)
		if name == "data 0" {
			wat = within(`(data "")`, "(data.drop 1)")
		}
		_, _, err := Rewrite(assemble(t, wat), nil)
		if err == nil || !strings.Contains(err.Error(), "exist") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestBlockTypeBounds(t *testing.T) {
	module := assemble(t, within("", "(block)"))
	at := bytes.LastIndex(module, []byte{0x02, 0x40})
	for _, b := range []byte{1, 7, 0x60, 0x7b} { // types 1 and 7 do not exist, nor do types -32 and v128
		module[at+1] = b
		if _, _, err := Rewrite(module, nil); err == nil {
			t.Errorf("block type 0x%02x: accepted", b)
		}
	}
}

func TestRewriteDeterministic(t *testing.T) {
	first, _, err := Rewrite(payloads.FactorSource, &Options{MemoryPages: payloads.Pages})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, _, err := Rewrite(payloads.FactorSource, &Options{MemoryPages: payloads.Pages})
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("rewriting again gives other bytes (%v)", err)
		}
	}
}

// TestPayloads makes sure that the committed metered modules are what this code
// makes of the committed sources, and that they cannot be metered twice.
func TestPayloads(t *testing.T) {
	for name, p := range map[string][2][]byte{
		"factor": {payloads.FactorSource, payloads.FactorModule},
		"loop":   {payloads.LoopSource, payloads.LoopModule},
	} {
		got, report, err := Rewrite(p[0], &Options{MemoryPages: payloads.Pages})
		if err != nil || !bytes.Equal(got, p[1]) {
			t.Errorf("%s: the committed module is stale (%v): make payloads", name, err)
			continue
		}
		if report.ModuleBytes != len(got) || report.Charges < report.Checks || report.Checks < report.Functions {
			t.Errorf("%s: report %+v", name, report)
		}
		tool(t, "wasm-validate", inFile(t, got))
		if metered, err := Metered(got); err != nil || !metered {
			t.Errorf("%s: metered %v, %v", name, metered, err)
		}
		if metered, err := Metered(p[0]); err != nil || metered {
			t.Errorf("%s, source: metered %v, %v", name, metered, err)
		}
		if _, _, err := Rewrite(got, nil); err == nil || !strings.Contains(err.Error(), "metered already") {
			t.Errorf("%s: metered twice: %v", name, err)
		}
	}
}

// TestTruncated cuts a module at every byte. Only a cut between the last
// sections at its end leaves a module.
func TestTruncated(t *testing.T) {
	whole := sectionEnds(payloads.FactorSource)
	for n := range payloads.FactorSource {
		_, _, err := Rewrite(payloads.FactorSource[:n], nil)
		var e *wasm.Error
		if !errors.As(err, &e) && !whole[n] {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// sectionEnds has where a section ends without which a module can be whole:
// code that needs no data, data, custom sections.
func sectionEnds(module []byte) map[int]bool {
	ends := map[int]bool{}
	for at := 8; at < len(module); {
		id := module[at]
		size, n := binary.Uvarint(module[at+1:])
		at += 1 + n + int(size)
		ends[at] = id == 0 || id >= 10
	}
	return ends
}

func FuzzRewrite(f *testing.F) {
	f.Add(payloads.FactorSource)
	f.Add(payloads.LoopSource)
	files, err := filepath.Glob("testdata/golden/*.wat")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(assemble(f, string(src)))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		out, _, err := Rewrite(source, nil)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("refused by %T: %v", err, err)
			}
			return
		}
		if len(out) > 8*len(source)+4096 {
			t.Fatalf("%d bytes became %d", len(source), len(out))
		}
		if _, err := wasm.Decode(out); err != nil {
			t.Fatalf("the output does not decode: %v", err)
		}
		if _, _, err := Rewrite(out, nil); err == nil {
			t.Fatal("the output was metered again")
		}
	})
}

func BenchmarkRewrite(b *testing.B) {
	b.SetBytes(int64(len(payloads.FactorSource)))
	for b.Loop() {
		if _, _, err := Rewrite(payloads.FactorSource, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleRewrite() {
	module, report, err := Rewrite(payloads.FactorSource, &Options{MemoryPages: 16})
	if err != nil {
		fmt.Println(err)
		return
	}
	metered, _ := Metered(module)
	fmt.Println(metered, report.MemoryPages, report.Checks > 0)
	// Output: true 16 true
}
