package wasm

import (
	"cmp"
	"slices"
)

// Locals tells the types of a function's parameters and locals. It lays out only
// what is asked for: a declaration of two bytes may stand for 50,000 locals, in
// each of 65,535 functions.
type Locals struct {
	runs  []localRun
	known []knownLocal // by index
	fn    uint32       // how many functions there have been, this one included
}

// localRun is a run of one type, up to the local end.
type localRun struct {
	end uint32
	typ ValType
}

// knownLocal has been asked for in function fn.
type knownLocal struct {
	fn  uint32
	typ ValType
}

// Begin starts with defined function i of m.
func (l *Locals) Begin(m *Module, i int) {
	l.fn++
	l.runs = l.runs[:0]
	end := uint32(0)
	for _, t := range m.Types[m.Funcs[i]].Params {
		end++
		l.runs = append(l.runs, localRun{end, t})
	}
	for _, run := range m.Code[i].Locals {
		end += run.Count
		l.runs = append(l.runs, localRun{end, run.Type})
	}
	if n := int(end) - len(l.known); n > 0 {
		l.known = append(l.known, make([]knownLocal, n)...)
	}
}

// Type is the type of a local that there is.
func (l *Locals) Type(i uint32) ValType {
	k := &l.known[i]
	if k.fn != l.fn {
		at, _ := slices.BinarySearchFunc(l.runs, i+1, func(r localRun, end uint32) int { return cmp.Compare(r.end, end) })
		*k = knownLocal{l.fn, l.runs[at].typ}
	}
	return k.typ
}
