package meter

import (
	"fmt"
	"strings"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// Refusals that are the metering pass's own; the decoder has the others.
const (
	notABI        wasm.Feature = "imports outside of the ABI"
	reservedNames wasm.Feature = "names reserved for metering"
	importInTable wasm.Feature = "imported functions in tables"
	notCommand    wasm.Feature = "modules that are no WASI command"
)

// Limits of a source beyond the decoder's.
const (
	maxBody    = 1 << 20
	maxNesting = 1000
	// What metering adds at most.
	addedTypes, addedFuncs = 3, 4
)

func refuse(f wasm.Feature, offset int, format string, args ...any) error {
	return &Error{Feature: f, Offset: offset, Func: -1, Msg: fmt.Sprintf(format, args...)}
}

// accept checks a module as a whole, everything but its instructions.
func accept(m *wasm.Module, pages uint32) error {
	for _, check := range []func(*wasm.Module) error{acceptImports, acceptExports, acceptTables, acceptSizes} {
		if err := check(m); err != nil {
			return err
		}
	}
	switch {
	case m.Memory.Min > pages:
		return refuse("", m.Memory.Offset, "the module needs %d pages of memory, %d are allowed", m.Memory.Min, pages)
	case pages > wasm.MaxPages:
		return refuse("", m.Memory.Offset, "%d pages of memory: at most %d exist", pages, wasm.MaxPages)
	}
	return nil
}

func acceptImports(m *wasm.Module) error {
	for _, im := range m.Imports {
		f, ok := abi.Lookup(im.Module, im.Name)
		switch t := m.Types[im.Type]; {
		case !ok:
			return refuse(notABI, im.Offset, "import %+q.%+q is not part of the ABI", im.Module, im.Name)
		case f.Module == abi.Countersign && f.Name == abi.Refill:
			return refuse(reservedNames, im.Offset, "import %q.%q is reserved for metering (is the module metered already?)", im.Module, im.Name)
		case !t.Equal(f.Type):
			return refuse(notABI, im.Offset, "import %q.%q has type %s, the ABI's is %s", im.Module, im.Name, t, f.Type)
		}
	}
	return nil
}

// acceptExports makes sure of _start and memory.
func acceptExports(m *wasm.Module) error {
	var start, memory bool
	for _, e := range m.Exports {
		switch {
		case strings.HasPrefix(e.Name, abi.ReservedPrefix):
			return refuse(reservedNames, e.Offset, "export %+q: names that start with %s are reserved for metering (is the module metered already?)", e.Name, abi.ReservedPrefix)
		case e.Name == "_start" && e.Kind == wasm.ExportFunc:
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

// acceptTables keeps host functions out of tables: a call through a table is
// charged as a call of the module's own function.
func acceptTables(m *wasm.Module) error {
	for _, e := range m.Elems {
		for _, f := range e.Funcs {
			if int(f) < len(m.Imports) {
				return refuse(importInTable, e.Offset, "imported function %d (%s.%s) in a table is not accepted", f, m.Imports[f].Module, m.Imports[f].Name)
			}
		}
	}
	return nil
}

// acceptSizes leaves room for what metering adds.
func acceptSizes(m *wasm.Module) error {
	for i := range m.Code {
		if n := len(m.Code[i].Code); n > maxBody {
			return inFunction(m, i, m.Code[i].Offset, "function body of %d bytes, at most %d allowed", n, maxBody)
		}
	}
	if len(m.Types)+addedTypes > wasm.MaxTypes || len(m.Imports) >= wasm.MaxImports || len(m.Globals) >= wasm.MaxGlobals ||
		len(m.Exports) >= wasm.MaxExports || m.NumFuncs()+addedFuncs > wasm.MaxFuncs {
		return refuse("", 0, "the module has no room for what metering adds: %d types, %d functions, an import, a global and an export fewer than the limits are allowed", addedTypes, addedFuncs)
	}
	return nil
}

// inFunction is an error in defined function i.
func inFunction(m *wasm.Module, i, offset int, format string, args ...any) error {
	f := len(m.Imports) + i
	return &Error{Offset: offset, Func: f, Name: m.Names.Funcs[uint32(f)], Msg: fmt.Sprintf(format, args...)}
}
