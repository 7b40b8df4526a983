package meter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
)

// within is a module that is fine but for what stands in it: function 0 is
// $fine, function 1 $main with the body.
func within(fields, body string) string {
	return `(module (type $v (func)) ` + fields + ` (memory (export "memory") 1) (func $fine) (func $main (export "_start") ` + body + `))`
}

// command is a module whose only function does nothing.
func command(fields string) string {
	return `(module ` + fields + ` (func (export "_start")))`
}

const memory = ` (memory (export "memory") 1) `

// inMain are features that an instruction of function 1 (main) is refused for.
// The error has to give the offset of that instruction.
var inMain = []struct {
	feature wasm.Feature
	fields  string
	body    string
	opcode  []byte
	text    string
}{
	{wasm.RelaxedSIMD, "", "(drop (i32x4.relaxed_trunc_f32x4_s (local.get 0)))", nil, "relaxed SIMD (opcode 0xfd 0x101)"},
	{wasm.Threads, "", "(atomic.fence)", []byte{0xfe, 0x03}, "threads (opcode 0xfe 0x03)"},
	{wasm.Threads, "", "(drop (i32.atomic.load (i32.const 0)))", []byte{0xfe, 0x10}, "threads (opcode 0xfe 0x10)"},
	{wasm.TailCalls, "", "(return_call $fine)", []byte{0x12, 0x00}, "tail calls (return_call, opcode 0x12)"},
	{wasm.TailCalls, "(table 1 funcref)", "(return_call_indirect (type $v) (i32.const 0))", []byte{0x13, 0x00}, "tail calls (return_call_indirect, opcode 0x13)"},
	{wasm.Exceptions, "", "(try (do) (catch_all))", []byte{0x06, 0x40}, "exceptions (try, opcode 0x06)"},
	{wasm.FuncRefs, "", "(call_ref (local.get 0))", nil, "typed function references (call_ref, opcode 0x14)"},
	{wasm.GC, "", "(gc)", nil, "GC (opcode 0xfb 0x00)"},
	{wasm.MultiMemory, "", "(memory index)", nil, "multiple memories (i32.load with a memory index)"},
	{wasm.UnknownInstr, "", "(unknown)", nil, "unknown instructions (opcode 0x27)"},
	{wasm.UnknownInstr, "", "(unknown fc)", nil, "unknown instructions (opcode 0xfc 0xffff)"},
}

// written has instructions that the assembler does not know, or only with
// features on that change other things; they replace the nops of (nops).
var written = map[string][]byte{
	"(drop (i32x4.relaxed_trunc_f32x4_s (local.get 0)))": {0xfd, 0x81, 0x02, 0x00},
	"(call_ref (local.get 0))":                           {0x14, 0x00},
	"(gc)":                                               {0xfb, 0x00},
	"(memory index)":                                     {0x28, 0x42, 0x00, 0x00},
	"(unknown)":                                          {0x27},
	"(unknown fc)":                                       {0xfc, 0xff, 0xff, 0xff, 0x0f},
}

func TestRefusedInstructions(t *testing.T) {
	for _, c := range inMain {
		code, opcode := written[c.body], c.opcode
		body := c.body
		if code != nil {
			body, opcode = strings.Repeat("nop ", 5), code
		}
		module := assemble(t, within(c.fields, body))
		if code != nil {
			nops := bytes.Index(module, []byte{1, 1, 1, 1, 1})
			copy(module[nops:], code)
		}
		_, _, err := Rewrite(module, nil)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v", c.body, err)
			continue
		}
		want := fmt.Sprintf("not accepted: %s, in function 1 (main) at offset 0x%x", c.text, e.Offset)
		if e.Error() != want || e.Feature != c.feature || e.Func != 1 || e.Name != "main" {
			t.Errorf("%s: got %q of %+v, want %q of %s", c.body, e, e, want, c.feature)
		}
		if !bytes.HasPrefix(module[e.Offset:], opcode) {
			t.Errorf("%s: at offset 0x%x stands %x, not %x", c.body, e.Offset, module[e.Offset:e.Offset+4], opcode)
		}
	}
}

