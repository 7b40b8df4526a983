package meter

import (
	"errors"

	"github.com/countersign/countersign/internal/wasm"
)

// machine runs modules of a few integer instructions, one after the other, and
// adds up what each costs. It knows blocks only as the specification does, and
// nothing of metering, so it says what the rewriter's charges have to come to.
type machine struct {
	m       *wasm.Module
	code    []*body
	globals []int64
	stack   []int64
	depth   int
	steps   int // left
	cost    uint64
	refills int
	refill  func(balance int64) int64
}

// body is a function's instructions, and where each block has its else and end.
type body struct {
	instrs    []wasm.Instr
	values    []int64 // of constants
	end, els  map[int]int
	numLocals int
}

var (
	errTrap  = errors.New("unreachable")
	errSteps = errors.New("too many steps")
)

func newMachine(module []byte, steps int) (*machine, error) {
	m, err := wasm.Decode(module)
	if err != nil {
		return nil, err
	}
	v := &machine{m: m, steps: steps}
	for range m.Globals {
		v.globals = append(v.globals, 0)
	}
	for i := range m.Code {
		b := &body{end: map[int]int{}, els: map[int]int{}, numLocals: len(m.Types[m.Funcs[i]].Params)}
		for _, l := range m.Code[i].Locals {
			b.numLocals += int(l.Count)
		}
		in, open := m.Instrs(i), []int{-1}
		for v := (wasm.Instr{}); in.Next(&v); {
			v.Labels = append([]uint32(nil), v.Labels...)
			switch at := len(b.instrs); v.Op {
			case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
				open = append(open, at)
			case wasm.OpElse:
				b.els[open[len(open)-1]] = at
			case wasm.OpEnd:
				b.end[open[len(open)-1]] = at
				open = open[:len(open)-1]
			}
			b.instrs = append(b.instrs, v)
			b.values = append(b.values, constant(m.Data[v.Start:v.End]))
		}
		if err := in.Err(); err != nil {
			return nil, err
		}
		v.code = append(v.code, b)
	}
	return v, nil
}

// constant reads the signed integer behind an opcode.
func constant(instr []byte) int64 {
	v, shift := int64(0), 0
	for _, b := range instr[1:] {
		v |= int64(b&0x7f) << shift
		if shift += 7; b < 0x80 {
			if shift < 64 && b&0x40 != 0 {
				v |= -1 << shift
			}
			break
		}
	}
	return v
}

func (v *machine) push(x int64) { v.stack = append(v.stack, x) }

