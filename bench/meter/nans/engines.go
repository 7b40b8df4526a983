package main

import (
	"bytes"
	"fmt"
	"slices"
)

// program is a module before and after metering, and what is called in it.
type program struct {
	source, metered []byte
	calls           []call
}

// engines are wasmtime with canonical NaNs, which shows what has to come out, and
// as it is, and wazero's.
type engines struct {
	canonical, plain *wasmtime
	wazero           []*wazeroEngine
}

// instance is a module on an engine.
type instance interface {
	call(name string) outcome
	memory() []byte // valid until the next call
	close()
}

// outcome is what came of a call.
type outcome struct {
	values []uint64
	trap   string // the kind; "" where there was none
	log    []uint64
}

// The kinds of traps.
const (
	trapUnreachable = "unreachable"
	trapMemory      = "out of bounds memory access"
	trapOverflow    = "integer overflow"
	trapConversion  = "invalid conversion to integer"
	trapDivide      = "integer divide by zero"
	trapTable       = "table"
	trapStack       = "stack overflow" // the engine's, or the module's own count
)

func (o outcome) same(p outcome) bool {
	return o.trap == p.trap && slices.Equal(o.values, p.values) && slices.Equal(o.log, p.log)
}

func (o outcome) String() string {
	return fmt.Sprintf("%#x, trap %q, host %#x", o.values, o.trap, o.log)
}

func startEngines() (*engines, error) {
	e := &engines{}
	for _, interpreter := range []bool{false, true} {
		w, err := startWazero(interpreter)
		if err != nil {
			return nil, err
		}
		e.wazero = append(e.wazero, w)
	}
	var err error
	if e.canonical, err = startWasmtime(true); err != nil {
		return nil, err
	}
	e.plain, err = startWasmtime(false)
	return e, err
}

func (e *engines) close() {
	for _, w := range e.wazero {
		w.close()
	}
}

// runner begins again with a new instance after a trap: what a trap leaves in
// memory is not part of an outcome.
type runner struct {
	name  string
	start func() (instance, error)
	now   instance
}

func (r *runner) restart() (err error) {
	if r.now != nil {
		r.now.close()
	}
	if r.now, err = r.start(); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// runners of a program: what shows how it has to be, what shows how it would be
// otherwise, and those that have to be the same.
func (e *engines) runners(p *program) (want, plain *runner, all []*runner, free func(), err error) {
	var loaded []interface{ close() }
	free = func() {
		for _, r := range all {
			if r.now != nil {
				r.now.close()
			}
		}
		for _, l := range loaded {
			l.close()
		}
	}
	add := func(name string, start func() (instance, error)) *runner {
		all = append(all, &runner{name: name, start: start})
		return all[len(all)-1]
	}
	for _, w := range []struct {
		name string
		*wasmtime
		code []byte
	}{{"wasmtime", e.canonical, p.source}, {"wasmtime as it is", e.plain, p.source}, {"wasmtime as it is, metered,", e.plain, p.metered}} {
		l, err := w.load(w.code)
		if err != nil {
			return nil, nil, nil, free, err
		}
		loaded = append(loaded, l)
		add(w.name, l.start)
	}
	for _, w := range e.wazero {
		l, err := w.load(p.metered)
		if err != nil {
			return nil, nil, nil, free, err
		}
		loaded = append(loaded, l)
		add(w.name+" with plenty of fuel", func() (instance, error) { return l.start(plenty) })
		add(w.name+" with little fuel at a time", func() (instance, error) { return l.start(little) })
	}
	return all[0], all[1], all[2:], free, nil
}

// difference tells where two memories are not the same.
func difference(name string, want, got []byte) error {
	if bytes.Equal(want, got) {
		return nil
	}
	for at := range min(len(want), len(got)) {
		if want[at] != got[at] {
			from := at &^ 7
			return fmt.Errorf("memory at %d: wasmtime leaves %x, %s %x", from, want[from:from+8], name, got[from:from+8])
		}
	}
	return fmt.Errorf("memory: wasmtime leaves %d bytes, %s %d", len(want), name, len(got))
}
