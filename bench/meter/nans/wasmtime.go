package main

import (
	"errors"
	"fmt"

	wt "github.com/bytecodealliance/wasmtime-go/v39"

	"github.com/countersign/countersign/meter"
)

// wasmtime is an engine that makes the NaNs of arithmetic canonical, or does not.
type wasmtime struct {
	engine *wt.Engine
	linker *wt.Linker
	log    []uint64
}

func startWasmtime(canonical bool) (*wasmtime, error) {
	config := wt.NewConfig()
	config.SetCraneliftNanCanonicalization(canonical)
	config.SetParallelCompilation(false)
	w := &wasmtime{engine: wt.NewEngineWithConfig(config)}
	w.linker = wt.NewLinker(w.engine)
	if err := w.linker.FuncWrap("countersign", "refill", func(balance int64) int64 { return plenty - balance }); err != nil {
		return nil, err
	}
	if err := w.linker.FuncWrap(logHost, logI32, func(n int32) { w.log = append(w.log, uint64(uint32(n))) }); err != nil {
		return nil, err
	}
	return w, w.linker.FuncWrap(logHost, logI64, func(n int64) { w.log = append(w.log, uint64(n)) })
}

type wasmtimeModule struct {
	*wasmtime
	module *wt.Module
}

func (w *wasmtime) load(code []byte) (*wasmtimeModule, error) {
	m, err := wt.NewModule(w.engine, code)
	if err != nil {
		return nil, fmt.Errorf("wasmtime: %w", err)
	}
	return &wasmtimeModule{w, m}, nil
}

func (m *wasmtimeModule) close() { m.module.Close() }

type wasmtimeInstance struct {
	*wasmtime
	store *wt.Store
	*wt.Instance
}

func (m *wasmtimeModule) start() (instance, error) {
	store := wt.NewStore(m.engine)
	i, err := m.linker.Instantiate(store, m.module)
	if err != nil {
		store.Close()
		return nil, err
	}
	return &wasmtimeInstance{m.wasmtime, store, i}, nil
}

func (i *wasmtimeInstance) close() { i.store.Close() }

func (i *wasmtimeInstance) call(name string) outcome {
	i.log = nil
	v, err := i.GetFunc(i.store, name).Call(i.store)
	o := outcome{log: i.log}
	if err != nil {
		o.trap = wasmtimeTrap(err)
		if x := i.GetExport(i.store, meter.StackGlobal); x != nil && x.Global().Get(i.store).I32() < 0 {
			o.trap = trapStack
		}
		return o
	}
	switch v := v.(type) {
	case int64:
		o.values = []uint64{uint64(v)}
	case []wt.Val:
		for _, x := range v {
			o.values = append(o.values, uint64(x.I64()))
		}
	}
	return o
}

func (i *wasmtimeInstance) memory() []byte {
	x := i.GetExport(i.store, memoryName)
	if x == nil {
		return nil
	}
	return x.Memory().UnsafeData(i.store)
}

// wasmtimeTrap names the kind of a trap.
func wasmtimeTrap(err error) string {
	var trap *wt.Trap
	if !errors.As(err, &trap) || trap.Code() == nil {
		return err.Error()
	}
	switch *trap.Code() {
	case wt.StackOverflow:
		return trapStack
	case wt.MemoryOutOfBounds:
		return trapMemory
	case wt.TableOutOfBounds, wt.IndirectCallToNull, wt.BadSignature:
		return trapTable
	case wt.IntegerOverflow:
		return trapOverflow
	case wt.IntegerDivisionByZero:
		return trapDivide
	case wt.BadConversionToInteger:
		return trapConversion
	case wt.UnreachableCodeReached:
		return trapUnreachable
	}
	return err.Error()
}
