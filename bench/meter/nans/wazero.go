package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/countersign/countersign/meter"
)

// The fuel of one refill: all that is needed, so that counted loops run their
// halves without charges, and so little that they never do.
const (
	plenty = 1 << 40
	little = 1
)

// wazeroEngine runs metered modules.
type wazeroEngine struct {
	name     string
	compiler bool
	runtime  wazero.Runtime
	slice    int64
	log      []uint64
}

func startWazero(interpreter bool) (*wazeroEngine, error) {
	ctx := context.Background()
	w := &wazeroEngine{name: "wazero's compiler", compiler: !interpreter}
	config := wazero.NewRuntimeConfigCompiler()
	if interpreter {
		w.name, config = "wazero's interpreter", wazero.NewRuntimeConfigInterpreter()
	}
	w.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(api.CoreFeaturesV2|experimental.CoreFeaturesExtendedConst))
	refill := func(balance int64) int64 { return w.slice - balance }
	if _, err := w.runtime.NewHostModuleBuilder("countersign").NewFunctionBuilder().WithFunc(refill).Export("refill").Instantiate(ctx); err != nil {
		return nil, err
	}
	_, err := w.runtime.NewHostModuleBuilder(logHost).
		NewFunctionBuilder().WithFunc(func(n uint32) { w.log = append(w.log, uint64(n)) }).Export(logI32).
		NewFunctionBuilder().WithFunc(func(n uint64) { w.log = append(w.log, n) }).Export(logI64).Instantiate(ctx)
	return w, err
}

func (w *wazeroEngine) close() { w.runtime.Close(context.Background()) }

type wazeroModule struct {
	*wazeroEngine
	module wazero.CompiledModule
}

func (w *wazeroEngine) load(code []byte) (*wazeroModule, error) {
	if w.compiler {
		var err error
		if code, err = meter.ForWazero(code); err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	m, err := w.runtime.CompileModule(context.Background(), code)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.name, err)
	}
	return &wazeroModule{w, m}, nil
}

func (m *wazeroModule) close() { m.module.Close(context.Background()) }

type wazeroInstance struct {
	*wazeroEngine
	refuel int64
	module api.Module
}

func (m *wazeroModule) start(slice int64) (instance, error) {
	m.slice = slice
	i, err := m.runtime.InstantiateModule(context.Background(), m.module, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	return &wazeroInstance{m.wazeroEngine, slice, i}, nil
}

func (i *wazeroInstance) close() { i.module.Close(context.Background()) }

func (i *wazeroInstance) call(name string) outcome {
	i.slice, i.log = i.refuel, nil
	values, err := i.module.ExportedFunction(name).Call(context.Background())
	o := outcome{values: values, log: i.log}
	if err != nil {
		o.values, o.trap = nil, wazeroTrap(err)
		if int32(i.module.ExportedGlobal(meter.StackGlobal).Get()) < 0 {
			o.trap = trapStack
		}
	}
	return o
}

func (i *wazeroInstance) memory() []byte {
	memory := i.module.ExportedMemory(memoryName)
	if memory == nil {
		return nil
	}
	data, _ := memory.Read(0, memory.Size())
	return data
}

// wazeroTrap names the kind of a trap by what wazero says.
func wazeroTrap(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	for _, k := range []string{trapUnreachable, trapMemory, trapOverflow, trapConversion, trapDivide, trapStack} {
		if strings.HasSuffix(text, k) {
			return k
		}
	}
	if strings.HasSuffix(text, "invalid table access") || strings.HasSuffix(text, "indirect call type mismatch") {
		return trapTable
	}
	return text
}
