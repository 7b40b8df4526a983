package meter

import "fmt"

// Report says what Rewrite did, in numbers of places in the code; functions are
// counted once each.
type Report struct {
	SourceBytes int      `json:"source_bytes"`
	ModuleBytes int      `json:"module_bytes"`
	Functions   int      `json:"functions"` // defined in the source
	Charges     int      `json:"charges"`   // metered blocks that cost something
	Checks      int      `json:"checks"`    // of them, with a check
	Stacked     int      `json:"stacked"`   // functions that pay for the call stack
	Counted     int      `json:"counted"`   // loops that are charged once ahead, where the balance is enough
	NaNs        int      `json:"nans"`      // places where a NaN is made canonical
	Bulk        int      `json:"bulk"`      // bulk operations and memory.grow, guarded
	MemoryPages uint32   `json:"memory_pages"`
	Imports     []string `json:"imports"` // of the source
}

func (r *Report) String() string {
	return fmt.Sprintf("%d functions, %d charges, %d checks, %d pay for the call stack, %d counted loops, %d NaNs made canonical, %d bulk operations guarded, %d imports",
		r.Functions, r.Charges, r.Checks, r.Stacked, r.Counted, r.NaNs, r.Bulk, len(r.Imports))
}
