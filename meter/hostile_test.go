package meter

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wasm"
)

// bare is a library with a memory and one function, changed.
func bare(change func(m *wasm.Module)) []byte {
	m := &wasm.Module{Types: []wasm.FuncType{{}}, Funcs: []uint32{0}, Memory: &wasm.Limits{Min: 1, Max: -1},
		Code: []wasm.Body{{Code: []byte{opEnd}}}}
	change(m)
	return m.Encode()
}

// functions gives a module as many functions of some code as come to size bytes.
func functions(m *wasm.Module, size int, code []byte, locals ...wasm.Local) {
	n := min(max(size/(len(code)+2*len(locals)+2), 1), 65000)
	m.Funcs = make([]uint32, n)
	m.Code = slices.Repeat([]wasm.Body{{Code: code, Locals: locals}}, n)
}

// nested puts code in so many blocks of a kind; an if has its condition.
func nested(open []byte, depth int, code []byte) []byte {
	return slices.Concat(bytes.Repeat(open, depth), code, bytes.Repeat([]byte{opEnd}, depth+1))
}

// fill repeats code to size bytes.
func fill(code []byte, size int) []byte { return bytes.Repeat(code, size/len(code)) }

var (
	ifOpen    = []byte{opI32Const, 1, opIf, noType}
	blockOpen = []byte{opBlock, noType}
	loopOpen  = []byte{opLoop, noType}
)

// branchOut is a branch on a condition to the outermost of so many blocks.
func branchOut(depth int) []byte { return appendIndex([]byte{opI32Const, 1}, opBrIf, uint32(depth-1)) }

