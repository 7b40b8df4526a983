package meter

import (
	"fmt"
	"strings"

	"github.com/countersign/countersign/internal/wasm"
)

// text is a function as text: names of instructions, indices and integers, each
// with a space behind it, and DEAD for what cannot run.
func (w *witness) text(f uint32, balance int) string {
	i := int(f) - len(w.m.Imports)
	var out strings.Builder
	r := reach{live: true}
	in, dead := w.m.Instrs(i), false
	for v := (wasm.Instr{}); in.Next(&v); {
		switch {
		case r.live || (v.Op == wasm.OpElse || v.Op == wasm.OpEnd) && r.opened():
			out.WriteString(w.instruction(&v, balance) + " ")
			dead = false
		case !dead:
			out.WriteString("DEAD ")
			dead = true
		}
		w.ends = r.live
		r.step(&v)
	}
	if err := in.Err(); err != nil {
		w.errs = append(w.errs, err)
	}
	return out.String()
}

func (w *witness) instruction(v *wasm.Instr, balance int) string {
	name := v.Op.Name()
	switch v.Op {
	case wasm.OpCall:
		if called := w.names[v.A]; called != "" {
			return called
		}
	case wasm.OpRefFunc:
		if called := w.names[v.A]; called != "" {
			return "ref.func-of-" + called
		}
	case wasm.OpGlobalGet, wasm.OpGlobalSet:
		if v.A >= w.fuel {
			return name + " " + []string{"FUEL", "STACK"}[v.A-w.fuel]
		}
	case wasm.OpLocalGet, wasm.OpLocalSet, wasm.OpLocalTee:
		if int(v.A) == balance {
			return name + " BALANCE"
		}
	case wasm.OpI32Const, wasm.OpI64Const:
		return fmt.Sprint(name, " ", constant(w.m.Data[v.Start:v.End]))
	case wasm.OpBrTable:
		return name + strings.ReplaceAll(fmt.Sprint(v.Labels), " ", ",")
	case wasm.OpBr, wasm.OpBrIf, wasm.OpTableGrow, wasm.OpTableSize:
	default:
		return name
	}
	return fmt.Sprint(name, " ", v.A)
}

// reach tells what code can run.
type reach struct {
	live bool
	open []struct {
		op             wasm.Op
		live, targeted bool
	}
}

// opened tells whether the block that stands open was entered.
func (r *reach) opened() bool { return len(r.open) == 0 || r.open[len(r.open)-1].live }

func (r *reach) target(label uint32) {
	if n := len(r.open) - 1 - int(label); r.live && n >= 0 {
		r.open[n].targeted = true
	}
}

func (r *reach) step(v *wasm.Instr) {
	switch v.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		r.open = append(r.open, struct {
			op             wasm.Op
			live, targeted bool
		}{v.Op, r.live, false})
	case wasm.OpElse:
		f := &r.open[len(r.open)-1]
		f.op, f.targeted, r.live = v.Op, f.targeted || r.live, f.live
	case wasm.OpEnd:
		if len(r.open) == 0 {
			return
		}
		f := r.open[len(r.open)-1]
		r.open = r.open[:len(r.open)-1]
		r.live = r.live || f.op == wasm.OpIf && f.live || f.op != wasm.OpLoop && f.targeted
	case wasm.OpBrIf:
		r.target(v.A)
	case wasm.OpBrTable:
		for _, l := range v.Labels {
			r.target(l)
		}
		r.live = false
	case wasm.OpBr:
		r.target(v.A)
		r.live = false
	case wasm.OpReturn, wasm.OpUnreachable:
		r.live = false
	}
}
