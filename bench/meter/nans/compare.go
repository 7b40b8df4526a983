package main

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/countersign/countersign/internal/wasm"
)

// compare carries out a program's calls on every engine, side by side.
func (e *engines) compare(c counts, p *program) error {
	want, plain, others, free, err := e.runners(p)
	defer free()
	if err != nil {
		return err
	}
	s := side{counts: c, want: want, plain: plain, others: others}
	if err := s.restart(); err != nil {
		return err
	}
	for _, call := range p.calls {
		if err := s.step(call); err != nil {
			return fmt.Errorf("call %q (function %d): %w", call.name, call.function, err)
		}
	}
	s.left()
	c[nModules]++
	if s.other {
		c[nPlain]++
	}
	return nil
}

// side has the engines side by side.
type side struct {
	counts
	want, plain *runner
	others      []*runner
	before      int  // canonical NaNs in memory when the instances were made
	other       bool // with NaNs as they are something differs
}

func (s *side) restart() error {
	for _, r := range append([]*runner{s.want, s.plain}, s.others...) {
		if err := r.restart(); err != nil {
			return err
		}
	}
	s.before = canonicalNaNs(s.want.now.memory())
	return nil
}

// left counts the NaNs that the calls since the last restart left in memory.
func (s *side) left() { s.counts[nStored] += max(0, canonicalNaNs(s.want.now.memory())-s.before) }

// step calls a function on all. Where an engine's stack, or the module's own count
// of it, was used up, there is nothing to compare.
func (s *side) step(c call) error {
	want := s.want.now.call(c.name)
	s.other = s.other || !want.same(s.plain.now.call(c.name)) || !bytes.Equal(s.want.now.memory(), s.plain.now.memory())
	spent := want.trap == trapStack
	var err error
	for _, r := range s.others {
		got := r.now.call(c.name)
		switch {
		case spent || got.trap == trapStack:
			spent = true
		case err == nil:
			err = s.differs(want, got, r)
		}
	}
	if spent {
		s.counts["calls that used the stack up, not compared"]++
		return s.restart()
	}
	if err != nil {
		return err
	}
	s.counts["calls the same"]++
	s.counts["calls of the host the same"] += len(want.log)
	if want.trap != "" {
		s.counts["calls the same, traps"]++
		s.left()
		return s.restart()
	}
	s.counts[nResults] += c.nans(want.values)
	return nil
}

func (s *side) differs(want, got outcome, r *runner) error {
	if !want.same(got) {
		return fmt.Errorf("wasmtime gives %v\n%s gives %v", want, r.name, got)
	}
	if want.trap != "" {
		return nil
	}
	return difference(r.name, s.want.now.memory(), r.now.memory())
}

// nans counts the values that are NaNs, or have one in a lane.
func (c *call) nans(values []uint64) (n int) {
	for i, v := range values {
		k := c.kinds[i]
		wide := v&^(1<<63) > 0x7ff<<52
		narrow := uint32(v)&^(1<<31) > 0xff<<23
		high := uint32(v>>32)&^(1<<31) > 0xff<<23
		if k == wasm.F64 && wide || k == wasm.F32 && narrow || k == wasm.V128 && (wide || narrow || high) {
			n++
		}
	}
	return n
}

// canonicalNaNs counts those that are aligned.
func canonicalNaNs(memory []byte) (n int) {
	for at := 0; at+8 <= len(memory); at += 8 {
		switch v := binary.LittleEndian.Uint64(memory[at:]); {
		case v == 0:
		case v == 0x7ff8000000000000:
			n++
		default:
			if uint32(v) == 0x7fc00000 {
				n++
			}
			if uint32(v>>32) == 0x7fc00000 {
				n++
			}
		}
	}
	return n
}

// deferring counts the loops of a metered module that make their stores canonical
// behind them: x, x, ne, if, loop.
func deferring(module []byte) (n int) {
	m, err := wasm.Decode(module)
	if err != nil {
		return 0
	}
	for i := range m.Funcs {
		var last [4]wasm.Instr
		in := m.Instrs(i)
		for v := (wasm.Instr{}); in.Next(&v); {
			if v.Op == wasm.OpLoop && last[3].Op == wasm.OpIf && (last[2].Op == opF32Ne || last[2].Op == opF64Ne) &&
				last[1].Op == wasm.OpLocalGet && last[0].Op == wasm.OpLocalGet && last[0].A == last[1].A {
				n++
			}
			copy(last[:], last[1:])
			last[3] = v
		}
	}
	return n
}