func (v *machine) pop() int64 {
	x := v.stack[len(v.stack)-1]
	v.stack = v.stack[:len(v.stack)-1]
	return x
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// call runs function f with its arguments on the stack.
func (v *machine) call(f uint32) error {
	if int(f) < len(v.m.Imports) {
		v.cost += costHostCall
		if v.m.Imports[f].Name == "refill" {
			v.refills++
			v.push(v.refill(v.pop()))
		} else {
			v.push(7) // sched_yield
		}
		return nil
	}
	b, t := v.code[int(f)-len(v.m.Imports)], v.m.FuncType(f)
	v.cost += costEntry
	locals := make([]int64, b.numLocals)
	base := len(v.stack) - len(t.Params)
	copy(locals, v.stack[base:])
	v.stack = v.stack[:base]
	if v.depth++; v.depth > 100 {
		return errSteps
	}
	if err := v.run(b, locals, len(t.Results)); err != nil {
		return err
	}
	v.depth--
	return nil
}

// label is an open block: where a branch to it goes on, with how many values.
type label struct{ at, target, arity, height int }

func (v *machine) run(b *body, locals []int64, results int) error {
	labels := []label{{at: -1, target: len(b.instrs), arity: results, height: len(v.stack)}}
	jump := func(depth int) int {
		l := labels[len(labels)-1-depth]
		values := append([]int64(nil), v.stack[len(v.stack)-l.arity:]...)
		v.stack = append(v.stack[:l.height], values...)
		labels = labels[:len(labels)-1-depth]
		return l.target
	}
	for pc := 0; pc < len(b.instrs); {
		in := &b.instrs[pc]
		v.cost += cost(in.Op)
		if v.steps--; v.steps < 0 {
			return errSteps
		}
		switch in.Op {
		case wasm.OpBlock, wasm.OpIf, wasm.OpLoop:
			arity, target := 1, b.end[pc]+1
			if v.m.Data[in.Start+1] == 0x40 || in.Op == wasm.OpLoop {
				arity = 0 // no loop of these tests has parameters
			}
			if in.Op == wasm.OpLoop {
				target = pc
			}
			taken := in.Op != wasm.OpIf || int32(v.pop()) != 0
			labels = append(labels, label{pc, target, arity, len(v.stack)})
			if els, ok := b.els[pc]; !taken && ok {
				pc = els
			} else if !taken {
				pc = b.end[pc] - 1 // its end closes it
			}
		case wasm.OpElse: // the end of then
			pc = b.end[labels[len(labels)-1].at] - 1
		case wasm.OpEnd:
			labels = labels[:len(labels)-1]
		case wasm.OpBr:
			pc = jump(int(in.A))
			continue
		case wasm.OpBrIf:
			if int32(v.pop()) != 0 {
				pc = jump(int(in.A))
				continue
			}
		case wasm.OpBrTable:
			i := min(uint64(uint32(v.pop())), uint64(len(in.Labels)-1))
			pc = jump(int(in.Labels[i]))
			continue
		case wasm.OpReturn:
			pc = jump(len(labels) - 1)
			continue
		case wasm.OpUnreachable:
			return errTrap
		case wasm.OpCall:
			if err := v.call(in.A); err != nil {
				return err
			}
		default:
			v.simple(in, b.values[pc], locals)
		}
		pc++
	}
	return nil
}

// simple runs an instruction that neither branches nor calls.
func (v *machine) simple(in *wasm.Instr, value int64, locals []int64) {
	switch in.Op {
	case wasm.OpNop:
	case wasm.OpDrop:
		v.pop()
	case wasm.OpSelect:
		c, y, x := v.pop(), v.pop(), v.pop()
		if int32(c) == 0 {
			x = y
		}
		v.push(x)
	case wasm.OpLocalGet:
		v.push(locals[in.A])
	case wasm.OpLocalSet:
		locals[in.A] = v.pop()
	case wasm.OpLocalTee:
		locals[in.A] = v.stack[len(v.stack)-1]
	case wasm.OpGlobalGet:
		v.push(v.globals[in.A])
	case wasm.OpGlobalSet:
		v.globals[in.A] = v.pop()
	case wasm.OpI32Const, wasm.OpI64Const:
		v.push(value)
	case 0x45: // i32.eqz
		v.push(truth(int32(v.pop()) == 0))
	case 0x6a: // i32.add
		v.push(int64(int32(v.pop() + v.pop())))
	case opI32Sub:
		y, x := v.pop(), v.pop()
		v.push(int64(int32(x - y)))
	case opI32Ne:
		v.push(truth(int32(v.pop()) != int32(v.pop())))
	case opI32ShrU:
		y, x := v.pop(), v.pop()
		v.push(int64(int32(uint32(x) >> (uint32(y) & 31))))
	case opI64ExtendU:
		v.push(int64(uint32(v.pop())))
	case opI64Mul:
		v.push(v.pop() * v.pop())
	case opI64GeS:
		y, x := v.pop(), v.pop()
		v.push(truth(x >= y))
	case 0x71: // i32.and
		v.push(v.pop() & v.pop())
	case opI64Add:
		v.push(v.pop() + v.pop())
	case opI64Sub:
		y, x := v.pop(), v.pop()
		v.push(x - y)
	case opI32LtS:
		y, x := v.pop(), v.pop()
		v.push(truth(int32(x) < int32(y)))
	case opI64LtS:
		y, x := v.pop(), v.pop()
		v.push(truth(x < y))
	case opI64LeS:
		y, x := v.pop(), v.pop()
		v.push(truth(x <= y))
	default:
		panic("the test machine does not know " + in.Op.String())
	}
}
