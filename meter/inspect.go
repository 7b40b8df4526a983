package meter

import "fmt"

// Inspection is what metering makes of a module, function by function.
type Inspection struct {
	Metered   bool       `json:"metered"` // by the rules: Check proved it
	Report    Report     `json:"report"`
	Functions []Function `json:"functions"` // defined ones, in their order
	// Source is the module that was inspected, or of a metered one Checked.Source.
	Source []byte `json:"-"`
}

// Function is one function of an Inspection. Sizes are bytes of instructions;
// costs are fuel by the cost table, without what depends on operands.
type Function struct {
	Index   uint32 `json:"index"`          // in the module that was inspected
	Name    string `json:"name,omitempty"` // where the module has one; not trusted
	Source  int    `json:"source_bytes"`
	Metered int    `json:"metered_bytes"`
	Blocks  int    `json:"blocks"`  // metered blocks that cost something
	Checks  int    `json:"checks"`  // of them, with a check
	Entry   uint64 `json:"entry"`   // cost of the block that it starts with
	Most    uint64 `json:"most"`    // of its most expensive block
	Loops   int    `json:"loops"`   // in all
	Counted int    `json:"counted"` // of them, charged once ahead where the balance is enough
	Stack   uint32 `json:"stack"`   // weight that a call pays for the call stack; 0 is nothing
	NaNs    int    `json:"nans"`    // places where a NaN is made canonical
	Bulk    int    `json:"bulk"`    // bulk operations and grow, guarded
}

// Inspect tells what metering makes of each function of a module, or has made of
// it: a metered module is checked first, as Check does, any other one is metered.
// Options are those of Rewrite, and nil is usable. A module that is refused gives
// an error that wraps an *Error.
func Inspect(module []byte, opt *Options) (*Inspection, error) {
	metered, err := Metered(module)
	if err != nil {
		return nil, fmt.Errorf("inspecting the module: %w", err)
	}
	in := &Inspection{Metered: metered, Source: module}
	o := Options{}
	if opt != nil {
		o = *opt
	}
	if metered {
		c, err := Check(module, &o)
		if err != nil {
			return nil, err
		}
		in.Source, o.MemoryPages = c.Source, c.Report.MemoryPages
	}
	_, report, err := rewrite(in.Source, &o, &in.Functions)
	if err != nil {
		return nil, err
	}
	in.Report = *report
	if metered { // countersign.refill stands before all functions of the source
		for i := range in.Functions {
			in.Functions[i].Index++
		}
	}
	return in, nil
}

// inspect notes what has become of defined function i, whose code is size bytes
// now; before is the report without it.
func (w *writer) inspect(i, size int, before Report) {
	if w.inspected == nil {
		return
	}
	f := uint32(len(w.m.Imports) + i)
	fn := Function{Index: f, Name: w.m.Names.Funcs[f], Source: len(w.m.Code[i].Code), Metered: size,
		Loops: len(w.a.fns[i].loops), Stack: w.a.fns[i].stack,
		Counted: w.report.Counted - before.Counted,
		NaNs:    w.report.NaNs - before.NaNs, Bulk: w.report.Bulk - before.Bulk}
	for _, e := range w.plan.edits {
		switch {
		case e.kind == editCheck || e.kind == editHead || e.kind == editBareCheck:
			fn.Checks++
			e.value = max(e.value, 1)
		case e.kind != editCharge || e.value == 0:
			continue
		}
		if fn.Blocks++; fn.Blocks == 1 {
			fn.Entry = e.value
		}
		fn.Most = max(fn.Most, e.value)
	}
	*w.inspected = append(*w.inspected, fn)
}