// hostile has modules that are made to cost more than others of their size.
var hostile = []struct {
	name string
	make func(size int) []byte
}{
	{"branches out of ifs", func(size int) []byte {
		return bare(func(m *wasm.Module) { functions(m, size, nested(ifOpen, 990, fill(branchOut(990), 1<<18))) })
	}},
	{"branches out of blocks in a loop", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			functions(m, size, slices.Concat(blockOpen, loopOpen, nested(blockOpen, 980, fill(branchOut(982), 1<<18)), []byte{opEnd, opEnd}))
		})
	}},
	{"branches out of ifs in a loop", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			functions(m, size, slices.Concat(blockOpen, loopOpen, nested(ifOpen, 30, fill(branchOut(32), 1<<18)), []byte{opEnd, opEnd}))
		})
	}},
	{"branches out of many ifs in a loop", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			functions(m, size, slices.Concat(blockOpen, loopOpen, nested(ifOpen, 980, fill(branchOut(982), 1<<18)), []byte{opEnd, opEnd}))
		})
	}},
	{"br_tables", func(size int) []byte {
		table := slices.Concat([]byte{opI32Const, 0, byte(wasm.OpBrTable)}, wasm.AppendUnsigned(nil, 60000), make([]byte, 60001))
		code := fill(slices.Concat(blockOpen, table, []byte{opEnd}), 1<<18)
		return bare(func(m *wasm.Module) { functions(m, size, append(code, opEnd)) })
	}},
	{"br_tables out of a loop", func(size int) []byte {
		table := slices.Concat([]byte{opI32Const, 0, byte(wasm.OpBrTable)}, wasm.AppendUnsigned(nil, 60000), bytes.Repeat([]byte{2}, 60001))
		code := fill(slices.Concat(blockOpen, loopOpen, blockOpen, table, []byte{opEnd, opEnd, opEnd}), 1<<18)
		return bare(func(m *wasm.Module) { functions(m, size, append(code, opEnd)) })
	}},
	{"tiny functions", func(size int) []byte {
		return bare(func(m *wasm.Module) { functions(m, size, []byte{opEnd}) })
	}},
	{"locals", func(size int) []byte {
		return bare(func(m *wasm.Module) { functions(m, size, []byte{opEnd}, wasm.Local{Count: 49000, Type: wasm.F64}) })
	}},
	{"locals, with arithmetic and an inner loop", func(size int) []byte {
		code := slices.Concat([]byte{0x20, 0, 0x20, 0, 0xa0, 0x21, 0}, loopOpen, []byte{opEnd, opEnd})
		return bare(func(m *wasm.Module) { functions(m, size, code, wasm.Local{Count: 49000, Type: wasm.F64}) })
	}},
	{"locals one by one", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			functions(m, size, []byte{opEnd}, slices.Repeat([]wasm.Local{{Count: 1, Type: wasm.F32}, {Count: 1, Type: wasm.F64}}, 24000)...)
		})
	}},
	{"nested loops", func(size int) []byte {
		return bare(func(m *wasm.Module) { functions(m, size, nested(loopOpen, 990, nil)) })
	}},
	{"inner loops", func(size int) []byte {
		body := slices.Concat(loopOpen, []byte{opI32Const, 0, opBrIf, 0, opEnd})
		return bare(func(m *wasm.Module) { functions(m, size, append(fill(body, 1<<18), opEnd)) })
	}},
	{"types of many parameters", func(size int) []byte {
		many := wasm.FuncType{Params: slices.Repeat([]wasm.ValType{wasm.V128}, 1000), Results: slices.Repeat([]wasm.ValType{wasm.I32}, 1000)}
		return bare(func(m *wasm.Module) { m.Types = append(m.Types, slices.Repeat([]wasm.FuncType{many}, size/2000)...) })
	}},
	{"functions of many parameters", func(size int) []byte {
		many := wasm.FuncType{Params: slices.Repeat([]wasm.ValType{wasm.F64}, 1000)}
		return bare(func(m *wasm.Module) {
			m.Types = append(m.Types, many)
			functions(m, size, []byte{opUnreachable, opEnd})
			for i := range m.Funcs {
				m.Funcs[i] = 1
			}
		})
	}},
	{"calls of many results", func(size int) []byte {
		many := wasm.FuncType{Params: slices.Repeat([]wasm.ValType{wasm.F64}, 1000), Results: slices.Repeat([]wasm.ValType{wasm.F64}, 1000)}
		return bare(func(m *wasm.Module) {
			m.Types[0] = many
			functions(m, size, slices.Concat([]byte{opUnreachable}, fill([]byte{opCall, 0}, 1<<18), []byte{opUnreachable, opEnd}))
		})
	}},
	{"calls of many results, with arithmetic", func(size int) []byte {
		many := wasm.FuncType{Params: slices.Repeat([]wasm.ValType{wasm.F64}, 1000), Results: slices.Repeat([]wasm.ValType{wasm.F64}, 1000)}
		code := slices.Concat([]byte{opUnreachable, 0xa0, 0x1a}, fill([]byte{opCall, 0}, 1<<18), []byte{opUnreachable, opEnd})
		return bare(func(m *wasm.Module) { m.Types[0] = many; functions(m, size, code) })
	}},
	{"br_tables of many results", func(size int) []byte {
		many := wasm.FuncType{Results: slices.Repeat([]wasm.ValType{wasm.I64}, 1000)}
		code := slices.Concat([]byte{opCall, 0, opI32Const, 0, byte(wasm.OpBrTable)}, wasm.AppendUnsigned(nil, 60000), make([]byte, 60001), []byte{opEnd})
		return bare(func(m *wasm.Module) { m.Types[0] = many; functions(m, size, code) })
	}},
	{"names", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			m.Exports = make([]wasm.Export, size/1028)
			for i := range m.Exports {
				m.Exports[i] = wasm.Export{Name: fmt.Sprintf("%01024d", i)}
			}
		})
	}},
	{"names of functions", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			functions(m, size/64, []byte{opEnd})
			m.Names.Funcs = map[uint32]string{}
			for i := range m.Funcs {
				m.Names.Funcs[uint32(i)] = strings.Repeat("n", 180)
			}
		})
	}},
	{"data segments", func(size int) []byte {
		return bare(func(m *wasm.Module) { m.Segs = make([]wasm.Segment, min(size/2, wasm.MaxSegs)) })
	}},
	{"element segments", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			m.Elems = slices.Repeat([]wasm.Elem{{Mode: wasm.ElemPassive, Type: wasm.FuncRef}}, min(size/3, wasm.MaxElems))
		})
	}},
	{"elements", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			for left := size; left > 0; left -= 1 << 20 {
				m.Elems = append(m.Elems, wasm.Elem{Mode: wasm.ElemPassive, Type: wasm.FuncRef, Funcs: make([]uint32, min(left, 1<<20))})
			}
		})
	}},
	{"constant expressions", func(size int) []byte {
		sum := slices.Concat([]byte{opI32Const, 0}, bytes.Repeat([]byte{opI32Const, 0, byte(wasm.OpI32Add)}, 499), []byte{opEnd})
		return bare(func(m *wasm.Module) {
			m.Segs = slices.Repeat([]wasm.Segment{{Expr: sum}}, size/1500)
		})
	}},
	{"a chain of calls", func(size int) []byte { return callGraph(size, func(i, _ int) []int { return []int{i + 1} }) }},
	{"a chain of calls, and back", func(size int) []byte {
		return callGraph(size, func(i, n int) []int { return []int{i + 1, (i + n - 1) % n} })
	}},
	{"calls through tables everywhere", func(size int) []byte {
		return bare(func(m *wasm.Module) {
			functions(m, size, []byte{opI32Const, 0, 0x11, 0, 0, opEnd})
			m.Tables = []wasm.Table{{Type: wasm.FuncRef, Limits: wasm.Limits{Min: 1, Max: -1}}}
			e := wasm.Elem{Mode: wasm.ElemPassive, Type: wasm.FuncRef}
			for f := range m.Funcs {
				e.Funcs = append(e.Funcs, uint32(f))
			}
			m.Elems = []wasm.Elem{e}
		})
	}},
	{"everybody calls everybody", func(size int) []byte {
		return callGraph(size, func(i, n int) (all []int) {
			for f := range 500 {
				all = append(all, (i+f*f)%n)
			}
			return all
		})
	}},
}

