package meter

import (
	"bytes"
	"fmt"

	"github.com/countersign/countersign/internal/wasm"
)

// Checked is a module that is metered by the rules.
type Checked struct {
	// Source is a module that Rewrite makes the checked one of. It need not be
	// the source that its author has: what Rewrite drops or makes uniform is gone.
	Source []byte
	Report Report // of rewriting Source
}

// Check proves from the bytes of a metered module alone that it is metered by
// the rules: that every metered block is charged what the cost table says, that
// every loop and every function is charged and checked before it runs, that bulk
// operations and calls of the host are paid for in advance, and that nothing of
// the guest can reach the counters. The source is not needed.
//
// It does so by undoing Rewrite. What Rewrite adds is taken away, which leaves a
// candidate for the source; Rewrite of the candidate has to give the module again,
// byte for byte. Taking away need not be trusted: whatever comes of it, equality
// shows that the module is an output of Rewrite, and so all that is true of every
// output is true of this one. And no output is refused: what is lost in rewriting
// makes no difference to rewriting again.
//
// Options are those of Rewrite, and nil is usable. MemoryPages is the most that
// the module may have, such as a release's limit; 0 takes what the module declares,
// which is then in Checked.Report. Library has to be what it was for Rewrite.
//
// A module that is not metered by the rules is refused with an error that wraps
// an *Error. Costs time and memory in proportion to the module.
func Check(module []byte, opt *Options) (*Checked, error) {
	o := Options{}
	if opt != nil {
		o = *opt
	}
	m, err := wasm.Decode(module)
	if err != nil {
		return nil, fmt.Errorf("checking the metering: %w", err)
	}
	if o.MemoryPages == 0 && m.Memory != nil && m.Memory.Max > 0 {
		o.MemoryPages = uint32(m.Memory.Max)
	}
	source, err := strip(m)
	if err != nil {
		return nil, fmt.Errorf("checking the metering: %w", err)
	}
	again, report, err := Rewrite(source, &o)
	if err != nil {
		return nil, fmt.Errorf("checking the metering: the module without its metering (offsets are of that) is refused: %w", err)
	}
	if !bytes.Equal(again, module) {
		return nil, fmt.Errorf("checking the metering: %w", difference(m, again))
	}
	return &Checked{Source: source, Report: *report}, nil
}

// difference says where a module is not what metering gives.
func difference(m *wasm.Module, again []byte) error {
	at := 0
	for at < len(m.Data) && at < len(again) && m.Data[at] == again[at] {
		at++
	}
	const msg = "the module is not what metering gives"
	for i := range m.Code {
		if b := &m.Code[i]; b.Offset <= at && at < b.Offset+len(b.Code) {
			return inFunction(m, i, at, msg)
		}
	}
	return refuse("", at, msg)
}
