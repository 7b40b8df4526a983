package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/payloads"
)

// BenchmarkSegment is what starting a segment costs, the module compiled: a
// task of 1,000 segments that do nothing else.
func BenchmarkSegment(b *testing.B) {
	for _, pages := range []uint32{1, 16, 256} {
		b.Run(fmt.Sprintf("pages=%d", pages), func(b *testing.B) {
			e := newEngine(b, nil)
			wat := fmt.Sprintf(`(module %s (memory (export "memory") %d) (func (export "_start") (call $checkpoint (i32.const 0) (i32.const 64))))`, segmentImports, pages)
			tk := task(meteredPages(b, wat, pages), 1000*1_000_300)
			tk.Limits.MemoryPages = pages
			n := 0
			for b.Loop() {
				o, err := e.Run(context.Background(), tk)
				if err != nil || len(o.Links) < 900 {
					b.Fatal(o, err)
				}
				n += len(o.Links)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/segment")
		})
	}
}

// BenchmarkRefill is what one refill costs: a loop in slices of 10,000 fuel and
// in slices of a million.
func BenchmarkRefill(b *testing.B) {
	e := newEngine(b, nil)
	tk := task(payloads.LoopModule, 1_000_000_000)
	tk.Limits.MemoryPages = payloads.Pages
	for _, slice := range []uint64{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("slice=%d", slice), func(b *testing.B) {
			tk.Pace = fixed(slice)
			for b.Loop() {
				if o, err := e.Run(context.Background(), tk); err != nil || o.End != Fuel {
					b.Fatal(o, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(tk.Limits.Fuel/slice), "ns/slice")
		})
	}
}

// BenchmarkCompile is how fast modules are compiled, and how fast they come out
// of the cache on disk.
func BenchmarkCompile(b *testing.B) {
	module, err := os.ReadFile("../../payloads/wordcount/wordcount.metered.wasm")
	if err != nil {
		b.Fatal(err)
	}
	for _, cached := range []bool{false, true} {
		b.Run(fmt.Sprintf("cached=%v", cached), func(b *testing.B) {
			dir := ""
			compile := func() {
				e := newEngine(b, &Options{CacheDir: dir})
				m, err := e.modules.get(context.Background(), module, [32]byte{})
				if err != nil {
					b.Fatal(err)
				}
				e.modules.put(m)
			}
			if cached {
				dir = filepath.Join(b.TempDir(), "modules")
				compile()
			}
			b.SetBytes(int64(len(module)))
			for b.Loop() {
				compile()
			}
		})
	}
}