func TestRefusals(t *testing.T) {
	imported := func(module, name, what string) string {
		return command(`(import "` + module + `" "` + name + `" ` + what + `)` + memory)
	}
	const preview1 = "wasi_snapshot_preview1"
	for _, c := range []struct {
		feature    wasm.Feature
		name, want string
		wat        string
	}{
		{wasm.Threads, "shared memory", "not accepted: threads (shared memory)", command(`(memory (export "memory") 1 1 shared)`)},
		{wasm.Memory64, "memory64", "not accepted: memory64 (memory with flags 0x04)", command(`(memory (export "memory") i64 1)`)},
		{wasm.Exceptions, "tag", "not accepted: exceptions (tag section)", within("(tag)", "")},
		{wasm.MultiMemory, "two memories", "not accepted: multiple memories (2 memories)", within("(memory 1)", "")},
		{wasm.OtherImports, "imported memory", `not accepted: imports other than functions (memory "m"."m"), at offset 0x`, command(`(import "m" "m" (memory 1)) (export "memory" (memory 0))`)},
		{wasm.OtherImports, "imported global", `not accepted: imports other than functions (global "m"."g"), at offset 0x`, imported("m", "g", "(global i32)")},
		{wasm.OtherImports, "imported table", `not accepted: imports other than functions (table "m"."t"), at offset 0x`, imported("m", "t", "(table 1 funcref)")},
		{notABI, "unknown import", `import "env"."f" is not part of the ABI, at offset 0x`, imported("env", "f", "(func)")},
		{notABI, "hostile name", `import "\x1b[2J\u00fc"."f" is not part of the ABI, at offset 0x`, imported(`\1b[2J\c3\bc`, "f", "(func)")},
		{notABI, "unknown WASI import", `import "wasi_snapshot_preview1"."fd_open" is not part of the ABI`, imported(preview1, "fd_open", "(func)")},
		{notABI, "reserved import", `import "countersign"."countersign_x" is not part of the ABI`, imported("countersign", "countersign_x", "(func)")},
		{notABI, "import of another type", `import "wasi_snapshot_preview1"."proc_exit" has type (i64) → (), the ABI's is (i32) → ()`, imported(preview1, "proc_exit", "(func (param i64))")},
		{reservedNames, "refill", `import "countersign"."refill" is reserved for metering`, imported("countersign", "refill", "(func (param i64) (result i64))")},
		{reservedNames, "reserved export", `export "countersign_x": names that start with countersign_ are reserved`, within(`(global (export "countersign_x") i32 (i32.const 0))`, "")},
		{externElems, "externref segment", "not accepted: passive element segments of externref, about which engines disagree, at offset 0x", within("(table 1 externref) (elem externref (ref.null extern))", "")},
		{notCommand, "no _start", "the module exports no function _start", `(module ` + memory + `)`},
		{notCommand, "_start is a global", "the module exports no function _start", `(module ` + memory + `(global (export "_start") i32 (i32.const 0)))`},
		{notCommand, "_start with a result", "_start has type () → (i32)", `(module ` + memory + `(func (export "_start") (result i32) (i32.const 0)))`},
		{notCommand, "memory not exported", "does not export its memory", command(`(memory 1)`)},
		{notCommand, "no memory", "does not export its memory", command(``)},
		{"", "too much memory", "needs 300 pages of memory, 256 are allowed", command(`(memory (export "memory") 300)`)},
		{"", "locals", "50001 locals, at most 50000", within("", strings.Repeat("(local i32) ", 50001))},
		{"", "locals that leave no room", "49994 parameters and locals, at most 49993 allowed, in function 1 (main)", within("", strings.Repeat("(local i32) ", 49994))},
		{"", "nesting", "blocks nested deeper than 1000, in function 1 (main)", within("", strings.Repeat("(block ", 1001)+strings.Repeat(")", 1001))},
		{"", "body", "function body of 1048577 bytes, at most 1048576 allowed, in function 1 (main)", within("", strings.Repeat("nop ", 1<<20))},
		{"", "globals", "the module has no room for what metering adds", within(strings.Repeat("(global i32 (i32.const 0))", 1024), "")},
	} {
		_, _, err := Rewrite(assemble(t, c.wat), nil)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Feature != c.feature {
			t.Errorf("%s: got %v (%+v), want an error of %q with %q", c.name, err, e, c.feature, c.want)
		}
	}
}

