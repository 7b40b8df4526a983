package meter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// Refusals that are the metering pass's own; the decoder has the others.
const (
	notABI        wasm.Feature = "imports outside of the ABI"
	reservedNames wasm.Feature = "names reserved for metering"
	hostFloats    wasm.Feature = "floats in the types of imported functions"
	externElems   wasm.Feature = "passive element segments of externref"
	notCommand    wasm.Feature = "modules that are no WASI command"
)

// Limits of a source beyond the decoder's.
const (
	maxBody = 1 << 20
	// What metering adds at most, besides a function for every import and table.
	addedTypes, addedFuncs, addedGlobals = 5, 8, 2
	addedLocals                          = 7
)

func refuse(f wasm.Feature, offset int, format string, args ...any) error {
	return &Error{Feature: f, Offset: offset, Func: -1, Msg: fmt.Sprintf(format, args...)}
}

// accept checks a module as a whole, everything but its instructions.
func accept(m *wasm.Module, opt *Options) error {
	checks := []func(*wasm.Module) error{acceptNames, acceptSizes}
	if opt.Library {
		checks = append(checks, acceptHost)
	} else {
		checks = append(checks, acceptImports, acceptCommand)
	}
	for _, check := range checks {
		if err := check(m); err != nil {
			return err
		}
	}
	switch {
	case opt.MemoryPages > wasm.MaxPages:
		return refuse("", 0, "%d pages of memory: at most %d exist", opt.MemoryPages, wasm.MaxPages)
	case m.Memory != nil && m.Memory.Min > opt.MemoryPages:
		return refuse("", m.Memory.Offset, "the module needs %d pages of memory, %d are allowed", m.Memory.Min, opt.MemoryPages)
	}
	return nil
}

// acceptNames keeps what metering adds apart from what is there.
func acceptNames(m *wasm.Module) error {
	for _, im := range m.Imports {
		if im.Module == abi.Countersign && im.Name == abi.Refill {
			return refuse(reservedNames, im.Offset, "import %q.%q is reserved for metering (is the module metered already?)", im.Module, im.Name)
		}
	}
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, abi.ReservedPrefix) {
			return refuse(reservedNames, e.Offset, "export %+q: names that start with %s are reserved for metering (is the module metered already?)", e.Name, abi.ReservedPrefix)
		}
	}
	return nil
}

// acceptHost refuses imported functions with floats, whose NaNs would differ
// from host to host.
func acceptHost(m *wasm.Module) error {
	for _, im := range m.Imports {
		t := m.Types[im.Type]
		for _, v := range slices.Concat(t.Params, t.Results) {
			if v == wasm.F32 || v == wasm.F64 || v == wasm.V128 {
				return refuse(hostFloats, im.Offset, "not accepted: %s (%+q.%+q of type %s)", hostFloats, im.Module, im.Name, t)
			}
		}
	}
	return nil
}

func acceptImports(m *wasm.Module) error {
	for _, im := range m.Imports {
		f, ok := abi.Lookup(im.Module, im.Name)
		switch t := m.Types[im.Type]; {
		case !ok:
			return refuse(notABI, im.Offset, "import %+q.%+q is not part of the ABI", im.Module, im.Name)
		case !t.Equal(f.Type):
			return refuse(notABI, im.Offset, "import %q.%q has type %s, the ABI's is %s", im.Module, im.Name, t, f.Type)
		}
	}
	return nil
}

// acceptCommand makes sure of _start and memory.
func acceptCommand(m *wasm.Module) error {
	var start, memory bool
	for _, e := range m.Exports {
		switch {
		case e.Name == entry && e.Kind == wasm.ExportFunc:
			if t := m.FuncType(e.Index); !t.Equal(wasm.FuncType{}) {
				return refuse(notCommand, e.Offset, "_start has type %s, () → () is wanted", t)
			}
			start = true
		case e.Name == "memory" && e.Kind == wasm.ExportMemory:
			memory = true
		}
	}
	if !start {
		return refuse(notCommand, 0, "the module exports no function _start: a WASI command is wanted, not a library")
	}
	if !memory {
		return refuse(notCommand, 0, "the module does not export its memory as \"memory\"")
	}
	return nil
}

// entry is the function that a command starts with.
const entry = "_start"

// acceptSizes leaves room for what metering adds.
func acceptSizes(m *wasm.Module) error {
	for _, e := range m.Elems {
		if e.Mode == wasm.ElemPassive && e.Type == wasm.ExternRef && len(e.Exprs) > 0 {
			return refuse(externElems, e.Offset, "not accepted: %s, about which engines disagree", externElems)
		}
	}
	for i := range m.Code {
		if n := len(m.Code[i].Code); n > maxBody {
			return inFunction(m, i, m.Code[i].Offset, "function body of %d bytes, at most %d allowed", n, maxBody)
		}
		if n := m.NumLocals(i); n > wasm.MaxLocals-addedLocals {
			return inFunction(m, i, m.Code[i].Offset, "%d parameters and locals, at most %d allowed", n, wasm.MaxLocals-addedLocals)
		}
	}
	funcs := addedFuncs + len(m.Imports) + len(m.Tables)
	if len(m.Types)+addedTypes+len(m.Tables) > wasm.MaxTypes || len(m.Imports) >= wasm.MaxImports || len(m.Globals)+addedGlobals > wasm.MaxGlobals ||
		len(m.Exports)+addedGlobals > wasm.MaxExports || len(m.Segs) >= wasm.MaxSegments || m.NumFuncs()+funcs > wasm.MaxFuncs {
		return refuse("", 0, "the module has no room for what metering adds: a few types, functions, globals and exports fewer than the limits are allowed")
	}
	return nil
}

// inFunction is an error in defined function i.
func inFunction(m *wasm.Module, i, offset int, format string, args ...any) error {
	f := len(m.Imports) + i
	return &Error{Offset: offset, Func: f, Name: m.Names.Funcs[uint32(f)], Msg: fmt.Sprintf(format, args...)}
}