// callGraph has functions that call others, each called function once or twice.
func callGraph(size int, callees func(i, n int) []int) []byte {
	n := min(size/8, 60000)
	if len(callees(0, n)) > 8 {
		n = size / 1500
	}
	return bare(func(m *wasm.Module) {
		functions(m, n*3, []byte{opEnd})
		for i := range m.Code {
			var code []byte
			for _, f := range callees(i, n) {
				code = appendIndex(code, opCall, uint32(f%n))
			}
			m.Code[i].Code = append(code, opEnd)
		}
	})
}

// rewritten is what Rewrite makes of a library, nil where that would be too large.
func rewritten(t testing.TB, source []byte) []byte {
	out, _, err := Rewrite(source, &Options{Library: true})
	if err != nil && !strings.Contains(err.Error(), "too large") {
		t.Fatal(err)
	}
	return out
}

// allocated is how many bytes f allocates altogether.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What rewriting, and checking, may allocate altogether for each byte of the
// module and besides, and how large what comes out may be.
const (
	mostRewriting, mostChecking, besides = 256, 128, 4 << 20
	mostGrowth                           = 14
)

// TestHostileModules: whatever a module has, what rewriting and checking it take
// is in proportion to its size.
func TestHostileModules(t *testing.T) {
	for _, h := range hostile {
		source := h.make(1 << 20)
		var out []byte
		rewriting := allocated(func() { out = rewritten(t, source) })
		checking := allocated(func() {
			if _, err := Check(out, &Options{Library: true}); out != nil && err != nil {
				t.Errorf("%s: %v", h.name, err)
			}
		})
		each := func(n uint64, of []byte) float64 { return float64(n) / float64(max(len(of), 1)) }
		t.Logf("%-45s %8d bytes, growth %.2f, allocated for each %5.1f, %5.1f for each checked", h.name, len(source),
			each(uint64(len(out)), source), each(rewriting, source), each(checking, out))
		if rewriting > uint64(mostRewriting*len(source)+besides) || checking > uint64(mostChecking*len(out)+besides) {
			t.Errorf("%s: %d bytes allocated for %d, %d to check %d", h.name, rewriting, len(source), checking, len(out))
		}
		if len(out) > mostGrowth*len(source)+4096 {
			t.Errorf("%s: %d bytes became %d", h.name, len(source), len(out))
		}
	}
}

// BenchmarkHostile prints how many nanoseconds a byte takes, and how many times
// that a byte of a module of twice the size: 1 is linear.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostile {
		b.Run(strings.ReplaceAll(h.name, " ", "-"), func(b *testing.B) {
			once, twice := h.make(1<<20), h.make(2<<20)
			var of [2]time.Duration
			for b.Loop() {
				for i, source := range [][]byte{once, twice} {
					start := time.Now()
					rewritten(b, source)
					of[i] += time.Since(start)
				}
			}
			each := float64(of[0]) / float64(b.N) / float64(len(once))
			b.ReportMetric(each, "ns/byte")
			b.ReportMetric(float64(of[1])/float64(b.N)/float64(len(twice))/each, "twice/once")
		})
	}
}
