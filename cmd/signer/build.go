package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/release"
)

func buildCommand() *cobra.Command {
	var out string
	var pages uint32
	c := &cobra.Command{
		Use:   "build SOURCE.wasm",
		Short: "Meter a module: the bytes that browsers will run",
		Long: `Reads a WebAssembly command (WASI preview 1), validates it, adds fuel metering, and validates the result.
The same source and options give the same bytes anywhere, so a hub can repeat it.

What is accepted, added and charged: docs/spec/meter.md.`,
		Example: "  signer build factor.wasm -o factor.metered.wasm --memory-pages 16",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	c.Flags().StringVarP(&out, "output", "o", "", "write the metered module to this `file`")
	c.Flags().Uint32Var(&pages, "memory-pages", 256, "largest linear memory, in pages of 64 KiB; the release's limit must be the same")
	must(c, "output")
	c.RunE = func(c *cobra.Command, args []string) error {
		source, err := readCapped(args[0], release.MaxModule)
		if err != nil {
			return err
		}
		module, report, err := build(c.Context(), source, pages)
		if err != nil {
			return fmt.Errorf("building %s: %w", args[0], err)
		}
		if err := replaceModule(out, module); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]any{"module_sha256": canon.Sum(module), "module_length": len(module),
				"source_sha256": canon.Sum(source), "source_length": len(source), "memory_pages": pages, "report": report})
		}
		fields(c.OutOrStdout(), "module", fmt.Sprintf("%s, %d bytes (source %d, ×%.2f)", out, len(module), len(source), float64(len(module))/float64(len(source))),
			"sha256", canon.Sum(module), "memory", fmt.Sprintf("at most %d pages (%d KiB)", pages, pages*64), "metering", report)
		return nil
	}
	return c
}

// build validates the source, meters it and validates the result, with the
// engine that re-verifies results.
func build(ctx context.Context, source []byte, pages uint32) ([]byte, *meter.Report, error) {
	engine, err := sandbox.New(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	defer engine.Close(ctx)
	if err := engine.Validate(ctx, source); err != nil {
		return nil, nil, fmt.Errorf("the source is not a valid module: %w", err)
	}
	module, report, err := meter.Rewrite(source, &meter.Options{MemoryPages: pages})
	if err != nil {
		return nil, nil, err
	}
	if err := engine.Validate(ctx, module); err != nil {
		return nil, nil, fmt.Errorf("the metered module does not validate, which is a defect of signer: %w", err)
	}
	return module, report, nil
}
