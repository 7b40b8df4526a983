//go:build wasip1

package countersign

//go:wasmimport countersign progress
func progress(permille uint32, text string)

//go:wasmimport countersign restore
func restore(state *byte, size uint32) uint32

//go:wasmimport countersign checkpoint
func checkpoint(state *byte, size uint32)

//go:wasmimport countersign segment_due
func segmentDue() uint32