// TestHostFloats has imported functions with a float in their types, as parameter
// and as result: a host's NaN would differ from host to host.
func TestHostFloats(t *testing.T) {
	for _, typ := range []string{"f32", "f64", "v128"} {
		for _, place := range []string{"param i32", "result"} {
			module := assemble(t, fmt.Sprintf(`(module (import "m" "f" (func (%s %s))))`, place, typ))
			_, _, err := Rewrite(module, &Options{Library: true})
			var e *Error
			if !errors.As(err, &e) || e.Feature != hostFloats || !strings.Contains(err.Error(), typ) {
				t.Errorf("(%s %s): got %v, want an error of %q", place, typ, err, hostFloats)
			}
		}
	}
}

// TestLimitsReached has modules that only just are accepted.
func TestLimitsReached(t *testing.T) {
	for name, wat := range map[string]string{
		"nesting": within("", strings.Repeat("(block ", 1000)+strings.Repeat(")", 1000)),
		"body":    within("", strings.Repeat("nop ", 1<<20-1)),
		"globals": within(strings.Repeat("(global i32 (i32.const 0))", 1022), ""),
		"locals":  within("", strings.Repeat("(local i32) ", 49993)),
		"memory":  command(`(memory (export "memory") 256)`),
	} {
		out, _, err := Rewrite(assemble(t, wat), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := wasm.Decode(out); err != nil {
			t.Errorf("%s, metered: %v", name, err)
		}
	}
}

// TestGrowsTooLarge meters a module of charges only, which grow most.
func TestGrowsTooLarge(t *testing.T) {
	body := bytes.Repeat([]byte{byte(wasm.OpLoop), 0x40, opEnd}, 160_000)
	m, err := wasm.Decode(assemble(t, within("", "")))
	if err != nil {
		t.Fatal(err)
	}
	m.Code[0].Code = append(body[:len(body):len(body)], opEnd)
	for wantOK := true; ; wantOK = false {
		source := m.Encode()
		out, _, err := Rewrite(source, nil)
		if wantOK {
			if err != nil || len(out) < 6*len(source) {
				t.Fatalf("%d bytes became %d: %v", len(source), len(out), err)
			}
			for range 2 {
				m.Code, m.Funcs = append(m.Code, m.Code[0]), append(m.Funcs, m.Funcs[0])
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "the metered module would be too large, in function") {
			t.Fatalf("%d bytes became %d: %v", len(source), len(out), err)
		}
		return
	}
}

// TestIndexBounds makes sure that nothing that does not exist in the source
// comes to exist by what metering adds: a type, an import, a global, functions,
// a maximum.
func TestIndexBounds(t *testing.T) {
	for _, c := range []struct{ fields, body, want string }{
		{"", "(drop (global.get 0))", "global 0 does not exist"},
		{"", "(global.set 0 (i64.const 1000000))", "global 0 does not exist"},
		{"(global i32 (i32.const 0))", "(global.set 0 (i32.const 1))", "global 0 is not mutable"},
		{"", "(call 2)", "function 2 does not exist"},
		{"", "(call 4)", "function 4 does not exist"},
		{"", "(return) (call 2)", "function 2 does not exist"}, // also where nothing runs
		{"", "(drop (local.get 0))", "local 0 does not exist"},
		{"", "(local i32) (local.set 1 (i32.const 0))", "local 1 does not exist"},
		{"(table 1 funcref)", "(call_indirect (type 1) (i32.const 0))", "type 1 does not exist"},
		{"", "(br 1)", "label 1 does not exist"},
		{"", "(block (br_if 2 (i32.const 0)))", "label 2 does not exist"},
		{"", "(br_table 0 1 0 (i32.const 0))", "label 1 does not exist"},
		{"", "(br_table 0 0 1 (i32.const 0))", "label 1 does not exist"},
		{"", "(unreachable) (br_table 0 0 1 (i32.const 0))", "label 1 does not exist"},
		{"", "(call_indirect (type 0) (i32.const 0))", "table 0 does not exist"},
		{`(data "")`, "(data.drop 1)", "data segment 1 does not exist"},
		{`(data "")`, "(memory.init 1 (i32.const 0) (i32.const 0) (i32.const 0))", "data segment 1 does not exist"},
	} {
		_, _, err := Rewrite(assemble(t, within(c.fields, c.body)), nil)
		if err == nil || !strings.Contains(err.Error(), c.want+", in function 1 (main)") {
			t.Errorf("%s: got %v, want %q", c.body, err, c.want)
		}
	}
}

// TestSectionBounds is the same for what stands outside of code: the assembler
// refuses such modules, so they are made by hand.
func TestSectionBounds(t *testing.T) {
	for want, change := range map[string]func(*wasm.Module){
		`export "x" of kind 0: index 2 does not exist`: func(m *wasm.Module) { m.Exports = append(m.Exports, wasm.Export{Name: "x", Index: 2}) },
		`export "x" of kind 3: index 0 does not exist`: func(m *wasm.Module) {
			m.Exports = append(m.Exports, wasm.Export{Name: "x", Kind: wasm.ExportGlobal})
		},
		`export "x" of kind 1: index 0 does not exist`: func(m *wasm.Module) {
			m.Exports = append(m.Exports, wasm.Export{Name: "x", Kind: wasm.ExportTable})
		},
		`export "x" of kind 4: index 0 does not exist`: func(m *wasm.Module) { m.Exports = append(m.Exports, wasm.Export{Name: "x", Kind: 4}) },
		`export "memory" stands twice`:                 func(m *wasm.Module) { m.Exports = append(m.Exports, m.Exports[0]) },
		"function 2 does not exist": func(m *wasm.Module) {
			m.Tables = []wasm.Table{{Type: wasm.FuncRef, Limits: wasm.Limits{Min: 1, Max: -1}}}
			m.Elems = []wasm.Elem{{Expr: []byte{opI32Const, 0, opEnd}, Type: wasm.FuncRef, Funcs: []uint32{2}}}
		},
		"element segment of table 0, which does not exist": func(m *wasm.Module) { m.Elems = []wasm.Elem{{Expr: []byte{opI32Const, 0, opEnd}, Type: wasm.FuncRef}} },
		"type 1 does not exist":                            func(m *wasm.Module) { m.Funcs[0] = 1 },
		"data segment without a memory": func(m *wasm.Module) {
			m.Memory, m.Exports = nil, nil
			m.Segs = []wasm.Segment{{Expr: []byte{opI32Const, 0, opEnd}}}
		},
	} {
		m, err := wasm.Decode(assemble(t, within("", "")))
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		if _, _, err := Rewrite(m.Encode(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestBlockTypeBounds(t *testing.T) {
	module := assemble(t, within("", "(block)"))
	at := bytes.LastIndex(module, []byte{0x02, 0x40})
	for _, b := range []byte{1, 7, 0x60, 0x5f, 0x41} { // types 1 and 7 do not exist, nor do types that are negative
		module[at+1] = b
		if _, _, err := Rewrite(module, nil); err == nil || !strings.Contains(err.Error(), "type") {
			t.Errorf("block type 0x%02x: %v", b, err)
		}
	}
}

// TestMalformedBodies has instructions that are cut, and nesting that is wrong.
func TestMalformedBodies(t *testing.T) {
	for want, body := range map[string][]byte{
		"else without if":                              {0x02, 0x40, 0x05, opEnd, opEnd},
		"else without if,":                             {opI32Const, 0, 0x04, 0x40, 0x05, 0x05, opEnd, opEnd}, // a second else
		"function body ends with 1 open blocks":        {0x02, 0x40, opEnd},
		"instructions after the end of the function":   {opEnd, 0x01, opEnd},
		"integer does not fit 32 bits":                 {opI32Const, 0x80, 0x80, 0x80, 0x80, 0x10, 0x1a, opEnd},
		"unexpected end: 4 bytes wanted":               {0x43, 0, opEnd},
		"memory 1 does not exist":                      {opI32Const, 0, opMemoryGrow, 1, 0x1a, opEnd},
		"i32.load8_u with alignment 2^1, at most 2^0":  {opI32Const, 0, 0x2d, 1, 0, 0x1a, opEnd},
		"65537 labels, at most 65536 allowed":          {opI32Const, 0, 0x0e, 0x81, 0x80, 0x04, opEnd},
		"data segment 0 does not exist":                {0xfc, 0x09, 0x00, opEnd},
		"table 1 does not exist":                       {opI32Const, 0, 0x11, 0x00, 0x01, opEnd},
		"function 4294967295 does not exist":           {opCall, 0xff, 0xff, 0xff, 0xff, 0x0f, opEnd},
		"unexpected end, in function 1 (main) at offs": {0xfc, 0x0b}, // memory.fill, whose last byte reads as end
	} {
		m, err := wasm.Decode(assemble(t, within("", "")))
		if err != nil {
			t.Fatal(err)
		}
		m.Code[1].Code = body
		_, _, err = Rewrite(m.Encode(), nil)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || e.Func != 1 {
			t.Errorf("%x: got %v, want %q", body, err, want)
		}
	}
}
