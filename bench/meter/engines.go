package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v39"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/countersign/countersign/meter"
)

// slice is the fuel of one refill, about 20 ms of work.
const slice = 100_000_000

// plainWazero runs a module, metered or not, on wazero's compiler.
func plainWazero(module []byte) (float64, string, error) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	_, err := r.NewHostModuleBuilder("countersign").
		NewFunctionBuilder().WithFunc(func(balance int64) int64 { return slice - balance }).Export("refill").Instantiate(ctx)
	if err != nil {
		return 0, "", err
	}
	c, err := r.CompileModule(ctx, module)
	if err != nil {
		return 0, "", err
	}
	var out bytes.Buffer
	m, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithStdout(&out).WithStartFunctions())
	if err != nil {
		return 0, "", err
	}
	start := time.Now()
	_, err = m.ExportedFunction("_start").Call(ctx)
	return since(start), out.String(), err
}

// meteredWazero runs a module as the product does.
func meteredWazero(module []byte) (float64, string, error) {
	module, err := meter.ForWazero(module)
	if err != nil {
		return 0, "", err
	}
	return plainWazero(module)
}

// wasmtime runs a module on wasmtime, with its own fuel or epochs, or neither; one
// that is metered gets refills.
func wasmtime(mode string) runner {
	return func(module []byte) (float64, string, error) {
		config := wt.NewConfig()
		config.SetConsumeFuel(mode == "fuel")
		config.SetEpochInterruption(mode == "epoch")
		engine := wt.NewEngineWithConfig(config)
		store := wt.NewStore(engine)
		dir, err := os.MkdirTemp("", "")
		if err != nil {
			return 0, "", err
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "out")
		wasi := wt.NewWasiConfig()
		if err := wasi.SetStdoutFile(out); err != nil {
			return 0, "", err
		}
		store.SetWasi(wasi)
		if mode == "fuel" {
			if err := store.SetFuel(1 << 62); err != nil {
				return 0, "", err
			}
		}
		if mode == "epoch" {
			store.SetEpochDeadline(1 << 62)
		}
		m, err := wt.NewModule(engine, module)
		if err != nil {
			return 0, "", err
		}
		linker := wt.NewLinker(engine)
		if err := linker.DefineWasi(); err != nil {
			return 0, "", err
		}
		if err := linker.FuncWrap("countersign", "refill", func(balance int64) int64 { return slice - balance }); err != nil {
			return 0, "", err
		}
		instance, err := linker.Instantiate(store, m)
		if err != nil {
			return 0, "", err
		}
		begin := time.Now()
		if _, err := instance.GetFunc(store, "_start").Call(store); err != nil {
			return 0, "", err
		}
		seconds := since(begin)
		text, err := os.ReadFile(out)
		return seconds, string(text), err
	}
}
