package meter

import (
	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// module writes every section of the metered module.
func (w *writer) module() ([]byte, error) {
	m := w.m
	if len(w.types) > wasm.MaxTypes || len(m.Imports) >= wasm.MaxImports || len(m.Globals) >= wasm.MaxGlobals || m.NumFuncs()+4 > wasm.MaxFuncs {
		return nil, refuse(0, "the module has no room for what metering adds: one type, import, global and three functions fewer are allowed")
	}
	out := make([]byte, 0, len(m.Data)*3/2+1024)
	out = append(out, "\x00asm\x01\x00\x00\x00"...)
	out = appendSection(out, 1, w.typeSection())
	out = appendSection(out, 2, w.importSection())
	out = appendSection(out, 3, w.functionSection())
	if m.Table != nil {
		out = appendSection(out, 4, appendLimits([]byte{1, byte(wasm.FuncRef)}, m.Table.Min, m.Table.Max))
	}
	out = appendSection(out, 5, appendLimits([]byte{1}, m.Memory.Min, int64(w.pages)))
	out = appendSection(out, 6, w.globalSection())
	out = appendSection(out, 7, w.exportSection())
	if len(m.Elems) > 0 {
		out = appendSection(out, 9, w.elementSection())
	}
	if m.HasDataCount {
		out = appendSection(out, 12, appendU(nil, uint64(len(m.Segs))))
	}
	out = appendSection(out, 10, w.codeSection())
	if len(m.Segs) > 0 {
		out = appendSection(out, 11, w.dataSection())
	}
	if names := w.names(); names != nil {
		out = appendSection(out, 0, names)
	}
	return out, nil
}

func appendSection(out []byte, id byte, content []byte) []byte {
	out = appendU(append(out, id), uint64(len(content)))
	return append(out, content...)
}

func appendName(out []byte, s string) []byte {
	return append(appendU(out, uint64(len(s))), s...)
}

func appendLimits(out []byte, min uint32, max int64) []byte {
	if max < 0 {
		return appendU(append(out, 0), uint64(min))
	}
	return appendU(appendU(append(out, 1), uint64(min)), uint64(max))
}

func (w *writer) typeSection() []byte {
	out := appendU(nil, uint64(len(w.types)))
	for _, t := range w.types {
		out = append(out, 0x60)
		for _, list := range [][]wasm.ValType{t.Params, t.Results} {
			out = appendU(out, uint64(len(list)))
			for _, v := range list {
				out = append(out, byte(v))
			}
		}
	}
	return out
}

func (w *writer) importSection() []byte {
	out := appendU(nil, uint64(len(w.m.Imports)+1))
	for _, im := range w.m.Imports {
		out = appendName(appendName(out, im.Module), im.Name)
		out = appendU(append(out, 0), uint64(im.Type))
	}
	out = appendName(appendName(out, abi.Countersign), abi.Refill)
	return appendU(append(out, 0), uint64(w.typeOf(refillType)))
}

func (w *writer) functionSection() []byte {
	out := appendU(nil, uint64(len(w.m.Funcs)+len(w.helpers)))
	for _, t := range w.m.Funcs {
		out = appendU(out, uint64(t))
	}
	for _, h := range w.helpers {
		out = appendU(out, uint64(h.typ))
	}
	return out
}

func (w *writer) globalSection() []byte {
	out := appendU(nil, uint64(len(w.m.Globals)+1))
	for _, g := range w.m.Globals {
		mutable := byte(0)
		if g.Mutable {
			mutable = 1
		}
		out = append(append(out, byte(g.Type), mutable), g.Init...)
	}
	return append(out, byte(wasm.I64), 1, opI64Const, 0, opEnd)
}

func (w *writer) exportSection() []byte {
	out := appendU(nil, uint64(len(w.m.Exports)+1))
	for _, e := range w.m.Exports {
		i := e.Index
		if e.Kind == wasm.ExportFunc {
			i = w.index(i)
		}
		out = appendU(append(appendName(out, e.Name), byte(e.Kind)), uint64(i))
	}
	return appendU(append(appendName(out, abi.FuelGlobal), byte(wasm.ExportGlobal)), uint64(w.fuel))
}

func (w *writer) elementSection() []byte {
	out := appendU(nil, uint64(len(w.m.Elems)))
	for _, e := range w.m.Elems {
		out = append(append(out, 0), e.Expr...)
		out = appendU(out, uint64(len(e.Funcs)))
		for _, f := range e.Funcs {
			out = appendU(out, uint64(w.index(f)))
		}
	}
	return out
}

func (w *writer) codeSection() []byte {
	n := 16
	for _, b := range w.bodies {
		n += len(b) + 5
	}
	out := appendU(make([]byte, 0, n+256), uint64(len(w.bodies)+len(w.helpers)))
	for _, b := range w.bodies {
		out = append(appendU(out, uint64(len(b))), b...)
	}
	for _, h := range w.helpers {
		out = appendU(out, uint64(len(h.locals)+len(h.code)))
		out = append(append(out, h.locals...), h.code...)
	}
	return out
}

func (w *writer) dataSection() []byte {
	out := appendU(nil, uint64(len(w.m.Segs)))
	for _, s := range w.m.Segs {
		if s.Expr == nil {
			out = append(out, 1)
		} else {
			out = append(append(out, 0), s.Expr...)
		}
		out = appendU(out, uint64(len(s.Data)))
		out = append(out, s.Data...)
	}
	return out
}
