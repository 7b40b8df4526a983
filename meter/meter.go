// Package meter makes WebAssembly modules count their own fuel, by rewriting
// them: docs/spec/meter.md.
//
// Rewriting is deterministic, so anybody who has the source of a module can
// make sure that the metered module is what the rules give, and nothing else.
package meter

import (
	"fmt"
	"strings"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// Options of Rewrite. The zero value, and nil, are usable.
type Options struct {
	// MemoryPages is the largest linear memory in pages of 64 KiB; 0 is 256.
	MemoryPages uint32
}

const defaultPages = 256

// Error is a module that is refused: why, in which function, at which offset.
type Error = wasm.Error

// Rewrite returns the metered module of source. A module outside of the
// accepted subset is refused with an *Error. The result has not been
// type-checked; an engine does that.
func Rewrite(source []byte, opt *Options) ([]byte, *Report, error) {
	pages := uint32(defaultPages)
	if opt != nil && opt.MemoryPages != 0 {
		pages = opt.MemoryPages
	}
	m, err := wasm.Decode(source)
	if err != nil {
		return nil, nil, err
	}
	if err := accept(m, pages); err != nil {
		return nil, nil, err
	}
	w := newWriter(m, pages)
	if err := w.code(); err != nil {
		return nil, nil, err
	}
	out, err := w.module()
	if err != nil {
		return nil, nil, err
	}
	w.report.ModuleBytes = len(out)
	return out, &w.report, nil
}

// Metered reports whether a module has been through Rewrite, by what it imports
// and exports. It proves nothing.
func Metered(module []byte) (bool, error) {
	m, err := wasm.Decode(module)
	if err != nil {
		return false, err
	}
	for _, im := range m.Imports {
		if im.Module == abi.Countersign && im.Name == abi.Refill {
			return true, nil
		}
	}
	return false, nil
}

// accept checks what the ABI asks of a module as a whole.
func accept(m *wasm.Module, pages uint32) error {
	for _, im := range m.Imports {
		if err := acceptImport(m, im); err != nil {
			return err
		}
	}
	var start, memory bool
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, abi.ReservedPrefix) {
			return refuse(e.Offset, "export %q: names that start with %s are reserved for metering (is the module metered already?)", e.Name, abi.ReservedPrefix)
		}
		switch {
		case e.Name == "_start" && e.Kind == wasm.ExportFunc:
			t := m.FuncType(e.Index)
			if !t.Equal(wasm.FuncType{}) {
				return refuse(e.Offset, "_start has type %s, () → () is wanted", t)
			}
			start = true
		case e.Name == "memory" && e.Kind == wasm.ExportMemory:
			memory = true
		}
	}
	switch {
	case !start:
		return refuse(0, "the module exports no function _start: a WASI command is wanted, not a library")
	case !memory:
		return refuse(0, "the module does not export its memory as \"memory\"")
	case m.Memory.Min > pages:
		return refuse(m.Memory.Offset, "the module needs %d pages of memory, %d are allowed", m.Memory.Min, pages)
	case pages > wasm.MaxPages:
		return refuse(m.Memory.Offset, "%d pages of memory: at most %d exist", pages, wasm.MaxPages)
	}
	return nil
}

func acceptImport(m *wasm.Module, im wasm.Import) error {
	f, ok := abi.Lookup(im.Module, im.Name)
	if !ok {
		return refuse(im.Offset, "import %q.%q is not part of the ABI", im.Module, im.Name)
	}
	if im.Module == abi.Countersign && im.Name == abi.Refill {
		return refuse(im.Offset, "import %q.%q is reserved for metering (is the module metered already?)", im.Module, im.Name)
	}
	if t := m.Types[im.Type]; !t.Equal(f.Type) {
		return refuse(im.Offset, "import %q.%q has type %s, the ABI's is %s", im.Module, im.Name, t, f.Type)
	}
	return nil
}

func refuse(offset int, format string, args ...any) error {
	return &Error{Offset: offset, Func: -1, Msg: fmt.Sprintf(format, args...)}
}
