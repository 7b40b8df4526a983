package sandbox

import (
	"bytes"
	"os"
	"runtime"
	"testing"
)

// TestInputIsNotCopied: a task takes the room of its module's memory, of its
// output, and of its input once.
func TestInputIsNotCopied(t *testing.T) {
	module, err := os.ReadFile("../../payloads/lab-io/lab-io.metered.wasm")
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, nil)
	run := func(input []byte) (allocated uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		o, err := e.Run(t.Context(), Task{Module: module, Input: input, Limits: Limits{Fuel: 1 << 40, SegmentFuel: 1 << 40, MemoryPages: 16, OutputBytes: 1 << 20}})
		if err != nil || o.End != Exit || o.Code != 0 {
			t.Fatalf("%+v, %v", o, err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	run(nil) // compiles it
	small := run([]byte("x"))
	large := run(bytes.Repeat([]byte("x"), 16<<20))
	t.Logf("%d bytes of input: %d bytes are allocated; 16 MiB: %d", 1, small, large)
	if large > small+(12<<20) {
		t.Errorf("16 MiB of input take %d bytes more", large-small)
	}
}
