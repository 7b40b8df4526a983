package wasm

import (
	"maps"
	"slices"
)

// Names of the name section, where it is well formed.
type Names struct {
	Module string
	Funcs  map[uint32]string
}

// Parts of the name section.
const (
	namesModule = 0
	namesFuncs  = 1
)

// custom skips a custom section; of "name" it keeps what it understands. A name
// section that is not well formed is dropped, as engines do.
func (d *decoder) custom() {
	r := &d.r
	if r.name() == "name" {
		d.m.Names = readNames(reader{data: r.data, pos: r.pos, end: r.end})
	}
	r.pos = r.end
}

func readNames(r reader) Names {
	n := Names{Funcs: map[uint32]string{}}
	for r.left() > 0 {
		id := r.byte()
		part := r.bytes(r.u32())
		sub := reader{data: part, end: len(part)}
		switch id {
		case namesModule:
			n.Module = sub.name()
		case namesFuncs:
			for range sub.count("names", MaxFuncs) {
				i := sub.u32()
				n.Funcs[i] = sub.name()
			}
		}
		if sub.err != nil {
			return Names{}
		}
	}
	if r.err != nil || n.empty() {
		return Names{}
	}
	return n
}

// append writes the name section's content, functions in ascending order.
func (n Names) append(out []byte) []byte {
	out = AppendName(out, "name")
	if n.Module != "" {
		out = appendSection(out, namesModule, AppendName(nil, n.Module))
	}
	if len(n.Funcs) == 0 {
		return out
	}
	sub := AppendUnsigned(nil, uint64(len(n.Funcs)))
	for _, f := range slices.Sorted(maps.Keys(n.Funcs)) {
		sub = AppendName(AppendUnsigned(sub, uint64(f)), n.Funcs[f])
	}
	return appendSection(out, namesFuncs, sub)
}

func (n Names) empty() bool { return n.Module == "" && len(n.Funcs) == 0 }
